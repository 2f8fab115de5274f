//! Forks, and the fate of the child.

#![expect(unsafe_code, reason = "no crate that is a dependency anyway forks")]

use std::io;

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(child: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(code: i32) -> !;
    fn syscall(number: i64, ...) -> i64;
}

/// The number of the system call `clone`, and the signal that a child sends when it ends.
#[cfg(target_arch = "x86_64")]
const CLONE: i64 = 56;
#[cfg(not(target_arch = "x86_64"))]
const CLONE: i64 = 220;
const SIGCHLD: i64 = 17;

/// The exit code of a child whose part failed.
const FAILED: i32 = 70;

/// A forked child.
pub struct Child(i32);

impl Child {
    /// Forks; the child runs `part` and exits at once, without unwinding into what it shares with its parent.
    pub fn run(part: impl FnOnce() -> Result<(), Box<dyn std::error::Error>>) -> io::Result<Child> {
        // SAFETY: the caller has no lock that `part` takes; the child ends in `Child::of`.
        Child::of(unsafe { fork() }, part)
    }

    /// Like [`Child::run`], by a system call that bypasses libc, so that no handler of libc runs in the child.
    pub fn run_past_libc(part: impl FnOnce() -> Result<(), Box<dyn std::error::Error>>) -> io::Result<Child> {
        // SAFETY: as in `Child::run`. Without a stack of its own, the child continues on its copy of this one.
        let child = unsafe { syscall(CLONE, SIGCHLD, 0_i64, 0_i64, 0_i64, 0_i64) };
        Child::of(child as i32, part)
    }

    fn of(forked: i32, part: impl FnOnce() -> Result<(), Box<dyn std::error::Error>>) -> io::Result<Child> {
        match forked {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let code = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(part)) {
                    Ok(Ok(())) => 0,
                    Ok(Err(error)) => {
                        eprintln!("in the child: {error}");
                        FAILED
                    }
                    Err(_) => FAILED,
                };
                // SAFETY: the function takes a number and does not return.
                unsafe { _exit(code) }
            }
            child => Ok(Child(child)),
        }
    }

    /// Waits for it to end.
    pub fn wait(self) -> Result<(), Box<dyn std::error::Error>> {
        let mut status = 0;
        // SAFETY: the status variable outlives the call.
        let ended = unsafe { waitpid(self.0, &mut status, 0) };
        match (ended == self.0, status) {
            (false, _) => Err(io::Error::last_os_error().into()),
            (true, 0) => Ok(()),
            (true, status) => Err(format!("the child ended with status {status:#x}").into()),
        }
    }
}
