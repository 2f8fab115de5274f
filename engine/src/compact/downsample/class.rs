//! Whether a series is a counter, which decides the columns of its buckets.

use crate::model::{Labels, METRIC_NAME, MetricType};
use crate::rollup::{Bucket, Class};

/// What is known of the types of metrics.
pub(crate) trait MetricTypes: Send + Sync {
    /// The types in the descriptions of the metric family `family` that concern a series with these labels. Those that say
    /// nothing are left out.
    fn types_of(&self, labels: &Labels, family: &str) -> Vec<MetricType>;
}

/// Of a series that is only named like a counter, one sample in this number may be less than the one before it.
const SAMPLES_PER_FALL: u64 = 100;

/// The endings of the names of counters, and the types of the families that have series with these names.
const ENDINGS: [(&str, &[MetricType]); 4] = [
    ("_total", &[MetricType::Counter]),
    ("_sum", &[MetricType::Histogram, MetricType::Summary]),
    ("_count", &[MetricType::Histogram, MetricType::Summary]),
    ("_bucket", &[MetricType::Histogram]),
];

/// The class of a series with these buckets. What was not described as a counter keeps the columns of both: a series that
/// is only named like one may be a gauge, whose sums would be lost.
pub(super) fn class_of(types: &dyn MetricTypes, labels: &Labels, buckets: &[Bucket]) -> Class {
    let name = labels.get(METRIC_NAME).unwrap_or_default();
    let class = |is_counter: bool| if is_counter { Class::Counter } else { Class::Unclear };
    let of_itself = types.types_of(labels, name);
    if !of_itself.is_empty() {
        return class(of_itself.iter().all(|kind| *kind == MetricType::Counter));
    }
    let Some((family, counters)) =
        ENDINGS.iter().find_map(|(ending, counters)| Some((name.strip_suffix(ending)?, counters)))
    else {
        return Class::Unclear;
    };
    let of_family = types.types_of(labels, family);
    if !of_family.is_empty() {
        return class(of_family.iter().all(|kind| counters.contains(kind)));
    }
    let (falls, samples) =
        buckets.iter().fold((0u64, 0u64), |(falls, samples), b| (falls + b.resets, samples + b.count));
    class(falls.saturating_mul(SAMPLES_PER_FALL) <= samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of a family and a type in its descriptions.
    struct Known(&'static [(&'static str, MetricType)]);

    impl MetricTypes for Known {
        fn types_of(&self, _: &Labels, family: &str) -> Vec<MetricType> {
            self.0.iter().filter(|(name, _)| *name == family).map(|(_, kind)| *kind).collect()
        }
    }

    fn class(known: &Known, name: &str, falls: u64) -> Class {
        let labels = Labels::from_pairs([("__name__", name)]).expect("one label");
        let bucket = |resets| Bucket { count: 200, resets, ..Bucket::empty(0) };
        class_of(known, &labels, &[bucket(falls), bucket(0)])
    }

    #[test]
    fn a_description_counts_more_than_a_name() {
        use MetricType::{Counter, Gauge, GaugeHistogram, Histogram, Summary};
        let known = Known(&[
            ("requests", Counter),
            ("bytes_total", Counter),
            ("seconds", Histogram),
            ("sizes", GaugeHistogram),
            ("quantiles", Summary),
            ("thread_count", Gauge),
            ("odd_total", Counter),
            ("odd_total", Gauge),
        ]);
        for counter in
            ["requests", "requests_total", "bytes_total", "seconds_sum", "seconds_count", "seconds_bucket"]
        {
            assert_eq!(class(&known, counter, 200), Class::Counter, "{counter}");
        }
        assert_eq!(class(&known, "quantiles_count", 200), Class::Counter);
        for other in ["seconds", "quantiles", "quantiles_bucket", "sizes_sum", "thread_count", "odd_total"] {
            assert_eq!(class(&known, other, 0), Class::Unclear, "{other}");
        }
    }

    #[test]
    fn without_a_description_the_name_counts_unless_the_values_often_fall() {
        let none = Known(&[]);
        assert_eq!(class(&none, "requests", 0), Class::Unclear);
        for (name, falls, expected) in [
            ("requests_total", 0, Class::Counter),
            ("requests_total", 4, Class::Counter),
            ("thread_count", 5, Class::Unclear),
        ] {
            assert_eq!(class(&none, name, falls), expected, "{name} with {falls} falls in 400 samples");
        }
    }
}
