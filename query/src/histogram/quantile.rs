//! Quantiles of native histograms.

use barograph_engine::model::Histogram;

use super::bounds::{Bucket, BucketKind, all_ascending};

/// The effect of observations of NaN on a quantile. They are counted, but are in no bucket; the sum shows that they
/// exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NanEffect {
    /// No effect.
    No,
    /// The quantile is one of them.
    Result,
    /// The rank of the others is too low.
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
    let buckets = all_ascending(h);
    let has_nan = h.sum.is_nan();
    // Counts from the nearer end, which is more precise. Observations of NaN count at the upper end, so with them only
    // the lower end can be used.
    let from_below = has_nan || phi < 0.5;
    let rank = if from_below { phi * h.count } else { (1.0 - phi) * h.count };
    let mut upward = buckets.iter();
    let (found, count) =
        if from_below { walk(&mut upward, rank) } else { walk(&mut buckets.iter().rev(), rank) };
    let mut bucket = narrowed(h, found);
    if bucket.kind == BucketKind::Custom {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, NanEffect::No);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, NanEffect::No);
        }
    }
    // Rounding may make the sum larger than the count.
    let count = if count > h.count { h.count } else { count };
    if count < rank {
        // The sum is a number, so count and buckets simply disagree; the last bucket is the best estimate.
        return if has_nan { (f64::NAN, NanEffect::Result) } else { (bucket.upper, NanEffect::No) };
    }
    // Infinities of both signs make the sum NaN too, but they are in buckets.
    let is_short = has_nan && upward.fold(count, |sum, b| sum + b.count) < h.count;
    let effect = if is_short { NanEffect::Skewed } else { NanEffect::No };
    let rank_in_bucket = if from_below { rank - (count - bucket.count) } else { count - rank };
    (interpolate(bucket, rank_in_bucket / bucket.count), effect)
}

/// The first bucket at which the running count reaches `rank`, or the last bucket (at zero if there is none), and the
/// running count there.
fn walk<'a>(buckets: &mut impl Iterator<Item = &'a Bucket>, rank: f64) -> (Bucket, f64) {
    let mut count = 0.0;
    let mut last = Bucket { lower: 0.0, upper: 0.0, count: 0.0, kind: BucketKind::Zero };
    for bucket in buckets {
        last = *bucket;
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    (last, count)
}

/// The value a `fraction` of the way through a bucket.
fn interpolate(b: Bucket, fraction: f64) -> f64 {
    let is_linear = b.kind == BucketKind::Custom || touches_zero(&b);
    match b.kind {
        _ if is_linear => b.lower + (b.upper - b.lower) * fraction,
        BucketKind::Negative => {
            let (near, far) = ((-b.upper).log2(), (-b.lower).log2());
            -(near + (far - near) * (1.0 - fraction)).exp2()
        }
        _ => {
            let (lower, upper) = (b.lower.log2(), b.upper.log2());
            (lower + (upper - lower) * fraction).exp2()
        }
    }
}

/// Whether 0 is in the bucket or at one of its ends, so that it has no logarithmic interpolation.
pub(super) fn touches_zero(b: &Bucket) -> bool {
    b.lower <= 0.0 && b.upper >= 0.0
}

/// If a histogram has buckets of only one sign, its zero bucket contains only values of that sign.
pub(super) fn narrowed(h: &Histogram, mut bucket: Bucket) -> Bucket {
    if bucket.kind == BucketKind::Zero {
        match (h.negative_buckets.is_empty(), h.positive_buckets.is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
    }
    bucket
}
