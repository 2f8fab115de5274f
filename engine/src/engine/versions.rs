//! Changes of the catalogue: an [`Edit`] is committed to the store and then published to readers.
//!
//! One change at a time holds the structure lock, including the commit's fsync. A delete does not take it: its
//! tombstone is added to the catalogue in memory under the commit lock, for which appends wait. The next commit adds
//! the tombstone to the store; until then it is in the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Result;
use crate::engine::unreadable::{are_readable, are_rewritable};
use crate::engine::{Parts, Structure};
use crate::model::PartitionId;
use crate::store::catalogue::{Catalogue, Root, Tombstone};
use crate::store::edit::Edit;
use crate::store::keys::Prefix;
use crate::store::kv::{Change, Family, KeyRange, Removal};
use crate::wal::Wal;

/// Families whose tables are large.
const BULK: [Family; 3] = [Family::Chunks, Family::Index, Family::Events];

impl Parts {
    /// A prefix that has never been used.
    pub(crate) fn fresh_prefix(&self, partition: PartitionId) -> Prefix {
        let generation = self.next_generation.fetch_add(1, Ordering::Relaxed);
        Prefix { class: 0, tier: 0, partition, generation }
    }

    /// Commits `edit` together with `others`, changes of other records of the meta family; the caller holds the
    /// structure lock.
    pub(crate) fn commit_edit(
        &self,
        structure: &mut Structure,
        edit: &Edit,
        others: Vec<Change>,
    ) -> Result<()> {
        let current = self.catalogue.load_full();
        let root = Root {
            next_generation: self.next_generation.load(Ordering::Relaxed),
            next_series: self.head.next_id(),
            ..edit.root(current.root)
        };
        let next = edit.apply(&current, root);
        // Deletes are ordered by sequence.
        let new: Vec<_> =
            next.tombstones.iter_from(structure.stored_deletes.saturating_add(1)).cloned().collect();
        self.sync_deletes(edit.newest_delete(&new))?;
        let mut changes = structure.doubt.changes_to(&next)?;
        changes.extend(edit.changes(&root, &new)?);
        fail_point!("commit.begun");
        let keys = changes.iter().map(|(key, _)| key.clone()).collect();
        // Notes are not in doubt: those of a refused commit are written again, and replay restores them from the log.
        changes.extend(others);
        if let Err(e) = self.kv.commit(changes) {
            structure.doubt.add(keys, &current, &edit.add);
            return Err(e);
        }
        fail_point!("commit.stored");
        structure.doubt.end();
        structure.stored_deletes = new.last().map_or(structure.stored_deletes, |newest| newest.seq);
        self.head.pins.publish(root.flushed_seq, || {
            self.catalogue.rcu(|latest| {
                let mut tombstones = latest.tombstones.clone();
                for spent in &edit.spent {
                    tombstones.remove(spent.seq);
                }
                Catalogue { root, generations: next.generations.clone(), tombstones }
            });
        });
        Ok(())
    }

    /// Publishes a delete to all readers. It changes memory only and does not wait for a commit in progress.
    pub(crate) fn add_tombstone(&self, tombstone: &Arc<Tombstone>) {
        self.catalogue.rcu(|latest| {
            let mut next = (**latest).clone();
            next.tombstones.put(tombstone.clone());
            next
        });
    }

    /// Makes the log durable up to the delete `seq`. A delete is in the catalogue before its record is on the disk. If
    /// the catalogue were stored first, a crash could end the log before the record; the next delete would get the same
    /// sequence and count as already applied.
    fn sync_deletes(&self, seq: u64) -> Result<()> {
        match &self.wal {
            Some(wal) if seq > wal.durable_seq() => Wal::sync(wal),
            _ => Ok(()),
        }
    }

    /// Resolves doubt before more is written. Otherwise, a store that keeps refusing commits would have to keep one
    /// more complete generation for each of them.
    pub(crate) fn end_doubt(&self) -> Result<()> {
        let mut structure = self.structure.lock();
        if structure.doubt.is_none() {
            return Ok(());
        }
        self.commit_edit(&mut structure, &Edit::default(), Vec::new())
    }

    /// Removes the ranges of prefixes that no catalogue names.
    pub(crate) fn remove_ranges(&self, prefixes: impl IntoIterator<Item = Prefix>) -> Result<Removal> {
        let ranges: Vec<KeyRange> = prefixes.into_iter().map(|prefix| prefix.range()).collect();
        let mut is_safe = true;
        for family in BULK {
            is_safe = is_safe && are_rewritable(&*self.kv, family, &ranges)?;
        }
        // Reading may have set a generation aside.
        let removal = if is_safe { removal(&self.catalogue.load()) } else { Removal::WholeTables };
        for family in BULK {
            self.kv.remove_ranges(family, ranges.clone(), removal)?;
        }
        Ok(removal)
    }

    /// Rewrites tables where many overlap, unless one of them is damaged.
    pub(crate) fn settle_tables(&self) -> Result<()> {
        for family in BULK {
            let tables = self.kv.unsettled(family)?;
            let is_safe = !tables.is_empty() && are_readable(&*self.kv, family, tables)?;
            // Reading may have set a generation aside.
            if is_safe && removal(&self.catalogue.load()) == Removal::All {
                self.kv.settle(family)?;
            }
        }
        Ok(())
    }
}

/// How to remove dead ranges. While a generation is set aside, no table is rewritten: the store would read damaged
/// blocks and then refuse all further changes.
pub(super) fn removal(catalogue: &Catalogue) -> Removal {
    if catalogue.generations.totals().aside > 0 { Removal::WholeTables } else { Removal::All }
}
