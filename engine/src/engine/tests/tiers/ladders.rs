//! Series that age through ladders of their own, in one database.

use std::time::Duration;

use super::aging::{Aged, DAY};
use crate::compact::unapplied_trims;
use crate::engine::tests::{SECOND, YEAR_2024, labels, options};
use crate::model::{MatchOp, Matcher, Resolution, TierId, TimeRange, Timestamp, Value};
use crate::store::cursors::{BucketPieces, ChunkCursors};
use crate::{Batch, Engine, Kept, Ladder, Options};

const DAYS: i64 = 60;

pub(super) fn ladder(job: &str, steps: &str) -> Ladder {
    Ladder::new(vec![Matcher::equal("job", job)], steps).unwrap()
}

fn database(ladders: Vec<Ladder>) -> Aged {
    Aged::with_options(Options {
        partition_width: Duration::from_secs(86_400),
        retention: Duration::from_secs(50 * 86_400),
        tiers: "1h 55d, 1d".parse().unwrap(),
        ladders,
        ..options()
    })
}

/// Days for which each series keeps raw samples and the tiers.
const KEPT: [[(&str, i64); 4]; 3] = [
    [("", 15), ("5m", 30), ("1h", 100), ("1d", 15)],
    [("", 3), ("5m", 3), ("1h", 3), ("1d", 40)],
    [("", 50), ("5m", 50), ("1h", 55), ("1d", 100)],
];

/// The times of the first and the last stored sample, or bucket, of a series.
pub(super) fn stored(aged: &Aged, tier: TierId, series: u8) -> Option<(Timestamp, Timestamp)> {
    let (view, job) = (aged.engine.view(), [Matcher::equal("job", &format!("job{series}"))]);
    let times = match tier.resolution() {
        None => {
            let found = view.select(&job, TimeRange::ALL, 1).unwrap();
            found.first().map(|series| view.read(series, TimeRange::ALL).unwrap().timestamps)?
        }
        Some(_) => {
            // Those of the tier alone, and not what could be computed.
            let catalogue = aged.engine.shared.versions.current_owned();
            let kv = aged.engine.shared.versions.kv();
            let mut cursors = ChunkCursors::scanning(kv);
            let mut buckets = Vec::new();
            for partition in catalogue.generations.partitions().filter(|it| it.id.tier == tier) {
                for generation in &partition.generations {
                    let reader = crate::store::generation::GenerationReader::new(kv, generation);
                    let ids = crate::index::select(&reader, &job, &crate::budget::Work::unbounded()).unwrap();
                    let ids: Vec<u64> = ids.into_iter().collect();
                    let (one, columns) = (std::slice::from_ref(generation), crate::rollup::Columns::TIMES);
                    let mut pieces = BucketPieces::new(one, &ids, TimeRange::ALL, columns);
                    cursors.read_piece(&mut pieces, usize::MAX, &mut buckets).unwrap();
                }
            }
            let mut ends: Vec<Timestamp> = buckets.iter().map(|bucket| bucket.end).collect();
            ends.sort_unstable();
            ends
        }
    };
    Some((*times.first()?, *times.last()?))
}

pub(super) fn tier(name: &str) -> TierId {
    Resolution::parse(name).map_or(TierId::RAW, |resolution| TierId::of(0, resolution))
}

/// What must be kept of a tier is there, and not more than a partition of what need not.
fn check_kept(aged: &Aged, now: Timestamp) {
    let layout = aged.engine.shared.versions.layout();
    for (series, kept) in (0u8..).zip(KEPT) {
        for (name, days) in kept {
            let (horizon, tier) = (now - days * DAY, tier(name));
            let Some((first, _)) = stored(aged, tier, series) else {
                assert!(name == "1d" || name == "1h", "{name} has had time to begin");
                continue;
            };
            assert!(first <= horizon.max(YEAR_2024) + DAY, "series {series} lacks {name}: from {first}");
            let oldest = horizon - layout.width(tier) - DAY;
            assert!(first > oldest, "series {series} keeps {name} too long: from {first}, not {oldest}");
            if let Some(resolution) = tier.resolution() {
                let from = resolution.ceil(horizon).max(YEAR_2024 - DAY);
                aged.check_series(name, series, TimeRange::new(from, now));
            }
        }
    }
}

fn aged() -> Aged {
    let mut aged = database(vec![ladder("job0", "raw 15d, 5m 30d, 1h"), ladder("job1", "raw 3d, 1d 40d")]);
    for day in 0..DAYS {
        aged.day(day);
        if day % 7 == 3 {
            check_kept(&aged, YEAR_2024 + (day + 1) * DAY);
        }
    }
    check_kept(&aged, YEAR_2024 + DAYS * DAY);
    aged
}

#[test]
fn each_series_ages_through_its_own_ladder() {
    let mut aged = aged();
    let now = YEAR_2024 + DAYS * DAY;
    let trims = aged.engine.shared.versions.current_owned().trims.clone();
    aged.reopen();
    assert_eq!(aged.engine.shared.versions.current_owned().trims, trims);
    check_kept(&aged, now);
    let raw = |series| stored(&aged, TierId::RAW, series).map(|(first, _)| (first - YEAR_2024) / DAY);
    assert_eq!([0, 1, 2].map(raw), [Some(44), Some(56), Some(9)]);
    assert!(trims.values().all(|trim| trim.applied == trim.until), "{trims:?}");
    let verified = aged.engine.verify().unwrap();
    assert!(verified.is_clean(), "{verified:?}");

    // Each selection sees what is there for its series.
    let view = aged.engine.view();
    let of = |job: &str| view.raw_from_of(&[&[Matcher::equal("job", job)]], i64::MIN).unwrap();
    let begun = |job: &str| (of(job) + 1 - YEAR_2024) / DAY;
    assert_eq!(["job0", "job1", "job2"].map(begun), [44, 56, 9]);
    let all = [Matcher::new("job", crate::model::MatchOp::Regex, "job[02]").unwrap()];
    assert_eq!(view.raw_from_of(&[&all], i64::MIN).unwrap(), of("job0"), "the latest of those that match");
    let job1 = [Matcher::equal("job", "job1")];
    assert_eq!(view.raw_from_of(&[&job1], now - DAY).unwrap(), view.raw_from(), "none of a day ago");
    let from = |job: &str, at: usize| {
        let tiers = view.tiers_of(&[&[Matcher::equal("job", job)]], i64::MIN).unwrap();
        (now - tiers[at].range.start).div_euclid(DAY)
    };
    assert_eq!([from("job0", 0), from("job1", 0)], [31, 4]);
    assert!(from("job0", 1) >= 60 && from("job2", 1) <= 62 && from("job1", 1) <= 10);
}

#[test]
fn late_samples_change_one_bucket_where_the_series_keeps_them() {
    let mut aged = aged();
    let now = YEAR_2024 + DAYS * DAY;
    for (series, kept) in [(0u8, 15), (1, 3), (2, 50)] {
        for age in [60 * SECOND, 3_600 * SECOND, 3 * DAY, 12 * DAY, 40 * DAY] {
            let time = now - age + 7 * SECOND;
            if age > kept * DAY {
                let mut batch = Batch::new();
                batch.push(&labels(series), time, Value::Float(1e9));
                assert_eq!(aged.engine.append(&batch).unwrap().too_old, 1, "series {series}, {age} ns");
                continue;
            }
            aged.append(series, [time].into_iter());
            check_kept(&aged, now);
            aged.engine.flush().unwrap();
            check_kept(&aged, now);
            let tiers = aged.engine.view().tiers();
            let is_stored = |tier: &crate::TierSpan| tier.range.contains(tier.resolution.ceil(time));
            let changed: Vec<u64> = tiers.iter().map(|tier| u64::from(is_stored(tier))).collect();
            assert_eq!(aged.repair(), changed, "series {series}, {age} ns late");
            check_kept(&aged, now);
            aged.engine.compact().unwrap();
            check_kept(&aged, now);
        }
    }
    let verified = aged.engine.verify().unwrap();
    assert!(verified.is_clean(), "{verified:?}");
}

#[test]
fn deletes_see_what_is_gone_of_their_series() {
    let mut aged = aged();
    let now = YEAR_2024 + DAYS * DAY;
    let end = YEAR_2024 + 20 * DAY;
    let part = TimeRange::new(end - DAY + 700 * SECOND, end);
    let job = |series: usize| [Matcher::equal("job", &format!("job{series}"))];
    let refused = aged.engine.delete(&job(0), part).expect_err("it cuts an hour").to_string();
    assert!(refused.contains("begin or end it at"), "{refused}");
    let whole = TimeRange::new(end - DAY, end);
    for (series, range) in [(2, part), (0, whole)] {
        aged.engine.delete(&job(series), range).expect("samples are there, or no bucket is cut");
        aged.forget(series, range);
        check_kept(&aged, now);
        aged.engine.flush().unwrap();
        aged.engine.compact().unwrap();
        check_kept(&aged, now);
    }
    assert_eq!(aged.engine.stats().tombstones, 0);
}

#[test]
fn ladders_that_change_drop_more_and_bring_nothing_back() {
    let mut aged = aged();
    let raw =
        |aged: &Aged, series| stored(aged, TierId::RAW, series).map(|(first, _)| (first - YEAR_2024) / DAY);
    let bad = aged.engine.set_ladders(vec![ladder("job0", "raw 1h")]).expect_err("less than a partition");
    assert!(bad.to_string().contains("{job=\"job0\"} -> raw 1h keeps raw samples shorter"), "{bad}");
    let longer = ladder("job1", "raw 30d, 1d 40d");
    aged.engine.set_ladders(vec![longer, ladder("job2", "raw 20d, 1h, 1d")]).unwrap();
    aged.day(DAYS);
    assert_eq!([0, 1, 2].map(|series| raw(&aged, series)), [Some(44), Some(56), Some(40)]);
    // The first has no ladder now, and raw samples are kept for 50 days.
    (DAYS + 1..DAYS + 12).for_each(|day| aged.day(day));
    assert_eq!([0, 1, 2].map(|series| raw(&aged, series)), [Some(44), Some(56), Some(51)]);
    let until = YEAR_2024 + (DAYS + 12) * DAY;
    aged.check_series("1h", 2, TimeRange::new(YEAR_2024 + 20 * DAY, until));
    aged.check_series("1h", 0, TimeRange::new(YEAR_2024 + 25 * DAY, until));
    assert!(aged.engine.verify().unwrap().is_clean());
}

#[test]
fn samples_written_after_a_trim_are_kept_as_long_as_the_ladder_says_then() {
    let mut aged = aged();
    let raw =
        |aged: &Aged, series| stored(aged, TierId::RAW, series).map(|(first, _)| (first - YEAR_2024) / DAY);
    let longer = ladder("job1", "raw 30d, 1d 40d");
    let tier = |name: &str| TierId::of(0, Resolution::parse(name).unwrap());
    let until = YEAR_2024 + DAYS * DAY;
    let old = until - 8 * DAY + 7 * SECOND;
    aged.engine.set_ladders(vec![longer]).unwrap();
    let mut batch = Batch::new();
    batch.push(&labels(1), old, Value::Float(1e9));
    assert_eq!(aged.engine.append(&batch).unwrap().samples, 1);
    // No bucket includes it, because the others of its time are gone.
    let hours = TimeRange::new(until - 8 * DAY, until);
    for _ in 0..3 {
        aged.check_series("1h", 1, hours);
        aged.engine.flush().unwrap();
        aged.check_series("1h", 1, hours);
        aged.engine.compact().unwrap();
        aged.check_series("1h", 1, hours);
        assert_eq!(stored(&aged, TierId::RAW, 1).map(|(first, _)| first), Some(old));
    }
    (DAYS..DAYS + 24).for_each(|day| aged.day(day));
    let until = until + 24 * DAY;
    assert_eq!(raw(&aged, 1), Some(56), "after 30 days");
    // A tier that is new has whole buckets, and none of series without what they are computed from.
    let tiers = "10m 50d, 1h 55d, 6h, 1d".parse().unwrap();
    aged.engine.set_kept(Kept { tiers, ladders: Vec::new(), ..aged.engine.kept() }).unwrap();
    aged.day(DAYS + 24);
    for (name, width) in [("10m", DAY / 144), ("6h", DAY / 4)] {
        for series in [0, 1] {
            let (first, _) = stored(&aged, tier(name), series).expect("it is built");
            aged.check_series(name, series, TimeRange::new(first - width, until));
        }
    }
    // When nothing is younger than what has been dropped of all series, the trims are forgotten.
    aged.engine.set_ladders(Vec::new()).unwrap();
    aged.skip(120);
    (200..201).for_each(|day| aged.day(day));
    aged.engine.compact().unwrap();
    let trims = aged.engine.shared.versions.current_owned().trims.clone();
    assert!(trims.values().all(|trim| !trim.tier.is_raw()), "{trims:?}");
    let verified = aged.engine.verify().unwrap();
    assert!(verified.is_clean(), "{verified:?}");
}

#[test]
fn a_trim_of_a_ladder_that_is_gone_is_forgotten_when_the_others_have_reached_it() {
    let mut aged = Aged::with_options(Options {
        partition_width: Duration::from_secs(86_400),
        tiers: "1h".parse().unwrap(),
        ladders: vec![ladder("job1", "raw 5d, 1h")],
        ..options()
    });
    (0..12).for_each(|day| aged.day(day));
    let trims = |aged: &Aged| {
        let catalogue = aged.engine.shared.versions.current_owned();
        catalogue.trims.values().map(|trim| trim.series.matchers.clone()).collect::<Vec<_>>()
    };
    assert_eq!(trims(&aged), [vec![Matcher::equal("job", "job1")]]);
    let both = vec![Matcher::new("job", MatchOp::Regex, "job1|job2").unwrap()];
    let wide = |steps: &str| vec![Ladder::new(both.clone(), steps).unwrap()];
    // For a longer time, the samples that are gone must stay known.
    aged.engine.set_ladders(wide("raw 9d, 1h")).unwrap();
    aged.day(12);
    assert_eq!(trims(&aged).len(), 2);
    aged.engine.set_ladders(wide("raw 4d, 1h")).unwrap();
    (13..15).for_each(|day| aged.day(day));
    assert_eq!(trims(&aged), std::slice::from_ref(&both));
    aged.check("1h", TimeRange::new(YEAR_2024, YEAR_2024 + 15 * DAY));
    let verified = aged.engine.verify().unwrap();
    assert!(verified.is_clean(), "{verified:?}");
    // All other samples are kept for ever.
    aged.engine.set_ladders(Vec::new()).unwrap();
    (15..17).for_each(|day| aged.day(day));
    assert_eq!(trims(&aged), [both]);
}

/// It is in a partition that the trim has been applied to already.
#[test]
fn a_late_sample_that_comes_while_a_trim_is_applied_is_dropped_too() {
    let keep = |days: u64| vec![ladder("job1", &format!("raw {days}d"))];
    let options = Options {
        partition_width: Duration::from_secs(86_400),
        tiers: "none".parse().unwrap(),
        ladders: keep(5),
        ..options()
    };
    let engine = Engine::in_memory(options).unwrap();
    let append = |series: u8, times: &mut dyn Iterator<Item = i64>| {
        let mut batch = Batch::new();
        times.for_each(|time| batch.push(&labels(series), YEAR_2024 + time, Value::Float(1.0)));
        engine.append(&batch).unwrap();
        engine.flush().unwrap();
    };
    let hours = |from: i64, to: i64| (from * 24..to * 24).map(|hour| hour * 3_600 * SECOND);
    append(0, &mut hours(1, 8));
    append(1, &mut hours(0, 6));
    engine.compact().unwrap();
    assert_eq!(engine.stats().stored_samples, 7 * 24 + 3 * 24);
    engine.set_ladders(keep(3)).unwrap();
    let merger = &engine.shared.merger;
    let expire = |days: i64| merger.expire(&merger.pass(YEAR_2024 + days * DAY)).unwrap();
    expire(8);
    let catalogue = engine.shared.versions.current_owned();
    let first = catalogue.layout().partition(TierId::RAW, YEAR_2024 + DAY / 2);
    let [number] = unapplied_trims(&catalogue)[..] else { panic!("one trim") };
    let mut has_come = false;
    let mut goes_on = || {
        if !std::mem::replace(&mut has_come, true) {
            engine.set_ladders(keep(30)).unwrap();
            append(1, &mut [DAY / 2].into_iter());
            merger.compactor().merge(&[first]).unwrap();
            engine.set_ladders(keep(3)).unwrap();
            // Another pass: all is past the retention now.
            expire(9);
        }
        true
    };
    merger.compactor().apply_trim(number, &[], &mut goes_on).unwrap();
    engine.compact().unwrap();
    assert_eq!(engine.stats().stored_samples, 7 * 24, "those of the other series");
}
