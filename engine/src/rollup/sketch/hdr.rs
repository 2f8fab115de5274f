//! Sketches as payloads of HdrHistogram, encoding V2, and back.
//!
//! A payload counts integers from 0 to 2^63 - 1; a sketch counts floats. So a value is divided by a *unit*, which the
//! payload does not name: both sides agree on it, such as on microseconds. With two significant digits HdrHistogram has
//! the same 128 buckets an octave as a sketch, so with the unit [`Sketch::hdr_unit`], a power of two, each key has a
//! bucket of its own and comes back as it was. With another unit a value moves by at most half a unit and half a bucket
//! of each layout. Negative values go to a payload of their magnitudes.
//!
//! # Format
//! Big endian; specified by the project HdrHistogram. The compressed form is a wrapper around it and is not read here.
//!
//! | field | bytes | meaning |
//! |---|---|---|
//! | cookie | 4 | 0x1c849313 |
//! | length | 4 | bytes of the counts |
//! | offset | 4 | 0; others are refused |
//! | digits | 4 | significant decimal digits, 0 to 5; written: 2 |
//! | lowest | 8 | the least integer that is distinguished from 0; written: 1 |
//! | highest | 8 | the largest integer that can be counted |
//! | ratio | 8 | a float by which integers are multiplied; written: 1, as some readers refuse others |
//! | counts | length | counts by bucket: zigzag, then LEB128 of at most nine bytes; a negative one skips as many buckets |

use super::{DROPPED, Sketch, bounds, key, representative};
use crate::codec::Fault;
use crate::codec::varint::{unzigzag, zigzag};

const COOKIE: u32 = 0x1c84_9313;
const HEADER_LEN: usize = 40;

/// The significant digits of written payloads, and the logarithm of the buckets of an octave that they mean.
const DIGITS: u32 = 2;
const HALF: u32 = 7;

/// The logarithm of twice the buckets of an octave, by significant digits.
const SUB_BUCKET_BITS: [u32; 6] = [1, 5, 8, 11, 15, 18];

/// The bits of integers in a payload.
const INTEGER_BITS: u32 = 63;

/// A sketch as payloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hdr {
    /// Values from zero on.
    pub payload: Vec<u8>,
    /// The magnitudes of negative values, if there are any.
    pub negative: Option<Vec<u8>>,
    /// The number of values that are in neither: infinities, and those beyond 2^63 units.
    pub left_out: u64,
}

impl Sketch {
    /// The power of two with which [`Sketch::to_hdr`] keeps each key: the largest unit that the least key of finite
    /// values other than zero allows. If they span more than 56 octaves, the unit allows for the greatest, and the least ones
    /// share buckets.
    pub fn hdr_unit(&self) -> f64 {
        let exponents = self.entries.iter().filter_map(|&(key, _)| exponent(key));
        let Some((least, greatest)) = exponents.fold(None, |range, exponent| match range {
            None => Some((exponent, exponent)),
            Some((least, greatest)) => Some((exponent.min(least), exponent.max(greatest))),
        }) else {
            return 1.0;
        };
        power_of_two((least - HALF as i32).max(greatest + 1 - INTEGER_BITS as i32))
    }

    /// The sketch as payloads that count in `unit`, a positive number.
    pub fn to_hdr(&self, unit: f64) -> Hdr {
        let mut left_out = 0u64;
        let (mut positive, mut negative) = (Vec::new(), Vec::new());
        for &(key, count) in &self.entries {
            match integer(key.saturating_abs(), unit) {
                Some(integer) if key >= 0 => positive.push((bucket_of(integer), count)),
                Some(integer) => negative.push((bucket_of(integer), count)),
                None => left_out = left_out.saturating_add(count),
            }
        }
        negative.reverse();
        let negative = (!negative.is_empty()).then(|| payload(&negative));
        Hdr { payload: payload(&positive), negative, left_out }
    }

    /// The sketch of a payload that counts in `unit`, a positive number. The counts of a bucket get the key of its middle.
    ///
    /// # Errors
    /// The fault of bytes that are no such payload.
    pub fn from_hdr(payload: &[u8], unit: f64) -> Result<Self, Fault> {
        let mut entries = Vec::new();
        read(payload, unit, |middle, count| entries.push((key(middle), count)))?;
        Ok(Sketch::from_counts(entries))
    }

    /// The sketch of the values with the other sign.
    pub fn negated(&self) -> Self {
        Sketch {
            entries: self.entries.iter().rev().map(|&(key, count)| (key.saturating_neg(), count)).collect(),
        }
    }
}

/// Calls `visit` with the middle of each bucket of a payload that is not empty, and its count, ascending. The payload
/// counts in `unit`, a positive number. Needs no memory, whatever layout the payload claims.
///
/// # Errors
/// The fault of bytes that are no such payload. Buckets before the fault have been visited.
pub fn read(payload: &[u8], unit: f64, mut visit: impl FnMut(f64, u64)) -> Result<(), Fault> {
    let (header, counts) = payload.split_at_checked(HEADER_LEN).ok_or(Fault::Truncated)?;
    let layout = Layout::read(header, counts.len())?;
    let unit = unit * layout.ratio;
    let (mut index, mut at) = (0u64, 0);
    while at < counts.len() {
        let number = unzigzag(read_leb(counts, &mut at)?);
        let Ok(count) = u64::try_from(number) else {
            index = index.checked_add(number.unsigned_abs()).ok_or(Fault::Field)?;
            continue;
        };
        if count > 0 {
            let middle = layout.middle(index).ok_or(Fault::Field)? * unit;
            if !middle.is_finite() {
                return Err(Fault::Field);
            }
            visit(middle, count);
        }
        index = index.checked_add(1).ok_or(Fault::Field)?;
    }
    Ok(())
}

/// The exponent of the values with a key, that of the least normal float for subnormal ones; `None` for zero and the
/// infinities.
fn exponent(key: i32) -> Option<i32> {
    let least = bounds(key.saturating_abs()).0;
    let field = (least.to_bits() >> (f64::MANTISSA_DIGITS - 1)) as i32;
    (key != 0 && least.is_finite()).then_some(field.max(1) + f64::MIN_EXP - 2)
}

/// 2^`exponent`, at least the least float.
fn power_of_two(exponent: i32) -> f64 {
    let least_normal = f64::MIN_EXP - 1;
    match exponent >= least_normal {
        true => f64::from_bits(((exponent - least_normal + 1) as u64) << (f64::MANTISSA_DIGITS - 1)),
        false => f64::MIN_POSITIVE / f64::from_bits(((least_normal - exponent).min(52) as u64 + 1023) << 52),
    }
}

/// The integer that stands for a key of values from zero on; `None` if it is beyond those of a payload.
///
/// The least value of a key decides if it is a whole number of units. Otherwise the middle does.
fn integer(key: i32, unit: f64) -> Option<u64> {
    let least = match key {
        0 => 0.0,
        // The first key begins with zero here, so that all subnormal keys are whole units.
        _ => f64::from_bits((bounds(key).0.to_bits() >> DROPPED) << DROPPED) / unit,
    };
    let units = if least.fract() == 0.0 { least } else { (representative(key) / unit).round() };
    (units < 2f64.powi(INTEGER_BITS as i32)).then_some(units as u64)
}

/// The bucket of an integer below 2^63.
fn bucket_of(integer: u64) -> u64 {
    let octave = (integer >> HALF).max(1).ilog2();
    (u64::from(octave) << HALF) + (integer >> octave)
}

fn payload(entries: &[(u64, u64)]) -> Vec<u8> {
    let mut counts = Vec::new();
    let mut next = 0;
    for run in entries.chunk_by(|a, b| a.0 == b.0) {
        let index = run[0].0;
        match index - next {
            0 => {}
            // One empty bucket is a count of zero.
            1 => counts.push(0),
            empty => write_leb(zigzag(-(empty as i64)), &mut counts),
        }
        let count = run.iter().fold(0u64, |sum, &(_, count)| sum.saturating_add(count));
        write_leb(zigzag(i64::try_from(count).unwrap_or(i64::MAX)), &mut counts);
        next = index + 1;
    }
    let last = entries.last().map_or(0, |entry| entry.0);
    let octave = (last >> HALF).saturating_sub(1);
    let highest = ((last - (octave << HALF) + 1) << octave) - 1;
    let mut out = Vec::with_capacity(HEADER_LEN + counts.len());
    out.extend_from_slice(&COOKIE.to_be_bytes());
    out.extend_from_slice(&(counts.len() as u32).to_be_bytes());
    out.extend_from_slice(&0u32.to_be_bytes());
    out.extend_from_slice(&DIGITS.to_be_bytes());
    out.extend_from_slice(&1u64.to_be_bytes());
    out.extend_from_slice(&highest.max(2).to_be_bytes());
    out.extend_from_slice(&1f64.to_be_bytes());
    out.extend_from_slice(&counts);
    out
}

/// How a payload divides integers into buckets.
#[derive(Debug)]
struct Layout {
    ratio: f64,
    /// The binary logarithm of the number of buckets of an octave.
    half: u32,
    /// The binary logarithm of the least integer that is distinguished from 0.
    unit: u32,
}

impl Layout {
    fn read(header: &[u8], counts_len: usize) -> Result<Self, Fault> {
        let word =
            |at: usize| header.get(at..).and_then(|tail| tail.first_chunk().copied()).map(u32::from_be_bytes);
        let long =
            |at: usize| header.get(at..).and_then(|tail| tail.first_chunk().copied()).map(u64::from_be_bytes);
        let (Some(cookie), Some(length), Some(offset), Some(digits)) = (word(0), word(4), word(8), word(12))
        else {
            return Err(Fault::Truncated);
        };
        let (Some(lowest), Some(ratio)) = (long(16), long(32).map(f64::from_bits)) else {
            return Err(Fault::Truncated);
        };
        match u64::from(length).cmp(&(counts_len as u64)) {
            _ if cookie != COOKIE => return Err(Fault::Field),
            std::cmp::Ordering::Greater => return Err(Fault::Truncated),
            std::cmp::Ordering::Less => return Err(Fault::Trailing),
            std::cmp::Ordering::Equal => {}
        }
        let sub_bucket_bits = SUB_BUCKET_BITS.get(digits as usize).ok_or(Fault::Field)?;
        let unit = lowest.checked_ilog2().ok_or(Fault::Field)?;
        let is_scale = ratio.is_finite() && ratio > 0.0;
        if offset != 0 || !is_scale || unit + sub_bucket_bits > INTEGER_BITS {
            return Err(Fault::Field);
        }
        Ok(Layout { ratio, half: sub_bucket_bits - 1, unit })
    }

    /// The middle of the integers of a bucket; `None` if they are beyond 64 bits.
    fn middle(&self, index: u64) -> Option<f64> {
        let octave = (index >> self.half).saturating_sub(1);
        let within = index - (octave << self.half);
        let shift = u32::try_from(octave).ok()?.checked_add(self.unit)?;
        if shift >= u64::BITS || within.leading_zeros() < shift {
            return None;
        }
        let least = within << shift;
        let inside = if least == 0 { 0 } else { (1u64 << shift) / 2 };
        Some((least + inside) as f64)
    }
}

/// LEB128 whose ninth byte has eight bits.
fn write_leb(mut value: u64, out: &mut Vec<u8>) {
    for _ in 0..8 {
        if value < 0x80 {
            out.push(value as u8);
            return;
        }
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_leb(bytes: &[u8], at: &mut usize) -> Result<u64, Fault> {
    let mut value = 0;
    for i in 0..9 {
        let byte = *bytes.get(*at).ok_or(Fault::Truncated)?;
        *at += 1;
        if i == 8 || byte < 0x80 {
            return Ok(value | u64::from(byte) << (7 * i));
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
    use proptest::prelude::*;

    use super::*;
    use crate::rollup::sketch::tests::values;

    fn serialized(histogram: &Histogram<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        V2Serializer::new().serialize(histogram, &mut out).unwrap();
        out
    }

    fn deserialized(payload: &[u8]) -> Histogram<u64> {
        Deserializer::new().deserialize(&mut &payload[..]).unwrap()
    }

    fn finite() -> impl Strategy<Value = f64> {
        values().prop_filter("finite", |value| value.is_finite())
    }

    #[test]
    fn golden_bytes() {
        let hdr = Sketch::of(&[0.0, 1.0, 1.0, 3.0, 700.0, -2.0, f64::INFINITY]).to_hdr(1.0);
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        let header = "1c849313000000070000000000000002000000000000000100000000000002bf3ff0000000000000";
        assert_eq!(hex(&hdr.payload), format!("{header}02040002d50602"));
        let header = "1c849313000000020000000000000002000000000000000100000000000000023ff0000000000000";
        assert_eq!(hex(&hdr.negative.unwrap()), format!("{header}0302"));
        assert_eq!(hdr.left_out, 1);
    }

    #[test]
    fn nothing_is_an_empty_payload() {
        let hdr = Sketch::default().to_hdr(1.0);
        assert_eq!((hdr.payload.len(), hdr.negative, hdr.left_out), (HEADER_LEN, None, 0));
        assert_eq!(deserialized(&hdr.payload).len(), 0);
        assert_eq!(Sketch::from_hdr(&hdr.payload, 1.0), Ok(Sketch::default()));
        assert_eq!(Sketch::from_hdr(&serialized(&Histogram::new(2).unwrap()), 1.0), Ok(Sketch::default()));
    }

    #[test]
    fn large_counts_take_nine_bytes() {
        let sketch = Sketch::from_counts(vec![(key(5.0), i64::MAX as u64), (key(6.0), 1 << 55)]);
        let payload = sketch.to_hdr(1.0).payload;
        assert_eq!(payload.len(), HEADER_LEN + 1 + 2 * 9);
        assert_eq!(Sketch::from_hdr(&payload, 1.0), Ok(sketch));
    }

    #[test]
    fn the_ratio_of_the_header_counts() {
        let mut payload = Sketch::of(&[8.0, 8.0]).to_hdr(1.0).payload;
        payload[32..40].copy_from_slice(&0.25f64.to_be_bytes());
        assert_eq!(Sketch::from_hdr(&payload, 2.0), Ok(Sketch::of(&[4.0, 4.0])));
    }

    #[test]
    fn what_is_no_payload_is_refused() {
        let payload = Sketch::of(&[8.0, 800.0]).to_hdr(1.0).payload;
        let with = |at: usize, byte: u8| {
            let mut changed = payload.clone();
            changed[at] = byte;
            Sketch::from_hdr(&changed, 1.0)
        };
        assert!(with(0, 0x1c).is_ok());
        for (at, byte) in
            [(0, 0x1d), (3, 0x14), (11, 1), (15, 6), (23, 0), (16, 0xff), (32, 0x7f), (32, 0xbf)]
        {
            assert_eq!(with(at, byte), Err(Fault::Field), "byte {at}");
        }
        assert_eq!(with(7, 100), Err(Fault::Truncated));
        assert_eq!(with(7, 1), Err(Fault::Trailing));
        assert_eq!(Sketch::from_hdr(&payload[..39], 1.0), Err(Fault::Truncated));
        let skip_too_far =
            [&payload[..4], &1u32.to_be_bytes(), &payload[8..40], &[0xff, 0xff, 0xff, 0x7f, 2]].concat();
        assert!(Sketch::from_hdr(&skip_too_far, 1.0).is_err());
    }

    proptest! {
        #[test]
        fn each_key_comes_back(values in prop::collection::vec(0.001f64..1e6, 1..60), exponent in -900i32..900, count in 1u64..9) {
            let scale = 2f64.powi(exponent);
            let values: Vec<f64> = values.iter().enumerate().map(|(i, value)| match i % 7 {
                0 => -value * scale,
                6 => 0.0,
                _ => value * scale,
            }).collect();
            let mut sketch = Sketch::of(&values);
            sketch.entries.iter_mut().for_each(|entry| entry.1 *= count);
            let unit = sketch.hdr_unit();
            let hdr = sketch.to_hdr(unit);
            let mut back = Sketch::from_hdr(&hdr.payload, unit).unwrap();
            back.merge(&Sketch::from_hdr(&hdr.negative.unwrap(), unit).unwrap().negated());
            prop_assert_eq!(back, sketch);
            prop_assert_eq!(hdr.left_out, 0);
        }

        #[test]
        fn the_crate_reads_what_is_written(values in prop::collection::vec(finite(), 0..60)) {
            let values: Vec<f64> = values.iter().map(|value| value.abs()).collect();
            let sketch = Sketch::of(&values);
            let unit = sketch.hdr_unit();
            let hdr = sketch.to_hdr(unit);
            let histogram = deserialized(&hdr.payload);
            prop_assert_eq!(histogram.len() + hdr.left_out, values.len() as u64);
            let mut expected = Histogram::<u64>::new_with_bounds(1, u64::MAX >> 1, 2).unwrap();
            for &(key, count) in sketch.entries() {
                expected.record_n(integer(key, unit).unwrap(), count).unwrap();
            }
            prop_assert!(histogram == expected);
        }

        #[test]
        fn what_the_crate_writes_is_read(
            numbers in prop::collection::vec((0u64..1 << 62, 0u32..62), 0..60), digits in 0u8..=5, lowest in 1u64..5000,
        ) {
            let mut histogram = Histogram::<u64>::new_with_bounds(lowest, u64::MAX >> 1, digits).unwrap();
            let numbers: Vec<u64> = numbers.iter().map(|(number, shift)| number >> shift).collect();
            numbers.iter().for_each(|&number| histogram.record(number).unwrap());
            let sketch = Sketch::from_hdr(&serialized(&histogram), 1.0).unwrap();
            let expected = histogram.iter_recorded().map(|bucket| {
                let (least, greatest) = (
                    histogram.lowest_equivalent(bucket.value_iterated_to()),
                    histogram.highest_equivalent(bucket.value_iterated_to()),
                );
                let inside = if least == 0 { 0 } else { (greatest - least).div_ceil(2) };
                (key((least + inside) as f64), bucket.count_at_value())
            });
            prop_assert_eq!(sketch, Sketch::from_counts(expected.collect()));
        }

        #[test]
        fn hostile_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80), digits in 0u32..6, lowest in any::<u8>()) {
            let _ = Sketch::from_hdr(&bytes, 1.0);
            let mut payload = Sketch::default().to_hdr(1.0).payload;
            payload[4..8].copy_from_slice(&(bytes.len() as u32).to_be_bytes());
            payload[12..16].copy_from_slice(&digits.to_be_bytes());
            payload[23] = lowest;
            payload.extend_from_slice(&bytes);
            let _ = Sketch::from_hdr(&payload, 1e-9);
        }
    }
}
