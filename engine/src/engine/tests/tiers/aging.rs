//! Sixty days of samples that age through three sets of tiers, beside an engine that keeps everything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{read, shown};
use crate::clock::ManualClock;
use crate::engine::tests::{SECOND, YEAR_2024, labels, options};
use crate::model::{MatchOp, Matcher, Resolution, TierId, TimeRange, Value};
use crate::rollup::{Bucket, BucketColumns, Builder, Extras};
use crate::store::memory::MemoryKv;
use crate::{Batch, Engine, Options};

pub(super) const DAY: i64 = 86_400 * SECOND;
const DAYS: i64 = 60;
const SERIES: u8 = 3;
const STEP: i64 = 300 * SECOND;

/// What one set of tiers should look like after 60 days.
pub(super) struct Ladder {
    pub retention_days: u64,
    pub tiers: &'static str,
    /// The first day of raw samples.
    pub raw_from: i64,
    /// For each tier, the first day of buckets at the latest, and the days of its partitions.
    pub from: &'static [(&'static str, i64, i64)],
}

const LADDERS: [Ladder; 4] = [
    Ladder {
        retention_days: 0,
        tiers: "5m, 1h, 1d",
        raw_from: 0,
        from: &[("5m", 0, 1), ("1h", 0, 7), ("1d", 0, 112)],
    },
    Ladder { retention_days: 15, tiers: "5m 30d, 1h", raw_from: 45, from: &[("5m", 30, 1), ("1h", 0, 7)] },
    Ladder { retention_days: 50, tiers: "1h 55d, 1d", raw_from: 10, from: &[("1h", 5, 7), ("1d", 0, 112)] },
    // Raw samples outlive the narrow tier, from which the wide one is then not repaired.
    Ladder { retention_days: 0, tiers: "5m 30d, 1h", raw_from: 0, from: &[("5m", 30, 1), ("1h", 0, 7)] },
];

pub(super) struct Aged {
    pub engine: Engine,
    clock: Arc<ManualClock>,
    samples: Vec<BTreeMap<i64, f64>>,
    kv: Arc<MemoryKv>,
    options: Options,
    dir: tempfile::TempDir,
}

impl Aged {
    pub fn new(ladder: &Ladder) -> Aged {
        Aged::with_partitions(ladder, 86_400)
    }

    fn with_partitions(ladder: &Ladder, seconds: u64) -> Aged {
        Aged::with_options(Options {
            partition_width: Duration::from_secs(seconds),
            retention: Duration::from_secs(ladder.retention_days * 86_400),
            tiers: ladder.tiers.parse().unwrap(),
            ..options()
        })
    }

    pub fn with_options(options: Options) -> Aged {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(YEAR_2024));
        let options = Options { chunk_samples: 1024, ..options };
        let kv = Arc::new(MemoryKv::default());
        let engine = Engine::open_over(dir.path(), kv.clone(), options.clone(), clock.clone()).unwrap();
        Aged { engine, clock, samples: vec![BTreeMap::new(); usize::from(SERIES)], kv, options, dir }
    }

    /// Closes the database and opens it again.
    pub fn reopen(&mut self) {
        self.engine.close().unwrap();
        let (kv, options, clock) = (self.kv.clone(), self.options.clone(), self.clock.clone());
        self.engine = Engine::open_over(self.dir.path(), kv, options, clock).unwrap();
    }

    pub fn append(&mut self, series: u8, times: impl Iterator<Item = i64>) {
        let mut batch = Batch::new();
        for time in times {
            // Without a pattern that chunks could use.
            let noise = (time / SECOND).unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
            let value = noise as f64 + f64::from(series) / 8.0;
            batch.push(&labels(series), time, Value::Float(value));
            self.samples[usize::from(series)].insert(time, value);
        }
        self.engine.append(&batch).unwrap();
    }

    /// Removes what a delete removes.
    pub fn forget(&mut self, series: usize, range: TimeRange) {
        self.samples[series].retain(|time, _| !range.contains(*time));
    }

    /// Lets days pass without samples.
    pub fn skip(&mut self, days: u64) {
        self.clock.advance(Duration::from_secs(days * 86_400));
    }

    pub fn day(&mut self, day: i64) {
        let start = YEAR_2024 + day * DAY;
        for series in 0..SERIES {
            self.append(series, (start..start + DAY).step_by(STEP as usize));
        }
        self.clock.advance(Duration::from_nanos(DAY as u64));
        self.engine.flush().unwrap();
        self.engine.compact().unwrap();
    }

    /// Repairs the tiers, and returns how many buckets of each were computed again.
    pub fn repair(&self) -> Vec<u64> {
        let jobs = self.engine.shared.merger.pass(i64::MIN).tiers;
        let compactor = self.engine.shared.compactor();
        jobs.iter().map(|job| compactor.repair_tier(job, &mut || true).unwrap()).collect()
    }

    /// The buckets that are stored for a tier.
    fn stored(&self, name: &str) -> u64 {
        let catalogue = self.engine.shared.versions.current_owned();
        let tier = TierId::of(0, Resolution::parse(name).unwrap());
        let partitions = catalogue.generations.partitions().filter(|partition| partition.id.tier == tier);
        partitions.flat_map(|partition| &partition.generations).map(|g| g.record.samples).sum()
    }

    /// Compares the buckets of a tier in a range with those of all samples that were ever written.
    pub fn check(&self, name: &str, range: TimeRange) {
        let resolution = Resolution::parse(name).unwrap();
        let view = self.engine.view();
        let any = [Matcher::new("job", MatchOp::Regex, ".+").unwrap()];
        let (found, _) = view.select_buckets(&any, resolution, range, 10).unwrap();
        assert_eq!(found.len(), usize::from(SERIES), "{name}");
        (0..SERIES).for_each(|series| self.check_series(name, series, range));
    }

    /// The same for one series.
    pub fn check_series(&self, name: &str, series: u8, range: TimeRange) {
        let resolution = Resolution::parse(name).unwrap();
        let (view, samples) = (self.engine.view(), &self.samples[usize::from(series)]);
        let any = [Matcher::new("job", MatchOp::Regex, ".+").unwrap()];
        let (found, plan) = view.select_buckets(&any, resolution, range, 10).unwrap();
        let mut builder = Builder::new(resolution.width_ns(), Extras::ALL);
        let mut expected = Vec::new();
        samples.iter().for_each(|(&time, &value)| builder.push(time, value, 0, &mut expected));
        builder.finish(&mut expected);
        let of_series = found.iter().find(|found| found.labels == labels(series)).unwrap();
        let mut buckets = BucketColumns::default();
        assert!(read(&view, &plan, of_series, &mut buckets));
        let shown = |bucket: &Bucket| shown(bucket, buckets.held());
        let expected: Vec<_> = expected.iter().filter(|b| plan.range().contains(b.end)).map(shown).collect();
        let buckets: Vec<_> = buckets.buckets().map(|bucket| shown(&bucket)).collect();
        let differ = buckets.iter().zip(&expected).find(|(found, expected)| found != expected);
        assert_eq!(differ, None, "{name}, series {series}");
        assert_eq!(buckets.len(), expected.len(), "{name}, series {series}");
    }
}

#[test]
fn sixty_days_age_through_tiers() {
    for ladder in &LADDERS {
        let mut aged = Aged::new(ladder);
        (0..DAYS).for_each(|day| aged.day(day));
        let end = YEAR_2024 + DAYS * DAY;
        let view = aged.engine.view();
        let raw_from = view.raw_from().max(YEAR_2024);
        // The last instant that was dropped.
        let expired = (raw_from + 1 - YEAR_2024) / DAY;
        assert!((ladder.raw_from - 1..=ladder.raw_from).contains(&expired), "{}: {expired}", ladder.tiers);
        for ((name, day, partition), tier) in ladder.from.iter().zip(view.tiers()) {
            assert_eq!(tier.resolution.name(), *name);
            let first = (tier.range.start - YEAR_2024).div_euclid(DAY);
            assert!(
                (day - partition..=*day).contains(&first),
                "{name} of {}: from day {first}",
                ladder.tiers
            );
            let kept = tier.range.start.max(YEAR_2024 - DAY);
            aged.check(name, TimeRange::new(kept, end));
        }
        drop(view);
        late_samples_change_one_bucket_of_each_tier(&mut aged, ladder);
        deletes_change_the_buckets_that_they_touch(&mut aged, ladder);
        deletes_remove_whole_buckets_of_dropped_samples(&mut aged, ladder);
        assert!(aged.engine.verify().unwrap().is_clean(), "{}", ladder.tiers);
    }
}

fn check_all(aged: &Aged) {
    for tier in aged.engine.view().tiers() {
        let kept = tier.range.start.max(YEAR_2024 - DAY);
        aged.check(tier.resolution.name(), TimeRange::new(kept, YEAR_2024 + DAYS * DAY));
    }
}

fn late_samples_change_one_bucket_of_each_tier(aged: &mut Aged, ladder: &Ladder) {
    let end = YEAR_2024 + DAYS * DAY;
    for age in [60 * SECOND, 3_600 * SECOND, 3 * DAY, 40 * DAY] {
        if ladder.retention_days > 0 && age > DAY * (ladder.retention_days as i64 - 1) {
            continue;
        }
        let time = end - age + 7 * SECOND;
        aged.append(1, [time].into_iter());
        check_all(aged);
        aged.engine.flush().unwrap();
        check_all(aged);
        let closed = aged.engine.view().tiers();
        let is_stored = |tier: &crate::TierSpan| tier.range.contains(tier.resolution.ceil(time));
        let changed: Vec<u64> = closed.iter().map(|tier| u64::from(is_stored(tier))).collect();
        assert_eq!(aged.repair(), changed, "{}, {age} ns late", ladder.tiers);
        check_all(aged);
        aged.engine.compact().unwrap();
        check_all(aged);
    }
}

fn deletes_change_the_buckets_that_they_touch(aged: &mut Aged, ladder: &Ladder) {
    let end = YEAR_2024 + DAYS * DAY;
    let range = TimeRange::new(end - 9 * DAY - 7_000 * SECOND, end - 9 * DAY);
    aged.engine.delete(&[Matcher::equal("job", "job2")], range).unwrap();
    aged.forget(2, range);
    check_all(aged);
    aged.engine.flush().unwrap();
    let touched = ladder.from.iter().map(|(name, ..)| {
        let resolution = Resolution::parse(name).unwrap();
        ((resolution.ceil(range.end) - resolution.floor(range.start)) / resolution.width_ns()) as u64
    });
    assert_eq!(aged.repair(), touched.collect::<Vec<_>>(), "{}", ladder.tiers);
    aged.engine.compact().unwrap();
    check_all(aged);
    assert_eq!(aged.engine.stats().tombstones, 0);
}

fn deletes_remove_whole_buckets_of_dropped_samples(aged: &mut Aged, ladder: &Ladder) {
    let dropped = aged.engine.view().raw_from();
    if dropped == i64::MIN {
        return;
    }
    let job = [Matcher::equal("job", "job0")];
    let end = YEAR_2024 + 7 * DAY;
    assert!(end < dropped);
    let cut = TimeRange::new(end - DAY + 700 * SECOND, end);
    let refused = aged.engine.delete(&job, cut).expect_err("an hour is cut").to_string();
    assert!(
        refused.contains("begin or end it at 2024-01-07T00:00:00Z or at 2024-01-07T01:00:00Z"),
        "{refused}"
    );
    check_all(aged);

    let whole = TimeRange::new(end - DAY, end);
    if ladder.tiers.ends_with("1d") {
        // A day, too, is whole.
        assert_eq!((whole.start - YEAR_2024) % DAY, 0);
    }
    aged.engine.delete(&job, whole).expect("whole buckets");
    aged.forget(0, whole);
    check_all(aged);
    aged.engine.flush().unwrap();
    aged.engine.compact().unwrap();
    check_all(aged);
    assert_eq!(aged.engine.stats().tombstones, 0);
}

#[test]
fn tiers_that_are_changed_keep_what_they_should() {
    let ladder = Ladder { retention_days: 20, tiers: "5m 30d, 1h", raw_from: 0, from: &[] };
    let mut aged = Aged::new(&ladder);
    (0..30).for_each(|day| aged.day(day));
    let begin = |aged: &Aged, name: &str| {
        let tiers = aged.engine.view().tiers();
        tiers.iter().find(|tier| tier.resolution.name() == name).map(|tier| tier.range.start)
    };
    let forecast = aged.engine.tiers()[0].forecast_bytes.expect("5m is kept for 30 days");

    aged.engine.set_tiers("1h, 1d".parse().unwrap()).expect("1d is new, and 5m is no longer named");
    (30..45).for_each(|day| aged.day(day));
    let narrow = aged.engine.view().tiers()[0];
    assert_eq!(narrow.range.end, YEAR_2024 + 28 * DAY, "5m is not extended");
    assert_eq!(begin(&aged, "1d"), begin(&aged, "1h"), "1d is built from the buckets of 1h");
    assert!(aged.engine.view().raw_from() > YEAR_2024 + 23 * DAY, "1h and 1d include what is dropped");
    // A late sample still changes a tier that is not named.
    aged.append(2, [YEAR_2024 + 27 * DAY + 7 * SECOND].into_iter());
    aged.engine.flush().unwrap();
    aged.engine.compact().unwrap();
    aged.check("5m", narrow.range);
    let all = TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 45 * DAY);
    ["1h", "1d"].iter().for_each(|name| aged.check(name, all));

    let refused = aged.engine.set_tiers("1h 10d".parse().unwrap()).expect_err("shorter than raw samples");
    assert!(refused.to_string().contains("1h is kept for"), "{refused}");
    aged.engine.set_tiers("5m 30d, 1h".parse().unwrap()).expect("5m is kept again");
    (45..80).for_each(|day| aged.day(day));
    aged.check("5m", aged.engine.view().tiers()[0].range);
    aged.check("1h", all);
    let bytes = aged.engine.tiers()[0].bytes as f64;
    assert!((bytes / forecast as f64 - 1.0).abs() < 0.1, "{bytes} bytes, {forecast} were forecast");
    assert!(aged.engine.verify().unwrap().is_clean());
}

/// Raw partitions are narrower than the buckets, so that a part of a bucket's samples is dropped before the rest.
#[test]
fn a_bucket_stays_when_a_part_of_its_samples_is_gone() {
    const HOUR: i64 = 3_600 * SECOND;
    let ladder = Ladder { retention_days: 1, tiers: "1d", raw_from: 0, from: &[] };
    let mut aged = Aged::with_partitions(&ladder, 3_600);
    for hour in 0..80 {
        let start = YEAR_2024 + hour * HOUR;
        for series in 0..SERIES {
            aged.append(series, (start + SECOND..start + HOUR).step_by(STEP as usize));
        }
        aged.clock.advance(Duration::from_nanos(HOUR as u64));
        aged.engine.flush().unwrap();
        aged.engine.compact().unwrap();
    }
    let view = aged.engine.view();
    let dropped = view.raw_from();
    assert!((dropped + 1 - YEAR_2024) % DAY != 0, "a part of a day is gone");
    let days = view.tiers()[0].range;
    drop(view);
    aged.check("1d", days);
    let before = aged.stored("1d");
    // It is in a bucket whose first samples are gone, and is stored as a raw sample only.
    let late = dropped + 2 * HOUR;
    let mut batch = Batch::new();
    batch.push(&labels(0), late, Value::Float(1e9));
    assert_eq!(aged.engine.append(&batch).unwrap().samples, 1);
    aged.check("1d", days);
    aged.engine.flush().unwrap();
    aged.check("1d", days);
    aged.engine.compact().unwrap();
    aged.check("1d", days);
    assert_eq!(aged.stored("1d"), before);
}
