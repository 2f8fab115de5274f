//! How unusual each value is, compared only with the values before it: what an alert would have known at the time.
//!
//! For every method, a score of 1 is the alert threshold. [`onsets`] converts scores to events.

mod ar;
mod esd;
mod fused;
mod iforest;
mod past;
mod track;

use crate::size::Size;
use crate::{Check, Error, Pace, Unfit};
pub use fused::Tuning;
use track::{Track, WARM_UP};

/// Minimum number of values that can be scored; [`Method::Ar`] needs more.
pub const LEAST: usize = 150;

/// How values are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// By the usual range and by the same time in other seasons, both robust: see `fused.rs`.
    #[default]
    Auto,
    /// By the standard deviation of the last 4,000 values; three of them are the alert threshold.
    Zscore,
    /// By the median absolute deviation of the last 4,000 values; three, on the scale of a standard deviation, are the
    /// alert threshold.
    Mad,
    /// By the prediction of an autoregression: see `ar.rs`.
    Ar,
    /// By a seasonal hybrid test of extreme Studentized deviates: see `esd.rs`.
    Esd,
    /// By an isolation forest: see `iforest.rs`. It expects no value in particular.
    Iforest,
}

impl Method {
    /// All methods with their names.
    pub const ALL: [(&'static str, Method); 6] = [
        ("auto", Method::Auto),
        ("zscore", Method::Zscore),
        ("mad", Method::Mad),
        ("ar", Method::Ar),
        ("esd", Method::Esd),
        ("iforest", Method::Iforest),
    ];
}

/// The judgement of a detector about a value.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    score: f64,
    expected: f64,
    scale: f64,
}

/// Scores, and the range in which each value was expected.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scores {
    /// How unusual each value is; 1 is the alert threshold. NaN for a missing value, and while too little is known.
    pub scores: Vec<f64>,
    /// The expected value.
    pub expected: Vec<f64>,
    /// The usual distance from it, on the scale of a standard deviation.
    pub scale: Vec<f64>,
}

/// Number of values that the simple methods compare with.
const HISTORY: usize = 4000;

enum Detector {
    Fused(fused::Detector),
    Moments(Moments),
    Mad(Track),
    Ar(ar::Detector),
    Esd(esd::Detector),
    Iforest(iforest::Detector),
}

impl Detector {
    fn new(method: Method, period: Option<usize>) -> Detector {
        match method {
            Method::Auto => Detector::Fused(fused::Detector::new(Tuning::default(), period)),
            Method::Zscore => Detector::Moments(Moments::default()),
            Method::Mad => Detector::Mad(Track::without_tail(HISTORY)),
            Method::Ar => Detector::Ar(ar::Detector::new(period)),
            Method::Esd => Detector::Esd(esd::Detector::new(period)),
            Method::Iforest => Detector::Iforest(iforest::Detector::new(period)),
        }
    }

    /// The work for one value.
    fn work(&self) -> usize {
        match self {
            Detector::Iforest(_) => iforest::WORK,
            _ => 2000,
        }
    }

    fn step(&mut self, value: f64) -> Verdict {
        match self {
            Detector::Fused(detector) => detector.step(value),
            Detector::Ar(detector) => detector.step(value),
            Detector::Esd(detector) => detector.step(value),
            Detector::Iforest(detector) => detector.step(value),
            Detector::Moments(moments) => {
                let (expected, scale) = moments.expected();
                let distance = (value - expected).abs();
                moments.push(value);
                let score = match distance {
                    _ if !value.is_finite() => f64::NAN,
                    0.0 => 0.0,
                    _ => distance / scale / 3.0,
                };
                Verdict { score, expected, scale }
            }
            Detector::Mad(track) => {
                let (expected, scale) = track.expected().unwrap_or((f64::NAN, f64::NAN));
                let score = if value.is_finite() { track.judge(value) } else { None };
                Verdict { score: score.map_or(f64::NAN, |score| score / 3.0), expected, scale }
            }
        }
    }
}

/// The memory that [`score`] takes for `len` values.
pub fn bytes(len: usize, method: Method, period: Option<usize>) -> usize {
    let fitting = period.filter(|&period| fits(len, period));
    let state = match method {
        Method::Auto => fused::Detector::bytes(&Tuning::default(), fitting),
        Method::Zscore => HISTORY * size_of::<f64>(),
        Method::Mad => Track::bytes(HISTORY),
        Method::Ar => ar::Detector::bytes(len),
        Method::Esd => esd::Detector::bytes(fitting),
        Method::Iforest => iforest::Detector::bytes(len),
    };
    3 * len * size_of::<f64>() + state
}

/// Whether a season can be compared with an earlier one.
fn fits(len: usize, period: usize) -> bool {
    (2..len).contains(&period)
}

/// The least number of values of which a method scores the last one.
fn least(method: Method, period: Option<usize>) -> usize {
    if method == Method::Ar { ar::least(period) } else { LEAST }
}

/// Scores every value by those before it. A season that the series is too short for is not used.
///
/// # Errors
/// Fewer than [`LEAST`] values (for [`Method::Ar`], 351), a result beyond the largest number, and a stop by the caller.
pub fn score(
    values: &[f64],
    method: Method,
    period: Option<usize>,
    check: Check<'_>,
) -> Result<Scores, Error> {
    let long_enough = |period| fits(values.len(), period) && values.len() >= least(method, Some(period));
    let period = period.filter(|&period| long_enough(period));
    run(values, Detector::new(method, period), least(method, period), check)
}

/// Scores every value as [`Method::Auto`] does, with other constants.
///
/// # Errors
/// Same as [`score`].
pub fn score_tuned(
    values: &[f64],
    tuning: Tuning,
    period: Option<usize>,
    check: Check<'_>,
) -> Result<Scores, Error> {
    let period = period.filter(|&period| fits(values.len(), period));
    run(values, Detector::Fused(fused::Detector::new(tuning, period)), LEAST, check)
}

fn run(values: &[f64], mut detector: Detector, least: usize, check: Check<'_>) -> Result<Scores, Error> {
    let there = values.iter().filter(|value| value.is_finite()).count();
    if there < least {
        return Err(Unfit::TooShort { has: there, needs: least }.into());
    }
    let mut pace = Pace::new(check);
    let mut result = Scores::default();
    for part in [&mut result.scores, &mut result.expected, &mut result.scale] {
        part.reserve_exact(values.len());
    }
    let size = Size::of(values);
    for &value in values {
        pace.work(detector.work())?;
        let verdict = detector.step(size.apply(value));
        result.scores.push(verdict.score);
        result.expected.push(verdict.expected);
        result.scale.push(verdict.scale);
    }
    size.undo_all(&mut result.expected);
    size.undo_all(&mut result.scale);
    if result.scores.iter().all(|score| score.is_nan()) {
        return Err(Unfit::Overflow.into());
    }
    Ok(result)
}

/// The steps at which an event begins: the score reaches `line`, and no event began in the `hold` steps before.
pub fn onsets(scores: &[f64], line: f64, hold: usize) -> Vec<usize> {
    let mut onsets: Vec<usize> = Vec::new();
    for (i, &score) in scores.iter().enumerate() {
        if score >= line && onsets.last().is_none_or(|&last| i - last >= hold.max(1)) {
            onsets.push(i);
        }
    }
    onsets
}

/// Mean and standard deviation of the newest values. Sums are taken of distances from one of them, and computed again now
/// and then, so that rounding does not add up.
#[derive(Debug, Clone, Default)]
struct Moments {
    ring: std::collections::VecDeque<f64>,
    origin: f64,
    sum: f64,
    squares: f64,
    since: usize,
}

/// The share of a sum below which its rounding is too much.
const ROUNDED: f64 = 1e-6;

impl Moments {
    fn expected(&self) -> (f64, f64) {
        let count = self.ring.len() as f64;
        if count < WARM_UP as f64 {
            return (f64::NAN, f64::NAN);
        }
        let mean = self.sum / count;
        let least = 1e-9 * (self.origin + mean).abs().max(f64::MIN_POSITIVE);
        (self.origin + mean, (self.squares / count - mean * mean).max(0.0).sqrt().max(least))
    }

    fn push(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        let squares_before = self.squares;
        if self.ring.len() == HISTORY
            && let Some(leaving) = self.ring.pop_front()
        {
            self.add(leaving, -1.0);
        }
        // What is left of the sums without a value that was most of them is their rounding.
        let has_left = self.squares < ROUNDED * squares_before;
        self.ring.push_back(value);
        self.add(value, 1.0);
        self.since += 1;
        if self.since >= HISTORY || self.ring.len() == 1 || has_left {
            // The newest value is among those of the sums until they are computed again.
            (self.since, self.origin, self.sum, self.squares) = (0, value, 0.0, 0.0);
            (0..self.ring.len()).for_each(|i| self.add(self.ring[i], 1.0));
        }
    }

    fn add(&mut self, value: f64, sign: f64) {
        let distance = value - self.origin;
        self.sum += sign * distance;
        self.squares += sign * distance * distance;
    }
}

#[cfg(test)]
mod tests;
