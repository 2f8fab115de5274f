//! Tiers whose sources change: samples for a time before a tier begins, damaged partitions, settings that change.

use std::sync::Arc;

use super::aging::{Aged, DAY, Ladder};
use crate::engine::tests::aside::job;
use crate::engine::tests::{SECOND, YEAR_2024};
use crate::model::{Resolution, TierId, TimeRange};
use crate::store::catalogue::Generation;

const LADDER: Ladder = Ladder { retention_days: 15, tiers: "5m 30d, 1h", raw_from: 0, from: &[] };

fn day(number: i64) -> i64 {
    YEAR_2024 + number * DAY
}

/// All that is kept of both tiers equals the buckets of the samples.
fn check_all(aged: &Aged, until: i64) {
    for tier in aged.engine.view().tiers() {
        aged.check(tier.resolution.name(), TimeRange::new(tier.range.start.max(day(-9)), day(until)));
    }
}

#[test]
fn samples_before_the_beginning_of_a_tier_extend_it() {
    let mut aged = Aged::new(&LADDER);
    aged.skip(10);
    (10..13).for_each(|day| aged.day(day));
    let begin = |aged: &Aged| aged.engine.view().tiers().iter().map(|t| t.range.start).collect::<Vec<_>>();
    // The first sample is the last instant of a bucket. Weeks begin on Thursdays.
    assert_eq!(begin(&aged), [day(9), day(3)]);
    for series in 0..3 {
        aged.append(series, (day(1) + SECOND..day(3)).step_by(300 * SECOND as usize));
    }
    aged.engine.flush().unwrap();
    check_all(&aged, 13);
    aged.engine.compact().unwrap();
    assert_eq!(begin(&aged), [day(1), day(-4)], "each begins with a partition");
    check_all(&aged, 13);
    (13..28).for_each(|day| aged.day(day));
    assert!(aged.engine.view().raw_from() > day(11), "raw samples of these days are gone");
    aged.check("5m", TimeRange::new(day(1), day(28)));
    aged.check("1h", TimeRange::new(day(-4), day(28)));
    // Older than the narrow tier is kept: the wide one alone has them.
    (28..40).for_each(|day| aged.day(day));
    aged.check("1h", TimeRange::new(day(-4), day(40)));
    assert!(aged.engine.verify().unwrap().is_clean());
}

#[test]
fn a_delete_that_hides_nothing_more_does_not_keep_tiers_from_being_extended() {
    let mut aged = Aged::new(&LADDER);
    (0..5).for_each(|day| aged.day(day));
    let range = TimeRange::new(day(1), day(2));
    aged.engine.delete(&job(0), range).unwrap();
    aged.forget(0, range);
    (5..9).for_each(|day| aged.day(day));
    assert_eq!(aged.engine.stats().tombstones, 0, "it is applied");
    (9..12).for_each(|day| aged.day(day));
    for tier in aged.engine.view().tiers() {
        assert_eq!(tier.range.end, day(10), "{}", tier.resolution);
    }
    check_all(&aged, 12);
}

/// The first generation of a tier after a time.
fn generation(aged: &Aged, tier: &str, time: i64) -> Arc<Generation> {
    let catalogue = aged.engine.shared.versions.current_owned();
    let tier = TierId::of(0, Resolution::parse(tier).unwrap());
    let mut found =
        catalogue.generations.partitions_in(tier, TimeRange::new(time, day(99)), catalogue.layout());
    found.next().unwrap().generations[0].clone()
}

#[test]
fn a_damaged_partition_is_computed_again_while_its_source_is_stored() {
    let damage = crate::Error::Corrupt { file: "chunks".into(), offset: 0, what: "a test".into() };
    let mut aged = Aged::new(&LADDER);
    (0..20).for_each(|day| aged.day(day));
    aged.engine.shared.versions.set_aside(generation(&aged, "5m", day(12)).prefix, &damage);
    assert_eq!(aged.engine.stats().generations_aside, 1);
    let of_day = TimeRange::new(day(12), day(13));
    assert!(aged.engine.view().select(&job(0), of_day, 9).is_ok(), "samples are not damaged");
    check_all(&aged, 20);
    aged.engine.compact().unwrap();
    assert_eq!(aged.engine.stats().generations_aside, 0);
    check_all(&aged, 20);

    // The samples of this one are gone, and it stays as it is.
    aged.engine.shared.versions.set_aside(generation(&aged, "5m", day(2)).prefix, &damage);
    aged.engine.compact().unwrap();
    assert_eq!(aged.engine.stats().generations_aside, 1);
    // The wide tier can be computed from the narrow one, and has all there is.
    let wide = generation(&aged, "1h", day(7));
    aged.engine.shared.versions.set_aside(wide.prefix, &damage);
    aged.engine.compact().unwrap();
    assert_eq!(aged.engine.stats().generations_aside, 1, "from the narrow tier");
    aged.check("1h", TimeRange::new(day(0), day(20)));
    // It does not keep raw samples from being dropped.
    (20..25).for_each(|day| aged.day(day));
    assert!(aged.engine.view().raw_from() > day(8));
    aged.check("1h", TimeRange::new(day(0), day(25)));
}

#[test]
fn buckets_are_not_computed_from_a_part_of_the_samples() {
    let damage = crate::Error::Corrupt { file: "chunks".into(), offset: 0, what: "a test".into() };
    let mut aged = Aged::new(&LADDER);
    (0..20).for_each(|day| aged.day(day));
    let catalogue = aged.engine.shared.versions.current_owned();
    let of_day = catalogue.layout().raw(day(12) + SECOND);
    let raw = catalogue.generations.in_partition(of_day)[0].prefix;
    drop(catalogue);
    aged.engine.shared.versions.set_aside(raw, &damage);
    aged.append(0, [day(12) + 7 * SECOND].into_iter());
    aged.engine.flush().unwrap();
    assert_eq!(
        aged.repair(),
        [0, 1],
        "the narrow ones have what is damaged, and the wide one is computed from them"
    );
    aged.engine.shared.versions.set_aside(generation(&aged, "5m", day(12)).prefix, &damage);
    aged.engine.compact().unwrap();
    assert_eq!(aged.engine.stats().generations_aside, 2);
}

/// It drops nothing that is kept from now on.
#[test]
fn what_is_kept_may_change_during_a_pass() {
    let mut aged = Aged::new(&Ladder { retention_days: 0, tiers: "", raw_from: 0, from: &[] });
    (0..20).for_each(|day| aged.day(day));
    aged.engine.set_retention(std::time::Duration::from_secs(5 * 86_400)).unwrap();
    let engine = Arc::new(aged.engine);
    let changing = Arc::downgrade(&engine);
    let hooked = crate::fail::hook(move |name| {
        // After the pass has planned what it drops.
        if name == "pass.planned" {
            changing.upgrade().unwrap().set_tiers("1h".parse().unwrap()).unwrap();
        }
    });
    engine.compact().unwrap();
    drop(hooked);
    assert_eq!(engine.view().raw_from(), i64::MIN, "there are no buckets of it yet");
    engine.compact().unwrap();
    assert!(engine.view().raw_from() > day(13));
    aged.engine = Arc::into_inner(engine).unwrap();
    aged.check("1h", TimeRange::new(day(-9), day(20)));
}
