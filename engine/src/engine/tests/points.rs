//! Ends a process at each named point (`fail.rs`) of a real database, and opens what it leaves.
//!
//! The test runs its own binary again as a child, which carries out a script (`script.rs`) over RocksDB in a directory
//! and aborts at the point. The directory must then open without a flag, hold what the completed steps made of it (and
//! the step that was under way as a whole or not at all), have no leftovers, and continue to work. Each point in the
//! source must be reached.
//!
//! `BAROGRAPH_FAIL_ROUNDS=N` ends a process at each point N times, in N scripts with random steps and options.

mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::random::Random;
use crate::fail::{ABORT, TRACE};
use script::{Player, Script, State, Step, read};

/// Tells a child its directory, and which script to carry out.
const FOLDER: &str = "BAROGRAPH_FAIL_FOLDER";
const SEED: &str = "BAROGRAPH_FAIL_SEED";
const ROUNDS: &str = "BAROGRAPH_FAIL_ROUNDS";
/// Scripts that are tried until each point has aborted often enough: some leave out what leads to a point.
const SCRIPTS_PER_ROUND: u64 = 3;

#[test]
#[ignore = "the test below starts it in processes of its own, which abort"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let seed = std::env::var(SEED).expect("a seed").parse().expect("a number");
    Player::new(Path::new(&folder), &Script::new(seed)).play();
}

/// Runs the script `seed` in `folder`, with a variable for `fail.rs`.
fn run_child(folder: &Path, seed: u64, variable: (&str, &str)) -> Output {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "engine::tests::points::child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(SEED, seed.to_string())
        .env(variable.0, variable.1)
        .output()
        .expect("a child")
}

/// The names of all points of the source.
fn points_in_source() -> BTreeSet<String> {
    fn visit(dir: &Path, names: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).expect("the source") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                visit(&path, names);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let starts = code.filter_map(|line| line.split_once("fail_point!(\""));
                names.extend(starts.filter_map(|(_, rest)| Some(rest.split_once("\")")?.0.to_owned())));
            }
        }
    }
    let mut names = Vec::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    let different: BTreeSet<String> = names.iter().cloned().collect();
    assert_eq!(different.len(), names.len(), "each point has a name of its own: {names:?}");
    different
}

/// A new directory. Without a disk an fsync costs nothing, and a process that ends loses nothing in either place.
fn folder() -> tempfile::TempDir {
    let memory = tempfile::Builder::new().prefix("barograph-points-").tempdir_in("/dev/shm");
    memory.unwrap_or_else(|_| tempfile::tempdir().expect("a directory"))
}

/// How often a script reaches each point.
fn reached(seed: u64) -> BTreeMap<String, u64> {
    let folder = folder();
    let trace = folder.path().join("trace");
    let output = run_child(&folder.path().join("child"), seed, (TRACE, trace.to_str().expect("a name")));
    assert!(output.status.success(), "script {seed} without a failure: {output:?}");
    let mut counts = BTreeMap::new();
    for name in std::fs::read_to_string(trace).expect("the trace").lines() {
        *counts.entry(name.to_owned()).or_insert(0) += 1;
    }
    counts
}

/// One process that ends at a point.
struct Crash<'a> {
    seed: u64,
    point: &'a str,
    /// At which time the point is reached.
    times: u64,
}

impl Crash<'_> {
    fn check(&self) {
        let Crash { seed, point, times } = *self;
        let folder = folder();
        let root = folder.path().join("child");
        let output = run_child(&root, seed, (ABORT, &format!("{point}:{times}")));
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        assert_eq!(signal, Some(6), "script {seed}, {point} {times}: {output:?}");
        let place = format!("script {seed}, {point} {times}");
        Aftermath::new(&root, &Script::new(seed), place).check();
    }
}

/// What a child left.
struct Aftermath<'a> {
    root: PathBuf,
    script: &'a Script,
    /// The state after each step; the first is that before all.
    states: Vec<State>,
    /// Completed steps.
    done: usize,
    place: String,
}

impl<'a> Aftermath<'a> {
    fn new(root: &Path, script: &'a Script, place: String) -> Self {
        let done = std::fs::metadata(root.join("ledger")).map_or(0, |found| found.len() as usize);
        let mut states = vec![State::default()];
        for step in &script.steps {
            let mut next = states.last().expect("the first").clone();
            next.apply(step, script);
            states.push(next);
        }
        let place = format!("{place}, in step {done}: {:?}", script.steps[done]);
        Aftermath { root: root.to_owned(), script, states, done, place }
    }

    /// The states that a step may leave half-way: partitions are dropped from the oldest on, each once the tiers include it.
    fn between(&self, pending: &Step, before: &State) -> Vec<State> {
        let (seconds, series) = match *pending {
            Step::Expire(seconds) => (seconds, None),
            Step::Trim { series, seconds } => (seconds, Some(series)),
            _ => return Vec::new(),
        };
        let width = self.script.options.partition_width.as_secs() as usize;
        let partly = |seconds: i64| {
            let mut state = before.clone();
            let step = series.map_or(Step::Expire(seconds), |series| Step::Trim { series, seconds });
            state.apply(&step, self.script);
            state
        };
        (seconds..=seconds + before.newest).step_by(width).map(partly).collect()
    }

    fn check(&self) {
        let pending = &self.script.steps[self.done];
        let recovers = matches!(pending, Step::Damage | Step::Unmarked);
        let mut player = Player::resumed(&self.root, self.script, recovers)
            .unwrap_or_else(|error| panic!("{}: it does not open: {error}", self.place));
        let found = read(player.engine());
        let [before, after] = [&self.states[self.done], &self.states[self.done + 1]];
        let between = self.between(pending, before);
        let partly = between.iter().find(|state| found.is(state));
        assert!(
            found.is(before) || found.is(after) || partly.is_some(),
            "{}: found, and before the step:\n{}\nfound, and after it:\n{}",
            self.place,
            found.difference(before),
            found.difference(after)
        );
        self.check_files();
        let mut state = match partly {
            _ if found.is(after) => after.clone(),
            Some(partly) if !found.is(before) => partly.clone(),
            _ => before.clone(),
        };
        self.check_copy(pending, before);
        // The next merge applies a committed trim even if its ladder no longer exists.
        let mut trims = match pending {
            Step::Trim { .. } => between.iter().chain([after]).map(|state| before.without(state)).collect(),
            _ => Vec::new(),
        };
        for (number, step) in self.script.tail().into_iter().enumerate() {
            player.apply(&step);
            state.apply(&step, self.script);
            let found = read(player.engine());
            if !found.is(&state) {
                let trimmed = std::mem::take(&mut trims).into_iter().map(|trimmed| state.without(&trimmed));
                state = trimmed.into_iter().find(|state| found.is(state)).unwrap_or(state);
            }
            let difference = found.difference(&state);
            assert!(found.is(&state), "{}, then {number} {step:?}: {difference}", self.place);
            let problems = player.engine().verify().expect("readable").problems;
            assert_eq!(problems, [""; 0], "{}, then {step:?}", self.place);
        }
        let leftovers = player.engine().open_report().leftovers_removed;
        assert_eq!(leftovers, 0, "{}: the store has leftovers after a close", self.place);
        drop(player);
        let verified = crate::Engine::verify_dir(&self.root.join("db"), &self.script.options);
        let problems = verified.expect("readable").problems;
        assert_eq!(problems, [""; 0], "{}", self.place);
    }

    /// Nothing unfinished stays.
    fn check_files(&self) {
        let database = self.root.join("db");
        let names = |dir: &str| -> Vec<String> {
            let entries = std::fs::read_dir(database.join(dir)).expect("a directory");
            entries
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("our names"))
                .collect()
        };
        let mut unfinished = names("staging");
        let suffixes = [".tmp", ".new", ".dbtmp"];
        let other = ["", "wal", "store"].into_iter().flat_map(names);
        unfinished.extend(other.filter(|name| suffixes.iter().any(|suffix| name.ends_with(suffix))));
        assert_eq!(unfinished, [""; 0], "{}", self.place);
    }

    /// A snapshot or a restored directory is whole, or does not pass for one.
    fn check_copy(&self, pending: &Step, before: &State) {
        let fresh = self.root.join("another");
        match pending {
            Step::Snapshot(name) => {
                let copy = self.root.join(name);
                let restored = crate::restore(&copy, &fresh);
                if copy.join("SNAPSHOT").exists() {
                    restored.unwrap_or_else(|error| panic!("{}: {error}", self.place));
                    self.compare_copy(&fresh, before);
                } else {
                    assert!(restored.is_err(), "{}: an unfinished snapshot is restored", self.place);
                }
            }
            Step::Restore(name) => {
                let (copy, restored) = (self.root.join(name), self.root.join(format!("{name}-restored")));
                let taken = self.script.steps.iter().position(|step| *step == Step::Snapshot(name));
                let expected = &self.states[taken.expect("a snapshot")];
                if restored.join("FORMAT").exists() {
                    self.compare_copy(&restored, expected);
                } else {
                    let opened = crate::Engine::open_read_only(&restored, self.script.options.clone());
                    assert!(opened.is_err(), "{}: half a copy opens", self.place);
                }
                crate::restore(&copy, &fresh).unwrap_or_else(|error| panic!("{}: {error}", self.place));
                self.compare_copy(&fresh, expected);
            }
            _ => {}
        }
    }

    fn compare_copy(&self, dir: &Path, expected: &State) {
        let opened = self.script.open(dir, false).unwrap_or_else(|error| panic!("{}: {error}", self.place));
        let found = read(&opened);
        let difference = found.difference(expected);
        assert!(found.is(expected), "{}: the copy has another {difference}", self.place);
        assert_eq!(opened.verify().expect("readable").problems, [""; 0], "{}", self.place);
    }
}

/// Ends a process at each of the points, several side by side.
fn crash_at_each(crashes: &[Crash<'_>]) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some(crash) = crashes.get(next.fetch_add(1, Ordering::Relaxed)) {
            if std::panic::catch_unwind(|| crash.check()).is_err() {
                failed.lock().expect("no thread ends inside").push(crash.point.to_owned());
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().expect("no thread ends inside");
    assert!(failed.is_empty(), "{} of {}: {failed:?}", failed.len(), crashes.len());
}

#[test]
fn a_process_that_ends_at_any_point_leaves_a_database_that_opens() {
    let points = points_in_source();
    assert!(points.len() >= 40, "{points:?}");
    let rounds: u64 = std::env::var(ROUNDS).ok().map_or(1, |text| text.parse().expect("a number"));
    let mut crashed: BTreeMap<&str, u64> = points.iter().map(|point| (&**point, 0)).collect();
    for seed in 0..rounds * SCRIPTS_PER_ROUND {
        let lacking = |crashed: &BTreeMap<&str, u64>| crashed.values().any(|&count| count < rounds);
        if seed >= rounds && !lacking(&crashed) {
            break;
        }
        let counts = reached(seed);
        let mut random = Random(seed + 1);
        let due = crashed.iter_mut().filter(|(_, count)| **count < rounds);
        let crashes: Vec<Crash<'_>> = due
            .filter_map(|(point, count)| {
                let total = *counts.get(*point)?;
                *count += 1;
                Some(Crash { seed, point, times: 1 + random.below(total) })
            })
            .collect();
        crash_at_each(&crashes);
    }
    let lacking: Vec<_> = crashed.iter().filter(|(_, count)| **count < rounds).collect();
    assert!(lacking.is_empty(), "points that no script reaches often enough: {lacking:?}");
    let total: u64 = crashed.values().sum();
    println!(
        "fail_points: {total} crashes at {} points: 0 lost, 0 phantom, 0 that do not open",
        points.len()
    );
}
