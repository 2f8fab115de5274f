//! Folds of consecutive buckets in moving windows, where totals cannot be subtracted.
//!
//! Time is cut at multiples of the window's length, as for the folds of samples (`window/folds.rs`): the ends of a block
//! are folded once, backward from the cut, and the beginning of the next one grows with the window. So a step merges
//! about three buckets, however many a window has, and a range query gives the same bits as instant queries.

use std::ops::Range;

use barograph_engine::rollup::Bucket;

/// The folds of the windows of one series.
pub(super) struct Folds<P> {
    range_ns: i64,
    /// Windows do not overlap, so only the longest of `ends` is used.
    keeps_first: bool,
    cut: i64,
    /// Folds of `index..split` for each index from `first` on.
    ends: Vec<P>,
    first: usize,
    /// The first bucket after the cut.
    split: usize,
    /// The fold of `split..next`.
    beginning: Option<P>,
    next: usize,
    merged: Option<P>,
}

/// What consecutive buckets are folded into.
pub(super) trait Part: Clone {
    /// Appends the part that follows in time.
    fn append(&mut self, later: &Self);
}

impl Part for Bucket {
    fn append(&mut self, later: &Bucket) {
        self.merge(later);
    }
}

impl<P: Part> Folds<P> {
    /// Windows of this length, which share buckets with each other or not.
    pub fn new(range_ns: i64, overlaps: bool) -> Self {
        Folds {
            range_ns: range_ns.max(1),
            keeps_first: !overlaps,
            cut: i64::MIN,
            ends: Vec::new(),
            first: 0,
            split: 0,
            beginning: None,
            next: 0,
            merged: None,
        }
    }

    /// The fold of `rows` in a window that ends at `end`, of which each is `one`; `None` if there are none. Buckets end at
    /// `ends`.
    pub fn fold(
        &mut self,
        ends: &[i64],
        rows: Range<usize>,
        end: i64,
        one: impl Fn(usize) -> P,
    ) -> Option<&P> {
        if rows.is_empty() {
            return None;
        }
        let cut = end.div_euclid(self.range_ns).saturating_mul(self.range_ns);
        let is_behind = rows.start < self.first || rows.start > self.split || rows.end < self.next;
        if cut != self.cut || is_behind {
            self.cross(ends, rows.clone(), cut, &one);
        }
        for row in self.next..rows.end {
            match &mut self.beginning {
                Some(fold) => fold.append(&one(row)),
                None => self.beginning = Some(one(row)),
            }
        }
        self.next = rows.end;
        match (self.ends.get(rows.start - self.first), &self.beginning) {
            (Some(end), Some(beginning)) => {
                let mut merged = end.clone();
                merged.append(beginning);
                self.merged = Some(merged);
                self.merged.as_ref()
            }
            (Some(one), None) | (None, Some(one)) => Some(one),
            (None, None) => None,
        }
    }

    /// Moves to a different cut, and folds the ends of the block before it.
    fn cross(&mut self, ends: &[i64], rows: Range<usize>, cut: i64, one: &impl Fn(usize) -> P) {
        self.cut = cut;
        self.first = rows.start;
        self.split = rows.start + ends[rows.clone()].partition_point(|&end| end <= cut);
        self.next = self.split;
        self.beginning = None;
        self.ends.clear();
        for row in (rows.start..self.split).rev() {
            let mut with = one(row);
            if let Some(later) = self.ends.last() {
                with.append(later);
            }
            if self.keeps_first {
                self.ends.clear();
            }
            self.ends.push(with);
        }
        self.ends.reverse();
    }
}
