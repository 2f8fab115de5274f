//! The thread that syncs every so often, and the end of the log.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Shared, State, Wal};
use crate::sync::MutexGuard;
use crate::{Error, Result};

impl Wal {
    /// Makes everything durable, seals the current segment, ends the log's thread, if it has one, and closes its files.
    /// Later calls return [`Error::Closed`].
    ///
    /// # Errors
    /// As [`Wal::wait_for`]; the files are closed all the same.
    pub fn close(&self) -> Result<()> {
        self.stop_ticker();
        let shared = &*self.shared;
        if shared.state.lock().is_closed {
            return Ok(());
        }
        let mut done = Ok(());
        loop {
            // What is appended between the two is written by the next round.
            done = done.and_then(|()| self.rotate().and_then(|_| self.sync()));
            let mut state = shared.idle(shared.state.lock());
            if done.is_err() || state.is_closed || !state.buffer.is_behind(&state.safe) {
                state.is_closed = true;
                shared.writer.lock().close();
                shared.done.notify_all();
                return done;
            }
        }
    }

    fn stop_ticker(&self) {
        self.shared.state.lock().is_closing = true;
        self.shared.closing.notify_all();
        if let Some(ticker) = self.ticker.lock().take() {
            // It returns nothing, and a panic in it has been reported by then.
            let _ = ticker.join();
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.stop_ticker();
    }
}

impl Shared {
    /// Starts the thread that syncs every so often.
    pub(super) fn tick(shared: &Arc<Shared>, every: Duration) -> Result<JoinHandle<()>> {
        let own = Arc::clone(shared);
        let work = move || {
            let mut state = own.state.lock();
            while !state.is_closing {
                own.closing.wait_for(&mut state, every);
                let last = state.buffer.last_seq();
                // A failure is kept in the state, where the next append or sync finds it.
                let is_done = |state: &State| Ok(state.durable >= state.still(last));
                let _ = MutexGuard::unlocked(&mut state, || own.drive(true, is_done));
            }
        };
        std::thread::Builder::new()
            .name("wal-sync".to_owned())
            .spawn(work)
            .map_err(|error| Error::io("start a thread for", &shared.dir, error))
    }
}
