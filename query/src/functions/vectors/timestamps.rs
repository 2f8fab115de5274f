//! `timestamp` and `start_timestamp`: the times of the samples that a selector returns.

use crate::error::QueryError;
use crate::functions::Edges;
use crate::functions::arguments::{Arguments, SampleField};
use crate::series::{ABSENT, Value, Vector};

/// `timestamp(v)`: samples of a selector have their own times, and other values have the time of the step.
pub(crate) fn timestamp(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    if args.edges(0) == Some(Edges::Plain) {
        let vector = args.newest(0, SampleField::Time)?;
        return Ok(Value::Vector(named(args, vector)));
    }
    let (mut vector, steps) = (args.vector(0)?, args.steps());
    let mut pace = args.budget().pace();
    for series in &mut vector {
        let points = &mut series.points;
        pace.points(points)?;
        for i in 0..steps.count {
            points.floats[i] = if points.has(i) { steps.at(i) as f64 / 1000.0 } else { ABSENT };
        }
        points.histograms = None;
    }
    Ok(Value::Vector(named(args, vector)))
}

/// `start_timestamp(v)`: only the samples of a selector have one.
pub(crate) fn start_timestamp(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    if args.edges(0).is_none() {
        args.vector(0)?;
        return Ok(Value::Vector(Vec::new()));
    }
    let mut vector = args.newest(0, SampleField::StartTime)?;
    vector.retain(|s| s.points.any());
    Ok(Value::Vector(named(args, vector)))
}

/// Marks the names that the call drops.
fn named(args: &dyn Arguments<'_>, mut vector: Vector) -> Vector {
    let drops_name = args.drops_name();
    vector.iter_mut().for_each(|s| s.drop_name |= drops_name);
    vector
}
