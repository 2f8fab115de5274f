//! The queue for the reserve of a share, which serves one piece of work at a time.
//!
//! Refused work can succeed only after other work releases memory. If all work held memory while it waited, none would
//! finish. A share therefore keeps a reserve. Refused work releases everything, queues (oldest first), and starts over
//! in its turn with the whole reserve, so it succeeds if it needs no more than that. Queued work holds no memory that
//! others need.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{Share, Stopped, Work};

/// Maximum delay until waiting work notices that it was canceled or that bytes were released.
const LOOK: Duration = Duration::from_millis(5);

/// When a piece of work began, and a number that distinguishes work that began at the same time.
type Place = (Instant, u64);

/// The work that waits for the reserve of a share.
#[derive(Debug, Default)]
pub(super) struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_taken: bool,
    numbers: u64,
    waiting: BTreeSet<Place>,
}

impl Line {
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    fn wait(&self, share: &Share, work: &Work) -> Result<(), Stopped> {
        let mut state = self.state.lock();
        state.numbers += 1;
        let place = (work.started(), state.numbers);
        state.waiting.insert(place);
        loop {
            let stopped = work.check();
            let is_first = state.waiting.first() == Some(&place);
            // The memory that the previous holder still holds must fit in addition to the reserve.
            let is_turn = is_first && !state.is_taken && share.used() <= share.common();
            if stopped.is_err() || is_turn {
                state.waiting.remove(&place);
                state.is_taken |= stopped.is_ok();
                self.changed.notify_all();
                return stopped;
            }
            self.changed.wait_for(&mut state, LOOK);
        }
    }

    fn leave(&self, share: &Share) {
        let mut state = self.state.lock();
        share.end_turn();
        state.is_taken = false;
        self.changed.notify_all();
    }
}

/// The turn of a piece of work, until this is dropped.
#[derive(Debug)]
pub struct Turn {
    work: Work,
}

impl Work {
    /// Waits for the turn to use the reserve of the share, on the calling thread; the oldest work goes first. Returns
    /// `None` if there is no reserve or the work already has its turn. Hold no significant memory while waiting.
    ///
    /// # Errors
    /// The work was stopped.
    pub fn turn(&self) -> Result<Option<Turn>, Stopped> {
        let account = self.account();
        let waits = |share: &&Arc<Share>| share.reserve() > 0 && !account.is_in_turn();
        let Some(share) = account.share().filter(waits) else { return Ok(None) };
        share.line().wait(share, self)?;
        account.set_in_turn(true);
        Ok(Some(Turn { work: self.clone() }))
    }

    /// Calls `attempt`. If it fails with an error that means that the share is full, calls it once more with the turn;
    /// light work calls it until it succeeds or has used up its time. `attempt` must leave nothing taken when it fails.
    ///
    /// # Errors
    /// The errors of `attempt`; the work was stopped while it waited.
    pub fn attempted<T, E: From<Stopped>>(
        &self,
        is_refused: impl Fn(&E) -> bool,
        mut attempt: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut ended = attempt();
        let mut pause = LOOK;
        let waits = || self.account().is_light() && !self.account().must_be_heavy();
        while waits() && ended.as_ref().is_err_and(&is_refused) {
            // Only other light work can hold the memory that it needs, and that work ends soon.
            self.check()?;
            std::thread::sleep(pause);
            pause *= 2;
            ended = attempt();
        }
        match ended {
            // Refused as light work: the caller must run it again as heavy work.
            Err(error) if self.account().must_be_heavy() => Err(error),
            Err(error) if is_refused(&error) => match self.turn()? {
                Some(_turn) => attempt(),
                None => Err(error),
            },
            ended => ended,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let account = self.work.account();
        account.set_in_turn(false);
        if let Some(share) = account.share() {
            share.line().leave(share);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, mpsc};

    use super::super::Taken;
    use super::*;
    use crate::Error;

    fn share() -> Arc<Share> {
        let share = Share::new("queries", 100);
        share.set_reserve(60);
        share
    }

    fn work(share: &Arc<Share>) -> Work {
        Work::unbounded().of(share.clone()).holding(60)
    }

    #[test]
    fn the_reserve_is_for_the_one_whose_turn_it_is() {
        let share = share();
        let (a, b) = (work(&share), work(&share));
        a.take(40).unwrap();
        assert!(b.take(1).is_err(), "the common part is full");
        let turn = b.turn().unwrap().unwrap();
        assert!(b.turn().unwrap().is_none(), "it already has its turn");
        b.take(60).unwrap();
        assert!(b.take(1).is_err() && a.take(1).is_err());
        a.give(10);
        let hold = share.take(10).expect("the lent reserve takes nothing from the others");
        assert!(share.take(1).is_err());
        drop((a, hold));
        let a = work(&share);
        a.take(40).unwrap();
        assert_eq!((share.used(), share.peak()), (100, 100));
        drop(turn);
        assert!(b.take(0).is_err(), "what it has is more than others may have");
        assert!(a.take(0).is_err());
        drop(b);
        a.take(0).unwrap();
        assert_eq!(share.used(), 40);
    }

    #[test]
    fn what_is_given_back_in_turn_is_counted_once() {
        let share = share();
        let work = work(&share);
        work.take(10).unwrap();
        let turn = work.turn().unwrap();
        work.take(30).unwrap();
        work.give(35);
        assert_eq!((work.account().bytes(), share.used()), (5, 5));
        work.take(20).unwrap();
        work.account().keep(7);
        assert_eq!(share.used(), 7);
        work.take(20).unwrap();
        drop(turn);
        assert_eq!(share.used(), 27);
        let others = share.take(13).unwrap();
        assert!(share.take(1).is_err(), "what remains of a turn counts against the common part");
        work.give(27);
        drop((work, others));
        assert_eq!(share.used(), 0);
    }

    #[test]
    fn the_oldest_goes_first_and_a_canceled_one_leaves() {
        let share = share();
        let began = Instant::now();
        let first = work(&share);
        let turn = first.turn().unwrap();
        let (sender, ended) = mpsc::channel();
        std::thread::scope(|scope| {
            let mut cancels = Vec::new();
            for age in [1, 3, 2] {
                let (work, sender) = (work(&share), sender.clone());
                cancels.push(work.cancel().clone());
                let work =
                    work.within_since(Duration::MAX, began.checked_sub(Duration::from_secs(age)).unwrap());
                scope.spawn(move || {
                    let turn = work.turn();
                    sender.send((age, turn.is_ok())).unwrap();
                });
            }
            while share.waiting() < 3 {
                std::thread::yield_now();
            }
            cancels[2].cancel();
            assert_eq!(ended.recv().unwrap(), (2, false));
            drop(turn);
            assert_eq!(ended.recv().unwrap(), (3, true));
            assert_eq!(ended.recv().unwrap(), (1, true));
        });
        assert_eq!((share.waiting(), share.used()), (0, 0));
    }

    #[test]
    fn all_of_many_that_need_most_of_it_get_it_one_after_the_other() {
        let share = share();
        let barrier = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let work = work(&share);
                    barrier.wait();
                    let attempt = || {
                        let taken = Taken::of(&work);
                        (0..60).try_for_each(|_| taken.more(1)).map_err(Error::Memory)
                    };
                    work.attempted(|_| true, attempt).expect("the reserve is free");
                });
            }
        });
        assert!(share.peak() <= 100);
        assert_eq!(share.used(), 0);
    }
}
