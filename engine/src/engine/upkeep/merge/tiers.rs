//! The tiers of buckets: which are maintained, and when they are built, repaired, merged and expired.

use std::time::Duration;

use super::{Merger, unless_full};
use crate::Result;
use crate::compact::downsample::TierJob;
use crate::compact::is_expiry_due;
use crate::engine::duration_ns;
use crate::model::{TierId, Timestamp};
use crate::options::{Options, Tiers};
use crate::rollup::Extras;
use crate::sync::MutexGuard;

/// What is kept, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Kept {
    /// How long raw samples are kept; zero: for ever.
    pub retention: Duration,
    /// The tiers to keep.
    pub tiers: Tiers,
}

/// The work of one pass, which follows from one state of what is kept.
pub(in crate::engine) struct Pass {
    kept: Kept,
    /// The newest time that counts.
    newest: Timestamp,
    /// The tiers to build, narrowest first.
    pub tiers: Vec<TierJob>,
}

impl Kept {
    /// The time at or before which data is past its retention when the newest time is `newest`. Of a tier that is no longer
    /// kept, nothing is dropped: a restart without the setting must not lose history.
    fn horizon(&self, tier: TierId, newest: Timestamp) -> Timestamp {
        let keep = match tier.is_raw() {
            true => Some(self.retention),
            false => {
                self.tiers.iter().find(|kept| tier == TierId::of(0, kept.resolution)).map(|kept| kept.keep)
            }
        };
        match keep.filter(|keep| !keep.is_zero()) {
            Some(keep) if newest > Timestamp::MIN => newest.saturating_sub(duration_ns(keep)),
            _ => Timestamp::MIN,
        }
    }

    /// Whether the buckets of a tier outlive raw samples.
    fn outlive_raw(&self) -> bool {
        let outlives = |keep: Duration| keep.is_zero() || keep > self.retention;
        !self.retention.is_zero() && self.tiers.iter().any(|tier| outlives(tier.keep))
    }

    /// The tiers to build, narrowest first.
    pub fn jobs(&self, newest: Timestamp) -> Vec<TierJob> {
        // Wide tiers are built from narrow ones, so all have the columns that one needs.
        let extras = if self.outlive_raw() { Extras::ALL } else { Extras::default() };
        let mut finer = None;
        let job = |tier: &crate::Tier| TierJob {
            resolution: tier.resolution,
            finer: finer.replace(tier.resolution),
            extras,
            horizon: self.horizon(TierId::of(0, tier.resolution), newest),
        };
        self.tiers.iter().map(job).collect()
    }
}

impl Merger {
    /// What is kept.
    pub fn kept(&self) -> Kept {
        self.kept.lock().clone()
    }

    /// Changes what is kept. A pass in progress drops nothing more.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if it is refused; nothing is changed.
    pub fn change_kept(&self, change: impl FnOnce(&mut Kept)) -> Result<()> {
        let mut kept = self.kept.lock();
        let mut changed = kept.clone();
        change(&mut changed);
        let Kept { retention, tiers } = changed.clone();
        Options { retention, tiers, ..(*self.options).clone() }.validate()?;
        self.retention.set(retention);
        *kept = changed;
        Ok(())
    }

    /// Keeps everything as long as the result lives.
    pub fn without_expiry(&self) -> MutexGuard<'_, impl Sized> {
        self.kept.lock()
    }

    /// The work of a pass at the time `newest`.
    pub(super) fn pass(&self, newest: Timestamp) -> Pass {
        let kept = self.kept();
        let tiers = kept.jobs(newest);
        Pass { kept, newest, tiers }
    }

    /// The tiers that have buckets, narrowest first: also those that are no longer kept, whose buckets stay correct.
    fn stored_tiers(&self, mut jobs: Vec<TierJob>) -> Vec<TierJob> {
        let catalogue = self.versions.current();
        for resolution in catalogue.coverage.keys().filter_map(|tier| tier.resolution()) {
            if jobs.iter().all(|job| job.resolution != resolution) {
                let horizon = Timestamp::MIN;
                jobs.push(TierJob { resolution, finer: None, extras: Extras::ALL, horizon });
            }
        }
        jobs.sort_by_key(|job| job.resolution.width_ns());
        jobs
    }

    /// Drops what is past the retention. Raw partitions stay until the tiers include them.
    pub(super) fn expire(&self, pass: &Pass) -> Result<()> {
        // Held until the end: what is kept from now on is not dropped.
        let kept = self.kept.lock();
        if *kept != pass.kept {
            return Ok(());
        }
        let horizon = |tier: TierId| kept.horizon(tier, pass.newest);
        if !is_expiry_due(&self.versions.current(), &horizon, &pass.tiers) {
            return Ok(());
        }
        self.disk.with_room(|| self.compactor().expire(&horizon, &pass.tiers))?;
        drop(kept);
        self.collect_with_room()
    }

    /// Includes in the tiers what late samples and deletes have changed, and computes damaged partitions again. A tier that
    /// fails does not keep the others from it.
    ///
    /// # Errors
    /// The first failure.
    pub fn repair(&self, merging: &mut MutexGuard<'_, ()>) -> Result<()> {
        let mut done = Ok(());
        for job in self.stored_tiers(self.kept().jobs(Timestamp::MIN)) {
            done = unless_full(done, || self.repair_tier(merging, &job));
        }
        done
    }

    fn repair_tier(&self, merging: &mut MutexGuard<'_, ()>, job: &TierJob) -> Result<()> {
        let mut goes_on = || {
            MutexGuard::bump(merging);
            !self.jobs.are_ending()
        };
        while self.compactor().rebuild_tier(job)? && goes_on() {}
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
        for job in self.stored_tiers(self.kept().jobs(Timestamp::MIN)) {
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
