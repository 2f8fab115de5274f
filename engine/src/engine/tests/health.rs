//! The health of an open database: each failure is named while it lasts, and nothing is when it is over.

use std::sync::atomic::Ordering;

use super::faulty::FaultyKv;
use super::*;
use crate::Health;
use crate::wal::faulty::{Fault, FaultyFs};

struct Harness {
    _dir: tempfile::TempDir,
    fs: FaultyFs,
    kv: Arc<FaultyKv>,
    engine: Engine,
}

/// A database with an unflushed sample, on a log and over a store that fail on demand.
fn harness() -> Harness {
    let dir = tempfile::tempdir().unwrap();
    let (fs, kv) = (FaultyFs::sound(), FaultyKv::over(Arc::new(MemoryKv::default())));
    fs.take_next_log();
    let clock = Arc::new(ManualClock::new(i64::MAX));
    let options = Options { durability: Durability::Always, ..options() };
    let engine = Engine::open_over(dir.path(), kv.clone(), options, clock).unwrap();
    engine.append(&float_batch(0, &[1])).unwrap();
    assert_eq!(engine.health(), Health::default());
    Harness { _dir: dir, fs, kv, engine }
}

#[test]
fn a_failed_fsync_of_the_log_refuses_writes_until_the_database_is_opened_again() {
    let Harness { fs, engine, .. } = &harness();
    fs.fail(Fault::SyncError, fs.calls());
    engine.append(&float_batch(0, &[2])).unwrap_err();
    fs.mend();
    let health = engine.health();
    assert!(health.refuses_writes.is_some_and(|why| why.contains("fsync of the log")));
    let stats = engine.stats();
    assert_eq!((stats.wal_poisoned, stats.store_poisoned, stats.disk_full), (true, false, false));
    assert!(matches!(engine.append(&float_batch(0, &[3])), Err(Error::Poisoned(_))));
}

#[test]
fn a_store_that_takes_no_change_refuses_writes_although_the_log_would_take_them() {
    let Harness { kv, engine, .. } = &harness();
    kv.is_full.store(true, Ordering::Relaxed);
    engine.flush().unwrap_err();
    assert!(engine.shared.flusher.is_due());
    kv.failure.set("the store: fsync of the MANIFEST".to_owned()).unwrap();
    let health = engine.health();
    assert!(health.refuses_writes.is_some_and(|why| why.contains("fsync of the MANIFEST")));
    let stats = engine.stats();
    assert_eq!((stats.wal_poisoned, stats.store_poisoned), (false, true));
    assert!(matches!(engine.append(&float_batch(0, &[2])), Err(Error::Poisoned(_))));
    assert!(matches!(engine.flush(), Err(Error::Poisoned(_))));
    assert!(!engine.shared.flusher.is_due(), "a store that refuses everything is not asked again");
}

#[test]
fn flushes_that_fail_are_named_since_the_first_of_them_and_tried_again() {
    let Harness { kv, engine, .. } = &harness();
    kv.is_full.store(true, Ordering::Relaxed);
    let mut since = Duration::ZERO;
    for _ in 0..3 {
        engine.flush().unwrap_err();
        std::thread::sleep(Duration::from_millis(2));
        let (now, why) = engine.health().flushes_fail.expect("it has just failed");
        assert!(
            now >= since + Duration::from_millis(2) && why.contains("space"),
            "{since:?}, {now:?}: {why}"
        );
        assert!(engine.shared.flusher.is_due(), "although nothing was appended");
        since = now;
    }
    assert_eq!(Health { flushes_fail: None, ..engine.health() }, Health::default());
    kv.is_full.store(false, Ordering::Relaxed);
    engine.flush().unwrap();
    assert_eq!(engine.health(), Health::default());
    assert!(!engine.shared.flusher.is_due());
}

#[test]
fn a_full_disk_is_no_failure_of_writes_and_ends() {
    let Harness { fs, engine, .. } = &harness();
    fs.fail(Fault::DiskFull, fs.calls());
    assert!(matches!(engine.append(&float_batch(0, &[2])), Err(Error::DiskFull { .. })));
    assert_eq!(engine.health(), Health { disk_full: true, ..Health::default() });
    assert!(engine.stats().disk_full);
    fs.mend();
    engine.append(&float_batch(0, &[2])).unwrap();
    assert_eq!(engine.health(), Health::default());
    assert!(!engine.stats().disk_full);
}
