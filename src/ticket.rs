//! Tickets for appends that are waited for later.

use std::sync::Arc;

use barograph_engine::{AppendReport, Engine, PendingAppend};

use crate::{Batch, Database, Result};

/// An append that was begun with [`Database::begin_append`].
///
/// - The batch is in the log's buffer, between those begun before and after it. It may be lost if the process ends, and
///   no read shows it yet.
/// - It becomes durable, according to [`Durability`](crate::Durability), and visible with the next sync that covers it:
///   that of [`AppendTicket::wait`] on this or a later ticket, of any later append or flush, or of closing. With
///   [`Options::background`](crate::Options::background), the flush thread syncs within about a second, or after the
///   flush in progress.
/// - If that sync fails, every append that it would have covered is refused with the same error: none of them is
///   stored, now or after a restart. There is one exception: after [`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned),
///   a power failure may bring them back. Tickets that were durable before stay durable.
/// - Dropping a ticket undoes nothing; only the result is lost. Dropping the last handle of the database makes the
///   append durable before the database is closed.
/// - A ticket keeps the database open like a clone of its handle. It can still be used after [`Database::close`].
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
    /// Returns when the append is durable and visible. If no other thread has synced yet, this call does so, for all
    /// appends begun so far.
    ///
    /// ```
    /// use barograph::{Batch, Database, Labels, Timestamp, Value};
    /// # use barograph::Options;
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// let mut batch = Batch::new();
    /// batch.push(&Labels::from_pairs([("__name__", "load")])?, Timestamp::now(), Value::Float(0.5));
    /// let ticket = db.begin_append(&batch)?;
    /// assert_eq!(ticket.wait()?.samples, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same as [`Database::append`]: nothing of the batch is stored, with the exception above. The error is that of the
    /// sync or write that failed for this append, regardless of later failures.
    pub fn wait(&self) -> Result<AppendReport> {
        Ok(self.engine.wait_append(&self.pending)?)
    }

    /// Whether the append is durable and visible. Does no I/O, so without background threads something else has to
    /// sync. It may add waiting batches that are durable to memory.
    ///
    /// ```
    /// use barograph::{Batch, Database, Labels, Timestamp, Value};
    /// # use barograph::Options;
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// let mut batch = Batch::new();
    /// batch.push(&Labels::from_pairs([("__name__", "load")])?, Timestamp::now(), Value::Float(0.5));
    /// let ticket = db.begin_append(&batch)?;
    /// ticket.wait()?;
    /// assert!(ticket.is_durable()?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same as [`AppendTicket::wait`], once it is known that the append will not become durable.
    pub fn is_durable(&self) -> Result<bool> {
        Ok(self.engine.is_appended(&self.pending)?)
    }
}

impl Database {
    /// Begins to append a batch and returns a ticket to wait for it. One sync makes everything durable that was begun
    /// before a wait. For programs with one thread; appends of several threads share syncs automatically.
    ///
    /// The memory for batches limits how much is begun and not durable: if it is used up, a call first makes earlier
    /// appends durable.
    ///
    /// ```
    /// use barograph::{Batch, Database, Labels, Timestamp, Value};
    /// # use barograph::Options;
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// let mut batch = Batch::new();
    /// batch.push(&Labels::from_pairs([("__name__", "load")])?, Timestamp::now(), Value::Float(0.5));
    /// let first = db.begin_append(&batch)?;
    /// let second = db.begin_append(&batch)?;
    /// second.wait()?;
    /// assert!(first.is_durable()?, "one sync covers both");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same as [`Database::append`]; in this case nothing of the batch is stored. The call syncs only to free memory
    /// for batches, but it may have to write what is in the log's buffer, and may find failures of earlier appends. So
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), [`ErrorKind::DiskFull`](crate::ErrorKind::DiskFull) and
    /// [`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned) are among the errors. Later failures are reported by the
    /// ticket.
    pub fn begin_append(&self, batch: &Batch) -> Result<AppendTicket> {
        let pending = match self.tenant() {
            Some(tenant) => self.engine.begin_append(&batch.0.of_tenant(tenant)?),
            None => self.engine.begin_append(&batch.0),
        }?;
        Ok(AppendTicket { engine: self.engine.clone(), pending })
    }
}
