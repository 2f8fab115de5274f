//! Cleaning: what was deleted leaves the disk.
//!
//! A flush leaves out what is deleted in memory and cuts the log; then each partition that a tombstone concerns is merged,
//! also one that is not closed, and what was merged is removed.

use crate::compact::with_deletes;
use crate::engine::{Engine, Parts};
use crate::model::{PartitionId, TimeRange};
use crate::{Error, Result};

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
    /// [`Error::Corrupt`] where a generation is set aside and therefore something that was deleted stays; all else is
    /// removed.
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
        let mut partitions = 0;
        let mut merging = self.merging.lock();
        let merged = self.merge_all(&mut merging, |from| {
            let next = self.next_cleanings(from, until);
            partitions += next.len() as u64;
            next
        });
        // Also after a failure, as after other merges.
        merged.and(self.bury_with_room())?;
        self.kv.rewrite_records()?;
        drop(merging);
        self.check_cleaned(until)?;
        Ok(CleanReport { partitions, held: self.graveyard.held() })
    }

    /// Whether all that deletes up to the sequence `until` hide could be removed. Beside a generation that is set aside
    /// a partition is not merged, and then no table is written again that also holds other keys.
    fn check_cleaned(&self, until: u64) -> Result<()> {
        let catalogue = self.catalogue.load();
        let Some((prefix, damage)) = catalogue.damage_in(TimeRange::ALL).next() else { return Ok(()) };
        let is_clean = self.graveyard.is_empty()
            && with_deletes(&catalogue, PartitionId(i32::MIN), until).next().is_none();
        if is_clean {
            return Ok(());
        }
        Err(Error::Corrupt {
            file: format!("partition {}", prefix.partition.0),
            offset: 0,
            what: format!(
                "{damage}; what was deleted in its partition, and in tables that also hold other data, stays on the \
                 disk: restore a snapshot, or wait until the retention removes it"
            ),
        })
    }
}
