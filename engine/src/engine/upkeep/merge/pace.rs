//! The rate at which the compactor reads and writes ([`Options::compaction_rate`](crate::Options::compaction_rate)).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::engine::base::Base;
use crate::engine::jobs::Jobs;
use crate::stats::Stats;
use crate::store::kv::metered::{Meter, MeteredKv};

/// Bytes between two looks at the clock.
const STEP: u64 = 64 << 10;
/// What was not used of the rate for longer than this is not made up for.
const BURST: Duration = Duration::from_millis(100);
/// Shorter pauses are added to the next one: each costs a switch of threads.
const PAUSE_MIN: Duration = Duration::from_millis(2);

/// The store, in which the compactor reads and writes at a limited rate.
pub(super) struct PacedStore {
    pub kv: MeteredKv,
    pace: Arc<Pace>,
}

/// Makes the compactor wait when it exceeds its rate.
struct Pace {
    jobs: Arc<Jobs>,
    /// Bytes per second; zero: no limit.
    rate: AtomicU64,
    /// Bytes since the last look at the clock.
    unpaid: AtomicU64,
    /// When the bytes so far are paid for.
    paid: Mutex<Option<Instant>>,
    bytes: AtomicU64,
    waited_ns: AtomicU64,
}

impl PacedStore {
    pub fn new(base: &Base) -> Self {
        let pace = Arc::new(Pace {
            jobs: base.jobs.clone(),
            rate: AtomicU64::new(base.options.compaction_rate),
            unpaid: AtomicU64::new(0),
            paid: Mutex::new(None),
            bytes: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
        });
        PacedStore { kv: MeteredKv::new(base.versions.shared_kv(), pace.clone()), pace }
    }

    /// Sets the rate in bytes per second, also for a merge in progress that began with another one; zero: no limit.
    pub fn set_rate(&self, rate: u64) {
        self.pace.rate.store(rate, Relaxed);
    }

    pub fn add_to(&self, stats: &mut Stats) {
        stats.compaction_bytes = self.pace.bytes.load(Relaxed);
        stats.compaction_waited = Duration::from_nanos(self.pace.waited_ns.load(Relaxed));
    }
}

/// How long to wait at `now` after `bytes` more, and when all are paid for.
fn pay(paid: Option<Instant>, bytes: u64, rate: u64, now: Instant) -> (Duration, Instant) {
    let oldest = now.checked_sub(BURST).unwrap_or(now);
    let from = paid.map_or(oldest, |paid| paid.max(oldest));
    let cost = Duration::from_secs_f64(bytes as f64 / rate as f64);
    let paid = from.checked_add(cost).unwrap_or(now);
    let pause = paid.saturating_duration_since(now);
    (if pause < PAUSE_MIN { Duration::ZERO } else { pause }, paid)
}

impl Meter for Pace {
    fn is_on(&self) -> bool {
        self.rate.load(Relaxed) != 0
    }

    fn count(&self, bytes: usize) {
        let bytes = bytes as u64;
        if self.unpaid.fetch_add(bytes, Relaxed) + bytes < STEP {
            return;
        }
        let (unpaid, rate) = (self.unpaid.swap(0, Relaxed), self.rate.load(Relaxed));
        self.bytes.fetch_add(unpaid, Relaxed);
        if rate == 0 {
            return;
        }
        let pause = {
            let mut known = self.paid.lock();
            let (pause, paid) = pay(*known, unpaid, rate, Instant::now());
            *known = Some(paid);
            pause
        };
        if !pause.is_zero() {
            // Closing ends the pause, and all later ones: what has been begun is completed at full speed.
            let began = Instant::now();
            self.jobs.nap(pause);
            self.waited_ns.fetch_add(began.elapsed().as_nanos() as u64, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_add_up_to_the_time_that_the_rate_allows() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        // The first bytes may use what the last tenth of a second allowed.
        let (pause, paid) = pay(None, 50, 1000, at(0));
        assert_eq!((pause, at(0) - paid), (Duration::ZERO, Duration::from_millis(50)));
        let (pause, paid) = pay(Some(paid), 100, 1000, at(0));
        assert_eq!((pause, paid), (Duration::from_millis(50), at(50)));
        // Work that took longer than the rate allows is not followed by a pause.
        let (pause, paid) = pay(Some(paid), 20, 1000, at(90));
        assert_eq!((pause, paid), (Duration::ZERO, at(70)));
        // An hour of rest does not allow an hour's bytes.
        let (pause, paid) = pay(Some(paid), 1100, 1000, at(3_600_000));
        assert_eq!((pause, paid), (Duration::from_secs(1), at(3_601_000)));
        // Less than two milliseconds are kept for later.
        assert_eq!(pay(Some(paid), 1, 1000, at(3_601_000)), (Duration::ZERO, at(3_601_001)));
    }
}
