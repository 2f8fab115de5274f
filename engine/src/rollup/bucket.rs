//! The bucket: what the samples of one series in `(end - width, end]` add up to.
//!
//! A bucket depends on the samples in its own span and on nothing else. What concerns the pair of the last sample of one
//! bucket and the first of the next (reset, change, distance, step) is derived when buckets are joined
//! ([`Bucket::merge`]). So a late sample changes one bucket and never a neighbour.

use std::sync::Arc;

use super::counter;
use super::edge::Edge;
use super::exact_sum::ExactSum;
use super::natives::Natives;
use super::sketch::Sketch;
use super::spread::{self, Spread};
use crate::model::{TimeRange, Timestamp};

/// Which of the costly columns a [`Builder`](super::Builder) fills. Without them, gaps and steps are as wide as possible, and there is no
/// sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// `gaps` and `step`, which only bounds need.
    pub bounds: bool,
    /// `sketch`.
    pub distribution: bool,
}

impl Extras {
    /// All of them.
    pub const ALL: Extras = Extras { bounds: true, distribution: true };
}

/// One record of a tier: what the samples of one series in `(end - width, end]` add up to.
///
/// A stale marker is no sample: it appears in `markers` and `ended` only. A bucket without samples exists if it has
/// markers or native histograms, to record that later deletes emptied it, or in place of one that is omitted.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The end of the span, which belongs to it.
    pub end: Timestamp,
    /// Samples, NaN included, stale markers not.
    pub count: u64,
    /// The first sample; zeros if there is none.
    pub first: Edge,
    /// The last sample; zeros if there is none.
    pub last: Edge,
    /// Samples that are NaN.
    pub nans: u64,
    /// Whether the span also has native histograms, which the columns of samples leave out.
    pub has_histograms: bool,
    /// What the native histograms add up to; `None` if there are none, or if that is not known.
    pub natives: Option<Arc<Natives>>,
    /// Stale markers.
    pub markers: u64,
    /// Whether the newest entry is a stale marker.
    pub ended: bool,
    /// Whether only the end is stored, and the rest follows from the samples: it would save too little.
    pub omitted: bool,
    /// Whether the start timestamp of a sample contradicts the sample before it.
    pub overlap: bool,
    /// The sum of the values before each reset.
    pub lost: ExactSum,
    /// Resets of a counter, by [`counter::is_reset`].
    pub resets: u64,
    /// Changes of the value, by [`counter::is_change`].
    pub changes: u64,
    /// The sum of the values.
    pub sum: ExactSum,
    /// The sum of the squares of the distances from the mean; NaN if `sum` is not [exact](ExactSum::is_exact).
    pub m2: f64,
    /// What rounding took from `m2` while buckets were merged; zero in a stored bucket.
    pub m2_rest: f64,
    /// The least value that is not NaN (of equal zeros, the first); NaN if there is none.
    pub min: f64,
    /// The greatest value that is not NaN (of equal zeros, the first); NaN if there is none.
    pub max: f64,
    /// The distances of neighbouring samples.
    pub gaps: Gaps,
    /// At least the largest difference of neighbouring values, rounded up to 8 steps an octave. Pairs with NaN do not
    /// count.
    pub step: f64,
    /// The distribution of the values, if it is kept.
    pub sketch: Option<Sketch>,
}

impl Bucket {
    /// A bucket without samples.
    #[inline]
    pub fn empty(end: Timestamp) -> Self {
        Bucket {
            end,
            count: 0,
            first: Edge::default(),
            last: Edge::default(),
            nans: 0,
            has_histograms: false,
            natives: None,
            markers: 0,
            ended: false,
            omitted: false,
            overlap: false,
            lost: ExactSum::default(),
            resets: 0,
            changes: 0,
            sum: ExactSum::default(),
            m2: 0.0,
            m2_rest: 0.0,
            min: f64::NAN,
            max: f64::NAN,
            gaps: Gaps::NONE,
            step: 0.0,
            sketch: None,
        }
    }

    /// What is stored in place of a bucket that is omitted.
    #[inline]
    pub fn omitted(end: Timestamp) -> Self {
        Bucket { omitted: true, ..Bucket::empty(end) }
    }

    /// Makes sums, `m2`, gaps and step unknown.
    #[inline]
    pub(super) fn make_unknown(&mut self) {
        (self.sum, self.lost, self.m2) = (ExactSum::huge(), ExactSum::huge(), f64::NAN);
        if self.count > 1 {
            (self.step, self.gaps) = (f64::INFINITY, Gaps::UNKNOWN);
        }
    }

    /// Whether it has neither samples nor markers nor histograms, and none that are omitted.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.markers == 0 && !self.has_histograms && !self.omitted
    }

    /// Whether all that is in it is in `range` (true) or nothing (false); `None` if neither is certain. `width` is that of
    /// its span, in which stale markers and native histograms that are not described may be anywhere. Nothing is in one that
    /// is omitted.
    pub fn is_inside(&self, range: TimeRange, width: i64) -> Option<bool> {
        let samples = (self.count > 0).then_some((self.first.time, self.last.time));
        let is_described = self.markers == 0 && self.has_histograms == self.natives.is_some();
        let times = is_described.then(|| joint_times(samples, self.natives.as_deref())).flatten();
        if self.is_empty() || self.omitted { Some(false) } else { is_inside(self.end, times, range, width) }
    }

    /// Appends the bucket that follows in time: what both add up to, including the pair of samples across the border. Neither
    /// is omitted.
    pub fn merge(&mut self, later: &Bucket) {
        self.merge_natives(later);
        self.end = later.end;
        if !later.is_empty() {
            self.ended = later.ended;
        }
        self.has_histograms |= later.has_histograms;
        self.markers = self.markers.saturating_add(later.markers);
        if later.count == 0 {
            return;
        }
        if self.count == 0 {
            let Bucket { end, markers, ended, has_histograms, .. } = *self;
            let natives = self.natives.take();
            *self = Bucket { end, markers, ended, has_histograms, natives, ..later.clone() };
            return;
        }
        self.cross(&later.first);
        self.last = later.last;
        (self.m2, self.m2_rest) = spread::merged(&self.spread(), &later.spread());
        self.count = self.count.saturating_add(later.count);
        self.nans = self.nans.saturating_add(later.nans);
        self.overlap |= later.overlap;
        self.lost.merge(&later.lost);
        self.resets = self.resets.saturating_add(later.resets);
        self.changes = self.changes.saturating_add(later.changes);
        self.sum.merge(&later.sum);
        if later.min < self.min || self.min.is_nan() {
            self.min = later.min;
        }
        if later.max > self.max || self.max.is_nan() {
            self.max = later.max;
        }
        self.gaps.merge(&later.gaps);
        self.step = self.step.max(later.step);
        match (&mut self.sketch, &later.sketch) {
            (Some(sketch), Some(later)) => sketch.merge(later),
            (sketch, _) => *sketch = None,
        }
    }

    /// Appends the native histograms of the bucket that follows, before anything else.
    fn merge_natives(&mut self, later: &Bucket) {
        if !later.has_histograms {
            if let Some(own) = self.natives.as_mut().filter(|own| !own.precedes && !later.is_empty()) {
                Arc::make_mut(own).precedes = true;
            }
            return;
        }
        let is_known = later.natives.is_some() && self.has_histograms == self.natives.is_some();
        let (own, Some(later)) = (self.natives.take(), later.natives.as_ref().filter(|_| is_known)) else {
            return;
        };
        self.natives = Some(match own {
            Some(mut own) => {
                Arc::make_mut(&mut own).merge(later);
                own
            }
            None if self.is_empty() => later.clone(),
            None => Arc::new(Natives { follows: true, ..Natives::clone(later) }),
        });
    }

    fn spread(&self) -> Spread<'_> {
        Spread { count: self.count, sum: &self.sum, m2: self.m2, rest: self.m2_rest }
    }

    /// Adds what the pair of the own last sample and the next one says.
    fn cross(&mut self, next: &Edge) {
        let last = &self.last;
        if counter::is_reset(last, next) {
            self.lost.add(last.value);
            self.resets = self.resets.saturating_add(1);
        }
        self.overlap |= counter::is_start_overlap(next.start, last.start, last.time);
        let is_change = counter::is_change(last.value, next.value);
        self.changes = self.changes.saturating_add(u64::from(is_change));
        self.step = self.step.max(step_between(last.value, next.value));
        self.gaps.add(next.time.saturating_sub(last.time));
    }
}

/// The first and the last time of samples and native histograms.
pub(super) fn joint_times(
    samples: Option<(Timestamp, Timestamp)>,
    natives: Option<&Natives>,
) -> Option<(Timestamp, Timestamp)> {
    let natives = natives.map(|natives| (natives.first.time, natives.last.time));
    match (samples, natives) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (one, other) => one.or(other),
    }
}

/// What [`Bucket::is_inside`] says of a bucket that is not empty; `times` are those of its first and last entry, if they
/// are known.
pub(super) fn is_inside(
    end: Timestamp,
    times: Option<(Timestamp, Timestamp)>,
    range: TimeRange,
    width: i64,
) -> Option<bool> {
    let span = match times {
        Some((first, last)) => TimeRange::inclusive(first, last),
        None => TimeRange::new(end.saturating_sub(width), end),
    };
    if range.start <= span.start && span.end <= range.end {
        return Some(true);
    }
    let is_outside = range.intersection(span).is_empty();
    is_outside.then_some(false)
}

/// The distances between the times of neighbouring samples, nanoseconds.
///
/// Unless all are equal, the least is rounded down and the greatest up, to 32 steps an octave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gaps {
    /// At most the least distance; 0 if there is none.
    pub min: i64,
    /// At least the greatest distance; 0 if there is none.
    pub max: i64,
    /// All distances are equal, and known exactly.
    pub regular: bool,
}

/// Bits of a distance that rounding keeps: the leading one, and five for 32 steps.
const GAP_BITS: u32 = 6;

impl Gaps {
    /// Of fewer than two samples.
    pub const NONE: Gaps = Gaps { min: 0, max: 0, regular: true };

    /// Of samples whose times are not known.
    pub const UNKNOWN: Gaps = Gaps { min: 1, max: i64::MAX, regular: false };

    /// The gaps whose exact least and greatest distance are given. Distances are positive.
    pub fn of(min: i64, max: i64) -> Self {
        if min == max { Gaps { min, max, regular: true } } else { Gaps::outward(min, max) }
    }

    fn outward(min: i64, max: i64) -> Self {
        let below = |gap: i64| -> i64 { gap & !unit(gap).wrapping_sub(1) };
        let above = |gap: i64| below(gap.saturating_add(unit(gap).wrapping_sub(1)));
        // Above the last step there is none.
        let max = if max > below(i64::MAX) { i64::MAX } else { above(max) };
        Gaps { min: below(min), max, regular: false }
    }

    /// Whether there is no distance.
    pub fn is_none(&self) -> bool {
        self.max == 0
    }

    /// Adds one distance.
    pub fn add(&mut self, gap: i64) {
        self.merge(&Gaps::of(gap, gap));
    }

    /// Adds all distances of `other`.
    pub fn merge(&mut self, other: &Gaps) {
        if other.is_none() || (self.regular && *self == *other) {
            return;
        }
        *self = if self.is_none() {
            *other
        } else {
            Gaps::outward(self.min.min(other.min), self.max.max(other.max))
        };
    }
}

/// The distance of steps around `gap`.
fn unit(gap: i64) -> i64 {
    let bits = 64u32.wrapping_sub(gap.leading_zeros());
    1 << bits.saturating_sub(GAP_BITS)
}

/// Mantissa bits below the three that make 8 steps an octave.
const STEP_SHIFT: u32 = 49;

/// The difference of neighbouring values, rounded up to 8 steps an octave; 0 if one is NaN or both are the same
/// infinity.
pub(super) fn step_between(before: f64, after: f64) -> f64 {
    let difference = (after - before).abs();
    if difference.is_nan() || difference == 0.0 {
        return 0.0;
    }
    step_above(difference, exceeds(before, after, difference))
}

/// Rounds a positive difference up to a step; to the next step if it is on one and the true difference is `beyond`.
pub(super) fn step_above(difference: f64, beyond: bool) -> f64 {
    let below_step = (1u64 << STEP_SHIFT) - 1;
    let bits = difference.to_bits() + u64::from(beyond);
    f64::from_bits((bits + below_step) & !below_step)
}

/// Whether the true difference of two values is larger than the rounded one.
pub(super) fn exceeds(before: f64, after: f64, difference: f64) -> bool {
    let (rounded, error) = super::exact_sum::two_sum(after, -before);
    difference.is_finite() && error != 0.0 && (error > 0.0) == (rounded > 0.0)
}

#[cfg(test)]
mod tests;
