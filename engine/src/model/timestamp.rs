//! Instants as callers see them: a type over the nanoseconds that the engine counts in.
//!
//! Inside the engine an instant is a plain `i64` ([`model::Timestamp`](super::Timestamp)), so that columns of them are
//! columns of integers. The type has the same layout, and converting costs nothing.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NANOS_PER_MILLI: i64 = 1_000_000;
const NANOS_PER_SEC: i64 = 1_000_000_000;
const SECS_PER_DAY: i64 = 86_400;
/// Days of 400 years, after which the calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;

/// An instant: nanoseconds since the Unix epoch, from 1677-09-21 to 2262-04-11.
///
/// Constructors and arithmetic saturate: what is beyond the range is its nearest end. The text is RFC 3339.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use barograph_engine::Timestamp;
///
/// let begin: Timestamp = "2023-11-14T22:13:20Z".parse()?;
/// assert_eq!(begin, Timestamp::from_secs(1_700_000_000));
/// let end = begin + Duration::from_millis(1_500);
/// assert_eq!(end.to_string(), "2023-11-14T22:13:21.5Z");
/// assert_eq!(end.duration_since(begin), Duration::from_millis(1_500));
/// assert!(end < Timestamp::from(SystemTime::now()));
/// # Ok::<(), barograph_engine::model::timestamp::TimestampError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Timestamp(i64);

/// A text that is no timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is no timestamp: expected RFC 3339 such as 2023-11-14T22:13:20.5Z, between 1677-09-21T00:12:44Z and \
     2262-04-11T23:47:16Z"
)]
pub struct TimestampError {
    /// The text, at most 100 characters of it.
    pub found: String,
}

impl Timestamp {
    /// The earliest one.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest one.
    pub const MAX: Timestamp = Timestamp(i64::MAX);
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Timestamp = Timestamp(0);

    /// The time of the system's clock.
    pub fn now() -> Timestamp {
        SystemTime::now().into()
    }

    /// This many nanoseconds after the Unix epoch, negative ones before it.
    pub const fn from_nanos(nanos: i64) -> Timestamp {
        Timestamp(nanos)
    }

    /// This many milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis.saturating_mul(NANOS_PER_MILLI))
    }

    /// This many seconds after the Unix epoch.
    pub const fn from_secs(secs: i64) -> Timestamp {
        Timestamp(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(NANOS_PER_MILLI)
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SEC)
    }

    /// Seconds since the Unix epoch, to the precision of a float.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SEC as f64
    }

    /// The time from `earlier` to this instant; zero if `earlier` is later.
    pub fn duration_since(self, earlier: Timestamp) -> Duration {
        if self <= earlier { Duration::ZERO } else { Duration::from_nanos(self.0.abs_diff(earlier.0)) }
    }
}

/// Nanoseconds of a span, at most as many as an `i64` holds.
fn nanos_of(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(nanos_of(span)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(nanos_of(span)))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl SubAssign<Duration> for Timestamp {
    fn sub_assign(&mut self, span: Duration) {
        *self = *self - span;
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp::UNIX_EPOCH + after,
            Err(before) => Timestamp::UNIX_EPOCH - before.duration(),
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> SystemTime {
        let span = Duration::from_nanos(timestamp.0.unsigned_abs());
        if timestamp.0 < 0 { UNIX_EPOCH - span } else { UNIX_EPOCH + span }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Timestamp {
    /// In UTC, with as many digits of a second as it has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, nanos) = (self.as_secs(), self.0.rem_euclid(NANOS_PER_SEC));
        let (day, second) = (secs.div_euclid(SECS_PER_DAY), secs.rem_euclid(SECS_PER_DAY));
        let (year, month, day) = date_of(day);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if nanos != 0 {
            let digits = format!("{nanos:09}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Reads RFC 3339. Digits beyond nanoseconds are cut off.
    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        parse(text).ok_or_else(|| TimestampError { found: text.chars().take(100).collect() })
    }
}

/// Year, month and day of a day since the Unix epoch.
///
/// The year is taken to begin in March, so that the leap day is its last: H. Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`.
fn date_of(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, day_of_era) = (day.div_euclid(DAYS_PER_ERA), day.rem_euclid(DAYS_PER_ERA));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The inverse of [`date_of`]: `days_from_civil` of the same paper.
fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - 719_468
}

/// `YYYY-MM-DDTHH:MM:SS`, a fraction or none, `Z` or an offset such as `+02:00`.
fn parse(text: &str) -> Option<Timestamp> {
    let number = |text: &str| {
        let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if is_plain { text.parse::<i64>().ok() } else { None }
    };
    let (fixed, rest) = text.split_at_checked(19)?;
    let separators = [(4, b"-".as_slice()), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")];
    if separators.iter().any(|(at, known)| !known.contains(&fixed.as_bytes()[*at])) {
        return None;
    }
    let field = |from: usize, to: usize| number(fixed.get(from..to)?);
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    let day_number = day_of(year, month, day);
    // A date that is none, such as 30 February, is another one.
    if !(1..=12).contains(&month) || date_of(day_number) != (year, month, day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let zone_at = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
    let (fraction, zone) = rest.split_at(zone_at);
    let nanos = match fraction.strip_prefix('.') {
        Some(digits) => number(&format!("{:0<9}", digits.get(..digits.len().min(9))?))
            .filter(|_| !digits.is_empty() && !digits.contains('.'))?,
        None if fraction.is_empty() => 0,
        None => return None,
    };
    let offset = match (zone, zone.as_bytes()) {
        ("Z" | "z", _) => 0,
        (_, [sign @ (b'+' | b'-'), ..]) if zone.len() == 6 && zone.as_bytes()[3] == b':' => {
            let (hours, minutes) = (number(zone.get(1..3)?)?, number(zone.get(4..)?)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3_600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let secs = day_number * SECS_PER_DAY + hour * 3_600 + minute * 60 + second - offset;
    let nanos = i128::from(secs) * i128::from(NANOS_PER_SEC) + i128::from(nanos);
    i64::try_from(nanos).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_of_known_instants() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (1_700_000_000_123_000_000, "2023-11-14T22:13:20.123Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
            (-2_203_891_200_000_000_000, "1900-03-01T00:00:00Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
        ] {
            let timestamp = Timestamp::from_nanos(nanos);
            assert_eq!(timestamp.to_string(), text);
            assert_eq!(text.parse(), Ok(timestamp));
        }
        for (text, secs) in [
            ("1970-01-01t01:00:00+01:00", 0),
            ("1969-12-31 22:30:00.000-01:30", 0),
            ("1970-01-01T00:00:01.9999999999Z", 1),
        ] {
            let parsed: Timestamp = text.parse().expect(text);
            assert_eq!(parsed.as_secs(), secs, "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "now",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.1.2Z",
            "1970-01-01T00:00:001Z",
            "1970-01-01T00:00:00+0100",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:60Z",
            "1970-00-01T00:00:00Z",
            "1970-13-01T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "1970-01-00T00:00:00Z",
            "+970-01-01T00:00:00Z",
            "1970-01-01T00:00:00Zé",
            "1970-01-01T00:00:0é",
            "1677-09-21T00:12:43Z",
            "2262-04-11T23:47:17Z",
        ] {
            let refused = text.parse::<Timestamp>().expect_err(text);
            assert!(refused.to_string().contains("RFC 3339"), "{refused}");
        }
    }

    #[test]
    fn the_ends_of_the_range_hold() {
        let year = Duration::from_secs(366 * 86_400);
        assert_eq!(Timestamp::MAX + year, Timestamp::MAX);
        assert_eq!(Timestamp::MIN - Duration::MAX, Timestamp::MIN);
        assert_eq!(Timestamp::from_secs(i64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::from_millis(i64::MIN), Timestamp::MIN);
        assert_eq!(Timestamp::MIN.duration_since(Timestamp::MAX), Duration::ZERO);
        assert_eq!(Timestamp::MAX.duration_since(Timestamp::MIN), Duration::from_nanos(u64::MAX));
        assert_eq!(Timestamp::from_nanos(-1).as_millis(), -1);
        assert_eq!(size_of::<Timestamp>(), size_of::<i64>());
    }

    proptest! {
        #[test]
        fn texts_and_system_times_read_back(nanos: i64) {
            let timestamp = Timestamp::from_nanos(nanos);
            prop_assert_eq!(timestamp.to_string().parse(), Ok(timestamp));
            prop_assert_eq!(Timestamp::from(SystemTime::from(timestamp)), timestamp);
        }

        #[test]
        fn no_text_panics(text in "[0-9TZ:.+ -]{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
