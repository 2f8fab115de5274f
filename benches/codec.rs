//! Speed and size of chunks: append to an open one, encode, decode.
//!
//! The data is seeded and generated here: walks like those of the TSBS generator, counters scraped with jitter,
//! constants, decimals, and random floats that cannot be compressed. Before the measurement, each data set prints its
//! bytes per sample in a stored chunk and in an open one.

#![expect(clippy::print_stdout, reason = "a program")]

mod random;

use std::hint::black_box;
use std::time::Duration;

use barograph_engine::chunk::{Chunk, ChunkKind, ChunkValues, OpenChunk, Scratch, encode};
use barograph_engine::codec::timestamps::Frame;
use barograph_engine::codec::{CompressionLevel, gorilla, timestamps};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use random::Random;

const SERIES: usize = 64;
const SAMPLES: usize = 1024;
const SECOND: i64 = 1_000_000_000;
const MILLISECOND: i64 = 1_000_000;
const START: i64 = 1_700_000_000 * SECOND;
const KEY: &[u8] = b"class tier partition series";

enum Column {
    Floats(Vec<f64>),
    Ints(Vec<i64>),
}

struct Series {
    timestamps: Vec<i64>,
    values: Column,
}

impl Column {
    fn as_values(&self) -> ChunkValues<'_> {
        match self {
            Column::Floats(values) => ChunkValues::Float(values),
            Column::Ints(values) => ChunkValues::Int(values),
        }
    }
}

/// The yardstick: plain Gorilla, which is differences of differences and XOR of floats.
struct Gorilla {
    frame: Frame,
    times: Vec<u8>,
    values: Vec<u8>,
}

impl Gorilla {
    fn of(series: &Series) -> Gorilla {
        let floats: Vec<f64> = match &series.values {
            Column::Floats(values) => values.clone(),
            Column::Ints(values) => values.iter().map(|&value| value as f64).collect(),
        };
        let (mut times, mut values) = (Vec::new(), Vec::new());
        timestamps::encode(&series.timestamps, &mut times);
        gorilla::encode(&floats, &mut values);
        let (first, last) = (series.timestamps[0], series.timestamps[SAMPLES - 1]);
        Gorilla { frame: Frame { first, last, count: SAMPLES }, times, values }
    }

    fn decode(&self, times: &mut Vec<i64>, values: &mut Vec<f64>) {
        timestamps::decode(&self.times, self.frame, 1, times).expect("just encoded");
        gorilla::decode(&self.values, self.frame.count, values).expect("just encoded");
    }
}

impl Series {
    fn open_chunk(&self) -> OpenChunk {
        let kind = match self.values {
            Column::Floats(_) => ChunkKind::Float,
            Column::Ints(_) => ChunkKind::Int,
        };
        let mut chunk = OpenChunk::new(kind);
        match &self.values {
            Column::Floats(values) => {
                for (&timestamp, &value) in self.timestamps.iter().zip(values) {
                    chunk.push_float(timestamp, value);
                }
            }
            Column::Ints(values) => {
                for (&timestamp, &value) in self.timestamps.iter().zip(values) {
                    chunk.push_int(timestamp, value);
                }
            }
        }
        chunk
    }

    fn sealed(&self, level: CompressionLevel) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(KEY, &self.timestamps, self.values.as_values(), level, &mut bytes);
        bytes
    }
}

fn regular(seconds: i64) -> Vec<i64> {
    (0..SAMPLES as i64).map(|i| START + i * seconds * SECOND).collect()
}

fn jittered(random: &mut Random) -> Vec<i64> {
    (0..SAMPLES as i64).map(|i| START + i * SECOND + (random.normal() * 4.0) as i64 * MILLISECOND).collect()
}

/// A walk clamped to 0..=100, as TSBS makes its CPU figures.
fn walk(random: &mut Random) -> Vec<f64> {
    let mut at = random.unit() * 100.0;
    (0..SAMPLES)
        .map(|_| {
            at = (at + random.normal()).clamp(0.0, 100.0);
            at
        })
        .collect()
}

fn counter(random: &mut Random) -> Vec<f64> {
    let rate = random.unit() * 5000.0;
    let mut total = 0.0;
    (0..SAMPLES)
        .map(|_| {
            total += (rate * (1.0 + 0.1 * random.normal())).max(0.0).floor();
            total
        })
        .collect()
}

fn rounded(values: Vec<f64>, scale: f64) -> Vec<f64> {
    values.into_iter().map(|value| (value * scale).round() / scale).collect()
}

/// One series of each data set, by name.
fn series(name: &str, random: &mut Random) -> Series {
    let (timestamps, values) = match name {
        "tsbs_int" => {
            (regular(10), Column::Ints(walk(random).into_iter().map(|value| value as i64).collect()))
        }
        "tsbs_float" => (regular(10), Column::Floats(walk(random).into_iter().map(f64::trunc).collect())),
        "decimals" => (regular(10), Column::Floats(rounded(walk(random), 100.0))),
        "counter_jittered" => (jittered(random), Column::Floats(counter(random))),
        "rates" => (regular(10), Column::Floats(rounded(walk(random), 60.0))),
        "constant" => (regular(15), Column::Floats(vec![1.0; SAMPLES])),
        "constant_jittered" => (jittered(random), Column::Floats(vec![1.0; SAMPLES])),
        _ => (regular(15), Column::Floats((0..SAMPLES).map(|_| random.unit()).collect())),
    };
    Series { timestamps, values }
}

fn print_sizes(name: &str, series: &[Series]) {
    let samples = (series.len() * SAMPLES) as f64;
    let stored = |level| series.iter().map(|one| one.sealed(level).len()).sum::<usize>() as f64 / samples;
    let open: usize = series.iter().map(|one| one.open_chunk().memory_bytes()).sum();
    let (fast, best, open) =
        (stored(CompressionLevel::Fast), stored(CompressionLevel::Best), open as f64 / samples);
    println!("{name}: {fast:.3} bytes/sample stored fast, {best:.3} best, {open:.3} in memory");
}

fn bench(c: &mut Criterion) {
    let names = [
        "tsbs_int",
        "tsbs_float",
        "decimals",
        "rates",
        "counter_jittered",
        "constant",
        "constant_jittered",
        "random",
    ];
    for name in names {
        let mut random = Random(0x5eed);
        let all: Vec<Series> = (0..SERIES).map(|_| series(name, &mut random)).collect();
        print_sizes(name, &all);
        bench_set(c, name, &all);
    }
}

fn bench_set(c: &mut Criterion, name: &str, series: &[Series]) {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements((SERIES * SAMPLES) as u64));
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let (mut timestamps, mut values) = (Vec::with_capacity(SAMPLES), Vec::with_capacity(SAMPLES));

    group.bench_function("append", |b| {
        b.iter(|| series.iter().map(|one| black_box(one.open_chunk()).len()).sum::<usize>());
    });
    for (name, level) in [("fast", CompressionLevel::Fast), ("best", CompressionLevel::Best)] {
        group.bench_function(format!("encode_{name}"), |b| {
            let mut bytes = Vec::new();
            b.iter(|| {
                for one in series {
                    bytes.clear();
                    encode(KEY, &one.timestamps, one.values.as_values(), level, &mut bytes);
                    black_box(&bytes);
                }
            });
        });
        let sealed: Vec<Vec<u8>> = series.iter().map(|one| one.sealed(level)).collect();
        group.bench_function(format!("decode_{name}"), |b| {
            let mut scratch = Scratch::default();
            b.iter(|| {
                for bytes in &sealed {
                    timestamps.clear();
                    values.clear();
                    let chunk = Chunk::open(KEY, bytes).expect("a chunk just encoded");
                    chunk.decode(&mut scratch, &mut timestamps, &mut values).expect("a chunk just encoded");
                    black_box((&timestamps, &values));
                }
            });
        });
    }
    group.bench_function("decode_gorilla", |b| {
        let plain: Vec<Gorilla> = series.iter().map(Gorilla::of).collect();
        b.iter(|| {
            for one in &plain {
                timestamps.clear();
                values.clear();
                one.decode(&mut timestamps, &mut values);
                black_box((&timestamps, &values));
            }
        });
    });
    let open: Vec<OpenChunk> = series.iter().map(Series::open_chunk).collect();
    group.bench_function("decode_open", |b| {
        b.iter(|| {
            for chunk in &open {
                timestamps.clear();
                values.clear();
                chunk.decode(&mut timestamps, &mut values);
                black_box((&timestamps, &values));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
