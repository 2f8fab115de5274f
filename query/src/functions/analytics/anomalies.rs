//! Unusual values: scores, events, expected ranges, outliers and changes.

use barograph_analytics::anomaly::{self, Method, Scores, onsets};
use barograph_analytics::cadence::{self, Cadence};
use barograph_analytics::{changepoint, esd};

use super::grid::Grid;
use super::{Analyzed, Failure, Part, StepWindow, seasons};
use crate::series::Points;

/// The season that detectors compare with if the query names none.
const DAY: f64 = 86_400.0;

fn score(analyzed: &Analyzed<'_, '_>, grid: &Grid) -> Result<Scores, Failure> {
    let method = analyzed.options.word("method", &Method::ALL);
    let seconds = analyzed.options.seasons().and_then(|seasons| seasons.first()).copied();
    let period = Some(grid.steps_of(seconds.unwrap_or(DAY)));
    let bytes = anomaly::bytes(grid.values.len(), method, period);
    analyzed.run(bytes, |check| anomaly::score(&grid.values, method, period, check))
}

/// `anomaly_score`
pub(crate) fn scores(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    let grid = analyzed.whole()?;
    let scores = score(analyzed, &grid)?.scores;
    Ok(Part::only(analyzed.newest(&analyzed.windows()?, &grid, &scores)))
}

/// `anomalies`
pub(crate) fn events(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    let grid = analyzed.whole()?;
    let scores = score(analyzed, &grid)?.scores;
    let hold = grid.steps_of(analyzed.options.number("hold", 12.0 * 3600.0));
    let line = 1.0 / analyzed.options.number("sensitivity", 1.0);
    let events = onsets(&scores, line, hold);
    let mut points = Points::absent(analyzed.steps());
    let windows = analyzed.windows()?;
    for (step, places) in analyzed.since_step_before(&windows, &grid) {
        let first = events.partition_point(|event| event < places.start());
        let begins = events.get(first).is_some_and(|event| places.contains(event));
        points.floats[step] = f64::from(u8::from(begins));
    }
    Ok(Part::only(points))
}

/// `anomaly_bounds`
pub(crate) fn bounds(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    let grid = analyzed.whole()?;
    let Scores { expected, scale, .. } = score(analyzed, &grid)?;
    let k = analyzed.options.number("k", 3.0);
    let edge = |sign: f64| -> Vec<f64> {
        expected.iter().zip(&scale).map(|(expected, scale)| expected + sign * k * scale).collect()
    };
    let windows = analyzed.windows()?;
    let column =
        |name: &str, values: &[f64]| Part::called("bound", name, analyzed.newest(&windows, &grid, values));
    Ok(vec![column("expected", &expected), column("lower", &edge(-1.0)), column("upper", &edge(1.0))])
}

/// `seasonal_esd`
pub(crate) fn esd(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    let grid = analyzed.whole()?;
    let period = seasons::lengths(analyzed, &grid, 1)?.first().copied();
    let period = period.ok_or(barograph_analytics::Unfit::NoSeason)?;
    let defaults = esd::Options::new(period);
    let options = esd::Options {
        max_share: analyzed.options.number("max_anoms", defaults.max_share),
        alpha: analyzed.options.number("alpha", defaults.alpha),
        ..defaults
    };
    let bytes = esd::bytes(grid.values.len(), &options);
    let found = analyzed.run(bytes, |check| esd::seasonal(&grid.values, &options, check))?;
    let values: Vec<(usize, f64)> = found.into_iter().map(|at| (at, grid.values[at])).collect();
    Ok(Part::only(last_of(analyzed, &analyzed.windows()?, &grid, &values)))
}

/// `changepoints`
pub(crate) fn changes(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    let grid = analyzed.whole()?;
    let defaults = changepoint::Options::default();
    let options = changepoint::Options {
        model: analyzed.options.word("model", &changepoint::Model::ALL),
        penalty: analyzed.options.number("penalty", defaults.penalty),
        min_size: analyzed.options.number("min_size", defaults.min_size as f64) as usize,
    };
    let bytes = changepoint::bytes(grid.values.len());
    let found = analyzed.run(bytes, |check| changepoint::find(&grid.values, &options, check))?;
    let windows = analyzed.windows()?;
    let column = |name: &str, is_in: fn(f64) -> bool| {
        let shifts: Vec<(usize, f64)> = found
            .iter()
            .filter(|change| is_in(change.shift))
            .map(|change| (change.at, change.shift))
            .collect();
        Part::called("direction", name, last_of(analyzed, &windows, &grid, &shifts))
    };
    Ok(vec![column("up", |shift| shift > 0.0), column("down", |shift| shift <= 0.0)])
}

/// `stalled`: series whose newest sample is older than their intervals explain.
pub(crate) fn stalled(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    let tolerance = analyzed.options.number("tolerance", 3.0);
    let windows = analyzed.windows()?;
    let mut ages = Points::absent(analyzed.steps());
    let mut intervals = Points::absent(analyzed.steps());
    let mut learnt = false;
    for &(step, lo, last) in &windows {
        let now = analyzed.series.call.windows.bounds(step).1;
        let times = &analyzed.series.columns.times[lo..=last];
        analyzed.budget().check()?;
        let cadence = analyzed.run(cadence::bytes(times.len()), |_| Ok(cadence::of_times(times, now)))?;
        learnt |= cadence.is_some();
        if let Some(Cadence { interval, age }) =
            cadence.filter(|found| found.age > tolerance * found.interval)
        {
            ages.floats[step] = age / 1e9;
            intervals.floats[step] = interval / 1e9;
        }
    }
    if !learnt && !windows.is_empty() {
        let least = cadence::LEAST;
        return Err(Failure::Unfit(format!("it has fewer than {least} samples in the window")));
    }
    Ok(vec![Part::called("stalled", "age", ages), Part::called("stalled", "interval", intervals)])
}

/// A column of events: a step shows the last one since the previous step.
fn last_of(
    analyzed: &Analyzed<'_, '_>,
    windows: &[StepWindow],
    grid: &Grid,
    events: &[(usize, f64)],
) -> Points {
    let mut points = Points::absent(analyzed.steps());
    for (step, places) in analyzed.since_step_before(windows, grid) {
        let end = events.partition_point(|(at, _)| at <= places.end());
        if let Some((_, value)) = events[..end].last().filter(|(at, _)| places.contains(at)) {
            points.floats[step] = *value;
        }
    }
    points
}
