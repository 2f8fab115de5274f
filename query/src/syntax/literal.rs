//! Parses numbers, durations and strings.

use crate::span::Span;
use crate::syntax::lexer::{Fault, Parsed};

/// The units of a duration in the order in which they must be written, with their milliseconds.
pub(super) const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Durations must fit into 64-bit nanoseconds, about 292 years.
pub(super) const DURATION_SECONDS_MAX: f64 = 9_223_372_036.0;

/// Parses a number: decimal with point and exponent, hexadecimal, octal with a leading 0, and underscores between
/// digits.
pub(super) fn number(text: &str, span: Span) -> Parsed<f64> {
    let bad = || Fault::new(span, format!("bad number {text:?}"));
    if !underscores_separate_digits(text) {
        return Err(bad());
    }
    let plain;
    let digits = if text.contains('_') {
        plain = text.replace('_', "");
        plain.as_str()
    } else {
        text
    };
    if let Some(hexadecimal) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return integer(hexadecimal, 16).ok_or_else(bad);
    }
    if digits.len() > 1
        && digits.starts_with('0')
        && let Some(value) = integer(digits, 8)
    {
        return Ok(value);
    }
    let value: f64 = digits.parse().map_err(|_| bad())?;
    if value.is_infinite() {
        return Err(Fault::new(span, format!("number {text} is out of range")));
    }
    Ok(value)
}

/// Parses an integer as a float; `None` if it is not one or does not fit 63 bits.
fn integer(digits: &str, radix: u32) -> Option<f64> {
    i64::from_str_radix(digits, radix).ok().map(|value| value as f64)
}

/// Whether each underscore is between two digits, or after the prefix `0x`.
fn underscores_separate_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    let digit = |index: usize| match bytes.get(index) {
        Some(byte) if hexadecimal => byte.is_ascii_hexdigit(),
        Some(byte) => byte.is_ascii_digit(),
        None => false,
    };
    bytes
        .iter()
        .enumerate()
        .filter(|&(_, &byte)| byte == b'_')
        .all(|(index, _)| index > 0 && digit(index + 1) && (digit(index - 1) || (hexadecimal && index == 2)))
}

/// Parses a duration in seconds: whole numbers with descending units, each at most once.
pub(super) fn duration(text: &str, span: Span) -> Parsed<f64> {
    let milliseconds = duration_ms(text).map_err(|reason| Fault::new(span, reason))?;
    // Two roundings would not always give the float nearest to the written value. A single division does, because
    // milliseconds below 2^53 are exact.
    Ok(milliseconds as f64 / 1000.0)
}

fn duration_ms(text: &str) -> Result<u64, String> {
    let bad = || {
        format!(
            "bad number or duration {text:?}: expected whole numbers with the units y, w, d, h, m, s, ms in this order"
        )
    };
    let out_of_range = || format!("duration {text} is out of range");
    let mut total = 0_u64;
    let mut rest = text;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let (count, after) = rest.split_at(digits);
        let (unit, after) = after.split_at(letters);
        let &(_, unit_ms) = units.find(|&&(name, _)| name == unit).ok_or_else(bad)?;
        if count.is_empty() {
            return Err(bad());
        }
        let count: u64 = count.parse().map_err(|_| out_of_range())?;
        let part = count.checked_mul(unit_ms).ok_or_else(out_of_range)?;
        total = total.checked_add(part).ok_or_else(out_of_range)?;
        rest = after;
    }
    if total as f64 / 1000.0 > DURATION_SECONDS_MAX { Err(out_of_range()) } else { Ok(total) }
}

/// The contents of a quoted string. `span` is its position, including the quotes.
pub(super) fn string(quoted: &str, span: Span) -> Parsed<String> {
    let quote = quoted.as_bytes()[0];
    let inner = &quoted[1..quoted.len() - 1];
    if quote == b'`' || !inner.contains('\\') {
        return Ok(inner.to_owned());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(position) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..position]);
        rest = &rest[position..];
        let Some(length) = unescape(rest, quote, &mut bytes) else {
            let start = span.end as usize - 1 - rest.len();
            let width: usize = rest.chars().take(2).map(char::len_utf8).sum();
            let sequence = &rest[..width];
            return Err(Fault::new(Span::new(start, start + width), format!("unknown escape {sequence}")));
        };
        rest = &rest[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| Fault::new(span, format!("string {quoted} is not UTF-8")))
}

/// Appends the character that the escape at the start of `text` stands for. Returns the length of the escape.
fn unescape(text: &str, quote: u8, out: &mut Vec<u8>) -> Option<usize> {
    let byte = *text.as_bytes().get(1)?;
    let plain = match byte {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' => b'\\',
        _ if byte == quote => quote,
        b'0'..=b'7' => {
            let value = u32::from_str_radix(digits(text, 1, 3)?, 8).ok()?;
            out.push(u8::try_from(value).ok()?);
            return Some(4);
        }
        b'x' => {
            out.push(u8::from_str_radix(digits(text, 2, 2)?, 16).ok()?);
            return Some(4);
        }
        b'u' => return character(text, 4, out),
        b'U' => return character(text, 8, out),
        _ => return None,
    };
    out.push(plain);
    Some(2)
}

fn character(text: &str, width: usize, out: &mut Vec<u8>) -> Option<usize> {
    let value = u32::from_str_radix(digits(text, 2, width)?, 16).ok()?;
    let character = char::from_u32(value)?;
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(2 + width)
}

/// Returns `width` digits of any radix from `start`. A sign, which Rust would accept, is not a digit.
fn digits(text: &str, start: usize, width: usize) -> Option<&str> {
    text.get(start..start + width).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { start: 0, end: 0 };

    #[test]
    fn numbers() {
        let cases = [
            ("1", 1.0),
            (".5", 0.5),
            ("2.", 2.0),
            ("1e3", 1000.0),
            ("1.e-1", 0.1),
            ("0x1F", 31.0),
            ("0X_1f", 31.0),
            ("017", 15.0),
            ("08", 8.0),
            ("0.5", 0.5),
            ("00.5", 0.5),
            ("1_000_000", 1e6),
            ("1_0.2_5e1_0", 10.25e10),
            ("0", 0.0),
        ];
        for (text, value) in cases {
            assert_eq!(number(text, SPAN).expect(text), value, "{text}");
        }
        for text in [
            "1_",
            "1__0",
            "_1",
            "1_.0",
            "1._0",
            "1e_5",
            "0x",
            "0xg",
            "1.2.3",
            "1e",
            "1e400",
            "0xfffffffffffffffff",
        ] {
            assert!(number(text, SPAN).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        let cases = [
            ("5m", 300.0),
            ("1h30m", 5400.0),
            ("1y", 31_536_000.0),
            ("1w2d", 777_600.0),
            ("500ms", 0.5),
            ("1y2w3d4h5m6s7ms", 33_019_506.007),
            ("0s", 0.0),
            ("292y", 9_208_512_000.0),
        ];
        for (text, seconds) in cases {
            assert_eq!(duration(text, SPAN).expect(text), seconds, "{text}");
        }
        for text in
            ["5x", "5m1h", "5m5m", "1.5m", "5", "m", "1ms1s", "5mm", "300y", "99999999999999999999s", "1_0m"]
        {
            assert!(duration(text, SPAN).is_err(), "{text}");
        }
    }

    #[test]
    fn strings() {
        let cases = [
            (r#""a\tb""#, "a\tb"),
            (r#""\a\b\f\n\r\v\\\"""#, "\x07\x08\x0c\n\r\x0b\\\""),
            (r"'\''", "'"),
            (r#""\101\x41\u00e9\U0001F600""#, "AAé😀"),
            (r#""\xc3\xa9""#, "é"),
            (r"`\n`", r"\n"),
            ("\"ü\"", "ü"),
        ];
        for (quoted, text) in cases {
            assert_eq!(string(quoted, Span::new(0, quoted.len())).expect(quoted), text);
        }
        for quoted in [
            r#""\'""#,
            r#""\z""#,
            r#""\x4""#,
            r#""\ud800""#,
            r#""\U00110000""#,
            r#""\400""#,
            r#""\xff""#,
            r#""\x+1""#,
        ] {
            let fault = string(quoted, Span::new(0, quoted.len())).expect_err(quoted);
            assert!(quoted.get(fault.span.start as usize..fault.span.end as usize).is_some(), "{quoted}");
        }
    }
}
