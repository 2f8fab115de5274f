//! `</` and `>/`: the part of a histogram below or above a threshold.
//!
//! A bucket that the threshold cuts is interpolated as for quantiles. If anything was cut
//! off, the sum is estimated anew from what is left: each part counts with the middle of
//! its bounds (the geometric one where buckets are exponential), a part that reaches to
//! infinity with its finite end.

use barograph_engine::model::Histogram;

use super::bounds::{self, Bucket, BucketKind};
use super::{Buckets, is_custom, negative, positive, set_buckets};

/// The observations at or below `threshold`.
pub(crate) fn below(h: &Histogram, threshold: f64) -> Histogram {
    trimmed(h, f64::NEG_INFINITY, threshold)
}

/// The observations above `threshold`.
pub(crate) fn above(h: &Histogram, threshold: f64) -> Histogram {
    trimmed(h, threshold, f64::INFINITY)
}

/// What is kept of a bucket, and the value that stands for it.
struct Part {
    count: f64,
    middle: f64,
}

fn trimmed(h: &Histogram, from: f64, to: f64) -> Histogram {
    let mut left = Left { count: 0.0, sum: 0.0, cut: false };
    let (has_positive, has_negative) = (!positive(h).is_empty(), !negative(h).is_empty());
    let mut zero_count = 0.0;
    if !is_custom(h) && h.zero_count != 0.0 {
        // A zero bucket beside buckets of one sign holds values of that sign.
        let lower = if has_positive && !has_negative { 0.0 } else { -h.zero_threshold };
        let upper = if has_negative && !has_positive { 0.0 } else { h.zero_threshold };
        zero_count =
            left.take(Bucket { lower, upper, count: h.zero_count, kind: BucketKind::Zero }, from, to);
    }
    let (mut kept_positive, mut kept_negative) = (Buckets::new(), Buckets::new());
    for (i, count) in negative(h) {
        let (near, far) = side_bounds(h, i);
        let bucket = Bucket { lower: -far, upper: -near, count, kind: BucketKind::Negative };
        kept_negative.push((i, left.take(bucket, from, to)));
    }
    for (i, count) in positive(h) {
        let (lower, upper) = side_bounds(h, i);
        let kind = if is_custom(h) { BucketKind::Custom } else { BucketKind::Positive };
        kept_positive.push((i, left.take(Bucket { lower, upper, count, kind }, from, to)));
    }
    if !left.cut {
        return h.clone();
    }
    let mut part = Histogram { zero_count, count: left.count, sum: left.sum, ..h.clone() };
    set_buckets(&mut part, &kept_positive, &kept_negative);
    part
}

/// Distance from zero of the near and the far end of a bucket; for explicit bounds simply
/// the lower and the upper one.
fn side_bounds(h: &Histogram, index: i32) -> (f64, f64) {
    if !is_custom(h) {
        return (
            bounds::exponential(index.saturating_sub(1), h.schema),
            bounds::exponential(index, h.schema),
        );
    }
    let (lower, upper) =
        (bounds::custom(index - 1, &h.custom_values), bounds::custom(index, &h.custom_values));
    // The first bucket begins at zero unless it lies below.
    if lower == f64::NEG_INFINITY && upper > 0.0 && upper.is_finite() { (0.0, upper) } else { (lower, upper) }
}

/// What is left so far.
struct Left {
    count: f64,
    sum: f64,
    cut: bool,
}

impl Left {
    /// Takes what of the bucket lies in `(from, to]`.
    fn take(&mut self, bucket: Bucket, from: f64, to: f64) -> f64 {
        let part = part_of(bucket, from, to);
        self.cut |= part.count != bucket.count;
        if part.count != 0.0 {
            self.count += part.count;
            self.sum += part.count * part.middle;
        }
        part.count
    }
}

fn part_of(b: Bucket, from: f64, to: f64) -> Part {
    let (lower, upper) = (b.lower.max(from), b.upper.min(to));
    // Also when the threshold is NaN.
    if lower >= upper || from.is_nan() || to.is_nan() {
        return Part { count: 0.0, middle: 0.0 };
    }
    match (b.lower.is_infinite(), b.upper.is_infinite()) {
        (false, false) => {
            let count = if lower == b.lower && upper == b.upper {
                b.count
            } else {
                b.count * (share(&b, upper) - share(&b, lower))
            };
            Part { count, middle: middle(&b, lower, upper) }
        }
        // An infinite bucket is kept whole or not at all.
        (true, false) if to >= b.upper && from == f64::NEG_INFINITY => {
            Part { count: b.count, middle: b.upper }
        }
        (false, true) if to == f64::INFINITY => Part { count: b.count, middle: lower },
        (true, true) if from == f64::NEG_INFINITY && to == f64::INFINITY => {
            Part { count: b.count, middle: 0.0 }
        }
        _ => Part { count: 0.0, middle: 0.0 },
    }
}

/// The share of a bucket's observations at or below `v`, which lies within.
pub(super) fn share(b: &Bucket, v: f64) -> f64 {
    if v <= b.lower {
        return 0.0;
    }
    if v >= b.upper {
        return 1.0;
    }
    match b.kind {
        BucketKind::Zero | BucketKind::Custom => (v - b.lower) / (b.upper - b.lower),
        BucketKind::Positive => (v.log2() - b.lower.log2()) / (b.upper.log2() - b.lower.log2()),
        BucketKind::Negative => {
            let (near, far) = ((-b.upper).log2(), (-b.lower).log2());
            1.0 - ((-v).log2() - near) / (far - near)
        }
    }
}

/// The value that stands for the observations between two bounds.
pub(super) fn middle(b: &Bucket, lower: f64, upper: f64) -> f64 {
    match b.kind {
        BucketKind::Zero | BucketKind::Custom => (lower + upper) / 2.0,
        BucketKind::Positive => (lower * upper).sqrt(),
        BucketKind::Negative => -(lower * upper).sqrt(),
    }
}
