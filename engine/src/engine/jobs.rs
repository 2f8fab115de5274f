//! The background jobs of an open database, and how others make them look for work. What they do is in `upkeep/`.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::engine::Shared;
use crate::workers::Job;

/// How long noted work waits at most.
pub(in crate::engine) const NAP: Duration = Duration::from_secs(1);

/// The jobs of an open database; none without [`crate::Options::background`].
#[derive(Default)]
pub(in crate::engine) struct Jobs {
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

impl Shared {
    /// Makes a job look at once.
    pub(in crate::engine) fn ask(&self, task: Task) {
        let jobs = self.jobs.lock();
        let job = match task {
            Task::Flush => &jobs.flush,
            Task::Merge => &jobs.merge,
        };
        job.iter().for_each(Job::wake);
    }

    /// Makes the flush job look within a second. Called after each change that it may have to see.
    pub(in crate::engine) fn note_work(&self) {
        if !self.is_noted.load(Ordering::SeqCst) && !self.is_noted.swap(true, Ordering::SeqCst) {
            self.jobs.lock().flush.iter().for_each(|job| job.wake_at(Instant::now() + NAP));
        }
    }
}
