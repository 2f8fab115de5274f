//! Compensated sums (Neumaier's variant of Kahan's summation).
//!
//! Rust never contracts `a * b + c` into a fused operation, so the error terms are exact.
//!
//! The sum of the errors is rounded too. If large values cancel, what is left may be no larger than that rounding.
//! [`is_rough`] notices this, and [`sum`] and [`mean`] then take the exact sum.

use barograph_engine::rollup::ExactSum;
pub(crate) use barograph_engine::rollup::exact_sum::two_sum;

/// A running sum and its accumulated rounding error.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sum {
    /// The rounded sum.
    pub sum: f64,
    /// The accumulated rounding error.
    pub error: f64,
}

impl Sum {
    /// Adds a value. An infinite sum has no error.
    #[inline]
    pub fn add(self, x: f64) -> Sum {
        let sum = self.sum + x;
        let error = if sum.is_infinite() {
            0.0
        } else if self.sum.abs() >= x.abs() {
            self.error + ((self.sum - sum) + x)
        } else {
            self.error + ((x - sum) + self.sum)
        };
        Sum { sum, error }
    }

    /// The sum of all added values.
    #[inline]
    pub fn total(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.error }
    }
}

/// Whether a sum of `count` values may be off by more than a unit in the last place. `lost` is the sum of the magnitudes
/// of all rounding errors: the sum of these errors is off by at most `count` roundings of that.
#[inline]
pub(crate) fn is_rough(sum: f64, lost: f64, count: usize) -> bool {
    lost * count as f64 > sum.abs() * 0.5
}

/// The exact sum, rounded once; `None` if it is not finite, or if a value is so large that some orders overflow.
#[cold]
pub(crate) fn rounded_once(values: &[f64]) -> Option<f64> {
    let mut sum = ExactSum::default();
    sum.extend(values);
    sum.is_exact().then(|| sum.value())
}

/// Sum and error of many values at once. If the sum is not finite, the error is meaningless, and no later value can
/// make the sum finite again.
#[inline]
fn sum_of(values: &[f64]) -> Sum {
    if let Some(sum) = exact_sum(values) {
        return Sum { sum, error: 0.0 };
    }
    let (mut s, mut lost_all) = (Sum::default(), 0.0);
    for &v in values {
        let (sum, lost) = two_sum(s.sum, v);
        s = Sum { sum, error: s.error + lost };
        lost_all += lost.abs();
    }
    if is_rough(s.sum + s.error, lost_all, values.len())
        && let Some(sum) = rounded_once(values)
    {
        return Sum { sum, error: 0.0 };
    }
    // Near the largest float a sum can be finite while an intermediate step of `two_sum` overflows.
    if s.sum.is_finite() && !s.error.is_finite() {
        return values.iter().fold(Sum::default(), |s, &v| s.add(v));
    }
    s
}

/// Number of values that are checked first, because fractions are usually found early.
const BLOCK: usize = 64;
/// Number of independent sums, so that additions do not wait for each other.
const LANES: usize = 4;
/// Up to this value, every whole number is a float, and so is every intermediate sum.
const WHOLE_MAX: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;

/// The sum of whole numbers (counts, percentages, most counters) that are too small for any partial sum to be rounded.
/// There is no error then, and the order does not matter.
#[inline]
pub(crate) fn exact_sum(values: &[f64]) -> Option<f64> {
    let (mut sums, mut magnitudes) = ([0.0; LANES], [0.0; LANES]);
    for block in values.chunks(BLOCK) {
        let mut fractions = [0.0; LANES];
        let mut add = |lane: usize, v: f64| {
            sums[lane] += v;
            magnitudes[lane] += v.abs();
            // NaN for an infinity or NaN.
            fractions[lane] += (v - v.trunc()).abs();
        };
        let mut rows = block.chunks_exact(LANES);
        for row in &mut rows {
            (0..LANES).for_each(|lane| add(lane, row[lane]));
        }
        rows.remainder().iter().for_each(|&v| add(0, v));
        if fractions != [0.0; LANES] {
            return None;
        }
    }
    (magnitudes.iter().sum::<f64>() < WHOLE_MAX).then(|| sums.iter().sum::<f64>() + 0.0)
}

/// The compensated sum of a slice.
pub(crate) fn sum(values: &[f64]) -> f64 {
    let s = sum_of(values);
    if s.sum.is_finite() { s.sum + s.error } else { s.sum }
}

/// The mean of a slice; NaN for an empty one.
pub(crate) fn mean(values: &[f64]) -> f64 {
    let s = sum_of(values);
    if s.sum.is_finite() && !values.is_empty() {
        let count = values.len() as f64;
        return s.sum / count + s.error / count;
    }
    let mut m = Mean::default();
    values.iter().for_each(|&v| m.add(v));
    m.mean()
}

/// A running mean: a sum as long as it is finite, and after that a mean that is updated with each value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    state: Sum,
    count: f64,
    incremental: bool,
}

impl Mean {
    /// Adds one value.
    #[inline]
    pub fn add(&mut self, x: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.state.sum = x;
            return;
        }
        if !self.incremental {
            let next = self.state.add(x);
            if !next.sum.is_infinite() {
                self.state = next;
                return;
            }
            self.incremental = true;
            let before = self.count - 1.0;
            self.state = Sum { sum: self.state.sum / before, error: self.state.error / before };
        }
        let share = (self.count - 1.0) / self.count;
        self.state = Sum { sum: share * self.state.sum, error: share * self.state.error }.add(x / self.count);
    }

    /// The mean of all added values; NaN if there are none.
    #[inline]
    pub fn mean(&self) -> f64 {
        if self.incremental {
            self.state.sum + self.state.error
        } else {
            self.state.sum / self.count + self.state.error / self.count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stepwise_sum(values: &[f64]) -> f64 {
        values.iter().fold(Sum::default(), |s, &v| s.add(v)).total()
    }

    fn stepwise_mean(values: &[f64]) -> f64 {
        let mut m = Mean::default();
        values.iter().for_each(|&v| m.add(v));
        m.mean()
    }

    /// Whether no float is between the two.
    fn is_neighbour(a: f64, b: f64) -> bool {
        (a - b).abs() <= b.abs() * f64::EPSILON || (a - b).abs() <= f64::from_bits(1)
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => any::<f64>(),
            4 => -1e3..1e3f64,
            2 => Just(-0.0),
            2 => Just(f64::MAX),
            1 => Just(f64::INFINITY),
            1 => Just(f64::NAN),
        ]
    }

    proptest! {
        #[test]
        fn whole_slices_give_the_bits_of_single_steps(values in proptest::collection::vec(any_value(), 0..40)) {
            let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
            if let Some(exact) = rounded_once(&values).filter(|exact| *exact != stepwise_sum(&values)) {
                prop_assert!(is_neighbour(sum(&values), exact), "{:?}", values);
                return Ok(());
            }
            prop_assert!(same(sum(&values), stepwise_sum(&values)));
            prop_assert!(same(mean(&values), stepwise_mean(&values)));
        }

        #[test]
        fn what_cancels_is_within_a_unit_of_the_exact_sum(
            values in proptest::collection::vec((-1.0..1.0f64, 0i32..120), 1..60),
            left in -1.0..1.0f64,
        ) {
            let large = values.iter().map(|(v, power)| v * 2f64.powi(*power));
            let mut values: Vec<f64> = large.clone().chain([left]).chain(large.map(|v| -v)).collect();
            for i in 0..values.len() {
                values.swap(i, (i * 7 + 3) % (i + 1));
            }
            let exact = rounded_once(&values).unwrap();
            prop_assert_eq!(exact, left);
            prop_assert!(is_neighbour(sum(&values), exact), "{} {}", sum(&values), exact);
            let count = values.len() as f64;
            prop_assert!((mean(&values) - exact / count).abs() <= (exact / count).abs() * f64::EPSILON);
        }
    }

    #[test]
    fn values_near_the_largest_have_a_sum_and_a_mean() {
        let values = [-7.733479453475439e307, f64::MAX];
        assert_eq!(sum(&values), f64::MAX - 7.733479453475439e307);
        assert_eq!(mean(&values), (f64::MAX - 7.733479453475439e307) / 2.0);
    }

    proptest! {
        #[test]
        fn whole_numbers_give_the_bits_of_single_steps(
            values in proptest::collection::vec(
                prop_oneof![
                    8 => (-1000i64..1000).prop_map(|v| v as f64),
                    1 => ((1i64 << 50)..1 << 53).prop_map(|v| v as f64),
                    1 => ((1i64 << 50)..1 << 53).prop_map(|v| -(v as f64)),
                    1 => Just(-0.0),
                ],
                0..150,
            ),
            other in proptest::option::weighted(0.2, (any::<proptest::sample::Index>(), any_value())),
        ) {
            let mut values = values;
            if let Some((at, value)) = other.filter(|_| !values.is_empty()) {
                let at = at.index(values.len());
                values[at] = value;
            }
            let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
            prop_assert!(same(sum(&values), stepwise_sum(&values)), "{:?}", values);
            prop_assert!(same(mean(&values), stepwise_mean(&values)), "{:?}", values);
        }
    }

    #[test]
    fn what_a_large_value_swallows_comes_back() {
        assert_eq!(sum(&[2.0, 8.0, 1e100, -1e100]), 10.0);
        assert_eq!(sum(&[5.0, 1e100, 1.0, -1e100]), 6.0);
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    }

    #[test]
    fn a_mean_survives_a_sum_that_overflows() {
        assert_eq!(mean(&[9.9884656743115e307; 4]), 9.9884656743115e307);
        assert!(mean(&[f64::MAX, f64::MAX, -f64::MAX, -f64::MAX]).abs() < 1e-15 * f64::MAX);
        assert_eq!(mean(&[0.0, f64::INFINITY, f64::INFINITY, 0.0]), f64::INFINITY);
        assert!(mean(&[]).is_nan());
    }
}
