//! Back-pressure: a flush is due when unflushed samples fill much of their share of memory, and writes wait when they
//! fill all of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::base::Base;
use crate::engine::jobs::{Jobs, Task};
use crate::head::Head;
use crate::options::Options;
use crate::stats::{Counter, Stats};
use crate::sync::{Condvar, Mutex};
use crate::{Error, Result};

/// Decides whether writes wait.
pub(in crate::engine) struct Pressure {
    head: Arc<Head>,
    jobs: Arc<Jobs>,
    options: Arc<Options>,
    waiting: Mutex<()>,
    /// Signalled when a flush has freed memory.
    relieved: Condvar,
    waits: Counter,
    refused: Counter,
}

impl Pressure {
    pub fn new(base: &Base) -> Self {
        Pressure {
            head: base.head.clone(),
            jobs: base.jobs.clone(),
            options: base.options.clone(),
            waiting: Mutex::default(),
            relieved: Condvar::new(),
            waits: Counter::default(),
            refused: Counter::default(),
        }
    }

    /// Waits while unflushed samples fill their share of memory. Without background jobs, `flush` frees some.
    ///
    /// # Errors
    /// [`Error::Busy`] after [`Options::write_wait`], or those of `flush`.
    pub fn wait(&self, flush: impl FnOnce() -> Result<()>) -> Result<()> {
        let limit = self.options.head_bytes_max();
        if self.head.sample_bytes() < limit {
            return Ok(());
        }
        self.waits.add(1);
        self.head.release();
        if !self.options.background {
            flush()?;
        }
        let start = Instant::now();
        let mut guard = self.waiting.lock();
        while self.head.sample_bytes() >= limit {
            self.jobs.ask(Task::Flush);
            let waited = start.elapsed();
            let Some(left) = self.options.write_wait.checked_sub(waited).filter(|left| !left.is_zero())
            else {
                self.refused.add(1);
                let used_bytes = self.head.sample_bytes();
                return Err(Error::Busy {
                    used_bytes,
                    limit_bytes: limit,
                    waited_ms: waited.as_millis() as u64,
                });
            };
            self.relieved.wait_for(&mut guard, left.min(Duration::from_millis(100)));
        }
        Ok(())
    }

    /// Wakes waiting writes after a flush.
    pub fn relieve(&self) {
        self.relieved.notify_all();
    }

    /// Whether unflushed samples take so much memory that a flush is due. Memory kept for readers lowers the threshold.
    pub fn is_flush_due(&self) -> bool {
        if self.head.sample_bytes() < self.options.flush_bytes() {
            return false;
        }
        let left = self.options.head_bytes_max().saturating_sub(self.head.kept.bytes());
        self.head.unflushed_bytes() >= left / 2
    }

    /// Requests a flush if one is due.
    pub fn flush_if_due(&self) {
        if self.is_flush_due() {
            self.jobs.ask(Task::Flush);
        }
    }

    pub fn add_to(&self, stats: &mut Stats) {
        stats.waits = self.waits.get();
        stats.refused += self.refused.get();
    }

    /// Keeps the lock held, as another thread may do at the moment of a fork.
    #[cfg(test)]
    pub fn hold(&self) -> impl Sized + '_ {
        self.waiting.lock()
    }
}
