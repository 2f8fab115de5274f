//! Tickets: appends that are waited for later.

use std::sync::Arc;

use barograph_engine::{AppendReport, Engine, PendingAppend};

use crate::{Batch, Database, Result};

/// An append that was begun by [`Database::begin_append`].
///
/// - The batch is in the log's buffer, after those that were begun before it and before those that are begun later. A
///   process that ends may lose it; no read shows it yet.
/// - It becomes durable, as [`Durability`](crate::Durability) says, and visible with the next sync that covers it: that
///   of [`AppendTicket::wait`] of this ticket or a later one, of any later append or flush, or of closing. With
///   [`Options::background`](crate::Options::background) the flush thread syncs within about a second, or after the
///   flush that is under way.
/// - If that sync fails, every append that it would have covered is refused with the same error: none of them is stored,
///   now or after a restart, with one exception: after [`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned), a power
///   failure may bring them back. Tickets that were durable before stay so.
/// - Dropping a ticket takes nothing back; only the answer is lost. Dropping the last handle of the database makes it
///   durable before it closes.
/// - A ticket keeps the database open as a clone of its handle does. After [`Database::close`] it still answers.
///
/// ```
/// use barograph::{Batch, Database, Labels, Timestamp, Value};
/// # fn main() -> barograph::Result<()> {
/// # let dir = tempfile::tempdir().expect("a directory");
/// let db = Database::open(dir.path())?;
/// let load = db.handle(&Labels::from_pairs([("__name__", "load")])?)?;
/// let mut tickets = Vec::new();
/// for second in 0..60 {
///     let mut batch = Batch::new();
///     batch.push_to(&load, Timestamp::from_secs(1_700_000_000 + second), Value::Float(0.5));
///     tickets.push(db.begin_append(&batch)?);
/// }
/// // One sync makes all of them durable.
/// for ticket in &tickets {
///     assert_eq!(ticket.wait()?.samples, 1);
/// }
/// assert!(db.stats().wal_syncs < 60);
/// # db.close()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "the append is durable when `wait` returns"]
pub struct AppendTicket {
    engine: Arc<Engine>,
    pending: PendingAppend,
}

impl std::fmt::Debug for AppendTicket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.pending.fmt(f)
    }
}

impl AppendTicket {
    /// Returns when the append is durable and visible. If nobody has synced yet, this call does, for all appends that
    /// were begun so far.
    ///
    /// # Errors
    /// As [`Database::append`]: nothing of the batch is stored, with the exception above. It is the error of the sync or
    /// write that failed for this append, whatever failed later.
    pub fn wait(&self) -> Result<AppendReport> {
        Ok(self.engine.wait_append(&self.pending)?)
    }

    /// Whether the append is durable and visible. It does no I/O, so without background threads something else has to
    /// sync; it may add waiting batches that are durable to memory.
    ///
    /// # Errors
    /// As [`AppendTicket::wait`], once it is known that the append will not become durable.
    pub fn is_durable(&self) -> Result<bool> {
        Ok(self.engine.is_appended(&self.pending)?)
    }
}

impl Database {
    /// Begins to append a batch and returns a ticket to wait with: what was begun before a wait is durable with one sync.
    /// For programs with one thread; the appends of many threads share syncs by themselves.
    ///
    /// The memory for batches bounds what is begun and not durable: a call that finds it in use first makes earlier
    /// appends durable.
    ///
    /// # Errors
    /// As [`Database::append`]; nothing of the batch is stored then. It syncs only to free memory for batches, but it may
    /// have to write what waits in the log's buffer, and finds failures of earlier appends: so
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), [`ErrorKind::DiskFull`](crate::ErrorKind::DiskFull) and
    /// [`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned) are among them. Later failures are reported by the ticket.
    pub fn begin_append(&self, batch: &Batch) -> Result<AppendTicket> {
        let pending = match self.tenant() {
            Some(tenant) => self.engine.begin_append(&batch.0.of_tenant(tenant)?),
            None => self.engine.begin_append(&batch.0),
        }?;
        Ok(AppendTicket { engine: self.engine.clone(), pending })
    }
}
