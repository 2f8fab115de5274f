//! The column of squared distances.
//!
//! The integers `k` of decimal samples have `n sum(k^2) - (sum k)^2` as the `n`-fold of their squared distances, and
//! the sum is known: only a whole number is left to store, and how many floats the result differs from `m2`. If all
//! `k` are multiples of `d`, so may be the samples (memory comes in pages), and the whole number is smaller by `d^2`.
//!
//! # Format
//! Forms 0 to 2 are those of [`floats`](super::floats); predicted: 0; count times the square of the range, by 12.
//!
//! Form 3: 1 byte: exponent `e`, plus 32 if the whole numbers are differences from that prediction in their unit,
//! `10^-2e d^2`; `d`, varint; the column of distances, counted in floats (1 byte: its codec, 0 if all are zero; else a
//! varint, its length, and the bytes); the column of whole numbers `q`. With `k` the integer nearest to the sum times
//! `10^e`, divided by `d` towards zero, `m2` is `(q n + (-k^2 mod n)) / n / 10^2e d d`, in floats and this order, moved
//! by the distance.

use super::columns::Column;
use super::floats::{Encoded, common_exponent, distance, divisor_of, moved, smallest};
use super::predict::{full, squares};
use super::section::{Section, Sections};
use crate::codec::decimal::{POWERS, nearest, scaled};
use crate::codec::{CodecId, Fault, adaptive, varint};
use crate::rollup::Bucket;

const WHOLE: u8 = 3;
const PREDICTED: u8 = 32;
/// The largest exponent of samples: its double must have an exact power of ten.
const EXPONENT_MAX: usize = 9;
/// Whole numbers stay below this.
const WHOLE_MAX: f64 = (1u64 << 52) as f64;

/// The buckets whose squared distances are stored.
pub(super) fn rows(buckets: &[Bucket]) -> impl Iterator<Item = &Bucket> + Clone {
    full(buckets).filter(|bucket| bucket.sum.is_exact())
}

/// The unit of samples: `divisor / 10^exponent`.
#[derive(Debug, Clone, Copy)]
struct Unit {
    exponent: usize,
    divisor: i64,
}

impl Unit {
    /// The unit of which the extremes of most buckets are multiples.
    fn of(buckets: &[Bucket]) -> Option<Unit> {
        let extremes: Vec<f64> = rows(buckets).flat_map(|bucket| [bucket.min, bucket.max]).collect();
        let exponent = common_exponent(&extremes).filter(|exponent| *exponent <= EXPONENT_MAX)?;
        let ints: Vec<Option<i64>> = extremes.iter().map(|&value| scaled(value, exponent)).collect();
        Some(Unit { exponent, divisor: divisor_of(&ints) })
    }

    /// `-k^2 mod n` of a bucket.
    fn remainder(self, bucket: &Bucket) -> u64 {
        let count = u128::from(bucket.count);
        let sum = nearest(bucket.sum.value(), self.exponent).checked_div(self.divisor).unwrap_or(0);
        let sum = u128::from(sum.unsigned_abs()) % count;
        ((count - sum * sum % count) % count) as u64
    }

    /// What a whole number and the sum say.
    fn squares(self, whole: i64, bucket: &Bucket) -> f64 {
        let count = bucket.count;
        let numerator =
            u128::from(whole.unsigned_abs()) * u128::from(count) + u128::from(self.remainder(bucket));
        let divisor = self.divisor as f64;
        numerator as f64 / count as f64 / POWERS[2 * self.exponent] * divisor * divisor
    }

    fn whole(self, bucket: &Bucket) -> Option<i64> {
        let fraction = self.remainder(bucket) as f64 / bucket.count as f64;
        let divisor = self.divisor as f64;
        let whole = (bucket.m2 * POWERS[2 * self.exponent] / divisor / divisor - fraction).round();
        (0.0..WHOLE_MAX).contains(&whole).then_some(whole as i64)
    }

    /// The whole number that is predicted.
    fn expected(self, bucket: &Bucket, flag: u8) -> i64 {
        let divisor = self.divisor as f64;
        if flag == 0 { 0 } else { nearest(squares(bucket) / divisor / divisor, 2 * self.exponent) }
    }
}

/// Adds the column.
pub(super) fn write(sections: &mut Sections, buckets: &[Bucket]) {
    let values: Vec<f64> = rows(buckets).map(|bucket| bucket.m2).collect();
    if values.iter().all(|value| value.to_bits() == 0) {
        return;
    }
    let predictions = [vec![0.0; values.len()], rows(buckets).map(squares).collect()];
    let mut best = smallest(&values, &predictions, sections.level);
    for other in as_wholes(sections, buckets).into_iter().flatten() {
        if other.bytes.len() < best.bytes.len() {
            best = other;
        }
    }
    sections.bytes(Column::M2, best.form, Some(best.codec), &best.bytes);
}

fn as_wholes(sections: &Sections, buckets: &[Bucket]) -> Option<[Encoded; 2]> {
    let unit = Unit::of(buckets)?;
    let wholes = rows(buckets).map(|bucket| unit.whole(bucket)).collect::<Option<Vec<i64>>>()?;
    let distances: Vec<i64> = rows(buckets)
        .zip(&wholes)
        .map(|(bucket, &whole)| distance(bucket.m2, unit.squares(whole, bucket)))
        .collect();
    let mut column = Vec::new();
    varint::write(&mut column, unit.divisor as u64);
    if distances.iter().all(|&distance| distance == 0) {
        column.push(0);
    } else {
        let mut bytes = Vec::new();
        column.push(adaptive::encode_ints(&distances, sections.level, &mut bytes).to_byte());
        varint::write(&mut column, bytes.len() as u64);
        column.extend_from_slice(&bytes);
    }
    Some([0, PREDICTED].map(|flag| {
        let from_expected =
            |(bucket, whole): (&Bucket, &i64)| whole.wrapping_sub(unit.expected(bucket, flag));
        let ints: Vec<i64> = rows(buckets).zip(&wholes).map(from_expected).collect();
        let mut bytes = vec![unit.exponent as u8 | flag];
        bytes.extend_from_slice(&column);
        let codec = adaptive::encode_ints(&ints, sections.level, &mut bytes);
        Encoded { form: WHOLE, codec, bytes }
    }))
}

/// Decodes the column; `buckets` have their sums and extremes.
pub(super) fn read(section: Option<&Section<'_>>, buckets: &[Bucket]) -> Result<Vec<f64>, Fault> {
    let count = rows(buckets).count();
    match section {
        Some(section) if section.form == WHOLE => read_wholes(section, buckets, count),
        _ => super::floats::read(section, count, |number| match number {
            0 => Some(vec![0.0; count]),
            1 => Some(rows(buckets).map(squares).collect()),
            _ => None,
        }),
    }
}

fn read_wholes(section: &Section<'_>, buckets: &[Bucket], count: usize) -> Result<Vec<f64>, Fault> {
    let head = *section.bytes.first().ok_or(Fault::Truncated)?;
    let exponent = usize::from(head & (PREDICTED - 1));
    if head > PREDICTED | EXPONENT_MAX as u8 || exponent > EXPONENT_MAX {
        return Err(Fault::Field);
    }
    let mut at = 1;
    let divisor = i64::try_from(varint::read(section.bytes, &mut at)?).ok().filter(|divisor| *divisor > 0);
    let unit = Unit { exponent, divisor: divisor.ok_or(Fault::Field)? };
    let distances = read_distances(section.bytes, &mut at, count)?;
    let wholes = section.ints(at, count)?;
    let of = |((bucket, int), distance): ((&Bucket, i64), i64)| {
        let whole = int.wrapping_add(unit.expected(bucket, head & PREDICTED));
        moved(unit.squares(whole, bucket), distance)
    };
    Ok(rows(buckets).zip(wholes).zip(distances).map(of).collect())
}

/// The column of distances at `*at`.
fn read_distances(bytes: &[u8], at: &mut usize, count: usize) -> Result<Vec<i64>, Fault> {
    let codec = *bytes.get(*at).ok_or(Fault::Truncated)?;
    *at += 1;
    if codec == 0 {
        return Ok(vec![0; count]);
    }
    let len = usize::try_from(varint::read(bytes, at)?).map_err(|_| Fault::Truncated)?;
    let (column, _) = bytes.get(*at..).unwrap_or_default().split_at_checked(len).ok_or(Fault::Truncated)?;
    *at += len;
    let mut distances = Vec::with_capacity(count);
    adaptive::decode_ints(CodecId::from_byte(codec)?, column, count.max(1), &mut distances)?;
    Ok(distances)
}
