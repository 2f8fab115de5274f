//! A program that cron runs every minute: it opens the database, writes one sample, asks for the last hour, and closes.
//! `cargo run --release --workspace --example cron`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::time::{SystemTime, UNIX_EPOCH};

use barograph::{Batch, Database, ErrorKind, Labels, Options, QueryValue, Value};

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
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as i64;
    let load: f64 =
        std::fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or_default().parse()?;
    let mut batch = Batch::new();
    batch.push(&Labels::from_pairs([("__name__", "load1")])?, now, Value::Float(load));
    db.append(&batch)?; // on the disk from here on
    let answer = db.query("max_over_time(load1[1h])", now)?;
    if let QueryValue::Vector(samples) = answer.value {
        for sample in samples {
            println!("highest load of the last hour: {:?}", sample.value);
        }
    }
    // Also merges what earlier runs left, if it is little. A run that ends without it loses nothing.
    db.close()?;
    Ok(())
}
