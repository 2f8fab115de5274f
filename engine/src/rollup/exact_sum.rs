//! Sums of floats without rounding error, independent of order and grouping.
//!
//! A sum is an expansion (Shewchuk, "Adaptive Precision Floating-Point Arithmetic", 1997): floats whose exact sum is the
//! value. One float would lose what cancels, and a pair does for `[1e200, 1e100, 1, -1e200, -1e100]`. The expansion
//! grows only when it must: nearly all sums of metrics take one or two components.
//!
//! [`ExactSum::normalize`] makes the components a function of the value alone: the first is the value rounded to the
//! nearest float, the next the rest rounded, and so on. Two buckets that hold the same samples have the same components,
//! no matter how they were built.
//!
//! # Not finite, and huge
//! Once an infinity or NaN is added, the sum is what IEEE 754 says about those values alone. A finite float of 2^700 or
//! more makes the sum *huge*: its value is unknown, whatever else is added, because a sum of floats overflows in some
//! orders and not in others. With fewer than 2^64 samples, each sum of magnitudes of 2^764 or more is huge.

/// Floats of this magnitude or more make a sum huge: 2^700.
pub(super) const HUGE: f64 = f64::from_bits((700 + 1023) << 52);

/// Sums kept side by side while many values are added.
const LANES: usize = 4;

/// The exact sum of floats.
///
/// ```
/// use barograph_engine::rollup::ExactSum;
///
/// let mut sum = ExactSum::default();
/// sum.extend(&[1e200, 1e100, 1.0]);
/// let mut later = ExactSum::default();
/// later.extend(&[-1e200, -1e100]);
/// sum.merge(&later);
/// assert_eq!(sum.value(), 1.0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct ExactSum {
    hi: f64,
    lo: f64,
    /// Further components, non-overlapping, the smallest first. Mostly empty.
    rest: Vec<f64>,
    /// Zero, or the sum of the values that are not finite.
    special: f64,
    huge: bool,
}

/// `a + b` rounded, and the exact rounding error (Knuth's TwoSum), without a branch. Not for values near the largest float:
/// the error is NaN if an intermediate step overflows.
#[inline]
pub fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let from_b = sum - a;
    (sum, (a - (sum - from_b)) + (b - from_b))
}

/// `a * b` rounded, and the rounding error.
#[inline]
pub(super) fn two_product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    (product, a.mul_add(b, -product))
}

impl ExactSum {
    /// The sum with these components, as [`ExactSum::components`] returned them.
    pub fn from_components(components: &[f64]) -> Self {
        let mut sum = ExactSum::default();
        for &component in components {
            if component.is_finite() {
                sum.add_part(component);
            } else {
                sum.add_special(component);
            }
        }
        sum.normalize();
        sum
    }

    /// A huge sum.
    #[inline]
    pub fn huge() -> Self {
        ExactSum { huge: true, ..ExactSum::default() }
    }

    /// `value` times `count`, exactly.
    pub fn product(value: f64, count: u64) -> Self {
        let mut sum = ExactSum::default();
        sum.add_scaled(&ExactSum::from_components(&[value]), count as f64);
        sum.normalize();
        sum
    }

    /// Adds one value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        // False for NaN too.
        if value.abs() < HUGE {
            self.add_part(value);
        } else if value.is_finite() {
            self.huge = true;
        } else {
            self.add_special(value);
        }
    }

    /// Adds a finite float, which may be a sum.
    #[inline]
    fn add_part(&mut self, value: f64) {
        let (hi, error) = two_sum(self.hi, value);
        let (lo, error) = two_sum(self.lo, error);
        (self.hi, self.lo) = (hi, lo);
        if error != 0.0 {
            grow(&mut self.rest, error);
        }
    }

    fn add_special(&mut self, value: f64) {
        let sum = self.special + value;
        // One bit pattern of NaN, whatever the processor makes.
        self.special = if sum.is_nan() { f64::NAN } else { sum };
    }

    /// Adds all values.
    pub fn extend(&mut self, values: &[f64]) {
        // Several sums side by side, because an addition takes longer than its turn.
        let mut lanes = [(0.0, 0.0); LANES];
        let (blocks, rest) = values.as_chunks::<LANES>();
        let mut suits = true;
        for block in blocks {
            for ((hi, lo), &value) in lanes.iter_mut().zip(block) {
                let (sum, error) = two_sum(*hi, value);
                let (low, error) = two_sum(*lo, error);
                (*hi, *lo) = (sum, low);
                // False for NaN too.
                suits &= (value.abs() < HUGE) & (error == 0.0);
            }
        }
        if suits {
            lanes.iter().flat_map(|&(hi, lo)| [hi, lo]).for_each(|part| self.add_part(part));
            rest.iter().for_each(|&value| self.add(value));
        } else {
            values.iter().for_each(|&value| self.add(value));
        }
    }

    /// Adds another sum, and normalizes this one.
    #[inline]
    pub fn merge(&mut self, other: &ExactSum) {
        if self.huge || other.huge {
            *self = ExactSum::huge();
        } else if other.hi == 0.0 && other.lo == 0.0 && other.special == 0.0 && other.rest.is_empty() {
            self.normalize();
        } else {
            self.merge_parts(other);
        }
    }

    fn merge_parts(&mut self, other: &ExactSum) {
        for &component in [other.hi, other.lo].iter().chain(&other.rest) {
            self.add_part(component);
        }
        if other.special != 0.0 {
            self.add_special(other.special);
        }
        self.normalize();
    }

    /// Adds another sum times `factor`, a whole number below 2^53. Makes this one huge if the product overflows.
    pub(super) fn add_scaled(&mut self, other: &ExactSum, factor: f64) {
        for &component in [other.hi, other.lo].iter().chain(&other.rest) {
            let (product, error) = two_product(component, factor);
            if product.is_finite() {
                self.add_part(product);
                self.add_part(error);
            } else {
                self.huge = true;
            }
        }
        if other.special != 0.0 {
            self.add_special(other.special);
        }
        self.huge |= other.huge;
    }

    /// Makes the components depend on the value alone.
    #[inline]
    pub fn normalize(&mut self) {
        if self.huge {
            *self = ExactSum::huge();
        } else if self.special != 0.0 {
            *self = ExactSum { special: self.special, ..ExactSum::default() };
        } else if self.rest.is_empty() {
            (self.hi, self.lo) = two_sum(self.hi, self.lo);
        } else {
            self.normalize_all();
        }
    }

    fn normalize_all(&mut self) {
        let mut left = std::mem::take(&mut self.rest);
        grow(&mut left, self.lo);
        grow(&mut left, self.hi);
        let mut components = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let rounded = rounded(&left);
            components.push(rounded);
            grow(&mut left, -rounded);
        }
        let mut components = components.into_iter();
        self.hi = components.next().unwrap_or(0.0);
        self.lo = components.next().unwrap_or(0.0);
        self.rest = components.rev().collect();
    }

    /// The sum, correctly rounded; not finite if a value is not; NaN if it [is huge](ExactSum::is_huge). Zero is
    /// positive.
    pub fn value(&self) -> f64 {
        if self.huge {
            f64::NAN
        } else if self.special != 0.0 {
            self.special
        } else if self.rest.is_empty() {
            self.hi + self.lo
        } else {
            let mut normal = self.clone();
            normal.normalize();
            normal.hi
        }
    }

    /// Whether a value was so large that the sum is unknown.
    #[inline]
    pub fn is_huge(&self) -> bool {
        self.huge
    }

    /// Whether all values were finite and none was huge: the components then are the sum.
    #[inline]
    pub fn is_exact(&self) -> bool {
        self.special == 0.0 && !self.huge
    }

    /// The components of a normalized sum, the largest first, without zeros. None for zero and for a huge sum; the value
    /// alone for one that is not finite.
    pub fn components(&self) -> impl Iterator<Item = f64> + '_ {
        [self.special, self.hi, self.lo]
            .into_iter()
            .chain(self.rest.iter().rev().copied())
            .filter(|&component| component != 0.0)
    }

    /// The two largest components of a normalized sum.
    pub(super) fn pair(&self) -> (f64, f64) {
        (self.hi, self.lo)
    }

    /// Whether both are normalized sums of the same value.
    pub fn same_bits(&self, other: &ExactSum) -> bool {
        let bits = f64::to_bits;
        self.huge == other.huge && self.components().map(bits).eq(other.components().map(bits))
    }

    /// The heap memory, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.rest.capacity() * size_of::<f64>()
    }
}

/// Adds `value` to a non-overlapping expansion, the smallest component first, without zeros.
fn grow(expansion: &mut Vec<f64>, value: f64) {
    let mut sum = value;
    let mut kept = 0;
    for i in 0..expansion.len() {
        let (larger, error) = two_sum(sum, expansion[i]);
        sum = larger;
        if error != 0.0 {
            expansion[kept] = error;
            kept += 1;
        }
    }
    expansion.truncate(kept);
    if sum != 0.0 {
        expansion.push(sum);
    }
}

/// The float nearest to a non-overlapping expansion, ties to even.
fn rounded(expansion: &[f64]) -> f64 {
    let mut parts = expansion.iter().rev().copied();
    let mut sum = parts.next().unwrap_or(0.0);
    while let Some(part) = parts.next() {
        let (larger, error) = two_sum(sum, part);
        sum = larger;
        if error == 0.0 {
            continue;
        }
        // The error may be half a unit. If what follows has its sign, the sum is beyond the middle.
        let beyond = parts.next().unwrap_or(0.0);
        if beyond != 0.0 && (beyond < 0.0) == (error < 0.0) {
            let doubled = error * 2.0;
            let next = sum + doubled;
            if next - sum == doubled {
                sum = next;
            }
        }
        break;
    }
    sum
}

#[cfg(test)]
mod tests;
