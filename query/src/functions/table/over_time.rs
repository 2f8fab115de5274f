//! Statistics over the samples of a window.

use super::{Help, RANGE, SCALAR, STRING, entry};
use crate::functions::{Family, Function, FunctionId as Id};

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::OverTime,
        Id::AbsentOverTime,
        "absent_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "Nothing while the window has samples, else one element of value 1 that carries the labels which the selector asks to be equal. Made for alerts on series that are gone.",
            r#"absent_over_time(up{job="mail"}[1h])"#,
        ),
    ),
    entry(
        Family::OverTime,
        Id::AvgOverTime,
        "avg_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The mean of the samples in the window, with compensated summation.",
            "avg_over_time(node_load1[1h])",
        ),
    ),
    entry(
        Family::OverTime,
        Id::CountEqOverTime,
        "count_eq_over_time",
        &[RANGE, SCALAR],
        Help(
            "v range-vector, x scalar",
            "How many floats of the window equal x.",
            "count_eq_over_time(up[1h], 0)",
        ),
    ).metricsql(),
    entry(
        Family::OverTime,
        Id::CountGtOverTime,
        "count_gt_over_time",
        &[RANGE, SCALAR],
        Help(
            "v range-vector, x scalar",
            "How many floats of the window are greater than x. NaN is neither greater nor at most x.",
            "count_gt_over_time(node_load1[1h], 3)",
        ),
    ).metricsql(),
    entry(
        Family::OverTime,
        Id::CountLeOverTime,
        "count_le_over_time",
        &[RANGE, SCALAR],
        Help(
            "v range-vector, x scalar",
            "How many floats of the window are at most x.",
            "count_le_over_time(node_load1[1h], 2)",
        ),
    ).metricsql(),
    entry(
        Family::OverTime,
        Id::CountNeOverTime,
        "count_ne_over_time",
        &[RANGE, SCALAR],
        Help(
            "v range-vector, x scalar",
            "How many floats of the window do not equal x; NaN equals nothing.",
            "count_ne_over_time(up[1h], 1)",
        ),
    ).metricsql(),
    entry(
        Family::OverTime,
        Id::CountOverTime,
        "count_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The number of samples in the window.",
            "count_over_time(up[1h])",
        ),
    ),
    entry(
        Family::OverTime,
        Id::DurationOverTime,
        "duration_over_time",
        &[RANGE, SCALAR],
        Help(
            "v range-vector, max_gap scalar",
            "For how many seconds of the window there were samples, floats or histograms: the sum of the distances between neighbours, but for those longer than max_gap seconds. One sample gives 0.",
            "duration_over_time(queue_length[1h], 2m)",
        ),
    ).metricsql(),
    entry(
        Family::OverTime,
        Id::FirstOverTime,
        "first_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The oldest sample of the window.",
            "first_over_time(node_load1[1h])",
        ),
    ).keeps_name(),
    entry(
        Family::OverTime,
        Id::LastOverTime,
        "last_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The newest sample of the window. With a long window it shows the last known state of a series that is gone.",
            "last_over_time(node_load1[1h])",
        ),
    ).keeps_name(),
    entry(
        Family::OverTime,
        Id::MadOverTime,
        "mad_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The median absolute deviation of the samples in the window: a spread that outliers do not move.",
            "mad_over_time(node_load1[1h])",
        ),
    ),
    entry(
        Family::OverTime,
        Id::MaxOverTime,
        "max_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The largest sample of the window; NaN only if all are NaN.",
            "max_over_time(node_load1[1h])",
        ),
    ),
    entry(
        Family::OverTime,
        Id::MinOverTime,
        "min_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The smallest sample of the window; NaN only if all are NaN.",
            "min_over_time(node_load1[1h])",
        ),
    ),
    entry(
        Family::OverTime,
        Id::PresentOverTime,
        "present_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The value 1 for each series that has a sample in the window.",
            "present_over_time(up[1h])",
        ),
    ),
    entry(
        Family::OverTime,
        Id::QuantileOverTime,
        "quantile_over_time",
        &[SCALAR, RANGE],
        Help(
            "φ scalar, v range-vector",
            "The φ-quantile of the samples in the window, linear between neighbours; φ is between 0 and 1.",
            "quantile_over_time(0.99, node_load1[1h])",
        ),
    ),
    entry(
        Family::OverTime,
        Id::QuantilesOverTime,
        "quantiles_over_time",
        &[STRING, SCALAR, RANGE],
        Help(
            "label string, φ scalar…, v range-vector",
            "Several φ-quantiles of the samples in the window at once; the label tells the φ of each element.",
            r#"quantiles_over_time("phi", 0.5, 0.99, node_load1[1h])"#,
        ),
    ).middle_repeated().metricsql(),
    entry(
        Family::OverTime,
        Id::ShareEqOverTime,
        "share_eq_over_time",
        &[RANGE, SCALAR],
        Help(
            "v range-vector, x scalar",
            "Which share of the floats in the window, 0 to 1, equals x.",
            "share_eq_over_time(up[1h], 1)",
        ),
    ).metricsql(),
    entry(
        Family::OverTime,
        Id::ShareGtOverTime,
        "share_gt_over_time",
        &[RANGE, SCALAR],
        Help(
            "v range-vector, x scalar",
            "Which share of the floats in the window, 0 to 1, is greater than x. A NaN counts among all but is neither greater nor at most x.",
            "share_gt_over_time(node_load1[1h], 3)",
        ),
    ).metricsql(),
    entry(
        Family::OverTime,
        Id::ShareLeOverTime,
        "share_le_over_time",
        &[RANGE, SCALAR],
        Help(
            "v range-vector, x scalar",
            "Which share of the floats in the window, 0 to 1, is at most x: how much of the time a goal was met.",
            "share_le_over_time(node_load1[1h], 2)",
        ),
    ).metricsql(),
    entry(
        Family::OverTime,
        Id::StddevOverTime,
        "stddev_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The population standard deviation of the samples in the window.",
            "stddev_over_time(node_load1[1h])",
        ),
    ),
    entry(
        Family::OverTime,
        Id::StdvarOverTime,
        "stdvar_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The population variance of the samples in the window.",
            "stdvar_over_time(node_load1[1h])",
        ),
    ),
    entry(
        Family::OverTime,
        Id::SumOverTime,
        "sum_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The sum of the samples in the window, compensated so that small terms beside large ones count.",
            "sum_over_time(errors_per_interval[1h])",
        ),
    ),
    entry(
        Family::OverTime,
        Id::TsOfFirstOverTime,
        "ts_of_first_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The time of the oldest sample in the window, in seconds since the epoch.",
            "ts_of_first_over_time(node_load1[1h])",
        ),
    ),
    entry(
        Family::OverTime,
        Id::TsOfLastOverTime,
        "ts_of_last_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The time of the newest sample in the window, in seconds since the epoch.",
            "ts_of_last_over_time(node_load1[1h])",
        ),
    ),
    entry(
        Family::OverTime,
        Id::TsOfMaxOverTime,
        "ts_of_max_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The time of the largest sample in the window, the newest of several, in seconds since the epoch.",
            "ts_of_max_over_time(node_load1[1h])",
        ),
    ),
    entry(
        Family::OverTime,
        Id::TsOfMinOverTime,
        "ts_of_min_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "The time of the smallest sample in the window, the newest of several, in seconds since the epoch.",
            "ts_of_min_over_time(node_load1[1h])",
        ),
    ),
    entry(
        Family::OverTime,
        Id::ZscoreOverTime,
        "zscore_over_time",
        &[RANGE],
        Help(
            "v range-vector",
            "How many population standard deviations the newest float of the window is away from their mean; 0 where it equals the mean.",
            "zscore_over_time(node_load1[1h])",
        ),
    ).metricsql(),
];
