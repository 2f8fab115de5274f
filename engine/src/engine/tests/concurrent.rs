//! Flushes and merges while a writer overwrites and deletes: what is acknowledged stays.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::SECOND;
use super::faulty::FaultyKv;
use super::random::Random;
use crate::clock::ManualClock;
use crate::model::{Labels, Matcher, TimeRange, Value};
use crate::store::memory::MemoryKv;
use crate::{Batch, Durability, Engine, LineOptions, Options, Result, SeriesHandle};

const SERIES: u64 = 4;
const WIDTH: i64 = 60;
/// Rounds after which what has not happened will not happen.
const ENDLESS: u64 = 10_000;

/// The labels of the series that a line `m,i=SERIES v=VALUE` is of.
fn labels(series: u64) -> Labels {
    let number = series.to_string();
    Labels::from_pairs([("__name__", "m_v"), ("i", number.as_str())]).expect("names differ")
}

fn options() -> Options {
    Options {
        background: false,
        durability: Durability::Off,
        partition_width: Duration::from_secs(WIDTH as u64),
        chunk_samples: 16,
        wal_segment_bytes: 1 << 20,
        wal_reserve_bytes: 0,
        ..Options::default()
    }
}

/// What the database must hold: by series and second.
type Kept = BTreeMap<(u64, i64), f64>;

/// It does the same each time. When the others act is the machine's choice.
struct Writer {
    random: Random,
    kept: Kept,
    number: u64,
    /// The first of the series that are written to: the others are idle and leave memory.
    first: u64,
    /// Of this life of the database; most are older than their series.
    handles: BTreeMap<u64, SeriesHandle>,
}

impl Writer {
    fn new(seed: u64) -> Self {
        Writer { random: Random(seed), kept: Kept::new(), number: 0, first: 0, handles: BTreeMap::new() }
    }

    /// Closes the partitions that the others are written to.
    fn begin(&mut self, engine: &Engine) {
        self.push(engine, u64::MAX, 100 * WIDTH);
    }

    fn step(&mut self, engine: &Engine) {
        let random = &mut self.random;
        if random.below(40) == 0 {
            self.first = random.below(8 * SERIES);
        }
        let series = self.first + random.below(SERIES);
        let at = random.below(4 * WIDTH as u64) as i64;
        if random.below(4) > 0 {
            return self.push(engine, series, at);
        }
        // Whole partitions, so that series are often left without a sample in one.
        let first = at.div_euclid(WIDTH) * WIDTH;
        let range = TimeRange::inclusive(first * SECOND, (first + WIDTH - 1) * SECOND);
        engine.delete(&[Matcher::equal("i", &series.to_string())], range).expect("a delete");
        self.kept.retain(|(of, at), _| *of != series || !(first..first + WIDTH).contains(at));
    }

    /// Appends by labels, by a handle or as a line.
    fn push(&mut self, engine: &Engine, series: u64, at: i64) {
        self.number += 1;
        let value = self.number as f64;
        let mut batch = Batch::new();
        match self.random.below(3) {
            0 => batch.push(&labels(series), at * SECOND, Value::Float(value)),
            1 => {
                let make = || engine.handle(&labels(series)).expect("no limit is near");
                let handle = self.handles.entry(series).or_insert_with(make);
                batch.push_to(handle, at * SECOND, Value::Float(value));
            }
            _ => {
                let line = format!("m,i={series} v={value} {}", at * SECOND);
                let report = engine.write_lines(line.as_bytes(), &LineOptions::default());
                assert_eq!(report.expect("lines").samples, 1);
            }
        }
        engine.append(&batch).expect("an append");
        self.kept.insert((series, at), value);
    }

    /// Takes `steps` and looks at what is held after each `every` of them, behind what `then` does.
    fn run(&mut self, engine: &Engine, steps: u64, every: u64, mut then: impl FnMut()) {
        for step in 0..steps {
            self.step(engine);
            if step % every == 0 {
                then();
                self.check(engine);
            }
        }
    }

    fn check(&self, engine: &Engine) {
        assert_eq!(held(engine), self.kept, "after {} samples", self.number);
    }
}

fn held(engine: &Engine) -> Kept {
    let view = engine.view();
    let mut held = Kept::new();
    for series in view.select(&[], TimeRange::ALL, 100).expect("memory answers") {
        let number = series.labels.get("i").and_then(|i| i.parse().ok()).expect("a number");
        let run = view.read(&series, TimeRange::ALL).expect("memory answers");
        held.extend(
            run.timestamps.iter().zip(&run.values).map(|(at, value)| ((number, at / SECOND), *value)),
        );
    }
    held
}

/// Ends the other threads when the writer is through, be it by a panic.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Works at what the others do until the writer is through.
type Worker = fn(&Engine) -> Result<()>;

fn beside(engine: &Engine, workers: &[Worker], is_failure: fn(&crate::Error) -> bool, write: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for &work in workers {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Err(e) = work(engine) {
                        assert!(!is_failure(&e), "{e}");
                    }
                }
            });
        }
        let _stop = StopAtEnd(&stop);
        write();
    });
}

const FLUSH: Worker = |engine| engine.flush().map(drop);
const COMPACT: Worker = Engine::compact;

#[test]
fn nothing_acknowledged_is_lost_between_flushes_and_merges() {
    let engine = Engine::in_memory(options()).expect("the options are good");
    let mut writer = Writer::new(0x5eed);
    writer.begin(&engine);
    let is_enough = || engine.stats().merges > 10 && engine.stats().flushes > 10;
    let write = || {
        writer.run(&engine, 15_000, 100, || ());
        // The machine may have given the others few turns.
        for _ in (0..ENDLESS).take_while(|_| !is_enough()) {
            writer.run(&engine, 100, 100, || ());
        }
    };
    beside(&engine, &[FLUSH, COMPACT], |_| true, write);
    writer.check(&engine);
    assert!(engine.verify().expect("memory answers").is_clean());
    assert!(is_enough(), "too little to say anything: {:?}", engine.stats());
}

/// A store that now and then refuses a call and all that come after it, or all commits, and does what it refuses or
/// does not.
fn refuse_now_and_then(faulty: &FaultyKv, random: &mut Random) {
    let calls = if random.below(2) == 0 { i64::MAX } else { random.below(12) as i64 };
    faulty.refuses_commits.store(random.below(4) == 0, Ordering::Relaxed);
    faulty.is_done.store(random.below(2) == 0, Ordering::Relaxed);
    faulty.calls_left.store(calls, Ordering::Relaxed);
}

fn open(dir: &Path, faulty: &Arc<FaultyKv>) -> Engine {
    let clock = Arc::new(ManualClock::new(i64::MAX));
    Engine::open_over(dir, faulty.clone(), options(), clock).expect("what a crash leaves can be opened")
}

#[test]
fn nothing_acknowledged_is_lost_by_crashes_over_a_store_that_refuses() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Arc::new(MemoryKv::default());
    let (mut writer, mut merges, mut failures) = (Writer::new(0xc4a5), 0, 0);
    for life in 0..ENDLESS {
        // How much the others do in a life is the machine's choice.
        if life >= 15 && merges > 10 && failures > 10 {
            break;
        }
        let faulty = FaultyKv::over(store.clone());
        let engine = open(dir.path(), &faulty);
        writer.check(&engine);
        writer.handles.clear();
        writer.begin(&engine);
        let mut random = Random(life + 1);
        let refuse = || refuse_now_and_then(&faulty, &mut random);
        beside(&engine, &[FLUSH, COMPACT], |_| false, || writer.run(&engine, 400, 50, refuse));
        writer.check(&engine);
        assert_eq!(engine.verify().expect("memory answers").problems, [""; 0]);
        merges += engine.stats().merges;
        failures += engine.stats().flush_failures + engine.stats().merge_failures;
    }
    assert!(merges > 10 && failures > 10, "too little to say anything: {merges} merges, {failures} failures");
}
