//! The locks of the engine. A build for production has those of `parking_lot` and nothing else.
//!
//! In a build for tests they look the same, and a thread that a simulation runs (`turns.rs`) hands over to others where
//! it takes a lock, and where it waits for one. Locks without any other lock inside and caches stay with `parking_lot`.

#[cfg(test)]
mod simulated;
#[cfg(test)]
pub(crate) mod turns;

#[cfg(not(test))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(test)]
pub(crate) use simulated::{Condvar, Mutex, MutexGuard, RwLock};

/// Reports the sequence numbers that the log gives to records which are appended together, for a simulation.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn logged(_first: u64, _last: u64) {}

#[cfg(test)]
pub(crate) use turns::logged;
