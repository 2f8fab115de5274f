//! Quantiles of native histograms.

use barograph_engine::model::Histogram;

use super::bounds::{Bucket, BucketKind, ascending};
use super::{is_custom, negative, positive};

/// What observations of NaN did to a quantile. They count, but lie in no bucket; the sum
/// gives them away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NanEffect {
    /// None.
    No,
    /// The quantile falls on them.
    Result,
    /// The others stand too low in the order.
    Skewed,
}

/// The φ-quantile: -Inf below 0, +Inf above 1, NaN for an empty histogram or a NaN φ.
pub(crate) fn quantile(phi: f64, h: &Histogram) -> (f64, NanEffect) {
    if phi < 0.0 {
        return (f64::NEG_INFINITY, NanEffect::No);
    }
    if phi > 1.0 {
        return (f64::INFINITY, NanEffect::No);
    }
    if h.count == 0.0 || phi.is_nan() {
        return (f64::NAN, NanEffect::No);
    }
    let buckets = ascending(h);
    let has_nan = h.sum.is_nan();
    // From the nearer end, which is more precise; NaN observations stand at the upper end,
    // so with them only the lower one can be counted from.
    let from_below = has_nan || phi < 0.5;
    let rank = if from_below { phi * h.count } else { (1.0 - phi) * h.count };
    let (found, mut count) =
        if from_below { walk(buckets.iter(), rank) } else { walk(buckets.iter().rev(), rank) };
    let no_result = (f64::NAN, if has_nan { NanEffect::Result } else { NanEffect::No });
    let Some(&bucket) = found else { return no_result };
    count = count.min(h.count);
    let in_buckets: f64 = buckets.iter().map(|b| b.count).sum();
    if count < rank {
        return no_result;
    }
    let effect = if has_nan && in_buckets < h.count { NanEffect::Skewed } else { NanEffect::No };
    let rank_in_bucket = if from_below { rank - (count - bucket.count) } else { count - rank };
    (interpolate(h, bucket, rank_in_bucket / bucket.count), effect)
}

/// The first bucket at which the running count reaches `rank`, or the last one, and the
/// count there.
fn walk<'a>(buckets: impl Iterator<Item = &'a Bucket>, rank: f64) -> (Option<&'a Bucket>, f64) {
    let mut count = 0.0;
    let mut last = None;
    for bucket in buckets {
        count += bucket.count;
        last = Some(bucket);
        if count >= rank {
            break;
        }
    }
    (last, count)
}

/// The value a `fraction` of the way through a bucket.
fn interpolate(h: &Histogram, bucket: Bucket, fraction: f64) -> f64 {
    let mut b = narrowed(h, bucket);
    if b.kind == BucketKind::Custom {
        if b.lower == f64::NEG_INFINITY {
            if b.upper <= 0.0 {
                return b.upper;
            }
            b.lower = 0.0;
        }
        if b.upper == f64::INFINITY {
            return bucket.lower;
        }
    }
    match b.kind {
        BucketKind::Zero | BucketKind::Custom => b.lower + (b.upper - b.lower) * fraction,
        BucketKind::Positive => {
            let (lower, upper) = (b.lower.log2(), b.upper.log2());
            (lower + (upper - lower) * fraction).exp2()
        }
        BucketKind::Negative => {
            let (near, far) = ((-b.upper).log2(), (-b.lower).log2());
            -(near + (far - near) * (1.0 - fraction)).exp2()
        }
    }
}

/// A zero bucket beside buckets of one sign only holds values of that sign.
pub(super) fn narrowed(h: &Histogram, mut bucket: Bucket) -> Bucket {
    if bucket.kind == BucketKind::Zero && !is_custom(h) {
        match (negative(h).is_empty(), positive(h).is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
    }
    bucket
}
