//! Native histograms as they are stored and handed to queries: counts as floats.
//!
//! Schema `-4..=8` are exponential buckets, bucket `i` covering `(b^(i-1), b^i]` with
//! `b = 2^(2^-schema)`, mirrored for negative values around a zero bucket of half width
//! `zero_threshold`. Schema [`Histogram::CUSTOM`] has explicit upper bounds instead.

/// A run of consecutive buckets: `offset` empty buckets after the previous run (the first
/// run: the index of its first bucket), then `length` buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// Gap before this run, or the first index.
    pub offset: i32,
    /// Buckets in this run.
    pub length: u32,
}

/// What the writer said about a counter reset before this sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ResetHint {
    /// Nothing is known: compare with the sample before.
    #[default]
    Unknown,
    /// A reset happened.
    Reset,
    /// No reset happened.
    NotReset,
    /// A gauge histogram: resets mean nothing.
    Gauge,
}

/// One native histogram sample.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// Resolution, `-4..=8`, or [`Histogram::CUSTOM`].
    pub schema: i32,
    /// Half width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations.
    pub sum: f64,
    /// Runs of positive buckets.
    pub positive_spans: Vec<Span>,
    /// Absolute counts of the positive buckets, run after run.
    pub positive_buckets: Vec<f64>,
    /// Runs of negative buckets.
    pub negative_spans: Vec<Span>,
    /// Absolute counts of the negative buckets.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds for schema [`Histogram::CUSTOM`], ascending; `+Inf` is implied.
    pub custom_values: Vec<f64>,
    /// What the writer said about a reset.
    pub reset_hint: ResetHint,
}

impl Histogram {
    /// The schema of histograms with explicit bucket bounds.
    pub const CUSTOM: i32 = -53;
}
