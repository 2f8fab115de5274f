//! Buckets of tiers, which are always those that raw samples alone give.

mod aging;
mod automatic;
mod budget;
mod changes;
mod described;
mod events;
mod incomplete;
mod ladders;
mod stored;
mod trial;

use std::sync::Arc;

use proptest::prelude::*;

use super::model::{Bits, Harness, Op, any_op};
use super::{SECOND, YEAR_2024, float_batch, options};
use crate::codec::histogram::HistogramReader;
use crate::model::{Labels, MatchOp, Matcher, Metadata, MetricType, Resolution, TierId, TimeRange, Value};
use crate::rollup::{Bucket, BucketColumns, Builder, Columns, Extras};
use crate::store::cursors::{BucketPieces, ChunkCursors};
use crate::view::{BucketPlan, View, ViewSeries};
use crate::{Batch, Engine, Ladder, Options};

const TIERS: &str = "1m, 5m";

/// The columns that all tiers keep.
fn columns() -> Columns {
    let edges = Columns::TIMES | Columns::VALUES | Columns::STARTS;
    edges | Columns::CHANGES | Columns::SUM | Columns::M2 | Columns::EXTREMES | Columns::HISTOGRAMS
}

/// Reads buckets, with resets if the tier keeps what they took. Returns whether all other columns are there.
fn read(view: &View<'_>, plan: &BucketPlan, series: &ViewSeries, out: &mut BucketColumns) -> bool {
    let mut read = |columns: Columns| view.reader().read_buckets(plan, series, columns, out).unwrap();
    read(columns() | Columns::LOST) || read(columns())
}

/// The buckets of all series that are stored for a tier.
fn stored_buckets(engine: &Engine, name: &str) -> Vec<Bucket> {
    let catalogue = engine.shared.versions.current_owned();
    let tier = TierId::of(0, Resolution::parse(name).unwrap());
    let mut cursors = ChunkCursors::scanning(engine.shared.versions.kv());
    let mut all = Vec::new();
    for partition in catalogue.generations.partitions().filter(|partition| partition.id.tier == tier) {
        for id in 0..20 {
            let mut pieces = BucketPieces::new(&partition.generations, &[id], TimeRange::ALL, Columns::ALL);
            cursors.read_piece(&mut pieces, usize::MAX, &mut all).unwrap();
        }
    }
    all
}

/// What distinguishes two buckets, of which these columns are held, but for `lost`: a tier does not keep that of a series
/// that looks like a gauge.
fn shown(bucket: &Bucket, held: Columns) -> String {
    let Bucket { end, count, first, last, nans, markers, ended, overlap, resets, changes, min, max, .. } =
        bucket;
    let edge = |edge: &crate::rollup::Edge| (edge.time, edge.value.to_bits(), edge.start);
    let resets = held.contains(Columns::LOST).then_some(resets);
    let bits = [*min, *max, bucket.sum.value()].map(f64::to_bits);
    let bits = (bits, edge(first), edge(last), bucket.has_histograms);
    format!("{:?}", (end, count, nans, markers, ended, overlap, resets, changes, bits, &bucket.natives))
}

/// The buckets of the samples of a series, as the model has them.
fn expected(
    harness: &Harness,
    labels: &Labels,
    resolution: Resolution,
    range: TimeRange,
    held: Columns,
) -> Vec<String> {
    let mut builder = Builder::new(resolution.width_ns(), Extras::ALL);
    let mut buckets = Vec::new();
    for (&time, told) in harness.samples.get(labels).into_iter().flatten() {
        let value = match &told.value {
            Bits::Float(bits) => f64::from_bits(*bits),
            Bits::Int(value) => *value as f64,
            Bits::Histogram { written, .. } => {
                let histogram = HistogramReader::default().read(written, &mut 0).unwrap();
                builder.push_histogram(time, told.start, &Arc::new(histogram), &mut buckets);
                continue;
            }
        };
        builder.push(time, value, told.start, &mut buckets);
    }
    builder.finish(&mut buckets);
    let inside = buckets.iter().filter(|bucket| range.contains(bucket.end));
    inside.map(|bucket| shown(bucket, held)).collect()
}

pub(super) fn check(harness: &Harness, range: TimeRange, after: &Op) {
    let view = harness.engine().view();
    let any = [Matcher::new("job", MatchOp::Regex, ".+").unwrap()];
    for resolution in ["1m", "5m", "10m"].map(|name| Resolution::parse(name).unwrap()) {
        let (found, plan) = view.select_buckets(&any, resolution, range, usize::MAX).unwrap();
        let mut left: Vec<Labels> = harness.samples.keys().cloned().collect();
        let mut buckets = BucketColumns::default();
        for series in &found {
            let is_whole = read(&view, &plan, series, &mut buckets);
            assert!(is_whole, "{} at {resolution} after {after:?}", series.labels);
            let held = buckets.held();
            let buckets: Vec<String> = buckets.buckets().map(|bucket| shown(&bucket, held)).collect();
            let expected = expected(harness, &series.labels, resolution, plan.range(), held);
            assert_eq!(buckets, expected, "{} at {resolution} after {after:?}", series.labels);
            left.retain(|labels| *labels != series.labels);
        }
        for labels in left {
            let missing = expected(harness, &labels, resolution, plan.range(), Columns::NONE);
            assert!(missing.is_empty(), "{labels} at {resolution} after {after:?}: {missing:?}");
        }
    }
}

/// Buckets equal those of the samples that a view has, wherever it has all of them.
pub(super) fn assert_buckets_of_samples(view: &View<'_>, resolution: &str) {
    let resolution = Resolution::parse(resolution).unwrap();
    let any = [Matcher::new("job", MatchOp::Regex, ".+").unwrap()];
    let from = resolution.ceil(view.raw_from().max(YEAR_2024 - 600 * SECOND));
    let range = TimeRange::new(from, YEAR_2024 + 200_000 * SECOND);
    let (found, plan) = view.select_buckets(&any, resolution, range, 1000).unwrap();
    let samples = view.select(&any, plan.range(), 1000).unwrap();
    for series in &samples {
        let run = view.read(series, plan.range()).unwrap();
        let (mut builder, mut expected) = (Builder::new(resolution.width_ns(), Extras::ALL), Vec::new());
        crate::store::generation::fold_run(&mut builder, &run, 0, &mut expected);
        builder.finish(&mut expected);
        let mut buckets = BucketColumns::default();
        match found.iter().find(|found| found.labels == series.labels) {
            Some(found) => {
                assert!(read(view, &plan, found, &mut buckets))
            }
            None => assert!(run.is_empty(), "{} has no buckets", series.labels),
        }
        // Where samples have been dropped of this series alone, they do not tell.
        let matchers: Vec<Matcher> = series.labels.iter().map(|(n, v)| Matcher::equal(n, v)).collect();
        let whole = resolution.ceil(view.raw_from_of(&[&matchers], i64::MIN).unwrap());
        let shown = |all: &[Bucket]| {
            let whole = all.iter().filter(|bucket| bucket.end > whole);
            whole.map(|one| shown(one, buckets.held())).collect::<Vec<_>>()
        };
        assert_eq!(shown(&buckets.buckets().collect::<Vec<_>>()), shown(&expected), "{}", series.labels);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn buckets_equal_those_of_raw_samples(
        ops in proptest::collection::vec(any_op(), 1..40),
        from in -100i64..900,
        length in 1i64..1000,
    ) {
        let mut harness = Harness::with_tiers(TIERS);
        let at = |second: i64| YEAR_2024 + second * SECOND;
        for op in &ops {
            harness.apply(op);
            check(&harness, TimeRange::new(at(-600), at(2000)), op);
            check(&harness, TimeRange::new(at(from), at(from + length)), op);
        }
        harness.check(&Op::Crash);
        let report = harness.engine().verify().unwrap();
        prop_assert!(report.is_clean(), "{:?}", report.problems);
    }
}

/// The buckets that are stored for a tier.
fn stored(harness: &Harness, name: &str) -> u64 {
    let catalogue = harness.engine().shared.versions.current_owned();
    let tier = TierId::of(0, Resolution::parse(name).unwrap());
    let partitions = catalogue.generations.partitions().filter(|partition| partition.id.tier == tier);
    partitions.flat_map(|partition| &partition.generations).map(|generation| generation.record.samples).sum()
}

#[test]
fn tiers_are_built_from_closed_partitions_and_a_late_sample_changes_one_bucket_of_each() {
    let mut harness = Harness::with_tiers(TIERS);
    let op = Op::Compact;
    let range = TimeRange::new(YEAR_2024 - 600 * SECOND, YEAR_2024 + 4000 * SECOND);
    harness.append(0, 1, 200, 9, &Value::Float(1.0));
    harness.apply(&Op::Flush);
    harness.apply(&op);
    check(&harness, range, &op);
    let (minutes, fives) = (stored(&harness, "1m"), stored(&harness, "5m"));
    assert_eq!(
        (minutes, fives),
        (28, 5),
        "up to second 1680 and 1500, because the partition at 1740 is open"
    );

    harness.append(0, 700, 1, 1, &Value::Float(2.0));
    check(&harness, range, &Op::Crash);
    harness.apply(&Op::Flush);
    check(&harness, range, &Op::Flush);
    assert_eq!((stored(&harness, "1m"), stored(&harness, "5m")), (minutes, fives));
    harness.apply(&op);
    check(&harness, range, &op);
    assert_eq!((stored(&harness, "1m"), stored(&harness, "5m")), (minutes + 1, fives + 1));

    harness.apply(&Op::Delete { series: Some(0), from: 599, to: 720 });
    check(&harness, range, &Op::Crash);
    harness.apply(&Op::Flush);
    harness.apply(&op);
    check(&harness, range, &op);
    assert_eq!((stored(&harness, "1m"), stored(&harness, "5m")), (minutes + 3, fives + 2));
    assert_eq!(harness.engine().stats().tombstones, 0, "no bucket has what was deleted");

    harness.engine().clean().unwrap();
    check(&harness, range, &op);
    assert_eq!(
        (stored(&harness, "1m"), stored(&harness, "5m")),
        (minutes - 2, fives),
        "one generation of each"
    );
}

/// An engine with 200 samples, nine seconds apart, and their buckets.
fn half_an_hour() -> Arc<Engine> {
    let engine = Arc::new(Engine::in_memory(options().with_tiers(TIERS.parse().unwrap())).unwrap());
    let seconds: Vec<i64> = (0..200).map(|n| 1 + 9 * n).collect();
    engine.append(&float_batch(0, &seconds)).unwrap();
    engine.flush().unwrap();
    engine.compact().unwrap();
    engine
}

/// Its samples must not be gone before the tiers know which of their buckets it changes.
#[test]
fn a_delete_that_comes_when_a_merge_begins_reaches_the_tiers() {
    for cleans in [false, true] {
        let engine = half_an_hour();
        let delete = |engine: &Engine, seconds: (i64, i64)| {
            let (from, to) = (YEAR_2024 + seconds.0 * SECOND, YEAR_2024 + seconds.1 * SECOND);
            let any = [Matcher::new("job", MatchOp::Regex, ".+").unwrap()];
            engine.delete(&any, TimeRange::inclusive(from, to)).unwrap();
        };
        // One partition has something to merge.
        delete(&engine, (611, 620));
        engine.flush().unwrap();
        let (deleting, mut has_come) = (engine.clone(), false);
        let hooked = crate::fail::hook(move |name| {
            if name == "merge.begun" && !std::mem::replace(&mut has_come, true) {
                delete(&deleting, (630, 650));
            }
        });
        match cleans {
            true => drop(engine.clean().unwrap()),
            false => engine.compact().unwrap(),
        }
        drop(hooked);
        for _ in 0..2 {
            ["1m", "5m"].iter().for_each(|tier| assert_buckets_of_samples(&engine.view(), tier));
            engine.flush().unwrap();
            engine.compact().unwrap();
        }
        assert_eq!(engine.stats().tombstones, 0, "both deletes came");
        assert_eq!(engine.stats().stored_samples, 200 - 4);
    }
}

/// The merge may apply only the first delete, because the tiers do not include the second one yet. Its output has the cut of
/// the late sample, which comes after the second delete.
#[test]
fn a_delete_and_a_flush_that_come_when_a_merge_begins_lose_nothing() {
    for cleans in [false, true] {
        let engine = half_an_hour();
        let any = [Matcher::new("job", MatchOp::Regex, ".+").unwrap()];
        let at = |second: i64| YEAR_2024 + second * SECOND;
        engine.delete(&any, TimeRange::inclusive(at(611), at(620))).unwrap();
        engine.flush().unwrap();
        let (changing, matchers, mut has_come) = (engine.clone(), any.clone(), false);
        let hooked = crate::fail::hook(move |name| {
            if name == "merge.begun" && !std::mem::replace(&mut has_come, true) {
                changing.delete(&matchers, TimeRange::inclusive(at(630), at(650))).unwrap();
                changing.append(&float_batch(0, &[652])).unwrap();
                changing.flush().unwrap();
            }
        });
        match cleans {
            true => drop(engine.clean().unwrap()),
            false => engine.compact().unwrap(),
        }
        drop(hooked);
        for _ in 0..3 {
            let view = engine.view();
            let found = view.select(&any, TimeRange::ALL, 10).unwrap();
            let times = view.read(&found[0], TimeRange::ALL).unwrap().timestamps;
            assert!(times.iter().all(|time| !(at(630)..=at(650)).contains(time)), "cleans: {cleans}");
            assert_eq!(times.len(), 200 - 4 + 1);
            ["1m", "5m"].iter().for_each(|tier| assert_buckets_of_samples(&view, tier));
            drop((found, view));
            engine.flush().unwrap();
            engine.compact().unwrap();
        }
        assert_eq!((engine.stats().tombstones, engine.stats().stored_samples), (0, 200 - 4 + 1));
    }
}

#[test]
fn the_sums_of_a_gauge_are_kept_if_it_is_described_as_one() {
    let ladder =
        |name: &str, steps: &str| Ladder::new(vec![Matcher::equal("__name__", name)], steps).unwrap();
    let ladders = vec![ladder("error_count", "raw, type gauge"), ladder("errors", "raw, type counter")];
    let engine = Engine::in_memory(Options { tiers: TIERS.parse().unwrap(), ladders, ..options() }).unwrap();
    let gauge = Metadata { kind: MetricType::Gauge, ..Metadata::default() };
    engine.shared.head.metadata.insert("thread_count", &gauge);
    let names = ["request_count", "thread_count", "error_count", "errors"];
    let mut batch = Batch::new();
    for name in names {
        let labels = Labels::from_pairs([("__name__", name)]).unwrap();
        for second in 0..900 {
            batch.push(&labels, YEAR_2024 + second * SECOND, Value::Float(second as f64));
        }
    }
    engine.append(&batch).unwrap();
    engine.flush().unwrap();
    engine.compact().unwrap();
    let (view, minute) = (engine.view(), Resolution::parse("1m").unwrap());
    let range = TimeRange::new(YEAR_2024, YEAR_2024 + 600 * SECOND);
    for (name, expected) in names.into_iter().zip([false, true, true, false]) {
        let (found, plan) =
            view.select_buckets(&[Matcher::equal("__name__", name)], minute, range, 10).unwrap();
        let mut buckets = BucketColumns::default();
        assert_eq!(read(&view, &plan, &found[0], &mut buckets), expected, "sums of {name}");
    }
}
