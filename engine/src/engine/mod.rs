//! The engine, which connects all the parts.
//!
//! # Concurrency
//! An [`Engine`] is shared by reference between threads. Locks, in the order in which they are taken: that of `Flusher`
//! (one flush at a time), that of `Merger` (one merge), that of `Writer` (the commit lock: it assigns WAL sequences and
//! applies them to the head in that order), and the edit lock of `store/versions` (changes of the catalogue, except
//! that a delete adds its tombstone without it). Only the first two are held across reads of the store. The commit lock
//! is held while bytes are copied into the WAL's buffer and while batches are added to the head, and across an fsync
//! only when a flush begins, just after another fsync. A thread that holds it never takes the edit lock, which is held
//! across commits of the store. The locks of `Jobs` and `Admission` are held for a look; that of `Lifecycle` only by
//! closing, which takes all others inside.
//!
//! # Invariants
//! E1. A sample is visible only after its WAL record is durable (according to the durability option), and acknowledged
//!     only after it is visible. A refused sample was never visible, and a replay does not find it
//!     (`write/pending.rs`).
//! E2. The WAL drops a record only after the catalogue that covers it is committed.
//! E3. Per series, head and WAL see appends and deletes in the same order.
//! E4. A view shows the state after one record of the log (`head/isolation/pins.rs`).

mod admit;
mod base;
mod directory;
mod health;
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
mod tiers;
mod trial;
mod upkeep;
mod write;

use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use health::Health;
pub use memory::PartUse;
pub use open::OpenReport;
pub use open::repair::RepairReport;
pub use snapshot::{OnProgress, SnapshotProgress, SnapshotReport, restore};
pub use subscribe::{Subscription, Update};
pub use tiers::{BudgetReport, Dropped, EventsReport, LadderReport, TierReport};
pub use trial::{DataDrop, KeptTrial, TierBuild};
pub use upkeep::clean::CleanReport;
pub use upkeep::flush::FlushReport;
pub use upkeep::verify::VerifyReport;
pub use write::append::AppendReport;
pub use write::deferred::PendingAppend;
pub use write::line_options::LineOptions;
pub use write::lines::{FarLine, LineBody, LineReport};
pub use write::remote::{RemoteError, RemoteRefusal, RemoteReport};

use crate::engine::admit::Admission;
use crate::engine::directory::disk::Disk;
use crate::engine::jobs::Jobs;
use crate::engine::lifecycle::Lifecycle;
use crate::engine::retention::Retention;
use crate::engine::upkeep::flush::Flusher;
use crate::engine::upkeep::merge::Merger;
use crate::engine::upkeep::scrub::Scrub;
use crate::engine::write::Writer;
use crate::head::Head;
use crate::options::Options;
use crate::store::versions::Versions;
use crate::view::View;
use crate::{Error, Result};

/// How long closing waits for reads by other threads.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// An open database. Dropping it closes it without a flush. Nothing acknowledged is lost: the next start replays the
/// WAL.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    report: OpenReport,
}

/// The parts of an open database, shared with its background threads. Each owner has its own file; operations of
/// several owners are in `impl Shared` blocks.
pub(crate) struct Shared {
    pub(crate) options: Arc<Options>,
    pub(crate) head: Arc<Head>,
    pub(crate) versions: Arc<Versions>,
    retention: Arc<Retention>,
    jobs: Arc<Jobs>,
    admission: Arc<Admission>,
    writer: Arc<Writer>,
    disk: Arc<Disk>,
    merger: Arc<Merger>,
    flusher: Flusher,
    scrub: Scrub,
    /// Dropped last: it releases the lock of the directory.
    lifecycle: Lifecycle,
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

    /// Its directory; `None` for a database in memory.
    pub fn dir(&self) -> Option<&Path> {
        self.shared.disk.dir()
    }

    /// The findings of opening.
    pub fn open_report(&self) -> &OpenReport {
        &self.report
    }

    /// Changes the retention of the running database. Zero keeps everything.
    ///
    /// # Errors
    /// [`Error::Option`] if it is shorter than one partition or longer than a tier is kept; [`Error::Closed`].
    pub fn set_retention(&self, retention: Duration) -> Result<()> {
        self.change_kept(|kept| kept.retention = retention)
    }

    /// Whether this process may use it. False in a forked child, where a lock may never become free.
    pub(super) fn is_usable(&self) -> bool {
        self.shared.lifecycle.check_process().is_ok()
    }

    /// Flushes, stops the background threads, performs small merges that are due for at most about a second, closes the
    /// files and unlocks the directory, even if views remain. Calls in progress complete, and closing waits for them;
    /// later calls return [`Error::Closed`].
    ///
    /// # Errors
    /// The last flush failed; nothing acknowledged is lost, because the WAL still has it. Or an append that was begun,
    /// and not waited for, could not be stored. [`Error::StillInUse`] if reads are still in progress after ten seconds,
    /// or in the calling thread: the last of them to end releases the directory.
    pub fn close(&self) -> Result<()> {
        self.close_within(CLOSE_PATIENCE)
    }

    fn close_within(&self, patience: Duration) -> Result<()> {
        let shared = &self.shared;
        shared.lifecycle.close(patience, || {
            shared.jobs.stop();
            let begun = shared.writer.complete_deferred();
            let flushed =
                if shared.lifecycle.is_read_only() { Ok(()) } else { shared.flusher.flush().map(drop) };
            if flushed.is_ok() && shared.options.background {
                shared.merge_at_close();
            }
            begun.and(flushed).and(shared.writer.close())
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.shared.lifecycle.check_process_thoroughly().is_err() {
            // Files, locks and threads belong to the parent. Nothing is released; the memory goes with the process.
            let _ = ManuallyDrop::new(self.shared.clone());
            return;
        }
        self.shared.writer.settle_deferred();
        self.shared.lifecycle.refuse_calls();
        self.shared.jobs.stop();
        self.shared.writer.subscriptions().end();
    }
}

impl Shared {
    pub(crate) fn view(&self) -> View<'_> {
        let mut view = View::new(&self.head, self.lifecycle.gate(), &self.versions);
        if self.options.refuse_damaged_store {
            view = view.refusing_damage();
        }
        // Opened for reading in spite of damage, to read the rest.
        if self.lifecycle.is_read_only() && self.options.recover_damaged_wal {
            view.leaving_out_damage()
        } else {
            view
        }
    }

    fn check_writable(&self) -> Result<()> {
        self.lifecycle.check_writable()?;
        // The log could accept more, but nothing would ever move it to the store.
        self.versions.kv().failure().map_or(Ok(()), |reason| Err(Error::Poisoned(reason.to_owned())))
    }
}

fn duration_ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
impl Shared {
    /// The compactor, for its tests.
    pub(crate) fn compactor(&self) -> crate::compact::Compactor<'_> {
        self.merger.compactor()
    }
}

#[cfg(test)]
mod tests;
