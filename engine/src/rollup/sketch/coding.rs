//! The stored form of a column of sketches.
//!
//! What the bucket's other columns imply is not stored: the number of values, and through the extremes the first and
//! the last key. So the sketch of a constant takes no bits, and one of two keys only a count. The other keys are gaps,
//! and the counts are what exceeds one. Both are Rice codes whose parameter follows the mean of the recent ones, as
//! gaps are narrow where values are frequent; the mean of all, which is known too, begins it. Negative and positive keys
//! are coded apart, because the gap around zero is thousands of keys wide.
//!
//! # Format
//! A byte that is 0 if every bucket has a sketch, else 1. Then one stream of bits for all of them. With 1, each sketch
//! is preceded by a bit that is set if it exists. A sketch of `n` values has, if their first key `a` and their last key
//! `b` differ:
//!
//! | field | bits | meaning |
//! |---|---|---|
//! | keys | as [`width`] of its largest value | number of keys less 2; at most the least of `n` and b - a + 1 |
//! | zero | 1 | whether zero is a key; only if a < 0 < b |
//! | negative | [`width`] | number of negative keys less 1; only if a < 0 < b |
//! | reach | 5, and as they say | from `a` to the last negative key, less the number of gaps between; only if b ≥ 0 and there are several negative keys |
//! | gaps | Rice codes | of the negative keys, each less 1; the last is implied |
//! | reach, gaps | likewise | from the first positive key to `b`; the reach only if a ≤ 0 |
//! | counts | Rice codes | of all keys but the last, each less 1; up to the one that leaves one value for each other key |
//!
//! # Invariants
//! - I1. Each key but three takes at least one bit, so bytes bound what a decoder allocates.

use super::{Extremes, Sketch, key};
use crate::codec::Fault;
use crate::codec::bits::{BitReader, BitWriter, mask};

/// The quotient of a Rice code from which on the integer follows with its width.
const ESCAPE: u32 = 10;

/// The number of integers whose mean begins a column, and the one at which both are halved.
const MEMORY: u64 = 4;

/// The number of bits that store the width of an integer, less 1.
const WIDTH_BITS: u32 = 6;

/// The number of bits that store the width of a reach.
const REACH_BITS: u32 = 5;

/// What other columns say about a sketch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// The number of values, without NaN.
    pub count: u64,
    /// Their extremes, not used without values.
    pub extremes: Extremes,
}

impl Extent {
    /// The first and the last key, if there are values.
    fn keys(&self) -> Result<Option<(i32, i32)>, Fault> {
        let Extremes { min, max } = self.extremes;
        match self.count {
            0 => Ok(None),
            _ if min.is_nan() || max.is_nan() => Err(Fault::Field),
            _ => match (key(min), key(max)) {
                (first, last) if first > last => Err(Fault::Field),
                (first, last) if first < last && self.count == 1 => Err(Fault::Field),
                keys => Ok(Some(keys)),
            },
        }
    }
}

/// Appends a column.
///
/// # Errors
/// [`Fault::Field`] if the count, the first or the last key of a sketch is not that of its extent.
pub fn encode<'a>(
    column: impl Iterator<Item = (Extent, Option<&'a Sketch>)> + Clone,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let sparse = column.clone().any(|(_, sketch)| sketch.is_none());
    out.push(u8::from(sparse));
    let mut bits = BitWriter::new(out);
    for (extent, sketch) in column {
        if sparse {
            bits.write(u64::from(sketch.is_some()), 1);
        }
        if let Some(sketch) = sketch {
            encode_one(&extent, sketch, &mut bits)?;
        }
    }
    bits.finish();
    Ok(())
}

/// Decodes the column of buckets with these extents.
///
/// # Errors
/// The fault of bytes that are no column for them.
pub fn decode(extents: &[Extent], bytes: &[u8]) -> Result<Vec<Option<Sketch>>, Fault> {
    let (&flag, bytes) = bytes.split_first().ok_or(Fault::Truncated)?;
    if flag > 1 {
        return Err(Fault::Field);
    }
    let mut bits = Bits { reader: BitReader::new(bytes), end: bytes.len().saturating_mul(8) };
    let mut sketches = Vec::with_capacity(extents.len());
    for extent in extents {
        let exists = flag == 0 || bits.read(1)? == 1;
        sketches.push(if exists { Some(decode_one(extent, &mut bits)?) } else { None });
    }
    bits.reader.finish()?;
    Ok(sketches)
}

/// A run of keys of one sign: how many, and from where to where.
#[derive(Debug, Clone, Copy)]
struct Run {
    keys: u64,
    /// The key that is known, and on which side of it the others are.
    end: i32,
    side: Side,
    /// The distance of the first and the last key, where it is known.
    reach: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Above,
    Below,
}

/// How the keys are divided among the signs.
struct Parts {
    negative: u64,
    zero: bool,
    positive: u64,
}

impl Parts {
    fn keys(&self) -> u64 {
        self.negative + u64::from(self.zero) + self.positive
    }

    /// The negative run, and the positive one.
    fn runs(&self, first: i32, last: i32) -> [Run; 2] {
        let reach = (first > 0 || last < 0).then_some(distance(first, last));
        [
            Run { keys: self.negative, end: first, side: Side::Above, reach },
            Run { keys: self.positive, end: last, side: Side::Below, reach },
        ]
    }
}

fn encode_one(extent: &Extent, sketch: &Sketch, bits: &mut BitWriter<'_>) -> Result<(), Fault> {
    let entries = sketch.entries();
    let ends = entries.first().zip(entries.last()).map(|(first, last)| (first.0, last.0));
    if sketch.count() != extent.count || extent.keys()? != ends {
        return Err(Fault::Field);
    }
    let Some((first, last)) = ends.filter(|(first, last)| first < last) else {
        return Ok(());
    };
    let keys = entries.len() as u64;
    bits.write(keys - 2, width(most_keys(extent.count, first, last) - 2));
    let negative = entries.partition_point(|entry| entry.0 < 0);
    let zero = entries.get(negative).is_some_and(|entry| entry.0 == 0);
    if first < 0 && last > 0 {
        bits.write(u64::from(zero), 1);
        let most = keys.checked_sub(u64::from(zero) + 2).ok_or(Fault::Field)?;
        bits.write(negative as u64 - 1, width(most));
    }
    let (negatives, others) = entries.split_at(negative);
    let positives = &others[usize::from(zero)..];
    let parts = Parts { negative: negatives.len() as u64, zero, positive: positives.len() as u64 };
    let [below, above] = parts.runs(first, last);
    encode_run(below, negatives, bits);
    encode_run(above, positives, bits);

    let mut left = extent.count - keys;
    let mut rice = Rice::new(left, keys);
    for &(_, count) in &entries[..entries.len() - 1] {
        if left == 0 {
            break;
        }
        rice.write(count - 1, bits);
        left -= count - 1;
    }
    Ok(())
}

fn encode_run(run: Run, entries: &[(i32, u64)], bits: &mut BitWriter<'_>) {
    let [(first, _), .., (last, _)] = entries else {
        return;
    };
    let gaps = run.keys - 1;
    let excess = distance(*first, *last) - gaps;
    if run.reach.is_none() {
        let width = width(excess);
        bits.write(u64::from(width), REACH_BITS);
        bits.write(excess, width);
    }
    let mut rice = Rice::new(excess, gaps);
    for pair in entries[..entries.len() - 1].windows(2) {
        rice.write(distance(pair[0].0, pair[1].0) - 1, bits);
    }
}

fn decode_one(extent: &Extent, bits: &mut Bits<'_>) -> Result<Sketch, Fault> {
    let Some((first, last)) = extent.keys()? else {
        return Ok(Sketch::default());
    };
    if first == last {
        return Ok(Sketch { entries: vec![(first, extent.count)] });
    }
    let most = most_keys(extent.count, first, last);
    let keys = bits.read(width(most - 2))? + 2;
    if keys > most || keys > bits.left() + 3 {
        return Err(Fault::Field);
    }
    let parts = decode_parts(keys, first, last, bits)?;
    let mut entries = Vec::with_capacity(keys as usize);
    let [below, above] = parts.runs(first, last);
    decode_run(below, bits, &mut entries)?;
    if parts.zero {
        entries.push((0, 1));
    }
    decode_run(above, bits, &mut entries)?;

    let mut left = extent.count - keys;
    let mut rice = Rice::new(left, keys);
    for (_, count) in &mut entries[..keys as usize - 1] {
        if left == 0 {
            break;
        }
        let more = rice.read(left, bits)?;
        *count += more;
        left -= more;
    }
    if let Some((_, count)) = entries.last_mut() {
        *count += left;
    }
    Ok(Sketch { entries })
}

fn decode_parts(keys: u64, first: i32, last: i32, bits: &mut Bits<'_>) -> Result<Parts, Fault> {
    let parts = if last < 0 {
        Parts { negative: keys, zero: false, positive: 0 }
    } else if first > 0 {
        Parts { negative: 0, zero: false, positive: keys }
    } else if last == 0 {
        Parts { negative: keys - 1, zero: true, positive: 0 }
    } else if first == 0 {
        Parts { negative: 0, zero: true, positive: keys - 1 }
    } else {
        let zero = bits.read(1)? == 1;
        let others = keys - u64::from(zero);
        let most = others.checked_sub(2).ok_or(Fault::Field)?;
        let negative = bits.read(width(most))? + 1;
        let positive = others.checked_sub(negative).filter(|&keys| keys > 0).ok_or(Fault::Field)?;
        Parts { negative, zero, positive }
    };
    debug_assert_eq!(parts.keys(), keys);
    Ok(parts)
}

/// Appends the keys of a run, each with the count 1.
fn decode_run(run: Run, bits: &mut Bits<'_>, entries: &mut Vec<(i32, u64)>) -> Result<(), Fault> {
    if run.keys < 2 {
        entries.extend((run.keys == 1).then_some((run.end, 1)));
        return Ok(());
    }
    let gaps = run.keys - 1;
    let excess = match run.reach {
        Some(reach) => reach.checked_sub(gaps).ok_or(Fault::Field)?,
        None => {
            let width = bits.read(REACH_BITS)?;
            bits.read(width as u32)?
        }
    };
    // All keys of a run have the sign of its end, and none is zero.
    if excess + gaps >= u64::from(run.end.unsigned_abs()) && run.reach.is_none() {
        return Err(Fault::Field);
    }
    let reach = (excess + gaps) as i32;
    let (mut at, last) = match run.side {
        Side::Above => (run.end, run.end + reach),
        Side::Below => (run.end - reach, run.end),
    };
    entries.push((at, 1));
    let mut left = excess;
    let mut rice = Rice::new(excess, gaps);
    for _ in 1..gaps {
        let gap = rice.read(left, bits)?;
        left -= gap;
        at += gap as i32 + 1;
        entries.push((at, 1));
    }
    entries.push((last, 1));
    Ok(())
}

/// The most keys that `count` values between two keys can have.
fn most_keys(count: u64, first: i32, last: i32) -> u64 {
    count.min(distance(first, last) + 1)
}

fn distance(first: i32, last: i32) -> u64 {
    u64::from(last.abs_diff(first))
}

/// The number of bits of integers up to `most`.
fn width(most: u64) -> u32 {
    u64::BITS - most.leading_zeros()
}

/// A bit reader that refuses to read past the end.
struct Bits<'a> {
    reader: BitReader<'a>,
    end: usize,
}

impl Bits<'_> {
    fn left(&self) -> u64 {
        self.end.saturating_sub(self.reader.position()) as u64
    }

    fn read(&mut self, width: u32) -> Result<u64, Fault> {
        if u64::from(width) > self.left() {
            return Err(Fault::Truncated);
        }
        Ok(self.reader.read(width))
    }
}

/// A Rice code with a parameter that follows the mean of the integers.
struct Rice {
    /// The sum of recent integers, and their number.
    sum: u64,
    number: u64,
}

impl Rice {
    /// Begins with the mean of integers of which the sum and the number are known.
    fn new(sum: u64, number: u64) -> Self {
        Rice { sum: sum.saturating_mul(MEMORY) / number.max(1), number: MEMORY }
    }

    /// The parameter: the logarithm of about ln 2 of the mean, at which half of geometrically distributed integers
    /// have the quotient zero.
    fn parameter(&self) -> u32 {
        let mean = self.sum.saturating_mul(16) / self.number;
        ((mean.saturating_mul(11) / 16).saturating_add(8) / 16).max(1).ilog2()
    }

    fn learn(&mut self, value: u64) {
        self.sum = self.sum.saturating_add(value);
        self.number += 1;
        if self.number == 2 * MEMORY {
            self.sum /= 2;
            self.number = MEMORY;
        }
    }

    fn write(&mut self, value: u64, bits: &mut BitWriter<'_>) {
        let parameter = self.parameter();
        self.learn(value);
        let quotient = value >> parameter;
        if quotient < u64::from(ESCAPE) {
            bits.write(mask(quotient as u32), quotient as u32 + 1);
            bits.write(value & mask(parameter), parameter);
        } else {
            let width = width(value);
            bits.write(mask(ESCAPE), ESCAPE);
            bits.write(u64::from(width - 1), WIDTH_BITS);
            bits.write(value, width);
        }
    }

    /// Reads an integer that is at most `most`.
    fn read(&mut self, most: u64, bits: &mut Bits<'_>) -> Result<u64, Fault> {
        let parameter = self.parameter();
        let quotient = bits.reader.peek().trailing_ones().min(ESCAPE);
        let value = if quotient < ESCAPE {
            bits.read(quotient + 1)?;
            u64::from(quotient).checked_shl(parameter).unwrap_or(u64::MAX) | bits.read(parameter)?
        } else {
            bits.read(ESCAPE)?;
            let width = bits.read(WIDTH_BITS)? as u32 + 1;
            bits.read(width)?
        };
        if value > most {
            return Err(Fault::Field);
        }
        self.learn(value);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rollup::sketch::tests::{extremes_of, values};

    fn extent_of(values: &[f64]) -> Extent {
        Extent { count: values.len() as u64, extremes: extremes_of(values) }
    }

    fn bytes_of(buckets: &[Vec<f64>]) -> Vec<u8> {
        let sketches: Vec<_> = buckets.iter().map(|values| (extent_of(values), Sketch::of(values))).collect();
        let mut out = Vec::new();
        encode(sketches.iter().map(|(extent, sketch)| (*extent, Some(sketch))), &mut out).unwrap();
        out
    }

    #[test]
    fn golden_bytes() {
        let hex = |buckets: &[Vec<f64>]| -> String {
            bytes_of(buckets).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        assert_eq!(hex(&[]), "00");
        assert_eq!(hex(&[vec![1.0; 9], vec![], vec![2.0]]), "00");
        assert_eq!(hex(&[vec![1.0, 1.0, 2.0]]), "0002");
        assert_eq!(hex(&[vec![1.0, 1.5, 1.5, 1.5, 1.7, 3.0]]), "00eac306");
        assert_eq!(hex(&[vec![-3.0, -0.1, -0.2, 0.0, 0.0, 0.5, 0.1, 7.0, 1e9]]), "002e25e7cddb2734d37704");
    }

    #[test]
    fn what_extremes_imply_takes_no_bits() {
        assert_eq!(bytes_of(&[vec![4.2; 1000], vec![0.0; 7], vec![f64::INFINITY]]), [0]);
        assert_eq!(bytes_of(&[vec![4.2, 5.1]]).len(), 1);
    }

    #[test]
    fn missing_sketches_take_a_bit_each() {
        let values = [1.0, 2.0, 3.0, 4.0];
        let (extent, sketch) = (extent_of(&values), Sketch::of(&values));
        let column = [(extent, None), (extent, Some(&sketch)), (extent, None)];
        let mut out = Vec::new();
        encode(column.into_iter(), &mut out).unwrap();
        assert_eq!(decode(&[extent; 3], &out), Ok(vec![None, Some(sketch), None]));
    }

    #[test]
    fn a_sketch_must_fit_its_extent() {
        let sketch = Sketch::of(&[1.0, 2.0]);
        for extent in [extent_of(&[1.0, 2.0, 2.0]), extent_of(&[1.0, 3.0]), extent_of(&[0.5, 2.0])] {
            assert_eq!(encode([(extent, Some(&sketch))].into_iter(), &mut Vec::new()), Err(Fault::Field));
        }
    }

    /// Lognormal values by the sum of twelve uniform ones, of a fixed sequence.
    fn latencies(count: usize, state: &mut u64) -> Vec<f64> {
        let mut uniform = || {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*state >> 11) as f64 / 2f64.powi(53)
        };
        (0..count).map(|_| ((0..12).map(|_| uniform()).sum::<f64>() - 9.0).exp()).collect()
    }

    #[test]
    fn sizes() {
        let mut state = 7;
        for (count, buckets, most) in [(20, 168, 18), (60, 168, 48), (240, 168, 125), (3600, 24, 500)] {
            let buckets: Vec<_> = (0..buckets).map(|_| latencies(count, &mut state)).collect();
            let mean = bytes_of(&buckets).len() / buckets.len();
            println!("{count} latencies: {mean} bytes");
            assert!(mean <= most, "{mean} bytes for {count} latencies");
        }
    }

    #[test]
    fn one_far_value_does_not_make_the_others_dear() {
        let mut values = latencies(3600, &mut 3);
        let without = bytes_of(&[values.clone()]).len();
        values.extend([1e-200, 1e200, -1e-200]);
        let with = bytes_of(&[values]).len();
        assert!(with < without + 50, "{with} bytes, {without} without");
    }

    #[test]
    fn few_bytes_cannot_claim_many_keys() {
        // Refused before the keys are allocated; reading them would end in `Truncated`.
        let extent =
            Extent { count: u64::MAX, extremes: Extremes { min: f64::NEG_INFINITY, max: f64::INFINITY } };
        assert_eq!(decode(&[extent], &[0, 0, 0, 7, 0xff, 0, 0]), Err(Fault::Field));
    }

    proptest! {
        #[test]
        fn round_trip(buckets in prop::collection::vec(prop::collection::vec(values(), 0..70), 0..8), repeat in 1usize..40) {
            let mut buckets = buckets;
            buckets.iter_mut().for_each(|values| if values.len() % 2 == 1 { *values = values.repeat(repeat) });
            let bytes = bytes_of(&buckets);
            let extents: Vec<_> = buckets.iter().map(|values| extent_of(values)).collect();
            let decoded = decode(&extents, &bytes).unwrap();
            let expected: Vec<_> = buckets.iter().map(|values| Some(Sketch::of(values))).collect();
            prop_assert_eq!(decoded, expected);
            prop_assert!(decode(&extents, &bytes[..bytes.len() - 1]).is_err());
            prop_assert!(decode(&extents, &[&bytes[..], &[0]].concat()).is_err());
        }

        #[test]
        fn hostile_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..80), values in prop::collection::vec(values(), 0..30),
            count in any::<u64>(), exact in any::<bool>(), swap in any::<bool>(),
        ) {
            let mut extent = extent_of(&values);
            if !exact {
                extent.count = count;
            }
            if swap {
                std::mem::swap(&mut extent.extremes.min, &mut extent.extremes.max);
            }
            if let Ok(sketches) = decode(&[extent; 3], &bytes) {
                for sketch in sketches.into_iter().flatten() {
                    prop_assert!(sketch.entries().is_sorted_by(|a, b| a.0 < b.0));
                    prop_assert_eq!(sketch.count(), extent.count);
                }
            }
        }

        #[test]
        fn damaged_bytes(values in prop::collection::vec(values(), 0..70), at in any::<usize>(), bit in 0u32..8) {
            let mut bytes = bytes_of(std::slice::from_ref(&values));
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(sketches) = decode(&[extent_of(&values)], &bytes) {
                for sketch in sketches.into_iter().flatten() {
                    prop_assert!(sketch.entries().is_sorted_by(|a, b| a.0 < b.0));
                    prop_assert_eq!(sketch.count(), values.len() as u64);
                }
            }
        }
    }
}
