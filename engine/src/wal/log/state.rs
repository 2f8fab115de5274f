//! The state of an open log, and of its records.

use super::removals::Removals;
use crate::error::{Error, Result};
use crate::wal::WalStats;
use crate::wal::buffer::{Buffer, Position};
use crate::wal::directory::Segment;
use crate::wal::ticket::{Fate, Ticket};
use crate::wal::writer::Progress;

/// The state of the log; locked briefly, never across I/O.
pub(super) struct State {
    pub(super) buffer: Buffer,
    pub(super) is_led: bool,
    /// A periodic sync is scheduled ([`crate::wal::SyncPolicy::Interval`]).
    pub(super) is_ticking: bool,
    /// The files are closed.
    pub(super) is_closed: bool,
    pub(super) durable: u64,
    pub(super) written: u64,
    /// Everything up to here is as durable as the policy promises; later records have not been acknowledged.
    pub(super) safe: Position,
    pub(super) removals: Removals,
    /// Why the last write or sync failed; `None` after a later one succeeded.
    pub(super) failing: Option<String>,
    pub(super) poisoned: Option<String>,
    pub(super) disk_full: bool,
    /// Whether the program's log says that the disk is full.
    pub(super) is_full_logged: bool,
    /// Bytes that the caller stores elsewhere.
    pub(super) stored_bytes: u64,
    /// Size of the reserve, or the size that it could not be given.
    pub(super) reserve_bytes: u64,
    /// The sealed segments, oldest first.
    pub(super) segments: Vec<Segment>,
    pub(super) stats: WalStats,
}

impl State {
    pub(super) fn refuse_poisoned(&self) -> Result<()> {
        if self.is_closed {
            return Err(Error::Closed);
        }
        self.poisoned.as_ref().map_or(Ok(()), |cause| Err(Error::Poisoned(cause.clone())))
    }

    /// Size of the log, including data that has not been written.
    pub(super) fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum::<u64>()
            + self.buffer.closed_bytes()
            + self.buffer.open_bytes()
    }

    pub(super) fn fate(&self, ticket: Ticket) -> Fate {
        match self.removals.floor(ticket.term) {
            Some(floor) if ticket.seq <= floor => Fate::Safe,
            Some(_) => Fate::Lost,
            None if ticket.seq <= self.safe.last_seq() => Fate::Safe,
            None => Fate::Open,
        }
    }

    /// Whether the records of a ticket are safe; false while they wait for a sync.
    pub(super) fn is_safe(&self, ticket: Ticket) -> Result<bool> {
        match self.fate(ticket) {
            Fate::Safe => Ok(true),
            Fate::Open => self.refuse_poisoned().map(|()| false),
            Fate::Lost => Err(self.removals.reason(ticket)),
        }
    }

    /// Refuses if the records of a ticket, which waited or were safe, were removed.
    pub(super) fn refuse_lost(&self, ticket: Ticket) -> Result<()> {
        let is_lost = self.removals.floor(ticket.term).is_some_and(|floor| floor < ticket.seq);
        if is_lost { Err(self.removals.reason(ticket)) } else { Ok(()) }
    }

    /// Whether everything up to `seq` that was not removed is on the disk, including the seal of a segment that ended.
    pub(super) fn is_durable(&self, seq: u64) -> bool {
        // A seal may be unwritten although its records are durable.
        self.durable >= self.still(seq) && !self.buffer.seal_waits()
    }

    /// The last sequence number up to `seq` that can still be waited for; the records after it were removed.
    pub(super) fn still(&self, seq: u64) -> u64 {
        seq.min(self.buffer.last_seq())
    }

    /// Records the progress of a leader.
    pub(super) fn absorb(&mut self, progress: Progress) {
        self.durable = self.durable.max(progress.durable.unwrap_or(0));
        self.written = self.written.max(progress.written.unwrap_or(0));
        self.disk_full = progress.disk_full;
        for segment in progress.sealed {
            self.buffer.forget_closed(segment.bytes);
            self.segments.push(segment);
        }
        self.buffer.recycle(progress.spare);
        self.stats.mark_failures += u64::from(progress.mark_failed);
        for time in progress.sync_times {
            let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            self.stats.syncs += 1;
            self.stats.sync_ns_sum = self.stats.sync_ns_sum.saturating_add(ns);
            self.stats.sync_ns_max = self.stats.sync_ns_max.max(ns);
        }
    }
}
