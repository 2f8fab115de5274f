//! Ladders: what is kept of some series.

use std::fmt;
use std::time::Duration;

use super::tiers::{self, Tier, Tiers};
use crate::Error;
use crate::model::{Duplicates, Matcher, Resolution};

/// What is kept of the series that match a selector: how long samples and buckets are kept, in place of
/// [`Options::retention`](crate::Options::retention) and [`Options::tiers`](crate::Options::tiers); which of several samples
/// counts, in place of [`Options::duplicates`](crate::Options::duplicates); whether the series are counters.
///
/// ```
/// use barograph_engine::Ladder;
/// use barograph_engine::model::Matcher;
/// let ladder = Ladder::new(vec![Matcher::equal("job", "billing")], "raw 30d, 1h 5y").unwrap();
/// assert_eq!(ladder.to_string(), "{job=\"billing\"} -> raw 30d, 1h 5y");
/// assert!(Ladder::new(vec![Matcher::equal("job", "billing")], "raw 30d, 1h 7d").is_err());
/// let ladder = Ladder::new(vec![Matcher::equal("job", "pair")], "raw 30d, duplicates max").unwrap();
/// assert_eq!(ladder.duplicates, Some(barograph_engine::Duplicates::Max));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ladder {
    /// The series: those that match all of these.
    pub selector: Vec<Matcher>,
    /// How long raw samples are kept; zero: for ever.
    pub retention: Duration,
    /// The tiers, ascending by width. Those that other ladders name are kept as long as raw samples.
    pub tiers: Tiers,
    /// Which of several samples of a series with the same timestamp counts; `None`: what the options say.
    pub duplicates: Option<Duplicates>,
    /// Whether the series are counters; `None`: metadata or names say so. Of counters, buckets keep increases and no sums.
    pub is_counter: Option<bool>,
}

/// The name of raw samples among the steps.
const RAW: &str = "raw";
/// The names of the last steps: a rule for duplicates, and the type of the metrics.
const DUPLICATES: &str = "duplicates";
const TYPE: &str = "type";
/// The types.
const TYPES: [(&str, bool); 2] = [("counter", true), ("gauge", false)];
/// The maximum number of ladders: each is compared with all series that are merged.
const LADDERS_MAX: usize = 64;

impl Ladder {
    /// Checks the number of ladders of a database.
    ///
    /// # Errors
    /// [`Error::Option`] beyond 64.
    pub fn check_number(number: usize) -> crate::Result<()> {
        match number {
            ..=LADDERS_MAX => Ok(()),
            _ => Err(Error::Option {
                name: "ladders",
                reason: format!("{number} are more than {LADDERS_MAX}"),
            }),
        }
    }

    /// A ladder with these steps, separated by commas: `raw` with a time; tiers as in [`Tiers`], narrowest first; `duplicates`
    /// with a rule ([`Duplicates`]); `type counter` or `type gauge`. Without a time, or without `raw`, data is kept for ever.
    ///
    /// # Errors
    /// There is no matcher, or a step is wrong: what, and what is expected.
    pub fn new(selector: Vec<Matcher>, steps: &str) -> Result<Ladder, String> {
        let (steps, duplicates, is_counter) = split_rules(steps.trim())?;
        let (first, rest) = steps.split_once(',').unwrap_or((steps, ""));
        let (retention, tiers) = match first.split_whitespace().collect::<Vec<_>>()[..] {
            [RAW] => (Duration::ZERO, rest),
            [RAW, keep] => (tiers::parse_keep(keep)?, rest),
            _ => (Duration::ZERO, steps),
        };
        let ladder = Ladder { selector, retention, tiers: tiers.parse()?, duplicates, is_counter };
        ladder.fault().map_or(Ok(ladder), Err)
    }

    /// The ladder of all series that no other selects.
    pub(crate) fn rest(retention: Duration, tiers: Tiers) -> Ladder {
        Ladder { selector: Vec::new(), retention, tiers, duplicates: None, is_counter: None }
    }

    /// What is wrong with it.
    pub(super) fn fault(&self) -> Option<String> {
        if self.selector.is_empty() {
            return Some("a ladder needs a selector with a matcher".to_owned());
        }
        if self.tiers.is_automatic() {
            return Some("a ladder names its tiers; `auto` is a choice for the database".to_owned());
        }
        if let Some(why) = self.tiers.fault() {
            return Some(why);
        }
        let shorter = self.tiers.shorter_than(self.retention)?;
        Some(format!("{} must be kept at least as long as raw samples", shorter.resolution))
    }

    /// How long a tier is kept; zero: for ever. That is at least as long as raw samples, also of the options' tiers.
    pub(crate) fn keep(&self, resolution: Resolution) -> Duration {
        let named = self.tiers.iter().filter(|tier| tier.resolution == resolution);
        longest(named.map(|tier| tier.keep).chain([self.retention]))
    }
}

/// The steps that say what is kept, and the rules after them.
fn split_rules(mut steps: &str) -> Result<(&str, Option<Duplicates>, Option<bool>), String> {
    let (mut duplicates, mut is_counter) = (None, None);
    loop {
        let (before, last) = steps.rsplit_once(',').unwrap_or(("", steps));
        let is_new = match last.split_whitespace().collect::<Vec<_>>()[..] {
            [DUPLICATES, rule] => duplicates.replace(rule.parse()?).is_none(),
            [TYPE, name] => is_counter.replace(parse_type(name)?).is_none(),
            [name @ (DUPLICATES | TYPE), ..] => {
                let example = if name == TYPE { "type counter" } else { "duplicates max" };
                return Err(format!("{:?} needs one word, such as `{example}`", last.trim()));
            }
            // As among tiers, a comma may be left over.
            [] if !before.is_empty() => true,
            _ => break,
        };
        if !is_new {
            return Err(format!("{:?}: there is another step of this kind", last.trim()));
        }
        steps = before;
    }
    let is_rule = |step: &str| matches!(step.split_whitespace().next(), Some(DUPLICATES | TYPE));
    match steps.split(',').find(|step| is_rule(step)) {
        Some(rule) => Err(format!("`{}` must come after what is kept", rule.trim())),
        None => Ok((steps, duplicates, is_counter)),
    }
}

fn parse_type(name: &str) -> Result<bool, String> {
    let found = TYPES.into_iter().find(|(known, _)| *known == name);
    found
        .map(|(_, is_counter)| is_counter)
        .ok_or_else(|| format!("{name:?} is not a type; expected counter or gauge"))
}

impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matchers: Vec<String> = self.selector.iter().map(Matcher::to_string).collect();
        write!(f, "{{{}}} -> {RAW}", matchers.join(","))?;
        if !self.retention.is_zero() {
            write!(f, " {}", tiers::shown(self.retention))?;
        }
        if !self.tiers.is_empty() {
            write!(f, ", {}", self.tiers)?;
        }
        if let Some(rule) = self.duplicates {
            write!(f, ", {DUPLICATES} {rule}")?;
        }
        let stated = TYPES.into_iter().find(|(_, is_counter)| Some(*is_counter) == self.is_counter);
        stated.map_or(Ok(()), |(name, _)| write!(f, ", {TYPE} {name}"))
    }
}

/// The tiers of several ladders, ascending by width, each with the longest time that one keeps it; zero is for ever.
///
/// # Errors
/// A tier cannot be built from the next narrower one.
pub(crate) fn tiers_of<'l>(ladders: impl Iterator<Item = &'l Ladder> + Clone) -> Result<Vec<Tier>, String> {
    let mut all: Vec<Resolution> =
        ladders.clone().flat_map(|ladder| ladder.tiers.iter().map(|tier| tier.resolution)).collect();
    all.sort_unstable_by_key(|resolution| resolution.width_ns());
    all.dedup();
    for pair in all.windows(2) {
        if pair[1].width_ns() % pair[0].width_ns() != 0 {
            return Err(format!("{} is not a multiple of {}, from which it is built", pair[1], pair[0]));
        }
    }
    let keep = |resolution| longest(ladders.clone().map(|ladder| ladder.keep(resolution)));
    Ok(all.into_iter().map(|resolution| Tier { resolution, keep: keep(resolution) }).collect())
}

/// The longest of several times to keep data, of which zero is for ever.
pub(crate) fn longest(keeps: impl Iterator<Item = Duration>) -> Duration {
    let key = |keep: &Duration| if keep.is_zero() { Duration::MAX } else { *keep };
    keeps.max_by_key(key).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(job: &str, steps: &str) -> Result<Ladder, String> {
        Ladder::new(vec![Matcher::equal("job", job)], steps)
    }

    #[test]
    fn what_is_parsed_is_shown() {
        for (steps, shown) in [
            ("raw 3d", "raw 3d"),
            (" raw  36h ,5m 90d,1h", "raw 36h, 5m 90d, 1h"),
            ("5m, 1h", "raw, 5m, 1h"),
            ("", "raw"),
            ("duplicates first", "raw, duplicates first"),
            ("raw 3d,duplicates  max", "raw 3d, duplicates max"),
            ("raw 3d, 5m 90d, duplicates last ", "raw 3d, 5m 90d, duplicates last"),
            ("1h, type gauge", "raw, 1h, type gauge"),
            ("raw, type counter, duplicates max", "raw, duplicates max, type counter"),
            ("raw, 1h, , duplicates max, ", "raw, 1h, duplicates max"),
        ] {
            assert_eq!(job("a", steps).unwrap().to_string(), format!("{{job=\"a\"}} -> {shown}"));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (steps, why) in [
            ("raw 3", "\"3\" is not a time to keep a tier, such as 90d or 3y"),
            ("raw 3d, 1h 2d", "1h must be kept at least as long as raw samples"),
            ("raw, 1h 2d", "1h must be kept at least as long as raw samples"),
            ("raw, duplicates", "\"duplicates\" needs one word, such as `duplicates max`"),
            ("raw, duplicates max min", "\"duplicates max min\" needs one word, such as `duplicates max`"),
            ("raw, type", "\"type\" needs one word, such as `type counter`"),
            ("raw, type summary", "\"summary\" is not a type; expected counter or gauge"),
            ("type gauge, type counter", "\"type gauge\": there is another step of this kind"),
            ("duplicates max, raw", "`duplicates max` must come after what is kept"),
            (
                "raw, duplicates newest",
                "\"newest\" is not a rule for duplicates; expected one of last, first, max, min",
            ),
            ("auto", "a ladder names its tiers; `auto` is a choice for the database"),
            (
                "raw 3d 4d",
                "\"raw\" is not a resolution; expected one of 1m, 5m, 10m, 15m, 30m, 1h, 2h, 3h, 6h, 12h, 1d",
            ),
        ] {
            assert_eq!(job("a", steps).unwrap_err(), why, "{steps}");
        }
        let none = Ladder::new(Vec::new(), "raw 3d").unwrap_err();
        assert_eq!(none, "a ladder needs a selector with a matcher");
        let built = |tiers| Ladder { tiers, ..job("a", "raw").unwrap() }.fault().unwrap();
        assert!(built(Tiers::automatic()).starts_with("a ladder names its tiers"));
        let twice = Tier { resolution: Resolution::parse("1h").unwrap(), keep: Duration::ZERO };
        assert_eq!(built([twice, twice].into_iter().collect()), "1h must come before 1h");
    }

    #[test]
    fn a_tier_is_kept_as_long_as_one_of_the_ladders_keeps_it() {
        let all = [job("a", "raw 1d, 5m 90d").unwrap(), job("b", "raw 100d, 1h 3y").unwrap()];
        let shown = |ladders: &[Ladder]| {
            let tiers = tiers_of(ladders.iter())?;
            Ok::<_, String>(
                tiers
                    .iter()
                    .map(|tier| (tier.resolution.name(), tier.keep.as_secs() / 86_400))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(shown(&all).unwrap(), [("5m", 100), ("1h", 3 * 365)]);
        let for_ever = job("c", "raw").unwrap();
        assert_eq!(shown(&[all[0].clone(), for_ever]).unwrap(), [("5m", 0)]);
        let odd = [job("a", "10m").unwrap(), job("b", "15m").unwrap()];
        assert_eq!(shown(&odd).unwrap_err(), "15m is not a multiple of 10m, from which it is built");
    }
}
