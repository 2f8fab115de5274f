//! Functions of all steps of a query: the loops around kernels of a single series.

use crate::annotations::flags::Flags;
use crate::annotations::note_flags;
use crate::budget::parallel;
use crate::error::QueryError;
use crate::functions::ValueType;
use crate::functions::arguments::Arguments;
use crate::functions::range::statistics::{self, Column, Scratch};
use crate::series::{Points, Series, Vector};

/// Runs a kernel over the floats of each series. Histograms are ignored, with an info.
pub(crate) fn floats(
    args: &mut dyn Arguments<'_>,
    kernel: fn(&mut Column<'_>),
) -> Result<Vector, QueryError> {
    let step_seconds = args.steps().step_ms as f64 / 1000.0;
    each(args, |points, params, scratch| {
        let had_histograms = points.histograms.take().is_some();
        statistics::apply(kernel, &mut points.floats, params, step_seconds, scratch);
        if had_histograms && points.any() { Flags::HISTOGRAMS_IGNORED } else { Flags::default() }
    })
}

/// Replaces the values of each series, including histograms.
pub(crate) fn points(args: &mut dyn Arguments<'_>, kernel: fn(&mut Points)) -> Result<Vector, QueryError> {
    each(args, |points, _, _| {
        kernel(points);
        Flags::default()
    })
}

fn each(
    args: &mut dyn Arguments<'_>,
    change: impl Fn(&mut Points, &[f64], &mut Scratch) -> Flags + Sync,
) -> Result<Vector, QueryError> {
    let is_scalar = |index: &usize| args.function().arg_type(*index) == Some(ValueType::Scalar);
    let params = match (0..args.count()).find(is_scalar) {
        Some(index) => args.scalar(index)?,
        None => Vec::new(),
    };
    let last = args.count() - 1;
    let (vector, span) = (args.vector(last)?, args.span(last));
    let (budget, drops_name) = (args.budget(), args.drops_name());
    let done = parallel::map(budget, vector, |scratch: &mut Scratch, mut series: Series| {
        budget.check()?;
        series.drop_name |= drops_name;
        let flags = change(&mut series.points, &params, scratch);
        Ok(Some((series, flags)))
    })?;
    let mut vector = Vec::with_capacity(done.len());
    let mut pace = budget.pace();
    for (series, flags) in done {
        pace.points(&series.points)?;
        note_flags(args.annotations(), flags, series.labels.metric_name().unwrap_or(""), span);
        if series.points.any() {
            vector.push(series);
        }
    }
    Ok(vector)
}
