//! The whole database inside a program: open, write, query a range, iterate, cancel, close.
//! `cargo run --release --workspace --example embed`

#![expect(clippy::print_stdout, reason = "a program")]

use std::time::Duration;

use barograph::{Batch, Cancel, Database, ErrorKind, Labels, Request, Timestamp, Value, parse_selector};

/// Runs the example; a test calls it as well.
pub fn main() -> barograph::Result<()> {
    let db = Database::open("weather-data")?;
    let (begin, minute) = ("2023-11-14T22:00:00Z".parse::<Timestamp>()?, Duration::from_secs(60));

    let mut batch = Batch::new();
    for (city, degrees) in [("Oslo", 3.5), ("Lima", 19.25)] {
        let series = Labels::from_pairs([("__name__", "temperature"), ("city", city)])?;
        for number in 0..60 {
            batch.push(&series, begin + minute * number, Value::Float(degrees + f64::from(number) / 60.0));
        }
    }
    db.append(&batch)?; // durable from here on

    // Evaluate a query every 20 minutes of an hour.
    let warmest = db.query_range("max by (city) (temperature)", begin, begin + minute * 59, minute * 20)?;
    for series in warmest.value.into_matrix().unwrap_or_default() {
        for (time, degrees) in series.floats() {
            println!("{} {time} {degrees:.2}", series.labels);
        }
    }

    // Read the stored samples, series by series, in bounded memory.
    let half_hour = begin..begin + minute * 30;
    for series in db.scan(&parse_selector(r#"temperature{city="Oslo"}"#)?, half_hour)? {
        let series = series?;
        println!("{} has {} samples", series.labels, series.values.len());
    }

    // Any thread may cancel a query, before or while it runs.
    let cancel = Cancel::new();
    let request = Request::instant("avg_over_time(temperature[1h])", begin + minute * 59);
    let request = request.with_cancel(cancel.clone());
    cancel.cancel();
    match db.execute(&request) {
        Err(error) if error.kind() == ErrorKind::Canceled => println!("canceled"),
        answer => println!("{:?}", answer?.value),
    }
    db.close()
}
