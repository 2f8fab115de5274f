//! What a running query may use: samples held, wall time, and somebody's patience.
//!
//! # Concurrency
//! Counters are atomic, workers share one budget. Limits are checked when something is
//! taken, so a query overshoots by at most one series a worker.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::error::QueryError;
use crate::request::{Cancel, Limits};
use crate::value::QueryStats;

/// Counts what a query uses against its limits.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: Limits,
    cancel: Cancel,
    started: Instant,
    held: AtomicU64,
    peak: AtomicU64,
    read: AtomicU64,
    series: AtomicU64,
}

impl Budget {
    /// A budget that has used nothing.
    pub fn new(limits: Limits, cancel: Cancel, started: Instant) -> Self {
        Budget {
            limits,
            cancel,
            started,
            held: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            read: AtomicU64::new(0),
            series: AtomicU64::new(0),
        }
    }

    /// Takes `samples` into account, until they are released.
    ///
    /// # Errors
    /// [`QueryError::TooManySamples`].
    pub fn hold(&self, samples: u64) -> Result<(), QueryError> {
        let held = self.held.fetch_add(samples, Ordering::Relaxed).saturating_add(samples);
        self.peak.fetch_max(held, Ordering::Relaxed);
        if held > self.limits.samples_max {
            return Err(QueryError::TooManySamples { limit: self.limits.samples_max });
        }
        Ok(())
    }

    /// Gives back what was held.
    pub fn release(&self, samples: u64) {
        self.held.fetch_sub(samples, Ordering::Relaxed);
    }

    /// What is held now.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// A node is done: of all it held only its value is left.
    ///
    /// # Errors
    /// [`QueryError::TooManySamples`].
    pub fn settle(&self, before: u64, value: u64) -> Result<(), QueryError> {
        self.held.store(before, Ordering::Relaxed);
        self.hold(value)
    }

    /// Refuses a column count that could never be held, before it is allocated.
    ///
    /// # Errors
    /// [`QueryError::TooManySamples`].
    pub fn admit(&self, steps: usize) -> Result<(), QueryError> {
        if steps as u64 > self.limits.samples_max {
            return Err(QueryError::TooManySamples { limit: self.limits.samples_max });
        }
        Ok(())
    }

    /// Counts samples that selectors handed out.
    pub fn count_read(&self, samples: u64) {
        self.read.fetch_add(samples, Ordering::Relaxed);
    }

    /// Counts selected series.
    pub fn count_series(&self, series: u64) {
        self.series.fetch_add(series, Ordering::Relaxed);
    }

    /// Whether to go on. Called for every series and every few thousand samples.
    ///
    /// # Errors
    /// [`QueryError::Canceled`], [`QueryError::Timeout`].
    pub fn check(&self) -> Result<(), QueryError> {
        if self.cancel.is_canceled() {
            return Err(QueryError::Canceled);
        }
        if self.started.elapsed() > self.limits.timeout {
            return Err(QueryError::Timeout { seconds: self.limits.timeout.as_secs_f64() });
        }
        Ok(())
    }

    /// Series one selector may match.
    pub fn series_max(&self) -> usize {
        self.limits.series_max
    }

    /// What was used so far.
    pub fn stats(&self) -> QueryStats {
        QueryStats {
            samples_total: self.read.load(Ordering::Relaxed),
            samples_peak: self.peak.load(Ordering::Relaxed),
            series_total: self.series.load(Ordering::Relaxed),
            eval_ns: u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn budget(limits: Limits) -> Budget {
        Budget::new(limits, Cancel::default(), Instant::now())
    }

    #[test]
    fn released_samples_can_be_held_again() {
        let b = budget(Limits { samples_max: 10, ..Limits::default() });
        b.hold(10).unwrap();
        b.release(4);
        b.hold(4).unwrap();
        assert!(matches!(b.hold(1), Err(QueryError::TooManySamples { limit: 10 })));
        assert_eq!(b.stats().samples_peak, 11);
    }

    #[test]
    fn cancel_and_deadline_end_it() {
        let cancel = Cancel::default();
        let b = Budget::new(Limits::default(), cancel.clone(), Instant::now());
        b.check().unwrap();
        cancel.cancel();
        assert!(matches!(b.check(), Err(QueryError::Canceled)));
        let late = budget(Limits { timeout: Duration::ZERO, ..Limits::default() });
        assert!(matches!(late.check(), Err(QueryError::Timeout { .. })));
    }
}
