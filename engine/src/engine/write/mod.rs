//! The writer: the order of the log, and how much of the log is in the head.
//!
//! One lock, the commit lock, determines the position of each change in both. It is held while bytes are copied into
//! the log's buffer and while batches are added to the head, and across an fsync only when a flush begins, just after
//! another one.
//!
//! Next: `append.rs`, `lines.rs` and `remote.rs` (kinds of writes; the last two through `appender.rs`),
//! `record_log.rs` (records), `pending.rs` (between the log and the head), `apply.rs` (the head), `deferred.rs` (appends
//! that are waited for later), `epoch.rs` (flushes).

pub(in crate::engine) mod append;
pub(in crate::engine) mod appender;
mod apply;
pub(in crate::engine) mod deferred;
pub(in crate::engine) mod delete;
mod epoch;
pub(in crate::engine) mod handle;
pub(in crate::engine) mod line_options;
pub(in crate::engine) mod lines;
pub(in crate::engine) mod pending;
mod record_log;
pub(in crate::engine) mod remote;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use apply::Applier;
pub(in crate::engine) use epoch::Begun;
use pending::{Logged, Pending};
use record_log::LogRecord;

use crate::engine::admit::Admission;
use crate::engine::admit::newcomers::Newcomers;
use crate::engine::base::Base;
use crate::engine::known::KnownSeries;
use crate::engine::subscribe::Subscriptions;
use crate::head::pins::Turn;
use crate::head::{ChunkPolicy, Epoch, ResolvedBatch};
use crate::stats::{Counter, Stats};
use crate::sync::Mutex;
use crate::wal::{Ticket, Wal};
use crate::{Error, Result};

/// Owner of the log, and of the order in which its records enter the head.
pub(in crate::engine) struct Writer {
    /// `None` for a database in memory, and for one opened for reading.
    log: Option<Arc<Wal>>,
    applier: Applier,
    admission: Arc<Admission>,
    known: Arc<KnownSeries>,
    commit: Mutex<CommitState>,
    /// Every record up to this sequence is in the head.
    applied: AtomicU64,
    /// Whether appends were begun that no thread may be waiting for.
    has_deferred: AtomicBool,
    /// Why begun appends were lost, until a caller has received the error.
    lost: Mutex<Option<Error>>,
    deletes: Counter,
}

/// The state guarded by the commit lock.
#[derive(Debug)]
pub(in crate::engine) struct CommitState {
    epoch: Epoch,
    /// The epochs and readers, for the head's series.
    turn: Turn,
    /// Sequence of the last record in the head.
    pub last_seq: u64,
    /// Memory that is reused for the next record.
    spare: LogRecord,
    /// Changes that are in the log and not in the head yet, in the order of the log.
    pub pending: VecDeque<Pending>,
    /// The term of the log up to which removed records have been dropped.
    term: usize,
    /// Time of the first batch or delete of the epoch.
    first_append: Option<Instant>,
}

impl Writer {
    /// Creates a writer that continues after the record `last_seq` in `epoch`; `has_samples` says whether the epoch has
    /// samples.
    pub fn new(
        base: &Base,
        admission: &Arc<Admission>,
        subscriptions: Arc<Subscriptions>,
        epoch: Epoch,
        has_samples: bool,
    ) -> Self {
        // Deletes up to here have been applied to the head.
        let last_seq = epoch.cut;
        Writer {
            log: base.log.clone(),
            applier: Applier::new(base, subscriptions),
            admission: admission.clone(),
            known: base.known.clone(),
            commit: Mutex::new(CommitState {
                epoch,
                turn: Turn::first_after(last_seq),
                last_seq,
                spare: LogRecord::default(),
                pending: VecDeque::new(),
                term: 0,
                first_append: has_samples.then(Instant::now),
            }),
            applied: AtomicU64::new(last_seq),
            has_deferred: AtomicBool::new(false),
            lost: Mutex::default(),
            deletes: Counter::default(),
        }
    }

    /// The log; `None` for a database in memory, and for one opened for reading.
    pub fn log(&self) -> Option<&Wal> {
        self.log.as_deref()
    }

    /// The caches that map writers' bytes to series.
    pub fn known(&self) -> &KnownSeries {
        &self.known
    }

    /// The subscriptions to visible changes.
    pub fn subscriptions(&self) -> &Arc<Subscriptions> {
        self.applier.subscriptions()
    }

    /// The policy for cutting chunks.
    pub fn chunk_policy(&self) -> ChunkPolicy {
        self.applier.chunk_policy()
    }

    /// When the first change after the last cut entered the head, if there was one.
    pub fn first_append(&self) -> Option<Instant> {
        self.commit.lock().first_append
    }

    /// Logs a batch that is not empty, and clears it. Returns what to wait for. The batch becomes visible when it is
    /// safe.
    ///
    /// # Errors
    /// Nothing of it is logged.
    pub fn commit(&self, resolved: &mut ResolvedBatch) -> Result<Option<Ticket>> {
        let head = self.applier.head();
        let mut commit = self.commit.lock();
        let mut revived = resolved.revive(head);
        let Some(wal) = &self.log else {
            commit.last_seq += 1;
            let seq = commit.last_seq;
            // As a log record would do: a flush may take all samples of a new series before its writer checks whether
            // it was used.
            resolved.for_each(|series, _, _, _| {
                series.needs_definition(commit.epoch);
            });
            self.applier.batch(&mut commit, resolved, seq);
            resolved.clear();
            drop(commit);
            self.admission.pressure().flush_if_due();
            return Ok(None);
        };
        loop {
            match record_log::log(&mut commit, wal, resolved) {
                Ok(Some((ticket, defined))) => {
                    let change = Logged::Batch(Box::new(std::mem::take(resolved)));
                    commit.pending.push_back(Pending { ticket, change, defined });
                    return Ok(Some(ticket));
                }
                Ok(None) => {
                    self.settle(&mut commit);
                    revived.extend(resolved.revive(head));
                }
                Err(error) => {
                    head.take_back(&revived);
                    return Err(error);
                }
            }
        }
    }

    /// Removes the new series of a request from number `first` on of which nothing was logged from the head. Returns
    /// whether there were any. Caches may still refer to them.
    pub fn take_back(&self, newcomers: &mut Newcomers, first: usize) -> bool {
        newcomers.take_back(self.applier.head(), first, || self.commit.lock())
    }

    /// Counts a delete.
    pub fn count_delete(&self) {
        self.deletes.add(1);
    }

    /// Closes the log and ends the subscriptions, which first receive the changes that closing made durable.
    ///
    /// # Errors
    /// Those of the log.
    pub fn close(&self) -> Result<()> {
        let logged = self.log().map_or(Ok(()), Wal::close);
        self.settle(&mut self.commit.lock());
        self.subscriptions().end();
        logged
    }

    pub fn add_to(&self, stats: &mut Stats) {
        self.applier.add_to(stats);
        stats.deletes = self.deletes.get();
        let Some(wal) = &self.log else {
            stats.last_seq = self.commit.lock().last_seq;
            return;
        };
        let figures = wal.stats();
        stats.last_seq = wal.last_seq();
        stats.durable_seq = wal.durable_seq();
        stats.wal_bytes = wal.size_bytes();
        stats.wal_records = figures.records;
        stats.wal_syncs = figures.syncs;
        stats.wal_sync_time = Duration::from_nanos(figures.sync_ns_sum);
        stats.wal_segments = figures.segments;
        stats.wal_poisoned = figures.poisoned;
        stats.disk_full = figures.disk_full;
    }
}

#[cfg(test)]
impl Writer {
    /// Takes the commit lock.
    pub fn hold(&self) -> crate::sync::MutexGuard<'_, CommitState> {
        self.commit.lock()
    }

    /// Whether the commit lock is free.
    pub fn is_free(&self) -> bool {
        self.commit.try_lock().is_some()
    }

    /// Applies a delete that is in the log's buffer.
    pub fn apply_delete(
        &self,
        commit: &mut CommitState,
        tombstone: &Arc<crate::store::catalogue::Tombstone>,
    ) {
        self.applier.delete(commit, tombstone);
    }
}
