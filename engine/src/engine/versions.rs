//! Changes of the catalogue: an [`Edit`] is committed to the store, then it is what everyone sees.
//!
//! One change at a time has the structure lock, across the commit's fsync. A delete does not take it: its tombstone goes
//! into the catalogue in memory at once, under the commit lock, for which appends wait. The store gets the tombstone with
//! the next commit; until then the log has it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Result;
use crate::engine::{Parts, Structure};
use crate::model::PartitionId;
use crate::store::catalogue::{Catalogue, Root, Tombstone};
use crate::store::edit::Edit;
use crate::store::keys::Prefix;
use crate::store::kv::{Change, Family, KeyRange, Removal};
use crate::wal::Wal;

impl Parts {
    /// A prefix that nothing was ever written under.
    pub(crate) fn fresh_prefix(&self, partition: PartitionId) -> Prefix {
        let generation = self.next_generation.fetch_add(1, Ordering::Relaxed);
        Prefix { class: 0, tier: 0, partition, generation }
    }

    /// Commits `edit`, and other changes of the meta family beside it; the caller holds the structure lock.
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
        // Deletes come in the order of their sequences.
        let new: Vec<_> =
            next.tombstones.iter_from(structure.stored_deletes.saturating_add(1)).cloned().collect();
        self.sync_deletes(edit.newest_delete(&new))?;
        let mut changes = structure.doubt.changes_to(&next)?;
        changes.extend(edit.changes(&root, &new)?);
        let keys = changes.iter().map(|(key, _)| key.clone()).collect();
        // Notes need no doubt: those of a refused commit are written again, and replay makes them of older ones.
        changes.extend(others);
        if let Err(e) = self.kv.commit(changes) {
            structure.doubt.add(keys, &current, &edit.add);
            return Err(e);
        }
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

    /// Adds a delete to what everyone sees. In memory, and without a wait for whoever commits.
    pub(crate) fn add_tombstone(&self, tombstone: &Arc<Tombstone>) {
        self.catalogue.rcu(|latest| {
            let mut next = (**latest).clone();
            next.tombstones.put(tombstone.clone());
            next
        });
    }

    /// Makes the log durable up to the delete `seq`. A delete is in the catalogue before its record is on the disk: were
    /// the catalogue stored first, a crash could end the log below it, and the next delete would get its sequence and
    /// count as carried out already.
    fn sync_deletes(&self, seq: u64) -> Result<()> {
        match &self.wal {
            Some(wal) if seq > wal.durable_seq() => Wal::sync(wal),
            _ => Ok(()),
        }
    }

    /// Ends doubt before more is written: a store that goes on refusing commits would have to keep one more generation
    /// whole for each of them.
    pub(crate) fn end_doubt(&self) -> Result<()> {
        let mut structure = self.structure.lock();
        if structure.doubt.is_none() {
            return Ok(());
        }
        self.commit_edit(&mut structure, &Edit::default(), Vec::new())
    }

    /// Removes what lies under prefixes that no catalogue names.
    pub(crate) fn remove_ranges(&self, prefixes: impl IntoIterator<Item = Prefix>) -> Result<Removal> {
        let ranges: Vec<KeyRange> = prefixes.into_iter().map(|prefix| prefix.range()).collect();
        let removal = removal(&self.catalogue.load());
        for family in [Family::Chunks, Family::Index, Family::Events] {
            self.kv.remove_ranges(family, ranges.clone(), removal)?;
        }
        Ok(removal)
    }
}

/// How to remove what is dead. Where a generation is set aside no table is written again: the store would read damaged
/// blocks, and change nothing any more.
pub(super) fn removal(catalogue: &Catalogue) -> Removal {
    if catalogue.generations.totals().aside > 0 { Removal::WholeTables } else { Removal::All }
}
