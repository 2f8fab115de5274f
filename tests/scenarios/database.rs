//! The whole database over RocksDB: the guarantees that embedders rely on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use barograph::{
    Batch, Database, Durability, Error, LineOptions, Metadata, MetricType, Options, QueryValue, SampleValue,
    SeriesColumns, StorageError, Timestamp, parse_ladders,
};
use barograph::{Histogram, Labels, MatchOp, Matcher, Span, TimeRange, Value};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_704_067_200 * SECOND;

/// The samples of each series by time, as the text of [`shown`].
type Model = BTreeMap<String, BTreeMap<i64, String>>;

fn options() -> Options {
    Options::default()
        .with_background(false)
        .with_durability(Durability::Off)
        .with_partition_width(Duration::from_secs(60))
        .with_wal_reserve_bytes(0)
        .with_wal_segment_bytes(1 << 20)
        .with_memory_bytes(64 << 20)
}

fn labels(series: u8) -> Labels {
    let job = format!("job{series}");
    Labels::from_pairs([("__name__", "m"), ("job", job.as_str())]).expect("two labels")
}

fn everything() -> [Matcher; 1] {
    [Matcher::new("job", MatchOp::Regex, ".+").expect("a pattern")]
}

/// A sample as text: the bits of a float or the whole histogram, and the start timestamp.
fn shown(start_timestamp: i64, value: &Value) -> String {
    match value {
        Value::Float(v) => format!("{:x} since {start_timestamp}", v.to_bits()),
        other => format!("{other:?} since {start_timestamp}"),
    }
}

fn samples_of(series: &SeriesColumns) -> BTreeMap<i64, String> {
    let histogram = |i: usize| series.histograms.iter().find(|(at, _)| *at as usize == i);
    let sample = |i: usize| {
        let value = histogram(i).map_or(Value::Float(series.values[i]), |(_, h)| Value::Histogram(h.clone()));
        let start = series.start_timestamps.get(i).map_or(0, |start| start.as_nanos());
        (series.timestamps[i].as_nanos(), shown(start, &value))
    };
    (0..series.timestamps.len()).map(sample).collect()
}

fn contents(db: &Database) -> Model {
    let mut found = Model::new();
    db.export(&everything(), TimeRange::ALL, |series| {
        found.insert(series.labels.to_string(), samples_of(&series));
        true
    })
    .expect("export");
    found
}

/// A histogram that grows with `n`, with integer or float counts and in two layouts.
fn histogram(n: i64) -> Value {
    let count = n.rem_euclid(100) as f64 / if n % 4 == 0 { 3.0 } else { 1.0 };
    Value::Histogram(Arc::new(Histogram {
        schema: (n % 2) as i32,
        count,
        sum: count * 0.1,
        positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }],
        positive_buckets: vec![count, 0.0, count + 1.0],
        ..Histogram::default()
    }))
}

/// Floats and histograms alternately, some with start timestamps; series 3 has only floats.
fn append(db: &Database, model: &mut Model, series: u8, start: i64, count: i64) {
    let mut batch = Batch::new();
    let labels = labels(series);
    for i in 0..count {
        let (at, n) = (START + (start + i) * SECOND, start * 7 + i);
        let is_plain = series == 3;
        let value = if n / 5 % 2 == 0 && !is_plain { histogram(n) } else { Value::Float(n as f64 * 0.25) };
        let start_timestamp = if n / 9 % 2 == 0 && !is_plain { at - n % 3 * SECOND } else { 0 };
        model.entry(labels.to_string()).or_default().insert(at, shown(start_timestamp, &value));
        batch.push_started(&labels, Timestamp::from_nanos(at), Timestamp::from_nanos(start_timestamp), value);
    }
    db.append(&batch).expect("append");
}

fn delete(db: &Database, model: &mut Model, series: u8, from: i64, to: i64) {
    let range = TimeRange::left_open(
        Timestamp::from_nanos(START + from * SECOND),
        Timestamp::from_nanos(START + to * SECOND),
    );
    let matcher = Matcher::equal("job", &format!("job{series}"));
    db.delete(std::slice::from_ref(&matcher), range).expect("delete");
    if let Some(samples) = model.get_mut(&labels(series).to_string()) {
        samples.retain(|t, _| !range.contains(Timestamp::from_nanos(*t)));
    }
    model.retain(|_, samples| !samples.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Append(u8, i64, i64),
    Delete(u8, i64, i64),
    Flush,
    Compact,
    Crash,
    Close,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..4, 0i64..600, 1i64..40).prop_map(|(s, at, n)| Step::Append(s, at, n)),
        1 => (0u8..4, 0i64..600, 0i64..600).prop_map(|(s, a, b)| Step::Delete(s, a.min(b), a.max(b))),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::Crash),
        1 => Just(Step::Close),
    ]
}

/// The files below `dir` that contain a text.
fn files_with(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if std::fs::read(&path).expect("a file").windows(text.len()).any(|w| w == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Cleans a partition that still receives samples: part of it is in the store, part in memory and in the log.
#[test]
fn what_was_cleaned_away_is_in_no_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let db = Database::open_with(dir.path(), options()).expect("open");
    let write = |host: &str, second: i64| {
        let line = format!("log,host={host} text=\"{host} says {second}\",v=1 {}", START + second * SECOND);
        assert_eq!(db.write_lines(line.as_bytes(), &LineOptions::default()).expect("lines").samples, 1);
    };
    for second in 0..3 {
        write("zz-gone-9917", second);
        write("stays", second);
        if second == 1 {
            db.flush().expect("flush");
        }
    }
    assert!(!files_with(dir.path(), "zz-gone-9917").is_empty());
    db.delete(&[Matcher::equal("host", "zz-gone-9917")], TimeRange::ALL).expect("delete");
    assert_eq!(db.clean().expect("clean").held, 0);
    // RocksDB's MANIFEST may contain names and values of labels until it is opened again.
    let mut left = files_with(dir.path(), "zz-gone-9917");
    left.retain(|file| !file.contains("MANIFEST"));
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(files_with(dir.path(), "zz-gone-9917 says"), Vec::<String>::new());
    assert!(!files_with(dir.path(), "stays").is_empty());
    assert_eq!(db.stats().tombstones, 0);
    db.close().expect("close");
    drop(db);

    let db = Database::open_with(dir.path(), options()).expect("open again");
    assert_eq!(files_with(dir.path(), "zz-gone-9917"), Vec::<String>::new());
    let mut texts = Vec::new();
    for event in db.events(&[], TimeRange::ALL, 9).expect("events") {
        texts.push(event.text);
    }
    assert_eq!(texts, ["stays says 0", "stays says 1", "stays says 2"]);
}

/// The engine's model test over the real store; with fewer cases, since each opening costs files and fsyncs.
#[test]
fn random_steps_over_rocksdb_equal_ordered_maps() {
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let steps = proptest::collection::vec(any_step(), 5..25);
    let result = runner.run(&steps, |steps| {
        let dir = tempfile::tempdir().expect("a directory");
        let mut db = Database::open_with(dir.path(), options()).expect("open");
        let mut model = Model::new();
        for step in &steps {
            match step {
                Step::Append(series, at, n) => append(&db, &mut model, *series, *at, *n),
                Step::Delete(series, from, to) => delete(&db, &mut model, *series, *from, *to),
                Step::Flush => drop(db.flush().expect("flush")),
                Step::Compact => db.compact().expect("compact"),
                Step::Crash => db = reopen(db, dir.path(), false),
                Step::Close => db = reopen(db, dir.path(), true),
            }
            prop_assert_eq!(&contents(&db), &model, "after {:?}", step);
        }
        db.close().expect("close");
        drop(db);
        let report = Database::verify(dir.path()).expect("verify");
        prop_assert!(report.is_clean(), "{:?}", report.problems);
        Ok(())
    });
    result.expect("the database equals the model");
}

fn reopen(db: Database, dir: &Path, clean: bool) -> Database {
    if clean {
        db.close().expect("close");
    }
    drop(db);
    Database::open_with(dir, options()).expect("reopen")
}

#[test]
fn lines_in_promql_out_across_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let db = Database::open_with(dir.path(), options()).expect("open");
    let mut lines = String::new();
    for i in 0..120 {
        lines += &format!("requests,job=api total={} {}\n", i * 10, START + i * 5 * SECOND);
    }
    db.write_lines(lines.as_bytes(), &LineOptions::default()).expect("write");
    let rate = |db: &Database| {
        let answer =
            db.query("rate(requests_total[5m])", Timestamp::from_nanos(START + 595 * SECOND)).expect("query");
        let QueryValue::Vector(samples) = answer.value else { panic!("a vector") };
        samples[0].value.clone()
    };
    assert_eq!(rate(&db), SampleValue::Float(2.0));
    db.close().expect("close");
    assert!(matches!(db.append(&Batch::new()), Err(Error::Storage(StorageError::Closed))));
    drop(db);
    let again = Database::open_with(dir.path(), options()).expect("reopen");
    assert_eq!(rate(&again), SampleValue::Float(2.0));
}

/// A histogram reads the same before a flush, after it, after a merge and after a restart.
#[test]
fn stored_histograms_answer_queries() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut db = Database::open_with(dir.path(), options()).expect("open");
    let mut batch = Batch::new();
    let labels = labels(0);
    for i in 0..40 {
        let histogram = Histogram {
            count: (i * 3) as f64,
            sum: (i * 6) as f64,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            positive_buckets: vec![i as f64, (2 * i) as f64],
            ..Histogram::default()
        };
        batch.push_started(
            &labels,
            Timestamp::from_nanos(START + i * 15 * SECOND),
            Timestamp::from_nanos(START),
            Value::Histogram(Arc::new(histogram)),
        );
    }
    db.append(&batch).expect("append");
    let answers = |db: &Database| {
        let ask = |query: &str| {
            let value = db.query(query, Timestamp::from_nanos(START + 590 * SECOND)).expect("query").value;
            let QueryValue::Vector(samples) = value else { panic!("a vector") };
            samples[0].value.clone()
        };
        [
            ask("histogram_count(increase(m[5m]))"),
            ask("histogram_quantile(0.5, rate(m[5m]))"),
            ask("histogram_sum(m)"),
            ask("histogram_count(m offset 2m)"),
        ]
    };
    let first = answers(&db);
    assert_eq!(first[2], SampleValue::Float(234.0));
    assert_eq!(first[3], SampleValue::Float(93.0));
    db.flush().expect("flush");
    assert_eq!(answers(&db), first);
    db = reopen(db, dir.path(), true);
    db.compact().expect("compact");
    assert_eq!(answers(&db), first);
    assert!(db.verify_open().expect("verify").is_clean());
}

#[test]
fn a_snapshot_holds_what_was_acknowledged_and_nothing_later() {
    let dir = tempfile::tempdir().expect("a directory");
    let db = Database::open_with(dir.path().join("live"), options()).expect("open");
    let mut model = Model::new();
    append(&db, &mut model, 0, 0, 100);
    db.flush().expect("flush");
    append(&db, &mut model, 1, 50, 100);
    let copy = dir.path().join("copy");
    db.snapshot(&copy).expect("snapshot");
    let at_snapshot = model.clone();
    append(&db, &mut model, 2, 0, 10);
    assert!(
        matches!(db.snapshot(&copy), Err(Error::Storage(StorageError::Invalid(_)))),
        "an existing directory is not overwritten"
    );
    let restored = dir.path().join("restored");
    Database::restore(&copy, &restored).expect("restore");
    assert!(Database::restore(&copy, &restored).is_err(), "a directory in use is not overwritten");
    let old = Database::open_with(&restored, options()).expect("open the copy");
    assert_eq!(contents(&old), at_snapshot);
    assert_eq!(contents(&db), model);
}

#[test]
fn reading_only_changes_no_byte() {
    let dir = tempfile::tempdir().expect("a directory");
    let db = Database::open_with(dir.path(), options()).expect("open");
    let mut model = Model::new();
    append(&db, &mut model, 0, 0, 100);
    db.flush().expect("flush");
    append(&db, &mut model, 0, 200, 100);
    let mut event = Batch::new();
    event.push_event(&labels(0), Timestamp::from_nanos(START), "deployed");
    db.append(&event).expect("append");
    // Written after a delete, in its range.
    delete(&db, &mut model, 0, 210, 250);
    append(&db, &mut model, 0, 220, 10);
    drop(db);
    let before = listing(dir.path());
    let reader = Database::open_read_only(dir.path(), options()).expect("open for reading");
    assert_eq!(contents(&reader), model);
    let events = reader.events(&everything(), TimeRange::ALL, 9).expect("read");
    assert_eq!(events.len(), 1, "it is in the log alone");
    assert!(matches!(reader.append(&Batch::new()), Err(Error::Storage(StorageError::Invalid(_)))));
    drop(reader);
    assert_eq!(listing(dir.path()), before);
}

/// Names and contents of all files that hold data (without RocksDB's own text log).
fn listing(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(at) = dirs.pop() {
        for entry in std::fs::read_dir(&at).expect("list") {
            let path = entry.expect("entry").path();
            let name = path.display().to_string();
            if path.is_dir() {
                dirs.push(path);
            } else if !name.contains("/LOG") {
                files.insert(name, std::fs::read(&path).expect("read"));
            }
        }
    }
    files
}

#[test]
fn a_directory_in_use_or_from_the_future_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let db = Database::open_with(dir.path(), options()).expect("open");
    let refused =
        |dir: &Path| Database::open_with(dir, options()).map(drop).expect_err("refused").to_string();
    assert!(refused(dir.path()).contains("in use by this process"));
    db.close().expect("close");
    drop(db);
    std::fs::write(dir.path().join("FORMAT"), "barograph 9\n").expect("write");
    assert!(refused(dir.path()).contains("format version 9"));
    assert!(Database::open_read_only(dir.path().join("nothing"), options()).is_err());
}

/// One flipped bit in every 97th byte of the largest table.
#[test]
fn damage_in_a_stored_chunk_is_reported_and_never_part_of_an_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let db = Database::open_with(dir.path(), options()).expect("open");
    let mut model = Model::new();
    append(&db, &mut model, 0, 0, 2000);
    db.close().expect("close");
    drop(db);
    let (table, good) = listing(dir.path())
        .into_iter()
        .filter(|(name, _)| name.ends_with(".sst"))
        .max_by_key(|(_, bytes)| bytes.len())
        .expect("a table");
    for at in (0..good.len()).step_by(97) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&table, &bad).expect("write");
        let Ok(db) = Database::open_with(dir.path(), options()) else { continue };
        let mut found = Model::new();
        let read = db.export(&everything(), TimeRange::ALL, |series| {
            found.insert(series.labels.to_string(), samples_of(&series));
            true
        });
        assert!(read.is_err() || found == model, "byte {at}: wrong or missing samples without an error");
    }
}

#[test]
fn a_gauge_that_is_named_like_a_counter_is_analyzed_by_its_values_once_it_is_described() {
    let db = Database::in_memory(options()).expect("in memory");
    let labels = Labels::from_pairs([("__name__", "thread_count")]).expect("a label");
    let mut batch = Batch::new();
    for minute in 0..120 {
        let value = if minute < 60 { 10.0 } else { 50.0 } + f64::from(minute % 3);
        batch.push(
            &labels,
            Timestamp::from_secs(1_704_067_200 + 60 * i64::from(minute)),
            Value::Float(value),
        );
    }
    db.append(&batch).expect("memory");
    let at = Timestamp::from_secs(1_704_067_200 + 119 * 60);
    let infos = || db.query("changepoints(thread_count[2h])", at).expect("a function").infos;
    let is_rated = |infos: &[String]| infos.iter().any(|info| info.contains("\"thread_count\" is a counter"));
    assert!(is_rated(&infos()), "its name says so: {:?}", infos());
    let mut batch = Batch::new();
    batch.push_metadata("thread_count", Metadata { kind: MetricType::Gauge, ..Metadata::default() });
    db.append(&batch).expect("memory");
    assert!(!is_rated(&infos()), "{:?}", infos());
    db.set_ladders(parse_ladders("thread_count -> raw, type counter").expect("a ladder"))
        .expect("they change");
    assert!(is_rated(&infos()), "its ladder says so: {:?}", infos());
}
