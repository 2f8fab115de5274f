//! When the flush job looks, and that it misses nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{FaultyKv, float_batch, options};
use crate::clock::ManualClock;
use crate::model::{Matcher, TimeRange};
use crate::store::memory::MemoryKv;
use crate::workers::Next;
use crate::{Batch, Engine, Error, Options};

/// Long enough for the slowest machine; reached only if something never happens.
const ENDLESS: Duration = Duration::from_secs(120);

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < ENDLESS, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_flush_job_sleeps_until_something_is_due() {
    let dir = tempfile::tempdir().unwrap();
    let with = Options { flush_interval: Duration::from_secs(3600), ..options() };
    let engine =
        Engine::open_over(dir.path(), Arc::new(MemoryKv::default()), with, Arc::new(ManualClock::new(0)))
            .unwrap();
    let look = || engine.shared.look_to_flush();
    let is_noted = || engine.shared.jobs.is_noted();
    assert_eq!((look(), is_noted()), (Next::Woken, false), "nothing was written");
    let before = Instant::now();
    engine.append(&float_batch(0, &[1])).unwrap();
    assert!(is_noted(), "an append is noted");
    let Next::At(at) = look() else { panic!("it must become old") };
    assert!((before..=Instant::now()).contains(&(at - Duration::from_secs(3600))) && !is_noted());
    engine.append(&float_batch(0, &[2])).unwrap();
    assert!(is_noted(), "so is one after the look");
    assert_eq!(look(), Next::At(at), "the first one counts");
    // A reader keeps what the flush writes.
    let view = engine.view();
    engine.flush().unwrap();
    assert!(is_noted(), "so is a flush");
    let Next::At(soon) = look() else { panic!("what is kept has to be freed") };
    assert!(soon <= Instant::now() + Duration::from_secs(1));
    drop(view);
    assert_eq!(look(), Next::Woken);
    engine.delete(&[Matcher::equal("job", "none")], TimeRange::ALL).unwrap();
    assert!(is_noted() && matches!(look(), Next::At(_)), "and a delete");
    let _ = engine.begin_append(&float_batch(0, &[3])).unwrap();
    assert!(is_noted(), "and an append that nobody waits for");
}

#[test]
fn a_failed_flush_is_tried_again_without_an_append() {
    let dir = tempfile::tempdir().unwrap();
    let kv = FaultyKv::over(Arc::new(MemoryKv::default()));
    let engine =
        Engine::open_over(dir.path(), kv.clone(), options(), Arc::new(ManualClock::new(i64::MAX))).unwrap();
    engine.append(&float_batch(0, &[1])).unwrap();
    kv.is_full.store(true, Ordering::Relaxed);
    engine.flush().unwrap_err();
    assert!(matches!(engine.shared.look_to_flush(), Next::After { .. }), "tried, after a pause");
    kv.is_full.store(false, Ordering::Relaxed);
    assert_eq!(engine.shared.look_to_flush(), Next::Woken);
    assert_eq!((engine.stats().flushes, engine.stats().head_sample_bytes), (1, 0));
}

#[test]
fn what_becomes_old_is_flushed_however_long_the_job_slept() {
    let dir = tempfile::tempdir().unwrap();
    let with = Options { background: true, flush_interval: Duration::from_secs(1), ..options() };
    let engine = Engine::open_over(
        dir.path(),
        Arc::new(MemoryKv::default()),
        with,
        Arc::new(ManualClock::new(i64::MAX)),
    )
    .unwrap();
    for round in 1..=2 {
        engine.append(&float_batch(0, &[round])).unwrap();
        wait_until("a flush", || engine.stats().flushes == round as u64);
    }
    engine.close().unwrap();
}

/// Each read compares the deletes in memory with its series.
#[test]
fn many_deletes_are_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open_over(
        dir.path(),
        Arc::new(MemoryKv::default()),
        options(),
        Arc::new(ManualClock::new(0)),
    )
    .unwrap();
    let mut deletes = 0;
    while !engine.shared.flusher.is_due() {
        engine.delete(&[Matcher::equal("job", "none")], TimeRange::ALL).unwrap();
        deletes += 1;
        assert!(deletes <= 1024, "never due");
    }
    assert!(deletes > 100, "{deletes}: each flush costs as much as a hundred deletes");
    engine.flush().unwrap();
    assert!(!engine.shared.flusher.is_due());
}

/// There may be nothing to flush, so that no other reason ever comes.
#[test]
fn a_refused_series_has_idle_ones_looked_for_after_a_minute() {
    const MINUTE: Duration = Duration::from_secs(60);
    let engine = Engine::in_memory(Options { active_series: 1, ..options() }).unwrap();
    engine.append(&float_batch(0, &[1])).unwrap();
    engine.flush().unwrap();
    engine.append(&float_batch(1, &[1])).unwrap_err();
    let idle = engine.shared.admission.idle();
    let due = idle.due_at().expect("new series want room");
    assert_eq!(engine.shared.look_to_flush(), Next::At(due));
    assert_eq!(engine.stats().head_series, 1, "a series that is written once a minute is not idle");
    idle.look_back(MINUTE);
    assert!(engine.shared.flusher.is_due());
    assert_eq!(engine.shared.look_to_flush(), Next::Woken);
    assert_eq!(engine.stats().head_series, 0);
    engine.append(&float_batch(1, &[1])).unwrap();
}

/// The store refuses everything, so nothing ever leaves memory.
#[test]
fn writes_are_refused_when_unflushed_samples_fill_their_memory() {
    let dir = tempfile::tempdir().unwrap();
    let kv = FaultyKv::over(Arc::new(MemoryKv::default()));
    let with = Options { background: true, memory_bytes: 16 << 20, write_wait: Duration::ZERO, ..options() };
    let limit = with.head_bytes_max();
    let engine = Engine::open_over(dir.path(), kv.clone(), with, Arc::new(ManualClock::new(0))).unwrap();
    kv.is_full.store(true, Ordering::Relaxed);
    let text = "x".repeat(10_000);
    let refused = (0..).find_map(|second| {
        let mut batch = Batch::new();
        (0..10).for_each(|at| batch.push_event(&super::labels(0), 10 * second + at, &text));
        assert!(engine.stats().head_sample_bytes < limit + 200_000, "never refused");
        engine.append(&batch).err()
    });
    let Some(Error::Busy { used_bytes, limit_bytes, .. }) = refused else { panic!("{refused:?}") };
    assert!(used_bytes >= limit && limit_bytes == limit, "{used_bytes} of {limit_bytes}");
    kv.is_full.store(false, Ordering::Relaxed);
    engine.flush().unwrap();
    engine.append(&float_batch(0, &[1])).unwrap();
}
