//! `metric_correlations`: series whose values in a highlighted part of the window differ from those before it.

use barograph_analytics::Unfit;
use barograph_analytics::compare::association::change;
use barograph_analytics::compare::correlate::{LEAST, kolmogorov_smirnov};

use super::ranking::best;
use super::{Observed, note_left_out, part};
use crate::error::QueryError;
use crate::functions::analytics::{Failure, run};
use crate::functions::arguments::{Arguments, Reason, Score};
use crate::series::Value;

/// Minimum number of values in the highlight.
const HIGHLIGHT_MIN: usize = 15;

/// How two spans are compared.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Method {
    /// The distributions of their values.
    #[default]
    Ks2,
    /// The distributions of the differences between neighbouring values.
    Ks2Changes,
    /// The relative change of the mean.
    Volume,
}

/// `metric_correlations`
pub(crate) fn metric_correlations(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let words = [("ks2", Method::Ks2), ("ks2_changes", Method::Ks2Changes), ("volume", Method::Volume)];
    let method = args.named().word("method", &words);
    let topk = args.named().number("topk", 20.0) as usize;
    let (windows, highlights) = (args.range(0)?, args.scalar(1)?);
    let seconds = windows.range_ms as f64 / 1000.0;
    if let Some(wrong) = highlights.iter().find(|highlight| !(**highlight > 0.0 && **highlight < seconds)) {
        return Err(QueryError::Execution(format!(
            "metric_correlations: the highlight must be longer than 0 s and shorter than the window of {seconds} s, got {wrong} s"
        )));
    }
    let budget = args.budget();
    let scored = args.scores(0, 0, &|_, is_counter, columns| {
        if columns.times.is_empty() {
            return Ok(Err(Reason::NoFloats));
        }
        budget.check()?;
        let none = Score { value: f64::NAN, ..Score::default() };
        let mut scores = vec![none; highlights.len()];
        let mut reason = None;
        // Rates, differences, and sorted copies.
        let done = run(budget, 6 * 8 * columns.times.len(), |check| {
            let observed = Observed::of(is_counter, columns, None);
            let (times, values) = observed.parts();
            for (step, highlight) in highlights.iter().enumerate() {
                check()?;
                let (start, end) = windows.bounds(step);
                let middle = end.saturating_sub((highlight * 1e9) as i64);
                let (_, before) = part(times, values, (start, middle));
                let (_, highlighted) = part(times, values, (middle, end));
                match score(before, highlighted, method) {
                    Ok((value, then)) => scores[step] = Score { value, then, p: f64::NAN, ..none },
                    Err(unfit) => drop(reason.get_or_insert(Reason::Unfit(unfit))),
                }
            }
            Ok(())
        });
        match (done, reason) {
            (Err(Failure::Query(error)), _) => Err(error),
            (_, Some(reason)) if scores.iter().all(|score| score.value.is_nan()) => Ok(Err(reason)),
            _ => Ok(Ok(scores)),
        }
    })?;
    note_left_out(args, 0, &scored)?;
    best(args, scored, topk, |_, _, _| Vec::new())
}

/// The score, and the criterion among equal scores.
fn score(before: &[f64], highlighted: &[f64], method: Method) -> Result<(f64, f64), Unfit> {
    for (values, needs) in [(highlighted, HIGHLIGHT_MIN), (before, LEAST)] {
        if values.len() < needs {
            return Err(Unfit::TooShort { has: values.len(), needs });
        }
    }
    let differences = |values: &[f64]| values.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<f64>>();
    let (distance, p) = match method {
        Method::Ks2 => kolmogorov_smirnov(before, highlighted)?,
        Method::Ks2Changes => kolmogorov_smirnov(&differences(before), &differences(highlighted))?,
        Method::Volume => {
            let change = change(finite_mean(before, LEAST)?, finite_mean(highlighted, HIGHLIGHT_MIN)?);
            return Ok((change, change.abs()));
        }
    };
    Ok((1.0 - p, distance))
}

/// The mean of the finite values, of which there must be at least `needs`.
fn finite_mean(values: &[f64], needs: usize) -> Result<f64, Unfit> {
    let finite = || values.iter().filter(|value| value.is_finite());
    let has = finite().count();
    if has < needs {
        return Err(Unfit::TooShort { has, needs });
    }
    // Parts of the sum are so small that it cannot overflow.
    Ok(finite().map(|value| value / has as f64).sum())
}
