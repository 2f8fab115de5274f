//! What a trial foretells is what happens.

use std::time::Duration;

use super::aging::{Aged, DAY};
use super::ladders::{ladder, stored, tier};
use crate::engine::tests::{YEAR_2024, options};
use crate::model::{PartitionId, TierId};
use crate::{Batch, Kept, KeptTrial, Options};

fn database(tiers: &str) -> Aged {
    Aged::with_options(Options {
        partition_width: Duration::from_secs(86_400),
        tiers: tiers.parse().unwrap(),
        ..options()
    })
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

/// Partitions, samples or buckets, and bytes of a tier.
fn totals(aged: &Aged, tier: TierId) -> (u64, u64, u64) {
    let catalogue = aged.engine.shared.versions.current_owned();
    let of_tier = catalogue.generations.partitions_from(PartitionId::first_of(tier));
    of_tier.take_while(|partition| partition.id.tier == tier).fold((0, 0, 0), |all, partition| {
        let records = partition.all().map(|generation| &generation.record);
        records.fold((all.0 + 1, all.1, all.2), |all, record| {
            (all.0, all.1 + record.samples, all.2 + record.bytes)
        })
    })
}

fn is_about(found: u64, expected: u64) -> bool {
    found.abs_diff(expected) * 5 <= expected
}

/// Tries a change, checks that nothing has changed, and makes it. Returns what was foretold.
fn tried(aged: &mut Aged, change: impl Fn(&mut Kept), day: i64) -> KeptTrial {
    let mut kept = aged.engine.kept();
    change(&mut kept);
    let before = (totals(aged, TierId::RAW), aged.engine.tiers(), aged.engine.kept());
    let trial = aged.engine.try_kept(kept.clone()).unwrap();
    aged.engine.compact().unwrap();
    assert_eq!(before, (totals(aged, TierId::RAW), aged.engine.tiers(), aged.engine.kept()), "day {day}");
    aged.engine.set_kept(kept).unwrap();
    for _ in 0..3 {
        aged.engine.compact().unwrap();
    }
    trial
}

#[test]
fn what_is_dropped_of_all_series() {
    let mut aged = database("1h");
    (0..30).for_each(|day| aged.day(day));
    let before = totals(&aged, TierId::RAW);
    let trial = tried(&mut aged, |kept| kept.retention = days(10), 30);
    let after = totals(&aged, TierId::RAW);
    let [raw] = trial.drops[..] else { panic!("{trial:?}") };
    assert_eq!((raw.resolution, raw.rewritten), (None, 0));
    assert_eq!(
        (raw.partitions, raw.samples, raw.bytes),
        (before.0 - after.0, before.1 - after.1, before.2 - after.2)
    );
    assert_eq!(raw.from.as_nanos(), YEAR_2024);
    assert_eq!(raw.through.as_nanos(), YEAR_2024 + 19 * DAY - 1);
    assert_eq!((trial.builds.len(), trial.built_bytes, trial.freed_bytes), (0, Some(0), raw.bytes));
    // Again: there is nothing left to drop.
    let again = aged.engine.try_kept(aged.engine.kept()).unwrap();
    assert_eq!(again, KeptTrial { built_bytes: Some(0), ..KeptTrial::default() });
}

#[test]
fn what_is_dropped_of_some_series() {
    let mut aged = database("1h");
    (0..30).for_each(|day| aged.day(day));
    let before = (totals(&aged, TierId::RAW), totals(&aged, tier("1h")));
    let ladders = vec![ladder("job0", "raw 5d, 1h 12d"), ladder("job1", "raw 9d, 1h")];
    let trial = tried(&mut aged, |kept| kept.ladders = ladders.clone(), 30);
    let after = (totals(&aged, TierId::RAW), totals(&aged, tier("1h")));
    let [raw, hours] = trial.drops[..] else { panic!("{trial:?}") };
    assert_eq!((raw.partitions, raw.rewritten, hours.partitions), (0, 24, 0));
    assert!(is_about(raw.samples, before.0.1 - after.0.1), "{raw:?}: {before:?} {after:?}");
    assert!(is_about(raw.bytes, before.0.2 - after.0.2), "{raw:?}: {before:?} {after:?}");
    assert!(is_about(hours.samples, before.1.1 - after.1.1), "{hours:?}: {before:?} {after:?}");
    assert_eq!(hours.rewritten, 3, "those that end twelve days ago");
    assert!(stored(&aged, TierId::RAW, 2).is_some_and(|(first, _)| first == YEAR_2024));
    assert!(aged.engine.try_kept(aged.engine.kept()).unwrap().drops.is_empty());
}

#[test]
fn what_is_built() {
    let mut aged = database("none");
    (0..30).for_each(|day| aged.day(day));
    let trial = tried(&mut aged, |kept| kept.tiers = "10m 12d, 1h".parse().unwrap(), 30);
    assert!(trial.drops.is_empty() && trial.unnamed.is_empty());
    for (build, name) in trial.builds.iter().zip(["10m", "1h"]) {
        let (partitions, buckets, bytes) = totals(&aged, tier(name));
        assert_eq!((build.resolution.name(), build.partitions), (name, partitions));
        let of = (build.buckets.unwrap(), build.bytes.unwrap());
        assert!(is_about(of.0, buckets) && is_about(of.1, bytes), "{build:?}: {buckets} {bytes}");
        let complete = aged.engine.tiers().iter().find(|it| it.resolution.name() == name).unwrap().complete;
        let (from, through) = complete.unwrap();
        // Where there are no samples, it may begin earlier.
        assert!(from <= build.from && through == build.through, "{name}: {from} to {through}");
    }
    assert!(trial.built_bytes.unwrap() >= trial.builds.iter().filter_map(|build| build.bytes).sum());
    // A tier that is kept longer is extended to what samples still say.
    let begin = |aged: &Aged| aged.engine.tiers()[0].complete.unwrap().0;
    let before = begin(&aged);
    let trial = tried(&mut aged, |kept| kept.tiers = "10m, 1h".parse().unwrap(), 31);
    let [build] = trial.builds[..] else { panic!("{trial:?}") };
    assert_eq!(build.resolution.name(), "10m");
    assert_eq!(build.through, before);
    assert!(begin(&aged) <= build.from && build.from.as_nanos() <= YEAR_2024);
    let unnamed = aged.engine.try_kept(Kept { tiers: "1h".parse().unwrap(), ..aged.engine.kept() }).unwrap();
    assert_eq!(unnamed.unnamed.iter().map(|tier| tier.name()).collect::<Vec<_>>(), ["10m"]);
}

#[test]
fn ladders_keep_less_of_what_is_built() {
    let mut aged = database("none");
    (0..30).for_each(|day| aged.day(day));
    let ladders = vec![ladder("job0", "raw 6d"), ladder("job1", "raw 15d, 10m 15d, 1h")];
    let change = |kept: &mut Kept| {
        kept.ladders = ladders.clone();
        kept.tiers = "10m, 1h".parse().unwrap();
    };
    let trial = tried(&mut aged, change, 30);
    for (build, name) in trial.builds.iter().zip(["10m", "1h"]) {
        let (_, buckets, bytes) = totals(&aged, tier(name));
        let of = (build.buckets.unwrap(), build.bytes.unwrap());
        assert!(is_about(of.0, buckets) && is_about(of.1, bytes), "{build:?}: {buckets} {bytes}");
    }
    assert_eq!(
        aged.engine.try_kept(aged.engine.kept()).unwrap(),
        KeptTrial { built_bytes: Some(0), ..KeptTrial::default() }
    );
}

fn day_with_event(aged: &mut Aged, day: i64) {
    let mut batch = Batch::new();
    batch.push_event(&crate::engine::tests::labels(0), YEAR_2024 + day * DAY + 1, "started");
    aged.engine.append(&batch).unwrap();
    aged.day(day);
}

#[test]
fn what_a_budget_drops() {
    let mut aged = database("1h");
    (0..30).for_each(|day| day_with_event(&mut aged, day));
    let before = totals(&aged, TierId::RAW);
    let budget = aged.engine.budget().used_bytes * 3 / 4;
    let trial = tried(&mut aged, |kept| kept.disk_bytes = budget, 30);
    let after = totals(&aged, TierId::RAW);
    let [raw] = trial.drops[..] else { panic!("{trial:?}") };
    assert_eq!(raw.samples, before.1 - after.1, "{raw:?}");
    assert!(raw.partitions > 3 && trial.freed_bytes >= budget / 4, "{trial:?}");
    assert_eq!(trial.events, raw.partitions, "each has one");
}

#[test]
fn what_happens_to_events() {
    let mut aged = database("none");
    (0..20).for_each(|day| day_with_event(&mut aged, day));
    let trial = tried(&mut aged, |kept| kept.event_retention = Some(days(4)), 20);
    assert_eq!((trial.events, trial.drops.len()), (15, 0));
    let trial =
        tried(&mut aged, |kept| (kept.retention, kept.event_retention) = (days(2), Some(days(9))), 20);
    let [raw] = trial.drops[..] else { panic!("{trial:?}") };
    assert_eq!((raw.partitions, raw.rewritten, trial.events), (15, 2, 0), "two have events");
    assert_eq!(totals(&aged, TierId::RAW).0, 5);
}

#[test]
fn what_is_wrong_is_refused() {
    let aged = database("none");
    let mut kept = aged.engine.kept();
    kept.retention = Duration::from_secs(60);
    let error = aged.engine.try_kept(kept).expect_err("shorter than a partition");
    assert!(error.to_string().starts_with("option retention: "), "{error}");
    // Nothing is stored.
    let trial = aged.engine.try_kept(Kept { tiers: "5m".parse().unwrap(), ..aged.engine.kept() }).unwrap();
    assert_eq!(trial, KeptTrial { built_bytes: Some(0), ..KeptTrial::default() });
}
