//! Flips bytes in the tables of the store: each opening is refused, reports what is set aside, or answers correctly.
//!
//! `BAROGRAPH_FLIP_STRIDE` is the distance of the flipped bytes: 1 flips each byte of each table.

use std::path::{Path, PathBuf};

use barograph::model::{Labels, Matcher, TimeRange, Value};
use barograph::{Batch, Database, Durability, Options, QueryValue};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
const DAYS: i64 = 3;
const SERIES: u64 = 40;
const SAMPLES: i64 = 280;

fn options(dir: &Path) -> (PathBuf, Options) {
    let options = Options {
        background: false,
        durability: Durability::Off,
        wal_reserve_bytes: 0,
        wal_segment_bytes: 1 << 20,
        memory_bytes: 64 << 20,
        ..Options::default()
    };
    (dir.to_owned(), options)
}

fn open(dir: &Path) -> barograph::Result<Database> {
    let (dir, options) = options(dir);
    Database::open_with(dir, options)
}

/// Values that no codec compresses, so that tables have several blocks.
fn noise(number: u64) -> f64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    f64::from_bits((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 2)
}

fn fill(dir: &Path) {
    let db = open(dir).expect("a new database");
    for day in 1..=DAYS {
        let mut batch = Batch::new();
        for series in 0..SERIES {
            let job = format!("job{series}");
            let labels = Labels::from_pairs([("__name__", "m"), ("job", job.as_str())]).expect("two labels");
            for at in 0..SAMPLES {
                let value = noise((day as u64 * SERIES + series) * SAMPLES as u64 + at as u64);
                batch.push(&labels, day * DAY + at * 300 * SECOND, Value::Float(value));
            }
        }
        db.append(&batch).expect("appended");
        db.flush().expect("flushed");
    }
    db.close().expect("closed");
}

type Contents = Vec<(Labels, Vec<i64>, Vec<u64>)>;

fn read(db: &Database, day: i64) -> Result<Contents, String> {
    let mut found = Contents::new();
    let range = TimeRange::inclusive(day * DAY, (day + 1) * DAY - 1);
    let read = db.read(&[Matcher::equal("__name__", "m")], range, 1_000, |labels, samples| {
        let bits = samples.values.iter().map(|value| value.to_bits()).collect();
        found.push((labels.clone(), samples.timestamps.clone(), bits));
        true
    });
    read.map(|()| found).map_err(|error| error.to_string())
}

/// The number of samples of all days according to a query, and its warnings.
fn count(db: &Database) -> Result<(f64, Vec<String>), String> {
    let response = db.query("sum(count_over_time(m[4d]))", (DAYS + 1) * DAY).map_err(|e| e.to_string())?;
    let value = match &response.value {
        QueryValue::Vector(samples) => samples.first().map_or(0.0, |sample| match sample.value {
            barograph::SampleValue::Float(value) => value,
            _ => f64::NAN,
        }),
        other => panic!("{other:?}"),
    };
    Ok((value, response.warnings))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).expect("a copy");
        }
    }
}

fn tables(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("store")).expect("the store");
    let mut tables: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    tables.retain(|path| path.extension().is_some_and(|extension| extension == "sst"));
    tables.sort();
    tables
}

#[derive(Debug, Default)]
struct Tally {
    flips: u64,
    refused: u64,
    set_aside: u64,
    reads_failed: u64,
    right: u64,
}

#[test]
fn no_flipped_byte_of_a_table_changes_an_answer_in_silence() {
    let stride =
        std::env::var("BAROGRAPH_FLIP_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(1_999);
    let whole = tempfile::tempdir().expect("a directory");
    fill(whole.path());
    let db = open(whole.path()).expect("it is whole");
    let expected: Vec<Contents> = (1..=DAYS).map(|day| read(&db, day).expect("it is whole")).collect();
    let total = (DAYS * SERIES as i64 * SAMPLES) as f64;
    assert_eq!(count(&db).expect("it is whole"), (total, Vec::new()));
    drop(db);
    let mut tally = Tally::default();
    for (number, table) in tables(whole.path()).iter().enumerate() {
        let bytes = std::fs::read(table).expect("a table");
        for at in (number * 7..bytes.len()).step_by(stride) {
            let place = format!("{}, byte {at}", table.display());
            let dir = tempfile::tempdir().expect("a directory");
            copy(whole.path(), dir.path());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            let name = table.file_name().expect("a name");
            std::fs::write(dir.path().join("store").join(name), flipped).expect("written");
            tally.flips += 1;
            let Ok(db) = open(dir.path()) else {
                tally.refused += 1;
                continue;
            };
            let damage = db.damage(TimeRange::ALL);
            tally.set_aside += u64::from(!damage.is_empty());
            let mut failed = false;
            for (day, expected) in (1..).zip(&expected) {
                match read(&db, day) {
                    Ok(found) => assert!(found == *expected, "{place}: day {day} is silently wrong"),
                    Err(_) => failed = true,
                }
            }
            match count(&db) {
                Ok((found, warnings)) if warnings.is_empty() => {
                    assert_eq!(found, total, "{place}: silently wrong")
                }
                Ok((found, _)) => assert!(found < total && !damage.is_empty(), "{place}: {found}"),
                Err(_) => failed = true,
            }
            tally.reads_failed += u64::from(failed && damage.is_empty());
            tally.right += u64::from(!failed && damage.is_empty());
        }
    }
    println!("{tally:?}: 0 silent");
    assert!(tally.set_aside > 0 && tally.reads_failed > 0, "{tally:?}");
    assert!(tally.refused * 4 < tally.flips, "one block bars the whole database: {tally:?}");
}
