//! Loops that check for cancellation and count the memory they fill, and a sort that checks.
//!
//! Reading the clock costs as much as dozens of additions, so a loop counts its steps and checks once per batch of
//! steps, well within ten milliseconds.

use std::cmp::Ordering;

use super::Budget;
use crate::error::QueryError;
use crate::series::{Points, Series};
use crate::usage::Footprint;

/// Work between two checks. The unit is one float that is read; work on labels costs up to [`LABELS`].
const WORK_PER_CHECK: usize = 1 << 15;
/// Cost of a series without its values: building and hashing a label set, or matching an expression.
const LABELS: usize = 128;
/// Cost of a histogram.
const HISTOGRAM: usize = 32;
/// Items that are sorted or merged between two checks.
const RUN: usize = 4096;

/// Number of bytes taken at once, so that taking a few for each series is cheap.
const TAKEN: usize = 4096;

/// Counts the work of a loop.
pub(crate) struct Pace<'b> {
    budget: &'b Budget,
    done: usize,
    /// Bytes taken but not yet used.
    ahead: usize,
}

impl Budget {
    /// Starts the pace of a loop.
    pub(crate) fn pace(&self) -> Pace<'_> {
        Pace { budget: self, done: 0, ahead: 0 }
    }
}

impl Pace<'_> {
    /// Counts work that was done.
    ///
    /// # Errors
    /// Same as [`Budget::check`].
    #[inline]
    pub(crate) fn work(&mut self, done: usize) -> Result<(), QueryError> {
        self.done += done;
        if self.done < WORK_PER_CHECK { Ok(()) } else { self.check() }
    }

    #[cold]
    fn check(&mut self) -> Result<(), QueryError> {
        self.done = 0;
        self.budget.check()
    }

    /// Takes `bytes` before they are allocated. They are held until the node is done.
    ///
    /// # Errors
    /// Same as [`Budget::hold`].
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), QueryError> {
        if self.ahead < bytes {
            let more = bytes.max(TAKEN);
            self.budget.hold(Footprint::bytes(more))?;
            self.ahead += more;
        }
        self.ahead -= bytes;
        Ok(())
    }

    /// Counts work on histograms.
    ///
    /// # Errors
    /// Same as [`Budget::check`].
    pub(crate) fn histograms(&mut self, count: usize) -> Result<(), QueryError> {
        self.work(HISTOGRAM.saturating_mul(count))
    }

    /// Takes a column of this many values before it is allocated.
    ///
    /// # Errors
    /// Same as [`Budget::hold`].
    pub(crate) fn column(&mut self, count: usize) -> Result<(), QueryError> {
        self.budget.hold(Footprint::values(count))
    }

    /// Counts work on the labels of one series.
    ///
    /// # Errors
    /// Same as [`Budget::check`].
    pub(crate) fn labels(&mut self) -> Result<(), QueryError> {
        self.work(LABELS)
    }

    /// Counts work on all values of a column.
    ///
    /// # Errors
    /// Same as [`Budget::check`].
    pub(crate) fn points(&mut self, points: &Points) -> Result<(), QueryError> {
        let each = if points.histograms.is_some() { HISTOGRAM } else { 1 };
        self.work(1 + points.len() * each)
    }

    /// Counts work on the labels of a series and on all its values.
    ///
    /// # Errors
    /// Same as [`Budget::check`].
    pub(crate) fn series(&mut self, series: &Series) -> Result<(), QueryError> {
        self.labels()?;
        self.points(&series.points)
    }
}

/// Sorts; equal items keep their order.
///
/// # Errors
/// Same as [`Budget::check`] and [`Budget::hold`].
pub(crate) fn sorted<T>(
    budget: &Budget,
    items: Vec<T>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Result<Vec<T>, QueryError> {
    let count = items.len();
    let mut is_sorted = true;
    // Runs overlap by one, so that the bounds between them are checked.
    for from in (0..count).step_by(RUN) {
        budget.check()?;
        is_sorted &= items[from..count.min(from + RUN + 1)].is_sorted_by(|a, b| compare(a, b).is_le());
    }
    if is_sorted {
        return Ok(items);
    }
    let needed = Footprint::bytes(count * (2 * size_of::<u32>() + 2 * size_of::<Option<T>>()));
    budget.hold(needed)?;
    let order = order(budget, count, |a, b| compare(&items[a as usize], &items[b as usize]))?;
    let (mut slots, mut pace) = (Vec::with_capacity(count), budget.pace());
    for item in items {
        pace.work(1)?;
        slots.push(Some(item));
    }
    let mut sorted = Vec::with_capacity(count);
    for at in order {
        pace.work(1)?;
        sorted.extend(slots[at as usize].take());
    }
    drop(slots);
    budget.release(needed);
    Ok(sorted)
}

/// The indices of `count` items in sorted order: runs are sorted, then merged in pairs.
fn order(
    budget: &Budget,
    count: usize,
    compare: impl Fn(u32, u32) -> Ordering,
) -> Result<Vec<u32>, QueryError> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    for run in order.chunks_mut(RUN) {
        budget.check()?;
        run.sort_by(|&a, &b| compare(a, b));
    }
    let (mut merged, mut width) = (Vec::with_capacity(count), RUN);
    while width < count {
        merged.clear();
        for pair in order.chunks(2 * width) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let ([first, ..], [second, ..]) = (left, right) {
                if merged.len().is_multiple_of(RUN) {
                    budget.check()?;
                }
                let side = if compare(*first, *second).is_le() { &mut left } else { &mut right };
                merged.push(side[0]);
                *side = &side[1..];
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        std::mem::swap(&mut order, &mut merged);
        width *= 2;
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;

    #[test]
    fn a_sort_is_stable_and_gives_its_memory_back() {
        let budget = Budget::new(&Request::instant_ms("1", 0));
        for count in [0, 1, RUN - 1, RUN, RUN + 1, 5 * RUN + 3] {
            let items: Vec<(usize, usize)> = (0..count).map(|n| (n * 7919 % 101, n)).collect();
            let mut expected = items.clone();
            expected.sort_by_key(|item| item.0);
            let found = sorted(&budget, items, |a, b| a.0.cmp(&b.0)).unwrap();
            assert!(found == expected, "{count} items");
            assert_eq!(budget.held(), Footprint::default());
        }
    }
}
