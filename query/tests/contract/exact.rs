//! Exact arithmetic on floats, written for this checker alone: sums without rounding, and pairs of floats.

/// Bits of a limb; the carry has the rest of its 64.
const LIMB: usize = 32;
/// Limbs for 2^-1074 to 2^1024, and 2^64 values of it.
const LIMBS: usize = 70;
/// The fraction's bits in a float.
const FRACTION: u32 = 52;

/// A sum of finite floats as one large integer, in units of 2^-1074.
#[derive(Debug, Clone)]
pub struct Sum {
    limbs: [i64; LIMBS],
    /// What the infinities and NaN among the values add up to, 0 without them.
    special: f64,
}

impl Sum {
    /// The sum of `values`.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = Sum { limbs: [0; LIMBS], special: 0.0 };
        values.into_iter().for_each(|value| sum.add(value));
        sum
    }

    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.special += value;
            return;
        }
        let bits = value.to_bits();
        let exponent = (bits >> FRACTION & 0x7ff) as usize;
        let fraction = bits & ((1 << FRACTION) - 1);
        let mantissa = if exponent == 0 { fraction } else { fraction | 1 << FRACTION };
        let at = exponent.max(1) - 1;
        let shifted = u128::from(mantissa) << (at % LIMB);
        for i in 0..3 {
            let part = (shifted >> (i * LIMB) & 0xffff_ffff) as i64;
            self.limbs[at / LIMB + i] += if value < 0.0 { -part } else { part };
        }
    }

    /// The sum, rounded to nearest once. Not for sums beyond the largest float.
    pub fn value(&self) -> f64 {
        if self.special != 0.0 {
            return self.special;
        }
        let mut limbs = self.carried();
        let negative = limbs[LIMBS - 1] < 0;
        if negative {
            limbs.iter_mut().for_each(|limb| *limb = -*limb);
            limbs = carried(limbs);
        }
        let Some(top) = limbs.iter().rposition(|&limb| limb != 0) else { return 0.0 };
        let highest = top * LIMB + 63 - limbs[top].leading_zeros() as usize;
        let magnitude = rounded(&limbs, highest);
        if negative { -magnitude } else { magnitude }
    }

    /// The sum as two floats whose difference from it is below their precision.
    pub fn pair(&self) -> (f64, f64) {
        let high = self.value();
        let mut rest = self.clone();
        rest.add(-high);
        (high, rest.value())
    }

    fn carried(&self) -> [i64; LIMBS] {
        carried(self.limbs)
    }
}

/// The same number with all limbs but the highest from 0 to 2^32 - 1.
fn carried(mut limbs: [i64; LIMBS]) -> [i64; LIMBS] {
    for i in 0..LIMBS - 1 {
        let carry = limbs[i] >> LIMB;
        limbs[i] -= carry << LIMB;
        limbs[i + 1] += carry;
    }
    limbs
}

/// The nearest float, ties to even, of a positive integer whose highest bit is `highest`.
fn rounded(limbs: &[i64; LIMBS], highest: usize) -> f64 {
    let bit = |at: usize| limbs[at / LIMB] >> (at % LIMB) & 1 == 1;
    let lowest = (highest + 1).saturating_sub(FRACTION as usize + 1);
    let mut mantissa = (lowest..=highest).rev().fold(0u64, |bits, at| bits << 1 | u64::from(bit(at)));
    let mut lowest = lowest;
    if lowest > 0 && bit(lowest - 1) {
        let sticky = (0..lowest - 1).any(bit);
        if sticky || mantissa & 1 == 1 {
            mantissa += 1;
        }
        if mantissa == 1 << (FRACTION + 1) {
            mantissa >>= 1;
            lowest += 1;
        }
    }
    if mantissa < 1 << FRACTION {
        return f64::from_bits(mantissa);
    }
    f64::from_bits((lowest as u64 + 1) << FRACTION | (mantissa & ((1 << FRACTION) - 1)))
}

/// The exact sum of two floats, as the rounded one and the rest.
pub fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

/// The variance of finite values, correct to about 2^-90.
pub fn variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let (high, low) = Sum::of(values.iter().copied()).pair();
    let mean = high / n;
    let mean_rest = (mean.mul_add(-n, high) + low) / n;
    let (mut total, mut total_rest) = (0.0, 0.0);
    for &value in values {
        let (distance, rest) = two_sum(value, -mean);
        let rest = rest - mean_rest;
        let square = distance * distance;
        let square_rest = distance.mul_add(distance, -square) + rest * (2.0 * distance + rest);
        let (sum, carried) = two_sum(total, square);
        (total, total_rest) = (sum, total_rest + carried + square_rest);
    }
    (total + total_rest) / n
}

/// Whether `mean` is the mean of `count` finite values with this sum, rounded to nearest, or a neighbour of that.
///
/// A sum that is rounded once and then divided is off by up to one and a half units in the last place.
pub fn is_mean(mean: f64, sum: &Sum, count: u64) -> bool {
    let (high, low) = sum.pair();
    let n = count as f64;
    let near = high / n;
    let rounded = near + (near.mul_add(-n, high) + low) / n;
    (mean - rounded).abs() <= unit(rounded)
}

/// A unit in the last place.
pub fn unit(value: f64) -> f64 {
    f64::from_bits(value.abs().to_bits() + 1) - value.abs()
}
