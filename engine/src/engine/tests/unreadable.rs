//! Damage found while the database is open: the generation is set aside at once, and the rest stays available.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::aside::{job, minutes, open, values};
use super::faulty::FaultyKv;
use super::{SECOND, YEAR_2024, float_batch};
use crate::model::TimeRange;
use crate::store::keys::Prefix;
use crate::store::kv::Family;
use crate::store::memory::MemoryKv;
use crate::{Engine, Error};

pub(super) struct Harness {
    pub(super) dir: tempfile::TempDir,
    pub(super) store: Arc<MemoryKv>,
    pub(super) kv: Arc<FaultyKv>,
    pub(super) engine: Arc<Engine>,
}

/// Five minutes, each with a sample of two series and an event, merged.
pub(super) fn harness(refuse_damaged_store: bool) -> Harness {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryKv::default());
    let kv = FaultyKv::over(store.clone());
    let engine = Arc::new(open(dir.path(), &kv, refuse_damaged_store).unwrap());
    for series in 0..2 {
        let mut batch = float_batch(series, &[0, 60, 120, 180, 240]);
        for minute in 0..5 {
            batch.push_event(&super::labels(series), YEAR_2024 + minute * 60 * SECOND, "deployed");
        }
        engine.append(&batch).unwrap();
    }
    engine.flush().unwrap();
    engine.compact().unwrap();
    Harness { dir, store, kv, engine }
}

impl Harness {
    pub(super) fn prefix(&self, minute: i64) -> Prefix {
        let partition = self.engine.shared.versions.layout().raw(YEAR_2024 + minute * 60 * SECOND);
        self.engine.shared.versions.current().generations.all_in(partition)[0].prefix
    }

    /// Makes a minute unreadable in one family.
    pub(super) fn damage(&self, family: Family, minute: i64) {
        *self.kv.broken.lock() = Some((family, self.prefix(minute).encode().to_vec()));
    }

    /// The minutes that are set aside.
    pub(super) fn aside(&self) -> Vec<i64> {
        let damaged = self.engine.health().damaged;
        assert_eq!(self.engine.stats().generations_aside, damaged.len() as u64);
        damaged.iter().map(|damage| (damage.first.as_nanos() - YEAR_2024) / SECOND / 60).collect()
    }
}

#[test]
fn a_read_that_meets_it_answers_with_the_rest_and_says_so() {
    for family in [Family::Chunks, Family::Index] {
        let harness = harness(false);
        harness.damage(family, 1);
        let view = harness.engine.view().leaving_out_damage();
        assert_eq!(values(&view, 1, minutes(0, 4)).unwrap(), [0.0, 120.0, 180.0, 240.0], "{family:?}");
        assert_eq!(view.left_out(), harness.engine.health().damaged);
        assert_eq!(harness.aside(), [1]);
        assert!(view.left_out()[0].to_string().contains("block checksum"));
        // A read that cannot leave it out is refused, as after a start.
        let refused =
            values(&harness.engine.view(), 1, minutes(1, 1)).map(drop).expect_err("it is set aside");
        assert!(refused.to_string().contains("set aside"), "{refused}");
        assert_eq!(values(&harness.engine.view(), 1, minutes(2, 4)).unwrap(), [120.0, 180.0, 240.0]);
        assert!(!harness.engine.verify().unwrap().is_clean());
        // It can be read again, and is still set aside: queries lack it until the next start, and `verify` says so.
        *harness.kv.broken.lock() = None;
        let report = harness.engine.verify().unwrap();
        let problems = report.problems;
        assert!(problems.len() == 1 && problems[0].contains("set aside"), "{problems:?}");
        assert_eq!((report.generations, report.samples), (5, 10), "it reads all, also this one");
    }
}

#[test]
fn every_way_to_read_leaves_it_out() {
    type Read = fn(&crate::View<'_>) -> crate::Result<usize>;
    const ALL: TimeRange = TimeRange::ALL;
    let reads: [(&str, Family, Read, usize); 7] = [
        ("events", Family::Events, |view| Ok(view.events(&[Vec::new()], ALL, 99)?.len()), 8),
        ("label names", Family::Index, |view| Ok(view.label_names(&[Vec::new()], ALL, 9)?.len()), 2),
        ("label values", Family::Index, |view| Ok(view.label_values("job", &[Vec::new()], ALL, 9)?.len()), 2),
        ("label sets", Family::Index, |view| Ok(view.label_sets(&[job(1).to_vec()], ALL, 9)?.len()), 1),
        ("cardinality", Family::Index, |view| Ok(view.cardinality(Some(ALL), 9)?.series as usize), 2),
        ("estimate", Family::Index, |view| Ok(view.estimate(&job(1), ALL)?.samples as usize), 4),
        (
            "export",
            Family::Chunks,
            |view| {
                let mut samples = 0;
                view.each_series(&job(1), ALL, 9, &|_| false, &mut |_, run| {
                    samples += run.len();
                    Ok(true)
                })?;
                Ok(samples)
            },
            4,
        ),
    ];
    for (name, family, read, expected) in reads {
        let harness = harness(false);
        harness.damage(family, 1);
        let view = harness.engine.view().leaving_out_damage();
        assert_eq!(read(&view).expect(name), expected, "{name}");
        assert_eq!((view.left_out().len(), harness.aside()), (1, vec![1]), "{name}");
    }
}

#[test]
fn reads_are_refused_where_the_options_say_so() {
    let harness = harness(true);
    harness.damage(Family::Chunks, 1);
    for _ in 0..2 {
        let view = harness.engine.view().leaving_out_damage();
        let refused = values(&view, 1, minutes(0, 4)).map(drop).expect_err("it must not leave anything out");
        assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
    }
    assert_eq!(harness.aside(), [1]);
}

#[test]
fn a_failure_that_passes_is_no_damage() {
    let harness = harness(false);
    harness.damage(Family::Chunks, 1);
    for _ in 0..2 {
        harness.kv.failures_left.store(1, Ordering::Relaxed);
        assert_eq!(
            values(&harness.engine.view(), 1, minutes(0, 4)).unwrap(),
            [0.0, 60.0, 120.0, 180.0, 240.0]
        );
        assert!(harness.kv.failures_left.load(Ordering::Relaxed) < 0, "nothing failed");
    }
    assert_eq!(harness.aside(), [0; 0]);
}

#[test]
fn the_generation_before_it_is_complete() {
    let harness = harness(false);
    harness.damage(Family::Chunks, 1);
    // Its last series is followed by what cannot be read.
    assert_eq!(values(&harness.engine.view(), 1, minutes(0, 0)).unwrap(), [0.0]);
    assert_eq!(harness.aside(), [1]);
}

#[test]
fn a_merge_that_meets_it_leaves_its_partition_from_then_on() {
    let harness = harness(false);
    harness.engine.append(&float_batch(0, &[61, 121, 181])).unwrap();
    harness.engine.flush().unwrap();
    harness.damage(Family::Chunks, 1);
    harness.engine.compact().expect_err("it reads what is damaged");
    assert_eq!(harness.aside(), [1]);
    harness.engine.compact().expect("the partition is left as it is");
    let catalogue = harness.engine.shared.versions.current();
    let generations = |minute| catalogue.generations.all_in(harness.prefix(minute).partition).len();
    assert_eq!([1, 2].map(generations), [2, 1], "the others are merged");
}

#[test]
fn a_scrub_that_finds_damage_sets_it_aside() {
    let harness = harness(false);
    harness.store.flip(Family::Chunks, &harness.prefix(1).encode());
    let found = harness.engine.shared.scrub.pass(None).unwrap();
    assert!(!found.is_clean());
    assert_eq!(harness.aside(), [1]);
    let problems = harness.engine.stats().scrub_problems;
    harness.engine.shared.scrub.pass(None).unwrap();
    assert_eq!(harness.engine.stats().scrub_problems, problems, "the next pass finds it again");
}

#[test]
fn what_is_written_afterwards_is_found() {
    let harness = harness(false);
    // The series are known in the partition, so that later flushes would count on their records.
    harness.engine.append(&float_batch(1, &[61])).unwrap();
    harness.engine.flush().unwrap();
    harness.damage(Family::Index, 1);
    let view = harness.engine.view().leaving_out_damage();
    values(&view, 1, minutes(1, 1)).unwrap();
    drop(view);
    harness.engine.append(&float_batch(1, &[62])).unwrap();
    harness.engine.flush().unwrap();
    let view = harness.engine.view().leaving_out_damage();
    let found = values(&view, 1, minutes(1, 1)).unwrap();
    assert!(found.contains(&62.0), "{found:?}");
    assert_eq!(harness.aside(), [1]);
}
