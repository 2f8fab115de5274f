//! What a subscription receives: what became durable, in order, or how much of it is missing.

use std::sync::mpsc::{RecvError, RecvTimeoutError, TryRecvError};

use super::*;
use crate::model::Timestamp;
use crate::wal::faulty::{Fault, FaultyFs};
use crate::{Subscription, Update};

const ROOM: usize = 1 << 20;
/// Time after which what has not come will not come.
const ENDLESS: Duration = Duration::from_secs(300);

fn in_memory() -> Engine {
    Engine::in_memory(Options { background: false, ..Options::default() }).unwrap()
}

fn batch(series: u8, seconds: &[i64]) -> Batch {
    let mut batch = Batch::new();
    for second in seconds {
        batch.push(&labels(series), second * SECOND, Value::Int(*second));
    }
    batch
}

fn job(series: u8) -> [Matcher; 1] {
    [Matcher::equal("job", &format!("job{series}"))]
}

/// The seconds of all samples that are in the buffer; what is missing as negative numbers.
fn received(subscription: &Subscription) -> Vec<i64> {
    let second = |timestamp: Timestamp| timestamp / SECOND;
    let next = || match subscription.try_recv() {
        Ok(Update::Sample { timestamp, .. }) => Some(second(timestamp.as_nanos())),
        Ok(Update::Event(event)) => Some(second(event.timestamp.as_nanos())),
        Ok(Update::Lagged(count)) => Some(-(count as i64)),
        Err(_) => None,
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn samples_and_events_of_the_series_that_match_come_in_order() {
    let engine = in_memory();
    engine.append(&batch(0, &[1])).unwrap();
    let (one, all) = (engine.subscribe(&job(0), ROOM).unwrap(), engine.subscribe(&[], ROOM).unwrap());
    assert_eq!(one.try_recv(), Err(TryRecvError::Empty), "nothing from before");
    let mut mixed = batch(0, &[5, 3]);
    mixed.push(&labels(1), 4 * SECOND, Value::Float(0.5));
    mixed.push_started(&labels(0), 6 * SECOND, 2 * SECOND, Value::Int(6));
    mixed.push_event(&labels(0), 7 * SECOND, "restarted");
    engine.append(&mixed).unwrap();
    engine.write_lines(b"cpu v=1 8000000000", &crate::LineOptions::default()).unwrap();
    assert_eq!(received(&all), [5, 3, 4, 6, 7, 8]);
    let sample = |second: i64, start_timestamp| Update::Sample {
        labels: labels(0),
        timestamp: crate::Timestamp::from_nanos(second * SECOND),
        start_timestamp: Some(start_timestamp).filter(|at| *at != 0).map(crate::Timestamp::from_nanos),
        value: Value::Int(second),
    };
    let event = crate::Event {
        labels: labels(0),
        timestamp: crate::Timestamp::from_nanos(7 * SECOND),
        text: "restarted".to_owned(),
    };
    let expected = [sample(5, 0), sample(3, 0), sample(6, 2 * SECOND), Update::Event(event)];
    for update in expected {
        assert_eq!(one.recv(), Ok(update));
    }
    assert_eq!(one.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
}

#[test]
fn only_what_is_durable_is_handed_on() {
    for fault in [Fault::Error, Fault::SyncError] {
        let (dir, kv, fs) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()), FaultyFs::sound());
        fs.take_next_log();
        let clock = Arc::new(ManualClock::new(i64::MAX));
        let with = Options { durability: Durability::Always, ..options() };
        let engine = Engine::open_over(dir.path(), kv, with, clock).unwrap();
        let subscription = engine.subscribe(&[], ROOM).unwrap();
        let pending = engine.begin_append(&batch(0, &[1])).unwrap();
        assert_eq!(received(&subscription), [0; 0], "nobody has synced yet");
        engine.wait_append(&pending).unwrap();
        assert_eq!(received(&subscription), [1]);
        fs.fail(fault, fs.calls());
        engine.append(&batch(0, &[2])).unwrap_err();
        assert_eq!(received(&subscription), [0; 0], "{fault:?}: it was refused");
    }
}

#[test]
fn a_full_buffer_loses_the_oldest_and_says_how_many() {
    let engine = in_memory();
    let one = Update::Sample {
        labels: labels(0),
        timestamp: crate::Timestamp::from_nanos(0),
        start_timestamp: None,
        value: Value::Int(0),
    };
    let room = 2 * size_of::<Update>() + labels(0).memory_bytes();
    let ten = engine.subscribe(&[], 10 * room).unwrap();
    let none = engine.subscribe(&[], room - 1).unwrap();
    engine.append(&batch(0, &(1..=10).collect::<Vec<_>>())).unwrap();
    engine.append(&batch(0, &[11, 12, 13])).unwrap();
    assert_eq!(received(&ten), [-3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(received(&none), [-13], "{one:?} does not fit");
    // The count begins again, and room is given back.
    engine.append(&batch(0, &(14..=23).collect::<Vec<_>>())).unwrap();
    assert_eq!(received(&ten), (14..=23).collect::<Vec<_>>());
    // A histogram counts with its buckets.
    let histogram = Histogram {
        count: 64.0,
        positive_spans: vec![Span { offset: 0, length: 64 }],
        positive_buckets: vec![1.0; 64],
        ..Histogram::default()
    };
    assert!(histogram.memory_bytes() > 3 * room, "the buffer has room for less than three");
    for second in 24..28 {
        let mut batch = Batch::new();
        batch.push(&labels(0), second * SECOND, Value::Histogram(Arc::new(histogram.clone())));
        engine.append(&batch).unwrap();
    }
    let seen = received(&ten);
    assert!(seen[0] < 0 && seen.last() == Some(&27) && seen.len() <= 4, "{seen:?}");
}

/// An update that has no room at all is marked in its place; the others stay.
#[test]
fn one_that_is_larger_than_the_buffer_is_lost_alone() {
    let engine = in_memory();
    let room = 2 * size_of::<Update>() + labels(0).memory_bytes();
    let subscription = engine.subscribe(&[], 10 * room).unwrap();
    let append_large = |second: i64| {
        let mut batch = Batch::new();
        batch.push_event(&labels(0), second * SECOND, &"x".repeat(10 * room));
        engine.append(&batch).unwrap();
    };
    engine.append(&batch(0, &[1, 2, 3])).unwrap();
    append_large(4);
    append_large(5);
    engine.append(&batch(0, &[6, 7])).unwrap();
    append_large(8);
    assert_eq!(received(&subscription), [1, 2, 3, -2, 6, 7, -1]);
    append_large(9);
    append_large(10);
    engine.append(&batch(0, &[11])).unwrap();
    assert_eq!(received(&subscription), [-2, 11]);
    // A mark takes room as an update does, and the oldest of both make room.
    engine.append(&batch(0, &(12..=21).collect::<Vec<_>>())).unwrap();
    append_large(22);
    assert_eq!(received(&subscription)[..2], [-1, 13]);
    engine.append(&batch(0, &[23])).unwrap();
    append_large(24);
    append_large(25);
    engine.append(&batch(0, &(26..=35).collect::<Vec<_>>())).unwrap();
    assert_eq!(received(&subscription), [vec![-3], (26..=35).collect()].concat());
}

/// A flush has failed, so that the last one, of closing, completes it and takes nothing that is newer.
#[test]
fn closing_hands_on_what_it_made_durable_without_a_flush() {
    for is_full in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let kv = faulty::FaultyKv::over(Arc::new(MemoryKv::default()));
        let clock = Arc::new(ManualClock::new(i64::MAX));
        let engine = Engine::open_over(dir.path(), kv.clone(), options(), clock).unwrap();
        engine.append(&batch(0, &[1])).unwrap();
        kv.is_full.store(true, Ordering::Relaxed);
        engine.flush().unwrap_err();
        kv.is_full.store(is_full, Ordering::Relaxed);
        let subscription = engine.subscribe(&[], ROOM).unwrap();
        let pending = engine.begin_append(&batch(0, &[2])).unwrap();
        assert_eq!(engine.close().is_err(), is_full);
        assert!(engine.is_appended(&pending).unwrap());
        assert_eq!(received(&subscription), [2], "the disk is full: {is_full}");
        assert_eq!(subscription.try_recv(), Err(TryRecvError::Disconnected));
    }
}

#[test]
fn it_ends_with_the_database_after_what_is_buffered() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(i64::MAX));
    let engine = Engine::open_over(dir.path(), Arc::new(MemoryKv::default()), options(), clock).unwrap();
    let (mut subscription, dropped) =
        (engine.subscribe(&[], ROOM).unwrap(), engine.subscribe(&[], ROOM).unwrap());
    assert!(engine.shared.writer.subscriptions().is_any());
    let waits = std::thread::scope(|scope| {
        let waits = scope.spawn(move || [(); 2].map(|()| dropped.recv_timeout(ENDLESS)));
        engine.append(&batch(0, &[1])).unwrap();
        let _ = engine.begin_append(&batch(0, &[2])).unwrap();
        engine.close().unwrap();
        waits.join().unwrap()
    });
    assert!(waits.iter().all(|update| update.is_ok()), "{waits:?}");
    assert_eq!(subscription.by_ref().count(), 2, "closing completes what was begun");
    assert_eq!(subscription.recv(), Err(RecvError));
    assert!(matches!(engine.subscribe(&[], ROOM), Err(Error::Closed)));
    drop(subscription);
    assert!(!engine.shared.writer.subscriptions().is_any(), "nobody is left");

    // One that begins while the database closes.
    let engine = in_memory();
    engine.shared.writer.subscriptions().end();
    assert_eq!(engine.subscribe(&[], ROOM).unwrap().recv(), Err(RecvError));

    let engine = in_memory();
    let left = engine.subscribe(&[], ROOM).unwrap();
    drop(engine);
    assert_eq!(left.recv(), Err(RecvError));
}

/// Each series comes in the order in which it was written, nothing is missing, and what was received is visible.
#[test]
fn of_many_writers_nothing_is_missing_and_all_is_visible() {
    const WRITERS: u8 = 4;
    const EACH: i64 = 200;
    let engine = in_memory();
    let subscription = engine.subscribe(&[], 64 << 20).unwrap();
    std::thread::scope(|scope| {
        for series in 0..WRITERS {
            let engine = &engine;
            scope.spawn(move || {
                for second in 1..=EACH {
                    engine.append(&batch(series, &[second])).unwrap();
                }
            });
        }
        let mut last = BTreeMap::new();
        for _ in 0..i64::from(WRITERS) * EACH {
            let Ok(Update::Sample { labels, timestamp, .. }) = subscription.recv_timeout(ENDLESS) else {
                panic!("a sample")
            };
            let matchers = [Matcher::equal("job", labels.get("job").unwrap())];
            let view = engine.view();
            let found = view.select(&matchers, TimeRange::ALL, 9).unwrap();
            let run = view.read(&found[0], TimeRange::ALL).unwrap();
            let timestamp = timestamp.as_nanos();
            assert!(run.timestamps.last() >= Some(&timestamp), "it was received before it was visible");
            assert_eq!(timestamp, last.get(&labels).copied().unwrap_or(0) + SECOND);
            last.insert(labels, timestamp);
        }
    });
    assert_eq!(subscription.try_recv(), Err(TryRecvError::Empty));
}

/// The memory of what matches is bounded too.
#[test]
fn a_series_that_comes_after_many_others_is_still_distinguished() {
    let engine = in_memory();
    let subscription = engine.subscribe(&job(7), ROOM).unwrap();
    let small = engine.subscribe(&job(7), 4 << 10).unwrap();
    let mut others = Batch::new();
    for n in 0..40_000 {
        let labels = Labels::from_pairs([("n", &*format!("{n}"))]).unwrap();
        others.push(&labels, SECOND, Value::Int(n));
    }
    engine.append(&batch(7, &[1])).unwrap();
    engine.append(&others).unwrap();
    engine.append(&batch(7, &[2])).unwrap();
    assert_eq!(received(&subscription), [1, 2]);
    assert!(subscription.known() <= 1 << 15);
    assert_eq!(received(&small), [1, 2]);
    assert!(small.known() * 40 <= 1 << 10, "{} series", small.known());
}
