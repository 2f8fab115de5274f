//! The whole database inside a program: `cargo run --release --workspace --example embed`.

#![expect(clippy::print_stdout, reason = "a program")]

use barograph::{Database, LineOptions, QueryValue};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Database::open("weather-data")?;
    let lines = "weather,city=Oslo temperature=3.5 1700000000000000000\n\
                 weather,city=Lima temperature=19.25 1700000000000000000\n";
    db.write_lines(lines.as_bytes(), &LineOptions::default())?; // durable from here on
    let answer = db.query("max by (city) (weather_temperature)", 1_700_000_060_000_000_000)?;
    let QueryValue::Vector(samples) = answer.value else { return Err("no vector".into()) };
    for sample in samples {
        println!("{} {:?}", sample.labels, sample.value);
    }
    db.close()?;
    Ok(())
}
