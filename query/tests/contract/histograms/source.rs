//! A source of native histograms whose buckets have been folded, stored and read.

use std::sync::Arc;

use barograph_engine::codec::CompressionLevel;
use barograph_engine::model::{Labels, Matcher, ResetHint, Samples, TimeRange, Timestamp, Value};
use barograph_engine::rollup::encode::{self, Class};
use barograph_engine::rollup::{Bucket, BucketColumns, Builder, Columns, Extras, Fold, Natives, Shape};
use barograph_query::source::{MemorySource, SeriesRef, SeriesSource, SourceError, TierInfo};

use super::series::Series;
use crate::window::Plant;

const KEY: &[u8] = b"key";

/// The samples, and the bytes of their buckets.
pub struct Source {
    samples: MemorySource,
    chunk: Vec<u8>,
    width: i64,
    plant: Plant,
}

impl Source {
    /// A source with these samples and a tier, which is folded from finer buckets if there is a width for them.
    pub fn of(series: &Series, width: i64, fine: Option<i64>, plant: Plant) -> Self {
        let labels = Labels::from_pairs([("__name__", "h")]).unwrap_or_default();
        let mut samples = MemorySource::new();
        for sample in &series.samples {
            samples.insert(&labels, sample.time, sample.value.clone(), sample.start);
        }
        samples.set_tiers(&[width]);
        let shape = Shape { width, source: fine.unwrap_or(0), class: Class::Unclear, bounds: true };
        let mut chunk = Vec::new();
        let buckets = buckets(series, width, fine, plant);
        encode::encode(KEY, &shape, &buckets, CompressionLevel::Best, &mut chunk);
        Source { samples, chunk, width, plant }
    }
}

/// The buckets of a series.
fn buckets(series: &Series, width: i64, fine: Option<i64>, plant: Plant) -> Vec<Bucket> {
    let late = i64::from(plant == Plant::WrongSide);
    let mut builder = Builder::new(fine.unwrap_or(width), Extras::ALL);
    let (mut first, mut out) = (Vec::new(), Vec::new());
    for sample in &series.samples {
        // A bucket would then include its beginning and not its end.
        let time = sample.time + late;
        match &sample.value {
            Value::Float(value) => builder.push(time, *value, sample.start, &mut first),
            Value::Int(value) => builder.push(time, *value as f64, sample.start, &mut first),
            Value::Histogram(histogram) => builder.push_histogram(time, sample.start, histogram, &mut first),
        }
    }
    builder.finish(&mut first);
    for bucket in first.iter_mut().filter(|_| late > 0) {
        (bucket.first.time, bucket.last.time) = (bucket.first.time - late, bucket.last.time - late);
        if let Some(natives) = bucket.natives.as_mut().map(Arc::make_mut) {
            (natives.first.time, natives.last.time) = (natives.first.time - late, natives.last.time - late);
        }
    }
    if fine.is_none() {
        return first;
    }
    let mut fold = Fold::new(width);
    first.into_iter().for_each(|bucket| fold.push(bucket, &mut out));
    fold.finish(&mut out);
    out
}

/// The bucket with the planted fault.
fn planted(bucket: Bucket, plant: Plant) -> Bucket {
    let change = |natives: &mut Natives| match plant {
        Plant::NativeLost => natives.lost = Some(Vec::new()),
        Plant::NativeSchema => natives.lowest_schema = i32::MAX,
        Plant::NativeSecond => natives.second = None,
        Plant::NativeSum => {
            if let Some(sum) = &mut natives.sum {
                sum.truncate(1);
            }
        }
        _ => {}
    };
    let natives = bucket.natives.map(|mut natives| {
        change(Arc::make_mut(&mut natives));
        natives
    });
    Bucket { natives, ..bucket }
}

impl SeriesSource for Source {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<SeriesRef>, SourceError> {
        self.samples.select(matchers, range, series_max)
    }

    fn read(&self, series: &SeriesRef, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        self.samples.read(series, range, out)
    }

    fn tiers(&self, selectors: &[&[Matcher]], from: Timestamp) -> Result<Vec<TierInfo>, SourceError> {
        self.samples.tiers(selectors, from)
    }

    fn read_buckets(
        &self,
        series: &SeriesRef,
        width: i64,
        range: TimeRange,
        columns: Columns,
        out: &mut BucketColumns,
    ) -> Result<bool, SourceError> {
        let mut found = Vec::new();
        encode::decode(KEY, &self.chunk, Columns::ALL, &mut found)
            .map_err(|error| SourceError::Storage(barograph_query::source::Cause::new(error)))?;
        out.restart(columns);
        let reaches = |end: i64| range.overlaps(end - self.width + 1, end);
        let inside = found.into_iter().filter(|bucket| reaches(bucket.end));
        inside.for_each(|bucket| out.push(&planted(bucket, self.plant)));
        if columns.contains(Columns::HINTS) && out.awaits_hint() {
            // The source below knows the sample before.
            let mut known = BucketColumns::default();
            self.samples.read_buckets(series, width, range, columns, &mut known)?;
            let hinted = (0..known.len()).find_map(|row| known.natives.get(row).clone());
            let continues =
                |natives: &Arc<Natives>| natives.first.histogram.reset_hint == ResetHint::NotReset;
            if let Some(hinted) = hinted.filter(continues) {
                // Every histogram continues from itself.
                out.hint_from(&hinted.first.histogram);
            }
        }
        Ok(true)
    }

    fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>, SourceError> {
        self.samples.label_names(matchers, range)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SourceError> {
        self.samples.label_values(name, matchers, range)
    }
}
