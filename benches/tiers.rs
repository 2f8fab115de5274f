//! A year behind tiers of buckets: dashboards from buckets and from samples, ingest while tiers are built, bytes on disk.
//!
//! Run with `cargo bench --bench tiers`. `HOSTS` sets the scale; `PART=queries`, `PART=distributions`,
//! `PART=fleet` or `PART=ingest` runs one part.
//! Times that are compared are measured alternately, and each is a median.

#![expect(clippy::print_stdout, reason = "a program")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use barograph::{
    Batch, Database, Durability, Labels, Options, QueryValue, Request, SeriesHandle, TierChoice, Timestamp,
    Value,
};

const DAY: i64 = 86_400;
/// Midnight of a first of January, seconds.
const START: i64 = 1_704_067_200;
const DAYS: i64 = 365;
/// Distance of samples, seconds: that of Prometheus where nothing is set.
const SPACING: i64 = 15;
/// That of TSBS.
const SPACING_SHORT: i64 = 10;
const TIERS: &str = "5m 90d, 1h";
/// Days in memory before a flush.
const DAYS_PER_FLUSH: i64 = 10;
/// Rounds of queries: in each, one from samples, and several of the faster ones.
const ROUNDS: usize = 3;
const FAST_PER_ROUND: usize = 15;

/// Panels of a dashboard of a year, and their steps in seconds.
const PANELS: [(&str, i64); 5] = [
    ("max_over_time(cpu_usage[1d])", DAY),
    ("rate(requests_total[1d])", DAY),
    ("avg_over_time(cpu_usage[6h])", DAY / 4),
    ("sum by (host) (rate(requests_total[1d]))", DAY),
    ("max by (host) (max_over_time(cpu_usage[1h]))", DAY / 24),
];

/// Series that go on from batch to batch: half of them gauges as TSBS makes them, half counters.
struct Fleet {
    series: Vec<(SeriesHandle, f64)>,
    state: u64,
}

impl Fleet {
    fn new(database: &Database, hosts: usize) -> Self {
        Fleet::of(database, 0, hosts)
    }

    /// Those of `hosts` hosts from a number on.
    fn of(database: &Database, first: usize, hosts: usize) -> Self {
        let names = ["cpu_usage", "requests_total"];
        let places = (first..first + hosts).flat_map(|host| [(host, "0"), (host, "1")]);
        let labels = places.flat_map(|(host, cpu)| names.map(|name| (name, format!("host-{host:04}"), cpu)));
        let series = labels.map(|(name, host, cpu)| {
            let labels = Labels::from_pairs([("__name__", name), ("host", host.as_str()), ("cpu", cpu)]);
            (database.handle(&labels.expect("the names differ")).expect("a new series"), 50.0)
        });
        Fleet { series: series.collect(), state: 0x9e37_79b9_7f4a_7c15 }
    }

    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The samples after `from` up to `to`, seconds since the start.
    fn batch(&mut self, from: i64, to: i64, spacing: i64) -> Batch {
        let mut batch = Batch::new();
        for at in 0..self.series.len() {
            for second in (from + spacing..=to).step_by(spacing as usize) {
                let step = self.unit() - 0.5;
                let (handle, level) = &mut self.series[at];
                let value = if at % 2 == 0 {
                    *level = (*level + 4.0 * step).clamp(0.0, 100.0);
                    level.trunc()
                } else {
                    *level += (spacing as f64 * 40.0 * (1.0 + step)).floor();
                    *level
                };
                batch.push_to(handle, Timestamp::from_secs(START + second), Value::Float(value));
            }
        }
        batch
    }
}

fn options(tiers: &str) -> Options {
    Options::default()
        .with_durability(Durability::Off)
        .with_background(false)
        .with_tiers(tiers.parse().expect("tiers"))
}

fn open(dir: &Path, tiers: &str) -> Database {
    Database::open_with(dir, options(tiers)).expect("the directory is ours")
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Writes the year, a sample each `spacing` seconds, and merges it.
fn fill(dir: &Path, hosts: usize, spacing: i64) {
    let database = open(dir, "");
    let mut fleet = Fleet::new(&database, hosts);
    for day in 0..DAYS {
        let batch = fleet.batch(day * DAY, (day + 1) * DAY, spacing);
        database.append(&batch).expect("the batch is good");
        if (day + 1) % DAYS_PER_FLUSH == 0 {
            database.flush().expect("the disk takes it");
        }
    }
    database.flush().expect("the disk takes it");
    database.compact().expect("the store takes it");
    database.close().expect("closed");
}

/// Milliseconds of a panel, and the sum of what it shows.
fn ask(database: &Database, (query, step): (&str, i64), tier: TierChoice) -> (f64, f64) {
    let at = |day: i64| Timestamp::from_secs(START + day * DAY);
    let mut request = Request::range(query, at(1), at(DAYS), Duration::from_secs(step.unsigned_abs()));
    request.tier = tier;
    let started = Instant::now();
    let response = database.execute(&request).expect("the query is good");
    let spent = started.elapsed().as_secs_f64() * 1e3;
    let QueryValue::Matrix(series) = response.value else { panic!("a range query gives a matrix") };
    (spent, series.iter().flat_map(|one| one.floats()).map(|(_, value)| value).sum())
}

fn panels(database: &Database, hourly: &Database) {
    println!("panel of a year, ms{:33} samples  buckets    ratio   hourly    ratio", "");
    let (mut ratios, mut of_hourly) = (Vec::new(), Vec::new());
    for panel in PANELS {
        let (mut raw, mut tier, mut hour) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (spent, shown) = ask(database, panel, TierChoice::Raw);
            raw.push(spent);
            for _ in 0..FAST_PER_ROUND {
                let (spent, from_buckets) = ask(database, panel, TierChoice::Exact);
                assert!((shown - from_buckets).abs() <= shown.abs() * 1e-12, "{shown} and {from_buckets}");
                tier.push(spent);
                hour.push(ask(hourly, panel, TierChoice::Raw).0);
            }
        }
        let (raw, tier, hour) = (median(&mut raw), median(&mut tier), median(&mut hour));
        println!(
            "{:<51} {raw:>8.1} {tier:>8.2} {:>8.1} {hour:>8.2} {:>8.2}",
            panel.0,
            raw / tier,
            tier / hour
        );
        ratios.push(raw / tier);
        of_hourly.push(tier / hour);
    }
    println!(
        "median: {:.1} times as fast as samples (aim 100), {:.2} times the time of a sample an hour",
        median(&mut ratios),
        median(&mut of_hourly)
    );
}

fn queries(hosts: usize, spacing: i64) {
    let (dir, hourly_dir) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("another"));
    let filled = timed(|| fill(dir.path(), hosts, spacing));
    let series = hosts * 4;
    let samples = series as i64 * DAYS * DAY / spacing;
    println!("{series} series for {DAYS} days, {samples} samples, each {spacing} s: filled in {filled:.1?}");
    let raw_bytes = open(dir.path(), "").stats().disk.tables;

    let database = open(dir.path(), TIERS);
    let built = timed(|| database.compact().expect("the store takes it"));
    let speed = samples as f64 / built.as_secs_f64() / 1e6;
    println!("tiers {TIERS}: built in {built:.1?}, {speed:.1} million samples a second");
    let chunks: u64 = database.tiers().iter().map(|tier| tier.bytes).sum();
    for tier in database.tiers() {
        let each = tier.bytes as f64 / tier.buckets.max(1) as f64;
        println!(
            "  {}: {} buckets, {} bytes of chunks, {each:.2} a bucket",
            tier.resolution, tier.buckets, tier.bytes
        );
    }
    let all = database.stats().disk.tables;
    println!(
        "on disk: samples {raw_bytes} bytes, {:.2} a sample; with tiers {all}, {:.1} % more ({chunks} bytes of chunks)",
        raw_bytes as f64 / samples as f64,
        (all as f64 / raw_bytes as f64 - 1.0) * 100.0
    );

    fill(hourly_dir.path(), hosts, 3600);
    panels(&database, &open(hourly_dir.path(), ""));
}

/// Panels of distributions.
const DISTRIBUTIONS: [(&str, i64); 3] = [
    ("histogram_quantile(0.99, histogram_over_time(cpu_usage[1d]))", DAY),
    ("histogram_quantile(0.99, sum(histogram_over_time(cpu_usage[1d])))", DAY),
    ("histogram_quantile(0.5, histogram_over_time(cpu_usage[7d]))", DAY),
];

/// Distributions from buckets and from samples. Buckets have distributions, because they outlive samples.
fn distributions(hosts: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    fill(dir.path(), hosts, SPACING);
    let longer = Duration::from_secs((2 * DAYS * DAY).unsigned_abs());
    let options = options("1h").with_retention(longer);
    let database = Database::open_with(dir.path(), options).expect("the directory is ours");
    database.compact().expect("the store takes it");
    println!("panel of a year over {} series, ms{:29} samples  buckets    ratio", hosts * 2, "");
    for panel in DISTRIBUTIONS {
        let (mut raw, mut tier) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (spent, shown) = ask(&database, panel, TierChoice::Raw);
            raw.push(spent);
            for _ in 0..ROUNDS {
                let (spent, from_buckets) = ask(&database, panel, TierChoice::Exact);
                assert!(shown == from_buckets, "{shown} and {from_buckets}");
                tier.push(spent);
            }
        }
        let (raw, tier) = (median(&mut raw), median(&mut tier));
        println!("{:<66} {raw:>8.1} {tier:>8.1} {:>8.1}", panel.0, raw / tier);
    }
}

/// Hosts of the fleet part: 1,000 series.
const FLEET_HOSTS: usize = 250;
/// Distance of its samples, seconds: six in a bucket of an hour.
const FLEET_SPACING: i64 = 600;
const FLEET_ROUNDS: usize = 9;

/// Panels over many series, where what a series and a chunk cost adds up.
fn fleet() {
    let dir = tempfile::tempdir().expect("a directory");
    fill(dir.path(), FLEET_HOSTS, FLEET_SPACING);
    let database = open(dir.path(), "1h");
    database.compact().expect("the store takes it");
    let series = FLEET_HOSTS * 2;
    println!("panel of a year over {series} series, ms{:19} buckets    ns a bucket", "");
    for (query, step) in PANELS {
        let ask = || ask(&database, (query, step), TierChoice::Exact).0;
        let mut spent: Vec<f64> = (0..FLEET_ROUNDS).map(|_| ask()).collect();
        let spent = median(&mut spent);
        let buckets = series as f64 * ((DAYS - 1) * 24) as f64;
        println!("{query:<51} {spent:>8.1} {:>14.1}", spent * 1e6 / buckets);
    }
}

/// Hosts of the ingest part: 400 series for each writer.
const INGEST_HOSTS: usize = 100;
const INGEST_DAYS: i64 = 30;
const INGEST_ROUNDS: usize = 5;
/// Each takes a minute.
const LOAD_ROUNDS: usize = 2;
/// Seconds of data in a batch, 8,000 samples.
const BATCH_SECS: i64 = 300;
/// Bytes in memory after which they are flushed: more often than a server does it, because days pass in seconds.
const FLUSH_BYTES: u64 = 48 << 20;

/// What one run of the ingest part found.
struct Ingest {
    /// Samples a second of appends.
    speed: f64,
    /// After each day, how many closed days the tier of an hour lacks.
    lacks: Vec<i64>,
    /// How long the compactor still worked after the last append.
    rest: Duration,
}

/// A load that leaves the machine time, samples a second.
const LOAD: f64 = 4e6;

/// Appends from as many threads as there are cores, with or without the compactor, at most `load` samples a second.
fn ingest(compacts: bool, load: f64) -> Ingest {
    let dir = tempfile::tempdir().expect("a directory");
    let options = options(if compacts { TIERS } else { "" }).with_background(compacts);
    let database = Database::open_with(dir.path(), options).expect("the directory is ours");
    let writers = std::thread::available_parallelism().map_or(2, usize::from);
    let fleets: Vec<Fleet> =
        (0..writers).map(|writer| Fleet::of(&database, writer * INGEST_HOSTS, INGEST_HOSTS)).collect();
    let (day_ends, is_over) = (Barrier::new(writers), AtomicBool::new(false));
    let (samples, spent_ns, lacks) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(Vec::new()));
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                if database.stats().head_sample_bytes >= FLUSH_BYTES {
                    database.flush().expect("the disk takes it");
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let write = |mut fleet: Fleet| {
            let mut written = 0;
            for day in 0..INGEST_DAYS {
                for from in (day * DAY..(day + 1) * DAY).step_by(BATCH_SECS as usize) {
                    let batch = fleet.batch(from, from + BATCH_SECS, SPACING);
                    let spent = timed(|| {
                        let report = database.append(&batch).expect("the batch is good");
                        samples.fetch_add(report.samples, Ordering::Relaxed);
                    });
                    spent_ns.fetch_add(spent.as_nanos() as u64, Ordering::Relaxed);
                    written += batch.len();
                    let due = Duration::from_secs_f64(written as f64 * writers as f64 / load);
                    std::thread::sleep(due.saturating_sub(started.elapsed()));
                }
                if day_ends.wait().is_leader() {
                    lacks.lock().expect("nobody panics").push(lacking(&database, day));
                }
            }
        };
        let writing: Vec<_> = fleets.into_iter().map(|fleet| scope.spawn(move || write(fleet))).collect();
        writing.into_iter().for_each(|writer| writer.join().expect("nobody panics"));
        is_over.store(true, Ordering::Relaxed);
    });
    database.flush().expect("the disk takes it");
    let rest = timed(|| {
        while compacts && lacking(&database, INGEST_DAYS - 1) > 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    database.close().expect("closed");
    let seconds = spent_ns.into_inner() as f64 / 1e9 / writers as f64;
    let speed = samples.into_inner() as f64 / seconds;
    Ingest { speed, lacks: lacks.into_inner().expect("nobody panics"), rest }
}

/// How many days that are closed after `day` the tier of an hour lacks. The last day and the one before it are open.
fn lacking(database: &Database, day: i64) -> i64 {
    let through = database.tiers().last().and_then(|tier| tier.complete).map(|(_, through)| through);
    let complete = through.map_or(0, |through| (through.as_secs() - START) / DAY);
    (day - 1).max(0) - complete
}

/// Compares appends with and without the compactor.
fn ingest_beside_the_compactor(load: f64, rounds: usize) {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let alone = ingest(false, load);
        let Ingest { speed, lacks, rest } = ingest(true, load);
        println!(
            "appends of {:.2} million samples a second without the compactor, {:.2} with it; it is {:?} days behind, and is \
             done {rest:.1?} after the end",
            alone.speed / 1e6,
            speed / 1e6,
            lacks.iter().skip(1).step_by(4).collect::<Vec<_>>()
        );
        without.push(alone.speed);
        with.push(speed);
    }
    let share = median(&mut with) / median(&mut without) * 100.0;
    println!("speed of appends with the compactor: {share:.0} % of that without (aim 85)");
}

fn main() {
    let hosts = std::env::var("HOSTS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let part = std::env::var("PART").unwrap_or_default();
    let runs = |name: &str| part.is_empty() || part == name;
    if runs("queries") {
        [SPACING, SPACING_SHORT].into_iter().for_each(|spacing| queries(hosts, spacing));
    }
    if runs("distributions") {
        distributions(hosts);
    }
    if runs("fleet") {
        fleet();
    }
    if runs("ingest") {
        println!("ingest as fast as all cores can:");
        ingest_beside_the_compactor(f64::INFINITY, INGEST_ROUNDS);
        println!("ingest of {:.0} million samples a second:", LOAD / 1e6);
        ingest_beside_the_compactor(LOAD, LOAD_ROUNDS);
    }
}
