//! What running queries use: readable by others while they run, and bounded for all of
//! them together.
//!
//! A query counts what it holds as it runs (`budget/`): columns, the decoded samples of each worker, histograms,
//! labels, and what its source keeps for it. The bytes are released when the last clone of its [`Usage`] is dropped, so
//! they stay taken while the answer is still being written.
//!
//! # Concurrency
//! Counters are atomic and of no order among each other.

use std::ops::{Add, AddAssign};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use barograph_engine::budget::{Account, Share};

use crate::error::QueryError;

/// What something costs while it is held: how much it counts against each limit.
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

    /// Memory that holds no samples.
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

/// What one query uses. Clones share the counters.
///
/// ```
/// use barograph_query::source::memory::MemorySource;
/// use barograph_query::{Request, execute};
///
/// let request = Request::instant("vector(1)", 0);
/// let usage = request.usage.clone();
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
    series: AtomicU64,
    /// Bytes of the answer of the last run.
    answer: AtomicU64,
    /// Looks at whether to stop, and at which of them the query is canceled.
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

    /// Most samples held at once.
    pub fn samples_peak(&self) -> u64 {
        self.counters.samples_peak.load(Relaxed)
    }

    /// Samples that selectors handed out, counted once for each evaluation they served.
    pub fn samples_read(&self) -> u64 {
        self.counters.samples_read.load(Relaxed)
    }

    /// Samples that came from storage.
    pub fn samples_decoded(&self) -> u64 {
        self.counters.samples_decoded.load(Relaxed)
    }

    /// Series selected.
    pub fn series(&self) -> u64 {
        self.counters.series.load(Relaxed)
    }

    /// Bytes held now.
    pub fn bytes(&self) -> u64 {
        self.account.bytes()
    }

    /// Most bytes held at once.
    pub fn bytes_peak(&self) -> u64 {
        self.account.peak()
    }

    /// Takes `bytes` more; the query may hold at most `bytes_max` in total.
    ///
    /// # Errors
    /// [`QueryError::Memory`], [`QueryError::MemoryPool`]; then nothing is taken.
    pub fn take_bytes(&self, bytes: u64, bytes_max: u64) -> Result<(), QueryError> {
        Ok(self.account.take(bytes, bytes_max)?)
    }

    /// Gives bytes back.
    pub fn give_bytes(&self, bytes: u64) {
        self.account.give(bytes);
    }

    /// From now on exactly `bytes` are held: what is left of a query is its answer. One that is there already is not
    /// refused any more.
    pub fn keep_bytes(&self, bytes: u64) {
        self.account.keep(bytes);
        self.counters.answer.store(bytes, Relaxed);
    }

    /// Releases the memory of the last run's response, which was dropped.
    pub fn give_answer(&self) {
        self.account.give(self.counters.answer.swap(0, Relaxed));
    }

    /// Of what is held now these bytes are the answer.
    pub(crate) fn leave_answer(&self, bytes: u64) {
        self.counters.answer.store(bytes, Relaxed);
    }

    /// Cancels the query at this look at whether to stop.
    #[cfg(test)]
    pub(crate) fn stop_at(&self, check: Option<u64>) {
        self.counters.checks.1.store(check.unwrap_or(u64::MAX), Relaxed);
    }

    /// Looks at whether to stop so far.
    #[cfg(test)]
    pub(crate) fn checks(&self) -> u64 {
        self.counters.checks.0.load(Relaxed)
    }

    /// Counts a look; whether the query is canceled at this one.
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

    pub(crate) fn count_series(&self, series: u64) {
        self.counters.series.fetch_add(series, Relaxed);
    }

    /// Begins a new run: what the last one counted is gone, and so is its answer.
    pub(crate) fn begin(&self) {
        let c = &self.counters;
        self.give_answer();
        self.account.restart_peak();
        for counter in [&c.samples, &c.samples_peak, &c.samples_read, &c.samples_decoded, &c.series] {
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
