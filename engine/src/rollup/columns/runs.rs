//! Exact sums of runs of rows, at a cost that does not depend on the length of a run.
//!
//! Nearly all columns of sums are whole multiples of one power of two, and of few bits: integers, or decimals of one
//! magnitude. As integers, their running totals are exact, and the sum of a run is the difference of two totals, rounded
//! once. It has the bits of the [`ExactSum`] of the rows.

use std::borrow::Cow;
use std::ops::Range;

use super::sums::Sums;
use crate::rollup::ExactSum;

/// Adding this to a float below 2^51 rounds it to an integer, which is then in the low bits of the mantissa.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// Floats below this are rounded by [`ROUNDER`].
const WHOLE_MAX: f64 = (1u64 << 51) as f64;
/// Totals of integers that are below this fit into 64 bits.
const TOTAL_MAX: f64 = (1u64 << 62) as f64;
/// The exponent of the smallest float.
const LEAST_EXPONENT: i32 = -1074;

/// The sums of runs of rows of one column.
#[derive(Debug)]
pub struct Runs<'c> {
    sums: Cow<'c, Sums>,
    /// Rows whose sum is not finite or huge, ascending. As integers, they are zero.
    odd: Vec<usize>,
    totals: Totals,
    /// The exponent of the unit of the integers.
    unit: i32,
}

/// Running totals: entry `i` is that of the rows before row `i`.
#[derive(Debug)]
enum Totals {
    Narrow(Vec<i64>),
    Wide(Vec<i128>),
    /// The rows have too many bits, so that each run is added up by itself.
    None,
}

impl<'c> Runs<'c> {
    /// The runs of a column of `rows` rows.
    pub fn of(sums: Cow<'c, Sums>, rows: usize) -> Self {
        if let Some(totals) = whole_totals(&sums, rows) {
            return Runs { sums, odd: Vec::new(), totals: Totals::Narrow(totals), unit: 0 };
        }
        let odd: Vec<usize> = (0..rows).filter(|&row| !sums.is_exact(row)).collect();
        let mut bits = Bits::default();
        for row in 0..rows {
            each_component(&sums, row, |component| bits.add(component));
        }
        let unit = bits.low.unwrap_or(0);
        // One for the sign, and those of the number of rows and of their components.
        let width = bits.high.saturating_sub(unit).max(0) as u32 + 3 + usize::BITS - rows.leading_zeros();
        let as_int = |row: usize| {
            let mut int = 0i128;
            each_component(&sums, row, |component| int = int.wrapping_add(in_units(component, unit)));
            int
        };
        let totals = if width < i64::BITS {
            Totals::Narrow(running((0..rows).map(|row| as_int(row) as i64), i64::wrapping_add))
        } else if width < i128::BITS {
            Totals::Wide(running((0..rows).map(as_int), i128::wrapping_add))
        } else {
            Totals::None
        };
        Runs { sums, odd, totals, unit }
    }

    /// The sum of a run, correctly rounded; not finite if a value is not; `None` if it is huge. Zero is positive.
    #[inline]
    pub fn sum(&self, rows: Range<usize>) -> Option<f64> {
        if self.has_odd(&rows) {
            let odd = &self.odd[self.odd.partition_point(|&row| row < rows.start)..];
            return value(self.merged(odd.iter().copied().take_while(|&row| row < rows.end)));
        }
        match &self.totals {
            Totals::Narrow(totals) => Some(self.scaled((totals[rows.end] - totals[rows.start]) as f64)),
            Totals::Wide(totals) => Some(self.scaled((totals[rows.end] - totals[rows.start]) as f64)),
            Totals::None => value(self.merged(rows)),
        }
    }

    /// The sum of a run as a multiple of the [unit](Runs::unit), if it is exact and integers have enough bits.
    #[inline]
    pub fn whole(&self, rows: Range<usize>) -> Option<i128> {
        if self.has_odd(&rows) {
            return None;
        }
        match &self.totals {
            Totals::Narrow(totals) => Some(i128::from(totals[rows.end] - totals[rows.start])),
            Totals::Wide(totals) => Some(totals[rows.end] - totals[rows.start]),
            Totals::None => None,
        }
    }

    /// An integer of units, which is a float, as a float.
    #[inline]
    pub fn scaled(&self, int: f64) -> f64 {
        if self.unit == 0 { int } else { int * power(self.unit) }
    }

    #[inline]
    fn has_odd(&self, rows: &Range<usize>) -> bool {
        !self.odd.is_empty()
            && self
                .odd
                .get(self.odd.partition_point(|&row| row < rows.start))
                .is_some_and(|&row| row < rows.end)
    }

    #[cold]
    fn merged(&self, rows: impl Iterator<Item = usize>) -> ExactSum {
        let mut sum = ExactSum::default();
        rows.for_each(|row| sum.merge(&self.sums.get(row)));
        sum
    }
}

fn value(sum: ExactSum) -> Option<f64> {
    (!sum.is_huge()).then(|| sum.value())
}

/// Calls `visit` with each component of a row that is exact.
#[inline]
fn each_component(sums: &Sums, row: usize, mut visit: impl FnMut(f64)) {
    if !sums.is_exact(row) {
        return;
    }
    if let Some(sum) = sums.longer_at(row) {
        return sum.components().for_each(visit);
    }
    visit(sums.first.at(row));
    if !sums.second.is_usual() {
        visit(sums.second.at(row));
    }
}

/// Running totals of floats that are integers of less than 2^51.
fn whole_totals(sums: &Sums, rows: usize) -> Option<Vec<i64>> {
    let first = sums.first.stored();
    if !(sums.second.is_usual() && sums.huge.is_usual() && sums.longer.is_empty()) {
        return None;
    }
    // False for NaN too.
    let is_whole = |value: f64| (value.abs() < WHOLE_MAX) & ((value + ROUNDER) - ROUNDER == value);
    if !first.iter().fold(true, |all, &value| all & is_whole(value)) {
        return None;
    }
    let largest =
        first.iter().fold(0.0, |largest, &value| if value.abs() > largest { value.abs() } else { largest });
    if largest * rows as f64 >= TOTAL_MAX {
        return None;
    }
    let int = |value: f64| (value + ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits()) as i64;
    let usual = std::iter::repeat_n(0, rows.saturating_sub(first.len()));
    Some(running(first.iter().map(|&value| int(value)).chain(usual), i64::wrapping_add))
}

fn running<I: Copy + Default>(ints: impl Iterator<Item = I>, add: impl Fn(I, I) -> I) -> Vec<I> {
    let mut total = I::default();
    let mut totals = Vec::with_capacity(ints.size_hint().0 + 1);
    totals.push(total);
    totals.extend(ints.map(|int| {
        total = add(total, int);
        total
    }));
    totals
}

/// The bits that floats have.
#[derive(Debug, Default)]
struct Bits {
    /// The exponent of the lowest one of all.
    low: Option<i32>,
    /// That of the highest one.
    high: i32,
}

impl Bits {
    #[inline]
    fn add(&mut self, component: f64) {
        if component == 0.0 {
            return;
        }
        let (mantissa, exponent) = parts(component);
        let low = exponent + mantissa.trailing_zeros() as i32;
        let high = exponent + 63 - mantissa.leading_zeros() as i32;
        self.high = if self.low.is_some() { self.high.max(high) } else { high };
        self.low = Some(self.low.map_or(low, |least| least.min(low)));
    }
}

/// The magnitude of a finite float as an integer times 2^exponent.
#[inline]
fn parts(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let biased = (bits >> 52 & 0x7ff) as i32;
    (bits & ((1 << 52) - 1) | u64::from(biased > 0) << 52, biased.max(1) - 1 + LEAST_EXPONENT)
}

/// A float that is a multiple of 2^unit of less than 128 bits.
#[inline]
fn in_units(value: f64, unit: i32) -> i128 {
    let (mantissa, exponent) = parts(value);
    let shift = exponent - unit;
    let magnitude = match shift {
        0.. => i128::from(mantissa) << (shift as u32 & 127),
        _ => i128::from(mantissa >> (shift.unsigned_abs() & 63)),
    };
    if value < 0.0 { -magnitude } else { magnitude }
}

/// 2^exponent, which is at least that of the smallest float.
#[inline]
fn power(exponent: i32) -> f64 {
    if exponent < -1022 {
        f64::from_bits(1 << (exponent - LEAST_EXPONENT))
    } else {
        f64::from_bits(((exponent + 1023).min(0x7fe) as u64) << 52)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn columns(sums: &[ExactSum]) -> Sums {
        let mut column = Sums::new();
        sums.iter().enumerate().for_each(|(row, sum)| column.push(row, sum));
        column
    }

    fn sum_of(values: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        sum.extend(values);
        sum.normalize();
        sum
    }

    /// Values of one kind, so that totals are narrow, wide, or none; or of several.
    fn rows() -> impl Strategy<Value = Vec<Vec<f64>>> {
        fn rows(of: BoxedStrategy<f64>) -> BoxedStrategy<Vec<Vec<f64>>> {
            prop::collection::vec(prop::collection::vec(of, 0..5), 1..60).boxed()
        }
        let whole = (-100i32..100).prop_map(f64::from).boxed();
        let decimal = (-1000i32..1000).prop_map(|k| f64::from(k) / 100.0).boxed();
        let large = (-1i64 << 53..1 << 53).prop_map(|k| k as f64 * 512.0).boxed();
        let any = (-1e3..1e3).boxed();
        let far = prop::sample::select(&[1e200, -1e200, 1.0, -1.0, 0.1, 5e-324, -0.0, 0.0][..]).boxed();
        let odd = &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, 2.0, 3.0, 4.0, 5.0, 6.0][..];
        let mixed =
            prop_oneof![decimal.clone(), large.clone(), any.clone(), prop::sample::select(odd)].boxed();
        prop_oneof![rows(whole), rows(decimal), rows(large), rows(any), rows(far), rows(mixed)]
    }

    proptest! {
        #[test]
        fn runs_have_the_bits_of_exact_sums(
            values in rows(), ends in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let sums: Vec<ExactSum> = values.iter().map(|values| sum_of(values)).collect();
            let column = columns(&sums);
            let runs = Runs::of(Cow::Borrowed(&column), sums.len());
            let (a, b) = (ends.0.index(sums.len() + 1), ends.1.index(sums.len() + 1));
            let run = a.min(b)..a.max(b);
            let mut expected = ExactSum::default();
            sums[run.clone()].iter().for_each(|sum| expected.merge(sum));
            let found = runs.sum(run.clone());
            prop_assert_eq!(found.is_none(), expected.is_huge());
            let expected = expected.value();
            if let Some(found) = found {
                prop_assert_eq!(found.to_bits(), expected.to_bits(), "{} and {}", found, expected);
            }
            if let Some(whole) = runs.whole(run) {
                prop_assert_eq!(runs.scaled(whole as f64).to_bits(), expected.to_bits());
            }
        }
    }

    #[test]
    fn most_columns_have_totals() {
        let runs_of = |values: &[f64]| {
            let column = columns(&values.iter().map(|&value| sum_of(&[value])).collect::<Vec<_>>());
            let runs = Runs::of(Cow::Owned(column), values.len());
            match runs.totals {
                Totals::Narrow(_) => 64,
                Totals::Wide(_) => 128,
                Totals::None => 0,
            }
        };
        assert_eq!(runs_of(&[1.0, 2.0, 1e9]), 64);
        assert_eq!(runs_of(&[0.5, 0.1]), 64);
        assert_eq!(runs_of(&[1e9, 0.1, 1e-3]), 128);
        assert_eq!(runs_of(&[1e9, 1e-20]), 0);
    }
}
