//! A damaged block in a table that also has removed data: the table must not be rewritten.

use std::path::Path;
use std::time::Duration;

use barograph::{Batch, Database, Timestamp};
use barograph::{Labels, Matcher, TimeRange, Value};

use super::base::{directory, noise, options};

const MINUTE: i64 = 60_000_000_000;
const MINUTES: i64 = 5;
const SAMPLES: i64 = 12_000;

fn open(dir: &Path) -> Database {
    let options = options().with_partition_width(Duration::from_secs(60));
    Database::open_with(dir, options).expect("a whole database, or one that sets a generation aside")
}

fn append(db: &Database, minute: i64, first: i64, count: i64) {
    let labels = Labels::from_pairs([("__name__", "m")]).expect("one label");
    let mut batch = Batch::new();
    for at in first..first + count {
        batch.push(
            &labels,
            Timestamp::from_nanos(minute * MINUTE + at * 4_000_000),
            Value::Float(noise((minute * SAMPLES + at) as u64)),
        );
    }
    db.append(&batch).expect("appended");
}

fn count(db: &Database, minute: i64) -> barograph::Result<usize> {
    let (mut found, range) =
        (0, Timestamp::from_nanos(minute * MINUTE)..Timestamp::from_nanos((minute + 1) * MINUTE));
    db.export(&[Matcher::equal("__name__", "m")], range, |columns| {
        found += columns.timestamps.len();
        true
    })?;
    Ok(found)
}

#[test]
fn a_table_with_a_damaged_block_is_left_as_it_is() {
    let dir = directory();
    let db = open(dir.path());
    (0..MINUTES).for_each(|minute| append(&db, minute, 0, SAMPLES));
    db.flush().expect("flushed");
    drop(db);
    // The largest table has the chunks of all minutes; its last quarter is in the last one, whose first keys are whole.
    let tables = super::faults::files(&dir.path().join("store"));
    let (name, mut bytes) = tables.into_iter().max_by_key(|(_, bytes)| bytes.len()).expect("tables");
    let at = bytes.len() * 15 / 16;
    bytes[at] ^= 1;
    std::fs::write(dir.path().join("store").join(name), bytes).expect("written");
    let db = open(dir.path());
    assert_eq!(db.damage(TimeRange::ALL), [], "opening does not meet it");
    append(&db, 0, SAMPLES, 1);
    db.flush().expect("flushed");
    // Merges the first minutes and removes what they replace from the table. The last minute is still open.
    db.compact().expect("merged");
    assert_eq!(db.health().refuses_writes, None);
    let damage = db.damage(TimeRange::ALL);
    assert_eq!(
        damage.iter().map(|damage| damage.first.as_nanos()).collect::<Vec<_>>(),
        [(MINUTES - 1) * MINUTE]
    );
    append(&db, 1, SAMPLES, 1);
    db.flush().expect("the store still accepts changes");
    db.compact().expect("merged");
    let counts: Vec<usize> = (0..MINUTES - 1).map(|minute| count(&db, minute).expect("whole")).collect();
    let whole = SAMPLES as usize;
    assert_eq!(counts, [whole + 1, whole + 1, whole, whole]);
    assert!(count(&db, MINUTES - 1).is_err(), "it is set aside");
}
