//! From line protocol to checked lines, on one core: field values and bytes per second.
//!
//! The body is like the cpu-only data of the Time Series Benchmark Suite: lines of about 350 bytes with 10 tags, 10
//! integer fields and a nanosecond timestamp. A second body has floats of full length instead of the integers, and a
//! third one has short floats.

use std::hint::black_box;

use barograph_engine::line::{FieldValue, LineLimits, Lines, Naming, Precision, labels};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Lines of a body: as many samples as a batch with one fsync.
const LINES: usize = 1_000;

/// The fields of a host's CPU.
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

/// A step of a linear congruential generator: the same data each run.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// One body; `value` prints a field's value.
fn body(value: impl Fn(&mut u64) -> String) -> String {
    let mut state = 42;
    let mut text = String::new();
    for i in 0..LINES {
        text += &format!(
            "cpu,hostname=host_{i},region=eu-central-1,datacenter=eu-central-1a,rack={},os=Ubuntu15.10,arch=x64,\
             team=SF,service={},service_version=1,service_environment=production ",
            next(&mut state) % 100,
            next(&mut state) % 20,
        );
        let fields: Vec<String> = FIELDS.iter().map(|name| format!("{name}={}", value(&mut state))).collect();
        text += &fields.join(",");
        text += &format!(" {}\n", 1_451_606_400_000_000_000u64 + i as u64 * 1_000);
    }
    text
}

/// Reads a body like ingest: looks at each series key and each value once.
fn read(body: &[u8]) -> f64 {
    let mut sum = 0.0;
    for line in Lines::new(body, Precision::Nanosecond, LineLimits::default()) {
        let line = line.expect("the body is good");
        sum += line.series_key.len() as f64;
        for (key, value) in line.fields() {
            sum += key.len() as f64;
            match value {
                FieldValue::Float(v) => sum += v,
                FieldValue::Int(v) => sum += v as f64,
                FieldValue::UInt(v) => sum += v as f64,
                FieldValue::Bool(v) => sum += f64::from(u8::from(v)),
                FieldValue::Text(v) => sum += v.len() as f64,
            }
        }
    }
    sum
}

fn lines(criterion: &mut Criterion) {
    let integers = body(|state| format!("{}i", next(state) % 101));
    let floats = body(|state| format!("{}", (next(state) % 1_000_000_007) as f64 / 9_999_991.0));
    let short = body(|state| format!("{}.{}", next(state) % 101, next(state) % 100));
    let mut group = criterion.benchmark_group("line");
    for (name, body) in [("cpu integers", &integers), ("cpu floats", &floats), ("cpu short floats", &short)] {
        group.throughput(Throughput::Elements((LINES * FIELDS.len()) as u64));
        group.bench_with_input(BenchmarkId::new("values", name), body, |b, body| {
            b.iter(|| read(black_box(body.as_bytes())));
        });
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::new("bytes", name), body, |b, body| {
            b.iter(|| read(black_box(body.as_bytes())));
        });
    }
    group.finish();
}

fn new_series(criterion: &mut Criterion) {
    let integers = body(|state| format!("{}i", next(state) % 101));
    let line = Lines::new(integers.as_bytes(), Precision::Nanosecond, LineLimits::default())
        .next()
        .expect("the body has lines")
        .expect("the body is good");
    let extra = [("db".to_owned(), "benchmark".to_owned())];
    let mut group = criterion.benchmark_group("line");
    group.throughput(Throughput::Elements(1));
    group.bench_function("labels of a new series", |b| {
        b.iter(|| labels(black_box(line.series_key), b"usage_user", &extra, &Naming::default()));
    });
    group.finish();
}

criterion_group!(benches, lines, new_series);
criterion_main!(benches);
