//! Instant selectors: the newest sample of each series at every step.
//!
//! A series is read once, from the lookback of the first step to the last step. Two indices move over it, so the cost
//! is proportional to the number of samples plus the number of steps.

use std::sync::Arc;

use barograph_engine::model::{Histogram, Samples, TimeRange, is_stale};

use super::{Context, Evaluator};
use crate::error::QueryError;
use crate::functions::arguments::SampleField;
use crate::functions::window::shown_seconds;
use crate::histogram::resets::with_hint;
use crate::plan::Selection;
use crate::series::{ABSENT, Points, Series, Vector};
use crate::source::SeriesRef;
use crate::span::Span;
use crate::steps::{Steps, ms_to_ns};
use crate::syntax::ast::Edges;
use crate::usage::Footprint;
use reading::Access;

pub(crate) mod reading;
pub(crate) mod rollup;
mod smoothed;

/// The series of `selection` that may have samples in `range`. `width` is that of the buckets that will be read, if any.
pub(crate) fn select(
    ctx: &Context<'_>,
    selection: &Selection,
    width: Option<i64>,
    range: TimeRange,
) -> Result<Vec<SeriesRef>, QueryError> {
    ctx.budget.check()?;
    let (matchers, series_max) = (&selection.matchers, ctx.budget.series_max());
    let refs = match width {
        Some(width) => ctx.source.select_buckets(matchers, width, range, series_max)?,
        None => ctx.source.select(matchers, range, series_max)?,
    };
    ctx.budget.usage().count_series(refs.len() as u64);
    ctx.budget.hold(Footprint::bytes(refs.capacity() * size_of::<SeriesRef>()))?;
    Ok(refs)
}

/// Evaluates an instant selector, plain or smoothed, at all steps.
pub(crate) fn evaluate(
    ev: &mut Evaluator<'_>,
    selection: &Selection,
    span: Span,
    steps: Steps,
) -> Result<Vector, QueryError> {
    match selection.edges {
        Edges::Smoothed => smoothed::evaluate(ev, selection, span, steps),
        Edges::Plain | Edges::Anchored => instant(ev.ctx, selection, steps, SampleField::Value),
    }
}

/// The time range that all steps of an instant selector cover. There must be at least one step.
pub(crate) fn covering_range(ctx: &Context<'_>, selection: &Selection, steps: Steps) -> TimeRange {
    let first = steps.reference_ns(0, selection.shift);
    let last = steps.reference_ns(steps.count - 1, selection.shift);
    TimeRange::new(first.saturating_sub(ms_to_ns(ctx.lookback_ms)), last)
}

/// Evaluates an instant selector at all steps. Series without any value are left out.
pub(crate) fn instant(
    ctx: &Context<'_>,
    selection: &Selection,
    steps: Steps,
    field: SampleField,
) -> Result<Vector, QueryError> {
    if steps.count == 0 {
        return Ok(Vec::new());
    }
    let width = rollup::width(ctx, selection, steps);
    let refs = select(ctx, selection, width, covering_range(ctx, selection, steps))?;
    reading::each_series(ctx, refs, |(): &mut (), access: &mut Access<'_>, series: SeriesRef| {
        let points = rollup::points(ctx, access, &series, selection, steps, field, width)?;
        let Some(points) = points else { return Ok(None) };
        let series = Series { labels: series.labels, drop_name: false, points };
        ctx.budget.hold(series.held())?;
        Ok(Some(series))
    })
}

/// Infers a reset hint for every histogram without one.
pub(crate) fn infer_hints(samples: &mut Samples) {
    for i in (1..samples.histograms.len()).rev() {
        let hinted = with_hint(&samples.histograms[i].1, &samples.histograms[i - 1].1);
        samples.histograms[i].1 = hinted;
    }
}

/// The newest sample at each step; `None` if there is none at any step.
///
/// # Errors
/// The query must stop.
pub(crate) fn newest(
    ctx: &Context<'_>,
    samples: &Samples,
    selection: &Selection,
    steps: Steps,
    field: SampleField,
) -> Result<Option<Points>, QueryError> {
    let lookback = ms_to_ns(ctx.lookback_ms);
    let times = &samples.timestamps;
    let Some(&first) = times.first() else { return Ok(None) };
    let mut pace = ctx.budget.pace();
    let mut points = Points::absent(steps.count);
    let (mut next, mut found) = (0, 0u64);
    let mut histograms = HistogramCursor { rest: &samples.histograms };
    for i in steps.first_where(|i| steps.reference_ns(i, selection.shift) >= first)..steps.count {
        pace.work(1)?;
        let reference = steps.reference_ns(i, selection.shift);
        while next < times.len() && times[next] <= reference {
            next += 1;
        }
        let Some(at) = next.checked_sub(1) else { continue };
        if times[at] <= reference.saturating_sub(lookback) {
            if next == times.len() {
                break;
            }
            continue;
        }
        let histogram = histograms.at(at);
        if histogram.map_or(samples.values[at], |h| h.sum).to_bits() == ABSENT.to_bits() {
            continue;
        }
        found += 1;
        ctx.budget.count_step(steps.at(i), 1);
        match (field, histogram) {
            (SampleField::Value, None) => points.floats[i] = samples.values[at],
            (SampleField::Value, Some(h)) => {
                points.histograms.get_or_insert_with(|| vec![None; steps.count])[i] = Some(Arc::clone(h));
            }
            (SampleField::Time, _) => points.floats[i] = shown_seconds(times[at]),
            (SampleField::StartTime, _) => {
                let start = samples.start_timestamps.get(at).copied().unwrap_or(0);
                points.floats[i] = if start == 0 { ABSENT } else { shown_seconds(start) };
            }
        }
    }
    debug_assert!(points.floats.iter().all(|v| !is_stale(*v) || v.to_bits() == ABSENT.to_bits()));
    ctx.budget.count_read(found);
    Ok((found > 0).then_some(points))
}

/// Finds histograms by ascending sample index.
struct HistogramCursor<'a> {
    rest: &'a [(u32, Arc<Histogram>)],
}

impl<'a> HistogramCursor<'a> {
    fn at(&mut self, index: usize) -> Option<&'a Arc<Histogram>> {
        while let [(i, _), tail @ ..] = self.rest {
            if *i as usize >= index {
                break;
            }
            self.rest = tail;
        }
        match self.rest {
            [(i, h), ..] if *i as usize == index => Some(h),
            _ => None,
        }
    }
}
