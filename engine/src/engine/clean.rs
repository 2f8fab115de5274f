//! Cleaning: what was deleted leaves the disk.
//!
//! A flush leaves out what is deleted in memory and cuts the log; then each partition that a tombstone concerns is merged,
//! also one that is not closed, and what was merged is removed.

use std::collections::BTreeSet;

use crate::Result;
use crate::engine::{Engine, Parts};
use crate::model::PartitionId;
use crate::store::catalogue::Catalogue;
use crate::store::generations::Partition;

/// What [`Engine::clean`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CleanReport {
    /// Partitions that were written again without what was deleted.
    pub partitions: u64,
    /// Generations that were replaced, now or by earlier merges, and are still on the disk, because reads that began
    /// before need them. They are removed after these have ended, by the next merge or cleaning.
    pub held: u64,
}

impl Engine {
    /// Removes everything that was deleted before the call from the disk: samples, strings, and label sets that nothing
    /// else has. RocksDB's MANIFEST may contain names and values of labels until the database is opened again.
    ///
    /// # Errors
    /// The store refused, or the database was closed meanwhile; what was removed before stays removed.
    pub fn clean(&self) -> Result<CleanReport> {
        self.parts.check_writable()?;
        let report = self.parts.clean()?;
        // Closing ends it early.
        self.parts.check_writable()?;
        Ok(report)
    }
}

impl Parts {
    fn clean(&self) -> Result<CleanReport> {
        let is_begun = self.flush.lock().begun.is_some();
        self.flush()?;
        if is_begun {
            // That was what an earlier flush had begun with.
            self.flush()?;
        }
        let until = self.catalogue.load().tombstones.last().map_or(0, |tombstone| tombstone.seq);
        let mut partitions = BTreeSet::new();
        let merging = self.merging.lock();
        while let Some(partition) = next_to_clean(&self.catalogue.load(), until) {
            self.check_writable()?;
            // It may give way to a flush, and is merged again then.
            self.merge(&[partition])?;
            partitions.insert(partition);
        }
        self.bury()?;
        self.kv.rewrite_records()?;
        drop(merging);
        Ok(CleanReport { partitions: partitions.len() as u64, held: self.graveyard.held() })
    }
}

/// A partition with something that a delete up to `until` hides.
fn next_to_clean(catalogue: &Catalogue, until: u64) -> Option<PartitionId> {
    let mut unfinished = catalogue.generations.unfinished_from(PartitionId(i32::MIN), until);
    let concerned = |partition: &&Partition| {
        let mut deletes = catalogue.tombstones.iter().take_while(|tombstone| tombstone.seq <= until);
        deletes.any(|t| partition.generations.iter().any(|g| t.concerns(&g.record)))
    };
    unfinished.find(concerned).map(|partition| partition.id)
}
