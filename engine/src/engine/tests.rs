//! The engine against a model: random operations on a real WAL over a store in memory,
//! compared with ordered maps after each step, with crashes and failing stores between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;

use crate::clock::ManualClock;
use crate::codec::histogram::HistogramWriter;
use crate::codec::test_data::histogram;
use crate::model::{Histogram, Labels, MatchOp, Matcher, PartitionId, Span, TimeRange, Value};
use crate::store::kv::{Family, Kv, Removal};
use crate::store::memory::MemoryKv;
use faulty::FaultyKv;

use crate::{Batch, Durability, Engine, Error, Options, Result};

mod aside;
mod batches;
mod between;
mod bounded;
mod cardinality;
mod clock;
mod compaction;
mod concurrent;
mod crowd;
mod damaged;
mod doubt;
mod faulty;
mod isolation;
mod limits;
mod lines;
mod newcomers;
mod notes;
mod pieces;
mod random;
mod reach;
mod refused;
mod remote;
mod scale;
mod scrub;
mod tenants;
#[cfg(target_os = "linux")]
mod waiting;

const SECOND: i64 = 1_000_000_000;
const YEAR_2024: i64 = 1_704_067_200 * SECOND;

#[derive(Debug, Clone)]
enum Op {
    /// Samples of one series: start second, count, step in seconds, first value, and the
    /// rule of start timestamps.
    Append {
        series: u8,
        start: i64,
        count: u8,
        step: i64,
        value: Value,
        started: Started,
    },
    Event {
        series: u8,
        at: i64,
    },
    /// An exemplar, and a description of the series' metric.
    Note {
        series: u8,
        at: i64,
    },
    Delete {
        series: Option<u8>,
        from: i64,
        to: i64,
    },
    Flush,
    Compact,
    /// The process dies and the database is opened again.
    Crash,
    Close,
    /// The next flush or merge fails at this call to the store, which does what it refuses or does not.
    FailAt(u8, bool),
}

/// When the counting began that samples tell of.
#[derive(Debug, Clone, Copy)]
enum Started {
    Unknown,
    Once,
    JustBefore,
    Sometimes,
}

impl Started {
    fn at(self, timestamp: i64) -> i64 {
        match self {
            Started::Unknown => 0,
            Started::Once => YEAR_2024 - 7,
            Started::JustBefore => timestamp - SECOND,
            Started::Sometimes => {
                if timestamp / SECOND % 3 == 0 {
                    timestamp
                } else {
                    0
                }
            }
        }
    }
}

fn any_started() -> impl Strategy<Value = Started> {
    prop_oneof![
        4 => Just(Started::Unknown),
        1 => Just(Started::Once),
        1 => Just(Started::JustBefore),
        1 => Just(Started::Sometimes),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => histogram().prop_map(|h| Value::Histogram(Arc::new(h))),
        4 => (-50i64..50).prop_map(|v| Value::Float(v as f64)),
        2 => any::<u64>().prop_map(|b| Value::Float(f64::from_bits(b))),
        1 => any::<i64>().prop_map(Value::Int),
        1 => Just(Value::Float(f64::from_bits(crate::model::STALE_NAN_BITS))),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let second = 0i64..900;
    prop_oneof![
        10 => (0u8..5, second.clone(), 1u8..40, 1i64..12, any_value(), any_started())
            .prop_map(|(series, start, count, step, value, started)| {
                Op::Append { series, start, count, step, value, started }
            }),
        1 => (0u8..5, second.clone()).prop_map(|(series, at)| Op::Event { series, at }),
        2 => (0u8..5, second.clone()).prop_map(|(series, at)| Op::Note { series, at }),
        2 => (proptest::option::of(0u8..5), second.clone(), second)
            .prop_map(|(series, a, b)| Op::Delete { series, from: a.min(b), to: a.max(b) }),
        3 => Just(Op::Flush),
        2 => Just(Op::Compact),
        2 => Just(Op::Crash),
        1 => Just(Op::Close),
        1 => (0u8..8, any::<bool>()).prop_map(|(calls, is_done)| Op::FailAt(calls, is_done)),
    ]
}

fn labels(series: u8) -> Labels {
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
        ..Options::default()
    }
}

/// A stored sample, to the bit, so that NaN compares.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    start: i64,
    value: Bits,
}

#[derive(Debug, Clone, PartialEq)]
enum Bits {
    /// A float, or an integer that a float holds.
    Float(u64),
    Int(i64),
    /// As it is written.
    Histogram(Vec<u8>),
}

fn told(start: i64, value: &Value) -> Told {
    let value = match value {
        Value::Int(v) if !crate::chunk::run::is_float_exact(*v) => Bits::Int(*v),
        Value::Int(v) => Bits::Float((*v as f64).to_bits()),
        Value::Float(v) => Bits::Float(v.to_bits()),
        Value::Histogram(histogram) => {
            let mut bytes = Vec::new();
            HistogramWriter::default().write(histogram, &mut bytes);
            Bits::Histogram(bytes)
        }
    };
    Told { start, value }
}

struct Harness {
    dir: tempfile::TempDir,
    store: Arc<MemoryKv>,
    faulty: Arc<FaultyKv>,
    engine: Option<Engine>,
    samples: BTreeMap<Labels, BTreeMap<i64, Told>>,
    events: BTreeMap<(i64, Labels), String>,
    notes: notes::Model,
}

impl Harness {
    fn new() -> Self {
        let store = Arc::new(MemoryKv::default());
        let dir = tempfile::tempdir().unwrap();
        let faulty = FaultyKv::over(store.clone());
        let mut harness = Harness {
            dir,
            store,
            faulty,
            engine: None,
            samples: BTreeMap::new(),
            events: BTreeMap::new(),
            notes: notes::Model::default(),
        };
        harness.open();
        harness
    }

    fn open(&mut self) {
        self.faulty = FaultyKv::over(self.store.clone());
        let clock = Arc::new(ManualClock::new(i64::MAX));
        self.engine =
            Some(Engine::open_over(self.dir.path(), self.faulty.clone(), options(), clock).unwrap());
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Append { series, start, count, step, value, started } => {
                self.append_started(*series, *start, *count, *step, value, *started)
            }
            Op::Event { series, at } => {
                let (labels, at) = (labels(*series), YEAR_2024 + at * SECOND);
                let text = format!("event {}", self.events.len());
                let mut batch = Batch::new();
                batch.push_event(&labels, at, &text);
                self.engine().append(&batch).unwrap();
                self.events.insert((at, labels), text);
            }
            Op::Note { series, at } => {
                let batch = self.notes.batch(&labels(*series), YEAR_2024 + at * SECOND);
                self.engine().append(&batch).unwrap();
            }
            Op::Delete { series, from, to } => self.delete(*series, *from, *to),
            Op::Flush => self.tolerate(self.engine().flush().map(|_| ())),
            Op::Compact => self.tolerate(self.engine().compact()),
            Op::Crash => {
                self.engine = None;
                self.open();
            }
            Op::Close => {
                self.tolerate(self.engine().close());
                self.engine = None;
                self.open();
            }
            Op::FailAt(calls, is_done) => {
                self.faulty.is_done.store(*is_done, Ordering::Relaxed);
                self.faulty.calls_left.store(i64::from(*calls), Ordering::Relaxed);
            }
        }
    }

    /// A failure that was asked for is no fault, and the next try succeeds.
    fn tolerate(&self, done: Result<()>) {
        let was_asked_for = self.faulty.calls_left.swap(i64::MAX, Ordering::Relaxed) <= 0;
        if let Err(e) = done {
            assert!(was_asked_for, "{e}");
        }
    }

    fn append(&mut self, series: u8, start: i64, count: u8, step: i64, value: &Value) {
        self.append_started(series, start, count, step, value, Started::Unknown);
    }

    fn append_started(
        &mut self,
        series: u8,
        start: i64,
        count: u8,
        step: i64,
        value: &Value,
        started: Started,
    ) {
        let labels = labels(series);
        let mut batch = Batch::new();
        for i in 0..i64::from(count) {
            let at = YEAR_2024 + (start + i * step) * SECOND;
            let value = match value {
                Value::Float(v) if i % 3 == 1 => Value::Float(v + i as f64),
                Value::Int(v) => Value::Int(v.wrapping_add(i)),
                Value::Histogram(_) if i % 5 == 4 => Value::Float(i as f64),
                other => other.clone(),
            };
            let start = started.at(at);
            self.samples.entry(labels.clone()).or_default().insert(at, told(start, &value));
            batch.push_started(&labels, at, start, value);
        }
        self.engine().append(&batch).unwrap();
    }

    fn delete(&mut self, series: Option<u8>, from: i64, to: i64) {
        let matcher = match series {
            Some(series) => Matcher::equal("job", &format!("job{series}")),
            None => Matcher::new("__name__", MatchOp::Equal, "m1").unwrap(),
        };
        let range = TimeRange::new(YEAR_2024 + from * SECOND, YEAR_2024 + to * SECOND);
        let matchers = [matcher];
        self.engine().delete(&matchers, range).unwrap();
        for (labels, samples) in &mut self.samples {
            if matchers[0].matches_labels(labels) {
                samples.retain(|t, _| !range.contains(*t));
            }
        }
        self.events.retain(|(t, labels), _| !(range.contains(*t) && matchers[0].matches_labels(labels)));
        self.notes.delete(&matchers[0], range);
    }

    /// Memory is counted to the byte: a count that drifts would refuse writes, or never.
    fn check_memory(&self, after: &Op) {
        let head = &self.engine().parts.head;
        let samples: usize = head.all_series().iter().map(|series| series.memory_bytes()).sum();
        let segments = head.events.snapshot();
        let events = segments.iter().flat_map(|segment| segment.iter());
        let events: u64 = events.map(|written| written.event.memory_bytes()).sum();
        assert_eq!(head.sample_bytes(), samples as u64 + events, "memory after {after:?}");
    }

    fn check(&self, after: &Op) {
        self.check_memory(after);
        let view = self.engine().view();
        let any = [Matcher::new("job", MatchOp::Regex, ".+").unwrap()];
        let mut found = BTreeMap::new();
        for series in view.select(&any, TimeRange::ALL, usize::MAX).unwrap() {
            let run = view.read(&series, TimeRange::ALL).unwrap();
            let samples: BTreeMap<i64, Told> = (0..run.len())
                .map(|i| (run.timestamps[i], told(run.start_at(i), &run.value_at(i))))
                .collect();
            if !samples.is_empty() {
                found.insert(series.labels.clone(), samples);
            }
        }
        let expected: BTreeMap<_, _> =
            self.samples.iter().filter(|(_, s)| !s.is_empty()).map(|(l, s)| (l.clone(), s.clone())).collect();
        assert_eq!(found, expected, "after {after:?}");
        let mut turns = BTreeMap::new();
        let whole = view.each_series(&any, TimeRange::ALL, usize::MAX, &|_| false, &mut |series, run| {
            let samples =
                (0..run.len()).map(|i| (run.timestamps[i], told(run.start_at(i), &run.value_at(i))));
            turns.insert(series.labels.clone(), samples.collect());
            Ok(true)
        });
        assert!(whole.unwrap());
        assert_eq!(turns, expected, "one by one, after {after:?}");
        let present = view.label_sets(&[any.to_vec()], TimeRange::ALL, usize::MAX).unwrap();
        assert!(expected.keys().all(|labels| present.binary_search(labels).is_ok()), "after {after:?}");
        let first = view.events(&[any.to_vec()], TimeRange::ALL, 3).unwrap();
        let events = view.events(&[any.to_vec()], TimeRange::ALL, usize::MAX).unwrap();
        assert_eq!(first, events[..events.len().min(3)], "after {after:?}");
        let events: BTreeMap<_, _> = events.into_iter().map(|e| ((e.timestamp, e.labels), e.text)).collect();
        assert_eq!(events, self.events, "events after {after:?}");
        self.notes.check(self.engine(), after);
    }

    /// A part of the data, read by range and by an equality matcher.
    fn check_part(&self, series: u8, from: i64, to: i64) {
        let view = self.engine().view();
        let range = TimeRange::new(YEAR_2024 + from * SECOND, YEAR_2024 + to * SECOND);
        let matchers = [
            Matcher::equal("__name__", &format!("m{}", series % 2)),
            Matcher::equal("job", &format!("job{series}")),
        ];
        let mut found = BTreeMap::new();
        for selected in view.select(&matchers, range, usize::MAX).unwrap() {
            let run = view.read(&selected, range).unwrap();
            found
                .extend((0..run.len()).map(|i| (run.timestamps[i], told(run.start_at(i), &run.value_at(i)))));
        }
        let all = self.samples.get(&labels(series));
        let expected: BTreeMap<i64, Told> = all
            .into_iter()
            .flatten()
            .filter(|(t, _)| range.contains(**t))
            .map(|(t, v)| (*t, v.clone()))
            .collect();
        assert_eq!(found, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_equals_ordered_maps(ops in proptest::collection::vec(any_op(), 1..40)) {
        let mut harness = Harness::new();
        for op in &ops {
            harness.apply(op);
            harness.check(op);
        }
        for series in 0..5 {
            harness.check_part(series, 100, 500);
        }
        let report = harness.engine().verify().unwrap();
        prop_assert!(report.is_clean(), "{:?}", report.problems);
    }
}

fn float_batch(series: u8, seconds: &[i64]) -> Batch {
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
    let width = engine.parts.cutting().partition_width_ns;
    let end = PartitionId::of(i64::MIN, width).bounds(width).1;
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
        engine.parts.head.sample_bytes()
    };
    let one = append(100, 0.5);
    assert!(one > 8_000, "{one} bytes");
    let late = append(50, 0.5) - one;
    assert!(late > 8_000, "{late} bytes");
    engine.flush().unwrap();
    assert_eq!(engine.parts.head.sample_bytes(), 0);
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
fn lines_are_stored_and_bad_ones_are_told() {
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
