//! A call over stored series, answered from buckets where they give the answer of the samples, and from samples
//! elsewhere.

mod found;

use barograph_engine::model::TimeRange;
use found::{Found, spans_with_histograms};
use smallvec::SmallVec;

use super::columned::{Columned, read_range};
use crate::accuracy::Notes;
use crate::annotations::flags::Flags;
use crate::error::QueryError;
use crate::exec::Context;
use crate::exec::select::reading::Access;
use crate::exec::select::rollup;
use crate::functions::buckets::natives::{NativeRows, Natively};
use crate::functions::buckets::{Answer, Kernel, Row, Seen};
use crate::functions::window::slide::Windows;
use crate::functions::window::{Columns, RangeCall, WindowedSeries};
use crate::functions::{Edges, Function};
use crate::plan::tier::Looks;
use crate::plan::{Kind, Selection};
use crate::series::Points;
use crate::source::{self, SeriesRef};
use crate::steps::Steps;
use crate::syntax::duration_text;

/// Computes the columns of a series from its windows.
pub(super) type Compute<'k> = dyn Fn(&mut WindowedSeries<'_>) -> Result<Columned, QueryError> + Sync + 'k;

/// The buckets that answer a call.
#[derive(Clone, Copy)]
pub(crate) struct Tier {
    /// Their width, nanoseconds.
    pub width: i64,
    /// Whether no window cuts a bucket.
    is_aligned: bool,
    row: &'static Row,
    kernel: Kernel,
}

/// The tier for a call, if there is one that is worth reading.
///
/// # Errors
/// [`QueryError::Execution`] if samples are gone and buckets do not answer the function.
pub(crate) fn tier_for(
    ctx: &Context<'_>,
    function: &Function,
    selection: &Selection,
    windows: &Windows,
) -> Result<Option<Tier>, QueryError> {
    let tier = tier_of(ctx, function, selection, windows);
    let needs_buckets = windows.steps.count > 0 && ctx.tiers.must_estimate(windows.bounds(0).0);
    match ctx.tiers.all.first() {
        Some(narrowest) if tier.is_none() && needs_buckets => Err(unanswered(function, narrowest.width)),
        _ => Ok(tier),
    }
}

/// A function that is not answered from buckets, and what can stand in for its samples.
fn unanswered(function: &Function, width: i64) -> QueryError {
    let width = duration_text(width as f64 / 1e9);
    let instead =
        format!("a subquery of a function that can, such as avg_over_time(metric[{width}])[90d:{width}]");
    QueryError::Execution(format!(
        "{}: give it {instead}",
        why_refused(function, "cannot be answered from buckets")
    ))
}

fn refused(function: &Function, why: &str) -> QueryError {
    QueryError::Execution(why_refused(function, why))
}

/// Why a function has no answer.
fn why_refused(function: &Function, why: &str) -> String {
    format!("{} {why}, and the samples are gone or were not asked for", function.name)
}

/// Like [`tier_for`], without an error.
pub(crate) fn tier_of(
    ctx: &Context<'_>,
    function: &Function,
    selection: &Selection,
    windows: &Windows,
) -> Option<Tier> {
    let row = function.buckets?;
    let kernel = row.kernel(selection.edges)?;
    let looks =
        Looks { steps: windows.steps, shift: windows.shift, range_ms: windows.range_ms, newest: false };
    let width = ctx.width(&looks, &selection.matchers)?;
    Some(Tier { width, is_aligned: looks.are_aligned(width), row, kernel })
}

/// The columns of a series, and the steps that only samples can answer.
type Partial = (Vec<Points>, Vec<usize>);

/// A call over the series of a selection.
pub(super) struct Job<'j> {
    pub ctx: &'j Context<'j>,
    pub call: &'j RangeCall<'j>,
    pub function: &'static Function,
    pub selection: &'j Selection,
    pub tier: Option<Tier>,
    /// The number of columns of each series.
    pub columns: usize,
    pub compute: &'j Compute<'j>,
}

impl<'j> Job<'j> {
    /// A job from samples, with one column for each series.
    pub fn new(
        ctx: &'j Context<'j>,
        call: &'j RangeCall<'j>,
        function: &'static Function,
        selection: &'j Selection,
        compute: &'j Compute<'j>,
    ) -> Self {
        Job { ctx, call, function, selection, tier: None, columns: 1, compute }
    }

    /// The columns of one series; `None` if it has no samples.
    pub fn run(
        &self,
        access: &mut Access<'_>,
        series: &SeriesRef,
        columns: &mut Columns,
        flags: &mut Flags,
    ) -> Result<Option<Columned>, QueryError> {
        let Some(tier) = &self.tier else {
            return self.over_samples(self.call, access, series, columns, flags);
        };
        let Some((mut made, unknown)) = self.over_buckets(tier, access, series, flags)? else {
            let made = self.over_samples(self.call, access, series, columns, flags)?;
            let start = read_range(self.call, self.function).start;
            return match self.ctx.tiers.must_estimate(start) {
                true => Err(refused(self.function, "needs columns that the buckets of a series do not have")),
                false => Ok(made),
            };
        };
        for run in runs(&unknown) {
            let call = part_of(self.call, run.clone());
            if let Some(part) = self.over_samples(&call, access, series, columns, flags)? {
                copy(&mut made, part, run.start);
            }
        }
        Ok(Some(Columned::from(SmallVec::from_vec(made))))
    }

    fn over_samples(
        &self,
        call: &RangeCall<'_>,
        access: &mut Access<'_>,
        series: &SeriesRef,
        columns: &mut Columns,
        flags: &mut Flags,
    ) -> Result<Option<Columned>, QueryError> {
        let samples = access.samples(series, read_range(call, self.function))?;
        columns.fill(samples);
        if self.selection.infer_hints {
            columns.infer_hints();
        }
        if columns.len() == 0 {
            return Ok(None);
        }
        let is_counter = self.function.rates_counters && self.ctx.source.is_counter(&series.labels);
        (self.compute)(&mut WindowedSeries { call, columns, is_counter, flags }).map(Some)
    }

    /// The columns, and the steps that only samples can answer; `None` if the series cannot be described by buckets.
    fn over_buckets(
        &self,
        tier: &Tier,
        access: &mut Access<'_>,
        series: &SeriesRef,
        flags: &mut Flags,
    ) -> Result<Option<Partial>, QueryError> {
        let range: TimeRange = read_range(self.call, self.function);
        let estimates = self.ctx.tiers.must_estimate(range.start);
        let Some(columns) = access.buckets(series, tier.width, range, self.wanted(tier, estimates))? else {
            return Ok(None);
        };
        let natives = NativeRows::of(columns, self.selection.infer_hints);
        if natives.is_some() && self.call.edges != Edges::Plain {
            return Ok(None);
        }
        let ignored = match tier.row.natives {
            Natively::Ignored => spans_with_histograms(columns, tier.width),
            _ => Vec::new(),
        };
        // A marker does not end a window's samples.
        columns.retain_sampled();
        let mut found = Found::new(self, tier, natives.as_ref());
        found.add_floats(columns, &ignored, flags)?;
        found.add_natives(flags)?;
        found.finish().map(Some)
    }
}

impl Job<'_> {
    /// The answer for a window whose samples are gone, and how far it may be off; unknown if nothing sound can be said.
    fn estimate(&self, row: &Row, seen: &Seen<'_>, argument: f64, notes: &mut Notes) -> Answer {
        if let Some(Answer::Exact(value)) = row.refined.map(|refined| refined(seen, argument)) {
            return Answer::Exact(value);
        }
        if let Some(estimate) = row.estimated_distribution {
            let Some(found) = estimate(seen) else { return Answer::Unknown };
            notes.add(found.histogram.count, found.doubtful, found.sum.may_be_absent);
            notes.add_relative(found.sum.relative_error());
            return Answer::Distribution { histogram: Box::new(found.histogram), scratch: 0 };
        }
        let estimate = row.estimate.filter(|_| self.call.edges == Edges::Plain);
        let Some(found) = estimate.and_then(|estimate| estimate(seen, argument)) else {
            return Answer::Unknown;
        };
        notes.add(found.value, found.error(), found.may_be_absent);
        Answer::Exact(found.value)
    }

    /// The columns that are read.
    fn wanted(&self, tier: &Tier, estimates: bool) -> source::Columns {
        let mut wanted = tier.row.columns;
        if self.call.edges != Edges::Plain || !tier.is_aligned {
            wanted = wanted.and(source::Columns::ENDS);
        }
        if estimates {
            wanted = wanted.and(tier.row.bounds).and(source::Columns::ENDS);
        }
        wanted
    }

    /// Whether the samples of a window that begins after `start` may be gone.
    fn must_estimate(&self, start: i64) -> bool {
        let reads_before = self.call.edges != Edges::Plain || self.function.reads_before_window;
        let before = if reads_before { self.call.lookback_ns() } else { 0 };
        self.ctx.tiers.must_estimate(start.saturating_sub(before))
    }
}

/// Neighbouring steps together.
fn runs(steps: &[usize]) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    steps.chunk_by(|a, b| a + 1 == *b).map(|run| run[0]..run[run.len() - 1] + 1)
}

/// The same call at some of its steps.
fn part_of<'a>(call: &RangeCall<'a>, steps: std::ops::Range<usize>) -> RangeCall<'a> {
    let windows = &call.windows;
    let part = Steps { start_ms: windows.steps.at(steps.start), count: steps.len(), ..windows.steps };
    RangeCall {
        budget: call.budget,
        lookback_ms: call.lookback_ms,
        windows: Windows { steps: part, ..*windows },
        edges: call.edges,
        params: call.params.iter().map(|values| values[steps.clone()].to_vec()).collect(),
    }
}

/// Copies the values of `part` into `made`, from step `first` on.
fn copy(made: &mut [Points], part: Columned, first: usize) {
    for (points, part) in made.iter_mut().zip(part.columns) {
        for step in 0..part.len() {
            points.set(first + step, part.get(step));
        }
    }
}

/// The width of the buckets that answer a call or a selector, for `explain`.
pub(crate) fn width_of(
    ctx: &Context<'_>,
    node: &Kind,
    caller: Option<&'static Function>,
    steps: Steps,
) -> Option<i64> {
    match node {
        Kind::Range(selection) if !selection.default_window => {
            let windows = Windows { steps, shift: selection.shift, range_ms: selection.range_ms };
            tier_of(ctx, caller?, selection, &windows).map(|tier| tier.width)
        }
        Kind::Instant(selection) => rollup::width(ctx, selection, steps),
        _ => None,
    }
}
