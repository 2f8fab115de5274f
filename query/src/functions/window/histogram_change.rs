//! `rate`, `increase`, `delta`, `irate`, `idelta` of native histograms.

use std::sync::Arc;

use barograph_engine::model::{Histogram, ResetHint, Timestamp};
use barograph_engine::rollup::counter::is_start_reset;

use crate::annotations::flags::Flags;
use crate::functions::window::counter::{ChangeKind, Extrapolation, start_inside};
use crate::functions::window::{Window, seconds};
use crate::histogram::arithmetic::{at_schema, plus, scaled};
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

/// The extrapolated change of the histograms in a window without floats.
pub(crate) fn change(w: &Window<'_>, kind: ChangeKind, flags: &mut Flags) -> Option<Histogram> {
    let run = Run::of(w);
    let n = run.histograms.len();
    let (&first_time, &last_time) = (run.times.first()?, run.times.last()?);
    let start =
        if kind.counter { start_inside(run.starts.first().copied(), first_time, w.start) } else { None };
    if n < 2 && start.is_none() {
        return None;
    }
    let first = &run.histograms[0];
    let mut raw = if n < 2 { zero_like(first) } else { raw_change(run, kind.counter, flags)? };
    let mut span = Extrapolation::new((w.start, w.end), first_time, last_time, n as u64 - 1);
    if kind.counter {
        match start {
            Some(start) => {
                raw = plus(&raw, first, 1.0)?.0;
                span.count_from_zero(start, last_time);
            }
            None if raw.count > 0.0 => span.stop_at_zero(first.count, raw.count),
            None => {}
        }
    }
    let mut h = scaled(&raw, span.factor(kind.per_second));
    h.reset_hint = ResetHint::Gauge;
    Some(compacted(h))
}

/// An empty histogram of the same layout.
pub(crate) fn zero_like(h: &Histogram) -> Histogram {
    Histogram {
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        custom_values: h.custom_values.clone(),
        ..Histogram::default()
    }
}

/// The last histogram minus the first one, with resets added back for counters.
fn raw_change(run: Run<'_>, counter: bool, flags: &mut Flags) -> Option<Histogram> {
    let all = run.histograms;
    let n = all.len();
    let last = &all[n - 1];
    note_gauges(all, counter, flags);
    // After a reset, neither the values nor the layout of the first sample count.
    let from_zero = counter && run.is_reset(1);
    let first = if from_zero { zero_like(&all[1]) } else { Histogram::clone(&all[0]) };
    if is_custom(last) != is_custom(&first) {
        flags.raise(Flags::MIXED_BUCKETS);
        return None;
    }
    let mut schema = first.schema.min(last.schema);
    if counter {
        for h in &all[1..n - 1] {
            if is_custom(h) != is_custom(&first) {
                flags.raise(Flags::MIXED_BUCKETS);
                return None;
            }
            schema = schema.min(h.schema);
        }
    }
    let (mut raw, reconciled) = plus(&at_schema(last, schema), &first, -1.0)?;
    if reconciled {
        flags.raise(Flags::RECONCILED_SUB);
    }
    if counter {
        let skipped = usize::from(from_zero);
        for i in 1 + skipped..n {
            if run.is_reset(i) {
                let (sum, reconciled) = plus(&raw, &all[i - 1], 1.0)?;
                raw = sum;
                if reconciled {
                    flags.raise(Flags::RECONCILED_ADD);
                }
            }
        }
    }
    Some(raw)
}

/// Functions of counters expect counters, and `delta` expects gauges.
pub(crate) fn note_gauges(all: &[Arc<Histogram>], counter: bool, flags: &mut Flags) {
    let is_gauge = |h: &Arc<Histogram>| h.reset_hint == ResetHint::Gauge;
    if counter && all.iter().any(is_gauge) {
        flags.raise(Flags::NOT_COUNTER);
    }
    let ends_are_gauges = all.first().is_some_and(is_gauge) && all.last().is_some_and(is_gauge);
    if !(counter || ends_are_gauges) {
        flags.raise(Flags::NOT_GAUGE);
    }
}

/// `irate`, `idelta` of the last two samples, which are histograms.
pub(crate) fn instant_change(run: Run<'_>, counter: bool, flags: &mut Flags) -> Option<Histogram> {
    let n = run.histograms.len();
    let (before, last) = (&run.histograms[n - 2], &run.histograms[n - 1]);
    note_gauges(&run.histograms[n - 2..], counter, flags);
    let mut h = if counter && run.is_reset(n - 1) {
        Histogram::clone(last)
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
        h = scaled(&h, 1.0 / seconds(run.times[n - 1] - run.times[n - 2]));
    }
    h.reset_hint = ResetHint::Gauge;
    Some(compacted(h))
}
