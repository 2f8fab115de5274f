//! Quantiles of values of which only the sketch and the extremes are known.

use super::{Extremes, Sketch, bounds, representative};

/// A quantile, and the interval that contains the quantile of the values themselves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantile {
    /// The lower end of the interval.
    pub lo: f64,
    /// The quantile with the middle of each key in place of its values.
    pub value: f64,
    /// The upper end of the interval.
    pub hi: f64,
}

impl Quantile {
    fn exact(value: f64) -> Self {
        Quantile { lo: value, value, hi: value }
    }

    /// Whether the interval is one value.
    pub fn is_exact(&self) -> bool {
        self.lo.to_bits() == self.hi.to_bits() || self.lo == self.hi
    }
}

impl Sketch {
    /// The φ-quantile of the counted values and `nans` times NaN, which PromQL sorts before them. Interpolates between
    /// neighbours as PromQL does: at the rank φ(n - 1). Outside 0 to 1, φ has the quantiles -Inf and +Inf; the quantile of
    /// nothing is NaN, as is that of a φ that is NaN.
    ///
    /// An end of the interval is computed from ends of keys with the operations that compute the quantile of the
    /// values. Rounding is monotone, so the interval needs no margin for it.
    pub fn quantile(&self, phi: f64, extremes: Extremes, nans: u64) -> Quantile {
        let count = self.count();
        let total = count.saturating_add(nans);
        if total == 0 || phi.is_nan() {
            return Quantile::exact(f64::NAN);
        }
        if phi < 0.0 {
            return Quantile::exact(f64::NEG_INFINITY);
        }
        if phi > 1.0 {
            return Quantile::exact(f64::INFINITY);
        }
        let last = total as f64 - 1.0;
        let rank = phi * last;
        let weight = rank - rank.floor();
        let lower = self.at(rank.floor() as u64, count, extremes, nans);
        let upper = self.at((rank.floor() + 1.0).min(last) as u64, count, extremes, nans);
        let between = |lower: f64, upper: f64| lower * (1.0 - weight) + upper * weight;
        Quantile {
            lo: between(lower.lo, upper.lo),
            value: between(lower.value, upper.value),
            hi: between(lower.hi, upper.hi),
        }
    }

    /// The value at `position` of all values in order, NaN first.
    fn at(&self, position: u64, count: u64, extremes: Extremes, nans: u64) -> Quantile {
        let Some(position) = position.checked_sub(nans) else {
            return Quantile::exact(f64::NAN);
        };
        if position == 0 {
            return Quantile::exact(extremes.min);
        }
        // The rank of a float beyond 2^53 may be rounded up past the last value.
        if position >= count.saturating_sub(1) {
            return Quantile::exact(extremes.max);
        }
        let mut passed = 0u64;
        for &(key, count) in &self.entries {
            passed = passed.saturating_add(count);
            if position < passed {
                let (least, greatest) = bounds(key);
                return Quantile {
                    lo: least.max(extremes.min).min(extremes.max),
                    value: representative(key).max(extremes.min).min(extremes.max),
                    hi: greatest.min(extremes.max).max(extremes.min),
                };
            }
        }
        Quantile::exact(extremes.max)
    }
}
