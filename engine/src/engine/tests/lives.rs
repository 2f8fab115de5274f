//! What programs that live for seconds leave is put together by closing and by opening
//! (`engine/upkeep/short_lives.rs`).

use std::path::Path;
use std::sync::Arc;

use super::{float_batch, options};
use crate::clock::ManualClock;
use crate::compact::GENERATIONS_MAX;
use crate::store::memory::MemoryKv;
use crate::{Engine, Options};

fn open(dir: &Path, kv: &Arc<MemoryKv>, background: bool) -> Engine {
    let options = Options { background, ..options() };
    Engine::open_over(dir, kv.clone(), options, Arc::new(ManualClock::new(i64::MAX))).unwrap()
}

/// A database with this many generations in a partition that is still written to.
fn piled(dir: &Path, generations: usize) -> Arc<MemoryKv> {
    let kv = Arc::new(MemoryKv::default());
    let engine = open(dir, &kv, false);
    for second in 0..generations as i64 {
        engine.append(&float_batch(0, &[second])).unwrap();
        engine.flush().unwrap();
    }
    assert_eq!(engine.stats().generations, generations as u64);
    engine.close().unwrap();
    kv
}

#[test]
fn closing_merges_what_is_due() {
    let dir = tempfile::tempdir().unwrap();
    // One short of what the background merges.
    let kv = piled(dir.path(), GENERATIONS_MAX - 1);
    let engine = open(dir.path(), &kv, true);
    engine.append(&float_batch(0, &[50])).unwrap();
    engine.close().unwrap();
    drop(engine);
    assert_eq!(open(dir.path(), &kv, false).stats().generations, 1);
}

#[test]
fn opening_merges_what_closing_would_not_have_left() {
    for (generations, left) in [(2 * GENERATIONS_MAX - 1, 2 * GENERATIONS_MAX - 1), (2 * GENERATIONS_MAX, 1)]
    {
        let dir = tempfile::tempdir().unwrap();
        let kv = piled(dir.path(), generations);
        let engine = open(dir.path(), &kv, false);
        engine.shared.catch_up_at_open();
        assert_eq!(engine.stats().generations, left as u64);
    }
}
