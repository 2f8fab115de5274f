//! Floats that are decimal numbers, stored as integers.
//!
//! Most metrics are integers or short decimals. A float `v` is the decimal `k / 10^e` if and only if that division,
//! correctly rounded, gives exactly the bits of `v`. The parser of a decimal text gives the same bits, so this rule
//! finds all numbers that were once written as text. (Two multiplications, as in ALP, miss some.) A section has one
//! exponent. Floats that cannot be represented with it (NaN, infinities, -0.0, outliers) are exceptions.
//!
//! # Format
//! | field | bytes | meaning |
//! |---|---|---|
//! | exponent | 1 | `e`, 0 to 18 |
//! | exceptions | | see [`exceptions`] |
//! | first | varint | zigzag of the first `k` |
//! | integers | rest | all `k`, see [`packed`]; an exceptional one repeats the one before |

use super::exceptions::{self, Exceptions};
use super::varint::{self, unzigzag, zigzag};
use super::{CompressionLevel, Fault, packed};

pub(crate) const EXPONENT_MAX: usize = 18;
/// Scaled floats stay below 2^51, where every integer and its neighbours are exact.
const SCALED_MAX: f64 = (1u64 << 51) as f64;
/// Adding 1.5 * 2^52 rounds to an integer, which is then in the low bits of the mantissa.
pub(crate) const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// The number of floats examined before the whole column is tried.
const SAMPLE: usize = 32;
/// At most one in this many floats may be an exception.
const EXCEPTION_SHARE: usize = 6;
/// The number of times that a float with more digits than the sample's may increase the exponent.
const RAISES_MAX: usize = 4;

/// Powers of ten that are exact.
pub(crate) const POWERS: [f64; EXPONENT_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// A column of floats as integers with one exponent.
struct Decimals {
    exponent: usize,
    integers: Vec<i64>,
    /// Indexes of floats that cannot be represented.
    exceptions: Vec<u32>,
}

/// Appends the section of `values`. Returns false without appending anything if too many of them are not decimal.
#[must_use]
pub fn encode(values: &[f64], level: CompressionLevel, out: &mut Vec<u8>) -> bool {
    let Some(decimals) = Decimals::find(values) else { return false };
    out.push(decimals.exponent as u8);
    exceptions::encode(values, &decimals.exceptions, out);
    varint::write(out, zigzag(decimals.integers[0]));
    packed::encode(&decimals.integers, level, out);
    true
}

impl Decimals {
    fn find(values: &[f64]) -> Option<Self> {
        let exceptions_max = values.len() / EXCEPTION_SHARE;
        let mut exponent = sampled_exponent(values)?;
        let mut integers = Vec::with_capacity(values.len());
        for _ in 0..RAISES_MAX {
            integers.clear();
            let mut exceptions = Vec::new();
            let mut raised = exponent;
            for (i, &value) in values.iter().enumerate() {
                let integer = scaled(value, exponent);
                if integer.is_none() {
                    raised = raised.max(exponent_of(value).unwrap_or(0));
                    exceptions.push(i as u32);
                    if exceptions.len() > exceptions_max && raised == exponent {
                        return None;
                    }
                }
                integers.push(integer.or(integers.last().copied()).unwrap_or(0));
            }
            if raised == exponent {
                return Some(Decimals { exponent, integers, exceptions });
            }
            exponent = raised;
        }
        None
    }
}

/// The largest exponent that a sampled float needs, or `None` if too many are not decimal.
fn sampled_exponent(values: &[f64]) -> Option<usize> {
    let stride = values.len().div_ceil(SAMPLE).max(1);
    let (mut exponent, mut looked_at, mut misses) = (0, 0, 0);
    for &value in values.iter().step_by(stride) {
        looked_at += 1;
        match exponent_of(value) {
            Some(needed) => exponent = exponent.max(needed),
            None => misses += 1,
        }
    }
    (misses * EXCEPTION_SHARE <= looked_at + EXCEPTION_SHARE).then_some(exponent)
}

/// The smallest exponent that makes a float an integer.
pub(crate) fn exponent_of(value: f64) -> Option<usize> {
    (0..=EXPONENT_MAX).find(|&exponent| scaled(value, exponent).is_some())
}

/// The integer `k` for which `k / 10^exponent` equals `value` in every bit.
#[inline]
pub(crate) fn scaled(value: f64, exponent: usize) -> Option<i64> {
    let power = POWERS[exponent];
    let product = value * power;
    if product.abs() < SCALED_MAX {
        let integer = whole(product);
        let same = (integer as f64 / power).to_bits() == value.to_bits();
        return same.then_some(integer);
    }
    // Large whole floats, for which only exponent 0 is possible.
    let integer = value as i64;
    let same = exponent == 0 && integer != i64::MAX && (integer as f64).to_bits() == value.to_bits();
    same.then_some(integer)
}

/// The integer nearest to a float below [`SCALED_MAX`].
#[inline]
fn whole(product: f64) -> i64 {
    (product + ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits()) as i64
}

/// The integer nearest to `value * 10^exponent`, whether or not that is the float's decimal; 0 where it is too large.
#[inline]
pub(crate) fn nearest(value: f64, exponent: usize) -> i64 {
    let product = value * POWERS[exponent];
    if product.abs() < SCALED_MAX {
        whole(product)
    } else if exponent == 0 && product.abs() < i64::MAX as f64 {
        product as i64
    } else {
        0
    }
}

/// Decodes a section of `count` floats, at least one, and appends them; `integers` is scratch.
///
/// # Errors
/// The fault of a section that is too short, too long or malformed. `out` may then contain up to `count` additional
/// invalid floats.
pub fn decode(
    section: &[u8],
    count: usize,
    integers: &mut Vec<i64>,
    out: &mut Vec<f64>,
) -> Result<(), Fault> {
    let exponent = usize::from(*section.first().ok_or(Fault::Truncated)?);
    let power = *POWERS.get(exponent).ok_or(Fault::Field)?;
    let mut at = 1;
    let exceptions = Exceptions::read(section, &mut at, count)?;
    let first = unzigzag(varint::read(section, &mut at)?);
    integers.clear();
    integers.reserve(count);
    packed::decode(&section[at..], first, count, 1, integers)?;
    let start = out.len();
    if exponent == 0 {
        out.extend(integers.iter().map(|&integer| integer as f64));
    } else {
        out.extend(integers.iter().map(|&integer| integer as f64 / power));
    }
    exceptions.apply(section, &mut out[start..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::test_data::{NASTY_BITS, assert_same_bits, floats};
    use crate::model::STALE_NAN_BITS;

    /// The section's length, or `None` where the floats are not decimal.
    fn round_trip(values: &[f64]) -> Option<usize> {
        let mut out = vec![3];
        if encode(values, CompressionLevel::Best, &mut out) {
            let mut decoded = Vec::new();
            assert_eq!(decode(&out[1..], values.len(), &mut vec![1, 2], &mut decoded), Ok(()));
            assert_same_bits(&decoded, values);
        }
        out.truncate(1);
        if !encode(values, CompressionLevel::Fast, &mut out) {
            assert_eq!(out, [3]);
            return None;
        }
        let mut decoded = vec![0.5];
        assert_eq!(decode(&out[1..], values.len(), &mut vec![1, 2], &mut decoded), Ok(()));
        assert_same_bits(&decoded[1..], values);
        Some(out.len() - 1)
    }

    #[test]
    fn golden_bytes() {
        let mut out = Vec::new();
        assert!(encode(
            &[1.5, 1.25, 1.0, 2.0, 0.75, 1.5, f64::from_bits(STALE_NAN_BITS)],
            CompressionLevel::Fast,
            &mut out
        ));
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "02010dac0204190503004ab101");
    }

    #[test]
    fn parsed_decimals_are_found() {
        for digits in 0..10 {
            let texts = (1..=500u32)
                .map(|i| format!("{:.digits$}", f64::from(i.wrapping_mul(0x9e37_79b9) >> 22) / 7.0));
            let values: Vec<f64> = texts.map(|text| text.parse().unwrap()).collect();
            let bits = (147.0 * 10f64.powi(digits as i32)).log2().ceil();
            let bytes = round_trip(&values).unwrap();
            assert!((bytes as f64) < 500.0 * bits / 8.0 + 20.0, "{digits} digits: {bytes} bytes");
        }
    }

    #[test]
    fn digits_that_the_sample_missed_raise_the_exponent() {
        let mut values = vec![1.0; 1000];
        for (i, value) in values.iter_mut().enumerate() {
            *value = if i % 3 == 1 { 1.25 } else { i as f64 };
        }
        assert!(round_trip(&values).unwrap() < 2600);
        values[1] = 1.0 / 3.0;
        assert!(round_trip(&values).is_some());
    }

    #[test]
    fn large_whole_floats_are_integers() {
        let values: Vec<f64> = (0..100).map(|i| 1.7e18 + f64::from(i) * 1e9).collect();
        assert!(round_trip(&values).unwrap() < 60);
        assert!(round_trip(&[i64::MAX as f64; 8]).is_none());
        assert!(round_trip(&[i64::MIN as f64; 8]).is_some());
    }

    #[test]
    fn what_is_not_decimal_is_refused() {
        let thirds: Vec<f64> = (1..100).map(|i| f64::from(i).sqrt()).collect();
        assert!(round_trip(&thirds).is_none());
        assert!(round_trip(&NASTY_BITS.map(f64::from_bits)).is_none());
    }

    #[test]
    fn a_series_that_ends_stale_pays_one_byte() {
        let mut values: Vec<f64> = (0..120).map(|i| f64::from(i % 5)).collect();
        let plain = round_trip(&values).unwrap();
        values[119] = f64::from_bits(STALE_NAN_BITS);
        assert!(round_trip(&values).unwrap() <= plain + 3);
    }

    proptest! {
        #[test]
        fn floats_round_trip(values in floats(1..600)) {
            round_trip(&values);
        }

        #[test]
        fn hostile_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 1usize..2000) {
            let (mut integers, mut decoded) = (Vec::new(), Vec::new());
            let _ = decode(&bytes, count, &mut integers, &mut decoded);
            prop_assert!(decoded.len() <= count && integers.len() <= count);
        }

        #[test]
        fn flipped_bits(values in floats(1..200), flip in any::<prop::sample::Index>()) {
            let mut out = Vec::new();
            if encode(&values, CompressionLevel::Fast, &mut out) {
                let bit = flip.index(out.len() * 8);
                out[bit / 8] ^= 1 << (bit % 8);
                let mut decoded = Vec::new();
                let _ = decode(&out, values.len(), &mut Vec::new(), &mut decoded);
                prop_assert!(decoded.len() <= values.len());
            }
        }
    }
}
