//! Limits of tenants through every write path, and room for others while one tenant floods.

use super::remote::one as remote;
use super::*;
use crate::remote::RemoteVersion;
use crate::{ErrorKind, LineOptions, LineReport};

fn write(engine: &Engine, lines: &str) -> LineReport {
    engine.write_lines(lines.as_bytes(), &LineOptions::default()).unwrap()
}

/// New series of a tenant, as lines.
fn lines(tenant: &str, numbers: std::ops::Range<usize>) -> String {
    numbers.map(|i| format!("m,db={tenant},i={i} v=1 1\n")).collect()
}

fn series_of(engine: &Engine, tenant: &str) -> u64 {
    engine.tenants(100).largest.iter().find(|found| found.name == tenant).map_or(0, |found| found.series)
}

/// Writes new series of a tenant until one is refused; returns that refusal.
fn flood(engine: &Engine, tenant: &str) -> (u64, LineReport) {
    for round in 0.. {
        let report = write(engine, &lines(tenant, 1_000 * round..1_000 * (round + 1)));
        if report.lines_bad > 0 {
            return (series_of(engine, tenant), report);
        }
    }
    unreachable!("memory is limited")
}

#[test]
fn a_tenant_at_its_limit_takes_no_new_series_by_any_way_in() {
    let engine = Engine::in_memory(Options { max_series_per_tenant: 2, ..options() }).unwrap();
    let report = write(&engine, &format!("{}{}up v=1 1\n", lines("a", 0..3), lines("b", 0..2)));
    assert_eq!(
        (report.lines_bad, report.lines_limited, report.samples),
        (1, 0, 5),
        "it does not pass with time"
    );
    let why = report.errors[0].to_string();
    assert!(
        why.contains(
            r#"tenant "a" (label "db") has 2 active series, the limit (max_series_per_tenant); series"#
        ) && why.contains("is new: raise the limit"),
        "{why}"
    );
    assert_eq!(write(&engine, &lines("a", 0..2)).lines_bad, 0, "known series are written");

    let now_ms = YEAR_2024 / 1_000_000;
    let body = remote(&[("__name__", "m"), ("db", "a"), ("i", "9")], &[(now_ms, 1.0)]);
    let report = engine.write_remote(&body, RemoteVersion::One).unwrap();
    assert_eq!((report.refused, report.limited, report.samples), (1, 0, 0));
    assert!(report.refusals[0].to_string().contains("max_series_per_tenant"), "{}", report.refusals[0]);

    let new = Labels::from_pairs([("__name__", "m"), ("db", "a"), ("i", "8")]).unwrap();
    let mut batch = Batch::new();
    batch.push(&new, 1, Value::Float(1.0));
    assert_eq!(engine.append(&batch).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(engine.handle(&new).unwrap_err().kind(), ErrorKind::Limit);
    let stats = engine.stats();
    assert_eq!((stats.refused, stats.refused_tenant), (4, 4));
    assert_eq!(engine.tenants(9).refused, [("a".to_owned(), 4)]);

    assert_eq!(
        write(&engine, "up,i=1 v=1 1\nup,i=2 v=1 1\n").lines_bad,
        1,
        "series without the label are a tenant"
    );
    let why = write(&engine, "up,i=2 v=1 1\n").errors[0].to_string();
    assert!(why.contains(r#"the tenant without a label "db" has 2"#), "{why}");

    engine.set_tenant_limits(3, 0);
    engine.append(&batch).unwrap();
    assert_eq!(series_of(&engine, "a"), 3, "a raised limit lets it in");
}

#[test]
fn new_series_of_a_tenant_are_limited_by_the_second() {
    let engine = Engine::in_memory(Options { max_new_series_per_tenant: 10, ..options() }).unwrap();
    let report = write(&engine, &format!("{}{}", lines("a", 0..15), lines("b", 0..10)));
    assert_eq!((report.lines_bad, report.lines_limited, report.samples), (5, 5, 20), "it passes with time");
    let why = report.errors[0].to_string();
    assert!(why.contains(r#"more than 10 new series of tenant "a" (label "db") in one second"#), "{why}");
    assert!(why.contains("(max_new_series_per_tenant); retry later"), "{why}");

    let batch = |tenant: &str, count: usize| {
        let mut batch = Batch::new();
        for i in 0..count {
            let labels = Labels::from_pairs([("__name__", "n"), ("db", tenant), ("i", &*i.to_string())]);
            batch.push(&labels.unwrap(), 1, Value::Float(1.0));
        }
        batch
    };
    let refused = engine.append(&batch("c", 11)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Limit, "a retry would create them all again: {refused}");
    assert_eq!(series_of(&engine, "c"), 0, "nothing of the batch remains");
    engine.append(&batch("c", 10)).unwrap();
}

/// A series that the limit of all tenants refuses does not count against its own tenant's.
#[test]
fn a_refusal_by_another_limit_leaves_the_tenant_its_second() {
    let limits = Options { max_new_series_per_tenant: 2, new_series_per_second: 2, ..options() };
    let engine = Engine::in_memory(limits).unwrap();
    assert_eq!(write(&engine, &format!("{}{}", lines("a", 0..2), lines("b", 0..5))).lines_limited, 5);
    engine.set_new_series_per_second(0);
    assert_eq!(write(&engine, &lines("b", 0..2)).lines_bad, 0);
    assert_eq!(write(&engine, &lines("b", 2..3)).lines_limited, 1);
}

#[test]
fn what_is_taken_back_left_or_replayed_is_counted_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let kv = Arc::new(MemoryKv::default());
    let open = || {
        let clock = Arc::new(ManualClock::new(YEAR_2024));
        let limits = Options { max_series_per_tenant: 10, ..options() };
        Engine::open_over(dir.path(), kv.clone(), limits, clock).unwrap()
    };
    let engine = open();
    assert_eq!(write(&engine, &lines("a", 0..10)).lines_bad, 0);
    let (before, bytes) = (engine.tenants(9), engine.stats().head_series_bytes);
    // One of its series is within the limit of its tenant, the other is not; the batch is accepted or refused whole.
    let mut batch = Batch::new();
    for tenant in ["b", "a"] {
        let labels = Labels::from_pairs([("__name__", "n"), ("db", tenant)]).unwrap();
        batch.push(&labels, 1, Value::Float(1.0));
    }
    assert_eq!(engine.append(&batch).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!((engine.tenants(9).largest, engine.stats().head_series_bytes), (before.largest, bytes));

    drop(engine);
    let engine = open();
    assert_eq!((series_of(&engine, "a"), engine.stats().head_series_bytes), (10, bytes), "from the log");
    assert_eq!(write(&engine, &lines("a", 10..11)).lines_bad, 1, "a restart does not forget the limit");

    for second in 0..4 {
        assert_eq!(write(&engine, &format!("keep,db=b v=1 {second}\n")).lines_bad, 0);
        engine.flush().unwrap();
    }
    assert_eq!((series_of(&engine, "a"), engine.tenants(9).count), (0, 1), "idle series have left");
    assert_eq!(write(&engine, &lines("a", 10..20)).lines_bad, 0);
    assert_eq!(write(&engine, &lines("a", 20..21)).lines_bad, 1);
}

#[test]
fn a_tenant_that_floods_leaves_room_for_the_others() {
    let engine = Engine::in_memory(Options { memory_bytes: 16 << 20, ..options() }).unwrap();
    // It is the only tenant, so only memory limits it.
    let (alone, report) = flood(&engine, "bomb");
    assert_eq!(report.lines_limited, report.lines_bad, "it passes with time: {}", report.errors[0]);
    let why = report.errors[0].to_string();
    assert!(why.contains("active series take") && !why.contains("tenant"), "{why}");
    let bound = engine.options().series_bytes_max();
    assert!(engine.stats().head_series_bytes + 1_000 > bound, "all of the memory for series");

    assert_eq!(write(&engine, &lines("good", 0..300)).lines_bad, 0, "the other tenant is admitted at once");
    let why = write(&engine, &lines("bomb", 1_000_000..1_000_001)).errors[0].to_string();
    assert!(why.contains(r#"tenant "bomb" (label "db") take"#) && why.contains("fair share"), "{why}");
    assert!(why.contains("raise memory"), "{why}");
    let (_, second) = flood(&engine, "second");
    assert_eq!(second.lines_limited, second.lines_bad);
    assert_eq!(
        write(&engine, "m,db=third v=1 1\n").lines_bad,
        0,
        "nor does a second one take all of the rest"
    );
    assert!(engine.stats().head_series_bytes <= bound + bound / 16, "the reserve is bounded");

    // The same if the others came first.
    let engine = Engine::in_memory(Options { memory_bytes: 16 << 20, ..options() }).unwrap();
    write(&engine, &lines("good", 0..10));
    let (beside, _) = flood(&engine, "bomb");
    assert!(beside > alone * 3 / 4 && beside < alone * 9 / 10, "{beside} of {alone}");
    assert_eq!(write(&engine, &lines("good", 10..1_000)).lines_bad, 0);
}

#[test]
fn a_tenant_that_floods_leaves_others_room_in_the_number_of_series() {
    let engine = Engine::in_memory(Options { active_series: 1_000, ..options() }).unwrap();
    write(&engine, &lines("good", 0..1));
    let report = write(&engine, &lines("bomb", 0..2_000));
    assert_eq!((report.lines_limited, series_of(&engine, "bomb")), (0, 800), "{}", report.errors[0]);
    let why = report.errors[0].to_string();
    assert!(why.contains(r#"tenant "bomb""#) && why.contains("max_series, Options::active_series"), "{why}");
    assert_eq!(write(&engine, &lines("good", 1..100)).lines_bad, 0);

    let alone = Engine::in_memory(Options { active_series: 1_000, ..options() }).unwrap();
    assert_eq!(write(&alone, &lines("one", 0..1_001)).lines_bad, 1, "the only tenant gets all of them");
    let off = Options { active_series: 1_000, tenant_label: String::new(), ..options() };
    let off = Engine::in_memory(off).unwrap();
    write(&off, &lines("a", 0..1));
    assert_eq!(write(&off, &lines("b", 0..1_000)).lines_bad, 1, "without a label all are one tenant");
}

#[test]
fn the_label_of_tenants_is_checked() {
    for bad in ["__name__", "a\0b"] {
        let refused = Engine::in_memory(Options { tenant_label: bad.to_owned(), ..options() });
        assert!(refused.is_err_and(|error| error.to_string().contains("tenant_label")), "{bad:?}");
    }
    let engine =
        Engine::in_memory(Options { tenant_label: "job".to_owned(), max_series_per_tenant: 1, ..options() });
    assert_eq!(write(&engine.unwrap(), "m,job=x v=1 1\nm,job=y v=1 1\nm,job=x,i=1 v=1 1\n").lines_bad, 1);
}
