//! Cleaning: removes deleted data from the disk.
//!
//! A flush leaves out data deleted in memory and truncates the log. Then each partition that a tombstone concerns is
//! merged, even if it is not closed, and the replaced generations are removed.
//!
//! A replaced generation stays as long as a view needs it. Only reads by callers hold one: merges and scrubs of this
//! engine do not, once the merging lock is free.

use std::time::{Duration, Instant};

use crate::compact::{next_cleanings, with_deletes};
use crate::engine::{Engine, Shared};
use crate::model::{PartitionId, TimeRange};
use crate::{Error, Result};

/// The result of [`Engine::clean`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CleanReport {
    /// Partitions that were rewritten without the deleted data.
    pub partitions: u64,
    /// Replaced generations that are still on the disk because reads that began earlier need them. The next merge or
    /// cleaning after these reads removes them.
    pub held: u64,
}

/// How often waiting for reads checks whether the database is being closed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often partitions are rewritten while new deletes and flushes come in between. One more time is needed only if both
/// concern the same partition in the instant between its repair and its merge.
const CLEANINGS_MAX: usize = 10;

impl Engine {
    /// Removes everything that was deleted before the call from the disk: samples, strings, and label sets without
    /// other samples. RocksDB's MANIFEST may contain names and values of labels until the database is opened again.
    ///
    /// # Errors
    /// The store failed, or the database was closed in the meantime; data removed before that stays removed.
    /// [`Error::Corrupt`] if a damaged generation keeps deleted data on the disk; all other deleted data is removed.
    pub fn clean(&self) -> Result<CleanReport> {
        self.clean_within(Duration::ZERO)
    }

    /// Like [`Engine::clean`], but waits for reads that began earlier, at most for `patience`, so that the data they
    /// use is removed too.
    ///
    /// # Errors
    /// Same as [`Engine::clean`].
    pub fn clean_within(&self, patience: Duration) -> Result<CleanReport> {
        self.shared.check_writable()?;
        let _call = self.shared.lifecycle.enter()?;
        let report = self.shared.clean(patience)?;
        // Closing ends this early.
        self.shared.check_writable()?;
        Ok(report)
    }
}

impl Shared {
    fn clean(&self, patience: Duration) -> Result<CleanReport> {
        let is_begun = self.flusher.has_begun();
        self.flusher.flush()?;
        if is_begun {
            // The first call only completed an earlier flush.
            self.flusher.flush()?;
        }
        fail_point!("clean.flushed");
        let until = self.versions.current().tombstones.last().map_or(0, |tombstone| tombstone.seq);
        let (mut partitions, mut merged) = (0, Ok(()));
        let mut merging = self.merger.lock();
        for _ in 0..CLEANINGS_MAX {
            // Buckets are computed again from what is left, while that is still known.
            self.merger.repair(&mut merging)?;
            let mut next_partitions = 0;
            merged = self.merger.clean_all(&mut merging, until, |from| {
                let next = next_cleanings(&self.versions.current(), from, until);
                next_partitions += next.len() as u64;
                next
            });
            partitions += next_partitions;
            // Those with a newer delete, and samples that were flushed after it, wait for the next repair.
            let is_done = next_cleanings(&self.versions.current(), PartitionId::MIN, until).is_empty();
            if is_done || merged.is_err() || self.jobs.are_ending() {
                break;
            }
        }
        let merged = merged.and_then(|()| self.merger.merge_tiers(&mut merging, true));
        fail_point!("clean.merged");
        // Counted before the rest is removed, so that nothing is left that is not counted, and while no merge is in
        // progress, which would hold what it has just replaced.
        let mut held = self.versions.obsolete().held();
        // Also after a failure, as after other merges.
        merged.and(self.merger.collect_with_room())?;
        fail_point!("clean.collected");
        self.versions.kv().rewrite_records()?;
        fail_point!("clean.rewritten");
        drop(merging);
        fail_point!("clean.unlocked");
        let end = Instant::now() + patience;
        while held > 0 && Instant::now() < end && !self.lifecycle.is_closed() {
            self.versions.obsolete().wait_for_release(end.min(Instant::now() + LOOK_EVERY));
            let _merging = self.merger.lock();
            held = self.versions.obsolete().held();
            self.merger.collect_with_room()?;
        }
        self.check_cleaned(until)?;
        Ok(CleanReport { partitions, held })
    }

    /// Whether everything hidden by deletes up to the sequence `until` could be removed. A partition in which a
    /// generation is set aside is not merged, and an unreadable table is not rewritten.
    fn check_cleaned(&self, until: u64) -> Result<()> {
        let catalogue = self.versions.current();
        let Some((prefix, damage)) = catalogue.damage_in(TimeRange::ALL).next() else { return Ok(()) };
        let is_clean = self.versions.obsolete().is_empty()
            && with_deletes(&catalogue, PartitionId::MIN, until).next().is_none();
        if is_clean {
            return Ok(());
        }
        Err(Error::Corrupt {
            file: format!("partition {}", prefix.partition),
            offset: 0,
            what: format!(
                "{damage}; what was deleted in its partition, and in tables that cannot be read, stays on the disk: \
                 restore a snapshot, or wait until the retention removes it"
            ),
        })
    }
}
