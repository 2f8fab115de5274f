//! Locks with the interface of `parking_lot`. If a simulation runs the thread, taking a lock is a point of `turns.rs`,
//! and waiting for one passes the turn to another thread.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use super::turns;

/// Like `parking_lot::Mutex`.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T: ?Sized>(parking_lot::Mutex<T>);

/// Like `parking_lot::MutexGuard`.
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// `None` while the lock is released during a wait.
    held: Option<parking_lot::MutexGuard<'a, T>>,
}

/// The address that identifies a lock or a condition.
fn place<T: ?Sized>(of: &T) -> usize {
    std::ptr::from_ref(of).cast::<()>() as usize
}

/// Whether this thread waits by passing its turn. A thread that unwinds does not.
fn takes_turns() -> bool {
    turns::is_seated() && !std::thread::panicking()
}

/// Takes a lock: `attempt` does not wait; `block` is used if no simulation runs the thread.
fn take<G>(place: usize, attempt: impl Fn() -> Option<G>, block: impl Fn() -> G) -> G {
    if !takes_turns() {
        return block();
    }
    turns::point();
    loop {
        if let Some(guard) = attempt() {
            return guard;
        }
        turns::wait(place, false);
    }
}

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Mutex(parking_lot::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    fn held(&self) -> parking_lot::MutexGuard<'_, T> {
        take(place(self), || self.0.try_lock(), || self.0.lock())
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, held: Some(self.held()) }
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        turns::point();
        self.0.try_lock().map(|held| MutexGuard { mutex: self, held: Some(held) })
    }

    pub fn try_lock_for(&self, time: Duration) -> Option<MutexGuard<'_, T>> {
        if !takes_turns() {
            return self.0.try_lock_for(time).map(|held| MutexGuard { mutex: self, held: Some(held) });
        }
        loop {
            if let Some(guard) = self.try_lock() {
                return Some(guard);
            }
            if !turns::wait(place(self), true) {
                return None;
            }
        }
    }
}

impl<T: ?Sized> MutexGuard<'_, T> {
    pub fn unlocked<U>(guard: &mut Self, work: impl FnOnce() -> U) -> U {
        guard.give_away();
        let done = work();
        guard.held = Some(guard.mutex.held());
        done
    }

    pub fn bump(guard: &mut Self) {
        Self::unlocked(guard, || ());
    }

    pub fn unlock_fair(guard: Self) {
        drop(guard);
    }

    fn give_away(&mut self) {
        if self.held.take().is_some() {
            turns::wake(place(self.mutex));
        }
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("the lock is not given away")
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("the lock is not given away")
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.give_away();
    }
}

/// Like `parking_lot::Condvar`. In a simulation, a timeout expires only when no other thread can run.
#[derive(Debug, Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

/// Like `parking_lot::WaitTimeoutResult`.
pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub const fn new() -> Self {
        Condvar(parking_lot::Condvar::new())
    }

    pub fn notify_all(&self) {
        turns::wake(self.place());
        self.0.notify_all();
    }

    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        if takes_turns() {
            self.wait_in_turn(guard, false);
        } else if let Some(held) = &mut guard.held {
            self.0.wait(held);
        }
    }

    pub fn wait_for<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, time: Duration) -> WaitTimeoutResult {
        self.wait_until(guard, Instant::now() + time)
    }

    pub fn wait_until<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, end: Instant) -> WaitTimeoutResult {
        if takes_turns() {
            return WaitTimeoutResult(!self.wait_in_turn(guard, true));
        }
        let held = guard.held.as_mut();
        WaitTimeoutResult(held.is_none_or(|held| self.0.wait_until(held, end).timed_out()))
    }

    fn wait_in_turn<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, is_timed: bool) -> bool {
        guard.give_away();
        let in_time = turns::wait(self.place(), is_timed);
        guard.held = Some(guard.mutex.held());
        in_time
    }

    fn place(&self) -> usize {
        place(self)
    }
}

/// Like `parking_lot::RwLock`.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T: ?Sized>(parking_lot::RwLock<T>);

/// A guard of a [`RwLock`].
#[derive(Debug)]
pub(crate) struct Shared<G> {
    held: Option<G>,
    place: usize,
}

impl<T: ?Sized> RwLock<T> {
    pub fn read(&self) -> Shared<parking_lot::RwLockReadGuard<'_, T>> {
        let held = take(place(self), || self.0.try_read(), || self.0.read());
        Shared { held: Some(held), place: place(self) }
    }

    pub fn write(&self) -> Shared<parking_lot::RwLockWriteGuard<'_, T>> {
        let held = take(place(self), || self.0.try_write(), || self.0.write());
        Shared { held: Some(held), place: place(self) }
    }
}

impl<G: Deref> Deref for Shared<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        self.held.as_ref().expect("it is held until it is dropped")
    }
}

impl<G: DerefMut> DerefMut for Shared<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        self.held.as_mut().expect("it is held until it is dropped")
    }
}

impl<G> Drop for Shared<G> {
    fn drop(&mut self) {
        self.held = None;
        turns::wake(self.place);
    }
}
