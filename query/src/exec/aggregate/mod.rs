//! Aggregations. Groups are found once for each series, and columns are folded in the order of the series, so that
//! compensated sums do not depend on the number of cores.

use super::Evaluator;
use crate::error::QueryError;
use crate::plan::Aggregate;
use crate::series::Vector;
use crate::steps::Steps;
use crate::syntax::ast::AggregateOp;
use fold::fold_groups;
use groups::{Groups, assemble, note_ignored};
use streaming::Input;

mod count_values;
mod float_histogram;
mod fold;
mod groups;
mod parameters;
mod quantile;
mod streaming;
mod topk;
mod topk_by;
mod xxh64;

pub(crate) use fold::splits;

/// Evaluates an aggregation at all steps.
pub(crate) fn evaluate(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    steps: Steps,
) -> Result<Vector, QueryError> {
    use AggregateOp as A;
    match aggregate.op {
        A::Topk | A::Bottomk | A::Limitk | A::LimitRatio => return topk::choose(ev, aggregate, steps),
        A::TopkBy(statistic) => return topk_by::choose(ev, aggregate, (statistic, true), steps),
        A::BottomkBy(statistic) => return topk_by::choose(ev, aggregate, (statistic, false), steps),
        A::CountValues => return count_values::count_values(ev, aggregate, steps),
        A::Quantile => return quantile::quantile(ev, aggregate, steps),
        A::Quantiles => return quantile::quantiles(ev, aggregate, steps),
        _ => {}
    }
    match streaming::evaluate(ev, aggregate, steps)? {
        Some(Input::Spans(spans, groups)) => {
            ev.ctx.budget.check()?;
            ev.ctx.budget.hold(groups.held(steps))?;
            let columns = fold_groups(&ev.ctx.budget, aggregate.op, &spans, &groups, steps, |_, _| {})?;
            Ok(assemble(groups, columns))
        }
        Some(Input::Vector(vector, groups)) => of_vector(ev, aggregate, &vector, groups, steps),
        None => {
            let vector = ev.vector(&aggregate.expr, steps)?;
            let groups = Groups::of(&ev.ctx.budget, &vector, &aggregate.grouping)?;
            of_vector(ev, aggregate, &vector, groups, steps)
        }
    }
}

/// Folds the groups of a vector, which may contain histograms.
fn of_vector(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    vector: &Vector,
    groups: Groups,
    steps: Steps,
) -> Result<Vector, QueryError> {
    use AggregateOp as A;
    let histograms = vector.iter().any(|s| s.points.histograms.is_some());
    if histograms && matches!(aggregate.op, A::Sum | A::Avg) {
        return float_histogram::aggregate(ev, aggregate, vector, &groups, steps);
    }
    if histograms && matches!(aggregate.op, A::Min | A::Max | A::Stddev | A::Stdvar) {
        note_ignored(ev, aggregate, vector);
    }
    ev.ctx.budget.check()?;
    ev.ctx.budget.hold(groups.held(steps))?;
    let columns = fold_groups(&ev.ctx.budget, aggregate.op, vector, &groups, steps, |member, counts| {
        for (count, histogram) in counts.iter_mut().zip(vector[member].points.histograms.iter().flatten()) {
            *count += u64::from(histogram.is_some());
        }
    })?;
    Ok(assemble(groups, columns))
}
