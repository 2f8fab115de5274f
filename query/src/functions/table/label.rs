//! Labels and the order of results.

use super::{Help, STRING, VECTOR, call, entry};
use crate::functions::vectors::{info, labels, relabel, sort};
use crate::functions::{Family, Function};

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::Label,
        "info",
        &[VECTOR, VECTOR],
        call(info::info),
        Help(
            "v instant-vector, selector instant-vector?",
            "Each element, with the labels of the info series that has the same `instance` and `job` added: of `target_info`, or of the series that the selector names. Labels that the element already has are kept.",
            r#"info(rate(http_requests_total[5m]), {version=~".+"})"#,
        ),
    ).second_is_labels().last_optional().keeps_name(),
    entry(
        Family::Label,
        "label_copy",
        &[VECTOR, STRING, STRING],
        call(relabel::copy),
        Help(
            "v instant-vector, src string, dst string…",
            "Each element with the label dst set to the value of the label src, for each pair in turn. A missing src changes nothing.",
            r#"label_copy(up, "instance", "host")"#,
        ),
    ).last_two_repeated().metricsql().keeps_name(),
    entry(
        Family::Label,
        "label_del",
        &[VECTOR, STRING],
        call(relabel::delete),
        Help(
            "v instant-vector, label string…",
            "Each element without these labels. `__name__` is the metric name.",
            r#"label_del(up, "job")"#,
        ),
    ).last_repeated(usize::MAX).metricsql().keeps_name(),
    entry(
        Family::Label,
        "label_join",
        &[VECTOR, STRING, STRING, STRING],
        call(labels::join),
        Help(
            "v instant-vector, dst string, separator string, src string…?",
            "Each element with the label dst set to the values of the src labels, joined by the separator.",
            r#"label_join(up, "target", "/", "job", "instance")"#,
        ),
    ).last_optional().last_repeated(usize::MAX).keeps_name(),
    entry(
        Family::Label,
        "label_keep",
        &[VECTOR, STRING],
        call(relabel::keep),
        Help(
            "v instant-vector, label string…",
            "Each element with only these labels; the name is dropped too, unless `__name__` is one of them.",
            r#"label_keep(up, "instance")"#,
        ),
    ).last_repeated(usize::MAX).metricsql().keeps_name(),
    entry(
        Family::Label,
        "label_lowercase",
        &[VECTOR, STRING],
        call(relabel::lowercase),
        Help(
            "v instant-vector, label string…",
            "Each element with the values of these labels in lower case.",
            r#"label_lowercase(label_set(up, "env", "PROD"), "env")"#,
        ),
    ).last_repeated(usize::MAX).metricsql().keeps_name(),
    entry(
        Family::Label,
        "label_map",
        &[VECTOR, STRING, STRING, STRING],
        call(relabel::map),
        Help(
            "v instant-vector, label string, from string, to string…",
            "Each element; if the label has one of the from values, it is set to the to value of the first such pair. A missing label has the empty value.",
            r#"label_map(up, "job", "api", "front", "db", "back")"#,
        ),
    ).last_two_repeated().metricsql().keeps_name(),
    entry(
        Family::Label,
        "label_move",
        &[VECTOR, STRING, STRING],
        call(relabel::rename),
        Help(
            "v instant-vector, src string, dst string…",
            "Each element with the label src renamed to dst, for each pair in turn. A missing src changes nothing.",
            r#"label_move(up, "instance", "host")"#,
        ),
    ).last_two_repeated().metricsql().keeps_name(),
    entry(
        Family::Label,
        "label_replace",
        &[VECTOR, STRING, STRING, STRING, STRING],
        call(labels::replace),
        Help(
            "v instant-vector, dst string, replacement string, src string, regex string",
            "Each element; if the value of the label src matches the whole regular expression, the label dst is set to the replacement, in which `$1` and `$name` stand for groups.",
            r#"label_replace(up, "host", "$1", "instance", "(.*):.*")"#,
        ),
    ).keeps_name(),
    entry(
        Family::Label,
        "label_set",
        &[VECTOR, STRING, STRING],
        call(relabel::set),
        Help(
            "v instant-vector, label string, value string…",
            "Each element with the label set to the value, for each pair; an empty value removes the label.",
            r#"label_set(up, "env", "production", "job", "")"#,
        ),
    ).last_two_repeated().metricsql().keeps_name(),
    entry(
        Family::Label,
        "label_uppercase",
        &[VECTOR, STRING],
        call(relabel::uppercase),
        Help(
            "v instant-vector, label string…",
            "Each element with the values of these labels in upper case.",
            r#"label_uppercase(up, "job")"#,
        ),
    ).last_repeated(usize::MAX).metricsql().keeps_name(),
    entry(
        Family::Label,
        "sort",
        &[VECTOR],
        call(|args| sort::by_value(args, false)),
        Help(
            "v instant-vector",
            "The elements sorted by ascending value, NaN last. The results of range queries are always sorted by labels.",
            "sort(node_load1)",
        ),
    ).keeps_name(),
    entry(
        Family::Label,
        "sort_by_label",
        &[VECTOR, STRING],
        call(|args| sort::by_label(args, false)),
        Help(
            "v instant-vector, label string…?",
            "The elements sorted by the values of the given labels in natural order (`a2` before `a10`), then by all labels.",
            r#"sort_by_label(up, "instance")"#,
        ),
    ).last_optional().last_repeated(usize::MAX).keeps_name(),
    entry(
        Family::Label,
        "sort_by_label_desc",
        &[VECTOR, STRING],
        call(|args| sort::by_label(args, true)),
        Help(
            "v instant-vector, label string…?",
            "The elements in the reverse order of `sort_by_label`.",
            r#"sort_by_label_desc(up, "instance")"#,
        ),
    ).last_optional().last_repeated(usize::MAX).keeps_name(),
    entry(
        Family::Label,
        "sort_desc",
        &[VECTOR],
        call(|args| sort::by_value(args, true)),
        Help(
            "v instant-vector",
            "The elements sorted by descending value, NaN last. The results of range queries are always sorted by labels.",
            "sort_desc(node_load1)",
        ),
    ).keeps_name(),
];
