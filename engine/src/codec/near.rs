//! Floats that are fractions with a common denominator, except for noise in their last bits.
//!
//! Rates and averages are computed: a count over 60 or 300 seconds, a sum of decimals, a percentage. Such a float is `k
//! / d`, or a few steps away from it (0.06599999999999999), and neither a decimal with few digits nor XOR is of use.
//! `k` and the steps are stored.
//!
//! # Format
//! | field | bytes | meaning |
//! |---|---|---|
//! | denominator | 1 | index into the table of denominators, which only grows at its end |
//! | exceptions | | see [`exceptions`] |
//! | first | varint | zigzag of the first `k` |
//! | length | varint | bytes of the next field |
//! | integers | as said | all `k`, see [`packed`]; an exceptional one repeats the one before |
//! | first step | varint | zigzag |
//! | steps | rest | what the float's bits are above those of `k / d`, see [`packed`]; 0 for an exception |

use smallvec::SmallVec;

use super::exceptions::{self, Exceptions};
use super::varint::{self, unzigzag, zigzag};
use super::{CompressionLevel, Fault, packed};

/// The denominators that are tried.
const DENOMINATORS: [f64; 28] = [
    1.0,
    3.0,
    6.0,
    7.0,
    9.0,
    10.0,
    12.0,
    15.0,
    30.0,
    60.0,
    100.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1000.0,
    1024.0,
    3600.0,
    1e4,
    86_400.0,
    1e5,
    1e6,
    1_048_576.0,
    1e7,
    1e8,
    1e9,
    1_073_741_824.0,
    1e10,
];

/// Below this limit `k` is exact, and so is rounding to it.
const INTEGER_MAX: f64 = (1u64 << 51) as f64;
/// More steps than this are not noise.
const STEPS_MAX: i64 = 64;
/// The number of floats examined for each denominator.
const SAMPLE: usize = 32;
/// At most one in this many floats may be an exception.
const EXCEPTION_SHARE: usize = 6;

/// Appends the section of `values`. Returns false without appending anything if no denominator fits.
#[must_use]
pub fn encode(values: &[f64], level: CompressionLevel, out: &mut Vec<u8>) -> bool {
    let Some(index) = denominator(values) else { return false };
    let mut integers = Vec::with_capacity(values.len());
    let mut steps = Vec::with_capacity(values.len());
    let mut strays = Vec::new();
    for (i, &value) in values.iter().enumerate() {
        let (integer, step) = split(value, DENOMINATORS[index]).unwrap_or_else(|| {
            strays.push(i as u32);
            (integers.last().copied().unwrap_or(0), 0)
        });
        integers.push(integer);
        steps.push(step);
    }
    if strays.len() > values.len() / EXCEPTION_SHARE {
        return false;
    }
    out.push(index as u8);
    exceptions::encode(values, &strays, out);
    varint::write(out, zigzag(integers[0]));
    let mut packed = Vec::new();
    packed::encode(&integers, level, &mut packed);
    varint::write(out, packed.len() as u64);
    out.extend_from_slice(&packed);
    varint::write(out, zigzag(steps[0]));
    packed::encode(&steps, level, out);
    true
}

/// The smallest denominator that fits nearly all floats of a sample.
fn denominator(values: &[f64]) -> Option<usize> {
    let stride = values.len().div_ceil(SAMPLE).max(1);
    let sample: SmallVec<[f64; SAMPLE]> = values.iter().copied().step_by(stride).collect();
    let misses_max = sample.len() / EXCEPTION_SHARE;
    DENOMINATORS.iter().position(|&denominator| {
        let misses = sample.iter().filter(|&&value| split(value, denominator).is_none());
        misses.take(misses_max + 1).count() <= misses_max
    })
}

/// `k`, and the steps from `k / denominator` to `value` if they are few.
#[inline]
fn split(value: f64, denominator: f64) -> Option<(i64, i64)> {
    let product = (value * denominator).round();
    if product.is_nan() || product.abs() >= INTEGER_MAX {
        return None;
    }
    let integer = product as i64;
    let step = value.to_bits().wrapping_sub(fraction(integer, denominator).to_bits()) as i64;
    (-STEPS_MAX..=STEPS_MAX).contains(&step).then_some((integer, step))
}

#[inline]
fn fraction(integer: i64, denominator: f64) -> f64 {
    integer as f64 / denominator
}

/// Decodes a section of `count` floats, at least one, and appends them. `scratch` is used as a buffer.
///
/// # Errors
/// The fault of a section that is too short, too long or malformed. `out` may then contain up to `count` additional
/// invalid floats.
pub fn decode(section: &[u8], count: usize, scratch: &mut Vec<i64>, out: &mut Vec<f64>) -> Result<(), Fault> {
    let index = usize::from(*section.first().ok_or(Fault::Truncated)?);
    let denominator = *DENOMINATORS.get(index).ok_or(Fault::Field)?;
    let mut at = 1;
    let exceptions = Exceptions::read(section, &mut at, count)?;
    let first = unzigzag(varint::read(section, &mut at)?);
    let len = usize::try_from(varint::read(section, &mut at)?).map_err(|_| Fault::Field)?;
    let (integers, mut rest) = section[at..].split_at_checked(len).ok_or(Fault::Truncated)?;
    let start = out.len();
    scratch.clear();
    packed::decode(integers, first, count, 1, scratch)?;
    out.extend(scratch.iter().map(|&integer| fraction(integer, denominator)));

    at = 0;
    let first = unzigzag(varint::read(rest, &mut at)?);
    rest = &rest[at..];
    scratch.clear();
    packed::decode(rest, first, count, 1, scratch)?;
    let floats = &mut out[start..];
    for (float, &step) in floats.iter_mut().zip(&*scratch) {
        *float = f64::from_bits(float.to_bits().wrapping_add_signed(step));
    }
    exceptions.apply(section, floats)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::test_data::{NASTY_BITS, assert_same_bits, floats};

    /// The section's length, or `None` where no denominator serves.
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
            &[0.066, 0.06599999999999999, 0.067, 0.1 + 0.2, 1.0 / 8.0, 0.068, -0.0],
            CompressionLevel::Fast,
            &mut out
        ));
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "0f010c000000000000008084010a000008000001ea3b020200000102006405");
    }

    #[test]
    fn sums_and_rates_are_found() {
        let sums = (0..500).scan(0.0, |sum, i| {
            *sum = if i % 50 == 0 { 0.1 } else { *sum + 0.1 };
            Some(*sum)
        });
        assert!(round_trip(&sums.collect::<Vec<_>>()).unwrap() < 600);
        let rates: Vec<f64> =
            (0..500u32).map(|i| f64::from(i.wrapping_mul(0x9e37_79b9) >> 22) / 60.0).collect();
        assert!(round_trip(&rates).unwrap() < 500 * 11 / 8 + 30);
    }

    #[test]
    fn noise_is_refused() {
        assert!(round_trip(&NASTY_BITS.map(f64::from_bits)).is_none());
        let roots: Vec<f64> = (0..100).map(|i| f64::from(i).sqrt()).collect();
        assert!(round_trip(&roots).is_none());
    }

    proptest! {
        #[test]
        fn floats_round_trip(values in floats(1..400), divisor in prop::sample::select(&DENOMINATORS[..])) {
            round_trip(&values);
            round_trip(&values.iter().map(|value| value / divisor).collect::<Vec<_>>());
        }

        #[test]
        fn hostile_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 1usize..2000) {
            let (mut scratch, mut decoded) = (Vec::new(), Vec::new());
            let _ = decode(&bytes, count, &mut scratch, &mut decoded);
            prop_assert!(decoded.len() <= count && scratch.len() <= count);
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
