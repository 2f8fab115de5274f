//! Refused data never existed: no view shows it, and no restart restores it.

use std::collections::BTreeSet;

use super::*;
use crate::LineOptions;
use crate::line::LineLimits;
use crate::model::{Exemplar, Metadata, MetricType};
use crate::wal::faulty::{Fault, FaultyFs};

/// An engine whose log is on files that fail.
fn open(
    dir: &tempfile::TempDir,
    kv: &Arc<MemoryKv>,
    fs: &FaultyFs,
    durability: Durability,
) -> Result<Engine> {
    fs.take_next_log();
    let clock = Arc::new(ManualClock::new(i64::MAX));
    Engine::open_over(dir.path(), kv.clone(), Options { durability, ..options() }, clock)
}

/// The labels of what batch number `i` has alone.
fn own(i: usize) -> Labels {
    Labels::from_pairs([("__name__", "own"), ("i", &*i.to_string())]).unwrap()
}

fn shared() -> Labels {
    Labels::from_pairs([("__name__", "shared")]).unwrap()
}

/// A batch of every kind of record: samples of a series of its own and of one that all share, text, a description, an
/// exemplar.
fn batch(i: usize) -> Batch {
    let at = YEAR_2024 + i as i64 * SECOND;
    let mut batch = Batch::new();
    batch.push(&own(i), at, Value::Float(i as f64));
    batch.push(&shared(), at, Value::Int(i as i64));
    batch.push_event(&shared(), at, &format!("event {i}"));
    let help = format!("batch {i}");
    batch.push_metadata(&format!("own_{i}"), Metadata { kind: MetricType::Gauge, help, unit: String::new() });
    let labels = Labels::from_pairs([("trace_id", &*i.to_string())]).unwrap();
    batch.push_exemplar(
        &own(i),
        Exemplar { labels, timestamp: crate::Timestamp::from_nanos(at), value: i as f64 },
    );
    batch
}

/// The numbers of the batches that are there, by each of their parts.
fn found(engine: &Engine) -> [BTreeSet<usize>; 6] {
    let view = engine.view();
    let number = |text: &str| text.rsplit(['_', ' ']).next().unwrap().parse::<usize>().unwrap();
    let read = |name: &str| {
        let found = view.select(&[Matcher::equal("__name__", name)], TimeRange::ALL, 1000).unwrap();
        let runs = found.iter().map(|series| view.read(series, TimeRange::ALL).unwrap());
        runs.flat_map(|run| run.timestamps.clone()).map(|t| ((t - YEAR_2024) / SECOND) as usize).collect()
    };
    let listed = view.label_values("i", &[Vec::new()], TimeRange::ALL, 1000).unwrap();
    let events = view.events(&[Vec::new()], TimeRange::ALL, 1000).unwrap();
    let exemplars = engine.exemplars(&[vec![Matcher::equal("__name__", "own")]], TimeRange::ALL).unwrap();
    [
        read("own"),
        read("shared"),
        listed.iter().map(|(value, _)| number(value)).collect(),
        events.iter().map(|event| number(&event.text)).collect(),
        engine.metadata(None).unwrap().iter().map(|(family, _)| number(family)).collect(),
        exemplars.iter().map(|series| number(series.0.get("i").unwrap())).collect(),
    ]
}

fn check(engine: &Engine, acked: &BTreeSet<usize>, place: &str) {
    let parts = ["own samples", "shared samples", "label values", "events", "metadata", "exemplars"];
    for (part, numbers) in parts.iter().zip(found(engine)) {
        assert_eq!(numbers, *acked, "{part}, {place}");
    }
}

/// Appends batches, one of which is deleted again, and flushes in between; what is refused is not seen at any time.
/// Returns what is to be found in the end.
fn appends(engine: &Engine, fs: &FaultyFs, place: &str) -> BTreeSet<usize> {
    let mut acked = BTreeSet::new();
    for i in 0..10 {
        if engine.append(&batch(i)).is_ok() {
            acked.insert(i);
        }
        check(engine, &acked, place);
        if i == 3 || i == 7 {
            let _ = engine.flush();
            check(engine, &acked, place);
        }
        if i == 5 {
            let second = TimeRange::inclusive(YEAR_2024, YEAR_2024);
            let before = found(engine);
            if engine.delete(&[Matcher::equal("__name__", "shared")], second).is_ok() {
                assert!(!found(engine)[1].contains(&0), "{place}");
                // Put back, so that the sets agree.
                let mut again = Batch::new();
                again.push(&shared(), YEAR_2024, Value::Int(0));
                again.push_event(&shared(), YEAR_2024, "event 0");
                if !acked.contains(&0) || engine.append(&again).is_err() {
                    return acked.iter().copied().filter(|i| *i != 0).chain([usize::MAX]).collect();
                }
            } else {
                assert_eq!(found(engine), before, "{place}: a delete that is refused hides nothing");
            }
        }
    }
    fs.mend();
    let is_poisoned = engine.stats().wal_poisoned;
    assert_eq!(engine.append(&batch(99)).is_err(), is_poisoned, "{place}");
    if !is_poisoned {
        acked.insert(99);
    }
    check(engine, &acked, place);
    acked
}

#[test]
fn a_batch_that_is_refused_at_any_point_is_not_seen_and_does_not_come_back() {
    for durability in [Durability::Always, Durability::Off] {
        for fault in [Fault::Error, Fault::DiskFull, Fault::ShortWrite, Fault::SyncError] {
            let (mut refusals, mut calls) = (0, u64::MAX);
            let mut at = 0;
            while at < calls {
                let place = format!("{durability:?}, {fault:?} at call {at}");
                let (dir, kv) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()));
                let fs = FaultyFs::new(fault, u64::MAX);
                let engine = open(&dir, &kv, &fs, durability).unwrap();
                if at > 0 {
                    fs.fail(fault, fs.calls() + at - 1);
                }
                let begun = fs.calls();
                let acked = appends(&engine, &fs, &place);
                if at == 0 {
                    calls = fs.calls() - begun;
                    assert!(calls > 10 && acked.len() == 11, "{calls} calls, {place}");
                }
                refusals += 11 - acked.len().min(11);
                drop(engine);
                let engine = open(&dir, &kv, &FaultyFs::sound(), durability).unwrap();
                if !acked.contains(&usize::MAX) {
                    check(&engine, &acked, &format!("{place}, after a restart"));
                }
                at += 1;
            }
            assert!(refusals > 0, "{durability:?}, {fault:?}");
        }
    }
}

#[test]
fn health_names_a_failed_write_until_one_succeeds() {
    let (dir, kv) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()));
    let fs = FaultyFs::sound();
    let engine = open(&dir, &kv, &fs, Durability::Always).unwrap();
    fs.fail(Fault::Error, fs.calls() + 1);
    assert!(engine.append(&batch(0)).is_err());
    let health = engine.health();
    assert_eq!(health.refuses_writes, None);
    assert!(health.writes_fail.is_some_and(|why| why.contains("wal")));
    // Nothing is written: that says nothing about writes.
    engine.flush().unwrap();
    assert!(engine.health().writes_fail.is_some());
    assert!(engine.append(&batch(1)).is_ok());
    assert_eq!(engine.health(), crate::Health::default());
}

/// Many writers wait for one sync. Some of the syncs fail in the midst of a write, some of the disk is full for a
/// while.
#[test]
fn of_writers_that_wait_together_each_gets_the_true_result() {
    for seed in 0..8 {
        let (dir, kv) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()));
        let fs = FaultyFs::sound();
        let engine = open(&dir, &kv, &fs, Durability::Always).unwrap();
        let acked: BTreeSet<usize> = std::thread::scope(|scope| {
            let write = |thread: usize| {
                let (engine, fs) = (&engine, &fs);
                move || {
                    let mut acked = Vec::new();
                    for round in 0..25 {
                        let number = thread * 100 + round;
                        if (number + seed).is_multiple_of(13) {
                            let fault =
                                if number.is_multiple_of(2) { Fault::Error } else { Fault::ShortWrite };
                            fs.fail(fault, fs.calls() + 1);
                        }
                        match engine.append(&batch(number)) {
                            Ok(_) => acked.push(number),
                            Err(_) => fs.mend(),
                        }
                        if (number + seed).is_multiple_of(41) {
                            let _ = engine.flush();
                        }
                    }
                    acked
                }
            };
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(write(thread))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        fs.mend();
        check(&engine, &acked, "in the end");
        drop(engine);
        let engine = open(&dir, &kv, &FaultyFs::sound(), Durability::Always).unwrap();
        check(&engine, &acked, "after a restart");
    }
}

#[test]
fn what_is_logged_is_not_seen_before_it_is_safe() {
    let (dir, kv) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()));
    let engine = open(&dir, &kv, &FaultyFs::sound(), Durability::Always).unwrap();
    let open = &engine.shared;
    let series = open.admission.resolve(&shared(), &mut Default::default()).unwrap();
    let mut resolved = crate::head::ResolvedBatch::default();
    resolved.push(series, YEAR_2024, 0, Value::Float(1.0));
    let ticket = open.commit(&mut resolved).unwrap();
    assert!(found(&engine)[1].is_empty());
    open.writer.wait_durable(ticket).unwrap();
    assert_eq!(found(&engine)[1], BTreeSet::from([0]));
}

/// Lines whose string fields are more than a record of the log holds: the pieces before a failure are stored, here and
/// after a restart, and none after it.
#[test]
fn a_body_of_many_strings_that_is_refused_does_not_come_to_life() {
    let text = "x".repeat(1 << 20);
    let body: String =
        (0..40).map(|i| format!("mix,host=h v=1,msg=\"{text}\" {}\n", YEAR_2024 + i * SECOND)).collect();
    let limits = LineLimits { line_bytes: 2 << 20, event_bytes: 1 << 20, ..LineLimits::default() };
    let options = LineOptions { limits, ..LineOptions::default() };
    let stored = |engine: &Engine| {
        let view = engine.view();
        let samples: usize = view
            .select(&[Matcher::equal("__name__", "mix_v")], TimeRange::ALL, 10)
            .unwrap()
            .iter()
            .map(|series| view.read(series, TimeRange::ALL).unwrap().len())
            .sum();
        (samples, view.events(&[Vec::new()], TimeRange::ALL, 1000).unwrap().len())
    };
    let mut outcomes = BTreeSet::new();
    for at in 0..11 {
        let (dir, kv) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()));
        let fs = FaultyFs::sound();
        let engine = open(&dir, &kv, &fs, Durability::Always).unwrap();
        fs.fail(Fault::DiskFull, fs.calls() + at * 2);
        let is_ok = engine.write_lines(body.as_bytes(), &options).is_ok();
        let seen = stored(&engine);
        assert_eq!(seen.0, seen.1, "a line is stored whole or not at all");
        assert_eq!(is_ok, seen.0 == 40, "at {at}");
        drop(engine);
        let engine = open(&dir, &kv, &FaultyFs::sound(), Durability::Always).unwrap();
        assert_eq!(stored(&engine), seen, "at {at}");
        outcomes.insert(seen.0);
    }
    assert!(outcomes.contains(&0) && outcomes.len() > 2, "{outcomes:?}");
}

/// A view needs samples that a flush has stored since it began. Then a write to their series is refused.
#[test]
fn a_refused_write_takes_no_series_from_a_view() {
    let (dir, kv, fs) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()), FaultyFs::sound());
    let engine = open(&dir, &kv, &fs, Durability::Always).unwrap();
    let values = |view: &crate::View<'_>| {
        let found = view.select(&[Matcher::equal("job", "job0")], TimeRange::ALL, 10).unwrap();
        found.iter().flat_map(|series| view.read(series, TimeRange::ALL).unwrap().values).collect::<Vec<_>>()
    };
    engine.append(&float_batch(0, &[10])).unwrap();
    let view = engine.view();
    engine.flush().unwrap();
    fs.fail(Fault::DiskFull, fs.calls());
    assert!(engine.append(&float_batch(0, &[20])).is_err());
    fs.mend();
    assert_eq!(values(&view), [10.0]);
    engine.append(&float_batch(0, &[30])).unwrap();
    assert_eq!((values(&view), values(&engine.view())), (vec![10.0], vec![10.0, 30.0]));
}
