//! The tiers of buckets: which are maintained, and when they are built, repaired, merged and expired.

use std::sync::Arc;
use std::time::Duration;

use super::{DEAD_BYTES_MAX, Merger, unless_full};
use crate::compact::downsample::{Chosen, TierJob, candidates, newest_merged};
use crate::compact::{Horizons, TrimGoal, is_event_trim_due, is_expiry_due, is_trim_due, unapplied_trims};
use crate::engine::retention::{horizon_of, keep_of};
use crate::model::{PartitionId, Resolution, SeriesSet, TierId, Timestamp};
use crate::options::{Kept, Ladder, Tier};
use crate::rollup::Extras;
use crate::store::catalogue::{Catalogue, Choices, KeptRecord};
use crate::store::generations::Partition;
use crate::store::versions::Edit;
use crate::sync::MutexGuard;
use crate::{Error, Result};

/// After so many partitions it is measured again of which series a tier holds buckets: there may be new classes of series.
const MEASURED_EACH: i64 = 8;

/// The work of one pass, which follows from one state of what is kept.
pub(in crate::engine) struct Pass {
    kept: Kept,
    /// The tiers to keep, also those that were chosen.
    listed: Vec<Tier>,
    /// What is kept of which series.
    rules: Vec<(SeriesSet, Ladder)>,
    /// The newest time that counts.
    newest: Timestamp,
    /// The tiers to build, narrowest first.
    pub tiers: Vec<TierJob>,
}

impl Pass {
    pub(super) fn new(kept: Kept, chosen: &[Resolution], newest: Timestamp) -> Pass {
        let (listed, rules) = (kept.all_tiers(chosen), kept.rules(chosen));
        let mut pass = Pass { kept, listed, rules, newest, tiers: Vec::new() };
        // Wide tiers are built from narrow ones, so all have the columns that one needs.
        let extras = if pass.outlive_raw() { Extras::ALL } else { Extras::default() };
        // Tiers that were chosen hold the buckets of different series, and there are raw samples of all. But a budget drops
        // these first.
        let (omits, mut finer) = (pass.kept.is_automatic() && pass.kept.disk_bytes == 0, None);
        let job = |tier: &Tier| TierJob {
            resolution: tier.resolution,
            finer: finer.replace(tier.resolution).filter(|_| !omits),
            extras,
            horizon: pass.horizon(TierId::of(0, tier.resolution)),
            omits,
        };
        pass.tiers = pass.listed.iter().map(job).collect();
        pass
    }

    /// The time at or before which data is past its retention for all series. Of a tier that is no longer kept, nothing is
    /// dropped: a restart without the setting must not lose history.
    fn horizon(&self, tier: TierId) -> Timestamp {
        let keep = match tier.resolution() {
            None => Some(self.kept.longest_raw()),
            Some(resolution) => {
                self.listed.iter().find(|kept| resolution == kept.resolution).map(|kept| kept.keep)
            }
        };
        keep.map_or(Timestamp::MIN, |keep| horizon_of(keep, self.newest))
    }

    /// The time at or before which events are past their retention.
    pub(super) fn events(&self) -> Timestamp {
        horizon_of(self.kept.events(), self.newest)
    }

    /// The time at or before which all that a partition holds is past its retention.
    pub(super) fn of_partition(&self, partition: &Partition) -> Timestamp {
        let horizon = self.horizon(partition.id.tier);
        let has_events = partition.id.tier.is_raw() && partition.all().any(|g| g.record.events > 0);
        if has_events { horizon.min(self.events()) } else { horizon }
    }

    /// What is past the retention of some series only, or of all in partitions that keep their events.
    pub(super) fn trims(&self) -> Vec<TrimGoal> {
        let tiers = self.listed.iter().map(|tier| TierId::of(0, tier.resolution)).chain([TierId::RAW]);
        let goals = tiers.flat_map(|tier| {
            let of_all = self.horizon(tier);
            self.rules.iter().filter_map(move |(series, ladder)| {
                let horizon = horizon_of(keep_of(ladder, tier), self.newest);
                (horizon > of_all).then(|| TrimGoal { tier, series: series.clone(), horizon })
            })
        });
        let samples = self.horizon(TierId::RAW);
        let of_all = (samples > self.events()).then(|| TrimGoal {
            tier: TierId::RAW,
            series: SeriesSet::default(),
            horizon: samples,
        });
        goals.chain(of_all).collect()
    }

    /// The size beyond which the oldest data is dropped; zero: no limit.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.kept.disk_bytes
    }

    /// The series of each rule.
    pub(super) fn rules(&self) -> impl Iterator<Item = &SeriesSet> {
        self.rules.iter().map(|(series, _)| series)
    }

    /// The time of each rule at or before which data of a tier is past its retention.
    pub(super) fn horizons_of(&self, tier: TierId) -> impl Iterator<Item = Timestamp> {
        self.rules.iter().map(move |(_, ladder)| horizon_of(keep_of(ladder, tier), self.newest))
    }

    /// Whether the buckets of a tier outlive raw samples of some series.
    fn outlive_raw(&self) -> bool {
        self.rules.iter().any(|(_, ladder)| {
            let outlives = |keep: Duration| keep.is_zero() || keep > ladder.retention;
            let mut tiers = self.listed.iter().map(|tier| match self.rules.len() {
                1 => tier.keep,
                _ => ladder.keep(tier.resolution),
            });
            !ladder.retention.is_zero() && tiers.any(outlives)
        })
    }
}

/// The tiers that were chosen and have any buckets, narrowest first.
fn begun_tiers(catalogue: &Catalogue) -> Vec<Resolution> {
    let has_any = |resolution: &Resolution| catalogue.coverage.contains_key(&TierId::of(0, *resolution));
    candidates().filter(has_any).filter(|resolution| !was_named(catalogue, *resolution)).collect()
}

/// Whether the options named a tier, to keep it longer than raw samples: it has a partition of which these have been dropped.
/// One that was chosen is dropped together with them, unless a budget drops them first.
fn was_named(catalogue: &Catalogue, resolution: Resolution) -> bool {
    !catalogue.choices.has(TierId::of(0, resolution)) && outlived_raw(catalogue, resolution)
}

/// Whether a tier has a partition of which raw samples have been dropped.
fn outlived_raw(catalogue: &Catalogue, resolution: Resolution) -> bool {
    let first = PartitionId::first_of(TierId::of(0, resolution));
    let stored = catalogue.generations.partitions_from(first).next().filter(|it| it.id.tier == first.tier);
    stored.is_some_and(|stored| catalogue.layout().bounds(stored.id).1 <= catalogue.raw_from())
}

impl Merger {
    /// The tiers that are kept, also those that were chosen and begun.
    pub fn kept_tiers(&self) -> Vec<Tier> {
        self.begun().listed
    }

    /// What is kept of which series, also of tiers that were chosen and begun.
    pub fn rules(&self) -> Vec<(SeriesSet, Ladder)> {
        self.begun().rules
    }

    /// The work on tiers that have been begun. Nothing is measured for it.
    fn begun(&self) -> Pass {
        let kept = self.keeping.kept();
        let begun = if kept.is_automatic() { begun_tiers(&self.versions.current()) } else { Vec::new() };
        Pass::new(kept, &begun, Timestamp::MIN)
    }

    /// The tiers that the compactor chooses if it may. It stays with what it has begun.
    pub(super) fn chosen(&self) -> Chosen {
        // First, so that what is measured while a tier is dropped is forgotten afterwards.
        let mut measured = self.measured.lock();
        let catalogue = self.versions.current_owned();
        let begun = begun_tiers(&catalogue);
        let known = || Chosen { tiers: begun.clone(), choices: catalogue.choices.clone() };
        // A tier that is kept longer than raw samples stays as it is, and no others begin beside it.
        let is_free = !candidates().any(|resolution| was_named(&catalogue, resolution));
        let Some(newest) = newest_merged(&catalogue).filter(|_| is_free) else { return known() };
        let pause = if begun.is_empty() { 1 } else { MEASURED_EACH };
        if let Some((partition, chosen)) = &*measured
            && i64::from(newest.number) - i64::from(partition.number) < pause
            && begun.iter().all(|tier| chosen.tiers.contains(tier))
        {
            return chosen.clone();
        }
        match self.compactor().choose_tiers(&catalogue, &begun) {
            Ok(chosen) => {
                for tier in chosen.tiers.iter().filter(|tier| !begun.contains(tier)) {
                    tracing::info!(%tier, "chose a tier of buckets for closed partitions");
                }
                *measured = Some((newest, chosen.clone()));
                chosen
            }
            Err(error) => {
                tracing::warn!(%error, "what tiers would take could not be measured");
                known()
            }
        }
    }

    /// What is left of the choices when the options name these tiers: they hold the buckets of all series.
    fn without_choices(&self, named: &[Tier]) -> Arc<Choices> {
        let mut choices = self.versions.current().choices.clone();
        for tier in named.iter().map(|tier| TierId::of(0, tier.resolution)) {
            if choices.has(tier) {
                Arc::make_mut(&mut choices).forget(tier);
            }
        }
        choices
    }

    /// Stores of which series the tiers that are chosen hold buckets. Until it is stored, they hold those of all others.
    fn store_choices(&self, choices: &Arc<Choices>) {
        if self.versions.current().choices == *choices {
            return;
        }
        let edit = || Edit { choices: Some(choices.clone()), ..Edit::default() };
        if let Err(error) = self.versions.commit(&*self.writer, |_| Ok(Some(edit()))) {
            tracing::warn!(%error, "which buckets tiers hold could not be stored");
        }
    }

    /// Changes what is kept. A pass in progress stops dropping partitions.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if it is refused; nothing is changed.
    pub fn change_kept(&self, change: impl FnOnce(&mut Kept)) -> Result<()> {
        self.keeping.change(change)
    }

    /// Stores what is kept in the database, and applies it.
    ///
    /// # Errors
    /// [`Error::Option`] if it is refused, or that of the store; nothing is changed.
    pub fn store_kept(&self, kept: Kept) -> Result<()> {
        self.keeping.store(kept, |kept| {
            let record = Arc::new(KeptRecord::of(kept));
            fail_point!("kept.begun");
            self.versions
                .commit(&*self.writer, |_| Ok(Some(Edit { kept: Some(record), ..Edit::default() })))?;
            fail_point!("kept.stored");
            Ok(())
        })
    }

    /// Drops all buckets of a tier that is not kept. Returns the bytes of their chunks.
    ///
    /// # Errors
    /// [`Error::Option`] if it is kept; [`Error::Invalid`] if there is none.
    pub fn drop_tier(&self, resolution: Resolution) -> Result<u64> {
        let _merging = self.lock();
        let expiring = self.keeping.expiring();
        if self.kept_tiers().iter().any(|tier| tier.resolution == resolution) {
            let reason = format!("the tier {resolution} is kept: take it out of `tiers` and `ladders` first");
            return Err(Error::Option { name: "tiers", reason });
        }
        let dropped = self.disk.with_room(|| self.compactor().drop_tier(TierId::of(0, resolution)))?;
        let bytes = dropped.ok_or_else(|| Error::Invalid(format!("there is no tier {resolution}")))?;
        drop(expiring);
        // What was chosen for it has been forgotten.
        *self.measured.lock() = None;
        self.collect_with_room()?;
        tracing::info!(tier = %resolution, bytes, "dropped a tier");
        Ok(bytes)
    }

    /// Keeps everything as long as the result lives. Several calls may do so at once.
    pub fn without_expiry(&self) -> impl Sized + '_ {
        self.keeping.without_expiry()
    }

    /// The work of a pass at the time `newest`.
    pub fn pass(&self, newest: Timestamp) -> Pass {
        let kept = self.keeping.kept();
        let chosen = kept.is_automatic().then(|| self.chosen());
        match &chosen {
            Some(chosen) => self.store_choices(&chosen.choices),
            None => self.store_choices(&self.without_choices(&kept.all_tiers(&[]))),
        }
        Pass::new(kept, &chosen.map_or_else(Vec::new, |chosen| chosen.tiers), newest)
    }

    /// The tiers that have buckets, narrowest first: also those that are no longer kept, whose buckets stay correct.
    fn stored_tiers(&self) -> Vec<TierJob> {
        let mut jobs = self.begun().tiers;
        let catalogue = self.versions.current();
        for resolution in catalogue.coverage.keys().filter_map(|tier| tier.resolution()) {
            if jobs.iter().all(|job| job.resolution != resolution) {
                let horizon = Timestamp::MIN;
                jobs.push(TierJob { resolution, finer: None, extras: Extras::ALL, horizon, omits: true });
            }
        }
        jobs.sort_by_key(|job| job.resolution.width_ns());
        jobs
    }

    /// Drops the partitions of each tier up to a time, and no further than wider tiers include what they keep.
    pub(super) fn drop_before(&self, pass: &Pass, horizon: Horizons<'_>) -> Result<()> {
        // Held until the end: what is kept from now on is not dropped, and no bucket that a delete cuts loses its samples.
        let Some(expiring) = self.keeping.expiring_if(&pass.kept) else { return Ok(()) };
        if !is_expiry_due(&self.versions.current(), horizon, &pass.tiers) {
            return Ok(());
        }
        self.disk.with_room(|| self.compactor().expire(horizon, &pass.tiers))?;
        drop(expiring);
        self.collect_with_room()
    }

    /// Drops what is past the retention. Raw partitions stay until the tiers include them.
    pub fn expire(&self, pass: &Pass) -> Result<()> {
        self.drop_before(pass, &|partition| pass.of_partition(partition))?;
        let Some(_expiring) = self.keeping.expiring_if(&pass.kept) else { return Ok(()) };
        let (trims, rules) = (pass.trims(), pass.rules().cloned().collect::<Vec<_>>());
        if is_trim_due(&self.versions.current(), &trims, &rules, &pass.tiers) {
            self.disk.with_room(|| self.compactor().trim(&trims, &rules, &pass.tiers))?;
        }
        // Otherwise events go together with the samples of their partition.
        let events = pass.events();
        let outlived = events > pass.horizon(TierId::RAW);
        if outlived && is_event_trim_due(&self.versions.current(), events) {
            self.disk.with_room(|| self.compactor().trim_events(events))?;
        }
        Ok(())
    }

    /// Rewrites the partitions that still hold events, or data of series, past their retention.
    ///
    /// # Errors
    /// The last failure. The other partitions are rewritten, unless the disk is full.
    pub(super) fn apply_trims(&self, merging: &mut MutexGuard<'_, ()>) -> Result<()> {
        let jobs = self.stored_tiers();
        let mut goes_on = || {
            // What has been replaced takes space until it is removed.
            let has_room =
                self.versions.obsolete().bytes() < DEAD_BYTES_MAX || self.collect_with_room().is_ok();
            MutexGuard::bump(merging);
            has_room && !self.jobs.are_ending()
        };
        let mut done = self.compactor().apply_event_trim(&mut goes_on);
        for number in unapplied_trims(&self.versions.current()) {
            done = unless_full(done, || self.compactor().apply_trim(number, &jobs, &mut goes_on));
        }
        done
    }

    /// Includes in the tiers what late samples and deletes have changed, and computes damaged partitions again. A tier that
    /// fails does not keep the others from it.
    ///
    /// # Errors
    /// The first failure.
    pub fn repair(&self, merging: &mut MutexGuard<'_, ()>) -> Result<()> {
        let mut done = Ok(());
        for job in self.stored_tiers() {
            done = unless_full(done, || self.repair_tier(merging, &job));
        }
        done
    }

    fn repair_tier(&self, merging: &mut MutexGuard<'_, ()>, job: &TierJob) -> Result<()> {
        let mut goes_on = || {
            MutexGuard::bump(merging);
            !self.jobs.are_ending()
        };
        while self.compactor().rebuild_tier(job)? {
            if !goes_on() {
                return Ok(());
            }
        }
        while self.compactor().complete_tier(job)? {
            if !goes_on() {
                return Ok(());
            }
        }
        let buckets = self.compactor().repair_tier(job, &mut goes_on)?;
        if buckets > 0 {
            tracing::info!(tier = %job.resolution, buckets, "computed buckets of changed samples again");
        }
        Ok(())
    }

    /// Builds the buckets of closed partitions, and merges the generations of the tiers.
    pub(super) fn extend(&self, merging: &mut MutexGuard<'_, ()>, pass: &Pass) -> Result<()> {
        let now = self.versions.current().root.newest.min(self.clock.now());
        let mut done = Ok(());
        for job in &pass.tiers {
            done = unless_full(done, || self.extend_tier(merging, job, now));
        }
        unless_full(done, || self.merge_tiers(merging, false))
    }

    fn extend_tier(&self, merging: &mut MutexGuard<'_, ()>, job: &TierJob, now: Timestamp) -> Result<()> {
        while !self.jobs.are_ending() {
            self.repair_tier(merging, job)?;
            if !self.compactor().extend_tier(job, now)? {
                break;
            }
            MutexGuard::bump(merging);
        }
        Ok(())
    }

    /// Merges the generations of the tiers, with `all` wherever there are several.
    pub fn merge_tiers(&self, merging: &mut MutexGuard<'_, ()>, all: bool) -> Result<()> {
        let mut done = Ok(());
        for job in self.stored_tiers() {
            done = unless_full(done, || {
                while !self.jobs.are_ending() && self.compactor().merge_tier(&job, all)? {
                    MutexGuard::bump(merging);
                }
                Ok(())
            });
        }
        done
    }
}
