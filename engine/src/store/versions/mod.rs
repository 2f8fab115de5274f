//! The versions of the catalogue: the current one, and the only code that replaces it.
//!
//! A flush, a merge and an expiry each describe their effect as an [`Edit`] and hand it to [`Versions::commit`]. One
//! commit at a time holds the edit lock, its fsync included. A delete does not take the lock: its tombstone is added to
//! the current version in memory under the engine's commit lock, for which appends wait. The next commit adds the
//! tombstone to the store; until then it is in the log.
//!
//! Next: `edit.rs` (a change), `uncertain.rs` (commits that failed), `indexed.rs` (which series have records, for
//! flushes and merges that run at the same time), `garbage.rs` (removal of replaced generations), `aside.rs` (damage).

mod aside;
mod edit;
mod garbage;
mod indexed;
mod uncertain;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};

use aside::Boundaries;
pub(crate) use aside::log_aside;
pub(crate) use edit::{Edit, IndexChange};
pub(crate) use garbage::remove_ranges;
pub(crate) use indexed::{IndexVersions, IndexedSeries};
use uncertain::UncertainCommits;

use crate::Result;
use crate::model::{Layout, PartitionId};
use crate::store::catalogue::{Catalogue, Generation, GenerationRecord, Obsolete, Root, Tombstone};
use crate::store::keys::Prefix;
use crate::store::kv::Kv;
use crate::sync::Mutex;

/// Owner of the catalogue, and of the generations that have left it until they are removed.
pub(crate) struct Versions {
    kv: Arc<dyn Kv>,
    current: ArcSwap<Catalogue>,
    obsolete: Arc<Obsolete>,
    next_generation: AtomicU64,
    editing: Mutex<Editing>,
    boundaries: Mutex<Boundaries>,
}

/// What the edit lock guards, together with the right to commit.
#[derive(Default)]
struct Editing {
    uncertain: UncertainCommits,
    /// The store contains the deletes up to this sequence, except for those that no longer hide anything.
    stored_deletes: u64,
    indexed: IndexedSeries,
}

/// The state that an edit is made for: nothing else changes it before the edit is committed.
pub(crate) struct Now<'n> {
    /// The current version.
    pub catalogue: &'n Catalogue,
    /// The series that its generations have records of.
    pub indexed: &'n IndexedSeries,
}

/// What a commit needs from the log and from the readers.
pub(crate) trait CommitContext {
    /// No series has this id or a larger one.
    fn next_series(&self) -> u64;

    /// Makes the log durable up to this sequence.
    fn sync_log(&self, seq: u64) -> Result<()>;

    /// Calls `replace` while no reader is pinned; `replace` publishes a version that is complete up to `flushed_seq`.
    fn publish(&self, flushed_seq: u64, replace: &mut dyn FnMut());
}

impl Versions {
    /// Starts with `catalogue`, whose generations belong to `obsolete`.
    pub(crate) fn new(kv: Arc<dyn Kv>, catalogue: Catalogue, obsolete: Arc<Obsolete>) -> Self {
        let stored_deletes = catalogue.tombstones.last().map_or(0, |t| t.seq);
        Versions {
            kv,
            obsolete,
            next_generation: AtomicU64::new(catalogue.root.next_generation),
            current: ArcSwap::from_pointee(catalogue),
            editing: Mutex::new(Editing { stored_deletes, ..Editing::default() }),
            boundaries: Mutex::default(),
        }
    }

    /// The store.
    pub(crate) fn kv(&self) -> &dyn Kv {
        &*self.kv
    }

    /// The store, for a decorator of it.
    pub(crate) fn shared_kv(&self) -> Arc<dyn Kv> {
        self.kv.clone()
    }

    /// The current version, for short use.
    pub(crate) fn current(&self) -> Guard<Arc<Catalogue>> {
        self.current.load()
    }

    /// The current version, to keep.
    pub(crate) fn current_owned(&self) -> Arc<Catalogue> {
        self.current.load_full()
    }

    /// How time is divided into partitions.
    pub(crate) fn layout(&self) -> Layout {
        self.current().layout()
    }

    /// The generations that have left the catalogue.
    pub(crate) fn obsolete(&self) -> &Obsolete {
        &self.obsolete
    }

    /// A prefix that has never been used.
    pub(crate) fn fresh_prefix(&self, partition: PartitionId) -> Prefix {
        let generation = self.next_generation.fetch_add(1, Ordering::Relaxed);
        Prefix { partition, generation }
    }

    /// The number of the next generation.
    #[cfg(test)]
    pub(crate) fn next_number(&self) -> u64 {
        self.next_generation.load(Ordering::Relaxed)
    }

    /// A generation that was written and is about to enter the catalogue.
    pub(crate) fn generation(&self, prefix: Prefix, record: GenerationRecord) -> Arc<Generation> {
        Generation::new(prefix, record, &self.obsolete)
    }

    /// Commits the edit that `make` returns and publishes the result to readers. Returns whether there was one. The
    /// state that `make` sees does not change until then.
    ///
    /// # Errors
    /// Those of `make`; or the commit failed, in which case it is uncertain whether it is in the store until another
    /// one succeeds.
    pub(crate) fn commit(
        &self,
        context: &dyn CommitContext,
        make: impl FnOnce(&Now<'_>) -> Result<Option<Edit>>,
    ) -> Result<bool> {
        let mut editing = self.editing.lock();
        let current = self.current_owned();
        let Some(edit) = make(&Now { catalogue: &current, indexed: &editing.indexed })? else {
            return Ok(false);
        };
        self.store(&mut editing, context, &current, edit)?;
        Ok(true)
    }

    /// Resolves uncertain commits before more is written. Otherwise, if the store keeps refusing commits, one more
    /// complete generation would have to be kept for each.
    pub(crate) fn resolve_uncertain(&self, context: &dyn CommitContext) -> Result<()> {
        let mut editing = self.editing.lock();
        if editing.uncertain.is_none() {
            return Ok(());
        }
        let current = self.current_owned();
        self.store(&mut editing, context, &current, Edit::default())
    }

    fn store(
        &self,
        editing: &mut Editing,
        context: &dyn CommitContext,
        current: &Catalogue,
        mut edit: Edit,
    ) -> Result<()> {
        let root = Root {
            next_generation: self.next_generation.load(Ordering::Relaxed),
            next_series: context.next_series(),
            ..edit.root(current.root)
        };
        let next = edit.apply(current, root);
        // Deletes are ordered by sequence.
        let new: Vec<_> =
            next.tombstones.iter_from(editing.stored_deletes.saturating_add(1)).cloned().collect();
        // A delete is in the catalogue before its record is on the disk. If the catalogue were stored first, a crash
        // could end the log before the record; the next delete would then get the same sequence and count as applied.
        context.sync_log(edit.newest_delete(&new))?;
        let mut changes = editing.uncertain.changes_to(&next)?;
        changes.extend(edit.changes(&root, &new)?);
        fail_point!("commit.begun");
        let keys = changes.iter().map(|(key, _)| key.clone()).collect();
        // These are not uncertain: after a refused commit they are written again, and replay restores them from the
        // log.
        changes.append(&mut edit.others);
        if let Err(e) = self.kv.commit(changes) {
            editing.uncertain.add(keys, current, &edit.add);
            return Err(e);
        }
        fail_point!("commit.stored");
        editing.uncertain.end();
        editing.stored_deletes = new.last().map_or(editing.stored_deletes, |newest| newest.seq);
        context.publish(root.flushed_seq, &mut || {
            self.current.rcu(|latest| {
                let mut tombstones = latest.tombstones.clone();
                for spent in &edit.spent {
                    tombstones.remove(spent.seq);
                }
                Catalogue {
                    root,
                    generations: next.generations.clone(),
                    tombstones,
                    coverage: next.coverage.clone(),
                    trims: next.trims.clone(),
                    event_trim: next.event_trim,
                    kept: next.kept.clone(),
                    choices: next.choices.clone(),
                }
            });
        });
        editing.indexed.apply(edit.index);
        Ok(())
    }

    /// Publishes a delete to all readers. It changes memory only and does not wait for a commit in progress.
    pub(crate) fn add_tombstone(&self, tombstone: &Arc<Tombstone>) {
        self.current.rcu(|latest| {
            let mut next = (**latest).clone();
            next.tombstones.put(tombstone.clone());
            next
        });
    }

    /// Announces a merge of these partitions: the samples that flushes add from here on are recorded. Returns the
    /// version whose generations are merged.
    pub(crate) fn begin_merge(&self, partitions: &[PartitionId]) -> Arc<Catalogue> {
        self.editing.lock().indexed.begin_merge(partitions);
        self.current_owned()
    }

    /// Ends a merge, whether it was committed or not.
    pub(crate) fn end_merge(&self) {
        self.editing.lock().indexed.end_merge();
    }

    /// What a flush must find unchanged when it commits.
    pub(crate) fn index_versions(&self, partitions: impl Iterator<Item = PartitionId>) -> IndexVersions {
        self.editing.lock().indexed.versions(partitions)
    }

    /// The series that the generations of a partition have records of.
    pub(crate) fn indexed_in(&self, partition: PartitionId) -> roaring::RoaringTreemap {
        self.editing.lock().indexed.of(partition)
    }
}
