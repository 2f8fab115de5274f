//! Who waits for whom while merges must pause. Only Linux shows whether a thread waits.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::aside::{job, minutes};
use super::between::engine;
use super::faulty::Call;
use super::float_batch;
use crate::Error;
use crate::compact::TOGETHER_MAX;

/// Only what waits for ever waits so long.
const PATIENCE: Duration = Duration::from_secs(300);

/// A thread of this process as the kernel sees it.
struct Task(PathBuf);

impl Task {
    fn current() -> Task {
        Task(Path::new("/proc").join(std::fs::read_link("/proc/thread-self").unwrap()))
    }

    /// Waits until the thread sleeps: one that is about to take a lock then waits for it.
    fn wait_until_asleep(&self) {
        loop {
            let stat = std::fs::read_to_string(self.0.join("stat")).unwrap();
            let (_, state) = stat.rsplit_once(") ").unwrap();
            if state.starts_with('S') {
                return;
            }
            std::thread::yield_now();
        }
    }
}

/// Many partitions are due. A flush or a snapshot that needs merges to pause waits only for the partitions being merged
/// together, not for all.
#[test]
fn who_waits_for_merges_to_rest_waits_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, faulty) = engine(&dir);
    let due = 2 * TOGETHER_MAX as u64 + 100;
    let seconds: Vec<i64> = (0..due as i64 + 2).map(|minute| minute * 60).collect();
    engine.append(&float_batch(0, &seconds)).unwrap();
    engine.flush().unwrap();

    let (begun, begins) = channel();
    let (asks, asked) = channel::<Task>();
    faulty.set_hook(move |call| {
        // The first merge continues when another thread waits for its end.
        if call == Call::Table && begun.send(()).is_ok() {
            asked.recv().unwrap().wait_until_asleep();
        }
    });
    let seen = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| engine.compact().unwrap());
        begins.recv().unwrap();
        drop(begins);
        asks.send(Task::current()).unwrap();
        let _merging = engine.shared.merger.lock();
        seen.store(engine.stats().merges, Ordering::Relaxed);
    });
    faulty.unhook();
    assert_eq!(seen.into_inner(), TOGETHER_MAX as u64, "it had to wait for more than one");
    assert_eq!(engine.stats().merges, due);
}

#[test]
fn a_snapshot_that_waits_for_a_merge_keeps_no_flush_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine(&dir);
    engine.append(&float_batch(0, &[0])).unwrap();
    let dest = dir.path().join("copy");
    std::thread::scope(|scope| {
        let merging = engine.shared.merger.lock();
        let (begun, begins) = channel();
        let (snapshots, to) = (engine.clone(), dest.clone());
        // A store in memory has no files to copy; the snapshot fails only when it copies them.
        let snapshot = scope.spawn(move || {
            begun.send(Task::current()).unwrap();
            snapshots.snapshot(&to).map(drop)
        });
        let task = begins.recv().unwrap();
        while !dest.exists() {
            std::thread::yield_now();
        }
        task.wait_until_asleep();
        let (flushed, ends) = channel();
        let engine = &engine;
        scope.spawn(move || flushed.send(engine.flush().map(|done| done.samples)));
        let samples = ends.recv_timeout(PATIENCE);
        drop(merging);
        assert_eq!(samples.expect("the flush waits for the merge").unwrap(), 1);
        assert!(snapshot.join().unwrap().unwrap_err().to_string().contains("no files"));
    });
}

#[test]
fn a_cleaning_waits_for_the_reads_that_hold_what_it_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine(&dir);
    engine.append(&float_batch(0, &[0, 10])).unwrap();
    engine.flush().unwrap();
    let view = engine.view();
    engine.delete(&job(0), minutes(0, 0)).unwrap();
    assert_eq!(engine.clean().unwrap().held, 1, "without patience it is only counted");
    std::thread::scope(|scope| {
        let (begun, begins) = channel();
        let engine = &engine;
        let cleaning = scope.spawn(move || {
            begun.send(Task::current()).unwrap();
            engine.clean_within(PATIENCE).unwrap()
        });
        begins.recv().unwrap().wait_until_asleep();
        assert!(!cleaning.is_finished());
        drop(view);
        assert_eq!(cleaning.join().unwrap().held, 0);
    });
    assert!(engine.shared.versions.obsolete().is_empty(), "it is removed, too");
}

#[test]
fn closing_does_not_wait_for_a_cleaning_that_waits_for_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine(&dir);
    engine.append(&float_batch(0, &[0, 10])).unwrap();
    engine.flush().unwrap();
    let _view = engine.view();
    engine.delete(&job(0), minutes(0, 0)).unwrap();
    std::thread::scope(|scope| {
        let (begun, begins) = channel();
        let cleaning = engine.clone();
        let cleaning = scope.spawn(move || {
            begun.send(Task::current()).unwrap();
            cleaning.clean_within(PATIENCE)
        });
        let task = begins.recv().unwrap();
        while engine.shared.versions.obsolete().held() == 0 {
            std::thread::yield_now();
        }
        task.wait_until_asleep();
        engine.close().unwrap();
        assert!(matches!(cleaning.join().unwrap(), Err(Error::Closed)));
    });
}
