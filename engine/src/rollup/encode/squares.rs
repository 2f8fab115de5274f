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
use super::predict::{Rows, squares};
use super::section::{Section, Sections};
use crate::codec::decimal::{POWERS, nearest, scaled};
use crate::codec::{CodecId, Fault, adaptive, varint};
use crate::rollup::columns::Scratch;

const WHOLE: u8 = 3;
const PREDICTED: u8 = 32;
/// The largest exponent of samples: its double must have an exact power of ten.
const EXPONENT_MAX: usize = 9;
/// Whole numbers stay below this.
const WHOLE_MAX: f64 = (1u64 << 52) as f64;

/// The indexes of rows whose squared distances are stored.
pub(super) fn stored(rows: Rows<'_>) -> impl Iterator<Item = usize> + Clone + '_ {
    (0..rows.len()).filter(move |&i| rows.has_exact_sum(i))
}

/// The unit of samples: `divisor / 10^exponent`.
#[derive(Debug, Clone, Copy)]
struct Unit {
    exponent: usize,
    divisor: i64,
}

impl Unit {
    /// The unit of which the extremes of most buckets are multiples.
    fn of(rows: Rows<'_>) -> Option<Unit> {
        let extremes: Vec<f64> = stored(rows).flat_map(|i| [rows.minima()[i], rows.maxima()[i]]).collect();
        let exponent = common_exponent(&extremes).filter(|exponent| *exponent <= EXPONENT_MAX)?;
        let ints: Vec<Option<i64>> = extremes.iter().map(|&value| scaled(value, exponent)).collect();
        Some(Unit { exponent, divisor: divisor_of(&ints) })
    }

    /// `-k^2 mod n` of a row, whose count `n` is below 2^53.
    fn remainder(self, rows: &Rows<'_>, i: usize) -> u64 {
        let count = rows.counts()[i];
        let sum = nearest(rows.total(i), self.exponent).checked_div(self.divisor).unwrap_or(0);
        let rest = sum.unsigned_abs() % count;
        let square = match rest.checked_mul(rest) {
            Some(square) => square % count,
            None => (u128::from(rest) * u128::from(rest) % u128::from(count)) as u64,
        };
        if square == 0 { 0 } else { count - square }
    }

    /// What a whole number and the sum say.
    fn squares(self, whole: i64, rows: &Rows<'_>, i: usize) -> f64 {
        let count = rows.counts()[i];
        let rest = self.remainder(rows, i);
        let product = whole.unsigned_abs().checked_mul(count).and_then(|product| product.checked_add(rest));
        let numerator = match product {
            Some(numerator) => numerator as f64,
            None => (u128::from(whole.unsigned_abs()) * u128::from(count) + u128::from(rest)) as f64,
        };
        let divisor = self.divisor as f64;
        numerator / count as f64 / POWERS[2 * self.exponent] * divisor * divisor
    }

    fn whole(self, rows: &Rows<'_>, i: usize) -> Option<i64> {
        let fraction = self.remainder(rows, i) as f64 / rows.counts()[i] as f64;
        let divisor = self.divisor as f64;
        let whole = (rows.m2(i) * POWERS[2 * self.exponent] / divisor / divisor - fraction).round();
        (0.0..WHOLE_MAX).contains(&whole).then_some(whole as i64)
    }

    /// The whole number that is predicted.
    fn expected(self, rows: &Rows<'_>, i: usize, flag: u8) -> i64 {
        let divisor = self.divisor as f64;
        if flag == 0 { 0 } else { nearest(squares(rows, i) / divisor / divisor, 2 * self.exponent) }
    }
}

/// Adds the column.
pub(super) fn write(sections: &mut Sections, rows: Rows<'_>) {
    let values: Vec<f64> = stored(rows).map(|i| rows.m2(i)).collect();
    if values.iter().all(|value| value.to_bits() == 0) {
        return;
    }
    let predictions = [vec![0.0; values.len()], stored(rows).map(|i| squares(&rows, i)).collect()];
    let mut best = smallest(&values, &predictions, 0, sections.level);
    for other in as_wholes(sections, rows).into_iter().flatten() {
        if other.bytes.len() < best.bytes.len() {
            best = other;
        }
    }
    sections.bytes(Column::M2, best.form, Some(best.codec), &best.bytes);
}

fn as_wholes(sections: &Sections, rows: Rows<'_>) -> Option<[Encoded; 2]> {
    let unit = Unit::of(rows)?;
    let wholes = stored(rows).map(|i| unit.whole(&rows, i)).collect::<Option<Vec<i64>>>()?;
    let distances: Vec<i64> = stored(rows)
        .zip(&wholes)
        .map(|(i, &whole)| distance(rows.m2(i), unit.squares(whole, &rows, i)))
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
        let from_expected = |(i, whole): (usize, &i64)| whole.wrapping_sub(unit.expected(&rows, i, flag));
        let ints: Vec<i64> = stored(rows).zip(&wholes).map(from_expected).collect();
        let mut bytes = vec![unit.exponent as u8 | flag];
        bytes.extend_from_slice(&column);
        let codec = adaptive::encode_ints(&ints, sections.level, &mut bytes);
        Encoded { form: WHOLE, codec, bytes }
    }))
}

/// Replaces `scratch.floats` by the column of rows that have their sums and extremes.
pub(super) fn read(
    section: Option<&Section<'_>>,
    rows: Rows<'_>,
    scratch: &mut Scratch,
) -> Result<(), Fault> {
    let count = stored(rows).count();
    let predict = |number: usize, out: &mut Vec<f64>| {
        match number {
            0 => out.resize(out.len() + count, 0.0),
            1 => out.extend(stored(rows).map(|i| squares(&rows, i))),
            _ => return false,
        }
        true
    };
    match section {
        Some(section) if section.form == WHOLE => read_wholes(section, rows, count, scratch),
        _ => {
            scratch.floats.clear();
            super::floats::read(section, count, &predict, &mut scratch.ints, &mut scratch.floats)
        }
    }
}

fn read_wholes(
    section: &Section<'_>,
    rows: Rows<'_>,
    count: usize,
    scratch: &mut Scratch,
) -> Result<(), Fault> {
    let head = *section.bytes.first().ok_or(Fault::Truncated)?;
    let exponent = usize::from(head & (PREDICTED - 1));
    if head > PREDICTED | EXPONENT_MAX as u8 || exponent > EXPONENT_MAX {
        return Err(Fault::Field);
    }
    let mut at = 1;
    let divisor = i64::try_from(varint::read(section.bytes, &mut at)?).ok().filter(|divisor| *divisor > 0);
    let unit = Unit { exponent, divisor: divisor.ok_or(Fault::Field)? };
    let distances = read_distances(section.bytes, &mut at, count)?;
    section.ints(at, count, &mut scratch.ints)?;
    let floats = stored(rows)
        .zip(&scratch.ints)
        .map(|(i, int)| unit.squares(int.wrapping_add(unit.expected(&rows, i, head & PREDICTED)), &rows, i));
    scratch.floats.clear();
    scratch.floats.extend(floats);
    scratch.floats.iter_mut().zip(distances).for_each(|(float, distance)| *float = moved(*float, distance));
    Ok(())
}

/// The column of distances at `*at`; empty if all are zero.
fn read_distances(bytes: &[u8], at: &mut usize, count: usize) -> Result<Vec<i64>, Fault> {
    let codec = *bytes.get(*at).ok_or(Fault::Truncated)?;
    *at += 1;
    if codec == 0 {
        return Ok(Vec::new());
    }
    let len = usize::try_from(varint::read(bytes, at)?).map_err(|_| Fault::Truncated)?;
    let (column, _) = bytes.get(*at..).unwrap_or_default().split_at_checked(len).ok_or(Fault::Truncated)?;
    *at += len;
    let mut distances = Vec::with_capacity(count);
    adaptive::decode_ints(CodecId::from_byte(codec)?, column, count.max(1), &mut distances)?;
    Ok(distances)
}
