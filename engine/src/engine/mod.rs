//! The engine, which connects all the parts.
//!
//! # Concurrency
//! An [`Engine`] is shared by reference between threads. Locks, in the order in which they are taken: `flush` (one
//! flush at a time), `merging` (one merge), `commit` (assigns WAL sequences and applies them to the head in that
//! order), and the edit lock of `store/versions` (changes of the catalogue, except that a delete adds its tombstone
//! without it). Only `flush` and `merging` are held across reads of the store. `commit` is held while bytes are copied
//! into the WAL's buffer and while batches are added to the head, and across an fsync only when a flush begins, just
//! after another fsync. A thread that holds `commit` never takes the edit lock, which is held across commits of the
//! store.
//!
//! # Invariants
//! E1. A sample is visible only after its WAL record is durable (according to the durability option), and acknowledged
//!     only after it is visible. A refused sample was never visible, and a replay does not find it (`pending.rs`).
//! E2. The WAL drops a record only after the catalogue that covers it is committed.
//! E3. Per series, head and WAL see appends and deletes in the same order.
//! E4. A view shows the state after one record of the log (`head/isolation/pins.rs`).

mod admit;
mod directory;
mod health;
mod in_memory;
mod jobs;
mod known;
mod lifecycle;
mod memory;
mod notes;
mod open;
mod report;
mod retention;
mod shortened;
mod snapshot;
mod subscribe;
mod upkeep;
mod write;

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

pub use health::Health;
pub use memory::PartUse;
pub use open::OpenReport;
pub use open::repair::RepairReport;
pub use snapshot::{OnProgress, SnapshotProgress, SnapshotReport, restore};
pub use subscribe::{Subscription, Update};
pub use upkeep::clean::CleanReport;
pub use upkeep::flush::FlushReport;
pub use upkeep::verify::VerifyReport;
pub use write::append::{AppendReport, SeriesLimiter};
pub use write::deferred::PendingAppend;
pub use write::lines::{FarLine, LineBody, LineOptions, LineReport};
pub use write::remote::{RemoteError, RemoteRefusal, RemoteReport};

use crate::clock::Clock;
use crate::engine::jobs::{Jobs, Task};
use crate::engine::known::KnownSeries;
use crate::engine::lifecycle::Lifecycle;
use crate::engine::retention::Retention;
use crate::engine::write::pending::Pending;
use crate::engine::write::record_log::LogRecord;
use crate::head::pins::{Base, EpochStart, Turn};
use crate::head::{ChunkPolicy, Epoch, Head};
use crate::options::Options;
use crate::stats::Counters;
use crate::store::versions::Versions;
use crate::sync::{Condvar, Mutex};
use crate::view::View;
use crate::wal::Wal;
use crate::{Error, Result};

/// How long closing waits for reads of other threads.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// An open database. Dropping it closes it without a flush: nothing acknowledged is lost,
/// the next start replays the WAL.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    report: OpenReport,
}

/// What an open database consists of, shared with its background threads.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wal: Option<Wal>,
    pub(crate) head: Head,
    pub(crate) versions: Arc<Versions>,
    pub(crate) counters: Counters,
    pub(crate) limiter: SeriesLimiter,
    cardinality: admit::limits::CardinalityLimits,
    batches: admit::batches::BatchMemory,
    known: KnownSeries,
    commit: Mutex<CommitState>,
    flush: Mutex<FlushState>,
    pub(crate) merging: Mutex<()>,
    /// Bytes of series that the last flush left in the head.
    series_bytes_seen: AtomicU64,
    /// Every record up to this sequence is in the head.
    applied: AtomicU64,
    pub(crate) retention: Retention,
    /// Whether appends were begun that nobody may be waiting for.
    has_deferred: AtomicBool,
    /// Whether a series was refused because memory is full since the last search for idle ones.
    wants_room: AtomicBool,
    /// When that was.
    idle_looked: Mutex<Instant>,
    subscriptions: Arc<subscribe::Subscriptions>,
    jobs: Jobs,
    room: (Mutex<()>, Condvar),
    failing: health::Failing,
    scrub: upkeep::scrub::Scrub,
    /// Dropped last: it releases the lock of the directory.
    lifecycle: Lifecycle,
}

/// What the commit lock guards.
#[derive(Debug)]
struct CommitState {
    epoch: Epoch,
    /// What the head's series need to know of epochs and readers.
    turn: Turn,
    /// Sequence of the last record that the head has.
    last_seq: u64,
    /// Memory for the next record.
    spare: LogRecord,
    /// What is in the log and not in the head yet, in the order of the log.
    pending: VecDeque<Pending>,
    /// The term of the log up to which what it took back is dropped.
    term: usize,
    /// Time of the epoch's first batch or delete.
    first_append: Option<Instant>,
}

/// A flush that has begun: also after a failure, until a later try completes it.
#[derive(Debug, Default)]
struct FlushState {
    begun: Option<Begun>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    epoch: Epoch,
    start: EpochStart,
    /// The beginning of the epoch being flushed.
    base: Base,
    bytes: u64,
}

impl Engine {
    /// A consistent read of everything acknowledged so far: each batch and each delete is visible completely or not at
    /// all, regardless of writes, flushes and merges during the view's lifetime.
    pub fn view(&self) -> View<'_> {
        self.shared.view()
    }

    /// # Errors
    /// [`Error::Closed`], [`Error::Forked`].
    pub fn check_open(&self) -> Result<()> {
        self.shared.lifecycle.check_open()
    }

    /// The options it was opened with.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Its directory; none for a database in memory.
    pub fn dir(&self) -> Option<&Path> {
        self.shared.dir.as_deref()
    }

    /// What opening found.
    pub fn open_report(&self) -> &OpenReport {
        &self.report
    }

    /// Changes the retention of the running database. Zero keeps everything.
    ///
    /// # Errors
    /// [`Error::Option`] when it is shorter than one partition; [`Error::Closed`].
    pub fn set_retention(&self, retention: Duration) -> Result<()> {
        self.shared.lifecycle.check_open()?;
        Options { retention, ..self.shared.options.clone() }.validate()?;
        self.shared.retention.set(retention);
        self.shared.jobs.ask(Task::Merge);
        Ok(())
    }

    /// Whether this process may use it: false in a forked child, where even a lock may never be free.
    pub(super) fn is_usable(&self) -> bool {
        self.shared.lifecycle.check_process().is_ok()
    }

    /// Changes the limit of new series in one second. Zero is no limit.
    pub fn set_new_series_per_second(&self, limit: u64) {
        self.shared.limiter.set(limit);
    }

    /// Flushes, stops the background threads, carries out small merges that are due, for about a second at most, closes
    /// the files and unlocks the directory, although views may remain.
    /// Calls that are under way complete, and closing waits for them; later calls return [`Error::Closed`].
    ///
    /// # Errors
    /// The last flush failed; nothing acknowledged is lost, because the WAL still has it. [`Error::StillInUse`] if reads
    /// are under way after ten seconds, or in the calling thread: the last of them to end releases the directory.
    pub fn close(&self) -> Result<()> {
        self.close_within(CLOSE_PATIENCE)
    }

    fn close_within(&self, patience: Duration) -> Result<()> {
        let shared = &self.shared;
        shared.lifecycle.close(patience, || {
            shared.jobs.stop();
            let flushed = if shared.lifecycle.is_read_only() { Ok(()) } else { shared.flush().map(|_| ()) };
            if flushed.is_ok() && shared.options.background {
                shared.merge_at_close();
            }
            let logged = shared.wal.as_ref().map_or(Ok(()), Wal::close);
            // What no flush has taken and closing made durable: subscriptions receive it before they end.
            shared.settle(&mut shared.commit.lock());
            shared.subscriptions.end();
            flushed.and(logged)
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.shared.lifecycle.check_process_thoroughly().is_err() {
            // Files, locks and threads are those of the parent: nothing is released, the memory goes with the process.
            let _ = ManuallyDrop::new(self.shared.clone());
            return;
        }
        self.shared.settle_deferred();
        self.shared.lifecycle.refuse_calls();
        self.shared.jobs.stop();
        self.shared.subscriptions.end();
    }
}

impl Shared {
    pub(crate) fn view(&self) -> View<'_> {
        let mut view = View::new(&self.head, self.lifecycle.gate(), &self.versions);
        if self.options.refuse_damaged_store {
            view = view.refusing_damage();
        }
        // Opened for reading although damaged, to read the rest.
        if self.lifecycle.is_read_only() && self.options.recover_damaged_wal {
            view.leaving_out_damage()
        } else {
            view
        }
    }

    pub(crate) fn chunk_policy(&self) -> ChunkPolicy {
        ChunkPolicy { layout: self.versions.current().layout(), chunk_samples: self.options.chunk_samples }
    }

    fn check_writable(&self) -> Result<()> {
        self.lifecycle.check_writable()?;
        // The log could take more, but nothing would ever take it from there.
        self.versions.kv().failure().map_or(Ok(()), |reason| Err(Error::Poisoned(reason.to_owned())))
    }
}

fn duration_ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
