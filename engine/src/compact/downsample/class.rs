//! The class of a series, which decides the columns of its buckets.

use crate::model::{Labels, METRIC_NAME, MetricTypes, described_as_counter, is_named_like_counter};
use crate::rollup::{Bucket, Class};

/// A series that is only named like a counter is one if at most one in this many samples is less than its predecessor.
const SAMPLES_PER_FALL: u64 = 100;

/// The class of a series with these buckets. What was not described as a counter keeps the columns of both: a series that
/// is only named like one may be a gauge, whose sums would be lost.
pub(super) fn class_of(types: &dyn MetricTypes, labels: &Labels, buckets: &[Bucket]) -> Class {
    let is_counter = described_as_counter(types, labels).unwrap_or_else(|| {
        let fall_rarely = || {
            let sum = |count: fn(&Bucket) -> u64| buckets.iter().map(count).fold(0, u64::saturating_add);
            sum(|bucket| bucket.resets).saturating_mul(SAMPLES_PER_FALL) <= sum(|bucket| bucket.count)
        };
        labels.get(METRIC_NAME).is_some_and(is_named_like_counter) && fall_rarely()
    });
    if is_counter { Class::Counter } else { Class::Unclear }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MetricType;

    struct Known(Option<MetricType>);

    impl MetricTypes for Known {
        fn stated(&self, _: &Labels) -> Option<bool> {
            None
        }

        fn types_of(&self, _: &Labels, _: &str) -> Vec<MetricType> {
            self.0.into_iter().collect()
        }
    }

    #[test]
    fn without_a_description_the_name_counts_unless_the_values_often_fall() {
        let class = |known: Option<MetricType>, name, falls| {
            let labels = Labels::from_pairs([("__name__", name)]).expect("one label");
            let bucket = |resets| Bucket { count: 200, resets, ..Bucket::empty(0) };
            class_of(&Known(known), &labels, &[bucket(falls), bucket(0)])
        };
        for (known, name, falls, expected) in [
            (None, "requests", 0, Class::Unclear),
            (None, "requests_total", 0, Class::Counter),
            (None, "requests_total", 4, Class::Counter),
            (None, "thread_count", 5, Class::Unclear),
            (Some(MetricType::Counter), "requests", 200, Class::Counter),
            (Some(MetricType::Gauge), "requests_total", 0, Class::Unclear),
        ] {
            assert_eq!(
                class(known, name, falls),
                expected,
                "{name}, {known:?}, {falls} falls in 400 samples"
            );
        }
    }
}
