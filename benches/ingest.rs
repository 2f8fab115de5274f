//! From the bytes of line protocol to the acknowledgement: samples per second, with one fsync for each batch of 10,000
//! samples, on one core; and the size of a stored sample on disk.
//!
//! The data is like TSBS cpu-only: ten tags, ten integer fields that walk at random between 0 and 100, and one line for
//! each host every ten seconds.

#![expect(clippy::print_stdout, reason = "a program")]

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use barograph::{Batch, Database, Durability, Labels, LineOptions, Options, SeriesHandle, Value};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const HOSTS: usize = 1000;
const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];
const START_NS: i64 = 1_704_067_200_000_000_000;
const STEP_NS: i64 = 10_000_000_000;

/// Hosts with random walks; a small generator in this file keeps the data the same forever.
struct Hosts {
    values: Vec<[f64; 10]>,
    tags: Vec<String>,
    state: u64,
    step: i64,
}

impl Hosts {
    fn new(count: usize) -> Self {
        let tags = (0..count)
            .map(|h| {
                format!(
                    "cpu,hostname=host_{h},region=eu-west-1,datacenter=eu-west-1{},rack={},os=Ubuntu16.04LTS,arch=x64,\
                     team=SF,service={},service_version=1,service_environment=production",
                    ["a", "b", "c"][h % 3],
                    h % 100,
                    h % 20
                )
            })
            .collect();
        Hosts { values: vec![[50.0; 10]; count], tags, state: 0x9e37_79b9_7f4a_7c15, step: 0 }
    }

    /// Roughly normal with deviation one: the sum of twelve uniform numbers less six.
    fn normal(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..12 {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            sum += (self.state >> 11) as f64 / (1u64 << 53) as f64;
        }
        sum - 6.0
    }

    fn walk(&mut self) {
        self.step += 1;
        for host in 0..self.values.len() {
            for field in 0..FIELDS.len() {
                self.values[host][field] = (self.values[host][field] + self.normal()).clamp(0.0, 100.0);
            }
        }
    }

    /// The next ten seconds of all hosts.
    fn next_body(&mut self) -> String {
        let mut body = String::with_capacity(self.tags.len() * 380);
        let timestamp = START_NS + self.step * STEP_NS;
        self.walk();
        for host in 0..self.tags.len() {
            body += &self.tags[host];
            for (field, name) in FIELDS.iter().enumerate() {
                let walked = self.values[host][field];
                let sign = if field == 0 { ' ' } else { ',' };
                let _ = write!(body, "{sign}{name}={}i", walked as i64);
            }
            let _ = writeln!(body, " {timestamp}");
        }
        body
    }
}

fn open(dir: &Path, durability: Durability) -> Database {
    let options = Options::default().with_durability(durability);
    Database::open_with(dir, options).expect("open a fresh directory")
}

fn write_batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("ingest");
    let samples = (HOSTS * FIELDS.len()) as u64;
    group.throughput(Throughput::Elements(samples)).sample_size(10).measurement_time(Duration::from_secs(5));
    for (name, durability) in [("fsync for each batch", Durability::Always), ("no fsync", Durability::Off)] {
        let dir = tempfile::tempdir().expect("a directory");
        let db = open(dir.path(), durability);
        let mut hosts = Hosts::new(HOSTS);
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    let body = hosts.next_body();
                    let start = Instant::now();
                    let report = db.write_lines(body.as_bytes(), &LineOptions::default()).expect("write");
                    spent += start.elapsed();
                    assert_eq!(report.samples, samples);
                }
                spent
            });
        });
        db.close().expect("close");
        let stats = db.stats();
        let stored = stats.stored_samples.max(1) as f64;
        println!(
            "ingest/{name}: {} samples stored, {:.3} bytes/sample as chunks, {:.3} as tables with their index",
            stats.stored_samples,
            stats.stored_chunk_bytes as f64 / stored,
            stats.store.table_bytes as f64 / stored
        );
    }
    group.finish();
}

/// Parsed samples of series with handles, on one core and without fsync: the cost of the engine itself to an embedder.
fn append_parsed(c: &mut Criterion) {
    let mut group = c.benchmark_group("ingest");
    let samples = HOSTS * FIELDS.len();
    group
        .throughput(Throughput::Elements(samples as u64))
        .sample_size(20)
        .measurement_time(Duration::from_secs(5));
    let dir = tempfile::tempdir().expect("a directory");
    let db = open(dir.path(), Durability::Off);
    let mut hosts = Hosts::new(HOSTS);
    let handles: Vec<SeriesHandle> = (0..samples)
        .map(|i| {
            let (host, name) = (format!("host_{}", i / FIELDS.len()), FIELDS[i % FIELDS.len()]);
            let labels =
                Labels::from_pairs([("__name__", name), ("hostname", &host), ("os", "Ubuntu16.04LTS")]);
            db.handle(&labels.expect("names differ")).expect("a new series")
        })
        .collect();
    group.bench_function("parsed, no fsync", |b| {
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                let timestamp = START_NS + hosts.step * STEP_NS;
                hosts.walk();
                let mut batch = Batch::new();
                let values = hosts.values.iter().flatten();
                for (handle, value) in handles.iter().zip(values) {
                    batch.push_to(
                        handle,
                        barograph::Timestamp::from_nanos(timestamp),
                        Value::Float(value.trunc()),
                    );
                }
                let start = Instant::now();
                let report = db.append(&batch).expect("append");
                spent += start.elapsed();
                assert_eq!(report.samples, samples as u64);
            }
            spent
        });
    });
    group.finish();
    db.close().expect("close");
}

/// A clean stop with many series, then an opening and the answer to one query.
fn restart(c: &mut Criterion) {
    let mut group = c.benchmark_group("restart");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    let dir = tempfile::tempdir().expect("a directory");
    let db = open(dir.path(), Durability::Off);
    let mut hosts = Hosts::new(10_000);
    for _ in 0..3 {
        db.write_lines(hosts.next_body().as_bytes(), &LineOptions::default()).expect("write");
    }
    db.close().expect("close");
    drop(db);
    group.bench_function("100,000 series, to the first answer", |b| {
        b.iter(|| {
            let db = open(dir.path(), Durability::Off);
            let answer = db
                .query(
                    "cpu_usage_user{hostname=\"host_77\"}",
                    barograph::Timestamp::from_nanos(START_NS + 3 * STEP_NS),
                )
                .expect("query");
            db.close().expect("close");
            answer
        });
    });
    group.finish();
}

criterion_group!(benches, write_batches, append_parsed, restart);
criterion_main!(benches);
