//! Tables are rewritten only if they can be read: the store accepts no change any more after it has met a damaged block
//! while it rewrites a table. All other tables are rewritten, whatever is damaged elsewhere.

use std::sync::atomic::Ordering;

use super::aside::{job, minutes, open, values};
use super::unreadable::{Harness, harness};
use super::{YEAR_2024, float_batch};
use crate::Error;
use crate::model::{SeriesId, TimeRange};
use crate::store::keys::Prefix;
use crate::store::kv::{Bulk, Family, KeyRange, Removal, Table};

impl Harness {
    /// A table with the keys from the start of one minute to the end of another.
    fn table(&self, first: i64, last: i64) -> KeyRange {
        (self.prefix(first).encode().to_vec(), [&self.prefix(last).encode()[..], &[0xff; 20]].concat())
    }

    fn set_tables(&self, tables: &[(i64, i64)]) {
        *self.kv.tables.lock() = tables.iter().map(|(first, last)| self.table(*first, *last)).collect();
        self.kv.removals.lock().clear();
    }

    /// How the ranges of a minute were removed since the last call.
    fn removals(&self, minute: i64) -> Vec<Removal> {
        let partition = self.prefix(minute).partition;
        let of_minute = |(_, range): &&(Removal, KeyRange)| {
            Prefix::decode(&range.0).is_some_and(|prefix| prefix.partition == partition)
        };
        let all = self.kv.removals.lock().clone();
        all.iter().filter(of_minute).map(|(how, _)| *how).collect()
    }

    /// Deletes a series in some minutes and has the rest rewritten.
    fn clean(&self, of: &[i64]) -> crate::Result<crate::engine::CleanReport> {
        of.iter().for_each(|minute| self.engine.delete(&job(1), minutes(*minute, *minute)).unwrap());
        self.engine.clean()
    }
}

#[test]
fn tables_that_share_keys_with_a_damaged_generation_stay_and_others_are_rewritten() {
    let harness = harness(false);
    harness.damage(Family::Chunks, 1);
    values(&harness.engine.view(), 1, minutes(1, 1)).expect_err("it is damaged");
    assert_eq!(harness.aside(), [1]);
    harness.set_tables(&[(0, 1), (2, 2), (3, 4)]);
    let why = harness.clean(&[0, 3]).expect_err("a table with deleted samples stays").to_string();
    assert!(why.contains("set aside") && why.contains("stays on the disk"), "{why}");
    assert_eq!(harness.removals(0), [Removal::WholeTables]);
    assert_eq!(harness.removals(3), [Removal::All], "the damage is in another table");
    harness.kv.removals.lock().clear();
    harness.clean(&[2]).expect_err("the table still stays");
    assert_eq!((harness.removals(0), harness.removals(2)), (vec![Removal::WholeTables], vec![Removal::All]));
    assert_eq!(harness.removals(3), [], "what is removed is forgotten");
    // The table was removed otherwise, as by the retention.
    harness.set_tables(&[]);
    harness.clean(&[4]).expect("nothing is left");
    assert_eq!((harness.removals(0), harness.removals(4)), (vec![Removal::All], vec![Removal::All]));
    assert!(harness.engine.shared.versions.obsolete().is_empty());
}

/// Nothing has met the damage before.
#[test]
fn tables_are_read_before_they_are_rewritten() {
    let harness = harness(false);
    harness.set_tables(&[(0, 1), (3, 4)]);
    harness.damage(Family::Chunks, 1);
    harness.clean(&[0, 3]).expect_err("a table with deleted samples stays");
    assert_eq!(harness.aside(), [1], "removing has met it");
    assert_eq!((harness.removals(0), harness.removals(3)), (vec![Removal::WholeTables], vec![Removal::All]));
}

/// Removed keys that cannot be read damage no generation, and yet end a rewriting.
#[test]
fn damage_behind_the_last_generation_of_a_table_is_met_too() {
    let harness = harness(false);
    let dead = Prefix { generation: 1000, ..harness.prefix(0) };
    let key = dead.chunk(SeriesId(1), YEAR_2024).to_vec();
    harness.store.ingest(Family::Chunks, vec![Table::Memory(vec![(key, vec![1])])]).unwrap();
    *harness.kv.broken.lock() = Some((Family::Chunks, dead.encode().to_vec()));
    harness.set_tables(&[(0, 0), (1, 4)]);
    harness.kv.tables.lock()[0].1 = [&dead.encode()[..], &[0xff; 20]].concat();
    assert_eq!(harness.clean(&[0, 2]).expect("no generation is damaged").held, 0);
    assert_eq!((harness.removals(0), harness.removals(2)), (vec![Removal::WholeTables], vec![Removal::All]));
    assert_eq!(harness.aside(), [0; 0]);
    assert_eq!(values(&harness.engine.view(), 0, minutes(0, 0)).unwrap(), [0.0]);
}

/// An error that passes is no reason to rewrite, nor to leave it for good.
#[test]
fn a_table_that_cannot_be_read_now_is_rewritten_later() {
    let harness = harness(false);
    harness.set_tables(&[(0, 4)]);
    harness.engine.delete(&job(1), minutes(0, 0)).unwrap();
    harness.kv.is_passing.store(true, Ordering::Relaxed);
    let unused = Prefix { generation: 1000, ..harness.prefix(4) };
    let key = unused.chunk(SeriesId(1), YEAR_2024).to_vec();
    harness.store.ingest(Family::Chunks, vec![Table::Memory(vec![(key, vec![1])])]).unwrap();
    *harness.kv.broken.lock() = Some((Family::Chunks, unused.encode().to_vec()));
    harness.kv.tables.lock()[0].1 = [&unused.encode()[..], &[0xff; 20]].concat();
    let refused = harness.engine.clean().expect_err("a read fails");
    assert!(matches!(refused, Error::Store { .. }), "{refused}");
    assert_eq!(harness.removals(0), []);
    *harness.kv.broken.lock() = None;
    harness.engine.clean().unwrap();
    assert_eq!(harness.removals(0), [Removal::All]);
}

#[test]
fn what_a_crash_left_in_damaged_tables_stays() {
    let harness = harness(false);
    harness.kv.refuses_commits.store(true, Ordering::Relaxed);
    harness.engine.append(&float_batch(0, &[1, 181])).unwrap();
    harness.engine.flush().expect_err("the tables are in the store, and no catalogue names them");
    harness.kv.refuses_commits.store(false, Ordering::Relaxed);
    harness.engine.shared.writer.log().unwrap().sync().unwrap();
    harness.set_tables(&[(0, 1), (3, 4)]);
    // The damage is not where opening looks.
    let last = harness.store.pairs(Family::Chunks, &harness.prefix(1).range()).pop().unwrap().0;
    let Harness { dir, store, kv, engine } = harness;
    drop(engine);
    *kv.broken.lock() = Some((Family::Chunks, last));
    let engine = std::sync::Arc::new(open(dir.path(), &kv, false).unwrap());
    let harness = Harness { dir, store, kv, engine };
    assert_eq!(harness.aside(), [0; 0]);
    assert_eq!(harness.removals(0), [Removal::WholeTables]);
    assert_eq!(harness.removals(3), [Removal::All]);
    assert_eq!(values(&harness.engine.view(), 0, minutes(3, 3)).unwrap(), [180.0, 181.0]);
}

#[test]
fn only_readable_tables_that_overlap_are_settled() {
    let overlapping = [(0, 1), (1, 2), (3, 3), (4, 4), (4, 4)];
    let settled = |harness: &Harness| {
        harness.set_tables(&overlapping);
        harness.engine.compact().unwrap();
        std::mem::take(&mut *harness.kv.settled.lock())
    };
    let harness = harness(false);
    let (first, last) = (harness.table(0, 2), harness.table(4, 4));
    assert_eq!(settled(&harness), [first, last.clone()], "each span of tables, and none that is alone");
    harness.damage(Family::Chunks, 1);
    for _ in 0..2 {
        assert_eq!(settled(&harness), std::slice::from_ref(&last), "met by reading, and known");
        assert_eq!(harness.aside(), [1]);
    }
    harness.kv.is_passing.store(true, Ordering::Relaxed);
    harness.damage(Family::Chunks, 4);
    harness.set_tables(&overlapping);
    assert!(matches!(harness.engine.compact(), Err(Error::Store { .. })));
    assert_eq!(*harness.kv.settled.lock(), []);
}

/// A program without background threads need not call for merges.
#[test]
fn flushes_without_background_threads_settle_piles() {
    let harness = harness(false);
    let settled = |tables: usize| {
        harness.set_tables(&vec![(0, 4); tables]);
        harness.engine.append(&float_batch(0, &[600])).unwrap();
        harness.engine.flush().unwrap();
        std::mem::take(&mut *harness.kv.settled.lock()).len()
    };
    assert_eq!([1, 15, 16, 40].map(settled), [0, 0, 1, 1]);
}

#[cfg(feature = "rocksdb")]
#[test]
fn tables_of_late_samples_do_not_pile_up_without_background_threads() {
    let dir = tempfile::tempdir().unwrap();
    let options = || super::Options { memory_bytes: 64 << 20, ..super::options() };
    let mut most = 0;
    for life in 0..4 {
        let engine = crate::Engine::open(dir.path(), options()).unwrap();
        for second in 0..10 {
            // Each flush writes one table, with keys of the first and of the last minute.
            engine.append(&float_batch(0, &[life * 10 + second, 600 + life * 10 + second])).unwrap();
            engine.flush().unwrap();
            most = most.max(engine.shared.versions.kv().unsettled(Family::Chunks).unwrap().len());
        }
        assert_eq!(values(&engine.view(), 0, TimeRange::ALL).unwrap().len() as i64, 2 * (life + 1) * 10);
    }
    assert!((4..=16).contains(&most), "{most} tables overlap");
}
