//! The sum of the squares of distances from the mean, to nearly the last bit.
//!
//! Welford's method loses bits in proportion to mean / deviation, and so does a sum of squares, compensated or not. Here
//! the samples of a bucket are read twice: the mean comes from their exact sum, as a pair of floats, and distances,
//! squares and their sum are pairs too. The result is the correctly rounded one, except near a tie.
//!
//! Buckets merge by `m2 = m2_a + m2_b + (S_a n_b - S_b n_a)^2 / (n_a n_b (n_a + n_b))`. The difference is computed from
//! the exact sums, so nothing is lost if it cancels, and all terms are positive. The sum of the terms is a pair, so the
//! error does not grow with the number of merges: it is within 2^-50 of the true value, unless squares are subnormal.

use super::exact_sum::{ExactSum, two_product, two_sum};

/// Multiplied with a float, splits it into halves of 26 bits (Veltkamp): 2^27 + 1.
const SPLITTER: f64 = 134_217_729.0;

/// Sums of distances kept side by side, so that they do not wait for each other.
const LANES: usize = 4;

/// The sum of squared distances of `values`, whose normalized sum is `sum`; NaN if that is not exact. Zero for equal
/// values is the caller's concern.
pub(super) fn of(values: &[f64], sum: &ExactSum) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    if !sum.is_exact() {
        return f64::NAN;
    }
    let mean = quotient(sum.pair(), values.len() as f64);
    let mut lanes = [(0.0, 0.0); LANES];
    let blocks = values.chunks_exact(LANES);
    for (lane, &value) in lanes.iter_mut().zip(blocks.remainder()) {
        *lane = with_square(*lane, value, mean);
    }
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane = with_square(*lane, value, mean);
        }
    }
    let (hi, lo) = lanes.into_iter().fold((0.0, 0.0), plus);
    let total = hi + lo;
    if total.is_finite() { total } else { plain(values, mean.0) }
}

/// Where squares overflow.
fn plain(values: &[f64], mean: f64) -> f64 {
    values.iter().map(|value| (value - mean) * (value - mean)).sum()
}

/// A pair divided by a whole number.
fn quotient((hi, lo): (f64, f64), divisor: f64) -> (f64, f64) {
    let first = hi / divisor;
    let (product, error) = two_product(first, divisor);
    (first, ((hi - product) - error + lo) / divisor)
}

/// `acc + (value - mean)^2`, as pairs.
#[inline]
fn with_square(acc: (f64, f64), value: f64, mean: (f64, f64)) -> (f64, f64) {
    let (difference, error) = two_sum(value, -mean.0);
    let error = error - mean.1;
    let distance = difference + error;
    let rest = error - (distance - difference);
    let square = distance * distance;
    let scaled = distance * SPLITTER;
    let upper = scaled - (scaled - distance);
    let lower = distance - upper;
    let square_rest = ((upper * upper - square) + 2.0 * upper * lower) + lower * lower;
    let (hi, carried) = two_sum(acc.0, square);
    (hi, acc.1 + (carried + (square_rest + 2.0 * distance * rest)))
}

fn plus(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let (hi, error) = two_sum(a.0, b.0);
    two_sum(hi, error + (a.1 + b.1))
}

/// What the spread of a bucket is merged from.
pub(super) struct Spread<'b> {
    /// Samples.
    pub count: u64,
    /// Their sum, before the merge.
    pub sum: &'b ExactSum,
    /// The sum of squared distances.
    pub m2: f64,
    /// What rounding took from it.
    pub rest: f64,
}

/// The sum of squared distances of two consecutive buckets that both have samples, and what rounding took from it.
pub(super) fn merged(earlier: &Spread<'_>, later: &Spread<'_>) -> (f64, f64) {
    let is_known = earlier.sum.is_exact() && later.sum.is_exact();
    if !is_known || earlier.m2.is_nan() || later.m2.is_nan() {
        return (f64::NAN, 0.0);
    }
    let (a, b) = (earlier.count as f64, later.count as f64);
    let difference = cross_difference(earlier.sum, a, later.sum, b);
    joined((a, earlier.m2, earlier.rest), (b, later.m2, later.rest), difference)
}

/// The same from counts, squares and rests, and the difference of the sums, each times the other's count.
fn joined(earlier: (f64, f64, f64), later: (f64, f64, f64), difference: f64) -> (f64, f64) {
    let ((a, m2_a, rest_a), (b, m2_b, rest_b)) = (earlier, later);
    // Divided first: the square may overflow where the result does not.
    let between = difference * (difference / (a * b * (a + b)));
    let (hi, error) = two_sum(m2_a, m2_b);
    let (hi, carried) = two_sum(hi, between);
    let (hi, lo) = two_sum(hi, error + carried + (rest_a + rest_b));
    if hi.is_finite() && lo.is_finite() { (hi, lo) } else { (m2_a + m2_b + between, 0.0) }
}

/// The spread of consecutive buckets whose sums are whole multiples of one unit, which is cheaper to merge than that of
/// any buckets.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    /// Samples.
    pub count: u64,
    /// Their sum, in units.
    pub sum: i128,
    /// The sum of squared distances from the mean.
    pub m2: f64,
    /// What rounding took from it.
    pub rest: f64,
}

impl Moments {
    /// Appends the buckets that follow. `scaled` turns units into floats.
    pub fn merge(&mut self, later: &Moments, scaled: impl Fn(f64) -> f64) {
        let product = |sum: i128, count: u64| sum.checked_mul(i128::from(count));
        let difference = product(self.sum, later.count)
            .zip(product(later.sum, self.count))
            .and_then(|(own, other)| own.checked_sub(other));
        let difference = match difference {
            Some(difference) => scaled(difference as f64),
            None => {
                let (own, other) = (exact(self.sum), exact(later.sum));
                scaled(cross_difference(&own, self.count as f64, &other, later.count as f64))
            }
        };
        let part = |moments: &Moments| (moments.count as f64, moments.m2, moments.rest);
        (self.m2, self.rest) = joined(part(self), part(later), difference);
        self.count = self.count.saturating_add(later.count);
        self.sum = self.sum.wrapping_add(later.sum);
    }
}

/// An integer as floats.
fn exact(int: i128) -> ExactSum {
    let (mut left, mut components) = (int, [0.0; 3]);
    for component in &mut components {
        *component = left as f64;
        left = left.wrapping_sub(*component as i128);
    }
    ExactSum::from_components(&components)
}

/// The sum of `x` times `b`, less that of `y` times `a`, correctly rounded.
fn cross_difference(x: &ExactSum, a: f64, y: &ExactSum, b: f64) -> f64 {
    let mut difference = ExactSum::default();
    difference.add_scaled(x, b);
    difference.add_scaled(y, -a);
    if difference.is_huge() { f64::INFINITY } else { difference.value() }
}

#[cfg(test)]
mod tests;
