//! Native histograms of buckets: how functions are answered from them.
//!
//! The histograms of a series are rows of their own, beside the buckets of its floats. A window over both is answered
//! where the two answers combine to that of the samples; elsewhere, samples answer.

mod rows;

use barograph_engine::model::Timestamp;
use barograph_engine::rollup::Natives;

pub(crate) use rows::NativeRows;

use crate::annotations::flags::Flags;
use crate::functions::window::counter::ChangeKind;
use crate::functions::window::float_histogram::End;
use crate::functions::window::histogram_change::{Pair, change_of, instant_change_of};
use crate::functions::window::shown_seconds;
use crate::histogram::accumulate::sum_or_mean_of_layouts;
use crate::histogram::arithmetic::equal;
use crate::series::Point;
use barograph_engine::model::{Histogram, ResetHint};
use std::sync::Arc;

/// How a function treats native histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Natively {
    /// It ignores them.
    Ignored,
    /// Buckets do not answer it.
    Refused,
    /// It counts them.
    Count,
    /// It says that there is one.
    Present,
    /// It returns the first or the last.
    End(End),
    /// It returns the time of the first or of the last.
    Time(End),
    /// It adds them; `mean`: and divides by their number.
    Sum { mean: bool },
    /// `rate` and others.
    Change(ChangeKind),
    /// `irate`, `idelta`.
    Instant { counter: bool },
    /// It counts resets.
    Resets,
    /// It counts changes.
    Changes,
}

/// What histograms say about a function of one window.
#[derive(Debug, Clone)]
pub(crate) enum NativeAnswer {
    /// The window has no result.
    Absent,
    /// The result that the samples have.
    Exact(Point),
    /// The number is in this interval.
    Between(f64, f64),
    /// This is the result if there is one.
    Possible(f64),
    /// Only samples can tell.
    Unknown,
}

/// A window `(start, end]` over the histograms of a series, of which some are inside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NativeSpan<'c> {
    rows: &'c NativeRows,
    pub start: Timestamp,
    pub end: Timestamp,
    /// The first whole bucket.
    lo: usize,
    /// One past the last whole bucket.
    hi: usize,
    /// The bucket that the left end cuts: its last histogram is inside.
    left: Option<usize>,
    /// The bucket that the right end cuts: its first histogram is inside.
    right: Option<usize>,
    /// The bucket that both ends cut: the first one is before the window and the last one after it.
    both: Option<usize>,
}

impl Natively {
    /// When its answer is that of the samples, and what it is otherwise once these are gone, for the documentation.
    pub fn documented(self) -> &'static str {
        match self {
            Natively::Ignored => "ignored",
            Natively::Refused => "answered from samples",
            Natively::Count => {
                "exact where no bucket is cut; else at least one and not all of each cut bucket"
            }
            Natively::Present => {
                "exact where a bucket's first or last one is inside; else 1, which may be absent"
            }
            Natively::End(End::First) | Natively::Time(End::First) => {
                "exact where the left end cuts no bucket; else refused"
            }
            Natively::End(End::Last) | Natively::Time(End::Last) => {
                "exact where the right end cuts no bucket; else refused"
            }
            Natively::Sum { .. } => {
                "gauges: exact where no bucket is cut, else refused; others are answered from samples"
            }
            Natively::Change(kind) if kind.counter => {
                "exact where no bucket is cut; else refused, and so of gauges that fall"
            }
            Natively::Instant { .. } => {
                "exact where no bucket is cut, and the last one has one or two, or no change; else refused"
            }
            Natively::Change(_) | Natively::Resets | Natively::Changes => {
                "exact where no bucket is cut; else refused"
            }
        }
    }

    /// The answer from histograms alone.
    pub fn answer(self, span: &NativeSpan<'_>, flags: &mut Flags) -> NativeAnswer {
        let known = |number: Option<f64>| match number {
            Some(number) => NativeAnswer::Exact(Point::Float(number)),
            None => NativeAnswer::Unknown,
        };
        match self {
            Natively::Ignored | Natively::Refused => NativeAnswer::Unknown,
            Natively::Count => span.count(),
            Natively::Present if span.both.is_some() => NativeAnswer::Possible(1.0),
            Natively::Present => known(Some(1.0)),
            Natively::End(end) => match span.end_row(end) {
                Some(row) => {
                    let natives = span.rows.natives(row);
                    let edge = if end == End::First { &natives.first } else { &natives.last };
                    NativeAnswer::Exact(Point::Histogram(Arc::clone(&edge.histogram)))
                }
                None => NativeAnswer::Unknown,
            },
            Natively::Time(end) => known(span.end_row(end).map(|row| {
                let natives = span.rows.natives(row);
                shown_seconds(if end == End::First { natives.first.time } else { natives.last.time })
            })),
            _ if span.is_cut() => NativeAnswer::Unknown,
            Natively::Sum { mean } => span.sum(mean, flags),
            Natively::Change(kind) => span.change(kind, flags),
            Natively::Instant { counter } => span.instant(counter, flags),
            Natively::Resets => known(Some(span.number(|natives| natives.resets, NativeRows::is_reset))),
            Natively::Changes => known(Some(span.number(|natives| natives.changes, NativeRows::is_change))),
        }
    }

    /// The answer of a window that has floats too, of which `floats` is the answer; `None` if only samples can tell.
    /// `is_cut`: which samples are inside is not known.
    pub fn joint(
        self,
        floats: f64,
        natives: &NativeAnswer,
        is_cut: bool,
        flags: &mut Flags,
    ) -> Option<Option<Point>> {
        match (self, natives) {
            (Natively::Count, NativeAnswer::Exact(Point::Float(count))) => {
                Some(Some(Point::Float(floats + count)))
            }
            (Natively::Present, NativeAnswer::Exact(_)) => Some(Some(Point::Float(1.0))),
            (Natively::Sum { .. } | Natively::Change(_), _) if !is_cut => {
                flags.raise(Flags::MIXED);
                Some(None)
            }
            _ => None,
        }
    }
}

impl NativeSpan<'_> {
    /// Whether an end of the window cuts a bucket.
    pub fn is_cut(&self) -> bool {
        self.left.is_some() || self.right.is_some() || self.both.is_some()
    }

    /// The number of buckets that it touches.
    pub fn touched(&self) -> usize {
        let cut = [self.left, self.right, self.both].into_iter().flatten().count();
        self.hi - self.lo + cut
    }

    fn whole(&self) -> impl Iterator<Item = &Natives> {
        (self.lo..self.hi).map(|row| self.rows.natives(row))
    }

    /// The bucket whose first or last histogram is that of the window, if it is known.
    fn end_row(&self, end: End) -> Option<usize> {
        if self.both.is_some() {
            return None;
        }
        let has_whole = self.lo < self.hi;
        match end {
            End::First if self.left.is_none() => has_whole.then_some(self.lo).or(self.right),
            End::Last if self.right.is_none() => has_whole.then(|| self.hi - 1).or(self.left),
            _ => None,
        }
    }

    fn count(&self) -> NativeAnswer {
        let whole: u64 = self.whole().map(|natives| natives.count).sum();
        if !self.is_cut() {
            return NativeAnswer::Exact(Point::Float(whole as f64));
        }
        let (mut least, mut most) = (whole, whole);
        // The end that is inside counts, the other does not.
        for row in [self.left, self.right].into_iter().flatten() {
            least += 1;
            most += self.rows.natives(row).count - 1;
        }
        most += self.both.map_or(0, |row| self.rows.natives(row).count.saturating_sub(2));
        NativeAnswer::Between(least as f64, most as f64)
    }

    /// A number inside of the buckets, and those between them.
    fn number(&self, inside: impl Fn(&Natives) -> u64, between: impl Fn(&NativeRows, usize) -> bool) -> f64 {
        let borders = (self.lo + 1..self.hi).filter(|&row| between(self.rows, row)).count() as u64;
        (self.whole().map(inside).sum::<u64>() + borders) as f64
    }

    fn sum(&self, mean: bool, flags: &mut Flags) -> NativeAnswer {
        let mut sum = barograph_engine::rollup::HistogramSum::default();
        let mut count = 0;
        for natives in self.whole() {
            let Some(layers) = &natives.sum else { return NativeAnswer::Unknown };
            sum.add_all(layers);
            count += natives.count;
        }
        let Some(totals) = sum.totals() else { return NativeAnswer::Unknown };
        match sum_or_mean_of_layouts(totals, mean.then_some(count as f64), flags) {
            Some(h) => NativeAnswer::Exact(Point::Histogram(Arc::new(Histogram {
                reset_hint: ResetHint::Gauge,
                ..h
            }))),
            None => NativeAnswer::Absent,
        }
    }

    fn change(&self, kind: ChangeKind, flags: &mut Flags) -> NativeAnswer {
        let Some(observed) = self.rows.observed((self.lo, self.hi), kind.counter) else {
            return NativeAnswer::Unknown;
        };
        match change_of(kind, (self.start, self.end), &observed, flags) {
            Some(h) => NativeAnswer::Exact(Point::Histogram(Arc::new(h))),
            None => NativeAnswer::Absent,
        }
    }

    fn instant(&self, counter: bool, flags: &mut Flags) -> NativeAnswer {
        let newest = self.hi - 1;
        let natives = self.rows.natives(newest);
        let last = &natives.last;
        let (before, is_reset) = match natives.count {
            1 if newest == self.lo => return NativeAnswer::Absent,
            1 => (&self.rows.natives(newest - 1).last, self.rows.is_reset(newest)),
            2 => (&natives.first, natives.ends_with_reset),
            // Equal ones, whatever their distance is.
            _ if natives.changes == 0
                && natives.resets == 0
                && natives.has_gauges != natives.has_counters =>
            {
                (last, false)
            }
            _ => return NativeAnswer::Unknown,
        };
        debug_assert!(before.time < last.time || equal(&before.histogram, &last.histogram));
        let distance = if before.time < last.time { last.time - before.time } else { 1 };
        let pair = Pair { before: &before.histogram, last: &last.histogram, is_reset, distance };
        match instant_change_of(pair, counter, flags) {
            Some(h) => NativeAnswer::Exact(Point::Histogram(Arc::new(h))),
            None => NativeAnswer::Absent,
        }
    }
}
