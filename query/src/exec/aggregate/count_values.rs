//! `count_values`: the number of elements in each group that have the same value.

use std::collections::HashMap;

use barograph_engine::model::{Labels, LabelsBuilder, METRIC_NAME};
use smallvec::SmallVec;

use super::parameters::label_of;
use crate::error::QueryError;
use crate::exec::Evaluator;
use crate::histogram::text::histogram_text;
use crate::merge::settled;
use crate::plan::Aggregate;
use crate::series::label_sets;
use crate::series::{Point, Points, Series, Vector, is_absent};
use crate::steps::Steps;
use crate::syntax::ast::Grouping;

/// `count_values("label", v)`.
pub(crate) fn count_values(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let label = label_of(aggregate)?;
    let vector = ev.vector(&aggregate.expr, steps)?;
    let mut counted: Vec<Series> = Vec::new();
    let mut places: HashMap<Labels, usize> = HashMap::new();
    for series in &vector {
        ev.ctx.budget.check()?;
        let own = settled(&series.labels, series.drop_name);
        // Most series have few distinct values, so their groups are looked up once.
        let mut known: SmallVec<[(u64, usize); 4]> = SmallVec::new();
        for i in 0..steps.count {
            let Some(point) = series.points.get(i) else { continue };
            let bits = if let Point::Float(v) = point { Some(v.to_bits()) } else { None };
            let place = match bits.and_then(|b| known.iter().find(|(k, _)| *k == b)) {
                Some(&(_, place)) => place,
                None => {
                    let group = group_of(&own, &label, &point, &aggregate.grouping);
                    let before = counted.len();
                    let place = *places.entry(group).or_insert_with_key(|labels| {
                        let points = Points::absent(steps.count);
                        counted.push(Series { labels: labels.clone(), drop_name: false, points });
                        counted.len() - 1
                    });
                    if counted.len() > before {
                        ev.ctx.budget.hold(counted[place].held())?;
                        ev.ctx.budget.check()?;
                    }
                    known.extend(bits.map(|b| (b, place)));
                    place
                }
            };
            let slot = &mut counted[place].points.floats[i];
            *slot = if is_absent(*slot) { 1.0 } else { *slot + 1.0 };
        }
    }
    Ok(counted)
}

/// The group of a value: the label is set first, then the set is grouped. `by` keeps the label even if it does not name
/// it; `without` drops it if it names it, and drops the metric name in any case.
fn group_of(series: &Labels, label: &str, point: &Point, grouping: &Grouping) -> Labels {
    let text = match point {
        Point::Float(v) => float_text(*v),
        Point::Histogram(h) => histogram_text(h),
    };
    let mut labels = match grouping {
        Grouping::None => LabelsBuilder::new(),
        Grouping::By(names) => label_sets::only(series, &label_sets::sorted_names(names)).to_builder(),
        Grouping::Without(names) => {
            label_sets::without(series, &label_sets::sorted_names(names)).to_builder()
        }
    };
    let drops_label = match grouping {
        Grouping::None | Grouping::By(_) => false,
        Grouping::Without(names) => label == METRIC_NAME || names.iter().any(|name| name == label),
    };
    if drops_label { labels.build() } else { labels.set(label, &text).build() }
}

/// The shortest decimal without an exponent.
fn float_text(v: f64) -> String {
    if v.is_nan() {
        "NaN".to_owned()
    } else if v.is_infinite() {
        if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{v}")
    }
}
