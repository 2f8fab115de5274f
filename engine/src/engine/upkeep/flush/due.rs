//! When a flush is due.

use std::time::{Duration, Instant};

use crate::engine::jobs::NAP;
use crate::engine::upkeep::flush::Flusher;
use crate::wal::Wal;
use crate::workers::Next;

/// The number of deletes since the last flush at which the next one starts: each read compares them with its series.
const DELETES_MAX: usize = 1024;
/// The delay after a failure.
pub(in crate::engine::upkeep) const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

impl Flusher {
    /// The work of the flush job.
    pub fn look(&self) -> Next {
        // Before the check, so that later changes are noted again.
        self.jobs.begin_look();
        self.writer.settle_deferred();
        self.head.release();
        if self.is_due() && self.flush().is_err() {
            let at = Instant::now() + PAUSE_AFTER_FAILURE;
            return Next::After { pause: at, at };
        }
        self.next_look().map_or(Next::Woken, Next::At)
    }

    /// When a flush, or other work of its job, is due without further changes.
    fn next_look(&self) -> Option<Instant> {
        let first = self.writer.first_append();
        let old = first.and_then(|first| first.checked_add(self.options.flush_interval));
        let room = self.admission.idle().due_at();
        // The end of the last reader of what is kept is not announced.
        let kept = self.head.keeps().then(|| Instant::now() + NAP);
        old.into_iter().chain(room).chain(kept).min()
    }

    pub fn is_due(&self) -> bool {
        let is_large = self.admission.pressure().is_flush_due() || self.head.pins.deletes() >= DELETES_MAX;
        let is_long = self.writer.log().map_or(0, Wal::size_bytes) >= self.options.wal_bytes;
        let first = self.writer.first_append();
        let is_old = first.is_some_and(|t| t.elapsed() >= self.options.flush_interval);
        // Even without further appends; a store that refuses everything is not called again.
        let is_unfinished = self.failing.is_any() && self.versions.kv().failure().is_none();
        let idle = self.admission.idle();
        is_large
            || is_long
            || is_old
            || is_unfinished
            || (first.is_some() && idle.is_newly_pressed())
            || idle.is_due()
    }
}
