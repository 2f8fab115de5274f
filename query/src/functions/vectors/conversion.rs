//! Conversion between scalars and vectors: `scalar`, `vector`, `time`, `min_of`, `max_of`.

use barograph_engine::model::Labels;

use crate::budget::Budget;
use crate::error::QueryError;
use crate::functions::arguments::Arguments;
use crate::series::{ABSENT, Points, Series, Value, Vector, is_absent};
use crate::steps::Steps;

/// `time()`
pub(crate) fn time(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    Ok(Value::Scalar(args.steps().seconds()))
}

/// `min_of(a, b)`, `max_of(a, b)`.
pub(crate) fn extreme(args: &mut dyn Arguments<'_>, of: fn(f64, f64) -> f64) -> Result<Value, QueryError> {
    let mut result = args.scalar(0)?;
    let other = args.scalar(1)?;
    result.iter_mut().zip(other).for_each(|(a, b)| *a = of(*a, b));
    Ok(Value::Scalar(result))
}

/// `vector(s)`
pub(crate) fn vector(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    Ok(Value::Vector(unlabelled(args.scalar(0)?)))
}

/// One element without labels.
pub(crate) fn unlabelled(floats: Vec<f64>) -> Vector {
    let points = Points { floats, histograms: None };
    vec![Series { labels: Labels::empty(), drop_name: false, points }]
}

/// `scalar(v)`
pub(crate) fn scalar(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let vector = args.vector(0)?;
    Ok(Value::Scalar(only_float(args.budget(), &vector, args.steps())?))
}

/// The value of the only float element at each step; NaN if there is not exactly one.
fn only_float(budget: &Budget, vector: &Vector, steps: Steps) -> Result<Vec<f64>, QueryError> {
    let mut pace = budget.pace();
    let mut values = vec![ABSENT; steps.count];
    let mut many = vec![false; steps.count];
    for series in vector {
        pace.work(1 + series.points.len())?;
        for (i, &v) in series.points.floats.iter().enumerate().filter(|(_, v)| !is_absent(**v)) {
            many[i] |= !is_absent(values[i]);
            values[i] = v;
        }
    }
    let only = |(&v, many): (&f64, bool)| if many || is_absent(v) { f64::NAN } else { v };
    Ok(values.iter().zip(many).map(only).collect())
}
