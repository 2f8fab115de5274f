//! The cost of a change with very many partitions: entries touched, read and written.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{SECOND, YEAR_2024, float_batch, labels, options};
use crate::clock::ManualClock;
use crate::model::{Labels, Matcher, TimeRange, Value};
use crate::store::blocks::touched;
use crate::store::kv::{Bulk, Change, Cursor, Family, KeyRange, Kv, KvStats, Removal, Table, TableWriter};
use crate::store::memory::MemoryKv;
use crate::{Batch, Engine, Error, LineOptions, Options, Result};

/// Counts the calls to a store.
#[derive(Default)]
struct CountingKv {
    inner: MemoryKv,
    /// Keys that cursors seeked to, and keys that were read.
    reads: AtomicU64,
    /// Records that commits put or removed.
    changes: AtomicU64,
    tables: AtomicU64,
}

struct CountingCursor<'a> {
    inner: Box<dyn Cursor + 'a>,
    reads: &'a AtomicU64,
}

impl Cursor for CountingCursor<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.seek(key)
    }

    fn advance(&mut self) -> Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.advance()
    }

    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.inner.entry()
    }
}

impl Bulk for CountingKv {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.get(family, key)
    }

    fn cursor<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        Box::new(CountingCursor { inner: self.inner.cursor(family), reads: &self.reads })
    }

    fn table<'a>(&'a self, family: Family) -> Result<Box<dyn TableWriter + 'a>> {
        self.tables.fetch_add(1, Ordering::Relaxed);
        self.inner.table(family)
    }

    fn ingest(&self, family: Family, tables: Vec<Table>) -> Result<()> {
        self.inner.ingest(family, tables)
    }
}

impl Kv for CountingKv {
    fn commit(&self, changes: Vec<Change>) -> Result<()> {
        self.changes.fetch_add(changes.len() as u64, Ordering::Relaxed);
        self.inner.commit(changes)
    }

    fn remove_ranges(&self, family: Family, ranges: Vec<KeyRange>, removal: Removal) -> Result<()> {
        self.inner.remove_ranges(family, ranges, removal)
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        self.inner.checkpoint(dir)
    }

    fn stats(&self) -> KvStats {
        self.inner.stats()
    }
}

/// The cost of a step: catalogue entries touched in memory, records read, catalogue records written, tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    touched: u64,
    reads: u64,
    changes: u64,
    tables: u64,
}

struct Wide {
    _dir: tempfile::TempDir,
    store: Arc<CountingKv>,
    engine: Engine,
    opening: Cost,
}

fn cost_of(store: &CountingKv, work: impl FnOnce()) -> Cost {
    let counters = [&store.reads, &store.changes, &store.tables];
    let before = counters.map(|counter| counter.load(Ordering::Relaxed));
    let touched = touched::by(work);
    let after = counters.map(|counter| counter.load(Ordering::Relaxed));
    Cost { touched, reads: after[0] - before[0], changes: after[1] - before[1], tables: after[2] - before[2] }
}

const MINUTE: i64 = 60;

impl Wide {
    /// A database with a sample in each of `partitions` partitions, merged and reopened.
    fn new(partitions: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(CountingKv::default());
        let options = Options { partitions_per_request: 1_000_000, ..options() };
        let open = || {
            let clock = Arc::new(ManualClock::new(i64::MAX));
            Engine::open_over(dir.path(), store.clone(), options.clone(), clock).unwrap()
        };
        let engine = open();
        let seconds: Vec<i64> = (0..partitions).map(|minute| minute * MINUTE).collect();
        engine.append(&float_batch(0, &seconds)).unwrap();
        engine.flush().unwrap();
        engine.compact().unwrap();
        assert_eq!(engine.stats().merges, partitions as u64 - 2, "the last two are not closed");
        engine.close().unwrap();
        drop(engine);
        let mut engine = None;
        let opening = cost_of(&store, || engine = Some(open()));
        Wide { _dir: dir, store, engine: engine.unwrap(), opening }
    }

    fn cost(&self, work: impl FnOnce(&Engine)) -> Cost {
        cost_of(&self.store, || work(&self.engine))
    }
}

const FEW: i64 = 100;
const MANY: i64 = 10_000;

#[test]
fn a_flush_a_delete_and_a_pass_cost_what_they_change_not_what_is_there() {
    let costs = [FEW, MANY].map(|partitions| {
        let wide = Wide::new(partitions);
        let last = (partitions - 1) * MINUTE;
        let flush = wide.cost(|engine| {
            engine.append(&float_batch(1, &[last + 5])).unwrap();
            engine.flush().unwrap();
        });
        let nothing = [Matcher::equal("job", "none")];
        let delete = wide.cost(|engine| {
            engine.delete(&nothing, TimeRange::ALL).unwrap();
        });
        let second = TimeRange::inclusive(YEAR_2024 + last * SECOND, YEAR_2024 + (last + 5) * SECOND);
        let query = wide.cost(|engine| {
            let view = engine.view();
            let found = view.select(&[Matcher::equal("job", "job0")], second, 10).unwrap();
            assert_eq!(view.read(&found[0], second).unwrap().values.len(), 1);
        });
        let pass = wide.cost(|engine| engine.compact().unwrap());
        assert!(pass.tables <= 2, "a delete without matches rewrites no partition: {pass:?}");
        let idle = wide.cost(|engine| engine.compact().unwrap());
        assert_eq!(wide.engine.stats().tombstones, 1, "the last partition is open and keeps it");
        (flush, delete, query, idle)
    });
    let [few, many] = costs;
    for (what, few, many, touched_max) in [
        ("flush", few.0, many.0, 1_500),
        ("delete", few.1, many.1, 100),
        ("query", few.2, many.2, 300),
        ("idle pass", few.3, many.3, 500),
    ] {
        assert!(many.touched <= touched_max, "{what}: {many:?}");
        assert_eq!((many.reads, many.changes, many.tables), (few.reads, few.changes, few.tables), "{what}");
    }
    assert_eq!(
        (many.0.changes, many.1.changes, many.1.reads),
        (2, 0, 0),
        "the root and a generation, nothing else"
    );
}

#[test]
fn opening_reads_each_record_of_the_catalogue_once() {
    let per_partition = [FEW, MANY].map(|partitions| {
        let Cost { touched, reads, changes, .. } = Wide::new(partitions).opening;
        assert_eq!(changes, 0);
        assert!(touched <= 3 * partitions as u64, "{touched} for {partitions}");
        reads as f64 / partitions as f64
    });
    // The record, a chunk, and the index of one series: a record, its times and its postings.
    assert!(per_partition.iter().all(|reads| *reads < 9.0), "{per_partition:?}");
}

/// It looks whether there is anything of each generation, and whether there is anything else.
#[test]
fn opening_passes_over_what_a_generation_has() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(CountingKv::default());
    let open = || {
        let clock = Arc::new(ManualClock::new(i64::MAX));
        Engine::open_over(dir.path(), store.clone(), options(), clock).unwrap()
    };
    let engine = open();
    let mut batch = Batch::new();
    for number in 0..1_000 {
        let labels = Labels::from_pairs([("__name__", "many"), ("number", &*number.to_string())]).unwrap();
        batch.push(&labels, YEAR_2024, Value::Float(1.0));
    }
    engine.append(&batch).unwrap();
    engine.flush().unwrap();
    engine.close().unwrap();
    drop(engine);
    let opening = cost_of(&store, || drop(open()));
    assert!(opening.reads < 60, "{opening:?} for a generation of 1000 series");
}

#[test]
fn merges_of_many_small_partitions_share_commits_and_tables() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(CountingKv::default());
    let clock = Arc::new(ManualClock::new(i64::MAX));
    let options = Options { partitions_per_request: 1_000_000, ..options() };
    let engine = Engine::open_over(dir.path(), store.clone(), options, clock).unwrap();
    for series in 0..2 {
        let seconds: Vec<i64> = (0..2_000).map(|minute| minute * MINUTE + i64::from(series)).collect();
        engine.append(&float_batch(series, &seconds)).unwrap();
        engine.flush().unwrap();
    }
    let merging = cost_of(&store, || engine.compact().unwrap());
    assert!(merging.tables <= 2 * 4, "{merging:?}");
    // Each replaces two generations by one, and each commit writes the root.
    assert_eq!(merging.changes, 1_998 * 3 + 4);
    assert_eq!(engine.stats().merges, 1_998);
    engine.delete(&[Matcher::equal("job", "job1")], TimeRange::ALL).unwrap();
    let cleaning = cost_of(&store, || assert_eq!(engine.clean().unwrap().partitions, 2_000));
    assert!(cleaning.tables <= 2 * 4, "{cleaning:?}");
    assert_eq!((engine.stats().stored_samples, engine.stats().tombstones), (2_000, 0));
    assert_eq!(engine.verify().unwrap().problems, [""; 0]);
}

#[test]
fn a_request_may_touch_so_many_partitions() {
    let engine = Engine::in_memory(Options { partitions_per_request: 10, ..options() }).unwrap();
    let minutes = |count: i64| (0..count).map(|minute| minute * MINUTE).collect::<Vec<_>>();
    engine.append(&float_batch(0, &minutes(10))).unwrap();
    let refused = engine.append(&float_batch(1, &minutes(11))).unwrap_err();
    assert!(matches!(&refused, Error::Limit(why) if why.contains("partitions_per_request")), "{refused}");
    let mut events = Batch::new();
    for minute in minutes(11) {
        events.push_event(&labels(2), YEAR_2024 + minute * SECOND, "text");
    }
    assert!(matches!(engine.append(&events), Err(Error::Limit(_))));
    let lines = |count: i64| -> String {
        minutes(count).iter().map(|minute| format!("m,h=a v=1 {}\n", YEAR_2024 + minute * SECOND)).collect()
    };
    engine.write_lines(lines(10).as_bytes(), &LineOptions::default()).unwrap();
    let refused = engine.write_lines(lines(11).as_bytes(), &LineOptions::default()).unwrap_err();
    assert!(refused.to_string().contains("max_partitions_per_request"), "{refused}");
    assert_eq!(engine.stats().samples, 20, "nothing of the refused batch is stored");
    assert_eq!(engine.stats().head_series, 2, "and its series are gone");
    let mut many = Batch::new();
    (0..1_000).for_each(|at| many.push(&labels(0), YEAR_2024 + at % 10 * SECOND * MINUTE, Value::Float(1.0)));
    engine.append(&many).unwrap();
}
