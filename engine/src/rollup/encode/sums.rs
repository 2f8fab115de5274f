//! Columns of exact sums: the first component as a float, and what is left of it.
//!
//! Most sums of metrics have one or two components. All samples of a bucket are multiples of the unit of the one with
//! the least exponent, and so is each component. As a multiple of that unit, the second component is a small integer.
//!
//! # Format
//! The first column has the first component (0 if there is none, or if the sum is huge) of each sum.
//!
//! *Rest*: one byte `d`, then for each sum an integer: the second component in units of 2^(u - d), less that of the
//! product of value and count if all samples are equal. `u` is the least exponent of a unit in the last place among
//! first, last, minimum and maximum of the bucket, except zeros; u - d is at least -1074.
//!
//! *More*: for each sum of which this is not all: a varint, the number of sums between it and the one before; a varint,
//! the number of components after the first, 0 for a huge sum; these components, 8 bytes each, little-endian. Its
//! integer in *rest* is 0 and does not count.

use super::columns::Column;
use super::predict::Rows;
use super::section::{Form, Section, Sections};
use crate::codec::Fault;
use crate::codec::varint;
use crate::rollup::exact_sum::two_sum;
use crate::rollup::{ExactSum, Sums};

/// The exponent of the smallest float.
const LEAST_EXPONENT: i32 = -1074;
/// The largest `d`.
const DEEPER_MAX: i32 = 40;
/// Components of an expansion that spans all floats.
const COMPONENTS_MAX: u64 = 40;
/// Bits of an integer in units.
const REST_BITS: i32 = 62;

/// A float as an odd or zero integer times 2^exponent.
fn parts(value: f64) -> (i64, i32) {
    let bits = value.to_bits();
    let biased = (bits >> 52 & 0x7ff) as i32;
    let mantissa = bits & ((1 << 52) - 1) | u64::from(biased > 0) << 52;
    let zeros = mantissa.trailing_zeros().min(63);
    let magnitude = (mantissa >> zeros) as i64;
    let exponent = biased.max(1) - 1 + LEAST_EXPONENT + zeros as i32;
    (if value < 0.0 { -magnitude } else { magnitude }, exponent)
}

/// The exponent of the unit in which the rest of a bucket's sum is counted.
fn unit(rows: &Rows<'_>, i: usize, deeper: i32) -> i32 {
    [rows.first_values()[i], rows.last_values()[i], rows.minima()[i], rows.maxima()[i]]
        .into_iter()
        .filter(|value| value.is_finite() && *value != 0.0)
        .map(|value| ((value.to_bits() >> 52 & 0x7ff) as i32).max(1) - 1 + LEAST_EXPONENT)
        .min()
        .unwrap_or(0)
        .saturating_sub(deeper)
        .max(LEAST_EXPONENT)
}

/// A component as an integer in units of 2^unit, if it is one that is not too large.
fn in_units(component: f64, unit: i32) -> Option<i64> {
    if component == 0.0 {
        return Some(0);
    }
    let (magnitude, exponent) = parts(component);
    let shift = exponent - unit;
    let bits = 64 - magnitude.unsigned_abs().leading_zeros() as i32;
    (shift >= 0 && bits + shift <= REST_BITS).then(|| magnitude << shift)
}

/// The float of an integer in units of 2^unit, which is at least that of the smallest float.
fn from_units(int: i64, unit: i32) -> f64 {
    let power = if unit < -1022 {
        f64::from_bits(1 << (unit - LEAST_EXPONENT))
    } else {
        f64::from_bits(((unit + 1023).min(0x7fe) as u64) << 52)
    };
    int as f64 * power
}

/// What is predicted of the rest of a sum.
fn expected(rows: &Rows<'_>, i: usize, unit: impl Fn() -> i32) -> i64 {
    if !rows.is_constant(i) {
        return 0;
    }
    let second = ExactSum::product(rows.first_values()[i], rows.counts()[i]).pair().1;
    if second == 0.0 { 0 } else { in_units(second, unit()).unwrap_or(0) }
}

/// The first component of a normalized sum, 0 if there is none.
pub(super) fn first(sum: &ExactSum) -> f64 {
    sum.components().next().unwrap_or(0.0)
}

/// The depth that suits most sums.
fn depth(rows: &Rows<'_>) -> i32 {
    let depth_of = |i: usize| {
        let second = rows.sum(i).components().nth(1)?;
        Some(unit(rows, i, 0).saturating_sub(parts(second).1).clamp(0, DEEPER_MAX))
    };
    let mut depths: Vec<i32> = (0..rows.len()).filter_map(depth_of).collect();
    depths.sort_unstable();
    depths.get(depths.len().saturating_mul(9) / 10).copied().unwrap_or(0)
}

/// Adds what the first components leave of the sums.
pub(super) fn write_rest(sections: &mut Sections, rows: Rows<'_>) {
    let deeper = depth(&rows);
    let mut more = More::default();
    let rest = (0..rows.len()).map(|i| {
        let (unit, sum) = (unit(&rows, i, deeper), rows.sum(i));
        let components: Vec<f64> = sum.components().collect();
        let int = match components[..] {
            _ if sum.is_huge() => None,
            [] | [_] => Some(0),
            [_, second] => in_units(second, unit),
            _ => None,
        };
        more.add(int.is_none(), &components);
        int.map_or(0, |int| int.wrapping_sub(expected(&rows, i, || unit)))
    });
    let form = Form { ints: rest.collect(), prefix: vec![deeper as u8] };
    sections.ints(Column::SumsRest, [form]);
    more.write(sections, Column::SumsMore);
}

/// Adds what the first components leave of what resets took.
pub(super) fn write_lost(sections: &mut Sections, lost: impl Iterator<Item = ExactSum>) {
    let mut more = More::default();
    for lost in lost {
        let components: Vec<f64> = lost.components().collect();
        more.add(components.len() > 1 || lost.is_huge(), &components);
    }
    more.write(sections, Column::LostMore);
}

/// Collects the sums with more components.
#[derive(Debug, Default)]
struct More {
    between: u64,
    bytes: Vec<u8>,
}

impl More {
    fn add(&mut self, has_more: bool, components: &[f64]) {
        if !has_more {
            self.between += 1;
            return;
        }
        varint::write(&mut self.bytes, self.between);
        let after_first = components.get(1..).unwrap_or_default();
        varint::write(&mut self.bytes, after_first.len() as u64);
        for component in after_first {
            self.bytes.extend_from_slice(&component.to_bits().to_le_bytes());
        }
        self.between = 0;
    }

    fn write(&self, sections: &mut Sections, column: Column) {
        if !self.bytes.is_empty() {
            sections.bytes(column, 0, None, &self.bytes);
        }
    }
}

/// The sum of these two components: the first two of its own ones.
#[inline]
fn normal(first: f64, second: f64) -> (f64, f64) {
    if first.is_finite() { two_sum(first + 0.0, second) } else { (special(first), 0.0) }
}

/// One bit pattern of NaN, as in every exact sum.
#[inline]
fn special(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

/// The second components of the sums of rows, from the first ones; none if all are zero.
pub(super) fn read_rest(
    rows: Rows<'_>,
    rest: Option<&Section<'_>>,
    ints: &mut Vec<i64>,
) -> Result<Option<Vec<f64>>, Fault> {
    let mut deeper = 0;
    match rest {
        None => {
            let implies = |i: usize| expected(&rows, i, || unit(&rows, i, 0)) != 0;
            let extremes = rows.minima().iter().zip(rows.maxima()).enumerate();
            let mut equal = extremes.filter(|(_, (min, max))| min.to_bits() == max.to_bits());
            if !equal.any(|(i, _)| implies(i)) {
                return Ok(None);
            }
            ints.clear();
            ints.resize(rows.len(), 0);
        }
        Some(rest) if rest.form == 0 => {
            deeper = i32::from(*rest.bytes.first().ok_or(Fault::Truncated)?);
            rest.ints(1, rows.len(), ints)?;
        }
        Some(_) => return Err(Fault::Field),
    }
    let second = |(i, int): (usize, &mut i64)| {
        let unit = unit(&rows, i, deeper);
        from_units(int.wrapping_add(expected(&rows, i, || unit)), unit)
    };
    Ok(Some(ints.iter_mut().enumerate().map(second).collect()))
}

/// Appends sums from row `start` on.
pub(super) fn append(
    firsts: &[f64],
    seconds: Option<&[f64]>,
    more: Option<&Section<'_>>,
    start: usize,
    out: &mut Sums,
) -> Result<(), Fault> {
    match seconds {
        None => out.first.extend(start, firsts.iter().map(|&first| normal(first, 0.0).0)),
        Some(seconds) => {
            let pairs = || firsts.iter().zip(seconds).map(|(&first, &second)| normal(first, second));
            out.first.extend(start, pairs().map(|pair| pair.0));
            out.second.extend(start, pairs().map(|pair| pair.1));
        }
    }
    read_more(firsts, more, |i, sum| out.lengthen(start.wrapping_add(i), sum))
}

/// What resets took, from the first components.
pub(super) fn read_lost(firsts: &[f64], more: Option<&Section<'_>>) -> Result<Vec<ExactSum>, Fault> {
    let mut sums: Vec<ExactSum> = firsts.iter().map(|&first| ExactSum::from_components(&[first])).collect();
    read_more(firsts, more, |i, sum| sums[i] = sum.clone())?;
    Ok(sums)
}

/// Calls `set` with the index of each sum with more components, ascending.
fn read_more(
    firsts: &[f64],
    more: Option<&Section<'_>>,
    mut set: impl FnMut(usize, &ExactSum),
) -> Result<(), Fault> {
    let Some(Section { bytes, form: 0, codec: 0, .. }) = more else {
        return if more.is_some() { Err(Fault::Field) } else { Ok(()) };
    };
    let (mut at, mut next) = (0, 0usize);
    while at < bytes.len() {
        let between = varint::read(bytes, &mut at)?;
        let many = varint::read(bytes, &mut at)?;
        let index = usize::try_from(between).ok().and_then(|between| next.checked_add(between));
        let (Some(index), true) = (index, many <= COMPONENTS_MAX) else { return Err(Fault::Field) };
        let Some(&first) = firsts.get(index) else { return Err(Fault::Field) };
        next = index + 1;
        if many == 0 {
            set(index, &ExactSum::huge());
            continue;
        }
        let end = at + many as usize * size_of::<f64>();
        let (words, _) = bytes.get(at..end).ok_or(Fault::Truncated)?.as_chunks::<8>();
        at = end;
        let mut components = vec![first];
        components.extend(words.iter().map(|word| f64::from_bits(u64::from_le_bytes(*word))));
        set(index, &ExactSum::from_components(&components));
    }
    Ok(())
}
