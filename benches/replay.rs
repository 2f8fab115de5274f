//! Speed of the write-ahead log: append with and without sync, group commit, replay.
//!
//! Throughput is in records and in bytes of payload. Payloads have the size of a batch of 10, 1,000 and 10,000 samples.
//! The log is on the disk of the temporary directory.

#![expect(clippy::print_stdout, reason = "a program")]

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use barograph_engine::wal::{NewRecord, Recovery, SyncPolicy, Wal, WalOptions};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const PAYLOAD_BYTES: [usize; 3] = [200, 16 << 10, 160 << 10];
const THREADS: usize = 8;
const REPLAY_BYTES: usize = 128 << 20;

fn open(dir: &Path, sync: SyncPolicy) -> Wal {
    let options = WalOptions { sync, ..WalOptions::default() };
    let (wal, _) =
        Wal::open(dir, options, Recovery::Refuse, 0, &mut |_| Ok(())).expect("a log in a new directory");
    wal
}

/// Truncates the log now and then, so that a long measurement does not fill the disk. This is not measured.
fn cut(wal: &Wal) {
    if wal.size_bytes() > 256 << 20 {
        let last = wal.rotate().expect("a sound log");
        wal.truncate_to(last).expect("a sound log");
    }
}

/// Appends a record and waits until the policy is satisfied.
fn put(wal: &Wal, payload: &[u8]) {
    let record = NewRecord { kind: 1, parts: [payload, &[], &[], &[]] };
    let ticket = wal.append_all(&[record], 0).expect("a sound log").expect("nothing is ever taken back");
    wal.wait_for(ticket).expect("a sound log");
}

fn append(c: &mut Criterion) {
    for (name, sync) in [("append_and_sync", SyncPolicy::Always), ("append_unsynced", SyncPolicy::Off)] {
        let mut group = c.benchmark_group(name);
        for bytes in PAYLOAD_BYTES {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let wal = open(dir.path(), sync);
            let payload = payload(bytes);
            group.throughput(per_record(1, bytes));
            group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
                b.iter_custom(|count| {
                    let begun = Instant::now();
                    for _ in 0..count {
                        put(&wal, &payload);
                    }
                    let elapsed = begun.elapsed();
                    cut(&wal);
                    elapsed
                });
            });
        }
        group.finish();
    }
}

fn group_commit(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("group_commit_{THREADS}_threads"));
    for bytes in PAYLOAD_BYTES {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let wal = open(dir.path(), SyncPolicy::Always);
        let payload = payload(bytes);
        group.throughput(per_record(1, bytes));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter_custom(|count| {
                let elapsed = append_from_threads(&wal, &payload, count);
                cut(&wal);
                elapsed
            });
        });
        let stats = wal.stats();
        let shared = stats.records as f64 / stats.syncs.max(1) as f64;
        let mean = Duration::from_nanos(stats.sync_ns_sum / stats.syncs.max(1));
        println!("{bytes} bytes: {shared:.1} records a sync, mean sync {mean:?}");
    }
    group.finish();
}

/// Appends about `count` records, each synced by the thread that appended it. Returns the time for exactly `count`.
fn append_from_threads(wal: &Wal, payload: &[u8], count: u64) -> Duration {
    let each = count.div_ceil(THREADS as u64);
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..each {
                    put(wal, payload);
                }
            });
        }
    });
    begun.elapsed().mul_f64(count as f64 / (each * THREADS as u64) as f64)
}

fn replay(c: &mut Criterion) {
    let mut group = c.benchmark_group("replay");
    group.sample_size(10);
    for bytes in PAYLOAD_BYTES {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let wal = open(dir.path(), SyncPolicy::Off);
        let (payload, records) = (payload(bytes), REPLAY_BYTES / bytes);
        for _ in 0..records {
            put(&wal, &payload);
        }
        wal.close().expect("a sound log");
        group.throughput(per_record(records, bytes));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| b.iter(|| read_all(dir.path())));
    }
    group.finish();
}

fn read_all(dir: &Path) -> u64 {
    let mut bytes = 0;
    let replay = &mut |record: barograph_engine::wal::Record<'_>| {
        bytes += record.payload.len();
        Ok(())
    };
    let (_, report) =
        Wal::open(dir, WalOptions::default(), Recovery::Refuse, 0, replay).expect("a sound log");
    std::hint::black_box(bytes);
    report.records
}

fn per_record(records: usize, bytes: usize) -> Throughput {
    Throughput::ElementsAndBytes { elements: records as u64, bytes: (records * bytes) as u64 }
}

/// Bytes without a pattern.
fn payload(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

criterion_group!(benches, append, group_commit, replay);
criterion_main!(benches);
