//! The share of observations between two values.

use barograph_engine::model::Histogram;

use super::bounds::{Bucket, BucketKind, all_ascending};
use super::quantile::{narrowed, touches_zero};
use super::trim::{linear_share, share};

/// The share of observations in `(lower, upper]`, and whether there are observations of NaN, which are part of the
/// total but of no share. NaN for an empty histogram or a NaN bound; 0 if the bounds are in the wrong order.
pub(crate) fn fraction(lower: f64, upper: f64, h: &Histogram) -> (f64, bool) {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if lower >= upper {
        return (0.0, false);
    }
    let buckets: Vec<Bucket> = all_ascending(h).into_iter().map(|b| narrowed(h, b)).collect();
    let mut all = h.count;
    if h.sum.is_nan() {
        all = buckets.iter().map(|b| b.count).sum();
    }
    let below = |v: f64| match rank(&buckets, v) {
        Some(rank) if rank > all => all,
        Some(rank) => rank,
        None => all,
    };
    ((below(upper) - below(lower)) / h.count, h.sum.is_nan() && all < h.count)
}

/// The number of observations at or below `v`; `None` if all are.
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

/// The share of a bucket's observations below `v`, which is inside the bucket. The first bucket with an explicit bound
/// begins at zero, unless its bound is below zero. In an infinite bucket, the position of observations is unknown:
/// those of the first one count as below, those of the last one as above.
fn part(b: &Bucket, v: f64) -> f64 {
    if b.kind == BucketKind::Custom && b.lower == f64::NEG_INFINITY {
        return match b.upper > 0.0 {
            true if v <= 0.0 => 0.0,
            true => linear_share(&Bucket { lower: 0.0, ..*b }, v),
            false => 1.0,
        };
    }
    if touches_zero(b) { linear_share(b, v) } else { share(b, v) }
}
