//! Histograms, native ones and classic ones with `le` labels.

use super::{Help, SCALAR, STRING, VECTOR, entry};
use crate::functions::{Family, Function, FunctionId as Id};

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::Histogram,
        Id::HistogramAvg,
        "histogram_avg",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The mean of the observations of each native histogram; floats are left out.",
            "histogram_avg(rate(request_seconds[5m]))",
        ),
    ),
    entry(
        Family::Histogram,
        Id::HistogramCount,
        "histogram_count",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The number of observations of each native histogram; floats are left out.",
            "histogram_count(rate(request_seconds[5m]))",
        ),
    ),
    entry(
        Family::Histogram,
        Id::HistogramFraction,
        "histogram_fraction",
        &[SCALAR, SCALAR, VECTOR],
        Help(
            "lower scalar, upper scalar, v instant-vector",
            "The estimated share of observations between lower and upper, for native and classic histograms.",
            "histogram_fraction(0, 0.2, rate(request_seconds[5m]))",
        ),
    ),
    entry(
        Family::Histogram,
        Id::HistogramQuantile,
        "histogram_quantile",
        &[SCALAR, VECTOR],
        Help(
            "φ scalar, v instant-vector",
            "The estimated φ-quantile of each native histogram, or of the classic buckets that share all labels but `le`.",
            "histogram_quantile(0.9, sum by (le) (rate(request_seconds_bucket[10m])))",
        ),
    ),
    entry(
        Family::Histogram,
        Id::HistogramQuantiles,
        "histogram_quantiles",
        &[VECTOR, STRING, SCALAR],
        Help(
            "v instant-vector, label string, φ scalar…",
            "Several quantiles at once, up to ten; the label names the quantile of each element.",
            r#"histogram_quantiles(rate(request_seconds[5m]), "quantile", 0.5, 0.9, 0.99)"#,
        ),
    )
    .last_repeated(12),
    entry(
        Family::Histogram,
        Id::HistogramStddev,
        "histogram_stddev",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The estimated standard deviation of the observations of each native histogram.",
            "histogram_stddev(rate(request_seconds[5m]))",
        ),
    ),
    entry(
        Family::Histogram,
        Id::HistogramStdvar,
        "histogram_stdvar",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The estimated variance of the observations of each native histogram.",
            "histogram_stdvar(rate(request_seconds[5m]))",
        ),
    ),
    entry(
        Family::Histogram,
        Id::HistogramSum,
        "histogram_sum",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The sum of the observations of each native histogram; floats are left out.",
            "histogram_sum(rate(request_seconds[5m]))",
        ),
    ),
];
