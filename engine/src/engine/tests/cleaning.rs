//! Cleaning: what it reports as removed is removed, whatever ends or runs beside it.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::aside::{job, minutes};
use super::between::engine;
use super::{YEAR_2024, float_batch, labels, options};
use crate::Engine;
use crate::clock::ManualClock;
use crate::model::TimeRange;
use crate::store::catalogue::Generation;
use crate::store::kv::Family;

/// Only what waits for ever waits so long.
const PATIENCE: Duration = Duration::from_secs(300);

/// Whether the store has keys of a partition beside those of its current generation.
fn has_replaced(engine: &Engine, minute: i64) -> bool {
    let shared = &engine.shared;
    let partition = shared.versions.layout().raw(YEAR_2024 + minute * 60 * super::SECOND);
    let catalogue = shared.versions.current();
    let named: Vec<_> = catalogue.generations.all_in(partition).iter().map(|g| g.prefix).collect();
    let mut cursor = shared.versions.kv().cursor(Family::Chunks);
    cursor.seek(&[]).unwrap();
    while let Some((key, _)) = cursor.entry() {
        let prefix = crate::store::keys::Prefix::decode(key).unwrap();
        if prefix.partition == partition && !named.contains(&prefix) {
            return true;
        }
        cursor.advance().unwrap();
    }
    false
}

/// A read that ends while the rest is being removed leaves something, or nothing is left and nothing reported.
#[test]
fn a_read_that_ends_while_replaced_data_is_removed_is_reported_or_its_data_is_gone() {
    for patience in [Duration::ZERO, PATIENCE] {
        let dir = tempfile::tempdir().unwrap();
        let (engine, _) = engine(&dir);
        engine.append(&float_batch(0, &[0, 1, 60, 61, 120, 121])).unwrap();
        engine.flush().unwrap();
        // Two reads that hold a minute each of what cleaning replaces, and none that holds the third.
        let mut held: Vec<Arc<Generation>> =
            engine.shared.versions.current().generations.iter().cloned().collect();
        held.truncate(2);
        engine.delete(&job(0), TimeRange::inclusive(YEAR_2024, YEAR_2024 + 120 * super::SECOND)).unwrap();
        let inside = engine.clone();
        let _hooked = crate::fail::hook(move |name| {
            if name == "bury.begun" {
                assert!(inside.shared.merger.try_lock().is_none(), "no merge runs beside it");
                // What is to be removed now is chosen: this comes too late for it.
                drop(held.pop());
            }
        });
        let report = engine.clean_within(patience).unwrap();
        assert_eq!(report.partitions, 3);
        let left = (0..3).filter(|minute| has_replaced(&engine, *minute)).count() as u64;
        assert!(left <= report.held, "{left} are left, {report:?}");
        assert_eq!(left == 0, !patience.is_zero(), "with patience all of it goes: {left}, {report:?}");
    }
}

/// What a merge of the background holds for a moment is not reported as held by reads.
#[test]
fn a_merge_beside_a_cleaning_is_no_read() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine(&dir);
    for second in [0, 1] {
        engine.append(&float_batch(0, &[second, 600 + second])).unwrap();
        engine.flush().unwrap();
    }
    engine.delete(&job(0), minutes(0, 0)).unwrap();
    let (cleaned, is_cleaned) = channel();
    let (replaced, is_replaced) = channel();
    std::thread::scope(|scope| {
        let (merging, cleaning) = (engine.clone(), engine.clone());
        let (unlocked, is_unlocked) = channel();
        scope.spawn(move || {
            is_unlocked.recv().unwrap();
            let _hooked = crate::fail::hook(move |name| {
                if name == "merge.retired" {
                    replaced.send(()).unwrap();
                    // It still has what it replaced.
                    is_cleaned.recv_timeout(PATIENCE).unwrap();
                }
            });
            let catalogue = merging.shared.versions.current_owned();
            let last = catalogue.generations.partitions().last().unwrap().id;
            drop(catalogue);
            let _merging = merging.shared.merger.lock();
            merging.shared.merger.compactor().merge(&[last]).unwrap();
        });
        scope.spawn(move || {
            let _hooked = crate::fail::hook(move |name| {
                if name == "clean.unlocked" {
                    unlocked.send(()).unwrap();
                    is_replaced.recv_timeout(PATIENCE).unwrap();
                }
            });
            let report = cleaning.clean().unwrap();
            cleaned.send(()).unwrap();
            assert_eq!((report.partitions, report.held), (1, 0));
        });
    });
}

/// A flush that failed is completed by the next one, which takes nothing that came since.
#[test]
fn what_came_after_a_failed_flush_is_cleaned_too() {
    let dir = tempfile::tempdir().unwrap();
    let kv = super::FaultyKv::over(Arc::new(super::MemoryKv::default()));
    let clock = Arc::new(ManualClock::new(i64::MAX));
    let engine = Engine::open_over(dir.path(), kv.clone(), options(), clock).unwrap();
    let write = |text: &str| {
        let mut batch = float_batch(0, &[1]);
        batch.push_event(&labels(0), YEAR_2024, text);
        engine.append(&batch).unwrap();
    };
    write("first secret");
    kv.is_full.store(true, super::Ordering::Relaxed);
    engine.flush().unwrap_err();
    kv.is_full.store(false, super::Ordering::Relaxed);
    write("second secret");
    engine.delete(&job(0), TimeRange::ALL).unwrap();
    assert_eq!(engine.clean().unwrap().held, 0);
    for entry in std::fs::read_dir(dir.path().join("wal")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret"), "the log still has it");
    }
    let engine_is_empty = (engine.stats().head_sample_bytes, engine.stats().stored_samples);
    assert_eq!(engine_is_empty, (0, 0));
    // The record of the delete names what it deleted.
    assert_eq!(kv.rewritten_records.load(super::Ordering::Relaxed), 1);
}
