//! Compaction where something fails: what is dead goes, and the rest continues.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::random::Random;
use super::{Harness, Op, SECOND, YEAR_2024, float_batch, options};
use crate::clock::ManualClock;

use crate::model::{Labels, Value};
use crate::store::kv::{Bulk, Family, Table};
use crate::store::memory::MemoryKv;
use crate::{Batch, Engine, Error, Options};

use super::faulty::{Call, FaultyKv};

fn first_chunk(store: &MemoryKv) -> Option<Vec<u8>> {
    let mut cursor = store.cursor(Family::Chunks);
    cursor.seek(&[]).unwrap();
    cursor.entry().map(|(key, _)| key.to_vec())
}

#[test]
fn a_full_disk_gets_room_from_retention() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()));
    let faulty = FaultyKv::over(store.clone());
    let options = Options { retention: Duration::from_secs(300), ..options() };
    let engine = Engine::open_over(dir.path(), faulty.clone(), options, Arc::new(ManualClock::new(i64::MAX)));
    let engine = engine.unwrap();
    engine.append(&float_batch(0, &[0, 10, 20])).unwrap();
    engine.flush().unwrap();
    let expired = first_chunk(&store).unwrap();
    engine.append(&float_batch(0, &[500, 700])).unwrap();
    engine.flush().unwrap();

    faulty.is_full.store(true, Ordering::Relaxed);
    let failed = engine.compact().expect_err("a merge is due, and there is no room for it");
    assert!(matches!(failed, Error::DiskFull { .. }), "{failed}");
    assert_eq!(engine.stats().partitions_expired, 1);
    assert!(store.get(Family::Chunks, &expired).unwrap().is_none(), "its space is free");
}

#[test]
fn a_damaged_partition_does_not_keep_others_from_being_merged() {
    let mut harness = Harness::new();
    for second in [0, 60, 600] {
        for round in 0..2 {
            harness.engine().append(&float_batch(0, &[second + round])).unwrap();
            harness.engine().flush().unwrap();
        }
    }
    let damaged = first_chunk(&harness.store).unwrap();
    harness.store.ingest(Family::Chunks, vec![Table::Memory(vec![(damaged, b"damage".to_vec())])]).unwrap();

    let failed = harness.engine().compact().expect_err("the first minute is damaged");
    assert!(matches!(failed, Error::Corrupt { .. }), "{failed}");
    let layout = harness.engine().shared.versions.layout();
    let generations = |second: i64| {
        let partition = layout.raw(YEAR_2024 + second * super::SECOND);
        let catalogue = harness.engine().shared.versions.current();
        catalogue.generations.iter().filter(|g| g.prefix.partition == partition).count()
    };
    assert_eq!([generations(0), generations(60), generations(600)], [2, 1, 2], "the last is not closed");
    harness.apply(&Op::Crash);
    assert_eq!(harness.engine().open_report().leftovers_removed, 0, "nothing is left over");
}

#[test]
fn what_could_not_be_removed_is_removed_later() {
    for op in [Op::Flush, Op::Compact] {
        for (calls, is_done) in (0..12).flat_map(|calls| [(calls, false), (calls, true)]) {
            let mut harness = Harness::new();
            for round in 0..3 {
                harness.append(0, round, 10, 3, &crate::model::Value::Float(1.0));
                harness.append(1, 300, 3, 3, &crate::model::Value::Float(round as f64));
                if round < 2 {
                    harness.apply(&Op::Flush);
                }
            }
            harness.apply(&Op::FailAt(calls, is_done));
            harness.apply(&op);
            harness.apply(&Op::Flush);
            harness.apply(&Op::Compact);
            harness.check(&op);
            harness.apply(&Op::Crash);
            let left = harness.engine().open_report().leftovers_removed;
            assert_eq!(left, 0, "{op:?}, refused at call {calls}, done: {is_done}");
        }
    }
}

/// A merge compares the label sets of a partition by their hashes; each pass holds a bounded number of them.
#[test]
fn a_merge_reads_the_label_sets_in_as_many_passes_as_memory_needs() {
    let walks_over_the_index = |series: usize| {
        let dir = tempfile::tempdir().unwrap();
        let faulty = FaultyKv::over(Arc::new(MemoryKv::default()));
        let clock = Arc::new(ManualClock::new(i64::MAX));
        let engine = Engine::open_over(dir.path(), faulty.clone(), options(), clock).unwrap();
        for round in 0..2 {
            let mut batch = Batch::new();
            for number in 0..series {
                let number = number.to_string();
                let labels = Labels::from_pairs([("__name__", "many"), ("number", &*number)]).unwrap();
                batch.push(&labels, YEAR_2024 + round, Value::Float(1.0));
            }
            engine.append(&batch).unwrap();
            engine.flush().unwrap();
        }
        engine.append(&float_batch(0, &[600])).unwrap();
        engine.flush().unwrap();
        let walks = Arc::new(AtomicU64::new(0));
        let counted = walks.clone();
        faulty.set_hook(move |call| {
            counted.fetch_add(u64::from(call == Call::Cursor(Family::Index)), Ordering::Relaxed);
        });
        engine.compact().unwrap();
        assert_eq!(engine.stats().merges, 1);
        walks.load(Ordering::Relaxed)
    };
    let (few, many) = (walks_over_the_index(40), walks_over_the_index(400));
    // In tests a pass holds 50 label sets, and each of eight passes walks over two generations.
    assert!(many >= few + 14, "{few} walks for 40 series, {many} for 400");
}

#[test]
fn a_limited_rate_makes_compaction_wait() {
    let engine = Engine::in_memory(Options { tiers: "1m".parse().unwrap(), ..options() }).unwrap();
    engine.set_compaction_rate(1 << 20).unwrap();
    let labels = Labels::from_pairs([("__name__", "noise")]).unwrap();
    let mut random = Random(7);
    for minute in 0..4 {
        let mut batch = Batch::new();
        for i in 0..10_000 {
            let value = f64::from_bits(random.next() >> 12 | 0x3ff0_0000_0000_0000);
            batch.push(&labels, YEAR_2024 + minute * 60 * SECOND + i * 5_000_000, Value::Float(value));
        }
        engine.append(&batch).unwrap();
        engine.flush().unwrap();
    }
    let began = Instant::now();
    engine.compact().unwrap();
    let (took, stats) = (began.elapsed().as_secs_f64(), engine.stats());
    assert!(stats.compaction_bytes > 500_000, "half of the chunks are read and written: {stats:?}");
    // Holds at any speed: a faster machine waits longer, and a slower one takes longer for the work itself. A tenth of a
    // second may be used in advance, and short pauses are saved up.
    let least = stats.compaction_bytes as f64 / f64::from(1 << 20) - 0.2;
    assert!(took > least, "{took} s, at least {least} s: {stats:?}");

    engine.set_compaction_rate(0).unwrap();
    engine.append(&float_batch(0, &[1000])).unwrap();
    engine.flush().unwrap();
    engine.compact().unwrap();
    assert_eq!(engine.stats().compaction_bytes, stats.compaction_bytes, "nothing counts without a limit");
    let refused = engine.set_compaction_rate(1000).expect_err("too low");
    assert_eq!(
        refused.to_string(),
        "option compaction_rate: 1000 bytes per second are fewer than 1 MiB; 0 is no limit"
    );
}
