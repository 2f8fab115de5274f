//! Scrubbing: which damage is found, and what a pass skips.

use super::faulty::Call;
use super::random::Random;
use super::*;
use crate::store::keys::Prefix;

/// Days with samples; each has more than a pass reads between two checks.
const DAYS: i64 = 3;
const SAMPLES: i64 = 12_000;
const DAY: i64 = 86_400 * SECOND;

struct Harness {
    _dir: tempfile::TempDir,
    store: Arc<MemoryKv>,
    faulty: Arc<FaultyKv>,
    clock: Arc<ManualClock>,
    engine: Arc<Engine>,
}

/// Samples that do not compress and an event, for each day.
fn harness() -> Harness {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryKv::default());
    let faulty = FaultyKv::over(store.clone());
    let clock = Arc::new(ManualClock::new(YEAR_2024 + (DAYS + 1) * DAY));
    let options = Options { partition_width: Duration::from_secs(86_400), ..options() };
    let engine = Engine::open_over(dir.path(), faulty.clone(), options, clock.clone()).unwrap();
    let labels = Labels::from_pairs([("__name__", "m"), ("job", "a")]).unwrap();
    let mut random = Random(1);
    for day in 0..DAYS {
        let mut batch = Batch::new();
        for i in 0..SAMPLES {
            let value = Value::Float((random.next() >> 11) as f64 / 7.0);
            batch.push(&labels, YEAR_2024 + day * DAY + i * SECOND, value);
        }
        batch.push_event(&labels, YEAR_2024 + day * DAY, "deployed");
        engine.append(&batch).unwrap();
        engine.flush().unwrap();
    }
    Harness { _dir: dir, store, faulty, clock, engine: Arc::new(engine) }
}

fn encoded(prefix: Prefix) -> Vec<u8> {
    prefix.encode().to_vec()
}

impl Harness {
    fn prefixes(&self) -> Vec<Prefix> {
        self.engine.shared.versions.current().generations.iter().map(|generation| generation.prefix).collect()
    }

    fn problems(&self) -> Vec<String> {
        self.engine.shared.scrub.pass(None).expect("the database stays open").problems
    }
}

#[test]
fn a_planted_flip_is_found_in_one_pass() {
    let harness = harness();
    let engine = &harness.engine;
    let report = engine.shared.scrub.pass(None).unwrap();
    assert_eq!(report, engine.verify().unwrap(), "scrubbing reads the same as verifying");
    assert_eq!((report.generations, report.samples), (DAYS as u64, (DAYS * SAMPLES) as u64));
    let stats = engine.stats();
    assert_eq!((stats.scrub_passes, stats.scrub_problems), (1, 0));
    assert_eq!(stats.scrub_finished, Some(crate::Timestamp::from_nanos(YEAR_2024 + (DAYS + 1) * DAY)));
    assert!(stats.scrub_bytes > stats.stored_chunk_bytes, "{stats:?}");
    // Records of series and events rely on the checksum of their table, which a store in memory does not have.
    let keys =
        [(Family::Chunks, encoded as fn(Prefix) -> Vec<u8>), (Family::Index, |prefix| prefix.all_postings())];
    for (family, key) in keys {
        for prefix in harness.prefixes() {
            let place =
                [format!("partition {}", prefix.partition), encoded(prefix).escape_ascii().to_string()];
            harness.store.flip(family, &key(prefix));
            let problems = harness.problems();
            let is_named = |problem: &String| place.iter().any(|place| problem.contains(place));
            assert!(problems.iter().any(is_named), "{family:?} {prefix:?}: {problems:?}");
            assert_eq!(engine.stats().scrub_problems, problems.len() as u64);
            harness.store.flip(family, &key(prefix));
        }
    }
    assert_eq!(harness.problems(), [""; 0]);
    assert_eq!(engine.stats().scrub_problems, 0, "the last pass found none");
}

#[test]
fn what_is_merged_meanwhile_is_left_and_its_space_is_freed() {
    let harness = harness();
    let (engine, shared) = (harness.engine.clone(), harness.engine.shared.clone());
    let mut is_first = true;
    harness.faulty.set_hook(move |call| {
        if call == Call::Cursor(Family::Chunks) && std::mem::take(&mut is_first) {
            engine.compact().unwrap();
        }
    });
    let before = harness.prefixes();
    let report = shared.scrub.pass(None).unwrap();
    harness.faulty.unhook();
    let after = harness.prefixes();
    let merged: Vec<_> = before.iter().filter(|prefix| !after.contains(prefix)).copied().collect();
    assert_eq!(merged, before[..1], "the closed one, which was being read");
    assert_eq!((report.generations, report.problems), (DAYS as u64 - 1, vec![]));
    harness.engine.compact().unwrap();
    let mut cursor = harness.store.cursor(Family::Chunks);
    for prefix in merged {
        cursor.seek(&prefix.encode()).unwrap();
        assert!(
            cursor.entry().is_none_or(|(key, _)| !key.starts_with(&prefix.encode())),
            "{prefix:?} is kept"
        );
    }
}

/// A cleaning in the midst of a pass removes what it replaces at once, also what the pass is reading.
#[test]
fn a_pass_holds_nothing_that_a_cleaning_replaces() {
    let harness = harness();
    let (engine, shared) = (harness.engine.clone(), harness.engine.shared.clone());
    engine.delete(&[Matcher::equal("job", "a")], TimeRange::new(i64::MIN, YEAR_2024 + 100 * SECOND)).unwrap();
    let before = harness.prefixes();
    let store = harness.store.clone();
    let mut is_first = true;
    harness.faulty.set_hook(move |call| {
        if call == Call::Cursor(Family::Chunks) && std::mem::take(&mut is_first) {
            let report = engine.clean().unwrap();
            assert_eq!((report.partitions, report.held), (1, 0), "only a view of a caller may hold it");
            let mut cursor = store.cursor(Family::Chunks);
            cursor.seek(&before[0].encode()).unwrap();
            assert!(cursor.entry().is_none_or(|(key, _)| !key.starts_with(&before[0].encode())));
        }
    });
    let report = shared.scrub.pass(None).unwrap();
    harness.faulty.unhook();
    assert_eq!((report.generations, report.problems), (DAYS as u64 - 1, vec![]), "the others are intact");
    assert_eq!(harness.engine.stats().scrub_problems, 0);
    assert_eq!(harness.engine.stats().generations_aside, 0);
}

#[test]
fn a_pass_ends_when_the_database_closes() {
    let harness = harness();
    harness.engine.shared.jobs.end_naps();
    assert_eq!(harness.engine.shared.scrub.pass(Some(Duration::from_secs(3600))), None);
    assert_eq!(harness.engine.stats().scrub_passes, 0);
}

#[test]
fn where_a_pass_begins_follows_from_the_clock() {
    let harness = harness();
    let shared = &harness.engine.shared;
    let interval = Duration::from_secs(100);
    for (at, first) in [(0, 0), (9, 0), (10, 1), (99, 9), (100, 0), (-1, 9), (i64::MAX / SECOND, 3)] {
        harness.clock.set(at * SECOND);
        assert_eq!(shared.scrub.first_of(10, interval), first, "{at}");
    }
    assert_eq!(shared.scrub.first_of(0, interval), 0);
}
