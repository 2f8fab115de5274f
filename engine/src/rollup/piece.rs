//! The samples of one bucket on the way: columns, and the passes that fold them.
//!
//! Each pass reads one or two columns and has no branch that depends on the data, so that it compiles to vector
//! instructions. Columns with NaN or infinities take a plain loop instead.

use std::sync::Arc;

use super::bucket::{Bucket, Gaps, exceeds, step_above};
use super::columns::Columns;
use super::counter;
use super::edge::Edge;
use super::exact_sum::ExactSum;
use super::natives::{NativeEdge, OpenNatives};
use super::sketch::Sketch;
use super::spread;
use crate::model::{Histogram, STALE_NAN_BITS, Timestamp, is_stale};

/// Values compared side by side.
const LANES: usize = 4;

/// Samples of one bucket, without stale markers.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// The end of the bucket.
    pub end: Timestamp,
    times: Vec<Timestamp>,
    values: Vec<f64>,
    /// Empty, or as many as values.
    starts: Vec<Timestamp>,
    markers: u64,
    ended: bool,
    has_histograms: bool,
    /// Whether the newest entry is a native histogram.
    ends_with_histogram: bool,
    natives: Option<OpenNatives>,
}

impl Piece {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Appends samples of this bucket.
    pub fn extend(&mut self, times: &[Timestamp], values: &[f64], starts: &[Timestamp]) {
        self.ends_with_histogram &= values.is_empty();
        let has_starts = starts.iter().any(|&start| start != 0);
        if has_starts && self.starts.is_empty() {
            self.starts.resize(self.values.len(), 0);
        }
        // Without a start, the column ends early; it is filled up when the piece is folded.
        let keeps_starts = has_starts || !self.starts.is_empty();
        if markers(values) == 0 {
            self.times.extend_from_slice(times);
            self.values.extend_from_slice(values);
            if keeps_starts {
                self.starts.extend_from_slice(starts);
                self.starts.resize(self.values.len(), 0);
            }
            self.ended &= values.is_empty();
            return;
        }
        for (i, (&time, &value)) in times.iter().zip(values).enumerate() {
            self.ended = is_stale(value);
            if self.ended {
                self.markers += 1;
                continue;
            }
            self.times.push(time);
            self.values.push(value);
            if keeps_starts {
                self.starts.push(starts.get(i).copied().unwrap_or(0));
            }
        }
    }

    /// Appends a native histogram, or a stale marker in the form of one. Unless it is to be kept, only its presence is
    /// noted.
    pub fn push_histogram(
        &mut self,
        time: Timestamp,
        start: Timestamp,
        histogram: &Arc<Histogram>,
        keeps: bool,
    ) {
        self.ended = is_stale(histogram.sum);
        if self.ended {
            (self.markers, self.ends_with_histogram) = (self.markers + 1, false);
            return;
        }
        if keeps {
            let edge = NativeEdge { time, start, histogram: histogram.clone() };
            match &mut self.natives {
                Some(natives) => natives.push(edge, self.ends_with_histogram),
                None => {
                    let follows = self.markers > 0 || !self.values.is_empty();
                    self.natives = Some(OpenNatives::new(edge, follows));
                }
            }
        }
        (self.has_histograms, self.ends_with_histogram) = (true, true);
    }

    /// The bucket of all samples, with these columns and those from which they follow; `None` if there are neither samples
    /// nor markers nor histograms. Empties the piece.
    pub fn take(&mut self, columns: Columns) -> Option<Bucket> {
        let Piece { markers, ended, has_histograms, .. } = *self;
        if self.values.is_empty() && markers == 0 && !has_histograms {
            return None;
        }
        let precedes = !self.ends_with_histogram;
        let natives = self.natives.take().map(|natives| Arc::new(natives.finish(precedes)));
        let mut bucket = Bucket { markers, ended, has_histograms, natives, ..Bucket::empty(self.end) };
        if !self.values.is_empty() {
            self.fold(columns, &mut bucket);
        }
        self.times.clear();
        self.values.clear();
        self.starts.clear();
        (self.markers, self.ended, self.has_histograms) = (0, false, false);
        self.ends_with_histogram = false;
        Some(bucket)
    }

    fn edge(&self, i: usize) -> Edge {
        Edge { time: self.times[i], value: self.values[i], start: self.starts.get(i).copied().unwrap_or(0) }
    }

    fn fold(&self, columns: Columns, bucket: &mut Bucket) {
        let values = &self.values;
        bucket.count = values.len() as u64;
        bucket.make_unknown();
        (bucket.first, bucket.last) = (self.edge(0), self.edge(values.len() - 1));
        bucket.nans = count(values.iter().map(|value| value.is_nan()));
        let asks = |column: Columns| columns.contains(column);
        if asks(Columns::MIN) || asks(Columns::MAX) {
            (bucket.min, bucket.max) =
                if bucket.nans == 0 { extremes(values) } else { extremes_beside_nan(values) };
        }
        if asks(Columns::CHANGES) {
            bucket.changes = if bucket.nans == 0 {
                count(pairs(values).map(|(a, b)| a != b))
            } else {
                count(pairs(values).map(|(a, b)| counter::is_change(a, b)))
            };
        }
        if asks(Columns::SUM) {
            bucket.sum = ExactSum::default();
            bucket.sum.extend(values);
            bucket.sum.normalize();
        }
        if asks(Columns::M2) {
            let is_constant = bucket.min == bucket.max && bucket.nans == 0 && bucket.sum.is_exact();
            bucket.m2 = if is_constant { 0.0 } else { spread::of(values, &bucket.sum) };
        }
        if asks(Columns::LOST) || !self.starts.is_empty() {
            bucket.lost = ExactSum::default();
            self.find_resets(bucket);
        }
        if asks(Columns::GAPS) {
            bucket.gaps = gaps(&self.times);
        }
        if asks(Columns::STEP) {
            bucket.step = step(values);
        }
        if asks(Columns::SKETCH) {
            bucket.sketch = Some(Sketch::of(values));
        }
    }

    fn find_resets(&self, bucket: &mut Bucket) {
        if self.starts.is_empty() && count(pairs(&self.values).map(|(a, b)| b < a)) == 0 {
            return;
        }
        for i in 1..self.values.len() {
            let (before, after) = (self.edge(i - 1), self.edge(i));
            if counter::is_reset(&before, &after) {
                bucket.resets += 1;
                bucket.lost.add(before.value);
            }
            bucket.overlap |= counter::is_start_overlap(after.start, before.start, before.time);
        }
        bucket.lost.normalize();
    }
}

fn pairs(values: &[f64]) -> impl Iterator<Item = (f64, f64)> + '_ {
    values.iter().zip(&values[1..]).map(|(&a, &b)| (a, b))
}

/// How many values are stale markers.
fn markers(values: &[f64]) -> u64 {
    count(values.iter().map(|value| value.to_bits() == STALE_NAN_BITS))
}

/// How many are true. `Iterator::sum` checks each addition for overflow, and does not compile to vector instructions.
#[inline]
fn count(are: impl Iterator<Item = bool>) -> u64 {
    are.fold(0u64, |count, is| count.wrapping_add(is.into()))
}

/// The least and the greatest of values without NaN; of equal zeros, the first.
fn extremes(values: &[f64]) -> (f64, f64) {
    let lesser = |a: f64, b: f64| if b < a { b } else { a };
    let greater = |a: f64, b: f64| if b > a { b } else { a };
    let (mut least, mut greatest) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for i in 0..LANES {
            least[i] = lesser(least[i], block[i]);
            greatest[i] = greater(greatest[i], block[i]);
        }
    }
    let min = least.iter().chain(rest).fold(f64::INFINITY, |min, &value| lesser(min, value));
    let max = greatest.iter().chain(rest).fold(f64::NEG_INFINITY, |max, &value| greater(max, value));
    let first_of = |extreme: f64| values.iter().copied().find(|value| *value == extreme).unwrap_or(extreme);
    let signed = |extreme: f64| if extreme == 0.0 { first_of(extreme) } else { extreme };
    (signed(min), signed(max))
}

/// The least and the greatest value that is not NaN; of equal zeros, the first.
fn extremes_beside_nan(values: &[f64]) -> (f64, f64) {
    let (mut min, mut max) = (f64::NAN, f64::NAN);
    for &value in values.iter().filter(|value| !value.is_nan()) {
        if value < min || min.is_nan() {
            min = value;
        }
        if value > max || max.is_nan() {
            max = value;
        }
    }
    (min, max)
}

fn gaps(times: &[Timestamp]) -> Gaps {
    let mut distances = times.iter().zip(&times[1..]).map(|(a, b)| b.saturating_sub(*a));
    let Some(first) = distances.next() else { return Gaps::NONE };
    let others = times.iter().zip(&times[1..]).map(|(a, b)| b.wrapping_sub(*a) ^ first);
    if others.fold(0, |any, other| any | other) == 0 {
        return Gaps::of(first, first);
    }
    let (min, max) = distances.fold((first, first), |(min, max), gap| (min.min(gap), max.max(gap)));
    Gaps::of(min, max)
}

/// The largest difference of neighbouring values, rounded up.
fn step(values: &[f64]) -> f64 {
    let largest = pairs(values).map(|(a, b)| (b - a).abs()).fold(0.0, f64::max);
    if largest == 0.0 {
        return 0.0;
    }
    let beyond = pairs(values).any(|(a, b)| (b - a).abs() == largest && exceeds(a, b, largest));
    step_above(largest, beyond)
}
