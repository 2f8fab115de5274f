//! A source that keeps everything in ordinary maps: for tests, examples, and embedders who want to query samples with
//! PromQL without storing them.
//!
//! It is simple rather than fast: `select` checks every series, and each series is an ordered map from timestamp to
//! value. It therefore serves as the reference for the storage engine: the same samples must give the same answers with
//! both.
//!
//! # Not here
//! Durability, compression and partitions, which are part of the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use barograph_engine::model::{Histogram, Labels, Matcher, Samples, TimeRange, Timestamp, Value};
use barograph_engine::rollup::{BucketColumns, Builder, Extras};

use crate::source::{Columns, Estimate, SeriesRef, SeriesSource, SourceError, TierInfo};

/// An in-memory [`SeriesSource`]. Of two samples with the same series and timestamp, the later one is kept; samples may
/// arrive in any order.
///
/// ```
/// use barograph_engine::model::{Labels, Matcher, Samples, TimeRange, Value};
/// use barograph_query::source::SeriesSource;
/// use barograph_query::source::memory::MemorySource;
///
/// let mut source = MemorySource::new();
/// let up = Labels::from_pairs([("__name__", "up"), ("job", "api")]).unwrap();
/// source.insert(&up, 1_000_000_000, Value::Float(1.0), 0);
/// source.insert(&up, 2_000_000_000, Value::Float(0.0), 0);
///
/// let found = source.select(&[Matcher::equal("job", "api")], TimeRange::ALL, 10).unwrap();
/// assert_eq!(found[0].labels, up);
///
/// let mut samples = Samples::default();
/// source.read(&found[0], TimeRange::new(1_000_000_000, 2_000_000_000), &mut samples).unwrap();
/// assert_eq!(samples.timestamps, [2_000_000_000], "the left end of a range is open");
/// assert_eq!(samples.values, [0.0]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemorySource {
    /// The index of each label set's samples in `columns`.
    index: BTreeMap<Labels, usize>,
    columns: Vec<BTreeMap<Timestamp, Stored>>,
    /// Ascending.
    widths: Vec<i64>,
    /// Samples up to this time are readable as buckets only.
    gone: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Stored {
    value: Footprint,
    /// Nanoseconds; 0 means unknown.
    start: Timestamp,
}

#[derive(Debug, Clone)]
enum Footprint {
    Float(f64),
    Histogram(Arc<Histogram>),
}

impl MemorySource {
    /// A source without series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores a sample. `timestamp` and `start_timestamp` are nanoseconds since the Unix epoch. `start_timestamp` is
    /// when counting began; 0 means unknown. An integer becomes the nearest float, as queries see it.
    pub fn insert(
        &mut self,
        labels: &Labels,
        timestamp: Timestamp,
        value: Value,
        start_timestamp: Timestamp,
    ) {
        let value = match value {
            Value::Float(float) => Footprint::Float(float),
            Value::Int(int) => Footprint::Float(int as f64),
            Value::Histogram(histogram) => Footprint::Histogram(histogram),
        };
        let at = match self.index.get(labels) {
            Some(at) => *at,
            None => {
                self.columns.push(BTreeMap::new());
                self.index.insert(labels.clone(), self.columns.len() - 1);
                self.columns.len() - 1
            }
        };
        self.columns[at].insert(timestamp, Stored { value, start: start_timestamp });
    }

    /// Removes the samples in `range` of all series that match all matchers. Returns the number of samples. A series
    /// without samples is removed.
    pub fn delete(&mut self, matchers: &[Matcher], range: TimeRange) -> u64 {
        let mut removed = 0;
        self.index.retain(|labels, at| {
            if !meets(matchers, labels) {
                return true;
            }
            let column = &mut self.columns[*at];
            let before = column.len();
            column.retain(|t, _| !range.contains(*t));
            removed += (before - column.len()) as u64;
            !column.is_empty()
        });
        removed
    }

    /// Makes buckets of these widths readable, nanoseconds. They are folded from the samples when they are read.
    pub fn set_tiers(&mut self, widths: &[i64]) {
        self.widths = widths.iter().copied().filter(|width| *width > 0).collect();
        self.widths.sort_unstable();
    }

    /// Samples up to `time` are readable as buckets only, as if raw data had expired.
    pub fn drop_samples_until(&mut self, time: Timestamp) {
        self.gone = Some(time);
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.index.clear();
        self.columns.clear();
    }

    /// The number of series.
    pub fn series_count(&self) -> usize {
        self.index.len()
    }

    fn matching<'a>(
        &'a self,
        matchers: &'a [Matcher],
        range: TimeRange,
    ) -> impl Iterator<Item = (&'a Labels, usize)> + 'a {
        self.index
            .iter()
            .map(|(labels, at)| (labels, *at))
            .filter(move |(labels, at)| meets(matchers, labels) && self.samples(*at, range).next().is_some())
    }

    fn samples(&self, at: usize, range: TimeRange) -> impl DoubleEndedIterator<Item = (&Timestamp, &Stored)> {
        // An ordered map panics on a range whose start is after its end.
        let bounds = if range.is_empty() {
            (Bound::Included(Timestamp::MIN), Bound::Excluded(Timestamp::MIN))
        } else {
            (Bound::Excluded(range.start), Bound::Included(range.end))
        };
        self.columns.get(at).into_iter().flat_map(move |column| column.range(bounds))
    }
}

/// The spans of this width that have a time in `range`.
fn whole_spans(range: TimeRange, width: i64) -> TimeRange {
    let start = range.start.div_euclid(width).saturating_mul(width);
    let beyond = range.end.rem_euclid(width);
    let end = if beyond == 0 { range.end } else { range.end.saturating_add(width - beyond) };
    TimeRange::new(start, end)
}

/// If the writer gave no reset hint, the previous sample may decide.
fn hinted(histogram: &Arc<Histogram>, previous: Option<&Footprint>) -> Arc<Histogram> {
    let mut histogram = Arc::clone(histogram);
    if let Some(Footprint::Histogram(before)) = previous {
        Histogram::hint_from(&mut histogram, before);
    }
    histogram
}

fn meets(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches_labels(labels))
}

impl SeriesSource for MemorySource {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<SeriesRef>, SourceError> {
        let mut found = Vec::new();
        for (labels, at) in self.matching(matchers, range) {
            if found.len() == series_max {
                return Err(SourceError::TooManySeries { limit: series_max });
            }
            let rank = found.len() as u32;
            found.push(SeriesRef { labels: labels.clone(), handle: at as u64, rank });
        }
        Ok(found)
    }

    fn estimate(&self, matchers: &[Matcher], range: TimeRange) -> Result<Option<Estimate>, SourceError> {
        let mut estimate = Estimate::default();
        for (_, at) in self.matching(matchers, range) {
            estimate.series += 1;
            estimate.samples += self.samples(at, range).count() as u64;
        }
        Ok(Some(estimate))
    }

    fn read(&self, series: &SeriesRef, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        // A handle that does not fit into `usize` was not returned by this source.
        let at = usize::try_from(series.handle).unwrap_or(usize::MAX);
        let mut starts_known = false;
        let start = self.gone.map_or(range.start, |gone| range.start.max(gone));
        let range = TimeRange::new(start, range.end.max(start));
        let before = TimeRange::new(Timestamp::MIN, range.start);
        let mut previous = self.samples(at, before).next_back().map(|(_, stored)| &stored.value);
        for (timestamp, stored) in self.samples(at, range) {
            let position = out.timestamps.len() as u32;
            out.timestamps.push(*timestamp);
            match &stored.value {
                Footprint::Float(float) => out.values.push(*float),
                Footprint::Histogram(histogram) => {
                    out.values.push(f64::NAN);
                    out.histograms.push((position, hinted(histogram, previous)));
                }
            }
            previous = Some(&stored.value);
            out.start_timestamps.push(stored.start);
            starts_known |= stored.start != 0;
        }
        if !starts_known {
            out.start_timestamps.clear();
        }
        Ok(())
    }

    fn tiers(&self, _: &[&[Matcher]], _: Timestamp) -> Result<Vec<TierInfo>, SourceError> {
        let (from, through) = (Timestamp::MIN, Timestamp::MAX);
        Ok(self.widths.iter().map(|&width| TierInfo { width, from, through }).collect())
    }

    fn samples_from(&self, _: &[&[Matcher]], _: Timestamp) -> Result<Timestamp, SourceError> {
        Ok(self.gone.unwrap_or(Timestamp::MIN))
    }

    fn read_buckets(
        &self,
        series: &SeriesRef,
        width: i64,
        range: TimeRange,
        columns: Columns,
        out: &mut BucketColumns,
    ) -> Result<bool, SourceError> {
        let at = usize::try_from(series.handle).unwrap_or(usize::MAX);
        let extras = Extras {
            bounds: columns.contains(Columns::BOUNDS),
            distribution: columns.contains(Columns::SKETCH),
        };
        let mut builder = Builder::new(width.max(1), extras);
        let mut buckets = Vec::new();
        out.restart(columns);
        for (timestamp, stored) in self.samples(at, whole_spans(range, width)) {
            match &stored.value {
                Footprint::Float(value) => builder.push(*timestamp, *value, stored.start, &mut buckets),
                Footprint::Histogram(histogram) => {
                    builder.push_histogram(*timestamp, stored.start, histogram, &mut buckets);
                }
            }
        }
        builder.finish(&mut buckets);
        buckets.iter().for_each(|bucket| out.push(bucket));
        if columns.contains(Columns::HINTS) && out.awaits_hint() {
            let before = TimeRange::new(Timestamp::MIN, whole_spans(range, width).start);
            if let Some((_, Stored { value: Footprint::Histogram(previous), .. })) =
                self.samples(at, before).next_back()
            {
                out.hint_from(previous);
            }
        }
        Ok(true)
    }

    fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>, SourceError> {
        let names: BTreeSet<&str> = self
            .matching(matchers, range)
            .flat_map(|(labels, _)| labels.iter().map(|(name, _)| name))
            .collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SourceError> {
        let values: BTreeSet<&str> =
            self.matching(matchers, range).filter_map(|(labels, _)| labels.get(name)).collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use barograph_engine::model::{MatchOp, ResetHint};
    use proptest::prelude::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    fn read(source: &MemorySource, range: TimeRange) -> Samples {
        let mut out = Samples::default();
        for series in source.select(&[], TimeRange::ALL, usize::MAX).unwrap() {
            source.read(&series, range, &mut out).unwrap();
        }
        out
    }

    #[test]
    fn selects_by_all_four_operators_in_label_order() {
        let mut source = MemorySource::new();
        for job in ["c", "a", "b"] {
            source.insert(&labels(&[("__name__", "up"), ("job", job)]), 5, Value::Float(1.0), 0);
        }
        source.insert(&labels(&[("__name__", "up")]), 5, Value::Float(1.0), 0);
        let select = |op, value| -> Vec<String> {
            let matcher = Matcher::new("job", op, value).unwrap();
            let found = source.select(&[matcher], TimeRange::ALL, 10).unwrap();
            found.iter().map(|s| s.labels.to_string()).collect()
        };
        assert_eq!(select(MatchOp::Equal, "a"), [r#"up{job="a"}"#]);
        assert_eq!(select(MatchOp::Regex, "a|c"), [r#"up{job="a"}"#, r#"up{job="c"}"#]);
        assert_eq!(select(MatchOp::NotRegex, ".+"), ["up"]);
        assert_eq!(select(MatchOp::NotEqual, "b"), ["up", r#"up{job="a"}"#, r#"up{job="c"}"#]);
    }

    #[test]
    fn too_many_series_is_an_error_and_exactly_enough_is_not() {
        let mut source = MemorySource::new();
        for job in ["a", "b"] {
            source.insert(&labels(&[("job", job)]), 5, Value::Float(1.0), 0);
        }
        assert_eq!(source.select(&[], TimeRange::ALL, 2).unwrap().len(), 2);
        let error = source.select(&[], TimeRange::ALL, 1).unwrap_err();
        assert!(matches!(error, SourceError::TooManySeries { limit: 1 }));
    }

    #[test]
    fn the_later_write_wins_and_histograms_keep_their_place() {
        let mut source = MemorySource::new();
        let series = labels(&[("__name__", "h")]);
        let histogram = Arc::new(Histogram { count: 3.0, ..Histogram::default() });
        source.insert(&series, 30, Value::Histogram(Arc::clone(&histogram)), 0);
        source.insert(&series, 10, Value::Float(7.0), 0);
        source.insert(&series, 10, Value::Int(8), 4);
        let all = read(&source, TimeRange::ALL);
        assert_eq!(all.timestamps, [10, 30]);
        assert_eq!(all.values[0], 8.0);
        assert!(all.values[1].is_nan());
        assert_eq!(all.histograms, [(1, histogram)]);
        assert_eq!(all.start_timestamps, [4, 0]);
        assert_eq!(read(&source, TimeRange::new(10, 30)).start_timestamps, [0i64; 0]);
    }

    #[test]
    fn a_histogram_that_carries_on_was_not_reset() {
        let mut source = MemorySource::new();
        let series = labels(&[("__name__", "h")]);
        for (t, count) in [(10, 1.0), (20, 3.0), (30, 2.0), (40, 2.0)] {
            let histogram = Histogram { count, ..Histogram::default() };
            source.insert(&series, t, Value::Histogram(Arc::new(histogram)), 0);
        }
        let hints = |range| -> Vec<ResetHint> {
            read(&source, range).histograms.iter().map(|(_, h)| h.reset_hint).collect()
        };
        let (unknown, not_reset) = (ResetHint::Unknown, ResetHint::NotReset);
        assert_eq!(hints(TimeRange::ALL), [unknown, not_reset, unknown, not_reset]);
        assert_eq!(hints(TimeRange::new(10, 30)), [not_reset, unknown], "the sample before the range counts");
    }

    #[test]
    fn deleting_the_last_sample_removes_the_series() {
        let mut source = MemorySource::new();
        source.insert(&labels(&[("job", "a")]), 5, Value::Float(1.0), 0);
        source.insert(&labels(&[("job", "b")]), 5, Value::Float(1.0), 0);
        assert_eq!(source.delete(&[Matcher::equal("job", "a")], TimeRange::new(5, 9)), 0);
        assert_eq!(source.delete(&[Matcher::equal("job", "a")], TimeRange::new(4, 5)), 1);
        assert_eq!(source.label_values("job", &[], TimeRange::ALL).unwrap(), ["b"]);
        source.clear();
        assert_eq!(source.series_count(), 0);
    }

    #[test]
    fn a_foreign_handle_and_a_crossed_range_read_nothing() {
        let mut source = MemorySource::new();
        source.insert(&labels(&[("job", "a")]), 5, Value::Float(1.0), 0);
        let foreign = SeriesRef { labels: Labels::empty(), handle: u64::MAX, rank: 0 };
        let mut out = Samples::default();
        source.read(&foreign, TimeRange::ALL, &mut out).unwrap();
        assert!(out.is_empty());
        assert!(read(&source, TimeRange::new(9, 2)).is_empty());
        assert!(source.label_names(&[], TimeRange::new(9, 2)).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn reads_what_a_sorted_list_holds(
            writes in proptest::collection::vec((-20i64..20, any::<f64>()), 0..40),
            start in -25i64..25,
            end in -25i64..25,
        ) {
            let mut source = MemorySource::new();
            let series = labels(&[("__name__", "m")]);
            let mut model: Vec<(i64, u64)> = Vec::new();
            for (t, v) in writes {
                source.insert(&series, t, Value::Float(v), 0);
                model.retain(|(known, _)| *known != t);
                model.push((t, v.to_bits()));
            }
            model.sort_unstable_by_key(|(t, _)| *t);
            model.retain(|(t, _)| start < *t && *t <= end);
            let got = read(&source, TimeRange::new(start, end));
            let got: Vec<(i64, u64)> =
                got.timestamps.iter().zip(&got.values).map(|(t, v)| (*t, v.to_bits())).collect();
            prop_assert_eq!(got, model);
        }
    }
}
