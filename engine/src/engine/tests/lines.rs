//! Line protocol at the engine's door: several bodies at once, and times that are far from the clock.

use super::*;
use crate::line::Precision;
use crate::model::Timestamp;
use crate::{FarLine, LineBody, LineOptions, LineReport};

const FAR: i64 = LineReport::FAR.as_nanos() as i64;

/// An engine whose clock stands at the beginning of 2024.
fn engine_of_2024() -> (Engine, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(YEAR_2024));
    let options = Options { durability: Durability::Always, ..options() };
    let engine = Engine::open_over(dir.path(), Arc::new(MemoryKv::default()), options, clock).unwrap();
    (engine, dir)
}

fn body(bytes: &[u8]) -> LineBody<'_> {
    LineBody { bytes, default_timestamp: None }
}

fn samples(engine: &Engine, metric: &str) -> Vec<(Timestamp, f64)> {
    let view = engine.view();
    let found = view.select(&[Matcher::equal("__name__", metric)], TimeRange::ALL, 10).unwrap();
    let columns = found.iter().map(|series| view.read(series, TimeRange::ALL).unwrap());
    columns
        .flat_map(|run| run.timestamps.iter().copied().zip(run.values.clone()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn a_time_far_from_the_clock_is_counted() {
    let (engine, _dir) = engine_of_2024();
    let write = |precision, lines: &str| {
        engine.write_lines(lines.as_bytes(), &LineOptions { precision, ..LineOptions::default() }).unwrap()
    };
    let far = |timestamp| Some(FarLine { body: 0, timestamp: crate::Timestamp::from_nanos(timestamp) });
    for _ in 0..2 {
        // The second time all lines are of known series, which are read another way.
        for (time, expected) in [
            (YEAR_2024, None),
            (YEAR_2024 - FAR, None),
            (YEAR_2024 + FAR, None),
            (YEAR_2024 - FAR - 1, far(YEAR_2024 - FAR - 1)),
            (YEAR_2024 + FAR + 1, far(YEAR_2024 + FAR + 1)),
            (0, far(0)),
            (i64::MIN + 2, far(i64::MIN + 2)),
            (i64::MAX - 1, far(i64::MAX - 1)),
        ] {
            let report = write(Precision::Nanosecond, &format!("m v=1 {time}\n"));
            assert_eq!(
                (report.lines_far, report.first_far),
                (u64::from(expected.is_some()), expected),
                "{time}"
            );
        }
        let report =
            write(Precision::Nanosecond, "m v=1\nm v=true 1704067200\nm v=1 1704067201000\nm v= 1\n");
        assert_eq!((report.lines_total, report.lines_bad, report.lines_far), (4, 1, 2));
        assert_eq!(report.first_far, far(1_704_067_200), "seconds that are read as nanoseconds");
        assert_eq!(write(Precision::Second, "m v=1 1704067200\n").lines_far, 0);
        assert_eq!(write(Precision::Millisecond, "m v=1 1704067200\n").lines_far, 1);
        assert_eq!(write(Precision::Nanosecond, "e text=\"only\" 1704067200\n").lines_far, 1, "an event too");
    }
}

#[test]
fn bodies_are_read_one_by_one() {
    let (engine, _dir) = engine_of_2024();
    let bodies = [
        body(b"a value=1 1704067200000000001\nb text=\"never closed"),
        body(b"not closed here\",value=5 1704067200000000002\na value=2 1704067200000000002\n"),
        body(b""),
        body(b"a value=3 17040672000000000"),
        body(b"03\n# a comment\na value=4"),
        LineBody {
            bytes: b"a value=5\nc value=6",
            default_timestamp: Some(crate::Timestamp::from_nanos(YEAR_2024 + 5)),
        },
    ];
    let report = engine.write_line_bodies(bodies, &LineOptions::default()).unwrap();
    let errors: Vec<_> =
        report.error_bodies.iter().zip(&report.errors).map(|(body, e)| (*body, e.line)).collect();
    assert_eq!(errors, [(0, 2), (1, 1), (4, 1)], "{:?}", report.errors);
    assert_eq!((report.lines_total, report.lines_bad, report.samples, report.events), (9, 3, 6, 0));
    assert_eq!(
        report.first_far,
        Some(FarLine { body: 3, timestamp: crate::Timestamp::from_nanos(17_040_672_000_000_000) })
    );
    let expected = [17_040_672_000_000_000, YEAR_2024, YEAR_2024 + 1, YEAR_2024 + 2, YEAR_2024 + 5];
    assert_eq!(
        samples(&engine, "a"),
        expected.into_iter().zip([3.0, 4.0, 1.0, 2.0, 5.0]).collect::<Vec<_>>()
    );
    assert_eq!(samples(&engine, "c"), [(YEAR_2024 + 5, 6.0)]);
}

#[test]
fn many_bodies_are_one_sync() {
    let (engine, _dir) = engine_of_2024();
    let syncs = engine.stats().wal_syncs;
    let lines: Vec<String> = (0..500).map(|i| format!("m,i={i} value={i}\n")).collect();
    let report = engine.write_line_bodies(lines.iter().map(|l| body(l.as_bytes())), &LineOptions::default());
    assert_eq!(report.unwrap().samples, 500);
    assert_eq!(engine.stats().wal_syncs - syncs, 1);
    let none = engine.write_line_bodies([], &LineOptions::default()).unwrap();
    assert_eq!(none, LineReport::default());
}
