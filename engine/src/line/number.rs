//! Parses numbers: integers digit by digit, floats exactly rounded.
//!
//! A float of at most 19 digits is a single exact multiplication or division if its digits fit into 53 bits and its
//! power of ten is between -22 and 22. All other floats are parsed by fast-float2.

use crate::line::error::LineErrorKind;
use crate::line::error::quote;

/// A number in a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Float(f64),
    Int(i64),
    UInt(u64),
}

/// Number of digits that always fit into `u64`.
const SAFE_DIGITS: usize = 19;

/// Powers of ten that are exact as `f64`.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// The largest integer up to which every integer is an `f64`.
const EXACT_MOST: u64 = 1 << 53;

/// Parses the number at the beginning of `text`. Returns how many bytes it has; the caller checks what follows.
///
/// # Errors
/// `InvalidValue` without its text if there is no number; `IntegerOutOfRange` and `FloatOutOfRange` with their text.
// Both callers are hot, and with two calls the compiler would inline neither.
#[inline(always)]
pub(super) fn parse(text: &[u8]) -> Result<(Number, usize), Option<LineErrorKind>> {
    let negative = text.first() == Some(&b'-');
    let first = usize::from(negative);
    let mut magnitude = 0;
    let end = digits(text, first, &mut magnitude);
    match text.get(end) {
        Some(b'i') if end > first => Ok((integer(text, first, end, magnitude, negative)?, end + 1)),
        Some(b'u') if end > first && !negative => Ok((unsigned(text, first, end, magnitude)?, end + 1)),
        _ => float(text, first, end, magnitude, negative),
    }
}

/// Adds the digits at `at` to `magnitude`, which wraps beyond 19 digits. Returns where they end.
#[inline]
fn digits(text: &[u8], mut at: usize, magnitude: &mut u64) -> usize {
    while let Some(&byte) = text.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        *magnitude = magnitude.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

#[inline]
fn integer(
    text: &[u8],
    first: usize,
    end: usize,
    magnitude: u64,
    negative: bool,
) -> Result<Number, LineErrorKind> {
    let magnitude = if end - first <= SAFE_DIGITS { Some(magnitude) } else { long(&text[first..end]) };
    let value = match magnitude {
        Some(m) if negative => 0i64.checked_sub_unsigned(m),
        Some(m) => i64::try_from(m).ok(),
        None => None,
    };
    value.map(Number::Int).ok_or_else(|| LineErrorKind::IntegerOutOfRange {
        value: quote(&text[..end + 1]),
        kind: "i64",
        least: i64::MIN,
        most: i64::MAX as u64,
    })
}

#[inline]
fn unsigned(text: &[u8], first: usize, end: usize, magnitude: u64) -> Result<Number, LineErrorKind> {
    let magnitude = if end - first <= SAFE_DIGITS { Some(magnitude) } else { long(&text[first..end]) };
    magnitude.map(Number::UInt).ok_or_else(|| LineErrorKind::IntegerOutOfRange {
        value: quote(&text[..end + 1]),
        kind: "u64",
        least: 0,
        most: u64::MAX,
    })
}

/// Parses digits that may not fit, or may have many leading zeros.
#[cold]
fn long(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |sum, byte| sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')))
}

#[inline]
fn float(
    text: &[u8],
    first: usize,
    whole_end: usize,
    mut magnitude: u64,
    negative: bool,
) -> Result<(Number, usize), Option<LineErrorKind>> {
    let mut end = whole_end;
    let mut digit_count = whole_end - first;
    let mut power = 0i64;
    if text.get(end) == Some(&b'.') {
        let fraction_end = digits(text, end + 1, &mut magnitude);
        let fraction = fraction_end - end - 1;
        digit_count += fraction;
        power = -(fraction as i64);
        end = fraction_end;
    }
    if digit_count == 0 {
        return Err(None);
    }
    if let Some(b'e' | b'E') = text.get(end) {
        let (exponent, exponent_end) = exponent(text, end + 1).ok_or(None)?;
        power += exponent;
        end = exponent_end;
    }
    if digit_count <= SAFE_DIGITS && magnitude <= EXACT_MOST && power.unsigned_abs() <= 22 {
        let scale = EXACT_POWERS[power.unsigned_abs() as usize];
        let value = if power < 0 { magnitude as f64 / scale } else { magnitude as f64 * scale };
        return Ok((Number::Float(if negative { -value } else { value }), end));
    }
    match fast_float2::parse::<f64, _>(&text[..end]) {
        Ok(value) if value.is_finite() => Ok((Number::Float(value), end)),
        Ok(_) => Err(Some(LineErrorKind::FloatOutOfRange { value: quote(&text[..end]) })),
        Err(_) => Err(None),
    }
}

/// Parses the exponent at `at`, clamped to where it no longer matters; `None` without a digit.
fn exponent(text: &[u8], mut at: usize) -> Option<(i64, usize)> {
    let negative = text.get(at) == Some(&b'-');
    if let Some(b'-' | b'+') = text.get(at) {
        at += 1;
    }
    let first = at;
    let mut value = 0i64;
    while let Some(&byte) = text.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = (value * 10 + i64::from(digit)).min(1_000_000);
        at += 1;
    }
    (at > first).then_some((if negative { -value } else { value }, at))
}
