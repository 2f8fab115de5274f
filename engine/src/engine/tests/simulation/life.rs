//! One simulation: lives of a database, each some rounds of threads that take turns, each ended by a close or a crash.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::model::End;
use super::steps::{Now, Role, SERIES, Shared, Worker, content};
use super::store::{Refusal, Store};
use super::{Counts, SECOND, YEAR_2024};
use crate::clock::{Clock, ManualClock};
use crate::engine::tests::options;
use crate::sync::turns::{Choice, Dice, Ended, Task, Turns};
use crate::wal::simulated::{Disk, Fault};
use crate::{Durability, Engine, Options, restore};

/// Points at which a crash of a round may come, at most.
const CRASH_POINTS: u64 = 1200;

pub(super) struct Simulation {
    dice: Dice,
    dir: tempfile::TempDir,
    options: Options,
    disk: Disk,
    store: Arc<Store>,
    clock: Arc<ManualClock>,
    now: Arc<Mutex<Now>>,
    /// Whether openings crash too.
    crashes_open: bool,
    /// A hash of all that happened.
    hash: u64,
}

/// A directory whose files never wait for a disk.
pub(super) fn directory() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory")
}

impl Simulation {
    pub(super) fn new(seed: u64, traces: bool) -> Self {
        let mut dice = Dice(seed);
        let retention = if dice.once_in(4) { Duration::from_secs(300) } else { Duration::ZERO };
        let durability = if dice.once_in(8) { Durability::Off } else { Durability::Always };
        let options = Options {
            durability,
            retention,
            memory_bytes: 64 << 20,
            wal_segment_bytes: [1 << 10, 1 << 10, 4 << 10, 1 << 20][dice.below(4) as usize],
            wal_reserve_bytes: if dice.once_in(8) { 16 << 10 } else { 0 },
            ..options()
        };
        let now = Now { second: 600, newcomer: SERIES, trace: traces.then(Vec::new), ..Now::default() };
        let clock = Arc::new(ManualClock::new(YEAR_2024 + 700 * SECOND));
        let simulation = Simulation {
            disk: Disk::new(dice.split()),
            store: Store::new(dice.split()),
            dice,
            dir: directory(),
            options,
            clock,
            now: Arc::new(Mutex::new(now)),
            crashes_open: true,
            hash: 0,
        };
        let mut now = simulation.now.lock();
        now.model.is_durable = durability == Durability::Always;
        now.model.retention_ns = (!retention.is_zero()).then_some(retention.as_nanos() as i64);
        now.model.note_clock(simulation.clock.now());
        drop(now);
        simulation
    }

    /// One whose disk and store do not fail, and without a retention.
    pub(super) fn quiet() -> Self {
        let mut simulation = Simulation::new(1, false);
        (simulation.options.durability, simulation.options.retention) = (Durability::Always, Duration::ZERO);
        let mut now = simulation.now.lock();
        (now.model.is_durable, now.model.retention_ns) = (true, None);
        drop(now);
        simulation.crashes_open = false;
        simulation
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.now.lock().trace.clone().unwrap_or_default()
    }

    fn note(&self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.now.lock().trace {
            trace.push(text());
        }
    }

    fn mix(&mut self, value: u64) {
        self.hash = (self.hash ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(9);
    }

    pub(super) fn run(&mut self) -> Result<(Counts, u64), String> {
        let mut end = End::Killed;
        for _ in 0..2 + self.dice.below(3) {
            let shared = self.open(end)?;
            self.check(&shared)?;
            end = self.live(shared)?;
        }
        let shared = self.open(end)?;
        self.check(&shared)?;
        self.finish(shared)?;
        let shared = self.open(End::Closed)?;
        self.check(&shared)?;
        let mut now = self.now.lock();
        now.counts.faults = self.disk.faults_met() + self.store.refused();
        let counts = now.counts;
        drop(now);
        self.mix(self.disk.trace());
        Ok((counts, self.hash))
    }

    /// Opens the database. An opening may crash too, and is tried again.
    pub(super) fn open(&mut self, mut end: End) -> Result<Shared, String> {
        let mut tries = 0;
        loop {
            self.disk.mend();
            match end {
                End::PowerLost => self.disk.lose_power(),
                End::Closed | End::Killed => self.disk.restart(),
            }
            self.store = self.store.reopened();
            let crashes = self.crashes_open && tries < 3 && self.dice.once_in(6);
            if crashes {
                self.disk.switch_off_after(1 + self.dice.below(12));
            }
            self.disk.take_next_log();
            let opened = Engine::open_over(
                &self.dir.path().join("db"),
                self.store.clone(),
                self.options.clone(),
                self.clock.clone(),
            );
            let is_off = self.disk.is_off();
            self.note(|| {
                format!("opened after {end:?}: {:?}", opened.as_ref().map(|e| e.open_report().wal.clone()))
            });
            match opened {
                Ok(engine) if !is_off => {
                    self.disk.restart();
                    let last = engine.shared.writer.hold().last_seq;
                    let mut now = self.now.lock();
                    now.counts.lives += 1;
                    now.is_faulty = false;
                    now.model.reopen(last, end)?;
                    drop(now);
                    let snapshots = self.dir.path().join("snapshots");
                    std::fs::create_dir_all(&snapshots).map_err(|e| e.to_string())?;
                    return Ok(Shared {
                        engine,
                        clock: self.clock.clone(),
                        snapshots,
                        now: self.now.clone(),
                    });
                }
                Err(error) if !is_off => return Err(format!("lost: the database does not open: {error}")),
                _ => {}
            }
            tries += 1;
            self.now.lock().counts.crashes += 1;
            // Of two crashes in a row, the worse counts.
            if self.dice.once_in(2) {
                end = End::PowerLost;
            }
        }
    }

    /// Rounds of threads until the process ends.
    fn live(&mut self, shared: Shared) -> Result<End, String> {
        for _ in 0..1 + self.dice.below(3) {
            if self.round(&shared)? {
                self.now.lock().counts.crashes += 1;
                self.disk.switch_off();
                self.store.switch_off();
                drop(shared);
                self.forget_snapshots();
                return Ok(self.crash());
            }
            self.disk.mend();
            self.store.mend();
            self.check(&shared)?;
            self.check_snapshots()?;
        }
        match self.dice.below(3) {
            0 => {
                let closed = shared.engine.close();
                self.note(|| format!("closed: {closed:?}"));
                if let Err(error) = closed
                    && !self.now.lock().is_faulty
                {
                    return Err(format!("closing fails on a sound disk: {error}"));
                }
                Ok(End::Closed)
            }
            _ => {
                self.now.lock().counts.crashes += 1;
                Ok(self.crash())
            }
        }
    }

    fn crash(&mut self) -> End {
        if self.dice.once_in(2) { End::Killed } else { End::PowerLost }
    }

    /// Makes a call of the disk or the store fail.
    fn arm(&mut self) {
        let after = self.dice.below(30);
        let disk = [
            Fault::Error,
            Fault::ErrorForever,
            Fault::SyncError,
            Fault::Full(0),
            Fault::Full(self.dice.below(600)),
            Fault::Interrupted,
        ];
        let store = [Refusal::Before, Refusal::After, Refusal::Uncertain, Refusal::ForGood];
        let at = self.dice.below(2 * disk.len() as u64) as usize;
        match disk.get(at) {
            Some(fault) => {
                self.note(|| format!("disk: {fault:?} after {after} calls"));
                self.now.lock().model.is_disk_dead |= *fault == Fault::ErrorForever;
                self.disk.fail(*fault, after);
            }
            None => {
                let (refusal, after) = (store[at % store.len()], after / 2);
                self.note(|| format!("store: refusal {refusal:?} after {after} calls"));
                self.store.refuse(refusal, after);
            }
        }
        self.now.lock().is_faulty = true;
    }

    /// Some threads do some steps each. True if the process crashed.
    fn round(&mut self, shared: &Shared) -> Result<bool, String> {
        if self.dice.once_in(3) {
            self.arm();
        }
        let crash_at = self.dice.once_in(3).then(|| 1 + self.dice.below(CRASH_POINTS));
        let choice = match self.dice.below(6) {
            0 => Choice::Any { once_in: 2 },
            1 => Choice::Any { once_in: 8 },
            2 => Choice::Any { once_in: 30 },
            3 => Choice::Priorities { once_in: 20 },
            4 => Choice::Priorities { once_in: 60 },
            _ => Choice::Priorities { once_in: 200 },
        };
        self.note(|| format!("a round: {choice:?}, crash at {crash_at:?}"));
        let mut tasks: Vec<Task<'_>> = Vec::new();
        for name in 0..1 + self.dice.below(4) as usize {
            let mut dice = self.dice.split();
            let role = if name == 0 { Role::Writer } else { Role::roll(&mut dice) };
            let steps = 1 + dice.below(6);
            tasks.push(Box::new(move || Worker { shared, dice, name }.run(role, steps)));
        }
        let (ended, trace, points) = Turns::run(self.dice.split(), choice, crash_at, tasks);
        self.now.lock().counts.points += points;
        self.mix(trace);
        match ended {
            Ended::Done => Ok(false),
            Ended::Crashed => {
                self.note(|| format!("crash at point {points}"));
                Ok(true)
            }
            Ended::Failed(what) => Err(what),
        }
    }

    /// What the database contains, while nothing else happens.
    pub(super) fn check(&mut self, shared: &Shared) -> Result<(), String> {
        let view = shared.engine.view();
        let (seq, way) = (view.seq(), self.dice.below(2));
        let found = content(&view, way).map_err(|error| format!("a read fails: {error}"))?;
        let mut hasher = DefaultHasher::new();
        format!("{found:?}").hash(&mut hasher);
        self.mix(hasher.finish());
        let mut now = self.now.lock();
        now.counts.views += 1;
        let must = now.model.acknowledged();
        if seq < must {
            return Err(format!("lost: a view of record {seq} after the acknowledgement of {must}"));
        }
        now.model.check(seq, &found)?;
        drop(now);
        drop(view);
        let head = &shared.engine.shared.head;
        head.release();
        let samples: usize = head.all_series().iter().map(|series| series.memory_bytes()).sum();
        let segments = head.events.snapshot();
        let events = segments.iter().flat_map(|segment| segment.iter());
        let events: u64 = events.map(|written| written.event.memory_bytes()).sum();
        match head.sample_bytes() == samples as u64 + events {
            true => Ok(()),
            false => Err(format!("memory: counted {}, in use {samples} and {events}", head.sample_bytes())),
        }
    }

    /// Restores each snapshot and compares it with the state after its last record.
    fn check_snapshots(&mut self) -> Result<(), String> {
        let made = std::mem::take(&mut self.now.lock().snapshots);
        for (dir, seq) in made {
            let pairs = self.store.copy_in(&dir.join("store")).ok_or("a snapshot without a store")?;
            let restored = self.dir.path().join("restored");
            let failed = |error: crate::Error| format!("lost: a snapshot is not restored: {error}");
            restore(&dir, &restored).map_err(failed)?;
            let engine =
                Engine::open_over(&restored, Arc::new(pairs), self.options.clone(), self.clock.clone());
            let engine = engine.map_err(failed)?;
            let view = engine.view();
            let found = content(&view, 1).map_err(failed)?;
            let mut now = self.now.lock();
            now.counts.snapshots += 1;
            if view.seq() != seq {
                return Err(format!("a snapshot of record {seq} ends with {}", view.seq()));
            }
            now.model.check(seq, &found).map_err(|what| format!("{what}, in a snapshot"))?;
            drop(now);
            drop(view);
            drop(engine);
            self.remove(&restored);
            self.remove(&dir);
        }
        Ok(())
    }

    fn forget_snapshots(&mut self) {
        self.now.lock().snapshots.clear();
        self.remove(&self.dir.path().join("snapshots"));
    }

    fn remove(&self, dir: &PathBuf) {
        self.disk.forget(dir);
        // A snapshot that was not finished may be gone.
        let _ = std::fs::remove_dir_all(dir);
    }

    /// Nothing fails any more: all is flushed, merged and verified.
    fn finish(&mut self, shared: Shared) -> Result<(), String> {
        let failed = |error: crate::Error| format!("the end fails on a sound disk: {error}");
        let engine = &shared.engine;
        engine.flush().map_err(failed)?;
        engine.compact().map_err(failed)?;
        self.check(&shared)?;
        engine.flush().map_err(failed)?;
        if engine.shared.head.sample_bytes() > 0 {
            return Err(format!("{} bytes in memory after a flush", engine.shared.head.sample_bytes()));
        }
        let problems = engine.verify().map_err(failed)?.problems;
        if !problems.is_empty() {
            return Err(format!("verify: {problems:?}"));
        }
        engine.close().map_err(failed)?;
        let files = std::fs::read_dir(self.dir.path()).map_err(|e| e.to_string())?.count();
        self.mix(files as u64);
        Ok(())
    }
}
