//! Periodic syncs, and closing the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Shared, Wal};
use crate::workers::{Lane, Next};
use crate::{Error, Result};

/// The syncs of all logs of the process.
static SYNCS: Lane = Lane::new("wal-sync", 16);

impl Wal {
    /// Makes everything durable, seals the current segment, ends the periodic syncs if there are any, and closes the
    /// files. Later calls return [`Error::Closed`].
    ///
    /// # Errors
    /// Same as [`Wal::wait_for`]; the files are closed in any case.
    pub fn close(&self) -> Result<()> {
        let shared = &*self.shared;
        let newest = shared.newest();
        self.stop_ticker();
        if shared.state.lock().is_closed {
            return Ok(());
        }
        let mut done = Ok(());
        loop {
            // Records appended between the two are written in the next iteration.
            done = done.and_then(|()| self.rotate().and_then(|_| self.settle()));
            let mut state = shared.idle(shared.state.lock());
            if done.is_err() || state.is_closed || !state.buffer.is_behind(&state.safe) {
                state.is_closed = true;
                shared.writer.lock().close();
                shared.done.notify_all();
                // What the end of the regular syncs could not write.
                return done.and(newest.and_then(|newest| state.refuse_lost(newest)));
            }
        }
    }

    fn stop_ticker(&self) {
        let ticker = self.ticker.lock().take();
        if let Some(ticker) = ticker {
            ticker.stop();
            // Syncs the records appended since the last sync.
            let _ = self.shared.tick(Duration::MAX);
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.stop_ticker();
    }
}

impl Wal {
    /// Starts periodic syncs after the first record that no sync has covered.
    pub(super) fn start_ticker(&self, every: Duration) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let job = SYNCS.add_idle(move || shared.tick(every));
        let job = job.map_err(|error| Error::io("start a thread for", &self.shared.dir, error))?;
        *self.ticker.lock() = Some(job);
        Ok(())
    }

    /// Schedules a sync for records appended while no sync was pending.
    pub(super) fn wake_ticker(&self, every: Duration) {
        self.ticker.lock().iter().for_each(|job| job.wake_at(Instant::now() + every));
    }
}

impl Shared {
    /// One of the periodic syncs, which continue as long as records are appended.
    fn tick(&self, every: Duration) -> Next {
        let last = self.state.lock().buffer.last_seq();
        // A failure is recorded in the state, where the next append or sync finds it.
        let _ = self.drive(true, |state| Ok(state.durable >= state.still(last)));
        let mut state = self.state.lock();
        state.is_ticking = state.buffer.last_seq() > state.durable;
        if state.is_ticking { Next::after(every) } else { Next::Woken }
    }
}
