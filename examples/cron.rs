//! A program that cron runs every minute: it opens the database, writes one sample, queries the last hour, and closes.
//! `cargo run --release --workspace --example cron`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use barograph::{Batch, Database, ErrorKind, Labels, Options, Timestamp, Value};

/// Runs the example; a test calls it as well.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Little memory and a small log, since the database is open only briefly.
    let db = match Database::open_with("load-data", Options::small()) {
        Ok(db) => db,
        // The previous run is still active: skip this minute.
        Err(error) if error.kind() == ErrorKind::Locked => {
            eprintln!("{error}");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let now = Timestamp::now();
    let load: f64 =
        std::fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or_default().parse()?;
    let mut batch = Batch::new();
    batch.push(&Labels::from_pairs([("__name__", "load1")])?, now, Value::Float(load));
    db.append(&batch)?; // durable from here on
    let answer = db.query("max_over_time(load1[1h])", now)?;
    for sample in answer.value.into_vector().unwrap_or_default() {
        println!("highest load of the last hour: {:?}", sample.value.as_f64());
    }
    // This also performs small merges that earlier runs left. If a run ends without closing, nothing is lost.
    db.close()?;
    Ok(())
}
