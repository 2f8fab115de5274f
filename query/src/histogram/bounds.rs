//! Where buckets begin and end.

use barograph_engine::model::Histogram;

use super::{is_custom, negative, positive};

/// The upper bound of positive bucket `index`: `2^(index * 2^-schema)`.
pub(crate) fn exponential(index: i32, schema: i32) -> f64 {
    if schema <= 0 {
        let shift = (-schema).clamp(0, 31) as u32;
        let exponent = i64::from(index) << shift;
        return power_of_two(exponent);
    }
    let per_octave = 1i64 << schema.min(31);
    let octave = i64::from(index).div_euclid(per_octave);
    let part = i64::from(index).rem_euclid(per_octave);
    (part as f64 / per_octave as f64).exp2() * power_of_two(octave)
}

fn power_of_two(exponent: i64) -> f64 {
    if exponent >= 1024 { f64::MAX } else { (exponent.max(-1100) as f64).exp2() }
}

/// The upper bound of custom bucket `index`.
pub(crate) fn custom(index: i32, bounds: &[f64]) -> f64 {
    if index < 0 {
        return f64::NEG_INFINITY;
    }
    bounds.get(index as usize).copied().unwrap_or(f64::INFINITY)
}

/// A populated bucket with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Observations.
    pub count: f64,
    /// What kind of bucket it is.
    pub kind: BucketKind,
}

/// Kinds of bucket, which decide how it is interpolated and which ends are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BucketKind {
    /// Exponential, below zero: `[lower, upper)`.
    Negative,
    /// Around zero: `[lower, upper]`.
    Zero,
    /// Exponential, above zero: `(lower, upper]`.
    Positive,
    /// With explicit bounds: `(lower, upper]`.
    Custom,
}

/// The populated buckets of `h` from the lowest to the highest. Buckets that reach into
/// the zero bucket begin where it ends.
pub(crate) fn ascending(h: &Histogram) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    if is_custom(h) {
        for (i, count) in positive(h) {
            let (lower, upper) = (custom(i - 1, &h.custom_values), custom(i, &h.custom_values));
            buckets.push(Bucket { lower, upper, count, kind: BucketKind::Custom });
        }
        return buckets;
    }
    for &(i, count) in negative(h).iter().rev() {
        let (near, far) = (exponential(i.saturating_sub(1), h.schema), exponential(i, h.schema));
        let near = near.max(h.zero_threshold.min(far));
        buckets.push(Bucket { lower: -far, upper: -near, count, kind: BucketKind::Negative });
    }
    if h.zero_count != 0.0 {
        let (lower, upper) = (-h.zero_threshold, h.zero_threshold);
        buckets.push(Bucket { lower, upper, count: h.zero_count, kind: BucketKind::Zero });
    }
    for (i, count) in positive(h) {
        let (lower, upper) = (exponential(i.saturating_sub(1), h.schema), exponential(i, h.schema));
        let lower = lower.max(h.zero_threshold.min(upper));
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
        assert_eq!(exponential(i32::MAX, -4), f64::MAX);
        assert_eq!(custom(2, &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(custom(-1, &[1.0]), f64::NEG_INFINITY);
    }
}
