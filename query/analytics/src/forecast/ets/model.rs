//! The likelihood of a model of exponential smoothing, and the parameters that make it largest.

use super::super::classical::centred_average;
use super::super::smoothing::line;
use super::filter::{Derivatives, Parameters, follow, follow_with_derivatives};
use super::minimise::minimise;
use super::shape::Component::{Damped, Multiplied, None as Without};
use super::shape::{Component, Shape};
use crate::{Pace, Stop};

/// Weights and shares of weights are this far from 0 and from 1.
const MARGIN: f64 = 1e-4;

/// The damping is between these.
const DAMPING: (f64, f64) = (0.8, 0.98);

/// The mean square of errors below which a fit is perfect; the largest value is 1.
const PERFECT: f64 = 1e-24;

/// A number between the margins, and its derivative.
fn share(z: f64) -> (f64, f64) {
    let sigmoid = 1.0 / (1.0 + (-z).exp());
    (MARGIN + (1.0 - 2.0 * MARGIN) * sigmoid, (1.0 - 2.0 * MARGIN) * sigmoid * (1.0 - sigmoid))
}

/// The number that [`share`] maps to about `share`.
fn unshare(share: f64) -> f64 {
    (share / (1.0 - share)).ln()
}

/// Twice the negative logarithm of the likelihood; infinite where relative errors have no meaning.
pub(super) fn deviance(values: &[f64], shape: Shape, p: &Parameters) -> f64 {
    let mut sums = Sums::new(0);
    follow(values, shape, p, |i, expected, _| sums.add(values[i], expected, &[], shape.relative));
    sums.deviance(values.len(), shape.relative)
}

/// The sums of a likelihood, with their derivatives.
struct Sums {
    squares: f64,
    logarithms: f64,
    is_valid: bool,
    d_squares: Vec<f64>,
    d_logarithms: Vec<f64>,
}

impl Sums {
    fn new(width: usize) -> Sums {
        let zeros = || vec![0.0; width];
        Sums { squares: 0.0, logarithms: 0.0, is_valid: true, d_squares: zeros(), d_logarithms: zeros() }
    }

    fn add(&mut self, value: f64, expected: f64, d_expected: &[f64], relative: bool) {
        if relative {
            self.is_valid &= expected > 0.0;
            let error = value / expected - 1.0;
            self.squares += error * error;
            self.logarithms += expected.ln();
            let (factor, share) = (-2.0 * error * value / (expected * expected), 1.0 / expected);
            let sums = self.d_squares.iter_mut().zip(&mut self.d_logarithms);
            for ((squares, logarithms), d) in sums.zip(d_expected) {
                *squares += factor * d;
                *logarithms += share * d;
            }
        } else {
            let error = value - expected;
            self.squares += error * error;
            let factor = -2.0 * error;
            self.d_squares.iter_mut().zip(d_expected).for_each(|(sum, d)| *sum += factor * d);
        }
    }

    fn deviance(&self, count: usize, relative: bool) -> f64 {
        let n = count as f64;
        let mean = (self.squares / n).max(PERFECT);
        let plain = n * ((std::f64::consts::TAU * mean).ln() + 1.0);
        match relative {
            true if self.is_valid => plain + 2.0 * self.logarithms,
            true => f64::INFINITY,
            false => plain,
        }
    }

    fn gradient(&self, count: usize, relative: bool, into: &mut [f64]) {
        let n = count as f64;
        let factor = if self.squares > n * PERFECT { n / self.squares } else { 0.0 };
        for (k, into) in into.iter_mut().enumerate() {
            *into = factor * self.d_squares[k] + if relative { 2.0 * self.d_logarithms[k] } else { 0.0 };
        }
    }
}

/// The meaning of the numbers that are fitted: weights as logits, then the states before the first value as distances
/// from a first guess, in the unit of a usual error.
pub(super) struct Layout {
    shape: Shape,
    /// The states before the first value. The weights are 0.
    pub guess: Parameters,
    unit: f64,
}

impl Layout {
    /// Guesses the states before the first value: the season from moving averages of the first cycles, level and trend
    /// from a line through the first values without it.
    pub fn new(values: &[f64], shape: Shape, period: usize, pace: &mut Pace<'_>) -> Result<Layout, Stop> {
        let season = match shape.season {
            Without => Vec::new(),
            kind => seasonal_guess(&values[..values.len().min(5 * period)], period, kind, pace)?,
        };
        let plain = |(i, value): (usize, &f64)| match season.get(i % season.len().max(1)) {
            Some(index) if shape.season == Multiplied => value / index,
            Some(index) => value - index,
            None => *value,
        };
        let adjusted: Vec<f64> = values.iter().enumerate().map(plain).collect();
        let begin = &adjusted[..adjusted.len().min(10)];
        let (slope, at_first) = line(begin);
        let (level, trend) = match shape.has_trend() {
            true => (at_first - slope, slope),
            false => (begin.iter().sum::<f64>() / begin.len() as f64, 0.0),
        };
        let squares: f64 = adjusted.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum();
        let unit = (squares / adjusted.len() as f64).sqrt().max(1e-9);
        let guess = Parameters { alpha: 0.0, beta: 0.0, gamma: 0.0, damping: 1.0, level, trend, season };
        Ok(Layout { shape, guess, unit })
    }

    /// How many numbers are fitted.
    pub fn width(&self) -> usize {
        let Shape { trend, season, .. } = self.shape;
        let weights = 1 + usize::from(trend != Without) + usize::from(season != Without);
        // The values of a season have a fixed sum.
        let states = 1 + usize::from(trend != Without) + self.guess.season.len().saturating_sub(1);
        weights + usize::from(trend == Damped) + states
    }

    /// The numbers of weights and of the guessed states.
    fn start(&self, [alpha, beta, gamma]: [f64; 3]) -> Vec<f64> {
        let mut z = vec![unshare(alpha)];
        z.extend(self.shape.has_trend().then(|| unshare(beta)));
        z.extend((self.shape.season != Without).then(|| unshare(gamma)));
        z.extend((self.shape.trend == Damped).then_some(0.0));
        z.resize(self.width(), 0.0);
        z
    }

    /// The parameters that numbers mean, and their derivatives.
    fn decode(&self, z: &[f64]) -> (Parameters, Derivatives) {
        let width = z.len();
        let zeros = || vec![0.0; width];
        let mut p = self.guess.clone();
        let mut d = Derivatives {
            alpha: zeros(),
            beta: zeros(),
            gamma: zeros(),
            damping: zeros(),
            level: zeros(),
            trend: zeros(),
            season: vec![zeros(); p.season.len()],
        };
        (p.alpha, d.alpha[0]) = share(z[0]);
        let mut next = 1;
        if self.shape.has_trend() {
            let (of_alpha, derivative) = share(z[next]);
            p.beta = p.alpha * of_alpha;
            (d.beta[0], d.beta[next]) = (d.alpha[0] * of_alpha, p.alpha * derivative);
            next += 1;
        }
        if self.shape.season != Without {
            let (of_rest, derivative) = share(z[next]);
            p.gamma = (1.0 - p.alpha) * of_rest;
            (d.gamma[0], d.gamma[next]) = (-d.alpha[0] * of_rest, (1.0 - p.alpha) * derivative);
            next += 1;
        }
        if self.shape.trend == Damped {
            let (share, derivative) = share(z[next]);
            let (low, high) = DAMPING;
            p.damping = low + (high - low) * share;
            d.damping[next] = (high - low) * derivative;
            next += 1;
        }
        p.level += self.unit * z[next];
        d.level[next] = self.unit;
        next += 1;
        if self.shape.has_trend() {
            p.trend += 0.1 * self.unit * z[next];
            d.trend[next] = 0.1 * self.unit;
            next += 1;
        }
        let last = p.season.len().saturating_sub(1);
        let size = self.guess.level.abs().max(self.unit);
        let unit = if self.shape.season == Multiplied { self.unit / size } else { self.unit };
        for (phase, z) in z[next..].iter().enumerate() {
            p.season[phase] += unit * z;
            p.season[last] -= unit * z;
            d.season[phase][next + phase] = unit;
            d.season[last][next + phase] = -unit;
        }
        (p, d)
    }

    /// Fits the parameters of a series. Returns them with their deviance, which is not finite if none are valid.
    ///
    /// The deviance may have several valleys, a quick and a slow level for example, so that each is sought.
    pub fn fit(&self, values: &[f64], pace: &mut Pace<'_>) -> Result<(Parameters, f64), Stop> {
        let mut best = (self.guess.clone(), f64::INFINITY);
        for alpha in [0.05, 0.3, 0.8] {
            let Some(mut z) = self.best_start(values, alpha, pace)? else { continue };
            let found = minimise(&mut |z, gradient| self.evaluate(values, z, gradient, pace), &mut z)?;
            if found < best.1 {
                best = (self.decode(&z).0, found);
            }
        }
        Ok(best)
    }

    /// The best numbers to begin with that have a weight of the level; `None` if all are invalid.
    fn best_start(&self, values: &[f64], alpha: f64, pace: &mut Pace<'_>) -> Result<Option<Vec<f64>>, Stop> {
        let mut best = (f64::INFINITY, None);
        let betas = if self.shape.has_trend() { &[0.02, 0.3, 0.9][..] } else { &[0.02] };
        let gammas = if self.shape.season == Without { &[0.02][..] } else { &[0.02, 0.3] };
        for (beta, gamma) in betas.iter().flat_map(|&beta| gammas.iter().map(move |&gamma| (beta, gamma))) {
            pace.work(20 * values.len())?;
            let start = self.start([alpha, beta, gamma]);
            let found = deviance(values, self.shape, &self.decode(&start).0);
            if found < best.0 {
                best = (found, Some(start));
            }
        }
        Ok(best.1)
    }

    /// The deviance of a series and its derivatives.
    pub(super) fn evaluate(
        &self,
        values: &[f64],
        z: &[f64],
        gradient: &mut [f64],
        pace: &mut Pace<'_>,
    ) -> Result<f64, Stop> {
        pace.work(values.len() * (20 + 6 * z.len()))?;
        let (p, d) = self.decode(z);
        let mut sums = Sums::new(z.len());
        follow_with_derivatives(values, self.shape, &p, &d, |i, expected, d_expected| {
            sums.add(values[i], expected, d_expected, self.shape.relative);
        });
        sums.gradient(values.len(), self.shape.relative, gradient);
        Ok(sums.deviance(values.len(), self.shape.relative))
    }
}

/// The mean of each phase around or relative to moving averages of one period. There are at least two cycles.
fn seasonal_guess(
    values: &[f64],
    period: usize,
    kind: Component,
    pace: &mut Pace<'_>,
) -> Result<Vec<f64>, Stop> {
    let trend = centred_average(values, period, pace)?;
    let (mut sums, mut counts) = (vec![0.0; period], vec![0.0; period]);
    for (i, trend) in (period / 2..).zip(trend) {
        sums[i % period] += if kind == Multiplied { values[i] / trend } else { values[i] - trend };
        counts[i % period] += 1.0;
    }
    let mut season: Vec<f64> = sums.iter().zip(counts).map(|(sum, count)| sum / count).collect();
    let mean = season.iter().sum::<f64>() / period as f64;
    for index in &mut season {
        *index = if kind == Multiplied { (*index / mean).max(0.01) } else { *index - mean };
    }
    Ok(season)
}
