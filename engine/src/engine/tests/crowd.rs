//! Many series in little memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{SECOND, YEAR_2024, options};
use crate::clock::ManualClock;
use crate::model::{Labels, Value};
use crate::store::memory::MemoryKv;
use crate::{Batch, Engine, Options, Result};

/// A small database, flushed as its background thread would: samples of `count` series from number `first` on.
fn append_crowd(engine: &Engine, first: usize, count: usize, at: i64) -> Result<()> {
    let mut batch = Batch::new();
    for i in first..first + count {
        let name = format!("pod-{i:06}");
        let labels = Labels::from_pairs([("__name__", "up"), ("pod", name.as_str())]).unwrap();
        batch.push(&labels, YEAR_2024 + at * SECOND, Value::Float(1.0));
    }
    engine.append(&batch)?;
    if engine.shared.flusher.is_due() {
        engine.flush()?;
    }
    Ok(())
}

fn small_engine(dir: &Path) -> Engine {
    let options =
        Options { memory_bytes: 16 << 20, flush_interval: Duration::from_secs(86_400), ..options() };
    let clock = Arc::new(ManualClock::new(i64::MAX));
    Engine::open_over(dir, Arc::new(MemoryKv::default()), options, clock).unwrap()
}

#[test]
fn series_that_come_and_go_leave_before_new_ones_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = small_engine(dir.path());
    for wave in 0..60 {
        append_crowd(&engine, wave * 1000, 1000, wave as i64).unwrap();
    }
    let stats = engine.stats();
    assert_eq!((stats.series_created, stats.refused), (60_000, 0));
    assert!((2..=30).contains(&stats.flushes), "{} flushes", stats.flushes);
    assert!(stats.head_series_bytes < engine.options().series_bytes_max(), "{stats:?}");
}

#[test]
fn a_crowd_that_stays_is_not_flushed_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let engine = small_engine(dir.path());
    let count =
        (0..).take_while(|_| engine.stats().head_series_bytes < engine.options().series_bytes_pressure());
    let waves = count.map(|wave| append_crowd(&engine, wave * 500, 500, 0).unwrap()).count();
    let flushes = engine.stats().flushes;
    for round in 1..20 {
        append_crowd(&engine, 0, waves * 500, round).unwrap();
    }
    // One more where the samples themselves fill their share; one for each of the rounds would be the fault.
    let more = engine.stats().flushes - flushes.max(1);
    assert!(more <= 1, "{more} flushes more");
    assert_eq!(engine.stats().head_series as usize, waves * 500);
}
