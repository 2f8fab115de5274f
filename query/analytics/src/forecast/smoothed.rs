//! Series with a long season by exponential smoothing: a level, and for each season a value for every phase, all of
//! which follow the series (Taylor, 2003).
//!
//! A part of the last error is carried forward and fades. The weights are the best ones for the last third of the
//! series.

use super::trials::Trials;
use crate::{Pace, Stop};

/// The weights of the newest error that are tried: in the level, and in the phase of a season.
const LEVELS: [f64; 4] = [0.005, 0.03, 0.1, 0.3];
const PHASES: [f64; 4] = [0.03, 0.1, 0.2, 0.4];

/// The shares of an error that remain after one step.
const CARRIES: [f64; 5] = [0.0, 0.5, 0.8, 0.93, 0.98];

/// The number of seasons that are followed: the longest ones.
const SEASONS: usize = 2;

/// A fitted series.
pub(super) struct Smoothed {
    seasons: Vec<Followed>,
    level: f64,
    carry: f64,
    /// The level after each step.
    levels: Vec<f64>,
    /// How far each value was from its prediction.
    errors: Vec<f64>,
}

/// A season that follows the series.
struct Followed {
    length: usize,
    weight: f64,
    /// The value of each phase before the first step.
    begin: Vec<f64>,
    /// The value of each step's phase after that step.
    values: Vec<f64>,
}

/// The memory that a fit takes for `len` steps.
pub(super) fn bytes(len: usize) -> usize {
    (4 + 2 * SEASONS) * len * size_of::<f64>()
}

impl Smoothed {
    /// Fits a series that has at least two of the longest of its seasons, which ascend.
    pub fn fit(
        values: &[f64],
        seasons: &[usize],
        trials: &Trials,
        pace: &mut Pace<'_>,
    ) -> Result<Smoothed, Stop> {
        let mut fit = Smoothed::begin(values, seasons);
        let shorter: &[f64] = if fit.seasons.len() > 1 { &PHASES } else { &[0.0] };
        let mut best = (f64::INFINITY, [LEVELS[0], PHASES[0], 0.0, 0.0]);
        for level in LEVELS {
            for long in PHASES {
                for &short in shorter {
                    pace.work(30 * values.len() + 30_000)?;
                    fit.follow(values, [level, long, short]);
                    for carry in CARRIES {
                        fit.carry = carry;
                        let error = trials.error(values, |from, h| fit.at(from, h));
                        if error < best.0 {
                            best = (error, [level, long, short, carry]);
                        }
                    }
                }
            }
        }
        let (_, [level, long, short, carry]) = best;
        fit.follow(values, [level, long, short]);
        fit.carry = carry;
        Ok(fit)
    }

    /// The state before the first step: a line through the means of the two first of the longest seasons, and the mean
    /// distance from it of each phase, of the shorter season first.
    ///
    /// Without the slope, the phases would contain it, and the smallest weight forgets them only after many seasons.
    fn begin(values: &[f64], seasons: &[usize]) -> Smoothed {
        let longest = seasons.last().copied().unwrap_or(1);
        let mean = |values: &[f64]| values.iter().map(|value| value / values.len() as f64).sum::<f64>();
        let (first, second) = values[..2 * longest].split_at(longest);
        let slope = (mean(second) - mean(first)) / longest as f64;
        let level = mean(first) - slope * (longest - 1) as f64 / 2.0;
        let line = |(i, value): (usize, &f64)| value - (level + slope * i as f64);
        let mut rest: Vec<f64> = values[..2 * longest].iter().enumerate().map(line).collect();
        let mut followed = Vec::new();
        for &length in &seasons[seasons.len().saturating_sub(SEASONS)..] {
            let mut begin = vec![0.0; length];
            let mut counts = vec![0.0; length];
            for (i, value) in rest.iter().enumerate() {
                begin[i % length] += value;
                counts[i % length] += 1.0;
            }
            begin.iter_mut().zip(&counts).for_each(|(sum, count)| *sum /= count);
            rest.iter_mut().enumerate().for_each(|(i, value)| *value -= begin[i % length]);
            followed.insert(0, Followed { length, weight: 0.0, begin, values: vec![0.0; values.len()] });
        }
        Smoothed {
            seasons: followed,
            level,
            carry: 0.0,
            levels: vec![0.0; values.len()],
            errors: vec![0.0; values.len()],
        }
    }

    /// Follows the series with weights of the level, the longest season and the next one.
    fn follow(&mut self, values: &[f64], [weight, long, short]: [f64; 3]) {
        self.seasons.iter_mut().zip([long, short]).for_each(|(season, weight)| season.weight = weight);
        let mut level = self.level;
        for (i, value) in values.iter().enumerate() {
            let phases = self.seasons.iter().map(|season| season.before(i)).sum::<f64>();
            let error = value - level - phases;
            level += weight * error;
            for season in &mut self.seasons {
                season.values[i] = season.before(i) + season.weight * error;
            }
            self.levels[i] = level;
            self.errors[i] = error;
        }
    }

    /// The prediction for `h` steps after step `from`.
    pub fn at(&self, from: usize, h: usize) -> f64 {
        let phases = self.seasons.iter().map(|season| season.at(from, h)).sum::<f64>();
        let carried = if self.carry > 0.0 { self.errors[from] * self.carry.powf(h as f64) } else { 0.0 };
        self.levels[from] + phases + carried
    }
}

impl Followed {
    /// The value of a step's phase before that step.
    fn before(&self, step: usize) -> f64 {
        match step.checked_sub(self.length) {
            Some(earlier) => self.values[earlier],
            None => self.begin[step],
        }
    }

    fn at(&self, from: usize, h: usize) -> f64 {
        match (from + h).checked_sub(self.length * h.div_ceil(self.length)) {
            Some(step) => self.values[step],
            None => self.begin[(from + h) % self.length],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(values: &[f64], seasons: &[usize]) -> Smoothed {
        let trials = Trials::new(values.len(), seasons[seasons.len() - 1], 20);
        Smoothed::fit(values, seasons, &trials, &mut Pace::new(&mut || Ok(()))).unwrap()
    }

    #[test]
    fn two_seasons_are_continued() {
        let value = |i: usize| 5.0 + (i % 6) as f64 + if (i / 6) % 7 >= 5 { -3.0 } else { 0.0 };
        let values: Vec<f64> = (0..42 * 9).map(value).collect();
        let fit = fit(&values, &[6, 42]);
        for h in 1..=100 {
            let got = fit.at(values.len() - 1, h);
            assert!((got - value(values.len() - 1 + h)).abs() < 1e-6, "{h}: {got}");
        }
    }

    #[test]
    fn a_season_that_grows_is_followed() {
        let value = |i: usize| i as f64 / 400.0 * [1.0, 2.0, 0.0, -3.0][i % 4];
        let values: Vec<f64> = (0..400).map(value).collect();
        let fit = fit(&values, &[4]);
        assert!((1..=8).all(|h| (fit.at(399, h) - value(399 + h)).abs() < 0.2));
    }

    #[test]
    fn an_error_fades() {
        let mut fit = fit(&[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0], &[2]);
        let without = [1, 3].map(|h| fit.at(7, h));
        fit.errors[7] = 8.0;
        fit.carry = 0.5;
        let with = [1, 3].map(|h| fit.at(7, h));
        assert_eq!([with[0] - without[0], with[1] - without[1]], [4.0, 1.0]);
    }
}
