//! How range functions are answered from buckets of a tier instead of samples.
//!
//! A [`Row`] says it for one function: the columns that it needs, when the answer is that of the samples, what it is
//! otherwise, and the evaluator. The entry of a function in the table names its row, so the planner, the executor and the
//! documentation read the same one.
//!
//! A window usually consists of whole buckets, whose columns the evaluator reads as slices: a running total, a deque of
//! extremes, the first and the last row. What concerns the last sample of one bucket and the first of the next is derived
//! from their columns. The evaluator then calls the kernel that the samples would have gone through. A bucket is whole if
//! all its samples are in the window, wherever its bounds are; otherwise an end of the window cuts it. Where samples are
//! gone, estimates look at buckets as structs ([`merged`]).
//!
//! # Not here
//! Choosing a tier (`plan/tier.rs`), reading buckets, and reading samples for the steps that are not exact
//! (`exec/window/over_rollups.rs`).

use std::ops::Range;

use barograph_engine::model::{Histogram, Timestamp};
use barograph_engine::rollup::counter::is_start_overlap;
use barograph_engine::rollup::{Bucket, BucketColumns, Edge};

use crate::annotations::flags::Flags;
use crate::functions::Edges;
use crate::source::Columns;
use crate::tiers::Bounded;
use natives::Natively;

mod anchored;
mod change;
mod distribution;
mod estimates;
mod folds;
pub(crate) mod histogram;
mod losses;
pub(crate) mod merged;
pub(crate) mod natives;
mod over_time;
pub(crate) mod rows;
pub(crate) mod slide;

/// How a function is answered from buckets.
#[derive(Debug)]
pub struct Row {
    /// The columns that it reads.
    pub columns: Columns,
    /// When the answer is that of the samples, for the documentation.
    pub exact: &'static str,
    /// The further columns that an estimate reads.
    pub bounds: Columns,
    /// The interval that contains the answer of the samples otherwise, for the documentation.
    pub otherwise: &'static str,
    /// What it does with native histograms.
    pub(crate) natives: Natively,
    /// The annotations about counters that its result for a float may cause.
    pub(crate) counter: Counter,
    /// Computes the answers of the windows of one series.
    pub(crate) kernel: Kernel,
    /// Computes the answer of a window from merged buckets, where samples are gone and the kernel does not know it.
    pub(crate) refined: Option<fn(&Seen<'_>, f64) -> Answer>,
    /// Computes the interval if the answer is not exact and the samples are gone; `None` if nothing sound can be said.
    pub(crate) estimate: Option<fn(&Seen<'_>, f64) -> Option<Bounded>>,
    /// The same of a function whose answers are native histograms.
    pub(crate) estimated_distribution: Option<fn(&Seen<'_>) -> Option<histogram::Estimated>>,
    /// The kernel for anchored windows, if the function accepts them.
    pub(crate) anchored: Option<Kernel>,
}

/// The buckets of one series, and what all of its windows have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Series<'c> {
    pub columns: &'c BucketColumns,
    /// The length of a window.
    pub range_ns: i64,
    /// Whether windows share buckets.
    pub overlaps: bool,
}

/// Computes the answers of windows that move forward. The number is the scalar argument at the step.
pub(crate) type Evaluator<'c> = Box<dyn FnMut(&Span<'c>, f64) -> Answer + 'c>;

/// Makes the evaluator for the windows of one series.
pub(crate) type Kernel = for<'c> fn(Series<'c>) -> Evaluator<'c>;

/// The table of all rows, as Markdown: function, columns, when it is exact, what it is otherwise, and the same of native
/// histograms. Functions that are not in it need samples.
pub fn rows_as_markdown() -> String {
    let mut table =
        "| function | columns | exact where | otherwise, once samples are gone | native histograms |\n\
                     |---|---|---|---|---|\n"
            .to_owned();
    for function in super::all() {
        let Some(row) = function.buckets else { continue };
        let Row { columns, bounds, exact, otherwise, natives, .. } = row;
        let mut shown = names(*columns, Columns::NONE);
        shown.insert_str(0, if shown.is_empty() { "count" } else { "count, " });
        let further = names(*bounds, *columns);
        if !further.is_empty() {
            shown += &format!("; for bounds {further}");
        }
        let natives = natives.documented();
        table += &format!("| `{}` | {shown} | {exact} | {otherwise} | {natives} |\n", function.name);
    }
    table
}

/// The names of columns, except for those among `known`.
fn names(columns: Columns, known: Columns) -> String {
    let named = [
        (Columns::TIMES, "times"),
        (Columns::VALUES, "first, last"),
        (Columns::COUNTER, "lost, resets, starts"),
        (Columns::CHANGES, "changes"),
        (Columns::SUM, "sum"),
        (Columns::M2, "m2"),
        (Columns::MIN, "min"),
        (Columns::MAX, "max"),
        (Columns::GAPS, "gaps"),
        (Columns::STEP, "step"),
        (Columns::SKETCH, "sketch"),
    ];
    let is_new = |of: Columns| columns.contains(of) && !known.contains(of);
    let names = named.into_iter().filter(|(column, _)| is_new(*column)).map(|(_, name)| name);
    names.collect::<Vec<_>>().join(", ")
}

/// Which annotations about counters a result may cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    /// None.
    No,
    /// About its name, and about start times in the window.
    Window,
    /// About the sample before the window too.
    Previous,
}

impl Row {
    /// What a kernel over samples would notice about a window that has a result.
    #[inline]
    pub(crate) fn noticed(&self, edges: Edges, span: &Span<'_>) -> Flags {
        match self.counter {
            Counter::No => Flags::default(),
            Counter::Window | Counter::Previous => self.noticed_of_counter(edges, span),
        }
    }

    // Not inlined: the addresses in it would be computed for every window.
    #[inline(never)]
    fn noticed_of_counter(&self, edges: Edges, span: &Span<'_>) -> Flags {
        let mut flags = Flags::default();
        flags.raise(Flags::FLOAT_RESULT);
        let Span { columns, lo, hi, .. } = *span;
        let has_starts = !columns.first_starts.is_usual() || !columns.is_plain();
        if edges != Edges::Plain || span.rows().is_empty() || !has_starts {
            return flags;
        }
        let overlaps = |before: &Edge, row: usize| {
            is_start_overlap(columns.first_starts.at(row), before.start, before.time)
        };
        let previous = span.previous().flatten().filter(|_| self.counter == Counter::Previous);
        if (lo..hi).any(|row| columns.has_overlap(row))
            || (lo + 1..hi).any(|row| overlaps(&columns.last(row - 1), row))
            || previous.is_some_and(|before| overlaps(&before, lo))
        {
            flags.raise(Flags::START_OVERLAP);
        }
        flags
    }

    /// The kernel for windows with these edges.
    pub(crate) fn kernel(&self, edges: Edges) -> Option<Kernel> {
        match edges {
            Edges::Plain => Some(self.kernel),
            Edges::Anchored => self.anchored,
            Edges::Smoothed => None,
        }
    }
}

/// What buckets say about a function of one window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// The window has no result.
    Absent,
    /// The result that the samples have.
    Exact(f64),
    /// The native histogram that the samples have.
    Distribution {
        /// It.
        histogram: Box<Histogram>,
        /// The bytes of what it was counted with, which stays for the next one.
        scratch: usize,
    },
    /// Only samples can tell.
    Unknown,
}

impl Answer {
    /// An exact answer, or none.
    fn of(result: Option<f64>) -> Answer {
        result.map_or(Answer::Absent, Answer::Exact)
    }

    /// An exact answer, if it is known.
    fn known(result: Option<f64>) -> Answer {
        result.map_or(Answer::Unknown, Answer::Exact)
    }
}

/// An evaluator that knows its answer unless a bucket is cut, or `of` returns `None`.
fn uncut<'c>(mut of: impl FnMut(&Span<'c>, f64) -> Option<f64> + 'c) -> Evaluator<'c> {
    Box::new(move |span, x| if span.is_cut() { Answer::Unknown } else { Answer::known(of(span, x)) })
}

/// A window `(start, end]` over the buckets of a series, with at least one bucket in it or cut at both ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span<'c> {
    /// The buckets, all of which have samples.
    pub columns: &'c BucketColumns,
    /// The left end, exclusive.
    pub start: Timestamp,
    /// The right end, inclusive.
    pub end: Timestamp,
    /// How far before the window some functions read.
    pub lookback: i64,
    /// The first whole bucket.
    pub lo: usize,
    /// One past the last whole bucket; `lo` if there are none.
    pub hi: usize,
    /// The bucket that the left end cuts: its last sample is inside.
    pub left: Option<usize>,
    /// The bucket that the right end cuts: its first sample is inside.
    pub right: Option<usize>,
    /// The bucket that both ends cut: its first sample is before the window and its last one after it.
    pub both: Option<usize>,
    /// The newest bucket whose samples are all before the window.
    pub before: Option<usize>,
}

impl<'c> Span<'c> {
    /// The whole buckets.
    #[inline]
    fn rows(&self) -> Range<usize> {
        self.lo..self.hi
    }

    /// Whether an end of the window cuts a bucket.
    #[inline]
    pub fn is_cut(&self) -> bool {
        self.left.is_some() || self.right.is_some() || self.both.is_some()
    }

    /// The bucket whose first sample is the first one inside, if it is known.
    fn first(&self) -> Option<usize> {
        let is_known = self.left.is_none() && self.both.is_none();
        let whole = (self.lo < self.hi).then_some(self.lo);
        whole.or(self.right).filter(|_| is_known)
    }

    /// The bucket whose last sample is the last one inside, if it is known.
    fn last(&self) -> Option<usize> {
        let is_known = self.right.is_none() && self.both.is_none();
        let whole = (self.lo < self.hi).then(|| self.hi - 1);
        whole.or(self.left).filter(|_| is_known)
    }

    /// The last sample before the window that is less than the lookback older than it; `None` if it is not known
    /// whether there is one. Times and values must be held.
    fn previous(&self) -> Option<Option<Edge>> {
        if self.left.is_some() || self.both.is_some() {
            return None;
        }
        let oldest = self.start.saturating_sub(self.lookback);
        Some(self.before.map(|row| self.columns.last(row)).filter(|last| last.time > oldest))
    }
}

/// A window whose buckets are merged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// The left end, exclusive.
    pub start: Timestamp,
    /// The right end, inclusive.
    pub end: Timestamp,
    /// The whole buckets, in time order.
    pub parts: &'a [Bucket],
    /// What the whole buckets add up to; `None` if there are none.
    pub whole: Option<&'a Bucket>,
    /// The bucket that the left end cuts: its last sample is inside.
    pub left: Option<&'a Bucket>,
    /// The bucket that the right end cuts: its first sample is inside.
    pub right: Option<&'a Bucket>,
    /// The bucket that both ends cut: its first sample is before the window and its last one after it.
    pub both: Option<&'a Bucket>,
}

impl<'a> Seen<'a> {
    /// What all buckets add up to, if no bucket is cut.
    fn uncut(&self) -> Option<&'a Bucket> {
        let is_cut = self.left.is_some() || self.right.is_some() || self.both.is_some();
        self.whole.filter(|_| !is_cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_function_with_a_row() {
        let table = rows_as_markdown();
        let with_row = crate::functions::all().iter().filter(|function| function.buckets.is_some());
        assert_eq!(table.lines().count(), 2 + with_row.count());
        let line = |name: &str| table.lines().find(|line| line.starts_with(&format!("| `{name}` "))).unwrap();
        assert_eq!(
            line("sum_over_time"),
            "| `sum_over_time` | count, sum; for bounds times, first, last, m2, min, max, gaps, step | no bucket is cut; correctly \
             rounded | the least and the greatest sum of the samples inside each cut bucket | gauges: exact where no bucket \
             is cut, else refused; others are answered from samples |"
        );
        assert!(line("increase_pure").ends_with("| refused | ignored |"), "{}", line("increase_pure"));
    }

    #[test]
    fn functions_of_samples_have_no_row() {
        for name in ["double_exponential_smoothing", "outlier_iqr_over_time", "histogram_quantile"] {
            assert!(crate::functions::find(name).is_none_or(|function| function.buckets.is_none()), "{name}");
        }
    }
}
