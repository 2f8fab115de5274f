//! Many databases in one process, such as one for each customer: no threads of their own, little memory each.
//! `ulimit -n 8192; cargo run --release --workspace --example many 200`

#![expect(clippy::print_stdout, reason = "a program")]

use std::time::Duration;

use barograph::{Batch, Database, Labels, Options, QueryValue, Result, Value};

/// A thread of ours flushes and merges for all of them.
fn open(number: usize) -> Result<Database> {
    let options = Options { background: false, ..Options::small() };
    Database::open_with(format!("customers/{number}"), options)
}

/// What the background threads of one database would do.
fn maintain(databases: &[Database]) -> Result<()> {
    for db in databases {
        db.flush()?;
        db.compact()?;
        // Not all at once: the disk serves others too.
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Runs the example; a test calls it as well.
pub fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(50);
    std::fs::create_dir_all("customers")?;
    let databases = (0..count).map(open).collect::<Result<Vec<_>>>()?;
    let logins = Labels::from_pairs([("__name__", "logins_total")])?;
    for (number, db) in databases.iter().enumerate() {
        let mut batch = Batch::new();
        batch.push(&logins, 1_700_000_000_000_000_000, Value::Int(number as i64));
        db.append(&batch)?;
    }
    let others = databases.clone();
    let maintenance = std::thread::spawn(move || maintain(&others));
    let mut answers = 0;
    for db in &databases {
        let answer = db.query("logins_total", 1_700_000_000_000_000_000)?;
        answers += usize::from(matches!(answer.value, QueryValue::Vector(found) if found.len() == 1));
    }
    maintenance.join().map_err(|_| "the maintenance panicked")??;
    for db in &databases {
        db.close()?;
    }
    println!("{answers} of {count} databases answered");
    if answers == count { Ok(()) } else { Err("a database has lost its sample".into()) }
}
