//! `outliers`: series of a vector that differ from the others at the same step.

use barograph_analytics::outliers::{LEAST, Method, bytes, of_group};

use crate::annotations::flags::Flags;
use crate::annotations::note_flags;
use crate::error::QueryError;
use crate::functions::arguments::Arguments;
use crate::functions::left_out::LeftOut;
use crate::series::{ABSENT, Series, Value, is_absent};

/// 1 for each series that differs from the others, 0 for the rest.
pub(crate) fn outliers(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let mut vector = args.vector(0)?;
    let (span, steps, budget) = (args.span(0), args.steps().count, args.budget());
    let method = args.named().word("method", &Method::ALL);
    let tolerance = args.named().number("tolerance", 3.0);
    let drops_name = args.drops_name();
    let mut pace = budget.pace();
    // The values of one step, the sorted values, and flags.
    pace.hold(2 * bytes(vector.len()) + vector.len() * size_of::<Option<bool>>())?;
    let mut floats = Vec::with_capacity(vector.len());
    let mut sorted = Vec::with_capacity(vector.len());
    // One of the series that are at a step with too few others.
    let mut alone = None;
    for step in 0..steps {
        // A sort of n values is about as much work as twenty passes over them.
        pace.work(20 * vector.len())?;
        let value = |series: &Series| series.points.floats[step];
        floats.clear();
        floats.extend(
            vector.iter().map(|series| if is_absent(value(series)) { f64::NAN } else { value(series) }),
        );
        let flags = of_group(&floats, method, tolerance, &mut sorted);
        if alone.is_none() && (1..LEAST).contains(&sorted.len()) {
            alone = floats.iter().position(|float| !float.is_nan()).map(|place| vector[place].labels.clone());
        }
        for (series, flag) in vector.iter_mut().zip(flags) {
            series.points.floats[step] = flag.map_or(ABSENT, |is_outlier| f64::from(u8::from(is_outlier)));
        }
    }
    let mut kept = Vec::with_capacity(vector.len());
    for mut series in vector {
        pace.labels()?;
        series.drop_name |= drops_name;
        if series.points.histograms.take().is_some() {
            let name = series.labels.metric_name().unwrap_or("");
            note_flags(args.annotations(), Flags::HISTOGRAMS_IGNORED, name, span);
        }
        if series.points.any() {
            kept.push(series);
        }
    }
    if let Some(labels) = alone {
        let reason = format!("fewer than {LEAST} members have a value at a step");
        LeftOut::of(args.function().name, args.named(), span).refuse(&labels, &reason)?;
        let text =
            format!("outliers needs at least {LEAST} members with a value at a step, and leaves out others");
        args.annotations().info(span, text);
    }
    Ok(Value::Vector(kept))
}
