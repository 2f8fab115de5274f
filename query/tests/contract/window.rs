//! The buckets of a window, and the faults that can be planted in them.

use barograph_engine::codec::CompressionLevel;
use barograph_engine::rollup::encode::{self, BUCKETS_MAX, Class, Shape};
use barograph_engine::rollup::{Bucket, Builder, Columns, ExactSum, Extras, Fold as Coarsen};

use crate::raw;
use crate::series::Series;

/// The relative error that rounding may add to either side.
pub const SLACK: f64 = 1.0 / (1u64 << 46) as f64;

/// The most ways to divide cut buckets that are tried one by one.
pub const WAYS: u64 = 4000;

/// A fault that the checker must find. It is planted in the checker's own fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// None.
    Nothing,
    /// A reset between two buckets is forgotten.
    EdgeReset,
    /// A change between two buckets is forgotten.
    EdgeChange,
    /// Buckets are closed on the left instead of the right.
    WrongSide,
    /// A cut bucket counts the sample at the window's left end.
    CutSide,
    /// Stale markers are lost.
    SeriesEnd,
    /// Start timestamps are ignored.
    StartTime,
    /// Steps are rounded down.
    StepDown,
    /// What resets of native histograms took is forgotten.
    NativeLost,
    /// The lowest schema of native histograms is forgotten.
    NativeSchema,
    /// A reset right after the first native histogram is forgotten.
    NativeSecond,
    /// Only the first layer of the sums of native histograms is kept.
    NativeSum,
}

impl Plant {
    /// All, by their names on the command line.
    pub const ALL: [(&str, Plant); 12] = [
        ("nothing", Plant::Nothing),
        ("edge-reset", Plant::EdgeReset),
        ("edge-change", Plant::EdgeChange),
        ("wrong-side", Plant::WrongSide),
        ("cut-side", Plant::CutSide),
        ("series-end", Plant::SeriesEnd),
        ("start-time", Plant::StartTime),
        ("step-down", Plant::StepDown),
        ("native-lost", Plant::NativeLost),
        ("native-schema", Plant::NativeSchema),
        ("native-second", Plant::NativeSecond),
        ("native-sum", Plant::NativeSum),
    ];
}

/// The buckets of a series, built from samples, or from buckets of the width `fine`.
pub fn buckets(series: &Series, width: i64, fine: Option<i64>, plant: Plant) -> Vec<Bucket> {
    // A later time by a nanosecond puts a sample at a bound into the next bucket.
    let late = i64::from(plant == Plant::WrongSide);
    let times: Vec<i64> = series.samples.iter().map(|sample| sample.time + late).collect();
    let values: Vec<f64> = series.samples.iter().map(|sample| sample.value).collect();
    let starts: Vec<i64> = match plant {
        Plant::StartTime => Vec::new(),
        _ => series.samples.iter().map(|sample| sample.start).collect(),
    };
    let mut out = Vec::new();
    let mut builder = Builder::new(fine.unwrap_or(width), Extras::ALL);
    builder.extend(&times, &values, &starts, &mut out);
    builder.finish(&mut out);
    if fine.is_some() {
        let mut coarsen = Coarsen::new(width);
        let fine = std::mem::take(&mut out);
        fine.into_iter().for_each(|bucket| coarsen.push(bucket, &mut out));
        coarsen.finish(&mut out);
    }
    for bucket in &mut out {
        if bucket.count > 0 {
            bucket.first.time -= late;
            bucket.last.time -= late;
        }
        if plant == Plant::SeriesEnd {
            (bucket.markers, bucket.ended) = (0, false);
        }
        if plant == Plant::StepDown {
            bucket.step *= 0.9;
        }
    }
    out
}

/// The buckets as they come back from storage.
///
/// # Errors
/// What the decoder says of what the encoder wrote.
pub fn stored(
    buckets: &[Bucket],
    width: i64,
    fine: Option<i64>,
    class: Class,
) -> Result<Vec<Bucket>, String> {
    let shape = Shape { width, source: fine.unwrap_or(0), class, bounds: true };
    let mut out = Vec::new();
    for run in buckets.chunks(BUCKETS_MAX) {
        let mut bytes = Vec::new();
        encode::encode(b"key", &shape, run, CompressionLevel::Best, &mut bytes);
        encode::decode(b"key", &bytes, Columns::ALL, &mut out).map_err(|error| error.to_string())?;
    }
    Ok(out)
}

/// Which end of a window cuts a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The left one: the last sample is inside.
    Left,
    /// The right one: the first sample is inside.
    Right,
    /// Both: neither is.
    Both,
}

/// A bucket of which the window contains a part.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The bucket.
    pub bucket: Bucket,
    /// Which samples are inside.
    pub side: Side,
    /// The least and the greatest number of samples inside.
    pub least: u64,
    /// See `least`.
    pub most: u64,
    /// The number by the share of time.
    pub likely: u64,
}

/// A window over buckets.
#[derive(Debug, Clone)]
pub struct Fold {
    /// The whole buckets with samples, in order.
    pub parts: Vec<Bucket>,
    /// What they add up to.
    pub whole: Option<Bucket>,
    /// The buckets that are cut, at most two.
    pub cuts: Vec<Cut>,
    /// What all of these buckets add up to, cut ones entirely.
    pub outer: Option<Bucket>,
}

impl Fold {
    /// The buckets of the window `(start, end]`.
    pub fn new(buckets: &[Bucket], start: i64, end: i64, plant: Plant) -> Self {
        let start = start - i64::from(plant == Plant::CutSide);
        let (mut parts, mut cuts) = (Vec::new(), Vec::new());
        let mut outer = None;
        let mut whole = None;
        for bucket in buckets.iter().filter(|bucket| bucket.count > 0) {
            let (first, last) = (bucket.first.time, bucket.last.time);
            if last <= start || first > end {
                continue;
            }
            join(&mut outer, bucket, plant);
            if start < first && last <= end {
                join(&mut whole, bucket, plant);
                parts.push(bucket.clone());
            } else {
                cuts.push(Cut::new(bucket, start, end));
            }
        }
        Fold { parts, whole, cuts, outer }
    }

    /// The least and the greatest number of samples.
    pub fn count(&self) -> (u64, u64) {
        let whole = self.whole.as_ref().map_or(0, |whole| whole.count);
        let least: u64 = self.cuts.iter().map(|cut| cut.least).sum();
        let most: u64 = self.cuts.iter().map(|cut| cut.most).sum();
        (whole + least, whole + most)
    }

    /// The same window if the number of samples inside of one of its cut buckets is `k`.
    pub fn with_inside(mut self, place: usize, k: u64) -> Self {
        let cut = &mut self.cuts[place];
        (cut.least, cut.most, cut.likely) = (k, k, k);
        self
    }

    /// The number of samples and their sum, without rounding, for all ways to divide the cut buckets; `None` if the samples
    /// inside are not known, or if there are too many ways.
    pub fn known_sums(&self) -> Option<Vec<(u64, ExactSum)>> {
        let whole = self.whole.as_ref().map_or((0, ExactSum::default()), |all| (all.count, all.sum.clone()));
        let mut sums = vec![whole];
        for cut in &self.cuts {
            if sums.len() as u64 * (cut.most - cut.least + 1) > WAYS {
                return None;
            }
            let parts = (cut.least..=cut.most).map(|k| Some((k, cut.known_sum(k)?)));
            let parts = parts.collect::<Option<Vec<_>>>()?;
            let with = |(n, sum): &(u64, ExactSum), (k, part): &(u64, ExactSum)| {
                let mut sum = sum.clone();
                sum.merge(part);
                (n + k, sum)
            };
            sums = sums.iter().flat_map(|sum| parts.iter().map(|part| with(sum, part))).collect();
        }
        Some(sums)
    }
}

/// Appends a bucket, with the planted fault.
fn join(all: &mut Option<Bucket>, next: &Bucket, plant: Plant) {
    let Some(all) = all else {
        *all = Some(next.clone());
        return;
    };
    let (before, lost) = (all.clone(), all.lost.clone());
    all.merge(next);
    if plant == Plant::EdgeReset {
        all.resets = before.resets + next.resets;
        all.lost = lost;
        all.lost.merge(&next.lost);
    }
    if plant == Plant::EdgeChange {
        all.changes = before.changes + next.changes;
    }
}

impl Cut {
    fn new(bucket: &Bucket, start: i64, end: i64) -> Self {
        let (n, first, last) = (bucket.count as i64, bucket.first.time, bucket.last.time);
        let (least_gap, most_gap) = (bucket.gaps.min.max(1), bucket.gaps.max.max(1));
        let up = |a: i64, b: i64| (a + b - 1) / b;
        let (side, least, most, inside) = if first <= start && last > end {
            let span = end - start;
            (Side::Both, span / most_gap, up(span, least_gap).min(n - 2), span)
        } else if first <= start {
            let (inside, outside) = (last - start, start - first);
            let least = up(inside, most_gap).max(n - 1 - outside / least_gap).max(1);
            let most = up(inside, least_gap).min(n - 1 - outside / most_gap).min(n - 1);
            (Side::Left, least, most, inside)
        } else {
            let (inside, outside) = (end - first, last - end);
            let least = (inside / most_gap + 1).max(n - up(outside, least_gap)).max(1);
            let most = (inside / least_gap + 1).min(n - up(outside, most_gap)).min(n - 1);
            (Side::Right, least, most, inside)
        };
        let share = inside as f64 / (last - first) as f64;
        let likely = ((n as f64 * share).round() as i64).clamp(least, most.max(least));
        let unsigned = |number: i64| number.max(0) as u64;
        Cut {
            bucket: bucket.clone(),
            side,
            least: unsigned(least),
            most: unsigned(most),
            likely: unsigned(likely),
        }
    }

    /// The samples at the ends of the bucket: the one inside and the one outside; `None` if neither is inside.
    pub fn ends(&self) -> Option<(f64, f64)> {
        let (first, last) = (self.bucket.first.value, self.bucket.last.value);
        match self.side {
            Side::Left => Some((last, first)),
            Side::Right => Some((first, last)),
            Side::Both => None,
        }
    }

    /// The least and the greatest sum of `k` samples inside that the spread of a bucket allows. That between both sides of the
    /// cut is a part of it, and so is, on each side, that between the known end and the others there. Each is a square of the
    /// distance of the sum from where it is zero, times a weight.
    pub fn sum_by_spread(&self, k: u64, total: f64, ends: Option<(f64, f64)>) -> (f64, f64) {
        let m2 = self.bucket.m2 + self.bucket.m2_rest;
        let (n, k) = (self.bucket.count as f64, k as f64);
        let others = n - k;
        if k == 0.0 || others == 0.0 {
            return (f64::NEG_INFINITY, f64::INFINITY);
        }
        let mut squares = vec![(n / (k * others), k * total / n)];
        if let Some((inside, outside)) = ends {
            let on_one_side = |k: f64, sum: f64| (k > 1.0).then_some((1.0 / (k * (k - 1.0)), sum));
            squares.extend(on_one_side(k, k * inside));
            squares.extend(on_one_side(others, total - others * outside));
        }
        let weight: f64 = squares.iter().map(|square| square.0).sum();
        let center = squares.iter().map(|square| square.0 * square.1).sum::<f64>() / weight;
        let apart: f64 =
            squares.iter().map(|square| square.0 * (square.1 - center) * (square.1 - center)).sum();
        // Squares may overflow, and those of small numbers are zero.
        if !(m2.is_finite() && apart.is_finite() && m2 > f64::MIN_POSITIVE / f64::EPSILON) {
            return (f64::NEG_INFINITY, f64::INFINITY);
        }
        // Rounding is relative to the squares, of which the root is taken.
        let far =
            ((m2 - apart).max(0.0) / weight).sqrt() + SLACK.sqrt() * n * (self.bucket.max - self.bucket.min);
        (center - far, center + far)
    }

    /// The sum of the samples inside if they are `k`, without rounding, if they are known: all values are equal, or only
    /// ends of the bucket are on one side of the cut.
    fn known_sum(&self, k: u64) -> Option<ExactSum> {
        let bucket = &self.bucket;
        let all_but = |values: &[f64]| {
            let mut sum = bucket.sum.clone();
            values.iter().for_each(|value| sum.add(-value));
            sum
        };
        match (self.ends(), bucket.count - k) {
            _ if is_constant(bucket) => Some(ExactSum::product(bucket.min, k)),
            (Some((inside, _)), _) if k == 1 => Some(ExactSum::product(inside, 1)),
            (Some((_, outside)), 1) => Some(all_but(&[outside])),
            (None, _) if k == 0 => Some(ExactSum::default()),
            (None, 2) => Some(all_but(&[bucket.first.value, bucket.last.value])),
            _ => None,
        }
    }
}

/// What the newest entry of a series says at a time.
pub fn newest(buckets: &[Bucket], at: i64, lookback: i64) -> Newest {
    let known = buckets.partition_point(|bucket| bucket.end <= at);
    let (past, rest) = buckets.split_at(known);
    let current =
        rest.first().filter(|bucket| bucket.count > 0 && bucket.first.time <= at || bucket.markers > 0);
    let past =
        past.iter().rev().take_while(|bucket| bucket.end > at - lookback).find(|bucket| !bucket.is_empty());
    let past = past.filter(|bucket| !bucket.ended && bucket.last.time > at - lookback && bucket.count > 0);
    match current {
        Some(current) if current.last.time <= at && current.markers == 0 => {
            let fresh = current.last.time > at - lookback;
            Newest::Known(fresh.then_some(current.last.value))
        }
        Some(current) => Newest::Within(Box::new(current.clone())),
        None => Newest::Known(past.map(|bucket| bucket.last.value)),
    }
}

/// See [`newest`].
pub enum Newest {
    /// The value, or none.
    Known(Option<f64>),
    /// It depends on the samples of this bucket.
    Within(Box<Bucket>),
}

/// Whether a bucket has values that sums and bounds cannot describe.
pub fn is_plain(bucket: &Bucket) -> bool {
    bucket.nans == 0 && bucket.min.is_finite() && bucket.max.is_finite()
}

/// The sum of a bucket's values less `origin` each, rounded once.
pub fn sum_from(origin: f64, bucket: &Bucket) -> f64 {
    let mut sum = ExactSum::product(-origin, bucket.count);
    sum.merge(&bucket.sum);
    sum.value()
}

/// Whether all values of a bucket are equal.
pub fn is_constant(bucket: &Bucket) -> bool {
    bucket.min == bucket.max && bucket.nans == 0
}

/// The largest magnitude of a bucket's values.
pub fn largest(bucket: &Bucket) -> f64 {
    bucket.min.abs().max(bucket.max.abs())
}

/// Checks that this file's notion of a reset is the same as that of the samples.
pub fn has_starts(bucket: &Bucket) -> bool {
    bucket.first.start != raw::UNKNOWN || bucket.last.start != raw::UNKNOWN
}
