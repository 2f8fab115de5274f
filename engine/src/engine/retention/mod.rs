//! Which samples are past the retention: those older than the newest time that counts minus the retention.
//!
//! The newest time that counts is never later than the wall clock, so one sample from the far future deletes nothing.
//! A wall clock that jumps ahead must not advance it either: timestamps from writers advance it, all others only as
//! far as the trusted clock. Samples timestamped by this machine (self-monitoring, lines without a time) only repeat
//! the wall clock, and for replayed samples the origin of the timestamp is unknown.
//!
//! Next: `kept.rs` (what is kept of which series), `trusted.rs`, and `compact/retention.rs`, which drops partitions.

mod kept;
mod trusted;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::engine::duration_ns;
use crate::head::batch::Newest;
use crate::model::Timestamp;
use crate::options::Kept;
use crate::sync::Mutex;
use kept::RawKept;
pub(in crate::engine) use kept::{Horizon, horizon_of, keep_of};
use trusted::{Judged, News, Reading, SLACK, Trusted, WAIT};

pub(crate) struct Retention {
    clock: Arc<dyn Clock>,
    kept: Mutex<Arc<RawKept>>,
    /// Newest timestamp that a writer set and that was not later than the wall clock.
    given: AtomicI64,
    /// Newest timestamp.
    any: AtomicI64,
    trusted: Mutex<Trusted>,
    /// Whether the trusted clock needs the times set by writers.
    listens: AtomicBool,
    /// The newest time up to which a pass of the compactor has advanced, and when, on the steady clock.
    reached: Mutex<Option<(Timestamp, Duration)>>,
}

/// The times known when a database is opened.
pub(in crate::engine) struct Found {
    /// The newest time that counted at the last flush.
    pub stored: Option<Timestamp>,
    /// Newest timestamp, including replayed samples.
    pub newest: Timestamp,
    /// How much later than `stored` the wall clock may be, because unflushed data is not included.
    pub unflushed: Duration,
}

impl Retention {
    pub(in crate::engine) fn new(clock: Arc<dyn Clock>, kept: &Kept, found: &Found) -> Self {
        let now = read(&*clock);
        let trusted = Trusted::new(now, found.stored, SLACK.saturating_add(duration_ns(found.unflushed)));
        Retention {
            clock,
            kept: Mutex::new(Arc::new(RawKept::of(kept))),
            given: AtomicI64::new(found.stored.unwrap_or(Timestamp::MIN)),
            any: AtomicI64::new(found.newest),
            listens: AtomicBool::new(trusted.wants_to_hear()),
            trusted: Mutex::new(trusted),
            reached: Mutex::new(found.stored.map(|stored| (stored, now.steady))),
        }
    }

    pub(in crate::engine) fn set(&self, kept: &Kept) {
        *self.kept.lock() = Arc::new(RawKept::of(kept));
    }

    /// Records the times of a batch.
    pub(in crate::engine) fn note(&self, newest: Newest) {
        self.any.fetch_max(newest.given.max(newest.stamped), Ordering::Relaxed);
        if newest.given == Timestamp::MIN {
            return;
        }
        let now = read(&*self.clock);
        if newest.given <= now.wall.saturating_add(SLACK) {
            self.given.fetch_max(newest.given, Ordering::Relaxed);
        }
        if self.listens.load(Ordering::Relaxed) {
            let mut trusted = self.trusted.lock();
            let judged = self.judge(&mut trusted, now);
            let news = trusted.hear(newest.given, now);
            self.listens.store(trusted.wants_to_hear(), Ordering::Relaxed);
            self.tell(news, now.wall, judged.trusted);
        }
    }

    /// Newest timestamp ever written; [`Timestamp::MIN`] if there is none.
    pub(in crate::engine) fn newest_written(&self) -> Timestamp {
        self.any.load(Ordering::Relaxed)
    }

    /// The newest time that counts; [`Timestamp::MIN`] if there is none.
    pub(crate) fn newest(&self) -> Timestamp {
        self.newest_at(self.observe())
    }

    fn newest_at(&self, (now, judged): (Reading, Judged)) -> Timestamp {
        let given = self.given.load(Ordering::Relaxed);
        let given = if judged.is_strict { given.min(judged.trusted) } else { given };
        given.max(self.newest_written().min(judged.trusted)).min(now.wall)
    }

    /// Which samples are past the retention.
    pub(in crate::engine) fn horizon(&self) -> Horizon {
        let kept = self.kept.lock().clone();
        Horizon::new(if kept.is_all() { Timestamp::MIN } else { self.newest() }, kept)
    }

    /// The newest time up to which a pass of the compactor drops partitions of `width`.
    ///
    /// Where the clock decides, the horizon advances with elapsed time and by one partition in each pass, which
    /// leaves time to notice a clock that was trusted wrongly. A shorter retention does not depend on clocks and
    /// takes effect at once.
    pub(crate) fn pass(&self, width: i64) -> Timestamp {
        let (now, judged) = self.observe();
        let newest = self.newest_at((now, judged));
        let mut reached = self.reached.lock();
        let is_by_clock = newest >= now.wall.saturating_sub(SLACK);
        let newest = match *reached {
            Some((last, at)) if is_by_clock => {
                let passed = duration_ns(now.steady.saturating_sub(at));
                newest.min(last.saturating_add(passed).saturating_add(width))
            }
            _ => newest,
        };
        if newest == Timestamp::MIN {
            return newest;
        }
        // The range up to there was dropped already, so a clock that is set back does not move it back.
        *reached = Some((reached.map_or(newest, |(last, _)| last.max(newest)), now.steady));
        newest
    }

    /// How far the wall clock is ahead of the trusted clock; zero when the wall clock itself is trusted.
    pub(in crate::engine) fn ahead(&self) -> Duration {
        let (now, judged) = self.observe();
        let ahead = if judged.is_ahead { now.wall.saturating_sub(judged.trusted) } else { 0 };
        Duration::from_nanos(u64::try_from(ahead).unwrap_or(0))
    }

    fn observe(&self) -> (Reading, Judged) {
        let now = read(&*self.clock);
        let mut trusted = self.trusted.lock();
        let judged = self.judge(&mut trusted, now);
        self.listens.store(trusted.wants_to_hear(), Ordering::Relaxed);
        (now, judged)
    }

    fn judge(&self, trusted: &mut Trusted, now: Reading) -> Judged {
        let judged = trusted.observe(now);
        self.tell(judged.news, now.wall, judged.trusted);
        judged
    }

    /// Logs changes of the trust in the wall clock. Without a retention they do not matter.
    fn tell(&self, news: Option<News>, wall_ns: Timestamp, trusted_ns: Timestamp) {
        if self.kept.lock().is_all() {
            return;
        }
        match news {
            Some(News::Ahead) => tracing::warn!(
                wall_ns,
                trusted_ns,
                ahead_s = wall_ns.saturating_sub(trusted_ns) / 1_000_000_000,
                "the clock is suddenly ahead: it was set, or the database was closed for a long time. Retention \
                 advances with elapsed time and trusts the clock in {} hours; after a start also when writers send \
                 times near it",
                WAIT.as_secs() / 3_600
            ),
            Some(News::Believed) => {
                tracing::warn!(wall_ns, "the clock that was ahead is now trusted, and retention follows it");
            }
            Some(News::Back) => tracing::info!(wall_ns, "the clock is no longer ahead"),
            None => {}
        }
    }
}

fn read(clock: &dyn Clock) -> Reading {
    Reading { wall: clock.now(), steady: clock.steady() }
}

#[cfg(test)]
mod tests;
