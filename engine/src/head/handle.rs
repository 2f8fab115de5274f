//! Handles of series: a batch that uses them needs no lookup of a label set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::head::HeadSeries;
use crate::model::Labels;

/// A series of one open database. Samples can be appended to it without looking up its labels:
/// [`Batch::push_to`](crate::Batch::push_to).
///
/// A handle holds the series' entry in memory, but no samples. A series without samples for some flushes leaves memory.
/// Its handle stays valid, but each sample then costs a lookup, so take a new handle for a series that becomes active
/// again.
#[derive(Debug, Clone)]
pub struct SeriesHandle {
    pub(crate) series: Arc<HeadSeries>,
    pub(crate) owner: Owner,
}

impl SeriesHandle {
    /// The label set.
    pub fn labels(&self) -> &Labels {
        &self.series.labels
    }
}

/// Identifies the open database that a handle belongs to: ids of series mean nothing in another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(u64);

impl Owner {
    /// Returns one that is unique in this process.
    pub(crate) fn new() -> Owner {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Owner(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
