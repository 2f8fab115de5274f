//! A daemon that forks before it opens the database. A database belongs to the process that opened it, and a process
//! forked after the first opening cannot open one. `cargo run --release --workspace --example daemon`

#![expect(clippy::print_stdout, reason = "a program")]

use barograph::{Database, LineOptions};

#[expect(unsafe_code, reason = "no crate that is a dependency anyway has this function")]
unsafe extern "C" {
    /// From libc: forks, ends the parent, and makes the child the leader of a new session.
    fn daemon(keep_directory: i32, keep_output: i32) -> i32;
}

#[expect(unsafe_code, reason = "a foreign function")]
fn become_daemon() -> std::io::Result<()> {
    // SAFETY: the process has one thread and has opened no database; the child continues after the call.
    match unsafe { daemon(1, 1) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Runs the example; a test calls it as well.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    become_daemon()?;
    let db = Database::open("daemon-data")?;
    for second in 0..10 {
        let line = format!("heartbeat value=1 {}", (1_700_000_000 + second) * 1_000_000_000_i64);
        db.write_lines(line.as_bytes(), &LineOptions::default())?;
    }
    let report = db.flush()?;
    db.close()?;
    println!("the daemon stored {} samples", report.samples);
    Ok(())
}
