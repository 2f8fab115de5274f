//! Series of which less is left than of others, where tiers, deletes, damage and late samples meet.

use std::time::Duration;

use super::aging::{Aged, DAY};
use super::ladders::{ladder, stored, tier};
use crate::engine::tests::{SECOND, YEAR_2024, labels, options};
use crate::model::{Matcher, TierId, TimeRange, Value};
use crate::{Batch, Error, Kept, Ladder, Options};

const DAY_S: u64 = 86_400;

fn database(days: u64, tiers: &str, ladders: Vec<Ladder>) -> Options {
    Options {
        partition_width: Duration::from_secs(DAY_S),
        retention: Duration::from_secs(days * DAY_S),
        tiers: tiers.parse().unwrap(),
        ladders,
        ..options()
    }
}

/// The first day of raw samples of a series.
fn raw_from(aged: &Aged, series: u8) -> Option<i64> {
    stored(aged, TierId::RAW, series).map(|(first, _)| (first - YEAR_2024) / DAY)
}

fn append_one(aged: &Aged, series: u8, time: i64) {
    let mut batch = Batch::new();
    batch.push(&labels(series), time, Value::Float(1e9));
    assert_eq!(aged.engine.append(&batch).unwrap().too_old, 0);
}

#[test]
fn a_new_narrow_tier_does_not_begin_where_samples_are_gone() {
    let mut aged = Aged::with_options(database(50, "1h", vec![ladder("job1", "raw 3d, 1h")]));
    (0..24).for_each(|day| aged.day(day));
    let whole = TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 23 * DAY);
    aged.check_series("1h", 1, whole);
    let (tiers, longer) = ("5m 60d, 1h".parse().unwrap(), vec![ladder("job1", "raw 30d, 5m 60d, 1h")]);
    let kept = Kept { tiers, ladders: longer, ..aged.engine.kept() };
    aged.engine.set_kept(kept).unwrap();
    aged.day(24);
    aged.day(25);
    aged.check_series("1h", 1, whole);
    let begin = |job: &str| {
        let tiers = aged.engine.view().tiers_of(&[&[Matcher::equal("job", job)]], i64::MIN).unwrap();
        (tiers[0].range.start - YEAR_2024).div_euclid(DAY)
    };
    assert_eq!((begin("job0"), begin("job1")), (-1, 20), "5m");
    // The bucket of a late sample cannot be computed, from samples or from 5m, and stays.
    append_one(&aged, 1, YEAR_2024 + 10 * DAY + 7 * SECOND);
    for _ in 0..2 {
        aged.engine.flush().unwrap();
        aged.check_series("1h", 1, whole);
        aged.engine.compact().unwrap();
        aged.check_series("1h", 1, whole);
    }
}

#[test]
fn late_samples_go_when_the_ladder_says() {
    let of = |keep: &str| vec![ladder("job1", keep)];
    let mut aged = Aged::with_options(database(0, "none", of("raw 3d")));
    (0..10).for_each(|day| aged.day(day));
    aged.engine.set_ladders(of("raw 9d")).unwrap();
    let old = YEAR_2024 + 3 * DAY + 7 * SECOND;
    aged.append(1, [old].into_iter());
    aged.engine.flush().unwrap();
    aged.engine.compact().unwrap();
    assert_eq!(stored(&aged, TierId::RAW, 1).map(|(first, _)| first), Some(old));
    (10..30).for_each(|day| aged.day(day));
    assert_eq!(raw_from(&aged, 1), Some(20), "nine days are kept");
}

#[test]
fn samples_that_were_in_memory_when_a_trim_advanced_go_with_the_next() {
    let mut aged = Aged::with_options(database(0, "none", vec![ladder("job1", "raw 3d")]));
    (0..10).for_each(|day| aged.day(day));
    let now = YEAR_2024 + 10 * DAY;
    append_one(&aged, 1, now - 3 * DAY + 60 * SECOND);
    for day in 1..=2 {
        aged.skip(1);
        aged.append(0, [now + day * DAY - 60 * SECOND].into_iter());
        aged.engine.compact().unwrap();
    }
    aged.engine.flush().unwrap();
    (12..40).for_each(|day| aged.day(day));
    assert_eq!(raw_from(&aged, 1), Some(36), "three days are kept");
}

#[test]
fn a_damaged_partition_is_computed_again_for_the_series_that_have_samples() {
    let damage = Error::Corrupt { file: "chunks".into(), offset: 0, what: "a test".into() };
    let mut aged = Aged::with_options(database(30, "1h", vec![ladder("job1", "raw 3d, 1h")]));
    (0..20).for_each(|day| aged.day(day));
    let span = TimeRange::new(YEAR_2024 + 8 * DAY, YEAR_2024 + 9 * DAY);
    let prefix = {
        let catalogue = aged.engine.shared.versions.current_owned();
        let mut found = catalogue.generations.partitions_in(tier("1h"), span, catalogue.layout());
        found.next().unwrap().generations[0].prefix
    };
    aged.engine.shared.versions.set_aside(prefix, &damage);
    (20..70).for_each(|day| aged.day(day));
    assert_eq!(aged.engine.stats().generations_aside, 0);
    aged.check_series("1h", 0, span);
    aged.check_series("1h", 2, TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 68 * DAY));
}

#[test]
fn a_narrow_tier_is_not_trimmed_before_the_samples() {
    // Partitions of samples are wider than those of the tier.
    let week = Duration::from_secs(7 * DAY_S);
    let of_weeks = database(50, "5m 50d, 1h", vec![ladder("job1", "raw 20d, 1h")]);
    let mut aged = Aged::with_options(Options { partition_width: week, ..of_weeks });
    let job1 = [Matcher::equal("job", "job1")];
    for day in 0..45 {
        aged.day(day);
        let view = aged.engine.view();
        let (raw, tiers) =
            (view.raw_from_of(&[&job1], i64::MIN).unwrap(), view.tiers_of(&[&job1], i64::MIN).unwrap());
        let narrow = tiers.first().filter(|tier| tier.resolution.name() == "5m");
        assert!(narrow.is_none_or(|tier| tier.range.start <= raw.max(YEAR_2024 - DAY) + 1), "day {day}");
    }
    let raw = aged.engine.view().raw_from_of(&[&job1], i64::MIN).unwrap();
    assert!(raw > YEAR_2024 + 7 * DAY);
    let whole = TimeRange::new(YEAR_2024 + 2 * DAY, YEAR_2024 + 44 * DAY);
    let range = TimeRange::new(raw + DAY + 700 * SECOND, raw + 2 * DAY);
    aged.engine.delete(&job1, range).expect("samples are there");
    aged.forget(1, range);
    for _ in 0..2 {
        aged.check_series("1h", 1, whole);
        aged.engine.flush().unwrap();
        aged.engine.compact().unwrap();
    }
    aged.check_series("1h", 1, whole);
}

#[cfg(feature = "rocksdb")]
#[test]
fn a_view_does_not_make_the_budget_drop_more() {
    let left = |held: bool| {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { memory_bytes: 256 << 20, chunk_samples: 1024, ..options() };
        let engine = crate::Engine::open(dir.path(), options).unwrap();
        let mut random = crate::engine::tests::random::Random(1);
        for minute in 0..30 {
            let mut batch = Batch::new();
            for at in 0..20_000 {
                let value = f64::from_bits((random.next() >> 12) | 0x3ff0_0000_0000_0000);
                batch.push(
                    &labels(0),
                    YEAR_2024 + minute * 60 * SECOND + at * 3_000_000,
                    Value::Float(value),
                );
            }
            engine.append(&batch).unwrap();
            engine.flush().unwrap();
        }
        engine.compact().unwrap();
        let used = engine.budget().used_bytes;
        let view = held.then(|| engine.view());
        engine.set_disk_bytes(used * 8 / 10).unwrap();
        (0..6).for_each(|_| engine.compact().unwrap());
        drop(view);
        let catalogue = engine.shared.versions.current_owned();
        let raw = catalogue.generations.partitions().filter(|partition| partition.id.tier.is_raw()).count();
        engine.close().unwrap();
        raw
    };
    let without = left(false);
    assert!((20..30).contains(&without), "{without} of 30");
    assert_eq!(left(true), without);
}
