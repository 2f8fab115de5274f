//! A program that cron runs every minute: it opens the database, writes one sample, asks for the last hour, and closes.
//! `cargo run --release --workspace --example cron`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use barograph::{Batch, Database, ErrorKind, Labels, Options, Timestamp, Value};

/// Runs the example; a test calls it as well.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Little memory and a small log: it is there for a moment.
    let db = match Database::open_with("load-data", Options::small()) {
        Ok(db) => db,
        // The run before is not done yet: this minute is left out.
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
    db.append(&batch)?; // on the disk from here on
    let answer = db.query("max_over_time(load1[1h])", now)?;
    for sample in answer.value.into_vector().unwrap_or_default() {
        println!("highest load of the last hour: {:?}", sample.value.as_f64());
    }
    // Also merges what earlier runs left, if it is little. A run that ends without it loses nothing.
    db.close()?;
    Ok(())
}
