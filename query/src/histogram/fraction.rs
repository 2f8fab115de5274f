//! The share of observations between two values.

use barograph_engine::model::Histogram;

use super::bounds::{Bucket, BucketKind, ascending};
use super::quantile::narrowed;
use super::trim::share;

/// The share of observations in `(lower, upper]`. NaN for an empty histogram or a NaN
/// bound, 0 if the bounds are in the wrong order. Observations of NaN are in no share.
pub(crate) fn fraction(lower: f64, upper: f64, h: &Histogram) -> f64 {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    let buckets: Vec<Bucket> = ascending(h).into_iter().map(|b| narrowed(h, b)).collect();
    let total: f64 = buckets.iter().map(|b| b.count).sum();
    let all = if h.sum.is_nan() { total } else { h.count };
    between(lower, upper, &buckets, all) / h.count
}

/// How many of `all` observations lie in `(lower, upper]`; 0 if the bounds are in the
/// wrong order.
pub(crate) fn between(lower: f64, upper: f64, buckets: &[Bucket], all: f64) -> f64 {
    if lower >= upper {
        return 0.0;
    }
    let below = |v: f64| rank(buckets, v).unwrap_or(all).min(all);
    below(upper) - below(lower)
}

/// How many observations lie at or below `v`; `None` if all do.
fn rank(buckets: &[Bucket], v: f64) -> Option<f64> {
    let mut count = 0.0;
    for b in buckets {
        if b.lower >= v {
            return Some(count);
        }
        if b.upper > v {
            return Some(count + b.count * part(b, v));
        }
        count += b.count;
    }
    None
}

/// The first bucket begins at zero unless it lies below. Nothing is known of where observations lie in an infinite bucket: those of the first
/// one count as below, those of the last one as above.
fn part(b: &Bucket, v: f64) -> f64 {
    match b.kind {
        BucketKind::Custom if b.lower == f64::NEG_INFINITY && b.upper > 0.0 => {
            share(&Bucket { lower: 0.0, ..*b }, v)
        }
        BucketKind::Custom if b.lower == f64::NEG_INFINITY => 1.0,
        BucketKind::Custom if b.upper == f64::INFINITY => 0.0,
        _ => share(b, v),
    }
}
