//! Deleting by matchers and time range.
//!
//! Deletes are ordered with appends: a delete is logged, and once its record is durable its tombstone hides all older
//! data at once, in memory and in the store. The cost does not depend on the amount of hidden data, because appends
//! wait for it. A flush leaves out hidden data in memory, and merges apply tombstones in the store.

use std::sync::Arc;
use std::time::Instant;

use crate::engine::jobs::Task;
use crate::engine::write::pending::{Logged, Pending};
use crate::engine::{CommitState, Engine, Shared};
use crate::head::record::KIND_DELETE;
use crate::model::{Matcher, TimeRange};
use crate::stats::Counters;
use crate::store::catalogue::Tombstone;
use crate::wal::NewRecord;
use crate::{Error, Result};

impl Engine {
    /// Deletes the samples in `range` of the series that meet all matchers. Durable and
    /// complete for every later view when it returns; samples written afterwards stay.
    ///
    /// # Errors
    /// [`Error::Invalid`] without a matcher; an I/O error of the WAL.
    pub fn delete(&self, matchers: &[Matcher], range: TimeRange) -> Result<()> {
        let shared = &self.shared;
        shared.check_writable()?;
        if matchers.is_empty() {
            return Err(Error::Invalid("a delete needs at least one matcher".to_owned()));
        }
        let mut tombstone = Tombstone { seq: 0, matchers: matchers.to_vec(), range };
        let payload = tombstone.encode()?;
        let mut commit = shared.commit.lock();
        let ticket = if let Some(wal) = &shared.wal {
            let record = NewRecord { kind: KIND_DELETE, parts: [&payload, &[], &[], &[]] };
            let ticket = wal.append_to_free(record)?;
            tombstone.seq = ticket.seq;
            let change = Logged::Delete(Arc::new(tombstone));
            commit.pending.push_back(Pending { ticket, change, defined: Vec::new() });
            Some(ticket)
        } else {
            commit.last_seq += 1;
            tombstone.seq = commit.last_seq;
            shared.apply_delete(&mut commit, &Arc::new(tombstone));
            None
        };
        drop(commit);
        fail_point!("delete.logged");
        shared.wait_durable(ticket)?;
        fail_point!("delete.durable");
        Counters::add(&shared.counters.deletes, 1);
        shared.jobs.ask(Task::Merge);
        Ok(())
    }
}

impl Shared {
    /// Adds the tombstone, and deletes exemplars, which are in memory only. Readers see either all of the delete or
    /// nothing.
    pub(in crate::engine) fn apply_delete(&self, commit: &mut CommitState, tombstone: &Arc<Tombstone>) {
        self.head.exemplars.delete(&tombstone.matchers, tombstone.range);
        commit.first_append.get_or_insert_with(Instant::now);
        self.head.pins.delete(tombstone.seq, || self.versions.add_tombstone(tombstone));
        self.jobs.note_work();
    }
}
