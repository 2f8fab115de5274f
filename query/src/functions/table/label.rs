//! Labels and the order of results.

use super::{Help, STRING, VECTOR, entry};
use crate::functions::{Family, Function, FunctionId as Id};

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::Label,
        Id::Info,
        "info",
        &[VECTOR, VECTOR],
        Help(
            "v instant-vector, selector instant-vector?",
            "Each element with the labels of the info series that shares its `instance` and `job`: of `target_info`, or of those the selector names. A label that is there already stays.",
            r#"info(rate(http_requests_total[5m]), {version=~".+"})"#,
        ),
    ).last_optional().keeps_name(),
    entry(
        Family::Label,
        Id::LabelJoin,
        "label_join",
        &[VECTOR, STRING, STRING, STRING],
        Help(
            "v instant-vector, dst string, separator string, src string…?",
            "Each element with the label dst set to the values of the src labels, joined by the separator.",
            r#"label_join(up, "target", "/", "job", "instance")"#,
        ),
    ).last_optional().last_repeated(usize::MAX).keeps_name(),
    entry(
        Family::Label,
        Id::LabelReplace,
        "label_replace",
        &[VECTOR, STRING, STRING, STRING, STRING],
        Help(
            "v instant-vector, dst string, replacement string, src string, regex string",
            "Each element whose label src matches the whole regular expression, with the label dst set to the replacement, in which `$1` and `$name` stand for groups. The others pass unchanged.",
            r#"label_replace(up, "host", "$1", "instance", "(.*):.*")"#,
        ),
    ).keeps_name(),
    entry(
        Family::Label,
        Id::Sort,
        "sort",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The elements by ascending value, NaN last. In range queries results are always sorted by labels.",
            "sort(node_load1)",
        ),
    ).keeps_name(),
    entry(
        Family::Label,
        Id::SortByLabel,
        "sort_by_label",
        &[VECTOR, STRING],
        Help(
            "v instant-vector, label string…?",
            "The elements by the values of the given labels in natural order (`a2` before `a10`), then by all labels.",
            r#"sort_by_label(up, "instance")"#,
        ),
    ).last_optional().last_repeated(usize::MAX).keeps_name(),
    entry(
        Family::Label,
        Id::SortByLabelDesc,
        "sort_by_label_desc",
        &[VECTOR, STRING],
        Help(
            "v instant-vector, label string…?",
            "The elements in the reverse order of `sort_by_label`.",
            r#"sort_by_label_desc(up, "instance")"#,
        ),
    ).last_optional().last_repeated(usize::MAX).keeps_name(),
    entry(
        Family::Label,
        Id::SortDesc,
        "sort_desc",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The elements by descending value, NaN last. In range queries results are always sorted by labels.",
            "sort_desc(node_load1)",
        ),
    ).keeps_name(),
];
