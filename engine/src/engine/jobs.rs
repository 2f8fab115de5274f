//! The background jobs of an open database: waking and ending them. Their work is in `upkeep/`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Result;
use crate::sync::{Condvar, Mutex};
use crate::workers::Job;

/// The maximum delay of noted work.
pub(in crate::engine) const NAP: Duration = Duration::from_secs(1);

/// Owner of the background jobs, and of their pauses.
#[derive(Default)]
pub(in crate::engine) struct Jobs {
    started: Mutex<Started>,
    /// Whether the flush job will check for the changes since its last check.
    is_noted: AtomicBool,
    /// Whether the background work is ending.
    ends: Mutex<bool>,
    /// Signalled when it is, which ends pauses.
    ended: Condvar,
}

/// The jobs; `None` without [`crate::Options::background`].
#[derive(Default)]
pub(in crate::engine) struct Started {
    pub flush: Option<Job>,
    pub merge: Option<Job>,
    pub scrub: Option<Job>,
}

/// What a job can be requested to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Task {
    Flush,
    Merge,
}

impl Jobs {
    /// Starts the jobs that `start` adds. A job that runs immediately and requests another waits until all have been
    /// added.
    ///
    /// # Errors
    /// Those of `start`.
    pub fn start(&self, start: impl FnOnce(&mut Started) -> Result<()>) -> Result<()> {
        start(&mut self.started.lock())
    }

    /// Makes a job check at once.
    pub fn ask(&self, task: Task) {
        let jobs = self.started.lock();
        let job = match task {
            Task::Flush => &jobs.flush,
            Task::Merge => &jobs.merge,
        };
        job.iter().for_each(Job::wake);
    }

    /// Makes the flush job check within a second. Called after each change that may concern it.
    #[inline]
    pub fn note_work(&self) {
        if !self.is_noted.load(Ordering::SeqCst) && !self.is_noted.swap(true, Ordering::SeqCst) {
            self.started.lock().flush.iter().for_each(|job| job.wake_at(Instant::now() + NAP));
        }
    }

    /// Forgets the noted changes, because the flush job is about to check. Later changes are noted again.
    pub fn begin_look(&self) {
        self.is_noted.store(false, Ordering::SeqCst);
    }

    /// Whether the flush job will check within a second.
    #[cfg(test)]
    pub fn is_noted(&self) -> bool {
        self.is_noted.load(Ordering::SeqCst)
    }

    /// Whether the background work is ending.
    pub fn are_ending(&self) -> bool {
        *self.ends.lock()
    }

    /// Ends pauses, now and from now on.
    pub fn end_naps(&self) {
        *self.ends.lock() = true;
        self.ended.notify_all();
    }

    /// Sleeps for `time`. Returns true if the job must stop.
    pub fn nap(&self, time: Duration) -> bool {
        let mut ends = self.ends.lock();
        let until = Instant::now() + time;
        while !*ends {
            if self.ended.wait_until(&mut ends, until).timed_out() {
                return *ends;
            }
        }
        true
    }

    /// Ends the jobs, waiting for work in progress.
    pub fn stop(&self) {
        self.end_naps();
        let Started { flush, merge, scrub } = std::mem::take(&mut *self.started.lock());
        [flush, merge, scrub].into_iter().flatten().for_each(Job::stop);
    }

    /// Keeps the locks held, as another thread may do at the moment of a fork.
    #[cfg(test)]
    pub fn hold(&self) -> impl Sized + '_ {
        (self.started.lock(), self.ends.lock())
    }
}
