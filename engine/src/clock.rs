//! The clocks, behind a trait so that tests can set them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// A source of time.
pub trait Clock: Send + Sync {
    /// The wall clock, which may be set: nanoseconds since the Unix epoch.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary moment in the past. It cannot be set, and it advances while the machine sleeps.
    fn steady(&self) -> Duration {
        steady()
    }
}

/// A clock that includes the time during which the machine sleeps. [`std::time::Instant`] does not, so after a laptop
/// wakes up, its wall clock would look as if it had been set.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn steady() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn steady() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}

/// The system's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// Clocks that stand still until they are set.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicI64,
    steady_ns: AtomicU64,
}

impl ManualClock {
    /// Clocks whose wall clock is at `now`, nanoseconds.
    pub fn new(now: Timestamp) -> Self {
        ManualClock { now: AtomicI64::new(now), steady_ns: AtomicU64::new(0) }
    }

    /// Sets the wall clock without advancing the steady clock.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// Advances both clocks.
    pub fn advance(&self, by: Duration) {
        let ns = by.as_nanos() as u64;
        self.steady_ns.fetch_add(ns, Ordering::Relaxed);
        self.now.store(self.now().saturating_add_unsigned(ns), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.now.load(Ordering::Relaxed)
    }

    fn steady(&self) -> Duration {
        Duration::from_nanos(self.steady_ns.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_clock_never_goes_back() {
        let first = SystemClock.steady();
        assert!(SystemClock.steady() >= first);
    }
}
