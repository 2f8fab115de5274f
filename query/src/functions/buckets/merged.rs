//! Windows as merged buckets: for estimates where samples are gone, which look at whole buckets and at cut ones, and for
//! quantiles of their distributions.

use barograph_engine::rollup::{Bucket, BucketColumns};

use super::folds::Folds;
use super::{Seen, Span};

/// The buckets of one series, and what the windows so far add up to.
pub(crate) struct Merged {
    buckets: Vec<Bucket>,
    folds: Folds<Bucket>,
}

impl Merged {
    /// Windows of this length, which share buckets with each other or not.
    pub fn new(columns: &BucketColumns, range_ns: i64, overlaps: bool) -> Self {
        Merged { buckets: columns.buckets().collect(), folds: Folds::new(range_ns, overlaps) }
    }

    /// A window, which must not be before the one of the previous call.
    pub fn see(&mut self, span: &Span<'_>) -> Seen<'_> {
        let Merged { buckets, folds } = self;
        let bucket = |row: Option<usize>| row.map(|row| &buckets[row]);
        let Span { start, end, .. } = *span;
        let whole = folds.fold(&span.columns.ends, span.rows(), end, |row| buckets[row].clone());
        Seen {
            start,
            end,
            parts: &buckets[span.rows()],
            whole,
            left: bucket(span.left),
            right: bucket(span.right),
            both: bucket(span.both),
        }
    }
}
