//! Deleting by matchers and time range.
//!
//! A delete takes its place among the appends: it is logged, edits the active head once its
//! record is safe, and leaves a tombstone for everything older (what a flush is working on, and the
//! store). Merges carry tombstones out physically.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::pending::{Logged, Pending};
use crate::engine::{Engine, Parts};
use crate::head::record::KIND_DELETE;
use crate::model::{Matcher, TimeRange};
use crate::stats::Counters;
use crate::store::catalogue::Tombstone;
use crate::wal::NewRecord;
use crate::{Error, Result};

/// What a delete did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeleteReport {
    /// Samples removed from memory at once; those in the store are hidden at once and
    /// removed by the next merge of their partition.
    pub samples_in_memory: u64,
}

impl Engine {
    /// Deletes the samples in `range` of the series that meet all matchers. Durable and
    /// complete for every later view when it returns; samples written afterwards stay.
    ///
    /// # Errors
    /// [`Error::Invalid`] without a matcher; an I/O error of the WAL.
    pub fn delete(&self, matchers: &[Matcher], range: TimeRange) -> Result<DeleteReport> {
        let parts = &self.parts;
        parts.check_writable()?;
        if matchers.is_empty() {
            return Err(Error::Invalid("a delete needs at least one matcher".to_owned()));
        }
        let mut tombstone = Tombstone { seq: 0, matchers: matchers.to_vec(), range };
        let payload = tombstone.encode()?;
        let removed = Arc::new(AtomicU64::new(0));
        let mut commit = parts.commit.lock();
        let ticket = if let Some(wal) = &parts.wal {
            let record = NewRecord { kind: KIND_DELETE, parts: [&payload, &[], &[], &[]] };
            let ticket = wal.append_to_free(record)?;
            tombstone.seq = ticket.seq;
            let change = Logged::Delete(Arc::new(tombstone), removed.clone());
            commit.pending.push_back(Pending { ticket, change, defined: Vec::new() });
            Some(ticket)
        } else {
            commit.last_seq += 1;
            tombstone.seq = commit.last_seq;
            removed.store(parts.apply_delete(commit.epoch, &Arc::new(tombstone)), Ordering::Relaxed);
            None
        };
        drop(commit);
        parts.wait_durable(ticket)?;
        let samples_in_memory = removed.load(Ordering::Relaxed);
        Counters::add(&parts.counters.deletes, 1);
        parts.signal(|s| s.compact = true);
        Ok(DeleteReport { samples_in_memory })
    }
}

impl Parts {
    /// Edits the head and adds the tombstone; the caller holds the commit lock. Returns the
    /// samples removed from the head.
    pub(crate) fn apply_delete(&self, epoch: crate::head::Epoch, tombstone: &Arc<Tombstone>) -> u64 {
        let samples = self.head.delete(epoch, self.cutting(), &tombstone.matchers, tombstone.range);
        self.add_tombstone(tombstone);
        samples
    }
}
