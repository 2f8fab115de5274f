//! Records that were logged and are not visible yet: batches and deletes between the log's buffer and the disk.
//!
//! A batch is applied to the head once its records are as durable as the durability option requires, in the order of
//! the log. So no view shows data that a crash could remove, and a batch that cannot be written or synced needs no
//! undo: the log removes its records, and it is dropped here.
//!
//! The thread that finds the log ahead of the head applies all waiting records; other threads find them applied.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::Result;
use crate::engine::jobs::Task;
use crate::engine::{CommitState, Shared};
use crate::head::{HeadSeries, ResolvedBatch};
use crate::stats::Counters;
use crate::store::catalogue::Tombstone;
use crate::wal::{Fate, Ticket};

/// Something logged that is to be applied.
#[derive(Debug)]
pub(in crate::engine) struct Pending {
    pub ticket: Ticket,
    pub change: Logged,
    /// Series that its records define.
    pub defined: Vec<Arc<HeadSeries>>,
}

/// What was logged.
#[derive(Debug)]
pub(in crate::engine) enum Logged {
    Batch(Box<ResolvedBatch>),
    Delete(Arc<Tombstone>),
}

impl Shared {
    /// Waits until what was logged is as safe as the durability option says and visible.
    ///
    /// # Errors
    /// Those of the log: nothing of it is stored, now or after a restart.
    pub(crate) fn wait_durable(&self, ticket: Option<Ticket>) -> Result<()> {
        let (Some(wal), Some(ticket)) = (&self.wal, ticket) else { return Ok(()) };
        let done = wal.wait_for(ticket);
        self.settle_after(ticket, done.is_err());
        done
    }

    /// Whether what was logged is as safe as the durability option says; then it is visible too. Does no I/O.
    ///
    /// # Errors
    /// As [`Shared::wait_durable`].
    pub(in crate::engine) fn is_durable(&self, ticket: Option<Ticket>) -> Result<bool> {
        let (Some(wal), Some(ticket)) = (&self.wal, ticket) else { return Ok(true) };
        let done = wal.is_safe(ticket);
        if !matches!(done, Ok(false)) {
            self.settle_after(ticket, done.is_err());
        }
        done
    }

    /// Applies or drops a record whose fate is known, with all before it.
    fn settle_after(&self, ticket: Ticket, is_lost: bool) {
        if is_lost || self.applied.load(Ordering::Acquire) < ticket.seq {
            self.settle(&mut self.commit.lock());
        }
        self.flush_if_full();
    }

    /// Applies the durable records in order, and drops those that the log has removed.
    pub(in crate::engine) fn settle(&self, commit: &mut CommitState) {
        let Some(wal) = &self.wal else { return };
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
                self.head.take_back(&defined);
                continue;
            }
            match change {
                Logged::Batch(mut batch) => self.apply(commit, &mut batch, ticket.seq),
                Logged::Delete(tombstone) => self.apply_delete(commit, &tombstone),
            }
            commit.last_seq = ticket.seq;
            self.applied.store(ticket.seq, Ordering::Release);
        }
    }

    /// Ends what waits, one way or the other; the caller keeps appends out.
    pub(in crate::engine) fn settle_all(&self, commit: &mut CommitState) {
        if let Some(wal) = self.wal.as_ref().filter(|_| !commit.pending.is_empty()) {
            // The log has removed the records that it could not make durable.
            let _ = wal.sync();
            self.settle(commit);
            debug_assert!(commit.pending.is_empty(), "each record is safe or lost after a sync");
        }
    }

    /// Adds a batch to the head under the commit lock, and counts it. Readers see either all of it or nothing.
    pub(in crate::engine) fn apply(&self, commit: &mut CommitState, resolved: &mut ResolvedBatch, seq: u64) {
        Counters::add(&self.counters.samples, resolved.samples() as u64);
        Counters::add(&self.counters.events, resolved.events.len() as u64);
        self.retention.note(resolved.newest());
        let mut grown = 0;
        let applying = self.head.pins.start(&mut commit.turn, seq);
        // Read after the start: a view that does not show this batch was pinned before it, so a subscription that is
        // older than such a view is seen here.
        let subscribed = self.subscriptions.is_any().then(|| resolved.events.clone());
        let (turn, chunk_policy) = (&commit.turn, self.chunk_policy());
        resolved.for_each(|series, timestamp, start, value| {
            grown += series.append(turn, chunk_policy, timestamp, start, value);
        });
        self.apply_notes(resolved);
        for event in resolved.events.drain(..) {
            grown += event.memory_bytes() as usize;
            self.head.events.push(seq, event);
        }
        drop(applying);
        if let Some(events) = subscribed {
            self.subscriptions.publish(resolved, &events);
        }
        commit.first_append.get_or_insert_with(Instant::now);
        // Counted under the lock: a flush that begins takes the count as its own.
        self.head.add_sample_bytes(grown as u64);
        self.jobs.note_work();
    }

    /// Whether unflushed samples take so much memory that a flush is due. Memory kept for readers lowers the threshold.
    pub(in crate::engine) fn is_head_large(&self) -> bool {
        if self.head.sample_bytes() < self.options.flush_bytes() {
            return false;
        }
        let left = self.options.head_bytes_max().saturating_sub(self.head.kept.bytes());
        self.head.unflushed_bytes() >= left / 2
    }

    pub(in crate::engine) fn flush_if_full(&self) {
        if self.is_head_large() {
            self.jobs.ask(Task::Flush);
        }
    }
}
