//! The bounds of buckets.

use barograph_engine::model::Histogram;

pub(crate) use barograph_engine::model::histogram::algebra::bounds::{custom, exponential};

use super::{is_custom, unpack};

/// A bucket of a native histogram with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Observations.
    pub count: f64,
    /// What kind of bucket it is.
    pub kind: BucketKind,
}

/// Kinds of buckets, which determine how a bucket is interpolated and which ends are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketKind {
    /// Exponential, below zero: `[lower, upper)`.
    Negative,
    /// Around zero: `[lower, upper]`.
    Zero,
    /// Exponential, above zero: `(lower, upper]`.
    Positive,
    /// With explicit bounds: `(lower, upper]`, the first one `[-Inf, upper]`.
    Custom,
}

impl Bucket {
    /// Whether the lower and the upper bound belong to the bucket.
    pub fn closed(&self) -> (bool, bool) {
        match self.kind {
            BucketKind::Negative => (true, false),
            BucketKind::Zero => (true, true),
            BucketKind::Positive => (false, true),
            BucketKind::Custom => (self.lower == f64::NEG_INFINITY, true),
        }
    }
}

/// The populated buckets of a histogram from the lowest to the highest. A bucket that overlaps the zero bucket begins
/// at its end.
pub fn ascending(h: &Histogram) -> Vec<Bucket> {
    let mut buckets = all_ascending(h);
    buckets.retain(|b| b.count != 0.0);
    buckets
}

/// The same, including empty buckets that are stored.
pub(crate) fn all_ascending(h: &Histogram) -> Vec<Bucket> {
    let mut buckets = as_written(h);
    // A zero bucket with a count of NaN or less contains nothing that a query can select.
    buckets.retain(|b| b.kind != BucketKind::Zero || b.count > 0.0);
    let beside_zero = |near: f64| if near > 0.0 { near.max(h.zero_threshold) } else { near };
    for b in &mut buckets {
        match b.kind {
            BucketKind::Negative => b.upper = -beside_zero(-b.upper),
            BucketKind::Positive => b.lower = beside_zero(b.lower),
            BucketKind::Zero | BucketKind::Custom => {}
        }
    }
    buckets
}

/// All stored buckets from the lowest to the highest, with the bounds of their resolution. Only the zero bucket must
/// not be empty.
pub(crate) fn as_written(h: &Histogram) -> Vec<Bucket> {
    let mut buckets = Vec::with_capacity(h.negative_buckets.len() + h.positive_buckets.len() + 1);
    if is_custom(h) {
        for (i, count) in unpack(&h.positive_spans, &h.positive_buckets) {
            let (lower, upper) = (custom(i.saturating_sub(1), &h.custom_values), custom(i, &h.custom_values));
            buckets.push(Bucket { lower, upper, count, kind: BucketKind::Custom });
        }
        return buckets;
    }
    // The near and the far end of a bucket.
    let ends = |i: i32| (exponential(i.saturating_sub(1), h.schema), exponential(i, h.schema));
    for (i, count) in unpack(&h.negative_spans, &h.negative_buckets) {
        let (near, far) = ends(i);
        buckets.push(Bucket { lower: -far, upper: -near, count, kind: BucketKind::Negative });
    }
    buckets.reverse();
    if h.zero_count != 0.0 {
        let (lower, upper) = (-h.zero_threshold, h.zero_threshold);
        buckets.push(Bucket { lower, upper, count: h.zero_count, kind: BucketKind::Zero });
    }
    for (i, count) in unpack(&h.positive_spans, &h.positive_buckets) {
        let (lower, upper) = ends(i);
        buckets.push(Bucket { lower, upper, count, kind: BucketKind::Positive });
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_powers() {
        assert_eq!(exponential(0, 0), 1.0);
        assert_eq!(exponential(3, 0), 8.0);
        assert_eq!(exponential(-2, 0), 0.25);
        assert_eq!(exponential(2, 1), 2.0);
        assert_eq!(exponential(-1, -1), 0.25);
        assert!((exponential(1, 2) - 2f64.powf(0.25)).abs() < 1e-15);
        assert_eq!(exponential(i32::MAX, -4), f64::INFINITY);
        assert_eq!(exponential(i32::MIN, -4), 0.0);
        assert_eq!(custom(2, &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(custom(-1, &[1.0]), f64::NEG_INFINITY);
    }
    #[test]
    fn the_last_bucket_of_finite_values_ends_at_the_largest_float() {
        for schema in -4..=8 {
            let last = if schema < 0 { 1024 >> -schema } else { 1024 << schema };
            assert!(exponential(last - 1, schema) < f64::MAX, "{schema}");
            assert_eq!(exponential(last, schema), f64::MAX, "{schema}");
            assert_eq!(exponential(last + 1, schema), f64::INFINITY, "{schema}");
        }
    }
}
