//! The storage engine as a source: the only file of this crate that names it.

use std::sync::{Arc, RwLock};

use barograph_engine::model::{Histogram, Matcher, ResetHint, Samples, TimeRange, Value};
use barograph_engine::{Error, View, ViewSeries};

use crate::source::{Estimate, SeriesRef, SeriesSource, SourceError};

/// A view of the engine as a source for one query.
pub struct EngineSource<'e> {
    view: View<'e>,
    selected: RwLock<Vec<Arc<ViewSeries>>>,
    kept_max: u64,
}

impl<'e> EngineSource<'e> {
    /// Wraps a view.
    pub fn new(view: View<'e>) -> Self {
        EngineSource { view, selected: RwLock::default(), kept_max: u64::MAX }
    }

    /// Bounds what the view keeps for the query: a selection beyond it fails before it is
    /// copied as a whole.
    pub fn with_kept_bytes_max(mut self, bytes: u64) -> Self {
        self.view.limit_kept_bytes(bytes);
        self.kept_max = bytes;
        self
    }
}

/// Tells of histograms whose writers left it open which of them carry on from the sample
/// before.
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

fn storage(error: Error) -> SourceError {
    SourceError::Storage(error.to_string())
}

impl SeriesSource for EngineSource<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<SeriesRef>, SourceError> {
        let found = self.view.select(matchers, range, series_max).map_err(|e| match e {
            Error::Limit(_) if self.view.kept_bytes() > self.kept_max => {
                SourceError::Memory { limit: self.kept_max }
            }
            Error::Limit(_) => SourceError::TooManySeries { limit: series_max },
            other => storage(other),
        })?;
        let mut selected = self.selected.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let first = selected.len() as u64;
        let refs = found
            .iter()
            .zip(first..)
            .map(|(series, handle)| SeriesRef { labels: series.labels.clone(), handle })
            .collect();
        selected.extend(found.into_iter().map(Arc::new));
        Ok(refs)
    }

    fn read(&self, series: &SeriesRef, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        let entry = {
            let selected = self.selected.read().unwrap_or_else(|poisoned| poisoned.into_inner());
            selected.get(series.handle as usize).cloned()
        };
        let entry =
            entry.ok_or_else(|| SourceError::Storage(format!("unknown series handle {}", series.handle)))?;
        let mut run = self.view.read(&entry, range).map_err(storage)?;
        tell_continued(&self.view, &entry, range, &mut run.histograms).map_err(storage)?;
        out.timestamps = run.timestamps;
        out.values = run.values;
        out.histograms = run.histograms;
        out.start_timestamps = run.starts;
        Ok(())
    }

    fn estimate(&self, matchers: &[Matcher], range: TimeRange) -> Result<Option<Estimate>, SourceError> {
        let found = self.view.estimate(matchers, range).map_err(storage)?;
        Ok(Some(Estimate { series: found.series, chunks: found.chunks, samples: found.samples }))
    }

    fn kept_bytes(&self) -> u64 {
        self.view.kept_bytes()
    }

    fn chunks_read(&self) -> u64 {
        self.view.chunks_read()
    }

    fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>, SourceError> {
        self.view.label_names(matchers, range).map_err(storage)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SourceError> {
        let values = self.view.label_values(name, matchers, range).map_err(storage)?;
        Ok(values.into_iter().map(|(value, _)| value).collect())
    }
}
