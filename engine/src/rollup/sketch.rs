//! Sketches: how the values of a bucket are distributed, as counts by key.
//!
//! A key is the upper bits of a float: sign, exponent and the first seven bits of the mantissa. So each power of two is
//! divided into 128 keys of equal width, which is the layout of an HdrHistogram with two significant digits, for values
//! of any sign and magnitude and without a scale. The order of keys is the order of values, and no logarithm is needed.
//! Counts of equal keys are added, so sketches are merged without loss, over time and over series.
//!
//! The middle of a key differs from each of its values by at most 2^-8 of the value, and by at most 2^-1030 where the
//! value is subnormal. Zero and the infinities have keys of their own, which are exact. NaN has none: the bucket counts
//! NaN apart.

use std::cmp::Ordering;

pub mod coding;
pub mod hdr;
mod quantile;
#[cfg(test)]
mod tests;

pub use quantile::Quantile;

/// The bits of a mantissa that are part of a key.
const PRECISION: u32 = 7;

/// The bits of a float that are not part of its key.
const DROPPED: u32 = f64::MANTISSA_DIGITS - 1 - PRECISION;

/// The key of positive infinity, the largest one.
const INFINITY_KEY: i32 = (f64::INFINITY.to_bits() >> DROPPED) as i32 + 1;

/// The key of a value that is not NaN.
pub fn key(value: f64) -> i32 {
    debug_assert!(!value.is_nan());
    if value == 0.0 {
        return 0;
    }
    let magnitude = (value.abs().to_bits() >> DROPPED) as i32 + 1;
    if value < 0.0 { -magnitude } else { magnitude }
}

/// The smallest and the largest value with a key.
pub fn bounds(key: i32) -> (f64, f64) {
    if key == 0 {
        return (0.0, 0.0);
    }
    let magnitude = magnitude(key);
    // The bits of the first key include those of zero, which has another key.
    let least = f64::from_bits((magnitude << DROPPED).max(1));
    let greatest = match least == f64::INFINITY {
        true => least,
        false => f64::from_bits((magnitude << DROPPED) | ((1 << DROPPED) - 1)),
    };
    if key < 0 { (-greatest, -least) } else { (least, greatest) }
}

/// The middle of the values with a key, which stands for all of them.
pub fn representative(key: i32) -> f64 {
    if key == 0 {
        return 0.0;
    }
    let magnitude = magnitude(key);
    let least = f64::from_bits(magnitude << DROPPED);
    let middle = match least == f64::INFINITY {
        true => least,
        false => f64::from_bits((magnitude << DROPPED) | (1 << (DROPPED - 1))),
    };
    if key < 0 { -middle } else { middle }
}

/// The upper bits of the values with a key other than zero. No key is beyond those of the infinities.
fn magnitude(key: i32) -> u64 {
    u64::from(key.unsigned_abs().min(INFINITY_KEY.unsigned_abs())).saturating_sub(1)
}

/// The least and the greatest of the values that a sketch counts, which are known exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extremes {
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
}

/// Counts of values by [`key`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Keys ascend, and no count is zero.
    entries: Vec<(i32, u64)>,
}

impl Sketch {
    /// The sketch of `values`. NaN is left out.
    pub fn of(values: &[f64]) -> Self {
        let mut keys: Vec<i32> =
            values.iter().filter(|value| !value.is_nan()).map(|&value| key(value)).collect();
        keys.sort_unstable();
        let entries = keys.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u64)).collect();
        Sketch { entries }
    }

    /// The sketch of counts by key, in any order. Counts of one key are added.
    pub fn from_counts(mut counts: Vec<(i32, u64)>) -> Self {
        counts.retain(|&(_, count)| count > 0);
        counts.sort_unstable_by_key(|&(key, _)| key);
        counts.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(later.1);
            }
            same
        });
        Sketch { entries: counts }
    }

    /// The keys that occur, ascending, with their counts.
    pub fn entries(&self) -> &[(i32, u64)] {
        &self.entries
    }

    /// Whether no value is counted.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.entries.iter().fold(0, |sum, &(_, count)| sum.saturating_add(count))
    }

    /// Adds the counts of `other`. The order of merges does not matter.
    pub fn merge(&mut self, other: &Sketch) {
        if self.is_empty() {
            self.entries.clone_from(&other.entries);
            return;
        }
        let (mut left, mut right) = (self.entries.as_slice(), other.entries.as_slice());
        let mut merged = Vec::with_capacity(left.len() + right.len());
        while let (Some((&a, after_a)), Some((&b, after_b))) = (left.split_first(), right.split_first()) {
            match a.0.cmp(&b.0) {
                Ordering::Less => {
                    merged.push(a);
                    left = after_a;
                }
                Ordering::Greater => {
                    merged.push(b);
                    right = after_b;
                }
                Ordering::Equal => {
                    merged.push((a.0, a.1.saturating_add(b.1)));
                    (left, right) = (after_a, after_b);
                }
            }
        }
        merged.extend_from_slice(left);
        merged.extend_from_slice(right);
        self.entries = merged;
    }

    /// The number of values with a smaller key than `value`, and with the same key. `value` is not NaN.
    pub fn rank(&self, value: f64) -> (u64, u64) {
        let key = key(value);
        let at = self.entries.partition_point(|entry| entry.0 < key);
        let below = self.entries[..at].iter().fold(0u64, |sum, &(_, count)| sum.saturating_add(count));
        let same = self.entries.get(at).filter(|entry| entry.0 == key).map_or(0, |entry| entry.1);
        (below, same)
    }
}
