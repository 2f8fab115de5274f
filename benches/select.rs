//! From matchers to series over the real index, with a hundred thousand series: half of them in the store, all of them
//! in the head.
//!
//! Throughput is series found.

use std::hint::black_box;

use barograph::{Batch, Database, Durability, Labels, MatchOp, Matcher, Options, TimeRange, Value};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const SERIES: usize = 100_000;
const METRICS: usize = 50;
const NS_PER_S: i64 = 1_000_000_000;

fn labels(i: usize) -> Labels {
    let (metric, host) = (format!("metric_{:02}_total", i % METRICS), format!("host-{:04}", i / METRICS));
    let (zone, code) = (format!("zone-{}", i / METRICS % 7), ["200", "404", "500", "503"][i / 350 % 4]);
    let pairs =
        [("__name__", metric.as_str()), ("host", &host), ("zone", &zone), ("code", code), ("job", "api")];
    Labels::from_pairs(pairs).expect("the names are unique")
}

/// Every series has a sample in the head; every second one also has one in the store.
fn database(dir: &std::path::Path) -> Database {
    let options = Options::default().with_durability(Durability::Off);
    let database = Database::open_with(dir, options).expect("the directory is fresh");
    for (step, at) in [(2, 0), (1, 60)] {
        let mut batch = Batch::new();
        for i in (0..SERIES).step_by(step) {
            batch.push(&labels(i), barograph::Timestamp::from_nanos(at * NS_PER_S), Value::Float(i as f64));
        }
        database.append(&batch).expect("the batch is good");
        if step == 2 {
            database.flush().expect("the disk takes it");
        }
    }
    database
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value).expect("the expression is right")
}

fn select(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let database = database(dir.path());
    let (equal, regex) = (MatchOp::Equal, MatchOp::Regex);
    let name = || matcher("__name__", equal, "metric_07_total");
    let cases: [(&str, Vec<Matcher>); 7] = [
        ("one_series", vec![name(), matcher("host", equal, "host-0042")]),
        ("one_metric", vec![name()]),
        ("codes", vec![name(), matcher("code", regex, "5..")]),
        ("list_of_hosts", vec![name(), matcher("host", regex, "host-0001|host-0500|host-1999")]),
        ("not_a_zone", vec![name(), matcher("zone", MatchOp::NotEqual, "zone-3")]),
        ("host_automaton", vec![name(), matcher("host", regex, "host-[0-9]+7")]),
        ("all_of_a_host", vec![matcher("host", equal, "host-0042")]),
    ];
    let range = TimeRange::from(barograph::Timestamp::UNIX_EPOCH..=barograph::Timestamp::from_secs(120));
    let mut group = c.benchmark_group("select");
    group.sample_size(10);
    for (name, matchers) in cases {
        let selectors = [matchers];
        let found = database.series(&selectors, range, usize::MAX).expect("the store can be read").len();
        assert!(found > 0, "{name}");
        group.throughput(Throughput::Elements(found as u64));
        group.bench_function(format!("{name}/{found}"), |b| {
            b.iter(|| database.series(black_box(&selectors), range, usize::MAX).map(|found| found.len()));
        });
    }
    group.finish();
}

criterion_group!(benches, select);
criterion_main!(benches);
