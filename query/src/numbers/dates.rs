//! Parts of UTC dates, from seconds since the epoch.
//!
//! Days are converted to years, months and days by counting eras of 400 years from 0000-03-01, so that leap days are at
//! the end of a year.

const SECONDS_PER_DAY: i64 = 86_400;

/// The day of a time, and the second within that day. Fractions of a second are truncated.
fn split(seconds: f64) -> (i64, i64) {
    // A year beyond 10^11 is not a date. Casting NaN or such a number stays in bounds.
    let whole = (seconds as i64).clamp(-(1 << 61), 1 << 61);
    (whole.div_euclid(SECONDS_PER_DAY), whole.rem_euclid(SECONDS_PER_DAY))
}

fn date(seconds: f64) -> Date {
    Date::from_days(split(seconds).0)
}

/// `hour`
pub(crate) fn hour(seconds: f64) -> f64 {
    (split(seconds).1 / 3600) as f64
}

/// `minute`
pub(crate) fn minute(seconds: f64) -> f64 {
    (split(seconds).1 % 3600 / 60) as f64
}

/// `day_of_week`, 0 on Sundays.
pub(crate) fn day_of_week(seconds: f64) -> f64 {
    // 1970-01-01 was a Thursday.
    (split(seconds).0 + 4).rem_euclid(7) as f64
}

/// `day_of_month`
pub(crate) fn day_of_month(seconds: f64) -> f64 {
    date(seconds).day as f64
}

/// `day_of_year`
pub(crate) fn day_of_year(seconds: f64) -> f64 {
    let days = split(seconds).0;
    (days - Date::days_before_year(Date::from_days(days).year) + 1) as f64
}

/// `days_in_month`
pub(crate) fn days_in_month(seconds: f64) -> f64 {
    date(seconds).days_in_month() as f64
}

/// `month`
pub(crate) fn month(seconds: f64) -> f64 {
    date(seconds).month as f64
}

/// `year`
pub(crate) fn year(seconds: f64) -> f64 {
    date(seconds).year as f64
}

/// Formats a time as RFC 3339 in UTC.
pub(crate) fn rfc3339_ms(time_ms: i64) -> String {
    let seconds = time_ms.div_euclid(1000);
    let date = Date::from_days(seconds.div_euclid(SECONDS_PER_DAY));
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (of_day / 3600, of_day % 3600 / 60, of_day % 60);
    let fraction = match time_ms.rem_euclid(1000) {
        0 => String::new(),
        ms => format!(".{ms:03}").trim_end_matches('0').to_owned(),
    };
    let Date { year, month, day } = date;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// A day of the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    fn from_days(days: i64) -> Date {
        const DAYS_PER_ERA: i64 = 146_097;
        let from_march_0 = days + 719_468;
        let era = from_march_0.div_euclid(DAYS_PER_ERA);
        let day_of_era = from_march_0.rem_euclid(DAYS_PER_ERA);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Date { year, month, day }
    }

    /// The number of days from the epoch to January 1st.
    fn days_before_year(year: i64) -> i64 {
        let y = year - 1;
        y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) - 719_162
    }

    fn days_in_month(self) -> i64 {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        match self.month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        let date = |days| {
            let d = Date::from_days(days);
            (d.year, d.month, d.day)
        };
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(-1), (1969, 12, 31));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(19_782), (2024, 2, 29));
        assert_eq!(day_of_year(1_704_067_200.0), 1.0, "2024-01-01");
        assert_eq!(day_of_year(1_735_603_200.0), 366.0, "2024-12-31");
        assert_eq!(day_of_week(-1.0), 3.0, "1969-12-31 was a Wednesday");
        assert_eq!(days_in_month(1_709_164_800.0), 29.0);
    }

    #[test]
    fn times_as_text() {
        assert_eq!(rfc3339_ms(1_709_164_801_250), "2024-02-29T00:00:01.25Z");
        assert_eq!(rfc3339_ms(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut before = Date::from_days(-200_000);
        for days in -199_999..200_000 {
            let date = Date::from_days(days);
            let next = (date.year, date.month, date.day);
            let expected = if before.day < before.days_in_month() {
                (before.year, before.month, before.day + 1)
            } else if before.month < 12 {
                (before.year, before.month + 1, 1)
            } else {
                (before.year + 1, 1, 1)
            };
            assert_eq!(next, expected);
            before = date;
        }
    }

    #[test]
    fn no_float_is_too_large() {
        for v in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            for part in [year, day_of_year, minute] {
                part(v);
            }
        }
    }
}
