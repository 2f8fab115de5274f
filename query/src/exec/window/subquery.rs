//! Subqueries: the inner expression is evaluated once, at every inner step that any outer window needs. The windows
//! then slide over its columns as they do over stored samples.

use std::sync::Arc;

use barograph_engine::model::{Histogram, ResetHint};

use crate::error::QueryError;
use crate::exec::Evaluator;
use crate::functions::window::Columns;
use crate::functions::window::slide::Windows;
use crate::plan::Subquery;
use crate::series::{Points, Vector, is_absent};
use crate::steps::{Steps, ms_to_ns};

/// Evaluates the inner expression at all multiples of the subquery's step in the outer windows.
pub(crate) fn evaluate(
    ev: &mut Evaluator<'_>,
    subquery: &Subquery,
    windows: &Windows,
) -> Result<(Vector, Steps), QueryError> {
    let steps = inner_steps(subquery, windows);
    if steps.count == 0 {
        return Ok((Vec::new(), steps));
    }
    let inner = ev.vector(&subquery.expr, steps)?;
    Ok((inner, steps))
}

/// The steps at which the inner expression is evaluated. The windows may be longer than the subquery if a function
/// needs samples before them.
///
/// Inner steps are counted from the epoch rather than from the start of the query, so that the same times are evaluated
/// in every query.
pub(crate) fn inner_steps(subquery: &Subquery, windows: &Windows) -> Steps {
    let first_end = windows.shift.apply(windows.steps.at(0));
    let last_end = windows.shift.apply(windows.steps.last());
    let after = first_end.saturating_sub(windows.range_ms);
    let start = after.div_euclid(subquery.step_ms).saturating_add(1).saturating_mul(subquery.step_ms);
    Steps::until(start, last_end, subquery.step_ms)
}

/// The columns of one inner series.
pub(crate) fn columns_of(points: &Points, steps: Steps, columns: &mut Columns) {
    columns.clear();
    for (i, &v) in points.floats.iter().enumerate() {
        if !is_absent(v) {
            columns.times.push(ms_to_ns(steps.at(i)));
            columns.values.push(v);
        }
    }
    for (i, h) in points.histograms.iter().flatten().enumerate() {
        if let Some(h) = h {
            columns.histogram_times.push(ms_to_ns(steps.at(i)));
            columns.histograms.push(without_hint(h));
        }
    }
}

/// Neighbours in a subquery are not neighbours in storage, so the writer's reset hint between them does not hold.
fn without_hint(h: &Arc<Histogram>) -> Arc<Histogram> {
    if matches!(h.reset_hint, ResetHint::Gauge | ResetHint::Unknown) {
        return Arc::clone(h);
    }
    Arc::new(Histogram { reset_hint: ResetHint::Unknown, ..Histogram::clone(h) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Kind, Node};
    use crate::span::Span;
    use crate::steps::Shift;

    fn steps_of(range_ms: i64, step_ms: i64, at_ms: i64) -> Vec<i64> {
        let shift = Shift { at_ms: None, offset_ms: 0 };
        let node = Node { kind: Kind::Number(0.0), span: Span::default(), invariant: true };
        let subquery = Subquery { expr: Box::new(node), range_ms, step_ms, shift };
        let steps = inner_steps(&subquery, &Windows { steps: Steps::single(at_ms), shift, range_ms });
        (0..steps.count).map(|i| steps.at(i)).collect()
    }

    #[test]
    fn points_lie_on_multiples_and_the_left_end_is_open() {
        assert_eq!(steps_of(60, 60, 120), [120]);
        assert_eq!(steps_of(60, 20, 125), [80, 100, 120]);
        assert_eq!(steps_of(20, 10, -5), [-20, -10]);
        assert!(steps_of(5, 10, 19).is_empty());
    }
}
