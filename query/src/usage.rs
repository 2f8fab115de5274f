//! The resources that running queries use. Others can read them while a query runs, and they are bounded for all
//! queries together.
//!
//! A query counts what it holds as it runs (`budget/`): columns, the decoded samples of each worker, histograms,
//! labels, and what its source keeps for it. The bytes are released when the last clone of its [`Usage`] is dropped, so
//! they stay taken while the answer is being written.
//!
//! # Concurrency
//! Counters are atomic, and not ordered with respect to each other.

use std::ops::{Add, AddAssign};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use barograph_engine::budget::{Account, Share};

use crate::error::QueryError;

/// How much something counts against each limit while it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Footprint {
    /// Samples.
    pub samples: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Footprint {
    /// A column of this many values.
    pub fn values(count: usize) -> Footprint {
        Footprint { samples: count as u64, bytes: (count * size_of::<f64>()) as u64 }
    }

    /// The excess over `other`.
    pub fn without(self, other: Footprint) -> Footprint {
        Footprint {
            samples: self.samples.saturating_sub(other.samples),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// Memory that contains no samples.
    pub fn bytes(bytes: usize) -> Footprint {
        Footprint { samples: 0, bytes: bytes as u64 }
    }
}

impl Add for Footprint {
    type Output = Footprint;

    fn add(self, other: Footprint) -> Footprint {
        Footprint { samples: self.samples + other.samples, bytes: self.bytes + other.bytes }
    }
}

impl AddAssign for Footprint {
    fn add_assign(&mut self, other: Footprint) {
        *self = *self + other;
    }
}

/// The resources that one query uses. Clones share the counters.
///
/// ```
/// use barograph_query::source::memory::MemorySource;
/// use barograph_query::request::Metered;
/// use barograph_query::{Request, execute};
///
/// let request = Request::instant("vector(1)", barograph_engine::Timestamp::UNIX_EPOCH);
/// let usage = request.usage().clone();
/// let response = execute(&MemorySource::new(), &request)?;
/// assert!(usage.bytes() > 0, "the answer is still held");
/// assert_eq!(response.stats.bytes_peak, usage.bytes_peak());
/// # Ok::<(), barograph_query::QueryError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Usage {
    account: Account,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    samples: AtomicU64,
    samples_peak: AtomicU64,
    samples_read: AtomicU64,
    samples_decoded: AtomicU64,
    buckets_decoded: AtomicU64,
    series: AtomicU64,
    /// Bytes of the answer of the last run.
    answer: AtomicU64,
    /// Counts checks for cancellation, and cancels the query at a given one.
    #[cfg(test)]
    checks: (AtomicU64, AtomicU64),
}

impl Usage {
    /// Usage whose bytes also count against `share`.
    pub fn of(share: Arc<Share>) -> Self {
        Usage { account: Account::of(share), counters: Arc::default() }
    }

    /// The bytes it holds.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Samples held now.
    pub fn samples(&self) -> u64 {
        self.counters.samples.load(Relaxed)
    }

    /// Maximum number of samples held at once.
    pub fn samples_peak(&self) -> u64 {
        self.counters.samples_peak.load(Relaxed)
    }

    /// Samples that selectors returned, counted once for each evaluation that used them.
    pub fn samples_read(&self) -> u64 {
        self.counters.samples_read.load(Relaxed)
    }

    /// Samples that came from storage.
    pub fn samples_decoded(&self) -> u64 {
        self.counters.samples_decoded.load(Relaxed)
    }

    /// Buckets of tiers that came from storage.
    pub fn buckets_decoded(&self) -> u64 {
        self.counters.buckets_decoded.load(Relaxed)
    }

    /// Series selected.
    pub fn series(&self) -> u64 {
        self.counters.series.load(Relaxed)
    }

    /// Bytes held now.
    pub fn bytes(&self) -> u64 {
        self.account.bytes()
    }

    /// Maximum number of bytes held at once.
    pub fn bytes_peak(&self) -> u64 {
        self.account.peak()
    }

    /// Takes `bytes` more; the query may hold at most `bytes_max` in total.
    ///
    /// # Errors
    /// [`QueryError::Memory`], [`QueryError::MemoryPool`]; nothing is taken in that case.
    pub fn take_bytes(&self, bytes: u64, bytes_max: u64) -> Result<(), QueryError> {
        Ok(self.account.take(bytes, bytes_max)?)
    }

    /// Releases bytes.
    pub fn give_bytes(&self, bytes: u64) {
        self.account.give(bytes);
    }

    /// From now on, exactly `bytes` are held: only the answer of the query is left. An existing answer is never
    /// refused.
    pub fn keep_bytes(&self, bytes: u64) {
        self.account.keep(bytes);
        self.counters.answer.store(bytes, Relaxed);
    }

    /// Releases the memory of the last run's response, which has been dropped.
    pub fn give_answer(&self) {
        self.account.give(self.counters.answer.swap(0, Relaxed));
    }

    /// Marks these bytes of what is held as the answer.
    pub(crate) fn leave_answer(&self, bytes: u64) {
        self.counters.answer.store(bytes, Relaxed);
    }

    /// Cancels the query at this check.
    #[cfg(test)]
    pub(crate) fn stop_at(&self, check: Option<u64>) {
        self.counters.checks.1.store(check.unwrap_or(u64::MAX), Relaxed);
    }

    /// The number of checks so far.
    #[cfg(test)]
    pub(crate) fn checks(&self) -> u64 {
        self.counters.checks.0.load(Relaxed)
    }

    /// Counts a check. Returns whether the query is canceled at it.
    #[cfg(test)]
    pub(crate) fn count_check(&self) -> bool {
        let check = self.counters.checks.0.fetch_add(1, Relaxed) + 1;
        check == self.counters.checks.1.load(Relaxed)
    }

    pub(crate) fn add_samples(&self, samples: u64) -> u64 {
        let held = self.counters.samples.fetch_add(samples, Relaxed).saturating_add(samples);
        self.counters.samples_peak.fetch_max(held, Relaxed);
        held
    }

    pub(crate) fn sub_samples(&self, samples: u64) {
        self.counters.samples.fetch_sub(samples, Relaxed);
    }

    pub(crate) fn count_read(&self, samples: u64) {
        self.counters.samples_read.fetch_add(samples, Relaxed);
    }

    pub(crate) fn count_decoded(&self, samples: u64) {
        self.counters.samples_decoded.fetch_add(samples, Relaxed);
    }

    pub(crate) fn count_buckets(&self, buckets: u64) {
        self.counters.buckets_decoded.fetch_add(buckets, Relaxed);
    }

    pub(crate) fn count_series(&self, series: u64) {
        self.counters.series.fetch_add(series, Relaxed);
    }

    /// Begins a new run: the counts of the last run are discarded, and so is its answer.
    pub(crate) fn begin(&self) {
        let c = &self.counters;
        self.give_answer();
        self.account.restart_peak();
        let counted = [&c.samples_read, &c.samples_decoded, &c.buckets_decoded, &c.series];
        for counter in [&c.samples, &c.samples_peak].into_iter().chain(counted) {
            counter.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_hold_is_refused_and_comes_back() {
        let share = Share::new("queries", 100);
        let (a, b) = (Usage::of(share.clone()), Usage::of(share.clone()));
        a.take_bytes(60, 80).unwrap();
        assert!(matches!(b.take_bytes(50, 80), Err(QueryError::MemoryPool { limit: 100 })));
        b.take_bytes(40, 80).unwrap();
        drop((a, b));
        assert_eq!(share.used(), 0);
    }

    #[test]
    fn one_query_has_a_limit_of_its_own() {
        let usage = Usage::default();
        usage.take_bytes(10, 10).unwrap();
        assert!(matches!(usage.take_bytes(1, 10), Err(QueryError::Memory { limit: 10 })));
        usage.leave_answer(4);
        usage.begin();
        assert_eq!((usage.bytes(), usage.bytes_peak()), (6, 6));
    }
}
