//! Sliding windows: calls a kernel for each step's window of one series.

use super::{Columns, Window};
use crate::budget::Budget;
use crate::error::QueryError;
use crate::steps::{NS_PER_MS, Shift, Steps, ms_to_ns};

/// Windows, and samples passed to kernels, between two checks of the clock.
const CHECK_EVERY: usize = 1 << 16;

/// The windows of a range vector, one for each step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    /// The steps.
    pub steps: Steps,
    /// The position of a window's right end relative to its step.
    pub shift: Shift,
    /// The length of a window.
    pub range_ms: i64,
}

impl Windows {
    /// `(start, end]` of the window of step `i`, nanoseconds.
    pub fn bounds(&self, i: usize) -> (i64, i64) {
        let end = self.steps.reference_ns(i, self.shift);
        (end.saturating_sub(ms_to_ns(self.range_ms)), end)
    }

    /// The same as [`Windows::bounds`], which costs less if it is asked for many windows: unless times saturate, they are
    /// multiples of the step apart.
    pub fn all_bounds(&self) -> impl Fn(usize) -> (i64, i64) + '_ {
        let (range, linear) = (ms_to_ns(self.range_ms), self.linear());
        move |i| match linear {
            Some((first, step)) => {
                let end = first.wrapping_add(step.wrapping_mul(i as i64));
                (end.saturating_sub(range), end)
            }
            None => self.bounds(i),
        }
    }

    /// The end of the first window and the distance of ends, nanoseconds, if that is the same for all.
    fn linear(&self) -> Option<(i64, i64)> {
        let last = self.steps.count.checked_sub(1)?;
        let ends = (self.bounds(0).1, self.bounds(last).1);
        let step = if self.shift.at_ms.is_some() { 0 } else { self.steps.step_ms };
        let step = if last == 0 { 0 } else { step.checked_mul(NS_PER_MS)? };
        // A time that saturates in between brings the last one nearer to the first.
        let span = i64::try_from(last).ok().and_then(|last| step.checked_mul(last))?;
        (ends.0.checked_add(span) == Some(ends.1)).then_some((ends.0, step))
    }

    /// `(start, end]` of all windows together.
    pub fn covering_range(&self) -> (i64, i64) {
        (self.bounds(0).0, self.bounds(self.steps.count.saturating_sub(1)).1)
    }
}

/// Calls `visit` with the window of every step that contains a sample, in time order.
///
/// # Errors
/// Same as [`Budget::check`].
pub(crate) fn slide(
    budget: &Budget,
    windows: &Windows,
    columns: &Columns,
    mut visit: impl FnMut(&Window<'_>),
) -> Result<(), QueryError> {
    let (times, histogram_times) = (&columns.times[..], &columns.histogram_times[..]);
    let (mut lo, mut hi, mut histogram_lo, mut histogram_hi) = (0, 0, 0, 0);
    let (mut work, mut read, mut past) = (0, 0, i64::MAX);
    let first = times.first().into_iter().chain(histogram_times.first()).min();
    let Some(&first) = first else { return Ok(()) };
    for step in windows.steps.first_where(|step| windows.bounds(step).1 >= first)..windows.steps.count {
        let (start, end) = windows.bounds(step);
        // Samples that end before this window begins are behind it.
        lo = advance(times, if start >= past { lo.max(hi) } else { lo }, start);
        hi = advance(times, hi, end);
        if !histogram_times.is_empty() {
            histogram_lo = advance(histogram_times, histogram_lo, start);
            histogram_hi = advance(histogram_times, histogram_hi, end);
        }
        past = end;
        let inside = hi - lo + histogram_hi - histogram_lo;
        work += 1 + inside;
        if work > CHECK_EVERY {
            budget.check()?;
            work = 0;
        }
        if inside == 0 {
            // Windows never move back: after the last sample, all are empty.
            if lo == times.len() && histogram_lo == histogram_times.len() {
                break;
            }
            continue;
        }
        let time_ms = windows.steps.at(step);
        visit(&Window { columns, lo, hi, histogram_lo, histogram_hi, start, end, step, time_ms });
        read += inside as u64;
        budget.count_step(time_ms, inside as u64);
    }
    budget.count_read(read);
    Ok(())
}

/// Number of samples that are compared at once before an exponential search.
const NEAR: usize = 16;

/// The first index from `from` on whose time is after `limit`.
#[inline]
fn advance(times: &[i64], from: usize, limit: i64) -> usize {
    let rest = &times[from..];
    let Some(near) = rest.first_chunk::<NEAR>() else {
        return from + rest.iter().take_while(|&&t| t <= limit).count();
    };
    // Times ascend. Counting all of them needs no branch, unlike searching for the first.
    match near.iter().filter(|&&t| t <= limit).count() {
        NEAR => from + far(rest, limit),
        passed => from + passed,
    }
}

/// Same as [`advance`], for an index that is far away.
fn far(times: &[i64], limit: i64) -> usize {
    let mut leap = NEAR;
    while times.get(leap).is_some_and(|&t| t <= limit) {
        leap *= 2;
    }
    let (low, high) = (leap / 2, leap.min(times.len()));
    low + times[low..high].partition_point(|&t| t <= limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Also near the ends of time.
    fn any_ms() -> impl Strategy<Value = i64> {
        prop_oneof![
            -1_000_000i64..1_000_000,
            any::<i64>(),
            (0i64..1000).prop_map(|near| i64::MAX / NS_PER_MS - near),
            (0i64..1000).prop_map(|near| near - i64::MAX / NS_PER_MS),
            (0i64..1000).prop_map(|near| i64::MAX - near),
            (0i64..1000).prop_map(|near| i64::MIN + near),
        ]
    }

    proptest! {
        #[test]
        fn all_bounds_are_those_of_each(
            (start_ms, offset_ms, range_ms) in (any_ms(), any_ms(), 0i64..1_000_000),
            step_ms in prop_oneof![1i64..1000, 1i64..],
            count in 0usize..40,
            at_ms in prop_oneof![3 => Just(None), 1 => any_ms().prop_map(Some)],
        ) {
            let steps = Steps { start_ms, step_ms, count };
            let windows = Windows { steps, shift: Shift { at_ms, offset_ms }, range_ms };
            let all = windows.all_bounds();
            for i in 0..count {
                prop_assert_eq!(all(i), windows.bounds(i), "step {}", i);
            }
        }
    }
}
