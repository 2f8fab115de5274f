//! Timestamps: an integer in the unit of the request, stored as nanoseconds.

use std::fmt;
use std::str::FromStr;

use crate::line::error::{Fault, LineErrorKind, fault, quote};
use crate::line::scan::{skip_blanks, token};

/// The unit of a body's timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// `ns`, `n`; the default of line protocol.
    #[default]
    Nanosecond,
    /// `us`, `u`, `µ`, `µs`
    Microsecond,
    /// `ms`
    Millisecond,
    /// `s`
    Second,
    /// `m`
    Minute,
    /// `h`
    Hour,
    /// `auto`: seconds, milliseconds, microseconds or nanoseconds, by the size of each timestamp, as in InfluxDB 3. A
    /// timestamp below 5·10⁹ is in seconds, below 5·10¹² in milliseconds, and below 5·10¹⁵ in microseconds. This is
    /// correct from 1970 to 2128, except for the first weeks of 1970.
    Auto,
}

/// The text is not a precision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown precision {found:?}: expected ns, us, ms, s, m, h or auto")]
pub struct UnknownPrecision {
    /// What was found.
    pub found: String,
}

impl Precision {
    /// The nanoseconds of one unit of a timestamp with this magnitude.
    pub fn nanoseconds(self, magnitude: u64) -> i64 {
        match self {
            Precision::Auto => match magnitude / 1_000_000_000 {
                0..5 => 1_000_000_000,
                5..5_000 => 1_000_000,
                5_000..5_000_000 => 1_000,
                _ => 1,
            },
            Precision::Nanosecond => 1,
            Precision::Microsecond => 1_000,
            Precision::Millisecond => 1_000_000,
            Precision::Second => 1_000_000_000,
            Precision::Minute => 60 * 1_000_000_000,
            Precision::Hour => 3_600 * 1_000_000_000,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::Nanosecond => "ns",
            Precision::Microsecond => "us",
            Precision::Millisecond => "ms",
            Precision::Second => "s",
            Precision::Minute => "m",
            Precision::Hour => "h",
            Precision::Auto => "auto",
        })
    }
}

impl FromStr for Precision {
    type Err = UnknownPrecision;

    /// Parses the names of the write APIs of InfluxDB 2 and 3 and the letters of version 1. The micro sign (U+00B5) and
    /// the Greek mu (U+03BC) are both in use.
    fn from_str(text: &str) -> Result<Self, UnknownPrecision> {
        Ok(match text {
            "ns" | "n" | "nanosecond" => Precision::Nanosecond,
            "us" | "u" | "\u{b5}" | "\u{b5}s" | "\u{3bc}" | "\u{3bc}s" | "microsecond" => {
                Precision::Microsecond
            }
            "ms" | "millisecond" => Precision::Millisecond,
            "s" | "second" => Precision::Second,
            "m" => Precision::Minute,
            "h" => Precision::Hour,
            "auto" => Precision::Auto,
            other => return Err(UnknownPrecision { found: quote(other.as_bytes()) }),
        })
    }
}

/// The smallest timestamp of line protocol; InfluxDB reserves the two below it.
const LEAST: i64 = i64::MIN + 2;
/// The largest timestamp of line protocol.
const MOST: i64 = i64::MAX - 1;

/// Parses what follows the fields at `at`: blanks, an optional timestamp, blanks.
#[inline]
pub(super) fn parse(line: &[u8], at: usize, precision: Precision) -> Result<Option<i64>, Box<Fault>> {
    let first = skip_blanks(line, at);
    if first == line.len() {
        return Ok(None);
    }
    let negative = line[first] == b'-';
    let mut end = first + usize::from(negative);
    let digits_start = end;
    let mut magnitude = Some(0u64);
    while let Some(&byte) = line.get(end) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        magnitude = magnitude.and_then(|m| m.checked_mul(10)?.checked_add(u64::from(digit)));
        end += 1;
    }
    if end == digits_start || !matches!(line.get(end), None | Some(b' ')) {
        return Err(invalid(line, first, end));
    }
    let behind = skip_blanks(line, end);
    if behind < line.len() {
        return Err(after(line, behind));
    }
    let value = magnitude
        .and_then(|m| if negative { 0i64.checked_sub_unsigned(m) } else { i64::try_from(m).ok() })
        .and_then(|v| v.checked_mul(precision.nanoseconds(v.unsigned_abs())))
        .filter(|v| (LEAST..=MOST).contains(v));
    match value {
        Some(value) => Ok(Some(value)),
        None => Err(fault(
            first,
            LineErrorKind::TimestampOutOfRange { value: quote(&line[first..end]), precision },
        )),
    }
}

#[cold]
fn invalid(line: &[u8], first: usize, at: usize) -> Box<Fault> {
    match line.get(at) {
        Some(0) => fault(at, LineErrorKind::NulByte),
        Some(b'\r') => fault(at, LineErrorKind::CarriageReturn),
        _ => fault(first, LineErrorKind::InvalidTimestamp { value: quote(token(line, first)) }),
    }
}

#[cold]
fn after(line: &[u8], at: usize) -> Box<Fault> {
    match line[at] {
        0 => fault(at, LineErrorKind::NulByte),
        b'\r' => fault(at, LineErrorKind::CarriageReturn),
        _ => fault(at, LineErrorKind::AfterTimestamp { value: quote(&line[at..]) }),
    }
}
