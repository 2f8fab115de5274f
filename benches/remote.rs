//! Remote write, from the decompressed bytes of a request to the head, without a disk: the cost of decoding, finding
//! series and appending. Requests are like those of Prometheus: 2,000 samples, one for each series, with ten labels.

use barograph::{Database, Options, RemoteVersion};
use barograph_engine::remote::wire::{put_any_double, put_bytes, put_integer, put_message};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const SERIES: usize = 10_000;
const PER_REQUEST: usize = 2_000;
const START_MS: i64 = 1_704_067_200_000;

/// Ten labels, 250 bytes, as from an exporter of a cluster.
fn labels(series: usize) -> Vec<(String, String)> {
    [
        ("__name__", "container_network_receive_bytes_total".to_owned()),
        ("cluster", "production-eu-west-1".to_owned()),
        ("container", format!("service-{}", series % 37)),
        ("endpoint", "https-metrics".to_owned()),
        ("instance", format!("10.24.{}.{}:10250", series / 200, series % 200)),
        ("interface", format!("eth{}", series % 3)),
        ("job", "kubelet".to_owned()),
        ("namespace", format!("team-{}", series % 11)),
        ("node", format!("ip-10-24-{}-{}.compute.internal", series / 200, series % 200)),
        ("pod", format!("service-{}-7d9f8b6c5-{series:05}", series % 37)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn put_sample(out: &mut Vec<u8>, step: i64, series: usize) {
    put_message(out, 2, |out| {
        put_any_double(out, 1, (step * 1_500 + series as i64 % 977) as f64);
        put_integer(out, 2, (START_MS + step * 15_000 + series as i64 % 15_000) as u64);
    });
}

fn request_one(step: i64, first: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for series in first..first + PER_REQUEST {
        put_message(&mut out, 1, |out| {
            for (name, value) in labels(series) {
                put_message(out, 1, |out| {
                    put_bytes(out, 1, name.as_bytes());
                    put_bytes(out, 2, value.as_bytes());
                });
            }
            put_sample(out, step, series);
        });
    }
    out
}

fn request_two(step: i64, first: usize) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut body = Vec::new();
    for series in first..first + PER_REQUEST {
        let mut refs = Vec::new();
        for text in labels(series).into_iter().flat_map(|(name, value)| [name, value]) {
            let at = symbols.iter().position(|s| *s == text).unwrap_or(symbols.len());
            if at == symbols.len() {
                symbols.push(text);
            }
            barograph_engine::codec::varint::write(&mut refs, at as u64);
        }
        put_message(&mut body, 5, |out| {
            put_bytes(out, 1, &refs);
            put_sample(out, step, series);
        });
    }
    let mut out = Vec::new();
    symbols.iter().for_each(|symbol| put_bytes(&mut out, 4, symbol.as_bytes()));
    out.extend_from_slice(&body);
    out
}

/// Makes the request of one step, starting at one of the series.
type Make = fn(i64, usize) -> Vec<u8>;

fn known_series(c: &mut Criterion) {
    let mut group = c.benchmark_group("remote_write");
    group.throughput(Throughput::Elements(SERIES as u64));
    let versions: [(&str, RemoteVersion, Make); 2] =
        [("version_1", RemoteVersion::One, request_one), ("version_2", RemoteVersion::Two, request_two)];
    for (name, version, make) in versions {
        let db = Database::in_memory(Options::default()).expect("default options");
        let mut step = 0;
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    step += 1;
                    (0..SERIES).step_by(PER_REQUEST).map(|first| make(step, first)).collect::<Vec<_>>()
                },
                |bodies| {
                    for body in &bodies {
                        let report = db.write_remote(body, version).expect("a good request");
                        assert_eq!(report.samples, PER_REQUEST as u64);
                    }
                    bodies
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, known_series);
criterion_main!(benches);
