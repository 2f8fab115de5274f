//! The default detector: how far a value is from its usual range and from the values of the same time in other seasons.
//!
//! Three distances are averaged: of the mean of the last six values from such means before it; and of the same mean,
//! and of the value itself, from the median of the same time in the last seven seasons. Each is measured on its own
//! robust scale (`track.rs`). A mean distance of 2.75 scales is the alert line, a score of 1. Until one season has
//! passed, or without one, the first distance alone is the score, and four scales are the line.

use super::Verdict;
use super::past::Past;
use super::track::Track;

/// The constants of the detector. The default ones are used in queries; a benchmark varies them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Values whose mean is compared.
    pub short: usize,
    /// The number of values from which centre and scale are computed.
    pub history: usize,
    /// Seasons whose same time is compared.
    pub seasons: usize,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning { short: 6, history: 4000, seasons: 7 }
    }
}

/// The mean distance, in scales, at which there is an alert.
const LINE: f64 = 2.75;

/// The same for one distance alone, which is large far more often than a mean of three.
const LINE_ALONE: f64 = 4.0;

/// The state of the detector over one series.
#[derive(Debug, Clone)]
pub(super) struct Detector {
    tuning: Tuning,
    past: Past,
    plain: Track,
    seasonal_mean: Track,
    seasonal_value: Track,
}

impl Detector {
    pub fn new(tuning: Tuning, period: Option<usize>) -> Detector {
        let track = || Track::new(tuning.history);
        Detector {
            tuning,
            past: Past::new(period, tuning.seasons, tuning.short),
            plain: track(),
            seasonal_mean: track(),
            seasonal_value: track(),
        }
    }

    pub fn bytes(tuning: &Tuning, period: Option<usize>) -> usize {
        3 * Track::bytes(tuning.history) + Past::bytes(period, tuning.seasons, tuning.short)
    }

    /// Scores a value by those before it, and adds it to them.
    pub fn step(&mut self, value: f64) -> Verdict {
        self.past.push(value);
        let usual = self.past.usual();
        let expected = match usual {
            Some(usual) => self.seasonal_value.expected().map(|(centre, scale)| (usual + centre, scale)),
            None => None,
        };
        let expected = expected.or_else(|| self.plain.expected());
        let score = if value.is_finite() { self.score(value, usual) } else { None };
        let (centre, scale) = expected.unwrap_or((f64::NAN, f64::NAN));
        Verdict { score: score.unwrap_or(f64::NAN), expected: centre, scale }
    }

    fn score(&mut self, value: f64, usual: Option<f64>) -> Option<f64> {
        let mean = self.recent_mean();
        let plain = self.plain.judge(mean);
        let Some(usual) = usual else { return Some(plain? / LINE_ALONE) };
        let by_mean = self.seasonal_mean.judge(mean - usual);
        let by_value = self.seasonal_value.judge(value - usual);
        match (by_mean, by_value) {
            (Some(by_mean), Some(by_value)) => Some((plain? + by_mean + by_value) / 3.0 / LINE),
            _ => Some(plain? / LINE_ALONE),
        }
    }

    /// The mean of the last few values that exist.
    fn recent_mean(&self) -> f64 {
        let recent = (0..self.tuning.short).filter_map(|back| self.past.back(back));
        let (sum, count) = recent.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        sum / count
    }
}
