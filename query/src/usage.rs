//! What running queries use: readable by others while they run, and bounded for all of
//! them together.
//!
//! A query counts what it holds as it goes (`exec/budget.rs`): columns, the decoded samples
//! of each worker, histograms, labels, and what its source keeps for it. The bytes are given
//! back when the last clone of its [`Usage`] is gone, so whoever still writes the answer out
//! keeps them taken.
//!
//! # Concurrency
//! Counters are atomic and of no order among each other.

use std::ops::{Add, AddAssign};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::QueryError;

/// Something that is held: how much it counts against each limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Held {
    /// Samples.
    pub samples: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Held {
    /// A column of this many values.
    pub fn values(count: usize) -> Held {
        Held { samples: count as u64, bytes: (count * size_of::<f64>()) as u64 }
    }

    /// Memory that holds no samples.
    pub fn bytes(bytes: usize) -> Held {
        Held { samples: 0, bytes: bytes as u64 }
    }
}

impl Add for Held {
    type Output = Held;

    fn add(self, other: Held) -> Held {
        Held { samples: self.samples + other.samples, bytes: self.bytes + other.bytes }
    }
}

impl AddAssign for Held {
    fn add_assign(&mut self, other: Held) {
        *self = *self + other;
    }
}

/// Memory that several queries share. One that would take more than there is fails with
/// [`QueryError::MemoryPool`].
#[derive(Debug)]
pub struct MemoryPool {
    bytes_max: AtomicU64,
    bytes: AtomicU64,
}

impl MemoryPool {
    /// A pool of `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> Self {
        MemoryPool { bytes_max: AtomicU64::new(bytes_max), bytes: AtomicU64::new(0) }
    }

    /// Changes the size; queries that hold more already fail when they next take some.
    pub fn set_bytes_max(&self, bytes_max: u64) {
        self.bytes_max.store(bytes_max, Relaxed);
    }

    /// What all queries hold now.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<(), QueryError> {
        let held = self.bytes.fetch_add(bytes, Relaxed).saturating_add(bytes);
        let limit = self.bytes_max.load(Relaxed);
        if held > limit { Err(QueryError::MemoryPool { limit }) } else { Ok(()) }
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
    shared: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    pool: Option<Arc<MemoryPool>>,
    samples: AtomicU64,
    samples_peak: AtomicU64,
    samples_read: AtomicU64,
    samples_decoded: AtomicU64,
    series: AtomicU64,
    bytes: AtomicU64,
    bytes_peak: AtomicU64,
}

impl Drop for Counters {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.bytes.fetch_sub(self.bytes.load(Relaxed), Relaxed);
        }
    }
}

impl Usage {
    /// Usage that also counts against `pool`.
    pub fn of_pool(pool: Arc<MemoryPool>) -> Self {
        let shared = Counters {
            pool: Some(pool),
            samples: AtomicU64::default(),
            samples_peak: AtomicU64::default(),
            samples_read: AtomicU64::default(),
            samples_decoded: AtomicU64::default(),
            series: AtomicU64::default(),
            bytes: AtomicU64::default(),
            bytes_peak: AtomicU64::default(),
        };
        Usage { shared: Arc::new(shared) }
    }

    /// Samples held now.
    pub fn samples(&self) -> u64 {
        self.shared.samples.load(Relaxed)
    }

    /// Most samples held at once.
    pub fn samples_peak(&self) -> u64 {
        self.shared.samples_peak.load(Relaxed)
    }

    /// Samples that selectors handed out, counted once for each evaluation they served.
    pub fn samples_read(&self) -> u64 {
        self.shared.samples_read.load(Relaxed)
    }

    /// Samples that came from storage.
    pub fn samples_decoded(&self) -> u64 {
        self.shared.samples_decoded.load(Relaxed)
    }

    /// Series selected.
    pub fn series(&self) -> u64 {
        self.shared.series.load(Relaxed)
    }

    /// Bytes held now.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Relaxed)
    }

    /// Most bytes held at once.
    pub fn bytes_peak(&self) -> u64 {
        self.shared.bytes_peak.load(Relaxed)
    }

    /// Takes `bytes` more, of which the query may hold `bytes_max` in all.
    ///
    /// # Errors
    /// [`QueryError::Memory`], [`QueryError::MemoryPool`]; the bytes count as taken all the same.
    pub fn take_bytes(&self, bytes: u64, bytes_max: u64) -> Result<(), QueryError> {
        let held = self.shared.bytes.fetch_add(bytes, Relaxed).saturating_add(bytes);
        self.shared.bytes_peak.fetch_max(held, Relaxed);
        let pooled = self.shared.pool.as_ref().map_or(Ok(()), |pool| pool.take(bytes));
        // The query's own limit is told first: waiting for others would not help.
        if held > bytes_max { Err(QueryError::Memory { limit: bytes_max }) } else { pooled }
    }

    /// Gives bytes back.
    pub fn give_bytes(&self, bytes: u64) {
        self.shared.bytes.fetch_sub(bytes, Relaxed);
        if let Some(pool) = &self.shared.pool {
            pool.bytes.fetch_sub(bytes, Relaxed);
        }
    }

    /// From now on exactly `bytes` are held: what is left of a query is its answer.
    pub fn keep_bytes(&self, bytes: u64) {
        self.give_bytes(self.bytes());
        // An answer that is there already is not refused any more.
        let _ = self.take_bytes(bytes, u64::MAX);
    }

    pub(crate) fn add_samples(&self, samples: u64) -> u64 {
        let held = self.shared.samples.fetch_add(samples, Relaxed).saturating_add(samples);
        self.shared.samples_peak.fetch_max(held, Relaxed);
        held
    }

    pub(crate) fn sub_samples(&self, samples: u64) {
        self.shared.samples.fetch_sub(samples, Relaxed);
    }

    pub(crate) fn count_read(&self, samples: u64) {
        self.shared.samples_read.fetch_add(samples, Relaxed);
    }

    pub(crate) fn count_decoded(&self, samples: u64) {
        self.shared.samples_decoded.fetch_add(samples, Relaxed);
    }

    pub(crate) fn count_series(&self, series: u64) {
        self.shared.series.fetch_add(series, Relaxed);
    }

    /// Begins a new run: what the last one counted is gone.
    pub(crate) fn begin(&self) {
        self.give_bytes(self.bytes());
        let c = &self.shared;
        for counter in
            [&c.samples, &c.samples_peak, &c.samples_read, &c.samples_decoded, &c.series, &c.bytes_peak]
        {
            counter.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_shared_and_gets_everything_back() {
        let pool = Arc::new(MemoryPool::new(100));
        let (a, b) = (Usage::of_pool(pool.clone()), Usage::of_pool(pool.clone()));
        a.take_bytes(60, 80).unwrap();
        assert!(matches!(b.take_bytes(50, 80), Err(QueryError::MemoryPool { limit: 100 })));
        b.give_bytes(50);
        b.take_bytes(40, 80).unwrap();
        drop(a.clone());
        assert_eq!(pool.bytes(), 100);
        drop((a, b));
        assert_eq!(pool.bytes(), 0);
    }

    #[test]
    fn one_query_has_a_limit_of_its_own() {
        let usage = Usage::default();
        usage.take_bytes(10, 10).unwrap();
        assert!(matches!(usage.take_bytes(1, 10), Err(QueryError::Memory { limit: 10 })));
        usage.begin();
        assert_eq!((usage.bytes(), usage.bytes_peak()), (0, 0));
    }
}
