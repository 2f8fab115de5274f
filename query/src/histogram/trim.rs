//! `</` and `>/`: the part of a histogram below or above a cut.
//!
//! A bucket that contains the cut is interpolated as for quantiles. If anything was cut off, count and sum are
//! estimated from the rest: each bucket, or the kept part of it, counts with the midpoint of its bounds (their
//! geometric mean if buckets are exponential).
//!
//! The position of observations in a bucket that extends to infinity is unknown:
//!
//! | bucket | the cut is in it | `</` keeps | `>/` keeps |
//! |---|---|---|---|
//! | `(-Inf, b]`, b > 0 | at 0 or above | the share of `[0, b]` below the cut; nothing at 0 | the share of `[0, b]` above the cut |
//! | `(-Inf, b]`, b > 0 | below 0 | nothing | nothing |
//! | `(-Inf, b]`, b <= 0 | anywhere | all, as if it were at the cut | nothing |
//! | `(b, +Inf]` | anywhere | nothing | all, as if it were at the cut |
//! | `(-Inf, +Inf]` | anywhere | nothing | nothing |
//!
//! If such a bucket is kept as a whole because the cut is elsewhere, it counts with its finite bound, or with half of
//! it for the first bucket of the table, which begins at 0.

use barograph_engine::model::Histogram;

use super::bounds::{self, Bucket, BucketKind};
use super::{Buckets, is_custom, negative, positive, set_buckets};

/// Which side of the cut is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Below,
    Above,
}

/// The observations at or below `cut`.
pub(crate) fn below(h: &Histogram, cut: f64) -> Histogram {
    trimmed(h, cut, Keep::Below)
}

/// The observations above `cut`.
pub(crate) fn above(h: &Histogram, cut: f64) -> Histogram {
    trimmed(h, cut, Keep::Above)
}

fn trimmed(h: &Histogram, cut: f64, keep: Keep) -> Histogram {
    let mut left = Left { count: 0.0, sum: 0.0, cut: false };
    let (old_positive, old_negative) = (positive(h), negative(h));
    let kind = if is_custom(h) { BucketKind::Custom } else { BucketKind::Positive };
    let (mut new_positive, mut new_negative) = (Buckets::new(), Buckets::new());
    for &(i, count) in &old_positive {
        let (lower, upper) = side_bounds(h, i);
        new_positive.push((i, left.take(Bucket { lower, upper, count, kind }, cut, keep)));
    }
    for &(i, count) in &old_negative {
        let (near, far) = side_bounds(h, i);
        let bucket = Bucket { lower: -far, upper: -near, count, kind: BucketKind::Negative };
        new_negative.push((i, left.take(bucket, cut, keep)));
    }
    let mut zero_count = h.zero_count;
    if h.zero_count > 0.0 {
        // If a histogram has buckets of only one sign, its zero bucket contains only values of that sign.
        let (some_positive, some_negative) = (!old_positive.is_empty(), !old_negative.is_empty());
        let lower = if some_positive && !some_negative { 0.0 } else { -h.zero_threshold };
        let upper = if some_negative && !some_positive { 0.0 } else { h.zero_threshold };
        zero_count = left.take_zero(lower, upper, h.zero_count, cut, keep);
    }
    if !left.cut {
        return h.clone();
    }
    let mut part = Histogram { zero_count, count: left.count, sum: left.sum, ..h.clone() };
    set_buckets(&mut part, &new_positive, &new_negative);
    part
}

/// The distances from zero of the near and the far end of a bucket; for explicit bounds, the lower and the upper bound.
fn side_bounds(h: &Histogram, index: i32) -> (f64, f64) {
    let bound = |i: i32| {
        if is_custom(h) { bounds::custom(i, &h.custom_values) } else { bounds::exponential(i, h.schema) }
    };
    (bound(index.saturating_sub(1)), bound(index))
}

/// What has been kept so far.
struct Left {
    count: f64,
    sum: f64,
    cut: bool,
}

impl Left {
    /// Adds the kept part of a bucket. Returns its count.
    fn take(&mut self, b: Bucket, cut: f64, keep: Keep) -> f64 {
        // A cut of NaN is on neither side of anything, so nothing is kept.
        let (is_whole, is_part) = match keep {
            Keep::Below => (b.upper <= cut, b.lower < cut),
            Keep::Above => (b.lower >= cut, b.upper > cut),
        };
        let (count, middle) = if is_whole {
            (b.count, middle(b.kind, b.lower, b.upper))
        } else if is_part {
            let part = if b.lower.is_infinite() || b.upper.is_infinite() {
                part_of_infinite(&b, cut, keep)
            } else {
                part_of(&b, cut, keep)
            };
            self.cut |= part.0 != b.count;
            part
        } else {
            self.cut = true;
            return 0.0;
        };
        self.count += count;
        self.sum += middle * count;
        count
    }

    /// Like [`Left::take`], for the zero bucket.
    fn take_zero(&mut self, lower: f64, upper: f64, all: f64, cut: f64, keep: Keep) -> f64 {
        let whole = (all, (lower + upper) / 2.0);
        let (count, middle) = match keep {
            Keep::Below if cut <= lower => (0.0, 0.0),
            Keep::Below if cut >= upper => whole,
            Keep::Below => (all * ((cut - lower) / (upper - lower)), (lower + cut) / 2.0),
            Keep::Above if cut <= lower => whole,
            Keep::Above if cut >= upper => (0.0, 0.0),
            Keep::Above => (all * ((upper - cut) / (upper - lower)), (cut + upper) / 2.0),
        };
        self.cut |= count != all;
        self.sum += middle * count;
        self.count += count;
        count
    }
}

/// Count and midpoint of the kept part of a finite bucket that contains the cut.
fn part_of(b: &Bucket, cut: f64, keep: Keep) -> (f64, f64) {
    let below = if cut <= b.lower {
        0.0
    } else if cut >= b.upper {
        b.count
    } else {
        b.count * share(b, cut)
    };
    match keep {
        Keep::Below => (below, middle(b.kind, b.lower, cut)),
        Keep::Above => (b.count - below, middle(b.kind, cut, b.upper)),
    }
}

/// The same for a bucket that extends to infinity; see the table at the top of this file.
fn part_of_infinite(b: &Bucket, cut: f64, keep: Keep) -> (f64, f64) {
    const NOTHING: (f64, f64) = (0.0, 0.0);
    let begins_at_zero = b.upper > 0.0 && b.upper.is_finite();
    match (b.lower.is_infinite(), keep) {
        (true, Keep::Below) if cut > 0.0 && begins_at_zero => (b.count * cut / b.upper, cut / 2.0),
        (true, Keep::Below) if b.upper <= 0.0 => (b.count, cut),
        (true, Keep::Above) if cut >= 0.0 && begins_at_zero => {
            (b.count * (1.0 - cut / b.upper), (cut + b.upper) / 2.0)
        }
        (true, _) | (false, Keep::Below) => NOTHING,
        (false, Keep::Above) => (b.count, cut),
    }
}

/// The share of a bucket's observations below `v`, which is strictly inside its finite bounds.
pub(super) fn share(b: &Bucket, v: f64) -> f64 {
    match b.kind {
        BucketKind::Zero | BucketKind::Custom => linear_share(b, v),
        BucketKind::Positive => (v.log2() - b.lower.log2()) / (b.upper.log2() - b.lower.log2()),
        BucketKind::Negative => {
            let (near, far) = ((-b.upper).log2(), (-b.lower).log2());
            1.0 - ((-v).log2() - near) / (far - near)
        }
    }
}

/// The same for evenly distributed observations.
pub(super) fn linear_share(b: &Bucket, v: f64) -> f64 {
    (v - b.lower) / (b.upper - b.lower)
}

/// The value that stands for the observations between two bounds.
fn middle(kind: BucketKind, lower: f64, upper: f64) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => return 0.0,
        (true, false) => return if upper > 0.0 { upper / 2.0 } else { upper },
        (false, true) => return lower,
        (false, false) => {}
    }
    match kind {
        BucketKind::Zero | BucketKind::Custom => (lower + upper) / 2.0,
        BucketKind::Positive => (lower * upper).abs().sqrt(),
        BucketKind::Negative => -(lower * upper).abs().sqrt(),
    }
}

#[cfg(test)]
mod tests;
