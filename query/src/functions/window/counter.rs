//! Change over a window of floats: `rate increase delta irate idelta resets changes`.
//!
//! `rate` and related functions need only the ends of the window and what resets of the counter took. [`change_of`]
//! computes them from that alone, whether it was found in samples, by [`Resets`], or in rollups.

use barograph_engine::model::{Timestamp, is_named_like_counter};
use barograph_engine::rollup::counter::{is_change, is_start_reset};
use barograph_engine::rollup::{Bucket, Edge};

use super::resets::Resets;
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
// Always inlined: writing 80 bytes of arguments to memory takes a tenth of the time.
#[inline(always)]
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

/// The sum of the values before each reset in a bucket, rounded once; `None` without a reset.
pub(crate) fn lost_of(bucket: &Bucket) -> Option<f64> {
    (bucket.resets > 0).then(|| bucket.lost.value())
}

/// `rate`, `increase`, `delta` of the floats in a window.
pub(crate) fn change(
    kind: ChangeKind,
    columns: &Columns,
    flags: &mut Flags,
) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut resets = kind.counter.then(|| Resets::of(columns));
    move |w| {
        let last = w.len().checked_sub(1)?;
        let lost = resets.as_mut().and_then(|resets| resets.lost(w.lo, w.hi));
        let observed = Observed { first: w.edge(0), last: w.edge(last), count: w.len() as u64, lost };
        let result = change_of(kind, (w.start, w.end), &observed)?;
        if let Some(resets) = &resets {
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
pub(crate) fn resets(columns: &Columns) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut resets = Resets::of(columns);
    move |w| (w.len() > 0).then(|| resets.inside(w) as f64)
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

/// Whether a metric has the name of a counter, or no name that says anything.
pub(crate) fn looks_like_counter(name: &str) -> bool {
    name.is_empty() || is_named_like_counter(name)
}
