//! Queries over columns in memory, which is the cost of the evaluator itself, and over the engine.
//!
//! The default is a thousand counters at 15 s for six hours, and the 240 steps of a dashboard. Throughput over columns
//! is the number of samples passed to windows, as in the statistics of a query; over the engine it is the number of
//! samples that storage decoded.

use std::time::Duration;

use std::hint::black_box;

use barograph::{Batch, Database, Durability, Options, Timestamp, Value};
use barograph_engine::model::{Labels, Matcher, Samples, TimeRange};
use barograph_query::source::{SeriesRef, SeriesSource, SourceError};
use barograph_query::{Request, execute};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const NS_PER_S: i64 = 1_000_000_000;
const SPACING_S: i64 = 15;
const HOURS: i64 = 6;

/// Series as columns, sorted by labels.
struct ColumnSource {
    series: Vec<(Labels, Samples)>,
}

impl SeriesSource for ColumnSource {
    fn select(
        &self,
        matchers: &[Matcher],
        _range: TimeRange,
        _series_max: usize,
    ) -> Result<Vec<SeriesRef>, SourceError> {
        let all = self.series.iter().enumerate();
        let matching = all.filter(|(_, (labels, _))| matchers.iter().all(|m| m.matches_labels(labels)));
        let refs = matching.zip(0..);
        Ok(refs
            .map(|((i, (labels, _)), rank)| SeriesRef { labels: labels.clone(), handle: i as u64, rank })
            .collect())
    }

    fn read(&self, series: &SeriesRef, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        let samples = &self.series[series.handle as usize].1;
        let from = samples.timestamps.partition_point(|&t| t <= range.start);
        let to = samples.timestamps.partition_point(|&t| t <= range.end).max(from);
        out.timestamps.extend_from_slice(&samples.timestamps[from..to]);
        out.values.extend_from_slice(&samples.values[from..to]);
        Ok(())
    }

    fn label_names(&self, _: &[Matcher], _: TimeRange) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &[Matcher], _: TimeRange) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }
}

/// Numbers that are the same in every run.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / 16.0
    }
}

fn source() -> ColumnSource {
    let mut numbers = Seeded(1);
    let mut series = Vec::new();
    for i in 0..1000 {
        let (pod, route) = (format!("pod-{i:04}"), format!("/r{}", i % 20));
        let mut counter = Samples::default();
        let mut gauge = Samples::default();
        let mut total = 0.0;
        for at in 0..HOURS * 3600 / SPACING_S {
            total = if numbers.next() < 1000.0 { 0.0 } else { total + numbers.next() };
            counter.push(at * SPACING_S * NS_PER_S, total);
            gauge.push(at * SPACING_S * NS_PER_S, numbers.next());
        }
        let labels = |name: &str, extra: (&str, &str)| {
            Labels::from_pairs([("__name__", name), ("pod", &pod), ("route", &route), extra])
                .expect("the names are unique")
        };
        let bounds = ["0.1", "0.5", "1", "5", "+Inf"];
        series.push((labels("bucket", ("le", bounds[i % 5])), counter.clone()));
        series.push((labels("requests_total", ("code", "200")), counter));
        series.push((labels("load", ("", "")), gauge));
    }
    series.sort_by(|a, b| a.0.cmp(&b.0));
    ColumnSource { series }
}

fn queries(c: &mut Criterion) {
    let source = source();
    let cases = [
        ("selector", "load"),
        ("rate", "rate(requests_total[5m])"),
        ("sum_by_rate", "sum by (route) (rate(requests_total[5m]))"),
        ("max_over_time_1h", "max_over_time(load[1h])"),
        ("sum_over_time_5m", "sum_over_time(load[5m])"),
        ("avg_over_time_1h", "avg_over_time(load[1h])"),
        ("quantile_over_time", "quantile_over_time(0.95, load[10m])"),
        ("topk", "topk(10, load)"),
        ("histogram_quantile", "histogram_quantile(0.9, sum by (le, route) (rate(bucket[5m])))"),
        ("matching", "load / on (pod, route) requests_total"),
        ("subquery", "max_over_time(rate(requests_total[5m])[30m:1m])"),
        ("label_replace", r#"label_replace(load, "p", "$1", "pod", "pod-(.*)")"#),
    ];
    let mut group = c.benchmark_group("query");
    group.sample_size(10);
    for (name, query) in cases {
        let end_ms = HOURS * 3_600_000;
        let request = range(query, end_ms - 240 * 60_000, end_ms, 60_000);
        let samples = execute(&source, &request).expect("the query is good").stats.samples_total;
        group.throughput(Throughput::Elements(samples));
        group.bench_function(name, |b| b.iter(|| execute(&source, black_box(&request)).map(|r| r.stats)));
    }
    group.finish();
}

/// A range query, in milliseconds.
fn range(query: impl Into<String>, start: i64, end: i64, step: i64) -> Request {
    let ms = Timestamp::from_millis;
    Request::range(query, ms(start), ms(end), Duration::from_millis(step as u64))
}

/// The same over the engine, with half of the samples as chunks in the store and half in the head. The additional cost
/// is that of storage.
fn engine(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = Options::default().with_durability(Durability::Off);
    let database = Database::open_with(dir.path(), options).expect("the directory is fresh");
    let half = HOURS * 3600 / 2 * NS_PER_S;
    for part in [0..half, half..2 * half] {
        for (labels, samples) in &source().series {
            let mut batch = Batch::new();
            for (&t, &v) in samples.timestamps.iter().zip(&samples.values).filter(|(t, _)| part.contains(t)) {
                batch.push(labels, Timestamp::from_nanos(t), Value::Float(v));
            }
            database.append(&batch).expect("the batch is good");
        }
        if part.start == 0 {
            database.flush().expect("the disk takes it");
        }
    }
    let mut group = c.benchmark_group("query_engine");
    group.sample_size(10);
    for (name, query) in [
        ("selector", "load"),
        ("sum_by_rate", "sum by (route) (rate(requests_total[5m]))"),
        ("max_over_time_1h", "max_over_time(load[1h])"),
        ("one_series", r#"rate(requests_total{pod="pod-0042"}[5m])"#),
    ] {
        let end_ms = HOURS * 3_600_000;
        let mut request = range(query, end_ms - 240 * 60_000, end_ms, 60_000);
        request.explain = true;
        let explained = database.execute(&request).expect("the query is good").explain;
        let stored = explained.and_then(|e| e.actual).map_or(0, |cost| cost.samples);
        request.explain = false;
        group.throughput(Throughput::Elements(stored));
        group.bench_function(name, |b| b.iter(|| database.execute(black_box(&request)).map(|r| r.stats)));
    }
    group.finish();
}

/// Pods that live for a minute each: thirty thousand series with six samples, in the store. The cost of a query is that
/// of its series, not of its samples; throughput is series.
fn churned(c: &mut Criterion) {
    const GENERATIONS: i64 = 30;
    const ALIVE: usize = 1000;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = Options::default().with_durability(Durability::Off);
    let database = Database::open_with(dir.path(), options).expect("the directory is fresh");
    for generation in 0..GENERATIONS {
        let mut batch = Batch::new();
        for i in 0..ALIVE {
            let (pod, deployment) = (format!("d-{}-{generation:x}-{i:x}", i % 97), format!("d-{}", i % 97));
            let code = ["200", "404", "500", "503"][i % 4];
            let pairs =
                [("__name__", "requests_total"), ("pod", &pod), ("deployment", &deployment), ("code", code)];
            let labels = Labels::from_pairs(pairs).expect("the names are unique");
            for step in 0..6 {
                let at = (generation * 60 + step * 10) * NS_PER_S;
                batch.push(&labels, Timestamp::from_nanos(at), Value::Float((i as i64 * step) as f64));
            }
        }
        database.append(&batch).expect("the batch is good");
    }
    database.flush().expect("the disk takes it");
    let mut group = c.benchmark_group("query_churned");
    group.sample_size(10);
    for (name, query, part) in [
        ("count", "count(count_over_time(requests_total[1m]))", 1),
        ("sum_by_code", "sum by (code) (increase(requests_total[5m]))", 1),
        ("topk", r#"topk(5, sum by (deployment) (sum_over_time(requests_total{code="500"}[5m])))"#, 4),
        ("each_series", "requests_total", 1),
    ] {
        let request = range(query, 0, GENERATIONS * 60_000, 60_000);
        group.throughput(Throughput::Elements(GENERATIONS as u64 * ALIVE as u64 / part));
        group.bench_function(name, |b| b.iter(|| database.execute(black_box(&request)).map(|r| r.stats)));
    }
    group.finish();
}

/// Windows of an hour, at more and more steps. A window that slides costs the same per sample and little more per step;
/// one that is read from its start at each step costs twice as much at twice as many steps.
fn sliding(c: &mut Criterion) {
    let source = source();
    let mut group = c.benchmark_group("sliding");
    group.sample_size(10);
    for function in [
        "sum_over_time",
        "avg_over_time",
        "min_over_time",
        "stddev_over_time",
        "mad_over_time",
        "count_over_time",
        "changes",
        "rate",
        "deriv",
    ] {
        for steps in [120, 240, 480] {
            let end_ms = HOURS * 3_600_000;
            let step_ms = 4 * 3_600_000 / steps;
            let query = format!(r#"{function}(load{{route="/r7"}}[1h])"#);
            let request = range(query, end_ms - 4 * 3_600_000, end_ms, step_ms);
            group.bench_function(format!("{function}/{steps}"), |b| {
                b.iter(|| execute(&source, black_box(&request)).map(|r| r.stats));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, queries, engine, sliding, churned);
criterion_main!(benches);
