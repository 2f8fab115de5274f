//! Native histograms in tiers: of an earlier version, which left them out, and of samples that are dropped.

use std::sync::Arc;
use std::time::Duration;

use super::{TIERS, assert_buckets_of_samples, shown, stored_buckets};
use crate::compact::downsample::{NATIVE_BYTES_PAUSE, is_included};
use crate::engine::tests::{SECOND, YEAR_2024, labels, options};
use crate::model::{Histogram, MatchOp, Matcher, Resolution, Span, TimeRange, Value};
use crate::rollup::{BucketColumns, Columns};
use crate::{Batch, Engine};

/// A counter of latencies that is reset every 700 seconds.
fn histogram(second: i64) -> Value {
    let counts = [second % 700, second % 700 * 2, 3].map(|count| count as f64);
    let spans = vec![Span { offset: -2, length: 3 }];
    Value::Histogram(Arc::new(Histogram {
        count: counts.iter().sum(),
        sum: second as f64 * 0.1,
        positive_spans: spans,
        positive_buckets: counts.to_vec(),
        ..Histogram::default()
    }))
}

fn append(engine: &Engine, seconds: impl Iterator<Item = i64>) {
    let mut batch = Batch::new();
    for second in seconds {
        let time = YEAR_2024 + second * SECOND;
        batch.push(&labels(0), time, histogram(second));
        batch.push(&labels(1), time, Value::Float(second as f64));
    }
    engine.append(&batch).unwrap();
    engine.flush().unwrap();
}

/// An engine whose tiers have been built, with samples of half an hour.
fn engine() -> Engine {
    let engine = Engine::in_memory(options().with_tiers(TIERS.parse().unwrap())).unwrap();
    append(&engine, (1..2000).step_by(9));
    engine.compact().unwrap();
    engine
}

/// Makes its tiers look as an earlier version left them.
fn age(engine: &Engine) {
    let merger = &engine.shared.merger;
    for job in &merger.pass(YEAR_2024).tiers {
        merger.compactor().forget(job, |bucket| bucket.natives = None).unwrap();
    }
}

/// For each tier, the number of stored buckets that describe native histograms, and of those that leave them out.
fn stored(engine: &Engine) -> Vec<(usize, usize)> {
    let count = |name: &str| {
        let all = stored_buckets(engine, name);
        let described = all.iter().filter(|bucket| bucket.natives.is_some()).count();
        (described, all.iter().filter(|bucket| bucket.has_histograms).count() - described)
    };
    ["1m", "5m"].map(count).to_vec()
}

/// Whether the first raw partition may be dropped.
fn may_drop(engine: &Engine) -> bool {
    let catalogue = engine.shared.versions.current_owned();
    let jobs = engine.shared.merger.pass(YEAR_2024).tiers;
    let first = catalogue.generations.partitions().find(|partition| partition.id.tier.is_raw()).unwrap().id;
    is_included(&catalogue, first, &jobs)
}

/// The buckets that a view returns.
fn read(engine: &Engine, name: &str, until: i64) -> Vec<String> {
    let view = engine.view();
    let any = [Matcher::new("job", MatchOp::Regex, ".+").unwrap()];
    let range = TimeRange::new(YEAR_2024, YEAR_2024 + until * SECOND);
    let resolution = Resolution::parse(name).unwrap();
    let (found, plan) = view.select_buckets(&any, resolution, range, 10).unwrap();
    let mut all = Vec::new();
    for series in &found {
        let mut buckets = BucketColumns::default();
        let columns = Columns::ALL_TIMES | Columns::VALUES;
        assert!(view.reader().read_buckets(&plan, series, columns, &mut buckets).unwrap(), "{name}");
        all.extend(buckets.buckets().map(|bucket| shown(&bucket, buckets.held())));
    }
    all
}

#[test]
fn buckets_outlive_the_histograms_that_they_describe() {
    let engine = engine();
    let before = ["1m", "5m"].map(|tier| read(&engine, tier, 1200));
    engine.set_retention(Duration::from_secs(300)).unwrap();
    engine.compact().unwrap();
    assert!(engine.view().raw_from() > YEAR_2024 + 1200 * SECOND, "samples are gone");
    assert_eq!(["1m", "5m"].map(|tier| read(&engine, tier, 1200)), before);
    assert!(before[1].iter().any(|bucket| bucket.contains("resets: 1")), "{before:?}");

    // A delete of all that is in a bucket removes it, and one that cuts a bucket is refused.
    let at = |second: i64| YEAR_2024 + second * SECOND;
    let delete = |from: i64, to: i64| {
        engine.delete(&[Matcher::equal("job", "job0")], TimeRange::new(at(from), at(to)))
    };
    assert!(delete(300, 450).unwrap_err().to_string().contains("begin or end it at"));
    delete(304, 598).unwrap();
    let left = read(&engine, "5m", 1200).len();
    assert_eq!(left, before[1].len() - 1);
    engine.compact().unwrap();
    assert_eq!(read(&engine, "5m", 1200).len(), left);
    assert!(engine.verify().unwrap().is_clean());
}

#[test]
fn a_tier_of_an_earlier_version_is_completed_before_samples_are_dropped() {
    let engine = engine();
    let (built, before) = (stored(&engine), ["1m", "5m"].map(|tier| read(&engine, tier, 1200)));
    assert_eq!(built.iter().map(|counts| counts.1).sum::<usize>(), 0);
    assert!(may_drop(&engine));
    age(&engine);
    assert!(!may_drop(&engine), "their histograms are not in the tiers");
    assert_eq!(stored(&engine), built.iter().map(|counts| (0, counts.0)).collect::<Vec<_>>());
    ["1m", "5m"].iter().for_each(|tier| assert_buckets_of_samples(&engine.view(), tier));
    assert_eq!(["1m", "5m"].map(|tier| read(&engine, tier, 1200)), before, "computed from samples");

    engine.set_retention(Duration::from_secs(300)).unwrap();
    engine.compact().unwrap();
    assert!(engine.view().raw_from() > YEAR_2024 + 1200 * SECOND, "samples are gone");
    assert_eq!(stored(&engine), built);
    assert_eq!(["1m", "5m"].map(|tier| read(&engine, tier, 1200)), before);
    assert!(engine.verify().unwrap().is_clean());
}

/// Of samples that are gone, an earlier version has left nothing: neither a wrong answer, nor a tier that waits for ever.
#[test]
fn what_an_earlier_version_has_dropped_is_not_there() {
    let engine = engine();
    engine.set_retention(Duration::from_secs(300)).unwrap();
    engine.compact().unwrap();
    age(&engine);
    let samples = read(&engine, "5m", 1200);
    assert!(!samples.is_empty() && samples.iter().all(|bucket| bucket.ends_with("None)")), "only floats");
    append(&engine, (2000..4000).step_by(9));
    engine.compact().unwrap();
    assert!(engine.view().raw_from() > YEAR_2024 + 3000 * SECOND, "samples are dropped as before");
    ["1m", "5m"].iter().for_each(|tier| assert_buckets_of_samples(&engine.view(), tier));
    let undescribed = engine.shared.versions.current_owned();
    assert!(undescribed.coverage.values().all(|coverage| coverage.sparse().is_empty()));
}

/// However much memory the histograms of a series take, the compactor holds those of some buckets at a time.
#[test]
fn wide_histograms_are_written_some_at_a_time() {
    const BUCKETS: usize = 8000;
    let wide = |second: i64| {
        let grown = (second % 7000) as f64;
        let counts: Vec<f64> = (0..BUCKETS).map(|at| grown * (1 + at % 9) as f64).collect();
        Value::Histogram(Arc::new(Histogram {
            schema: 8,
            count: counts.iter().sum(),
            sum: grown,
            positive_spans: vec![Span { offset: 0, length: BUCKETS as u32 }],
            positive_buckets: counts,
            ..Histogram::default()
        }))
    };
    let engine = Engine::in_memory(options().with_tiers(TIERS.parse().unwrap())).unwrap();
    for from in (30..27_000).step_by(1200) {
        let mut batch = Batch::new();
        for second in (from..from + 1200).step_by(30) {
            batch.push(&labels(0), YEAR_2024 + second * SECOND, wide(second));
        }
        engine.append(&batch).unwrap();
        engine.flush().unwrap();
    }
    engine.compact().unwrap();
    let built = stored(&engine);
    assert!(built[0].0 > 440 && built[0].1 == 0, "{built:?}");
    age(&engine);
    engine.compact().unwrap();
    assert_eq!(stored(&engine), built);
    // A late sample of each minute.
    let mut late = Batch::new();
    (40..26_000)
        .step_by(60)
        .for_each(|second| late.push(&labels(0), YEAR_2024 + second * SECOND, wide(second)));
    engine.append(&late).unwrap();
    engine.compact().unwrap();
    ["1m", "5m"].iter().for_each(|tier| assert_buckets_of_samples(&engine.view(), tier));
    let held: usize = stored(&engine).iter().map(|counts| counts.0 * 2 * BUCKETS * size_of::<f64>()).sum();
    let peak = engine.shared.merger.compactor().counts.native_bytes_peak.get() as usize;
    assert!(peak < 2 * NATIVE_BYTES_PAUSE && held > 3 * NATIVE_BYTES_PAUSE, "{peak} of {held} bytes");
}
