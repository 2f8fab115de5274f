//! The tiers that the compactor chooses.

use std::sync::Arc;
use std::time::Duration;

use super::aging::{Aged, DAY, Ladder};
use super::stored_buckets;
use crate::Batch;
use crate::engine::tests::{SECOND, YEAR_2024, labels};
use crate::model::{Histogram, MatchOp, Matcher, Resolution, Span, TierId, TimeRange, Value};
use crate::rollup::{BucketColumns, Columns};
use crate::store::catalogue::{Choices, SeriesClass};
use crate::store::versions::Edit;

fn aged(retention_days: u64) -> Aged {
    Aged::new(&Ladder { retention_days, tiers: "auto", raw_from: 0, from: &[] })
}

/// Appends days of samples with a distance, and compacts after each.
fn days(aged: &mut Aged, days: std::ops::Range<i64>, seconds: i64) {
    for day in days {
        let start = YEAR_2024 + day * DAY;
        for series in 0..3 {
            aged.append(series, (start..start + DAY).step_by((seconds * SECOND) as usize));
        }
        aged.skip(1);
        aged.engine.flush().unwrap();
        aged.engine.compact().unwrap();
    }
}

/// Appends days of samples of each series with a distance of its own, and compacts after each.
fn mixed_days(aged: &mut Aged, days: std::ops::Range<i64>, seconds: [i64; 3]) {
    for day in days {
        let start = YEAR_2024 + day * DAY;
        for (series, seconds) in (0..).zip(seconds) {
            aged.append(series, (start..start + DAY).step_by((seconds * SECOND) as usize));
        }
        aged.skip(1);
        aged.engine.flush().unwrap();
        aged.engine.compact().unwrap();
    }
}

/// The buckets of a tier that are stored, and of those the ones that are omitted.
fn stored(aged: &Aged, name: &str) -> (usize, usize) {
    let all = stored_buckets(&aged.engine, name);
    (all.len(), all.iter().filter(|bucket| bucket.omitted).count())
}

const HOURS: usize = 24;

/// The number of buckets of an hour that a view returns of a series.
fn returned(aged: &Aged, series: u8, range: TimeRange) -> usize {
    let view = aged.engine.view();
    let any = [Matcher::new("job", MatchOp::Regex, ".+").unwrap()];
    let (found, plan) = view.select_buckets(&any, Resolution::parse("1h").unwrap(), range, 10).unwrap();
    let of_series = found.iter().find(|found| found.labels == labels(series)).unwrap();
    let mut buckets = BucketColumns::default();
    assert!(view.reader().read_buckets(&plan, of_series, Columns::NONE, &mut buckets).unwrap());
    buckets.len()
}

fn chosen(aged: &Aged) -> Vec<&'static str> {
    aged.engine.tiers().iter().map(|tier| tier.resolution.name()).collect()
}

#[test]
fn the_narrowest_tier_that_is_worth_its_bytes_is_built() {
    for (seconds, expected) in [(20, "1h"), (300, "6h"), (900, "1d")] {
        let mut aged = aged(0);
        days(&mut aged, 0..30, seconds);
        assert_eq!(chosen(&aged), [expected], "each {seconds} s");
        let [tier] = &aged.engine.tiers()[..] else { panic!("one tier") };
        let raw = aged.engine.stats().stored_chunk_bytes - tier.bytes;
        // A chunk of few buckets takes more for each, until it is merged with others.
        let at_most = if tier.buckets < 100 { raw / 2 } else { raw / 3 };
        assert!(tier.buckets > 0 && tier.bytes < at_most, "{} of {raw} bytes", tier.bytes);
        aged.check(expected, TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 30 * DAY));
    }
}

#[test]
fn native_histograms_are_measured_too() {
    let mut aged = aged(0);
    let mut counts = vec![0.0; 10];
    for day in 0..4 {
        let mut batch = Batch::new();
        for minute in day * 1440..(day + 1) * 1440 {
            // Without a pattern that chunks could use.
            let noise =
                |at: usize| (minute as u64 * 10 + at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
            counts.iter_mut().enumerate().for_each(|(at, count)| *count += noise(at) as f64);
            let histogram = Histogram {
                count: counts.iter().sum(),
                positive_spans: vec![Span { offset: 0, length: 10 }],
                positive_buckets: counts.clone(),
                ..Histogram::default()
            };
            let time = YEAR_2024 + minute * 60 * SECOND;
            batch.push(&labels(0), time, Value::Histogram(histogram.into()));
        }
        aged.engine.append(&batch).unwrap();
        aged.skip(1);
        aged.engine.flush().unwrap();
        aged.engine.compact().unwrap();
    }
    assert_eq!(chosen(&aged), ["1h"]);
    let [tier] = &aged.engine.tiers()[..] else { panic!("one tier") };
    let raw = aged.engine.stats().stored_chunk_bytes - tier.bytes;
    assert!(tier.buckets > 0 && tier.bytes < raw / 4, "{} of {raw} bytes", tier.bytes);
}

#[test]
fn no_tier_is_built_where_none_is_worth_it_and_one_that_was_begun_goes_on() {
    let mut aged = aged(0);
    days(&mut aged, 0..9, 7_200);
    assert!(chosen(&aged).is_empty(), "a day has twelve samples");
    days(&mut aged, 9..20, 20);
    let begun = chosen(&aged);
    assert_eq!(begun.len(), 1);
    days(&mut aged, 20..40, 7_200);
    assert_eq!(chosen(&aged), begun);
    let complete = aged.engine.tiers()[0].complete.unwrap();
    assert!(complete.1.as_nanos() >= YEAR_2024 + 38 * DAY, "{complete:?}");
    aged.check(begun[0], TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 40 * DAY));
}

#[test]
fn it_is_kept_as_long_as_raw_samples() {
    let mut aged = aged(10);
    days(&mut aged, 0..25, 20);
    let tier = aged.engine.tiers()[0].clone();
    assert_eq!(tier.keep.unwrap().as_secs(), 10 * 86_400);
    // Weeks are dropped as a whole.
    let from = tier.complete.unwrap().0.as_nanos();
    assert!((YEAR_2024 + 7 * DAY..=YEAR_2024 + 15 * DAY).contains(&from), "{tier:?}");
    assert!(aged.engine.view().raw_from() > YEAR_2024 + 13 * DAY);
}

#[test]
fn a_tier_that_was_named_keeps_its_history() {
    let mut aged = Aged::new(&Ladder { retention_days: 10, tiers: "1h", raw_from: 0, from: &[] });
    days(&mut aged, 0..30, 300);
    aged.engine.set_tiers("auto".parse().unwrap()).unwrap();
    days(&mut aged, 30..45, 20);
    assert!(aged.engine.view().raw_from() > YEAR_2024 + 33 * DAY);
    let tiers = aged.engine.tiers();
    assert_eq!((tiers.len(), tiers[0].keep), (1, None), "neither extended nor dropped");
    assert!(tiers[0].complete.unwrap().0.as_nanos() < YEAR_2024);
    aged.check("1h", TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 28 * DAY));
}

#[test]
fn each_class_of_series_has_the_narrowest_tier_that_is_worth_its_bytes() {
    let mut aged = aged(0);
    mixed_days(&mut aged, 0..40, [20, 300, 7_200]);
    assert_eq!(chosen(&aged), ["1h", "6h"]);
    let all = TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 40 * DAY);
    aged.check("1h", all);
    aged.check("6h", all);
    // The first sample is at a bound, so it has a bucket of its own. The last two days are open. The samples of the last
    // series are too few to be measured the first time.
    let (days, unmeasured) = (38, 9);
    let ((hourly, hourly_omitted), (six, six_omitted)) = (stored(&aged, "1h"), stored(&aged, "6h"));
    let stored_of_last = HOURS / 2 * unmeasured + 1;
    assert_eq!(hourly - hourly_omitted, HOURS * days + 1 + stored_of_last);
    assert_eq!(hourly_omitted, HOURS * days + 1 + HOURS / 2 * (days - unmeasured));
    assert_eq!(six - six_omitted, 2 * (HOURS / 6 * days + 1), "those of two");
    assert_eq!(six_omitted, HOURS / 6 * days + 1);
    let raw =
        aged.engine.stats().stored_chunk_bytes - aged.engine.tiers().iter().map(|t| t.bytes).sum::<u64>();
    let bytes: u64 = aged.engine.tiers().iter().map(|tier| tier.bytes).sum();
    assert!(bytes * 3 < raw, "{bytes} of {raw} bytes");
    assert!(aged.engine.verify().unwrap().is_clean());
    let omits = |series: u8| {
        let labels = labels(series);
        let one: Vec<Matcher> = labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
        let view = aged.engine.view();
        ["1h", "6h", "1d"].map(|name| view.omits(&one, Resolution::parse(name).unwrap()).unwrap())
    };
    assert_eq!([0, 1, 2].map(omits), [[false; 3], [true, false, false], [true, true, false]]);
    let jobs = aged.engine.shared.merger.pass(i64::MIN).tiers;
    assert!(jobs.iter().all(|job| job.finer.is_none()), "the narrow one does not have all");
}

#[test]
fn no_tier_is_begun_for_a_class_with_few_samples() {
    let mut aged = aged(0);
    mixed_days(&mut aged, 0..12, [5, 300, 7_200]);
    assert_eq!(chosen(&aged), ["1h"]);
}

#[test]
fn what_was_chosen_stays_after_a_restart_and_is_forgotten_with_the_tier() {
    let mut aged = aged(0);
    mixed_days(&mut aged, 0..12, [20, 300, 7_200]);
    let before = aged.engine.shared.versions.current_owned().choices.clone();
    let hourly = TierId::of(0, Resolution::parse("1h").unwrap());
    assert_eq!(before.omitted(hourly).map(|class| class.seconds()).collect::<Vec<_>>(), [256.0, 8_192.0]);
    aged.reopen();
    assert_eq!(aged.engine.shared.versions.current_owned().choices, before);
    mixed_days(&mut aged, 12..16, [20, 300, 7_200]);
    aged.check("1h", TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 16 * DAY));
    assert_eq!(stored(&aged, "1h").1, HOURS * 14 + 1 + HOURS / 2 * 5);
    aged.engine.set_tiers("none".parse().unwrap()).unwrap();
    aged.engine.drop_tier(hourly.resolution().unwrap()).unwrap();
    assert_eq!(aged.engine.shared.versions.current_owned().choices.omitted(hourly).count(), 0);
}

#[test]
fn late_samples_and_deletes_change_omitted_buckets() {
    let mut aged = aged(0);
    mixed_days(&mut aged, 0..20, [20, 300, 7_200]);
    let all = TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 20 * DAY);
    let omitted = stored(&aged, "1h").1;
    aged.append(1, [YEAR_2024 + 3 * DAY + 7 * SECOND].into_iter());
    aged.check("1h", all);
    aged.engine.flush().unwrap();
    aged.check("1h", all);
    assert_eq!(aged.repair()[0], 1);
    assert_eq!(stored(&aged, "1h").1, omitted - 1, "one of them is known now");
    let range = TimeRange::new(YEAR_2024 + 5 * DAY, YEAR_2024 + 5 * DAY + 5_000 * SECOND);
    aged.engine.delete(&[Matcher::new("job", MatchOp::Regex, ".+").unwrap()], range).unwrap();
    for series in 0..3 {
        aged.forget(series, range);
    }
    for step in ["deleted", "repaired", "merged"] {
        for name in ["1h", "6h"] {
            (0..3).for_each(|series| aged.check_series(name, series, all));
        }
        match step {
            "deleted" => drop(aged.repair()),
            _ => aged.engine.compact().unwrap(),
        }
    }
}

#[test]
fn a_tier_that_is_named_is_completed_before_samples_are_dropped() {
    for tiers in ["1h", "1h, 1d"] {
        let mut aged = aged(0);
        mixed_days(&mut aged, 0..30, [20, 300, 7_200]);
        assert!(stored(&aged, "1h").1 > 0);
        aged.engine.set_tiers(tiers.parse().unwrap()).unwrap();
        aged.engine.set_retention(Duration::from_secs(10 * 86_400)).unwrap();
        let merger = &aged.engine.shared.merger;
        for wide in &merger.pass(i64::MIN).tiers[1..] {
            // The narrow one is not complete yet.
            while merger.compactor().extend_tier(wide, YEAR_2024 + 30 * DAY).unwrap() {}
            assert!(stored(&aged, wide.resolution.name()).0 > 50);
        }
        aged.engine.compact().unwrap();
        assert_eq!(stored(&aged, "1h").1, 0, "all are complete");
        assert_eq!(aged.engine.tiers()[0].omits, []);
        assert!(aged.engine.view().raw_from() > YEAR_2024 + 15 * DAY, "samples are gone");
        for name in tiers.split(", ") {
            aged.check(name, TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 30 * DAY));
        }
    }
}

#[test]
fn omitted_buckets_go_with_their_samples() {
    let mut aged = aged(10);
    mixed_days(&mut aged, 0..30, [20, 300, 7_200]);
    let view = aged.engine.view();
    let from = view.raw_from() + 1;
    assert!(from > YEAR_2024 + 15 * DAY, "samples are gone");
    let begin = view.tiers()[0].range.start;
    assert!(begin < from - DAY, "a partition of the tier is a week");
    drop(view);
    for series in 0..3 {
        // The first bucket after it would be cut.
        aged.check_series("1h", series, TimeRange::new(from + 3_600 * SECOND, YEAR_2024 + 30 * DAY));
    }
    assert_eq!(returned(&aged, 1, TimeRange::new(begin, from - 3_600 * SECOND)), 0);
    // Of the next one, the sample at its end is left.
    assert_eq!(returned(&aged, 1, TimeRange::new(begin, from)), 1);
    assert!(returned(&aged, 0, TimeRange::new(begin, from)) > 0);
}

/// Sets the first generation of a tier's partition aside in which `time` is.
fn damage(aged: &Aged, tier: TierId, time: i64) {
    let damage = crate::Error::Corrupt { file: "chunks".into(), offset: 0, what: "a test".into() };
    let prefix = {
        let catalogue = aged.engine.shared.versions.current_owned();
        let span = TimeRange::inclusive(time, time);
        let mut found = catalogue.generations.partitions_in(tier, span, catalogue.layout());
        found.next().unwrap().generations[0].prefix
    };
    aged.engine.shared.versions.set_aside(prefix, &damage);
}

#[test]
fn a_partition_that_was_whole_is_computed_again_as_a_whole() {
    let mut aged = aged(0);
    mixed_days(&mut aged, 0..20, [20, 300, 7_200]);
    aged.engine.set_tiers("1h".parse().unwrap()).unwrap();
    aged.engine.compact().unwrap();
    assert_eq!(stored(&aged, "1h").1, 0, "all are complete");
    aged.engine.set_tiers("none".parse().unwrap()).unwrap();
    let hourly = TierId::of(0, Resolution::parse("1h").unwrap());
    damage(&aged, hourly, YEAR_2024 + 3 * DAY);
    aged.engine.compact().unwrap();
    assert_eq!(aged.engine.stats().generations_aside, 0, "computed again");
    aged.engine.set_tiers("1h".parse().unwrap()).unwrap();
    aged.engine.set_retention(Duration::from_secs(10 * 86_400)).unwrap();
    aged.engine.compact().unwrap();
    assert!(aged.engine.view().raw_from() > YEAR_2024 + 5 * DAY, "samples are gone");
    aged.check("1h", TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 20 * DAY));
}

#[test]
fn omitted_buckets_keep_what_damage_leaves_of_their_samples() {
    let mut aged = aged(0);
    mixed_days(&mut aged, 0..30, [20, 300, 7_200]);
    let midnight = YEAR_2024 + 5 * DAY;
    damage(&aged, TierId::RAW, midnight + DAY / 2);
    aged.engine.set_tiers("1h".parse().unwrap()).unwrap();
    aged.engine.set_retention(Duration::from_secs(10 * 86_400)).unwrap();
    aged.engine.compact().unwrap();
    aged.engine.compact().unwrap();
    assert!(aged.engine.view().raw_from() > midnight + DAY, "samples are gone");
    // Of its last samples, only the one at its end is damaged.
    let last_hour = TimeRange::new(midnight - 3_600 * SECOND, midnight);
    assert_eq!(returned(&aged, 1, last_hour), 1);
    for series in 0..3 {
        aged.check_series("1h", series, TimeRange::new(YEAR_2024 - DAY, last_hour.start));
        aged.check_series("1h", series, TimeRange::new(midnight + DAY, YEAR_2024 + 30 * DAY));
    }
}

#[test]
fn a_class_that_a_tier_omits_gets_the_next_wider_one() {
    let mut aged = aged(0);
    // It was not worth it when it was measured first.
    let mut decided = Choices::default();
    let hourly = TierId::of(0, Resolution::parse("1h").unwrap());
    decided.decide(hourly, SeriesClass::new(false, false, 4), false);
    let edit = Edit { choices: Some(Arc::new(decided)), ..Edit::default() };
    let shared = &aged.engine.shared;
    shared.versions.commit(&*shared.writer, |_| Ok(Some(edit))).unwrap();
    days(&mut aged, 0..12, 20);
    assert_eq!(chosen(&aged), ["6h"]);
    let (all, omitted) = stored(&aged, "6h");
    assert!(all > 0 && omitted == 0, "{omitted} of {all}");
}

#[test]
fn a_budget_leaves_the_buckets_of_all_series_when_samples_go() {
    for retention_days in [0, 100] {
        let mut aged = aged(retention_days);
        mixed_days(&mut aged, 0..20, [20, 300, 7_200]);
        assert!(stored(&aged, "1h").1 > 0);
        let used = aged.engine.budget().used_bytes;
        aged.engine.set_disk_bytes(used).unwrap();
        mixed_days(&mut aged, 20..40, [20, 300, 7_200]);
        assert!(aged.engine.view().raw_from() > YEAR_2024 + 10 * DAY, "samples are gone");
        assert_eq!(chosen(&aged), ["1h", "6h"]);
        for tier in aged.engine.tiers() {
            assert_eq!(tier.omits, [], "{}", tier.resolution);
            assert!(tier.complete.unwrap().1.as_nanos() >= YEAR_2024 + 38 * DAY, "{tier:?}");
            aged.check(tier.resolution.name(), TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 40 * DAY));
        }
    }
}

#[test]
fn a_tier_that_was_chosen_and_then_named_keeps_its_history() {
    let mut aged = aged(0);
    days(&mut aged, 0..10, 20);
    aged.engine.set_tiers("1h".parse().unwrap()).unwrap();
    aged.engine.set_retention(Duration::from_secs(10 * 86_400)).unwrap();
    days(&mut aged, 10..40, 20);
    assert!(aged.engine.view().raw_from() > YEAR_2024 + 28 * DAY, "samples are gone");
    aged.engine.set_tiers("auto".parse().unwrap()).unwrap();
    days(&mut aged, 40..44, 20);
    assert_eq!(aged.engine.tiers()[0].keep, None, "neither extended nor dropped");
    aged.check("1h", TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 38 * DAY));
}

#[test]
fn a_wide_tier_waits_for_the_buckets_that_the_narrow_one_omits() {
    let mut aged = aged(10);
    mixed_days(&mut aged, 0..30, [20, 300, 7_200]);
    aged.engine.set_tiers("1h, 1d".parse().unwrap()).unwrap();
    let merger = &aged.engine.shared.merger;
    let wide = merger.pass(i64::MIN).tiers[1];
    assert!(!merger.compactor().extend_tier(&wide, YEAR_2024 + 30 * DAY).unwrap());
    assert_eq!(stored(&aged, "1d").0, 0, "not all samples are left, and the narrow tier is not complete");
    aged.engine.compact().unwrap();
    let kept = TimeRange::new(aged.engine.view().raw_from() + 1 + DAY, YEAR_2024 + 30 * DAY);
    (0..3).for_each(|series| aged.check_series("1d", series, kept));
    assert_eq!(aged.engine.view().tiers()[1].range.end, YEAR_2024 + 28 * DAY);
}
