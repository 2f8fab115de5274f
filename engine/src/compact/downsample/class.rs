//! The class of a series, which decides the columns of its buckets, and whether a tier that was chosen holds them.

use super::TierJob;
use crate::model::{Labels, METRIC_NAME, MetricTypes, described_as_counter, is_named_like_counter};
use crate::rollup::{Bucket, Class};
use crate::store::catalogue::{Catalogue, SeriesClass};

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

/// The class of a series by which is decided whether a tier holds such buckets; `None` without samples.
pub(super) fn series_class(class: Class, buckets: &[Bucket]) -> Option<SeriesClass> {
    let has_histograms = buckets.iter().any(|bucket| bucket.has_histograms);
    Some(SeriesClass::new(class == Class::Counter, has_histograms, octave_of(buckets)?))
}

/// The distance of the samples in buckets, as a power of two of a second.
fn octave_of(buckets: &[Bucket]) -> Option<i8> {
    let spans = buckets.iter().flat_map(|bucket| {
        let floats = (bucket.count > 0).then_some((bucket.count, bucket.first.time, bucket.last.time));
        let natives = bucket.natives.as_ref();
        let natives = natives.map(|natives| (natives.count, natives.first.time, natives.last.time));
        [floats, natives].into_iter().flatten()
    });
    // Between buckets, a target may have been down.
    let inside = |(gaps, span): (u64, i64), (count, first, last): (u64, i64, i64)| {
        (gaps.saturating_add(count.saturating_sub(1)), span.saturating_add(last.saturating_sub(first)))
    };
    let (mut gaps, mut span) = spans.clone().fold((0, 0), inside);
    if gaps == 0 {
        let ((_, first, _), (_, _, last)) = spans.clone().next().zip(spans.clone().last())?;
        (gaps, span) = (spans.count() as u64 - 1, last.saturating_sub(first));
    }
    let seconds = span as f64 / gaps as f64 / 1e9;
    (gaps > 0).then(|| seconds.log2().round() as i8)
}

/// Replaces the buckets of a series by their ends, where a tier omits those of its class.
pub(super) fn omit(
    catalogue: &Catalogue,
    job: &TierJob,
    types: &dyn MetricTypes,
    labels: &Labels,
    buckets: &mut Vec<Bucket>,
) {
    if !job.omits_any(catalogue) {
        return;
    }
    let class = series_class(class_of(types, labels, buckets), buckets);
    if class.and_then(|class| catalogue.choices.holds(job.tier(), class)) == Some(false) {
        buckets.retain(|bucket| !bucket.is_empty());
        buckets.iter_mut().for_each(|bucket| *bucket = Bucket::omitted(bucket.end));
    }
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
