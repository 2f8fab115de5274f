//! Kernels that count samples that meet a condition, or time that samples cover.
//!
//! All of them are sums of a whole number for each index of the window, so a moving window subtracts what it leaves and
//! adds what it reaches, without rounding. If the parameter of the condition differs from step to step, the window is
//! counted again.

use std::borrow::Cow;
use std::ops::Range;

use barograph_engine::model::Timestamp;

use crate::functions::window::{Columns, Window};

/// A sum over a range of indices that moves forward.
#[derive(Default)]
pub(crate) struct SlidingSum {
    /// The bits of the parameter with which `total` was counted.
    parameter: u64,
    range: Range<usize>,
    total: u64,
}

impl SlidingSum {
    /// Advances to `range` and returns the sum of `weight` over it.
    pub fn advance(&mut self, range: Range<usize>, parameter: f64, weight: impl Fn(usize) -> u64) -> u64 {
        let stays = self.range.end > range.start && self.parameter == parameter.to_bits();
        if stays {
            let left: u64 = (self.range.start..range.start).map(&weight).sum();
            let reached: u64 = (self.range.end..range.end).map(&weight).sum();
            self.total = self.total - left + reached;
        } else {
            self.total = range.clone().map(&weight).sum();
            self.parameter = parameter.to_bits();
        }
        self.range = range;
        self.total
    }

    /// The same of numbers whose sum fits, such as numbers of samples.
    pub fn advance_over(&mut self, range: Range<usize>, numbers: &[u64]) -> u64 {
        let sum =
            |range: Range<usize>| numbers[range].iter().fold(0u64, |sum, &number| sum.wrapping_add(number));
        self.total = match self.range.end > range.start {
            true => {
                let left = sum(self.range.start..range.start);
                self.total.wrapping_sub(left).wrapping_add(sum(self.range.end..range.end))
            }
            false => sum(range.clone()),
        };
        self.range = range;
        self.total
    }
}

/// The condition that a float must meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Equal,
    NotEqual,
    Greater,
    AtMost,
}

impl Condition {
    /// Whether `v` counts. NaN is never equal, greater or less.
    #[inline]
    fn holds(self, v: f64, x: f64) -> bool {
        match self {
            Condition::Equal => v == x,
            Condition::NotEqual => v != x,
            Condition::Greater => v > x,
            Condition::AtMost => v <= x,
        }
    }
}

/// `count_*_over_time`, with x for each step.
pub(crate) fn count(condition: Condition, x: &[f64]) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut sum = SlidingSum::default();
    move |w| {
        let (values, x) = (&w.columns.values, x[w.step]);
        let met = sum.advance(w.lo..w.hi, x, |i| u64::from(condition.holds(values[i], x)));
        (w.len() > 0).then_some(met as f64)
    }
}

/// `share_*_over_time`, with x for each step.
pub(crate) fn share(condition: Condition, x: &[f64]) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut counted = count(condition, x);
    move |w| counted(w).map(|met| met / w.len() as f64)
}

/// `duration_over_time`, with the longest gap for each step, in seconds.
pub(crate) fn duration(columns: &Columns, gap_max: &[f64]) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let times = all_times(columns);
    let mut sum = SlidingSum::default();
    move |w| {
        // Both kinds of samples: an index into all samples is the sum of the indices into each kind.
        let (lo, hi) = (w.lo + w.histogram_lo, w.hi + w.histogram_hi);
        let longest = gap_max[w.step];
        let total = sum.advance(lo + 1..hi, longest, |i| {
            let gap = times[i].abs_diff(times[i - 1]);
            if seconds_of(gap) <= longest { gap } else { 0 }
        });
        Some(seconds_of(total))
    }
}

pub(crate) fn seconds_of(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// The times of floats and histograms in one list.
fn all_times(columns: &Columns) -> Cow<'_, [Timestamp]> {
    if columns.histogram_times.is_empty() {
        return Cow::Borrowed(&columns.times);
    }
    let mut times = [&columns.times[..], &columns.histogram_times[..]].concat();
    times.sort_unstable();
    Cow::Owned(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_moved_sum_is_the_sum(
            weights in proptest::collection::vec(0u64..100, 1..60),
            moves in proptest::collection::vec((0usize..12, 0usize..12, 0u8..8), 1..40),
        ) {
            let mut sum = SlidingSum::default();
            let (mut start, mut end) = (0, 0);
            for (left, reached, parameter) in moves {
                end = (end + reached).min(weights.len());
                start = (start + left).min(end);
                // Mostly the same parameter, sometimes a different one.
                let factor = f64::from(parameter.max(6));
                let weight = |i: usize| weights[i] * factor as u64;
                let plain: u64 = (start..end).map(weight).sum();
                prop_assert_eq!(sum.advance(start..end, factor, weight), plain);
            }
        }
    }
}
