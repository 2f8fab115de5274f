//! Faults that spread through generated services, and whether `root_cause` finds where they began.
//!
//! `cargo run --release --workspace --example root_cause -- [SEED] [FAULTS]` injects faults of six kinds, prints the rank
//! of each cause among 300 series, and ends with the line `root_cause: K of N`: the number of causes among the first
//! five.

#![expect(clippy::print_stdout, reason = "a program")]

use std::time::Duration;

use barograph::{Batch, Database, Labels, Options, QueryValue, Timestamp, Value};

mod faults;
#[path = "../../benches/random/mod.rs"]
mod random;

use faults::Scenario;

/// The time of the queries.
const NOW: Timestamp = Timestamp::from_secs(1_700_006_400);

/// Ranks that count as found.
const FIRST: usize = 5;

/// Writes the samples of a scenario: the hour with the fault, and the same hour of the day before.
fn database(scenario: &Scenario) -> barograph::Result<Database> {
    let database = Database::in_memory(Options::default())?;
    for (ago, samples) in scenario.hours() {
        let mut batch = Batch::new();
        for series in samples {
            let pairs = [("__name__", series.metric), ("service", series.service.as_str())];
            let labels = Labels::from_pairs(pairs)?;
            for (millis_before_end, value) in series.samples {
                let time = NOW - ago - Duration::from_millis(millis_before_end);
                batch.push(&labels, time, Value::Float(value));
            }
        }
        database.append(&batch)?;
    }
    Ok(database)
}

/// The rank of the cause among the first five, from 1.
fn rank(scenario: &Scenario) -> barograph::Result<Option<usize>> {
    let query =
        format!("root_cause(latency_seconds{{service=\"s0\"}}[1h], {{service=~\".+\"}}[1h], topk={FIRST})");
    let answer = database(scenario)?.query(&query, NOW)?;
    let QueryValue::Vector(found) = answer.value else { return Ok(None) };
    let (metric, service) = scenario.cause();
    let is_cause =
        |labels: &Labels| labels.metric_name() == Some(metric) && labels.get("service") == Some(service);
    Ok(found.iter().position(|sample| is_cause(&sample.labels)).map(|place| place + 1))
}

/// Runs scenarios and returns how many causes are found.
fn run(seed: u64, count: u64, mut each: impl FnMut(&Scenario, Option<usize>)) -> barograph::Result<u64> {
    let mut found = 0;
    for number in 0..count {
        let scenario = Scenario::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let rank = rank(&scenario)?;
        found += u64::from(rank.is_some());
        each(&scenario, rank);
    }
    Ok(found)
}

fn main() -> barograph::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse().ok());
    let (seed, count) = (numbers.next().flatten().unwrap_or(1), numbers.next().flatten().unwrap_or(20));
    let found = run(seed, count, |scenario, rank| {
        let rank = rank.map_or_else(|| "not among the first five".to_owned(), |rank| format!("rank {rank}"));
        println!("{scenario}: {rank}");
    })?;
    println!("root_cause: {found} of {count}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_sixteen_of_twenty_causes_are_found() {
        let found = run(1, 20, |_, _| {}).unwrap();
        assert!(found >= 16, "{found} of 20");
    }

    #[test]
    fn a_seed_gives_the_same_samples_each_time() {
        let samples = |seed| -> Vec<_> {
            let hours = Scenario::new(seed).hours();
            hours.into_iter().flat_map(|(_, series)| series).flat_map(|series| series.samples).collect()
        };
        assert!(samples(3) == samples(3) && samples(3) != samples(4));
    }
}
