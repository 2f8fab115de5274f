//! How range functions are answered from buckets of a tier instead of samples.
//!
//! A [`Row`] says it for one function: the columns that it needs, when the answer is that of the samples, what it is
//! otherwise, and the evaluator. The entry of a function in the table names its row, so the planner, the executor and the
//! documentation read the same one.
//!
//! A window usually consists of whole buckets, which are folded in time order into one ([`slide`]). What concerns the
//! last sample of one bucket and the first of the next is derived while folding. The evaluator then calls the kernel
//! that the samples would have gone through. A bucket is whole if all its samples are in the window, wherever its bounds
//! are; otherwise an end of the window cuts it.
//!
//! # Not here
//! Choosing a tier (`plan/tier.rs`), reading buckets, and reading samples for the steps that are not exact
//! (`exec/window/over_rollups.rs`).

use barograph_engine::model::Timestamp;
use barograph_engine::rollup::counter::is_start_overlap;
use barograph_engine::rollup::{Bucket, Edge};

use crate::annotations::flags::Flags;
use crate::functions::Edges;
use crate::source::Columns;
use crate::tiers::Bounded;

mod anchored;
mod change;
mod distribution;
mod estimated_change;
mod estimated_distribution;
mod estimates;
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
    /// The annotations about counters that its result for a float may cause.
    pub(crate) counter: Counter,
    /// Computes the answer for one window. The number is the scalar argument at the step.
    pub(crate) answer: fn(&Seen<'_>, f64) -> Answer,
    /// Computes the interval if the answer is not exact and the samples are gone; `None` if nothing sound can be said.
    pub(crate) estimate: Option<fn(&Seen<'_>, f64) -> Option<Bounded>>,
    /// The evaluator for anchored windows, if the function accepts them.
    pub(crate) anchored: Option<fn(&Seen<'_>, f64) -> Answer>,
}

/// The table of all rows, as Markdown: function, columns, when it is exact, and what it is otherwise. Functions that are
/// not in it need samples.
pub fn rows_as_markdown() -> String {
    let mut table =
        "| function | columns | exact where | otherwise, once samples are gone |\n|---|---|---|---|\n"
            .to_owned();
    for function in super::all() {
        let Some(row) = function.buckets else { continue };
        let Row { columns, bounds, exact, otherwise, .. } = row;
        let mut shown = names(*columns, Columns::NONE);
        let further = names(*bounds, *columns);
        if !further.is_empty() {
            shown += &format!("; for bounds {further}");
        }
        table += &format!("| `{}` | {shown} | {exact} | {otherwise} |\n", function.name);
    }
    table
}

/// The names of columns, except for those among `known`.
fn names(columns: Columns, known: Columns) -> String {
    let named = [
        (Columns::ENDS, "count, first, last"),
        (Columns::COUNTER, "lost, resets, starts"),
        (Columns::CHANGES, "changes"),
        (Columns::SUM, "sum"),
        (Columns::M2, "m2"),
        (Columns::EXTREMES, "min, max"),
        (Columns::BOUNDS, "gaps, step"),
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
    pub(crate) fn noticed(&self, edges: Edges, seen: &Seen<'_>) -> Flags {
        let mut flags = Flags::default();
        if self.counter == Counter::No {
            return flags;
        }
        flags.raise(Flags::FLOAT_RESULT);
        let Some(all) = seen.whole.filter(|_| edges == Edges::Plain) else { return flags };
        let previous = seen.previous().flatten().filter(|_| self.counter == Counter::Previous);
        let first = &all.first;
        if all.overlap
            || previous.is_some_and(|before| is_start_overlap(first.start, before.start, before.time))
        {
            flags.raise(Flags::START_OVERLAP);
        }
        flags
    }

    /// The evaluator for windows with these edges.
    pub(crate) fn evaluator(&self, edges: Edges) -> Option<fn(&Seen<'_>, f64) -> Answer> {
        match edges {
            Edges::Plain => Some(self.answer),
            Edges::Anchored => self.anchored,
            Edges::Smoothed => None,
        }
    }
}

/// What buckets say about a function of one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Answer {
    /// The window has no result.
    Absent,
    /// The result that the samples have.
    Exact(f64),
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

/// A window `(start, end]` over buckets, with at least one bucket that has samples in it or is cut at both ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// The left end, exclusive.
    pub start: Timestamp,
    /// The right end, inclusive.
    pub end: Timestamp,
    /// How far before the window some functions read.
    pub lookback: i64,
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
    /// The newest bucket whose samples are all before the window.
    pub before: Option<&'a Bucket>,
}

impl<'a> Seen<'a> {
    /// What all buckets add up to, if no bucket is cut.
    fn uncut(&self) -> Option<&'a Bucket> {
        let is_cut = self.left.is_some() || self.right.is_some() || self.both.is_some();
        self.whole.filter(|_| !is_cut)
    }

    /// The first sample inside, if it is known.
    fn first(&self) -> Option<&'a Edge> {
        if self.left.is_some() || self.both.is_some() {
            return None;
        }
        self.whole.or(self.right).map(|bucket| &bucket.first)
    }

    /// The last sample inside, if it is known.
    fn last(&self) -> Option<&'a Edge> {
        if self.right.is_some() || self.both.is_some() {
            return None;
        }
        self.whole.or(self.left).map(|bucket| &bucket.last)
    }

    /// The last sample before the window that is less than the lookback older than it; `None` if it is not known
    /// whether there is one.
    fn previous(&self) -> Option<Option<&'a Edge>> {
        if self.left.is_some() || self.both.is_some() {
            return None;
        }
        let oldest = self.start.saturating_sub(self.lookback);
        Some(self.before.map(|bucket| &bucket.last).filter(|last| last.time > oldest))
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
            "| `sum_over_time` | count, first, last, sum; for bounds min, max, gaps, step | no bucket is cut; correctly \
             rounded | the least and the greatest sum of the samples inside each cut bucket |"
        );
        assert!(line("increase_pure").ends_with("| refused |"), "{}", line("increase_pure"));
    }

    #[test]
    fn functions_of_samples_have_no_row() {
        for name in ["double_exponential_smoothing", "outlier_iqr_over_time", "histogram_quantile"] {
            assert!(crate::functions::find(name).is_none_or(|function| function.buckets.is_none()), "{name}");
        }
    }
}
