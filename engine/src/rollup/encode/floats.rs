//! Columns of floats: plain, or as differences from what other columns predict.
//!
//! # Format
//! | form | bytes |
//! |---|---|
//! | 0 | the floats, in a codec for floats |
//! | 1 | 1 byte: exponent `e`, plus 32 times the number of the prediction; [exceptions]; then for each float the difference of its integer `k` from that of the prediction, in a codec for integers. The float is `k / 10^e`; the integer of a prediction is the nearest one |
//! | 2 | 1 byte: the number of the prediction; then the differences of the floats from it, counted in floats, in a codec for integers |
//!
//! Which predictions a column has is in the table of [`encode`](super).

use super::columns::Column;
use super::section::{Section, Sections};
use crate::codec::decimal::{EXPONENT_MAX, POWERS, exponent_of, nearest, scaled};
use crate::codec::exceptions::{self, Exceptions};
use crate::codec::{CodecId, CompressionLevel, Fault, adaptive};

const PLAIN: u8 = 0;
const SCALED: u8 = 1;
const ORDERED: u8 = 2;

const PREDICTION_SHIFT: u32 = 5;
const EXPONENT_MASK: u8 = (1 << PREDICTION_SHIFT) - 1;
/// At most one in this many floats may be an exception.
const EXCEPTION_SHARE: usize = 6;

/// The number of a float in the order of floats: neighbours differ by one. Its own inverse.
pub(super) fn ordinal(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// How many floats `value` is above `other`.
pub(super) fn distance(value: f64, other: f64) -> i64 {
    ordinal(value.to_bits() as i64).wrapping_sub(ordinal(other.to_bits() as i64))
}

/// The float that is `distance` floats above `other`.
pub(super) fn moved(other: f64, distance: i64) -> f64 {
    f64::from_bits(ordinal(ordinal(other.to_bits() as i64).wrapping_add(distance)) as u64)
}

/// A form of a column, encoded.
pub(super) struct Encoded {
    pub form: u8,
    pub codec: CodecId,
    pub bytes: Vec<u8>,
}

/// Adds a column in its smallest form. Leaves it out if all floats equal the first prediction.
pub(super) fn write(sections: &mut Sections, column: Column, values: &[f64], predictions: &[Vec<f64>]) {
    let is_implied = predictions.first().is_some_and(|prediction| {
        values.iter().zip(prediction).all(|(value, predicted)| value.to_bits() == predicted.to_bits())
    });
    if values.is_empty() || is_implied {
        return;
    }
    let best = smallest(values, predictions, sections.level);
    sections.bytes(column, best.form, Some(best.codec), &best.bytes);
}

/// The smallest of the forms.
pub(super) fn smallest(values: &[f64], predictions: &[Vec<f64>], level: CompressionLevel) -> Encoded {
    let mut bytes = Vec::new();
    let codec = adaptive::encode_floats(values, level, &mut bytes);
    let mut best = Encoded { form: PLAIN, codec, bytes };
    let exponent = common_exponent(values);
    for (number, prediction) in predictions.iter().enumerate() {
        let other = match exponent {
            Some(exponent) => as_scaled(values, prediction, number, exponent, level),
            None => as_ordered(values, prediction, number, level),
        };
        if other.bytes.len() < best.bytes.len() {
            best = other;
        }
    }
    best
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
    let (mut ints, mut others) = (Vec::with_capacity(values.len()), Vec::new());
    for (i, (&value, &predicted)) in values.iter().zip(prediction).enumerate() {
        let int = scaled(value, exponent);
        if int.is_none() {
            others.push(i as u32);
        }
        ints.push(int.map_or(0, |int| int.wrapping_sub(nearest(predicted, exponent))));
    }
    let mut bytes = vec![exponent as u8 | (number as u8) << PREDICTION_SHIFT];
    exceptions::encode(values, &others, &mut bytes);
    let codec = adaptive::encode_ints(&ints, level, &mut bytes);
    Encoded { form: SCALED, codec, bytes }
}

fn as_ordered(values: &[f64], prediction: &[f64], number: usize, level: CompressionLevel) -> Encoded {
    let ints: Vec<i64> =
        values.iter().zip(prediction).map(|(&value, &predicted)| distance(value, predicted)).collect();
    let mut bytes = vec![number as u8];
    let codec = adaptive::encode_ints(&ints, level, &mut bytes);
    Encoded { form: ORDERED, codec, bytes }
}

/// Decodes the column of a section, or of an absent one. `predictions` are as many as `count` each.
pub(super) fn read(
    section: Option<&Section<'_>>,
    count: usize,
    predictions: &[Vec<f64>],
) -> Result<Vec<f64>, Fault> {
    let predicted = |number: usize| predictions.get(number).ok_or(Fault::Field);
    let Some(section) = section else {
        return Ok(predicted(0)?.clone());
    };
    let mut out = Vec::with_capacity(count);
    match section.form {
        PLAIN if count == 0 => return Err(Fault::Field),
        PLAIN => {
            let codec = CodecId::from_byte(section.codec)?;
            adaptive::decode_floats(codec, section.bytes, count, &mut Vec::new(), &mut out)?;
        }
        SCALED => {
            let head = *section.bytes.first().ok_or(Fault::Truncated)?;
            let exponent = usize::from(head & EXPONENT_MASK);
            let prediction = predicted(usize::from(head >> PREDICTION_SHIFT))?;
            if exponent > EXPONENT_MAX {
                return Err(Fault::Field);
            }
            let mut at = 1;
            let others = Exceptions::read(section.bytes, &mut at, count)?;
            let ints = section.ints(at, count)?;
            out.extend(ints.iter().zip(prediction).map(|(int, &predicted)| {
                int.wrapping_add(nearest(predicted, exponent)) as f64 / POWERS[exponent]
            }));
            others.apply(section.bytes, &mut out)?;
        }
        ORDERED => {
            let number = *section.bytes.first().ok_or(Fault::Truncated)?;
            let prediction = predicted(usize::from(number))?;
            let ints = section.ints(1, count)?;
            out.extend(ints.iter().zip(prediction).map(|(&int, &predicted)| moved(predicted, int)));
        }
        _ => return Err(Fault::Field),
    }
    Ok(out)
}
