//! What happens in the midst of something else: each test puts a step where it hurts most.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::faulty::{Call, FaultyKv};
use super::{SECOND, YEAR_2024, float_batch, labels, options};
use crate::clock::ManualClock;
use crate::engine::admit::newcomers::Newcomers;
use crate::head::ResolvedBatch;
use crate::head::record::KIND_DELETE;
use crate::model::{Matcher, TimeRange, Value};
use crate::store::catalogue::Tombstone;
use crate::store::kv::Family;
use crate::store::memory::MemoryKv;
use crate::wal::NewRecord;
use crate::{Batch, Engine, View};

pub(super) fn engine(dir: &tempfile::TempDir) -> (Arc<Engine>, Arc<FaultyKv>) {
    let faulty = FaultyKv::over(Arc::new(MemoryKv::default()));
    let clock = Arc::new(ManualClock::new(i64::MAX));
    let engine = Engine::open_over(dir.path(), faulty.clone(), options(), clock).unwrap();
    (Arc::new(engine), faulty)
}

fn event(engine: &Engine, second: i64, text: &str) {
    let mut batch = Batch::new();
    batch.push_event(&labels(0), YEAR_2024 + second * SECOND, text);
    engine.append(&batch).unwrap();
}

/// The frozen event was deleted. While the view reads the store the flush that works on it ends and the next begins.
#[test]
fn a_deleted_event_stays_hidden_while_flushes_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, faulty) = engine(&dir);
    event(&engine, 10, "stored");
    engine.flush().unwrap();
    event(&engine, 20, "deleted");
    faulty.is_full.store(true, Ordering::Relaxed);
    assert!(engine.flush().is_err(), "the failed flush has begun; a later flush completes it");
    let second = TimeRange::inclusive(YEAR_2024 + 20 * SECOND, YEAR_2024 + 20 * SECOND);
    engine.delete(&[Matcher::equal("job", "job0")], second).unwrap();

    let (shared, full) = (engine.clone(), faulty.clone());
    faulty.set_hook(move |call| {
        if call == Call::Cursor(Family::Events) {
            full.is_full.store(false, Ordering::Relaxed);
            shared.flush().unwrap();
            event(&shared, 30, "later");
            full.is_full.store(true, Ordering::Relaxed);
            assert!(shared.flush().is_err());
        }
    });
    let texts: Vec<String> = engine
        .view()
        .events(&[Vec::new()], TimeRange::ALL, 10)
        .unwrap()
        .into_iter()
        .map(|e| e.text)
        .collect();
    faulty.unhook();
    assert_eq!(texts, ["stored"]);
}

/// A view begins after a restart, and then a flush of what was replayed.
#[test]
fn a_flush_of_replayed_samples_hides_none_of_them_from_a_view() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = engine(&dir);
    let job = [Matcher::equal("job", "job0")];
    first.append(&float_batch(0, &[10])).unwrap();
    first.delete(&job, TimeRange::ALL).unwrap();
    first.append(&float_batch(0, &[20])).unwrap();
    event(&first, 30, "after the delete");
    first.shared.writer.log().unwrap().sync().unwrap();
    drop(first);

    let (engine, faulty) = engine(&dir);
    let views = [engine.view(), engine.view()];
    let shows_all = |view: &View<'_>| {
        let found = view.select(&job, TimeRange::ALL, 10).unwrap();
        assert_eq!(view.read(&found[0], TimeRange::ALL).unwrap().values, [20.0]);
        assert_eq!(view.events(&[job.to_vec()], TimeRange::ALL, 10).unwrap().len(), 1);
    };
    faulty.is_full.store(true, Ordering::Relaxed);
    assert!(engine.flush().is_err(), "the failed flush has begun");
    shows_all(&views[0]);
    shows_all(&engine.view());
    faulty.is_full.store(false, Ordering::Relaxed);
    engine.flush().unwrap();
    shows_all(&views[1]);
    shows_all(&engine.view());
}

/// A writer has found its series, which leaves memory before the writer gets the commit lock.
#[test]
fn a_series_that_leaves_memory_under_a_writer_is_created_again() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine(&dir);
    let shared = &engine.shared;
    let series = shared.admission.resolve(&labels(0), &mut Newcomers::default()).unwrap();
    for second in 0..4 {
        engine.append(&float_batch(1, &[second])).unwrap();
        engine.flush().unwrap();
    }
    assert!(series.is_dead(), "it was idle");
    let mut resolved = ResolvedBatch::default();
    resolved.push(series, YEAR_2024 + 5 * SECOND, 0, Value::Float(5.0));
    let ticket = shared.commit(&mut resolved).unwrap();
    shared.writer.wait_durable(ticket).unwrap();
    engine.flush().unwrap();
    let view = engine.view();
    let found = view.select(&[Matcher::equal("job", "job0")], TimeRange::ALL, 10).unwrap();
    assert_eq!(view.read(&found[0], TimeRange::ALL).unwrap().values, [5.0]);
}

/// A flush has frozen a sample that is deleted. A view is made, the flush ends, and a merge applies the delete and
/// removes its tombstone.
#[test]
fn a_delete_that_is_forgotten_while_a_view_lives_hides_what_it_hid() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, faulty) = engine(&dir);
    engine.append(&float_batch(0, &[10, 20, 1000])).unwrap();
    faulty.is_full.store(true, Ordering::Relaxed);
    assert!(engine.flush().is_err(), "the failed flush has begun; a later flush completes it");
    let all = [Matcher::equal("job", "job0")];
    engine.delete(&all, TimeRange::inclusive(YEAR_2024, YEAR_2024 + 10 * SECOND)).unwrap();

    let view = engine.view();
    faulty.is_full.store(false, Ordering::Relaxed);
    engine.flush().unwrap();
    engine.flush().unwrap();
    engine.compact().unwrap();
    assert_eq!(engine.stats().tombstones, 0, "it is spent");
    for view in [view, engine.view()] {
        let found = view.select(&all, TimeRange::ALL, 10).unwrap();
        assert_eq!(view.read(&found[0], TimeRange::ALL).unwrap().values, [20.0, 1000.0]);
    }
}

/// Late samples come to the oldest partition as fast as it is merged.
#[test]
fn a_pass_of_the_compactor_ends_and_reaches_all_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, faulty) = engine(&dir);
    for second in [0, 60, 1000] {
        engine.append(&float_batch(0, &[second])).unwrap();
    }
    engine.flush().unwrap();
    let (shared, mut late) = (engine.clone(), 0);
    faulty.set_hook(move |call| {
        if call == Call::Table && late < 50 {
            late += 1;
            shared.append(&float_batch(0, &[late])).unwrap();
            shared.flush().unwrap();
        }
    });
    engine.compact().unwrap();
    faulty.unhook();
    assert_eq!(engine.stats().merges, 2);
}

/// A delete is in the catalogue and its record not on the disk yet. A merge carries it out; then the process ends, and
/// the log without it.
#[test]
fn a_delete_that_a_merge_carries_out_is_in_the_log_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryKv::default());
    let open = || {
        let clock = Arc::new(ManualClock::new(i64::MAX));
        Engine::open_over(dir.path(), store.clone(), options(), clock).unwrap()
    };
    let engine = open();
    for second in [0, 1, 600] {
        for series in 0..2 {
            engine.append(&float_batch(series, &[second])).unwrap();
        }
        engine.flush().unwrap();
    }
    let shared = &engine.shared;
    let mut tombstone =
        Tombstone { seq: 0, matchers: vec![Matcher::equal("job", "job0")], range: TimeRange::ALL };
    let mut commit = shared.writer.hold();
    let payload = tombstone.encode().unwrap();
    let record = NewRecord { kind: KIND_DELETE, parts: [&payload, &[], &[], &[]] };
    tombstone.seq = shared.writer.log().unwrap().append_to_free(record).unwrap().seq;
    commit.last_seq = tombstone.seq;
    shared.writer.apply_delete(&mut commit, &Arc::new(tombstone));
    drop(commit);
    engine.compact().unwrap();
    drop(engine);

    let engine = open();
    engine.delete(&[Matcher::equal("job", "job1")], TimeRange::ALL).unwrap();
    let left = |engine: &Engine| -> usize {
        let view = engine.view();
        let found = view.select(&[Matcher::equal("job", "job1")], TimeRange::ALL, 9).unwrap();
        found.iter().map(|series| view.read(series, TimeRange::ALL).unwrap().values.len()).sum()
    };
    assert_eq!(left(&engine), 0, "the acknowledged delete");
    drop(engine);
    assert_eq!(left(&open()), 0, "after a restart");
}
