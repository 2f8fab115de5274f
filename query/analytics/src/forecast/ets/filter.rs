//! The recursions of exponential smoothing, and how their errors depend on the parameters.
//!
//! One recursion serves both kinds of errors: a multiplicative error changes the likelihood and not the states, because
//! `m e` is the error `y - m` itself if `e` is its ratio to the expected value `m`. With the level `l`, the trend `b`,
//! its damping `d`, the season's value `s` one period before, and `L = l + d b`:
//!
//! | | no season, or one that is added | a season that is multiplied |
//! |---|---|---|
//! | expected `m` | `L + s` | `L s` |
//! | next level | `L + alpha (y - m)` | `L + alpha (y - m) / s` |
//! | next trend | `d b + beta (y - m)` | `d b + beta (y - m) / s` |
//! | next season | `s + gamma (y - m)` | `s + gamma (y - m) / L` |

use super::shape::{Component, Shape};

/// The parameters of a recursion: weights, damping, and the states before the first value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameters {
    pub alpha: f64,
    pub beta: f64,
    pub gamma: f64,
    pub damping: f64,
    pub level: f64,
    pub trend: f64,
    /// One for each phase; phase 0 is that of the first value. Empty without a season.
    pub season: Vec<f64>,
}

/// The derivatives of a number by all parameters that are fitted.
type Gradient = Vec<f64>;

/// The derivatives of the parameters by what is fitted.
pub(super) struct Derivatives {
    pub alpha: Gradient,
    pub beta: Gradient,
    pub gamma: Gradient,
    pub damping: Gradient,
    pub level: Gradient,
    pub trend: Gradient,
    pub season: Vec<Gradient>,
}

/// Follows a series. Calls `each` with the step, the expected value, and level, trend and season after the step.
pub(super) fn follow(
    values: &[f64],
    shape: Shape,
    p: &Parameters,
    mut each: impl FnMut(usize, f64, [f64; 3]),
) {
    let (mut level, mut trend) = (p.level, p.trend);
    let mut season = p.season.clone();
    let period = season.len().max(1);
    let multiplied = shape.season == Component::Multiplied;
    for (i, value) in values.iter().enumerate() {
        let carried = p.damping * trend;
        let base = level + carried;
        let s = season.get(i % period).copied().unwrap_or(0.0);
        let expected = if multiplied { base * s } else { base + s };
        let error = value - expected;
        let (by_season, by_base) = if multiplied { (error / s, error / base) } else { (error, error) };
        level = base + p.alpha * by_season;
        trend = carried + p.beta * by_season;
        let next = s + p.gamma * by_base;
        if let Some(slot) = season.get_mut(i % period) {
            *slot = next;
        }
        each(i, expected, [level, trend, next]);
    }
}

/// Follows a series with derivatives. Calls `each` with the step, the expected value and its derivatives.
pub(super) fn follow_with_derivatives(
    values: &[f64],
    shape: Shape,
    p: &Parameters,
    d: &Derivatives,
    mut each: impl FnMut(usize, f64, &[f64]),
) {
    let width = d.alpha.len();
    let (mut level, mut trend, mut season) = (p.level, p.trend, p.season.clone());
    let (mut d_level, mut d_trend, mut d_season) = (d.level.clone(), d.trend.clone(), d.season.clone());
    let (mut d_expected, mut no_season) = (vec![0.0; width], vec![0.0; width]);
    let period = season.len().max(1);
    let multiplied = shape.season == Component::Multiplied;
    for (i, value) in values.iter().enumerate() {
        let phase = i % period;
        let carried = p.damping * trend;
        let base = level + carried;
        let s = season.get(phase).copied().unwrap_or(0.0);
        let d_s = d_season.get_mut(phase).unwrap_or(&mut no_season);
        let expected = if multiplied { base * s } else { base + s };
        let error = value - expected;
        let (by_season, by_base) = if multiplied { (error / s, error / base) } else { (error, error) };
        // Slices of one length need no check of each index.
        let (d_alpha, d_beta, d_gamma) = (&d.alpha[..width], &d.beta[..width], &d.gamma[..width]);
        let d_damping = &d.damping[..width];
        let (d_level, d_trend) = (&mut d_level[..width], &mut d_trend[..width]);
        let (d_s, d_expected) = (&mut d_s[..width], &mut d_expected[..width]);
        for k in 0..width {
            let d_carried = p.damping * d_trend[k] + d_damping[k] * trend;
            let d_base = d_level[k] + d_carried;
            let d_e = if multiplied { d_base * s + base * d_s[k] } else { d_base + d_s[k] };
            d_expected[k] = d_e;
            let (d_by_season, d_by_base) = if multiplied {
                ((-d_e - by_season * d_s[k]) / s, (-d_e - by_base * d_base) / base)
            } else {
                (-d_e, -d_e)
            };
            d_level[k] = d_base + d_alpha[k] * by_season + p.alpha * d_by_season;
            d_trend[k] = d_carried + d_beta[k] * by_season + p.beta * d_by_season;
            d_s[k] += d_gamma[k] * by_base + p.gamma * d_by_base;
        }
        level = base + p.alpha * by_season;
        trend = carried + p.beta * by_season;
        if let Some(slot) = season.get_mut(phase) {
            *slot = s + p.gamma * by_base;
        }
        each(i, expected, d_expected);
    }
}
