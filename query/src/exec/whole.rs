//! Calls of functions that look at all steps at once: `range_*`, `running_*`, and those that
//! fill gaps. All steps are those the call is evaluated for: the query's, or inside a
//! subquery the subquery's. An instant query has one.
//!
//! The planner never takes such a call for step-invariant, whatever its argument is: a sum
//! over ten steps is another one than that over a single step.

use super::Evaluator;
use crate::budget::parallel;
use crate::error::QueryError;
use crate::functions::annotations::{bad_phi, note_flags};
use crate::functions::flags::Flags;
use crate::functions::numbers::quantile::is_phi;
use crate::functions::range::gap_filling;
use crate::functions::range::statistics::{self, Scratch};
use crate::functions::{FunctionId, NameRule, ValueType};
use crate::plan::Call;
use crate::series::{Series, Vector};
use crate::steps::Steps;

/// Evaluates such a call at all steps.
pub(super) fn evaluate(ev: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vector, QueryError> {
    let id = call.function.id;
    let params = match call.args.iter().find(|a| a.value_type() == ValueType::Scalar) {
        Some(arg) => {
            let values = ev.scalar(arg, steps)?;
            if matches!(id, FunctionId::RangeQuantile | FunctionId::RangeTrimSpikes) {
                for phi in values.iter().filter(|phi| !is_phi(**phi)) {
                    ev.notes.warn(arg.span, bad_phi(*phi));
                }
            }
            values
        }
        None => Vec::new(),
    };
    let arg = call.args.last().expect("the checker gives these functions a vector");
    let vector = ev.vector(arg, steps)?;
    let drop_name = call.name_rule == NameRule::Drop;
    let budget = &ev.ctx.budget;
    let done = parallel::map(budget, vector, |scratch: &mut Scratch, mut series: Series| {
        budget.check()?;
        series.drop_name |= drop_name;
        let flags = one_series(id, &mut series, &params, steps, scratch);
        Ok(Some((series, flags)))
    })?;
    let mut vector = Vec::with_capacity(done.len());
    let mut pace = ev.ctx.budget.pace();
    for (series, flags) in done {
        pace.points(&series.points)?;
        note_flags(&mut ev.notes, flags, series.labels.metric_name().unwrap_or(""), arg.span);
        if series.points.any() {
            vector.push(series);
        }
    }
    Ok(vector)
}

fn one_series(
    id: FunctionId,
    series: &mut Series,
    params: &[f64],
    steps: Steps,
    scratch: &mut Scratch,
) -> Flags {
    let points = &mut series.points;
    match id {
        FunctionId::Interpolate => gap_filling::interpolate(points),
        FunctionId::KeepLastValue => gap_filling::keep_last(points),
        FunctionId::KeepNextValue => gap_filling::keep_next(points),
        _ => {
            let had_histograms = points.histograms.take().is_some();
            statistics::apply(id, &mut points.floats, params, steps.step_ms as f64 / 1000.0, scratch);
            if had_histograms && points.any() {
                return Flags::HISTOGRAMS_IGNORED;
            }
        }
    }
    Flags::default()
}
