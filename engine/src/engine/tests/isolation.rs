//! A view shows one state of the database: whole batches, whole deletes, and nothing written later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::between::engine as engine_over_faults;
use super::random::Random;
use super::{SECOND, YEAR_2024, float_batch, options};
use crate::model::{Labels, MatchOp, Matcher, TimeRange, Value};
use crate::{Batch, Engine, ErrorKind, Options, View};

fn labels(series: usize) -> Labels {
    Labels::from_pairs([("__name__", "x"), ("i", series.to_string().as_str())]).expect("names differ")
}

fn at(second: i64) -> i64 {
    YEAR_2024 + second * SECOND
}

fn all() -> [Matcher; 1] {
    [Matcher::equal("__name__", "x")]
}

/// Maps series and second to the value.
type State = BTreeMap<(usize, i64), i64>;

/// What a view shows of some series.
fn samples(view: &View<'_>, matchers: &[Matcher]) -> State {
    let mut state = State::new();
    for series in view.select(matchers, TimeRange::ALL, usize::MAX).expect("memory answers") {
        let number = series.labels.get("i").and_then(|i| i.parse().ok()).expect("a number");
        let run = view.read(&series, TimeRange::ALL).expect("memory answers");
        let values = run.timestamps.iter().zip(&run.values);
        state.extend(values.map(|(t, value)| ((number, (t - YEAR_2024) / SECOND), *value as i64)));
    }
    state
}

/// What a view shows of events.
fn events(view: &View<'_>) -> Vec<String> {
    let found = view.events(&[Vec::new()], TimeRange::ALL, usize::MAX).expect("memory answers");
    found.into_iter().map(|event| event.text).collect()
}

fn batch(series: impl Iterator<Item = usize>, second: i64, value: i64) -> Batch {
    let mut batch = Batch::new();
    for number in series {
        batch.push(&labels(number), at(second), Value::Float(value as f64));
    }
    batch
}

/// The view reads the first series, then everything changes, then the view reads the others.
#[test]
fn what_comes_between_two_series_is_not_seen() {
    let dir = tempfile::tempdir().expect("a directory");
    let (engine, faulty) = engine_over_faults(&dir);
    engine.append(&batch(0..3, 1, 10)).expect("append");
    faulty.is_full.store(true, Ordering::Relaxed);
    assert!(engine.flush().is_err(), "the failed flush has begun; a later flush completes it");
    let mut second = batch(0..3, 5, 20);
    second.push_event(&labels(0), at(5), "before");
    engine.append(&second).expect("append");
    let expected: State = (0..3).flat_map(|series| [((series, 1), 10), ((series, 5), 20)]).collect();

    let view = engine.view();
    let mut seen = samples(&view, &[Matcher::equal("i", "0")]);
    let mut third = batch(0..4, 6, 30);
    third.push_event(&labels(0), at(6), "after");
    engine.append(&third).expect("in order");
    engine.append(&batch(0..3, 5, 40)).expect("overwrites existing samples");
    engine.append(&batch(0..3, 2, 50)).expect("late");
    seen.extend(samples(&view, &[Matcher::equal("i", "1")]));
    engine.delete(&all(), TimeRange::ALL).expect("delete");
    engine.append(&batch(0..3, 7, 60)).expect("append");
    assert_eq!(events(&view), ["before"]);
    faulty.is_full.store(false, Ordering::Relaxed);
    engine.flush().expect("the flush that had begun");
    engine.flush().expect("a flush of the samples since then");
    engine.compact().expect("merges");
    assert_eq!(events(&view), ["before"]);
    seen.extend(samples(&view, &[Matcher::new("i", MatchOp::NotEqual, "0").expect("a matcher")]));
    assert_eq!(seen, expected);
    assert_eq!(samples(&engine.view(), &all()), (0..3).map(|series| ((series, 7), 60)).collect());

    assert!(!engine.shared.head.kept.is_empty(), "for the view");
    drop(view);
    engine.append(&batch(0..1, 8, 1)).expect("append");
    engine.flush().expect("flush");
    assert!(engine.shared.head.kept.is_empty());
    assert_eq!(engine.shared.head.sample_bytes(), 0);
}

/// Series are read one after another, as slowly as a client takes them.
#[test]
fn what_comes_while_series_are_handed_out_one_by_one_is_not_seen() {
    let engine = Engine::in_memory(options()).expect("the options are good");
    engine.append(&batch(0..5, 1, 10)).expect("append");
    let (view, mut seen) = (engine.view(), Vec::new());
    let whole = view.each_series(&all(), TimeRange::ALL, usize::MAX, &|_| false, &mut |_, run| {
        let round = seen.len() as i64;
        seen.push((run.timestamps.clone(), run.values.clone()));
        engine.append(&batch(0..9, 2 + round, 20)).expect("append");
        engine.delete(&all(), TimeRange::inclusive(at(1), at(1))).expect("delete");
        engine.flush().expect("flush");
        engine.compact().expect("merges");
        Ok(true)
    });
    assert!(whole.expect("memory answers"));
    assert_eq!(seen, vec![(vec![at(1)], vec![10.0]); 5]);
}

const SERIES: u64 = 3;
const SECONDS: u64 = 400;

/// A random change; returns the contents of the database after it.
fn change(engine: &Engine, random: &mut Random, state: &mut State, number: i64) {
    match random.below(12) {
        0 => {
            // Partitions span 60 s.
            let first = random.below(SECONDS) as i64;
            let last = first + random.below(100) as i64;
            let series = random.below(SERIES) as usize;
            let range = TimeRange::inclusive(at(first), at(last));
            engine.delete(&[Matcher::equal("i", &series.to_string())], range).expect("delete");
            state.retain(|(of, second), _| *of != series || *second < first || *second > last);
        }
        1 => drop(engine.flush()),
        2 => drop(engine.compact()),
        3 => {
            for second in 0..40 {
                let second = second + number;
                engine.append(&batch(0..1, second, number)).expect("append");
                state.insert((0, second), number);
            }
        }
        _ => {
            let first = random.below(SERIES);
            let count = 1 + random.below(SERIES - first);
            let second = random.below(SECONDS) as i64;
            let series = first as usize..(first + count) as usize;
            engine.append(&batch(series.clone(), second, number)).expect("append");
            state.extend(series.map(|series| ((series, second), number)));
        }
    }
}

/// Views are held during random changes, some of them with a store that refuses flushes and merges.
#[test]
fn views_stay_as_they_were() {
    for seed in 1..60 {
        let dir = tempfile::tempdir().expect("a directory");
        let (engine, faulty) = engine_over_faults(&dir);
        let (mut random, mut state) = (Random(seed), State::new());
        let mut views: Vec<(View<'_>, State)> = Vec::new();
        for number in 0..120 {
            faulty.is_full.store(random.below(3) == 0, Ordering::Relaxed);
            change(&engine, &mut random, &mut state, number);
            if random.below(3) == 0 {
                views.push((engine.view(), state.clone()));
            }
            if random.below(4) == 0 && !views.is_empty() {
                let at = random.below(views.len() as u64) as usize;
                assert_eq!(
                    samples(&views[at].0, &all()),
                    views[at].1,
                    "seed {seed}, view {at}, after {number}"
                );
                views.swap_remove(at);
            }
        }
        for (view, state) in views {
            assert_eq!(samples(&view, &all()), state, "seed {seed}, at the end");
        }
        assert_eq!(samples(&engine.view(), &all()), state, "seed {seed}");
        faulty.is_full.store(false, Ordering::Relaxed);
        engine.flush().expect("flush");
        engine.flush().expect("flush");
        assert_eq!(samples(&engine.view(), &all()), state, "seed {seed}, flushed");
        assert_eq!(engine.shared.head.sample_bytes(), 0, "seed {seed}: all was released");
    }
}

/// Partitions that are still written to are cleaned too; data that a view needs stays until it is dropped.
#[test]
fn what_was_deleted_is_cleaned_away_unless_a_view_needs_it() {
    let engine = Engine::in_memory(options()).expect("the options are good");
    engine.append(&batch(0..2, 1, 10)).expect("append");
    engine.flush().expect("flush");
    engine.append(&batch(0..2, 2, 20)).expect("append");
    let view = engine.view();
    let before = samples(&view, &all());
    engine.delete(&[Matcher::equal("i", "0")], TimeRange::ALL).expect("delete");
    let report = engine.clean().expect("clean");
    assert_eq!((report.partitions, report.held), (1, 1), "the view has the older of two generations");
    assert_eq!(samples(&view, &all()), before);
    assert_eq!(engine.clean().expect("clean").held, 1, "as long as the view lives");
    drop(view);
    engine.delete(&[Matcher::equal("i", "none")], TimeRange::ALL).expect("delete");
    let report = engine.clean().expect("clean");
    assert_eq!((report.partitions, report.held), (1, 0));
    assert!(engine.shared.versions.obsolete().is_empty(), "what was replaced is removed by then");
    let stats = engine.stats();
    assert_eq!((stats.tombstones, stats.generations, stats.stored_samples), (0, 1, 2));
    assert_eq!(samples(&engine.view(), &all()), [((1, 1), 10), ((1, 2), 20)].into());
}

/// Stops the other threads when one panics.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// The cumulative buckets of a classic histogram and a gauge of several series arrive in batches; deletes remove whole
/// instants. Flushes and merges run concurrently.
#[test]
fn no_query_sees_half_a_batch_or_half_a_delete() {
    const HOSTS: usize = 64;
    const ROUNDS: i64 = 700;
    let engine = Engine::in_memory(Options { durability: crate::Durability::Off, ..options() });
    let engine = Arc::new(engine.expect("the options are good"));
    let (stop, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                engine.flush().expect("flush");
                engine.compact().expect("merges");
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let _stop = StopOnPanic(&stop);
                while !stop.load(Ordering::Relaxed) {
                    let view = engine.view();
                    // Each series on its own, as a query's selectors read them.
                    let mut of_series = (0..HOSTS).map(|series| {
                        let state = samples(&view, &[Matcher::equal("i", &series.to_string())]);
                        state.into_iter().map(|((_, second), value)| (second, value)).collect::<Vec<_>>()
                    });
                    let first = of_series.next().expect("there are some");
                    for (series, other) in (1..).zip(of_series) {
                        assert_eq!(
                            other, first,
                            "half a batch or half a delete: series {series} and series 0"
                        );
                    }
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0.. {
            let is_enough = round >= ROUNDS && looks.load(Ordering::Relaxed) >= 50;
            if is_enough || stop.load(Ordering::Relaxed) {
                break;
            }
            // Sometimes overwrites existing samples, or arrives late.
            let second = if round % 5 == 0 { (round - 3).max(0) } else { round } % 600;
            engine.append(&batch(0..HOSTS, second, round)).expect("append");
            if round % 7 == 0 {
                let range = TimeRange::inclusive(at(second - 2), at(second));
                engine.delete(&all(), range).expect("delete");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// A view is held indefinitely while much is written.
#[test]
fn a_view_that_is_held_takes_bounded_memory() {
    const ROUNDS: i64 = 6;
    let options = Options { memory_bytes: 16 << 20, chunk_samples: 1024, ..options() };
    let engine = Engine::in_memory(options).expect("the options are good");
    let limit = engine.options().head_bytes_max();
    let mut random = Random(1);
    let mut write = |first: i64, count: i64| {
        let mut batch = Batch::new();
        for second in first..first + count {
            // Values that do not compress.
            batch.push(&labels(0), at(second), Value::Float(f64::from_bits(random.next() >> 2)));
        }
        engine.append(&batch).expect("there is room");
    };
    let mut views = Vec::new();
    for round in 0..ROUNDS {
        write(round * 80_000, 1);
        views.push(engine.view());
        write(round * 80_000 + 1, 79_999);
        engine.flush().expect("flush");
        assert!(engine.shared.head.sample_bytes() <= limit, "round {round}");
    }
    let read = |view: &View<'_>| view.select(&all(), TimeRange::ALL, 10).map(|found| found.len());
    let old = read(&views[0]).expect_err("memory cannot keep all of it");
    assert_eq!(old.kind(), ErrorKind::Busy);
    assert!(old.to_string().contains("read again"), "{old}");
    assert_eq!(read(&views[ROUNDS as usize - 1]).expect("a new view"), 1);
    assert_eq!(read(&engine.view()).expect("a new view"), 1);
}

/// Most of many series become idle while a view is held; they leave memory, and the view still finds its own.
#[test]
fn idle_series_leave_memory_beside_a_view() {
    let engine = Engine::in_memory(options()).expect("the options are good");
    engine.append(&batch(0..50, 1, 1)).expect("append");
    engine.flush().expect("flush");
    engine.append(&batch(50..60, 1, 2)).expect("append");
    let view = engine.view();
    for second in 2..8 {
        engine.append(&batch(60..61, second, 3)).expect("append");
        engine.flush().expect("flush");
    }
    assert_eq!(engine.stats().head_series, 11, "ten for the view, one that is still written to");
    let expected = (0..60).map(|series| ((series, 1), if series < 50 { 1 } else { 2 }));
    assert_eq!(samples(&view, &all()), expected.collect());
    drop(view);
    for second in 8..10 {
        engine.append(&batch(60..61, second, 3)).expect("append");
        engine.flush().expect("flush");
    }
    assert_eq!(engine.stats().head_series, 1);
}

#[test]
fn what_one_delete_hides_as_a_whole_is_not_listed() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine_over_faults(&dir);
    let listed = || {
        let view = engine.view();
        let selectors = [vec![Matcher::equal("__name__", "m1")]];
        let values = view.label_values("job", &selectors, TimeRange::ALL, 10).unwrap();
        values.into_iter().map(|(value, _)| value).collect::<Vec<_>>()
    };
    engine.append(&float_batch(1, &[1, 2])).unwrap();
    engine.append(&float_batch(3, &[1, 2])).unwrap();
    assert_eq!(listed(), ["job1", "job3"]);
    let before = engine.view();
    let first = [Matcher::equal("job", "job1")];
    let part = TimeRange::new(i64::MIN, YEAR_2024 + SECOND);
    engine.delete(&first, part).unwrap();
    assert_eq!(listed(), ["job1", "job3"], "one sample remains");
    engine.delete(&first, TimeRange::ALL).unwrap();
    assert_eq!(listed(), ["job3"]);
    let selector = [vec![Matcher::equal("__name__", "m1")]];
    assert_eq!(before.label_values("job", &selector, TimeRange::ALL, 10).unwrap().len(), 2, "as it was");
    drop(before);
    engine.append(&float_batch(1, &[3])).unwrap();
    assert_eq!(listed(), ["job1", "job3"], "it was written to again");
    engine.delete(&first, TimeRange::ALL).unwrap();
    engine.flush().unwrap();
    assert_eq!(listed(), ["job3"], "a flush leaves it out");
}
