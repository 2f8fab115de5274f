//! What the columns of a bucket say about its other columns. Writer and reader compute the same floats.

use super::Class;
use crate::rollup::Bucket;

/// The buckets with samples.
#[inline]
pub(super) fn full(buckets: &[Bucket]) -> impl Iterator<Item = &Bucket> + Clone {
    buckets.iter().filter(|bucket| bucket.count > 0)
}

/// The buckets with several samples, each with the bucket with samples before it.
#[inline]
pub(super) fn several(buckets: &[Bucket]) -> impl Iterator<Item = (Option<&Bucket>, &Bucket)> + Clone {
    let before = std::iter::once(None).chain(full(buckets).map(Some));
    before.zip(full(buckets)).filter(|(_, bucket)| bucket.count > 1)
}

/// Whether all samples have the same bits.
#[inline]
pub(super) fn is_constant(bucket: &Bucket) -> bool {
    bucket.min.to_bits() == bucket.max.to_bits() && bucket.nans == 0
}

/// Whether what resets took is stored.
#[inline]
pub(super) fn keeps_lost(bucket: &Bucket, class: Class) -> bool {
    let is_plausible = bucket.resets <= bucket.count / 8;
    bucket.resets > 0 && (class == Class::Counter || (class == Class::Unclear && is_plausible))
}

/// The first values of buckets with several samples, by the number of the prediction.
pub(super) fn first_values(buckets: &[Bucket], number: usize) -> Option<Vec<f64>> {
    let own = |bucket: &Bucket| bucket.last.value;
    match number {
        0 => Some(several(buckets).map(|(before, bucket)| own(before.unwrap_or(bucket))).collect()),
        1 => Some(several(buckets).map(|(_, bucket)| own(bucket)).collect()),
        _ => None,
    }
}

/// Of equal values, the first. NaN only if all are.
fn chosen(values: [f64; 3], is_better: fn(f64, f64) -> bool) -> f64 {
    let choose = |best: f64, &value: &f64| {
        if is_better(value, best) || (best.is_nan() && !value.is_nan()) { value } else { best }
    };
    values.iter().fold(f64::NAN, choose)
}

/// The minima of buckets with samples.
pub(super) fn minima(buckets: &[Bucket]) -> Vec<f64> {
    let of = |bucket: &Bucket| chosen([bucket.first.value, bucket.last.value, f64::NAN], |a, b| a < b);
    full(buckets).map(of).collect()
}

/// The maxima of buckets with samples.
pub(super) fn maxima(buckets: &[Bucket], class: Class) -> Vec<f64> {
    let lost = |bucket: &Bucket| if keeps_lost(bucket, class) { bucket.lost.value() } else { f64::NAN };
    let of = |bucket: &Bucket| chosen([bucket.first.value, bucket.last.value, lost(bucket)], |a, b| a > b);
    full(buckets).map(of).collect()
}

/// The sums of buckets with samples, by the number of the prediction. For a constant, exactly the first component.
pub(super) fn sums(buckets: &[Bucket], number: usize) -> Option<Vec<f64>> {
    let ends = |bucket: &Bucket| bucket.first.value / 2.0 + bucket.last.value / 2.0;
    let middle = |bucket: &Bucket| bucket.min / 2.0 + bucket.max / 2.0;
    let mean = |bucket: &Bucket| match number {
        0 => Some(ends(bucket)),
        1 => Some(ends(bucket) / 2.0 + middle(bucket) / 2.0),
        2 => Some(0.0),
        _ => None,
    };
    full(buckets).map(|bucket| Some(bucket.count as f64 * mean(bucket)?)).collect()
}

/// Zeros, the only prediction of a column that has none.
pub(super) fn zeros(count: usize, number: usize) -> Option<Vec<f64>> {
    (number == 0).then(|| vec![0.0; count])
}

/// The squares of buckets, as if values were spread evenly between the extremes.
pub(super) fn squares(bucket: &Bucket) -> f64 {
    let range = bucket.max - bucket.min;
    bucket.count as f64 * range * range / 12.0
}
