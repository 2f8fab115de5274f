//! Values of any size, brought to one that can be computed with.
//!
//! The squares of values above 1e154 are not finite, and those of values below 1e-154 lose their digits. A series with such
//! values is multiplied by a power of two first, which is exact, and results in the unit of the values are multiplied back.

use std::borrow::Cow;

/// Series whose largest value is between these powers of two are computed with as they are: sums of a million squares are
/// finite, and squares of values that are 1e30 times as small still have all digits.
const ORDINARY: std::ops::RangeInclusive<i32> = -400..=500;

/// The size of a series: a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(i32);

impl Size {
    /// The size of the finite values.
    pub fn of(values: &[f64]) -> Size {
        Size::of_largest(values.iter().filter(|v| v.is_finite()).fold(0.0, |largest, v| v.abs().max(largest)))
    }

    /// The size of values of which the largest, without its sign, is this one.
    pub fn of_largest(largest: f64) -> Size {
        // The exponent of the number, or that of the smallest normal one.
        let exponent = (largest.to_bits() >> 52) as i32 - 1023;
        Size(if largest == 0.0 || ORDINARY.contains(&exponent) {
            0
        } else if exponent > 0 {
            exponent - ORDINARY.end()
        } else {
            exponent
        })
    }

    /// Whether values are computed with as they are.
    pub fn is_ordinary(self) -> bool {
        self.0 == 0
    }

    /// A number that can be computed with, in place of one in the unit of the values.
    pub fn apply(self, value: f64) -> f64 {
        times_power(value, -self.0)
    }

    /// The number in the unit of the values; it may be infinite.
    pub fn undo(self, value: f64) -> f64 {
        times_power(value, self.0)
    }

    /// Values that can be computed with.
    pub fn apply_all(self, values: &mut [f64]) {
        if !self.is_ordinary() {
            values.iter_mut().for_each(|value| *value = self.apply(*value));
        }
    }

    /// The same in the unit of the values.
    pub fn undo_all(self, values: &mut [f64]) {
        if !self.is_ordinary() {
            values.iter_mut().for_each(|value| *value = self.undo(*value));
        }
    }

    /// Values that can be computed with: a copy, unless they already can.
    pub fn applied(self, values: &[f64]) -> Cow<'_, [f64]> {
        if self.is_ordinary() {
            return Cow::Borrowed(values);
        }
        Cow::Owned(values.iter().map(|value| self.apply(*value)).collect())
    }
}

/// The memory that a copy of `len` values takes.
pub(crate) fn bytes(len: usize) -> usize {
    len * size_of::<f64>()
}

/// Multiplies by a power of two, which may be too large or too small for one factor.
#[inline]
fn times_power(value: f64, exponent: i32) -> f64 {
    // Of ordinary values, most calls do nothing.
    if exponent == 0 {
        return value;
    }
    let half = exponent / 2;
    value * 2.0_f64.powi(half) * 2.0_f64.powi(exponent - half)
}

/// The mean of finite values, whose sum may be too large for a number; NaN of none.
pub(crate) fn mean(values: &[f64]) -> f64 {
    let size = Size::of(values);
    let sum = values.iter().map(|value| size.apply(*value)).sum::<f64>();
    size.undo(sum / values.len() as f64).clamp(f64::MIN, f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_values_are_brought_to_an_ordinary_size_and_back() {
        for largest in [5e-324, 1e-310, 1e-200, 1e-121, 1.0, 1e150, 1e151, 1e300, f64::MAX] {
            let size = Size::of(&[largest / 2.0, f64::NAN, -largest, f64::INFINITY, 0.0]);
            let got = size.apply(largest);
            assert!((1e-121..7e150).contains(&got), "{largest} {got}");
            assert_eq!(size.undo(got), largest);
            assert_eq!(size == Size(0), (1e-120..=3e150).contains(&largest), "{largest}");
        }
        assert_eq!([Size::of(&[]), Size::of(&[0.0, f64::NAN])], [Size(0); 2]);
        assert!(matches!(Size(0).applied(&[1.0]), Cow::Borrowed(_)));
        assert_eq!(*Size::of(&[2.0_f64.powi(600)]).applied(&[2.0_f64.powi(600)]), [2.0_f64.powi(500)]);
    }

    #[test]
    fn a_mean_is_among_its_values() {
        assert_eq!(mean(&[f64::MAX; 7]), f64::MAX);
        assert_eq!(mean(&[f64::MAX, f64::MAX, -f64::MAX, -f64::MAX]), 0.0);
        assert_eq!(mean(&[1.0, 2.0, 6.0]), 3.0);
        assert!(mean(&[]).is_nan());
    }
}
