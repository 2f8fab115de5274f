//! Writes query results as Prometheus' JSON, directly into a byte buffer.
//!
//! An answer may contain millions of samples, so nothing is built between the columns and the bytes: no tree, and no
//! string per sample. Numbers come from `itoa` and `zmij` and are formatted as Go prints them, because clients compare
//! texts.
//!
//! # Format
//! - A sample value is a string: shortest digits that read back the same; plain notation
//!   for `0` and `1e-6 <= |v| < 1e21`, else an exponent of at least two digits
//!   (`1e-07`, `1e+21`); `NaN`, `+Inf`, `-Inf`, `-0`. The value of a scalar is in plain
//!   notation whatever its size.
//! - A time is a number of seconds: no fraction for whole seconds, else three digits.
//! - Text escapes `"`, `\`, control characters, and `<`, `>`, `&`, U+2028 and U+2029, so
//!   that no label value can end a script block it is printed into.
//!
//! What may be long is written item by item into a [`Sink`], so that its memory can be counted and what is written can
//! leave before the rest is.

mod result;

pub use result::{histogram, query_data};

use std::convert::Infallible;

use barograph::Labels;

/// The destination of an answer: a buffer, or pieces that are bounded, compressed and sent.
pub trait Sink {
    /// Why it accepts no more.
    type Error;

    /// Appends the output of `write`, about `room` bytes. `write` may take or release other memory before that.
    ///
    /// # Errors
    /// There is no memory for it, or its work was stopped.
    fn put(&mut self, room: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Self::Error>;
}

impl Sink for Vec<u8> {
    type Error = Infallible;

    fn put(&mut self, _: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Infallible> {
        write(self);
        Ok(())
    }
}

/// Appends text as a JSON string.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        // U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
        let separator = byte == 0xe2
            && bytes.get(at + 1) == Some(&0x80)
            && matches!(bytes.get(at + 2), Some(0xa8 | 0xa9));
        if byte >= 0x20 && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&') && !separator {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0xe2 => {
                out.extend_from_slice(if bytes[at + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                copied = at + 3;
            }
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

/// Appends a float without quotes.
pub fn float(out: &mut Vec<u8>, value: f64) {
    // Most values of counters and gauges are whole numbers.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.abs() < EXACT && value == value.trunc() && (value != 0.0 || value.is_sign_positive()) {
        out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        finite(out, value);
    }
}

/// Formats the shortest digits of a finite value as Go does.
fn finite(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value.abs());
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 =
        exponent.trim_start_matches('+').parse().expect("the exponent of a float is a number");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = [0u8; 40];
    let mut count = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        // Leading zeros carry no information; the point below accounts for them.
        if count > 0 || byte != b'0' {
            digits[count] = byte;
            count += 1;
        }
    }
    let skipped = whole.len() + fraction.len() - count;
    while count > 0 && digits[count - 1] == b'0' {
        count -= 1;
    }
    if count == 0 {
        out.push(b'0');
        return;
    }
    // The value is 0.DIGITS times ten to the power of `point`.
    let point = whole.len() as i32 - skipped as i32 + exponent;
    layout(out, &digits[..count], point);
}

fn layout(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    let count = digits.len() as i32;
    if !(-5..=21).contains(&point) {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let exponent = point - 1;
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(exponent.abs()).as_bytes());
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-point) as usize));
        out.extend_from_slice(digits);
    } else if point >= count {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', (point - count) as usize));
    } else {
        out.extend_from_slice(&digits[..point as usize]);
        out.push(b'.');
        out.extend_from_slice(&digits[point as usize..]);
    }
}

/// Appends a time in milliseconds as seconds.
pub fn time(out: &mut Vec<u8>, ms: i64) {
    if ms < 0 {
        out.push(b'-');
    }
    let ms = ms.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(ms / 1000).as_bytes());
    let rest = (ms % 1000) as u16;
    if rest != 0 {
        let digit = |n: u16| b'0' + (n % 10) as u8;
        out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
    }
}

/// Appends `[time,"value"]`.
pub fn point(out: &mut Vec<u8>, ms: i64, value: f64) {
    out.push(b'[');
    time(out, ms);
    out.extend_from_slice(b",\"");
    float(out, value);
    out.extend_from_slice(b"\"]");
}

/// Appends `[time,"value"]` of a scalar, whose value never has an exponent.
fn scalar(out: &mut Vec<u8>, ms: i64, value: f64) {
    if !value.is_finite() {
        return point(out, ms, value);
    }
    out.push(b'[');
    time(out, ms);
    out.extend_from_slice(format!(",\"{value}\"]").as_bytes());
}

/// Appends a label set as an object.
pub fn labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        string(out, name);
        out.push(b':');
        string(out, value);
    }
    out.push(b'}');
}

/// An upper estimate of the number of bytes that [`labels`] writes.
pub fn labels_room(labels: &Labels) -> usize {
    labels.as_bytes().len() + 6 * labels.len() + 32
}

/// Appends the items of a list, separated by commas. `room` estimates the bytes of an item.
///
/// # Errors
/// The errors of the sink.
pub fn items<S: Sink, T>(
    sink: &mut S,
    items: impl IntoIterator<Item = T>,
    room: impl Fn(&T) -> usize,
    mut one: impl FnMut(&mut Vec<u8>, T),
) -> Result<(), S::Error> {
    sink.put(1, |out| out.push(b'['))?;
    for (i, item) in items.into_iter().enumerate() {
        sink.put(room(&item) + 1, |out| {
            if i > 0 {
                out.push(b',');
            }
            one(out, item);
        })?;
    }
    sink.put(1, |out| out.push(b']'))
}

/// Appends the items of a list, separated by commas.
pub fn list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut one: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        one(out, item);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn golden_floats() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (100.0, "100"),
            (123_456_789.125, "123456789.125"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (1e20, "100000000000000000000"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (1.5e21, "1.5e+21"),
            (1e-6, "0.000001"),
            (1.5e-6, "0.0000015"),
            (9.9e-7, "9.9e-07"),
            (1e-7, "1e-07"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (0.30000000000000004, "0.30000000000000004"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(text(|out| float(out, value)), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn floats_read_back_bit_for_bit(bits: u64) {
            let value = f64::from_bits(bits);
            let printed = text(|out| float(out, value));
            let again: f64 = printed.parse().unwrap();
            proptest::prop_assert!(again.to_bits() == bits || value.is_nan(), "{printed}");
            let exponent = printed.contains('e');
            let magnitude = value.abs();
            let wants = magnitude.is_finite() && magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude);
            proptest::prop_assert_eq!(exponent, wants, "{}", printed);
        }

        #[test]
        fn strings_read_back(original in ".*") {
            let printed = text(|out| string(out, &original));
            let again: String = serde_json::from_str(&printed).unwrap();
            proptest::prop_assert_eq!(again, original);
        }
    }

    #[test]
    fn golden_times() {
        for (ms, expected) in [
            (1_435_781_451_000, "1435781451"),
            (1_435_781_451_781, "1435781451.781"),
            (1_010, "1.010"),
            (5, "0.005"),
            (0, "0"),
            (-1, "-0.001"),
            (-1500, "-1.500"),
        ] {
            assert_eq!(text(|out| time(out, ms)), expected);
        }
    }

    #[test]
    fn strings_cannot_leave_their_quotes_or_a_script_block() {
        let printed = text(|out| string(out, "a\"\\\n\u{1}</script>&\u{2028}é"));
        assert_eq!(printed, r#""a\"\\\n\u0001\u003c/script\u003e\u0026\u2028é""#);
    }
}
