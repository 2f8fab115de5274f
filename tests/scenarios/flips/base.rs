//! The databases whose files are damaged.

use std::path::Path;
use std::sync::Arc;

use barograph::{Batch, Database, Durability, Options, Timestamp};
use barograph::{Exemplar, Histogram, Labels, Matcher, Metadata, MetricType, Span, Value};

use super::answers::{self, Answer, QUESTIONS};

const SECOND: i64 = 1_000_000_000;
pub const DAY: i64 = 86_400 * SECOND;

/// The options of every test, which each test modifies.
pub fn options() -> Options {
    Options::default()
        .with_background(false)
        .with_tiers("1h".parse().expect("a tier"))
        .with_durability(Durability::Always)
        .with_wal_reserve_bytes(0)
        .with_wal_segment_bytes(1 << 20)
        .with_memory_bytes(64 << 20)
}

pub fn open(dir: &Path) -> Database {
    Database::open_with(dir, options()).expect("a whole database")
}

/// A database, copies of its files at earlier times, and its answers.
pub struct Base {
    pub dir: tempfile::TempDir,
    pub earlier: Vec<tempfile::TempDir>,
    pub expected: Vec<Answer>,
    /// For each question, everything that was ever a correct answer.
    pub written: Vec<Answer>,
}

impl Base {
    fn new() -> Self {
        let empty = || QUESTIONS.iter().map(|_| Answer::new()).collect();
        Base { dir: directory(), earlier: Vec::new(), expected: empty(), written: empty() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Records the answers at this moment.
    fn note(&mut self, db: &Database) {
        self.expected =
            QUESTIONS.iter().map(|question| (question.ask)(db).expect("it is whole").found).collect();
        for (written, found) in self.written.iter_mut().zip(&self.expected) {
            written.extend(found.iter().copied());
            written.sort_unstable();
            written.dedup();
        }
    }

    /// Copies the files as they are at this moment; the database must not be open.
    fn keep(&mut self) {
        self.earlier.push(self.copied());
    }

    fn copied(&self) -> tempfile::TempDir {
        let copied = directory();
        copy(self.path(), copied.path());
        copied
    }

    /// Keeps only the files that are read.
    fn finish(mut self) -> Base {
        self.dir = self.copied();
        self
    }
}

/// A directory in memory, if there is such a file system.
pub fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory")
}

/// Copies a data directory without RocksDB's text logs, which nothing reads.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name == "LOG" || name.starts_with("LOG.old")) {
            continue;
        }
        let (path, to) = (entry.path(), to.join(name));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).expect("a copy");
        }
    }
}

fn labels(job: &str) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("job", job)]).expect("two labels")
}

fn histogram(count: f64) -> Value {
    Value::Histogram(Arc::new(Histogram {
        schema: 1,
        count,
        sum: count * 2.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![count - 1.0, 1.0],
        ..Histogram::default()
    }))
}

/// A few samples of each kind on `day`, an event, and metadata and exemplars for them.
fn batch(day: i64, round: i64) -> Batch {
    let mut batch = Batch::new();
    for (number, job) in ["a", "b", "c"].into_iter().enumerate() {
        for at in 0..4 {
            let value = (round * 100 + at * 10) as f64 + number as f64 / 8.0;
            batch.push(
                &labels(job),
                Timestamp::from_nanos(day * DAY + at * 60 * SECOND),
                Value::Float(value),
            );
        }
    }
    batch.push(&labels("int"), Timestamp::from_nanos(day * DAY + SECOND), Value::Int((1 << 60) + round));
    batch.push(
        &labels("histogram"),
        Timestamp::from_nanos(day * DAY + SECOND),
        histogram(10.0 + round as f64),
    );
    batch.push_event(
        &labels("event"),
        Timestamp::from_nanos(day * DAY + SECOND),
        &format!("deployed {round}"),
    );
    let help = format!("round {round}");
    batch.push_metadata("m", Metadata { kind: MetricType::Gauge, help, unit: String::new() });
    let trace = Labels::from_pairs([("trace_id", format!("{round}").as_str())]).expect("one label");
    batch.push_exemplar(
        &labels("a"),
        Exemplar { labels: trace, timestamp: Timestamp::from_nanos(day * DAY + SECOND), value: 1.5 },
    );
    batch
}

/// Everything that a database can contain, in a few kilobytes: a merged partition, one with several generations, buckets
/// of a tier, deletes in the catalogue and in the log, and two log segments with series, samples, overwritten samples and
/// events.
pub fn small() -> Base {
    let mut base = Base::new();
    let db = open(base.path());
    let append = |db: &Database, day, round| {
        db.append(&batch(day, round)).expect("appended");
    };
    append(&db, 1, 1);
    append(&db, 2, 2);
    base.note(&db);
    db.flush().expect("flushed");
    drop(db);
    base.keep();
    let db = open(base.path());
    append(&db, 9, 3);
    append(&db, 2, 4);
    base.note(&db);
    db.delete(&[Matcher::equal("job", "b")], Timestamp::from_nanos(DAY)..=Timestamp::from_nanos(3 * DAY))
        .expect("deleted");
    db.flush().expect("flushed");
    db.compact().expect("merged");
    append(&db, 9, 5);
    base.note(&db);
    db.delete(
        &[Matcher::equal("job", "c")],
        Timestamp::from_nanos(9 * DAY)..=Timestamp::from_nanos(10 * DAY),
    )
    .expect("deleted");
    db.flush().expect("flushed");
    append(&db, 10, 6);
    base.note(&db);
    drop(db);
    base.keep();
    let db = open(base.path());
    append(&db, 10, 7);
    base.note(&db);
    db.delete(
        &[Matcher::equal("job", "a")],
        Timestamp::from_nanos(10 * DAY)..=Timestamp::from_nanos(10 * DAY + 61 * SECOND),
    )
    .expect("deleted");
    append(&db, 11, 8);
    base.note(&db);
    drop(db);
    base.finish()
}

const DAYS: i64 = 3;
const SERIES: u64 = 40;
const SAMPLES: i64 = 280;

/// Values that no codec can compress.
pub fn noise(number: u64) -> f64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    f64::from_bits((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 2)
}

/// Tables of several blocks.
pub fn large() -> Base {
    let mut base = Base::new();
    let db = open(base.path());
    for day in 1..=DAYS {
        let mut batch = Batch::new();
        for series in 0..SERIES {
            for at in 0..SAMPLES {
                let value = noise((day as u64 * SERIES + series) * SAMPLES as u64 + at as u64);
                batch.push(
                    &labels(&format!("job{series}")),
                    Timestamp::from_nanos(day * DAY + at * 300 * SECOND),
                    Value::Float(value),
                );
            }
        }
        db.append(&batch).expect("appended");
        db.flush().expect("flushed");
    }
    base.note(&db);
    drop(db);
    base.finish()
}

/// The time at which queries are evaluated: after all samples.
pub const NOW: i64 = 12 * DAY;

#[test]
fn the_small_database_has_everything() {
    let base = small();
    assert!(base.expected.iter().all(|answer| !answer.is_empty()), "{:?}", base.expected);
    let db = Database::open_read_only(base.path(), options()).expect("it is whole");
    let stats = db.stats();
    assert!(stats.merges == 0 && stats.generations > 3 && stats.tombstones > 0, "{stats:?}");
    assert!(db.open_report().wal.as_ref().is_some_and(|wal| wal.segments == 2), "{:?}", db.open_report());
    assert!(db.tiers()[0].buckets > 4, "{:?}", db.tiers());
    let by_buckets = db.execute(&answers::of_buckets()).expect("it is whole").accuracy;
    assert!(by_buckets.is_some_and(|accuracy| accuracy.exact), "{by_buckets:?}");
    let found = answers::compare(&db, &base);
    assert!(found.iter().all(|found| matches!(found, answers::Found::Right)), "{found:?}");
}
