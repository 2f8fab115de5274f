//! What a query's parts are expected to cost, and what they did cost.

/// What a part of a query costs. Times and what is read include the parts below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Series of its value; of a range selector, series selected.
    pub series: u64,
    /// Chunks read from storage.
    pub chunks: u64,
    /// Samples read from storage.
    pub samples: u64,
    /// Bytes its value holds; 0 where it is consumed while it is read.
    pub bytes: u64,
    /// Wall time, nanoseconds. An estimate is made of fixed prices for a chunk, a sample and
    /// a value: good for comparing parts, not for promises.
    pub time_ns: u64,
}

/// One part of a query: a node of its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// What it does: a function, an operator, or the kind of selector.
    pub operation: String,
    /// As it was written.
    pub text: String,
    /// First byte of that in the query.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// How many evaluations it has to answer.
    pub steps: u64,
    /// It has one value for the whole query and is evaluated once.
    pub step_invariant: bool,
    /// Its work is shared by several cores.
    pub parallel: bool,
    /// What it was expected to cost, from the index and the catalogue alone.
    pub estimated: Cost,
    /// What it did cost; `None` where it was not evaluated by itself.
    pub actual: Option<Cost>,
    /// What it works on.
    pub children: Vec<Explained>,
}
