//! Records that are logged but not visible yet: batches and deletes between the log's buffer and the disk.
//!
//! A batch is applied to the head once its records are as durable as the durability option requires, in the order of
//! the log. So no view shows data that a crash could remove, and a batch that cannot be written or synced needs no
//! undo: the log removes its records, and it is dropped here.
//!
//! The thread that finds the log ahead of the head applies all waiting records for the others.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Result;
use crate::engine::write::{CommitState, Writer};
use crate::head::{HeadSeries, ResolvedBatch};
use crate::store::catalogue::Tombstone;
use crate::wal::{Fate, Ticket};

/// A logged change that is to be applied.
#[derive(Debug)]
pub(in crate::engine) struct Pending {
    pub ticket: Ticket,
    pub change: Logged,
    /// The series that its records define.
    pub defined: Vec<Arc<HeadSeries>>,
}

/// The kind of change.
#[derive(Debug)]
pub(in crate::engine) enum Logged {
    Batch(Box<ResolvedBatch>),
    Delete(Arc<Tombstone>),
}

impl Writer {
    /// Waits until a logged change is visible, and as safe as the durability option says.
    ///
    /// # Errors
    /// Those of the log: nothing of the change is stored, now or after a restart.
    pub fn wait_durable(&self, ticket: Option<Ticket>) -> Result<()> {
        let (Some(wal), Some(ticket)) = (&self.log, ticket) else { return Ok(()) };
        let done = wal.wait_for(ticket);
        self.settle_after(ticket, done.is_err());
        done
    }

    /// Whether a logged change is as safe as the durability option says, in which case it is also visible. Does no I/O.
    ///
    /// # Errors
    /// Same as [`Writer::wait_durable`].
    pub fn is_durable(&self, ticket: Option<Ticket>) -> Result<bool> {
        let (Some(wal), Some(ticket)) = (&self.log, ticket) else { return Ok(true) };
        let done = wal.is_safe(ticket);
        if !matches!(done, Ok(false)) {
            self.settle_after(ticket, done.is_err());
        }
        done
    }

    /// Applies or drops a record whose fate is known, and all before it.
    fn settle_after(&self, ticket: Ticket, is_lost: bool) {
        if is_lost || self.applied.load(Ordering::Acquire) < ticket.seq {
            self.settle(&mut self.commit.lock());
        }
        self.admission.pressure().flush_if_due();
    }

    /// Applies the durable records in order, and drops those that the log has removed.
    pub(super) fn settle(&self, commit: &mut CommitState) {
        let Some(wal) = &self.log else { return };
        // Read before the fates: a record removed later is not dropped below, and changes the term.
        commit.term = wal.term();
        while let Some(Pending { ticket, .. }) = commit.pending.front() {
            let fate = wal.fate(*ticket);
            if fate == Fate::Open {
                return;
            }
            let Some(Pending { ticket, change, defined }) = commit.pending.pop_front() else { return };
            if fate == Fate::Lost {
                defined.iter().for_each(|series| series.forget_definition());
                self.applier.head().take_back(&defined);
                continue;
            }
            match change {
                Logged::Batch(mut batch) => self.applier.batch(commit, &mut batch, ticket.seq),
                Logged::Delete(tombstone) => self.applier.delete(commit, &tombstone),
            }
            commit.last_seq = ticket.seq;
            self.applied.store(ticket.seq, Ordering::Release);
        }
    }

    /// Applies or drops all waiting changes. The caller excludes appends.
    pub(super) fn settle_all(&self, commit: &mut CommitState) {
        if let Some(wal) = self.log.as_ref().filter(|_| !commit.pending.is_empty()) {
            // The log has removed the records that it could not make durable.
            let _ = wal.settle();
            self.settle(commit);
            debug_assert!(commit.pending.is_empty(), "each record is safe or lost after a sync");
        }
    }
}
