//! Appends that are begun now and waited for later.
//!
//! [`Engine::append`] waits for the disk, so a program with one thread pays one sync for each batch.
//! [`Engine::begin_append`] returns when the batch is in the log's buffer. A later wait for any batch makes all earlier
//! ones durable with the same sync.
//!
//! The waiting thread becomes the leader of the log (`wal/log.rs`), so a begun append that no thread waits for would
//! stay in the buffer and keep its memory. It is made durable by: the flush job within about a second, a writer that
//! waits for the memory of batches, a flush requested by the program, and closing the engine.

use std::sync::atomic::Ordering;

use crate::engine::admit::newcomers::Newcomers;
use crate::engine::write::Writer;
use crate::engine::{AppendReport, Engine};
use crate::head::{Batch, Owner};
use crate::wal::Ticket;
use crate::{Error, Result};

/// An append that was begun with [`Engine::begin_append`].
#[derive(Debug, Clone)]
#[must_use = "the append is durable when Engine::wait_append returns"]
pub struct PendingAppend {
    report: AppendReport,
    /// `None` if nothing was logged, in which case the append is complete.
    ticket: Option<Ticket>,
    owner: Owner,
}

impl Engine {
    /// Begins to append a batch: checks it, finds its series and puts it into the log's buffer, in the order of the
    /// calls. It is neither visible nor durable before [`Engine::wait_append`] returns, or a later append does.
    ///
    /// # Errors
    /// Same as [`Engine::append`]; in this case nothing of the batch is stored. The call syncs only to free memory for
    /// batches, but it may have to write what is in the log's buffer, and may find failures of earlier appends. So
    /// [`Error::Io`], [`Error::DiskFull`] and [`Error::Poisoned`] are among the errors. Later failures are reported by
    /// [`Engine::wait_append`].
    pub fn begin_append(&self, batch: &Batch) -> Result<PendingAppend> {
        let shared = &self.shared;
        shared.check_writable()?;
        let mut newcomers = Newcomers::of_whole();
        let begun = shared.begin_append(batch, &mut newcomers);
        shared.writer.take_back(&mut newcomers, 0);
        let (report, ticket) = begun?;
        if ticket.is_some() {
            shared.writer.note_deferred();
            shared.jobs.note_work();
        }
        Ok(PendingAppend { report, ticket, owner: shared.lifecycle.owner() })
    }

    /// Returns when a begun append, and all that were begun before it, are visible and durable according to the
    /// durability option.
    ///
    /// # Errors
    /// Same as [`Engine::append`]: nothing of it is stored. If a sync fails, all appends that it would have covered get
    /// its error.
    pub fn wait_append(&self, pending: &PendingAppend) -> Result<AppendReport> {
        self.check_own(pending)?;
        self.shared.writer.wait_durable(pending.ticket).inspect_err(|_| self.note_reported())?;
        Ok(pending.report)
    }

    /// Whether a begun append is durable and visible. Does no I/O. It may add waiting batches to memory if they are
    /// durable and no other thread has added them yet.
    ///
    /// # Errors
    /// Same as [`Engine::wait_append`], once it is known that the append will not become durable.
    pub fn is_appended(&self, pending: &PendingAppend) -> Result<bool> {
        self.check_own(pending)?;
        self.shared.writer.is_durable(pending.ticket).inspect_err(|_| self.note_reported())
    }

    /// The program knows that begun appends were lost.
    fn note_reported(&self) {
        *self.shared.writer.lost.lock() = None;
    }

    fn check_own(&self, pending: &PendingAppend) -> Result<()> {
        self.shared.lifecycle.check_process()?;
        if pending.owner != self.shared.lifecycle.owner() {
            return Err(Error::Invalid("the append was begun in another database".to_owned()));
        }
        Ok(())
    }
}

impl Writer {
    /// Records that an append was begun that no thread may wait for.
    pub fn note_deferred(&self) {
        self.has_deferred.store(true, Ordering::SeqCst);
    }

    /// Makes begun appends durable, for which nobody may be waiting, and so frees their memory. A failure is reported
    /// to those who wait for the records that it removed, or else by [`Writer::complete_deferred`].
    pub fn settle_deferred(&self) {
        if let Err(error) = self.sync_deferred() {
            self.lost.lock().get_or_insert(error);
        }
    }

    /// The same at the end, for a caller that reports failures.
    ///
    /// # Errors
    /// Those of the log, now or earlier: some begun appends are not stored, and no wait has reported it.
    pub fn complete_deferred(&self) -> Result<()> {
        let done = self.sync_deferred();
        self.lost.lock().take().map_or(done, Err)
    }

    fn sync_deferred(&self) -> Result<()> {
        if !self.has_deferred.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        let newest = self.commit.lock().pending.back().map(|pending| pending.ticket);
        self.wait_durable(newest)
    }
}
