//! Parses the text of a setting: sizes, durations, counts, switches, addresses.
//!
//! Every setting is first a text, whether it comes from a flag, the environment or the file, so each kind of value has
//! one parser, one printed form, and one set of messages. An error here says what is wrong with the value; the caller
//! adds the setting and where the value came from.

use std::time::Duration;

use barograph::{METRIC_NAME, MatchOp, Matcher};
use barograph::{Precision, UnknownPrecision};

/// Why a text is not a valid value of a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub String);

type Parsed<T> = Result<T, ValueError>;

fn error<T>(message: String) -> Parsed<T> {
    Err(ValueError(message))
}

/// Units of sizes, longest first so that `KiB` is not parsed as `B`.
const SIZES: &[(&str, u64)] = &[
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("b", 1),
];

/// Parses a size in bytes: a whole number with an optional unit (`64MiB`, `10 MB`, `4096`).
///
/// # Errors
/// Not a number, an unknown unit, or outside `min..=max`.
pub fn size(text: &str, min: u64, max: u64) -> Parsed<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let (digits, factor) = SIZES
        .iter()
        .find_map(|(unit, factor)| lower.strip_suffix(unit).map(|rest| (rest.trim_end(), *factor)))
        .unwrap_or((lower.as_str(), 1));
    let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
    match bytes {
        None => error(format!("expected a size such as 64MiB, found {text:?}")),
        Some(n) if n < min || n > max => {
            error(format!("{text} is outside {}..={}", show_size(min), show_size(max)))
        }
        Some(n) => Ok(n),
    }
}

/// Parses a size that caps something; `None` for an empty text and for 0.
///
/// # Errors
/// Same as [`size`].
pub fn cap(text: &str, min: u64, max: u64) -> Parsed<Option<u64>> {
    if matches!(text.trim(), "" | "0") { Ok(None) } else { size(text, min, max).map(Some) }
}

/// Parses a size, or a percentage of `all` (`50%`), of at least `min`.
///
/// # Errors
/// Same as [`size`]; also a percentage outside 1 to 100, or of an unknown amount.
pub fn size_or_percent(text: &str, all: Option<u64>, min: u64, max: u64) -> Parsed<u64> {
    let Some(digits) = text.trim().strip_suffix('%') else { return size(text, min, max) };
    let percent = digits.trim_end().parse::<u64>().ok().filter(|percent| (1..=100).contains(percent));
    let Some(percent) = percent else {
        return error(format!("expected 1% to 100%, or a size such as 64MiB, found {text:?}"));
    };
    match all {
        Some(all) => Ok((all / 100 * percent).clamp(min, max)),
        None => error(format!(
            "cannot take {text}: this system does not say how much memory it has; write a size such as 1GiB"
        )),
    }
}

/// The shortest exact form of a size.
pub fn show_size(bytes: u64) -> String {
    for (unit, factor) in [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

/// Units of durations in milliseconds, in the order in which they must be written.
const DURATIONS: &[(&str, u64)] = &[
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Parses a duration in PromQL's format into milliseconds: `1h30m`, `250ms`, with descending units, each at most once;
/// `0` needs no unit.
///
/// # Errors
/// Anything else, and more than `i64::MAX` nanoseconds.
pub fn duration_ms(text: &str) -> Parsed<u64> {
    if text == "0" {
        return Ok(0);
    }
    let malformed = || ValueError(format!("expected a duration such as 30s or 1h30m, found {text:?}"));
    let mut rest = text;
    let mut total = 0u64;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let amount: u64 = rest[..digits].parse().map_err(|_| malformed())?;
        let unit = &rest[digits..digits + letters];
        let at = DURATIONS[next_unit..].iter().position(|(name, _)| *name == unit).ok_or_else(malformed)?;
        let factor = DURATIONS[next_unit + at].1;
        next_unit += at + 1;
        total = amount.checked_mul(factor).and_then(|ms| total.checked_add(ms)).ok_or_else(malformed)?;
        rest = &rest[digits + letters..];
    }
    if text.is_empty() {
        return Err(malformed());
    }
    if total > i64::MAX as u64 / 1_000_000 {
        return error(format!("duration {text} is longer than 292 years"));
    }
    Ok(total)
}

/// Parses a duration between two bounds.
///
/// # Errors
/// Same as [`duration_ms`], or outside `min..=max`.
pub fn duration(text: &str, min: Duration, max: Duration) -> Parsed<Duration> {
    let parsed = Duration::from_millis(duration_ms(text.trim())?);
    if parsed < min || parsed > max {
        return error(format!("{text} is outside {}..={}", show_duration(min), show_duration(max)));
    }
    Ok(parsed)
}

/// Formats a duration as [`duration`] parses it, largest units first.
pub fn show_duration(duration: Duration) -> String {
    let mut left = duration.as_millis() as u64;
    if left == 0 {
        return "0".to_owned();
    }
    let mut text = String::new();
    // Years and weeks are parsed but not printed, because days are easier to read.
    for (unit, factor) in &DURATIONS[2..] {
        if left >= *factor {
            text.push_str(&format!("{}{unit}", left / factor));
            left %= factor;
        }
    }
    text
}

/// Parses a whole number between two bounds; `_` may group digits.
///
/// # Errors
/// Not a number, or outside `min..=max`.
pub fn count(text: &str, min: u64, max: u64) -> Parsed<u64> {
    match text.trim().replace('_', "").parse::<u64>() {
        Err(_) => error(format!("expected a whole number, found {text:?}")),
        Ok(n) if n < min || n > max => error(format!("{n} is outside {min}..={max}")),
        Ok(n) => Ok(n),
    }
}

/// Parses the label of tenants; empty means none.
///
/// # Errors
/// It is the label of metric names, contains a NUL, or is longer than 256 bytes.
pub fn tenant_label(text: &str) -> Parsed<String> {
    const BYTES_MAX: usize = 256;
    if text == METRIC_NAME || text.contains('\0') || text.len() > BYTES_MAX {
        return error(format!(
            "expected a label other than {METRIC_NAME}, at most {BYTES_MAX} bytes, found {text:?}"
        ));
    }
    Ok(text.to_owned())
}

/// Parses a regular expression that has to match a whole text; empty means unset.
///
/// # Errors
/// The text is not a regular expression.
pub fn pattern(text: &str) -> Parsed<Option<Matcher>> {
    if text.is_empty() {
        return Ok(None);
    }
    match Matcher::new("", MatchOp::Regex, text) {
        Ok(pattern) => Ok(Some(pattern)),
        Err(e) => error(format!("{text:?} is not a regular expression: {e}")),
    }
}

/// Parses a switch: `true`, `false`, `1`, `0`, `yes`, `no`, `on`, `off`.
///
/// # Errors
/// Anything else.
pub fn switch(text: &str) -> Parsed<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => error(format!("expected true or false, found {text:?}")),
    }
}

/// Checks `HOST:PORT` and keeps it as text, because a name is resolved when the socket is bound.
///
/// # Errors
/// No port, a port that is not a number up to 65535, or an empty host.
pub fn address(text: &str) -> Parsed<String> {
    let text = text.trim();
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || port.parse::<u16>().is_err() || (host.contains(':') && !bracketed) {
        return error(format!(
            "expected ADDRESS:PORT such as 127.0.0.1:10130 or [::1]:10130, found {text:?}"
        ));
    }
    Ok(text.to_owned())
}

/// Parses a unit of timestamps, as in the parameter `precision` of writes.
///
/// # Errors
/// The text is not a unit.
pub fn precision(text: &str) -> Parsed<Precision> {
    text.trim().parse().map_err(|e: UnknownPrecision| ValueError(e.to_string()))
}

/// Parses one of a fixed list of words.
///
/// # Errors
/// Anything that is not on the list.
pub fn choice<T: Copy>(text: &str, words: &[(&str, T)]) -> Parsed<T> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text.trim()));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        ValueError(format!("expected one of {}, found {text:?}", words.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_units_and_print_back() {
        for (text, bytes) in
            [("4096", 4096), ("64MiB", 64 << 20), ("1 gib", 1 << 30), ("2KB", 2000), ("7b", 7), ("0", 0)]
        {
            assert_eq!(size(text, 0, u64::MAX), Ok(bytes), "{text}");
            assert_eq!(size(&show_size(bytes), 0, u64::MAX), Ok(bytes));
        }
        for text in ["", "MiB", "-1", "1.5GiB", "1XiB", "99999999999TiB", "1e3"] {
            assert!(size(text, 0, u64::MAX).is_err(), "{text}");
        }
        assert_eq!(size("1KiB", 2048, 4096).unwrap_err().0, "1KiB is outside 2KiB..=4KiB");
    }

    #[test]
    fn caps_may_be_unset_and_percentages_need_to_know_of_what() {
        assert_eq!((cap("", 1, 9), cap("0", 1, 9), cap("5", 1, 9)), (Ok(None), Ok(None), Ok(Some(5))));
        assert!(cap("10", 1, 9).is_err());
        let of = |text, all| size_or_percent(text, all, 64, 6400);
        assert_eq!(of("50%", Some(1000)), Ok(500));
        assert_eq!(of("1 %", Some(1000)), Ok(64), "the least there may be");
        assert_eq!(of("128b", None), Ok(128));
        for text in ["0%", "101%", "%", "-5%", "1.5%", "63", "6401"] {
            assert!(of(text, Some(1000)).is_err(), "{text}");
        }
        assert!(of("50%", None).unwrap_err().0.contains("write a size"));
    }

    #[test]
    fn durations_are_promql_durations() {
        for (text, ms) in [
            ("0", 0),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("1m1ms", 60_001),
            ("1d", 86_400_000),
            ("1w", 604_800_000),
        ] {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
            assert_eq!(duration_ms(&show_duration(Duration::from_millis(ms))), Ok(ms));
        }
        for text in ["", "5", "1m1h", "1s1s", "s", "-1s", "1.5h", "1h ", "300y", "99999999999999999999s"] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_need_host_and_port() {
        for text in ["127.0.0.1:0", "localhost:80", "[::1]:10130", "0.0.0.0:65535"] {
            assert_eq!(address(text).as_deref(), Ok(text));
        }
        for text in ["", "9090", ":9090", "127.0.0.1", "127.0.0.1:x", "h:65536", "::1:80"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn precisions_are_those_of_writes() {
        assert_eq!(precision("ms"), Ok(Precision::Millisecond));
        assert_eq!(precision(" u "), Ok(Precision::Microsecond));
        assert_eq!(
            precision("").unwrap_err().0,
            "unknown precision \"\": expected ns, us, ms, s, m, h or auto"
        );
    }

    #[test]
    fn switches_counts_and_choices() {
        assert_eq!(switch("ON"), Ok(true));
        assert_eq!(switch("no"), Ok(false));
        assert!(switch("maybe").is_err());
        assert_eq!(count("1_000", 0, 5000), Ok(1000));
        assert_eq!(count("6000", 0, 5000).unwrap_err().0, "6000 is outside 0..=5000");
        let words = [("text", 1), ("json", 2)];
        assert_eq!((choice("TEXT", &words), choice(" json ", &words)), (Ok(1), Ok(2)));
        assert_eq!(choice("xml", &words).unwrap_err().0, "expected one of text, json, found \"xml\"");
    }
}
