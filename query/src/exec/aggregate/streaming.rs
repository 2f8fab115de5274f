//! The input of an aggregation whose series come directly from storage. Each series is evaluated, assigned to its group
//! and cut to the steps where it has values, as soon as its samples are read. A series that lives only for minutes is
//! therefore cheap: it needs no label set, and no column over all steps.
//!
//! # Not here
//! Any other input is a vector, grouped in `groups.rs`. Both are folded in `fold.rs`,
//! with the same results to the bit.

use std::collections::HashMap;

use ahash::RandomState;
use barograph_engine::model::{Labels, TimeRange};
use smallvec::SmallVec;

use super::groups::{GroupKey, Groups, Members};
use crate::annotations::flags::Flags;
use crate::budget::pace;
use crate::error::QueryError;
use crate::exec::select::reading::{self, Access, Batch, Ranked};
use crate::exec::window::{columned, over_rollups, range_call};
use crate::exec::{Context, Evaluator, select};
use crate::functions::arguments::SampleField;
use crate::functions::window::Columns;
use crate::functions::{Function, NameRule};
use crate::plan::{Aggregate, Kind, Selection};
use crate::series::{Points, Series, Vector, is_absent, labels_held};
use crate::source::SeriesRef;
use crate::span;
use crate::steps::Steps;
use crate::syntax::ast::Edges;
use crate::usage::Footprint;

/// The cost of assigning a series to its group, in floats that are only read.
const PLACED: usize = 16;

/// Bytes that a worker holds before it reports them to the budget.
const UNREPORTED_MAX: u64 = 64 << 10;

/// The steps at which one series has values.
pub(crate) struct StepRange {
    group: u32,
    /// The first step.
    first: u32,
    floats: SmallVec<[f64; 2]>,
    /// The whole series if it has histograms; `floats` is empty then.
    points: Option<Box<Points>>,
}

/// The columns to fold.
pub(crate) enum Input {
    /// Only floats.
    Spans(Vec<Ranked<StepRange>>, Groups),
    /// There are histograms. Each group has the labels of its first member.
    Vector(Vector, Groups),
}

impl StepRange {
    /// `points` has a value.
    fn of(points: Points, group: u32) -> StepRange {
        if points.histograms.is_some() {
            return StepRange { group, first: 0, floats: SmallVec::new(), points: Some(Box::new(points)) };
        }
        let floats = points.floats;
        let first = floats.iter().position(|&v| !is_absent(v)).unwrap_or(0);
        let last = floats.iter().rposition(|&v| !is_absent(v)).unwrap_or(first);
        let is_long = last - first > floats.len() / 2;
        let (first, floats) = match is_long {
            true => (0, SmallVec::from_vec(floats)),
            false => (first, SmallVec::from_slice(&floats[first..=last])),
        };
        StepRange { group, first: first as u32, floats, points: None }
    }

    fn held(&self) -> Footprint {
        let spilled = if self.floats.spilled() { self.floats.capacity() * size_of::<f64>() } else { 0 };
        let own = Footprint {
            samples: self.floats.len() as u64,
            bytes: (size_of::<Ranked<StepRange>>() + spilled) as u64,
        };
        self.points.as_ref().map_or(own, |points| own + points.held())
    }

    fn into_points(self, steps: Steps) -> Points {
        if let Some(points) = self.points {
            return *points;
        }
        let mut points = Points::absent(steps.count);
        let first = self.first as usize;
        points.floats[first..first + self.floats.len()].copy_from_slice(&self.floats);
        points
    }
}

impl Members for Vec<Ranked<StepRange>> {
    fn column(&self, member: usize) -> (usize, &[f64]) {
        let span = &self[member].1;
        (span.first as usize, &span.floats)
    }

    fn values(&self) -> usize {
        self.iter().map(|(_, span)| span.floats.len()).sum()
    }
}

/// The source of an aggregation's series.
struct Leaf<'p> {
    selection: &'p Selection,
    /// The width of the buckets that are read; `None` if samples are.
    width: Option<i64>,
    range: TimeRange,
    drop_name: bool,
    /// The function that annotations are about, and the position of its argument.
    noted: Option<(&'static Function, span::Span)>,
}

/// Reads and groups the input, if it comes directly from storage.
///
/// # Errors
/// The errors of the evaluation.
pub(crate) fn evaluate(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    steps: Steps,
) -> Result<Option<Input>, QueryError> {
    let node = &aggregate.expr;
    // A trace reports the cost of each node, so each node is evaluated by itself.
    if ev.trace.is_some() || steps.count == 0 || (node.invariant && steps.count > 1) {
        return Ok(None);
    }
    let keep = GroupKey::of(&aggregate.grouping);
    match &node.kind {
        Kind::Instant(selection) if selection.edges != Edges::Smoothed => {
            let range = select::covering_range(ev.ctx, selection, steps);
            let width = select::rollup::width(ev.ctx, selection, steps);
            let leaf = Leaf { selection, width, range, drop_name: false, noted: None };
            let ctx = ev.ctx;
            let batches = read(ctx, &leaf, &keep, |_, access, series, _| {
                select::rollup::points(ctx, access, series, selection, steps, SampleField::Value, width)
            })?;
            gathered(ev, &leaf, batches, steps).map(Some)
        }
        Kind::Call(call) => {
            let Some((arg, selection, kernel)) = range_call::stored_series(call) else { return Ok(None) };
            let range_call = range_call::prepare(ev, call, arg, selection, steps)?;
            let mut leaf = Leaf {
                width: None,
                selection,
                range: columned::read_range(&range_call, call.function),
                drop_name: call.name_rule != NameRule::Keep,
                noted: Some((call.function, arg.span)),
            };
            let tier = over_rollups::tier_for(ev.ctx, call.function, selection, &range_call.windows)?;
            leaf.width = tier.map(|tier| tier.width);
            let work = range_call::series_work(ev.ctx, tier, call, selection, &range_call, kernel);
            let batches = read(ev.ctx, &leaf, &keep, work)?;
            gathered(ev, &leaf, batches, steps).map(Some)
        }
        _ => Ok(None),
    }
}

/// The groups that one worker has seen.
#[derive(Default)]
struct Table {
    columns: Columns,
    key: Vec<u8>,
    places: HashMap<Vec<u8>, u32, RandomState>,
    groups: Vec<Group>,
    /// The group of the previous series.
    recent: u32,
    /// The flags raised about series with a name, and the rank of the first such series.
    noticed: HashMap<(Flags, String), u32, RandomState>,
    unreported: Footprint,
}

struct Group {
    key: Vec<u8>,
    labels: Labels,
    /// The first member in label order.
    first: Ranked<Labels>,
}

impl Table {
    /// The group of a series.
    fn place(&mut self, keep: &GroupKey, series: &SeriesRef) -> u32 {
        keep.key(&series.labels, &mut self.key);
        let is_recent = self.groups.get(self.recent as usize).is_some_and(|group| group.key == self.key);
        if !is_recent {
            self.recent = match self.places.get(&self.key) {
                Some(place) => *place,
                None => self.add(Group {
                    key: self.key.clone(),
                    labels: keep.labels(&series.labels),
                    first: (series.rank, series.labels.clone()),
                }),
            };
        }
        let group = &mut self.groups[self.recent as usize];
        if series.rank < group.first.0 {
            group.first = (series.rank, series.labels.clone());
        }
        self.recent
    }

    fn add(&mut self, group: Group) -> u32 {
        let place = self.groups.len() as u32;
        self.unreported += labels_held(&group.labels);
        self.places.insert(group.key.clone(), place);
        self.groups.push(group);
        place
    }

    /// Merges a group of another worker.
    fn join(&mut self, group: Group) -> u32 {
        let Some(&place) = self.places.get(&group.key) else { return self.add(group) };
        let known = &mut self.groups[place as usize];
        if group.first.0 < known.first.0 {
            known.first = group.first;
        }
        place
    }

    fn notice(&mut self, flags: Flags, name: &str, rank: u32) {
        let first = self.noticed.entry((flags, name.to_owned())).or_insert(rank);
        *first = rank.min(*first);
    }

    fn report(&mut self, ctx: &Context<'_>, unreported_max: u64) -> Result<(), QueryError> {
        if self.unreported.bytes <= unreported_max {
            return Ok(());
        }
        ctx.budget.hold(std::mem::take(&mut self.unreported))
    }
}

/// Reads the series of a leaf. `evaluate` turns a series into values.
fn read(
    ctx: &Context<'_>,
    leaf: &Leaf<'_>,
    keep: &GroupKey,
    evaluate: impl Fn(&mut Columns, &mut Access<'_>, &SeriesRef, &mut Flags) -> Result<Option<Points>, QueryError>
    + Sync,
) -> Result<Vec<Batch<Table, StepRange>>, QueryError> {
    let refs = select::select(ctx, leaf.selection, leaf.width, leaf.range)?;
    reading::batches(ctx, refs, |table: &mut Table, access: &mut Access<'_>, series: SeriesRef| {
        let mut flags = Flags::default();
        let points = evaluate(&mut table.columns, access, &series, &mut flags)?;
        if let Some((function, _)) = leaf.noted.filter(|_| !flags.is_empty()) {
            let name = series.labels.metric_name().unwrap_or("");
            if range_call::has_annotations(function, flags, name) {
                table.notice(flags, name, series.rank);
            }
        }
        let Some(points) = points.filter(Points::any) else { return Ok(None) };
        let span = StepRange::of(points, table.place(keep, &series));
        table.unreported += span.held();
        table.report(ctx, UNREPORTED_MAX)?;
        Ok(Some(span))
    })
}

/// Merges the results of the workers: series in label order, groups in the order of their first members.
fn gathered(
    ev: &mut Evaluator<'_>,
    leaf: &Leaf<'_>,
    batches: Vec<Batch<Table, StepRange>>,
    steps: Steps,
) -> Result<Input, QueryError> {
    let mut table = Table::default();
    let mut spans: Vec<Ranked<StepRange>> = Vec::with_capacity(batches.iter().map(|b| b.results.len()).sum());
    for mut batch in batches {
        batch.scratch.report(ev.ctx, 0)?;
        let places: Vec<u32> = batch.scratch.groups.into_iter().map(|group| table.join(group)).collect();
        for ((flags, name), rank) in batch.scratch.noticed {
            table.notice(flags, &name, rank);
        }
        spans.extend(batch.results.into_iter().map(|(rank, span)| {
            let group = places[span.group as usize];
            (rank, StepRange { group, ..span })
        }));
    }
    let spans = pace::sorted(&ev.ctx.budget, spans, |a, b| a.0.cmp(&b.0))?;
    let mut pace = ev.ctx.budget.pace();
    if let Some((function, at)) = leaf.noted {
        let mut noticed: Vec<_> =
            table.noticed.drain().map(|((flags, name), rank)| (rank, flags, name)).collect();
        noticed.sort_unstable_by_key(|(rank, ..)| *rank);
        for (_, flags, name) in noticed {
            range_call::annotate(&mut ev.annotations, function, at, flags, &name);
        }
    }
    let mut groups = Groups::new();
    let mut placed: Vec<Option<usize>> = vec![None; table.groups.len()];
    for (i, (_, span)) in spans.iter().enumerate() {
        pace.work(PLACED)?;
        let group = span.group as usize;
        let place = *placed[group].get_or_insert_with(|| groups.add(table.groups[group].labels.clone()));
        groups.drop_name[place] = leaf.drop_name;
        groups.members[place].push(i);
    }
    if !spans.iter().any(|(_, span)| span.points.is_some()) {
        return Ok(Input::Spans(spans, groups));
    }
    let series = |(_, span): Ranked<StepRange>| {
        let labels = table.groups[span.group as usize].first.1.clone();
        let series = Series { labels, drop_name: leaf.drop_name, points: span.into_points(steps) };
        ev.ctx.budget.check()?;
        ev.ctx.budget.hold(series.held())?;
        Ok(series)
    };
    let vector = spans.into_iter().map(series).collect::<Result<Vector, QueryError>>()?;
    Ok(Input::Vector(vector, groups))
}
