//! Seasons, anomalies, forecasts, service level objectives.

use super::{Help, RANGE, SCALAR, VECTOR, analytic, call, entry};
use crate::functions::analytics::{anomalies, forecasts, seasons};
use crate::functions::expansion::{Expansion, When};
use crate::functions::vectors::{objectives, outliers};
use crate::functions::{Family, Function, Named, NamedKind};

const FAMILY: Family = Family::Analytics;

const PERIOD: Named = Named { name: "period", kind: NamedKind::Seasons, default: "\"auto\"" };
const ONE_PERIOD: Named = Named { name: "period", kind: NamedKind::Season, default: "\"auto\"" };
const DAY: Named = Named { name: "period", kind: NamedKind::Season, default: "1d" };
const ROBUST: Named = Named { name: "robust", kind: NamedKind::Flag, default: "false" };
const EXACT: Named = Named { name: "exact", kind: NamedKind::Flag, default: "false" };
const MAX_SEASONS: Named =
    Named { name: "max_seasons", kind: NamedKind::Number { min: 1.0, max: 5.0 }, default: "3" };
const DETECTOR: Named = Named {
    name: "method",
    kind: NamedKind::Word(&["auto", "zscore", "mad", "ar", "esd", "iforest"]),
    default: "\"auto\"",
};
/// A detector that expects values; an isolation forest only judges them.
const EXPECTING: Named = Named {
    name: "method",
    kind: NamedKind::Word(&["auto", "zscore", "mad", "ar", "esd"]),
    default: "\"auto\"",
};
const FORECASTER: Named = Named {
    name: "method",
    kind: NamedKind::Word(&["auto", "theta", "holt", "ets", "seasonal_naive", "linear"]),
    default: "\"auto\"",
};
const LEVEL: Named =
    Named { name: "level", kind: NamedKind::Number { min: 0.5, max: 0.999 }, default: "0.95" };
const HOLD: Named = Named { name: "hold", kind: NamedKind::Duration, default: "12h" };
const SENSITIVITY: Named =
    Named { name: "sensitivity", kind: NamedKind::Number { min: 0.01, max: 100.0 }, default: "1" };
const K: Named = Named { name: "k", kind: NamedKind::Number { min: 0.0, max: 100.0 }, default: "3" };
const MAX_ANOMS: Named =
    Named { name: "max_anoms", kind: NamedKind::Number { min: 0.0001, max: 0.49 }, default: "0.02" };
const ALPHA: Named =
    Named { name: "alpha", kind: NamedKind::Number { min: 1e-6, max: 0.5 }, default: "0.05" };
const MODEL: Named =
    Named { name: "model", kind: NamedKind::Word(&["mean", "meanvar"]), default: "\"mean\"" };
const PENALTY: Named =
    Named { name: "penalty", kind: NamedKind::Number { min: 0.01, max: 1000.0 }, default: "1" };
const MIN_SIZE: Named =
    Named { name: "min_size", kind: NamedKind::Number { min: 2.0, max: 10_000.0 }, default: "5" };
const PEER_METHOD: Named =
    Named { name: "method", kind: NamedKind::Word(&["mad", "dbscan"]), default: "\"mad\"" };
const TOLERANCE: Named =
    Named { name: "tolerance", kind: NamedKind::Number { min: 0.0, max: 1000.0 }, default: "3" };

/// The labels of groups.
pub(super) const BY: Named = Named { name: "by", kind: NamedKind::Labels, default: "\"\"" };
const BUDGET_PERIOD: Named = Named { name: "period", kind: NamedKind::Duration, default: "none" };
const STALL_TOLERANCE: Named =
    Named { name: "tolerance", kind: NamedKind::Number { min: 1.0, max: 1000.0 }, default: "3" };

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        FAMILY,
        "anomalies",
        &[RANGE],
        analytic(anomalies::events),
        Help(
            "v range-vector",
            "1 if an anomaly begins, otherwise 0. An anomaly begins when `anomaly_score` reaches 1 divided by `sensitivity` and no anomaly began within the preceding `hold`. Each step covers the time since the previous step.",
            "anomalies(node_load1{instance=\"a2:80\"}[1h:10s], hold=10m)",
        ),
    )
    .ours()
    .over_all_steps()
    .named(&[DETECTOR, DAY, SENSITIVITY, HOLD]),
    entry(
        FAMILY,
        "anomaly_bounds",
        &[RANGE],
        analytic(anomalies::bounds),
        Help(
            "v range-vector",
            "The value that the detector of `anomaly_score` expects (`bound=\"expected\"`), and the bounds at `k` typical deviations below and above it (`lower`, `upper`).",
            "anomaly_bounds(cpu_temp_celsius[1h:10s])",
        ),
    )
    .ours()
    .over_all_steps()
    .named(&[EXPECTING, DAY, K]),
    entry(
        FAMILY,
        "anomaly_score",
        &[RANGE],
        analytic(anomalies::scores),
        Help(
            "v range-vector",
            "How unusual the newest sample is, compared only with earlier samples: 0 is the expected value, 1 the threshold for an alert. `auto` compares it with the last 4,000 samples and with the same time in the last seven periods. `zscore` and `mad` compare it with the last 4,000 samples, and `ar` with the prediction of an autoregression. `esd` tests its deviation from the same time of earlier periods against the last 4,000 such deviations (extreme Studentized deviate). `iforest` grows an isolation forest from the last 4,000 samples, each with its value, its change, and the mean and the deviation of the last 12 values. At least 150 samples are required, 351 for `ar`. A query with many steps uses all samples from the beginning of its first window on.",
            "anomaly_score(node_load1[1h:10s])",
        ),
    )
    .ours()
    .over_all_steps()
    .named(&[DETECTOR, DAY]),
    entry(
        FAMILY,
        "burn_rate",
        &[VECTOR, VECTOR, SCALAR, SCALAR],
        call(objectives::burn_rate),
        Help(
            "bad instant-vector, total instant-vector, objective scalar, window? scalar",
            "How many times faster than allowed by the objective the error budget is used up: the fraction of bad events divided by the fraction that the objective allows. The two vectors are matched by their labels without the name. The rate is 0 if there are no bad events. With a window, the first two arguments are selectors of counters, and the call stands for their rates in the window, added up for each group of the labels `by`.",
            "burn_rate(sum(rate(http_requests_total{code=\"500\"}[1h])), sum(rate(http_requests_total[1h])), 0.999)",
        ),
    )
    .last_optional()
    .ours()
    .named(&[BY])
    .stands_for(Expansion::Query(
        When::Arguments(4),
        &["burn_rate(sum$by(rate($1[$4])), sum$by(rate($2[$4])), $3)"],
    )),
    entry(
        FAMILY,
        "changepoints",
        &[RANGE],
        analytic(anomalies::changes),
        Help(
            "v range-vector",
            "The size of the last change of the level (`direction=\"up\"` or `\"down\"`) since the previous step, or in the window of an instant query. `penalty` is a factor of the Bayesian information criterion; a larger one finds fewer changes. `model=\"meanvar\"` also finds changes of the variance.",
            "changepoints(node_load1{instance=\"a1:80\"}[1h])",
        ),
    )
    .ours()
    .over_all_steps()
    .named(&[MODEL, PENALTY, MIN_SIZE]),
    entry(
        FAMILY,
        "error_budget_remaining",
        &[VECTOR, VECTOR, SCALAR],
        call(objectives::budget_remaining),
        Help(
            "bad instant-vector, total instant-vector, objective scalar",
            "The fraction of the error budget that is left: 1 if none is used, negative if too much is used. The arguments are those of `burn_rate`, with counts over the whole period. With `period=30d`, the first two arguments are selectors of counters, and the call stands for their increases in the period, added up for each group of the labels `by`.",
            "error_budget_remaining(sum(increase(http_requests_total{code=\"500\"}[1h])), sum(increase(http_requests_total[1h])), 0.9)",
        ),
    )
    .ours()
    .named(&[BUDGET_PERIOD, BY])
    .stands_for(Expansion::Query(
        When::Named("period"),
        &["error_budget_remaining(sum$by(increase($1[$period])), sum$by(increase($2[$period])), $3)"],
    )),
    entry(
        FAMILY,
        "forecast",
        &[RANGE],
        analytic(forecasts::future),
        Help(
            "v range-vector",
            "The forecast for the steps of a range query after the newest sample: the expected value (`bound=\"point\"`), and the range that contains the value with the probability `level` (`lower`, `upper`). The model is fitted once, to the window that ends with the newest sample. `auto` repeats past periods if a period of at least 24 steps is found or given, and otherwise uses the mean of `theta` and `holt` (a damped trend). `ets` fits 15 models of exponential smoothing, of which those with a season need a period of at most 24 steps, and uses the one with the least corrected information criterion (AICc). The forecast extends to at most twice the length of the window.",
            "forecast((node_filesystem_avail_bytes and on () vector(time()) <= 3000)[30m:1m])",
        ),
    )
    .ours()
    .over_all_steps()
    .named(&[FORECASTER, PERIOD, LEVEL]),
    entry(
        FAMILY,
        "forecast_at",
        &[RANGE, SCALAR],
        analytic(forecasts::at),
        Help(
            "v range-vector, seconds scalar",
            "Like `forecast`, for the time this many seconds after the last sample of each window.",
            "forecast_at(node_filesystem_avail_bytes[1h], 1h)",
        ),
    )
    .ours()
    .named(&[FORECASTER, PERIOD, LEVEL]),
    entry(
        FAMILY,
        "mstl",
        &[RANGE],
        analytic(seasons::parts),
        Help(
            "v range-vector",
            "Another name of `seasonal_decompose`, that of the method for several seasons, as in `period=\"1d,1w\"`.",
            "mstl(orders_per_minute[1h], period=10m)",
        ),
    )
    .ours()
    .over_all_steps()
    .named(&[PERIOD, ROBUST, EXACT]),
    entry(
        FAMILY,
        "outliers",
        &[VECTOR],
        call(outliers::outliers),
        Help(
            "v instant-vector",
            "1 for each series of the vector that differs from the others at the same time, 0 for the rest. With `mad`, a series differs if its distance from the median exceeds `tolerance` times the typical distance; with `dbscan`, if no chain of neighbours within that distance connects it to half of the series. At least three series are required.",
            "outliers(rate(http_requests_total[5m]))",
        ),
    )
    .ours()
    .leaves_out()
    .named(&[PEER_METHOD, TOLERANCE]),
    entry(
        FAMILY,
        "predict_exhaustion",
        &[RANGE, SCALAR],
        analytic(forecasts::exhaustion),
        Help(
            "v range-vector, limit scalar",
            "The number of seconds until the series reaches the limit, according to a robust line (Theil and Sen) through the window without its seasons (`bound=\"point\"`), and the earliest and latest likely times (`earliest`, `latest`). `+Inf` means not within ten times the window.",
            "predict_exhaustion(node_filesystem_avail_bytes[1h], 0)",
        ),
    )
    .ours()
    .keeps_counters()
    .named(&[ONE_PERIOD]),
    entry(
        FAMILY,
        "season_length",
        &[RANGE],
        analytic(seasons::length),
        Help(
            "v range-vector",
            "The lengths of the seasons in the window, in seconds. The strongest has `season=\"0\"`. Finding a season requires three cycles.",
            "season_length(orders_per_minute[1h])",
        ),
    )
    .ours()
    .named(&[MAX_SEASONS]),
    entry(
        FAMILY,
        "season_strength",
        &[RANGE],
        analytic(seasons::correlation),
        Help(
            "v range-vector",
            "For each season found by `season_length`, the autocorrelation at a distance of one season, at most 1.",
            "season_strength(orders_per_minute[1h])",
        ),
    )
    .ours()
    .named(&[MAX_SEASONS]),
    entry(
        FAMILY,
        "seasonal_decompose",
        &[RANGE],
        analytic(seasons::parts),
        Help(
            "v range-vector",
            "The newest sample split into a sum: `component=\"trend\"`, `\"seasonal\"` and `\"residual\"` (STL). With several periods, as in `period=\"1d,1w\"`, each has a component, such as `\"seasonal_1d\"` (MSTL). At least two cycles are required. `robust` prevents outliers from affecting trend and seasons. `exact` computes every step of long windows; otherwise some are interpolated. A query with many steps is decomposed once, from the beginning of its first window on.",
            "seasonal_decompose(orders_per_minute[1h], period=10m)",
        ),
    )
    .ours()
    .over_all_steps()
    .named(&[PERIOD, ROBUST, EXACT]),
    entry(
        FAMILY,
        "seasonal_esd",
        &[RANGE],
        analytic(anomalies::esd),
        Help(
            "v range-vector",
            "The last outlier since the previous step, or in the window of an instant query, found with the seasonal hybrid extreme Studentized deviate test. At most the fraction `max_anoms` of the samples are outliers; `alpha` is the probability of finding one in a normal series.",
            "seasonal_esd(orders_per_minute[1h], period=10m)",
        ),
    )
    .ours()
    .over_all_steps()
    .named(&[ONE_PERIOD, MAX_ANOMS, ALPHA]),
    entry(
        FAMILY,
        "seasonal_strength",
        &[RANGE],
        analytic(seasons::seasonal_strength),
        Help(
            "v range-vector",
            "The fraction of the variance around the trend that the seasons explain, from 0 to 1; 0 if there is no variance around the trend.",
            "seasonal_strength(orders_per_minute[1h], period=10m)",
        ),
    )
    .ours()
    .named(&[PERIOD, ROBUST, EXACT]),
    entry(
        FAMILY,
        "stalled",
        &[RANGE],
        analytic(anomalies::stalled),
        Help(
            "v range-vector",
            "Series that have stopped reporting: `stalled=\"age\"` is the time since the newest sample in seconds, `stalled=\"interval\"` the interval that 95 % of their intervals do not pass. A series is left out while its age is at most `tolerance` intervals, and if it has fewer than five samples in the window.",
            "stalled((up and on () vector(time()) <= 3000)[1h:1m])",
        ),
    )
    .ours()
    .keeps_counters()
    .named(&[STALL_TOLERANCE]),
    entry(
        FAMILY,
        "stl",
        &[RANGE],
        analytic(seasons::parts),
        Help(
            "v range-vector",
            "Another name of `seasonal_decompose`, that of the method for one season.",
            "stl(orders_per_minute[1h], period=10m)",
        ),
    )
    .ours()
    .over_all_steps()
    .named(&[PERIOD, ROBUST, EXACT]),
    entry(
        FAMILY,
        "time_until",
        &[RANGE, SCALAR],
        analytic(forecasts::exhaustion),
        Help(
            "v range-vector, limit scalar",
            "Another name of `predict_exhaustion`.",
            "time_until(node_filesystem_avail_bytes[1h], 0)",
        ),
    )
    .ours()
    .keeps_counters()
    .named(&[ONE_PERIOD]),
    entry(
        FAMILY,
        "trend_strength",
        &[RANGE],
        analytic(seasons::trend_strength),
        Help(
            "v range-vector",
            "The fraction of the variance without the seasons that the trend explains, from 0 to 1; 0 if there is none.",
            "trend_strength(orders_per_minute[1h], period=10m)",
        ),
    )
    .ours()
    .named(&[PERIOD, ROBUST, EXACT]),
    entry(
        FAMILY,
        "trimmed_mean_over_time",
        &[SCALAR, RANGE],
        analytic(seasons::trimmed_mean),
        Help(
            "share scalar, v range-vector",
            "The mean of the samples in the window without the given fraction, at most 0.5, of the smallest and of the largest.",
            "trimmed_mean_over_time(0.1, node_load1[1h])",
        ),
    )
    .ours()
    .keeps_counters()
    .uses_all(),
    entry(
        FAMILY,
        "winsorized_mean_over_time",
        &[SCALAR, RANGE],
        analytic(seasons::winsorized_mean),
        Help(
            "share scalar, v range-vector",
            "The mean of the samples in the window, in which the given fraction, at most 0.5, of the smallest and of the largest is replaced by the nearest remaining sample.",
            "winsorized_mean_over_time(0.1, node_load1[1h])",
        ),
    )
    .ours()
    .keeps_counters()
    .uses_all(),
];
