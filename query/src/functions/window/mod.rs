//! The samples of one series in columns, and the window that a range function sees.
//!
//! Floats and histograms are in separate columns without stale markers, so a kernel over floats is a loop over two
//! slices. A kernel is a closure `FnMut(&Window) -> Option<…>` that is called for windows that move forward in time. It
//! may keep state (a deque, prefix counts) between calls.
//!
//! # Invariants
//! W1. Timestamps are strictly ascending within a column.
//! W2. The windows of one kernel never move back: `lo` and `hi` only grow.

use std::sync::Arc;

use barograph_engine::model::{Histogram, Samples, Timestamp, is_stale};
use barograph_engine::rollup::Edge;

use crate::histogram::resets::with_hint;

pub(crate) mod boundaries;
mod call;
pub(crate) mod conditional_count;
pub(crate) mod counter;
pub(crate) mod distribution;
pub(crate) mod edges;
pub(crate) mod float_histogram;
pub(crate) mod folds;
pub(crate) mod histogram_change;
pub(crate) mod kernels;
pub(crate) mod over_time;
pub(crate) mod resets;
pub(crate) mod slide;
pub(crate) mod unextrapolated;

pub use edges::Edges;

pub(crate) use call::{RangeCall, WindowKernel, WindowedSeries};

/// Number of values that are searched for stale markers at a time.
const STALE_BLOCK: usize = 128;

/// All samples of a series that its windows need.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns {
    /// Times of the floats, nanoseconds.
    pub times: Vec<Timestamp>,
    /// The floats.
    pub values: Vec<f64>,
    /// Start times of the floats, or empty if none is known.
    pub starts: Vec<Timestamp>,
    /// Times of the histograms.
    pub histogram_times: Vec<Timestamp>,
    /// The histograms.
    pub histograms: Vec<Arc<Histogram>>,
    /// Start times of the histograms, or empty if none is known.
    pub histogram_starts: Vec<Timestamp>,
}

impl Columns {
    /// Empties all columns, keeping their memory.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.starts.clear();
        self.histogram_times.clear();
        self.histograms.clear();
        self.histogram_starts.clear();
    }

    /// Splits the samples into columns without stale markers, replacing the contents of `self`. `samples` is emptied.
    pub fn fill(&mut self, samples: &mut Samples) {
        self.clear();
        let plain = samples.histograms.is_empty() && samples.start_timestamps.iter().all(|&s| s == 0);
        // Block by block, because a loop that may end at any value is not vectorized.
        let has_stale = |block: &[f64]| block.iter().fold(false, |found, &v| found | is_stale(v));
        if plain && !samples.values.chunks(STALE_BLOCK).any(has_stale) {
            std::mem::swap(&mut self.times, &mut samples.timestamps);
            std::mem::swap(&mut self.values, &mut samples.values);
            samples.clear();
            return;
        }
        let with_starts = samples.start_timestamps.iter().any(|&s| s != 0);
        let mut histograms = samples.histograms.drain(..).peekable();
        for (i, (&t, &v)) in samples.timestamps.iter().zip(&samples.values).enumerate() {
            let start = samples.start_timestamps.get(i).copied().unwrap_or(0);
            if let Some((_, h)) = histograms.next_if(|(at, _)| *at as usize == i) {
                if !is_stale(h.sum) {
                    self.histogram_times.push(t);
                    self.histograms.push(h);
                    if with_starts {
                        self.histogram_starts.push(start);
                    }
                }
            } else if !is_stale(v) {
                self.times.push(t);
                self.values.push(v);
                if with_starts {
                    self.starts.push(start);
                }
            }
        }
        drop(histograms);
        samples.clear();
    }

    /// Infers a reset hint for every histogram without one.
    pub fn infer_hints(&mut self) {
        for i in (1..self.histograms.len()).rev() {
            self.histograms[i] = with_hint(&self.histograms[i], &self.histograms[i - 1]);
        }
    }

    /// Adds the floats of `later` after its own.
    pub fn append_floats(&mut self, later: &Columns) {
        self.times.extend_from_slice(&later.times);
        self.values.extend_from_slice(&later.values);
    }

    /// The float at `index`.
    #[inline]
    pub fn edge(&self, index: usize) -> Edge {
        let start = self.starts.get(index).copied().unwrap_or(0);
        Edge { time: self.times[index], value: self.values[index], start }
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.times.len() + self.histogram_times.len()
    }
}

/// A position of a moving window: the samples in `(start, end]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    /// The whole series.
    pub columns: &'a Columns,
    /// Index of the first float inside.
    pub lo: usize,
    /// One past the last float inside.
    pub hi: usize,
    /// Index of the first histogram inside.
    pub histogram_lo: usize,
    /// One past the last histogram inside.
    pub histogram_hi: usize,
    /// The left end, exclusive, nanoseconds.
    pub start: Timestamp,
    /// The right end, inclusive, nanoseconds.
    pub end: Timestamp,
    /// The evaluation step of the window.
    pub step: usize,
    /// The time of the step, milliseconds. It differs from the right end if `@` or `offset` moves the window.
    pub time_ms: i64,
}

impl<'a> Window<'a> {
    /// Times of the floats inside.
    #[inline]
    pub fn times(&self) -> &'a [Timestamp] {
        &self.columns.times[self.lo..self.hi]
    }

    /// The floats inside.
    #[inline]
    pub fn values(&self) -> &'a [f64] {
        &self.columns.values[self.lo..self.hi]
    }

    /// Start times of the floats inside; empty if unknown.
    pub fn starts(&self) -> &'a [Timestamp] {
        self.columns.starts.get(self.lo..self.hi).unwrap_or(&[])
    }

    /// The float at `index`, counted from the beginning of the window.
    #[inline]
    pub fn edge(&self, index: usize) -> Edge {
        self.columns.edge(self.lo + index)
    }

    /// Times of the histograms inside.
    pub fn histogram_times(&self) -> &'a [Timestamp] {
        &self.columns.histogram_times[self.histogram_lo..self.histogram_hi]
    }

    /// The histograms inside.
    pub fn histograms(&self) -> &'a [Arc<Histogram>] {
        &self.columns.histograms[self.histogram_lo..self.histogram_hi]
    }

    /// Start times of the histograms inside; empty if unknown.
    pub fn histogram_starts(&self) -> &'a [Timestamp] {
        self.columns.histogram_starts.get(self.histogram_lo..self.histogram_hi).unwrap_or(&[])
    }

    /// Floats inside.
    pub fn len(&self) -> usize {
        self.hi - self.lo
    }

    /// Histograms inside.
    pub fn histogram_len(&self) -> usize {
        self.histogram_hi - self.histogram_lo
    }

    /// Length of the window in seconds.
    pub fn seconds(&self) -> f64 {
        seconds(self.end.saturating_sub(self.start))
    }
}

/// Nanoseconds as seconds. The quotient is correctly rounded below 104 days, so it has the same bits as milliseconds
/// divided by 1000.
#[inline]
pub(crate) fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

/// A sample's time as PromQL shows it: seconds, by whole milliseconds.
pub(crate) fn shown_seconds(time_ns: Timestamp) -> f64 {
    time_ns.div_euclid(1_000_000) as f64 / 1000.0
}
