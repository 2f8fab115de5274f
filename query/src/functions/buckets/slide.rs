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
        let (mut lower, mut upper) = (Reached::default(), Reached::default());
        let (mut read, mut unchecked) = (0, 0);
        let (steps, bounds) = (self.windows.steps, self.windows.all_bounds());
        for step in steps.first_where(|step| self.windows.bounds(step).1 >= least)..steps.count {
            let (start, end) = bounds(step);
            let lo = lower.move_beyond(past, start);
            let hi = upper.move_beyond(first, end);
            if lo == rows {
                break;
            }
            if lo >= hi {
                continue;
            }
            let touched = (hi - lo) as u64;
            let (lookback, before) = (self.lookback, lo.checked_sub(1));
            // Filled in at its place: a copy would wait for what was just written.
            let mut span =
                Span { columns, start, end, lookback, lo, hi, left: None, right: None, both: None, before };
            if !self.is_aligned {
                leave_out_cut(&mut span);
            }
            visit(step, &span);
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
}

/// Takes the buckets that its ends cut from the whole ones of a window. Not inlined, so that aligned windows cost less.
#[inline(never)]
fn leave_out_cut(span: &mut Span<'_>) {
    let Span { columns, start, end, lo, hi, .. } = *span;
    let is_left_cut = columns.first_times[lo] <= start;
    let is_right_cut = columns.last_times[hi - 1] > end;
    if hi - lo == 1 && is_left_cut && is_right_cut {
        (span.lo, span.both) = (hi, Some(lo));
        return;
    }
    span.lo = lo + usize::from(is_left_cut);
    span.hi = (hi - usize::from(is_right_cut)).max(span.lo);
    span.left = is_left_cut.then_some(lo);
    span.right = is_right_cut.then(|| hi - 1);
}

/// The first index whose time is after a limit that grows.
#[derive(Default)]
struct Reached {
    index: usize,
    /// How far it moved the last time.
    stride: usize,
}

impl Reached {
    /// Moves to the first index whose time is after `limit`, and returns it. Windows are at equal distances and buckets too,
    /// so it mostly moves as far as the last time.
    #[inline]
    fn move_beyond(&mut self, times: &[Timestamp], limit: Timestamp) -> usize {
        let guess = self.index.wrapping_add(self.stride);
        match times.get(guess.wrapping_sub(1)..guess.wrapping_add(1)) {
            Some(&[before, at]) if before <= limit && at > limit => self.index = guess,
            _ => self.search(times, limit),
        }
        self.index
    }

    fn search(&mut self, times: &[Timestamp], limit: Timestamp) {
        let moves = times[self.index..].iter().take_while(|&&time| time <= limit).count();
        (self.index, self.stride) = (self.index.wrapping_add(moves), moves);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Mostly at one distance, as buckets and windows are.
    fn ascending(count: usize, usual: i64) -> impl Strategy<Value = Vec<Timestamp>> {
        let distances = prop::collection::vec(prop_oneof![8 => Just(usual), 1 => 0i64..200], 0..count);
        (0i64..200, distances).prop_map(|(first, distances)| {
            let mut time = first;
            let times = distances.iter().map(|distance| {
                time += distance;
                time
            });
            times.collect()
        })
    }

    proptest! {
        #[test]
        fn the_first_time_after_a_limit_is_found(
            times in ascending(80, 60), limits in (0i64..5).prop_flat_map(|rows| ascending(40, 60 * rows)),
        ) {
            let mut reached = Reached::default();
            for limit in limits {
                let expected = times.partition_point(|&time| time <= limit);
                prop_assert_eq!(reached.move_beyond(&times, limit), expected);
            }
        }
    }
}
