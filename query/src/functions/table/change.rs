//! Change over a window: counters, differences, slopes.

use super::{Help, RANGE, SCALAR, entry, window};
use crate::functions::buckets::rows;
use crate::functions::checks;
use crate::functions::window::counter::ChangeKind;
use crate::functions::window::{float_histogram, kernels, over_time};
use crate::functions::{Family, Function};

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::Change,
        "changes",
        &[RANGE],
        window(kernels::changes),
        Help(
            "v range-vector",
            "How often the value changed from one sample to the next inside the window. One sample gives 0.",
            "changes(process_start_time_seconds[1h])",
        ),
    ).anchored().over_buckets(&rows::CHANGES),
    entry(
        Family::Change,
        "delta",
        &[RANGE],
        window(|s| kernels::change(s, ChangeKind::DELTA)),
        Help(
            "v range-vector",
            "The difference between the last and the first value of a gauge, extrapolated to the whole window. It needs two samples.",
            "delta(cpu_temp_celsius[1h])",
        ),
    ).anchored().smoothed().over_buckets(&rows::DELTA),
    entry(
        Family::Change,
        "deriv",
        &[RANGE],
        window(|s| s.floats(over_time::slope(s.range_ns()))),
        Help(
            "v range-vector",
            "The slope per second of a gauge, by least squares over the window. It needs two floats.",
            "deriv(node_filesystem_avail_bytes[1h])",
        ),
    ).over_buckets(&rows::SLOPE),
    entry(
        Family::Change,
        "double_exponential_smoothing",
        &[RANGE, SCALAR, SCALAR],
        window(|s| s.floats(over_time::smoothing(s.param(0), s.param(1)))),
        Help(
            "v range-vector, sf scalar, tf scalar",
            "The value smoothed over the window with the smoothing factor sf and the trend factor tf, both between 0 and 1. A lower sf weighs old samples more, a higher tf follows trends more.",
            "double_exponential_smoothing(node_load1[1h], 0.3, 0.1)",
        ),
    ).checked(checks::smoothing_factor),
    entry(
        Family::Change,
        "holt_winters",
        &[RANGE, SCALAR, SCALAR],
        window(|s| s.floats(over_time::smoothing(s.param(0), s.param(1)))),
        Help(
            "v range-vector, sf scalar, tf scalar",
            "The old name of `double_exponential_smoothing`.",
            "holt_winters(node_load1[1h], 0.3, 0.1)",
        ),
    ).checked(checks::smoothing_factor),
    entry(
        Family::Change,
        "idelta",
        &[RANGE],
        window(|s| float_histogram::instant_change(s, false)),
        Help(
            "v range-vector",
            "The difference between the last two samples of the window.",
            "idelta(cpu_temp_celsius[5m])",
        ),
    ).over_buckets(&rows::INSTANT_DELTA),
    entry(
        Family::Change,
        "increase",
        &[RANGE],
        window(|s| kernels::change(s, ChangeKind::INCREASE)),
        Help(
            "v range-vector",
            "How much a counter grew over the window, accounting for resets, extrapolated to the whole window and never below zero. It needs two samples.",
            "increase(http_requests_total[1h])",
        ),
    ).anchored().smoothed().wants_counter().over_buckets(&rows::INCREASE),
    entry(
        Family::Change,
        "increase_pure",
        &[RANGE],
        window(|s| kernels::growth(s, false)),
        Help(
            "v range-vector",
            "How much the samples of a counter grew in the window, accounting for resets, without extrapolation: from the last sample before the window, at most the lookback earlier, to the last one inside. If there is no sample before the window, the counter is assumed to begin at 0; if its start time is older than the window, growth is counted from the first sample inside.",
            "increase_pure(http_requests_total[1h])",
        ),
    ).reads_before_window().wants_counter().metricsql().over_buckets(&rows::GROWTH),
    entry(
        Family::Change,
        "irate",
        &[RANGE],
        window(|s| float_histogram::instant_change(s, true)),
        Help(
            "v range-vector",
            "The per-second rate of a counter between the last two samples of the window. It follows fast counters closely; for alerts, `rate` is better.",
            "irate(http_requests_total[5m])",
        ),
    ).over_buckets(&rows::INSTANT_RATE),
    entry(
        Family::Change,
        "predict_linear",
        &[RANGE, SCALAR],
        window(|s| s.floats(over_time::predict(s.range_ns(), s.param(0)))),
        Help(
            "v range-vector, t scalar",
            "The value a gauge would have t seconds from now if it continued along the least-squares line of the window. It needs two floats.",
            "predict_linear(node_filesystem_avail_bytes[1h], 4 * 3600)",
        ),
    ).reads_time().over_buckets(&rows::PREDICT),
    entry(
        Family::Change,
        "rate",
        &[RANGE],
        window(|s| kernels::change(s, ChangeKind::RATE)),
        Help(
            "v range-vector",
            "The per-second rate of a counter over the window, accounting for resets, extrapolated to the whole window. Apply `rate` before any sum, or resets are lost.",
            "rate(http_requests_total[5m])",
        ),
    ).anchored().smoothed().wants_counter().over_buckets(&rows::RATE),
    entry(
        Family::Change,
        "rate_pure",
        &[RANGE],
        window(|s| kernels::growth(s, true)),
        Help(
            "v range-vector",
            "`increase_pure` divided by the length of the window in seconds.",
            "rate_pure(http_requests_total[5m])",
        ),
    ).reads_before_window().wants_counter().ours().over_buckets(&rows::GROWTH_RATE),
    entry(
        Family::Change,
        "resets",
        &[RANGE],
        window(kernels::resets),
        Help(
            "v range-vector",
            "How often a counter fell from one sample to the next inside the window. One sample gives 0.",
            "resets(http_requests_total[1h])",
        ),
    ).anchored().over_buckets(&rows::RESETS),
];
