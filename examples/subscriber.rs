//! A subscriber that raises an alert from durable data, next to a writer that never waits for it.
//! `cargo run --release --workspace --example subscriber`

#![expect(clippy::print_stdout, reason = "a program")]

use std::time::Duration;

use barograph::{Batch, Database, Labels, Options, Subscription, Timestamp, Update, Value, parse_selector};

/// Watches until the database is closed. Returns how often a value was too high.
fn watch(subscription: Subscription) -> usize {
    let mut alerts = 0;
    for update in subscription {
        match update {
            Update::Sample { labels, timestamp, value: Value::Float(celsius), .. } if celsius > 90.0 => {
                alerts += 1;
                println!("{timestamp}: {labels} is at {celsius} degrees");
            }
            // There may be an alert among them: check the stored data instead.
            Update::Lagged(missed) => println!("{missed} updates missed"),
            _ => {}
        }
    }
    alerts
}

/// Runs the example; a test calls it as well.
pub fn main() -> barograph::Result<()> {
    let db = Database::in_memory(Options::default())?;
    let matchers = parse_selector(r#"cpu_celsius{host=~"web-.*"}"#)?;
    let subscription = db.subscribe(&matchers)?;
    let watcher = std::thread::spawn(move || watch(subscription));

    let watched = Labels::from_pairs([("__name__", "cpu_celsius"), ("host", "web-1")])?;
    let other = Labels::from_pairs([("__name__", "cpu_celsius"), ("host", "db-1")])?;
    let begin = Timestamp::from_secs(1_700_000_000);
    let mut batch = Batch::new();
    for (second, celsius) in [(0, 61.5), (1, 93.0), (2, 95.5), (3, 70.0)] {
        let time = begin + Duration::from_secs(second);
        batch.clear();
        batch.push(&watched, time, Value::Float(celsius));
        batch.push(&other, time, Value::Float(99.0));
        db.append(&batch)?;
    }
    db.close()?; // ends the subscription, after what is buffered

    match watcher.join() {
        Ok(alerts) => {
            println!("{alerts} alerts");
            assert_eq!(alerts, 2);
        }
        Err(panic) => std::panic::resume_unwind(panic),
    }
    Ok(())
}
