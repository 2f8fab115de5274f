//! Times and durations in the formats of the HTTP API.
//!
//! A time is float seconds since 1970 or RFC 3339; a duration is float seconds or `1h30m`. PromQL evaluates at whole
//! milliseconds, so both are rounded to milliseconds. Storage counts nanoseconds in 64 bits, so times between
//! 1677-09-21 and 2262-04-11 can be stored. A time outside this range is moved to its nearer end, since there are no
//! samples beyond.

use barograph::{TimeRange, Timestamp};

use crate::config::values;
use crate::error::ApiError;
use crate::http::params::Params;

/// The largest number of milliseconds that fits into an `i64` as nanoseconds.
pub const TIME_MAX_MS: i64 = i64::MAX / 1_000_000;

/// The texts that Prometheus' client library sends for the smallest and the largest time.
const UNBOUNDED: [(&str, i64); 2] =
    [("-292273086-05-16T16:47:06Z", -TIME_MAX_MS), ("292277025-08-18T07:12:54.999999999Z", TIME_MAX_MS)];

/// Parses a time into milliseconds since 1970.
///
/// # Errors
/// A description of what is wrong with the text.
pub fn time_ms(text: &str) -> Result<i64, String> {
    if let Some((_, ms)) = UNBOUNDED.iter().find(|(known, _)| *known == text) {
        return Ok(*ms);
    }
    if let Some(seconds) = seconds(text) {
        // The conversion from float to integer saturates.
        let ms = (seconds * 1000.0).round() as i64;
        return Ok(ms.clamp(-TIME_MAX_MS, TIME_MAX_MS));
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(timestamp) => {
            let ms = timestamp.as_nanosecond().div_euclid(1_000_000);
            Ok(ms.clamp(-i128::from(TIME_MAX_MS), i128::from(TIME_MAX_MS)) as i64)
        }
        Err(_) => beyond_the_calendar(text).ok_or_else(|| {
            format!("cannot parse {text:?} as a time: expected seconds since 1970 or RFC 3339")
        }),
    }
}

/// The nearest storable time for a well-formed time at the very end of the calendar, such as the end of the year 9999,
/// which the time library cannot represent.
fn beyond_the_calendar(text: &str) -> Option<i64> {
    let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
    let is_whole = pieces.time().is_some() && pieces.offset().is_some();
    match pieces.date().year() {
        9999 if is_whole => Some(TIME_MAX_MS),
        -9999 if is_whole => Some(-TIME_MAX_MS),
        _ => None,
    }
}

/// Parses a finite float in plain notation: no `inf`, `nan`, hexadecimal or spaces.
fn seconds(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    if !plain {
        return None;
    }
    text.parse().ok().filter(|seconds: &f64| seconds.is_finite())
}

/// Rounds seconds to milliseconds, if the result can be stored.
fn to_ms(seconds: f64) -> Option<i64> {
    let ms = (seconds * 1000.0).round() as i64;
    (-TIME_MAX_MS..=TIME_MAX_MS).contains(&ms).then_some(ms)
}

/// Parses a duration into milliseconds. It may be zero or negative only as float seconds.
///
/// # Errors
/// A description of what is wrong with the text.
pub fn duration_ms(text: &str) -> Result<i64, String> {
    if let Some(seconds) = seconds(text) {
        return to_ms(seconds).ok_or_else(|| format!("{text} seconds are more than 292 years"));
    }
    match values::duration_ms(text) {
        Ok(ms) => Ok(ms as i64),
        Err(e) => Err(format!("cannot parse {text:?} as a duration: {e}")),
    }
}

impl Params {
    /// A time parameter.
    ///
    /// # Errors
    /// 400 with the parameter's name.
    pub fn time(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        time_ms(text).map(Some).map_err(|reason| ApiError::parameter(name, reason))
    }

    /// A duration parameter, which must be longer than zero.
    ///
    /// # Errors
    /// 400 with the parameter's name.
    pub fn positive_duration(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match duration_ms(text) {
            Ok(ms) if ms > 0 => Ok(Some(ms)),
            Ok(_) => Err(ApiError::parameter(
                name,
                format!("{text:?} is not at least one millisecond; zero or negative ones are not accepted"),
            )),
            Err(reason) => Err(ApiError::parameter(name, reason)),
        }
    }

    /// `lookback_delta` in milliseconds; `None` for the default if it is missing, zero or negative.
    ///
    /// # Errors
    /// 400 if it is not a duration or, above zero, shorter than a millisecond.
    pub fn lookback(&self) -> Result<Option<i64>, ApiError> {
        let name = "lookback_delta";
        let Some(text) = self.get(name) else { return Ok(None) };
        if seconds(text).is_some_and(|seconds| seconds <= 0.0) {
            return Ok(None);
        }
        match duration_ms(text) {
            Ok(0) if seconds(text).is_none() => Ok(None),
            Ok(0) => Err(ApiError::parameter(name, format!("{text:?} is less than a millisecond"))),
            Ok(ms) => Ok(Some(ms)),
            Err(reason) => Err(ApiError::parameter(name, reason)),
        }
    }

    /// `start` and `end`, both inclusive; missing ones are open.
    ///
    /// # Errors
    /// 400 if one is malformed or `end` is before `start`.
    pub fn range(&self) -> Result<TimeRange, ApiError> {
        let range = self.any_range()?;
        if range.is_empty() {
            return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
        }
        Ok(range)
    }

    /// Like [`Params::range`], but an `end` before `start` gives an empty range.
    ///
    /// # Errors
    /// 400 if one is malformed.
    pub fn any_range(&self) -> Result<TimeRange, ApiError> {
        let start = self.time("start")?.unwrap_or(-TIME_MAX_MS);
        let end = self.time("end")?.unwrap_or(TIME_MAX_MS);
        // The outermost milliseconds include everything that can be stored beyond them.
        let last = if end == TIME_MAX_MS { Timestamp::MAX } else { Timestamp::from_millis(end) };
        let first = if start == -TIME_MAX_MS { Timestamp::MIN } else { Timestamp::from_millis(start) };
        Ok((first..=last).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        for (text, ms) in [
            ("0", 0),
            ("1435781451.781", 1_435_781_451_781),
            ("1435781451.7816", 1_435_781_451_782),
            ("-1.5", -1500),
            ("1e3", 1_000_000),
            ("2015-07-01T20:10:51Z", 1_435_781_451_000),
            ("2015-07-01T20:10:51.781999999Z", 1_435_781_451_781),
            ("2015-07-01T22:10:51+02:00", 1_435_781_451_000),
            ("-292273086-05-16T16:47:06Z", -TIME_MAX_MS),
            ("292277025-08-18T07:12:54.999999999Z", TIME_MAX_MS),
            ("9223372037", TIME_MAX_MS),
            ("1e30", TIME_MAX_MS),
            ("-1e300", -TIME_MAX_MS),
            ("2500-01-01T00:00:00Z", TIME_MAX_MS),
            ("0001-01-01T00:00:00Z", -TIME_MAX_MS),
            ("9999-12-31T23:59:59Z", TIME_MAX_MS),
            ("9999-12-31T23:59:59.999999999-12:00", TIME_MAX_MS),
            ("1700000000000", TIME_MAX_MS),
        ] {
            assert_eq!(time_ms(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn bad_times_are_refused() {
        for text in [
            "",
            "now",
            "nan",
            "NaN",
            "inf",
            "+Inf",
            "-inf",
            "infinity",
            "1e400",
            "0x10",
            "1 ",
            "2015-07-01",
            "2015-13-01T00:00:00Z",
            "1_0",
            "--1",
            ".",
            "e",
        ] {
            assert!(time_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_seconds_or_units() {
        for (text, ms) in [("15", 15_000), ("0.25", 250), ("1h30m", 5_400_000), ("-1", -1000), ("0", 0)] {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "x", "nan", "1e30", "5 m", "-5m", "m"] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_include_both_ends() {
        let params = Params::urlencoded(b"start=1&end=2".to_vec()).unwrap();
        let range = params.range().unwrap();
        assert!(
            range.contains(Timestamp::from_nanos(1_000_000_000))
                && range.contains(Timestamp::from_nanos(2_000_000_000))
        );
        assert!(
            !range.contains(Timestamp::from_nanos(999_999_999))
                && !range.contains(Timestamp::from_nanos(2_000_000_001))
        );
        assert_eq!(Params::default().range().unwrap(), TimeRange::ALL);
        let backwards = Params::urlencoded(b"start=2&end=1".to_vec()).unwrap();
        assert!(backwards.range().is_err() && backwards.any_range().unwrap().is_empty());
        let instant = Params::urlencoded(b"start=2&end=2".to_vec()).unwrap();
        assert!(instant.range().unwrap().contains(Timestamp::from_nanos(2_000_000_000)));
        let step = Params::urlencoded(b"step=0&other=-5".to_vec()).unwrap();
        assert!(step.positive_duration("step").is_err() && step.positive_duration("other").is_err());
    }

    #[test]
    fn a_lookback_of_zero_or_less_is_the_default() {
        let lookback = |text: &str| {
            let params = Params::urlencoded(format!("lookback_delta={text}").into()).unwrap();
            params.lookback()
        };
        for text in ["", "0", "0s", "0ms", "0.0", "-0", "-5", "-0.0001"] {
            assert_eq!(lookback(text).unwrap(), None, "{text}");
        }
        assert_eq!(lookback("30s").unwrap(), Some(30_000));
        assert_eq!(lookback("1.5").unwrap(), Some(1_500));
        for text in ["0.0001", "-5s", "nan", "x"] {
            assert!(lookback(text).is_err(), "{text}");
        }
    }
}
