//! The trait through which queries read storage.
//!
//! It is synchronous and independent of PromQL: times are already resolved, and a source neither widens nor shifts a
//! range and has no concept of lookback, step or offset. `memory` is a source for tests and embedders; `engine` adapts
//! the storage engine.

pub mod engine;
pub mod memory;

use std::sync::Arc;

use barograph_engine::budget::{Denied, Stopped};
use barograph_engine::model::{Labels, Matcher, Samples, TimeRange, Timestamp, is_named_like_counter};
pub use barograph_engine::rollup::{BucketColumns, Columns};

pub use memory::MemorySource;

/// A selected series: its labels, and the source's own handle for reading it.
#[derive(Debug, Clone)]
pub struct SeriesRef {
    /// The label set. A source returns each set at most once.
    pub labels: Labels,
    /// A handle that only the source that returned it can interpret.
    pub handle: u64,
    /// Its rank among the selected series in label order, from 0 without gaps.
    pub rank: u32,
}

/// Reads series of a source one after the other, and reuses resources of the previous read.
pub trait SeriesReader {
    /// Like [`SeriesSource::read`], but `out` may have any contents.
    ///
    /// # Errors
    /// [`SourceError::Storage`].
    fn read(&mut self, series: &SeriesRef, range: TimeRange, out: &mut Samples) -> Result<(), SourceError>;

    /// Like [`SeriesSource::read_buckets`].
    ///
    /// # Errors
    /// [`SourceError::Storage`].
    fn read_buckets(
        &mut self,
        series: &SeriesRef,
        width: i64,
        range: TimeRange,
        columns: Columns,
        out: &mut BucketColumns,
    ) -> Result<bool, SourceError> {
        let _ = (series, width, range, columns, out);
        Ok(false)
    }
}

/// A tier of a source: the buckets of one width that it can return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierInfo {
    /// The width of a bucket, nanoseconds. The ends of buckets are its multiples.
    pub width: i64,
    /// Buckets of later samples are stored, up to `through`. Outside, and where buckets are [omitted](SeriesSource::omits_buckets), the
    /// source folds samples, which costs more than reading them.
    pub from: Timestamp,
    /// The last time of which buckets are stored.
    pub through: Timestamp,
}

/// Reads each series through the source.
struct OneByOne<'s, S: ?Sized>(&'s S);

impl<S: SeriesSource + ?Sized> SeriesReader for OneByOne<'_, S> {
    fn read(&mut self, series: &SeriesRef, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        out.clear();
        self.0.read(series, range, out)
    }

    fn read_buckets(
        &mut self,
        series: &SeriesRef,
        width: i64,
        range: TimeRange,
        columns: Columns,
        out: &mut BucketColumns,
    ) -> Result<bool, SourceError> {
        self.0.read_buckets(series, width, range, columns, out)
    }
}

/// An estimate of what a selection would read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    /// Series.
    pub series: u64,
    /// Chunks.
    pub chunks: u64,
    /// Samples.
    pub samples: u64,
}

/// The error behind a [`SourceError`], shared by its clones. For the storage engine, it is a `barograph::StorageError`.
#[derive(Debug, Clone)]
pub struct Cause(Arc<dyn std::error::Error + Send + Sync>);

impl Cause {
    /// Wraps an error as a cause.
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

/// Why a source could not answer. The text is that of its cause, which is also its
/// [`source`](std::error::Error::source).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Storage is damaged or unreadable. The text names file or key and offset.
    #[error("{0}")]
    Storage(#[source] Cause),
    /// The query needs more memory than one query may hold, or than is free.
    #[error(transparent)]
    Memory(#[from] Denied),
    /// The query was canceled or passed its deadline.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The source cannot answer now; the same read may succeed later.
    #[error("{0}")]
    Busy(#[source] Cause),
    /// The source is closed, or belongs to the parent process of this one.
    #[error("{0}")]
    Closed(#[source] Cause),
    /// The selection is larger than allowed.
    #[error("selector matches more than {limit} series; add matchers or raise the limit")]
    TooManySeries {
        /// The limit that was passed.
        limit: usize,
    },
}

/// A consistent read of storage. A query uses one source from beginning to end. The source takes memory that it needs
/// for itself from the query's [`Request::work`](crate::Request::work).
pub trait SeriesSource: Sync {
    /// The series that match all matchers and may have samples in `range`, in the order in which the source reads them
    /// fastest. Series without samples in the range may be included.
    ///
    /// # Errors
    /// [`SourceError::TooManySeries`] if more than `series_max` match.
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<SeriesRef>, SourceError>;

    /// Appends to `out` the samples of `series` with timestamps in `range`, in ascending order and including stale
    /// markers. `out` must be empty. A histogram whose writer gave no reset hint gets the hint that there was no reset
    /// if it continues from the previous sample, whether or not that sample is in the range.
    ///
    /// # Errors
    /// [`SourceError::Storage`].
    fn read(&self, series: &SeriesRef, range: TimeRange, out: &mut Samples) -> Result<(), SourceError>;

    /// The tiers, the finest first. Only those whose buckets are cheaper to read than their samples. A source without
    /// tiers is never asked for buckets. A tier begins where it does for all series that the selectors match,
    /// as far as that is after `from`.
    ///
    /// # Errors
    /// [`SourceError::Storage`].
    fn tiers(&self, selectors: &[&[Matcher]], from: Timestamp) -> Result<Vec<TierInfo>, SourceError> {
        let _ = (selectors, from);
        Ok(Vec::new())
    }

    /// Whether the tier of this width stores few of the buckets of the series that match all matchers, so that reading them
    /// costs more than reading samples.
    ///
    /// # Errors
    /// [`SourceError::Storage`].
    fn omits_buckets(&self, matchers: &[Matcher], width: i64) -> Result<bool, SourceError> {
        let _ = (matchers, width);
        Ok(false)
    }

    /// Replaces the contents of `out` by the buckets of `series` of one of the [widths](SeriesSource::tiers) whose spans
    /// `(end - width, end]` have a time in `range`, in ascending order, with these columns; a bucket without samples and
    /// markers may be missing. They describe all samples in their spans: where none are stored, the source folds samples.
    ///
    /// Returns false if the series cannot be described by buckets there, as it has histograms. `out` then has any
    /// contents, and the caller reads samples.
    ///
    /// # Errors
    /// [`SourceError::Storage`].
    fn read_buckets(
        &self,
        series: &SeriesRef,
        width: i64,
        range: TimeRange,
        columns: Columns,
        out: &mut BucketColumns,
    ) -> Result<bool, SourceError> {
        let _ = (series, width, range, columns, out);
        Ok(false)
    }

    /// Like [`SeriesSource::select`], for reading buckets of one of the [widths](SeriesSource::tiers). A series may be
    /// read in both ways.
    ///
    /// # Errors
    /// Same as [`SeriesSource::select`].
    fn select_buckets(
        &self,
        matchers: &[Matcher],
        width: i64,
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<SeriesRef>, SourceError> {
        let _ = width;
        self.select(matchers, range, series_max)
    }

    /// Samples up to this time of some series that the selectors match may be gone although buckets still describe them. Only
    /// times after `from` matter.
    ///
    /// # Errors
    /// [`SourceError::Storage`].
    fn samples_from(&self, selectors: &[&[Matcher]], from: Timestamp) -> Result<Timestamp, SourceError> {
        let _ = (selectors, from);
        Ok(Timestamp::MIN)
    }

    /// Whether a series counts something, so that its rate says more than its values. Without knowledge of the metric, its
    /// name decides.
    fn is_counter(&self, labels: &Labels) -> bool {
        labels.metric_name().is_some_and(is_named_like_counter)
    }

    /// A reader of many series. Several readers may run at once, each on different series.
    fn reader(&self) -> Box<dyn SeriesReader + '_> {
        Box::new(OneByOne(self))
    }

    /// An estimate of reading these series in `range`, from the index and the catalogue alone. No chunk is read. `None`
    /// if the source cannot estimate.
    ///
    /// # Errors
    /// [`SourceError::Storage`].
    fn estimate(&self, matchers: &[Matcher], range: TimeRange) -> Result<Option<Estimate>, SourceError> {
        let _ = (matchers, range);
        Ok(None)
    }

    /// What the response may lack, one text each: damaged parts of storage that have been left out so far.
    fn left_out(&self) -> Vec<String> {
        Vec::new()
    }

    /// Chunks read so far.
    fn chunks_read(&self) -> u64 {
        0
    }

    /// The label names of the series that match all matchers and may have samples in `range`, sorted. Without matchers:
    /// of all series.
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
