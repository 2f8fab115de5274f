//! A subscriber that raises an alert from durable data, next to a writer that never waits for it.
//! `cargo run --release --workspace --example subscriber`

#![expect(clippy::print_stdout, reason = "a program")]

use barograph::{Database, LineOptions, Options, Subscription, Update, Value, parse_selector};

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
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Database::in_memory(Options::default())?;
    let matchers = parse_selector(r#"cpu_celsius{host=~"web-.*"}"#)?;
    let subscription = db.subscribe(&matchers)?;
    let watcher = std::thread::spawn(move || watch(subscription));
    for (second, celsius) in [(0, 61.5), (1, 93.0), (2, 95.5), (3, 70.0)] {
        let at = (1_700_000_000 + second) * 1_000_000_000_i64;
        let lines = format!("cpu,host=web-1 celsius={celsius} {at}\ncpu,host=db-1 celsius=99 {at}\n");
        db.write_lines(lines.as_bytes(), &LineOptions::default())?;
    }
    db.close()?; // ends the subscription, after what is buffered
    let alerts = watcher.join().map_err(|_| "the watcher panicked")?;
    println!("{alerts} alerts");
    if alerts == 2 { Ok(()) } else { Err("an alert is missing".into()) }
}
