//! Change over a window of floats: `rate increase delta irate idelta resets changes`.
//!
//! `rate` and related functions need only the ends of the window and the places where the counter was reset. [`Resets`]
//! finds these once per series, so the cost of a window depends on its number of resets, not on its number of samples.
//! [`change_of`] computes them from that alone, whether it was found in samples or in rollups.

use barograph_engine::model::Timestamp;
use barograph_engine::rollup::counter::{is_change, is_start_overlap, is_start_reset};
use barograph_engine::rollup::{Bucket, Edge, ExactSum};

use crate::annotations::flags::Flags;
use crate::functions::window::{Columns, Window, seconds};
use crate::numbers::compensated::two_sum;

/// How the difference between the ends is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChangeKind {
    /// A counter: resets are added back, and it is never extrapolated below zero.
    pub counter: bool,
    /// Divide by the length of the window.
    pub per_second: bool,
}

impl ChangeKind {
    /// `rate`
    pub const RATE: ChangeKind = ChangeKind { counter: true, per_second: true };
    /// `increase`
    pub const INCREASE: ChangeKind = ChangeKind { counter: true, per_second: false };
    /// `delta`
    pub const DELTA: ChangeKind = ChangeKind { counter: false, per_second: false };
}

/// The resets of a series of floats: indices `i` with a reset between `i - 1` and `i`, and
/// a cursor that follows the windows.
pub(crate) struct Resets {
    at: Vec<usize>,
    overlaps: Vec<usize>,
    lo: usize,
}

impl Resets {
    /// Finds all resets.
    pub fn of(columns: &Columns) -> Self {
        let (times, values, starts) = (&columns.times, &columns.values, &columns.starts);
        let mut at = Vec::new();
        let mut overlaps = Vec::new();
        for i in 1..values.len() {
            let by_start =
                !starts.is_empty() && is_start_reset((starts[i], times[i]), (starts[i - 1], times[i - 1]));
            if values[i] < values[i - 1] || by_start {
                at.push(i);
            }
            if !starts.is_empty() && is_start_overlap(starts[i], starts[i - 1], times[i - 1]) {
                overlaps.push(i);
            }
        }
        Resets { at, overlaps, lo: 0 }
    }

    /// The resets between two samples of the window.
    pub fn inside(&mut self, w: &Window<'_>) -> &[usize] {
        self.between(w.lo, w.hi)
    }

    /// The resets between two of the samples `first..end`. Neither index may decrease from call to call.
    pub fn between(&mut self, first: usize, end: usize) -> &[usize] {
        while self.lo < self.at.len() && self.at[self.lo] <= first {
            self.lo += 1;
        }
        let rest = &self.at[self.lo..];
        &rest[..rest.partition_point(|&i| i < end)]
    }

    /// Whether one of the samples `first..end` has a start time that overlaps another one.
    pub fn overlaps(&self, first: usize, end: usize) -> bool {
        let from = self.overlaps.partition_point(|&i| i <= first);
        self.overlaps.get(from).is_some_and(|&i| i < end)
    }
}

/// How far the observed span of samples is extended towards the ends of the window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extrapolation {
    /// From first to last sample, seconds.
    pub sampled: f64,
    /// From the window's start to the first sample.
    pub to_start: f64,
    /// From the last sample to the window's end.
    pub to_end: f64,
    /// The length of the window.
    window: f64,
}

impl Extrapolation {
    /// The span of the samples at `first..=last`, which are `gaps` distances apart, in the window `(start, end]`. If an
    /// end is further away than 1.1 mean distances, the span is extended by only half a mean distance.
    pub fn new((start, end): (Timestamp, Timestamp), first: i64, last: i64, gaps: u64) -> Self {
        let sampled = seconds(last - first);
        let mut to_start = seconds(first.saturating_sub(start));
        let mut to_end = seconds(end.saturating_sub(last));
        let mean = if gaps == 0 { 0.0 } else { sampled / gaps as f64 };
        let threshold = mean * 1.1;
        if to_start >= threshold {
            to_start = mean / 2.0;
        }
        if to_end >= threshold {
            to_end = mean / 2.0;
        }
        Extrapolation { sampled, to_start, to_end, window: seconds(end.saturating_sub(start)) }
    }

    /// The samples count from zero at `start`, so nothing is extrapolated to the left.
    pub fn count_from_zero(&mut self, start: i64, last: i64) {
        self.sampled = seconds(last - start);
        self.to_start = 0.0;
    }

    /// A counter that is at `first` and grew by `raw` cannot have been below zero before.
    pub fn stop_at_zero(&mut self, first: f64, raw: f64) {
        if raw > 0.0 && first >= 0.0 {
            let to_zero = self.sampled * (first / raw);
            if to_zero < self.to_start {
                self.to_start = to_zero;
            }
        }
    }

    /// The factor by which the raw difference is multiplied.
    pub fn factor(&self, per_second: bool) -> f64 {
        let factor = (self.sampled + self.to_start + self.to_end) / self.sampled;
        if per_second { factor / self.window } else { factor }
    }
}

/// The start time from which the first sample of a window counts, if it is strictly inside the window and before the
/// sample.
pub(crate) fn start_inside(start: Option<i64>, first_time: i64, window_start: i64) -> Option<i64> {
    start.filter(|&s| s != 0 && s > window_start && s < first_time)
}

/// What the change over a window depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    /// The first sample.
    pub first: Edge,
    /// The last sample.
    pub last: Edge,
    /// Samples, at least one.
    pub count: u64,
    /// The sum of the values before each reset; `None` without a reset.
    pub lost: Option<f64>,
}

/// `rate`, `increase`, `delta` of a window `(start, end]`.
#[inline]
pub(crate) fn change_of(
    kind: ChangeKind,
    window: (Timestamp, Timestamp),
    observed: &Observed,
) -> Option<f64> {
    let Observed { first, last, count, lost } = observed;
    let start = if kind.counter { start_inside(Some(first.start), first.time, window.0) } else { None };
    if *count < 2 && start.is_none() {
        return None;
    }
    let mut raw = last.value - first.value;
    let mut span = Extrapolation::new(window, first.time, last.time, count - 1);
    if kind.counter {
        if let Some(lost) = lost {
            raw += lost;
        }
        match start {
            Some(start) => {
                raw += first.value;
                span.count_from_zero(start, last.time);
            }
            None => span.stop_at_zero(first.value, raw),
        }
    }
    Some(raw * span.factor(kind.per_second))
}

/// The sum of the values before each of these resets, rounded once; `None` without a reset.
#[inline]
pub(crate) fn lost(values: &[f64], resets: &[usize]) -> Option<f64> {
    let (first, more) = resets.split_first()?;
    let (mut sum, mut is_exact) = (values[first - 1], true);
    for reset in more {
        let (next, error) = two_sum(sum, values[reset - 1]);
        // False for NaN too.
        is_exact &= error == 0.0;
        sum = next;
    }
    // Zero is positive, as in every exact sum.
    Some(if is_exact { sum + 0.0 } else { rounded_lost(values, resets) })
}

#[cold]
fn rounded_lost(values: &[f64], resets: &[usize]) -> f64 {
    let mut sum = ExactSum::default();
    resets.iter().for_each(|reset| sum.add(values[reset - 1]));
    let in_turn = || resets.iter().map(|reset| values[reset - 1]).sum();
    if sum.is_huge() { in_turn() } else { sum.value() }
}

/// The same of a bucket.
pub(crate) fn lost_of(bucket: &Bucket) -> Option<f64> {
    (bucket.resets > 0).then(|| bucket.lost.value())
}

/// `rate`, `increase`, `delta` of the floats in a window.
pub(crate) fn change(
    kind: ChangeKind,
    mut resets: Resets,
    flags: &mut Flags,
) -> impl FnMut(&Window<'_>) -> Option<f64> {
    move |w| {
        let last = w.len().checked_sub(1)?;
        let lost = if kind.counter { lost(&w.columns.values, resets.inside(w)) } else { None };
        let observed = Observed { first: w.edge(0), last: w.edge(last), count: w.len() as u64, lost };
        let result = change_of(kind, (w.start, w.end), &observed)?;
        if kind.counter {
            if resets.overlaps(w.lo, w.hi) {
                flags.raise(Flags::START_OVERLAP);
            }
            flags.raise(Flags::FLOAT_RESULT);
        }
        Some(result)
    }
}

/// `irate`, `idelta` of the last two floats.
pub(crate) fn instant_change(w: &Window<'_>, counter: bool) -> Option<f64> {
    let (times, values) = (w.times(), w.values());
    let n = values.len();
    if n < 2 {
        return None;
    }
    let (before, last) = (values[n - 2], values[n - 1]);
    let (time_before, time) = (times[n - 2], times[n - 1]);
    if !counter {
        return Some(last - before);
    }
    let by_start = match w.starts() {
        [.., start_before, start] => is_start_reset((*start, time), (*start_before, time_before)),
        _ => false,
    };
    let raw = if last < before || by_start { last } else { last - before };
    Some(raw / seconds(time - time_before))
}

/// `resets` of floats.
pub(crate) fn resets(mut resets: Resets) -> impl FnMut(&Window<'_>) -> Option<f64> {
    move |w| (w.len() > 0).then(|| resets.inside(w).len() as f64)
}

/// `changes` of floats.
pub(crate) fn changes(columns: &Columns) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let values = &columns.values;
    let mut before = 0u64;
    // counts[i] is the number of changes up to sample i, so that a window is a single difference.
    let counts: Vec<u64> = (0..values.len())
        .map(|i| {
            before += u64::from(i > 0 && is_change(values[i - 1], values[i]));
            before
        })
        .collect();
    move |w| (w.len() > 0).then(|| (counts[w.hi - 1] - counts[w.lo]) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_resets_take_is_rounded_once() {
        // In turn, 1 is lost next to 2^53, twice.
        let values = [9_007_199_254_740_992.0, 1.0, 0.5, 1.0, 0.0];
        assert_eq!(lost(&values, &[1, 2, 4]), Some(9_007_199_254_740_994.0));
        assert_eq!(values[0] + values[1] + values[3], 9_007_199_254_740_992.0);
        assert_eq!(lost(&values, &[2]), Some(1.0));
        assert_eq!(lost(&values, &[]), None);
        assert_eq!(lost(&[1e300, 1e300, 0.0], &[1, 2]), Some(2e300), "too large for an exact sum");
    }
}
