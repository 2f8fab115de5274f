//! Whether an open database may be used: by this process, for this purpose, and before it is closed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::head::Owner;
use crate::process::Process;
use crate::store::gate::{Call, Gate};
use crate::sync::Mutex;
use crate::{Error, Result};

/// Owner of the open state of a database, and of the gate in front of its store.
pub(in crate::engine) struct Lifecycle {
    /// The process that opened it.
    process: Process,
    /// Distinguishes handles of this open database from those of others.
    owner: Owner,
    is_read_only: bool,
    is_closed: AtomicBool,
    /// Held while the database is being closed.
    closing: Mutex<()>,
    /// The calls that use the store, and the lock of the directory, which is released after the store is closed.
    gate: Gate,
}

impl Lifecycle {
    /// Creates the state of a database that `process` has opened.
    pub fn new(process: Process, is_read_only: bool, gate: Gate) -> Self {
        Lifecycle {
            process,
            owner: Owner::new(),
            is_read_only,
            is_closed: AtomicBool::new(false),
            closing: Mutex::new(()),
            gate,
        }
    }

    /// Distinguishes handles of this open database from those of others.
    #[inline]
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Whether it was opened for reading only.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// The gate in front of the store.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// # Errors
    /// [`Error::Forked`].
    pub fn check_process(&self) -> Result<()> {
        self.process.check()
    }

    /// Same as [`Lifecycle::check_process`], but detects every kind of fork.
    ///
    /// # Errors
    /// [`Error::Forked`].
    pub fn check_process_thoroughly(&self) -> Result<()> {
        self.process.check_thoroughly()
    }

    /// # Errors
    /// [`Error::Closed`], [`Error::Forked`].
    pub fn check_open(&self) -> Result<()> {
        self.process.check()?;
        if self.is_closed() { Err(Error::Closed) } else { Ok(()) }
    }

    /// # Errors
    /// Same as [`Lifecycle::check_open`]; [`Error::Invalid`] if it was opened for reading only.
    pub fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        if self.is_read_only {
            return Err(Error::Invalid("the database is open for reading only".to_owned()));
        }
        Ok(())
    }

    /// Begins a call that uses the store.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Forked`].
    pub fn enter(&self) -> Result<Call<'_>> {
        self.gate.enter()
    }

    /// Whether the database is closed or being closed.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Refuses further calls.
    pub fn refuse_calls(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Refuses further calls, ends the work with `end`, waits at most `patience` for reads, and closes the store. A
    /// concurrent second call returns after the first has closed it.
    ///
    /// # Errors
    /// Those of `end`; [`Error::StillInUse`]; [`Error::Forked`].
    pub fn close(&self, patience: Duration, end: impl FnOnce() -> Result<()>) -> Result<()> {
        self.process.check_thoroughly()?;
        let _closing = self.closing.lock();
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return self.gate.close(patience);
        }
        let ended = end();
        ended.and(self.gate.close(patience))
    }

    /// Makes calls find the database closed, or open again, without closing anything.
    #[cfg(test)]
    pub fn pretend_closed(&self, is_closed: bool) {
        self.is_closed.store(is_closed, Ordering::Release);
    }

    /// Keeps the locks held, as another thread may do at the moment of a fork.
    #[cfg(test)]
    pub fn hold(&self) -> impl Sized + '_ {
        (self.closing.lock(), self.gate.hold())
    }
}
