//! Appends that are begun now and waited for later: one sync for many, and what a failed sync does to all of them.

use super::*;
use crate::wal::faulty::{Fault, FaultyFs};

/// An engine without threads, whose log is on files that may fail.
fn open(dir: &tempfile::TempDir, kv: &Arc<MemoryKv>, fs: &FaultyFs, durability: Durability) -> Engine {
    fs.take_next_log();
    let clock = Arc::new(ManualClock::new(i64::MAX));
    Engine::open_over(dir.path(), kv.clone(), Options { durability, ..options() }, clock).unwrap()
}

/// A sample of a series that only this batch has.
fn batch(n: i64) -> Batch {
    let mut batch = Batch::new();
    let labels = Labels::from_pairs([("__name__", "own"), ("n", &*n.to_string())]).unwrap();
    batch.push(&labels, YEAR_2024 + n * SECOND, Value::Int(n));
    batch
}

/// The seconds that a new view shows.
fn seconds(engine: &Engine) -> Vec<i64> {
    let view = engine.view();
    let found = view.select(&[Matcher::equal("__name__", "own")], TimeRange::ALL, 10_000).unwrap();
    let runs = found.iter().map(|series| view.read(series, TimeRange::ALL).unwrap());
    let mut seconds: Vec<i64> =
        runs.flat_map(|run| run.timestamps).map(|time| (time - YEAR_2024) / SECOND).collect();
    seconds.sort_unstable();
    seconds
}

#[test]
fn many_appends_are_durable_with_one_sync_and_visible_only_then() {
    let (dir, kv, fs) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()), FaultyFs::sound());
    let engine = open(&dir, &kv, &fs, Durability::Always);
    let begun: Vec<_> = (0..100).map(|n| engine.begin_append(&batch(n)).unwrap()).collect();
    let before = engine.stats().wal_syncs;
    assert!(seconds(&engine).is_empty(), "a crash could still lose them");
    assert!(begun.iter().all(|pending| !engine.is_appended(pending).unwrap()));

    assert_eq!(engine.wait_append(&begun[99]).unwrap().samples, 1);
    assert_eq!(engine.stats().wal_syncs, before + 1);
    assert_eq!(seconds(&engine), (0..100).collect::<Vec<_>>());
    for pending in &begun {
        assert!(engine.is_appended(pending).unwrap());
        engine.wait_append(pending).unwrap();
    }
    assert_eq!(engine.stats().wal_syncs, before + 1, "all are durable already");
    drop(engine);
    let engine = open(&dir, &kv, &FaultyFs::sound(), Durability::Always);
    assert_eq!(seconds(&engine), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_later_append_a_flush_and_the_end_complete_what_was_begun() {
    let (dir, kv, fs) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()), FaultyFs::sound());
    let engine = open(&dir, &kv, &fs, Durability::Always);
    let first = engine.begin_append(&batch(0)).unwrap();
    engine.append(&batch(1)).unwrap();
    assert!(engine.is_appended(&first).unwrap());
    let second = engine.begin_append(&batch(2)).unwrap();
    engine.flush().unwrap();
    assert!(engine.is_appended(&second).unwrap());
    assert_eq!(seconds(&engine), [0, 1, 2]);
    let third = engine.begin_append(&batch(3)).unwrap();
    engine.close().unwrap();
    assert!(engine.is_appended(&third).unwrap(), "closing completes it");
    engine.wait_append(&third).unwrap();
    assert!(matches!(engine.begin_append(&batch(4)), Err(Error::Closed)));
    drop(engine);

    let engine = open(&dir, &kv, &FaultyFs::sound(), Durability::Always);
    let _ = engine.begin_append(&batch(4)).unwrap();
    drop(engine);
    let engine = open(&dir, &kv, &FaultyFs::sound(), Durability::Always);
    assert_eq!(seconds(&engine), [0, 1, 2, 3, 4], "the end of the engine completes it");
}

#[test]
fn a_failed_sync_refuses_all_that_it_would_have_covered() {
    for (fault, is_poisoned) in [(Fault::Error, false), (Fault::DiskFull, false), (Fault::SyncError, true)] {
        let (dir, kv, fs) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()), FaultyFs::sound());
        let engine = open(&dir, &kv, &fs, Durability::Always);
        let safe = engine.begin_append(&batch(0)).unwrap();
        engine.wait_append(&safe).unwrap();
        let lost: Vec<_> = (1..9).map(|n| engine.begin_append(&batch(n)).unwrap()).collect();
        fs.fail(fault, fs.calls());
        let refused = engine.wait_append(&lost[3]).unwrap_err().to_string();
        for pending in &lost {
            assert_eq!(engine.wait_append(pending).unwrap_err().to_string(), refused, "{fault:?}");
            assert!(engine.is_appended(pending).is_err(), "{fault:?}: it will never be");
        }
        assert!(engine.is_appended(&safe).unwrap());
        fs.mend();
        assert_eq!(engine.append(&batch(9)).is_err(), is_poisoned, "{fault:?}");
        let expected: &[i64] = if is_poisoned { &[0] } else { &[0, 9] };
        assert_eq!(seconds(&engine), expected, "{fault:?}");
        // A series of a refused append is not there either.
        let listed = engine.view().label_values("n", &[Vec::new()], TimeRange::ALL, 100).unwrap();
        assert_eq!(listed.len(), expected.len(), "{fault:?}: {listed:?}");
        drop(engine);
        let engine = open(&dir, &kv, &FaultyFs::sound(), Durability::Always);
        assert_eq!(seconds(&engine), expected, "{fault:?}, after a restart");
    }
}

/// The memory of batches bounds what was begun: a begin that finds none makes the earlier ones durable.
#[test]
fn one_thread_may_begin_any_number() {
    for durability in [Durability::Always, Durability::Off] {
        let (dir, kv, fs) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()), FaultyFs::sound());
        let engine = open(&dir, &kv, &fs, durability);
        let text = "x".repeat(1 << 20);
        for n in 0..200 {
            let mut batch = batch(n);
            batch.push_event(&labels(0), YEAR_2024 + n * SECOND, &text);
            let _ = engine.begin_append(&batch).unwrap();
        }
        let shown = seconds(&engine).len();
        assert!(shown > 0 && shown < 200, "{durability:?}: {shown} are complete");
        // As other writers do.
        engine.write_lines(b"cpu usage=1", &crate::LineOptions::default()).unwrap();
        assert_eq!(seconds(&engine).len(), 200);
    }
}

/// With background threads nothing that was begun waits for ever.
#[test]
fn what_nobody_waits_for_becomes_durable() {
    for durability in [Durability::Always, Durability::Interval(Duration::from_millis(20)), Durability::Off] {
        let (dir, kv) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()));
        let clock = Arc::new(ManualClock::new(i64::MAX));
        let with = Options { durability, background: true, ..options() };
        let engine = Engine::open_over(dir.path(), kv, with, clock).unwrap();
        let pending = engine.begin_append(&batch(0)).unwrap();
        while !engine.is_appended(&pending).unwrap() {
            std::thread::yield_now();
        }
        assert_eq!(seconds(&engine), [0], "{durability:?}");
    }
}

#[test]
fn in_memory_it_is_done_at_once_and_a_stranger_is_refused() {
    let one = Engine::in_memory(Options { background: false, ..Options::default() }).unwrap();
    let other = Engine::in_memory(Options { background: false, ..Options::default() }).unwrap();
    let pending = one.begin_append(&batch(0)).unwrap();
    assert!(one.is_appended(&pending).unwrap());
    assert_eq!(seconds(&one), [0]);
    assert!(matches!(other.wait_append(&pending), Err(Error::Invalid(_))));
    let none = one.begin_append(&Batch::new()).unwrap();
    assert_eq!(one.wait_append(&none).unwrap(), crate::AppendReport::default());
}
