//! The process that a database was opened in.
//!
//! A fork copies an open database without its threads, with locks in an arbitrary state, and with descriptors that both
//! processes share. The child must not use or release any of it. Each open database therefore remembers its process,
//! and checks it before it takes a lock or touches a file.
//!
//! # Detecting a fork
//! A handler that libc runs in each forked child (`pthread_atfork`) counts forks; comparing the count is a single load.
//! A child created without libc (by a bare `clone`) can be detected only by its process id, which costs a system call.
//! That is compared before the log is written, and when a database is closed or dropped.
//!
//! # Locks of directories
//! `flock` belongs to the open file, which a child shares, so the lock would outlive the parent for as long as the
//! child has the file open. The handler therefore closes the child's copy. Record locks of `fcntl` would stay with the
//! parent, but a process loses them as soon as it closes any of its descriptors of the file, as a program that copies
//! the directory does, and then two processes could write. A program started by `exec` has no copy, because all files
//! are opened close-on-exec.

use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use crate::{Error, Result};

/// Number of forks between the process that opened the first database and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// The process that opened the first database.
static FIRST: OnceLock<Process> = OnceLock::new();

/// An empty slot in the list of lock descriptors that a forked child closes.
const NONE: RawFd = -1;
/// If more databases than this are open in a process at once, a forked child keeps the locks of the rest.
const LOCKS_MAX: usize = 1024;
static LOCKS: [AtomicI32; LOCKS_MAX] = [const { AtomicI32::new(NONE) }; LOCKS_MAX];

/// The number of forks between the process that opened the first database and this one.
#[inline]
fn forks() -> u32 {
    let forks = FORKS.load(Ordering::Relaxed);
    #[cfg(test)]
    let forks = forks + u32::from(pretended::IS_CHILD.get());
    forks
}

/// For tests: a thread that behaves like the only thread of a forked child.
#[cfg(test)]
pub(crate) mod pretended {
    thread_local! {
        pub(super) static IS_CHILD: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }

    /// Runs `work` as a forked child would.
    pub(crate) fn in_child<T>(work: impl FnOnce() -> T) -> T {
        IS_CHILD.set(true);
        let done = work();
        IS_CHILD.set(false);
        done
    }
}

/// The identity of a process, as far as it distinguishes the process from its forked children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    id: u32,
    forks: u32,
}

impl Process {
    /// The calling process, which is about to open a database.
    ///
    /// # Errors
    /// [`Error::Forked`] if a database was opened before this process was forked, because threads that the libraries
    /// started then are missing.
    pub fn opening() -> Result<Process> {
        let first = FIRST.get_or_init(|| {
            watch();
            Process { id: std::process::id(), forks: forks() }
        });
        first.check_thoroughly()?;
        Ok(*first)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// # Errors
    /// [`Error::Forked`] in a forked child.
    pub fn check(&self) -> Result<()> {
        if forks() == self.forks { Ok(()) } else { Err(self.forked()) }
    }

    /// Like [`Process::check`], but also detects children that were not created by libc; costs a system call.
    ///
    /// # Errors
    /// [`Error::Forked`] in a forked child.
    pub fn check_thoroughly(&self) -> Result<()> {
        if self.id == std::process::id() { self.check() } else { Err(self.forked()) }
    }

    fn forked(&self) -> Error {
        Error::Forked { opened_by: self.id, process: std::process::id() }
    }
}

/// The number of forks before this process. It is constant in a process, and differs in a child.
#[derive(Debug, Clone, Copy)]
pub struct Forks(u32);

impl Default for Forks {
    /// The number of the calling process.
    fn default() -> Self {
        Forks(forks())
    }
}

impl Forks {
    /// Whether the calling process is a forked child of the one that created this.
    pub fn is_child(&self) -> bool {
        self.0 != forks()
    }
}

/// The descriptor of a lock, which forked children close, until this is dropped.
#[derive(Debug)]
pub struct Unshared {
    slot: Option<&'static AtomicI32>,
}

impl Unshared {
    /// Registers the descriptor of a lock, after [`Process::opening`].
    pub fn new(lock: RawFd) -> Unshared {
        let enter = |slot: &&AtomicI32| {
            slot.compare_exchange(NONE, lock, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        Unshared { slot: LOCKS.iter().find(enter) }
    }
}

impl Drop for Unshared {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            slot.store(NONE, Ordering::Release);
        }
    }
}

#[expect(unsafe_code, reason = "no crate that is a dependency anyway has this function")]
unsafe extern "C" {
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> std::ffi::c_int;
}

/// Registers [`in_child`] to run in all future children.
#[expect(unsafe_code, reason = "a foreign function")]
fn watch() {
    // SAFETY: the handler is a function without state that lives as long as the process, and does only what is allowed
    // after a fork: it changes atomics and closes descriptors.
    let failed = unsafe { pthread_atfork(None, None, Some(in_child)) };
    if failed != 0 {
        tracing::warn!(code = failed, "forks are noticed by process ids alone: no memory for a handler");
    }
}

#[expect(unsafe_code, reason = "a descriptor without an owner in this process")]
extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    for lock in &LOCKS {
        let descriptor = lock.swap(NONE, Ordering::AcqRel);
        if descriptor != NONE {
            // SAFETY: it is the child's copy of a lock's descriptor, whose owner `Lock` does not close it in this
            // process: it compares the process first.
            unsafe { rustix::io::close(descriptor) };
        }
    }
}
