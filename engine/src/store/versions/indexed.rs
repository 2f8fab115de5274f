//! Which series the generations of each partition have a record of, so that a flush writes each record once; and how a
//! flush and a merge that run at the same time notice each other.
//!
//! A flush omits the records that it finds here, and a merge omits the records of series that have no samples left. The
//! one that commits second must not rely on records that the first one removed: a flush starts over if the index of its
//! partition was reduced in the meantime, and a merge gives way if flushes relied on a record that its output lacks.
//!
//! If each generation had a record of all its series, none of this would be needed, but the cost would be too high:
//! until a partition is merged, every flush would write the records and postings of all active series again, which are
//! larger than the chunks of an hour, and every query would read as many complete indexes as there are generations.

use std::collections::HashMap;

use roaring::RoaringTreemap;

use crate::model::PartitionId;
use crate::store::versions::IndexChange;

/// Described in the module documentation.
#[derive(Debug, Default)]
pub(crate) struct IndexedSeries {
    ids: HashMap<PartitionId, RoaringTreemap>,
    /// Counts how often the ids of a partition were reduced.
    reductions: HashMap<PartitionId, u64>,
    /// The partitions that are being merged, and for each the series of which flushes have since written samples,
    /// relying on records that the merge may omit.
    merging: HashMap<PartitionId, RoaringTreemap>,
}

/// The state of several partitions at one time.
#[derive(Debug)]
pub(crate) struct IndexVersions(Vec<(PartitionId, u64)>);

impl IndexedSeries {
    pub(super) fn of(&self, partition: PartitionId) -> RoaringTreemap {
        self.ids.get(&partition).cloned().unwrap_or_default()
    }

    pub(super) fn versions(&self, partitions: impl Iterator<Item = PartitionId>) -> IndexVersions {
        IndexVersions(partitions.map(|partition| (partition, self.version(partition))).collect())
    }

    fn version(&self, partition: PartitionId) -> u64 {
        self.reductions.get(&partition).copied().unwrap_or(0)
    }

    /// Whether the ids of these partitions have not been reduced since then.
    pub(crate) fn is_unchanged(&self, since: &IndexVersions) -> bool {
        since.0.iter().all(|(partition, version)| self.version(*partition) == *version)
    }

    pub(super) fn begin_merge(&mut self, partitions: &[PartitionId]) {
        self.merging = partitions.iter().map(|&partition| (partition, RoaringTreemap::new())).collect();
    }

    pub(super) fn end_merge(&mut self) {
        self.merging.clear();
    }

    /// The partitions that are being merged.
    pub(crate) fn merging(&self) -> impl Iterator<Item = PartitionId> {
        self.merging.keys().copied()
    }

    /// Whether flushes have relied on records of these series since the merge began.
    pub(crate) fn are_relied_on(&self, partition: PartitionId, ids: &RoaringTreemap) -> bool {
        self.merging.get(&partition).is_some_and(|relied_on| !relied_on.is_disjoint(ids))
    }

    /// Applies a change that was committed.
    pub(super) fn apply(&mut self, change: IndexChange) {
        for (partition, ids) in change.added {
            *self.ids.entry(partition).or_default() |= ids;
        }
        for (partition, ids) in change.relied_on {
            *self.merging.entry(partition).or_default() |= ids;
        }
        for (partition, gone) in change.removed {
            *self.reductions.entry(partition).or_default() += 1;
            if let Some(ids) = self.ids.get_mut(&partition) {
                *ids -= gone;
            }
        }
        change.dropped.into_iter().for_each(|partition| self.forget(partition));
    }

    /// Forgets the records of a partition: the next flush writes them again.
    pub(super) fn forget(&mut self, partition: PartitionId) {
        self.ids.remove(&partition);
        *self.reductions.entry(partition).or_default() += 1;
    }
}
