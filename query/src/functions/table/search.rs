//! Comparisons of many series: correlation, causes, changes in a highlighted span, joint anomalies.

use super::{Help, RANGE, SCALAR, call, entry};
use crate::functions::expansion::Expansion;
use crate::functions::search::{correlation, highlight, joint, root_cause};
use crate::functions::{Family, Function, Named, NamedKind};

const FAMILY: Family = Family::Analytics;

const MEASURE: Named = Named {
    name: "method",
    kind: NamedKind::Word(&["pearson", "spearman", "ks2", "volume", "mi", "dtw"]),
    default: "\"pearson\"",
};
const MAX_LAG: Named = Named { name: "max_lag", kind: NamedKind::Lag, default: "10*step" };
const TOP: Named =
    Named { name: "topk", kind: NamedKind::Number { min: 1.0, max: 100_000.0 }, default: "20" };
const DETREND: Named =
    Named { name: "detrend", kind: NamedKind::Word(&["seasonal", "none"]), default: "\"seasonal\"" };
const BASELINE: Named = Named { name: "baseline", kind: NamedKind::Duration, default: "4*highlight" };
const SPANS: Named =
    Named { name: "method", kind: NamedKind::Word(&["ks2", "ks2_changes", "volume"]), default: "\"ks2\"" };
const TREES: Named =
    Named { name: "trees", kind: NamedKind::Number { min: 1.0, max: 1000.0 }, default: "100" };
const SAMPLE: Named =
    Named { name: "sample", kind: NamedKind::Number { min: 16.0, max: 4096.0 }, default: "256" };

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        FAMILY,
        "correlate",
        &[RANGE, RANGE, SCALAR],
        call(correlation::correlate),
        Help(
            "target range-vector, candidates range-vector, window? scalar",
            "The `topk` candidates that move most like the target, which must be one series. The value is the score, from -1 to 1; `lag` is how much earlier the candidate moves, at most `max_lag`; `p_value` is the probability of the score by chance, corrected for the number of lags and of candidates. `detrend=\"seasonal\"` first subtracts the values of the day before. `spearman` compares ranks, `ks2` distributions, `volume` changes between the halves of the window, `mi` is mutual information, and `dtw` aligns shapes that are out of step by up to `max_lag`; the last four compare at one lag and have no `p_value`. With `window`, the first two arguments are instant vectors, and their window is this duration.",
            "correlate(node_load1{instance=\"a1:80\"}[1h], {__name__=~\"cpu_temp_celsius|orders_per_minute|queue_length\"}[1h], max_lag=5m, topk=2, detrend=\"none\")",
        ),
    )
    .last_optional()
    .ours()
    .keeps_name()
    .stands_for(Expansion::Window)
    .leaves_out()
    .detrends()
    .named(&[MEASURE, MAX_LAG, TOP, DETREND]),
    entry(
        FAMILY,
        "cross_correlation",
        &[RANGE, RANGE, SCALAR],
        call(correlation::cross),
        Help(
            "a range-vector, b range-vector, max_lag? scalar",
            "Pearson's correlation of two series at each lag: `lag` is how much earlier `b` moves. Without `max_lag`, the lags are those of ten steps.",
            "cross_correlation(node_load1{instance=\"a1:80\"}[1h], cpu_temp_celsius[1h], 2m)",
        ),
    )
    .last_optional()
    .ours()
    .leaves_out(),
    entry(
        FAMILY,
        "isolation_forest_score",
        &[RANGE],
        call(joint::scores),
        Help(
            "v range-vector…",
            "How unusual the newest values of several series with the same labels are together, from 0 to 1: about 0.5 is usual, and above 0.7 few cuts separate them from all other values in the window (Liu, Ting and Zhou, 2008). The features are the value, mean and deviation of 12 values, the change, and in windows of at least a day the time of the day. At least 64 steps are required.",
            "isolation_forest_score(node_load1[1h:30s], node_filesystem_avail_bytes[1h:30s])",
        ),
    )
    .last_repeated(16)
    .ours()
    .leaves_out()
    .named(&[TREES, SAMPLE]),
    entry(
        FAMILY,
        "metric_correlations",
        &[RANGE, SCALAR],
        call(highlight::metric_correlations),
        Help(
            "v range-vector, highlight scalar",
            "The `topk` series whose values in the last `highlight` seconds of the window differ most from those before. With `ks2`, the value is the probability that the two distributions differ, 1 less that of Kolmogorov and Smirnov's test; `ks2_changes` compares the differences between neighbouring values; with `volume`, it is the difference of the means divided by the larger one. The highlight must contain 15 samples. If the first argument is an instant vector, its window is that of the highlight and of `baseline` before it.",
            "metric_correlations({__name__=~\"node_load1|queue_length\"}[1h], 20m, topk=3)",
        ),
    )
    .ours()
    .keeps_name()
    .stands_for(Expansion::Highlight)
    .leaves_out()
    .named(&[BASELINE, SPANS, TOP]),
    entry(
        FAMILY,
        "root_cause",
        &[RANGE, RANGE, SCALAR],
        call(root_cause::root_cause),
        Help(
            "target range-vector, candidates range-vector, window? scalar",
            "The `topk` candidates that may have caused the disturbance of the target, which must be one series. The value, from 0 to 1, is larger the better the candidate correlates with the target at the best lag, the stronger its own disturbance is, and the earlier that begins, up to one and a half times `max_lag`. `rank` counts from 1, and `reason` says when the disturbance begins, how many deviations from the usual level it reaches, and the correlation. With `window`, the first two arguments are instant vectors, and their window is this duration.",
            "root_cause(node_load1{instance=\"a1:80\"}[1h], {__name__=~\"cpu_temp_celsius|queue_length|node_load1\"}[1h], topk=2, detrend=\"none\")",
        ),
    )
    .last_optional()
    .ours()
    .keeps_name()
    .stands_for(Expansion::Window)
    .leaves_out()
    .detrends()
    .named(&[MAX_LAG, TOP, DETREND]),
];
