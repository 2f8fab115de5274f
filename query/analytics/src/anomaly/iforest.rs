//! A detector by isolation forests (see [`crate::forest`]): how few random cuts separate the newest value, with what
//! happened just before it, from the last 4,000 of such rows.
//!
//! A row has the value, its change, mean and deviation of the last 12 values, and the place in the season as a point on a
//! circle. A forest is grown again whenever an eighth of the rows is new, from rows before the scored ones alone.

use super::Verdict;
use super::past::Past;
use crate::forest::{Forest, Options};

/// The number of rows that a forest is grown from.
const HISTORY: usize = 4000;

/// The number of rows before the first forest.
const FIRST: usize = 100;

/// The number of values whose mean and deviation a row has.
const SHORT: usize = 12;

/// The trees of a forest, and the rows of each.
const OPTIONS: Options = Options { trees: 50, sample: 256 };

/// A distance that is this share of the largest value or less is none, so that a series that hardly ever moves may.
const LEAST: f64 = 1e-3;

/// The score of a row that no cuts but the usual number separate.
const USUAL: f64 = 0.5;

/// The score of a row at which there is an alert.
const LINE: f64 = 0.7;

/// The work for one value: the cuts of all trees, and its share in growing them.
pub(super) const WORK: usize = 15_000;

/// Value, change, mean, deviation, and two numbers for the place in the season.
const WIDTH: usize = 6;

/// The state of the detector over one series.
#[derive(Debug, Clone)]
pub(super) struct Detector {
    period: Option<usize>,
    past: Past,
    seen: usize,
    /// A ring of rows.
    rows: Vec<[f64; WIDTH]>,
    /// The number of rows so far.
    count: usize,
    /// The number of rows for the forest.
    grown_at: usize,
    forest: Option<Forest<WIDTH>>,
}

impl Detector {
    pub fn new(period: Option<usize>) -> Detector {
        let past = Past::new(None, 0, SHORT);
        Detector { period, past, seen: 0, rows: Vec::new(), count: 0, grown_at: 0, forest: None }
    }

    pub fn bytes(len: usize) -> usize {
        let rows = len.min(HISTORY);
        // The ring may grow to twice the rows, and a forest sees their places.
        2 * rows * size_of::<[f64; WIDTH]>()
            + rows * size_of::<usize>()
            + 2 * Forest::<WIDTH>::bytes(&OPTIONS)
    }

    /// Scores a value by those before it, and adds it to them.
    pub fn step(&mut self, value: f64) -> Verdict {
        self.past.push(value);
        let row = self.row(value);
        self.seen += 1;
        let mut score = f64::NAN;
        if row.iter().all(|number| number.is_finite()) {
            if let Some(forest) = &self.forest {
                score = ((forest.score(&row) - USUAL) / (LINE - USUAL)).max(0.0);
            }
            self.add(row);
        }
        Verdict { score, expected: f64::NAN, scale: f64::NAN }
    }

    fn row(&self, value: f64) -> [f64; WIDTH] {
        let recent = || (0..SHORT).filter_map(|back| self.past.back(back));
        let count = recent().count() as f64;
        let mean = recent().sum::<f64>() / count;
        let squares = recent().map(|value| (value - mean) * (value - mean)).sum::<f64>();
        let deviation = (squares / count).sqrt();
        let change = self.past.back(1).map_or(0.0, |before| value - before);
        let place = self.period.map_or(0.0, |period| (self.seen % period) as f64 / period as f64);
        let (sin, cos) = (place * std::f64::consts::TAU).sin_cos();
        [value, change, mean, deviation, sin, cos]
    }

    fn add(&mut self, row: [f64; WIDTH]) {
        if self.rows.len() < HISTORY {
            self.rows.push(row);
        } else {
            self.rows[self.count % HISTORY] = row;
        }
        self.count += 1;
        if self.count >= FIRST && self.count - self.grown_at >= self.rows.len() / 8 {
            self.grown_at = self.count;
            let size = self.rows.iter().fold(0.0_f64, |size, row| size.max(row[0].abs()));
            let least = LEAST * size;
            self.forest = Some(Forest::grow(&self.rows, &[least, least, least, least, 0.0, 0.0], &OPTIONS));
        }
    }
}
