//! The answers of a database, and whether they are right.

use std::hash::{DefaultHasher, Hasher as _};
use std::time::Duration;

use barograph::budget::Work;
use barograph::{Database, QueryValue, Request, Timestamp};
use barograph::{Histogram, Labels, Matcher, ResetHint, TimeRange};

use super::base::{Base, DAY, NOW};

/// One item of an answer: hashes of its subject and of its value, and its time.
pub type Item = (u64, i64, u64);
/// Sorted.
pub type Answer = Vec<Item>;

/// An answer, and whether it says that it may be incomplete.
pub struct Reply {
    pub found: Answer,
    pub is_warned: bool,
}

type Ask = fn(&Database) -> Result<Reply, String>;

pub struct Question {
    pub name: &'static str,
    pub ask: Ask,
}

/// All ways to read what was written.
pub const QUESTIONS: [Question; 8] = [
    Question { name: "export", ask: export },
    Question { name: "query of everything", ask: |db| query(db, "{__name__=~\".+\"}[12d]") },
    Question { name: "query by a label", ask: |db| query(db, "m{job=~\"a|int|histogram|job7\"}[12d]") },
    Question { name: "buckets", ask: |db| answer(db, &of_buckets()) },
    Question { name: "events", ask: events },
    Question { name: "series", ask: series },
    Question { name: "label values", ask: label_values },
    Question { name: "notes", ask: notes },
];

/// How an answer compares with the right one.
#[derive(Debug)]
pub enum Found {
    Right,
    /// There is none, only an error with the reason.
    Refused,
    /// It is incomplete, or shows something deleted or overwritten; `said` if the answer itself says so.
    Different {
        said: bool,
        what: String,
    },
    /// It shows something that was never written.
    Invented(String),
}

pub fn compare(db: &Database, base: &Base) -> Vec<Found> {
    let wanted = base.expected.iter().zip(&base.written);
    let compared = QUESTIONS.iter().zip(wanted).map(|(question, (expected, written))| {
        let Ok(Reply { found, is_warned }) = (question.ask)(db) else { return Found::Refused };
        if found == *expected {
            return Found::Right;
        }
        let what = format!("{}: {} items, expected {}", question.name, found.len(), expected.len());
        match found.iter().any(|item| written.binary_search(item).is_err()) {
            true => Found::Invented(what),
            false => Found::Different { said: is_warned, what },
        }
    });
    compared.collect()
}

fn hash(parts: impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

fn everything() -> Vec<Vec<Matcher>> {
    vec![vec![]]
}

fn reply(mut found: Answer, is_warned: bool) -> Reply {
    found.sort_unstable();
    found.dedup();
    Reply { found, is_warned }
}

fn export(db: &Database) -> Result<Reply, String> {
    let mut found = Answer::new();
    let read = db.reader(&Work::unbounded()).export(&everything(), TimeRange::ALL, |columns| {
        let series = hash(columns.labels.as_bytes());
        let exact: std::collections::HashMap<u32, i64> = columns.exact.iter().copied().collect();
        let histograms: std::collections::HashMap<u32, u64> =
            columns.histograms.iter().map(|(at, histogram)| (*at, hash(format!("{histogram:?}")))).collect();
        for (at, (time, value)) in columns.timestamps.iter().zip(&columns.values).enumerate() {
            let at = at as u32;
            let value = (value.to_bits(), exact.get(&at), histograms.get(&at));
            found.push((series, time.as_nanos(), hash(value)));
        }
        true
    });
    read.map(|()| reply(found, false)).map_err(|error| error.to_string())
}

fn query(db: &Database, text: &str) -> Result<Reply, String> {
    answer(db, &Request::instant(text, Timestamp::from_nanos(NOW)))
}

/// A question that buckets answer, once there are any. Each answer is a sample: a sum without one of its samples would be
/// a number that was never written.
pub fn of_buckets() -> Request {
    let hour = Duration::from_secs(3600);
    let text = "last_over_time(m{job=~\"a|b|c|int\"}[1h])";
    Request::range(text, Timestamp::from_nanos(0), Timestamp::from_nanos(9 * DAY), hour)
}

fn answer(db: &Database, request: &Request) -> Result<Reply, String> {
    let response = db.execute(request).map_err(|error| error.to_string())?;
    let QueryValue::Matrix(matrix) = &response.value else { panic!("{:?}", response.value) };
    let mut found = Answer::new();
    for series in matrix {
        let labels = hash(series.labels.as_bytes());
        found.extend(series.floats().map(|(time, value)| (labels, time.as_millis(), value.to_bits())));
        // The reset hint depends on whether the previous sample is present.
        let item = |histogram: &Histogram| {
            hash(format!("{:?}", Histogram { reset_hint: ResetHint::Unknown, ..histogram.clone() }))
        };
        found
            .extend(series.histograms().map(|(time, histogram)| (labels, time.as_millis(), item(histogram))));
    }
    Ok(reply(found, !response.warnings.is_empty()))
}

fn events(db: &Database) -> Result<Reply, String> {
    let events = db.reader(&Work::unbounded()).events(&everything(), TimeRange::ALL, usize::MAX);
    let events = events.map_err(|error| error.to_string())?;
    let found = events
        .iter()
        .map(|event| (hash(event.labels.as_bytes()), event.timestamp.as_nanos(), hash(&event.text)));
    Ok(reply(found.collect(), false))
}

/// Does the same as the server for `/api/v1/series`, `/labels` and `/label/NAME/values`.
fn lenient<T>(
    db: &Database,
    read: impl Fn(&barograph::Reader<'_>) -> barograph::Result<Vec<T>>,
    item: impl Fn(&T) -> Item,
) -> Result<Reply, String> {
    let found =
        read(&db.reader(&Work::unbounded()).leaving_out_damage()).map_err(|error| error.to_string())?;
    Ok(reply(found.iter().map(item).collect(), !db.damage(TimeRange::ALL).is_empty()))
}

fn series(db: &Database) -> Result<Reply, String> {
    let read = |reader: &barograph::Reader<'_>| reader.series(&everything(), TimeRange::ALL, usize::MAX);
    lenient(db, read, |labels: &Labels| (hash(labels.as_bytes()), 0, 0))
}

fn label_values(db: &Database) -> Result<Reply, String> {
    let read = |reader: &barograph::Reader<'_>| {
        reader.label_values("job", &everything(), TimeRange::ALL, usize::MAX)
    };
    lenient(db, read, |(value, _): &(String, u64)| (hash(value), 0, 0))
}

fn notes(db: &Database) -> Result<Reply, String> {
    let metadata = db.metadata(None).map_err(|error| error.to_string())?;
    let entries =
        metadata.iter().flat_map(|(family, entries)| entries.iter().map(move |entry| (family, entry)));
    let mut found: Answer = entries.map(|(family, entry)| (hash(family), 0, hash(entry))).collect();
    for (labels, exemplars) in db.exemplars(&everything(), TimeRange::ALL).expect("it is open") {
        let series = hash(labels.as_bytes());
        found
            .extend(exemplars.iter().map(|one| (series, one.timestamp.as_nanos(), hash(format!("{one:?}")))));
    }
    // A database without series has no notes.
    found.push((0, 0, 0));
    Ok(reply(found, false))
}
