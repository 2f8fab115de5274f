//! What buckets cost: bytes each, by kind of data and width, and the samples that a second folds and encodes.
//!
//! Data are seeded and made here. With `DIR`, a folder of recordings (wide CSV files, plain or .gz, and types.csv), the
//! series of these are lengthened to the same time by joining random excerpts of 300 s. With `COLUMNS=1`, the bytes of
//! each column follow.

#![expect(clippy::print_stdout, reason = "a program")]

mod random;

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use barograph_engine::chunk::{self, ChunkValues};
use barograph_engine::codec::CompressionLevel;
use barograph_engine::model::{Histogram, ResetHint, Span};
use barograph_engine::rollup::{Bucket, BucketChunk, Builder, Class, Columns, Extras, Shape, encode};
use random::Random;

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_699_920_000 * SECOND;
const KEY: &[u8] = b"class tier partition series";
/// Hours of each series: the buckets of a chunk at 1h.
const HOURS: i64 = 168;
/// Buckets of a chunk.
const CHUNK: usize = 168;
/// How often a series is folded to find the speed.
const TIMES: usize = 5;
const EXCERPT: usize = 300;
const WIDTHS: [(&str, i64); 2] = [("5m", 300 * SECOND), ("1h", 3600 * SECOND)];

/// A series, with the class that its chunks have.
struct Series {
    class: Class,
    times: Vec<i64>,
    values: Vec<f64>,
    /// In place of values, if there are any.
    histograms: Vec<Arc<Histogram>>,
}

/// Histograms of 20 populated buckets, as they count latencies; of a gauge, those of the last interval.
fn histograms(random: &mut Random, seconds: i64, is_gauge: bool) -> Series {
    const BUCKETS: usize = 20;
    let times = times(random, seconds, 4.0);
    let (mut counts, mut sum) = ([0.0; BUCKETS], 0.0);
    let mut next = || {
        if is_gauge {
            (counts, sum) = ([0.0; BUCKETS], 0.0);
        }
        for _ in 0..40 {
            let bucket = (10.0 + 3.0 * random.normal()).clamp(0.0, BUCKETS as f64 - 1.0);
            counts[bucket as usize] += 1.0;
            sum += 0.01 * 1.2f64.powf(bucket);
        }
        Arc::new(Histogram {
            schema: 2,
            zero_threshold: 1e-128,
            count: counts.iter().sum(),
            sum,
            positive_spans: vec![Span { offset: -27, length: BUCKETS as u32 }],
            positive_buckets: counts.to_vec(),
            reset_hint: if is_gauge { ResetHint::Gauge } else { ResetHint::NotReset },
            ..Histogram::default()
        })
    };
    let histograms = times.iter().map(|_| next()).collect();
    Series { class: Class::Unclear, times, values: Vec::new(), histograms }
}

/// Scrape times, with a jitter of some milliseconds if `deviation` is not zero.
fn times(random: &mut Random, seconds: i64, deviation: f64) -> Vec<i64> {
    let jitter = |random: &mut Random| (random.normal() * deviation) as i64 * 1_000_000;
    (1..=HOURS * 3600 / seconds).map(|i| START + i * seconds * SECOND + jitter(random)).collect()
}

fn made(name: &str, random: &mut Random, seconds: i64) -> Series {
    let deviation = if name.starts_with("node") { 4.0 } else { 0.0 };
    let times = times(random, seconds, deviation);
    let mut at = (random.unit() * 100.0).trunc();
    let rate = random.unit() * 500.0 * seconds as f64;
    let mut next = || match name {
        // As TSBS makes its CPU figures.
        "cpu walk" => {
            at = (at + random.normal()).clamp(0.0, 100.0);
            at.trunc()
        }
        "node counter" => {
            at += (rate * (1.0 + 0.1 * random.normal())).max(0.0).floor();
            at
        }
        "node gauge" => {
            at = (at + 8.0 * random.normal()).max(0.0);
            at.trunc() * 4096.0
        }
        "latency, 3 decimals" => ((random.normal() - 3.0).exp() * 1e6).round() / 1e3,
        _ => (random.normal() - 3.0).exp(),
    };
    let values = times.iter().map(|_| next()).collect();
    let class = if name == "node counter" { Class::Counter } else { Class::Gauge };
    Series { class, times, values, histograms: Vec::new() }
}

/// Samples of all series, as bytes at the best level.
fn raw_bytes(series: &[Series]) -> usize {
    let mut bytes = Vec::new();
    for one in series {
        for (times, values) in one.times.chunks(1024).zip(one.values.chunks(1024)) {
            chunk::encode(KEY, times, ChunkValues::Float(values), CompressionLevel::Best, &mut bytes);
        }
        // As many as the limit of a chunk's memory permits.
        for (times, histograms) in one.times.chunks(300).zip(one.histograms.chunks(300)) {
            chunk::encode(KEY, times, ChunkValues::Histogram(histograms), CompressionLevel::Best, &mut bytes);
        }
    }
    bytes.len()
}

fn folded(one: &Series, width: i64, extras: Extras, out: &mut Vec<Bucket>) {
    let mut builder = Builder::new(width, extras);
    for (times, values) in one.times.chunks(1024).zip(one.values.chunks(1024)) {
        builder.extend(times, values, &[], out);
    }
    for (&time, histogram) in one.times.iter().zip(&one.histograms) {
        builder.push_histogram(time, 0, histogram, out);
    }
    builder.finish(out);
}

/// What folding and encoding took.
#[derive(Default)]
struct Cost {
    buckets: usize,
    bytes: usize,
    fold_secs: f64,
    encode_secs: f64,
    decode_secs: f64,
    /// Decoding what a rate needs, and folding all buckets into one.
    rate_secs: f64,
    columns: BTreeMap<&'static str, usize>,
}

fn cost(series: &[Series], width: i64, extras: Extras) -> Cost {
    let mut cost = Cost::default();
    let (mut buckets, mut bytes, mut decoded) = (Vec::new(), Vec::new(), Vec::new());
    for one in series {
        // The fastest of several, because the machine may be busy.
        let fastest = (0..TIMES).map(|_| {
            buckets.clear();
            let begin = Instant::now();
            folded(one, width, extras, &mut buckets);
            begin.elapsed().as_secs_f64()
        });
        cost.fold_secs += fastest.fold(f64::INFINITY, f64::min);
        cost.buckets += buckets.len();
        let shape = Shape { width, source: 0, class: one.class, bounds: extras.bounds };
        for part in buckets.chunks(CHUNK) {
            bytes.clear();
            let begin = Instant::now();
            encode::encode(KEY, &shape, part, CompressionLevel::Balanced, &mut bytes);
            cost.encode_secs += begin.elapsed().as_secs_f64();
            cost.bytes += bytes.len();
            decoded.clear();
            let begin = Instant::now();
            let chunk = BucketChunk::open(KEY, &bytes).expect("a chunk just encoded");
            chunk.decode(Columns::ALL, &mut decoded).expect("a chunk just encoded");
            cost.decode_secs += begin.elapsed().as_secs_f64();
            cost.rate_secs += rate_secs(&chunk, &mut decoded);
            for (name, bytes) in chunk.sizes() {
                *cost.columns.entry(name).or_default() += bytes;
            }
        }
    }
    cost
}

fn rate_secs(chunk: &BucketChunk<'_>, decoded: &mut Vec<Bucket>) -> f64 {
    let columns = Columns::TIMES | Columns::VALUES | Columns::STARTS | Columns::LOST;
    let fastest = (0..TIMES).map(|_| {
        decoded.clear();
        let begin = Instant::now();
        chunk.decode(columns, decoded).expect("a chunk just encoded");
        let mut whole = Bucket::empty(0);
        decoded.iter().for_each(|bucket| whole.merge(bucket));
        black_box(&whole);
        begin.elapsed().as_secs_f64()
    });
    fastest.fold(f64::INFINITY, f64::min)
}

fn print(name: &str, series: &[Series]) {
    let samples: usize = series.iter().map(|one| one.times.len()).sum();
    if samples == 0 {
        return;
    }
    let raw = raw_bytes(series) as f64;
    for (width_name, width) in WIDTHS {
        let core = cost(series, width, Extras::default());
        let bounds = cost(series, width, Extras { bounds: true, distribution: false });
        let all = cost(series, width, Extras::ALL);
        let each = |cost: &Cost| cost.bytes as f64 / cost.buckets as f64;
        let speed = |cost: &Cost| samples as f64 / cost.fold_secs / 1e6;
        let micros = |secs: f64| secs / all.buckets as f64 * 1e6;
        println!(
            "{name:<28} {width_name} {:>8.2} {:>8.2} {:>8.2} {:>9.1} {:>6.3} {:>8.1} {:>8.1} {:>8.1} {:>8.2} {:>8.2} {:>8.1}",
            each(&core),
            each(&bounds),
            each(&all),
            raw / all.buckets as f64,
            core.bytes as f64 / raw,
            speed(&core),
            speed(&bounds),
            speed(&all),
            micros(all.encode_secs),
            micros(all.decode_secs),
            micros(all.rate_secs) * 1e3,
        );
        if std::env::var_os("COLUMNS").is_some() {
            for (column, bytes) in &all.columns {
                println!("    {column:<24} {:>8.2}", *bytes as f64 / all.buckets as f64);
            }
        }
    }
}

/// The text of a file, unpacked.
fn text(path: &Path) -> String {
    if path.extension().is_some_and(|extension| extension == "gz") {
        let output = Command::new("gzip").arg("-dc").arg(path).output().expect("gzip runs");
        return String::from_utf8(output.stdout).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The fields of a line of CSV, in which quotes are doubled.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for char in line.chars() {
        match char {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => fields.last_mut().expect("at least one").push(char),
        }
    }
    fields
}

/// Recorded columns, one row a second.
struct Recording {
    /// Distances from a clock without jitter, nanoseconds.
    jitter: Vec<i64>,
    columns: Vec<(Class, Vec<f64>)>,
}

fn class_of(name: &str, types: &HashMap<String, String>) -> Class {
    let family = name.split('{').next().unwrap_or(name);
    let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| family.strip_suffix(suffix));
    let is = |family: &str, kind: &str| types.get(family).is_some_and(|found| found == kind);
    let is_part = base.is_some_and(|base| is(base, "histogram") || is(base, "summary"));
    if is(family, "counter") || is_part { Class::Counter } else { Class::Gauge }
}

fn recording(path: &Path, types: &HashMap<String, String>) -> Recording {
    let text = text(path);
    let mut lines = text.lines();
    let names = fields(lines.next().unwrap_or_default());
    let rows: Vec<Vec<f64>> = lines
        .map(|line| fields(line).iter().map(|cell| cell.parse().unwrap_or(f64::NAN)).collect())
        .collect();
    let is_whole = rows.len() > EXCERPT && rows.iter().all(|row| row.len() == names.len());
    assert!(
        is_whole,
        "{} is no recording: it needs more than {EXCERPT} rows, each with the {} columns of the first line",
        path.display(),
        names.len()
    );
    let first = rows.first().map_or(0.0, |row| row[0]);
    let jitter =
        rows.iter().enumerate().map(|(i, row)| (row[0] - first) as i64 * 1_000_000 - i as i64 * SECOND);
    let columns = (1..names.len())
        .map(|i| (class_of(&names[i], types), rows.iter().map(|row| row[i]).collect::<Vec<f64>>()))
        .filter(|(_, values)| values.iter().all(|value| value.is_finite()))
        .collect();
    Recording { jitter: jitter.collect(), columns }
}

/// Each column for as long as made series are. Counters go on where the excerpt before ended.
fn lengthened(recording: &Recording, seconds: usize, class: Class) -> Vec<Series> {
    let mut random = Random(0x5eed);
    let rows = recording.jitter.len();
    let starts: Vec<usize> = (0..HOURS as usize * 3600 / EXCERPT)
        .map(|_| (random.unit() * (rows - EXCERPT) as f64) as usize)
        .collect();
    let picked = recording.columns.iter().filter(|(found, _)| *found == class).step_by(3);
    picked
        .map(|(_, column)| {
            let (mut times, mut values, mut level) = (Vec::new(), Vec::new(), 0.0);
            for (i, &start) in starts.iter().enumerate() {
                let from = column[start];
                for at in (start..start + EXCERPT).step_by(seconds) {
                    let nominal = (i * EXCERPT + at - start + seconds) as i64 * SECOND;
                    times.push(START + nominal + recording.jitter[at] - recording.jitter[start]);
                    values.push(if class == Class::Counter {
                        level + (column[at] - from)
                    } else {
                        column[at]
                    });
                }
                level += column[start + EXCERPT - 1] - from;
            }
            let order = times.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(order, "excerpts follow each other");
            Series { class, times, values, histograms: Vec::new() }
        })
        .collect()
}

fn print_recordings(folder: &Path) {
    let types = text(&folder.join("types.csv"))
        .lines()
        .filter_map(|line| line.split_once(','))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    let entries = std::fs::read_dir(folder).expect("a readable folder");
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let is_recording = |path: &&std::path::PathBuf| {
        path.to_str().is_some_and(|path| path.ends_with(".csv") || path.ends_with(".csv.gz"))
            && path.file_name().is_some_and(|name| name != "types.csv")
    };
    for path in paths.iter().filter(is_recording) {
        let recording = recording(path, &types);
        let stem = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let stem = stem.split('.').next().unwrap_or_default();
        for seconds in [10, 15, 60] {
            for (kind, class) in [("counters", Class::Counter), ("gauges", Class::Gauge)] {
                let name = format!("{stem} {kind}, {seconds} s");
                print(&name, &lengthened(&recording, seconds, class));
            }
        }
    }
}

fn main() {
    println!(
        "{:<28} {:<2} {:>8} {:>8} {:>8} {:>9} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "bytes a bucket",
        "",
        "core",
        "bounds",
        "all",
        "raw",
        "core/r",
        "M/s core",
        "M/s bnds",
        "M/s all",
        "us enc",
        "us dec",
        "ns rate"
    );
    for (name, seconds) in [
        ("cpu walk", 10),
        ("cpu walk", 15),
        ("cpu walk", 60),
        ("node counter", 15),
        ("node gauge", 15),
        ("latency, 3 decimals", 15),
        ("latency, full mantissa", 15),
    ] {
        let mut random = Random(0x5eed);
        let series: Vec<Series> = (0..8).map(|_| made(name, &mut random, seconds)).collect();
        print(&format!("{name}, {seconds} s"), &series);
    }
    for (name, is_gauge) in [("histograms, 15 s", false), ("histograms of gauges, 15 s", true)] {
        let mut random = Random(0x5eed);
        let series: Vec<Series> = (0..4).map(|_| histograms(&mut random, 15, is_gauge)).collect();
        print(name, &series);
    }
    if let Some(folder) = std::env::var_os("DIR").filter(|folder| !folder.is_empty()) {
        print_recordings(Path::new(&folder));
    }
}
