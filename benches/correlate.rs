//! `correlate` over a hundred thousand series of 360 stored samples, at lags of ten steps to either side: the comparison
//! alone on two cores, and a query that is the first one after the database is opened and its files have left the page
//! cache.
//!
//! Run with `cargo bench --bench correlate`. `SERIES` sets the number of series. The last line is
//! `correlate: S series, compute C s, cold query Q s`.

#![expect(clippy::print_stdout, reason = "a program")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use barograph::{
    Batch, Crew, Database, Durability, Labels, Limits, Options, QueryValue, Request, Timestamp, Value,
};

mod random;

use random::Random;

/// Stored samples of a series, a minute apart.
const SAMPLES: i64 = 360;
const SPACING: i64 = 60;
const START: i64 = 1_704_067_200;
/// Series that are written together.
const BATCH: usize = 2000;
/// Rounds; the figures are medians.
const ROUNDS: usize = 5;

fn labels(i: usize) -> Labels {
    let (host, cpu) = (format!("host-{:05}", i / 10), (i % 10).to_string());
    let pairs = [("__name__", "usage"), ("host", host.as_str()), ("cpu", cpu.as_str()), ("job", "node")];
    Labels::from_pairs(pairs).expect("the names differ")
}

fn options() -> Options {
    Options::default().with_durability(Durability::Off).with_background(false)
}

/// Gauges that persist for some minutes; one in a thousand follows the target.
fn fill(dir: &Path, series: usize) {
    let database = Database::open_with(dir, options()).expect("the directory is fresh");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut wave = 0.0;
    let target: Vec<f64> = (0..SAMPLES + 10)
        .map(|_| {
            wave = 0.9 * wave + random.normal();
            50.0 + 5.0 * wave
        })
        .collect();
    let at = |sample: i64| Timestamp::from_secs(START + sample * SPACING);
    let mut write = |first: usize, last: usize| {
        let mut batch = Batch::new();
        for i in first..last {
            let (labels, mut own) = (labels(i), 0.0);
            for sample in 0..SAMPLES {
                own = 0.9 * own + random.normal();
                let followed = if i.is_multiple_of(1000) { target[(sample + 5) as usize] } else { 50.0 };
                let value = ((followed + 5.0 * own) * 100.0).round() / 100.0;
                batch.push(&labels, at(sample), Value::Float(value));
            }
        }
        database.append(&batch).expect("the batch is good");
    };
    for first in (0..series).step_by(BATCH) {
        write(first, series.min(first + BATCH));
    }
    let labels = Labels::from_pairs([("__name__", "target")]).expect("one label");
    let mut batch = Batch::new();
    for sample in 0..SAMPLES {
        batch.push(&labels, at(sample), Value::Float(target[sample as usize]));
    }
    database.append(&batch).expect("the batch is good");
    database.flush().expect("the disk takes it");
    database.compact().expect("the store takes it");
    database.close().expect("closed");
}

/// Asks the kernel to forget the contents of the files of a directory. Without `dd`, they stay in memory.
fn forget(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            forget(&path);
            continue;
        }
        let file = format!("if={}", path.display());
        let _ = Command::new("dd").args([&file, "iflag=nocache", "count=0", "status=none"]).status();
    }
}

fn request(crew: &Crew, query: &str) -> Request {
    let end = Timestamp::from_secs(START + (SAMPLES - 1) * SPACING);
    let limits = Limits::default().with_timeout(Duration::from_secs(120));
    let mut request = Request::instant(query, end).with_limits(limits);
    request.crew = crew.clone();
    request
}

/// Seconds of a query, which must find the series that follow the target.
fn ask(database: &Database, crew: &Crew, max_lag: &str, series: usize) -> f64 {
    let query = format!("correlate(target[6h], usage[6h], max_lag={max_lag}, detrend=\"none\")");
    let started = Instant::now();
    let response = database.execute(&request(crew, &query)).expect("the query is good");
    let spent = started.elapsed().as_secs_f64();
    let QueryValue::Vector(found) = response.value else { panic!("an instant query gives a vector") };
    assert_eq!(found.len(), 20.min(series), "{found:?}");
    assert!(
        series < 20_000 || max_lag != "10m" || found[0].labels.get("lag") == Some("5m"),
        "{:?}",
        found[0]
    );
    spent
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    // `cargo test` runs benches too, to see that they start.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let default = if is_bench { 100_000 } else { 200 };
    let series = std::env::var("SERIES").ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let dir = tempfile::tempdir().expect("a temporary directory");
    fill(dir.path(), series);
    // One thread and the one that asks.
    let crew = Crew::of(1);
    let (mut cold, mut warm, mut read, mut opened) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        forget(dir.path());
        let started = Instant::now();
        let database = Database::open_with(dir.path(), options()).expect("the directory is ours");
        opened.push(started.elapsed().as_secs_f64());
        cold.push(ask(&database, &crew, "10m", series));
        warm.push(ask(&database, &crew, "10m", series));
        // Reads the same samples, and does almost nothing with them.
        let query = "count(last_over_time(usage[6h]))";
        let started = Instant::now();
        database.execute(&request(&crew, query)).expect("the query is good");
        read.push(started.elapsed().as_secs_f64());
        database.close().expect("closed");
    }
    let (cold, warm, read, opened) = (median(cold), median(warm), median(read), median(opened));
    println!("opened in {opened:.2} s; the same query again {warm:.2} s, of which reading takes {read:.2} s");
    println!("correlate: {series} series, compute {:.2} s, cold query {cold:.2} s", (warm - read).max(0.0));
}
