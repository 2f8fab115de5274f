//! The gate in front of the store of an open database: it counts the calls that use the store, so that closing waits
//! for them.
//!
//! Handles and views may outlive [`Gate::close`]. Code that uses the store holds a [`Call`] while it does so. After
//! closing, no call begins. When the last one has ended, the store is closed, and what the gate guards (the directory's
//! lock) is released.

use std::any::Any;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::process::Process;
use crate::store::kv::Kv;
use crate::{Error, Result};

/// Released after the store is closed.
pub type Guarded = Box<dyn Any + Send>;

/// The store, and the calls that use it.
pub struct Gate {
    process: Process,
    kv: Arc<dyn Kv>,
    state: Mutex<State>,
    /// Signalled when a call ends after closing.
    ended: Condvar,
}

struct State {
    is_closed: bool,
    is_released: bool,
    /// The threads of the calls in progress.
    calls: Vec<ThreadId>,
    guarded: Option<Guarded>,
}

/// A call in progress. The store stays open until it is dropped.
pub struct Call<'g> {
    gate: &'g Gate,
    thread: ThreadId,
}

impl Gate {
    /// Creates an open gate.
    pub fn new(process: Process, kv: Arc<dyn Kv>, guarded: Option<Guarded>) -> Self {
        let state = State { is_closed: false, is_released: false, calls: Vec::new(), guarded };
        Gate { process, kv, state: Mutex::new(state), ended: Condvar::new() }
    }

    /// The store, for users that hold a [`Call`].
    pub fn kv(&self) -> &dyn Kv {
        &*self.kv
    }

    /// # Errors
    /// [`Error::Forked`].
    pub fn check_process(&self) -> Result<()> {
        self.process.check()
    }

    /// Begins a call.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Forked`].
    pub fn enter(&self) -> Result<Call<'_>> {
        self.process.check()?;
        let thread = std::thread::current().id();
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Error::Closed);
        }
        state.calls.push(thread);
        Ok(Call { gate: self, thread })
    }

    /// Refuses further calls and waits at most `patience` for those of other threads, then closes the store and
    /// releases what is guarded.
    ///
    /// # Errors
    /// [`Error::StillInUse`] if calls are under way: of other threads after `patience`, or of this thread, which calls
    /// from inside one. The last of them to end closes the store.
    pub fn close(&self, patience: Duration) -> Result<()> {
        let (own, end) = (std::thread::current().id(), Instant::now() + patience);
        let mut state = self.state.lock();
        state.is_closed = true;
        while state.calls.iter().any(|thread| *thread != own) {
            if self.ended.wait_until(&mut state, end).timed_out() {
                break;
            }
        }
        match state.calls.len() {
            0 => {
                self.release(&mut state);
                Ok(())
            }
            calls => Err(Error::StillInUse { calls }),
        }
    }

    /// Keeps the gate's lock held, as another thread may do at the moment of a fork.
    #[cfg(test)]
    pub fn hold(&self) -> impl Sized + '_ {
        self.state.lock()
    }

    fn release(&self, state: &mut State) {
        if !state.is_released {
            state.is_released = true;
            self.kv.close();
            state.guarded = None;
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.gate.process.check().is_err() {
            return;
        }
        let mut state = self.gate.state.lock();
        if let Some(at) = state.calls.iter().position(|thread| *thread == self.thread) {
            state.calls.swap_remove(at);
        }
        if state.is_closed {
            if state.calls.is_empty() {
                self.gate.release(&mut state);
            }
            self.gate.ended.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryKv;

    fn gate() -> (Gate, Arc<()>) {
        let guarded = Arc::new(());
        (
            Gate::new(
                Process::opening().unwrap(),
                Arc::new(MemoryKv::default()),
                Some(Box::new(guarded.clone())),
            ),
            guarded,
        )
    }

    fn is_released(guarded: &Arc<()>) -> bool {
        Arc::strong_count(guarded) == 1
    }

    #[test]
    fn closing_waits_for_calls_of_other_threads() {
        let (gate, guarded) = gate();
        let (entered, is_entered) = std::sync::mpsc::channel();
        let (leave, leaves) = std::sync::mpsc::channel::<()>();
        let gate = &gate;
        std::thread::scope(|scope| {
            let other = scope.spawn(move || {
                let call = gate.enter().expect("it is open");
                entered.send(()).expect("received");
                leaves.recv().expect("sent");
                drop(call);
            });
            is_entered.recv().expect("sent");
            let refused = gate.close(Duration::ZERO);
            assert!(matches!(refused, Err(Error::StillInUse { calls: 1 })), "{refused:?}");
            assert!(matches!(gate.enter().map(drop), Err(Error::Closed)));
            assert!(!is_released(&guarded), "the call still reads");
            leave.send(()).expect("received");
            gate.close(Duration::from_secs(600)).expect("the call ends");
            other.join().expect("no panic");
        });
        assert!(is_released(&guarded));
        gate.close(Duration::ZERO).expect("closed before");
    }

    #[test]
    fn closing_inside_a_call_of_the_same_thread_does_not_wait_for_it() {
        let (gate, guarded) = gate();
        let call = gate.enter().expect("it is open");
        let refused = gate.close(Duration::from_secs(3600));
        assert!(matches!(refused, Err(Error::StillInUse { calls: 1 })), "{refused:?}");
        assert!(!is_released(&guarded));
        drop(call);
        assert!(is_released(&guarded), "the last call releases");
    }
}
