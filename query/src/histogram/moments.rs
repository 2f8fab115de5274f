//! Variance of the observations in a histogram.

use barograph_engine::model::Histogram;

use super::bounds::{BucketKind, ascending};
use super::trim::middle;
use crate::functions::compensated::Sum;

/// The population variance, each bucket standing for its middle: the geometric one where
/// buckets are exponential, 0 for the zero bucket.
pub(crate) fn variance(h: &Histogram) -> f64 {
    let mean = h.sum / h.count;
    let mut squares = Sum::default();
    for b in ascending(h) {
        let value = if b.kind == BucketKind::Zero { 0.0 } else { middle(&b, b.lower, b.upper) };
        let delta = value - mean;
        squares = squares.add(b.count * delta * delta);
    }
    (squares.sum + squares.error) / h.count
}
