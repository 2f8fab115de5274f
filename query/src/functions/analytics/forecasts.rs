//! Predictions: forecasts, and when a limit is reached.

use barograph_analytics::forecast::{self, Forecast, Method, forecast};

use super::grid::Grid;
use super::{Analyzed, Failure, Part, seasons};
use crate::error::QueryError;
use crate::series::Points;

/// The maximum length of a prediction, as a multiple of the length of the history.
const HORIZONS_MAX: usize = 2;

fn predict(analyzed: &Analyzed<'_, '_>, grid: &Grid, horizon: usize) -> Result<Forecast, Failure> {
    if horizon > HORIZONS_MAX * grid.values.len() {
        return Err(Failure::Unfit(format!(
            "a forecast of {horizon} steps is longer than twice its {} steps: lengthen the window",
            grid.values.len()
        )));
    }
    let method = analyzed.options.word("method", &Method::ALL);
    let found = match seasons::lengths(analyzed, grid, 2) {
        // A series without seasons, because it has too few values or does not change, can still be continued.
        Err(Failure::Unfit(_)) if analyzed.options.seasons().is_none() => Vec::new(),
        found => found?,
    };
    let level = analyzed.options.number("level", 0.95);
    let options = forecast::Options { method, seasons: &found, horizon, level };
    let bytes = forecast::bytes(grid.values.len(), &options);
    analyzed.run(bytes, |check| forecast(&grid.values, &options, check))
}

/// `forecast`: fitted once, on the window before the newest sample; the steps after that sample have values.
pub(crate) fn future(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    let windows = analyzed.series.call.windows;
    if windows.steps.count < 2 {
        return Err(Failure::Query(QueryError::Execution(
            "forecast answers range queries, with the steps after the newest sample: for the value at one time use forecast_at(v[w], seconds)"
                .to_owned(),
        )));
    }
    let times = &analyzed.series.columns.times;
    let Some(&newest) = times.last() else { return Err(analyzed.nothing()) };
    let begin = newest.saturating_sub(crate::steps::ms_to_ns(windows.range_ms));
    let first = times.partition_point(|&time| time <= begin);
    let grid = Grid::of(analyzed.budget(), analyzed.series.columns, first, times.len() - 1)?;
    let ahead = |step: usize| grid.after_last(windows.bounds(step).1);
    let wanted: Vec<(usize, usize)> = (0..windows.steps.count)
        .map(|step| (step, ahead(step)))
        .filter(|(_, ahead)| *ahead > 0.5)
        .map(|(step, ahead)| (step, ahead.round() as usize))
        .collect();
    let mut columns = [(); 3].map(|()| Points::absent(windows.steps.count));
    if let Some(&(_, horizon)) = wanted.last() {
        let Forecast { point, lower, upper } = predict(analyzed, &grid, horizon)?;
        for (column, values) in columns.iter_mut().zip([point, lower, upper]) {
            wanted.iter().for_each(|&(step, ahead)| column.floats[step] = values[ahead - 1]);
        }
    }
    let names = ["point", "lower", "upper"].into_iter();
    Ok(names.zip(columns).map(|(name, points)| Part::called("bound", name, points)).collect())
}

/// `forecast_at`: for each window, the value some seconds after its end.
pub(crate) fn at(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    let seconds = analyzed.series.param(0).first().copied().unwrap_or(f64::NAN);
    if !(seconds > 0.0 && seconds.is_finite()) {
        return Err(Failure::Query(QueryError::Execution(format!(
            "forecast_at: the second argument must be a number of seconds above 0, got {seconds}"
        ))));
    }
    let [point, lower, upper] = analyzed.each_window(|analyzed, grid| {
        let horizon = grid.steps_of(seconds).max(1);
        let got = predict(analyzed, grid, horizon)?;
        let last = |values: &[f64]| values.last().copied().unwrap_or(f64::NAN);
        Ok([last(&got.point), last(&got.lower), last(&got.upper)])
    })?;
    Ok(vec![
        Part::called("bound", "point", point),
        Part::called("bound", "lower", lower),
        Part::called("bound", "upper", upper),
    ])
}

/// `predict_exhaustion`: for each window, the seconds until a limit is reached.
pub(crate) fn exhaustion(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    let limit = analyzed.series.param(0).first().copied().unwrap_or(f64::NAN);
    if limit.is_nan() {
        return Err(Failure::Query(QueryError::Execution(
            "predict_exhaustion: the second argument must be a number, the limit, got NaN".to_owned(),
        )));
    }
    let [point, earliest, latest] = analyzed.each_window(|analyzed, grid| {
        let period = match seasons::lengths(analyzed, grid, 1) {
            Err(Failure::Unfit(_)) if analyzed.options.seasons().is_none() => None,
            found => found?.first().copied(),
        };
        let bytes = forecast::exhaustion_bytes(grid.values.len(), period);
        let got = analyzed.run(bytes, |check| forecast::until(&grid.values, limit, period, check))?;
        // A line says little about a time ten windows away.
        let furthest = 10 * grid.values.len();
        let seconds =
            |steps: f64| if steps > furthest as f64 { f64::INFINITY } else { steps * grid.step_s() };
        Ok([seconds(got.point), seconds(got.earliest), seconds(got.latest)])
    })?;
    Ok(vec![
        Part::called("bound", "point", point),
        Part::called("bound", "earliest", earliest),
        Part::called("bound", "latest", latest),
    ])
}
