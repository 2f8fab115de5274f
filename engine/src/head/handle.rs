//! Handles of series: a batch that names them needs no look-up of a label set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::head::HeadSeries;
use crate::model::Labels;

/// A series of one open database, to append to without its labels being looked up again:
/// [`Batch::push_to`](crate::Batch::push_to).
///
/// It holds the series' entry in memory, no sample. A series that gets no sample for some
/// flushes leaves memory; its handle stays good, but each sample costs a look-up then: take a
/// new handle of a series that comes back to stay.
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

/// Which open database a handle belongs to: ids of series mean nothing in another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(u64);

impl Owner {
    /// One that no other has in this process.
    pub(crate) fn new() -> Owner {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Owner(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
