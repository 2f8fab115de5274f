//! Batches take memory before they grow, return it, and are smaller when little is free.

use super::*;
use crate::line::LineLimits;
use crate::model::{Metadata, MetricType};
use crate::remote::RemoteVersion;
use crate::{ErrorKind, LineOptions};

const LEAST: u64 = 16 << 20;

fn engine(write_wait: Duration) -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { memory_bytes: LEAST, write_wait, background: true, ..options() };
    let clock = Arc::new(ManualClock::new(i64::MAX));
    let engine = Engine::open_over(dir.path(), Arc::new(MemoryKv::default()), options, clock).unwrap();
    (dir, engine)
}

/// Short lines, each with a sample.
fn small_lines(thread: usize, count: usize) -> Vec<u8> {
    (0..count).map(|i| format!("m{thread} v={i} {}\n", YEAR_2024 + i as i64)).collect::<String>().into_bytes()
}

/// A line whose string fields each have all of its long tags.
fn long_line(thread: usize, fields: usize) -> Vec<u8> {
    let tags = "x".repeat(30_000);
    let fields: Vec<String> = (0..fields).map(|field| format!("f{field}=\"text\"")).collect();
    format!("log,thread=t{thread},long={tags} {} {YEAR_2024}\n", fields.join(",")).into_bytes()
}

/// A request with one series of `count` samples, encoded by hand.
fn remote_request(count: i64) -> Vec<u8> {
    fn varint(mut number: u64, out: &mut Vec<u8>) {
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }
    fn message(field: u64, body: &[u8], out: &mut Vec<u8>) {
        varint(field << 3 | 2, out);
        varint(body.len() as u64, out);
        out.extend_from_slice(body);
    }
    let (mut label, mut series, mut request) = (Vec::new(), Vec::new(), Vec::new());
    message(1, b"__name__", &mut label);
    message(2, b"remote", &mut label);
    message(1, &label, &mut series);
    for i in 0..count {
        let mut sample = vec![1 << 3 | 1];
        sample.extend_from_slice(&(i as f64).to_le_bytes());
        sample.push(2 << 3);
        varint((YEAR_2024 / 1_000_000 + i) as u64, &mut sample);
        message(2, &sample, &mut series);
    }
    message(1, &series, &mut request);
    request
}

fn limits() -> LineOptions {
    let limits = LineLimits { line_bytes: 1 << 20, value_bytes: 1 << 20, ..LineLimits::default() };
    LineOptions { limits, ..LineOptions::default() }
}

#[test]
fn many_writers_stay_within_the_memory_and_return_it() {
    let (_dir, engine) = engine(Duration::from_secs(600));
    let share = engine.shared.admission.batches().share().clone();
    std::thread::scope(|scope| {
        for thread in 0..12 {
            let engine = &engine;
            scope.spawn(move || {
                let report = engine.write_lines(&small_lines(thread, 20_000), &limits()).unwrap();
                assert_eq!((report.samples, report.lines_bad), (20_000, 0));
                let report = engine.write_lines(&long_line(thread, 6), &limits()).unwrap();
                assert_eq!((report.events, report.lines_bad), (6, 0), "{:?}", report.errors);
            });
        }
        let report = engine.write_remote(&remote_request(20_000), RemoteVersion::One).unwrap();
        assert_eq!(report.samples, 20_000);
    });
    assert_eq!(engine.stats().samples, 13 * 20_000);
    let (peak, limit) = (share.peak(), share.limit());
    assert!((limit / 4..=limit).contains(&peak), "{peak} of {limit}");
    assert_eq!(share.used(), 0);
}

/// However much is free, others have room. At most two pieces of a request are in memory.
#[test]
fn one_request_takes_a_part_of_the_memory() {
    let (_dir, engine) = engine(Duration::from_secs(600));
    let share = engine.shared.admission.batches().share().clone();
    let report = engine.write_lines(&small_lines(0, 60_000), &limits()).unwrap();
    assert_eq!((report.samples, report.lines_bad), (60_000, 0));
    let (peak, limit, records) = (share.peak(), share.limit(), engine.stats().wal_records);
    assert!((limit / 8..=limit / 4 * 3).contains(&peak), "{peak} of {limit} for samples");
    assert!(records > 10, "{records} pieces, each with a quarter of the memory");
    let (_dir, engine) = self::engine(Duration::from_secs(600));
    let share = engine.shared.admission.batches().share().clone();
    let long: Vec<u8> = (0..20).flat_map(|_| long_line(0, 3)).collect();
    assert_eq!(engine.write_lines(&long, &limits()).unwrap().events, 60);
    let (peak, records) = (share.peak(), engine.stats().wal_records);
    assert!((limit / 8..=limit / 4 * 3).contains(&peak), "{peak} of {limit} for texts");
    assert!(records > 5, "{records} pieces");
}

#[test]
fn a_line_that_there_is_never_memory_for_is_refused_for_good() {
    let (_dir, engine) = engine(Duration::ZERO);
    let bodies = [small_lines(1, 10), long_line(1, 20), small_lines(2, 10)].concat();
    let report = engine.write_lines(&bodies, &limits()).unwrap();
    assert_eq!((report.samples, report.events, report.lines_bad, report.lines_limited), (20, 0, 1, 0));
    let why = report.errors[0].to_string();
    assert!(why.contains("the memory for batches") && why.contains("(memory)"), "{why}");
    assert_eq!(engine.shared.admission.batches().used(), 0);
}

#[test]
fn writers_wait_for_memory_and_take_smaller_pieces_where_there_is_little() {
    let (_dir, engine) = engine(Duration::ZERO);
    let share = engine.shared.admission.batches().share().clone();
    let records = || engine.stats().last_seq;
    let all = share.take(share.limit()).unwrap();
    let mut batch = Batch::new();
    batch.push(&labels(0), YEAR_2024, Value::Float(1.0));
    let refused =
        [engine.write_lines(b"m v=1 1", &limits()).unwrap_err(), engine.append(&batch).unwrap_err()];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains("memory for batches"), "{error}");
    }
    assert!(engine.write_remote(&remote_request(1), RemoteVersion::One).is_err());
    assert_eq!((engine.stats().samples, records()), (0, 0));

    drop(all);
    engine.write_lines(&small_lines(0, 2_000), &limits()).unwrap();
    let at_once = records();
    let most = share.take(share.limit() - (40 << 10)).unwrap();
    engine.write_lines(&small_lines(1, 2_000), &limits()).unwrap();
    engine.write_remote(&remote_request(2_000), RemoteVersion::One).unwrap();
    engine.append(&batch).unwrap();
    let mut wide = Batch::new();
    let histogram = Histogram {
        positive_spans: vec![Span { offset: 0, length: 10_000 }],
        positive_buckets: vec![0.5; 10_000],
        ..Histogram::default()
    };
    wide.push(&labels(0), YEAR_2024, Value::Histogram(Arc::new(histogram)));
    let mut noted = Batch::new();
    let help = "x".repeat(8_000);
    for family in 0..5 {
        let metadata = Metadata { kind: MetricType::Gauge, help: help.clone(), unit: String::new() };
        noted.push_metadata(&format!("m{family}"), metadata);
    }
    for batch in [wide, noted] {
        assert_eq!(
            engine.append(&batch).unwrap_err().kind(),
            ErrorKind::Busy,
            "{} bytes",
            batch.text_bytes()
        );
    }
    assert!(records() - at_once > 2 * at_once + 4, "{at_once} records, then {}", records());
    assert_eq!(engine.stats().samples, 6_001);
    assert_eq!(share.used(), most.bytes());
}
