//! Small fixed pieces of work whose instructions are counted under callgrind, so that other load on the machine has no
//! effect. `make instructions` runs each piece and compares the counts with `benches/baseline.json`. Run by hand, this
//! program takes the name of one.
//!
//! Only [`counted`] is counted, and only on its thread: no piece has 32 series, the number from which queries use
//! further threads. Callgrind counts the instructions of the processor that it simulates. The build is for x86-64-v2;
//! only `memchr` chooses its code at run time (`avx2` if the machine has it), and this program prints its choice.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

mod random;

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use barograph::{
    Database, Durability, Labels, LineLimits, LineOptions, MatchOp, Matcher, Options, Precision,
    RemoteVersion, SeriesHandle, Value,
};
use barograph_engine::chunk::{Chunk, ChunkValues, Scratch, encode};
use barograph_engine::clock::SystemClock;
use barograph_engine::codec::timestamps::Frame;
use barograph_engine::codec::{CompressionLevel, gorilla, timestamps};
use barograph_engine::line::Lines;
use barograph_engine::model::TimeRange;
use barograph_engine::remote::wire::{put_any_double, put_bytes, put_integer, put_message};
use barograph_engine::store::memory::MemoryKv;
use barograph_engine::{Batch, Engine};
use random::Random;

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_767_225_600 * SECOND;
const SAMPLES: usize = 1024;
const KEY: &[u8] = b"class tier partition series";
const HOSTS: usize = 100;
const FIELDS: usize = 10;

/// Prepares its data, passes the work to [`counted`], and returns the number of units and their name.
type Piece = fn() -> (usize, &'static str);

const PIECES: &[(&str, Piece)] = &[
    ("parse_lines", parse_lines),
    ("append_lines", append_lines),
    ("append_batch", append_batch),
    ("append_handles", append_handles),
    ("append_remote", append_remote),
    ("append_new_series", append_new_series),
    ("append_churn", append_churn),
    ("flush", flush),
    ("flush_new_series", flush_new_series),
    ("flush_churn", flush_churn),
    ("seal_ints", || seal(&ints(), CompressionLevel::Fast)),
    ("seal_ints_best", || seal(&ints(), CompressionLevel::Best)),
    ("seal_decimals", || seal(&decimals(), CompressionLevel::Fast)),
    ("seal_decimals_best", || seal(&decimals(), CompressionLevel::Best)),
    ("seal_counter", || seal(&counter(), CompressionLevel::Fast)),
    ("seal_counter_best", || seal(&counter(), CompressionLevel::Best)),
    ("seal_random", || seal(&random(), CompressionLevel::Fast)),
    ("seal_random_best", || seal(&random(), CompressionLevel::Best)),
    ("decode_ints", || decode(&ints(), CompressionLevel::Fast)),
    ("decode_ints_best", || decode(&ints(), CompressionLevel::Best)),
    ("decode_decimals", || decode(&decimals(), CompressionLevel::Fast)),
    ("decode_decimals_best", || decode(&decimals(), CompressionLevel::Best)),
    ("decode_counter", || decode(&counter(), CompressionLevel::Fast)),
    ("decode_counter_best", || decode(&counter(), CompressionLevel::Best)),
    ("decode_random", || decode(&random(), CompressionLevel::Fast)),
    ("decode_random_best", || decode(&random(), CompressionLevel::Best)),
    ("gorilla_ints", || decode_gorilla(&ints())),
    ("gorilla_decimals", || decode_gorilla(&decimals())),
    ("gorilla_counter", || decode_gorilla(&counter())),
    ("gorilla_random", || decode_gorilla(&random())),
    ("select_churned", select_churned),
    ("query_sum_rate", || query("sum by (rack) (rate(cpu_f0[5m]))")),
    ("query_max_over_time", || query("max_over_time(cpu_f0[1h])")),
    ("query_selector", || query("cpu_f0")),
    ("buckets_max", || query_buckets("max_over_time(cpu_usage[1d])")),
    ("buckets_avg", || query_buckets("avg_over_time(cpu_usage[1d])")),
    ("buckets_rate", || query_buckets("rate(requests_total[1d])")),
];

fn main() {
    // `cargo bench` passes a flag of its own.
    let Some(name) = std::env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        for (name, _) in PIECES {
            println!("{name}");
        }
        return;
    };
    let Some((_, piece)) = PIECES.iter().find(|(known, _)| *known == name) else {
        eprintln!("no piece of work is called {name}; without a name this program lists them");
        std::process::exit(2);
    };
    let (units, unit) = piece();
    let memchr = if std::is_x86_feature_detected!("avx2") { "avx2" } else { "sse2" };
    println!("{name} {units} {unit} {memchr}");
}

/// The only function whose instructions are counted, with everything that it calls.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
}

/// A walk between 0 and 100.
fn walk(seed: u64) -> impl Iterator<Item = f64> {
    let mut random = Random(seed);
    let mut at = 50.0f64;
    std::iter::from_fn(move || {
        at = (at + random.normal()).clamp(0.0, 100.0);
        Some(at)
    })
}

/// The columns of one chunk.
struct Column {
    timestamps: Vec<i64>,
    floats: Vec<f64>,
    ints: Option<Vec<i64>>,
}

impl Column {
    fn regular(floats: Vec<f64>) -> Column {
        Column {
            timestamps: (0..SAMPLES as i64).map(|i| START + i * 10 * SECOND).collect(),
            floats,
            ints: None,
        }
    }

    fn sealed(&self, level: CompressionLevel, out: &mut Vec<u8>) {
        let values = match &self.ints {
            Some(ints) => ChunkValues::Int(ints),
            None => ChunkValues::Float(&self.floats),
        };
        encode(KEY, &self.timestamps, values, level, out);
    }
}

fn ints() -> Column {
    let floats: Vec<f64> = walk(0x5eed).take(SAMPLES).map(f64::trunc).collect();
    let ints = floats.iter().map(|&value| value as i64).collect();
    Column { ints: Some(ints), ..Column::regular(floats) }
}

fn decimals() -> Column {
    Column::regular(walk(0x5eed).take(SAMPLES).map(|value| (value * 100.0).round() / 100.0).collect())
}

/// A counter whose scrapes are a few milliseconds early or late.
fn counter() -> Column {
    let mut random = Random(0x5eed);
    let mut total = 0.0;
    let timestamps = (0..SAMPLES as i64)
        .map(|i| START + i * 10 * SECOND + (random.normal() * 4.0) as i64 * 1_000_000)
        .collect();
    let floats = (0..SAMPLES)
        .map(|_| {
            total += (500.0 * (1.0 + 0.1 * random.normal())).floor();
            total
        })
        .collect();
    Column { timestamps, floats, ints: None }
}

fn random() -> Column {
    let mut random = Random(0x5eed);
    Column::regular((0..SAMPLES).map(|_| random.unit()).collect())
}

fn seal(column: &Column, level: CompressionLevel) -> (usize, &'static str) {
    let mut bytes = Vec::with_capacity(16 * SAMPLES);
    counted(&mut || column.sealed(level, &mut bytes));
    black_box(&bytes);
    (SAMPLES, "sample")
}

fn decode(column: &Column, level: CompressionLevel) -> (usize, &'static str) {
    let mut bytes = Vec::new();
    column.sealed(level, &mut bytes);
    let (mut times, mut values) = (Vec::with_capacity(SAMPLES), Vec::with_capacity(SAMPLES));
    let mut scratch = Scratch::default();
    counted(&mut || {
        let chunk = Chunk::open(KEY, &bytes).expect("just encoded");
        chunk.decode(&mut scratch, &mut times, &mut values).expect("just encoded");
    });
    black_box((&times, &values));
    (SAMPLES, "sample")
}

/// The yardstick: the same samples as plain Gorilla, which is differences of differences and XOR.
fn decode_gorilla(column: &Column) -> (usize, &'static str) {
    let (mut time_bytes, mut value_bytes) = (Vec::new(), Vec::new());
    timestamps::encode(&column.timestamps, &mut time_bytes);
    gorilla::encode(&column.floats, &mut value_bytes);
    let frame = Frame { first: column.timestamps[0], last: column.timestamps[SAMPLES - 1], count: SAMPLES };
    let (mut times, mut values) = (Vec::with_capacity(SAMPLES), Vec::with_capacity(SAMPLES));
    counted(&mut || {
        timestamps::decode(&time_bytes, frame, 1, &mut times).expect("just encoded");
        gorilla::decode(&value_bytes, SAMPLES, &mut values).expect("just encoded");
    });
    black_box((&times, &values));
    (SAMPLES, "sample")
}

/// The tags of a host in line protocol.
fn tags(host: usize) -> [(&'static str, String); 10] {
    [
        ("arch", "x64".to_owned()),
        ("datacenter", "eu-west-1a".to_owned()),
        ("hostname", format!("host_{host}")),
        ("os", "Ubuntu16.04LTS".to_owned()),
        ("rack", (host % 7).to_string()),
        ("region", "eu-west-1".to_owned()),
        ("service", (host % 20).to_string()),
        ("service_environment", "production".to_owned()),
        ("service_version", "1".to_owned()),
        ("team", "SF".to_owned()),
    ]
}

/// One line a host for a step, ten integer fields each.
fn body(hosts: usize, step: i64, walks: &mut [impl Iterator<Item = f64>]) -> String {
    let mut text = String::new();
    for host in 0..hosts {
        text += "cpu";
        for (name, value) in tags(host) {
            let _ = write!(text, ",{name}={value}");
        }
        for (field, walk) in walks[host * FIELDS..(host + 1) * FIELDS].iter_mut().enumerate() {
            let sign = if field == 0 { ' ' } else { ',' };
            let value = walk.next().unwrap_or_default() as i64;
            let _ = write!(text, "{sign}f{field}={value}i");
        }
        let _ = writeln!(text, " {}", START + step * 10 * SECOND);
    }
    text
}

/// Bodies of consecutive steps.
fn bodies(hosts: usize, steps: i64) -> Vec<String> {
    let mut walks: Vec<_> = (0..hosts * FIELDS).map(|i| walk(i as u64 + 1)).collect();
    (0..steps).map(|step| body(hosts, step, &mut walks)).collect()
}

fn parse_lines() -> (usize, &'static str) {
    let text = bodies(HOSTS, 1).remove(0);
    let mut sum = 0;
    counted(&mut || {
        for line in Lines::new(text.as_bytes(), Precision::Nanosecond, LineLimits::default()) {
            let line = line.expect("the body is good");
            sum += line.series_key.len() + line.fields().count();
        }
    });
    black_box(sum);
    (HOSTS * FIELDS, "sample")
}

/// A log in a directory, a store in memory, no fsync, so that only the work of the processor remains.
fn engine(dir: &tempfile::TempDir) -> Engine {
    let options = Options::default().with_durability(Durability::Off).with_background(false);
    Engine::open_over(dir.path(), Arc::new(MemoryKv::default()), options, Arc::new(SystemClock))
        .expect("a fresh folder")
}

fn append_lines() -> (usize, &'static str) {
    let dir = tempfile::tempdir().expect("a folder");
    let (engine, bodies) = (engine(&dir), bodies(HOSTS, 21));
    let write = |body: &String| engine.write_lines(body.as_bytes(), &LineOptions::default()).expect("write");
    write(&bodies[0]);
    counted(&mut || bodies[1..].iter().for_each(|body| drop(write(body))));
    (20 * HOSTS * FIELDS, "sample")
}

/// The labels of the series that [`bodies`] name.
fn label_sets() -> Vec<Labels> {
    (0..HOSTS * FIELDS)
        .map(|i| {
            let own = tags(i / FIELDS);
            let name = format!("cpu_f{}", i % FIELDS);
            let pairs = own.iter().map(|(name, value)| (*name, value.as_str()));
            Labels::from_pairs(pairs.chain([("__name__", name.as_str())])).expect("the names are unique")
        })
        .collect()
}

/// Appends batches of one sample a series; `push` adds a sample of the series with an index.
fn append(engine: &Engine, push: impl Fn(&mut Batch, usize, i64, Value)) -> (usize, &'static str) {
    let series = HOSTS * FIELDS;
    let mut walks: Vec<_> = (0..series).map(|i| walk(i as u64 + 1)).collect();
    let batches: Vec<Batch> = (0..21)
        .map(|step| {
            let mut batch = Batch::new();
            for (i, walk) in walks.iter_mut().enumerate() {
                let value = walk.next().unwrap_or_default();
                push(&mut batch, i, START + step * 10 * SECOND, Value::Float(value.trunc()));
            }
            batch
        })
        .collect();
    engine.append(&batches[0]).expect("append");
    counted(&mut || {
        for batch in &batches[1..] {
            engine.append(batch).expect("append");
        }
    });
    (20 * series, "sample")
}

/// Samples whose labels are already labels.
fn append_batch() -> (usize, &'static str) {
    let dir = tempfile::tempdir().expect("a folder");
    let labels = label_sets();
    append(&engine(&dir), |batch, i, at, value| batch.push(&labels[i], at, value))
}

/// The same by handles: no label set is looked up.
fn append_handles() -> (usize, &'static str) {
    let dir = tempfile::tempdir().expect("a folder");
    let engine = engine(&dir);
    let handle = |labels| engine.handle(labels).expect("a new series");
    let handles: Vec<SeriesHandle> = label_sets().iter().map(handle).collect();
    append(&engine, |batch, i, at, value| batch.push_to(&handles[i], at, value))
}

/// The same by remote write, version 1: one request for each step. The series are known by their bytes.
fn append_remote() -> (usize, &'static str) {
    let dir = tempfile::tempdir().expect("a folder");
    let (engine, labels) = (engine(&dir), label_sets());
    let mut walks: Vec<_> = (0..labels.len()).map(|i| walk(i as u64 + 1)).collect();
    let requests: Vec<Vec<u8>> = (0..21)
        .map(|step| {
            let mut request = Vec::new();
            for (labels, walk) in labels.iter().zip(&mut walks) {
                put_message(&mut request, 1, |series| {
                    for (name, value) in labels.iter() {
                        put_message(series, 1, |label| {
                            put_bytes(label, 1, name.as_bytes());
                            put_bytes(label, 2, value.as_bytes());
                        });
                    }
                    put_message(series, 2, |sample| {
                        put_any_double(sample, 1, walk.next().unwrap_or_default().trunc());
                        put_integer(sample, 2, ((START + step * 10 * SECOND) / 1_000_000) as u64);
                    });
                });
            }
            request
        })
        .collect();
    let write = |request: &Vec<u8>| engine.write_remote(request, RemoteVersion::One).expect("write");
    write(&requests[0]);
    counted(&mut || requests[1..].iter().for_each(|request| drop(write(request))));
    (20 * labels.len(), "sample")
}

fn append_new_series() -> (usize, &'static str) {
    let dir = tempfile::tempdir().expect("a folder");
    let (engine, bodies) = (engine(&dir), bodies(10 * HOSTS, 1));
    counted(&mut || {
        engine.write_lines(bodies[0].as_bytes(), &LineOptions::default()).expect("write");
    });
    (10 * HOSTS * FIELDS, "series")
}

fn flush() -> (usize, &'static str) {
    let dir = tempfile::tempdir().expect("a folder");
    let (engine, bodies) = (engine(&dir), bodies(10, 1000));
    for body in &bodies {
        engine.write_lines(body.as_bytes(), &LineOptions::default()).expect("write");
    }
    counted(&mut || {
        engine.flush().expect("flush");
    });
    (1000 * 10 * FIELDS, "sample")
}

fn flush_new_series() -> (usize, &'static str) {
    let dir = tempfile::tempdir().expect("a folder");
    let (engine, bodies) = (engine(&dir), bodies(10 * HOSTS, 1));
    engine.write_lines(bodies[0].as_bytes(), &LineOptions::default()).expect("write");
    counted(&mut || {
        engine.flush().expect("flush");
    });
    (10 * HOSTS * FIELDS, "series")
}

/// Six samples, ten seconds apart, of each of ten thousand new series.
fn churn() -> Vec<String> {
    const SERIES: usize = 10_000;
    let mut random = Random(0x5eed);
    let mut totals: Vec<u64> = (0..SERIES).map(|_| 10_000 + random.next() % 90_000).collect();
    let pods: Vec<String> = (0..SERIES / 4)
        .map(|pod| {
            let (deployment, number) = (pod % 1000, random.next() as u32);
            format!(
                "namespace=ns-{},deployment=d-{deployment},pod=d-{deployment}-{number:08x}-0",
                deployment % 50
            )
        })
        .collect();
    let mut step = |step: i64| {
        let mut text = String::new();
        for (i, total) in totals.iter_mut().enumerate() {
            let (pod, code) = (&pods[i / 4], ["200", "404", "500", "503"][i % 4]);
            let at = START + step * 10 * SECOND;
            let _ = writeln!(
                text,
                "http_requests_total,{pod},code={code},job=kubernetes-pods,cluster=c-1 value={total}i {at}"
            );
            *total += random.next() % 40;
        }
        text
    };
    (0..6).map(&mut step).collect()
}

fn append_churn() -> (usize, &'static str) {
    let dir = tempfile::tempdir().expect("a folder");
    let (engine, bodies) = (engine(&dir), churn());
    counted(&mut || {
        for body in &bodies {
            engine.write_lines(body.as_bytes(), &LineOptions::default()).expect("write");
        }
    });
    (10_000, "series")
}

fn flush_churn() -> (usize, &'static str) {
    let dir = tempfile::tempdir().expect("a folder");
    let (engine, bodies) = (engine(&dir), churn());
    for body in &bodies {
        engine.write_lines(body.as_bytes(), &LineOptions::default()).expect("write");
    }
    counted(&mut || {
        engine.flush().expect("flush");
    });
    (10_000, "series")
}

/// Finds series that lived for a minute and are only on disk: the cost of a query over churned series before it reads a
/// sample.
fn select_churned() -> (usize, &'static str) {
    const SERIES: usize = 10_000;
    let dir = tempfile::tempdir().expect("a folder");
    let options = Options::default().with_durability(Durability::Off).with_background(false);
    let kv = Arc::new(MemoryKv::default());
    let open = || {
        Engine::open_over(dir.path(), kv.clone(), options.clone(), Arc::new(SystemClock))
            .expect("its own folder")
    };
    let mut text = String::new();
    for i in 0..SERIES {
        let (deployment, code) = (i / 4 % 1000, ["200", "404", "500", "503"][i % 4]);
        let _ = writeln!(
            text,
            "http_requests_total,cluster=c-1,code={code},deployment=d-{deployment},job=kubernetes-pods,\
             namespace=ns-{},pod=d-{deployment}-{:08x}-{} value={i}i {START}",
            deployment % 50,
            (i as u32 / 4).wrapping_mul(2_654_435_761),
            i / 4000
        );
    }
    let engine = open();
    engine.write_lines(text.as_bytes(), &LineOptions::default()).expect("write");
    engine.close().expect("close");
    drop(engine);
    let engine = open();
    let matcher = Matcher::new("__name__", MatchOp::Equal, "http_requests_total").expect("a matcher");
    let range = TimeRange { start: START - SECOND, end: START };
    counted(&mut || {
        let found = engine.view().select(std::slice::from_ref(&matcher), range, usize::MAX).expect("select");
        assert_eq!(found.len(), SERIES);
    });
    (SERIES, "series")
}

/// Thirty series for four hours, flushed, and the 240 steps of a dashboard.
fn query(text: &str) -> (usize, &'static str) {
    const STEPS: i64 = 1440;
    let options = Options::default().with_background(false);
    let database = Database::in_memory(options).expect("the options are good");
    for body in bodies(30, STEPS) {
        database.write_lines(body.as_bytes(), &LineOptions::default()).expect("write");
    }
    database.flush().expect("flush");
    let end = barograph::Timestamp::from_nanos(START + STEPS * 10 * SECOND);
    let minute = std::time::Duration::from_secs(60);
    let request = barograph::Request::range(text, end - minute * 239, end, minute);
    counted(&mut || {
        black_box(database.execute(&request).expect("the query is good"));
    });
    (30 * STEPS as usize, "sample")
}

/// A gauge and a counter of six hosts with a sample a minute for a month, behind a tier of an hour, and the 28 steps of a
/// dashboard. The newest days, which the tier lacks, are not among them.
fn query_buckets(text: &str) -> (usize, &'static str) {
    const SERIES: usize = 6;
    const DAYS: i64 = 31;
    let options = Options::default().with_background(false).with_tiers("1h".parse().expect("a tier"));
    let database = Database::in_memory(options).expect("the options are good");
    let mut walks: Vec<_> = (0..SERIES).map(|i| (walk(i as u64 + 1), 0.0)).collect();
    for day in 0..DAYS {
        let mut batch = barograph::Batch::new();
        for (host, (walk, total)) in walks.iter_mut().enumerate() {
            let host = host.to_string();
            let labels =
                |name| Labels::from_pairs([("__name__", name), ("host", host.as_str())]).expect("unique");
            let (gauge, counter) = (labels("cpu_usage"), labels("requests_total"));
            for minute in 1..=24 * 60 {
                let at = START + (day * 24 * 60 + minute) * 60 * SECOND;
                let at = barograph::Timestamp::from_nanos(at);
                let level = walk.next().unwrap_or_default().trunc();
                *total += level * 10.0;
                batch.push(&gauge, at, Value::Float(level));
                batch.push(&counter, at, Value::Float(*total));
            }
        }
        database.append(&batch).expect("append");
    }
    database.flush().expect("flush");
    database.compact().expect("compact");
    let day = std::time::Duration::from_secs(86_400);
    let end = barograph::Timestamp::from_nanos(START) + day * 28;
    let mut request = barograph::Request::range(text, end - day * 27, end, day);
    request.tier = barograph::TierChoice::Exact;
    counted(&mut || {
        black_box(database.execute(&request).expect("the query is good"));
    });
    (SERIES * 28 * 24, "bucket")
}
