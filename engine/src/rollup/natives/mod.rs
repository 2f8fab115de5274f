//! The native histograms of a bucket: what the functions of the query language need of them.
//!
//! Like all of a bucket, this depends on the samples in its span alone. What concerns the last histogram of one bucket
//! and the first of the next is derived when buckets are joined ([`Natives::merge`]).
//!
//! A window that begins with a bucket does not see the sample before it. If the counter was reset between the window's
//! first two histograms, neither the values nor the layout of the first one count. So what a reset right after the first
//! histogram took is not in `lost`: `second` says that there was one.

mod sum;

use std::sync::Arc;

pub use sum::HistogramSum;

use super::counter;
use crate::model::histogram::algebra::arithmetic::{equal, zero_like};
use crate::model::histogram::algebra::{is_custom, resets};
use crate::model::{Histogram, ResetHint, Timestamp};

/// The first or the last native histogram of a bucket.
#[derive(Debug, Clone)]
pub struct NativeEdge {
    /// When it was taken, nanoseconds.
    pub time: Timestamp,
    /// Its start timestamp, 0 if it is unknown.
    pub start: Timestamp,
    /// The histogram. The last one of several says whether it continues from the one before it; the first one has the
    /// hint of its writer.
    pub histogram: Arc<Histogram>,
}

/// What the native histograms of a bucket add up to, stale markers left out.
#[derive(Debug, Clone)]
pub struct Natives {
    /// Their number, at least one.
    pub count: u64,
    /// The first one.
    pub first: NativeEdge,
    /// The last one.
    pub last: NativeEdge,
    /// The layout of the second one, without counts, if the counter was reset between the first two.
    pub second: Option<Arc<Histogram>>,
    /// Resets of the counter.
    pub resets: u64,
    /// Changes.
    pub changes: u64,
    /// Histograms that add up to those before each reset, but for the first one; `None` if that is not known. It is not
    /// kept of gauges that fall: it would take as much as they.
    pub lost: Option<Vec<Arc<Histogram>>>,
    /// Histograms that add up to all of them, if all are gauges; `None` if that is not known.
    pub sum: Option<Vec<Arc<Histogram>>>,
    /// The lowest schema of all but the first one; the largest integer if there is no other.
    pub lowest_schema: i32,
    /// Whether one of them, except for the first, has exponential buckets.
    pub has_exponential: bool,
    /// Whether one of them is a gauge.
    pub has_gauges: bool,
    /// Whether one of them is not a gauge.
    pub has_counters: bool,
    /// Whether there is a reset between the last two.
    pub ends_with_reset: bool,
    /// Whether the bucket has another entry before the first one, which then follows no histogram directly.
    pub follows: bool,
    /// Whether the bucket has another entry after the last one, which then is not its newest entry.
    pub precedes: bool,
}

impl NativeEdge {
    /// Whether the counter was reset since the histogram before this one.
    pub fn is_reset(&self, before: &NativeEdge) -> bool {
        counter::is_start_reset((self.start, self.time), (before.start, before.time))
            || resets::is_reset(&self.histogram, &before.histogram)
    }

    /// Whether it differs from the histogram before it.
    pub fn is_change(&self, before: &NativeEdge) -> bool {
        !equal(&self.histogram, &before.histogram)
    }

    /// Without a hint from its writer, says whether it continues from the sample before it.
    pub fn hint_from(&mut self, before: &NativeEdge) {
        Histogram::hint_from(&mut self.histogram, &before.histogram);
    }
}

impl Natives {
    fn of_one(edge: NativeEdge, follows: bool) -> Self {
        let is_gauge = edge.histogram.reset_hint == ResetHint::Gauge;
        Natives {
            count: 1,
            first: edge.clone(),
            last: edge,
            second: None,
            resets: 0,
            changes: 0,
            lost: Some(Vec::new()),
            sum: None,
            lowest_schema: i32::MAX,
            has_exponential: false,
            has_gauges: is_gauge,
            has_counters: !is_gauge,
            ends_with_reset: false,
            follows,
            precedes: false,
        }
    }

    /// Appends those of the bucket that follows in time.
    pub fn merge(&mut self, later: &Natives) {
        let is_direct = !self.precedes && !later.follows;
        self.precedes = later.precedes;
        let first = &later.first;
        let mut lost = self.lost.as_ref().map(HistogramSum::of);
        let is_reset = first.is_reset(&self.last);
        self.ends_with_reset = if later.count == 1 { is_reset } else { later.ends_with_reset };
        if is_reset {
            self.resets = self.resets.saturating_add(1);
            match (self.count, &mut lost) {
                (1, _) => self.second = Some(Arc::new(zero_like(&first.histogram))),
                (_, Some(lost)) => lost.add(&self.last.histogram),
                (_, None) => {}
            }
        }
        if let (Some(lost), Some(_)) = (&mut lost, &later.second) {
            lost.add(&first.histogram);
        }
        self.lost = lost.zip(later.lost.as_ref()).and_then(|(mut lost, later)| {
            lost.add_all(later);
            lost.layers()
        });
        self.changes = self.changes.saturating_add(u64::from(first.is_change(&self.last)));
        self.sum = self.sum.as_ref().zip(later.sum.as_ref()).and_then(|(own, later)| {
            let mut sum = HistogramSum::of(own);
            sum.add_all(later);
            sum.layers()
        });
        self.resets = self.resets.saturating_add(later.resets);
        self.changes = self.changes.saturating_add(later.changes);
        self.lowest_schema = self.lowest_schema.min(first.histogram.schema).min(later.lowest_schema);
        self.has_exponential |= later.has_exponential || !is_custom(&first.histogram);
        self.has_gauges |= later.has_gauges;
        self.has_counters |= later.has_counters;
        let mut last = later.last.clone();
        if later.count == 1 && is_direct {
            last.hint_from(&self.last);
        }
        self.last = last;
        self.count = self.count.saturating_add(later.count);
        self.lost = self.lost.take().filter(|_| self.keeps_lost());
    }

    /// Says whether the first one continues from `before`, the sample before it, if its writer does not say so.
    pub fn hint_first(&mut self, before: &Histogram) {
        Histogram::hint_from(&mut self.first.histogram, before);
        if self.count == 1 {
            self.last.histogram = Arc::clone(&self.first.histogram);
        }
    }

    /// Whether what resets took is kept.
    fn keeps_lost(&self) -> bool {
        !self.has_gauges || self.resets == 0
    }

    /// All histograms that it holds.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Arc<Histogram>> {
        let lists = self.lost.iter().flatten().chain(self.sum.iter().flatten());
        [&self.first.histogram, &self.last.histogram].into_iter().chain(&self.second).chain(lists)
    }

    /// Bytes that it takes on the heap, including itself.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.held().map(|histogram| histogram.memory_bytes()).sum::<usize>()
    }
}

/// Native histograms of one bucket, on the way.
#[derive(Debug)]
pub(super) struct OpenNatives {
    natives: Natives,
    lost: HistogramSum,
    sum: HistogramSum,
}

impl OpenNatives {
    pub fn new(edge: NativeEdge, follows: bool) -> Self {
        let mut sum = HistogramSum::default();
        sum.add(&edge.histogram);
        OpenNatives { natives: Natives::of_one(edge, follows), lost: HistogramSum::default(), sum }
    }

    /// Adds a later histogram. `is_direct`: no other entry is between it and the one before.
    pub fn push(&mut self, mut edge: NativeEdge, is_direct: bool) {
        let OpenNatives { natives, lost, sum } = self;
        let histogram = &edge.histogram;
        natives.ends_with_reset = edge.is_reset(&natives.last);
        if natives.ends_with_reset {
            natives.resets += 1;
            match natives.count {
                1 => natives.second = Some(Arc::new(zero_like(histogram))),
                _ => lost.add(&natives.last.histogram),
            }
        }
        natives.changes += u64::from(edge.is_change(&natives.last));
        natives.lowest_schema = natives.lowest_schema.min(histogram.schema);
        natives.has_exponential |= !is_custom(histogram);
        let is_gauge = histogram.reset_hint == ResetHint::Gauge;
        natives.has_gauges |= is_gauge;
        natives.has_counters |= !is_gauge;
        // Only the sum of gauges is kept.
        if !natives.has_counters {
            sum.add(histogram);
        }
        if is_direct {
            edge.hint_from(&natives.last);
        }
        natives.last = edge;
        natives.count += 1;
    }

    /// `precedes`: another entry follows the last one.
    pub fn finish(self, precedes: bool) -> Natives {
        let OpenNatives { mut natives, lost, sum } = self;
        natives.precedes = precedes;
        natives.lost = lost.layers().filter(|_| natives.keeps_lost());
        natives.sum = if natives.has_counters { None } else { sum.layers() };
        natives
    }
}

#[cfg(test)]
mod tests;
