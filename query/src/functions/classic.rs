//! Classic histograms: cumulative counts under upper bounds, the `le` label.

use crate::histogram::bounds::{Bucket, BucketKind};

/// A difference to the count before that is smaller than this share of it is rounding.
const TOLERANCE: f64 = 1e-12;

/// How many observations lie at or below a bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cumulative {
    /// The bound.
    pub upper: f64,
    /// Observations at or below it.
    pub count: f64,
}

/// How far counts had to be raised so that they do not fall.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Repair {
    /// The lowest bound that was changed.
    pub lowest: f64,
    /// The highest bound that was changed.
    pub highest: f64,
    /// The largest change.
    pub difference: f64,
}

/// Buckets by bound, equal bounds added up, counts never falling.
pub(crate) fn prepared(buckets: &mut Vec<Cumulative>) -> Option<Repair> {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    let mut repair: Option<Repair> = None;
    for i in 1..buckets.len() {
        let before = buckets[i - 1].count;
        let Cumulative { upper, count } = buckets[i];
        if count == before {
            continue;
        }
        if almost_equal(before, count) {
            buckets[i].count = before;
        } else if count < before {
            buckets[i].count = before;
            let so_far = repair.get_or_insert(Repair { lowest: upper, highest: upper, difference: 0.0 });
            so_far.highest = upper;
            so_far.difference = so_far.difference.max(before - count);
        }
    }
    repair
}

/// Within [`TOLERANCE`], relative to both.
fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    let size = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < TOLERANCE
}

/// Whether the buckets make a histogram: two at least, the last one up to +Inf.
fn is_complete(buckets: &[Cumulative]) -> bool {
    buckets.len() >= 2 && buckets.last().is_some_and(|b| b.upper == f64::INFINITY)
}

/// The φ-quantile of prepared buckets.
pub(crate) fn quantile(phi: f64, buckets: &[Cumulative]) -> f64 {
    if phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    if !is_complete(buckets) {
        return f64::NAN;
    }
    let last = buckets.len() - 1;
    let total = buckets[last].count;
    if total == 0.0 || total.is_nan() {
        return f64::NAN;
    }
    let rank = phi * total;
    let at = buckets[..last].partition_point(|b| b.count < rank);
    if at == last {
        return buckets[last - 1].upper;
    }
    if at == 0 && buckets[0].upper <= 0.0 {
        return buckets[0].upper;
    }
    let (lower, before) = if at == 0 { (0.0, 0.0) } else { (buckets[at - 1].upper, buckets[at - 1].count) };
    lower + (buckets[at].upper - lower) * ((rank - before) / (buckets[at].count - before))
}

/// The share of observations in `(lower, upper]` of prepared buckets.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: &[Cumulative]) -> f64 {
    if !is_complete(buckets) || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || total.is_nan() {
        return f64::NAN;
    }
    let mut before = Cumulative { upper: f64::NEG_INFINITY, count: 0.0 };
    let mut plain = Vec::with_capacity(buckets.len());
    for b in buckets {
        let first_above_zero = before.upper == f64::NEG_INFINITY && b.upper > 0.0;
        let lower = if first_above_zero { 0.0 } else { before.upper };
        let count = b.count - before.count;
        plain.push(Bucket { lower, upper: b.upper, count, kind: BucketKind::Custom });
        before = *b;
    }
    crate::histogram::fraction::between(lower, upper, &plain, total) / total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Cumulative> {
        pairs.iter().map(|&(upper, count)| Cumulative { upper, count }).collect()
    }

    #[test]
    fn counts_that_fall_are_raised_and_reported() {
        let mut b = buckets(&[(f64::INFINITY, 8.0), (1.0, 10.0), (2.0, 9.0), (1.0, 2.0)]);
        let repair = prepared(&mut b).unwrap();
        assert_eq!(b, buckets(&[(1.0, 12.0), (2.0, 12.0), (f64::INFINITY, 12.0)]));
        assert_eq!(repair, Repair { lowest: 2.0, highest: f64::INFINITY, difference: 4.0 });
    }

    #[test]
    fn rounding_is_no_fall() {
        let mut b = buckets(&[(1.0, 1.0), (f64::INFINITY, 1.0 - 1e-14)]);
        assert_eq!(prepared(&mut b), None);
        assert_eq!(b[1].count, 1.0);
    }

    #[test]
    fn linear_within_a_bucket() {
        let b = buckets(&[(1.0, 1.0), (2.0, 3.0), (f64::INFINITY, 4.0)]);
        assert_eq!(quantile(0.5, &b), 1.5);
        assert_eq!(quantile(1.0, &b), 2.0);
        assert!(quantile(0.5, &b[..2]).is_nan());
        assert_eq!(fraction(1.0, 2.0, &b), 0.5);
        assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &b), 1.0);
    }
}
