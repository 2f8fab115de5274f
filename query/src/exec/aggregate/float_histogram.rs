//! `sum` and `avg` of groups that contain native histograms and floats.

use std::sync::Arc;

use super::groups::{Groups, assemble};
use crate::annotations::flags::Flags;
use crate::annotations::note_flags;
use crate::budget::Budget;
use crate::error::QueryError;
use crate::exec::Evaluator;
use crate::histogram::accumulate::Accumulator;
use crate::numbers::compensated::{Mean, Sum};
use crate::plan::Aggregate;
use crate::series::{Point, Points, Vector, histogram_held};
use crate::steps::Steps;
use crate::syntax::ast::AggregateOp;

/// `sum` and `avg` of a vector that contains histograms.
pub(crate) fn aggregate(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    vector: &Vector,
    groups: &Groups,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let mean = aggregate.op == AggregateOp::Avg;
    ev.ctx.budget.hold(groups.held(steps))?;
    let mut columns = Vec::with_capacity(groups.members.len());
    let mut mixed = false;
    let mut flagged: Vec<(Flags, String)> = Vec::new();
    for members in &groups.members {
        ev.ctx.budget.check()?;
        let mut points = Points::absent(steps.count);
        for step in 0..steps.count {
            let mut flags = Flags::default();
            let (point, mix) = fold(&ev.ctx.budget, vector, members, step, mean, &mut flags)?;
            mixed |= mix;
            if let Some(Point::Histogram(h)) = &point {
                ev.ctx.budget.hold(histogram_held(h))?;
            }
            points.set(step, point);
            if !flags.is_empty() {
                let name = vector[members[0]].labels.metric_name().unwrap_or("").to_owned();
                if !flagged.contains(&(flags, name.clone())) {
                    flagged.push((flags, name));
                }
            }
        }
        columns.push(points);
    }
    let span = aggregate.expr.span;
    if mixed {
        ev.annotations.warn(span, "encountered a mix of histograms and floats for aggregation");
    }
    for (flags, name) in flagged {
        note_flags(&mut ev.annotations, flags, &name, span);
    }
    let groups = Groups {
        labels: groups.labels.clone(),
        drop_name: groups.drop_name.clone(),
        members: groups.members.clone(),
    };
    Ok(assemble(groups, columns))
}

/// Folds one group at one step. Returns whether floats and histograms were mixed.
fn fold(
    budget: &Budget,
    vector: &Vector,
    members: &[usize],
    step: usize,
    mean: bool,
    flags: &mut Flags,
) -> Result<(Option<Point>, bool), QueryError> {
    let (mut sum, mut average) = (Sum::default(), Mean::default());
    let mut total = Accumulator::default();
    let (mut floats, mut histograms) = (0usize, 0usize);
    let mut pace = budget.pace();
    for &m in members {
        pace.labels()?;
        match vector[m].points.get(step) {
            Some(Point::Float(v)) => {
                sum = if floats == 0 { Sum { sum: v, error: 0.0 } } else { sum.add(v) };
                average.add(v);
                floats += 1;
            }
            Some(Point::Histogram(h)) => {
                total.accumulate(&h, mean);
                histograms += 1;
            }
            None => {}
        }
    }
    Ok(match (floats, histograms) {
        (0, 0) => (None, false),
        (_, 0) => (Some(Point::Float(if mean { average.mean() } else { sum.total() })), false),
        (0, _) => (total.finish(mean, flags).map(|h| Point::Histogram(Arc::new(h))), false),
        _ => (None, true),
    })
}
