//! A deterministic simulation of the engine: one seed is one run, always the same.
//!
//! The engine runs over a simulated disk (`wal/fs/simulated.rs`), store (`store.rs`) and clock, and its threads take
//! turns (`sync/turns.rs`): the seed decides what they do, who runs where, which call fails, when the process is killed
//! or the power fails, and what is left then. A model (`model.rs`) knows each record of the log and compares all that
//! views show.
//!
//! `BAROGRAPH_SIMULATION_SEEDS` is the number of seeds, `BAROGRAPH_SIMULATION_FIRST` the first of them. A seed that
//! fails is run again and its steps are printed.

mod life;
mod model;
mod schedules;
mod steps;
mod store;

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{SECOND, YEAR_2024};
use life::Simulation;

/// Seeds of the test in the suite.
const SEEDS: u64 = 200;

/// What runs have done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    steps: u64,
    points: u64,
    views: u64,
    lives: u64,
    crashes: u64,
    faults: u64,
    acknowledged: u64,
    snapshots: u64,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.steps += other.steps;
        self.points += other.points;
        self.views += other.views;
        self.lives += other.lives;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.acknowledged += other.acknowledged;
        self.snapshots += other.snapshots;
    }
}

/// A time, for people.
fn shown(at: i64) -> String {
    let second = (at.saturating_sub(YEAR_2024)) / SECOND;
    second.to_string()
}

/// Runs a seed; returns what it did, and a hash of all of it.
fn run(seed: u64) -> Result<(Counts, u64), String> {
    Simulation::new(seed, false).run()
}

/// A failed seed again, with its steps.
fn explain(seed: u64, what: &str) -> String {
    let mut again = Simulation::new(seed, true);
    let result = again.run();
    let steps = again.trace().join("\n  ");
    let second = match result {
        Err(other) if other == what => String::new(),
        other => format!("\nthe second run ended otherwise: {:?}", other.map(drop)),
    };
    format!("seed {seed}: {what}{second}\n  {steps}")
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn a_seed_is_one_run() {
    for seed in [1, 2, 3, 77, 1_000_003] {
        let hashes = [(); 3].map(|()| run(seed).unwrap_or_else(|what| panic!("{}", explain(seed, &what))).1);
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "seed {seed}: {hashes:?}");
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_any_simulation() {
    let seeds = setting("BAROGRAPH_SIMULATION_SEEDS", SEEDS);
    let first = setting("BAROGRAPH_SIMULATION_FIRST", 1);
    let (next, counts, failed) =
        (AtomicU64::new(first), Mutex::new(Counts::default()), Mutex::new(Vec::<(u64, String)>::new()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(8) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - first >= seeds || failed.lock().len() >= 20 {
                        break;
                    }
                    match run(seed) {
                        Ok((done, _)) => counts.lock().add(&done),
                        Err(what) => failed.lock().push((seed, what)),
                    }
                }
            });
        }
    });
    let (counts, mut failed) = (counts.into_inner(), failed.into_inner());
    failed.sort();
    let of_kind = |kind: &str| failed.iter().filter(|(_, what)| what.starts_with(kind)).count();
    let Counts { steps, points, views, lives, crashes, faults, acknowledged, snapshots } = counts;
    println!(
        "simulation: {seeds} seeds from {first}, {lives} lives, {steps} steps, {points} points, {crashes} crashes, \
         {faults} faults, {views} views, {snapshots} snapshots, {acknowledged} samples acknowledged, {} lost, {} phantom, \
         {} torn, {} failed seeds",
        of_kind("lost"),
        of_kind("phantom"),
        of_kind("torn"),
        failed.len()
    );
    for (seed, what) in failed.iter().skip(1) {
        println!("seed {seed}: {what}");
    }
    if let Some((seed, what)) = failed.first() {
        panic!("{}", explain(*seed, what));
    }
    if seeds >= SEEDS {
        assert!(crashes > seeds / 2 && faults > seeds / 4 && snapshots > 0, "too little happens");
    }
}
