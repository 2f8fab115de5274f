//! Histograms, native ones and classic ones with `le` labels.

use super::{Help, SCALAR, STRING, VECTOR, call, entry, histogram};
use crate::functions::checks;
use crate::functions::vectors::histograms;
use crate::functions::{Family, Function};
use crate::histogram::moments;

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::Histogram,
        "histogram_avg",
        &[VECTOR],
        histogram(|h| h.sum / h.count),
        Help(
            "v instant-vector",
            "The mean of the observations of each native histogram; floats are ignored.",
            "histogram_avg(rate(request_seconds[5m]))",
        ),
    ).counts_only(),
    entry(
        Family::Histogram,
        "histogram_count",
        &[VECTOR],
        histogram(|h| h.count),
        Help(
            "v instant-vector",
            "The number of observations of each native histogram; floats are ignored.",
            "histogram_count(rate(request_seconds[5m]))",
        ),
    ).counts_only(),
    entry(
        Family::Histogram,
        "histogram_fraction",
        &[SCALAR, SCALAR, VECTOR],
        call(histograms::fraction),
        Help(
            "lower scalar, upper scalar, v instant-vector",
            "The estimated share of observations between lower and upper, for native and classic histograms.",
            "histogram_fraction(0, 0.2, rate(request_seconds[5m]))",
        ),
    ).needs_buckets(),
    entry(
        Family::Histogram,
        "histogram_quantile",
        &[SCALAR, VECTOR],
        call(histograms::quantile),
        Help(
            "φ scalar, v instant-vector",
            "The estimated φ-quantile of each native histogram, or of the classic buckets that share all labels but `le`.",
            "histogram_quantile(0.9, sum by (le) (rate(request_seconds_bucket[10m])))",
        ),
    ).needs_buckets().checked(checks::phi),
    entry(
        Family::Histogram,
        "histogram_quantiles",
        &[VECTOR, STRING, SCALAR],
        call(histograms::quantiles),
        Help(
            "v instant-vector, label string, φ scalar…",
            "Several quantiles at once, up to ten; the label names the quantile of each element.",
            r#"histogram_quantiles(rate(request_seconds[5m]), "quantile", 0.5, 0.9, 0.99)"#,
        ),
    ).needs_buckets().checked(checks::phi)
    .last_repeated(12),
    entry(
        Family::Histogram,
        "histogram_stddev",
        &[VECTOR],
        histogram(|h| moments::variance(h).sqrt()),
        Help(
            "v instant-vector",
            "The estimated standard deviation of the observations of each native histogram.",
            "histogram_stddev(rate(request_seconds[5m]))",
        ),
    ).needs_buckets(),
    entry(
        Family::Histogram,
        "histogram_stdvar",
        &[VECTOR],
        histogram(moments::variance),
        Help(
            "v instant-vector",
            "The estimated variance of the observations of each native histogram.",
            "histogram_stdvar(rate(request_seconds[5m]))",
        ),
    ).needs_buckets(),
    entry(
        Family::Histogram,
        "histogram_sum",
        &[VECTOR],
        histogram(|h| h.sum),
        Help(
            "v instant-vector",
            "The sum of the observations of each native histogram; floats are ignored.",
            "histogram_sum(rate(request_seconds[5m]))",
        ),
    ).counts_only(),
];
