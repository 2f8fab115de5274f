//! The tiers of buckets that a database keeps beside raw samples.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::model::Resolution;

/// A tier of buckets: its resolution, and how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tier {
    /// The width of its buckets.
    pub resolution: Resolution,
    /// How long its buckets are kept; zero: for ever.
    pub keep: Duration,
}

/// The tiers of a database, ascending by width; each is kept at least as long as the one before it. Or the compactor
/// chooses them ([`Tiers::automatic`]).
///
/// ```
/// use barograph_engine::Tiers;
/// let tiers: Tiers = "5m 90d, 1h 3y".parse().unwrap();
/// assert_eq!(tiers.to_string(), "5m 90d, 1h 3y");
/// assert!("1h 3y, 5m 90d".parse::<Tiers>().is_err());
/// assert_eq!("auto".parse(), Ok(Tiers::automatic()));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tiers {
    listed: Vec<Tier>,
    is_automatic: bool,
}

/// The units of a duration and their seconds, largest first.
const UNITS: [(char, u64); 5] =
    [('y', 365 * 86_400), ('w', 7 * 86_400), ('d', 86_400), ('h', 3_600), ('m', 60)];
/// The longest time to keep a tier: a thousand years, seconds.
const KEEP_MAX: u64 = 1_000 * 365 * 86_400;

/// What stands for a choice by the compactor, and for no tiers.
const AUTOMATIC: &str = "auto";
const NONE: &str = "none";

impl Tiers {
    /// Tiers that the compactor chooses among 1h, 6h and 1d: for each class of series (counters or not, with native histograms
    /// or not, by the distance of samples) the narrowest whose buckets hold at least 30 samples and take at most a quarter of
    /// the bytes of raw samples, if the class has a twentieth of these bytes. It is measured on the newest merged partitions
    /// with at least 24 buckets a series. A tier omits the buckets of the classes that it is not worth it for: they are
    /// computed from samples. Tiers are kept as long as raw samples, and extended even if the samples change. A tier that was
    /// named earlier and reaches back further than raw samples stays as it is, and there is no other. If none is worth it,
    /// there is no tier until one is.
    pub fn automatic() -> Tiers {
        Tiers { listed: Vec::new(), is_automatic: true }
    }

    /// Whether the compactor chooses.
    pub fn is_automatic(&self) -> bool {
        self.is_automatic
    }

    /// The tiers that are listed, ascending by width.
    pub fn iter(&self) -> impl Iterator<Item = &Tier> {
        self.listed.iter()
    }

    /// Why tiers that a program has put together cannot be written as text, which is how they are stored.
    pub(super) fn fault(&self) -> Option<String> {
        match self.to_string().parse::<Tiers>() {
            Ok(read) if read == *self => None,
            Ok(_) => Some("a tier is kept for whole minutes".to_owned()),
            Err(why) => Some(why),
        }
    }

    /// The first that is kept shorter than a time, of which zero is for ever.
    pub(super) fn shorter_than(&self, retention: Duration) -> Option<&Tier> {
        let is_shorter =
            |tier: &&Tier| !tier.keep.is_zero() && (retention.is_zero() || tier.keep < retention);
        self.iter().find(is_shorter)
    }

    /// Whether there are none, now and later.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && !self.is_automatic
    }
}

impl FromIterator<Tier> for Tiers {
    /// Tiers that ascend by width. [`Options::validate`](crate::Options::validate) refuses those that no text describes.
    fn from_iter<I: IntoIterator<Item = Tier>>(tiers: I) -> Tiers {
        Tiers { listed: tiers.into_iter().collect(), is_automatic: false }
    }
}

impl FromStr for Tiers {
    type Err = String;

    /// Parses tiers separated by commas, each a resolution and, unless it is kept for ever, a duration; or `auto`, or
    /// `none`.
    fn from_str(text: &str) -> Result<Tiers, String> {
        match text.trim() {
            AUTOMATIC => return Ok(Tiers::automatic()),
            NONE => return Ok(Tiers::default()),
            _ => {}
        }
        let mut tiers: Vec<Tier> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let tier = parse_tier(part)?;
            if let Some(last) = tiers.last() {
                if last.resolution.width_ns() >= tier.resolution.width_ns() {
                    return Err(format!("{} must come before {}", tier.resolution, last.resolution));
                }
                if tier.resolution.width_ns() % last.resolution.width_ns() != 0 {
                    let (wide, narrow) = (tier.resolution, last.resolution);
                    return Err(format!("{wide} is not a multiple of {narrow}, from which it is built"));
                }
                if !tier.keep.is_zero() && (last.keep.is_zero() || last.keep > tier.keep) {
                    let (wide, narrow) = (tier.resolution, last.resolution);
                    return Err(format!("{wide} must be kept at least as long as {narrow}"));
                }
            }
            tiers.push(tier);
        }
        Ok(Tiers { listed: tiers, is_automatic: false })
    }
}

fn parse_tier(part: &str) -> Result<Tier, String> {
    let mut words = part.split_whitespace();
    let name = words.next().unwrap_or_default();
    let known = || Resolution::all().map(Resolution::name).collect::<Vec<_>>().join(", ");
    let resolution = Resolution::parse(name)
        .ok_or_else(|| format!("{name:?} is not a resolution; expected one of {}", known()))?;
    let keep = match words.next() {
        None => Duration::ZERO,
        Some(keep) => parse_keep(keep)?,
    };
    match words.next() {
        None => Ok(Tier { resolution, keep }),
        Some(more) => Err(format!("unexpected {more:?} after {name} {}", shown(keep))),
    }
}

pub(super) fn parse_keep(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time to keep a tier, such as 90d or 3y");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let (_, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    match number.checked_mul(seconds).filter(|seconds| (1..=KEEP_MAX).contains(seconds)) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err(format!("{text:?} is not between 1m and 1000y; leave it out to keep the tier for ever")),
    }
}

pub(super) fn shown(keep: Duration) -> String {
    let seconds = keep.as_secs();
    let unit = UNITS.into_iter().find(|(_, unit)| seconds.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{seconds}s"), |(name, unit)| format!("{}{name}", seconds / unit))
}

impl fmt::Display for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_automatic {
            return f.write_str(AUTOMATIC);
        }
        for (at, Tier { resolution, keep }) in self.listed.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{resolution}")?;
            if !keep.is_zero() {
                write!(f, " {}", shown(*keep))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_parsed_is_shown() {
        for text in ["", "auto", "1h", "5m 90d, 1h 3y", "1m 36h, 1h 2w, 1d"] {
            assert_eq!(text.parse::<Tiers>().unwrap().to_string(), text);
        }
        assert_eq!(" 5m 2160h ,1h ".parse::<Tiers>().unwrap().to_string(), "5m 90d, 1h");
        assert_eq!("none".parse(), Ok(Tiers::default()));
        assert!(Tiers::default().is_empty() && !Tiers::automatic().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            (
                "7m",
                "\"7m\" is not a resolution; expected one of 1m, 5m, 10m, 15m, 30m, 1h, 2h, 3h, 6h, 12h, 1d",
            ),
            ("1h, 5m", "5m must come before 1h"),
            ("1h, 1h", "1h must come before 1h"),
            ("10m, 15m", "15m is not a multiple of 10m, from which it is built"),
            ("5m 90d, 1h 30d", "1h must be kept at least as long as 5m"),
            ("5m, 1h 30d", "1h must be kept at least as long as 5m"),
            ("1h 3", "\"3\" is not a time to keep a tier, such as 90d or 3y"),
            ("1h d", "\"d\" is not a time to keep a tier, such as 90d or 3y"),
            ("1h 0d", "\"0d\" is not between 1m and 1000y; leave it out to keep the tier for ever"),
            ("1h 3y ago", "unexpected \"ago\" after 1h 3y"),
        ] {
            assert_eq!(text.parse::<Tiers>().unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn tiers_that_a_program_puts_together_have_the_rules_of_texts() {
        let tier = |name: &str, keep| Tier { resolution: Resolution::parse(name).unwrap(), keep };
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        for (tiers, why) in [
            (vec![tier("5m", minutes(90)), tier("1h", Duration::ZERO)], None),
            (vec![], None),
            (vec![tier("1h", minutes(60)), tier("5m", minutes(60))], Some("5m must come before 1h")),
            (
                vec![tier("1h", minutes(60) + Duration::from_secs(1))],
                Some("\"3601s\" is not a time to keep a tier"),
            ),
            (
                vec![tier("1h", minutes(60) + Duration::from_millis(1))],
                Some("a tier is kept for whole minutes"),
            ),
        ] {
            let fault = tiers.iter().copied().collect::<Tiers>().fault();
            assert_eq!(fault.is_some(), why.is_some(), "{fault:?}");
            assert!(fault.unwrap_or_default().starts_with(why.unwrap_or_default()), "{tiers:?}");
        }
        assert_eq!(Tiers::automatic().fault(), None);
    }
}
