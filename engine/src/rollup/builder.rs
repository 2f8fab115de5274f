//! Folds the samples of one series into buckets, and fine buckets into coarse ones.
//!
//! The samples of the open bucket are collected in columns and folded when the bucket ends, or when there are [`PIECE`]
//! of them. Pieces end at fixed numbers of samples from the start of the bucket, so the result does not depend on how
//! the samples were divided into chunks.

use std::sync::Arc;

use super::bucket::{Bucket, Extras};
use super::columns::Columns;
use super::piece::Piece;
use crate::model::{Histogram, Timestamp};

/// The number of samples after which an open bucket is folded: as many as the first-level cache holds.
const PIECE: usize = 1024;

/// Folds the samples of one series into buckets of one width.
///
/// ```
/// use barograph_engine::rollup::{Builder, Extras};
///
/// let mut buckets = Vec::new();
/// let mut builder = Builder::new(60, Extras::ALL);
/// builder.extend(&[10, 40, 60, 70], &[1.0, 2.0, 3.0, 4.5], &[], &mut buckets);
/// builder.finish(&mut buckets);
/// assert_eq!(buckets.iter().map(|b| (b.end, b.count, b.sum.value())).collect::<Vec<_>>(), [(60, 3, 6.0), (120, 1, 4.5)]);
/// ```
#[derive(Debug)]
pub struct Builder {
    fold: Fold,
    piece: Piece,
    columns: Columns,
}

impl Builder {
    /// A builder of buckets `width` nanoseconds wide, whose ends are multiples of it.
    ///
    /// # Panics
    /// If the width is not positive.
    pub fn new(width: i64, extras: Extras) -> Self {
        let bounds = if extras.bounds { Columns::BOUNDS } else { Columns::NONE };
        let distribution = if extras.distribution { Columns::SKETCH } else { Columns::NONE };
        Builder::of(width, Columns::CORE | bounds | distribution)
    }

    /// Like [`Builder::new`], but only for these columns and those from which they follow. The others are unknown, as if
    /// a chunk did not keep them.
    ///
    /// # Panics
    /// If the width is not positive.
    pub fn of(width: i64, columns: Columns) -> Self {
        Builder { fold: Fold::new(width), piece: Piece::default(), columns: columns.with_sources() }
    }

    /// Adds samples in ascending time order, later than all before. `starts` is empty, or has a start timestamp for each
    /// sample, 0 if it is unknown. Appends the buckets that end before the last one to `out`.
    ///
    /// # Panics
    /// If there is not one value (and start) for each time.
    pub fn extend(
        &mut self,
        times: &[Timestamp],
        values: &[f64],
        starts: &[Timestamp],
        out: &mut Vec<Bucket>,
    ) {
        assert_eq!(times.len(), values.len(), "as many values as times");
        assert!(starts.is_empty() || starts.len() == times.len(), "as many start timestamps as times");
        let mut at = 0;
        while let Some(&time) = times.get(at) {
            let end = end_of(time, self.fold.width);
            if end != self.piece.end {
                self.close(out);
                self.piece.end = end;
            }
            let room = PIECE.saturating_sub(self.piece.len()).min(times.len() - at);
            let span = at..at + within(&times[at..at + room], end);
            let starts = if starts.is_empty() { starts } else { &starts[span.clone()] };
            self.piece.extend(&times[span.clone()], &values[span.clone()], starts);
            at = span.end;
            if self.piece.len() >= PIECE {
                self.close(out);
            }
        }
    }

    /// Adds one native histogram, later than all before; the start timestamp is 0 if it is unknown.
    pub fn push_histogram(
        &mut self,
        time: Timestamp,
        start: Timestamp,
        histogram: &Arc<Histogram>,
        out: &mut Vec<Bucket>,
    ) {
        let end = end_of(time, self.fold.width);
        if end != self.piece.end {
            self.close(out);
            self.piece.end = end;
        }
        let keeps = self.columns.contains(Columns::HISTOGRAMS);
        self.piece.push_histogram(time, start, histogram, keeps);
    }

    /// Adds one sample, later than all before.
    pub fn push(&mut self, time: Timestamp, value: f64, start: Timestamp, out: &mut Vec<Bucket>) {
        self.extend(&[time], &[value], &[start], out);
    }

    /// Ends the open bucket. The builder may then continue with another series.
    pub fn finish(&mut self, out: &mut Vec<Bucket>) {
        self.close(out);
        self.fold.finish(out);
    }

    fn close(&mut self, out: &mut Vec<Bucket>) {
        if let Some(bucket) = self.piece.take(self.columns) {
            self.fold.push(bucket, out);
        }
    }
}

/// Folds the buckets of one series into coarser ones.
#[derive(Debug)]
pub struct Fold {
    width: i64,
    open: Option<Bucket>,
}

impl Fold {
    /// Folds into buckets `width` nanoseconds wide, which must be a multiple of the width of the fine ones.
    ///
    /// # Panics
    /// If the width is not positive.
    pub fn new(width: i64) -> Self {
        assert!(width > 0, "a width of {width} ns");
        Fold { width, open: None }
    }

    /// Adds the next bucket in time order. Appends the coarse bucket that ends before it to `out`.
    pub fn push(&mut self, fine: Bucket, out: &mut Vec<Bucket>) {
        let end = end_of(fine.end, self.width);
        match &mut self.open {
            Some(open) if open.end == end => {
                open.merge(&fine);
                open.end = end;
            }
            open => out.extend(open.replace(Bucket { end, ..fine }).map(settled)),
        }
    }

    /// Ends the open bucket.
    pub fn finish(&mut self, out: &mut Vec<Bucket>) {
        out.extend(self.open.take().map(settled));
    }
}

/// A bucket as it is stored.
fn settled(bucket: Bucket) -> Bucket {
    Bucket { m2_rest: 0.0, ..bucket }
}

/// The end of the bucket that contains `time`: the least multiple of `width` that is not before it, or the latest time.
pub fn end_of(time: Timestamp, width: i64) -> Timestamp {
    let after = time.rem_euclid(width);
    if after == 0 { time } else { time.saturating_add(width - after) }
}

/// How many of the ascending `times` are not after `end`.
fn within(times: &[Timestamp], end: Timestamp) -> usize {
    match times.last() {
        Some(&last) if last > end => times.partition_point(|&time| time <= end),
        _ => times.len(),
    }
}

#[cfg(test)]
mod tests;
