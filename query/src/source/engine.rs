//! The storage engine as a source. This is the only file of the crate that uses the engine directly.

use std::sync::{Arc, RwLock};

use barograph_engine::budget::Taken;
use barograph_engine::chunk::Run;
use barograph_engine::model::{
    Histogram, Labels, Matcher, ResetHint, Resolution, Samples, TimeRange, Timestamp, Value,
};
use barograph_engine::rollup::BucketColumns;
use barograph_engine::{BucketPlan, Error, View, ViewSeries};

use crate::source::{Cause, Columns, Estimate, SeriesReader, SeriesRef, SeriesSource, SourceError, TierInfo};

/// A handle consists of the number of a selection and, in the lower bits, an index into it.
const SELECTION_SHIFT: u32 = 32;

/// A view of the engine as a source for one query.
pub struct EngineSource<'e> {
    view: View<'e>,
    selected: RwLock<Vec<Arc<Selected>>>,
}

/// The series of one selection.
struct Selected {
    series: Vec<ViewSeries>,
    /// Where their buckets are, if they were selected for that.
    plan: Option<BucketPlan>,
}

impl<'e> EngineSource<'e> {
    /// Wraps a view, which leaves out damaged parts; the response has warnings about them. Memory is taken from the
    /// view's [`Work`](barograph_engine::budget::Work), which is that of the query. Closing the database waits for the
    /// query.
    pub fn new(view: View<'e>) -> Self {
        EngineSource { view: view.leaving_out_damage().as_one_call(), selected: RwLock::default() }
    }
}

/// Determines which histograms without a hint from their writers continue from the previous sample.
fn tell_continued(
    view: &View<'_>,
    series: &ViewSeries,
    range: TimeRange,
    histograms: &mut [(u32, Arc<Histogram>)],
) -> Result<(), Error> {
    let mut previous: Option<(u32, Arc<Histogram>)> = None;
    for (at, histogram) in histograms {
        match &previous {
            Some((before, previous)) if before + 1 == *at => Histogram::hint_from(histogram, previous),
            None if *at == 0 && histogram.reset_hint == ResetHint::Unknown => {
                if let Some(Value::Histogram(before)) = view.newest_before(series, range.start)? {
                    Histogram::hint_from(histogram, &before);
                }
            }
            _ => {}
        }
        previous = Some((*at, Arc::clone(histogram)));
    }
    Ok(())
}

/// Like [`each_series`], but calls `visit` with a long series in several pieces, as returned by [`View::each_piece`].
///
/// # Errors
/// [`SourceError`].
pub fn each_piece(
    view: &View<'_>,
    matchers: &[Matcher],
    range: TimeRange,
    series_max: usize,
    skip: &dyn Fn(&Labels) -> bool,
    visit: &mut dyn FnMut(&Labels, &Samples) -> bool,
) -> Result<bool, SourceError> {
    let mut samples = Samples::default();
    let whole = view.each_piece(matchers, range, series_max, skip, &mut |series, piece, run| {
        tell_continued(view, series, piece, &mut run.histograms)?;
        hand_out(run, &mut samples);
        Ok(visit(&series.labels, &samples))
    });
    whole.map_err(|error| too_many(error, series_max))
}

/// Calls `visit` with the samples in `range` of each series that matches all matchers and is not skipped by `skip`, as
/// queries see them, in label order, until it returns false. Returns whether it never did. Each series is read as by
/// [`View::each_series`].
///
/// # Errors
/// [`SourceError`].
pub fn each_series(
    view: &View<'_>,
    matchers: &[Matcher],
    range: TimeRange,
    series_max: usize,
    skip: &dyn Fn(&Labels) -> bool,
    visit: &mut dyn FnMut(&Labels, &Samples) -> bool,
) -> Result<bool, SourceError> {
    let mut samples = Samples::default();
    let whole = view.each_series(matchers, range, series_max, skip, &mut |series, run| {
        tell_continued(view, series, range, &mut run.histograms)?;
        hand_out(run, &mut samples);
        Ok(visit(&series.labels, &samples))
    });
    whole.map_err(|error| too_many(error, series_max))
}

/// The existing memory of the columns of `out` is reused.
fn hand_out(run: &mut Run, out: &mut Samples) {
    std::mem::swap(&mut out.timestamps, &mut run.timestamps);
    std::mem::swap(&mut out.values, &mut run.values);
    std::mem::swap(&mut out.histograms, &mut run.histograms);
    std::mem::swap(&mut out.start_timestamps, &mut run.starts);
}

fn too_many(error: Error, series_max: usize) -> SourceError {
    match error {
        Error::Limit(_) => SourceError::TooManySeries { limit: series_max },
        error => storage(error),
    }
}

fn storage(error: Error) -> SourceError {
    match error {
        Error::Memory(denied) => denied.into(),
        Error::Stopped(stopped) => stopped.into(),
        Error::Throttled(_) => SourceError::Busy(Cause::new(error)),
        Error::Closed | Error::Forked { .. } => SourceError::Closed(Cause::new(error)),
        error => SourceError::Storage(Cause::new(error)),
    }
}

struct EngineReader<'s, 'e> {
    source: &'s EngineSource<'e>,
    reader: barograph_engine::SeriesReader<'s, 'e>,
    /// The selection of the last read, and its number.
    selection: Option<(u64, Arc<Selected>)>,
    run: Run,
}

impl EngineReader<'_, '_> {
    /// The selection and the index of a handle.
    ///
    /// # Errors
    /// The handle is unknown.
    fn selected(&mut self, series: &SeriesRef) -> Result<(Arc<Selected>, usize), SourceError> {
        let selection = self.selection(series.handle >> SELECTION_SHIFT).cloned();
        let at = (series.handle & ((1 << SELECTION_SHIFT) - 1)) as usize;
        let known = selection.filter(|selection| at < selection.series.len());
        let known = known.map(|selection| (selection, at));
        known.ok_or_else(|| storage(Error::Invalid(format!("unknown series handle {}", series.handle))))
    }

    /// The selection with this number, if it exists.
    fn selection(&mut self, number: u64) -> Option<&Arc<Selected>> {
        if self.selection.as_ref().is_none_or(|(known, _)| *known != number) {
            let all = self.source.selected.read().unwrap_or_else(|poisoned| poisoned.into_inner());
            self.selection = all.get(number as usize).map(|found| (number, found.clone()));
        }
        self.selection.as_ref().map(|(_, found)| found)
    }
}

impl SeriesReader for EngineReader<'_, '_> {
    fn read(&mut self, series: &SeriesRef, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        let (selection, at) = self.selected(series)?;
        let entry = &selection.series[at];
        let read = match &selection.plan {
            None => self.reader.read(entry, range, &mut self.run),
            Some(plan) => self.reader.read_samples(plan, entry, range, &mut self.run),
        };
        read.map_err(storage)?;
        let run = &mut self.run;
        if !run.histograms.is_empty() {
            tell_continued(&self.source.view, entry, range, &mut run.histograms).map_err(storage)?;
        }
        hand_out(run, out);
        Ok(())
    }

    fn read_buckets(
        &mut self,
        series: &SeriesRef,
        width: i64,
        range: TimeRange,
        columns: Columns,
        out: &mut BucketColumns,
    ) -> Result<bool, SourceError> {
        let (selection, at) = self.selected(series)?;
        let Some(plan) = selection.plan.as_ref().filter(|plan| plan.resolution().width_ns() == width) else {
            return Ok(false);
        };
        if !self.reader.read_buckets(plan, &selection.series[at], columns, out).map_err(storage)? {
            return Ok(false);
        }
        let is_inside = |end: i64| range.overlaps(end.saturating_sub(width - 1), end);
        let ends = (out.ends.first(), out.ends.last());
        if ends.0.is_some_and(|end| !is_inside(*end)) || ends.1.is_some_and(|end| !is_inside(*end)) {
            out.retain_from(0, |all, row| is_inside(all.ends[row]));
        }
        if columns.contains(Columns::HINTS) && out.awaits_hint() {
            let begin = plan.range().start.max(range.start.div_euclid(width).saturating_mul(width));
            let mut earlier = BucketColumns::default();
            let entry = &selection.series[at];
            let before = self.reader.newest_native_before(plan, entry, begin, &mut earlier);
            if let Some(before) = before.map_err(storage)? {
                out.hint_from(&before);
            }
        }
        Ok(true)
    }
}

impl EngineSource<'_> {
    /// Keeps a selection, and returns references to its series.
    fn keep(&self, selection: Selected) -> Result<Vec<SeriesRef>, SourceError> {
        let found = &selection.series;
        // From then on, the caller counts them.
        let taken = Taken::of(self.view.work());
        taken.more(found.len() * size_of::<SeriesRef>())?;
        let mut selected = self.selected.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let first = (selected.len() as u64) << SELECTION_SHIFT;
        let refs = found
            .iter()
            .zip(first..)
            .map(|(series, handle)| SeriesRef { labels: series.labels.clone(), handle, rank: series.rank })
            .collect();
        selected.push(Arc::new(selection));
        Ok(refs)
    }
}

impl SeriesSource for EngineSource<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<SeriesRef>, SourceError> {
        let found = self.view.select_unsorted(matchers, range, series_max);
        let series = found.map_err(|error| too_many(error, series_max))?;
        self.keep(Selected { series, plan: None })
    }

    fn tiers(&self, selectors: &[&[Matcher]], from: Timestamp) -> Result<Vec<TierInfo>, SourceError> {
        let tiers = self.view.tiers_of(selectors, from).map_err(storage)?.into_iter();
        let info = |tier: barograph_engine::TierSpan| TierInfo {
            width: tier.resolution.width_ns(),
            from: tier.range.start,
            through: tier.range.end,
        };
        Ok(tiers.map(info).collect())
    }

    fn omits_buckets(&self, matchers: &[Matcher], width: i64) -> Result<bool, SourceError> {
        let omits = |resolution| self.view.omits(matchers, resolution).map_err(storage);
        Resolution::of_width(width).map_or(Ok(false), omits)
    }

    fn samples_from(&self, selectors: &[&[Matcher]], from: Timestamp) -> Result<Timestamp, SourceError> {
        self.view.raw_from_of(selectors, from).map_err(storage)
    }

    fn select_buckets(
        &self,
        matchers: &[Matcher],
        width: i64,
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<SeriesRef>, SourceError> {
        let Some(resolution) = Resolution::of_width(width) else {
            return self.select(matchers, range, series_max);
        };
        let found = self.view.select_buckets(matchers, resolution, range, series_max);
        let (series, plan) = found.map_err(|error| too_many(error, series_max))?;
        self.keep(Selected { series, plan: Some(plan) })
    }

    fn read_buckets(
        &self,
        series: &SeriesRef,
        width: i64,
        range: TimeRange,
        columns: Columns,
        out: &mut BucketColumns,
    ) -> Result<bool, SourceError> {
        self.reader().read_buckets(series, width, range, columns, out)
    }

    fn read(&self, series: &SeriesRef, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        self.reader().read(series, range, out)
    }

    fn is_counter(&self, labels: &Labels) -> bool {
        self.view.is_counter(labels)
    }

    fn reader(&self) -> Box<dyn SeriesReader + '_> {
        Box::new(EngineReader {
            source: self,
            reader: self.view.reader(),
            selection: None,
            run: Run::default(),
        })
    }

    fn estimate(&self, matchers: &[Matcher], range: TimeRange) -> Result<Option<Estimate>, SourceError> {
        let found = self.view.estimate(matchers, range).map_err(storage)?;
        Ok(Some(Estimate { series: found.series, chunks: found.chunks, samples: found.samples }))
    }

    fn left_out(&self) -> Vec<String> {
        self.view.left_out().iter().map(ToString::to_string).collect()
    }

    fn chunks_read(&self) -> u64 {
        self.view.chunks_read()
    }

    fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>, SourceError> {
        self.view.label_names(&[matchers.to_vec()], range, usize::MAX).map_err(storage)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SourceError> {
        let values =
            self.view.label_values(name, &[matchers.to_vec()], range, usize::MAX).map_err(storage)?;
        Ok(values.into_iter().map(|(value, _)| value).collect())
    }
}

#[cfg(test)]
mod tests {
    use barograph_engine::budget::Work;
    use barograph_engine::{Batch, Engine, Options};

    use super::*;

    /// The memory that a query holds for a selection before it has seen the first of its series.
    #[test]
    fn the_list_of_a_selection_is_taken_before_it_is_made() {
        const SERIES: usize = 10_000;
        let engine = Engine::in_memory(Options::default().with_background(false)).unwrap();
        let mut batch = Batch::new();
        for series in 0..SERIES {
            let number = series.to_string();
            let labels = Labels::from_pairs([("__name__", "m"), ("i", number.as_str())]).unwrap();
            batch.push(&labels, 1_000_000, Value::Float(1.0));
        }
        engine.append(&batch).unwrap();
        let matchers = [Matcher::equal("__name__", "m")];
        let select = |limit: u64| {
            let work = Work::unbounded().holding(limit);
            let source = EngineSource::new(engine.view().with_work(&work));
            let found = source.select(&matchers, TimeRange::ALL, SERIES);
            found.map(|found| (found.len(), work.account().bytes(), work.account().peak()))
        };
        let (count, held, peak) = select(u64::MAX).unwrap();
        assert_eq!(count, SERIES);
        let list = (SERIES * size_of::<SeriesRef>()) as u64;
        assert!(peak >= held + list, "{peak} bytes at most, {held} are kept");
        assert!(matches!(select(held + list - 1), Err(SourceError::Memory(_))));
    }
}
