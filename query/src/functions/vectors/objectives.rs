//! Service level objectives: how fast the error budget is used up, and how much of it is left.

use std::collections::HashMap;

use barograph_analytics::slo;
use barograph_engine::budget::map_bytes;
use barograph_engine::model::{Labels, METRIC_NAME};

use crate::error::QueryError;
use crate::functions::arguments::Arguments;
use crate::series::{ABSENT, Series, Value, is_absent, labels_held};
use crate::usage::Footprint;

/// `burn_rate`
pub(crate) fn burn_rate(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    ratio(args, slo::burn_rate)
}

/// `error_budget_remaining`
pub(crate) fn budget_remaining(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    ratio(args, slo::budget_remaining)
}

/// Applies a function to each bad count and the total with the same labels. A total without a bad count counts as
/// having 0.
fn ratio(args: &mut dyn Arguments<'_>, of: fn(f64, f64, f64) -> f64) -> Result<Value, QueryError> {
    let objectives = args.scalar(2)?;
    if let Some(wrong) =
        objectives.iter().find(|objective| !(0.0..1.0).contains(*objective) || **objective == 0.0)
    {
        return Err(QueryError::Execution(format!(
            "{}: the objective must be between 0 and 1, such as 0.999, got {wrong}",
            args.function().name
        )));
    }
    let (bad, totals) = (args.vector(0)?, args.vector(1)?);
    let budget = args.budget();
    let mut pace = budget.pace();
    budget.hold(Footprint::bytes(map_bytes(bad.len(), size_of::<(Labels, Series)>())))?;
    let mut by_labels: HashMap<Labels, Series> = HashMap::with_capacity(bad.len());
    for series in bad {
        pace.labels()?;
        let labels = without_name(&series.labels);
        budget.hold(labels_held(&labels))?;
        if let Some(other) = by_labels.insert(labels, series) {
            return Err(twice(args, "bad events", &other.labels));
        }
    }
    let mut result: Vec<Series> = Vec::with_capacity(totals.len());
    for mut total in totals {
        pace.series(&total)?;
        let labels = without_name(&total.labels);
        let bad = by_labels.remove(&labels);
        for (step, slot) in total.points.floats.iter_mut().enumerate() {
            let bad = bad.as_ref().map(|series| series.points.floats[step]).filter(|bad| !is_absent(*bad));
            if !is_absent(*slot) {
                let value = of(bad.unwrap_or(0.0), *slot, objectives[step]);
                *slot = if value.is_nan() { ABSENT } else { value };
            }
        }
        total.points.histograms = None;
        if total.points.any() {
            budget.hold(labels_held(&labels))?;
            result.push(Series { labels, ..total });
        }
    }
    Ok(Value::Vector(result))
}

fn without_name(labels: &Labels) -> Labels {
    labels.to_builder().set(METRIC_NAME, "").build()
}

fn twice(args: &dyn Arguments<'_>, what: &str, labels: &Labels) -> QueryError {
    let name = args.function().name;
    QueryError::Execution(format!(
        "{name}: several series of {what} have the labels of {labels} without the name: aggregate them first"
    ))
}
