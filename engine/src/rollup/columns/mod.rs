//! The buckets of one series, column by column: what queries read, and what chunks are decoded to.
//!
//! A bucket as a struct takes 300 bytes, of which a function of the query language reads a few. Here each column is a
//! slice, and columns that were not asked for are empty. The memory is reused from series to series.

mod mostly;
mod runs;
mod sampled;
mod set;
mod sums;

pub use mostly::Mostly;
pub use runs::Runs;
pub use set::Columns;
pub use sums::Sums;

use std::ops::Range;
use std::sync::Arc;

use super::bucket::{self, Bucket, Gaps};
use super::edge::Edge;
use super::natives::Natives;
use super::sketch::Sketch;
use crate::model::{Histogram, ResetHint, TimeRange, Timestamp};

/// Bits of [`BucketColumns::states`].
pub(crate) const ENDED: u8 = 1;
pub(crate) const OVERLAP: u8 = 1 << 1;
pub(crate) const HISTOGRAMS: u8 = 1 << 2;
pub(crate) const OMITTED: u8 = 1 << 3;

/// The buckets of one series, column by column. A field of [`Bucket`] says what a column means.
///
/// Columns that are [held](BucketColumns::held) have a value for each row, the others are empty. In a row without samples,
/// values are zero, and extremes are NaN.
#[derive(Debug, Clone)]
pub struct BucketColumns {
    held: Columns,
    /// The ends of the buckets.
    pub ends: Vec<Timestamp>,
    /// Numbers of samples.
    pub counts: Vec<u64>,
    /// Numbers of NaN.
    pub nans: Mostly<u64>,
    /// Numbers of stale markers.
    pub markers: Mostly<u64>,
    /// What else is known of a row; see [`BucketColumns::has_ended`] and others.
    pub(crate) states: Mostly<u8>,
    /// With [`Columns::TIMES`]: the times of the first samples.
    pub first_times: Vec<Timestamp>,
    /// With [`Columns::TIMES`]: the times of the last samples.
    pub last_times: Vec<Timestamp>,
    /// With [`Columns::VALUES`]: the first values.
    pub first_values: Vec<f64>,
    /// With [`Columns::VALUES`]: the last values.
    pub last_values: Vec<f64>,
    /// With [`Columns::STARTS`]: the start timestamps of the first samples.
    pub first_starts: Mostly<Timestamp>,
    /// With [`Columns::STARTS`]: the start timestamps of the last samples.
    pub last_starts: Mostly<Timestamp>,
    /// With [`Columns::LOST`]: numbers of resets.
    pub resets: Mostly<u64>,
    /// With [`Columns::LOST`]: the sums of what resets took.
    pub lost: Sums,
    /// With [`Columns::CHANGES`]: numbers of changes.
    pub changes: Mostly<u64>,
    /// With [`Columns::MIN`]: the least values.
    pub minima: Vec<f64>,
    /// With [`Columns::MAX`]: the greatest values.
    pub maxima: Vec<f64>,
    /// With [`Columns::SUM`]: the sums.
    pub sums: Sums,
    /// With [`Columns::M2`]: the sums of squared distances from the mean.
    pub squares: Vec<f64>,
    /// With [`Columns::GAPS`]: the distances of samples.
    pub gaps: Mostly<Gaps>,
    /// With [`Columns::STEP`]: the largest differences of neighbours.
    pub steps: Mostly<f64>,
    /// With [`Columns::SKETCH`]: distributions.
    pub sketches: Mostly<Option<Sketch>>,
    /// With [`Columns::HISTOGRAMS`]: native histograms.
    pub natives: Mostly<Option<Arc<Natives>>>,
    /// Memory for decoding, which is reused.
    pub(crate) scratch: Scratch,
}

/// Memory for decoding one column.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scratch {
    pub ints: Vec<i64>,
    pub floats: Vec<f64>,
}

impl Default for BucketColumns {
    fn default() -> Self {
        BucketColumns::new(Columns::NONE)
    }
}

impl BucketColumns {
    /// No rows yet, with these columns and those from which they follow.
    pub fn new(columns: Columns) -> Self {
        BucketColumns {
            held: columns.with_sources(),
            ends: Vec::new(),
            counts: Vec::new(),
            nans: Mostly::of(0),
            markers: Mostly::of(0),
            states: Mostly::of(0),
            first_times: Vec::new(),
            last_times: Vec::new(),
            first_values: Vec::new(),
            last_values: Vec::new(),
            first_starts: Mostly::of(0),
            last_starts: Mostly::of(0),
            resets: Mostly::of(0),
            lost: Sums::new(),
            changes: Mostly::of(0),
            minima: Vec::new(),
            maxima: Vec::new(),
            sums: Sums::new(),
            squares: Vec::new(),
            gaps: Mostly::of(Gaps::NONE),
            steps: Mostly::of(0.0),
            sketches: Mostly::of(None),
            natives: Mostly::of(None),
            scratch: Scratch::default(),
        }
    }

    /// Removes all rows, and holds these columns from now on, and those from which they follow.
    pub fn restart(&mut self, columns: Columns) {
        self.truncate(0);
        self.held = columns.with_sources();
    }

    /// Makes room for `rows` rows in all in the columns that have a value for each row.
    pub(crate) fn reserve(&mut self, rows: usize) {
        fn grow<T>(column: &mut Vec<T>, rows: usize) {
            column.reserve(rows.saturating_sub(column.len()));
        }
        let held = self.held;
        grow(&mut self.ends, rows);
        grow(&mut self.counts, rows);
        if held.contains(Columns::TIMES) {
            grow(&mut self.first_times, rows);
            grow(&mut self.last_times, rows);
        }
        if held.contains(Columns::VALUES) {
            grow(&mut self.first_values, rows);
            grow(&mut self.last_values, rows);
        }
        let floats = [
            (Columns::MIN, &mut self.minima),
            (Columns::MAX, &mut self.maxima),
            (Columns::M2, &mut self.squares),
        ];
        for (column, values) in floats {
            if held.contains(column) {
                grow(values, rows);
            }
        }
    }

    /// The columns that it has.
    #[inline]
    pub fn held(&self) -> Columns {
        self.held
    }

    /// The number of buckets.
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no buckets.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether the newest entry of a row is a stale marker.
    #[inline]
    pub fn has_ended(&self, row: usize) -> bool {
        self.states.at(row) & ENDED != 0
    }

    /// Whether the start timestamp of a sample of a row contradicts the sample before it.
    #[inline]
    pub fn has_overlap(&self, row: usize) -> bool {
        self.states.at(row) & OVERLAP != 0
    }

    /// Whether the span of a row also has native histograms.
    #[inline]
    pub fn has_histograms(&self, row: usize) -> bool {
        self.states.at(row) & HISTOGRAMS != 0
    }

    /// Whether a row stands for a bucket that is [omitted](Bucket::omitted).
    #[inline]
    pub fn is_omitted(&self, row: usize) -> bool {
        self.states.at(row) & OMITTED != 0
    }

    /// Whether no row says any of this.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.states.is_usual()
    }

    /// Whether a row has neither samples nor markers nor histograms, and none that are omitted.
    #[inline]
    pub fn is_vacant(&self, row: usize) -> bool {
        let states = self.states.at(row) & (HISTOGRAMS | OMITTED);
        self.counts[row] == 0 && self.markers.at(row) == 0 && states == 0
    }

    /// What [`Bucket::is_inside`] says of a row, whose times and native histograms are held.
    pub fn is_inside(&self, row: usize, range: TimeRange, width: i64) -> Option<bool> {
        if self.is_vacant(row) || self.is_omitted(row) {
            return Some(false);
        }
        let natives = self.natives.get(row).as_deref();
        let is_described = self.markers.at(row) == 0 && self.has_histograms(row) == natives.is_some();
        let samples = (self.counts[row] > 0).then(|| (self.first_times[row], self.last_times[row]));
        let times = is_described.then(|| bucket::joint_times(samples, natives)).flatten();
        bucket::is_inside(self.ends[row], times, range, width)
    }

    /// The first sample of a row, whose times and values are held.
    #[inline]
    pub fn first(&self, row: usize) -> Edge {
        let (time, value) = (self.first_times[row], self.first_values[row]);
        Edge { time, value, start: self.first_starts.at(row) }
    }

    /// The last sample of a row, whose times and values are held.
    #[inline]
    pub fn last(&self, row: usize) -> Edge {
        let (time, value) = (self.last_times[row], self.last_values[row]);
        Edge { time, value, start: self.last_starts.at(row) }
    }

    /// Whether the first entry is a native histogram of which it is not known whether it continues from the sample before
    /// it.
    pub fn awaits_hint(&self) -> bool {
        let first = (0..self.len()).find(|&row| !self.is_vacant(row));
        let natives = first.and_then(|row| self.natives.get(row).as_ref());
        natives.is_some_and(|natives| {
            !natives.follows && natives.first.histogram.reset_hint == ResetHint::Unknown
        })
    }

    /// Says whether the first native histogram, which [awaits](BucketColumns::awaits_hint) it, continues from the sample
    /// before it.
    pub fn hint_from(&mut self, before: &Histogram) {
        if let Some(natives) = self.natives.stored().iter().position(Option::is_some) {
            self.natives.change(natives, |natives| {
                if let Some(natives) = natives {
                    Arc::make_mut(natives).hint_first(before);
                }
            });
        }
    }

    /// Appends a bucket. Of columns that are not held, nothing is kept.
    pub fn push(&mut self, bucket: &Bucket) {
        let (row, holds) = (self.len(), |column: Columns| self.held.contains(column));
        let (times, values, starts) = (holds(Columns::TIMES), holds(Columns::VALUES), holds(Columns::STARTS));
        let [lost, changes, sum, gaps, step, sketch] =
            [Columns::LOST, Columns::CHANGES, Columns::SUM, Columns::GAPS, Columns::STEP, Columns::SKETCH]
                .map(holds);
        let [min, max, m2, histograms] =
            [Columns::MIN, Columns::MAX, Columns::M2, Columns::HISTOGRAMS].map(holds);
        self.ends.push(bucket.end);
        self.counts.push(bucket.count);
        self.nans.push(row, bucket.nans, bucket.nans == 0);
        self.markers.push(row, bucket.markers, bucket.markers == 0);
        let state = |is: bool, bit: u8| if is { bit } else { 0 };
        let state = state(bucket.ended, ENDED)
            | state(bucket.overlap, OVERLAP)
            | state(bucket.has_histograms, HISTOGRAMS)
            | state(bucket.omitted, OMITTED);
        self.states.push(row, state, state == 0);
        let Bucket { first, last, .. } = bucket;
        self.first_times.extend(times.then_some(first.time));
        self.last_times.extend(times.then_some(last.time));
        self.first_values.extend(values.then_some(first.value));
        self.last_values.extend(values.then_some(last.value));
        self.first_starts.push(row, first.start, !starts || first.start == 0);
        self.last_starts.push(row, last.start, !starts || last.start == 0);
        if lost {
            self.resets.push(row, bucket.resets, bucket.resets == 0);
            self.lost.push(row, &bucket.lost);
        }
        self.changes.push(row, bucket.changes, !changes || bucket.changes == 0);
        self.minima.extend(min.then_some(bucket.min));
        self.maxima.extend(max.then_some(bucket.max));
        if sum {
            self.sums.push(row, &bucket.sum);
        }
        self.squares.extend(m2.then_some(bucket.m2));
        self.gaps.push(row, bucket.gaps, !gaps || bucket.gaps == Gaps::NONE);
        self.steps.push(row, bucket.step, !step || bucket.step.to_bits() == 0);
        self.sketches.push(row, bucket.sketch.clone(), !sketch || bucket.sketch.is_none());
        let natives = bucket.natives.clone().filter(|_| histograms);
        let is_none = natives.is_none();
        self.natives.push(row, natives, is_none);
    }

    /// The bucket of a row. What is not held is unknown.
    pub fn bucket(&self, row: usize) -> Bucket {
        let holds = |column: Columns| self.held.contains(column);
        let mut bucket = Bucket::empty(self.ends[row]);
        (bucket.count, bucket.nans, bucket.markers) =
            (self.counts[row], self.nans.at(row), self.markers.at(row));
        (bucket.ended, bucket.overlap) = (self.has_ended(row), self.has_overlap(row));
        (bucket.has_histograms, bucket.omitted) = (self.has_histograms(row), self.is_omitted(row));
        bucket.natives.clone_from(self.natives.get(row));
        if bucket.count == 0 {
            return bucket;
        }
        bucket.make_unknown();
        if holds(Columns::TIMES) {
            (bucket.first.time, bucket.last.time) = (self.first_times[row], self.last_times[row]);
        }
        if holds(Columns::VALUES) {
            (bucket.first.value, bucket.last.value) = (self.first_values[row], self.last_values[row]);
        }
        (bucket.first.start, bucket.last.start) = (self.first_starts.at(row), self.last_starts.at(row));
        (bucket.resets, bucket.changes) = (self.resets.at(row), self.changes.at(row));
        if holds(Columns::LOST) {
            bucket.lost = self.lost.get(row);
        }
        if holds(Columns::SUM) {
            bucket.sum = self.sums.get(row);
        }
        if holds(Columns::M2) {
            bucket.m2 = self.squares[row];
        }
        if holds(Columns::MIN) {
            bucket.min = self.minima[row];
        }
        if holds(Columns::MAX) {
            bucket.max = self.maxima[row];
        }
        if holds(Columns::GAPS) {
            bucket.gaps = self.gaps.at(row);
        }
        if holds(Columns::STEP) {
            bucket.step = self.steps.at(row);
        }
        bucket.sketch.clone_from(self.sketches.get(row));
        bucket
    }

    /// The buckets of all rows. What is not held is unknown.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        (0..self.len()).map(|row| self.bucket(row))
    }

    /// Keeps the first rows only.
    pub fn truncate(&mut self, rows: usize) {
        self.each_plain(|column| column.truncate(rows));
        self.each_times(|column| column.truncate(rows));
        self.counts.truncate(rows);
        self.nans.truncate(rows);
        self.markers.truncate(rows);
        self.states.truncate(rows);
        self.first_starts.truncate(rows);
        self.last_starts.truncate(rows);
        self.resets.truncate(rows);
        self.changes.truncate(rows);
        self.lost.truncate(rows);
        self.sums.truncate(rows);
        self.gaps.truncate(rows);
        self.steps.truncate(rows);
        self.sketches.truncate(rows);
        self.natives.truncate(rows);
    }

    /// Replaces the rows from `first` on by these, which are among them.
    fn choose(&mut self, first: usize, rows: &[usize]) {
        fn chosen<T: Copy>(column: &mut Vec<T>, first: usize, rows: &[usize]) {
            if column.len() > first {
                let values: Vec<T> = rows.iter().map(|&row| column[row]).collect();
                column.truncate(first);
                column.extend(values);
            }
        }
        self.each_plain(|column| chosen(column, first, rows));
        self.each_times(|column| chosen(column, first, rows));
        chosen(&mut self.counts, first, rows);
        self.nans.choose(first, rows);
        self.markers.choose(first, rows);
        self.states.choose(first, rows);
        self.first_starts.choose(first, rows);
        self.last_starts.choose(first, rows);
        self.resets.choose(first, rows);
        self.changes.choose(first, rows);
        self.lost.choose(first, rows);
        self.sums.choose(first, rows);
        self.gaps.choose(first, rows);
        self.steps.choose(first, rows);
        self.sketches.choose(first, rows);
        self.natives.choose(first, rows);
    }

    /// Of the rows from `first` on, keeps those for which `keep` returns true.
    pub fn retain_from(&mut self, first: usize, keep: impl Fn(&Self, usize) -> bool) {
        let rows = self.len();
        let Some(begin) = (first..rows).find(|&row| !keep(self, row)) else { return };
        let kept: Vec<usize> = (begin..rows).filter(|&row| keep(self, row)).collect();
        self.choose(begin, &kept);
    }

    /// Removes these rows.
    pub(crate) fn remove(&mut self, rows: Range<usize>) {
        if !rows.is_empty() {
            let kept: Vec<usize> = (rows.end..self.len()).collect();
            self.choose(rows.start, &kept);
        }
    }

    /// Of several of the rows from `first` on with the same end keeps the last one, in ascending order, and removes those
    /// without samples, markers and histograms.
    pub(crate) fn newest_of_each(&mut self, first: usize) {
        let added = &self.ends[first..];
        let pairs = added.iter().zip(added.get(1..).unwrap_or_default());
        if !pairs.fold(true, |all, (a, b)| all & (a < b)) {
            let mut rows: Vec<usize> = (first..self.len()).collect();
            // The sort is stable: later ones stay behind earlier ones.
            rows.sort_by_key(|&row| self.ends[row]);
            let newest =
                |at: usize| rows.get(at + 1).is_none_or(|&next| self.ends[next] != self.ends[rows[at]]);
            let rows: Vec<usize> = (0..rows.len()).filter(|&at| newest(at)).map(|at| rows[at]).collect();
            self.choose(first, &rows);
        }
        if self.has_empty(first) {
            self.retain_from(first, |all, row| !all.is_vacant(row));
        }
    }

    /// Whether a row from `first` on has no samples.
    pub(crate) fn has_empty(&self, first: usize) -> bool {
        self.counts[first..].contains(&0)
    }

    /// Removes the rows without samples, whatever else they have.
    pub fn retain_sampled(&mut self) {
        if self.has_empty(0) {
            self.retain_from(0, |all, row| all.counts[row] > 0);
        }
    }

    fn each_plain(&mut self, mut visit: impl FnMut(&mut Vec<f64>)) {
        let columns = [&mut self.first_values, &mut self.last_values, &mut self.minima, &mut self.maxima];
        columns.into_iter().for_each(&mut visit);
        visit(&mut self.squares);
    }

    fn each_times(&mut self, visit: impl FnMut(&mut Vec<i64>)) {
        [&mut self.ends, &mut self.first_times, &mut self.last_times].into_iter().for_each(visit);
    }

    /// The memory that it holds, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.column_bytes() + self.detail_bytes(0)
    }

    /// The memory of the columns, without the [details](BucketColumns::detail_bytes) of rows, bytes.
    pub(crate) fn column_bytes(&self) -> usize {
        let times = [&self.ends, &self.first_times, &self.last_times].map(Vec::capacity);
        let floats = [&self.first_values, &self.last_values, &self.minima, &self.maxima, &self.squares]
            .map(Vec::capacity);
        let words = times.iter().chain(&floats).sum::<usize>() + self.counts.capacity();
        let counts = [&self.nans, &self.markers, &self.resets, &self.changes].map(Mostly::memory_bytes);
        let starts = self.first_starts.memory_bytes() + self.last_starts.memory_bytes();
        let bounds = self.gaps.memory_bytes()
            + self.steps.memory_bytes()
            + self.sketches.memory_bytes()
            + self.natives.memory_bytes();
        words * size_of::<u64>()
            + counts.iter().sum::<usize>()
            + starts
            + bounds
            + self.states.memory_bytes()
            + self.lost.column_bytes()
            + self.sums.column_bytes()
    }

    /// The memory of the native histograms of the rows from `first` on, bytes.
    pub(crate) fn native_bytes(&self, first: usize) -> usize {
        let natives = self.natives.stored().get(first..).unwrap_or_default().iter().flatten();
        natives.map(|natives| natives.memory_bytes()).sum()
    }

    /// What the rows from `first` on hold beside the columns: native histograms, sketches, and sums with many components. Bytes.
    pub(crate) fn detail_bytes(&self, first: usize) -> usize {
        let sketches = self.sketches.stored().get(first..).unwrap_or_default().iter().flatten();
        let sketches: usize = sketches.map(|sketch| size_of_val(sketch.entries())).sum();
        self.native_bytes(first) + sketches + self.lost.detail_bytes(first) + self.sums.detail_bytes(first)
    }
}

#[cfg(test)]
mod tests;
