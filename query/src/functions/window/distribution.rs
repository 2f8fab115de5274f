//! `histogram_over_time`: the distribution of the floats of a window.

use std::collections::HashMap;
use std::ops::Range;

use ahash::RandomState;
use barograph_engine::model::Histogram;
use barograph_engine::rollup::sketch;

use super::slide::slide;
use super::{WindowedSeries, folds};
use crate::annotations::flags::Flags;
use crate::budget::made::Made;
use crate::error::QueryError;
use crate::histogram::sketched;
use crate::series::Points;

/// `histogram_over_time`
pub(crate) fn distribution(series: &mut WindowedSeries<'_>) -> Result<Points, QueryError> {
    let mut sum = folds::sum(series.range_ns());
    let WindowedSeries { call, columns, ref mut flags, .. } = *series;
    let mut points = Points::absent(call.windows.steps.count);
    let (mut inside, mut counts) = (0..0, KeyCounts::default());
    let mut made = Made::new(call.budget);
    slide(call.budget, &call.windows, columns, |w| {
        if w.len() == 0 || made.is_refused() {
            return;
        }
        if w.histogram_len() > 0 {
            flags.raise(Flags::HISTOGRAMS_IGNORED);
        }
        counts.advance(&mut inside, w.lo..w.hi, |counts, row, change| {
            let value = columns.values[row];
            match value.is_nan() {
                true => counts.change_nans(change, 1),
                false => counts.change(change, sketch::key(value), 1),
            }
        });
        made.count_with(counts.held());
        let sum = sum(w).unwrap_or(f64::NAN);
        made.put(&mut points, w.step, counts.histogram(sum));
    })?;
    made.finish()?;
    Ok(points)
}

/// Whether a row enters or leaves a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Enters,
    Leaves,
}

/// The values of a moving window, counted by the key of a sketch. Most values enter and leave between two steps, so keys are
/// sorted at the steps alone.
#[derive(Debug, Default)]
pub(crate) struct KeyCounts {
    keys: HashMap<i32, u64, RandomState>,
    nans: u64,
}

impl KeyCounts {
    /// Moves a window from the rows `inside` to the rows `to`, which are not before them, and calls `each` with the rows that
    /// enter and those that leave. A window that shares no row with the previous one begins empty.
    pub fn advance(
        &mut self,
        inside: &mut Range<usize>,
        to: Range<usize>,
        mut each: impl FnMut(&mut Self, usize, Change),
    ) {
        if to.start >= inside.end {
            self.keys.clear();
            (self.nans, *inside) = (0, to.start..to.start);
        }
        (inside.end..to.end).for_each(|row| each(self, row, Change::Enters));
        (inside.start..to.start).for_each(|row| each(self, row, Change::Leaves));
        *inside = to;
    }

    /// Counts `number` values with a key, or forgets them.
    #[inline]
    pub fn change(&mut self, change: Change, key: i32, number: u64) {
        let Change::Leaves = change else {
            *self.keys.entry(key).or_default() += number;
            return;
        };
        match self.keys.get_mut(&key) {
            Some(count) if *count > number => *count -= number,
            _ => {
                self.keys.remove(&key);
            }
        }
    }

    /// Counts values that are NaN, or forgets them.
    pub fn change_nans(&mut self, change: Change, number: u64) {
        match change {
            Change::Enters => self.nans += number,
            Change::Leaves => self.nans = self.nans.saturating_sub(number),
        }
    }

    /// The bytes of the keys, and of their sorted copy while a histogram is made.
    pub fn held(&self) -> usize {
        let keys = self.keys.capacity();
        // An eighth of the places stays free, and each has an additional byte.
        keys * 8 / 7 * (size_of::<(i32, u64)>() + 1) + keys * size_of::<(i32, f64)>()
    }

    /// The histogram of the values inside, which add up to `sum`.
    pub fn histogram(&self, sum: f64) -> Histogram {
        let mut counts: Vec<(i32, f64)> =
            self.keys.iter().map(|(&key, &count)| (key, count as f64)).collect();
        counts.sort_unstable_by_key(|&(key, _)| key);
        sketched::of_counts(counts.into_iter(), self.nans as f64, sum)
    }
}
