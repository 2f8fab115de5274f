//! `topk_avg bottomk_max …`: the k series of each group with the largest or smallest statistic of all their floats in
//! the query. A graph then shows k lines, instead of a line for every series that was ever among the k.
//!
//! If k differs from step to step, a series is present at the steps whose k reaches its rank. A series without a value
//! at a step is not replaced by another one there.

use super::groups::{Groups, note_ignored};
use super::parameters::{counts, param};
use crate::budget::pace;
use crate::budget::parallel;
use crate::error::QueryError;
use crate::exec::Evaluator;
use crate::functions::range::statistics;
use crate::numbers::compensated;
use crate::numbers::one_float::nan_last;
use crate::plan::Aggregate;
use crate::series::{ABSENT, Series, Vector, is_absent};
use crate::steps::Steps;
use crate::syntax::ast::Statistic;

/// Selects the series with the largest or the smallest statistic. At a single step, the result is ordered by rank
/// within each group.
pub(crate) fn choose(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    (statistic, largest): (Statistic, bool),
    steps: Steps,
) -> Result<Vector, QueryError> {
    let ks = counts(&ev.scalar(param(aggregate), steps)?)?;
    let vector = ev.vector(&aggregate.expr, steps)?;
    note_ignored(ev, aggregate, &vector);
    let budget = &ev.ctx.budget;
    let ranked: Vec<(Series, f64)> =
        parallel::map(budget, vector, |scratch: &mut Scratch, mut series: Series| {
            budget.check()?;
            series.points.histograms = None;
            let value = of_column(statistic, &series.points.floats, scratch);
            Ok(value.map(|value| (series, value)))
        })?;
    let (mut vector, values): (Vector, Vec<f64>) = ranked.into_iter().unzip();
    let mut groups = Groups::of(&ev.ctx.budget, &vector, &aggregate.grouping)?;
    for members in &mut groups.members {
        // Equal values keep the order of the series, so that the selection is stable.
        let by_value = |&a: &usize, &b: &usize| nan_last(values[a], values[b], largest).then(a.cmp(&b));
        *members = pace::sorted(budget, std::mem::take(members), by_value)?;
        let mut pace = budget.pace();
        for (rank, &m) in members.iter().enumerate() {
            let floats = &mut vector[m].points.floats;
            pace.work(1 + floats.len())?;
            floats.iter_mut().zip(&ks).filter(|(_, k)| rank >= **k).for_each(|(v, _)| *v = ABSENT);
        }
    }
    if steps.count == 1 {
        vector = in_order(vector, groups.members.iter().flatten().copied());
    }
    vector.retain(|s| s.points.any());
    Ok(vector)
}

#[derive(Default)]
struct Scratch {
    values: Vec<f64>,
    sorted: Vec<f64>,
}

/// The statistic of the present floats; `None` if there are none.
fn of_column(statistic: Statistic, floats: &[f64], scratch: &mut Scratch) -> Option<f64> {
    scratch.values.clear();
    scratch.values.extend(floats.iter().filter(|v| !is_absent(**v)));
    let values = &scratch.values[..];
    let last = *values.last()?;
    Some(match statistic {
        Statistic::Avg => compensated::mean(values),
        Statistic::Last => last,
        Statistic::Max => statistics::largest(values),
        Statistic::Median => statistics::median(values, &mut scratch.sorted),
        Statistic::Min => statistics::smallest(values),
    })
}

fn in_order(vector: Vector, order: impl Iterator<Item = usize>) -> Vector {
    let mut slots: Vec<Option<Series>> = vector.into_iter().map(Some).collect();
    order.filter_map(|m| slots[m].take()).collect()
}
