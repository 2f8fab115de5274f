//! The model: random operations on an engine, and ordered maps that say what it must hold after each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::faulty::FaultyKv;
use super::{SECOND, YEAR_2024, labels, notes, options};
use crate::clock::ManualClock;
use crate::codec::histogram::HistogramWriter;
use crate::codec::test_data::histogram;
use crate::model::{Duplicates, Labels, MatchOp, Matcher, TimeRange, Value, is_stale};
use crate::rollup::Bucket;
use crate::store::memory::MemoryKv;
use crate::{Batch, Engine, Ladder, Options, Result};

#[derive(Debug, Clone)]
pub(super) enum Op {
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
    /// All buckets of all tiers are omitted.
    Omit,
    /// The process dies and the database is opened again.
    Crash,
    Close,
    /// The next flush or merge fails at this call to the store, which does what it refuses or does not.
    FailAt(u8, bool),
}

/// When the counting began that samples tell of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Started {
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
        1 => histogram().prop_map(|mut h| {
            h.sum = f64::from_bits(crate::model::STALE_NAN_BITS);
            Value::Histogram(Arc::new(h))
        }),
        4 => (-50i64..50).prop_map(|v| Value::Float(v as f64)),
        2 => any::<u64>().prop_map(|b| Value::Float(f64::from_bits(b))),
        1 => any::<i64>().prop_map(Value::Int),
        1 => Just(Value::Float(f64::from_bits(crate::model::STALE_NAN_BITS))),
    ]
}

pub(super) fn any_op() -> impl Strategy<Value = Op> {
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
        1 => Just(Op::Omit),
        2 => Just(Op::Crash),
        1 => Just(Op::Close),
        1 => (0u8..8, any::<bool>()).prop_map(|(calls, is_done)| Op::FailAt(calls, is_done)),
    ]
}

fn any_rule() -> impl Strategy<Value = Duplicates> {
    let [last, first, max, min] = [Duplicates::Last, Duplicates::First, Duplicates::Max, Duplicates::Min];
    prop_oneof![Just(last), Just(first), Just(max), Just(min)]
}

/// A stored sample, to the bit, so that NaN compares.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) start: i64,
    pub(super) value: Bits,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bits {
    /// A float, or an integer that a float holds.
    Float(u64),
    Int(i64),
    Histogram {
        written: Vec<u8>,
        is_stale: bool,
    },
}

pub(super) fn shown(start: i64, value: &Value) -> Told {
    let value = match value {
        Value::Int(v) if !crate::chunk::run::is_float_exact(*v) => Bits::Int(*v),
        Value::Int(v) => Bits::Float((*v as f64).to_bits()),
        Value::Float(v) => Bits::Float(v.to_bits()),
        Value::Histogram(histogram) => {
            let mut written = Vec::new();
            HistogramWriter::default().write(histogram, &mut written);
            Bits::Histogram { written, is_stale: is_stale(histogram.sum) }
        }
    };
    Told { start, value }
}

/// Whether a new value counts in place of a known one.
fn counts(duplicates: Duplicates, known: &Told, new: &Value) -> bool {
    let (known, new) = (ranked(&known.value), ranked(&shown(0, new).value));
    match duplicates {
        Duplicates::First => false,
        Duplicates::Max => new >= known,
        Duplicates::Min => new.0 > known.0 || (new.0 == known.0 && (new.1, new.2) <= (known.1, known.2)),
        _ => true,
    }
}

/// The kind of a value, the kinds in ascending order of precedence, and numbers as a float and an integer.
fn ranked(value: &Bits) -> (u8, f64, i128) {
    match value {
        Bits::Float(bits) => match f64::from_bits(*bits) {
            value if value.is_nan() => (0, 0.0, 0),
            value => (1, value, value as i128),
        },
        Bits::Int(value) => (1, *value as f64, i128::from(*value)),
        Bits::Histogram { is_stale: true, .. } => (0, 0.0, 0),
        Bits::Histogram { is_stale: false, .. } => (2, 0.0, 0),
    }
}

pub(super) struct Harness {
    pub(super) dir: tempfile::TempDir,
    pub(super) store: Arc<MemoryKv>,
    pub(super) faulty: Arc<FaultyKv>,
    pub(super) engine: Option<Engine>,
    pub(super) samples: BTreeMap<Labels, BTreeMap<i64, Told>>,
    events: BTreeMap<(i64, Labels), String>,
    notes: notes::Model,
    tiers: &'static str,
    rules: Rules,
}

/// The rules for duplicates of the database, and of the ladders of some series.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    rest: Duplicates,
    /// The first ladder selects series 0, and so on.
    ladders: Vec<Option<Duplicates>>,
}

impl Rules {
    fn of(&self, series: u8) -> Duplicates {
        self.ladders.get(usize::from(series)).copied().flatten().unwrap_or(self.rest)
    }

    fn ladder((series, rule): (usize, &Option<Duplicates>)) -> Ladder {
        let steps = rule.map_or(String::new(), |rule| format!("duplicates {rule}"));
        Ladder::new(vec![Matcher::equal("job", &format!("job{series}"))], &steps).unwrap()
    }

    fn within(&self, options: Options) -> Options {
        let ladders = self.ladders.iter().enumerate().map(Rules::ladder);
        options.with_duplicates(self.rest).with_ladders(ladders.collect())
    }
}

impl Harness {
    pub(super) fn new() -> Self {
        Harness::with_tiers("")
    }

    pub(super) fn with_tiers(tiers: &'static str) -> Self {
        Harness::with(tiers, Rules::default())
    }

    fn with(tiers: &'static str, rules: Rules) -> Self {
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
            tiers,
            rules,
        };
        harness.open();
        harness
    }

    fn open(&mut self) {
        self.faulty = FaultyKv::over(self.store.clone());
        let clock = Arc::new(ManualClock::new(i64::MAX));
        let options = self.rules.within(options().with_tiers(self.tiers.parse().unwrap()));
        self.engine = Some(Engine::open_over(self.dir.path(), self.faulty.clone(), options, clock).unwrap());
    }

    pub(super) fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    pub(super) fn apply(&mut self, op: &Op) {
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
            Op::Omit => self.tolerate(self.omit()),
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

    fn omit(&self) -> Result<()> {
        let merger = &self.engine().shared.merger;
        let omit = |bucket: &mut Bucket| *bucket = Bucket::omitted(bucket.end);
        merger.pass(i64::MIN).tiers.iter().try_for_each(|job| merger.compactor().forget(job, omit))
    }

    /// A failure that was asked for is no fault, and the next try succeeds.
    fn tolerate(&self, done: Result<()>) {
        let was_asked_for = self.faulty.calls_left.swap(i64::MAX, Ordering::Relaxed) <= 0;
        if let Err(e) = done {
            assert!(was_asked_for, "{e}");
        }
    }

    pub(super) fn append(&mut self, series: u8, start: i64, count: u8, step: i64, value: &Value) {
        self.append_started(series, start, count, step, value, Started::Unknown);
    }

    pub(super) fn append_started(
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
            let of_series = self.samples.entry(labels.clone()).or_default();
            if of_series.get(&at).is_none_or(|known| counts(self.rules.of(series), known, &value)) {
                of_series.insert(at, shown(start, &value));
            }
            batch.push_started(&labels, at, start, value);
        }
        self.engine().append(&batch).unwrap();
    }

    pub(super) fn delete(&mut self, series: Option<u8>, from: i64, to: i64) {
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
        let head = &self.engine().shared.head;
        let samples: usize = head.all_series().iter().map(|series| series.memory_bytes()).sum();
        let segments = head.events.snapshot();
        let events = segments.iter().flat_map(|segment| segment.iter());
        let events: u64 = events.map(|written| written.event.memory_bytes()).sum();
        assert_eq!(head.sample_bytes(), samples as u64 + events, "memory after {after:?}");
    }

    pub(super) fn check(&self, after: &Op) {
        self.check_memory(after);
        let view = self.engine().view();
        let any = [Matcher::new("job", MatchOp::Regex, ".+").unwrap()];
        let mut found = BTreeMap::new();
        for series in view.select(&any, TimeRange::ALL, usize::MAX).unwrap() {
            let run = view.read(&series, TimeRange::ALL).unwrap();
            let samples: BTreeMap<i64, Told> = (0..run.len())
                .map(|i| (run.timestamps[i], shown(run.start_at(i), &run.value_at(i))))
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
                (0..run.len()).map(|i| (run.timestamps[i], shown(run.start_at(i), &run.value_at(i))));
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
        let events: BTreeMap<_, _> =
            events.into_iter().map(|e| ((e.timestamp.as_nanos(), e.labels), e.text)).collect();
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
            found.extend(
                (0..run.len()).map(|i| (run.timestamps[i], shown(run.start_at(i), &run.value_at(i)))),
            );
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

    #[test]
    fn the_rules_for_duplicates_hold_wherever_samples_meet(
        rest in any_rule(),
        ladders in proptest::collection::vec(proptest::option::of(any_rule()), 0..5),
        ops in proptest::collection::vec(any_op(), 1..40),
    ) {
        let mut harness = Harness::with("1m, 5m", Rules { rest, ladders });
        let all = TimeRange::new(YEAR_2024 - 600 * SECOND, YEAR_2024 + 2000 * SECOND);
        for op in &ops {
            harness.apply(op);
            harness.check(op);
            super::tiers::check(&harness, all, op);
        }
    }
}
