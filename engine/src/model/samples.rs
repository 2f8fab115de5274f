//! Sample values and columns of samples.

mod duplicates;
mod rules;

pub(crate) use duplicates::Comparable;
pub use duplicates::Duplicates;
pub(crate) use rules::{DuplicateRules, RuleOf, SeriesRules};

use std::sync::Arc;

use crate::model::{Histogram, Timestamp};

/// The bits of the stale marker, a NaN that says "this series ended here".
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Whether `value` is the stale marker (and not some other NaN).
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// The value of one sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A float; every bit pattern is preserved.
    Float(f64),
    /// An integer, exact over the whole range of `i64`. Queries see it as the nearest float.
    Int(i64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

impl Value {
    /// The size of the value's heap memory: that of a histogram.
    #[inline]
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Value::Float(_) | Value::Int(_) => 0,
            Value::Histogram(histogram) => histogram.memory_bytes(),
        }
    }
}

/// Samples of one series in ascending time order: columns, not rows.
///
/// A histogram sample has its timestamp in `timestamps`, NaN in `values`, and its histogram in `histograms` under its
/// index. Most series have no histograms, so that list and `start_timestamps` are usually empty and cost nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// Nanoseconds, strictly ascending.
    pub timestamps: Vec<Timestamp>,
    /// One value for each timestamp.
    pub values: Vec<f64>,
    /// Histogram samples: index into `timestamps`, ascending.
    pub histograms: Vec<(u32, Arc<Histogram>)>,
    /// Empty, or one start timestamp for each sample; 0 means unknown.
    pub start_timestamps: Vec<Timestamp>,
}

impl Samples {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Empties all columns, keeping their memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.histograms.clear();
        self.start_timestamps.clear();
    }

    /// Appends a float sample.
    pub fn push(&mut self, timestamp: Timestamp, value: f64) {
        self.timestamps.push(timestamp);
        self.values.push(value);
        if !self.start_timestamps.is_empty() {
            self.start_timestamps.push(0);
        }
    }
}
