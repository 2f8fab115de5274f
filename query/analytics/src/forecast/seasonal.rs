//! Series with a long season, of 24 steps and more, as metrics have.
//!
//! The prediction is the mean of two methods that err differently: past seasons, moved to the newest values
//! (`profile.rs`), and exponential smoothing (`smoothed.rs`). The season of a metric often grows with its level, so both
//! work on the logarithms of a series if a plain trial predicts better with them.

use super::profile::{self, Profiles};
use super::smoothed::{self, Smoothed};
use super::trials::Trials;
use crate::{Pace, Stop};

/// A fitted series.
pub(super) struct Seasonal {
    profiles: Profiles,
    smoothed: Smoothed,
}

/// What the methods work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// The values.
    Plain,
    /// Their logarithms.
    Logarithm,
}

impl Scale {
    /// The better scale for a series with seasons, which ascend. Values of 0 and less have no logarithm.
    pub fn of(values: &[f64], seasons: &[usize], horizon: usize) -> Scale {
        if values.iter().any(|value| *value <= 0.0) {
            return Scale::Plain;
        }
        let trials = trials(values, seasons, horizon);
        let logarithms: Vec<f64> = values.iter().map(|value| value.ln()).collect();
        let plain = Profiles::trial(values, seasons);
        let by_logarithm = Profiles::trial(&logarithms, seasons);
        let error = trials.error(values, |from, h| plain.at(values, from, h));
        let error_by_logarithm = trials.error(values, |from, h| by_logarithm.at(&logarithms, from, h).exp());
        if error_by_logarithm < error { Scale::Logarithm } else { Scale::Plain }
    }

    pub fn apply(self, values: &mut [f64]) {
        if self == Scale::Logarithm {
            values.iter_mut().for_each(|value| *value = value.ln());
        }
    }

    pub fn undo(self, values: &mut [f64]) {
        if self == Scale::Logarithm {
            values.iter_mut().for_each(|value| *value = value.exp());
        }
    }
}

fn trials(values: &[f64], seasons: &[usize], horizon: usize) -> Trials {
    Trials::new(values.len(), seasons.last().copied().unwrap_or(1), horizon)
}

/// The memory that a choice of the scale and a fit take for `len` steps.
pub(super) fn bytes(len: usize) -> usize {
    profile::bytes(len) + smoothed::bytes(len)
}

impl Seasonal {
    /// Fits a series that has at least two of the longest of its seasons, which ascend.
    pub fn fit(
        values: &[f64],
        seasons: &[usize],
        horizon: usize,
        pace: &mut Pace<'_>,
    ) -> Result<Seasonal, Stop> {
        let trials = trials(values, seasons, horizon);
        Ok(Seasonal {
            profiles: Profiles::fit(values, seasons, &trials, pace)?,
            smoothed: Smoothed::fit(values, seasons, &trials, pace)?,
        })
    }

    /// The first step whose predictions are used to judge the method.
    pub fn first_origin(&self, len: usize) -> usize {
        self.profiles.first_origin(len)
    }

    /// The prediction for `h` steps after step `from`, which is not in the first season.
    pub fn at(&self, values: &[f64], from: usize, h: usize) -> f64 {
        f64::midpoint(self.profiles.at(values, from, h), self.smoothed.at(from, h))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_season_that_grows_with_its_level_is_judged_by_logarithms() {
        let wave = |i: usize| (i as f64 / 24.0 * std::f64::consts::TAU).sin();
        let growing: Vec<f64> =
            (0..24 * 30).map(|i| (1.0 + i as f64 / 200.0) * (3.0 + 2.0 * wave(i))).collect();
        assert_eq!(Scale::of(&growing, &[24], 48), Scale::Logarithm);
        let steady: Vec<f64> = (0..24 * 30).map(|i| 3.0 + i as f64 / 50.0 + 2.0 * wave(i)).collect();
        assert_eq!(Scale::of(&steady, &[24], 48), Scale::Plain);
        let with_zero: Vec<f64> =
            growing.iter().enumerate().map(|(i, v)| if i == 99 { 0.0 } else { *v }).collect();
        assert_eq!(Scale::of(&with_zero, &[24], 48), Scale::Plain);
    }
}
