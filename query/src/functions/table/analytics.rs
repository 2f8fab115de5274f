//! Seasons, anomalies, forecasts, service level objectives.

use super::{Help, RANGE, SCALAR, VECTOR, analytic, call, entry};
use crate::functions::analytics::{anomalies, forecasts, seasons};
use crate::functions::vectors::{objectives, outliers};
use crate::functions::{Family, Function, Named, NamedKind};

const FAMILY: Family = Family::Analytics;

const PERIOD: Named = Named { name: "period", kind: NamedKind::Seasons, default: "\"auto\"" };
const DAY: Named = Named { name: "period", kind: NamedKind::Seasons, default: "1d" };
const ROBUST: Named = Named { name: "robust", kind: NamedKind::Flag, default: "false" };
const EXACT: Named = Named { name: "exact", kind: NamedKind::Flag, default: "false" };
const MAX_SEASONS: Named =
    Named { name: "max_seasons", kind: NamedKind::Number { min: 1.0, max: 5.0 }, default: "3" };
const DETECTOR: Named =
    Named { name: "method", kind: NamedKind::Word(&["auto", "zscore", "mad", "ar"]), default: "\"auto\"" };
const FORECASTER: Named = Named {
    name: "method",
    kind: NamedKind::Word(&["auto", "theta", "holt", "seasonal_naive", "linear"]),
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

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        FAMILY,
        "anomalies",
        &[RANGE],
        analytic(anomalies::events),
        Help(
            "v range-vector",
            "1 where an anomaly begins: the score of `anomaly_score` reaches 1 divided by `sensitivity`, and no anomaly began within `hold` before. Else 0. A step shows whether one began since the step before.",
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
            "What the detector of `anomaly_score` expects (`bound=\"expected\"`), and `k` usual distances below and above it (`lower`, `upper`).",
            "anomaly_bounds(cpu_temp_celsius[1h:10s])",
        ),
    )
    .ours()
    .over_all_steps()
    .named(&[DETECTOR, DAY, K]),
    entry(
        FAMILY,
        "anomaly_score",
        &[RANGE],
        analytic(anomalies::scores),
        Help(
            "v range-vector",
            "How unusual the newest sample is, judged by the samples before it alone: 0 is what is expected, 1 the alert line. `auto` compares with the last 4,000 samples, and with the same time in the last seven periods; `zscore` and `mad` with the last 4,000 samples; `ar` with what an autoregression predicts. At least 150 samples are needed. A query over many steps reads from the beginning of its first window on.",
            "anomaly_score(node_load1[1h:10s])",
        ),
    )
    .ours()
    .over_all_steps()
    .named(&[DETECTOR, DAY]),
    entry(
        FAMILY,
        "burn_rate",
        &[VECTOR, VECTOR, SCALAR],
        call(objectives::burn_rate),
        Help(
            "bad instant-vector, total instant-vector, objective scalar",
            "How many times faster than the objective allows the budget of errors burns: the share of bad events divided by the share that the objective leaves. The two vectors are matched by their labels without the name; without bad events the rate is 0.",
            "burn_rate(sum(rate(http_requests_total{code=\"500\"}[1h])), sum(rate(http_requests_total[1h])), 0.999)",
        ),
    )
    .ours(),
    entry(
        FAMILY,
        "changepoints",
        &[RANGE],
        analytic(anomalies::changes),
        Help(
            "v range-vector",
            "By how much the level shifts where it changes (`direction=\"up\"` or `\"down\"`): the last change since the step before, or in the window of an instant query. `penalty` is a multiple of the Bayesian information criterion: more of it finds fewer changes. `model=\"meanvar\"` finds changes of the variance too.",
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
            "The share of the budget of errors that is left: 1 if none is used, below 0 if too much is. As `burn_rate`, over counts of the whole period.",
            "error_budget_remaining(sum(increase(http_requests_total{code=\"500\"}[1h])), sum(increase(http_requests_total[1h])), 0.9)",
        ),
    )
    .ours(),
    entry(
        FAMILY,
        "forecast",
        &[RANGE],
        analytic(forecasts::future),
        Help(
            "v range-vector",
            "The steps of a range query after the newest sample: what is expected (`bound=\"point\"`), and the range that holds the value with the probability `level` (`lower`, `upper`). It is fitted once, to the window before the newest sample. `auto` follows past periods if one of 24 steps or more is found or given, and else takes the mean of `theta` and `holt` (a damped trend). At most twice the length of the window is predicted.",
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
            "As `forecast`, the value some seconds after the last sample of each window.",
            "forecast_at(node_filesystem_avail_bytes[1h], 1h)",
        ),
    )
    .ours()
    .named(&[FORECASTER, PERIOD, LEVEL]),
    entry(
        FAMILY,
        "outliers",
        &[VECTOR],
        call(outliers::outliers),
        Help(
            "v instant-vector",
            "1 for each member of the vector that differs from the others at the same time, 0 for the rest. `mad`: it is farther from the median than `tolerance` times the usual distance; `dbscan`: no chain of neighbours at most as far apart links it to half of the members. At least three members are needed.",
            "outliers(rate(http_requests_total[5m]))",
        ),
    )
    .ours()
    .named(&[PEER_METHOD, TOLERANCE]),
    entry(
        FAMILY,
        "predict_exhaustion",
        &[RANGE, SCALAR],
        analytic(forecasts::exhaustion),
        Help(
            "v range-vector, limit scalar",
            "Seconds until the series reaches the limit, by a robust line (Theil and Sen) through the window without its season: `bound=\"point\"`, and the earliest and latest likely time (`earliest`, `latest`). `+Inf`: not within ten times the window.",
            "predict_exhaustion(node_filesystem_avail_bytes[1h], 0)",
        ),
    )
    .ours()
    .named(&[PERIOD]),
    entry(
        FAMILY,
        "season_length",
        &[RANGE],
        analytic(seasons::length),
        Help(
            "v range-vector",
            "The lengths of the seasons of the window in seconds, the strongest as `season=\"0\"`. A season needs three cycles.",
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
            "The autocorrelation one season apart, up to 1, of each season of `season_length`.",
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
            "The newest sample as a sum: `component=\"trend\"`, `\"seasonal\"` and `\"residual\"` (STL); several periods, as in `period=\"1d,1w\"`, have a component each, such as `\"seasonal_1d\"` (MSTL). Two cycles are needed. `robust` keeps outliers out of trend and season. `exact` computes every step of long windows, which otherwise are interpolated. A query over many steps decomposes once, from the beginning of its first window on.",
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
            "The last outlier since the step before, or in the window of an instant query, by the seasonal hybrid extreme Studentized deviate: at most the share `max_anoms` of the samples, with the probability `alpha` for one in a normal series.",
            "seasonal_esd(orders_per_minute[1h], period=10m)",
        ),
    )
    .ours()
    .over_all_steps()
    .named(&[PERIOD, MAX_ANOMS, ALPHA]),
    entry(
        FAMILY,
        "seasonal_strength",
        &[RANGE],
        analytic(seasons::seasonal_strength),
        Help(
            "v range-vector",
            "How much of the variance around the trend the seasons explain, from 0 to 1.",
            "seasonal_strength(orders_per_minute[1h], period=10m)",
        ),
    )
    .ours()
    .named(&[PERIOD, ROBUST, EXACT]),
    entry(
        FAMILY,
        "trend_strength",
        &[RANGE],
        analytic(seasons::trend_strength),
        Help(
            "v range-vector",
            "How much of the variance without the seasons the trend explains, from 0 to 1.",
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
            "The mean of the samples in the window without this share of them, at most 0.5, at either end.",
            "trimmed_mean_over_time(0.1, node_load1[1h])",
        ),
    )
    .ours(),
    entry(
        FAMILY,
        "winsorized_mean_over_time",
        &[SCALAR, RANGE],
        analytic(seasons::winsorized_mean),
        Help(
            "share scalar, v range-vector",
            "The mean of the samples in the window after this share of them, at most 0.5, at either end is replaced by the nearest one that stays.",
            "winsorized_mean_over_time(0.1, node_load1[1h])",
        ),
    )
    .ours(),
];
