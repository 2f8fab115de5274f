//! What is kept, stored in the database.

use std::sync::Arc;
use std::time::Duration;

use super::aging::{Aged, DAY};
use super::ladders::ladder;
use crate::clock::ManualClock;
use crate::engine::tests::{YEAR_2024, options};
use crate::model::{TierId, Timestamp};
use crate::store::memory::MemoryKv;
use crate::{Engine, Kept, Options, Tiers};

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

fn first_sample(aged: &Aged, series: u8) -> Option<i64> {
    let found = super::ladders::stored(aged, TierId::RAW, series);
    found.map(|(first, _): (Timestamp, Timestamp)| (first - YEAR_2024) / DAY)
}

#[test]
fn what_is_stored_counts_at_once_and_after_restarts() {
    let options =
        Options { partition_width: days(1), tiers: "none".parse().unwrap(), stored_kept: true, ..options() };
    let mut aged = Aged::with_options(options);
    (0..10).for_each(|day| aged.day(day));
    let mut kept = aged.engine.kept();
    (kept.retention, kept.ladders) = (days(8), vec![ladder("job1", "raw 4d")]);
    aged.engine.store_kept(kept.clone()).unwrap();
    aged.day(10);
    assert_eq!([0, 1].map(|series| first_sample(&aged, series)), [Some(2), Some(6)]);
    aged.reopen();
    assert_eq!((aged.engine.kept(), aged.engine.stored_kept()), (kept.clone(), Some(kept.clone())));
    aged.day(11);
    assert_eq!([0, 1].map(|series| first_sample(&aged, series)), [Some(3), Some(7)]);
    // What is not stored counts until the next opening.
    aged.engine.set_ladders(Vec::new()).unwrap();
    assert_eq!(aged.engine.stored_kept(), Some(kept.clone()));
    aged.reopen();
    assert_eq!(aged.engine.kept(), kept);
    let wrong = Kept { retention: Duration::from_secs(1), ..kept.clone() };
    assert!(aged.engine.store_kept(wrong).is_err());
    // The database could not be opened again.
    let mut tier = *"1h 9d".parse::<Tiers>().unwrap().iter().next().unwrap();
    tier.keep += Duration::from_secs(1);
    let tiers = [tier].into_iter().collect();
    assert!(aged.engine.store_kept(Kept { tiers, ..kept.clone() }).is_err());
    assert_eq!((aged.engine.kept(), aged.engine.stored_kept()), (kept.clone(), Some(kept)));
    assert!(aged.engine.verify().unwrap().is_clean());
}

#[test]
fn options_count_where_they_do_not_leave_it_to_the_database() {
    let (dir, kv) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()));
    let open = |stored_kept, disk_bytes| {
        let options = Options { stored_kept, disk_bytes, retention: days(30), ..options() };
        Engine::open_over(dir.path(), kv.clone(), options, Arc::new(ManualClock::new(YEAR_2024))).unwrap()
    };
    let engine = open(false, 5);
    engine.store_kept(Kept { retention: days(3), ..engine.kept() }).unwrap();
    assert_eq!(engine.kept().retention, days(3));
    engine.close().unwrap();
    let engine = open(false, 5);
    assert_eq!(engine.kept().retention, days(30));
    assert_eq!(engine.stored_kept().map(|kept| kept.retention), Some(days(3)));
    engine.close().unwrap();
    let engine = open(true, 7);
    assert_eq!((engine.kept().retention, engine.kept().disk_bytes), (days(3), 7));
}
