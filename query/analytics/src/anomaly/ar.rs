//! A detector by autoregression: how far a value is from what the values before it predict.
//!
//! The prediction is linear in the last 24 values and in the value one season before. Its weights are the least-squares
//! solution over the last 2,000 values, with a little ridge so that there always is one, and are computed again every
//! 250 values.

use super::Verdict;
use super::track::{Track, WARM_UP};

/// The number of preceding values that a prediction reads.
const LAGS: usize = 24;

/// The number of values that the weights are fitted to.
const FIT: usize = 2000;

/// The number of values after which the weights are fitted again.
const REFIT: usize = 250;

/// The share of a predictor's variance that is added to it.
const RIDGE: f64 = 1e-3;

/// The number of errors from which centre and scale are computed.
const HISTORY: usize = 4000;

/// The distance, in scales, at which there is an alert.
const LINE: f64 = 5.0;

/// Maximum number of predictors: lags, season and a constant.
const WIDTH: usize = LAGS + 2;

/// The least number of values of which the last one has a score: the weights are fitted after a multiple of [`REFIT`], and
/// the errors of the values after that are its scale.
pub(super) fn least(period: Option<usize>) -> usize {
    (period.unwrap_or(0).max(LAGS) + 2 * WIDTH).next_multiple_of(REFIT) + WARM_UP + 1
}

/// The state of the detector over one series.
#[derive(Debug, Clone)]
pub(super) struct Detector {
    period: Option<usize>,
    /// All values of the series. A missing value is replaced by its prediction, or by the value before it.
    past: Vec<f64>,
    weights: Option<[f64; WIDTH]>,
    errors: Track,
}

impl Detector {
    pub fn new(period: Option<usize>) -> Detector {
        Detector { period, past: Vec::new(), weights: None, errors: Track::new(HISTORY) }
    }

    pub fn bytes(len: usize) -> usize {
        Track::bytes(HISTORY) + (len + WIDTH * (WIDTH + 1)) * size_of::<f64>()
    }

    /// Scores a value by those before it, and adds it to them.
    pub fn step(&mut self, value: f64) -> Verdict {
        let now = self.past.len();
        let predicted = self.weights.map(|weights| {
            let mut row = [0.0; WIDTH];
            self.predictors(now, &mut row);
            row.iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>()
        });
        let mut verdict = Verdict { score: f64::NAN, expected: f64::NAN, scale: f64::NAN };
        if let Some(predicted) = predicted {
            if let Some((centre, scale)) = self.errors.expected() {
                (verdict.expected, verdict.scale) = (predicted + centre, scale);
            }
            if value.is_finite() {
                verdict.score = self.errors.judge(value - predicted).map_or(f64::NAN, |score| score / LINE);
            }
        }
        let filled = predicted.filter(|v| v.is_finite()).or(self.past.last().copied()).unwrap_or(0.0);
        let known = if value.is_finite() { value } else { filled };
        self.past.push(known);
        if self.past.len().is_multiple_of(REFIT) {
            self.weights = self.fit();
        }
        verdict
    }

    /// The steps before a value that can be predicted.
    fn reach(&self) -> usize {
        self.period.unwrap_or(0).max(LAGS)
    }

    fn predictors(&self, at: usize, row: &mut [f64; WIDTH]) {
        for (lag, x) in row[..LAGS].iter_mut().enumerate() {
            *x = self.past[at - 1 - lag];
        }
        row[LAGS] = self.period.map_or(0.0, |period| self.past[at - period]);
        row[LAGS + 1] = 1.0;
    }

    fn fit(&self) -> Option<[f64; WIDTH]> {
        let first = self.past.len().saturating_sub(FIT).max(self.reach());
        if self.past.len() < first + 2 * WIDTH {
            return None;
        }
        let mut normal = [[0.0; WIDTH]; WIDTH];
        let mut target = [0.0; WIDTH];
        let mut row = [0.0; WIDTH];
        for at in first..self.past.len() {
            self.predictors(at, &mut row);
            for (i, x) in row.iter().enumerate() {
                target[i] += x * self.past[at];
                for (j, y) in row[..=i].iter().enumerate() {
                    normal[i][j] += x * y;
                }
            }
        }
        for (i, row) in normal.iter_mut().enumerate() {
            row[i] += RIDGE * row[i] + f64::MIN_POSITIVE;
        }
        solve(normal, target).filter(|weights| weights.iter().all(|w| w.is_finite()))
    }
}

/// Solves a symmetric positive definite system, given by its lower half, by Cholesky's decomposition.
fn solve(mut a: [[f64; WIDTH]; WIDTH], mut b: [f64; WIDTH]) -> Option<[f64; WIDTH]> {
    for i in 0..WIDTH {
        for j in 0..=i {
            let products: f64 = (0..j).map(|k| a[i][k] * a[j][k]).sum();
            let rest = a[i][j] - products;
            a[i][j] = if i == j { Some(rest).filter(|rest| *rest > 0.0)?.sqrt() } else { rest / a[j][j] };
        }
    }
    for i in 0..WIDTH {
        let products: f64 = (0..i).map(|k| a[i][k] * b[k]).sum();
        b[i] = (b[i] - products) / a[i][i];
    }
    for i in (0..WIDTH).rev() {
        let products: f64 = (i + 1..WIDTH).map(|k| a[k][i] * b[k]).sum();
        b[i] = (b[i] - products) / a[i][i];
    }
    Some(b)
}
