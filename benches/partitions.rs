//! The cost of very many partitions: a database with a sample in each of 100, 10,000 and 100,000 days.
//!
//! For each size, measures a flush of one sample, a delete that matches nothing, a query of one day, a restart, and the
//! merge of everything: `cargo bench --bench partitions`. Sizes may be given as arguments.

#![expect(clippy::print_stdout, reason = "a program")]

use std::path::Path;
use std::time::{Duration, Instant};

use barograph::{Batch, Database, Durability, Labels, Matcher, Options, TimeRange, Value};

const SIZES: [i64; 3] = [100, 10_000, 100_000];
const DAY_NS: i64 = 86_400_000_000_000;
/// Days in one batch, as in one request.
const DAYS_PER_BATCH: i64 = 5_000;
/// Each figure is the median of this number of rounds.
const ROUNDS: usize = 5;

fn open(dir: &Path) -> Database {
    let options = Options::default().with_durability(Durability::Always).with_background(false);
    Database::open_with(dir, options).expect("the directory is ours")
}

fn labels(job: &str) -> Labels {
    Labels::from_pairs([("__name__", "temperature"), ("job", job)]).expect("the names differ")
}

/// The first day, chosen so that the last one is about today.
fn first_day(days: i64) -> i64 {
    20_000 - days
}

fn append(database: &Database, job: &str, days: impl Iterator<Item = i64>) {
    let (labels, mut batch) = (labels(job), Batch::new());
    days.for_each(|day| {
        batch.push(&labels, barograph::Timestamp::from_nanos(day * DAY_NS + 1), Value::Float(day as f64))
    });
    database.append(&batch).expect("the batch is good");
}

fn fill(dir: &Path, days: i64) {
    let database = open(dir);
    let first = first_day(days);
    for start in (first..20_000).step_by(DAYS_PER_BATCH as usize) {
        append(&database, "old", start..(start + DAYS_PER_BATCH).min(20_000));
        database.flush().expect("the disk takes it");
    }
    database.close().expect("closed");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn rounds(mut work: impl FnMut(i64)) -> Duration {
    median((0..ROUNDS as i64).map(|round| timed(|| work(round))).collect())
}

fn measure(days: i64) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let filled = timed(|| fill(dir.path(), days));
    let restart = rounds(|_| drop(open(dir.path())));
    let database = open(dir.path());
    let flush = rounds(|round| {
        append(&database, "new", std::iter::once(20_000 + round));
        database.flush().expect("the disk takes it");
    });
    let nothing = [Matcher::equal("job", "none")];
    let delete = rounds(|_| {
        database.delete(&nothing, TimeRange::ALL).expect("the log takes it");
    });
    let day = TimeRange::from(
        barograph::Timestamp::from_nanos(19_999 * DAY_NS)..barograph::Timestamp::from_nanos(20_000 * DAY_NS),
    );
    let query = rounds(|_| {
        let mut found = 0;
        let matchers = [Matcher::equal("job", "old")];
        let read = database.read(&matchers, day, 10, |_, samples| {
            found += samples.len();
            true
        });
        read.expect("the store answers");
        assert_eq!(found, 1);
    });
    let merge = timed(|| database.compact().expect("the store takes it"));
    let pass = rounds(|_| database.compact().expect("the store takes it"));
    database.close().expect("closed");
    drop(database);
    let restart_merged = rounds(|_| drop(open(dir.path())));
    let show = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    println!(
        "{days:>7} days: filled in {}, flush {}, delete {}, query of a day {}, restart {}; merged in {}, a pass then {}, \
         restart then {}",
        show(filled),
        show(flush),
        show(delete),
        show(query),
        show(restart),
        show(merge),
        show(pass),
        show(restart_merged)
    );
}

fn main() {
    let given: Vec<i64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    for days in if given.is_empty() { SIZES.to_vec() } else { given } {
        measure(days);
    }
}
