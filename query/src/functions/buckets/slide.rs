//! Sliding windows over buckets: calls an evaluator for each step's window of one series.

use barograph_engine::model::Timestamp;
use barograph_engine::rollup::{BucketColumns, Columns};

use super::Span;
use crate::budget::Budget;
use crate::error::QueryError;
use crate::functions::window::slide::Windows;

/// Buckets in windows between two checks of the clock.
const CHECK_EVERY: u64 = 1 << 16;

/// The windows of one call over the buckets of one series.
pub(crate) struct Slide<'s> {
    pub budget: &'s Budget,
    pub windows: &'s Windows,
    /// How far before a window some functions read.
    pub lookback: i64,
    /// The width of the buckets.
    pub width: i64,
    /// Whether no end of a window cuts a bucket, so that the times of samples do not matter.
    pub is_aligned: bool,
}

impl Slide<'_> {
    /// Calls `visit` with the window of every step that a bucket with samples touches, in time order. All of `columns`
    /// have samples, and their times unless windows are aligned.
    ///
    /// # Errors
    /// Same as [`Budget::check`].
    pub fn each<'c>(
        &self,
        columns: &'c BucketColumns,
        mut visit: impl FnMut(usize, &Span<'c>),
    ) -> Result<(), QueryError> {
        debug_assert!(!columns.counts.contains(&0));
        debug_assert!(self.is_aligned || columns.held().contains(Columns::TIMES));
        let Some(&end) = columns.ends.first() else { return Ok(()) };
        // Where no bucket is cut, its bounds stand for the times of its samples.
        let (first, past, least) = match self.is_aligned {
            true => (&columns.ends, &columns.ends, end.saturating_sub(self.width).saturating_add(1)),
            false => (&columns.first_times, &columns.last_times, columns.first_times[0]),
        };
        let rows = columns.len();
        let (mut lo, mut hi, mut read, mut unchecked) = (0, 0, 0, 0);
        let (steps, bounds) = (self.windows.steps, self.windows.all_bounds());
        for step in steps.first_where(|step| self.windows.bounds(step).1 >= least)..steps.count {
            let (start, end) = bounds(step);
            lo = beyond(past, lo, start);
            hi = beyond(first, lo.max(hi), end);
            if lo == rows {
                break;
            }
            if lo >= hi {
                continue;
            }
            let touched = (hi - lo) as u64;
            visit(step, &self.span(columns, (start, end), (lo, hi)));
            read += touched;
            self.budget.count_step(steps.at(step), touched);
            unchecked += touched;
            if unchecked > CHECK_EVERY {
                unchecked = 0;
                self.budget.check()?;
            }
        }
        self.budget.count_read(read);
        Ok(())
    }

    /// The window that touches the buckets `lo..hi`, of which there is one at least.
    fn span<'c>(
        &self,
        columns: &'c BucketColumns,
        (start, end): (Timestamp, Timestamp),
        (lo, hi): (usize, usize),
    ) -> Span<'c> {
        let (lookback, before) = (self.lookback, lo.checked_sub(1));
        let whole =
            Span { columns, start, end, lookback, lo, hi, left: None, right: None, both: None, before };
        if self.is_aligned {
            return whole;
        }
        let is_left_cut = columns.first_times[lo] <= start;
        let is_right_cut = columns.last_times[hi - 1] > end;
        if hi - lo == 1 && is_left_cut && is_right_cut {
            return Span { lo: hi, both: Some(lo), ..whole };
        }
        Span {
            lo: lo + usize::from(is_left_cut),
            hi: (hi - usize::from(is_right_cut)).max(lo + usize::from(is_left_cut)),
            left: is_left_cut.then_some(lo),
            right: is_right_cut.then(|| hi - 1),
            ..whole
        }
    }
}

/// The first index from `from` on whose time is after `limit`.
#[inline]
fn beyond(times: &[Timestamp], from: usize, limit: Timestamp) -> usize {
    from + times[from..].iter().take_while(|&&time| time <= limit).count()
}
