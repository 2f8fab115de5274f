//! When idle series leave the head, so that there is memory for others.
//!
//! A flush searches for them: usually series without a sample for two flushes; earlier if series take much of their
//! memory, or new ones were refused because it is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::engine::base::Base;
use crate::engine::jobs::{Jobs, Task};
use crate::head::Head;
use crate::options::Options;
use crate::sync::Mutex;

/// A series leaves the head after this many consecutive flushes without a sample.
const IDLE_FLUSHES: u32 = 2;
/// The same if series take much of their memory.
const IDLE_FLUSHES_PRESSED: u32 = 1;
/// Minimum time between searches for idle series that are caused by refused new ones: a series written once a minute
/// is not idle.
const ROOM_EVERY: Duration = Duration::from_secs(60);

/// Decides when to search for idle series.
pub(in crate::engine) struct IdleSearch {
    head: Arc<Head>,
    jobs: Arc<Jobs>,
    options: Arc<Options>,
    /// Whether a series was refused because memory is full since the last search.
    wants_room: AtomicBool,
    /// The time of the last search.
    looked: Mutex<Instant>,
    /// Bytes of the series that it left in the head.
    bytes_seen: AtomicU64,
}

impl IdleSearch {
    pub fn new(base: &Base) -> Self {
        IdleSearch {
            head: base.head.clone(),
            jobs: base.jobs.clone(),
            options: base.options.clone(),
            wants_room: AtomicBool::new(false),
            looked: Mutex::new(Instant::now()),
            bytes_seen: AtomicU64::new(0),
        }
    }

    /// Records that a series was refused because memory is full, or because there are too many, and makes the flush job
    /// check: at once if it is urgent, otherwise within a second.
    pub fn want_room(&self, is_urgent: bool) {
        self.wants_room.store(true, Ordering::SeqCst);
        if is_urgent {
            self.jobs.ask(Task::Flush);
        } else {
            self.jobs.note_work();
        }
    }

    /// Whether series take much of their memory, or new ones were refused because it is full.
    pub fn is_pressed(&self) -> bool {
        self.head.series_bytes() >= self.options.series_bytes_pressure()
            || self.wants_room.load(Ordering::Relaxed)
    }

    /// Whether series take much of their memory, and have grown by an eighth of it since a flush last searched for idle
    /// ones. If all are active, a flush frees none, and without growth it is not repeated.
    pub fn is_newly_pressed(&self) -> bool {
        let (bytes, seen) = (self.head.series_bytes(), self.bytes_seen.load(Ordering::Relaxed));
        bytes >= self.options.series_bytes_pressure()
            && bytes.saturating_sub(seen) >= self.options.series_bytes_max() / 8
    }

    /// Whether a new series was refused because memory is full, and the last search is long enough ago.
    pub fn is_due(&self) -> bool {
        self.wants_room.load(Ordering::SeqCst) && self.looked.lock().elapsed() >= ROOM_EVERY
    }

    /// When a search becomes due without further changes.
    pub fn due_at(&self) -> Option<Instant> {
        self.wants_room.load(Ordering::SeqCst).then(|| *self.looked.lock() + ROOM_EVERY)
    }

    /// Begins a search. Returns the number of flushes without a sample after which a series is idle.
    pub fn begin(&self) -> u32 {
        let is_pressed = self.is_pressed();
        self.wants_room.store(false, Ordering::Relaxed);
        *self.looked.lock() = Instant::now();
        if is_pressed { IDLE_FLUSHES_PRESSED } else { IDLE_FLUSHES }
    }

    /// Ends a search: the idle series have left.
    pub fn end(&self) {
        self.bytes_seen.store(self.head.series_bytes(), Ordering::Relaxed);
    }

    /// Moves the last search into the past.
    #[cfg(test)]
    pub fn look_back(&self, time: Duration) {
        let mut looked = self.looked.lock();
        *looked = looked.checked_sub(time).expect("the machine runs for longer");
    }

    /// Keeps the lock held, as another thread may do at the moment of a fork.
    #[cfg(test)]
    pub fn hold(&self) -> impl Sized + '_ {
        self.looked.lock()
    }
}
