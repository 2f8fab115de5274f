//! Results of queries.

use std::sync::Arc;

use barograph_engine::model::{Histogram, Labels};

use crate::explain::Explained;

/// A value in a result.
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
    /// The labels in the result of the whole expression.
    pub labels: Labels,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The value.
    pub value: SampleValue,
}

/// One series of a matrix: floats and histograms, each in time order; no time occurs in both.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MatrixSeries {
    /// The labels in the result of the whole expression.
    pub labels: Labels,
    /// Time in milliseconds and value.
    pub floats: Vec<(i64, f64)>,
    /// Time in milliseconds and histogram.
    pub histograms: Vec<(i64, Arc<Histogram>)>,
}

/// The result of a query, by type.
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

/// The cost of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueryStats {
    /// Samples read by selectors, counted once for each evaluation that used them.
    pub samples_total: u64,
    /// Maximum number of samples held at once.
    pub samples_peak: u64,
    /// Maximum number of bytes held at once.
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
    /// The cost.
    pub stats: QueryStats,
    /// The time of each step in milliseconds, and the samples read for it, if requested. Samples that a subquery reads
    /// count toward the first step that needs them.
    pub samples_per_step: Vec<(i64, u64)>,
    /// The estimated and actual cost of each part, if requested.
    pub explain: Option<Explained>,
}

/// A float as formatted by Go's `%g` and `%v`: the shortest digits that parse back, with an exponent from 1e+06 on and
/// below 0.0001.
pub(crate) fn go_float(v: f64) -> String {
    general(v, format!("{v:e}"), 6)
}

/// A float as formatted by Go's `%.2g`: two digits, with an exponent from 100 on.
pub(crate) fn go_two_digits(v: f64) -> String {
    general(v, format!("{v:.1e}"), 2)
}

/// Formats the digits of `scientific`, which is `v` with an exponent, as a plain number if the exponent is at least -4
/// and below `limit`.
fn general(v: f64, scientific: String, limit: i32) -> String {
    if v.is_nan() {
        return "NaN".to_owned();
    }
    let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (Ok(exponent), true) = (power.parse::<i32>(), v.is_finite()) else {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    };
    let digits = if mantissa.contains('.') { mantissa.trim_end_matches('0') } else { mantissa };
    let digits = digits.trim_end_matches('.');
    if (-4..limit).contains(&exponent) {
        // The digits may be fewer than those of `v`.
        return match format!("{digits}e{exponent}").parse::<f64>() {
            Ok(rounded) => format!("{rounded}"),
            Err(_) => format!("{v}"),
        };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of Go 1.27.
    #[test]
    fn floats_are_printed_as_go_does() {
        for (v, general, two) in [
            (0.0, "0", "0"),
            (-0.0, "-0", "-0"),
            (1.0, "1", "1"),
            (4.25, "4.25", "4.2"),
            (10.0, "10", "10"),
            (99.4, "99.4", "99"),
            (99.6, "99.6", "1e+02"),
            (123.0, "123", "1.2e+02"),
            (999_999.0, "999999", "1e+06"),
            (1e6, "1e+06", "1e+06"),
            (-2.5e6, "-2.5e+06", "-2.5e+06"),
            (123_456_789.0, "1.23456789e+08", "1.2e+08"),
            (1e20, "1e+20", "1e+20"),
            (1e100, "1e+100", "1e+100"),
            (0.0001, "0.0001", "0.0001"),
            (0.000_123_45, "0.00012345", "0.00012"),
            (0.00001, "1e-05", "1e-05"),
            (1.5e-7, "1.5e-07", "1.5e-07"),
            (f64::NAN, "NaN", "NaN"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ] {
            assert_eq!(go_float(v), general);
            assert_eq!(go_two_digits(v), two, "{v}");
        }
    }
}
