//! Limits of cardinality, over every way in.

use super::*;
use crate::LineOptions;

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
    assert_eq!((report.lines_bad, report.lines_limited, report.samples), (1, 1, 4));
    let why = report.errors[0].to_string();
    assert!(
        why.contains(r#"metric "cpu_v" has 2 active series, the limit (max_series_per_metric); series cpu_v{h="c"} is new"#),
        "{why}"
    );
    assert_eq!(series(&engine), [r#"cpu_v{h="a"}"#, r#"cpu_v{h="b"}"#, r#"mem_v{h="c"}"#]);
    let mut batch = Batch::new();
    batch.push(&Labels::from_pairs([("__name__", "cpu_v"), ("h", "d")]).unwrap(), 5, Value::Float(0.0));
    assert!(matches!(engine.append(&batch), Err(Error::Limit(_))));
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
    assert_eq!((report.lines_bad, report.lines_limited, report.samples), (2, 2, 3));
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
