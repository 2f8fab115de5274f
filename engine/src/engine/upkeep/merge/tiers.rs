//! The tiers of buckets: which are maintained, and when they are built, repaired, merged and expired.

use super::Merger;
use crate::Result;
use crate::compact::downsample::TierJob;
use crate::compact::is_expiry_due;
use crate::engine::duration_ns;
use crate::model::{TierId, Timestamp};
use crate::options::Tiers;
use crate::rollup::Extras;
use crate::sync::MutexGuard;

impl Merger {
    /// The tiers to keep.
    pub fn kept_tiers(&self) -> Tiers {
        self.tiers.lock().clone()
    }

    /// Changes the tiers to keep, from the next pass on.
    pub fn keep_tiers(&self, tiers: Tiers) {
        *self.tiers.lock() = tiers;
    }

    /// The tiers to build, narrowest first.
    pub fn tiers(&self) -> Vec<TierJob> {
        let mut finer = None;
        let kept = self.kept_tiers();
        let jobs = kept.iter().map(|tier| {
            let extras = match self.retention.outlives_raw(tier.keep) {
                true => Extras::ALL,
                false => Extras::default(),
            };
            TierJob { resolution: tier.resolution, finer: finer.replace(tier.resolution), extras }
        });
        jobs.collect()
    }

    /// The tiers that have buckets, narrowest first: also those that are no longer kept, whose buckets stay correct.
    fn stored_tiers(&self) -> Vec<TierJob> {
        let mut jobs = self.tiers();
        let catalogue = self.versions.current();
        for resolution in catalogue.coverage.keys().filter_map(|tier| tier.resolution()) {
            if jobs.iter().all(|job| job.resolution != resolution) {
                jobs.push(TierJob { resolution, finer: None, extras: Extras::ALL });
            }
        }
        jobs.sort_by_key(|job| job.resolution.width_ns());
        jobs
    }

    /// Drops what is past the retention when the newest time is `newest`. Raw partitions stay until `tiers` include them.
    pub(super) fn expire(&self, newest: Timestamp, tiers: &[TierJob]) -> Result<()> {
        let kept = self.kept_tiers();
        let keep = |tier: TierId| {
            let kept = kept.iter().find(|kept| tier == TierId::of(0, kept.resolution));
            kept.map(|kept| kept.keep).filter(|keep| !keep.is_zero())
        };
        let horizon = |tier: TierId| match keep(tier) {
            _ if tier.is_raw() => self.retention.horizon_of(newest),
            Some(keep) if newest > Timestamp::MIN => newest.saturating_sub(duration_ns(keep)),
            // Of a tier that is no longer kept, nothing is dropped: a restart without the setting must not lose history.
            _ => Timestamp::MIN,
        };
        if !is_expiry_due(&self.versions.current(), &horizon, tiers) {
            return Ok(());
        }
        self.disk.with_room(|| self.compactor().expire(&horizon, tiers))?;
        self.collect_with_room()
    }

    /// Includes in the tiers what late samples and deletes have changed.
    pub fn repair(&self) -> Result<()> {
        for job in self.stored_tiers() {
            let buckets = self.compactor().repair_tier(&job)?;
            if buckets > 0 {
                tracing::info!(tier = %job.resolution, buckets, "computed buckets of changed samples again");
            }
        }
        Ok(())
    }

    /// Builds the buckets of closed partitions, and merges the generations of the tiers.
    pub(super) fn extend(&self, merging: &mut MutexGuard<'_, ()>, tiers: &[TierJob]) -> Result<()> {
        let now = self.versions.current().root.newest.min(self.clock.now());
        for job in tiers {
            while !self.jobs.are_ending() && self.compactor().extend_tier(job, now)? {
                MutexGuard::bump(merging);
            }
        }
        self.merge_tiers(merging, false)
    }

    /// Merges the generations of the tiers, with `all` wherever there are several.
    pub fn merge_tiers(&self, merging: &mut MutexGuard<'_, ()>, all: bool) -> Result<()> {
        for job in self.stored_tiers() {
            while !self.jobs.are_ending() && self.compactor().merge_tier(&job, all)? {
                MutexGuard::bump(merging);
            }
        }
        Ok(())
    }
}
