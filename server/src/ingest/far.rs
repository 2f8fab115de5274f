//! Warns about lines whose times are far from the current time. Nearly always, they were parsed with the wrong unit,
//! and the samples are stored in January 1970, where nobody looks for them.
//!
//! They are stored anyway, because they may be genuinely old measurements.

use std::net::SocketAddr;
use std::time::Duration;

use crate::clock;
use crate::telemetry::Origin;
use crate::telemetry::log::Throttle;
use barograph::{LineReport, Precision};

/// Units of time, finest first.
const UNITS: [Precision; 6] = [
    Precision::Nanosecond,
    Precision::Microsecond,
    Precision::Millisecond,
    Precision::Second,
    Precision::Minute,
    Precision::Hour,
];

/// A misconfigured writer keeps writing: a warning once a minute is enough to find it.
const PAUSE: Duration = Duration::from_secs(60);

static HTTP: Throttle = Throttle::every(PAUSE);
static TCP: Throttle = Throttle::every(PAUSE);
static UDP: Throttle = Throttle::every(PAUSE);

/// Warns about the lines of `report` that are far from the current time. `sender` returns the sender of a body.
pub fn warn(
    report: &LineReport,
    precision: Precision,
    origin: Origin,
    sender: impl Fn(usize) -> Option<SocketAddr>,
) {
    let Some(first) = report.first_far else { return };
    let throttle = match origin {
        Origin::Tcp => &TCP,
        Origin::Udp => &UDP,
        Origin::Http | Origin::RemoteWrite => &HTTP,
    };
    let Some(held_back) = throttle.pass() else { return };
    let sender = sender(first.body).map(|address| address.to_string());
    let what = describe(first.timestamp.as_nanos(), precision, clock::now_ns(), origin);
    tracing::warn!(held_back, lines = report.lines_far, ?origin, sender, "{what}");
}

/// Describes the time of the first such line, the time in the unit that was probably meant, and how to set that unit.
fn describe(timestamp: i64, precision: Precision, now: i64, origin: Origin) -> String {
    let years = LineReport::FAR.as_secs() / (365 * 86_400);
    if precision == Precision::Auto {
        return format!(
            "lines are stored at times more than {years} years from now, as {}; unless that is intended, the \
             sender's clock is wrong",
            show(timestamp)
        );
    }
    let written = timestamp / precision.nanoseconds(0);
    let stored = format!(
        "lines are stored at times more than {years} years from now: {written} read as {precision} is {}",
        show(timestamp)
    );
    let is_near = |time: &i64| Duration::from_nanos(now.abs_diff(*time)) <= LineReport::FAR;
    let meant = UNITS
        .iter()
        .find_map(|unit| written.checked_mul(unit.nanoseconds(0)).filter(is_near).map(|time| (unit, time)));
    match (meant, origin) {
        (Some((unit, time)), Origin::Tcp | Origin::Udp) => {
            format!("{stored}, as {unit} it would be {}: set line_precision to {unit}", show(time))
        }
        (Some((unit, time)), _) => {
            format!("{stored}, as {unit} it would be {}: the client has to send precision={unit}", show(time))
        }
        (None, _) => format!("{stored}; unless that is intended, the sender's clock is wrong"),
    }
}

fn show(nanoseconds: i64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)) {
        Ok(timestamp) => timestamp.to_string(),
        Err(_) => format!("{nanoseconds} ns"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    /// 2026-01-01T00:00:00Z
    const NOW: i64 = 1_767_225_600 * SECOND;

    #[test]
    fn the_unit_that_was_meant_is_named() {
        let say = |timestamp, precision, origin| describe(timestamp, precision, NOW, origin);
        assert_eq!(
            say(1_767_225_600_123, Precision::Nanosecond, Origin::Udp),
            "lines are stored at times more than 10 years from now: 1767225600123 read as ns is \
             1970-01-01T00:29:27.225600123Z, as ms it would be 2026-01-01T00:00:00.123Z: set line_precision to ms"
        );
        assert_eq!(
            say(1_767_225_600_000_000, Precision::Millisecond, Origin::Http),
            "lines are stored at times more than 10 years from now: 1767225600 read as ms is \
             1970-01-21T10:53:45.6Z, as s it would be 2026-01-01T00:00:00Z: the client has to send precision=s"
        );
        let minutes = say(NOW / 60, Precision::Second, Origin::Tcp);
        assert!(
            minutes.contains("29453760 read as s is 1970-12-07T") && minutes.ends_with("line_precision to m")
        );
        assert_eq!(
            say(0, Precision::Nanosecond, Origin::Http),
            "lines are stored at times more than 10 years from now: 0 read as ns is 1970-01-01T00:00:00Z; unless \
             that is intended, the sender's clock is wrong"
        );
        assert_eq!(
            say(86_400 * SECOND, Precision::Auto, Origin::Udp),
            "lines are stored at times more than 10 years from now, as 1970-01-02T00:00:00Z; unless that is \
             intended, the sender's clock is wrong"
        );
        for timestamp in [i64::MIN + 2, i64::MAX - 1, -1, 946_684_800 * SECOND] {
            assert!(
                say(timestamp, Precision::Nanosecond, Origin::Http).ends_with("clock is wrong"),
                "{timestamp}"
            );
        }
    }
}
