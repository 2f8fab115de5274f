//! `rate`, `increase`, `delta`, `irate`, `idelta` of native histograms.

use std::sync::Arc;

use barograph_engine::model::{Histogram, ResetHint, Timestamp};
use barograph_engine::rollup::counter::is_start_reset;
use barograph_engine::rollup::{HistogramSum, NativeEdge};

use crate::annotations::flags::Flags;
use crate::functions::window::counter::{ChangeKind, Extrapolation, start_inside};
use crate::functions::window::{Window, seconds};
use crate::histogram::arithmetic::{at_schema, plus, scaled, zero_like};
use crate::histogram::resets::is_reset;
use crate::histogram::{compacted, is_custom};

/// Samples of histograms in one window.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    /// The histograms, at least one.
    pub histograms: &'a [Arc<Histogram>],
    /// Their times.
    pub times: &'a [Timestamp],
    /// Their start times, or empty.
    pub starts: &'a [Timestamp],
}

impl<'a> Run<'a> {
    /// The histograms of a window.
    pub fn of(w: &Window<'a>) -> Self {
        Run { histograms: w.histograms(), times: w.histogram_times(), starts: w.histogram_starts() }
    }

    /// Whether the counter was reset between samples `i - 1` and `i`.
    pub fn is_reset(&self, i: usize) -> bool {
        let by_start = self.starts.len() > i
            && is_start_reset((self.starts[i], self.times[i]), (self.starts[i - 1], self.times[i - 1]));
        by_start || is_reset(&self.histograms[i], &self.histograms[i - 1])
    }
}

/// What the change over a window of histograms depends on.
#[derive(Debug, Clone)]
pub(crate) struct Observed<'a> {
    /// The first histogram.
    pub first: End<'a>,
    /// The last one.
    pub last: End<'a>,
    /// Histograms, at least one.
    pub count: u64,
    /// Whether one of them is a gauge.
    pub has_gauges: bool,
    /// What only a counter needs.
    pub inside: Inside,
}

/// The first or the last histogram of a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    pub time: Timestamp,
    /// 0 if it is unknown.
    pub start: Timestamp,
    pub histogram: &'a Histogram,
}

impl<'a> End<'a> {
    /// That of a bucket.
    pub fn of(edge: &'a NativeEdge) -> Self {
        End { time: edge.time, start: edge.start, histogram: &edge.histogram }
    }
}

/// What a counter went through from the first to the last histogram of a window.
#[derive(Debug, Clone)]
pub(crate) struct Inside {
    /// The layout of the second one, without counts, if the counter was reset between the first two: neither the values nor
    /// the layout of the first one count then.
    pub second: Option<Histogram>,
    /// The lowest schema of all but the first; the largest integer if there is no other.
    pub lowest_schema: i32,
    /// Whether one of them, except for the first, has exponential buckets.
    pub has_exponential: bool,
    /// What the resets took, except for the first histogram, by layout.
    pub lost: Vec<Histogram>,
}

impl Default for Inside {
    fn default() -> Self {
        Inside { second: None, lowest_schema: i32::MAX, has_exponential: false, lost: Vec::new() }
    }
}

impl Inside {
    fn of(run: Run<'_>) -> Self {
        let all = run.histograms;
        let rest = all.get(1..).unwrap_or_default();
        let from_zero = all.len() > 1 && run.is_reset(1);
        let resets = (2..all.len()).filter(|&i| run.is_reset(i));
        let before: Vec<&Arc<Histogram>> = resets.map(|i| &all[i - 1]).collect();
        let summed = HistogramSum::of(before.iter().copied()).totals();
        Inside {
            second: from_zero.then(|| zero_like(&all[1])),
            lowest_schema: rest.iter().map(|h| h.schema).min().unwrap_or(i32::MAX),
            has_exponential: rest.iter().any(|h| !is_custom(h)),
            // Where counts are too large for an exact sum, they are added in turn.
            lost: summed.unwrap_or_else(|| before.into_iter().map(|h| Histogram::clone(h)).collect()),
        }
    }
}

/// The extrapolated change of the histograms in a window without floats.
pub(crate) fn change(w: &Window<'_>, kind: ChangeKind, flags: &mut Flags) -> Option<Histogram> {
    let run = Run::of(w);
    let end = |at: usize| {
        let start = run.starts.get(at).copied().unwrap_or(0);
        Some(End { time: *run.times.get(at)?, start, histogram: run.histograms.get(at)? })
    };
    let observed = Observed {
        first: end(0)?,
        last: end(run.histograms.len().checked_sub(1)?)?,
        count: run.histograms.len() as u64,
        has_gauges: run.histograms.iter().any(|h| h.reset_hint == ResetHint::Gauge),
        inside: if kind.counter { Inside::of(run) } else { Inside::default() },
    };
    change_of(kind, (w.start, w.end), &observed, flags)
}

/// `rate`, `increase`, `delta` of a window `(start, end]` of histograms.
pub(crate) fn change_of(
    kind: ChangeKind,
    window: (Timestamp, Timestamp),
    observed: &Observed<'_>,
    flags: &mut Flags,
) -> Option<Histogram> {
    let Observed { first, last, count, .. } = observed;
    let start = if kind.counter { start_inside(Some(first.start), first.time, window.0) } else { None };
    if *count < 2 && start.is_none() {
        return None;
    }
    let mut raw =
        if *count < 2 { zero_like(first.histogram) } else { raw_change(observed, kind.counter, flags)? };
    let mut span = Extrapolation::new(window, first.time, last.time, count - 1);
    if kind.counter {
        match start {
            Some(start) => {
                raw = plus(&raw, first.histogram, 1.0)?.0;
                span.count_from_zero(start, last.time);
            }
            None if raw.count > 0.0 => span.stop_at_zero(first.histogram.count, raw.count),
            None => {}
        }
    }
    let mut h = scaled(&raw, span.factor(kind.per_second));
    h.reset_hint = ResetHint::Gauge;
    Some(compacted(h))
}

/// The last histogram minus the first one, with resets added back for counters.
fn raw_change(observed: &Observed<'_>, counter: bool, flags: &mut Flags) -> Option<Histogram> {
    let Observed { first, last, has_gauges, inside, .. } = observed;
    note_gauges((first.histogram, last.histogram), *has_gauges, counter, flags);
    let first = inside.second.as_ref().unwrap_or(first.histogram);
    let last = last.histogram;
    // Of histograms with explicit bounds, the schema is the lowest of all.
    let others_differ =
        if is_custom(first) { inside.has_exponential } else { inside.lowest_schema == Histogram::CUSTOM };
    if is_custom(last) != is_custom(first) || others_differ {
        flags.raise(Flags::MIXED_BUCKETS);
        return None;
    }
    let schema = first.schema.min(last.schema).min(inside.lowest_schema);
    let (mut raw, reconciled) = plus(&at_schema(last, schema), first, -1.0)?;
    if reconciled {
        flags.raise(Flags::RECONCILED_SUB);
    }
    for lost in &inside.lost {
        let (sum, reconciled) = plus(&raw, lost, 1.0)?;
        raw = sum;
        if reconciled {
            flags.raise(Flags::RECONCILED_ADD);
        }
    }
    Some(raw)
}

/// Functions of counters expect counters, and `delta` expects gauges.
pub(crate) fn note_gauges(
    (first, last): (&Histogram, &Histogram),
    has_gauges: bool,
    counter: bool,
    flags: &mut Flags,
) {
    if counter && has_gauges {
        flags.raise(Flags::NOT_COUNTER);
    }
    let is_gauge = |h: &Histogram| h.reset_hint == ResetHint::Gauge;
    if !(counter || (is_gauge(first) && is_gauge(last))) {
        flags.raise(Flags::NOT_GAUGE);
    }
}

/// The last two samples of a window, which are histograms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub before: &'a Histogram,
    pub last: &'a Histogram,
    pub is_reset: bool,
    /// The distance of their times, nanoseconds.
    pub distance: i64,
}

/// `irate`, `idelta` of the last two samples, which are histograms.
pub(crate) fn instant_change(run: Run<'_>, counter: bool, flags: &mut Flags) -> Option<Histogram> {
    let n = run.histograms.len();
    let pair = Pair {
        before: &run.histograms[n - 2],
        last: &run.histograms[n - 1],
        is_reset: counter && run.is_reset(n - 1),
        distance: run.times[n - 1] - run.times[n - 2],
    };
    instant_change_of(pair, counter, flags)
}

/// `irate`, `idelta` of these histograms.
pub(crate) fn instant_change_of(pair: Pair<'_>, counter: bool, flags: &mut Flags) -> Option<Histogram> {
    let Pair { before, last, is_reset, distance } = pair;
    let has_gauges = [before, last].into_iter().any(|h| h.reset_hint == ResetHint::Gauge);
    note_gauges((before, last), has_gauges, counter, flags);
    let mut h = if counter && is_reset {
        last.clone()
    } else {
        let Some((h, reconciled)) = plus(last, before, -1.0) else {
            flags.raise(Flags::MIXED_BUCKETS);
            return None;
        };
        if reconciled {
            flags.raise(Flags::RECONCILED_SUB);
        }
        h
    };
    if counter {
        h = scaled(&h, 1.0 / seconds(distance));
    }
    h.reset_hint = ResetHint::Gauge;
    Some(compacted(h))
}
