//! Scans: they return the same as an export, for the state at their creation, in bounded memory.

use barograph::budget::{Cancel, Share, Work};
use barograph::{
    Batch, Database, Error, Labels, Matcher, Options, SeriesColumns, StorageError, TimeRange, Timestamp,
    Value, parse_selector,
};

const SECOND: i64 = 1_000_000_000;
/// More than two pieces.
const LONG: i64 = 150_000;

fn labels(job: &str) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("job", job)]).expect("names differ")
}

fn append(db: &Database, job: &str, seconds: std::ops::Range<i64>) {
    let series = db.handle(&labels(job)).expect("a handle");
    for from in seconds.clone().step_by(10_000) {
        let mut batch = Batch::new();
        for second in from..seconds.end.min(from + 10_000) {
            batch.push_to(
                &series,
                Timestamp::from_nanos(second * SECOND),
                Value::Float((second as f64).sqrt()),
            );
        }
        db.append(&batch).expect("append");
    }
}

/// One long series, in the store and in memory, and some short ones.
fn database() -> Database {
    let options = Options::default().with_background(false);
    let db = Database::in_memory(options).expect("the options are good");
    append(&db, "long", 0..LONG / 2);
    db.flush().expect("flush");
    append(&db, "long", LONG / 2..LONG);
    for job in ["a", "b", "z"] {
        append(&db, job, 0..3);
    }
    db
}

fn all() -> Vec<Vec<Matcher>> {
    // The second selects the series of the first, and more.
    let selector = |text| parse_selector(text).expect("a selector");
    vec![selector(r#"m{job=~"long|b"}"#), selector("m")]
}

fn exported(db: &Database) -> Vec<SeriesColumns> {
    let mut found = Vec::new();
    let work = Work::unbounded();
    db.reader(&work)
        .export(&all(), TimeRange::ALL, |columns| {
            found.push(columns);
            true
        })
        .expect("export");
    found
}

#[test]
fn a_scan_gives_what_an_export_gives() {
    let db = database();
    let expected = exported(&db);
    let jobs: Vec<&str> = expected.iter().filter_map(|columns| columns.labels.get("job")).collect();
    assert!(jobs.starts_with(&["b", "long", "long"]) && jobs.ends_with(&["a", "z"]), "{jobs:?}");
    let work = Work::unbounded();
    let scan = db.scan_within(&work, &all(), TimeRange::ALL).expect("a scan");
    let found: Vec<SeriesColumns> = scan.collect::<Result<_, _>>().expect("all of it");
    assert!(found == expected, "{} pieces, {} expected", found.len(), expected.len());
    assert_eq!(work.account().bytes(), 0, "what was handed out is the caller's");
    assert_eq!(db.scan_within(&work, &[], TimeRange::ALL).expect("a scan").count(), 0);
}

#[test]
fn a_scan_shows_what_was_there_and_outlives_the_handle() {
    let db = database();
    let expected = exported(&db);
    let scan = db.scan_within(&Work::unbounded(), &all(), TimeRange::ALL).expect("a scan");
    append(&db, "a", 3..10);
    append(&db, "new", 0..10);
    db.delete(&[Matcher::equal("job", "long")], TimeRange::ALL).expect("delete");
    db.flush().expect("flush");
    drop(db);
    let other_thread = std::thread::spawn(move || scan.collect::<Result<Vec<_>, _>>());
    assert!(other_thread.join().expect("no panic").expect("all of it") == expected);
}

#[test]
fn closing_ends_a_scan_and_does_not_wait_for_it() {
    let db = database();
    let mut scan = db.scan(&[], TimeRange::ALL).expect("a scan");
    assert_eq!(scan.next().expect("a piece").expect("it is read").labels, labels("a"));
    db.close().expect("nothing reads");
    let rest: Vec<_> = scan.by_ref().collect();
    assert!(matches!(rest.last(), Some(Err(Error::Storage(StorageError::Closed)))), "{:?}", rest.last());
    assert!(scan.next().is_none(), "an error ends it");
    assert!(matches!(db.scan(&[], TimeRange::ALL).map(drop), Err(Error::Storage(StorageError::Closed))));
}

#[test]
fn reads_of_one_view_show_one_state() {
    let db = database();
    let view = db.view().expect("it is open");
    let seen = |view: &barograph::View, range: TimeRange| -> Vec<Timestamp> {
        view.select(&[], range).flat_map(|piece| piece.expect("it is read").timestamps).collect()
    };
    let before = seen(&view, TimeRange::ALL);
    append(&db, "later", 0..10);
    db.flush().expect("flush");
    assert_eq!(seen(&view, TimeRange::ALL), before, "what is written and flushed later is not shown");
    let half = before[before.len() / 2];
    assert_eq!(seen(&view, (half..).into()).iter().min(), before.iter().filter(|at| **at >= half).min());
    assert_eq!(seen(&db.view().expect("it is open"), TimeRange::ALL).len(), before.len() + 10);
    db.close().expect("nothing reads");
    let closed = view.select(&[], ..).next().and_then(Result::err).map(|error| error.kind());
    assert_eq!(closed, Some(barograph::ErrorKind::Closed));
}

/// The maximum memory that a scan of a long series in the store takes.
fn peak(samples: i64) -> u64 {
    let db = Database::in_memory(Options::default().with_background(false)).expect("good options");
    append(&db, "long", 0..samples);
    db.flush().expect("flush");
    let work = Work::unbounded();
    let scan = db.scan_within(&work, &all(), TimeRange::ALL).expect("a scan");
    let found: usize = scan.map(|piece| piece.expect("it is read").values.len()).sum();
    assert_eq!(found as i64, samples);
    work.account().peak()
}

#[test]
fn its_memory_does_not_grow_with_the_number_of_samples() {
    let (short, long) = (peak(2 * LONG), peak(6 * LONG));
    assert!(long <= short + short / 4, "{long} bytes for three times the samples, {short} before");
}

#[test]
fn a_scan_keeps_within_its_work() {
    let db = database();
    let share = Share::new("reads", 1 << 30);
    let small = Work::unbounded().of(share.clone()).holding(100_000);
    let refused = db.scan_within(&small, &all(), TimeRange::ALL).expect("a scan").find_map(Result::err);
    assert!(matches!(refused, Some(Error::Storage(StorageError::Memory(_)))), "{refused:?}");

    let cancel = Cancel::default();
    let work = Work::unbounded().of(share.clone()).until(cancel.clone());
    let mut scan = db.scan_within(&work, &all(), TimeRange::ALL).expect("a scan");
    assert!(scan.next().is_some_and(|piece| piece.is_ok()));
    cancel.cancel();
    let stopped = scan.by_ref().find_map(Result::err);
    assert!(matches!(stopped, Some(Error::Storage(StorageError::Stopped(_)))), "{stopped:?}");
    assert!(scan.next().is_none());
    drop((scan, work, small));
    assert_eq!(share.used(), 0);
}
