//! When partitions are merged and expired, one pass at a time. The merge itself is in `compact/`.
//!
//! Next: `keeping.rs`, what is kept, `tiers.rs`, the tiers of buckets, `budget.rs`, `pace.rs`, and `trial.rs`, what a change
//! would do.

mod budget;
mod keeping;
mod pace;
mod tiers;
mod trial;

use std::sync::Arc;

use crate::clock::Clock;
use crate::compact::downsample::Chosen;
use crate::compact::{Compactor, MergeCounts, next_merges};
use crate::engine::admit::Admission;
use crate::engine::base::Base;
use crate::engine::directory::disk::Disk;
use crate::engine::jobs::Jobs;
use crate::engine::retention::Retention;
use crate::engine::write::Writer;
use crate::head::Head;
use crate::model::{PartitionId, TierId};
use crate::options::{Kept, Options};
use crate::stats::Stats;
use crate::store::versions::Versions;
use crate::sync::{Mutex, MutexGuard};
use crate::{Error, Result};
use keeping::Keeping;
use pace::PacedStore;
use tiers::Pass;

/// The maximum size of chunks whose removal is postponed until all merges are done: that of a table.
const DEAD_BYTES_MAX: u64 = 64 << 20;
/// Merging settles tables when this many overlap.
pub(super) const OVERLAPPING: usize = 2;

/// The same for a flush of a program without background threads, which may never merge.
const OVERLAPPING_ALONE: usize = 16;

/// Owner of the merging lock: decides what is merged and expired, and when.
pub(in crate::engine) struct Merger {
    versions: Arc<Versions>,
    store: PacedStore,
    writer: Arc<Writer>,
    admission: Arc<Admission>,
    retention: Arc<Retention>,
    clock: Arc<dyn Clock>,
    disk: Arc<Disk>,
    jobs: Arc<Jobs>,
    options: Arc<Options>,
    merging: Mutex<()>,
    keeping: Keeping,
    /// The newest partition by which tiers were chosen, and which.
    measured: Mutex<Option<(PartitionId, Chosen)>>,
    counts: MergeCounts,
    head: Arc<Head>,
    /// What tables took for each byte of chunks when they held nothing else.
    scale: Mutex<Option<f64>>,
}

/// Carries out `next` unless `done` says that the disk is full, and returns the first failure of both.
fn unless_full(done: Result<()>, next: impl FnOnce() -> Result<()>) -> Result<()> {
    match done {
        Err(Error::DiskFull { .. }) => done,
        done => {
            let next = next();
            done.and(next)
        }
    }
}

impl Merger {
    pub fn new(base: &Base, writer: &Arc<Writer>, admission: &Arc<Admission>, disk: &Arc<Disk>) -> Self {
        Merger {
            versions: base.versions.clone(),
            store: PacedStore::new(base),
            writer: writer.clone(),
            admission: admission.clone(),
            retention: base.retention.clone(),
            clock: base.clock.clone(),
            disk: disk.clone(),
            jobs: base.jobs.clone(),
            options: base.options.clone(),
            merging: Mutex::new(()),
            measured: Mutex::default(),
            keeping: Keeping::new(base),
            counts: MergeCounts::default(),
            head: base.head.clone(),
            scale: Mutex::default(),
        }
    }

    /// Sets the bytes per second that the compactor reads and writes; zero: no limit.
    pub fn set_rate(&self, rate: u64) {
        self.store.set_rate(rate);
    }

    /// Excludes merges, waiting for one in progress.
    pub fn lock(&self) -> MutexGuard<'_, ()> {
        self.merging.lock()
    }

    /// Excludes merges, if none is in progress.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, ()>> {
        self.merging.try_lock()
    }

    /// Keeps the lock held, as another thread may do at the moment of a fork.
    #[cfg(test)]
    pub fn hold(&self) -> impl Sized + '_ {
        self.keeping.hold()
    }

    /// What is kept.
    pub fn kept(&self) -> Kept {
        self.keeping.kept()
    }

    /// Applies retention, then performs the merges that are due, until the database closes.
    ///
    /// # Errors
    /// The store refused. Completed merges remain.
    pub fn compact(&self) -> Result<()> {
        let mut merging = self.merging.lock();
        self.disk.hold_reserve();
        // Work that frees space comes before work that needs some. Each pass advances a little, so a second attempt is
        // not needed.
        let pass = self.pass(self.retention.pass(self.versions.layout().width(TierId::RAW)));
        fail_point!("pass.planned");
        let done = self.expire(&pass).and_then(|()| self.fit(&pass));
        // Before merges, which mix what a tier includes with what it does not.
        let done = unless_full(done, || self.repair(&mut merging));
        let done = unless_full(done, || self.merge_all(&mut merging, |from| self.next_merges(from)));
        let done = unless_full(done, || self.extend(&mut merging, &pass));
        // Now the tiers include partitions that had to stay.
        let done = unless_full(done, || self.expire(&pass).and_then(|()| self.fit(&pass)));
        let done = unless_full(done, || self.apply_trims(&mut merging));
        // Also after a failure: there is no other way to free space on a full disk.
        done.and(self.collect_with_room())?;
        self.versions.settle_tables(OVERLAPPING)
    }

    /// Merges each partition that `next` returns once, in order. Partitions that become due again are left to the next
    /// pass. If a merge fails, the other partitions are still merged, unless the disk is full. Ends early when the
    /// database closes.
    ///
    /// # Errors
    /// The last failure.
    pub fn merge_all(
        &self,
        merging: &mut MutexGuard<'_, ()>,
        next: impl FnMut(PartitionId) -> Vec<PartitionId>,
    ) -> Result<()> {
        self.merge_while(merging, 0, || !self.jobs.are_ending(), next)
    }

    /// Like [`Merger::merge_all`], and applies deletes up to the sequence `until` in any case.
    ///
    /// # Errors
    /// Same as [`Merger::merge_all`].
    pub fn clean_all(
        &self,
        merging: &mut MutexGuard<'_, ()>,
        until: u64,
        next: impl FnMut(PartitionId) -> Vec<PartitionId>,
    ) -> Result<()> {
        self.merge_while(merging, until, || !self.jobs.are_ending(), next)
    }

    /// Like [`Merger::clean_all`], as long as `goes_on` is true.
    ///
    /// # Errors
    /// Same as [`Merger::merge_all`].
    pub fn merge_while(
        &self,
        merging: &mut MutexGuard<'_, ()>,
        deletes_until: u64,
        mut goes_on: impl FnMut() -> bool,
        mut next: impl FnMut(PartitionId) -> Vec<PartitionId>,
    ) -> Result<()> {
        let (mut from, mut done) = (PartitionId::MIN, Ok(()));
        let mut waiting: Vec<Vec<PartitionId>> = Vec::new();
        while goes_on() {
            let together = waiting.pop().unwrap_or_else(|| next(from));
            let Some(last) = together.last() else { break };
            from = from.max(last.next());
            match self.cleaner(deletes_until).merge(&together) {
                // They gave way to a flush and are merged again.
                Ok(again) => waiting.extend((!again.is_empty()).then_some(again)),
                Err(error @ Error::DiskFull { .. }) => return Err(error),
                Err(error) if together.len() == 1 => {
                    tracing::error!(partition = %last, %error, "merge failed; its inputs stay in use");
                    done = done.and(Err(error));
                }
                // One of them may be damaged: each is merged alone.
                Err(_) => waiting.extend(together.iter().rev().map(|partition| vec![*partition])),
            }
            // Small generations share tables, which are rewritten once for all of them, so their removal waits.
            if self.versions.obsolete().bytes() >= DEAD_BYTES_MAX {
                self.versions.collect()?;
            }
            // Gives waiters for a pause in merging their turn first: a flush, for which appends may wait, or a
            // snapshot.
            MutexGuard::bump(merging);
        }
        done
    }

    /// Removes obsolete generations; works even on a full disk.
    ///
    /// # Errors
    /// Those of the store.
    pub fn collect_with_room(&self) -> Result<()> {
        if self.versions.obsolete().is_empty() {
            return Ok(());
        }
        self.disk.with_room(|| self.versions.collect())
    }

    /// The code that merges and expires. The caller holds the merging lock.
    pub fn compactor(&self) -> Compactor<'_> {
        self.cleaner(0)
    }

    /// The same; its merges apply deletes up to the sequence `deletes_until` even if a tier that is no longer kept does
    /// not include them.
    fn cleaner(&self, deletes_until: u64) -> Compactor<'_> {
        Compactor {
            versions: &self.versions,
            kv: &self.store.kv,
            context: &*self.writer,
            counts: &self.counts,
            types: &*self.head,
            chunk_samples: self.options.chunk_samples,
            duplicates: self.head.rules().duplicates.clone(),
            work_bytes_max: self.options.work_bytes_max(),
            deletes_until,
        }
    }

    /// The next partitions to merge together, from `from` on.
    pub fn next_merges(&self, from: PartitionId) -> Vec<PartitionId> {
        let catalogue = self.versions.current_owned();
        let now = catalogue.root.newest.min(self.clock.now());
        let in_memory = self.admission.in_memory();
        next_merges(&catalogue, now, from, |partitions| in_memory.has_memory_to_merge(partitions))
    }

    /// Settles the tables after a flush of a program without background threads. A failure loses nothing.
    pub(super) fn settle_pile(&self) {
        if self.options.background {
            return;
        }
        // A merge in progress settles them when it ends.
        let Some(_merging) = self.try_lock() else { return };
        if let Err(error) = self.versions.settle_tables(OVERLAPPING_ALONE) {
            tracing::warn!(%error, "tables that overlap could not be put together; it will be tried again");
        }
    }

    pub fn add_to(&self, stats: &mut Stats) {
        self.counts.add_to(stats);
        self.store.add_to(stats);
    }
}
