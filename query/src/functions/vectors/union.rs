//! `union(a, b, …)`: at each step, the elements of all arguments; of elements with equal labels, the first.

use std::collections::HashMap;

use barograph_engine::model::Labels;

use crate::error::QueryError;
use crate::functions::arguments::Arguments;
use crate::merge::settled;
use crate::series::{Value, Vector};

/// Evaluates `union` at all steps.
pub(crate) fn union(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut united: Vector = Vec::new();
    let steps = args.steps().count;
    for index in 0..args.count() {
        let vector = args.vector(index)?;
        let mut pace = args.budget().pace();
        for series in vector {
            pace.series(&series)?;
            // Names that will be dropped do not distinguish elements.
            let labels = settled(&series.labels, series.drop_name);
            match places.get(&labels) {
                None => {
                    places.insert(labels, united.len());
                    united.push(series);
                }
                Some(&place) => {
                    let into = &mut united[place].points;
                    for step in (0..steps).filter(|&step| series.points.has(step)) {
                        if !into.has(step) {
                            into.set(step, series.points.get(step));
                        }
                    }
                }
            }
        }
    }
    Ok(Value::Vector(united))
}
