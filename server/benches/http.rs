//! What the server adds on top of the database: writes over a real socket, and results as
//! JSON. Prints samples per second.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use barograph::{Database, Labels, MatrixSeries, Options, QueryValue};
use barograph_server::app::{self, Sockets};
use barograph_server::config::Sources;
use barograph_server::json;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Lines of one request; each has ten fields.
const LINES: usize = 1_000;
const FIELDS: usize = 10;

/// Reads one answer that has no body, and insists that it is 204.
fn expect_204(stream: &mut TcpStream) {
    let mut answer = [0; 4096];
    let mut length = 0;
    while !answer[..length].ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut answer[length..]).expect("the server answers");
        assert!(count > 0, "the server closed");
        length += count;
    }
    assert!(answer.starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&answer[..length]));
}

/// A request of [`LINES`] lines over 100 hosts, at a time of its own.
fn request(round: i64) -> Vec<u8> {
    let mut body = String::new();
    for line in 0..LINES {
        let time = 1_700_000_000_000_000_000 + (round * 10 + line as i64 / 100) * 10_000_000_000;
        body.push_str(&format!("cpu,host=host_{},region=eu,rack=7 ", line % 100));
        for field in 0..FIELDS {
            let comma = if field > 0 { "," } else { "" };
            body.push_str(&format!("{comma}f{field}={}", (line * 7 + field + round as usize) % 100));
        }
        body.push_str(&format!(" {time}\n"));
    }
    let head = format!("POST /write HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body.into_bytes()].concat()
}

fn writes(criterion: &mut Criterion) {
    // Declared first so that it is removed last.
    let (_dir, database) = database();
    let mut sources = Sources::default();
    for (key, text) in [("listen", "127.0.0.1:0"), ("self_interval", "0")] {
        sources.flags.insert(key, text.to_owned());
    }
    let config = sources.build().expect("the settings are good");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let sockets = runtime.block_on(Sockets::bind(&config)).expect("a free port");
    let address = sockets.http.local_addr().expect("a bound socket");
    let state = Arc::new(app::state(config).expect("no token file"));
    state.set_database(database);
    let (_stop, stopping) = tokio::sync::watch::channel(false);
    runtime.spawn(app::run(state, sockets, stopping));

    let mut stream = TcpStream::connect(address).expect("the server listens");
    let mut round = 0;
    let mut group = criterion.benchmark_group("http");
    group.throughput(Throughput::Elements((LINES * FIELDS) as u64));
    group.bench_function("write 10,000 samples, durable", |bencher| {
        bencher.iter_batched(
            || {
                round += 1;
                request(round)
            },
            |bytes| {
                stream.write_all(&bytes).expect("the server reads");
                expect_204(&mut stream);
            },
            criterion::BatchSize::LargeInput,
        );
    });
    group.finish();
}

#[cfg(feature = "rocksdb")]
fn database() -> (tempfile::TempDir, Database) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let database = Database::open_with(dir.path(), Options::default()).expect("a fresh directory");
    (dir, database)
}

#[cfg(not(feature = "rocksdb"))]
fn database() -> ((), Database) {
    ((), Database::in_memory(Options::default()).expect("the default options are good"))
}

fn results(criterion: &mut Criterion) {
    let series = |floats: fn(i64) -> f64| MatrixSeries {
        labels: Labels::from_pairs([("__name__", "cpu"), ("host", "a")]).expect("good labels"),
        floats_ms: (0..100_000).map(|i| (1_700_000_000_000 + i * 15_000, floats(i))).collect(),
        histograms_ms: Vec::new(),
    };
    let mut group = criterion.benchmark_group("json");
    group.throughput(Throughput::Elements(100_000));
    for (name, floats) in [("integers", (|i| i as f64) as fn(i64) -> f64), ("decimals", |i| i as f64 * 0.137)]
    {
        let value = QueryValue::Matrix(vec![series(floats)]);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut out = Vec::new();
                json::query_data(&mut out, black_box(&value));
                out.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, writes, results);
criterion_main!(benches);
