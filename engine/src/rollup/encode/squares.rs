//! The column of squared distances.
//!
//! The integers `k` of decimal samples have `n sum(k^2) - (sum k)^2` as the `n`-fold of their squared distances, and
//! the sum is known: only a whole number is left to store, and how many floats the result differs from `m2`.
//!
//! # Format
//! Forms 0 to 2 are those of [`floats`](super::floats); predicted: 0; count times the square of the range, by 12.
//!
//! Form 3: 1 byte: exponent `e`, plus 32 if the whole numbers are differences from that prediction times 10^2e; the
//! column of distances, counted in floats (1 byte: its codec, 0 if all are zero; else a varint, its length, and the
//! bytes); the column of whole numbers `q`. With `k` the integer nearest to the sum times 10^e, `m2` is
//! `(q n + (-k^2 mod n)) / n / 10^2e`, in floats, moved by the distance.

use super::columns::Column;
use super::floats::{Encoded, common_exponent, distance, moved, smallest};
use super::predict::{full, squares};
use super::section::{Section, Sections};
use crate::codec::decimal::{POWERS, nearest};
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

/// `-k^2 mod n` of a bucket.
fn remainder(bucket: &Bucket, exponent: usize) -> u64 {
    let count = u128::from(bucket.count);
    let sum = u128::from(nearest(bucket.sum.value(), exponent).unsigned_abs()) % count;
    ((count - sum * sum % count) % count) as u64
}

/// What whole number and sum say.
fn of_whole(whole: i64, bucket: &Bucket, exponent: usize) -> f64 {
    let count = bucket.count;
    let numerator =
        u128::from(whole.unsigned_abs()) * u128::from(count) + u128::from(remainder(bucket, exponent));
    numerator as f64 / count as f64 / POWERS[2 * exponent]
}

fn whole(bucket: &Bucket, exponent: usize) -> Option<i64> {
    let fraction = remainder(bucket, exponent) as f64 / bucket.count as f64;
    let whole = (bucket.m2 * POWERS[2 * exponent] - fraction).round();
    (0.0..WHOLE_MAX).contains(&whole).then_some(whole as i64)
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
    let extremes: Vec<f64> = rows(buckets).flat_map(|bucket| [bucket.min, bucket.max]).collect();
    let exponent = common_exponent(&extremes).filter(|exponent| *exponent <= EXPONENT_MAX)?;
    let wholes = rows(buckets).map(|bucket| whole(bucket, exponent)).collect::<Option<Vec<i64>>>()?;
    let distances: Vec<i64> = rows(buckets)
        .zip(&wholes)
        .map(|(bucket, &whole)| distance(bucket.m2, of_whole(whole, bucket, exponent)))
        .collect();
    let mut column = vec![0];
    if distances.iter().any(|&distance| distance != 0) {
        let mut bytes = Vec::new();
        column[0] = adaptive::encode_ints(&distances, sections.level, &mut bytes).to_byte();
        varint::write(&mut column, bytes.len() as u64);
        column.extend_from_slice(&bytes);
    }
    Some([0, PREDICTED].map(|flag| {
        let expected = |bucket: &Bucket| expected(bucket, exponent, flag);
        let ints: Vec<i64> =
            rows(buckets).zip(&wholes).map(|(bucket, whole)| whole.wrapping_sub(expected(bucket))).collect();
        let mut bytes = vec![exponent as u8 | flag];
        bytes.extend_from_slice(&column);
        let codec = adaptive::encode_ints(&ints, sections.level, &mut bytes);
        Encoded { form: WHOLE, codec, bytes }
    }))
}

fn expected(bucket: &Bucket, exponent: usize, flag: u8) -> i64 {
    if flag == 0 { 0 } else { nearest(squares(bucket), 2 * exponent) }
}

/// Decodes the column; `buckets` have their sums and extremes.
pub(super) fn read(section: Option<&Section<'_>>, buckets: &[Bucket]) -> Result<Vec<f64>, Fault> {
    let count = rows(buckets).count();
    match section {
        Some(section) if section.form == WHOLE => read_wholes(section, buckets, count),
        _ => {
            let predictions = [vec![0.0; count], rows(buckets).map(squares).collect()];
            super::floats::read(section, count, &predictions)
        }
    }
}

fn read_wholes(section: &Section<'_>, buckets: &[Bucket], count: usize) -> Result<Vec<f64>, Fault> {
    let (&[head, codec], _) = section.bytes.split_first_chunk::<2>().ok_or(Fault::Truncated)?;
    let exponent = usize::from(head & (PREDICTED - 1));
    if head > PREDICTED | EXPONENT_MAX as u8 || exponent > EXPONENT_MAX {
        return Err(Fault::Field);
    }
    let mut at = 2;
    let mut distances = Vec::with_capacity(count);
    if codec == 0 {
        distances.resize(count, 0);
    } else {
        let len = usize::try_from(varint::read(section.bytes, &mut at)?).map_err(|_| Fault::Truncated)?;
        let rest = section.bytes.get(at..).unwrap_or_default();
        let (bytes, _) = rest.split_at_checked(len).ok_or(Fault::Truncated)?;
        at += len;
        adaptive::decode_ints(CodecId::from_byte(codec)?, bytes, count.max(1), &mut distances)?;
    }
    let wholes = section.ints(at, count)?;
    let of = |((bucket, int), distance): ((&Bucket, i64), i64)| {
        let whole = int.wrapping_add(expected(bucket, exponent, head & PREDICTED));
        moved(of_whole(whole, bucket, exponent), distance)
    };
    Ok(rows(buckets).zip(wholes).zip(distances).map(of).collect())
}
