//! The buckets of a series that have native histograms.

use std::sync::Arc;

use barograph_engine::model::{Histogram, ResetHint, Timestamp};
use barograph_engine::rollup::{BucketColumns, HistogramSum, NativeEdge, Natives};

use super::NativeSpan;
use crate::functions::window::histogram_change::{End, Inside, Observed};
use crate::histogram::arithmetic::zero_like;
use crate::histogram::is_custom;

/// The buckets of a series that have native histograms, in time order.
#[derive(Debug)]
pub(crate) struct NativeRows {
    rows: Vec<Arc<Natives>>,
    /// Whether there are a reset and a change between a bucket and the one before it.
    borders: Vec<(bool, bool)>,
}

impl NativeRows {
    /// Those of these buckets; `None` if there are none. A histogram whose writer gave no hint gets one if it continues
    /// from the one before it, or, if hints are inferred, in any case.
    pub fn of(columns: &BucketColumns, infers_hints: bool) -> Option<Self> {
        if columns.natives.is_usual() {
            return None;
        }
        let mut rows: Vec<Arc<Natives>> = Vec::new();
        let mut borders = Vec::new();
        // The newest entry is the last histogram of `rows`.
        let mut is_direct = false;
        for row in 0..columns.len() {
            if let Some(natives) = columns.natives.get(row) {
                let mut natives = natives.clone();
                borders.push(rows.last().map_or((false, false), |before| {
                    (natives.first.is_reset(&before.last), natives.first.is_change(&before.last))
                }));
                if let Some(before) = rows.last() {
                    join(&mut natives, &before.last, is_direct);
                }
                if infers_hints {
                    let border = rows.last().map(|_| borders[borders.len() - 1].0);
                    infer(&mut natives, border);
                }
                is_direct = !natives.precedes;
                rows.push(natives);
            } else if !columns.is_vacant(row) {
                is_direct = false;
            }
        }
        Some(NativeRows { rows, borders }).filter(|all| !all.rows.is_empty())
    }

    /// The histograms of a row.
    pub fn natives(&self, row: usize) -> &Natives {
        &self.rows[row]
    }

    /// The last histogram up to a time.
    pub fn last_until(&self, time: Timestamp) -> Option<&NativeEdge> {
        let rows = self.rows.partition_point(|natives| natives.last.time <= time);
        Some(&self.rows[rows.checked_sub(1)?].last)
    }

    /// Whether there is a reset between a row and the one before it.
    pub fn is_reset(&self, row: usize) -> bool {
        self.borders[row].0
    }

    /// Whether there is a change between a row and the one before it.
    pub fn is_change(&self, row: usize) -> bool {
        self.borders[row].1
    }

    /// The window `(start, end]`; `None` if certainly no histogram is inside.
    pub fn span(&self, start: Timestamp, end: Timestamp) -> Option<NativeSpan<'_>> {
        let lo = self.rows.partition_point(|natives| natives.last.time <= start);
        let hi = self.rows.partition_point(|natives| natives.first.time <= end);
        if lo >= hi {
            return None;
        }
        let whole = NativeSpan { rows: self, start, end, lo, hi, left: None, right: None, both: None };
        let is_left_cut = self.rows[lo].first.time <= start;
        let is_right_cut = self.rows[hi - 1].last.time > end;
        if hi - lo == 1 && is_left_cut && is_right_cut {
            return Some(NativeSpan { lo: hi, both: Some(lo), ..whole });
        }
        let inner = lo + usize::from(is_left_cut);
        Some(NativeSpan {
            lo: inner,
            hi: (hi - usize::from(is_right_cut)).max(inner),
            left: is_left_cut.then_some(lo),
            right: is_right_cut.then(|| hi - 1),
            ..whole
        })
    }

    /// What the change over the rows `lo..hi` depends on; `None` if it is not known.
    pub fn observed(&self, (lo, hi): (usize, usize), counter: bool) -> Option<Observed<'_>> {
        let rows = &self.rows[lo..hi];
        let (first, last) = (&rows.first()?.first, &rows.last()?.last);
        Some(Observed {
            first: End::of(first),
            last: End::of(last),
            count: rows.iter().map(|natives| natives.count).sum(),
            has_gauges: rows.iter().any(|natives| natives.has_gauges),
            inside: if counter { self.inside(lo, hi)? } else { Inside::default() },
        })
    }

    fn inside(&self, lo: usize, hi: usize) -> Option<Inside> {
        let rows = &self.rows[lo..hi];
        let others = || rows.iter().skip(1).map(|natives| &*natives.first.histogram);
        let lowest = rows.iter().map(|natives| natives.lowest_schema).chain(others().map(|h| h.schema)).min();
        let mut lost = HistogramSum::default();
        for row in lo..hi {
            let natives = &self.rows[row];
            if row > lo && self.is_reset(row) && !(row == lo + 1 && self.rows[lo].count == 1) {
                lost.add(&self.rows[row - 1].last.histogram);
            }
            if row > lo && natives.second.is_some() {
                lost.add(&natives.first.histogram);
            }
            lost.add_all(natives.lost.as_ref()?);
        }
        let second = match rows {
            [first, second, ..] if first.count == 1 => {
                self.is_reset(lo + 1).then(|| zero_like(&second.first.histogram))
            }
            [first, ..] => first.second.as_deref().cloned(),
            [] => None,
        };
        Some(Inside {
            second,
            lowest_schema: lowest.unwrap_or(i32::MAX),
            has_exponential: rows.iter().any(|natives| natives.has_exponential)
                || others().any(|h| !is_custom(h)),
            lost: lost.totals()?,
        })
    }
}

/// Says whether the first histogram continues from the one before it.
fn join(natives: &mut Arc<Natives>, before: &NativeEdge, is_direct: bool) {
    let is_unknown = natives.first.histogram.reset_hint == ResetHint::Unknown;
    if is_unknown && is_direct && !natives.follows {
        Arc::make_mut(natives).hint_first(&before.histogram);
    }
}

/// Gives the ends a hint in any case. `border`: whether there is a reset before the first one, if there is one before.
fn infer(natives: &mut Arc<Natives>, border: Option<bool>) {
    let hinted = |edge: &mut NativeEdge, is_reset: Option<bool>| {
        if let (ResetHint::Unknown, Some(is_reset)) = (edge.histogram.reset_hint, is_reset) {
            let reset_hint = if is_reset { ResetHint::Reset } else { ResetHint::NotReset };
            edge.histogram = Arc::new(Histogram { reset_hint, ..Histogram::clone(&edge.histogram) });
        }
    };
    let natives = Arc::make_mut(natives);
    hinted(&mut natives.first, border);
    let is_reset = if natives.count == 1 { border } else { Some(natives.ends_with_reset) };
    hinted(&mut natives.last, is_reset);
}
