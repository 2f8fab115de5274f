//! Trend, seasons and residual of a series: STL for one season, MSTL for several (Bandara, Hyndman and Bergmeir, 2021).

mod loess;
mod stl;

pub use stl::{Parameters, Parts};

use crate::gaps::{self, Filled};
use crate::size::Size;
use crate::{Check, Error, Pace, Unfit};

/// The product of steps and window length above which [`Precision::Auto`] interpolates.
const EXACT_WORK: usize = 4_000_000;

/// The steps of a window that are computed if the others are interpolated.
const SHARE: usize = 10;

/// A deviation of at most this share of the largest value is what rounding leaves of a part that is zero.
const ROUNDING: f64 = 1e-12;

/// How to decompose.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The lengths of the seasons in steps: one is STL, several are MSTL.
    pub seasons: &'a [usize],
    /// Values that fit badly get less weight, so that they reach neither trend nor season.
    pub robust: bool,
    /// How precisely long windows are computed.
    pub precision: Precision,
}

/// The steps at which the windows of trend and low pass are computed. The others are interpolated by cubic polynomials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// All.
    Exact,
    /// All, unless a window's length times the number of steps exceeds four million: then like `Tenth`.
    #[default]
    Auto,
    /// One step in a tenth of a window. A plain decomposition is at most a thousandth of the series' standard deviation
    /// away from the exact one on ordinary series. A robust one may differ more: it is sensitive to any rounding where a
    /// season has few cycles.
    Tenth,
}

/// A series as a sum. Steps without a value are NaN in all parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Decomposition {
    /// The slow changes.
    pub trend: Vec<f64>,
    /// The seasons, each with its length in steps, ascending.
    pub seasons: Vec<(usize, Vec<f64>)>,
    /// The rest.
    pub residual: Vec<f64>,
    /// The weight of each value, from 0 to 1.
    pub weights: Vec<f64>,
    /// Whether long windows were interpolated.
    pub interpolated: bool,
}

/// The memory that [`decompose`] takes for `len` steps.
pub fn bytes(len: usize, options: &Options<'_>) -> usize {
    // A longer season than the series is refused.
    let longest = options.seasons.iter().copied().max().unwrap_or(2).min(len);
    let window = 7 + 4 * options.seasons.len();
    let floats = (6 + 2 * options.seasons.len()) * len * size_of::<f64>();
    gaps::fill_bytes(len) + floats + Parameters::new(longest.max(2), window, options.robust).bytes(len)
}

/// Decomposes a series. Gaps are filled for the computation and left out of the result.
///
/// # Errors
/// A season of fewer than 2 steps, fewer than two cycles of the longest season, more gaps than values, a part
/// beyond the largest number, and a stop by the caller.
pub fn decompose(values: &[f64], options: &Options<'_>, check: Check<'_>) -> Result<Decomposition, Error> {
    let mut seasons = options.seasons.to_vec();
    seasons.sort_unstable();
    seasons.dedup();
    let Some(&longest) = seasons.last() else { return Err(Unfit::NoSeason.into()) };
    if let Some(&period) = seasons.iter().find(|&&period| period < 2) {
        return Err(Unfit::Period(period).into());
    }
    if values.len() / 2 < longest {
        return Err(Unfit::TooFewCycles { has: values.len(), period: longest, cycles: 2 }.into());
    }
    let mut filled = gaps::fill(values, &seasons)?;
    let size = Size::of(&filled.values);
    size.apply_all(&mut filled.values);
    let mut pace = Pace::new(check);
    let mut result = split(&filled.values, &seasons, options, &mut pace)?;
    restore(&mut result, &filled, size)?;
    Ok(result)
}

/// The parameters of one season: its window grows with its place, as in MSTL's definition.
fn parameters(len: usize, seasons: &[usize], place: usize, options: &Options<'_>) -> Parameters {
    let window = if seasons.len() == 1 { 7 } else { 11 + 4 * place };
    let mut parameters = Parameters::new(seasons[place], window, options.robust);
    parameters.jump_share = match options.precision {
        Precision::Auto if len.saturating_mul(parameters.trend) > EXACT_WORK => SHARE,
        Precision::Tenth => SHARE,
        Precision::Auto | Precision::Exact => 0,
    };
    parameters
}

fn split(
    values: &[f64],
    seasons: &[usize],
    options: &Options<'_>,
    pace: &mut Pace<'_>,
) -> Result<Decomposition, Error> {
    let n = values.len();
    let mut found: Vec<Vec<f64>> = vec![vec![0.0; n]; seasons.len()];
    let mut rest = values.to_vec();
    let (mut trend, mut weights) = (Vec::new(), Vec::new());
    let mut interpolated = false;
    let rounds = if seasons.len() == 1 { 1 } else { 2 };
    for _ in 0..rounds {
        for (place, season) in found.iter_mut().enumerate() {
            let parameters = parameters(n, seasons, place, options);
            interpolated |= parameters.jump_share > 0;
            rest.iter_mut().zip(season.iter()).for_each(|(rest, season)| *rest += season);
            let parts = stl::decompose(&rest, &parameters, pace)?;
            rest.iter_mut().zip(&parts.seasonal).for_each(|(rest, season)| *rest -= season);
            *season = parts.seasonal;
            trend = parts.trend;
            weights = parts.weights;
        }
    }
    let residual = rest.iter().zip(&trend).map(|(rest, trend)| rest - trend).collect();
    let seasons = seasons.iter().copied().zip(found).collect();
    Ok(Decomposition { trend, seasons, residual, weights, interpolated })
}

/// Brings the parts back to the size of the series, and blanks what had no value.
fn restore(result: &mut Decomposition, filled: &Filled, size: Size) -> Result<(), Unfit> {
    let Decomposition { trend, seasons, residual, weights, .. } = result;
    for part in seasons.iter_mut().map(|(_, season)| season).chain([&mut *trend, residual]) {
        size.undo_all(part);
        if !part.iter().all(|value| value.is_finite()) {
            return Err(Unfit::Overflow);
        }
        filled.blank(part);
    }
    filled.blank(weights);
    Ok(())
}

/// How much of the variance a part explains, from 0 to 1 (Hyndman): 1 less the residual's variance divided by that of
/// the part and the residual together. 0 if both are no more than what rounding leaves of values as large as `largest`.
pub fn strength(part: &[f64], residual: &[f64], largest: f64) -> f64 {
    let size = Size::of_largest(largest);
    let rest = variance(residual.iter().map(|residual| size.apply(*residual)));
    let both = variance(part.iter().zip(residual).map(|(part, rest)| size.apply(*part) + size.apply(*rest)));
    if both.sqrt() <= ROUNDING * size.apply(largest) { 0.0 } else { (1.0 - rest / both).max(0.0) }
}

/// The variance of the finite values; NaN of none.
fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values.filter(|value| value.is_finite()) {
        count += 1.0;
        let from_mean = value - mean;
        mean += from_mean / count;
        squares += from_mean * (value - mean);
    }
    if count == 0.0 { f64::NAN } else { squares / count }
}

#[cfg(test)]
mod tests;
