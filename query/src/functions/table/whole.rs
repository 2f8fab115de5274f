//! What looks at all steps of the query: statistics of a whole graph, running ones, gaps.

use super::{Help, SCALAR, VECTOR, entry};
use crate::functions::{Family, Function, FunctionId as Id};

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::WholeRange,
        Id::Interpolate,
        "interpolate",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The values, and in gaps between two floats the line from one to the other.",
            "interpolate(node_load1 < 8)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        Id::KeepLastValue,
        "keep_last_value",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The values, and in gaps the one before, float or histogram, up to the end of the query.",
            "keep_last_value(node_load1 > 4)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        Id::KeepNextValue,
        "keep_next_value",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The values, and in gaps the one after, float or histogram, from the beginning of the query on.",
            "keep_next_value(node_load1 < 5)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        Id::RangeAvg,
        "range_avg",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The mean of the values a series has at all steps of the query, with compensated summation; the same at every step.",
            "range_avg(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RangeFirst,
        "range_first",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The first value a series has in the query, at every step.",
            "node_filesystem_avail_bytes - range_first(node_filesystem_avail_bytes)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        Id::RangeLast,
        "range_last",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The last value a series has in the query, at every step.",
            "range_last(node_load1)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        Id::RangeLinearRegression,
        "range_linear_regression",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The line by least squares through the values a series has in the query: its value at each step.",
            "range_linear_regression(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RangeMad,
        "range_mad",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The median absolute deviation of the values a series has in the query; the same at every step.",
            "range_mad(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RangeMax,
        "range_max",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The largest value a series has in the query, at every step; NaN only if all are NaN.",
            "node_load1 / range_max(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RangeMedian,
        "range_median",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The median of the values a series has in the query; the same at every step.",
            "range_median(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RangeMin,
        "range_min",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The smallest value a series has in the query, at every step; NaN only if all are NaN.",
            "node_load1 - range_min(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RangeNormalize,
        "range_normalize",
        &[VECTOR],
        Help(
            "v instant-vector",
            "Each value on a scale from 0, the smallest value the series has in the query, to 1, the largest; 0 for a series that does not change.",
            "range_normalize(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RangeQuantile,
        "range_quantile",
        &[SCALAR, VECTOR],
        Help(
            "φ scalar, v instant-vector",
            "The φ-quantile of the values a series has in the query, linear between neighbours, at every step; φ is between 0 and 1.",
            "range_quantile(0.9, node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RangeStddev,
        "range_stddev",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The population standard deviation of the values a series has in the query; the same at every step.",
            "range_stddev(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RangeStdvar,
        "range_stdvar",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The population variance of the values a series has in the query; the same at every step.",
            "range_stdvar(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RangeSum,
        "range_sum",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The sum of the values a series has at all steps of the query, with compensated summation; the same at every step.",
            "errors_per_interval / range_sum(errors_per_interval)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RangeTrimOutliers,
        "range_trim_outliers",
        &[SCALAR, VECTOR],
        Help(
            "k scalar, v instant-vector",
            "The values that are no further away from the median of the query than k median absolute deviations; the others are dropped.",
            "range_trim_outliers(2, node_load1)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        Id::RangeTrimSpikes,
        "range_trim_spikes",
        &[SCALAR, VECTOR],
        Help(
            "φ scalar, v instant-vector",
            "The values without the share φ of them that is most extreme: those below the φ/2-quantile or above the (1 - φ/2)-quantile of the query are dropped.",
            "range_trim_spikes(0.4, node_load1)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        Id::RangeTrimZscore,
        "range_trim_zscore",
        &[SCALAR, VECTOR],
        Help(
            "z scalar, v instant-vector",
            "The values that are no further away from the mean of the query than z standard deviations; the others are dropped.",
            "range_trim_zscore(1.5, node_load1)",
        ),
    ).metricsql().keeps_name(),
    entry(
        Family::WholeRange,
        Id::RangeZscore,
        "range_zscore",
        &[VECTOR],
        Help(
            "v instant-vector",
            "How many population standard deviations each value is away from the mean of the query; 0 where it equals the mean.",
            "range_zscore(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RunningAvg,
        "running_avg",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The mean of the values from the first step of the query up to each step.",
            "running_avg(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RunningMax,
        "running_max",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The largest value from the first step of the query up to each step.",
            "running_max(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RunningMin,
        "running_min",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The smallest value from the first step of the query up to each step.",
            "running_min(node_load1)",
        ),
    ).metricsql(),
    entry(
        Family::WholeRange,
        Id::RunningSum,
        "running_sum",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The sum of the values from the first step of the query up to each step.",
            "running_sum(errors_per_interval)",
        ),
    ).metricsql(),
];
