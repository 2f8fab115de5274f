//! Statistics over the samples of a window.

use super::{Help, RANGE, SCALAR, STRING, call, entry, window, windows};
use crate::functions::buckets::rows;
use crate::functions::checks;
use crate::functions::vectors::presence;
use crate::functions::window::conditional_count::{self, Condition};
use crate::functions::window::float_histogram::{self, End};
use crate::functions::window::over_time::{self, Extreme};
use crate::functions::window::{distribution, folds, kernels};
use crate::functions::{Family, Function};

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::OverTime,
        "absent_over_time",
        &[RANGE],
        call(presence::absent_over_time),
        Help(
            "v range-vector",
            "Nothing if the window has samples; otherwise one element with the value 1 and the labels that the selector compares with `=`. Useful for alerts on missing series.",
            r#"absent_over_time(up{job="mail"}[1h])"#,
        ),
    ).over_buckets(&rows::PRESENT),
    entry(
        Family::OverTime,
        "avg_over_time",
        &[RANGE],
        window(kernels::mean),
        Help(
            "v range-vector",
            "The mean of the samples in the window, with compensated summation.",
            "avg_over_time(node_load1[1h])",
        ),
    ).over_buckets(&rows::MEAN),
    entry(
        Family::OverTime,
        "count_eq_over_time",
        &[RANGE, SCALAR],
        window(|s| s.floats(conditional_count::count(Condition::Equal, s.param(0)))),
        Help(
            "v range-vector, x scalar",
            "The number of floats in the window that equal x.",
            "count_eq_over_time(up[1h], 0)",
        ),
    ).metricsql().over_buckets(&rows::COUNT_EQUAL),
    entry(
        Family::OverTime,
        "count_gt_over_time",
        &[RANGE, SCALAR],
        window(|s| s.floats(conditional_count::count(Condition::Greater, s.param(0)))),
        Help(
            "v range-vector, x scalar",
            "The number of floats in the window that are greater than x. NaN is neither greater than x nor at most x.",
            "count_gt_over_time(node_load1[1h], 3)",
        ),
    ).metricsql().over_buckets(&rows::COUNT_GREATER),
    entry(
        Family::OverTime,
        "count_le_over_time",
        &[RANGE, SCALAR],
        window(|s| s.floats(conditional_count::count(Condition::AtMost, s.param(0)))),
        Help(
            "v range-vector, x scalar",
            "The number of floats in the window that are at most x.",
            "count_le_over_time(node_load1[1h], 2)",
        ),
    ).metricsql().over_buckets(&rows::COUNT_AT_MOST),
    entry(
        Family::OverTime,
        "count_ne_over_time",
        &[RANGE, SCALAR],
        window(|s| s.floats(conditional_count::count(Condition::NotEqual, s.param(0)))),
        Help(
            "v range-vector, x scalar",
            "The number of floats in the window that do not equal x; NaN equals nothing.",
            "count_ne_over_time(up[1h], 1)",
        ),
    ).metricsql().over_buckets(&rows::COUNT_NOT_EQUAL),
    entry(
        Family::OverTime,
        "count_over_time",
        &[RANGE],
        window(|s| s.samples(|w| Some((w.len() + w.histogram_len()) as f64))),
        Help(
            "v range-vector",
            "The number of samples in the window.",
            "count_over_time(up[1h])",
        ),
    ).over_buckets(&rows::COUNT),
    entry(
        Family::OverTime,
        "duration_over_time",
        &[RANGE, SCALAR],
        window(|s| s.samples(conditional_count::duration(s.columns, s.param(0)))),
        Help(
            "v range-vector, max_gap scalar",
            "The number of seconds of the window that samples (floats or histograms) cover: the sum of the distances between neighbouring samples, except those longer than max_gap seconds. A single sample gives 0.",
            "duration_over_time(queue_length[1h], 2m)",
        ),
    ).metricsql().over_buckets(&rows::DURATION),
    entry(
        Family::OverTime,
        "first_over_time",
        &[RANGE],
        window(|s| float_histogram::end_value(s, End::First)),
        Help(
            "v range-vector",
            "The oldest sample of the window.",
            "first_over_time(node_load1[1h])",
        ),
    ).keeps_name().over_buckets(&rows::FIRST_VALUE),
    entry(
        Family::OverTime,
        "histogram_over_time",
        &[RANGE],
        window(distribution::distribution),
        Help(
            "v range-vector",
            "The distribution of the floats in the window as a native histogram, of any series and without buckets that somebody chose before: `histogram_quantile`, `histogram_fraction`, `histogram_avg` and others read it, and `sum by (…)` adds the distributions of several series without further loss. The buckets are those of schema 8; a value and any number in its bucket differ by less than 0.65 % of the value, and so do a quantile and the value at its rank. Zero has a bucket of its own. NaN counts, is in no bucket and makes the sum NaN. Histograms in the window are ignored. Buckets of tiers with distributions give the same histogram as samples. In MetricsQL, the function of this name returns floats with a label `vmrange` instead.",
            "histogram_quantile(0.99, sum(histogram_over_time(node_load1[1h])))",
        ),
    ).ours().over_buckets(&rows::DISTRIBUTED),
    entry(
        Family::OverTime,
        "last_over_time",
        &[RANGE],
        window(|s| float_histogram::end_value(s, End::Last)),
        Help(
            "v range-vector",
            "The newest sample of the window. A long window shows the last known state of a series that has ended.",
            "last_over_time(node_load1[1h])",
        ),
    ).keeps_name().over_buckets(&rows::LAST_VALUE),
    entry(
        Family::OverTime,
        "mad_over_time",
        &[RANGE],
        window(|s| s.floats(over_time::median_deviation())),
        Help(
            "v range-vector",
            "The median absolute deviation of the samples in the window: a measure of spread that is robust against outliers.",
            "mad_over_time(node_load1[1h])",
        ),
    ).over_buckets(&rows::MEDIAN_DEVIATION),
    entry(
        Family::OverTime,
        "max_over_time",
        &[RANGE],
        window(|s| s.floats(over_time::extreme(Extreme::Max))),
        Help(
            "v range-vector",
            "The largest sample of the window; NaN only if all are NaN.",
            "max_over_time(node_load1[1h])",
        ),
    ).over_buckets(&rows::GREATEST),
    entry(
        Family::OverTime,
        "min_over_time",
        &[RANGE],
        window(|s| s.floats(over_time::extreme(Extreme::Min))),
        Help(
            "v range-vector",
            "The smallest sample of the window; NaN only if all are NaN.",
            "min_over_time(node_load1[1h])",
        ),
    ).over_buckets(&rows::LEAST),
    entry(
        Family::OverTime,
        "outlier_iqr_over_time",
        &[RANGE],
        window(|s| s.floats(over_time::newest_outlier())),
        Help(
            "v range-vector",
            "The newest float of the window, if it is an outlier: farther below the lower quartile of the floats in the window, or above the upper one, than one and a half times the distance between the two. The other series have no result.",
            "outlier_iqr_over_time(orders_per_minute[40m] offset 16m)",
        ),
    ).metricsql(),
    entry(
        Family::OverTime,
        "present_over_time",
        &[RANGE],
        window(kernels::present),
        Help(
            "v range-vector",
            "The value 1 for each series that has a sample in the window.",
            "present_over_time(up[1h])",
        ),
    ).over_buckets(&rows::PRESENT),
    entry(
        Family::OverTime,
        "quantile_over_time",
        &[SCALAR, RANGE],
        window(|s| s.floats(over_time::quantile_over(s.param(0)))),
        Help(
            "φ scalar, v range-vector",
            "The φ-quantile of the samples in the window, linear between neighbours; φ is between 0 and 1.",
            "quantile_over_time(0.99, node_load1[1h])",
        ),
    ).checked(checks::phi).over_buckets(&rows::QUANTILE),
    entry(
        Family::OverTime,
        "quantiles_over_time",
        &[STRING, SCALAR, RANGE],
        windows(kernels::quantiles),
        Help(
            "label string, φ scalar…, v range-vector",
            "Several φ-quantiles of the samples in the window at once; the label contains the φ of each element.",
            r#"quantiles_over_time("phi", 0.5, 0.99, node_load1[1h])"#,
        ),
    ).checked(checks::phi).middle_repeated().metricsql().over_buckets(&rows::QUANTILE),
    entry(
        Family::OverTime,
        "share_eq_over_time",
        &[RANGE, SCALAR],
        window(|s| s.floats(conditional_count::share(Condition::Equal, s.param(0)))),
        Help(
            "v range-vector, x scalar",
            "The share, 0 to 1, of the floats in the window that equal x.",
            "share_eq_over_time(up[1h], 1)",
        ),
    ).metricsql().over_buckets(&rows::SHARE_EQUAL),
    entry(
        Family::OverTime,
        "share_gt_over_time",
        &[RANGE, SCALAR],
        window(|s| s.floats(conditional_count::share(Condition::Greater, s.param(0)))),
        Help(
            "v range-vector, x scalar",
            "The share, 0 to 1, of the floats in the window that are greater than x. NaN counts toward the total, but is neither greater than x nor at most x.",
            "share_gt_over_time(node_load1[1h], 3)",
        ),
    ).metricsql().over_buckets(&rows::SHARE_GREATER),
    entry(
        Family::OverTime,
        "share_le_over_time",
        &[RANGE, SCALAR],
        window(|s| s.floats(conditional_count::share(Condition::AtMost, s.param(0)))),
        Help(
            "v range-vector, x scalar",
            "The share, 0 to 1, of the floats in the window that are at most x, such as the share of time in which a goal was met.",
            "share_le_over_time(node_load1[1h], 2)",
        ),
    ).metricsql().over_buckets(&rows::SHARE_AT_MOST),
    entry(
        Family::OverTime,
        "stddev_over_time",
        &[RANGE],
        window(kernels::deviation),
        Help(
            "v range-vector",
            "The population standard deviation of the samples in the window.",
            "stddev_over_time(node_load1[1h])",
        ),
    ).over_buckets(&rows::DEVIATION),
    entry(
        Family::OverTime,
        "stdvar_over_time",
        &[RANGE],
        window(|s| s.floats(folds::variance(s.range_ns(), over_time::variance))),
        Help(
            "v range-vector",
            "The population variance of the samples in the window.",
            "stdvar_over_time(node_load1[1h])",
        ),
    ).over_buckets(&rows::VARIANCE),
    entry(
        Family::OverTime,
        "sum_over_time",
        &[RANGE],
        window(kernels::sum),
        Help(
            "v range-vector",
            "The sum of the samples in the window, with compensated summation, so that small terms are not lost next to large ones.",
            "sum_over_time(errors_per_interval[1h])",
        ),
    ).over_buckets(&rows::SUM),
    entry(
        Family::OverTime,
        "ts_of_first_over_time",
        &[RANGE],
        window(|s| s.samples(kernels::first_time)),
        Help(
            "v range-vector",
            "The time of the oldest sample in the window, in seconds since the epoch.",
            "ts_of_first_over_time(node_load1[1h])",
        ),
    ).over_buckets(&rows::FIRST_TIME),
    entry(
        Family::OverTime,
        "ts_of_last_over_time",
        &[RANGE],
        window(|s| s.samples(kernels::last_time)),
        Help(
            "v range-vector",
            "The time of the newest sample in the window, in seconds since the epoch.",
            "ts_of_last_over_time(node_load1[1h])",
        ),
    ).over_buckets(&rows::LAST_TIME),
    entry(
        Family::OverTime,
        "ts_of_max_over_time",
        &[RANGE],
        window(|s| s.floats(over_time::time_of_extreme(Extreme::Max))),
        Help(
            "v range-vector",
            "The time of the largest sample in the window (of the newest one, if there are several), in seconds since the epoch.",
            "ts_of_max_over_time(node_load1[1h])",
        ),
    ).over_buckets(&rows::TIME_OF_GREATEST),
    entry(
        Family::OverTime,
        "ts_of_min_over_time",
        &[RANGE],
        window(|s| s.floats(over_time::time_of_extreme(Extreme::Min))),
        Help(
            "v range-vector",
            "The time of the smallest sample in the window (of the newest one, if there are several), in seconds since the epoch.",
            "ts_of_min_over_time(node_load1[1h])",
        ),
    ).over_buckets(&rows::TIME_OF_LEAST),
    entry(
        Family::OverTime,
        "zscore_over_time",
        &[RANGE],
        window(|s| s.floats(over_time::newest_score)),
        Help(
            "v range-vector",
            "The distance of the newest float in the window from the mean, in population standard deviations; 0 if it equals the mean.",
            "zscore_over_time(node_load1[1h])",
        ),
    ).metricsql(),
];
