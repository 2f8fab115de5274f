//! Tests of the engine on a real log over a store in memory, with crashes and failing stores between (`model.rs`), and
//! what they have in common.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::ManualClock;
use crate::model::{Histogram, Labels, MatchOp, Matcher, Span, TimeRange, Value};
use crate::store::kv::{Bulk, Family, Kv, Removal, Table};
use crate::store::memory::MemoryKv;
use faulty::FaultyKv;
use model::{Harness, Op, Started};

use crate::{Batch, Durability, Engine, Error, Options, Result, Tiers};

mod aside;
mod background;
mod batches;
mod between;
mod bounded;
mod cardinality;
mod cleaning;
mod clock;
mod compaction;
mod concurrent;
mod crowd;
mod damaged;
mod deferred;
mod duplicates;
mod faulty;
mod forked;
mod health;
mod isolation;
mod judged;
mod limits;
mod lines;
mod lives;
mod model;
mod newcomers;
mod notes;
mod pieces;
#[cfg(feature = "rocksdb")]
mod points;
mod random;
mod refused;
mod remote;
mod rewriting;
mod scale;
mod scrub;
mod simulation;
mod subscribe;
mod tenants;
mod tiers;
mod time_filter;
mod uncertain;
mod unreadable;
#[cfg(target_os = "linux")]
mod waiting;

const SECOND: i64 = 1_000_000_000;
const YEAR_2024: i64 = 1_704_067_200 * SECOND;

pub(super) fn labels(series: u8) -> Labels {
    let (name, job) = (format!("m{}", series % 2), format!("job{series}"));
    Labels::from_pairs([("__name__", name.as_str()), ("job", job.as_str())]).unwrap()
}

fn options() -> Options {
    Options {
        background: false,
        durability: Durability::Off,
        partition_width: Duration::from_secs(60),
        chunk_samples: 16,
        wal_segment_bytes: 1 << 20,
        wal_reserve_bytes: 0,
        tiers: Tiers::default(),
        ..Options::default()
    }
}

pub(super) fn float_batch(series: u8, seconds: &[i64]) -> Batch {
    let mut batch = Batch::new();
    for &s in seconds {
        batch.push(&labels(series), YEAR_2024 + s * SECOND, Value::Float(s as f64));
    }
    batch
}

#[test]
fn a_flush_leaves_out_what_was_deleted_in_memory() {
    let mut harness = Harness::new();
    harness.append(1, 240, 1, 1, &Value::Float(0.0));
    let delete = Op::Delete { series: None, from: 0, to: 240 };
    harness.apply(&delete);
    harness.check(&delete);
    assert_eq!(harness.engine().stats().tombstones, 1);
    harness.apply(&Op::Flush);
    harness.check(&Op::Flush);
    let stats = harness.engine().stats();
    assert_eq!((stats.head_sample_bytes, stats.generations, stats.tombstones), (0, 0, 0));
}

/// The first partition begins before the first timestamp.
#[test]
fn overwrites_in_the_first_partition_of_all_stay() {
    let engine = Engine::in_memory(options()).unwrap();
    let layout = engine.shared.versions.layout();
    let end = layout.bounds(layout.raw(i64::MIN)).1;
    let times = [i64::MIN + 1, end - SECOND, end, end + 1, end + SECOND];
    for value in 0..3 {
        let mut batch = Batch::new();
        times.iter().for_each(|&at| batch.push(&labels(0), at, Value::Float(f64::from(value))));
        engine.append(&batch).unwrap();
        if value != 1 {
            engine.flush().unwrap();
        }
        engine.compact().unwrap();
    }
    let view = engine.view();
    let found = view.select(&[Matcher::equal("job", "job0")], TimeRange::ALL, 9).unwrap();
    let run = view.read(&found[0], TimeRange::ALL).unwrap();
    assert_eq!((run.timestamps, run.values), (times.to_vec(), vec![2.0; 5]));
    assert!(engine.verify().unwrap().is_clean());
}

#[test]
fn deletes_alone_cut_the_log() {
    let harness = Harness::new();
    let log_bytes = || harness.engine().stats().wal_bytes;
    for _ in 0..50 {
        harness.engine().delete(&[Matcher::equal("job", "none")], TimeRange::ALL).unwrap();
    }
    let before = log_bytes();
    harness.engine().flush().unwrap();
    assert!(before > 1000 && log_bytes() == 0, "{before} bytes, then {}", log_bytes());
    assert_eq!(harness.engine().stats().tombstones, 0);
}

#[test]
fn a_closed_partition_is_merged_once_even_if_one_flush_wrote_it() {
    let mut harness = Harness::new();
    harness.append(0, 0, 50, 1, &Value::Float(1.0));
    harness.append(0, 300, 1, 1, &Value::Float(1.0));
    harness.engine().flush().unwrap();
    let merges = |harness: &Harness| harness.engine().stats().merges;
    harness.engine().compact().unwrap();
    let first = merges(&harness);
    assert_eq!(first, 1, "the first minute is closed, the sixth is not");
    harness.engine().compact().unwrap();
    assert_eq!(merges(&harness), first, "what is merged stays");
    harness.check(&Op::Compact);
}

#[test]
fn a_flush_that_fails_at_any_call_loses_nothing() {
    for calls in 0..12 {
        let mut harness = Harness::new();
        harness.append(0, 0, 30, 5, &Value::Float(1.0));
        harness.append(1, 100, 30, 5, &Value::Float(2.0));
        harness.apply(&Op::FailAt(calls, false));
        harness.apply(&Op::Flush);
        harness.check(&Op::Flush);
        harness.append(0, 200, 30, 5, &Value::Float(3.0));
        harness.apply(&Op::Crash);
        harness.check(&Op::Crash);
        harness.apply(&Op::Flush);
        harness.check(&Op::Flush);
        assert!(harness.engine().verify().unwrap().is_clean());
    }
}

#[test]
fn a_merge_leaves_one_generation_and_carries_deletes_out() {
    let mut harness = Harness::new();
    for round in 0..4 {
        harness.append(0, round * 10, 5, 1, &Value::Float(round as f64));
        harness.apply(&Op::Flush);
    }
    harness.delete(Some(0), 5, 12);
    harness.append(0, 600, 1, 1, &Value::Float(0.0));
    harness.apply(&Op::Flush);
    assert_eq!(harness.engine().stats().generations, 5);
    harness.apply(&Op::Compact);
    harness.check(&Op::Compact);
    let stats = harness.engine().stats();
    assert_eq!((stats.generations, stats.tombstones), (2, 0));
    let expected: u64 = harness.samples.values().map(|s| s.len() as u64).sum();
    assert_eq!(stats.stored_samples, expected, "deleted samples are gone physically");
}

#[test]
fn retention_drops_whole_partitions_and_refuses_old_samples() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open_over(
        dir.path(),
        Arc::new(MemoryKv::default()),
        Options { retention: Duration::from_secs(300), ..options() },
        Arc::new(ManualClock::new(i64::MAX)),
    )
    .unwrap();
    engine.append(&float_batch(0, &[0, 10, 20])).unwrap();
    engine.flush().unwrap();
    engine.append(&float_batch(0, &[1000])).unwrap();
    engine.flush().unwrap();
    engine.compact().unwrap();
    assert_eq!(engine.stats().partitions_expired, 1);
    let report = engine.append(&float_batch(0, &[30, 900])).unwrap();
    assert_eq!((report.samples, report.too_old), (1, 1));
}

#[test]
fn one_sample_from_the_far_future_expires_nothing() {
    let clock = Arc::new(ManualClock::new(YEAR_2024 + 100 * SECOND));
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open_over(
        dir.path(),
        Arc::new(MemoryKv::default()),
        Options { retention: Duration::from_secs(300), ..options() },
        clock,
    )
    .unwrap();
    engine.append(&float_batch(0, &[10, 4_000_000_000])).unwrap();
    engine.flush().unwrap();
    engine.compact().unwrap();
    assert_eq!(engine.stats().partitions_expired, 0);
}

#[test]
fn ranges_that_no_catalogue_names_are_removed_at_the_start() {
    let mut harness = Harness::new();
    harness.append(0, 0, 30, 5, &Value::Float(1.0));
    // Index, events (none) and chunks are taken in; the catalogue is refused, and so is the
    // removal of what was taken in.
    harness.apply(&Op::FailAt(4, false));
    harness.apply(&Op::Flush);
    harness.apply(&Op::Crash);
    assert!(harness.engine().open_report().leftovers_removed > 0);
    harness.check(&Op::Crash);
}

/// What is removed from the store may reappear after a crash.
#[test]
fn numbers_of_ranges_that_were_removed_are_not_used_again() {
    let mut harness = Harness::new();
    harness.append(0, 0, 30, 5, &Value::Float(1.0));
    harness.apply(&Op::FailAt(4, false));
    harness.apply(&Op::Flush);
    let before = harness.store.copy();
    harness.apply(&Op::Crash);
    assert!(harness.engine().open_report().leftovers_removed > 0);
    harness.append(1, 0, 30, 5, &Value::Float(2.0));
    harness.append(0, 10, 3, 5, &Value::Float(3.0));
    harness.apply(&Op::Flush);
    harness.engine = None;
    for family in [Family::Chunks, Family::Index, Family::Events] {
        let (now, all) = (harness.store.copy(), (Vec::new(), vec![0xff; 64]));
        let mut removed = before.pairs(family, &all);
        removed.retain(|(key, _)| now.get(family, key).unwrap().is_none());
        harness.store.ingest(family, vec![Table::Memory(removed)]).unwrap();
    }
    harness.apply(&Op::Crash);
    harness.check(&Op::Crash);
    assert!(harness.engine().verify().unwrap().is_clean());
}

#[test]
fn a_generation_that_the_store_lost_is_reported() {
    let mut harness = Harness::new();
    harness.append(0, 0, 30, 5, &Value::Float(1.0));
    harness.apply(&Op::Flush);
    harness.engine = None;
    harness.store.remove_ranges(Family::Chunks, vec![(vec![], vec![0xff; 40])], Removal::All).unwrap();
    let open = |options| {
        let kv: Arc<dyn Kv> = harness.store.clone();
        Engine::open_over(harness.dir.path(), kv, options, Arc::new(ManualClock::new(0)))
    };
    let Err(error) = open(Options { refuse_damaged_store: true, ..options() }) else {
        panic!("opened without its chunks")
    };
    assert!(error.to_string().contains("the store has none"), "{error}");
    let damage = open(options()).unwrap().health().damaged;
    assert!(!damage.is_empty() && damage.iter().all(|d| d.why.contains("the store has none")), "{damage:?}");
}

#[test]
fn a_directory_has_one_owner_and_a_known_format() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        Engine::open_over(dir.path(), Arc::new(MemoryKv::default()), options(), Arc::new(ManualClock::new(0)))
    };
    let first = open().unwrap();
    assert!(matches!(open().map(drop), Err(Error::Locked { .. })));
    drop(first);
    std::fs::write(dir.path().join("FORMAT"), "barograph 2\n").unwrap();
    assert!(matches!(open().map(drop), Err(Error::FutureVersion { found: 2, supported: 1, .. })));
    std::fs::write(dir.path().join("FORMAT"), "something\n").unwrap();
    assert!(matches!(open().map(drop), Err(Error::Corrupt { .. })));
}

#[test]
fn limits_refuse_a_batch_whole() {
    let engine = Engine::in_memory(Options { active_series: 2, ..options() }).unwrap();
    engine.append(&float_batch(0, &[1])).unwrap();
    engine.append(&float_batch(1, &[1])).unwrap();
    let mut batch = float_batch(0, &[2]);
    batch.push(&labels(2), YEAR_2024, Value::Float(0.0));
    let error = engine.append(&batch).unwrap_err();
    assert!(error.to_string().contains("2 active series, the limit"), "{error}");
    let run = |engine: &Engine| {
        let view = engine.view();
        let all = view.select(&[Matcher::equal("job", "job0")], TimeRange::ALL, 10).unwrap();
        view.read(&all[0], TimeRange::ALL).unwrap().len()
    };
    assert_eq!(run(&engine), 1, "nothing of the refused batch is stored");
}

#[test]
fn a_float_and_a_histogram_of_one_instant_replace_each_other() {
    let histogram = Value::Histogram(Arc::new(Histogram { count: 1.0, ..Histogram::default() }));
    for flushes in [[false; 3], [true, false, false], [true; 3]] {
        let mut harness = Harness::new();
        harness.append(0, 10, 1, 1, &histogram);
        harness.append(0, 20, 1, 1, &Value::Float(1.0));
        let later = [(10, Value::Float(2.0)), (20, histogram.clone()), (10, Value::Float(3.0))];
        for ((at, value), flush) in later.into_iter().zip(flushes) {
            if flush {
                harness.apply(&Op::Flush);
            }
            harness.append_started(0, at, 1, 1, &value, Started::JustBefore);
            harness.check(&Op::Flush);
        }
        harness.append(0, 600, 1, 1, &Value::Float(0.0));
        for op in [Op::Crash, Op::Flush, Op::Compact, Op::Close] {
            harness.apply(&op);
            harness.check(&op);
        }
    }
}

#[test]
fn a_histogram_that_breaks_a_rule_is_refused_with_the_series() {
    let engine = Engine::in_memory(options()).unwrap();
    let mut batch = float_batch(0, &[1]);
    let bad = Histogram { positive_buckets: vec![1.0], ..Histogram::default() };
    batch.push(&labels(1), YEAR_2024, Value::Histogram(Arc::new(bad)));
    let error = engine.append(&batch).unwrap_err();
    assert_eq!(
        error.to_string(),
        "series m1{job=\"job1\"}: histogram at 1704067200000000000: positive spans hold 0 buckets, but there \
         are 1 counts"
    );
    assert!(matches!(error, Error::Invalid(_)));
    assert_eq!(engine.stats().head_series, 0, "nothing of a batch that is refused");
}

/// Memory that histograms take is counted, so that they cannot fill it unseen.
#[test]
fn histograms_count_towards_the_memory_of_the_head() {
    let engine = Engine::in_memory(options()).unwrap();
    let wide = |count: f64| Histogram {
        positive_spans: vec![Span { offset: 0, length: 1000 }],
        positive_buckets: vec![count; 1000],
        ..Histogram::default()
    };
    let append = |at: i64, count: f64| {
        let mut batch = Batch::new();
        batch.push(&labels(0), YEAR_2024 + at, Value::Histogram(Arc::new(wide(count))));
        engine.append(&batch).unwrap();
        engine.shared.head.sample_bytes()
    };
    let one = append(100, 0.5);
    assert!(one > 8_000, "{one} bytes");
    let late = append(50, 0.5) - one;
    assert!(late > 8_000, "{late} bytes");
    engine.flush().unwrap();
    assert_eq!(engine.shared.head.sample_bytes(), 0);
}

#[test]
fn the_sample_before_a_range_is_found_wherever_it_is() {
    let mut harness = Harness::new();
    let day = |n: i64| n * 60;
    harness.append(0, day(0) + 1, 1, 1, &Value::Float(1.0));
    harness.append(0, day(2) + 1, 2, 30, &Value::Float(2.0));
    harness.append(0, 800, 1, 1, &Value::Float(9.0));
    let before = |harness: &Harness, second: i64| {
        let view = harness.engine().view();
        let range = TimeRange::new(YEAR_2024 + second * SECOND, YEAR_2024 + 900 * SECOND);
        let found = view.select(&[Matcher::equal("job", "job0")], range, 10).unwrap();
        let value = found.first().and_then(|series| view.newest_before(series, range.start).unwrap());
        value.map(|value| if let Value::Float(v) = value { v } else { f64::NAN })
    };
    for op in [Op::Crash, Op::Flush, Op::Close] {
        harness.apply(&op);
        assert_eq!(before(&harness, day(2) + 40), Some(3.0), "{op:?}");
        assert_eq!(before(&harness, day(2) + 31), Some(3.0), "{op:?}");
        assert_eq!(before(&harness, day(2) + 30), Some(2.0), "{op:?}");
        assert_eq!(before(&harness, day(2)), Some(1.0), "{op:?}: in a partition before");
        assert_eq!(before(&harness, day(0)), None, "{op:?}");
    }
}

#[test]
fn lines_are_stored_and_bad_ones_are_reported() {
    let engine = Engine::in_memory(options()).unwrap();
    let body = b"cpu,host=a usage=0.5,cores=8i 1704067200000000000\n\
                 cpu,host=a usage= 1704067201000000000\n\
                 deploy,host=a text=\"v1.2\",value=1 1704067200000000000\n\
                 cpu,host=a cores=9i,usage=0.75 1704067202000000000\n";
    let report = engine.write_lines(body, &crate::LineOptions::default()).unwrap();
    assert_eq!((report.lines_total, report.lines_bad, report.samples, report.events), (4, 1, 5, 1));
    assert_eq!(report.errors[0].line, 2);
    let view = engine.view();
    let found = view.select(&[Matcher::equal("host", "a")], TimeRange::ALL, 10).unwrap();
    let names: Vec<String> = found.iter().map(|s| s.labels.to_string()).collect();
    assert_eq!(names, ["cpu_cores{host=\"a\"}", "cpu_usage{host=\"a\"}", "deploy{host=\"a\"}"]);
    assert_eq!(view.read(&found[1], TimeRange::ALL).unwrap().values, [0.5, 0.75]);
    let events = view.events(&[Vec::new()], TimeRange::ALL, 10).unwrap();
    assert_eq!((events[0].text.as_str(), events[0].labels.metric_name()), ("v1.2", Some("deploy_text")));
}
