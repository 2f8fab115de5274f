//! The background jobs of an open database: who wakes them, and what ends them. What they do is in `upkeep/`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Result;
use crate::sync::{Condvar, Mutex};
use crate::workers::Job;

/// How long noted work waits at most.
pub(in crate::engine) const NAP: Duration = Duration::from_secs(1);

/// Owner of the background jobs, and of their pauses.
#[derive(Default)]
pub(in crate::engine) struct Jobs {
    started: Mutex<Started>,
    /// Whether the flush job will look at what has changed since its last look.
    is_noted: AtomicBool,
    /// Whether the background work ends.
    ends: Mutex<bool>,
    /// Signalled when it does, which ends pauses.
    ended: Condvar,
}

/// The jobs; none without [`crate::Options::background`].
#[derive(Default)]
pub(in crate::engine) struct Started {
    pub flush: Option<Job>,
    pub merge: Option<Job>,
    pub scrub: Option<Job>,
}

/// What a job can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Task {
    Flush,
    Merge,
}

impl Jobs {
    /// Starts the jobs that `start` adds. One that runs at once and asks another waits until all are there.
    ///
    /// # Errors
    /// Those of `start`.
    pub fn start(&self, start: impl FnOnce(&mut Started) -> Result<()>) -> Result<()> {
        start(&mut self.started.lock())
    }

    /// Makes a job look at once.
    pub fn ask(&self, task: Task) {
        let jobs = self.started.lock();
        let job = match task {
            Task::Flush => &jobs.flush,
            Task::Merge => &jobs.merge,
        };
        job.iter().for_each(Job::wake);
    }

    /// Makes the flush job look within a second. Called after each change that it may have to see.
    #[inline]
    pub fn note_work(&self) {
        if !self.is_noted.load(Ordering::SeqCst) && !self.is_noted.swap(true, Ordering::SeqCst) {
            self.started.lock().flush.iter().for_each(|job| job.wake_at(Instant::now() + NAP));
        }
    }

    /// Forgets what was noted: the flush job is about to look. What changes from here on is noted again.
    pub fn begin_look(&self) {
        self.is_noted.store(false, Ordering::SeqCst);
    }

    /// Whether the flush job will look within a second.
    #[cfg(test)]
    pub fn is_noted(&self) -> bool {
        self.is_noted.load(Ordering::SeqCst)
    }

    /// Whether the background work ends.
    pub fn are_ending(&self) -> bool {
        *self.ends.lock()
    }

    /// Ends pauses, now and from now on.
    pub fn end_naps(&self) {
        *self.ends.lock() = true;
        self.ended.notify_all();
    }

    /// Sleeps for `time`; true when it is time to stop.
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

    /// Ends the jobs; waits for what is under way.
    pub fn stop(&self) {
        self.end_naps();
        let Started { flush, merge, scrub } = std::mem::take(&mut *self.started.lock());
        [flush, merge, scrub].into_iter().flatten().for_each(Job::stop);
    }

    /// Keeps its locks, as another thread may at the moment of a fork.
    #[cfg(test)]
    pub fn hold(&self) -> impl Sized + '_ {
        (self.started.lock(), self.ends.lock())
    }
}
