//! `quantile` and `quantiles`.

use super::groups::{Groups, assemble, note_ignored};
use super::parameters::{label_of, param};
use crate::annotations::bad_phi;
use crate::budget::pace;
use crate::error::QueryError;
use crate::exec::Evaluator;
use crate::merge::{merge_equal, settled};
use crate::numbers::quantile::{nan_first, phi_name, quantile_of_sorted};
use crate::plan::{Aggregate, Node};
use crate::series::{Points, Series, Vector, is_absent};
use crate::steps::Steps;
use crate::usage::Footprint;

/// `quantile(φ, v)`.
pub(crate) fn quantile(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let phis = phis_of(ev, param(aggregate), steps)?;
    let vector = ev.vector(&aggregate.expr, steps)?;
    note_ignored(ev, aggregate, &vector);
    let groups = Groups::of(&ev.ctx.budget, &vector, &aggregate.grouping)?;
    let mut columns = Vec::with_capacity(groups.members.len());
    for members in &groups.members {
        columns.extend(group_quantiles(ev, &vector, members, std::slice::from_ref(&phis))?);
    }
    Ok(assemble(groups, columns))
}

/// `quantiles("label", φ…, v)`: one element of each group for each φ, which is the value of the label.
pub(crate) fn quantiles(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let label = label_of(aggregate)?;
    let mut phis = Vec::with_capacity(aggregate.more.len());
    for node in &aggregate.more {
        phis.push(phis_of(ev, node, steps)?);
    }
    let names: Vec<String> = phis.iter().map(|phis| phi_name(phis)).collect();
    let vector = ev.vector(&aggregate.expr, steps)?;
    note_ignored(ev, aggregate, &vector);
    let groups = Groups::of(&ev.ctx.budget, &vector, &aggregate.grouping)?;
    let mut named = Vec::new();
    for (group, members) in groups.members.iter().enumerate() {
        let columns = group_quantiles(ev, &vector, members, &phis)?;
        for (name, points) in names.iter().zip(columns).filter(|(_, points)| points.any()) {
            let own = settled(&groups.labels[group], groups.drop_name[group]);
            let labels = own.to_builder().set(&label, name).build();
            named.push(Series { labels, drop_name: false, points });
        }
    }
    merge_equal(&ev.ctx.budget, named)
}

fn phis_of(ev: &mut Evaluator<'_>, node: &Node, steps: Steps) -> Result<Vec<f64>, QueryError> {
    let phis = ev.scalar(node, steps)?;
    for phi in worst_phis(&phis) {
        ev.annotations.warn(node.span, bad_phi(phi));
    }
    Ok(phis)
}

/// The column of each φ for one group. Its floats are sorted once for all of them.
fn group_quantiles(
    ev: &mut Evaluator<'_>,
    vector: &Vector,
    members: &[usize],
    phis: &[Vec<f64>],
) -> Result<Vec<Points>, QueryError> {
    ev.ctx.budget.check()?;
    let count = phis.first().map_or(0, Vec::len);
    ev.ctx.budget.hold(Footprint::values(count * phis.len()))?;
    let mut columns = vec![Points::absent(count); phis.len()];
    let mut sorted: Vec<f64> = Vec::with_capacity(members.len());
    for i in 0..count {
        ev.ctx.budget.check()?;
        sorted.clear();
        let floats = members.iter().map(|&m| vector[m].points.floats[i]);
        sorted.extend(floats.filter(|v| !is_absent(*v)));
        if sorted.is_empty() {
            continue;
        }
        sorted = pace::sorted(&ev.ctx.budget, sorted, |a, b| nan_first(*a, *b))?;
        for (column, phis) in columns.iter_mut().zip(phis) {
            column.floats[i] = quantile_of_sorted(phis[i], &sorted);
        }
    }
    Ok(columns)
}

/// The parameters outside 0 to 1 that are reported: NaN, the smallest and the largest.
fn worst_phis(phis: &[f64]) -> impl Iterator<Item = f64> {
    let nan = phis.iter().copied().find(|p| p.is_nan());
    let smallest = phis.iter().copied().filter(|p| *p < 0.0).reduce(f64::min);
    let largest = phis.iter().copied().filter(|p| *p > 1.0).reduce(f64::max);
    [nan, smallest, largest].into_iter().flatten()
}
