//! Commands over a damaged data directory, each as a process of its own: they refuse, or with `--allow-damage` show the
//! rest, name the damage and fail.
#![cfg(feature = "rocksdb")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use barograph::{Database, LineOptions, Options};

const DAY: i64 = 86_400;
const SERIES: i64 = 12;
/// Samples of each series on the second day: their chunks take a dozen blocks of one table.
const MANY: i64 = 4_000;

/// Where a bit flips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the log, in the record that defines a series.
    Log,
    /// In the first block of the second day's table, which opening reads.
    FirstBlock,
    /// In a block of it that only reading its samples meets.
    LaterBlock,
}

/// A data directory: a day with a sample of each series, a day with many, and two samples of one more series in the
/// log.
struct Data {
    dir: tempfile::TempDir,
    /// What an export shows of the first day.
    first_day: String,
    /// The damaged file.
    file: String,
}

/// What a command did.
#[derive(Debug)]
struct Done {
    is_ok: bool,
    shown: String,
    said: String,
}

impl Data {
    fn damaged(place: Place) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let options = Options::default().with_background(false);
        let database = Database::open_with(dir.path(), options).expect("a new database");
        let write = |lines: &str| {
            let report =
                database.write_lines(lines.as_bytes(), &LineOptions::default()).expect("they are good");
            assert_eq!(report.lines_bad, 0);
        };
        let line = |i: i64, value: f64, second: i64| format!("m,i={i:02} value={value} {second}000000000\n");
        let first_day: String = (0..SERIES).map(|i| line(i, i as f64 + 0.5, DAY + i)).collect();
        write(&first_day);
        database.flush().expect("room");
        // Numbers that no codec makes smaller.
        let noise = |n: i64| (n as f64 * 0.618_033_988_75).fract().sqrt();
        for i in 0..SERIES {
            let of_series = (0..MANY).map(|at| line(i, noise(i * MANY + at), 2 * DAY + at));
            write(&of_series.collect::<String>());
        }
        database.flush().expect("room");
        for second in [1, 2] {
            write(&line(99, 7.5, 3 * DAY + second));
        }
        drop(database);
        let (file, at) = match place {
            // Behind the headers of the segment and of the record.
            Place::Log => (newest(&dir.path().join("wal"), "wal"), 48 + 25 + 8),
            Place::FirstBlock => (largest(&dir.path().join("store"), "sst"), 100),
            Place::LaterBlock => {
                let file = largest(&dir.path().join("store"), "sst");
                let length = file.metadata().expect("it is there").len() as usize;
                assert!(length > 300_000, "the table has {length} bytes");
                (file, length / 10 * 7)
            }
        };
        let mut bytes = std::fs::read(&file).expect("it is there");
        bytes[at] ^= 1;
        std::fs::write(&file, bytes).expect("a file");
        let file = file.file_name().expect("it has one").to_string_lossy().into_owned();
        Data { dir, first_day, file }
    }

    /// Lines on standard error that name the damaged file.
    fn lines_about(&self, done: &Done) -> usize {
        done.said.lines().filter(|line| line.contains(&self.file)).count()
    }

    fn run(&self, words: &[&str], allow_damage: bool) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_barograph"));
        // Settings that the machine has for its own server must not apply here.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BAROGRAPH_")) {
            command.env_remove(name);
        }
        command.args(words).arg("--data-dir").arg(self.dir.path());
        command.args(allow_damage.then_some("--allow-damage")).stdin(Stdio::null());
        let done = command.output().expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Done { is_ok: done.status.success(), shown: text(done.stdout), said: text(done.stderr) }
    }
}

/// The files of a folder with an ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
}

fn newest(folder: &Path, ending: &str) -> PathBuf {
    files(folder, ending).into_iter().max().expect("a file")
}

fn largest(folder: &Path, ending: &str) -> PathBuf {
    let bytes = |path: &PathBuf| path.metadata().expect("it is there").len();
    files(folder, ending).into_iter().max_by_key(bytes).expect("a file")
}

const EXPORT: &[&str] = &["export", "--match", "m"];
const QUERY: &[&str] = &["query", "sort(count_over_time(m[9d]))", "--time", "800000", "--format", "csv"];
/// They read no samples of the store.
const WITHOUT_SAMPLES: [&[&str]; 2] = [&["inspect"], &["inspect", "cardinality"]];

/// A command that is not to accept damage refuses to open, and shows nothing.
#[test]
fn what_opening_meets_is_refused_and_shows_the_rest_on_request() {
    for place in [Place::Log, Place::FirstBlock] {
        let data = Data::damaged(place);
        for words in [EXPORT, QUERY, WITHOUT_SAMPLES[0], WITHOUT_SAMPLES[1]] {
            let done = data.run(words, false);
            assert!(!done.is_ok && done.shown.is_empty(), "{place:?}: {words:?}: {done:?}");
            for part in [data.file.as_str(), "--allow-damage"] {
                assert!(done.said.contains(part), "{place:?}: {words:?}: {done:?}");
            }
            let done = data.run(words, true);
            assert!(!done.is_ok && !done.shown.is_empty(), "{place:?}: {words:?}: {done:?}");
            // A query of its time has a warning, too.
            let lines = 1 + usize::from(words == QUERY && place == Place::FirstBlock);
            assert_eq!(data.lines_about(&done), lines, "{place:?}: {words:?}: {done:?}");
            assert!(done.said.contains("acknowledged data may be missing above"), "{done:?}");
            let is_unknown_said = done.said.contains("1 samples in the log belong to series that cannot be");
            assert_eq!(is_unknown_said, place == Place::Log, "{done:?}");
        }
        let done = data.run(EXPORT, true);
        let rest: Vec<&str> = done.shown.lines().filter(|line| data.first_day.contains(line)).collect();
        assert_eq!(rest.len(), SERIES as usize, "{place:?}: {done:?}");
        let lines = if place == Place::Log { SERIES + SERIES * MANY } else { SERIES + 2 };
        assert_eq!(done.shown.lines().count(), lines as usize, "{place:?}");
        let counts = if place == Place::Log { MANY + 1 } else { 1 };
        let done = data.run(QUERY, true);
        assert_eq!(
            done.shown.matches(&format!(",{counts}\n")).count(),
            SERIES as usize,
            "{place:?}: {done:?}"
        );
    }
}

/// Opening succeeds, and a read of the damaged block fails or leaves its generation out.
#[test]
fn what_only_a_read_meets_ends_it_or_is_left_out_on_request() {
    let data = Data::damaged(Place::LaterBlock);
    for words in [EXPORT, QUERY] {
        let done = data.run(words, false);
        assert!(!done.is_ok && done.said.contains(&data.file), "{words:?}: {}", done.said);
    }
    let done = data.run(EXPORT, true);
    let shown: Vec<&str> = done.shown.lines().filter(|line| data.first_day.contains(line)).collect();
    assert_eq!(shown.len(), SERIES as usize, "{}", done.said);
    assert!(!done.is_ok && done.said.contains("acknowledged data may be missing above"), "{}", done.said);
    assert_eq!(data.lines_about(&done), 1, "the damage is named once: {}", done.said);
    let done = data.run(QUERY, true);
    assert!(!done.is_ok && done.said.contains("acknowledged data may be missing above"), "{}", done.said);
    assert!(done.said.contains(&data.file), "{}", done.said);
    assert_eq!(done.shown.lines().count(), 1 + SERIES as usize + 1, "{done:?}");
    assert!(done.shown.contains(",2\n"), "the log is whole: {done:?}");
    for words in WITHOUT_SAMPLES {
        for allow_damage in [false, true] {
            let done = data.run(words, allow_damage);
            assert!(done.is_ok && done.said.is_empty(), "{words:?} meets no damage: {done:?}");
        }
    }
}
