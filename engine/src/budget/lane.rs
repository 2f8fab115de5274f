//! Light and heavy work.
//!
//! The cost of a request is known only when it runs. Work therefore begins as light, with an [`Allowance`] that
//! suffices for most requests. Work that uses it up becomes heavy if a place for heavy work is free ([`Places`]).
//! Otherwise it fails, releases everything, and runs again once it has such a place. Light work therefore never waits
//! for heavy work, and nothing has to be estimated.
//!
//! Light work may use a part of the memory that heavy work may not ([`Share::set_light`](super::Share::set_light)).
//!
//! # Concurrency
//! A piece of light work runs on one thread: work that wants to use other cores asks to be heavy first
//! ([`Work::spreads`](super::Work::spreads)).

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The limits of light work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Maximum calls of [`Work::check`](super::Work::check): about one for each series, or for a few thousand samples.
    pub steps: u64,
    /// Maximum bytes held at once.
    pub bytes: u64,
    /// Maximum time since it began. Light work takes longer on a busy machine, so this is generous.
    pub time: Duration,
}

/// The place of a piece of work among others.
pub trait Places: Debug + Send + Sync {
    /// Changes the place from light to heavy if one is free now; returns whether it did.
    fn become_heavy(&self) -> bool;
}

/// Whether a piece of work is light, and how much of its allowance it has used.
#[derive(Debug, Default)]
pub(super) struct Lane {
    is_light: AtomicBool,
    /// Whether it used up its allowance while no place for heavy work was free.
    is_refused: AtomicBool,
    steps: AtomicU64,
    light: Mutex<Option<Light>>,
}

#[derive(Debug, Clone)]
struct Light {
    allowance: Allowance,
    began: Instant,
    places: Arc<dyn Places>,
}

impl Lane {
    pub fn is_light(&self) -> bool {
        self.is_light.load(Relaxed)
    }

    pub fn is_refused(&self) -> bool {
        self.is_refused.load(Relaxed)
    }

    pub fn begin_light(&self, allowance: Allowance, places: Arc<dyn Places>) {
        *self.light.lock() = Some(Light { allowance, began: Instant::now(), places });
        self.steps.store(0, Relaxed);
        self.is_refused.store(false, Relaxed);
        self.is_light.store(true, Relaxed);
    }

    pub fn begin_heavy(&self) {
        *self.light.lock() = None;
        self.is_refused.store(false, Relaxed);
        self.is_light.store(false, Relaxed);
    }

    /// Counts a step of light work; returns whether it may continue.
    pub fn step(&self) -> bool {
        let steps = self.steps.fetch_add(1, Relaxed) + 1;
        let is_within = self.light.lock().as_ref().is_none_or(|light| {
            steps <= light.allowance.steps && light.began.elapsed() <= light.allowance.time
        });
        is_within || self.leave(true)
    }

    /// Whether light work may continue if it would hold `bytes`.
    pub fn hold(&self, bytes: u64) -> bool {
        let most = self.light.lock().as_ref().map_or(u64::MAX, |light| light.allowance.bytes);
        bytes <= most || self.leave(true)
    }

    /// Turns light work into heavy work if there is a place. If there is none and `must` is true, the work has to end.
    pub fn leave(&self, must: bool) -> bool {
        let Some(light) = self.light.lock().clone() else { return true };
        if self.is_light() && !light.places.become_heavy() {
            self.is_refused.fetch_or(must, Relaxed);
            return false;
        }
        self.begin_heavy();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Share, Stopped, Work};
    use super::*;
    use crate::Error;

    /// A number of places for heavy work.
    #[derive(Debug)]
    struct Free(AtomicU64);

    impl Places for Free {
        fn become_heavy(&self) -> bool {
            self.0.fetch_update(Relaxed, Relaxed, |free| free.checked_sub(1)).is_ok()
        }
    }

    const ALLOWED: Allowance = Allowance { steps: 3, bytes: 40, time: Duration::MAX };

    fn light(share: &Arc<Share>, free: u64) -> Work {
        let work = Work::unbounded().of(share.clone()).holding(70);
        work.account().begin_light(ALLOWED, Arc::new(Free(free.into())));
        work
    }

    fn share() -> Arc<Share> {
        let share = Share::new("queries", 100);
        share.set_reserve(20);
        share.set_light(20);
        share
    }

    #[test]
    fn light_work_that_uses_up_its_allowance_ends_unless_a_place_is_free() {
        let share = Share::new("queries", 100);
        for free in [0, 1] {
            let (steps, bytes, time) = (light(&share, free), light(&share, free), light(&share, free));
            let ended = (0..4).try_for_each(|_| steps.check());
            assert_eq!(ended, if free == 0 { Err(Stopped::Heavy) } else { Ok(()) });
            bytes.take(40).unwrap();
            assert_eq!(bytes.take(1).is_ok(), free == 1);
            assert_eq!(bytes.account().bytes(), 40 + free);
            let brief = Allowance { time: Duration::ZERO, ..ALLOWED };
            time.account().begin_light(brief, Arc::new(Free(free.into())));
            std::thread::sleep(Duration::from_millis(1));
            assert_eq!(time.check().is_ok(), free == 1);
            for work in [steps, bytes, time] {
                assert_eq!(
                    (work.account().is_light(), work.account().must_be_heavy()),
                    (free == 0, free == 0)
                );
            }
        }
        assert_eq!(share.used(), 0);
    }

    #[test]
    fn what_was_refused_runs_again_as_heavy_work() {
        let share = share();
        let work = light(&share, 0);
        let mut attempts = 0;
        let refused = work.attempted(
            |_: &Error| true,
            || {
                attempts += 1;
                work.take(41).map_err(Error::Memory)
            },
        );
        assert!(refused.is_err() && work.account().must_be_heavy());
        assert_eq!((attempts, share.waiting()), (1, 0), "it does not wait for memory");
        work.account().begin_heavy();
        work.take(40).unwrap();
        assert_eq!((0..100).find(|_| work.check().is_err()), None);
        assert!(!work.account().must_be_heavy() && !work.account().is_light());
    }

    #[test]
    fn a_part_of_the_memory_is_for_light_work() {
        let share = share();
        let heavy = Work::unbounded().of(share.clone());
        heavy.take(60).unwrap();
        assert!(heavy.take(1).is_err() && share.take(1).is_err());
        let work = light(&share, 1);
        work.take(15).unwrap();
        assert!(work.take(1).is_err() && work.account().is_light(), "others of its kind use it up");
        let begins = share.take_to_begin(5).unwrap();
        assert!(share.take_to_begin(1).is_err());
        drop(begins);
        heavy.give(60);
        assert!(work.spreads() && !work.account().is_light());
        work.take(45).unwrap();
        assert!(work.take(1).is_err(), "it is heavy now");
        assert_eq!(share.used(), 60);
    }

    #[test]
    fn light_work_waits_for_other_light_work_to_release_memory() {
        let share = share();
        let (other, work) = (light(&share, 0), light(&share, 0));
        other.take(40).unwrap();
        let mut attempts = 0;
        let attempt = || {
            attempts += 1;
            let taken = work.take(36).map_err(Error::Memory);
            if attempts == 3 {
                other.give(40);
            }
            taken
        };
        work.attempted(|_| true, attempt).unwrap();
        assert_eq!((attempts, share.waiting(), share.used()), (4, 0, 36));
    }

    #[test]
    fn light_work_stays_on_its_thread() {
        let share = share();
        let work = light(&share, 0);
        assert!(!work.spreads());
        assert!(work.check().is_ok() && !work.account().must_be_heavy(), "it continues on its own thread");
        assert!(light(&share, 1).spreads() && Work::unbounded().spreads());
    }
}
