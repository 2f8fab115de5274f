//! Many databases in one process, for example one for each customer, with little memory each and shared threads.
//! `ulimit -n 8192; cargo run --release --workspace --example many 200`

#![expect(clippy::print_stdout, reason = "a program")]

use std::time::Duration;

use barograph::{Batch, Database, Labels, Options, Result, Timestamp, Value};

/// Opens one of the databases. They share background threads: one flushes and one merges for all of them.
fn open(number: usize) -> Result<Database> {
    Database::open_with(format!("customers/{number}"), Options::small())
}

/// Runs the example; a test calls it as well.
pub fn main() -> Result<()> {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(50);
    let databases = (0..count).map(open).collect::<Result<Vec<_>>>()?;
    let now = Timestamp::now();
    let logins = Labels::from_pairs([("__name__", "logins_total")])?;
    for (number, db) in databases.iter().enumerate() {
        let mut batch = Batch::new();
        batch.push(&logins, now, Value::Int(number as i64));
        db.append(&batch)?;
    }
    let mut answers = 0;
    for db in &databases {
        let answer = db.query("logins_total", now + Duration::from_secs(1))?;
        answers += usize::from(answer.value.into_vector().is_some_and(|found| found.len() == 1));
    }
    for db in &databases {
        db.close()?;
    }
    println!("{answers} of {count} databases answered");
    assert_eq!(answers, count);
    Ok(())
}
