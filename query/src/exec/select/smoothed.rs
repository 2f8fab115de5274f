//! Smoothed instant selectors: values between the samples around each step.

use barograph_engine::model::{Samples, TimeRange};

use super::{reading, select};
use crate::annotations::flags::Flags;
use crate::annotations::note_flags;
use crate::error::QueryError;
use crate::exec::Evaluator;
use crate::functions::window::Columns;
use crate::functions::window::boundaries::smoothed_value;
use crate::plan::Selection;
use crate::series::{Points, Series, Vector};
use crate::span::Span;
use crate::steps::{Steps, ms_to_ns};

/// Evaluates such a selector at all steps.
pub(crate) fn evaluate(
    ev: &mut Evaluator<'_>,
    selection: &Selection,
    span: Span,
    steps: Steps,
) -> Result<Vector, QueryError> {
    if steps.count == 0 {
        return Ok(Vec::new());
    }
    let lookback = ms_to_ns(ev.ctx.lookback_ms);
    let first = steps.reference_ns(0, selection.shift);
    let last = steps.reference_ns(steps.count - 1, selection.shift);
    let range = TimeRange::new(first.saturating_sub(lookback), last.saturating_add(lookback));
    let ctx = ev.ctx;
    let refs = select(ctx, selection, None, range)?;
    let done = reading::each(ctx, refs, range, |columns: &mut Columns, samples: &mut Samples, labels| {
        columns.fill(samples);
        let mut points = Points::absent(steps.count);
        let mut flags = Flags::default();
        let mut pace = ctx.budget.pace();
        for i in 0..steps.count {
            pace.work(1)?;
            let at = steps.reference_ns(i, selection.shift);
            points.set(i, smoothed_value(columns, at, lookback, &mut flags));
        }
        let series = Series { labels, drop_name: false, points };
        ctx.budget.hold(series.held())?;
        Ok(Some((series, flags)))
    })?;
    let mut vector = Vec::with_capacity(done.len());
    let mut pace = ev.ctx.budget.pace();
    for (series, flags) in done {
        pace.points(&series.points)?;
        note_flags(&mut ev.annotations, flags, series.labels.metric_name().unwrap_or(""), span);
        if series.points.any() {
            vector.push(series);
        }
    }
    Ok(vector)
}
