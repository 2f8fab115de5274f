//! Events that are kept for another time than the samples beside them.

use std::time::Duration;

use super::aging::{Aged, DAY};
use super::ladders::{ladder, stored};
use crate::engine::tests::{SECOND, YEAR_2024, labels, options};
use crate::model::{Matcher, TierId, TimeRange, Value};
use crate::{Batch, Ladder, LineOptions, Options};

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

fn database(retention: u64, events: Option<u64>, tiers: &str, ladders: Vec<Ladder>) -> Aged {
    Aged::with_options(Options {
        partition_width: days(1),
        retention: days(retention),
        event_retention: events.map(days),
        tiers: tiers.parse().unwrap(),
        ladders,
        ..options()
    })
}

/// The time of an event of a day.
fn noon(day: i64) -> i64 {
    YEAR_2024 + day * DAY + DAY / 2
}

fn append_event(aged: &Aged, time: i64) -> u64 {
    let mut batch = Batch::new();
    batch.push_event(&labels(0), time, "started");
    aged.engine.append(&batch).unwrap().events
}

/// Days with samples and with an event each.
fn age(aged: &mut Aged, from: i64, until: i64) {
    for day in from..until {
        append_event(aged, noon(day));
        aged.day(day);
    }
}

/// The days with events.
fn events(aged: &Aged) -> Vec<i64> {
    let view = aged.engine.view();
    let found = view.events(&[vec![Matcher::equal("job", "job0")]], TimeRange::ALL, 1_000).unwrap();
    found.iter().map(|event| (event.timestamp.as_nanos() - YEAR_2024).div_euclid(DAY)).collect()
}

/// The number of events in the store, also of those that no reader returns any more.
fn stored_events(aged: &Aged) -> u64 {
    let catalogue = aged.engine.shared.versions.current_owned();
    catalogue.generations.iter().map(|generation| generation.record.events).sum()
}

/// The first day of raw samples of a series.
fn first_sample(aged: &Aged, series: u8) -> Option<i64> {
    stored(aged, TierId::RAW, series).map(|(first, _)| (first - YEAR_2024) / DAY)
}

fn check_clean(aged: &Aged) {
    let verified = aged.engine.verify().unwrap();
    assert!(verified.is_clean(), "{verified:?}");
}

#[test]
fn events_go_before_the_samples() {
    let mut aged = database(0, Some(5), "1h", Vec::new());
    age(&mut aged, 0, 20);
    for _ in 0..2 {
        // A partition goes as a whole.
        assert_eq!(events(&aged), (14..20).collect::<Vec<_>>());
        assert_eq!((stored_events(&aged), first_sample(&aged, 0)), (6, Some(0)));
        aged.check("1h", TimeRange::new(YEAR_2024, YEAR_2024 + 20 * DAY));
        check_clean(&aged);
        let kept = aged.engine.events_kept();
        assert_eq!(kept.dropped.map(|time| time.as_nanos()), Some(YEAR_2024 + 14 * DAY - 1));
        aged.reopen();
    }
    assert_eq!((append_event(&aged, noon(14)), append_event(&aged, noon(15))), (0, 1));
    let deleted = TimeRange::new(YEAR_2024, YEAR_2024 + 17 * DAY);
    aged.engine.delete(&[Matcher::equal("job", "job0")], deleted).unwrap();
    aged.forget(0, deleted);
    aged.engine.flush().unwrap();
    aged.engine.compact().unwrap();
    assert_eq!((events(&aged), stored_events(&aged)), (vec![17, 18, 19], 3));
    check_clean(&aged);
}

#[test]
fn readers_no_longer_see_what_is_not_rewritten_yet() {
    let mut aged = database(0, None, "none", Vec::new());
    age(&mut aged, 0, 10);
    aged.engine.set_event_retention(Some(days(3))).unwrap();
    let before = aged.engine.view();
    let pass = aged.engine.shared.merger.pass(YEAR_2024 + 10 * DAY);
    aged.engine.shared.merger.expire(&pass).unwrap();
    assert_eq!((events(&aged), stored_events(&aged)), (vec![7, 8, 9], 10));
    let all = before.events(&[vec![Matcher::equal("job", "job0")]], TimeRange::ALL, 1_000).unwrap();
    assert_eq!(all.len(), 10, "a view stays as it was");
    drop(before);
    aged.reopen();
    assert_eq!(events(&aged), [7, 8, 9]);
    aged.engine.set_event_retention(Some(days(3))).unwrap();
    aged.engine.compact().unwrap();
    assert_eq!((events(&aged), stored_events(&aged)), (vec![7, 8, 9], 3));
}

/// It is in a partition that the trim has been applied to already.
#[test]
fn a_late_event_that_comes_while_the_trim_is_applied_is_dropped_too() {
    let mut aged = database(0, None, "none", Vec::new());
    age(&mut aged, 0, 10);
    let expire = |days_kept: u64| {
        aged.engine.set_event_retention(Some(days(days_kept))).unwrap();
        let merger = &aged.engine.shared.merger;
        merger.expire(&merger.pass(YEAR_2024 + 10 * DAY)).unwrap();
    };
    expire(5);
    let first = aged.engine.shared.versions.current().layout().partition(TierId::RAW, noon(0));
    let mut looked = 0;
    let mut goes_on = || {
        looked += 1;
        if looked == 2 {
            aged.engine.set_event_retention(None).unwrap();
            assert_eq!(append_event(&aged, noon(0) + 1), 1);
            aged.engine.flush().unwrap();
            aged.engine.shared.merger.compactor().merge(&[first]).unwrap();
            expire(3);
        }
        true
    };
    aged.engine.shared.merger.compactor().apply_event_trim(&mut goes_on).unwrap();
    aged.engine.compact().unwrap();
    assert_eq!((events(&aged), stored_events(&aged)), (vec![7, 8, 9], 3));
}

#[test]
fn events_outlive_the_samples() {
    for keep in [Some(15), Some(0)] {
        let mut aged = database(5, keep, "1h", Vec::new());
        age(&mut aged, 0, 30);
        for _ in 0..2 {
            let first = if keep == Some(0) { 0 } else { 14 };
            assert_eq!(events(&aged), (first..30).collect::<Vec<_>>());
            assert_eq!(([0, 1].map(|series| first_sample(&aged, series))), [Some(24); 2]);
            let view = aged.engine.view();
            assert_eq!(view.raw_from(), YEAR_2024 + 24 * DAY - 1);
            let raw = view.raw_from_of(&[&[Matcher::equal("job", "job1")]], i64::MIN).unwrap();
            assert_eq!(raw, view.raw_from());
            drop(view);
            aged.check("1h", TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 30 * DAY));
            // What is left of a partition without samples is small.
            let catalogue = aged.engine.shared.versions.current_owned();
            let first = catalogue.generations.iter().find(|g| g.prefix.partition.tier.is_raw()).unwrap();
            assert_eq!((first.record.events, first.record.series, first.record.bytes), (1, 0, 0));
            check_clean(&aged);
            aged.reopen();
        }
        let cut = TimeRange::new(YEAR_2024 + 20 * DAY, YEAR_2024 + 20 * DAY + 700 * SECOND);
        let refused = aged.engine.delete(&[Matcher::equal("job", "job1")], cut).expect_err("it cuts an hour");
        assert!(refused.to_string().contains("begin or end it at"), "{refused}");
        let whole = TimeRange::new(YEAR_2024 + 20 * DAY, YEAR_2024 + 21 * DAY);
        aged.engine.delete(&[Matcher::equal("job", "job0")], whole).unwrap();
        aged.forget(0, whole);
        aged.day(30);
        assert!(!events(&aged).contains(&20));
        aged.check("1h", TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 31 * DAY));
        check_clean(&aged);
    }
}

#[test]
fn a_partition_without_events_is_dropped_as_a_whole() {
    let mut aged = database(5, Some(15), "1h", Vec::new());
    (0..10).for_each(|day| aged.day(day));
    let catalogue = aged.engine.shared.versions.current_owned();
    assert!(catalogue.trims.is_empty());
    assert_eq!(catalogue.dropped_partitions(), YEAR_2024 + 4 * DAY - 1);
    age(&mut aged, 10, 40);
    let catalogue = aged.engine.shared.versions.current_owned();
    assert_eq!(catalogue.dropped_partitions(), YEAR_2024 + 24 * DAY - 1);
    assert_eq!(catalogue.raw_from(), YEAR_2024 + 34 * DAY - 1);
    // Once events are kept no longer than samples, there is nothing that the trim says.
    aged.engine.set_event_retention(None).unwrap();
    aged.day(40);
    aged.day(41);
    assert!(aged.engine.shared.versions.current_owned().trims.is_empty());
    assert_eq!(events(&aged), (36..40).collect::<Vec<_>>());
    aged.check("1h", TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 42 * DAY));
    check_clean(&aged);
}

#[test]
fn ladders_and_events_have_times_of_their_own() {
    let ladders = vec![ladder("job0", "raw 3d, 1h"), ladder("job1", "raw 12d, 1h")];
    let mut aged = database(7, Some(20), "1h", ladders);
    age(&mut aged, 0, 40);
    for _ in 0..2 {
        assert_eq!([0, 1, 2].map(|series| first_sample(&aged, series)), [Some(36), Some(27), Some(32)]);
        assert_eq!(events(&aged), (19..40).collect::<Vec<_>>());
        let trims = aged.engine.shared.versions.current_owned().trims.clone();
        assert!(trims.values().all(|trim| trim.applied == trim.until), "{trims:?}");
        assert_eq!(trims.values().filter(|trim| trim.series.is_all()).count(), 1);
        aged.check("1h", TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 40 * DAY));
        check_clean(&aged);
        aged.reopen();
    }
    // Now they are kept for as long as the samples of the second ladder.
    aged.engine.set_event_retention(None).unwrap();
    age(&mut aged, 40, 42);
    assert_eq!(events(&aged), (29..42).collect::<Vec<_>>());
    // A trim of all series says nothing that is left to say once no partition is older than samples.
    let trims = aged.engine.shared.versions.current_owned().trims.clone();
    assert!(trims.values().all(|trim| !trim.series.is_all()), "{trims:?}");
}

#[test]
fn events_written_after_a_trim_are_kept_as_long_as_the_option_says_then() {
    let mut aged = database(0, Some(3), "none", Vec::new());
    age(&mut aged, 0, 10);
    assert_eq!(events(&aged), [6, 7, 8, 9]);
    aged.engine.set_event_retention(Some(days(8))).unwrap();
    assert_eq!((append_event(&aged, noon(1)), append_event(&aged, noon(5))), (0, 1));
    for _ in 0..2 {
        aged.engine.flush().unwrap();
        aged.engine.compact().unwrap();
        assert_eq!(events(&aged), [5, 6, 7, 8, 9]);
        aged.reopen();
        aged.engine.set_event_retention(Some(days(8))).unwrap();
    }
    age(&mut aged, 10, 16);
    assert_eq!((events(&aged), stored_events(&aged)), ((7..16).collect::<Vec<_>>(), 9));
    check_clean(&aged);
}

#[test]
fn a_line_keeps_what_is_not_too_old() {
    let line = |day: i64, fields: &str| format!("log,job=x {fields} {}", noon(day));
    let write = |aged: &Aged, line: &str| {
        let report = aged.engine.write_lines(line.as_bytes(), &LineOptions::default()).unwrap();
        (report.samples, report.events, report.lines_bad, aged.engine.stats().too_old)
    };
    let both = |day: i64| line(day, "text=\"up\",value=1");
    let text = |day: i64| line(day, "text=\"up\",more=\"so\"");
    for (retention, events, expected) in [
        (5, 15, [(0, 1, 0, 1), (0, 2, 0, 1), (1, 1, 0, 1), (0, 0, 1, 2)]),
        (15, 5, [(1, 0, 0, 1), (0, 0, 1, 2), (1, 1, 0, 2), (0, 0, 1, 3)]),
    ] {
        let mut aged = database(retention, Some(events), "none", Vec::new());
        aged.skip(30);
        aged.append(0, [YEAR_2024 + 30 * DAY - SECOND].into_iter());
        let lines = [both(20), text(20), both(28), both(10)];
        assert_eq!(lines.map(|line| write(&aged, &line)), expected, "{retention}");
        let mut batch = Batch::new();
        batch.push_event(&labels(0), noon(20), "started");
        batch.push(&labels(0), noon(20), Value::Float(1.0));
        let report = aged.engine.append(&batch).unwrap();
        assert_eq!((report.events, report.too_old), (u64::from(events > retention), 1));
    }
}

#[test]
fn an_event_retention_is_at_least_a_partition() {
    let aged = database(0, None, "none", Vec::new());
    let refused = aged.engine.set_event_retention(Some(Duration::from_secs(60))).expect_err("too short");
    assert_eq!(refused.to_string(), "option event_retention: 60s is shorter than one partition (86400s)");
    assert_eq!(aged.engine.kept().event_retention, None);
}
