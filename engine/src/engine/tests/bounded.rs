//! Reads under a piece of work: their memory limit, when they stop, and what they release.

use super::between::engine;
use super::{SECOND, YEAR_2024, labels};
use crate::budget::{Share, Work};
use crate::model::{Labels, Matcher, TimeRange, Value};
use crate::{Batch, Engine, Error};

const SERIES: usize = 300;

fn host(number: usize) -> Labels {
    let host = format!("host-{number:04}");
    Labels::from_pairs([("__name__", "load"), ("host", host.as_str()), ("job", "node")]).unwrap()
}

/// One sample of irregular value for each series, at each of the seconds.
fn append(engine: &Engine, seconds: impl Iterator<Item = i64>) {
    let mut batch = Batch::new();
    for second in seconds {
        for number in 0..SERIES {
            let value = (number as f64 + 0.1) * (second as f64).sqrt();
            batch.push(&host(number), YEAR_2024 + second * SECOND, Value::Float(value));
        }
    }
    engine.append(&batch).unwrap();
}

fn event(engine: &Engine, second: i64, text: &str) {
    let mut batch = Batch::new();
    batch.push_event(&labels(0), YEAR_2024 + second * SECOND, text);
    engine.append(&batch).unwrap();
}

fn all() -> Vec<Matcher> {
    vec![Matcher::equal("job", "node")]
}

#[test]
fn a_view_takes_what_it_copies_before_it_does_and_gives_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine(&dir);
    append(&engine, 0..200);
    let share = Share::new("queries", 1 << 30);
    let work = Work::unbounded().of(share.clone());
    let view = engine.view().with_work(&work);
    assert_eq!(view.select_unsorted(&all(), TimeRange::ALL, 1000).unwrap().len(), SERIES);
    let kept = view.kept_bytes();
    assert!(kept > (SERIES * 400) as u64, "{kept} bytes for {SERIES} open chunks");
    drop(view);
    assert_eq!(share.used(), 0);

    let limit = kept / 3;
    let small = work.holding(limit);
    let view = engine.view().with_work(&small);
    let refused = view.select_unsorted(&all(), TimeRange::ALL, 1000);
    assert!(matches!(refused, Err(Error::Memory(_))));
    assert!(view.kept_bytes() <= limit && share.used() <= limit);
    drop(view);
    assert_eq!(share.used(), 0, "nothing of a refused read stays");
}

#[test]
fn calls_about_labels_copy_no_samples() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine(&dir);
    append(&engine, 0..200);
    let selectors = [all()];
    let peak = |ask: &dyn Fn(&crate::View<'_>) -> usize, expected: usize| {
        let work = Work::unbounded();
        assert_eq!(ask(&engine.view().with_work(&work)), expected);
        work.account().peak()
    };
    let range = TimeRange::ALL;
    let chunks = (SERIES * 200 * 8) as u64;
    for flushed in [false, true] {
        let all = peak(&|view| view.label_sets(&selectors, range, usize::MAX).unwrap().len(), SERIES);
        assert!(all < chunks / 8, "{all} of {chunks}, flushed: {flushed}");
        let one = peak(&|view| view.label_sets(&selectors, range, 1).unwrap().len(), 1);
        assert!(one < 512, "{one} bytes for one series, flushed: {flushed}");
        let names = peak(&|view| view.label_names(&selectors, range, usize::MAX).unwrap().len(), 3);
        assert!(names < 1024, "{names} bytes for three names, flushed: {flushed}");
        for selectors in [&selectors[..], &[Vec::new()]] {
            let ask = |view: &crate::View<'_>| view.label_values("host", selectors, range, 5).unwrap().len();
            let values = peak(&ask, 5);
            assert!(values < 2048, "{values} bytes for five values, flushed: {flushed}");
        }
        engine.flush().unwrap();
    }
}

#[test]
fn the_first_values_are_the_smallest_with_their_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine(&dir);
    append(&engine, 0..2);
    engine.flush().unwrap();
    append(&engine, 700..702);
    let view = engine.view();
    for selectors in [vec![all()], vec![Vec::new()]] {
        let found = view.label_values("host", &selectors, TimeRange::ALL, 3).unwrap();
        let expected: Vec<_> = (0..3).map(|n| (format!("host-{n:04}"), 1)).collect();
        assert_eq!(found, expected);
        let found = view.label_values("job", &selectors, TimeRange::ALL, 3).unwrap();
        assert_eq!(found, [("node".to_owned(), SERIES as u64)]);
        let names = view.label_names(&selectors, TimeRange::ALL, 2).unwrap();
        assert_eq!(names, ["__name__", "host"]);
    }
    let gone = TimeRange::inclusive(0, YEAR_2024 - 1);
    assert!(view.label_sets(&[all()], gone, 9).unwrap().is_empty());
}

#[test]
fn values_that_others_push_out_give_their_memory_back() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine(&dir);
    let mut batch = Batch::new();
    (0..SERIES).rev().for_each(|number| batch.push(&host(number), YEAR_2024, Value::Float(1.0)));
    engine.append(&batch).unwrap();
    let work = Work::unbounded();
    let view = engine.view().with_work(&work);
    let found = view.label_values("host", &[all()], TimeRange::ALL, 2).unwrap();
    assert_eq!(found, [("host-0000".to_owned(), 1), ("host-0001".to_owned(), 1)]);
    assert!(work.account().peak() < 1024, "{} bytes for two values", work.account().peak());
}

#[test]
fn one_event_of_many_is_found_with_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine(&dir);
    let text = "x".repeat(1000);
    for second in (0..2000).rev() {
        event(&engine, second, &text);
        if second == 1000 {
            engine.flush().unwrap();
        }
    }
    event(&engine, 0, "newer");
    let work = Work::unbounded();
    let view = engine.view().with_work(&work);
    let selectors = [vec![Matcher::equal("job", "job0")]];
    let found = view.events(&selectors, TimeRange::ALL, 1).unwrap();
    assert_eq!((found.len(), found[0].timestamp.as_nanos(), &*found[0].text), (1, YEAR_2024, "newer"));
    let peak = work.account().peak();
    assert!(peak < 80_000, "{peak} bytes for one of 2000 events of 1000 bytes");
    let mut times = Vec::new();
    view.each_event(&selectors, TimeRange::ALL, &mut |event| {
        times.push((event.timestamp.as_nanos() - YEAR_2024) / SECOND);
        Ok(true)
    })
    .unwrap();
    assert_eq!(times, (0..2000).collect::<Vec<_>>());
    assert!(work.account().peak() < 80_000, "none is held longer than its turn");
    let refused =
        engine.view().with_work(&work.clone().holding(20_000)).events(&selectors, TimeRange::ALL, 100);
    assert!(matches!(refused, Err(Error::Memory(_))), "{refused:?}");
}

/// Series are read one by one while flushes and merges move their samples, and deletes hide some.
#[test]
fn what_was_acknowledged_before_is_read_whatever_happens_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine(&dir);
    append(&engine, 0..5);
    engine.flush().unwrap();
    append(&engine, 5..10);
    let work = Work::unbounded();
    let (mut read, mut labels) = (0, Vec::new());
    let view = engine.view().with_work(&work);
    let whole = view.each_series(&all(), TimeRange::ALL, SERIES, &|_| false, &mut |series, run| {
        let expected: Vec<i64> = (0..10).map(|second| YEAR_2024 + second * SECOND).collect();
        assert_eq!(run.timestamps[..10], expected, "{}", series.labels);
        labels.push(series.labels.clone());
        match read % 40 {
            0 => append(&engine, 20 + read..21 + read),
            10 => {
                engine.flush().unwrap();
            }
            20 => {
                engine.delete(&all(), TimeRange::inclusive(YEAR_2024 + 20 * SECOND, i64::MAX)).unwrap();
            }
            30 => engine.compact().unwrap(),
            _ => {}
        }
        read += 1;
        Ok(true)
    });
    assert!(whole.unwrap());
    assert_eq!(labels, (0..SERIES).map(host).collect::<Vec<_>>(), "each once, in order");
    let peak = work.account().peak();
    assert!(peak < (SERIES * 600) as u64, "{peak} bytes: not the samples of all");
    drop(view);
    assert_eq!(work.account().bytes(), 0);
}

#[test]
fn every_read_ends_when_it_is_canceled() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine(&dir);
    append(&engine, 0..3);
    engine.flush().unwrap();
    append(&engine, 3..6);
    event(&engine, 1, "text");
    let work = Work::unbounded();
    let mut read = 0;
    let stopped = engine.view().with_work(&work).each_series(
        &all(),
        TimeRange::ALL,
        SERIES,
        &|_| false,
        &mut |_, _| {
            read += 1;
            if read == 3 {
                work.cancel().cancel();
            }
            Ok(true)
        },
    );
    assert!(matches!(stopped, Err(Error::Stopped(_))) && read == 3, "{read}");
    let view = engine.view().with_work(&work);
    let range = TimeRange::ALL;
    let selectors = [all(), Vec::new()];
    let ends = [
        view.select_unsorted(&all(), range, 1000).map(drop),
        view.estimate(&all(), range).map(drop),
        view.label_sets(&selectors, range, 1000).map(drop),
        view.label_names(&selectors[..1], range, 1000).map(drop),
        view.label_names(&selectors, range, 1000).map(drop),
        view.label_values("host", &selectors[..1], range, 1000).map(drop),
        view.label_values("host", &selectors, range, 1000).map(drop),
        view.events(&selectors, range, 1000).map(drop),
        view.cardinality(Some(range), 10).map(drop),
    ];
    for (call, end) in ends.iter().enumerate() {
        assert!(matches!(end, Err(Error::Stopped(_))), "call {call}: {end:?}");
    }
    assert_eq!(work.account().bytes(), view.kept_bytes());
}
