//! What is kept of which series, and figures about the tiers of buckets.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Result;
use crate::engine::jobs::Task;
use crate::engine::{Engine, duration_ns};
use crate::model::{Resolution, SeriesSet, TierId};
use crate::options::{Kept, Ladder, Options, Tiers};
use crate::store::catalogue::SeriesClass;

/// A tier of buckets: what is stored, and for which span.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierReport {
    /// The width of its buckets.
    pub resolution: Resolution,
    /// How long its buckets are kept, zero for ever; `None` if the options no longer name the tier, which is then neither
    /// extended nor dropped. Late samples and deletes still change its buckets.
    pub keep: Option<Duration>,
    /// The span for which it is complete: its buckets end after the first time and not after the second. `None` until
    /// the first buckets are built.
    pub complete: Option<(crate::Timestamp, crate::Timestamp)>,
    /// Bytes of its chunks when it is as old as it is kept, at the present rate; `None` if it is kept for ever, or there are
    /// no buckets yet.
    pub forecast_bytes: Option<u64>,
    /// Number of buckets, including those that a later merge removes, and those that are omitted.
    pub buckets: u64,
    /// Bytes of their chunks.
    pub bytes: u64,
    /// Number of partitions.
    pub partitions: u64,
    /// Number of generations.
    pub generations: u64,
    /// The classes of series of which a tier that the compactor chose omits buckets, because they would save too little. Empty
    /// if it has all of them.
    pub omits: Vec<SeriesClass>,
}

/// How a database fits into its budget of disk space.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct BudgetReport {
    /// The budget ([`Options::disk_bytes`](crate::Options::disk_bytes)); zero: there is none.
    pub budget_bytes: u64,
    /// What the database takes now.
    pub used_bytes: u64,
    /// What a day of new data takes with its buckets, once it has been merged, measured on the newest closed partitions;
    /// `None` if there are none yet.
    pub bytes_per_day: Option<u64>,
    /// When the budget is used up at this pace and the first partition is dropped, if there is a budget and data comes in.
    /// Zero: it is used up.
    pub full_in: Option<Duration>,
    /// The time that raw samples span then. After that it becomes shorter as buckets that are kept longer take their place.
    /// `None` where [`BudgetReport::full_in`] is.
    pub raw_kept: Option<Duration>,
}

/// What is kept of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventsReport {
    /// How long they are kept ([`Options::event_retention`](crate::Options::event_retention), or the longest time of raw
    /// samples); zero: for ever.
    pub retention: Duration,
    /// The last instant up to which they have been dropped. Their partitions may still have to be rewritten.
    pub dropped: Option<crate::Timestamp>,
}

/// What is kept of some series.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LadderReport {
    /// The series and how long their data is kept. Without a selector: those of no other ladder.
    pub ladder: Ladder,
    /// What has been dropped: samples, or the buckets of tiers.
    pub dropped: Vec<Dropped>,
}

/// Up to when data has been dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// The tier; `None`: raw samples.
    pub resolution: Option<Resolution>,
    /// The last instant. Partitions up to there may still have to be rewritten.
    pub until: crate::Timestamp,
}

impl Engine {
    /// Changes the tiers of the running database. A new one is built from what is stored. One that is no longer named is
    /// neither extended nor dropped, and its buckets stay correct. If it is named again after samples have been dropped, it
    /// has no buckets for these.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if one is kept shorter than raw samples;
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn set_tiers(&self, tiers: Tiers) -> Result<()> {
        self.change_kept(|kept| kept.tiers = tiers)
    }

    /// Changes the ladders of the running database. Data that has been dropped stays so. What is stored of a series follows
    /// the ladder that selects it now.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) names what is wrong with them; [`Error::Closed`](crate::Error::Closed).
    pub fn set_ladders(&self, ladders: Vec<Ladder>) -> Result<()> {
        self.change_kept(|kept| kept.ladders = ladders)
    }

    /// Changes [`Options::event_retention`](crate::Options::event_retention) of the running database. Events that have been
    /// dropped stay so.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if it is shorter than one partition; [`Error::Closed`](crate::Error::Closed).
    pub fn set_event_retention(&self, retention: Option<Duration>) -> Result<()> {
        self.change_kept(|kept| kept.event_retention = retention)
    }

    /// What the database keeps.
    pub fn kept(&self) -> Kept {
        if self.is_usable() { self.shared.merger.kept() } else { Kept::of(&self.shared.options) }
    }

    /// Changes all that the running database keeps together.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) names what is wrong; nothing is changed. [`Error::Closed`](crate::Error::Closed).
    pub fn set_kept(&self, kept: Kept) -> Result<()> {
        self.change_kept(|current| *current = kept)
    }

    /// Changes what the running database keeps, and stores it, so that it counts the next time it is opened with
    /// [`Options::stored_kept`](crate::Options::stored_kept). [`Kept::disk_bytes`] is not stored.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) names what is wrong; [`Error::Closed`](crate::Error::Closed); the database was
    /// opened for reading, or the store cannot be written. Nothing is changed.
    pub fn store_kept(&self, kept: Kept) -> Result<()> {
        self.shared.check_writable()?;
        let _call = self.shared.lifecycle.enter()?;
        self.shared.merger.store_kept(kept)?;
        self.shared.jobs.ask(Task::Merge);
        Ok(())
    }

    /// What [`Engine::store_kept`] has stored in the database, with the size that is in effect; `None` if nothing is.
    pub fn stored_kept(&self) -> Option<Kept> {
        if !self.is_usable() {
            return None;
        }
        let record = self.shared.versions.current().kept.clone()?;
        let mut stored = record.kept(&self.shared.options).ok()?;
        stored.disk_bytes = self.shared.merger.kept().disk_bytes;
        Some(stored)
    }

    /// Drops all buckets of a tier that the options no longer name, and returns the bytes of their chunks. History that only
    /// they have is gone.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if the tier is kept; [`Error::Invalid`](crate::Error::Invalid) if there is
    /// none; [`Error::Closed`](crate::Error::Closed).
    pub fn drop_tier(&self, resolution: Resolution) -> Result<u64> {
        self.shared.check_writable()?;
        let _call = self.shared.lifecycle.enter()?;
        self.shared.merger.drop_tier(resolution)
    }

    /// Changes [`Options::disk_bytes`](crate::Options::disk_bytes) of the running database.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if it is too small; [`Error::Closed`](crate::Error::Closed).
    pub fn set_disk_bytes(&self, disk_bytes: u64) -> Result<()> {
        self.change_kept(|kept| kept.disk_bytes = disk_bytes)
    }

    /// Changes [`Options::compaction_rate`](crate::Options::compaction_rate) of the running database, also for merges in
    /// progress.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if it is invalid, [`Error::Closed`](crate::Error::Closed).
    pub fn set_compaction_rate(&self, compaction_rate: u64) -> Result<()> {
        self.shared.lifecycle.check_open()?;
        Options { compaction_rate, ..Options::default() }.validate_compaction_rate()?;
        self.shared.merger.set_rate(compaction_rate);
        Ok(())
    }

    /// How the database fits into its budget of disk space, and a forecast.
    pub fn budget(&self) -> BudgetReport {
        if self.is_usable() { self.shared.merger.budget() } else { BudgetReport::default() }
    }

    pub(super) fn change_kept(&self, change: impl FnOnce(&mut Kept)) -> Result<()> {
        self.shared.lifecycle.check_open()?;
        self.shared.merger.change_kept(change)?;
        self.shared.jobs.ask(Task::Merge);
        Ok(())
    }

    /// The ladders in the order in which they are tried, and up to when each has dropped data. The last one, without a
    /// selector, is that of all other series.
    pub fn ladders(&self) -> Vec<LadderReport> {
        if !self.is_usable() {
            return Vec::new();
        }
        let catalogue = self.shared.versions.current_owned();
        let rules = self.shared.merger.rules();
        let report = |(series, ladder): (SeriesSet, Ladder)| {
            let tiers = std::iter::once(TierId::RAW)
                .chain(catalogue.coverage.keys().copied().filter(|t| !t.is_raw()));
            let dropped = tiers.filter_map(|tier| {
                let until = catalogue.dropped_of(tier, &series);
                let until =
                    (until > crate::model::Timestamp::MIN).then(|| crate::Timestamp::from_nanos(until));
                Some(Dropped { resolution: tier.resolution(), until: until? })
            });
            LadderReport { dropped: dropped.collect(), ladder }
        };
        rules.into_iter().map(report).collect()
    }

    /// How long events are kept, and up to when they have been dropped.
    pub fn events_kept(&self) -> EventsReport {
        if !self.is_usable() {
            return EventsReport::default();
        }
        let from = self.shared.versions.current().events_from();
        let dropped = (from > crate::model::Timestamp::MIN).then(|| crate::Timestamp::from_nanos(from));
        EventsReport { retention: self.shared.merger.kept().events(), dropped }
    }

    /// The tiers of buckets, ascending by width.
    pub fn tiers(&self) -> Vec<TierReport> {
        if !self.is_usable() {
            return Vec::new();
        }
        let kept = self.shared.merger.kept_tiers();
        let kept: BTreeMap<Resolution, Duration> =
            kept.iter().map(|tier| (tier.resolution, tier.keep)).collect();
        let catalogue = self.shared.versions.current_owned();
        let stored = catalogue.coverage.keys().filter_map(|tier| tier.resolution());
        let mut all: Vec<Resolution> = kept.keys().copied().chain(stored).collect();
        all.sort_unstable_by_key(|resolution| resolution.width_ns());
        all.dedup();
        let report = |resolution: Resolution| {
            let tier = TierId::of(0, resolution);
            let may_omit = catalogue.coverage.get(&tier).is_some_and(|known| !known.sparse().is_empty());
            let complete = catalogue.coverage.get(&tier).map(|coverage| {
                let at = crate::Timestamp::from_nanos;
                (at(coverage.from), at(coverage.through))
            });
            let keep = kept.get(&resolution).copied();
            let mut report = TierReport {
                resolution,
                keep,
                complete,
                forecast_bytes: None,
                buckets: 0,
                bytes: 0,
                partitions: 0,
                generations: 0,
                omits: catalogue.choices.omitted(tier).filter(|_| may_omit).collect(),
            };
            let partitions = catalogue.generations.partitions_from(crate::model::PartitionId::first_of(tier));
            for partition in partitions.take_while(|partition| partition.id.tier == tier) {
                report.partitions += 1;
                for generation in partition.all() {
                    report.generations += 1;
                    report.buckets += generation.record.samples;
                    report.bytes += generation.record.bytes;
                }
            }
            let span =
                catalogue.coverage.get(&tier).map(|coverage| coverage.through.saturating_sub(coverage.from));
            let width = catalogue.layout().width(tier);
            report.forecast_bytes = keep.filter(|keep| !keep.is_zero()).zip(span).map(|(keep, span)| {
                // Whole partitions are dropped, so half of one more is stored on average.
                let kept = duration_ns(keep).saturating_add(width / 2);
                (report.bytes as f64 * (kept as f64 / span.max(1) as f64)) as u64
            });
            report
        };
        all.into_iter().map(report).collect()
    }
}
