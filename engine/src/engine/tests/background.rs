//! When the flush job looks, and that it misses nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{FaultyKv, float_batch, options};
use crate::clock::ManualClock;
use crate::model::{Matcher, TimeRange};
use crate::store::memory::MemoryKv;
use crate::workers::Next;
use crate::{Engine, Options};

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
    kv.is_full.store(true, std::sync::atomic::Ordering::Relaxed);
    engine.flush().unwrap_err();
    assert!(matches!(engine.shared.look_to_flush(), Next::After { .. }), "tried, after a pause");
    kv.is_full.store(false, std::sync::atomic::Ordering::Relaxed);
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
