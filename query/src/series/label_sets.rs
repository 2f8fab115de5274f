//! Label sets for groups, matches and messages.

use barograph_engine::model::{Labels, METRIC_NAME};

/// The labels of `labels` that are in `names` (sorted).
pub(crate) fn only(labels: &Labels, names: &[String]) -> Labels {
    labels.without(|n| names.binary_search_by(|k| k.as_str().cmp(n)).is_err())
}

/// The labels of `labels` that are not in `names` (sorted), without the metric name.
pub(crate) fn without(labels: &Labels, names: &[String]) -> Labels {
    labels.without(|n| n == METRIC_NAME || names.binary_search_by(|k| k.as_str().cmp(n)).is_ok())
}

/// All labels in braces, including the name, as error messages show a series.
pub(crate) fn in_braces(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// `names`, sorted and without duplicates.
pub(crate) fn sorted_names(names: &[String]) -> Vec<String> {
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}
