//! A daemon that forks before it opens the database. A database belongs to the process that opened it, and a process
//! forked after the first opening cannot open one. `cargo run --release --workspace --example daemon`

#![expect(clippy::print_stdout, reason = "a program")]

use std::io;
use std::time::Duration;

use barograph::{Batch, Database, Labels, Timestamp, Value};

/// Why the daemon ended early.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The process could not fork.
    #[error("the process could not become a daemon: {0}")]
    Fork(#[from] io::Error),
    /// A call of the database failed.
    #[error(transparent)]
    Database(#[from] barograph::Error),
}

#[expect(unsafe_code, reason = "no crate that is a dependency anyway has this function")]
unsafe extern "C" {
    /// From libc: forks, ends the parent, and makes the child the leader of a new session.
    fn daemon(keep_directory: i32, keep_output: i32) -> i32;
}

#[expect(unsafe_code, reason = "a foreign function")]
fn become_daemon() -> io::Result<()> {
    // SAFETY: the process has one thread and has opened no database; the child continues after the call.
    match unsafe { daemon(1, 1) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn run() -> barograph::Result<()> {
    let db = Database::open("daemon-data")?;
    let begin = Timestamp::from_secs(1_700_000_000);
    let heartbeat = Labels::from_pairs([("__name__", "heartbeat")])?;
    let mut batch = Batch::new();
    for second in 0..10 {
        batch.clear();
        batch.push(&heartbeat, begin + Duration::from_secs(second), Value::Int(1));
        db.append(&batch)?;
    }
    let report = db.flush()?;
    db.close()?;
    println!("the daemon stored {} samples", report.samples);
    Ok(())
}

/// Runs the example; a test calls it as well.
pub fn main() -> Result<(), Failed> {
    become_daemon()?;
    Ok(run()?)
}
