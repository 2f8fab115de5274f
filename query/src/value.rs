//! What comes out of a query.

use std::sync::Arc;

use barograph_engine::model::{Histogram, Labels};

use crate::explain::Explained;

/// One result value.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// One element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSample {
    /// The labels that are left after the whole expression.
    pub labels: Labels,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The value.
    pub value: SampleValue,
}

/// One series of a matrix: floats and histograms, each ascending in time; no time occurs
/// in both.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MatrixSeries {
    /// The labels that are left after the whole expression.
    pub labels: Labels,
    /// Time in milliseconds and value.
    pub floats: Vec<(i64, f64)>,
    /// Time in milliseconds and histogram.
    pub histograms: Vec<(i64, Arc<Histogram>)>,
}

/// The answer of a query by type.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryValue {
    /// One number and its time in milliseconds.
    Scalar(i64, f64),
    /// Text and its time in milliseconds.
    String(i64, String),
    /// An instant vector. Ordered only after `sort*`, `topk`, `bottomk`.
    Vector(Vec<VectorSample>),
    /// A range vector, or the answer of a range query; sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// What a query cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueryStats {
    /// Samples read by selectors, counted once for each evaluation they served.
    pub samples_total: u64,
    /// Most samples held at once.
    pub samples_peak: u64,
    /// Most bytes held at once.
    pub bytes_peak: u64,
    /// Series selected.
    pub series_total: u64,
    /// Wall time of the evaluation, nanoseconds.
    pub eval_ns: u64,
}

/// The answer of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The value.
    pub value: QueryValue,
    /// `PromQL warning: … (line:column)`, each text once, in order of appearance.
    pub warnings: Vec<String>,
    /// `PromQL info: … (line:column)`.
    pub infos: Vec<String>,
    /// What it cost.
    pub stats: QueryStats,
    /// Time of each step in milliseconds and samples read for it, if that was asked. What a
    /// subquery reads counts for the first step that needs it.
    pub samples_per_step: Vec<(i64, u64)>,
    /// What each part was expected to cost and did, if that was asked.
    pub explain: Option<Explained>,
}

/// A float as `%g` prints it.
pub(crate) fn go_float(v: f64) -> String {
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let exponent = if v == 0.0 || v.is_nan() { 0.0 } else { v.abs().log10().floor() };
    if !(-4.0..21.0).contains(&exponent) {
        let text = format!("{v:e}");
        let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match power.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', power),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{v}")
}
