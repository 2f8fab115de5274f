//! A cursor over one line, and the elements that several kinds of lines share: durations, numbers, strings, label sets.
//!
//! An error states what was expected and what was found; the caller adds the line.

use barograph_engine::model::{Labels, METRIC_NAME, MatchOp, Matcher};

/// Why a part of a line could not be read: text without a position.
pub type Scanned<T> = Result<T, String>;

/// A cursor over one line.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Cursor { text, at: 0 }
    }

    /// The text that has not been read yet.
    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next character, without reading it.
    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Skips blanks.
    pub fn blanks(&mut self) {
        self.while_char(char::is_whitespace);
    }

    /// Skips `token` if it comes next. Returns whether it did.
    pub fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Skips `token`.
    ///
    /// # Errors
    /// Something else comes next.
    pub fn expect(&mut self, token: &str) -> Scanned<()> {
        if self.take(token) { Ok(()) } else { Err(format!("expected {token:?}, found {}", self.found())) }
    }

    /// Reads the longest run of characters for which `accept` returns true.
    pub fn while_char(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !accept(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// A description of what comes next, for messages.
    pub fn found(&self) -> String {
        match self.rest().split_whitespace().next() {
            Some(word) => format!("{word:?}"),
            None => "the end of the line".to_owned(),
        }
    }
}

const UNITS: [(&str, i64); 9] = [
    ("y", 365 * 86_400_000_000_000),
    ("w", 7 * 86_400_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration without sign, in nanoseconds: `1h30m`, `5s`, `250us`, or `0` alone. Units descend, each at most
/// once.
///
/// # Errors
/// No duration comes next, or it does not fit into 64 bits.
/// When no duration comes next or it does not fit in 64 bits.
pub fn duration_ns(cursor: &mut Cursor<'_>) -> Scanned<i64> {
    let begin = cursor.clone();
    let mut total = 0i64;
    let mut units_left = &UNITS[..];
    let mut any = false;
    while cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
        let mark = cursor.clone();
        let digits = cursor.while_char(|c| c.is_ascii_digit());
        let letters = cursor.clone().while_char(|c| c.is_ascii_alphabetic());
        // `x` repeats a duration, so it is never part of the unit.
        let unit = letters.split('x').next().unwrap_or("");
        if unit.is_empty() {
            if !any && digits == "0" {
                return Ok(0);
            }
            *cursor = mark;
            break;
        }
        let position = units_left
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(|| format!("bad unit {unit:?} in duration {}", begin.found()))?;
        let size = units_left[position].1;
        units_left = &units_left[position + 1..];
        cursor.expect(unit)?;
        let count: i64 = digits.parse().map_err(|_| format!("duration {} is too long", begin.found()))?;
        total = count
            .checked_mul(size)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| format!("duration {} is too long", begin.found()))?;
        any = true;
    }
    if any { Ok(total) } else { Err(format!("expected a duration, found {}", begin.found())) }
}

/// The whole of `text` as a duration in nanoseconds.
///
/// # Errors
/// Same as [`duration_ns`], or text follows.
pub fn whole_duration_ns(text: &str) -> Scanned<i64> {
    let mut cursor = Cursor::new(text);
    let duration = duration_ns(&mut cursor)?;
    if cursor.rest().is_empty() { Ok(duration) } else { Err(format!("bad duration {text:?}")) }
}

/// The whole of `text` as a PromQL number: decimal, with an exponent, hexadecimal, or `Inf` and `NaN` in any case, with
/// a sign. `None` if it is not one.
pub fn whole_number(text: &str) -> Option<f64> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let value = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16).ok()? as f64
    } else if digits.eq_ignore_ascii_case("inf") {
        f64::INFINITY
    } else if digits.eq_ignore_ascii_case("nan") {
        f64::NAN
    } else if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        digits.parse().ok()?
    } else {
        return None;
    };
    Some(if negative { -value } else { value })
}

/// Reads a number, including its sign, up to a blank, `x`, a closing bracket or the next sign. Hexadecimal numbers are
/// excluded, since `0x3` means zero, repeated.
///
/// # Errors
/// No number comes next.
pub fn number(cursor: &mut Cursor<'_>) -> Scanned<f64> {
    let mut ahead = cursor.clone();
    let begin = ahead.rest();
    if !ahead.take("-") {
        ahead.take("+");
    }
    let word = ahead.clone().while_char(|c| c.is_ascii_alphabetic());
    let word = word.split('x').next().unwrap_or("");
    if word.is_empty() {
        ahead.while_char(|c| c.is_ascii_digit() || c == '.');
        if ahead.peek().is_some_and(|c| c == 'e' || c == 'E') {
            ahead.take("e");
            ahead.take("E");
            if !ahead.take("-") {
                ahead.take("+");
            }
            ahead.while_char(|c| c.is_ascii_digit());
        }
    } else {
        ahead.expect(word)?;
    }
    let text = &begin[..begin.len() - ahead.rest().len()];
    match whole_number(text) {
        Some(value) => {
            *cursor = ahead;
            Ok(value)
        }
        None => Err(format!("expected a number, found {}", cursor.found())),
    }
}

/// Reads a string in `"…"`, `'…'` (with Go's escapes) or backticks (raw).
///
/// # Errors
/// No string comes next, it does not end, or an escape is unknown.
pub fn string(cursor: &mut Cursor<'_>) -> Scanned<String> {
    if cursor.take("`") {
        let raw = cursor.while_char(|c| c != '`').to_owned();
        cursor.expect("`")?;
        return Ok(raw);
    }
    let quote = match cursor.peek() {
        Some(c @ ('"' | '\'')) => c,
        _ => return Err(format!("expected a string, found {}", cursor.found())),
    };
    let (open, escape) = (quote.to_string(), "\\");
    cursor.expect(&open)?;
    let mut bytes = Vec::new();
    loop {
        bytes.extend_from_slice(cursor.while_char(|c| c != quote && c != '\\').as_bytes());
        if cursor.take(&open) {
            return String::from_utf8(bytes).map_err(|_| "a string is not valid UTF-8".to_owned());
        }
        if !cursor.take(escape) {
            return Err("a string does not end".to_owned());
        }
        escaped(cursor, &mut bytes)?;
    }
}

/// Reads what follows a backslash.
fn escaped(cursor: &mut Cursor<'_>, bytes: &mut Vec<u8>) -> Scanned<()> {
    let kind = cursor.peek().ok_or("a string does not end")?;
    if kind.is_digit(8) {
        bytes.push(digits(cursor, 3, 8)? as u8);
        return Ok(());
    }
    cursor.expect(&kind.to_string())?;
    let plain = match kind {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '\'' => b'\'',
        '"' => b'"',
        'x' => digits(cursor, 2, 16)? as u8,
        'u' | 'U' => {
            let code = digits(cursor, if kind == 'u' { 4 } else { 8 }, 16)?;
            let c = char::from_u32(code).ok_or_else(|| format!("{code:#x} is not a character"))?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        other => return Err(format!("unknown escape \\{other} in a string")),
    };
    bytes.push(plain);
    Ok(())
}

fn digits(cursor: &mut Cursor<'_>, count: usize, radix: u32) -> Scanned<u32> {
    let text = cursor.rest().get(..count).ok_or("an escape in a string is cut short")?;
    let value = u32::from_str_radix(text, radix).map_err(|_| format!("bad digits {text:?} in an escape"))?;
    cursor.expect(text)?;
    Ok(value)
}

/// Reads `metric{label="value", …}`. Names may be quoted; a quoted name alone is the name of the metric.
///
/// # Errors
/// It is malformed, or uses an operator other than `=`.
pub fn labels(cursor: &mut Cursor<'_>) -> Scanned<Labels> {
    let mut pairs = Vec::new();
    for matcher in matchers(cursor)? {
        if matcher.op != MatchOp::Equal {
            return Err(format!("a series is written with =, not {matcher}"));
        }
        pairs.push((matcher.name, matcher.value));
    }
    Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).map_err(|e| e.to_string())
}

/// Reads a selector: like [`labels`], with all four operators.
///
/// # Errors
/// It is malformed.
pub fn matchers(cursor: &mut Cursor<'_>) -> Scanned<Vec<Matcher>> {
    let mut found = Vec::new();
    let name = cursor.while_char(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("a metric name may not begin with a digit: {name:?}"));
    }
    if !name.is_empty() {
        found.push(Matcher::equal(METRIC_NAME, name));
    }
    if !cursor.take("{") {
        if name.is_empty() {
            return Err(format!("expected a series, found {}", cursor.found()));
        }
        return Ok(found);
    }
    loop {
        cursor.blanks();
        if cursor.take("}") {
            return Ok(found);
        }
        found.push(matcher(cursor)?);
        cursor.blanks();
        if !cursor.take(",") && cursor.peek() != Some('}') {
            return Err(format!("expected \",\" or \"}}\", found {}", cursor.found()));
        }
    }
}

fn matcher(cursor: &mut Cursor<'_>) -> Scanned<Matcher> {
    let quoted = matches!(cursor.peek(), Some('"' | '\'' | '`'));
    let name = if quoted {
        string(cursor)?
    } else {
        let name = cursor.while_char(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        if name.is_empty() {
            return Err(format!("expected a label name, found {}", cursor.found()));
        }
        name.to_owned()
    };
    cursor.blanks();
    let op = [MatchOp::Regex, MatchOp::NotRegex, MatchOp::NotEqual, MatchOp::Equal]
        .into_iter()
        .find(|op| cursor.take(op.as_str()));
    let Some(op) = op else {
        if quoted && matches!(cursor.peek(), Some(',' | '}')) {
            return Ok(Matcher::equal(METRIC_NAME, &name));
        }
        return Err(format!("expected an operator after label {name:?}, found {}", cursor.found()));
    };
    cursor.blanks();
    let value = string(cursor)?;
    Matcher::new(&name, op, &value).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        for (text, want) in [
            ("0", 0),
            ("0s", 0),
            ("5m", 300_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("10s53ms", 10_053_000_000),
            ("250us", 250_000),
            ("3ns", 3),
        ] {
            assert_eq!(whole_duration_ns(text), Ok(want), "{text}");
        }
        for text in ["", "5", "m", "5m5m", "5m1h", "1.5m", "-5m", "5mx2", "5q", "9223372036854775807y"] {
            assert!(whole_duration_ns(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_stop_where_the_repetition_begins() {
        for (text, want, rest) in [
            ("1+2x3", 1.0, "+2x3"),
            ("-1.5e-3x2", -0.0015, "x2"),
            ("1e+100", 1e100, ""),
            ("0x10", 0.0, "x10"),
            ("Inf-1x2", f64::INFINITY, "-1x2"),
            ("-infx2", f64::NEG_INFINITY, "x2"),
            (".5]", 0.5, "]"),
        ] {
            let mut cursor = Cursor::new(text);
            assert_eq!(number(&mut cursor), Ok(want), "{text}");
            assert_eq!(cursor.rest(), rest, "{text}");
        }
        assert_eq!(whole_number("0x10"), Some(16.0));
        assert!(whole_number("NaN").unwrap().is_nan());
        for text in ["", "-", "infinity", "1.2.3", "foo", "1 2", "{}"] {
            assert_eq!(whole_number(text), None, "{text}");
        }
    }

    #[test]
    fn strings_know_gos_escapes() {
        for (text, want) in [
            (r#""a\"b""#, "a\"b"),
            (r"'it\'s'", "it's"),
            (r"`a\n`", r"a\n"),
            (r#""\x41\101\u00e9\U0001F600\t""#, "AA\u{e9}\u{1F600}\t"),
        ] {
            assert_eq!(string(&mut Cursor::new(text)).as_deref(), Ok(want), "{text}");
        }
        for text in [r#""a"#, r#""\q""#, r#""\u12""#, r#""\xff""#, "abc", r#""\ud800""#] {
            assert!(string(&mut Cursor::new(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn label_sets() {
        for (text, want) in [
            ("up", "up"),
            ("{}", "{}"),
            (r#"up{job="a", x='b',}"#, r#"up{job="a", x="b"}"#),
            (r#"{"my.metric", "a.b"="c"}"#, r#"my.metric{a.b="c"}"#),
            (r#"bool{on="x"}@st"#, r#"bool{on="x"}"#),
        ] {
            assert_eq!(labels(&mut Cursor::new(text)).unwrap().to_string(), want, "{text}");
        }
        for text in ["", "{a}", "{a=}", r#"{a="b" c="d"}"#, r#"{a="b""#, r#"{a=~"b"}"#, r#"{a="1",a="2"}"#] {
            assert!(labels(&mut Cursor::new(text)).is_err(), "{text}");
        }
        assert_eq!(matchers(&mut Cursor::new(r#"up{a!~"x|y"}"#)).unwrap()[1].to_string(), r#"a!~"x|y""#);
    }

    proptest! {
        #[test]
        fn printed_numbers_are_read_back(value in any::<f64>()) {
            let mut cursor = Cursor::new("");
            let text = format!("{value:?}");
            cursor.text = &text;
            let got = number(&mut cursor).unwrap();
            prop_assert!(got == value || got.is_nan() && value.is_nan());
        }

        #[test]
        fn hostile_lines_never_panic(text in "[-+.x0-9eInfNa{}\"'`\\\\=~!, é]{0,40}") {
            let mut cursor = Cursor::new(&text);
            let _ = matchers(&mut cursor);
            let _ = number(&mut Cursor::new(&text));
            let _ = duration_ns(&mut Cursor::new(&text));
            let _ = string(&mut Cursor::new(&text));
        }
    }
}
