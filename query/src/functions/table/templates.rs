//! Templates: calls that stand for plain queries, which `format_query` prints, so that one can read and edit them.

use super::analytics::BY;
use super::{Help, SCALAR, VECTOR, entry};
use crate::functions::eval::Eval;
use crate::functions::expansion::{Expansion, When};
use crate::functions::{Family, Function, Named, NamedKind};

const FAMILY: Family = Family::Analytics;

const WINDOW: Named = Named { name: "window", kind: NamedKind::Duration, default: "5m" };

/// P50 to P99.9 of classic or native histograms.
const LATENCY: &str = "label_set(histogram_quantiles(sum$by,le(rate($1[$window])), \"quantile\", 0.5, 0.9, 0.95, 0.99, 0.999), \"signal\", \"latency\")";
const TRAFFIC: &str = "label_set(sum$by(rate($1[$window])), \"signal\", \"traffic\")";
/// A service without errors has no series of errors, and a share of 0.
const ERRORS: &str = "label_set((sum$by(rate($1[$window])) or 0 * sum$by(rate($2[$window]))) / sum$by(rate($2[$window])), \"signal\", \"errors\")";
const SATURATION: &str = "label_set(max$by(max_over_time($1[$window])), \"signal\", \"saturation\")";

/// A pair of windows of the SRE workbook, for an objective over 30 days.
macro_rules! alert {
    ($severity:literal, $long:literal, $short:literal, $burn:literal) => {
        concat!(
            "label_set(burn_rate(sum$by(rate($1[",
            $long,
            "])), sum$by(rate($2[",
            $long,
            "])), $3) > ",
            $burn,
            " and burn_rate(sum$by(rate($1[",
            $short,
            "])), sum$by(rate($2[",
            $short,
            "])), $3) > ",
            $burn,
            ", \"severity\", \"",
            $severity,
            "\", \"long_window\", \"",
            $long,
            "\", \"short_window\", \"",
            $short,
            "\")"
        )
    };
}

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        FAMILY,
        "golden_errors",
        &[VECTOR, VECTOR],
        Eval::Replaced,
        Help(
            "errors instant-vector, requests instant-vector",
            "The share of failed requests in `window`, from selectors of two counters, for each group of the labels `by`. A group without errors has the share 0.",
            "golden_errors(http_requests_total{code=\"500\"}, http_requests_total, by=\"instance\")",
        ),
    )
    .ours()
    .named(&[WINDOW, BY])
    .stands_for(Expansion::Query(When::Always, &[ERRORS])),
    entry(
        FAMILY,
        "golden_latency",
        &[VECTOR],
        Eval::Replaced,
        Help(
            "latency instant-vector",
            "The quantiles 0.5, 0.9, 0.95, 0.99 and 0.999 of a histogram in `window`, for each group of the labels `by`. The selector is that of a native histogram or of the buckets of a classic one.",
            "golden_latency(request_seconds_bucket)",
        ),
    )
    .ours()
    .named(&[WINDOW, BY])
    .stands_for(Expansion::Query(When::Always, &[LATENCY])),
    entry(
        FAMILY,
        "golden_saturation",
        &[VECTOR],
        Eval::Replaced,
        Help(
            "usage instant-vector",
            "The largest value of a gauge, such as a share of CPU or the length of a queue, in `window`, for each group of the labels `by`.",
            "golden_saturation(queue_length, by=\"queue\")",
        ),
    )
    .ours()
    .named(&[WINDOW, BY])
    .stands_for(Expansion::Query(When::Always, &[SATURATION])),
    entry(
        FAMILY,
        "golden_signals",
        &[VECTOR, VECTOR, VECTOR, VECTOR],
        Eval::Replaced,
        Help(
            "requests instant-vector, errors instant-vector, latency instant-vector, usage? instant-vector",
            "`golden_latency`, `golden_traffic`, `golden_errors` and `golden_saturation` together, distinguished by the label `signal`.",
            "golden_signals(http_requests_total, http_requests_total{code=\"500\"}, request_seconds_bucket, queue_length)",
        ),
    )
    .last_optional()
    .ours()
    .named(&[WINDOW, BY])
    .stands_for(Expansion::Query(
        When::Always,
        &[
            "golden_latency($3, window=$window, by=\"$labels\")",
            "golden_traffic($1, window=$window, by=\"$labels\")",
            "golden_errors($2, $1, window=$window, by=\"$labels\")",
            "golden_saturation($4, window=$window, by=\"$labels\")",
        ],
    )),
    entry(
        FAMILY,
        "golden_traffic",
        &[VECTOR],
        Eval::Replaced,
        Help(
            "requests instant-vector",
            "Requests per second in `window`, from the selector of a counter, for each group of the labels `by`.",
            "golden_traffic(http_requests_total, by=\"instance\")",
        ),
    )
    .ours()
    .named(&[WINDOW, BY])
    .stands_for(Expansion::Query(When::Always, &[TRAFFIC])),
    entry(
        FAMILY,
        "slo_alert",
        &[VECTOR, VECTOR, SCALAR],
        Eval::Replaced,
        Help(
            "bad instant-vector, total instant-vector, objective scalar",
            "Burn rates above the thresholds of the SRE workbook for an objective over 30 days: 14.4 over 1h and 5m, or 6 over 6h and 30m, for `severity=\"page\"`; 3 over 1d and 2h, or 1 over 3d and 6h, for `severity=\"ticket\"`. The value is the burn rate in the long window. The first two arguments are selectors of counters, which are added up for each group of the labels `by`.",
            "slo_alert(http_requests_total{code=\"500\"}, http_requests_total, 0.999)",
        ),
    )
    .ours()
    .named(&[BY])
    .stands_for(Expansion::Query(
        When::Always,
        &[
            alert!("page", "1h", "5m", "14.4"),
            alert!("page", "6h", "30m", "6"),
            alert!("ticket", "1d", "2h", "3"),
            alert!("ticket", "3d", "6h", "1"),
        ],
    )),
];
