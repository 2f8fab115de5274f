//! New series of requests: limited before they are created, and removed if the request is refused.

use super::remote::one as remote;
use super::*;
use crate::engine::admit::newcomers::Newcomers;
use crate::model::Exemplar;
use crate::remote::RemoteVersion;
use crate::{ErrorKind, LineOptions, LineReport};

fn write(engine: &Engine, lines: &str) -> LineReport {
    engine.write_lines(lines.as_bytes(), &LineOptions::default()).unwrap()
}

/// Everything that an outsider can see of the series in memory.
fn seen(engine: &Engine) -> (Vec<String>, Vec<String>, u64, u64) {
    let view = engine.view();
    let names = view.label_names(&[Vec::new()], TimeRange::ALL, 1000).unwrap();
    let values =
        names.iter().flat_map(|name| view.label_values(name, &[Vec::new()], TimeRange::ALL, 1000).unwrap());
    let values = values.map(|(value, _)| value).collect();
    let stats = engine.stats();
    (names, values, stats.head_series, stats.head_series_bytes)
}

/// A line with 31 KB of tags and this many fields.
fn wide_line(fields: usize, value: &str) -> String {
    let tags: Vec<String> = (0..62).map(|i| format!("t{i}={}", "x".repeat(500))).collect();
    let fields: Vec<String> = (0..fields).map(|i| format!("f{i}={value}")).collect();
    format!("wide,{} {} 1", tags.join(","), fields.join(","))
}

#[test]
fn a_short_line_cannot_bring_many_times_its_size_in_labels() {
    let engine = Engine::in_memory(Options { memory_bytes: 64 << 20, ..options() }).unwrap();
    write(&engine, "known v=1 1\n");
    let before = seen(&engine);
    for value in ["1", "\"\""] {
        let line = wide_line(3_900, value);
        assert!(line.len() < 65_536, "{}", line.len());
        let report = write(&engine, &format!("known v=1 2\n{line}\nknown v=1 3\n"));
        assert_eq!((report.lines_bad, report.lines_limited, report.samples), (1, 0, 2), "it never passes");
        let why = report.errors[0].to_string();
        assert!(why.starts_with("line 2, column 1: 3900 of"), "{why}");
        assert!(why.contains("max_line_label_bytes") && why.contains("4194304"), "{why}");
        assert_eq!(seen(&engine), before, "nothing of it is left");
    }
    assert_eq!(write(&engine, &wide_line(100, "1")).lines_bad, 0, "wide lines are welcome");
    let strict = Options { label_bytes_per_line: 64 << 10, ..options() };
    let strict = Engine::in_memory(strict).unwrap();
    assert_eq!(write(&strict, &wide_line(3, "1")).lines_bad, 1);
    assert_eq!(write(&strict, &wide_line(2, "1")).lines_bad, 0);
    assert_eq!(write(&strict, &wide_line(3, "1")).lines_bad, 0, "of the three series one is new");
}

/// Fields in any order and number, seen first or again, are found.
#[test]
fn many_fields_in_any_order_are_one_group() {
    let engine = Engine::in_memory(options()).unwrap();
    let line = |second: usize, backwards: bool, count: usize| {
        let mut fields: Vec<String> = (0..count).map(|i| format!("f{i}={}", i + second)).collect();
        if backwards {
            fields.reverse();
        }
        format!("m,host=a {} {second}\n", fields.join(","))
    };
    for (second, backwards, count) in
        [(1, false, 40), (2, true, 40), (3, true, 90), (4, false, 90), (5, true, 7)]
    {
        assert_eq!(write(&engine, &line(second, backwards, count)).samples, count as u64);
    }
    assert_eq!(engine.stats().head_series, 90);
    let view = engine.view();
    let found = view.select(&[Matcher::equal("__name__", "m_f5")], TimeRange::ALL, 10).unwrap();
    assert_eq!(view.read(&found[0], TimeRange::ALL).unwrap().values, [6.0, 7.0, 8.0, 9.0, 10.0]);
}

#[test]
fn what_is_refused_leaves_no_series_behind() {
    let limits = Options { max_series_per_metric: 2, labels_per_series: 4, ..options() };
    let engine = Engine::in_memory(limits).unwrap();
    write(&engine, "known,host=a v=1 1\n");
    let before = seen(&engine);
    let new = |i: usize| Labels::from_pairs([("__name__", "new"), ("i", &*i.to_string())]).unwrap();

    let mut batch = Batch::new();
    (0..3).for_each(|i| batch.push(&new(i), 1, Value::Float(1.0)));
    assert_eq!(engine.append(&batch).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(seen(&engine), before, "a limit");

    let mut batch = Batch::new();
    batch.push(&new(3), 1, Value::Float(1.0));
    batch.push_event(&new(4), 1, &"x".repeat(17 << 20));
    assert_eq!(engine.append(&batch).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(seen(&engine), before, "an event that is too long");

    let mut batch = Batch::new();
    batch.push(&new(5), 1, Value::Float(1.0));
    let long = Labels::from_pairs([("trace_id", &*"x".repeat(200))]).unwrap();
    batch.push_exemplar(
        &new(5),
        Exemplar { labels: long, timestamp: crate::Timestamp::from_nanos(1), value: 1.0 },
    );
    assert!(engine.append(&batch).is_err());
    assert_eq!(seen(&engine), before, "an exemplar that is too long");

    let report = write(&engine, "known,host=b,x=1,y=2 v=1,w=2 1\nknown,host=b,host=c v=1 1\n");
    assert_eq!((report.lines_bad, report.samples), (1, 2), "{:?}", report.errors);
    let before = seen(&engine);
    let report = write(&engine, "fresh,host=b a=1,v=1 1\nknown,host=c u=1,v=1 1\nknown,host=d u=1,v=1 1\n");
    assert_eq!((report.lines_bad, report.samples), (2, 2), "known_v has two series already");
    let after = seen(&engine);
    assert_eq!(after.2 - before.2, 2, "the series of the good line alone: {:?}", after.1);
    assert!(
        !after.1.contains(&"known_u".to_owned()) && after.1.contains(&"fresh_a".to_owned()),
        "{:?}",
        after.1
    );

    let before = seen(&engine);
    let future = remote(&[("__name__", "later"), ("job", "a")], &[(i64::MAX, 1.0)]);
    for _ in 0..2 {
        assert_eq!(engine.write_remote(&future, RemoteVersion::One).unwrap().refused, 1);
        assert_eq!(seen(&engine), before, "a series without an acceptable sample");
        assert_eq!(engine.shared.writer.known().remotes().len(), 0, "nor does the cache have it");
    }
}

/// A request that was read and admitted, and refused when it was to be logged.
#[test]
fn series_of_a_request_that_finds_no_room_are_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let faulty = FaultyKv::over(Arc::new(MemoryKv::default()));
    let options = Options { memory_bytes: 16 << 20, ..options() };
    let clock = Arc::new(ManualClock::new(YEAR_2024));
    let engine = Engine::open_over(dir.path(), faulty.clone(), options, clock).unwrap();
    let mut batch = Batch::new();
    batch.push_event(&labels(0), YEAR_2024, &"x".repeat(9 << 20));
    engine.append(&batch).unwrap();
    let before = seen(&engine);
    faulty.is_full.store(true, Ordering::Relaxed);
    let now_ms = YEAR_2024 / 1_000_000;
    let line = format!("new,host=a v=1,w=2 {YEAR_2024}\nsingle,host=a v=1 {YEAR_2024}\n");
    let request = remote(&[("__name__", "up"), ("job", "new")], &[(now_ms, 1.0)]);
    assert!(engine.write_lines(line.as_bytes(), &LineOptions::default()).is_err());
    assert!(engine.write_remote(&request, RemoteVersion::One).is_err());
    assert!(engine.append(&float_batch(1, &[1])).is_err());
    assert_eq!(seen(&engine), before);

    faulty.is_full.store(false, Ordering::Relaxed);
    assert_eq!(write(&engine, &line).samples, 3);
    assert_eq!(engine.write_remote(&request, RemoteVersion::One).unwrap().samples, 1);
    assert_eq!(engine.stats().head_series - before.2, 4, "they come again as if for the first time");
}

#[test]
fn a_batch_that_can_never_pass_is_a_limit_and_one_that_may_is_not() {
    let batch = |count: usize| {
        let mut batch = Batch::new();
        for i in 0..count {
            let labels = Labels::from_pairs([("__name__", "n"), ("i", &*i.to_string())]).unwrap();
            batch.push(&labels, 1, Value::Float(1.0));
        }
        batch
    };
    let slow = Engine::in_memory(Options { new_series_per_second: 10, ..options() }).unwrap();
    let refused = slow.append(&batch(11)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Limit, "{refused}");
    assert!(refused.to_string().contains("max_new_series"), "{refused}");
    assert_eq!(slow.stats().head_series, 0);

    let small = Engine::in_memory(Options { memory_bytes: 32 << 20, ..options() }).unwrap();
    let refused = small.append(&batch(20_000)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Limit, "{refused}");
    assert!(refused.to_string().contains("raise memory"), "{refused}");
    assert_eq!((small.stats().head_series, small.stats().head_series_bytes), (0, 0));
    let lines: String = (0..20_000).map(|i| format!("l,i={i} v=1 1\n")).collect();
    let report = write(&small, &lines);
    assert!(report.lines_bad > 0 && report.samples > 10_000, "{} stored", report.samples);
    assert_eq!(report.lines_limited, 0, "one request alone takes more than its share: {}", report.errors[0]);
    assert!(small.append(&batch(10_000)).is_ok(), "others have theirs");
}

#[test]
fn an_empty_flush_lets_idle_series_go_where_there_is_no_room_for_new_ones() {
    let options = Options { memory_bytes: 16 << 20, ..options() };
    let engine = Engine::in_memory(options).unwrap();
    let mut number = 0;
    let full = loop {
        let lines: String = (0..1_000).map(|i| format!("l,i={} v=1 1\n", number + i)).collect();
        number += 1_000;
        let report = write(&engine, &lines);
        if report.lines_bad > 0 {
            break report;
        }
    };
    assert_eq!(full.lines_limited, full.lines_bad, "it clears with time: {}", full.errors[0]);
    engine.flush().unwrap();
    assert_eq!(write(&engine, "new v=1 1\n").lines_limited, 1, "all of them were active just now");
    engine.flush().unwrap();
    assert_eq!(engine.stats().head_series, 0, "there was nothing to flush, and they were idle");
    assert_eq!(write(&engine, "new v=1 1\n").samples, 1);

    // The same where the number of series is what is bounded.
    let engine = Engine::in_memory(Options { active_series: 2, ..super::options() }).unwrap();
    assert_eq!(write(&engine, "a v=1 1\nb v=1 1\nc v=1 1\n").lines_bad, 1);
    engine.flush().unwrap();
    assert_eq!(write(&engine, "c v=1 1\n").lines_bad, 1);
    engine.flush().unwrap();
    assert_eq!(write(&engine, "c v=1 1\n").lines_bad, 0);
}

#[test]
fn one_series_of_a_request_is_stored_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(YEAR_2024));
    let engine = Engine::open_over(dir.path(), Arc::new(MemoryKv::default()), options(), clock).unwrap();
    let first = YEAR_2024 / 1_000_000 - 300_000;
    let samples: Vec<_> = (0..250_000).map(|i| (first + i, i as f64)).collect();
    let body = remote(&[("__name__", "up"), ("job", "a")], &samples);
    assert_eq!(engine.write_remote(&body, RemoteVersion::One).unwrap().samples, 250_000);
    assert_eq!(engine.stats().wal_records, 3);
    let view = engine.view();
    let found = view.select(&[Matcher::equal("job", "a")], TimeRange::ALL, 10).unwrap();
    assert_eq!(view.read(&found[0], TimeRange::ALL).unwrap().len(), 250_000);
}

#[test]
fn a_series_whose_samples_were_flushed_before_its_writer_looks_stays() {
    let engine = Engine::in_memory(options()).unwrap();
    let shared = &engine.shared;
    let view = engine.view();
    let mut newcomers = Newcomers::of_whole();
    shared.append(&float_batch(1, &[1]), &mut newcomers).unwrap();
    let beside = engine.view();
    engine.flush().unwrap();
    assert!(!shared.writer.take_back(&mut newcomers, 0), "it has a sample, which is no longer in memory");
    let found = beside.select(&[Matcher::equal("job", "job1")], TimeRange::ALL, 9).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(beside.read(&found[0], TimeRange::ALL).unwrap().values, [1.0]);
    assert!(view.select(&[Matcher::equal("job", "job1")], TimeRange::ALL, 9).unwrap().is_empty());
}
