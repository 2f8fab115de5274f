//! The line for what a share keeps back for one piece of work at a time.
//!
//! Work that a share refuses can end only when others give back, and if all of them wait for that with what they have,
//! nobody ends. So a share keeps a reserve. Refused work gives back all it has, stands in line, the oldest first, and
//! begins again when it is its turn, with the whole reserve before it: whatever needs no more than that succeeds. Nobody
//! who stands in line holds anything that others need.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{Account, Share, Stopped, Work};

/// How long it takes at most until somebody who waits sees that the work is canceled, or that bytes were given back.
const LOOK: Duration = Duration::from_millis(5);

/// When a piece of work began, and a number that tells those apart that began together.
type Place = (Instant, u64);

/// Who waits for the reserve of a share.
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

    fn wait(&self, share: &Share, work: &Work, began: Instant) -> Result<(), Stopped> {
        let mut state = self.state.lock();
        state.numbers += 1;
        let place = (began, state.numbers);
        state.waiting.insert(place);
        loop {
            let stopped = work.check();
            let is_first = state.waiting.first() == Some(&place);
            // What the last one left behind must fit beside the reserve.
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

    fn leave(&self) {
        self.state.lock().is_taken = false;
        self.changed.notify_all();
    }
}

/// The turn of a piece of work, until this is dropped.
#[derive(Debug)]
pub struct Turn {
    account: Account,
}

impl Account {
    /// Waits for the turn of `work`, which began at `began`, to use the reserve of the account's share: on the calling
    /// thread, the oldest first. `None` if there is no reserve. Nothing of size may be held meanwhile.
    ///
    /// # Errors
    /// `work` is over.
    pub fn turn(&self, work: &Work, began: Instant) -> Result<Option<Turn>, Stopped> {
        let Some(share) = self.share().filter(|share| share.reserve() > 0) else { return Ok(None) };
        share.line().wait(share, work, began)?;
        self.set_in_turn(true);
        Ok(Some(Turn { account: self.clone() }))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.account.set_in_turn(false);
        if let Some(share) = self.account.share() {
            share.line().leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier, mpsc};

    use super::*;

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
        let turn = b.account().turn(&b, Instant::now()).unwrap().unwrap();
        b.take(60).unwrap();
        assert!(b.take(1).is_err() && a.take(1).is_err());
        drop(turn);
        assert!(b.take(0).is_err(), "what it has is more than others may have");
        drop(b);
        a.take(0).unwrap();
        assert_eq!(share.used(), 40);
    }

    #[test]
    fn the_oldest_goes_first_and_whoever_is_canceled_leaves() {
        let share = share();
        let began = Instant::now();
        let first = work(&share);
        let turn = first.account().turn(&first, began).unwrap();
        let (sender, ended) = mpsc::channel();
        std::thread::scope(|scope| {
            let mut cancels = Vec::new();
            for age in [1, 3, 2] {
                let (work, sender) = (work(&share), sender.clone());
                cancels.push(work.cancel().clone());
                let began = began.checked_sub(Duration::from_secs(age)).unwrap();
                scope.spawn(move || {
                    let turn = work.account().turn(&work, began);
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
                    let attempt = || (0..60).try_for_each(|_| work.take(1));
                    if attempt().is_err() {
                        work.give(work.account().bytes());
                        let _turn = work.account().turn(&work, Instant::now()).unwrap();
                        attempt().expect("the reserve is there");
                        work.give(work.account().bytes());
                    }
                });
            }
        });
        assert!(share.peak() <= 100);
        assert_eq!(share.used(), 0);
    }
}
