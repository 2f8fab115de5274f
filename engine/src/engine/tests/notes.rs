//! Metadata and exemplars: their part of the model, restarts, limits.

use super::*;
use crate::model::{Exemplar, Metadata, MetricType};

/// What the database must know.
#[derive(Debug, Default)]
pub(super) struct Model {
    exemplars: BTreeMap<Labels, BTreeMap<i64, Exemplar>>,
    metadata: BTreeMap<String, Vec<Metadata>>,
}

fn exemplar(at: i64, trace: &str) -> Exemplar {
    Exemplar {
        labels: Labels::from_pairs([("trace_id", trace)]).unwrap(),
        timestamp: crate::Timestamp::from_nanos(at),
        value: at as f64,
    }
}

/// Counters would lose the sums of their buckets, which tests compare.
fn gauge(help: &str) -> Metadata {
    Metadata { kind: MetricType::Gauge, help: help.to_owned(), unit: String::new() }
}

impl Model {
    /// A batch with one of each, which the model takes over.
    pub fn batch(&mut self, series: &Labels, at: i64) -> Batch {
        let mut batch = Batch::new();
        let exemplar = exemplar(at, "t");
        batch.push_exemplar(series, exemplar.clone());
        self.exemplars.entry(series.clone()).or_default().insert(at, exemplar);
        let family = series.metric_name().unwrap();
        let described = gauge(&format!("help {}", at / SECOND % 3));
        batch.push_metadata(family, described.clone());
        let known = self.metadata.entry(family.to_owned()).or_default();
        if !known.contains(&described) {
            known.push(described);
        }
        batch
    }

    pub fn delete(&mut self, matcher: &Matcher, range: TimeRange) {
        for (labels, list) in &mut self.exemplars {
            list.retain(|t, _| !(range.contains(*t) && matcher.matches_labels(labels)));
        }
        self.exemplars.retain(|_, list| !list.is_empty());
    }

    pub fn check(&self, engine: &Engine, after: &Op) {
        let any = [vec![Matcher::new("job", MatchOp::Regex, ".+").unwrap()]];
        let expected: Vec<(Labels, Vec<Exemplar>)> =
            self.exemplars.iter().map(|(l, list)| (l.clone(), list.values().cloned().collect())).collect();
        assert_eq!(engine.exemplars(&any, TimeRange::ALL).unwrap(), expected, "exemplars after {after:?}");
        let expected: Vec<(String, Vec<Metadata>)> = self.metadata.clone().into_iter().collect();
        assert_eq!(engine.metadata(None).unwrap(), expected, "metadata after {after:?}");
    }
}

#[test]
fn notes_survive_a_flush_that_fails_at_any_call() {
    for calls in 0..8 {
        let mut harness = Harness::new();
        harness.append(0, 0, 30, 5, &Value::Float(1.0));
        harness.apply(&Op::Note { series: 0, at: 1 });
        harness.apply(&Op::FailAt(calls, false));
        harness.apply(&Op::Flush);
        harness.apply(&Op::Note { series: 1, at: 2 });
        harness.apply(&Op::Flush);
        harness.apply(&Op::Crash);
        harness.check(&Op::Crash);
        harness.delete(Some(0), 0, 10);
        harness.apply(&Op::Crash);
        harness.check(&Op::Crash);
        harness.apply(&Op::Flush);
        harness.apply(&Op::Crash);
        harness.check(&Op::Crash);
        assert!(harness.engine().verify().unwrap().is_clean());
    }
}

#[test]
fn metadata_that_is_known_costs_no_record() {
    let harness = Harness::new();
    let mut batch = Batch::new();
    batch.push_metadata("m", gauge("once"));
    harness.engine().append(&batch).unwrap();
    let records = harness.engine().stats().wal_records;
    harness.engine().append(&batch).unwrap();
    assert_eq!(harness.engine().stats().wal_records, records);
}

#[test]
fn damaged_notes_are_found() {
    let mut harness = Harness::new();
    harness.apply(&Op::Note { series: 0, at: 1 });
    harness.apply(&Op::Flush);
    let mut bytes = harness.store.get(Family::Meta, b"mm0").unwrap().expect("the family is in the store");
    *bytes.last_mut().unwrap() ^= 1;
    harness.store.commit(vec![(b"mm0".to_vec(), Some(bytes))]).unwrap();
    let report = harness.engine().verify().unwrap();
    assert!(report.problems[0].contains("meta/mm0"), "{:?}", report.problems);
    harness.engine = None;
    let kv: Arc<dyn Kv> = harness.store.clone();
    let opened = Engine::open_over(harness.dir.path(), kv, options(), Arc::new(ManualClock::new(0)));
    assert!(matches!(opened.map(drop), Err(Error::Corrupt { .. })));
}

#[test]
fn bad_notes_refuse_the_batch() {
    let engine = Engine::in_memory(options()).unwrap();
    let refused = |change: &dyn Fn(&mut Batch)| {
        let mut batch = float_batch(0, &[1]);
        change(&mut batch);
        engine.append(&batch).unwrap_err().to_string()
    };
    let long = refused(&|b| b.push_exemplar(&labels(0), exemplar(YEAR_2024, &"x".repeat(121))));
    assert!(long.contains("labels of 129 characters, the limit is 128"), "{long}");
    let bare = refused(&|b| b.push_exemplar(&Labels::empty(), exemplar(YEAR_2024, "x")));
    assert_eq!(bare, "an exemplar of a series without labels");
    assert!(refused(&|b| b.push_metadata("", gauge("x"))).contains("without a metric name"));
    assert_eq!(engine.stats().samples, 0);
}

#[test]
fn exemplars_past_the_retention_go() {
    let dir = tempfile::tempdir().unwrap();
    let kv = Arc::new(MemoryKv::default());
    let open = |kv: &Arc<MemoryKv>| {
        let options = Options { retention: Duration::from_secs(300), ..options() };
        Engine::open_over(dir.path(), kv.clone(), options, Arc::new(ManualClock::new(i64::MAX))).unwrap()
    };
    let engine = open(&kv);
    let mut batch = float_batch(0, &[0]);
    batch.push_exemplar(&labels(0), exemplar(YEAR_2024, "old"));
    engine.append(&batch).unwrap();
    engine.append(&float_batch(0, &[1000])).unwrap();
    let mut batch = Batch::new();
    batch.push_exemplar(&labels(0), exemplar(YEAR_2024 + SECOND, "late"));
    batch.push_exemplar(&labels(0), exemplar(YEAR_2024 + 900 * SECOND, "new"));
    let report = engine.append(&batch).unwrap();
    assert_eq!((report.exemplars, report.too_old), (1, 1));
    engine.flush().unwrap();
    drop(engine);
    let any = [vec![Matcher::new("job", MatchOp::Regex, ".+").unwrap()]];
    let found = open(&kv).exemplars(&any, TimeRange::ALL).unwrap();
    assert_eq!(found, [(labels(0), vec![exemplar(YEAR_2024 + 900 * SECOND, "new")])]);
}

#[test]
fn a_created_database_is_durable_and_survives_flushes() {
    let mut harness = Harness::new();
    assert!(harness.engine().create_database("telegraf").unwrap());
    assert!(!harness.engine().create_database("telegraf").unwrap(), "it is there");
    harness.apply(&Op::Crash);
    assert_eq!(harness.engine().databases(), ["telegraf"], "from the log");
    harness.apply(&Op::FailAt(0, false));
    assert!(harness.engine().flush().is_err());
    harness.faulty.calls_left.store(i64::MAX, Ordering::Relaxed);
    harness.engine().flush().unwrap();
    let stats = harness.engine().stats();
    assert_eq!(stats.flushed_seq, stats.last_seq, "the log has nothing of it");
    harness.apply(&Op::Crash);
    assert_eq!(harness.engine().databases(), ["telegraf"], "from the store");
    assert!(harness.engine().verify().unwrap().is_clean());
    assert!(matches!(harness.engine().create_database(""), Err(Error::Invalid(_))));
}

#[test]
fn a_dropped_database_stays_away() {
    let mut harness = Harness::new();
    for name in ["kept", "flushed", "logged"] {
        assert!(harness.engine().create_database(name).unwrap());
    }
    harness.engine().flush().unwrap();
    assert!(harness.engine().drop_database("flushed").unwrap());
    assert!(!harness.engine().drop_database("flushed").unwrap(), "it is gone");
    harness.engine().flush().unwrap();
    assert!(harness.engine().drop_database("logged").unwrap());
    harness.apply(&Op::Crash);
    assert_eq!(harness.engine().databases(), ["kept"], "from store and log");
    harness.engine().flush().unwrap();
    harness.apply(&Op::Crash);
    assert_eq!(harness.engine().databases(), ["kept"], "from the store");
    assert!(harness.engine().create_database("flushed").unwrap(), "it may come again");
    assert!(harness.engine().verify().unwrap().is_clean());
}
