//! What is kept of which series, and for how long.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::duration_ns;
use crate::model::{BySeries, Labels, Resolution, SeriesSet, TierId, Timestamp};
use crate::options::{Kept, Ladder, Tier, longest, tiers_of};

impl Kept {
    /// The tiers of the database, narrowest first, each with the longest time that some series keep it. `chosen` are those
    /// that the compactor has chosen; they count if it may choose.
    pub(in crate::engine) fn all_tiers(&self, chosen: &[Resolution]) -> Vec<Tier> {
        let rest = self.rest(chosen);
        if self.ladders.is_empty() {
            return rest.tiers.iter().copied().collect();
        }
        // The options have been validated.
        tiers_of(self.ladders.iter().chain([&rest])).unwrap_or_default()
    }

    /// Whether the compactor may choose tiers: none is named.
    pub(in crate::engine) fn is_automatic(&self) -> bool {
        self.tiers.is_automatic() && self.ladders.iter().all(|ladder| ladder.tiers.is_empty())
    }

    /// The ladder of the series that no other selects.
    fn rest(&self, chosen: &[Resolution]) -> Ladder {
        let chosen = if self.is_automatic() { chosen } else { &[] };
        let tier = |&resolution: &Resolution| Tier { resolution, keep: self.retention };
        let tiers = match self.tiers.is_automatic() {
            true => chosen.iter().map(tier).collect(),
            false => self.tiers.clone(),
        };
        Ladder::rest(self.retention, tiers)
    }

    /// How long the raw samples that are kept longest are kept; zero: for ever.
    pub(in crate::engine) fn longest_raw(&self) -> Duration {
        longest(self.ladders.iter().map(|ladder| ladder.retention).chain([self.retention]))
    }

    /// How long events are kept; zero: for ever.
    pub(in crate::engine) fn events(&self) -> Duration {
        self.event_retention.unwrap_or_else(|| self.longest_raw())
    }

    /// All ladders in order, the last of which is that of all other series, each with its series.
    pub(in crate::engine) fn rules(&self, chosen: &[Resolution]) -> Vec<(SeriesSet, Ladder)> {
        let mut except = Vec::new();
        let all = self.ladders.iter().cloned().chain([self.rest(chosen)]);
        all.map(|ladder| {
            let set = SeriesSet { matchers: ladder.selector.clone(), except: except.clone() };
            except.push(ladder.selector.clone());
            (set, ladder)
        })
        .collect()
    }
}

/// How long a ladder keeps a tier, or raw samples; zero: for ever.
pub(in crate::engine) fn keep_of(ladder: &Ladder, tier: TierId) -> Duration {
    tier.resolution().map_or(ladder.retention, |resolution| ladder.keep(resolution))
}

/// The time at or before which data is past the time `keep` when `newest` is the newest time that counts.
pub(in crate::engine) fn horizon_of(keep: Duration, newest: Timestamp) -> Timestamp {
    match keep.is_zero() || newest == Timestamp::MIN {
        true => Timestamp::MIN,
        false => newest.saturating_sub(duration_ns(keep)),
    }
}

/// How long raw samples and events are kept.
#[derive(Debug, Default)]
pub(in crate::engine) struct RawKept {
    samples: BySeries<Duration>,
    /// Those of all ladders, and of the series that no ladder selects.
    keeps: Vec<Duration>,
    events: Duration,
}

impl RawKept {
    pub(super) fn of(kept: &Kept) -> RawKept {
        let selected = kept.ladders.iter().map(|ladder| (&ladder.selector[..], Some(ladder.retention)));
        let keeps = kept.ladders.iter().map(|ladder| ladder.retention).chain([kept.retention]);
        let samples = BySeries::new(kept.retention, selected);
        RawKept { samples, keeps: keeps.collect(), events: kept.events() }
    }

    /// Whether all samples and events are kept for ever.
    pub(super) fn is_all(&self) -> bool {
        self.keeps.iter().chain([&self.events]).all(|keep| keep.is_zero())
    }
}

/// The times at or before which raw samples and events are past their retention.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Horizon {
    /// Those of all series.
    pub all: Timestamp,
    /// Events.
    pub events: Timestamp,
    /// Samples and events.
    pub everything: Timestamp,
    /// Those of some series; all others are kept.
    pub some: Timestamp,
    newest: Timestamp,
    kept: Arc<RawKept>,
}

impl Horizon {
    pub(super) fn new(newest: Timestamp, kept: Arc<RawKept>) -> Horizon {
        let of = |keep| horizon_of(keep, newest);
        let (all, events) = (of(longest(kept.keeps.iter().copied())), of(kept.events));
        let some = kept.keeps.iter().copied().map(of).fold(all, Timestamp::max);
        Horizon { all, events, everything: all.min(events), some, newest, kept }
    }

    /// Whether a sample of a series is past its retention.
    #[inline]
    pub fn is_past(&self, timestamp: Timestamp, labels: &Labels) -> bool {
        timestamp <= self.some && (timestamp <= self.all || timestamp <= self.of_series(labels))
    }

    /// The time at or before which the samples of a series are past their retention.
    #[cold]
    pub fn of_series(&self, labels: &Labels) -> Timestamp {
        horizon_of(self.kept.samples.of(labels), self.newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Matcher;
    use crate::options::Options;

    const DAY: i64 = 86_400_000_000_000;

    fn ladder(job: &str, steps: &str) -> Ladder {
        Ladder::new(vec![Matcher::equal("job", job)], steps).unwrap()
    }

    #[test]
    fn each_series_has_the_horizon_of_the_first_ladder_that_selects_it() {
        let of = |retention, ladders| {
            let kept = Kept { retention, ladders, ..Kept::of(&Options::default()) };
            Horizon::new(100 * DAY, Arc::new(RawKept::of(&kept)))
        };
        let ladders = vec![ladder("a", "raw 3d"), ladder("a", "raw 9d"), ladder("b", "raw 20d")];
        let horizon = of(Duration::from_secs(10 * 86_400), ladders);
        assert_eq!(horizon.all, 80 * DAY);
        let past =
            |job: &str, day: i64| horizon.is_past(day * DAY, &Labels::from_pairs([("job", job)]).unwrap());
        assert_eq!((past("a", 97), past("a", 98)), (true, false));
        assert_eq!((past("b", 80), past("b", 81), past("b", 97)), (true, false, false));
        assert_eq!((past("c", 90), past("c", 91), past("c", 97)), (true, false, false));
        assert_eq!((horizon.events, horizon.everything), (80 * DAY, 80 * DAY), "those of the longest ladder");
        let for_ever = of(Duration::ZERO, vec![ladder("a", "raw 3d")]);
        assert_eq!(for_ever.all, Timestamp::MIN);
        assert!(!for_ever.is_past(0, &Labels::from_pairs([("job", "c")]).unwrap()));
    }

    #[test]
    fn events_have_a_horizon_of_their_own() {
        let of = |days: u64, events: u64| {
            let keep = |days| Duration::from_secs(days * 86_400);
            let options =
                Options::default().with_retention(keep(days)).with_event_retention(Some(keep(events)));
            Horizon::new(100 * DAY, Arc::new(RawKept::of(&Kept::of(&options))))
        };
        let shown = |horizon: Horizon| (horizon.all, horizon.events, horizon.everything);
        assert_eq!(shown(of(10, 30)), (90 * DAY, 70 * DAY, 70 * DAY));
        assert_eq!(shown(of(10, 5)), (90 * DAY, 95 * DAY, 90 * DAY));
        assert_eq!(shown(of(10, 0)), (90 * DAY, Timestamp::MIN, Timestamp::MIN));
        assert!(
            !RawKept::of(&Kept::of(&Options::default().with_event_retention(Some(Duration::from_secs(1)))))
                .is_all()
        );
    }

    #[test]
    fn a_choice_is_left_where_no_tier_is_named() {
        let hourly = Resolution::parse("1h").unwrap();
        let kept = |steps: &str| Kept { ladders: vec![ladder("a", steps)], ..Kept::of(&Options::default()) };
        let names = |kept: &Kept| {
            kept.all_tiers(&[hourly]).iter().map(|tier| tier.resolution.name()).collect::<Vec<_>>()
        };
        assert_eq!(names(&kept("raw 3d")), ["1h"]);
        assert_eq!(names(&kept("raw 3d, 5m 9d")), ["5m"]);
        let rules = kept("raw 3d").rules(&[hourly]);
        assert_eq!(rules.len(), 2);
        assert_eq!(keep_of(&rules[0].1, TierId::of(0, hourly)).as_secs(), 3 * 86_400);
        assert_eq!(rules[1].0.except, [rules[0].0.matchers.clone()]);
    }
}
