//! A program that cron runs every minute: it opens the database, writes one sample, queries the last hour, and closes.
//! `cargo run --release --workspace --example cron`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::{fs, io};

use barograph::{Batch, Database, ErrorKind, Labels, Options, Timestamp, Value};

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The system does not report its load.
    #[error("the load is unknown: {0}")]
    Load(#[from] io::Error),
    /// A call of the database failed.
    #[error(transparent)]
    Database(#[from] barograph::Error),
}

/// The load of the system in the last minute.
fn load() -> io::Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    text.split(' ').next().unwrap_or_default().parse().map_err(io::Error::other)
}

/// Stores the load, and prints the highest one of the last hour.
fn record(db: &Database, load: f64) -> barograph::Result<()> {
    let now = Timestamp::now();
    let mut batch = Batch::new();
    batch.push(&Labels::from_pairs([("__name__", "load1")])?, now, Value::Float(load));
    db.append(&batch)?; // durable from here on
    let answer = db.query("max_over_time(load1[1h])", now)?;
    for sample in answer.value.into_vector().unwrap_or_default() {
        println!("highest load of the last hour: {:?}", sample.value.as_f64());
    }
    Ok(())
}

/// Runs the example; a test calls it as well.
pub fn main() -> Result<(), Failed> {
    // Little memory and a small log, since the database is open only briefly.
    let db = match Database::open_with("load-data", Options::small()) {
        // The previous run is still active: skip this minute.
        Err(error) if error.kind() == ErrorKind::Locked => {
            eprintln!("{error}");
            return Ok(());
        }
        opened => opened?,
    };
    record(&db, load()?)?;
    // This also performs small merges that earlier runs left. If a run ends without closing, nothing is lost.
    Ok(db.close()?)
}
