//! Continues a series: the expected values, and the range in which they will be.
//!
//! A series with a long season (24 steps and more, as metrics have) is continued with the mean of its past seasons and
//! of exponential smoothing (`seasonal.rs`). Other series are continued with the mean of the Theta method and of a
//! damped trend, after removing a short season if there is one. Ranges come from the errors of the same method at many
//! earlier steps ("split conformal"), not from an assumption about their distribution.

mod classical;
mod ets;
mod exhaustion;
mod intervals;
mod profile;
mod seasonal;
mod smoothed;
mod smoothing;
mod trials;

pub use exhaustion::{Exhaustion, bytes as exhaustion_bytes, until};

use crate::gaps;
use crate::size::Size;
use crate::{Check, Error, Pace, Stop, Unfit};
use classical::Indices;
use seasonal::{Scale, Seasonal};
use smoothing::Path;

/// Minimum number of values that can be continued.
pub const LEAST: usize = 8;

/// The shortest season whose past values are used.
const LONG_SEASON: usize = 24;

/// How a series is continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// By past seasons if there is a long one, else by the mean of `Theta` and `Holt`.
    #[default]
    Auto,
    /// The Theta method.
    Theta,
    /// A damped trend.
    Holt,
    /// The model of exponential smoothing with the best information criterion: see `ets/`.
    Ets,
    /// The values one season before.
    SeasonalNaive,
    /// A straight line.
    Linear,
}

impl Method {
    /// All methods with their names.
    pub const ALL: [(&'static str, Method); 6] = [
        ("auto", Method::Auto),
        ("theta", Method::Theta),
        ("holt", Method::Holt),
        ("ets", Method::Ets),
        ("seasonal_naive", Method::SeasonalNaive),
        ("linear", Method::Linear),
    ];
}

/// The parameters of a forecast.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The method.
    pub method: Method,
    /// The lengths of the seasons in steps; there may be none.
    pub seasons: &'a [usize],
    /// Steps to predict.
    pub horizon: usize,
    /// The probability that a value is in its range, between 0 and 1.
    pub level: f64,
}

/// A continuation: one value for each step after the series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forecast {
    /// The expected values.
    pub point: Vec<f64>,
    /// The lower end of the range.
    pub lower: Vec<f64>,
    /// Its upper end.
    pub upper: Vec<f64>,
}

/// The memory that [`forecast`] takes for `len` steps.
pub fn bytes(len: usize, options: &Options<'_>) -> usize {
    gaps::fill_bytes(len)
        + seasonal::bytes(len)
        + ets::bytes(len)
        + (10 * len + 3 * options.horizon + intervals::ERRORS) * size_of::<f64>()
}

/// Continues a series.
///
/// # Errors
/// Fewer than [`LEAST`] values or two cycles of the season that the method needs, more gaps than values, a result
/// beyond the largest number, and a stop by the caller.
pub fn forecast(values: &[f64], options: &Options<'_>, check: Check<'_>) -> Result<Forecast, Error> {
    let there = values.iter().filter(|value| value.is_finite()).count();
    if there < LEAST {
        return Err(Unfit::TooShort { has: there, needs: LEAST }.into());
    }
    let mut filled = gaps::fill(values, options.seasons)?.values;
    let size = Size::of(&filled);
    size.apply_all(&mut filled);
    let mut pace = Pace::new(check);
    let seasons = seasons_of(filled.len(), options.seasons);
    let scale = if options.method == Method::Auto && is_long(&seasons) {
        pace.work(30 * filled.len())?;
        Scale::of(&filled, &seasons, options.horizon)
    } else {
        Scale::Plain
    };
    scale.apply(&mut filled);
    let model = Model::fit(&filled, &seasons, options, &mut pace)?;
    let mut point = Vec::with_capacity(options.horizon);
    for h in 1..=options.horizon {
        pace.work(200)?;
        point.push(model.at(&filled, filled.len() - 1, h));
    }
    let reach = intervals::reach(&filled, &model, model.first_origin(filled.len()), options, &mut pace)?;
    let mut lower: Vec<f64> = point.iter().zip(&reach).map(|(point, reach)| point - reach).collect();
    let mut upper: Vec<f64> = point.iter().zip(&reach).map(|(point, reach)| point + reach).collect();
    for part in [&mut point, &mut lower, &mut upper] {
        scale.undo(part);
        size.undo_all(part);
        if part.iter().any(|value| !value.is_finite()) {
            return Err(Unfit::Overflow.into());
        }
    }
    Ok(Forecast { point, lower, upper })
}

/// The seasons of which a series has at least two cycles, ascending.
fn seasons_of(len: usize, seasons: &[usize]) -> Vec<usize> {
    let mut fitting: Vec<usize> =
        seasons.iter().copied().filter(|&season| season >= 2 && season <= len / 2).collect();
    fitting.sort_unstable();
    fitting.dedup();
    fitting
}

/// Whether the longest of ascending seasons is a long one.
fn is_long(seasons: &[usize]) -> bool {
    seasons.last().is_some_and(|&longest| longest >= LONG_SEASON)
}

/// A series without its season, and the season if it is removed.
fn without_season(
    values: &[f64],
    season: Option<usize>,
    pace: &mut Pace<'_>,
) -> Result<(Vec<f64>, Option<Indices>), Stop> {
    let indices = match season {
        Some(season) => classical::indices(values, season, pace)?,
        None => None,
    };
    let rest = match &indices {
        Some(indices) => values.iter().enumerate().map(|(i, v)| indices.remove(i, *v)).collect(),
        None => values.to_vec(),
    };
    Ok((rest, indices))
}

/// A fitted method, which predicts from any step of the series.
enum Model {
    /// The mean of the paths, and the season that was removed from the series.
    Smoothed(Vec<Path>, Option<Indices>),
    /// A model of exponential smoothing, and the season that was removed from the series.
    Ets(ets::Fitted, Option<Indices>),
    Seasonal(Seasonal),
    /// The values one season before.
    Naive(usize),
}

impl Model {
    fn fit(
        values: &[f64],
        seasons: &[usize],
        options: &Options<'_>,
        pace: &mut Pace<'_>,
    ) -> Result<Model, Error> {
        let longest = seasons.last().copied();
        match options.method {
            Method::Auto if is_long(seasons) => {
                Ok(Model::Seasonal(Seasonal::fit(values, seasons, options.horizon, pace)?))
            }
            Method::SeasonalNaive => {
                let Some(longest) = longest.or(options.seasons.iter().copied().max()) else {
                    return Err(Unfit::NoSeason.into());
                };
                if longest > values.len() || longest == 0 {
                    return Err(Unfit::TooFewCycles { has: values.len(), period: longest, cycles: 1 }.into());
                }
                Ok(Model::Naive(longest))
            }
            Method::Linear => Ok(Model::Smoothed(vec![smoothing::linear(values)], None)),
            Method::Ets => {
                let (short, long) = match longest {
                    Some(longest) if longest <= ets::SEASON_MAX => (longest, None),
                    long => (0, long),
                };
                let (rest, indices) = without_season(values, long, pace)?;
                Ok(Model::Ets(ets::fit(&rest, short, pace)?, indices))
            }
            method => {
                let (rest, indices) = without_season(values, longest, pace)?;
                pace.work(6000 * rest.len().min(500) + 20 * rest.len())?;
                let mut paths = Vec::new();
                if method != Method::Holt {
                    paths.push(smoothing::theta(&rest));
                }
                if method != Method::Theta {
                    paths.push(smoothing::damped_holt(&rest));
                }
                Ok(Model::Smoothed(paths, indices))
            }
        }
    }

    /// The first step whose predictions are used to judge the method.
    fn first_origin(&self, len: usize) -> usize {
        match self {
            Model::Smoothed(..) => LEAST.min(len / 3),
            Model::Ets(fitted, _) => fitted.first + LEAST.min(len / 3),
            Model::Seasonal(seasonal) => seasonal.first_origin(len),
            Model::Naive(season) => season - 1,
        }
    }

    /// The prediction for `h` steps after step `from`.
    fn at(&self, values: &[f64], from: usize, h: usize) -> f64 {
        match self {
            Model::Smoothed(paths, indices) => {
                let mean = paths.iter().map(|path| path.at(from, h)).sum::<f64>() / paths.len() as f64;
                indices.as_ref().map_or(mean, |indices| indices.restore(from + h, mean))
            }
            Model::Ets(fitted, indices) => {
                let rest = fitted.at(from, h);
                indices.as_ref().map_or(rest, |indices| indices.restore(from + h, rest))
            }
            Model::Seasonal(seasonal) => seasonal.at(values, from, h),
            Model::Naive(season) => values[(from + h).saturating_sub(season * h.div_ceil(*season))],
        }
    }
}

#[cfg(test)]
mod tests;
