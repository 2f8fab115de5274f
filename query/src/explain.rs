//! The estimated and the actual cost of the parts of a query.

use std::time::Duration;

/// What a part of a query costs. Times and what is read include the parts below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Cost {
    /// Series in its value; for a range selector, the selected series.
    pub series: u64,
    /// Chunks read from storage.
    pub chunks: u64,
    /// Samples read from storage.
    pub samples: u64,
    /// Buckets of tiers read from storage.
    pub buckets: u64,
    /// Bytes of its value; 0 if the value is consumed while it is read.
    pub bytes: u64,
    /// Wall time, nanoseconds. Estimates use fixed prices for a chunk, a sample and a value; use them only to compare
    /// parts.
    pub time: Duration,
}

/// One part of a query: a node of its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// The operation: a function, an operator, or the kind of selector.
    pub operation: String,
    /// Its text in the query.
    pub text: String,
    /// Position of the first byte of the text in the query.
    pub start: u32,
    /// Position after the last byte.
    pub end: u32,
    /// The number of steps it is evaluated for.
    pub steps: u64,
    /// Whether it has one value for the whole query and is evaluated once.
    pub step_invariant: bool,
    /// Whether its work is shared by several cores.
    pub parallel: bool,
    /// The width of the buckets that answer it; `None` if samples do.
    pub tier: Option<Duration>,
    /// The estimated cost, from the index and the catalogue alone.
    pub estimated: Cost,
    /// The actual cost; `None` if it was not evaluated separately.
    pub actual: Option<Cost>,
    /// Its operands.
    pub children: Vec<Explained>,
}
