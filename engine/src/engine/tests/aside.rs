//! A damaged generation is set aside; reads of other times succeed, and none of its data is dropped.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::faulty::FaultyKv;
use super::{SECOND, YEAR_2024, float_batch, options};
use crate::clock::ManualClock;
use crate::engine::open::closed::judge;
use crate::model::{Matcher, TimeRange};
use crate::store::catalogue::Catalogue;
use crate::store::keys::Prefix;
use crate::store::kv::{Bulk as _, Family, Removal};
use crate::store::memory::MemoryKv;
use crate::{Engine, Error, Options, Result, View};

pub(super) fn open(dir: &Path, kv: &Arc<FaultyKv>, refuse_damaged_store: bool) -> Result<Engine> {
    let options = Options { refuse_damaged_store, ..options() };
    Engine::open_over(dir, kv.clone(), options, Arc::new(ManualClock::new(i64::MAX)))
}

pub(super) fn job(series: u8) -> [Matcher; 1] {
    [Matcher::equal("job", &format!("job{series}"))]
}

pub(super) fn minutes(first: i64, last: i64) -> TimeRange {
    TimeRange::inclusive(YEAR_2024 + first * 60 * SECOND, YEAR_2024 + (last * 60 + 59) * SECOND)
}

pub(super) fn values(view: &View<'_>, series: u8, range: TimeRange) -> Result<Vec<f64>> {
    let found = view.select(&job(series), range, 10)?;
    let mut values = Vec::new();
    for series in &found {
        values.extend(view.read(series, range)?.values);
    }
    Ok(values)
}

/// Five minutes, each with a sample of two series, merged; the second minute also has a later generation.
fn damaged(family: Family) -> (tempfile::TempDir, Arc<FaultyKv>) {
    let dir = tempfile::tempdir().unwrap();
    let kv = FaultyKv::over(Arc::new(MemoryKv::default()));
    let engine = open(dir.path(), &kv, false).unwrap();
    for series in 0..2 {
        engine.append(&float_batch(series, &[0, 60, 120, 180, 240])).unwrap();
    }
    engine.flush().unwrap();
    engine.compact().unwrap();
    let catalogue = engine.shared.versions.current_owned();
    let partition = engine.shared.versions.layout().raw(YEAR_2024 + 60 * SECOND);
    let prefix = catalogue.generations.in_partition(partition)[0].prefix;
    engine.append(&float_batch(0, &[61])).unwrap();
    engine.flush().unwrap();
    *kv.broken.lock() = Some((family, prefix.encode().to_vec()));
    (dir, kv)
}

#[test]
fn the_rest_answers_and_reads_of_its_time_say_so_or_are_refused() {
    for family in [Family::Chunks, Family::Index] {
        let (dir, kv) = damaged(family);
        let refused = open(dir.path(), &kv, true).map(drop).expect_err("opening should fail");
        assert!(refused.to_string().contains("checksum"), "{refused}");
        let engine = open(dir.path(), &kv, false).unwrap();
        let damage = engine.health().damaged;
        assert_eq!((damage.len(), engine.stats().generations_aside), (1, 1));
        assert_eq!(damage[0].first.as_nanos(), YEAR_2024 + 60 * SECOND);
        assert!(engine.damage(minutes(2, 9)).is_empty());

        let view = engine.view();
        assert_eq!(values(&view, 1, minutes(2, 4)).unwrap(), [120.0, 180.0, 240.0]);
        for refused in [
            values(&view, 1, minutes(0, 4)).map(drop),
            view.events(&[job(1).to_vec()], minutes(1, 1), 9).map(drop),
            view.label_names(&[Vec::new()], minutes(1, 1), 9).map(drop),
            view.label_values("job", &[Vec::new()], minutes(1, 1), 9).map(drop),
            view.label_sets(&[job(1).to_vec()], minutes(1, 1), 9).map(drop),
            view.cardinality(Some(minutes(1, 1)), 9).map(drop),
            view.estimate(&job(1), minutes(1, 1)).map(drop),
            view.each_series(&job(1), minutes(1, 1), 9, &|_| false, &mut |_, _| Ok(true)).map(drop),
        ] {
            let why = refused.expect_err("the answer would be silently wrong");
            assert!(matches!(why, Error::Corrupt { .. }) && why.to_string().contains("set aside"), "{why}");
        }
        let view = engine.view().leaving_out_damage();
        assert_eq!(values(&view, 1, minutes(2, 4)).unwrap(), [120.0, 180.0, 240.0]);
        assert!(view.left_out().is_empty(), "no read covered its time");
        // A read of the preceding minute reaches the damaged keys, which are next to it.
        assert_eq!(values(&view, 1, minutes(0, 4)).unwrap(), [0.0, 120.0, 180.0, 240.0]);
        assert_eq!(view.left_out(), damage);
    }
}

#[test]
fn no_merge_drops_it_and_deletes_wait_for_it() {
    let (dir, kv) = damaged(Family::Chunks);
    let engine = open(dir.path(), &kv, false).unwrap();
    engine.delete(&job(1), TimeRange::ALL).unwrap();
    engine.append(&float_batch(0, &[62, 900])).unwrap();
    engine.flush().unwrap();
    // The merge of the preceding minute reaches the damaged keys, which are next to it.
    engine.compact().unwrap();
    assert_eq!(values(&engine.view(), 0, minutes(0, 0)).unwrap(), [0.0]);
    assert!(values(&engine.view(), 1, minutes(0, 0)).unwrap().is_empty(), "the delete is carried out there");
    assert_eq!((engine.stats().tombstones, engine.stats().generations_aside), (1, 1));
    assert!(!engine.verify().unwrap().is_clean());
    engine.close().unwrap();
    drop(engine);
    // The disk works again, as after a file was restored.
    *kv.broken.lock() = None;
    let engine = open(dir.path(), &kv, true).unwrap();
    assert_eq!(values(&engine.view(), 0, minutes(1, 1)).unwrap(), [60.0, 61.0, 62.0]);
    assert!(values(&engine.view(), 1, TimeRange::ALL).unwrap().is_empty(), "the delete still applies");
    engine.compact().unwrap();
    assert_eq!(engine.stats().tombstones, 0);
    assert_eq!(engine.verify().unwrap().problems, [""; 0]);
}

/// The record of the series is in the damaged generation: a merge of the others would drop the samples of the later
/// one.
#[test]
fn cleaning_leaves_its_partition_and_says_so() {
    let (dir, kv) = damaged(Family::Index);
    let engine = open(dir.path(), &kv, false).unwrap();
    for minute in [1, 3] {
        engine.delete(&job(1), minutes(minute, minute)).unwrap();
    }
    let before = engine.stats().stored_samples;
    for _ in 0..2 {
        let why =
            engine.clean().expect_err("what was deleted in the second minute is still there").to_string();
        assert!(why.contains("set aside") && why.contains("stays on the disk"), "{why}");
        let stats = engine.stats();
        assert_eq!((before - stats.stored_samples, stats.tombstones), (1, 1), "the fourth minute is clean");
    }
    engine.close().unwrap();
    drop(engine);
    *kv.broken.lock() = None;
    let engine = open(dir.path(), &kv, true).unwrap();
    assert_eq!(values(&engine.view(), 0, minutes(1, 1)).unwrap(), [60.0, 61.0]);
    assert_eq!(engine.clean().unwrap().partitions, 1);
    assert_eq!((engine.stats().tombstones, before - engine.stats().stored_samples), (0, 2));
    assert_eq!(values(&engine.view(), 0, minutes(1, 1)).unwrap(), [60.0, 61.0]);
    assert_eq!(engine.verify().unwrap().problems, [""; 0]);
}

/// Verifying a directory says whether it would open: damage in the store ends an opening only where the options say so.
#[test]
fn verifying_judges_by_the_option_that_opening_goes_by() {
    for family in [Family::Chunks, Family::Index] {
        let (dir, kv) = damaged(family);
        for refuse_damaged_store in [false, true] {
            let options = Options { refuse_damaged_store, ..options() };
            let catalogue = Catalogue::load(&*kv, &Arc::default()).unwrap().unwrap();
            let judged = judge(dir.path(), &*kv, &catalogue, &options).map_err(|refusal| refusal.to_string());
            let opened = open(dir.path(), &kv, refuse_damaged_store).map(drop);
            assert_eq!(judged, opened.map_err(|refusal| refusal.to_string()), "{family:?}");
            assert_eq!(judged.is_err(), refuse_damaged_store, "{family:?}");
        }
    }
}

#[test]
fn retention_removes_it() {
    let (dir, kv) = damaged(Family::Index);
    let engine = open(dir.path(), &kv, false).unwrap();
    engine.append(&float_batch(0, &[1200])).unwrap();
    engine.flush().unwrap();
    engine.set_retention(Duration::from_secs(300)).unwrap();
    engine.compact().unwrap();
    assert_eq!((engine.stats().generations_aside, engine.health().damaged.len()), (0, 0));
}

/// What opening cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unreadable {
    Nothing,
    /// A partition: what the catalogue names of it, and what a crash left there.
    Partition,
    /// What a crash left.
    Leftover,
}

/// A flush that a crash interrupts leaves a generation that the catalogue does not name. Nothing else may be written
/// under its number, whether opening sees it or cannot read it: its range may be in the store for good. The numbers
/// after it would wrap around to those of other generations, whose keys a merge would then mix with its own.
#[test]
fn a_number_that_no_crash_left_uses_up_no_numbers() {
    let (dir, kv) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()));
    let open =
        || Engine::open_over(dir.path(), kv.clone(), options(), Arc::new(ManualClock::new(0))).unwrap();
    let engine = open();
    engine.append(&float_batch(0, &[1, 2])).unwrap();
    engine.flush().unwrap();
    let next = engine.shared.versions.next_number();
    let prefix = engine.shared.versions.current().generations.iter().next().unwrap().prefix;
    drop(engine);
    let mut table = kv.table(Family::Chunks).unwrap();
    table.put(&Prefix { generation: u64::MAX, ..prefix }.encode(), b"stray").unwrap();
    kv.ingest(Family::Chunks, vec![table.finish().unwrap()]).unwrap();
    let engine = open();
    assert_eq!((engine.open_report().leftovers_removed, engine.shared.versions.next_number()), (1, next));
}

#[test]
fn the_numbers_of_what_a_crash_left_are_not_used_again() {
    for unreadable in [Unreadable::Nothing, Unreadable::Partition, Unreadable::Leftover] {
        let (dir, kv) = damaged(Family::Chunks);
        let (_, named) = kv.broken.lock().take().unwrap();
        let engine = open(dir.path(), &kv, false).unwrap();
        engine.append(&float_batch(0, &[62, 63])).unwrap();
        kv.refuses_commits.store(true, Ordering::Relaxed);
        engine.flush().expect_err("the tables are in the store, and no catalogue names them");
        let unused = engine.shared.versions.next_number();
        drop(engine);
        kv.refuses_commits.store(false, Ordering::Relaxed);
        let leftover = Prefix { generation: unused - 1, ..Prefix::decode(&named).unwrap() };
        *kv.broken.lock() = match unreadable {
            Unreadable::Nothing => None,
            Unreadable::Partition => Some((Family::Chunks, named[..6].to_vec())),
            Unreadable::Leftover => Some((Family::Chunks, leftover.encode().to_vec())),
        };
        kv.breaks_all.store(true, Ordering::Relaxed);
        kv.removals.lock().clear();
        let engine = open(dir.path(), &kv, false).unwrap();
        assert_eq!(engine.stats().generations_aside > 0, unreadable == Unreadable::Partition);
        *kv.broken.lock() = None;
        let numbers = |engine: &Engine| -> Vec<u64> {
            engine.shared.versions.current().generations.iter().map(|g| g.prefix.generation).collect()
        };
        let before = numbers(&engine);
        engine.flush().unwrap();
        let new: Vec<u64> = numbers(&engine).into_iter().filter(|number| !before.contains(number)).collect();
        assert!(
            !new.is_empty() && new.iter().all(|number| *number >= unused),
            "{unreadable:?}: {new:?}, below {unused}"
        );
        let removals = std::mem::take(&mut *kv.removals.lock());
        assert!(removals.iter().all(|(how, _)| *how == Removal::All), "{unreadable:?}: {removals:?}");
        drop(engine);
        let engine = open(dir.path(), &kv, true).unwrap();
        assert_eq!(values(&engine.view(), 0, minutes(1, 1)).unwrap(), [60.0, 61.0, 62.0, 63.0]);
        assert_eq!(engine.verify().unwrap().problems, [""; 0]);
    }
}
