//! The port through which queries read storage.
//!
//! It is synchronous and knows no PromQL: time is already resolved, and a source neither
//! widens nor shifts a range and knows no lookback, step or offset. `memory` is a source
//! for tests and embedders; `engine` adapts the storage engine and is the only file of
//! this crate that names it.

pub mod engine;
pub mod memory;

use std::sync::Arc;

use barograph_engine::budget::{Denied, Stopped};
use barograph_engine::model::{Labels, Matcher, Samples, TimeRange};

pub use memory::MemorySource;

/// A selected series: its labels, and the source's own handle for reading it.
#[derive(Debug, Clone)]
pub struct SeriesRef {
    /// The label set. A source returns each set at most once.
    pub labels: Labels,
    /// Meaningful only to the source that handed it out.
    pub handle: u64,
    /// Its place among the selected series in ascending order of labels, from 0 without gaps.
    pub rank: u32,
}

/// Reads series of a source, one after the other, and keeps for the next what it needed for
/// the last.
pub trait SeriesReader {
    /// As [`SeriesSource::read`], but that `out` comes in with anything.
    ///
    /// # Errors
    /// [`SourceError::Storage`].
    fn read(&mut self, series: &SeriesRef, range: TimeRange, out: &mut Samples) -> Result<(), SourceError>;
}

/// Asks the source for each series.
struct OneByOne<'s, S: ?Sized>(&'s S);

impl<S: SeriesSource + ?Sized> SeriesReader for OneByOne<'_, S> {
    fn read(&mut self, series: &SeriesRef, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        out.clear();
        self.0.read(series, range, out)
    }
}

/// What a selection would read, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    /// Series.
    pub series: u64,
    /// Chunks.
    pub chunks: u64,
    /// Samples.
    pub samples: u64,
}

/// The error behind a [`SourceError`], which clones share. That of the storage engine is a `barograph::Error`.
#[derive(Debug, Clone)]
pub struct Cause(Arc<dyn std::error::Error + Send + Sync>);

impl Cause {
    /// Keeps an error as a cause.
    pub fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Cause(Arc::new(error))
    }
}

impl std::ops::Deref for Cause {
    type Target = dyn std::error::Error + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a source could not answer. Its text is that of its cause, which is also its
/// [`source`](std::error::Error::source).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Storage is damaged or unreadable. The text names file or key and offset.
    #[error("{0}")]
    Storage(#[source] Cause),
    /// What it keeps for the query is more than one may hold, or than others leave.
    #[error(transparent)]
    Memory(#[from] Denied),
    /// The query was canceled or passed its deadline.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The source cannot answer now; the same read may succeed later.
    #[error("{0}")]
    Busy(#[source] Cause),
    /// The source is closed, or belongs to the process that forked this one.
    #[error("{0}")]
    Closed(#[source] Cause),
    /// The selection is larger than allowed.
    #[error("selector matches more than {limit} series; add matchers or raise the limit")]
    TooManySeries {
        /// The limit that was passed.
        limit: usize,
    },
}

/// A consistent read of storage. One query uses one source from beginning to end. What the source keeps for it, beside
/// what it hands out, it takes itself from the query's [`Request::work`](crate::Request::work).
pub trait SeriesSource: Sync {
    /// The series that meet all matchers and may have samples in `range`, in the order in
    /// which the source reads them fastest. A series without samples there may be included.
    ///
    /// # Errors
    /// [`SourceError::TooManySeries`] when more than `series_max` match.
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<SeriesRef>, SourceError>;

    /// Appends to `out` the samples of `series` with timestamps in `range`, ascending,
    /// stale markers included. `out` comes in cleared. A histogram whose writer left open
    /// whether there was a reset is handed out as none, where it carries on from the sample
    /// before it, be that in the range or not.
    ///
    /// # Errors
    /// [`SourceError::Storage`].
    fn read(&self, series: &SeriesRef, range: TimeRange, out: &mut Samples) -> Result<(), SourceError>;

    /// A reader of many series. Several may be at work at once, each on series of its own.
    fn reader(&self) -> Box<dyn SeriesReader + '_> {
        Box::new(OneByOne(self))
    }

    /// What a selection of these series in `range` would read, from the index and the catalogue
    /// alone: no chunk is touched. `None` if the source does not know.
    ///
    /// # Errors
    /// [`SourceError::Storage`].
    fn estimate(&self, matchers: &[Matcher], range: TimeRange) -> Result<Option<Estimate>, SourceError> {
        let _ = (matchers, range);
        Ok(None)
    }

    /// What the response may lack, one text each: damaged parts of storage that were left out so far.
    fn left_out(&self) -> Vec<String> {
        Vec::new()
    }

    /// Chunks read so far.
    fn chunks_read(&self) -> u64 {
        0
    }

    /// The label names of the series that meet all matchers and may have samples in
    /// `range`, sorted. No matchers: of all series.
    ///
    /// # Errors
    /// [`SourceError::Storage`].
    fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>, SourceError>;

    /// The values of label `name` among the same series, sorted.
    ///
    /// # Errors
    /// [`SourceError::Storage`].
    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SourceError>;
}
