//! Limits of cardinality, over every way in.

use super::*;
use crate::{ErrorKind, LineOptions};

fn write(engine: &Engine, lines: &str) -> crate::LineReport {
    engine.write_lines(lines.as_bytes(), &LineOptions::default()).unwrap()
}

fn series(engine: &Engine) -> Vec<String> {
    let view = engine.view();
    view.select(&[], TimeRange::ALL, 100).unwrap().into_iter().map(|s| s.labels.to_string()).collect()
}

#[test]
fn a_metric_at_its_limit_takes_no_new_series() {
    let engine = Engine::in_memory(Options { max_series_per_metric: 2, ..options() }).unwrap();
    let report =
        write(&engine, "cpu,h=a v=1 1\ncpu,h=b v=1 1\ncpu,h=c v=1 1\nmem,h=c v=1 1\ncpu,h=a v=2 2\n");
    assert_eq!(
        (report.lines_bad, report.lines_limited, report.samples),
        (1, 0, 4),
        "it does not pass by itself"
    );
    let why = report.errors[0].to_string();
    assert!(
        why.contains(r#"metric "cpu_v" has 2 active series, the limit (max_series_per_metric); series cpu_v{h="c"} is new"#),
        "{why}"
    );
    assert_eq!(series(&engine), [r#"cpu_v{h="a"}"#, r#"cpu_v{h="b"}"#, r#"mem_v{h="c"}"#]);
    let mut batch = Batch::new();
    batch.push(&Labels::from_pairs([("__name__", "cpu_v"), ("h", "d")]).unwrap(), 5, Value::Float(0.0));
    assert_eq!(engine.append(&batch).expect_err("no room").kind(), ErrorKind::Limit);
    let stats = engine.stats();
    assert_eq!((stats.refused, stats.refused_metric, stats.refused_label), (2, 2, 0));

    engine.set_cardinality_limits(3, 0);
    engine.append(&batch).unwrap();
    assert_eq!(series(&engine).len(), 4, "a raised limit lets it in");
}

#[test]
fn a_label_at_its_limit_takes_no_new_value() {
    let engine = Engine::in_memory(Options { max_values_per_label: 2, ..options() }).unwrap();
    let report =
        write(&engine, "cpu,h=a v=1 1\ncpu,h=b v=1 1\ncpu,h=c v=1 1\nmem,h=b v=1 1\ndisk,h=a v=1 1\n");
    assert_eq!((report.lines_bad, report.lines_limited, report.samples), (2, 0, 3));
    let why = report.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(why.contains(
        r#"label "h" has 2 values among active series, the limit (max_values_per_label); value "c""#
    ));
    assert!(why.contains(r#"label "__name__" has 2 values"#) && why.contains(r#"value "disk_v""#), "{why}");
    assert_eq!((engine.stats().refused, engine.stats().refused_label), (2, 2));
}

#[test]
fn what_left_the_head_makes_room() {
    let engine = Engine::in_memory(Options { max_series_per_metric: 1, ..options() }).unwrap();
    assert_eq!(write(&engine, "cpu,h=a v=1 1\ncpu,h=b v=1 1\n").lines_bad, 1);
    for second in 0..4 {
        // A flush looks for idle series when there is something to flush.
        assert_eq!(write(&engine, &format!("keep value={second} {second}\n")).lines_bad, 0);
        engine.flush().unwrap();
    }
    assert_eq!(write(&engine, "cpu,h=b v=1 9\n").lines_bad, 0, "the idle series of the metric has left");
}

/// What a write of one new series is refused with, by each way in.
fn refusals(options: Options, line: &str) -> (String, u64) {
    let engine = Engine::in_memory(options).unwrap();
    assert_eq!(write(&engine, "first,h=a v=1 1\n").lines_bad, 0);
    let report = write(&engine, line);
    assert_eq!((report.lines_bad, report.samples), (1, 0), "{line}");
    assert_eq!(write(&engine, "first,h=a v=2 2\n").lines_bad, 0, "what is known continues");
    (report.errors[0].reason.to_string(), report.lines_limited)
}

#[test]
fn every_limit_names_its_setting_and_what_to_do_and_says_whether_it_passes() {
    let wide = format!(
        "m,{} v=1 1",
        (0..9).map(|i| format!("l{i}={}", "x".repeat(200))).collect::<Vec<_>>().join(",")
    );
    let table: [(Options, &str, &str, &str, u64); 6] = [
        (
            Options { active_series: 1, ..options() },
            "new v=1 1",
            "max_series,",
            "raise the limit, or drop a label",
            0,
        ),
        (
            Options { max_series_per_metric: 1, ..options() },
            "first,h=b v=1 1",
            "max_series_per_metric",
            "raise",
            0,
        ),
        (
            Options { max_values_per_label: 1, ..options() },
            "first,h=b v=1 1",
            "max_values_per_label",
            "raise",
            0,
        ),
        (
            Options { label_bytes_per_series: 1024, ..options() },
            &wide,
            "max_label_bytes",
            "raise it or shorten",
            0,
        ),
        (
            Options { labels_per_series: 2, ..options() },
            "m,a=1,b=2 v=1 1",
            "max_labels",
            "raise it or send fewer",
            0,
        ),
        (Options { new_series_per_second: 1, ..options() }, "new v=1 1", "max_new_series", "retry later", 1),
    ];
    for (options, line, setting, remedy, limited) in table {
        let (why, found) = refusals(options, line);
        assert!(why.contains(setting) && why.contains(remedy), "{setting}: {why}");
        assert!(why.chars().count() < 600, "{setting}: {why}");
        assert_eq!(found, limited, "{setting}: whether the same lines may pass later");
    }
}

#[test]
fn the_shortest_labels_are_counted() {
    let engine = Engine::in_memory(Options { labels_per_series: 2, ..options() }).unwrap();
    let append = |pairs: &[(&str, &str)]| {
        let mut batch = Batch::new();
        batch.push(&Labels::from_pairs(pairs.iter().copied()).unwrap(), 1, Value::Int(1));
        engine.append(&batch)
    };
    append(&[("a", "1"), ("b", "2")]).unwrap();
    let refused = append(&[("a", "1"), ("b", "2"), ("c", "3")]).unwrap_err().to_string();
    assert!(refused.contains("3 labels, the limit is 2"), "{refused}");
}

#[test]
fn a_label_set_in_a_message_is_short() {
    let engine = Engine::in_memory(Options { max_values_per_label: 1, ..options() }).unwrap();
    write(&engine, "m,h=a v=1 1\n");
    let report = write(&engine, &format!("m,h={} v=1 1\n", "é".repeat(2_000)));
    let why = report.errors[0].reason.to_string();
    assert!(why.contains("max_values_per_label") && why.chars().count() < 700, "{why}");
}

#[test]
fn a_batch_of_any_size_fits_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let kv = Arc::new(MemoryKv::default());
    let options = Options { memory_bytes: 2 << 30, label_bytes_per_series: 1 << 20, ..options() };
    let open = || {
        let clock = Arc::new(ManualClock::new(YEAR_2024));
        Engine::open_over(dir.path(), kv.clone(), options.clone(), clock).unwrap()
    };
    let engine = open();
    // Definitions, events and exemplars of 75 MiB each: a record of the log holds 64.
    let mut batch = Batch::new();
    let long = "x".repeat(1 << 20);
    let sets: Vec<Labels> = (0..75)
        .map(|i| {
            Labels::from_pairs([("__name__", "m"), ("i", &*i.to_string()), ("t", &long[..1_000_000])])
                .unwrap()
        })
        .collect();
    for labels in &sets {
        batch.push(labels, 1, Value::Float(1.0));
        batch.push(labels, 2, Value::Int(2));
        batch.push_event(&Labels::from_pairs([("__name__", "e")]).unwrap(), 1, &long);
        let trace = Labels::from_pairs([("trace_id", "t")]).unwrap();
        batch.push_exemplar(
            labels,
            crate::model::Exemplar { labels: trace, timestamp: crate::Timestamp::from_nanos(1), value: 1.0 },
        );
    }
    let report = engine.append(&batch).unwrap();
    assert_eq!((report.samples, report.events, report.exemplars), (150, 75, 75));
    drop(engine);
    let engine = open();
    let view = engine.view();
    let found = view.select(&[Matcher::equal("__name__", "m")], TimeRange::ALL, 100).unwrap();
    assert_eq!(found.len(), 75, "all of it is in the log");
    for series in &found {
        assert_eq!(view.read(series, TimeRange::ALL).unwrap().timestamps, [1, 2]);
    }

    let huge = "x".repeat(17 << 20);
    let mut batch = Batch::new();
    batch.push(&sets[0], 3, Value::Float(1.0));
    batch.push_event(&Labels::from_pairs([("__name__", "e")]).unwrap(), 1, &huge);
    let refused = engine.append(&batch).expect_err("an event beyond every limit");
    assert_eq!(refused.kind(), ErrorKind::Limit, "{refused}");
    let stats = engine.stats();
    drop(view);
    drop(engine);
    assert_eq!(open().stats().last_seq, stats.last_seq, "nothing of it is in the log");
}
