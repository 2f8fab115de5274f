//! Automatic exponential smoothing (Hyndman, Koehler, Ord and Snyder, 2008): of the models with added or damped trends,
//! added or multiplied seasons and absolute or relative errors, the one with the least corrected information criterion
//! of Akaike (AICc).
//!
//! The likelihood of each model is maximized over its weights and over the states before the first value, with exact
//! derivatives. Only the newest 500 values are used, and seasons of at most 24 steps, as every step of a season is a
//! parameter.

mod filter;
mod minimise;
mod model;
mod shape;

use super::smoothing::Path;
use crate::{Pace, Stop};
use filter::{Parameters, follow};
use model::Layout;
use shape::{Component, Shape};

/// The longest season that is a part of the model.
pub(super) const SEASON_MAX: usize = 24;

/// The newest values that models are fitted to.
const FITTED_TO: usize = 500;

/// Weights, damping, level and trend: the numbers that a model has beside its season.
const WIDTH_MAX: usize = 6 + SEASON_MAX;

/// The memory that [`fit`] takes for `len` values.
pub(super) fn bytes(len: usize) -> usize {
    let states = 8 * len.min(FITTED_TO) + 2 * SEASON_MAX * WIDTH_MAX + 20 * WIDTH_MAX;
    states * size_of::<f64>() + minimise::bytes(WIDTH_MAX)
}

/// A fitted model, which predicts from any step of the values it is fitted to.
#[derive(Debug, Clone)]
pub(super) struct Fitted {
    /// The first step that it is fitted to.
    pub first: usize,
    path: Path,
    /// The season before the first value, and after each.
    season: Vec<f64>,
    period: usize,
    shape: Shape,
}

impl Fitted {
    /// The prediction for `h` steps after step `from`, at least [`Fitted::first`].
    pub fn at(&self, from: usize, h: usize) -> f64 {
        let from = from.saturating_sub(self.first);
        let base = self.path.at(from, h);
        if self.period == 0 {
            return base;
        }
        // The newest season's value of the same phase.
        let season = self.season[self.period + from + h - self.period * h.div_ceil(self.period)];
        if self.shape.season == Component::Multiplied { base * season } else { base + season }
    }
}

/// The corrected information criterion of a model with `count` fitted numbers, the variance of the errors included.
fn aicc(deviance: f64, count: usize, n: usize) -> Option<f64> {
    let (k, rest) = (count as f64, n.checked_sub(count + 1).filter(|rest| *rest > 0)?);
    Some(deviance + 2.0 * k + 2.0 * k * (k + 1.0) / rest as f64).filter(|aicc| aicc.is_finite())
}

/// Fits all models to the newest values, and returns the best one. `period` is the length of a season of which there
/// are two cycles, or 0.
pub(super) fn fit(values: &[f64], period: usize, pace: &mut Pace<'_>) -> Result<Fitted, Stop> {
    let first = values.len().saturating_sub(FITTED_TO);
    let recent = &values[first..];
    let largest = recent.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let scale = if largest > 0.0 { largest } else { 1.0 };
    let scaled: Vec<f64> = recent.iter().map(|value| value / scale).collect();
    let (shape, p) = match best(&scaled, period, pace)? {
        Some((_, shape, p)) => (shape, p),
        // Eight values suffice for a level, so this is for values that are too small to compute with.
        None => (Shape::LEVEL, Layout::new(&scaled, Shape::LEVEL, 0, pace)?.guess),
    };
    Ok(fitted(&scaled, first, scale, shape, &p))
}

/// A model over values that were divided by `scale`.
fn fitted(values: &[f64], first: usize, scale: f64, shape: Shape, p: &Parameters) -> Fitted {
    let added = |value: f64| if shape.season == Component::Multiplied { value } else { scale * value };
    let mut path = Path { levels: Vec::new(), trends: Vec::new(), damping: p.damping };
    let mut season: Vec<f64> = p.season.iter().map(|value| added(*value)).collect();
    let period = season.len();
    follow(values, shape, p, |_, _, [level, trend, of_phase]| {
        path.levels.push(scale * level);
        path.trends.push(scale * trend);
        season.push(added(of_phase));
    });
    Fitted { first, path, season, period, shape }
}

/// The least criterion, its model and the parameters; `None` if there are too few values for any.
fn best(
    values: &[f64],
    period: usize,
    pace: &mut Pace<'_>,
) -> Result<Option<(f64, Shape, Parameters)>, Stop> {
    let mut best: Option<(f64, Shape, Parameters)> = None;
    for shape in candidates(values, period) {
        let layout = Layout::new(values, shape, period, pace)?;
        let judge = |deviance| aicc(deviance, layout.width() + 1, values.len());
        // Too many parameters for the values.
        if judge(0.0).is_none() {
            continue;
        }
        let (p, deviance) = layout.fit(values, pace)?;
        let Some(found) = judge(deviance) else { continue };
        if best.as_ref().is_none_or(|(least, ..)| found < *least) {
            best = Some((found, shape, p));
        }
    }
    Ok(best)
}

/// The models that values may have: relative errors need values above 0.
fn candidates(values: &[f64], period: usize) -> impl Iterator<Item = Shape> {
    let positive = values.iter().all(|value| *value > 0.0);
    let seasonal = (2..=SEASON_MAX).contains(&period) && values.len() >= 2 * period;
    Shape::all()
        .filter(move |shape| (positive || !shape.relative) && (seasonal || shape.season == Component::None))
}

#[cfg(test)]
mod tests;
