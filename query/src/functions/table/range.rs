//! Functions of all steps of the query: statistics of a whole graph, running ones, gaps.

use super::{Help, SCALAR, VECTOR, entry, range, range_points};
use crate::functions::checks;
use crate::functions::range::{gap_filling, statistics};
use crate::functions::window::over_time;
use crate::functions::{Family, Function};
use crate::numbers::compensated;

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::WholeRange,
        "interpolate",
        &[VECTOR],
        range_points(gap_filling::interpolate),
        Help(
            "v instant-vector",
            "The values; a gap between two floats is filled by linear interpolation.",
            "interpolate(node_load1 < 8)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        "keep_last_value",
        &[VECTOR],
        range_points(gap_filling::keep_last),
        Help(
            "v instant-vector",
            "The values; a gap is filled with the previous value, a float or a histogram, up to the end of the query.",
            "keep_last_value(node_load1 > 4)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        "keep_next_value",
        &[VECTOR],
        range_points(gap_filling::keep_next),
        Help(
            "v instant-vector",
            "The values; a gap is filled with the next value, a float or a histogram, from the beginning of the query.",
            "keep_next_value(node_load1 < 5)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        "range_avg",
        &[VECTOR],
        range(|column| column.fill(compensated::mean)),
        Help(
            "v instant-vector",
            "The mean of the values a series has at all steps of the query, with compensated summation; the same at every step.",
            "range_avg(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        "range_first",
        &[VECTOR],
        range(|column| column.fill(|values| values[0])),
        Help(
            "v instant-vector",
            "The first value a series has in the query, at every step.",
            "node_filesystem_avail_bytes - range_first(node_filesystem_avail_bytes)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        "range_last",
        &[VECTOR],
        range(|column| column.fill(|values| values[values.len() - 1])),
        Help(
            "v instant-vector",
            "The last value a series has in the query, at every step.",
            "range_last(node_load1)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        "range_linear_regression",
        &[VECTOR],
        range(|column| column.line()),
        Help(
            "v instant-vector",
            "The value, at each step, of the least-squares line through the values a series has in the query.",
            "range_linear_regression(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        "range_mad",
        &[VECTOR],
        range(|column| column.median_deviation()),
        Help(
            "v instant-vector",
            "The median absolute deviation of the values a series has in the query; the same at every step.",
            "range_mad(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        "range_max",
        &[VECTOR],
        range(|column| column.fill(statistics::largest)),
        Help(
            "v instant-vector",
            "The largest value a series has in the query, at every step; NaN only if all are NaN.",
            "node_load1 / range_max(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        "range_median",
        &[VECTOR],
        range(|column| column.median()),
        Help(
            "v instant-vector",
            "The median of the values a series has in the query; the same at every step.",
            "range_median(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        "range_min",
        &[VECTOR],
        range(|column| column.fill(statistics::smallest)),
        Help(
            "v instant-vector",
            "The smallest value a series has in the query, at every step; NaN only if all are NaN.",
            "node_load1 - range_min(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        "range_normalize",
        &[VECTOR],
        range(|column| column.normalize()),
        Help(
            "v instant-vector",
            "Each value on a scale from 0, for the smallest value the series has in the query, to 1, for the largest; 0 for a series that does not change.",
            "range_normalize(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        "range_quantile",
        &[SCALAR, VECTOR],
        range(|column| column.quantiles()),
        Help(
            "φ scalar, v instant-vector",
            "The φ-quantile of the values a series has in the query, linear between neighbours, at every step; φ is between 0 and 1.",
            "range_quantile(0.9, node_load1)",
        ),
    ).checked(checks::phi).metricsql(),
    entry(
        Family::WholeRange,
        "range_stddev",
        &[VECTOR],
        range(|column| column.fill(|values| over_time::variance(values).sqrt())),
        Help(
            "v instant-vector",
            "The population standard deviation of the values a series has in the query; the same at every step.",
            "range_stddev(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        "range_stdvar",
        &[VECTOR],
        range(|column| column.fill(over_time::variance)),
        Help(
            "v instant-vector",
            "The population variance of the values a series has in the query; the same at every step.",
            "range_stdvar(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        "range_sum",
        &[VECTOR],
        range(|column| column.fill(compensated::sum)),
        Help(
            "v instant-vector",
            "The sum of the values a series has at all steps of the query, with compensated summation; the same at every step.",
            "errors_per_interval / range_sum(errors_per_interval)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        "range_trim_outliers",
        &[SCALAR, VECTOR],
        range(|column| column.trim_outliers()),
        Help(
            "k scalar, v instant-vector",
            "The values within k median absolute deviations of the median over the query; the others are dropped.",
            "range_trim_outliers(2, node_load1)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        "range_trim_spikes",
        &[SCALAR, VECTOR],
        range(|column| column.trim_spikes()),
        Help(
            "φ scalar, v instant-vector",
            "The values without the most extreme share φ: those below the φ/2-quantile or above the (1 - φ/2)-quantile over the query are dropped.",
            "range_trim_spikes(0.4, node_load1)",
        ),
    ).checked(checks::phi).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        "range_trim_zscore",
        &[SCALAR, VECTOR],
        range(|column| column.trim_scores()),
        Help(
            "z scalar, v instant-vector",
            "The values within z standard deviations of the mean over the query; the others are dropped.",
            "range_trim_zscore(1.5, node_load1)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        "range_zscore",
        &[VECTOR],
        range(|column| column.scores()),
        Help(
            "v instant-vector",
            "The distance of each value from the mean over the query, in population standard deviations; 0 if it equals the mean.",
            "range_zscore(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        "running_avg",
        &[VECTOR],
        range(|column| column.running_mean()),
        Help(
            "v instant-vector",
            "The mean of the values from the first step of the query up to each step.",
            "running_avg(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        "running_max",
        &[VECTOR],
        range(|column| column.running_max()),
        Help(
            "v instant-vector",
            "The largest value from the first step of the query up to each step.",
            "running_max(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        "running_min",
        &[VECTOR],
        range(|column| column.running_min()),
        Help(
            "v instant-vector",
            "The smallest value from the first step of the query up to each step.",
            "running_min(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        "running_sum",
        &[VECTOR],
        range(|column| column.running_sum()),
        Help(
            "v instant-vector",
            "The sum of the values from the first step of the query up to each step.",
            "running_sum(errors_per_interval)",
        ),
    ).metricsql(),
];
