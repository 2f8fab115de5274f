//! Which series are counters: their descriptions say so, or else their names.

use crate::model::{Labels, METRIC_NAME, MetricType};

/// What is known of the types of metrics.
pub(crate) trait MetricTypes: Send + Sync {
    /// Whether the ladder of a series says that it is a counter, or that it is none.
    fn stated(&self, labels: &Labels) -> Option<bool>;

    /// The types in the descriptions of the metric family `family` that concern a series with these labels. Those that say
    /// nothing are left out.
    fn types_of(&self, labels: &Labels, family: &str) -> Vec<MetricType>;
}

/// The endings of the names of counters, and the types of the families that have series with these names.
const ENDINGS: [(&str, &[MetricType]); 4] = [
    ("_total", &[MetricType::Counter]),
    ("_sum", &[MetricType::Histogram, MetricType::Summary]),
    ("_count", &[MetricType::Histogram, MetricType::Summary]),
    ("_bucket", &[MetricType::Histogram]),
];

/// Whether its ladder makes a series a counter, or else descriptions, all of them; `None` without any. Those of the series'
/// own name come before those of the family that has such a series.
pub(crate) fn described_as_counter(types: &dyn MetricTypes, labels: &Labels) -> Option<bool> {
    if let Some(stated) = types.stated(labels) {
        return Some(stated);
    }
    let name = labels.get(METRIC_NAME)?;
    let of_itself = types.types_of(labels, name);
    if !of_itself.is_empty() {
        return Some(of_itself.iter().all(|kind| *kind == MetricType::Counter));
    }
    let (family, counters) =
        ENDINGS.iter().find_map(|(ending, counters)| Some((name.strip_suffix(ending)?, counters)))?;
    let of_family = types.types_of(labels, family);
    (!of_family.is_empty()).then(|| of_family.iter().all(|kind| counters.contains(kind)))
}

/// Whether a metric has the name of a counter: it ends with `_total`, `_sum`, `_count` or `_bucket`.
///
/// ```
/// use barograph_engine::model::is_named_like_counter;
/// assert!(is_named_like_counter("http_requests_total"));
/// assert!(!is_named_like_counter("temperature_celsius"));
/// ```
pub fn is_named_like_counter(name: &str) -> bool {
    ENDINGS.iter().any(|(ending, _)| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of a family and a type in its descriptions.
    struct Known(&'static [(&'static str, MetricType)]);

    impl MetricTypes for Known {
        fn stated(&self, labels: &Labels) -> Option<bool> {
            labels.get("stated").map(|stated| stated == "counter")
        }

        fn types_of(&self, _: &Labels, family: &str) -> Vec<MetricType> {
            self.0.iter().filter(|(name, _)| *name == family).map(|(_, kind)| *kind).collect()
        }
    }

    #[test]
    fn a_ladder_counts_more_than_a_description_and_that_of_the_name_more_than_one_of_the_family() {
        use MetricType::{Counter, Gauge, GaugeHistogram, Histogram, Summary};
        let known = Known(&[
            ("requests", Counter),
            ("bytes_total", Counter),
            ("seconds", Histogram),
            ("sizes", GaugeHistogram),
            ("quantiles", Summary),
            ("thread", Histogram),
            ("thread_count", Gauge),
            ("odd_total", Counter),
            ("odd_total", Gauge),
        ]);
        let described = |name: &str| {
            let labels = Labels::from_pairs([("__name__", name)]).expect("one label");
            described_as_counter(&known, &labels)
        };
        for name in ["requests", "requests_total", "bytes_total", "quantiles_count"] {
            assert_eq!(described(name), Some(true), "{name}");
        }
        for name in ["seconds_sum", "seconds_count", "seconds_bucket"] {
            assert_eq!(described(name), Some(true), "{name}");
        }
        for name in ["seconds", "quantiles", "quantiles_bucket", "sizes_sum", "thread_count", "odd_total"] {
            assert_eq!(described(name), Some(false), "{name}");
        }
        for (name, stated) in [("requests", "gauge"), ("odd_total", "counter"), ("other", "counter")] {
            let labels = Labels::from_pairs([("__name__", name), ("stated", stated)]).expect("two labels");
            assert_eq!(described_as_counter(&known, &labels), Some(stated == "counter"), "{name}");
        }
        for name in ["other_total", "other", "bytes", "seconds_max"] {
            assert_eq!(described(name), None, "{name}");
        }
    }
}
