//! Seasons: their lengths and strengths, and the parts of a series.

use barograph_analytics::decompose::{self, Decomposition, Precision, decompose, strength};
use barograph_analytics::season::{self, Season};
use barograph_analytics::{Unfit, robust};

use super::grid::Grid;
use super::{Analyzed, Failure, Part};
use crate::error::QueryError;
use crate::series::Points;

/// Lengths that are tried in addition to those of the spectrum: an hour, a day, a week.
const CALENDAR: [f64; 3] = [3600.0, 86_400.0, 604_800.0];

/// The maximum number of seasons of one series.
const SEASONS_MAX: usize = 5;

/// The seasons of a grid, the strongest first.
fn find(analyzed: &Analyzed<'_, '_>, grid: &Grid, most: usize) -> Result<Vec<Season>, Failure> {
    let calendar = CALENDAR.map(|seconds| grid.steps_of(seconds));
    let bytes = season::bytes(grid.values.len());
    analyzed.run(bytes, |check| season::find(&grid.values, &calendar, most, check))
}

/// The lengths of the seasons in steps: those given in the query, or those found.
pub(super) fn lengths(analyzed: &Analyzed<'_, '_>, grid: &Grid, most: usize) -> Result<Vec<usize>, Failure> {
    let mut lengths: Vec<usize> = match analyzed.options.seasons() {
        Some(seasons) => seasons.iter().map(|&seconds| grid.steps_of(seconds)).collect(),
        None => find(analyzed, grid, most)?.iter().map(|season| season.length).collect(),
    };
    lengths.sort_unstable();
    lengths.dedup();
    Ok(lengths)
}

/// `season_length`
pub(crate) fn length(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    seasons(analyzed, |season, grid| season.length as f64 * grid.step_s())
}

/// `season_strength`
pub(crate) fn correlation(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    seasons(analyzed, |season, _| season.strength)
}

fn seasons(analyzed: &mut Analyzed<'_, '_>, value: fn(&Season, &Grid) -> f64) -> Result<Vec<Part>, Failure> {
    let most = analyzed.options.number("max_seasons", 3.0) as usize;
    let columns = analyzed.each_window(|analyzed, grid| {
        let found = find(analyzed, grid, most)?;
        if found.is_empty() {
            return Err(Unfit::NoSeason.into());
        }
        let mut values = [f64::NAN; SEASONS_MAX];
        values.iter_mut().zip(&found).for_each(|(slot, season)| *slot = value(season, grid));
        Ok(values)
    })?;
    let parts = columns.into_iter().enumerate();
    Ok(parts.map(|(rank, points)| Part::called("season", rank.to_string(), points)).collect())
}

fn split(analyzed: &Analyzed<'_, '_>, grid: &Grid) -> Result<Decomposition, Failure> {
    let seasons = lengths(analyzed, grid, 2)?;
    let precision = if analyzed.options.flag("exact") { Precision::Exact } else { Precision::Auto };
    let options =
        decompose::Options { seasons: &seasons, robust: analyzed.options.flag("robust"), precision };
    let bytes = decompose::bytes(grid.values.len(), &options);
    analyzed.run(bytes, |check| decompose(&grid.values, &options, check))
}

/// `seasonal_decompose`
pub(crate) fn parts(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    let grid = analyzed.whole()?;
    let Decomposition { trend, seasons, residual, .. } = split(analyzed, &grid)?;
    let windows = analyzed.windows()?;
    let column = |name: String, values: &[f64]| {
        Part::called("component", name, analyzed.newest(&windows, &grid, values))
    };
    let mut parts = vec![column("trend".to_owned(), &trend), column("residual".to_owned(), &residual)];
    for (length, season) in &seasons {
        let name = match seasons.len() {
            1 => "seasonal".to_owned(),
            _ => format!("seasonal_{}", duration(*length as f64 * grid.step_s())),
        };
        parts.push(column(name, season));
    }
    Ok(parts)
}

/// A length in the largest unit of which it is a multiple: `1d`, `90m`.
pub(crate) fn duration(seconds: f64) -> String {
    let ms = (seconds * 1000.0).round() as u64;
    const UNITS: [(u64, &str); 5] =
        [(604_800_000, "w"), (86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let unit = UNITS.iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

/// `trend_strength`
pub(crate) fn trend_strength(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    let [points] = analyzed.each_window(|analyzed, grid| {
        let largest = largest(grid)?;
        let parts = split(analyzed, grid)?;
        Ok([strength(&parts.trend, &parts.residual, largest)])
    })?;
    Ok(Part::only(points))
}

/// `seasonal_strength`
pub(crate) fn seasonal_strength(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    let [points] = analyzed.each_window(|analyzed, grid| {
        let largest = largest(grid)?;
        let parts = split(analyzed, grid)?;
        let mut season = vec![0.0; grid.values.len()];
        for (_, part) in &parts.seasons {
            season.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        Ok([strength(&season, &parts.residual, largest)])
    })?;
    Ok(Part::only(points))
}

/// The largest value of a grid, without its sign. A grid of equal values has nothing to explain.
fn largest(grid: &Grid) -> Result<f64, Unfit> {
    let finite = grid.values.iter().filter(|value| value.is_finite());
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
    if low == high { Err(Unfit::Constant) } else { Ok(high.max(-low)) }
}

/// `trimmed_mean_over_time`
pub(crate) fn trimmed_mean(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    of_values(analyzed, "trimmed_mean_over_time", robust::Sorted::trimmed_mean)
}

/// `winsorized_mean_over_time`
pub(crate) fn winsorized_mean(analyzed: &mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure> {
    of_values(analyzed, "winsorized_mean_over_time", robust::Sorted::winsorized_mean)
}

/// A statistic of the sorted values of each window, with a fraction that is cut off.
fn of_values(
    analyzed: &mut Analyzed<'_, '_>,
    name: &str,
    statistic: fn(&robust::Sorted, f64) -> f64,
) -> Result<Vec<Part>, Failure> {
    let cut = analyzed.series.param(0);
    if let Some(wrong) = cut.iter().find(|share| !(0.0..=0.5).contains(*share)) {
        let message =
            format!("{name}: the share that is cut off at either end must be from 0 to 0.5, got {wrong}");
        return Err(Failure::Query(QueryError::Execution(message)));
    }
    let windows = analyzed.windows()?;
    let mut points = Points::absent(analyzed.steps());
    for (step, lo, last) in windows {
        let values = &analyzed.series.columns.values[lo..=last];
        analyzed.budget().check()?;
        let sorted = analyzed.run(robust::Sorted::bytes(values.len()), |_| Ok(robust::Sorted::of(values)))?;
        points.floats[step] = super::shown(statistic(&sorted, cut[step]));
    }
    Ok(Part::only(points))
}
