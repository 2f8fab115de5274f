//! Windows and groups in which native histograms may stand beside floats.

use std::sync::Arc;

use barograph_engine::model::Histogram;

use super::Evaluator;
use super::aggregate::assemble;
use super::groups::Groups;
use super::range::{Job, both};
use super::window::slide;
use crate::budget::Budget;
use crate::error::QueryError;
use crate::functions::FunctionId;
use crate::functions::annotations::note_flags;
use crate::functions::flags::Flags;
use crate::functions::numbers::compensated::{self, Mean, Sum};
use crate::functions::window::counter::{self, ChangeKind, Resets};
use crate::functions::window::histogram_change::{self, Run};
use crate::functions::window::over_time::slot;
use crate::functions::window::{Columns, Window};
use crate::histogram::accumulate::Accumulator;
use crate::histogram::arithmetic::equal;
use crate::histogram::resets::is_reset;
use crate::plan::Aggregate;
use crate::series::{Point, Points, Vector, histogram_held};
use crate::steps::Steps;
use crate::syntax::ast::AggregateOp;

fn histogram(h: Histogram) -> Point {
    Point::Histogram(Arc::new(h))
}

/// Which end of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    First,
    Last,
}

/// `first_over_time`, `last_over_time`.
pub(super) fn end_value(job: &Job<'_>, columns: &Columns, end: End) -> Result<Points, QueryError> {
    let mut points = Points::absent(job.windows.steps.count);
    slide(job.ctx, &job.windows, columns, |w| {
        let at = |n: usize| if end == End::First { 0 } else { n - 1 };
        let float = (w.len() > 0).then(|| at(w.len())).map(|i| (w.times()[i], w.values()[i]));
        let other = (w.histogram_len() > 0)
            .then(|| at(w.histogram_len()))
            .map(|i| (w.histogram_times()[i], &w.histograms()[i]));
        let histogram_wins = match (float, &other) {
            (Some((t, _)), Some((ht, _))) => (end == End::First) == (*ht < t),
            (None, _) => true,
            _ => false,
        };
        match (float, other) {
            (_, Some((_, h))) if histogram_wins => points.set(w.step, Some(Point::Histogram(Arc::clone(h)))),
            (Some((_, v)), _) => points.floats[w.step] = v,
            _ => {}
        }
    })?;
    Ok(points)
}

/// `rate`, `increase`, `delta` of a series with histograms.
pub(super) fn change(
    job: &Job<'_>,
    columns: &Columns,
    kind: ChangeKind,
    flags: &mut Flags,
    points: &mut Points,
) -> Result<(), QueryError> {
    let (mut float_flags, mut histogram_flags) = (Flags::default(), Flags::default());
    {
        let mut floats = counter::change(kind, Resets::of(columns), &mut float_flags);
        slide(job.ctx, &job.windows, columns, |w| match (w.len(), w.histogram_len()) {
            (_, 0) => points.floats[w.step] = slot(floats(w)),
            (0, _) => {
                let h = histogram_change::change(w, kind, &mut histogram_flags);
                points.set(w.step, h.map(histogram));
            }
            _ => histogram_flags.raise(Flags::MIXED),
        })?;
    }
    flags.raise(float_flags);
    flags.raise(histogram_flags);
    Ok(())
}

/// `irate`, `idelta`.
pub(super) fn instant_change(
    job: &Job<'_>,
    columns: &Columns,
    counter: bool,
    flags: &mut Flags,
) -> Result<Points, QueryError> {
    if columns.histograms.is_empty() {
        return both(job, columns, |w| counter::instant_change(w, counter));
    }
    let mut points = Points::absent(job.windows.steps.count);
    slide(job.ctx, &job.windows, columns, |w| {
        match last_two(w) {
            Some((true, true)) => {
                let h = histogram_change::instant_change(Run::of(w), counter, flags);
                points.set(w.step, h.map(histogram));
            }
            Some((false, false)) => points.floats[w.step] = slot(counter::instant_change(w, counter)),
            Some(_) => flags.raise(Flags::MIXED),
            None => {}
        };
    })?;
    Ok(points)
}

/// Whether the last two samples of a window are histograms, the earlier one first.
fn last_two(w: &Window<'_>) -> Option<(bool, bool)> {
    let mut newest: Vec<(i64, bool)> = Vec::with_capacity(4);
    newest.extend(w.times().iter().rev().take(2).map(|&t| (t, false)));
    newest.extend(w.histogram_times().iter().rev().take(2).map(|&t| (t, true)));
    newest.sort_unstable();
    let n = newest.len();
    (n >= 2).then(|| (newest[n - 2].1, newest[n - 1].1))
}

/// A sample of either kind in the order of time.
pub(super) enum Sample<'a> {
    Float(f64),
    Histogram(&'a Histogram),
}

/// The samples of a window in the order of time, whatever their kind, with their index in
/// their own column.
pub(super) fn merged<'a>(w: &Window<'a>) -> Vec<(i64, usize, Sample<'a>)> {
    let (times, histogram_times) = (w.times(), w.histogram_times());
    let (mut i, mut j) = (0, 0);
    let mut samples = Vec::with_capacity(times.len() + histogram_times.len());
    while i < times.len() || j < histogram_times.len() {
        let float_first = j >= histogram_times.len() || (i < times.len() && times[i] <= histogram_times[j]);
        if float_first {
            samples.push((times[i], i, Sample::Float(w.values()[i])));
            i += 1;
        } else {
            samples.push((histogram_times[j], j, Sample::Histogram(&w.histograms()[j])));
            j += 1;
        }
    }
    samples
}

/// `resets`.
pub(super) fn resets(job: &Job<'_>, columns: &Columns) -> Result<Points, QueryError> {
    if columns.histograms.is_empty() {
        return both(job, columns, counter::resets(Resets::of(columns)));
    }
    both(job, columns, |w| Some(count_neighbours(&merged(w), |a, b| is_reset_between(w, a, b))))
}

/// `changes`.
pub(super) fn changes(job: &Job<'_>, columns: &Columns) -> Result<Points, QueryError> {
    if columns.histograms.is_empty() {
        return both(job, columns, counter::changes(columns));
    }
    both(job, columns, |w| Some(count_neighbours(&merged(w), |a, b| is_change_between(&a.2, &b.2))))
}

/// How many pairs of neighbours meet a condition.
pub(super) fn count_neighbours<'a>(
    samples: &[(i64, usize, Sample<'a>)],
    condition: impl Fn(&(i64, usize, Sample<'a>), &(i64, usize, Sample<'a>)) -> bool,
) -> f64 {
    samples.windows(2).filter(|pair| condition(&pair[0], &pair[1])).count() as f64
}

/// Whether a reset lies between two neighbours; a change of kind is one.
fn is_reset_between(w: &Window<'_>, a: &(i64, usize, Sample<'_>), b: &(i64, usize, Sample<'_>)) -> bool {
    let start = |s: &(i64, usize, Sample<'_>)| {
        let starts = match s.2 {
            Sample::Float(_) => w.starts(),
            Sample::Histogram(_) => w.histogram_starts(),
        };
        starts.get(s.1).copied().unwrap_or(0)
    };
    if counter::is_start_reset((start(b), b.0), (start(a), a.0)) {
        return true;
    }
    is_reset_pair(&a.2, &b.2)
}

pub(super) fn is_reset_pair(a: &Sample<'_>, b: &Sample<'_>) -> bool {
    match (a, b) {
        (Sample::Float(a), Sample::Float(b)) => b < a,
        (Sample::Histogram(a), Sample::Histogram(b)) => is_reset(b, a),
        _ => true,
    }
}

pub(super) fn is_change_between(a: &Sample<'_>, b: &Sample<'_>) -> bool {
    match (a, b) {
        (Sample::Float(a), Sample::Float(b)) => counter::is_change(*a, *b),
        (Sample::Histogram(a), Sample::Histogram(b)) => !equal(a, b),
        _ => true,
    }
}

/// `sum_over_time`, `avg_over_time` of a series with histograms.
pub(super) fn sum_or_mean(job: &Job<'_>, columns: &Columns, flags: &mut Flags) -> Result<Points, QueryError> {
    let mean = job.id == FunctionId::AvgOverTime;
    let mut points = Points::absent(job.windows.steps.count);
    slide(job.ctx, &job.windows, columns, |w| match (w.len(), w.histogram_len()) {
        (_, 0) => {
            let v = if mean { compensated::mean(w.values()) } else { compensated::sum(w.values()) };
            points.floats[w.step] = v;
        }
        (0, _) => {
            let mut total = Accumulator::default();
            w.histograms().iter().for_each(|h| add(&mut total, h, mean));
            points.set(w.step, total.finish(mean, flags).map(histogram));
        }
        _ => flags.raise(Flags::MIXED),
    })?;
    Ok(points)
}

fn add(total: &mut Accumulator, h: &Histogram, mean: bool) {
    if mean { total.add_to_mean(h) } else { total.add(h) }
}

/// `sum` and `avg` of a vector in which there are histograms.
pub(super) fn aggregate(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    vector: &Vector,
    groups: &Groups,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let mean = aggregate.op == AggregateOp::Avg;
    ev.ctx.budget.hold(groups.held(steps))?;
    let mut columns = Vec::with_capacity(groups.members.len());
    let mut mixed = false;
    let mut flagged: Vec<(Flags, String)> = Vec::new();
    for members in &groups.members {
        ev.ctx.budget.check()?;
        let mut points = Points::absent(steps.count);
        for step in 0..steps.count {
            let mut flags = Flags::default();
            let (point, mix) = fold(&ev.ctx.budget, vector, members, step, mean, &mut flags)?;
            mixed |= mix;
            if let Some(Point::Histogram(h)) = &point {
                ev.ctx.budget.hold(histogram_held(h))?;
            }
            points.set(step, point);
            if !flags.is_empty() {
                let name = vector[members[0]].labels.metric_name().unwrap_or("").to_owned();
                if !flagged.contains(&(flags, name.clone())) {
                    flagged.push((flags, name));
                }
            }
        }
        columns.push(points);
    }
    let span = aggregate.expr.span;
    if mixed {
        ev.notes.warn(span, "encountered a mix of histograms and floats for aggregation");
    }
    for (flags, name) in flagged {
        note_flags(&mut ev.notes, flags, &name, span);
    }
    let groups = Groups {
        labels: groups.labels.clone(),
        drop_name: groups.drop_name.clone(),
        members: groups.members.clone(),
    };
    Ok(assemble(groups, columns))
}

/// One group at one step; whether floats and histograms were mixed.
fn fold(
    budget: &Budget,
    vector: &Vector,
    members: &[usize],
    step: usize,
    mean: bool,
    flags: &mut Flags,
) -> Result<(Option<Point>, bool), QueryError> {
    let (mut sum, mut average) = (Sum::default(), Mean::default());
    let mut total = Accumulator::default();
    let (mut floats, mut histograms) = (0usize, 0usize);
    let mut pace = budget.pace();
    for &m in members {
        pace.labels()?;
        match vector[m].points.get(step) {
            Some(Point::Float(v)) => {
                sum = if floats == 0 { Sum { sum: v, error: 0.0 } } else { sum.add(v) };
                average.add(v);
                floats += 1;
            }
            Some(Point::Histogram(h)) => {
                add(&mut total, &h, mean);
                histograms += 1;
            }
            None => {}
        }
    }
    Ok(match (floats, histograms) {
        (0, 0) => (None, false),
        (_, 0) => (Some(Point::Float(if mean { average.mean() } else { sum.total() })), false),
        (0, _) => (total.finish(mean, flags).map(histogram), false),
        _ => (None, true),
    })
}
