//! Appends that are begun now and waited for later: one sync for many, and what a failed sync does to all of them.

use std::time::Instant;

use super::*;
use crate::engine::write::pending::{Logged, Pending};
use crate::wal::faulty::{Fault, FaultyFs};

/// Time after which what has not happened will not happen.
const ENDLESS: Duration = Duration::from_secs(300);

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

/// The program waits for none of them and relies on closing.
#[test]
fn closing_reports_begun_appends_that_could_not_be_stored() {
    for fault in [Fault::Error, Fault::DiskFull] {
        let (dir, kv, fs) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()), FaultyFs::sound());
        let engine = open(&dir, &kv, &fs, Durability::Always);
        engine.append(&batch(0)).unwrap();
        let lost = [engine.begin_append(&batch(1)).unwrap(), engine.begin_append(&batch(2)).unwrap()];
        fs.fail(fault, fs.calls());
        let error = engine.close().unwrap_err();
        assert!(matches!(error, Error::Io { .. } | Error::DiskFull { .. }), "{fault:?}: {error}");
        assert!(lost.iter().all(|pending| engine.is_appended(pending).is_err()), "{fault:?}");
        engine.close().unwrap();
        drop(engine);
        let engine = open(&dir, &kv, &FaultyFs::sound(), Durability::Always);
        assert_eq!(seconds(&engine), [0], "{fault:?}");
    }
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

/// Closing reports the loss of begun appends whose failure no wait has reported.
#[test]
fn closing_reports_begun_appends_that_were_lost_before() {
    for (waits, is_reported) in [(false, true), (true, false)] {
        let (dir, kv, fs) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()), FaultyFs::sound());
        let engine = open(&dir, &kv, &fs, Durability::Always);
        let pending = engine.begin_append(&batch(0)).unwrap();
        fs.fail(Fault::Error, fs.calls());
        engine.shared.writer.settle_deferred();
        fs.mend();
        if waits {
            engine.wait_append(&pending).unwrap_err();
        }
        engine.append(&batch(1)).unwrap();
        assert_eq!(seconds(&engine), [1]);
        assert_eq!(matches!(engine.close(), Err(Error::Io { .. })), is_reported, "waits: {waits}");
        assert!(matches!(engine.append(&batch(2)), Err(Error::Closed)), "it is closed all the same");
    }
}

/// A ticket reports the failure that removed its own records, also if others failed since.
#[test]
fn each_ticket_reports_its_own_failure() {
    let (dir, kv, fs) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()), FaultyFs::sound());
    let engine = open(&dir, &kv, &fs, Durability::Always);
    let fail = |fault: Fault, n: i64| {
        let pending = [engine.begin_append(&batch(n)).unwrap(), engine.begin_append(&batch(n + 1)).unwrap()];
        fs.fail(fault, fs.calls());
        engine.wait_append(&pending[1]).unwrap_err();
        fs.mend();
        pending
    };
    let (full, again) = (fail(Fault::DiskFull, 0), fail(Fault::DiskFull, 2));
    engine.append(&batch(4)).unwrap();
    let (broken, poisoned) = (fail(Fault::Error, 5), fail(Fault::SyncError, 7));
    for of_fault in [full, again, broken, poisoned].iter().enumerate() {
        let (at, [first, second]) = of_fault;
        for pending in [first, second] {
            let errors = [engine.wait_append(pending).unwrap_err(), engine.is_appended(pending).unwrap_err()];
            for error in errors {
                let is_own = match at {
                    0 | 1 => matches!(error, Error::DiskFull { .. }),
                    2 => matches!(error, Error::Io { .. }),
                    _ => matches!(error, Error::Poisoned(_)),
                };
                assert!(is_own, "failure {at}: {error}");
            }
        }
    }
    assert_eq!(seconds(&engine), [4]);
}

/// A flush that failed is completed by the next one, which then begins none of its own.
#[test]
fn a_flush_that_completes_an_earlier_one_applies_what_was_begun() {
    let (dir, fs) = (tempfile::tempdir().unwrap(), FaultyFs::sound());
    let kv = faulty::FaultyKv::over(Arc::new(MemoryKv::default()));
    fs.take_next_log();
    let with = Options { durability: Durability::Always, ..options() };
    let engine =
        Engine::open_over(dir.path(), kv.clone(), with, Arc::new(ManualClock::new(i64::MAX))).unwrap();
    engine.append(&batch(0)).unwrap();
    kv.is_full.store(true, Ordering::Relaxed);
    engine.flush().unwrap_err();
    let pending = engine.begin_append(&batch(1)).unwrap();
    kv.is_full.store(false, Ordering::Relaxed);
    engine.flush().unwrap();
    assert_eq!(seconds(&engine), [0, 1]);
    assert!(engine.is_appended(&pending).unwrap());
}

/// Little is left to sync when a flush holds the commit lock, also if all that there is was only begun.
#[test]
fn a_flush_syncs_what_was_begun_without_holding_up_writers() {
    let (dir, kv, fs) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()), FaultyFs::sound());
    let engine = Arc::new(open(&dir, &kv, &fs, Durability::Always));
    let pending = engine.begin_append(&batch(0)).unwrap();
    let (weak, was_free) = (Arc::downgrade(&engine), Arc::new(parking_lot::Mutex::new(Vec::new())));
    let seen = was_free.clone();
    fs.set_sync_hook(move || {
        if let Some(engine) = weak.upgrade() {
            seen.lock().push(engine.shared.writer.is_free());
        }
    });
    engine.shared.flusher.flush().unwrap();
    let was_free = was_free.lock();
    assert!(!was_free.is_empty() && was_free.iter().all(|is_free| *is_free), "{was_free:?}");
    assert!(engine.is_appended(&pending).unwrap());
}

/// Between the moment when calls are refused and the end of the log.
#[test]
fn asking_whether_it_is_durable_syncs_nothing_while_the_database_closes() {
    let (dir, kv, fs) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()), FaultyFs::sound());
    let engine = open(&dir, &kv, &fs, Durability::Always);
    let pending = engine.begin_append(&batch(0)).unwrap();
    let before = (fs.syncs(), fs.written());
    engine.shared.lifecycle.pretend_closed(true);
    assert!(!engine.is_appended(&pending).unwrap());
    assert_eq!((fs.syncs(), fs.written()), before);
    engine.shared.lifecycle.pretend_closed(false);
    engine.close().unwrap();
    assert!(engine.is_appended(&pending).unwrap());
}

/// Small batches take more than their samples.
#[test]
fn what_is_begun_is_charged_with_all_that_it_holds() {
    const BATCHES: usize = 2_000;
    let (dir, kv, fs) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()), FaultyFs::sound());
    let engine = open(&dir, &kv, &fs, Durability::Always);
    let handle = engine.handle(&labels(0)).unwrap();
    for n in 0..BATCHES as i64 {
        let mut batch = Batch::new();
        batch.push_to(&handle, YEAR_2024 + n * SECOND, Value::Int(n));
        let _ = engine.begin_append(&batch).unwrap();
    }
    let commit = engine.shared.writer.hold();
    assert_eq!(commit.pending.len(), BATCHES, "nothing has made room for others yet");
    let in_batches = |pending: &Pending| match &pending.change {
        Logged::Batch(batch) => batch.sample_memory_bytes() + pending.defined.capacity() * size_of::<usize>(),
        Logged::Delete(_) => 0,
    };
    let held: usize = commit.pending.iter().map(in_batches).sum();
    let queued = commit.pending.capacity() * size_of::<Pending>();
    let logged = engine.shared.writer.log().unwrap().waiting_bytes();
    let (held, charged) = ((held + queued) as u64 + logged, engine.shared.admission.batches().used());
    assert!(charged >= held, "{charged} charged, {held} held");
    assert!(charged < 2 * held, "{charged} charged, {held} held");
    drop(commit);
    engine.flush().unwrap();
    assert_eq!(engine.shared.admission.batches().used(), 0);
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
        let begun = Instant::now();
        while !engine.is_appended(&pending).unwrap() {
            assert!(begun.elapsed() < ENDLESS, "{durability:?}: the flush thread made nothing durable");
            std::thread::sleep(Duration::from_millis(5));
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
