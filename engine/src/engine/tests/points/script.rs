//! Scripts: steps that reach every point, random ones between them, and what a database holds after each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::random::Random;
use super::super::{SECOND, YEAR_2024, labels};
use crate::clock::ManualClock;
use crate::model::{MatchOp, Matcher, PartitionId, TimeRange, Value};
use crate::store::keys::Prefix;
use crate::store::kv::Family;
use crate::{Batch, Durability, Engine, Ladder, Options, Result, Tiers};

const SERIES: u8 = 4;
/// A wider tier would keep partitions longer than a script expects.
const TIERS: &str = "1m";

/// One step. Its number makes values and texts that no other step has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Open,
    /// Samples of a series, and an event at the first, from a second on, a second apart.
    Append {
        number: u64,
        series: u8,
        from: i64,
        count: i64,
    },
    Delete {
        series: Option<u8>,
        from: i64,
        to: i64,
    },
    Flush,
    Compact,
    Clean,
    /// Partitions older than this many seconds before the newest sample are dropped.
    Expire(i64),
    /// The tier is dropped, and built again.
    DropTier,
    /// What is kept is stored in the database.
    StoreKept,
    /// The same for the samples of one series.
    Trim {
        series: u8,
        seconds: i64,
    },
    /// The events of partitions older than this many seconds are dropped.
    TrimEvents(i64),
    Snapshot(&'static str),
    Restore(&'static str),
    /// It is opened again without a close.
    Reopen,
    Close,
    /// An ingestion whose fsync failed: opening repairs it, or `repair_dir` does.
    Torn {
        by_hand: bool,
    },
    /// A table that no catalogue names, as a flush leaves it that did not end.
    Stray,
    /// A damaged segment of the log, opened with `recover_damaged_wal`. No record is lost.
    Damage,
    /// The same without the file `durable`.
    Unmarked,
}

/// What a database is to hold.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// By series and second.
    pub samples: BTreeMap<(u8, i64), i64>,
    /// Of several at the same time the last.
    pub events: BTreeMap<(u8, i64), String>,
    pub newest: i64,
}

impl State {
    pub(super) fn is(&self, other: &State) -> bool {
        (&self.samples, &self.events) == (&other.samples, &other.events)
    }

    /// The same without the samples that `other` has too.
    pub(super) fn without(&self, other: &State) -> State {
        let mut left = self.clone();
        left.samples.retain(|key, value| other.samples.get(key) != Some(value));
        left
    }

    /// A few of the keys in which it differs, with what it has there and what the other has.
    pub(super) fn difference(&self, other: &State) -> String {
        let keys: BTreeSet<_> = self.samples.keys().chain(other.samples.keys()).collect();
        let samples = keys.iter().map(|key| (key, self.samples.get(*key), other.samples.get(*key)));
        let mut lines: Vec<String> =
            samples.filter(|(_, a, b)| a != b).map(|found| format!("{found:?}")).take(5).collect();
        let keys: BTreeSet<_> = self.events.keys().chain(other.events.keys()).collect();
        let events = keys.iter().map(|key| (key, self.events.get(*key), other.events.get(*key)));
        lines.extend(events.filter(|(_, a, b)| a != b).map(|found| format!("{found:?}")).take(5));
        lines.join("\n")
    }

    /// What a step makes of it.
    pub(super) fn apply(&mut self, step: &Step, script: &Script) {
        match *step {
            Step::Append { number, series, from, count } => {
                let added = (0..count).map(|i| ((series, from + i), value(number, i)));
                self.samples.extend(added);
                self.events.insert((series, from), text(number));
                self.newest = self.newest.max(from + count - 1);
            }
            Step::Delete { series, from, to } => {
                let is_kept = |key: &(u8, i64)| {
                    series.is_some_and(|series| series != key.0) || !(from..=to).contains(&key.1)
                };
                self.samples.retain(|key, _| is_kept(key));
                self.events.retain(|key, _| is_kept(key));
            }
            Step::Expire(seconds) => {
                let layout = script.options.layout();
                let horizon = time(self.newest - seconds);
                let is_kept = |key: &(u8, i64)| layout.bounds(layout.raw(time(key.1))).1 > horizon;
                self.samples.retain(|key, _| is_kept(key));
                self.events.retain(|key, _| is_kept(key));
            }
            Step::Trim { series, seconds } => {
                let layout = script.options.layout();
                let horizon = time(self.newest - seconds);
                let is_kept =
                    |key: &(u8, i64)| key.0 != series || layout.bounds(layout.raw(time(key.1))).1 > horizon;
                self.samples.retain(|key, _| is_kept(key));
            }
            Step::TrimEvents(seconds) => {
                let layout = script.options.layout();
                let horizon = time(self.newest - seconds);
                self.events.retain(|key, _| layout.bounds(layout.raw(time(key.1))).1 > horizon);
            }
            _ => {}
        }
    }
}

fn time(second: i64) -> i64 {
    YEAR_2024 + second * SECOND
}

fn value(number: u64, i: i64) -> i64 {
    number as i64 * 1_000 + i
}

fn text(number: u64) -> String {
    format!("event {number}")
}

/// What a database holds.
pub(super) fn read(engine: &Engine) -> State {
    let view = engine.view();
    let mut state = State::default();
    for series in 0..SERIES {
        let job = labels(series).get("job").unwrap().to_owned();
        let second = |time: i64| (time - YEAR_2024) / SECOND;
        for found in view.select(&[Matcher::equal("job", &job)], TimeRange::ALL, 10).unwrap() {
            let run = view.read(&found, TimeRange::ALL).unwrap();
            let values = run.timestamps.iter().zip(&run.values);
            state.samples.extend(values.map(|(time, value)| ((series, second(*time)), *value as i64)));
        }
        for event in view.events(&[vec![Matcher::equal("job", &job)]], TimeRange::ALL, 10_000).unwrap() {
            let before =
                state.events.insert((series, second(event.timestamp.as_nanos())), event.text.to_string());
            assert_eq!(before, None, "one event of a series at a time");
        }
    }
    super::super::tiers::assert_buckets_of_samples(&view, TIERS);
    state
}

/// Steps and options. The seed 0 has fixed ones.
pub(super) struct Script {
    pub steps: Vec<Step>,
    pub options: Options,
    /// Whether a step drops samples.
    has_expired: bool,
}

/// Makes steps.
struct Maker {
    random: Random,
    steps: Vec<Step>,
    appended: u64,
    /// Where time has come to.
    now: i64,
    width: i64,
    has_expired: bool,
}

impl Maker {
    fn append(&mut self, series: u8, from: i64, count: i64) {
        self.appended += 1;
        self.steps.push(Step::Append { number: self.appended, series, from, count });
    }

    /// Newer samples of all series, over two partitions or more.
    fn go_on(&mut self) {
        for series in 0..SERIES {
            let count = 5 + self.random.below(20) as i64;
            self.append(series, self.now + i64::from(series), count);
        }
        self.now += self.width + self.random.below(20) as i64;
        self.append(0, self.now, 3);
    }

    /// Anything that a client may do.
    fn disturb(&mut self) {
        for _ in 0..self.random.below(3) {
            let series = self.random.below(u64::from(SERIES)) as u8;
            let from = self.random.below(self.now as u64 + 10) as i64;
            match self.random.below(3) {
                0 => {
                    let to = from + self.random.below(15) as i64;
                    let delete = self.delete(Some(series), from, to);
                    self.steps.push(delete);
                }
                1 => self.steps.push(Step::Flush),
                // Late samples that overwrite.
                _ => self.append(series, from, 4),
            }
        }
    }

    fn delete(&self, series: Option<u8>, from: i64, to: i64) -> Step {
        delete(series, from, to, self.has_expired)
    }

    fn block(&mut self, number: u64) {
        self.go_on();
        let steps = match number {
            0 => vec![Step::Flush, Step::Reopen],
            1 => vec![
                Step::Flush,
                Step::Delete { series: Some(1), from: self.now - self.width, to: self.now },
                Step::Flush,
                Step::Compact,
            ],
            2 => vec![self.delete(None, self.now / 3, self.now / 2), Step::Clean],
            3 => {
                self.has_expired = true;
                vec![Step::Flush, Step::Expire(3 * self.width)]
            }
            4 => vec![Step::Torn { by_hand: false }, Step::Stray],
            5 => vec![Step::Torn { by_hand: true }],
            6 => vec![Step::Reopen, Step::Damage],
            7 => vec![Step::Close, Step::Unmarked],
            8 => vec![Step::Flush, Step::Snapshot("copy"), Step::Compact, Step::Restore("copy")],
            // Two generations of a tier: what was built, and what is repaired.
            9 => vec![
                Step::Compact,
                Step::Flush,
                Step::Compact,
                self.delete(None, self.now - 4 * self.width, self.now - 3 * self.width),
                Step::Clean,
                Step::Close,
            ],
            10 => vec![Step::Flush, Step::TrimEvents(2 * self.width), Step::StoreKept],
            _ => {
                self.has_expired = true;
                let series = self.random.below(u64::from(SERIES)) as u8;
                vec![Step::DropTier, Step::Flush, Step::Trim { series, seconds: 2 * self.width }]
            }
        };
        self.steps.extend(steps);
    }
}

/// A delete; of whole buckets if samples may have been dropped, because others are refused then.
fn delete(series: Option<u8>, from: i64, to: i64, in_buckets: bool) -> Step {
    let (from, to) = match in_buckets {
        true => ((from - 1).div_euclid(60) * 60 + 1, (to + 59).div_euclid(60) * 60),
        false => (from, to),
    };
    Step::Delete { series, from, to }
}

const BLOCKS: u64 = 12;

impl Script {
    pub(super) fn new(seed: u64) -> Script {
        let mut random = Random(seed * 7_919 + 1);
        let mut pick = |choices: &[u64]| choices[random.below(choices.len() as u64) as usize];
        let (width, chunk_samples) = match seed {
            0 => (60, 16),
            _ => (pick(&[60, 120, 300]), pick(&[16, 40, 120])),
        };
        let durability = match (seed, pick(&[0, 1])) {
            (0, _) | (_, 0) => Durability::Always,
            _ => Durability::Interval(Duration::from_millis(20)),
        };
        let options = Options {
            background: false,
            durability,
            partition_width: Duration::from_secs(width),
            chunk_samples: chunk_samples as usize,
            wal_segment_bytes: 1 << 20,
            wal_reserve_bytes: 0,
            memory_bytes: 64 << 20,
            tiers: TIERS.parse().unwrap(),
            ..Options::default()
        };
        let mut maker = Maker {
            random,
            steps: vec![Step::Open],
            appended: 0,
            now: 10,
            width: width as i64,
            has_expired: false,
        };
        let mut blocks: Vec<u64> = (0..BLOCKS).collect();
        while !blocks.is_empty() {
            let next = if seed == 0 { 0 } else { maker.random.below(blocks.len() as u64) };
            maker.block(blocks.remove(next as usize));
            if seed != 0 {
                maker.disturb();
            }
        }
        Script { has_expired: maker.has_expired, steps: maker.steps, options }
    }

    /// What is done after a crash: everything once more.
    pub(super) fn tail(&self) -> Vec<Step> {
        let far = 100_000;
        vec![
            Step::Append { number: 900, series: 2, from: 5, count: 9 },
            Step::Append { number: 901, series: 0, from: far, count: 9 },
            Step::Flush,
            delete(Some(2), 7, 9, self.has_expired),
            Step::Compact,
            Step::Append { number: 902, series: 3, from: far, count: 9 },
            Step::Delete { series: None, from: far + 3, to: far + 4 },
            Step::Clean,
            Step::Snapshot("last"),
            Step::Close,
        ]
    }

    pub(super) fn open(&self, dir: &Path, recover_damaged_wal: bool) -> Result<Engine> {
        let options = Options { recover_damaged_wal, ..self.options.clone() };
        Engine::open_with_clock(dir, options, Arc::new(ManualClock::new(i64::MAX)))
    }
}

/// Carries out steps on a database in `root`.
pub(super) struct Player<'a> {
    root: PathBuf,
    script: &'a Script,
    engine: Option<Engine>,
}

impl<'a> Player<'a> {
    pub(super) fn new(root: &Path, script: &'a Script) -> Self {
        std::fs::create_dir_all(root).unwrap();
        Player { root: root.to_owned(), script, engine: None }
    }

    /// Over the database that is there.
    pub(super) fn resumed(root: &Path, script: &'a Script, recover: bool) -> Result<Self> {
        let engine = Some(script.open(&root.join("db"), recover)?);
        Ok(Player { root: root.to_owned(), script, engine })
    }

    pub(super) fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    /// Carries out the script; the file `ledger` gets a byte for each completed step.
    pub(super) fn play(mut self) {
        let mut ledger = File::create(self.root.join("ledger")).unwrap();
        for step in &self.script.steps {
            self.apply(step);
            ledger.write_all(b".").unwrap();
        }
    }

    fn reopen(&mut self, recover: bool) {
        self.engine = None;
        self.engine = Some(self.script.open(&self.root.join("db"), recover).unwrap());
    }

    pub(super) fn apply(&mut self, step: &Step) {
        match *step {
            Step::Open | Step::Reopen => self.reopen(false),
            Step::Append { number, series, from, count } => {
                let mut batch = Batch::new();
                for i in 0..count {
                    batch.push(&labels(series), time(from + i), Value::Int(value(number, i)));
                }
                batch.push_event(&labels(series), time(from), &text(number));
                self.engine().append(&batch).unwrap();
            }
            Step::Delete { series, from, to } => {
                let matcher = match series {
                    Some(series) => Matcher::equal("job", labels(series).get("job").unwrap()),
                    None => Matcher::new("job", MatchOp::Regex, "job.*").unwrap(),
                };
                self.engine().delete(&[matcher], TimeRange::inclusive(time(from), time(to))).unwrap();
            }
            Step::Flush => drop(self.engine().flush().unwrap()),
            Step::Compact => self.engine().compact().unwrap(),
            Step::Clean => drop(self.engine().clean().unwrap()),
            Step::Expire(seconds) => {
                let retention = Duration::from_secs(seconds.unsigned_abs());
                self.engine().set_retention(retention).unwrap();
                self.engine().compact().unwrap();
                self.engine().set_retention(Duration::ZERO).unwrap();
            }
            Step::Trim { series, seconds } => self.trim(series, seconds),
            Step::TrimEvents(seconds) => self.trim_events(seconds),
            Step::DropTier => self.drop_tier(),
            Step::StoreKept => self.store_kept(),
            Step::Snapshot(name) => drop(self.engine().snapshot(&self.root.join(name)).unwrap()),
            Step::Restore(name) => {
                let to = self.root.join(format!("{name}-restored"));
                crate::restore(&self.root.join(name), &to).unwrap();
            }
            Step::Close => {
                self.engine().close().unwrap();
                self.reopen(false);
            }
            Step::Torn { by_hand } => {
                self.engine = None;
                std::fs::remove_file(self.ingest_unnamed()).unwrap();
                if by_hand {
                    let dir = self.root.join("db");
                    assert!(!Engine::repair_dir(&dir, true).unwrap().faults.is_empty());
                }
                self.reopen(false);
            }
            Step::Stray => {
                self.engine = None;
                self.ingest_unnamed();
                self.reopen(false);
            }
            Step::Damage => {
                self.engine = None;
                let log = self.root.join("db/wal");
                let entries = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
                let first = entries.filter(|path| path.extension().is_some_and(|e| e == "wal")).min();
                // Behind a seal there is nothing.
                let mut segment = File::options().append(true).open(first.unwrap()).unwrap();
                segment.write_all(b"damage").unwrap();
                self.reopen(true);
            }
            Step::Unmarked => {
                self.engine = None;
                std::fs::remove_file(self.root.join("db/wal/durable")).unwrap();
                self.reopen(true);
            }
        }
    }

    fn drop_tier(&self) {
        let tiers: Tiers = TIERS.parse().unwrap();
        self.engine().set_tiers("none".parse().unwrap()).unwrap();
        // There may be no closed partition yet.
        if let Err(error) = self.engine().drop_tier(tiers.iter().next().unwrap().resolution) {
            assert_eq!(error.to_string(), format!("there is no tier {TIERS}"));
        }
        self.engine().set_tiers(tiers).unwrap();
        self.engine().compact().unwrap();
    }

    /// Nothing that a script holds depends on it.
    fn store_kept(&self) {
        let mut kept = self.engine().kept();
        kept.retention = Duration::from_secs(10_000_000);
        self.engine().store_kept(kept.clone()).unwrap();
        assert_eq!(self.engine().stored_kept(), Some(kept));
        self.engine().set_retention(Duration::ZERO).unwrap();
    }

    fn trim_events(&self, seconds: i64) {
        let retention = Duration::from_secs(seconds.unsigned_abs());
        self.engine().set_event_retention(Some(retention)).unwrap();
        self.engine().compact().unwrap();
        self.engine().set_event_retention(None).unwrap();
    }

    fn trim(&self, series: u8, seconds: i64) {
        let selector = vec![Matcher::equal("job", labels(series).get("job").unwrap())];
        let ladder = Ladder::new(selector, &format!("raw {}m, {TIERS}", seconds / 60)).unwrap();
        self.engine().set_ladders(vec![ladder]).unwrap();
        self.engine().compact().unwrap();
        self.engine().set_ladders(Vec::new()).unwrap();
    }

    /// Takes in a table that no catalogue names; the last record of the MANIFEST adds it. Returns its file.
    fn ingest_unnamed(&self) -> PathBuf {
        let dir = self.root.join("db");
        let tables = || -> Vec<PathBuf> {
            let entries = std::fs::read_dir(dir.join("store")).unwrap().map(|entry| entry.unwrap().path());
            entries.filter(|path| path.extension().is_some_and(|e| e == "sst")).collect()
        };
        let kv = crate::engine::open::closed::open_store(&dir, &self.script.options, false).unwrap();
        let before = tables();
        let mut table = kv.table(Family::Chunks).unwrap();
        let prefix = Prefix { partition: PartitionId::raw(0), generation: u64::MAX };
        table.put(&prefix.encode(), b"gone").unwrap();
        kv.ingest(Family::Chunks, vec![table.finish().unwrap()]).unwrap();
        let mut added = tables();
        added.retain(|path| !before.contains(path));
        drop(kv);
        assert_eq!(added.len(), 1, "{added:?}");
        added.remove(0)
    }
}
