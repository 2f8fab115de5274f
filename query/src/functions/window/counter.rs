//! Change over a window of floats: `rate increase delta irate idelta resets changes`.
//!
//! `rate` and related functions need only the ends of the window and the places where the counter was reset. [`Resets`]
//! finds these once per series, so the cost of a window depends on its number of resets, not on its number of samples.

use crate::annotations::flags::Flags;
use crate::functions::window::{Columns, Window, seconds};

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

/// Whether the start time of a sample shows that the counter was reset since the previous sample.
///
/// A start time equal to the time of the previous sample is a reset only if it is new, because the previous sample may
/// itself be at the start.
pub(crate) fn is_start_reset((start, time): (i64, i64), (start_before, time_before): (i64, i64)) -> bool {
    let began_since = start > time_before || (start == time_before && start != start_before);
    start != 0 && began_since && start < time
}

/// Whether a start time contradicts the previous sample: it is before that sample, but new.
pub(crate) fn is_start_overlap(start: i64, start_before: i64, time_before: i64) -> bool {
    start != 0 && start < time_before && start != start_before
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
}

impl Extrapolation {
    /// The span of the samples at `first..=last`, which are `gaps` distances apart, in `w`. If an end is further away
    /// than 1.1 mean distances, the span is extended by only half a mean distance.
    pub fn new(w: &Window<'_>, first: i64, last: i64, gaps: usize) -> Self {
        let sampled = seconds(last - first);
        let mut to_start = seconds(first.saturating_sub(w.start));
        let mut to_end = seconds(w.end.saturating_sub(last));
        let mean = if gaps == 0 { 0.0 } else { sampled / gaps as f64 };
        let threshold = mean * 1.1;
        if to_start >= threshold {
            to_start = mean / 2.0;
        }
        if to_end >= threshold {
            to_end = mean / 2.0;
        }
        Extrapolation { sampled, to_start, to_end }
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
    pub fn factor(&self, w: &Window<'_>, per_second: bool) -> f64 {
        let factor = (self.sampled + self.to_start + self.to_end) / self.sampled;
        if per_second { factor / w.seconds() } else { factor }
    }
}

/// The start time from which the first sample of a window counts, if it is strictly inside the window and before the
/// sample.
pub(crate) fn start_inside(start: Option<i64>, first_time: i64, window_start: i64) -> Option<i64> {
    start.filter(|&s| s != 0 && s > window_start && s < first_time)
}

/// `rate`, `increase`, `delta` of the floats in a window.
pub(crate) fn change(
    kind: ChangeKind,
    mut resets: Resets,
    flags: &mut Flags,
) -> impl FnMut(&Window<'_>) -> Option<f64> {
    move |w| {
        let (times, values) = (w.times(), w.values());
        let (&first, &last) = (values.first()?, values.last()?);
        let (first_time, last_time) = (times[0], times[times.len() - 1]);
        let start =
            if kind.counter { start_inside(w.starts().first().copied(), first_time, w.start) } else { None };
        if values.len() < 2 && start.is_none() {
            return None;
        }
        let mut raw = last - first;
        let mut span = Extrapolation::new(w, first_time, last_time, values.len() - 1);
        if kind.counter {
            for &i in resets.inside(w) {
                raw += w.columns.values[i - 1];
            }
            match start {
                Some(start) => {
                    raw += first;
                    span.count_from_zero(start, last_time);
                }
                None => span.stop_at_zero(first, raw),
            }
            if resets.overlaps(w.lo, w.hi) {
                flags.raise(Flags::START_OVERLAP);
            }
            flags.raise(Flags::FLOAT_RESULT);
        }
        Some(raw * span.factor(w, kind.per_second))
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

/// Whether two neighbouring values differ; from NaN to NaN is not a change.
pub(crate) fn is_change(before: f64, after: f64) -> bool {
    before != after && !(before.is_nan() && after.is_nan())
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
