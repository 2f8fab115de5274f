//! Variance of the observations in a histogram.

use barograph_engine::model::Histogram;

use super::bounds::{Bucket, BucketKind, ascending};
use super::quantile::touches_zero;
use crate::numbers::compensated::Sum;

/// The population variance, in which each bucket counts with its midpoint: the geometric mean of its bounds if buckets
/// are exponential, and 0 for the zero bucket.
pub(crate) fn variance(h: &Histogram) -> f64 {
    let mean = h.sum / h.count;
    let mut squares = Sum::default();
    for b in ascending(h) {
        let delta = middle(&b) - mean;
        squares = squares.add(b.count * delta * delta);
    }
    (squares.sum + squares.error) / h.count
}

fn middle(b: &Bucket) -> f64 {
    match b.kind {
        BucketKind::Custom => (b.lower + b.upper) / 2.0,
        _ if touches_zero(b) => 0.0,
        BucketKind::Negative => -(b.lower * b.upper).sqrt(),
        _ => (b.lower * b.upper).sqrt(),
    }
}
