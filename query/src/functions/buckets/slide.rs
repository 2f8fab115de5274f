//! Sliding windows over buckets: calls an evaluator for each step's window of one series.
//!
//! Time is cut at multiples of the window's length, as for the folds of samples (`window/folds.rs`): the ends of a block
//! are folded once, backward from the cut, and the beginning of the next one grows with the window. So a step merges
//! about three buckets, however many a window has, and a range query gives the same bits as instant queries.

use barograph_engine::rollup::Bucket;

use super::Seen;
use crate::budget::Budget;
use crate::error::QueryError;
use crate::functions::window::slide::Windows;
use crate::steps::ms_to_ns;

/// Merges between two checks of the clock.
const CHECK_EVERY: usize = 1 << 12;

/// The folds of the windows of one series.
struct Folds {
    range_ns: i64,
    /// Windows do not overlap, so only the longest of `ends` is used.
    keeps_first: bool,
    cut: i64,
    /// Folds of `index..split` for each index from `first` on.
    ends: Vec<Bucket>,
    first: usize,
    /// The first bucket after the cut.
    split: usize,
    /// The fold of `split..next`.
    beginning: Option<Bucket>,
    next: usize,
    merged: Option<Bucket>,
    /// Buckets merged so far.
    work: usize,
}

impl Folds {
    fn new(windows: &Windows) -> Self {
        let Windows { range_ms, steps, .. } = windows;
        Folds {
            range_ns: ms_to_ns(*range_ms).max(1),
            keeps_first: steps.step_ms >= *range_ms,
            cut: i64::MIN,
            ends: Vec::new(),
            first: 0,
            split: 0,
            beginning: None,
            next: 0,
            merged: None,
            work: 0,
        }
    }

    /// The fold of `lo..hi` in a window that ends at `end`; `None` if it is empty.
    fn fold(&mut self, buckets: &[Bucket], lo: usize, hi: usize, end: i64) -> Option<&Bucket> {
        if lo >= hi {
            return None;
        }
        let cut = end.div_euclid(self.range_ns).saturating_mul(self.range_ns);
        if cut != self.cut || lo < self.first || lo > self.split || hi < self.next {
            self.cross(buckets, lo, hi, cut);
        }
        for bucket in &buckets[self.next..hi] {
            self.work += 1;
            match &mut self.beginning {
                Some(fold) => fold.merge(bucket),
                None => self.beginning = Some(bucket.clone()),
            }
        }
        self.next = hi;
        match (self.ends.get(lo - self.first), &self.beginning) {
            (Some(end), Some(beginning)) => {
                self.work += 1;
                let mut merged = end.clone();
                merged.merge(beginning);
                self.merged = Some(merged);
                self.merged.as_ref()
            }
            (Some(one), None) | (None, Some(one)) => Some(one),
            (None, None) => None,
        }
    }

    /// Moves to a different cut, and folds the ends of the block before it.
    fn cross(&mut self, buckets: &[Bucket], lo: usize, hi: usize, cut: i64) {
        self.cut = cut;
        self.first = lo;
        self.split = lo + buckets[lo..hi].partition_point(|bucket| bucket.end <= cut);
        self.next = self.split;
        self.beginning = None;
        self.ends.clear();
        for bucket in buckets[lo..self.split].iter().rev() {
            self.work += 1;
            let mut with = bucket.clone();
            if let Some(later) = self.ends.last() {
                with.merge(later);
            }
            if self.keeps_first {
                self.ends.clear();
            }
            self.ends.push(with);
        }
        self.ends.reverse();
    }
}

/// Calls `visit` with the window of every step that a bucket with samples touches, in time order. All of `buckets` have
/// samples.
///
/// # Errors
/// Same as [`Budget::check`].
pub(crate) fn slide(
    budget: &Budget,
    windows: &Windows,
    lookback: i64,
    buckets: &[Bucket],
    mut visit: impl FnMut(usize, &Seen<'_>),
) -> Result<(), QueryError> {
    debug_assert!(buckets.iter().all(|bucket| bucket.count > 0));
    let Some(first) = buckets.first() else { return Ok(()) };
    let mut folds = Folds::new(windows);
    let (mut lo, mut hi, mut read, mut checked) = (0, 0, 0, 0);
    for step in
        windows.steps.first_where(|step| windows.bounds(step).1 >= first.first.time)..windows.steps.count
    {
        let (start, end) = windows.bounds(step);
        lo += buckets[lo..].iter().take_while(|bucket| bucket.last.time <= start).count();
        hi = lo.max(hi);
        hi += buckets[hi..].iter().take_while(|bucket| bucket.first.time <= end).count();
        if lo == buckets.len() {
            break;
        }
        if lo >= hi {
            continue;
        }
        let cuts = |bucket: &Bucket| (bucket.first.time <= start, bucket.last.time > end);
        let (is_left_cut, is_right_cut) = (cuts(&buckets[lo]).0, cuts(&buckets[hi - 1]).1);
        let both = (hi - lo == 1 && is_left_cut && is_right_cut).then(|| &buckets[lo]);
        let left = (is_left_cut && both.is_none()).then(|| &buckets[lo]);
        let right = (is_right_cut && both.is_none()).then(|| &buckets[hi - 1]);
        let inner = lo + usize::from(is_left_cut)..hi - usize::from(is_right_cut && both.is_none());
        let inner = inner.start.min(inner.end)..inner.end;
        let whole = folds.fold(buckets, inner.start, inner.end, end);
        let seen = Seen {
            start,
            end,
            lookback,
            parts: &buckets[inner],
            whole,
            left,
            right,
            both,
            before: lo.checked_sub(1).map(|before| &buckets[before]),
        };
        visit(step, &seen);
        let touched = (hi - lo) as u64;
        read += touched;
        budget.count_step(windows.steps.at(step), touched);
        if folds.work - checked > CHECK_EVERY {
            checked = folds.work;
            budget.check()?;
        }
    }
    budget.count_read(read);
    Ok(())
}
