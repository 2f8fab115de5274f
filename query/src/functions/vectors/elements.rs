//! Functions of each element of a vector: the loops around kernels of a single value.

use barograph_engine::model::Histogram;

use super::conversion::unlabelled;
use crate::error::QueryError;
use crate::functions::arguments::Arguments;
use crate::series::{Points, Vector};

/// The cost of a function of one float, in floats that are only read.
const READS_A_FLOAT: usize = 16;

/// Maps the floats of a vector, with the scalar arguments after it. Histograms are ignored.
pub(crate) fn floats(
    args: &mut dyn Arguments<'_>,
    kernel: impl Fn(&mut Points, &[Vec<f64>]),
) -> Result<Vector, QueryError> {
    let mut vector = args.vector(0)?;
    let params = (1..args.count()).map(|index| args.scalar(index)).collect::<Result<Vec<_>, _>>()?;
    let mut pace = args.budget().pace();
    for series in &mut vector {
        pace.work(READS_A_FLOAT * (1 + series.points.len()))?;
        series.drop_name |= args.drops_name();
        series.points.histograms = None;
        kernel(&mut series.points, &params);
    }
    vector.retain(|s| s.points.any());
    Ok(vector)
}

/// A part of the date of each float or, without an argument, of the evaluation time.
pub(crate) fn dates(args: &mut dyn Arguments<'_>, part: fn(f64) -> f64) -> Result<Vector, QueryError> {
    if args.count() == 0 {
        return Ok(unlabelled(args.steps().seconds().into_iter().map(part).collect()));
    }
    floats(args, |points, _| points.map_floats(part))
}

/// Computes a number from each native histogram; floats are ignored.
pub(crate) fn histograms(
    args: &mut dyn Arguments<'_>,
    number: fn(&Histogram) -> f64,
) -> Result<Vector, QueryError> {
    let mut vector = args.vector(0)?;
    vector.retain(|s| s.points.histograms.is_some());
    let (mut pace, steps) = (args.budget().pace(), args.steps());
    for series in &mut vector {
        pace.points(&series.points)?;
        let mut points = Points::absent(steps.count);
        for (slot, h) in points.floats.iter_mut().zip(series.points.histograms.iter().flatten()) {
            if let Some(h) = h {
                *slot = number(h);
            }
        }
        series.points = points;
        series.drop_name |= args.drops_name();
    }
    vector.retain(|s| s.points.any());
    Ok(vector)
}
