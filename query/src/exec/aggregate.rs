//! Aggregations: groups are found once for each series, columns are folded in the order of
//! the series, so that compensated sums do not depend on how many cores took part.

use std::collections::HashMap;

use barograph_engine::model::{Labels, METRIC_NAME};
use rayon::prelude::*;

use super::labels::sorted_names;
use super::steps::Steps;
use super::{Evaluator, mixed, rank, standing};
use crate::error::QueryError;
use crate::functions::compensated::{Mean, two_sum};
use crate::plan::Aggregate;
use crate::series::{ABSENT, Points, Series, Vector, is_absent, labels_held};
use crate::syntax::ast::{AggregateOp, Grouping};
use crate::syntax::span::Span;
use crate::usage::Held;

/// Values folded below which other threads are not worth waking.
const PARALLEL_MIN_VALUES: usize = 1 << 17;

/// Steps one piece of work has at least.
const CHUNK_STEPS: usize = 64;

/// Whether folding so many values is shared by several cores.
pub(super) fn splits(values: u64) -> bool {
    values >= PARALLEL_MIN_VALUES as u64 && rayon::current_num_threads() > 1
}

/// Series of a vector by the group they belong to; members in the order of the vector.
pub(super) struct Groups {
    /// Labels of each group.
    pub labels: Vec<Labels>,
    /// Whether any member has a name that is to be dropped.
    pub drop_name: Vec<bool>,
    /// Indices of each group's members.
    pub members: Vec<Vec<usize>>,
}

impl Groups {
    /// Groups `vector`; groups are in the order of their first member.
    pub fn of(vector: &Vector, grouping: &Grouping) -> Groups {
        let mut groups = Groups { labels: Vec::new(), drop_name: Vec::new(), members: Vec::new() };
        let keep: Box<dyn Fn(&[u8]) -> bool> = match grouping {
            Grouping::None => {
                if !vector.is_empty() {
                    groups.add(Labels::empty());
                    groups.drop_name[0] = vector.iter().any(|series| series.drop_name);
                    groups.members[0] = (0..vector.len()).collect();
                }
                return groups;
            }
            Grouping::By(names) => {
                let names = sorted_names(names);
                Box::new(move |name| is_among(name, &names))
            }
            Grouping::Without(names) => {
                let names = sorted_names(names);
                Box::new(move |name| name != METRIC_NAME.as_bytes() && !is_among(name, &names))
            }
        };
        // Members are many, groups few: a member's labels are looked up before they are made.
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut kept = Vec::new();
        for (i, series) in vector.iter().enumerate() {
            kept.clear();
            series.labels.copy_kept(&keep, &mut kept);
            let place = match places.get(&kept) {
                Some(place) => *place,
                None => {
                    places.insert(kept.clone(), groups.labels.len());
                    groups.add(series.labels.without(|name| !keep(name.as_bytes())))
                }
            };
            groups.drop_name[place] |= series.drop_name;
            groups.members[place].push(i);
        }
        groups
    }

    /// One more group; its place.
    fn add(&mut self, labels: Labels) -> usize {
        self.labels.push(labels);
        self.drop_name.push(false);
        self.members.push(Vec::new());
        self.labels.len() - 1
    }

    /// What the groups' labels and one column for each will hold.
    pub fn held(&self, steps: Steps) -> Held {
        let labels = self.labels.iter().map(labels_held).fold(Held::default(), |a, b| a + b);
        let slots = self.labels.len() as u64 * steps.count as u64;
        labels + Held { samples: slots, bytes: slots * size_of::<f64>() as u64 }
    }
}

fn is_among(name: &[u8], sorted: &[String]) -> bool {
    sorted.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok()
}

/// Evaluates an aggregation at all steps.
pub(super) fn evaluate(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    span: Span,
    steps: Steps,
) -> Result<Vector, QueryError> {
    use AggregateOp as A;
    match aggregate.op {
        A::Topk | A::Bottomk | A::Limitk | A::LimitRatio => return rank::choose(ev, aggregate, steps),
        A::TopkBy(_) | A::BottomkBy(_) => return standing::choose(ev, aggregate, steps),
        A::CountValues => return rank::count_values(ev, aggregate, steps),
        A::Quantile => return rank::quantile(ev, aggregate, steps),
        A::Quantiles => return rank::quantiles(ev, aggregate, steps),
        _ => {}
    }
    let vector = ev.vector(&aggregate.expr, steps)?;
    let groups = Groups::of(&vector, &aggregate.grouping);
    let histograms = vector.iter().any(|s| s.points.histograms.is_some());
    if histograms && matches!(aggregate.op, A::Sum | A::Avg) {
        return mixed::aggregate(ev, aggregate, &vector, &groups, steps);
    }
    if histograms && matches!(aggregate.op, A::Min | A::Max | A::Stddev | A::Stdvar) {
        note_ignored(ev, aggregate, &vector);
    }
    ev.ctx.budget.check()?;
    ev.ctx.budget.hold(groups.held(steps))?;
    let columns = match aggregate.op {
        A::Sum => fold_with(&vector, &groups, steps, |members, from, to| sums(&vector, members, from, to)),
        A::Avg => fold(&vector, &groups, steps, Mean::first, Mean::add, |m| m.mean()),
        A::Min => fold(&vector, &groups, steps, |v| v, |m, v| keep_if(m, v, v < *m), |m| *m),
        A::Max => fold(&vector, &groups, steps, |v| v, |m, v| keep_if(m, v, v > *m), |m| *m),
        A::Stddev => fold(&vector, &groups, steps, Moments::first, Moments::add, |m| m.variance().sqrt()),
        A::Stdvar => fold(&vector, &groups, steps, Moments::first, Moments::add, |m| m.variance()),
        _ => count(&vector, &groups, steps, aggregate.op),
    };
    let _ = span;
    Ok(assemble(groups, columns))
}

/// An info for each aggregation that saw histograms and took no notice of them.
pub(super) fn note_ignored(ev: &mut Evaluator<'_>, aggregate: &Aggregate, vector: &Vector) {
    if vector.iter().any(|s| s.points.histograms.is_some()) {
        let name = crate::functions::aggregates::of(aggregate.op).name;
        ev.notes.info(aggregate.expr.span, format!("ignored histogram in {name} aggregation"));
    }
}

/// Takes `v` if it is more extreme or the first that is not NaN.
fn keep_if(kept: &mut f64, v: f64, more_extreme: bool) {
    if more_extreme || kept.is_nan() {
        *kept = v;
    }
}

impl Mean {
    fn first(v: f64) -> Mean {
        let mut m = Mean::default();
        m.add(v);
        m
    }
}

/// Count, mean and sum of squared distances, by Welford's recurrence.
#[derive(Debug, Clone, Copy)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn first(v: f64) -> Moments {
        // A group that begins with an infinity has no variance.
        let squares = if v.is_finite() { 0.0 } else { f64::NAN };
        Moments { count: 1.0, mean: v, squares }
    }

    fn add(&mut self, v: f64) {
        self.count += 1.0;
        let delta = v - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (v - self.mean);
    }

    fn variance(&self) -> f64 {
        self.squares / self.count
    }
}

/// Sums of the members' floats at steps `from..to`. The loop has no branch: an absent value
/// is added as -0, which changes neither sum nor error.
fn sums(vector: &Vector, members: &[usize], from: usize, to: usize) -> Vec<f64> {
    let mut sums = vec![-0.0; to - from];
    let mut errors = vec![0.0; to - from];
    let mut present = vec![false; to - from];
    for &m in members {
        let values = &vector[m].points.floats[from..to];
        for (((sum, error), present), &v) in sums.iter_mut().zip(&mut errors).zip(&mut present).zip(values) {
            let absent = is_absent(v);
            let (next, lost) = two_sum(*sum, if absent { -0.0 } else { v });
            *sum = next;
            *error += lost;
            *present |= !absent;
        }
    }
    for ((sum, error), present) in sums.iter_mut().zip(errors).zip(present) {
        // Where the sum is not finite the error means nothing.
        *sum = match (present, sum.is_finite()) {
            (false, _) => ABSENT,
            (true, true) if error != 0.0 => *sum + error,
            (true, _) => *sum,
        };
    }
    sums
}

/// One column for each group: the members' floats folded step by step.
fn fold<S: Copy + Send>(
    vector: &Vector,
    groups: &Groups,
    steps: Steps,
    first: impl Fn(f64) -> S + Sync,
    add: impl Fn(&mut S, f64) + Sync,
    total: impl Fn(&S) -> f64 + Sync,
) -> Vec<Points> {
    let fold_part = |members: &[usize], from: usize, to: usize| -> Vec<f64> {
        let mut states: Vec<Option<S>> = vec![None; to - from];
        for &m in members {
            for (state, &v) in states.iter_mut().zip(&vector[m].points.floats[from..to]) {
                if is_absent(v) {
                    continue;
                }
                match state {
                    Some(state) => add(state, v),
                    None => *state = Some(first(v)),
                }
            }
        }
        states.iter().map(|s| s.as_ref().map_or(ABSENT, &total)).collect()
    };
    fold_with(vector, groups, steps, fold_part)
}

/// One column for each group, of parts that are folded in parallel where that is worth it:
/// a part is all members of a group at some of the steps.
fn fold_with(
    vector: &Vector,
    groups: &Groups,
    steps: Steps,
    fold_part: impl Fn(&[usize], usize, usize) -> Vec<f64> + Sync,
) -> Vec<Points> {
    if vector.len() * steps.count < PARALLEL_MIN_VALUES {
        let whole = |members: &Vec<usize>| fold_part(members, 0, steps.count);
        return groups.members.iter().map(whole).map(column).collect();
    }
    let parts: Vec<(usize, usize)> = (0..groups.members.len())
        .flat_map(|g| (0..steps.count).step_by(CHUNK_STEPS).map(move |s| (g, s)))
        .collect();
    let folded: Vec<Vec<f64>> = parts
        .par_iter()
        .map(|&(g, from)| fold_part(&groups.members[g], from, (from + CHUNK_STEPS).min(steps.count)))
        .collect();
    let mut columns = vec![Vec::with_capacity(steps.count); groups.members.len()];
    for ((g, _), part) in parts.into_iter().zip(folded) {
        columns[g].extend(part);
    }
    columns.into_iter().map(column).collect()
}

fn column(floats: Vec<f64>) -> Points {
    Points { floats, histograms: None }
}

/// `count` and `group`, which take values of any kind.
fn count(vector: &Vector, groups: &Groups, steps: Steps, op: AggregateOp) -> Vec<Points> {
    let of_members = |members: &Vec<usize>| {
        let mut counts = vec![0u64; steps.count];
        for &m in members {
            let points = &vector[m].points;
            for (count, &v) in counts.iter_mut().zip(&points.floats) {
                *count += u64::from(!is_absent(v));
            }
            for (count, histogram) in counts.iter_mut().zip(points.histograms.iter().flatten()) {
                *count += u64::from(histogram.is_some());
            }
        }
        let value = |c: u64| match (c, op) {
            (0, _) => ABSENT,
            (_, AggregateOp::Group) => 1.0,
            (c, _) => c as f64,
        };
        column(counts.into_iter().map(value).collect())
    };
    groups.members.iter().map(of_members).collect()
}

/// Puts labels to the columns; groups without values are left out.
pub(super) fn assemble(groups: Groups, columns: Vec<Points>) -> Vector {
    groups
        .labels
        .into_iter()
        .zip(groups.drop_name)
        .zip(columns)
        .map(|((labels, drop_name), points)| Series { labels, drop_name, points })
        .filter(|s| s.points.any())
        .collect()
}
