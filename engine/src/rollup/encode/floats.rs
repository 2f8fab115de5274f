//! Columns of floats: plain, or as differences from what other columns predict.
//!
//! # Format
//! | form | bytes |
//! |---|---|
//! | 0 | the floats, in a codec for floats |
//! | 1 | 1 byte: exponent `e`, plus 32 times the number of the prediction, plus 128 if a varint follows, the divisor `d` of all integers `k`, else 1; [exceptions]; then for each float the difference of `k` from the integer of the prediction, in a codec for integers. The float is `k / 10^e`; the integer of a prediction is the nearest one, towards zero to a multiple of `d` |
//! | 2 | 1 byte: the number of the prediction; then the differences of the floats from it, counted in floats, in a codec for integers |
//!
//! Which predictions a column has is in the table of [`encode`](super).

use super::columns::Column;
use super::predict::Predict;
use super::section::{Section, Sections};
use crate::codec::decimal::{EXPONENT_MAX, POWERS, ROUNDER, exponent_of, nearest, scaled};
use crate::codec::exceptions::{self, Exceptions};
use crate::codec::{CodecId, CompressionLevel, Fault, adaptive, common_divisor, varint};

const PLAIN: u8 = 0;
const SCALED: u8 = 1;
const ORDERED: u8 = 2;

const PREDICTION_SHIFT: u32 = 5;
const EXPONENT_MASK: u8 = (1 << PREDICTION_SHIFT) - 1;
const PREDICTION_MASK: u8 = 3 << PREDICTION_SHIFT;
const HAS_DIVISOR: u8 = 1 << 7;
/// At most one in this many floats may be an exception.
const EXCEPTION_SHARE: usize = 6;

/// Integers below this, and sums of two, are in the low bits of the mantissa of a float around [`ROUNDER`].
const SMALL: f64 = (1u64 << 50) as f64;
/// Bits of an integer below it, and its sign.
const SMALL_BITS: u32 = 51;

/// The number of a float in the order of floats: neighbours differ by one. Its own inverse.
#[inline]
pub(super) fn ordinal(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// How many floats `value` is above `other`.
#[inline]
pub(super) fn distance(value: f64, other: f64) -> i64 {
    ordinal(value.to_bits() as i64).wrapping_sub(ordinal(other.to_bits() as i64))
}

/// The float that is `distance` floats above `other`.
#[inline]
pub(super) fn moved(other: f64, distance: i64) -> f64 {
    f64::from_bits(ordinal(ordinal(other.to_bits() as i64).wrapping_add(distance)) as u64)
}

/// A form of a column, encoded.
pub(super) struct Encoded {
    pub form: u8,
    pub codec: CodecId,
    pub bytes: Vec<u8>,
}

/// Adds a column in its smallest form, or without a prediction if that is at most `slack` percent larger. Leaves it out if
/// all floats equal the first prediction.
pub(super) fn write(
    sections: &mut Sections,
    column: Column,
    values: &[f64],
    predictions: &[Vec<f64>],
    slack: usize,
) {
    let is_implied = predictions.first().is_some_and(|prediction| {
        values.iter().zip(prediction).all(|(value, predicted)| value.to_bits() == predicted.to_bits())
    });
    if values.is_empty() || is_implied {
        return;
    }
    let best = smallest(values, predictions, slack, sections.level);
    sections.bytes(column, best.form, Some(best.codec), &best.bytes);
}

/// The smallest of the forms, or the one without a prediction if that is at most `slack` percent larger.
pub(super) fn smallest(
    values: &[f64],
    predictions: &[Vec<f64>],
    slack: usize,
    level: CompressionLevel,
) -> Encoded {
    let mut bytes = Vec::new();
    let codec = adaptive::encode_floats(values, level, &mut bytes);
    let plain = Encoded { form: PLAIN, codec, bytes };
    let exponent = common_exponent(values);
    let predicted = predictions.iter().enumerate().map(|(number, prediction)| match exponent {
        Some(exponent) => as_scaled(values, prediction, number, exponent, level),
        None => as_ordered(values, prediction, number, level),
    });
    let is_worth_it = |other: &Encoded| other.bytes.len() * (100 + slack) < plain.bytes.len() * 100;
    predicted.min_by_key(|other| other.bytes.len()).filter(is_worth_it).unwrap_or(plain)
}

/// Whether a column is read without a prediction.
pub(super) fn is_plain(section: Option<&Section<'_>>) -> bool {
    section.is_some_and(|section| section.form == PLAIN)
}

/// The exponent with which nearly all floats are integers.
pub(super) fn common_exponent(values: &[f64]) -> Option<usize> {
    let (mut exponent, mut misses) = (0, 0);
    for &value in values {
        // Most columns with other digits miss at once.
        if scaled(value, exponent).is_none() {
            match exponent_of(value) {
                Some(needed) => exponent = exponent.max(needed),
                None => misses += 1,
            }
        }
        if misses > values.len() / EXCEPTION_SHARE {
            return None;
        }
    }
    let misses = values.iter().filter(|value| scaled(**value, exponent).is_none()).count();
    (misses <= values.len() / EXCEPTION_SHARE).then_some(exponent)
}

fn as_scaled(
    values: &[f64],
    prediction: &[f64],
    number: usize,
    exponent: usize,
    level: CompressionLevel,
) -> Encoded {
    let scaled: Vec<Option<i64>> = values.iter().map(|&value| scaled(value, exponent)).collect();
    let predicted: Vec<i64> = prediction.iter().map(|&value| nearest(value, exponent)).collect();
    let mut divisor = divisor_of(&scaled);
    if predicted.iter().all(|int| int.checked_rem(divisor) == Some(0)) {
        divisor = 1;
    }
    let others = scaled.iter().enumerate().filter(|(_, int)| int.is_none()).map(|(i, _)| i as u32);
    let others: Vec<u32> = others.collect();
    let difference = |(int, predicted): (&Option<i64>, &i64)| {
        int.map_or(0, |int| int.wrapping_sub(multiple(*predicted, divisor)))
    };
    let ints: Vec<i64> = scaled.iter().zip(&predicted).map(difference).collect();

    let has_divisor = if divisor > 1 { HAS_DIVISOR } else { 0 };
    let mut bytes = vec![exponent as u8 | (number as u8) << PREDICTION_SHIFT | has_divisor];
    if divisor > 1 {
        varint::write(&mut bytes, divisor as u64);
    }
    exceptions::encode(values, &others, &mut bytes);
    let codec = adaptive::encode_ints(&ints, level, &mut bytes);
    Encoded { form: SCALED, codec, bytes }
}

/// The greatest common divisor of all integers.
pub(super) fn divisor_of(ints: &[Option<i64>]) -> i64 {
    let ints: Vec<i64> = ints.iter().flatten().copied().collect();
    common_divisor(&ints) as i64
}

/// The multiple of `divisor` that is nearest to `int`, towards zero.
fn multiple(int: i64, divisor: i64) -> i64 {
    int.wrapping_sub(int.checked_rem(divisor).unwrap_or(0))
}

fn as_ordered(values: &[f64], prediction: &[f64], number: usize, level: CompressionLevel) -> Encoded {
    let ints: Vec<i64> =
        values.iter().zip(prediction).map(|(&value, &predicted)| distance(value, predicted)).collect();
    let mut bytes = vec![number as u8];
    let codec = adaptive::encode_ints(&ints, level, &mut bytes);
    Encoded { form: ORDERED, codec, bytes }
}

/// Appends the `count` floats of a section, or of an absent one. After an error, some of them may be there.
pub(super) fn read(
    section: Option<&Section<'_>>,
    count: usize,
    predict: &Predict<'_>,
    ints: &mut Vec<i64>,
    out: &mut Vec<f64>,
) -> Result<(), Fault> {
    let start = out.len();
    let predicted = |number: usize, out: &mut Vec<f64>| match predict(number, out) {
        true => Ok(()),
        false => Err(Fault::Field),
    };
    let Some(section) = section else {
        return predicted(0, out);
    };
    match section.form {
        PLAIN if count == 0 => Err(Fault::Field),
        PLAIN => {
            out.reserve(count);
            adaptive::decode_floats(CodecId::from_byte(section.codec)?, section.bytes, count, ints, out)
        }
        SCALED => {
            let head = *section.bytes.first().ok_or(Fault::Truncated)?;
            let number = usize::from((head & PREDICTION_MASK) >> PREDICTION_SHIFT);
            predicted(number, out)?;
            read_scaled(section, head, ints, &mut out[start..])
        }
        ORDERED => {
            let number = *section.bytes.first().ok_or(Fault::Truncated)?;
            predicted(usize::from(number), out)?;
            section.ints(1, count, ints)?;
            out[start..].iter_mut().zip(ints).for_each(|(float, int)| *float = moved(*float, *int));
            Ok(())
        }
        _ => Err(Fault::Field),
    }
}

/// Turns predictions into the floats of a section.
fn read_scaled(
    section: &Section<'_>,
    head: u8,
    ints: &mut Vec<i64>,
    floats: &mut [f64],
) -> Result<(), Fault> {
    let exponent = usize::from(head & EXPONENT_MASK);
    if exponent > EXPONENT_MAX {
        return Err(Fault::Field);
    }
    let mut at = 1;
    let divisor = if head & HAS_DIVISOR == 0 { 1 } else { varint::read(section.bytes, &mut at)? };
    let divisor = i64::try_from(divisor).ok().filter(|divisor| *divisor > 0).ok_or(Fault::Field)?;
    let others = Exceptions::read(section.bytes, &mut at, floats.len())?;
    section.ints(at, floats.len(), ints)?;
    if divisor == 1 && are_small(floats, ints, exponent) {
        add_small(floats, ints, exponent);
    } else {
        floats.iter_mut().zip(ints).for_each(|(float, int)| {
            let predicted = multiple(nearest(*float, exponent), divisor);
            *float = int.wrapping_add(predicted) as f64 / POWERS[exponent];
        });
    }
    others.apply(section.bytes, floats)
}

/// Whether all predictions and differences are less than 2^50, so that their sums are in the low bits of a mantissa.
fn are_small(predictions: &[f64], differences: &[i64], exponent: usize) -> bool {
    let power = POWERS[exponent];
    // False for NaN too.
    let are_small =
        predictions.iter().fold(true, |all, prediction| all & ((prediction * power).abs() < SMALL));
    let above =
        differences.iter().fold(0, |any, int| any | int.wrapping_add(SMALL as i64) as u64 >> SMALL_BITS);
    are_small && above == 0
}

/// Adds differences to the integers next to predictions. All are [small](are_small): each step is exact, and compiles to
/// vector instructions.
fn add_small(floats: &mut [f64], ints: &[i64], exponent: usize) {
    let power = POWERS[exponent];
    let added = |float: f64, int: i64| {
        let bits = (float + ROUNDER).to_bits().wrapping_add(int as u64);
        f64::from_bits(bits) - ROUNDER
    };
    let rows = floats.iter_mut().zip(ints);
    match exponent {
        0 => rows.for_each(|(float, &int)| *float = added(*float, int)),
        _ => rows.for_each(|(float, &int)| *float = added(*float * power, int) / power),
    }
}
