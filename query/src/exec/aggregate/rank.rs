//! Aggregations that look at a group as a whole: `topk bottomk limitk limit_ratio
//! quantile quantiles count_values`.

use std::collections::HashMap;

use barograph_engine::model::{Labels, LabelsBuilder, METRIC_NAME};
use smallvec::SmallVec;

use super::groups::Groups;
use super::xxh64::xxh64;
use super::{assemble, note_ignored};
use crate::budget::Budget;
use crate::budget::pace;
use crate::error::QueryError;
use crate::exec::{Evaluator, text};
use crate::functions::annotations::bad_phi;
use crate::functions::numbers::one_float::nan_last;
use crate::functions::numbers::quantile::{nan_first, phi_name, quantile_of_sorted};
use crate::histogram::text::histogram_text;
use crate::plan::{Aggregate, Node};
use crate::series::label_sets;
use crate::series::merge::{merge_equal, settled};
use crate::series::{Point, Points, Series, Vector, is_absent};
use crate::steps::Steps;
use crate::syntax::ast::{AggregateOp, Grouping};
use crate::usage::Held;
use crate::value::go_float;

pub(crate) fn param(aggregate: &Aggregate) -> &Node {
    aggregate.param.as_deref().expect("the checker gives these operators a parameter")
}

/// `topk`, `bottomk`, `limitk`, `limit_ratio`: elements keep their labels and values.
pub(crate) fn choose(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let params = ev.scalar(param(aggregate), steps)?;
    let vector = ev.vector(&aggregate.expr, steps)?;
    let groups = Groups::of(&ev.ctx.budget, &vector, &aggregate.grouping)?;
    match aggregate.op {
        AggregateOp::LimitRatio => limit_ratio(ev, aggregate, vector, &params),
        AggregateOp::Limitk => {
            let ks = counts(&params)?;
            keep_first(&ev.ctx.budget, vector, &groups, &ks)
        }
        _ => {
            let ks = counts(&params)?;
            note_ignored(ev, aggregate, &vector);
            ev.ctx.budget.check()?;
            keep_extreme(&ev.ctx.budget, vector, &groups, &ks, aggregate.op == AggregateOp::Topk)
        }
    }
}

/// How many elements to keep at each step.
pub(crate) fn counts(params: &[f64]) -> Result<Vec<usize>, QueryError> {
    let refuse = |text: String| Err(QueryError::Execution(text));
    if params.iter().any(|k| k.is_nan()) {
        return refuse("Parameter value is NaN".to_owned());
    }
    let largest = params.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let smallest = params.iter().copied().fold(f64::INFINITY, f64::min);
    if largest >= 1.0 && smallest <= i64::MIN as f64 {
        return refuse(format!("Scalar value {} underflows int64", go_float(smallest)));
    }
    if largest >= i64::MAX as f64 {
        return refuse(format!("Scalar value {} overflows int64", go_float(largest)));
    }
    Ok(params.iter().map(|&k| if k < 1.0 { 0 } else { k as usize }).collect())
}

/// The first k elements of each group.
fn keep_first(
    budget: &Budget,
    mut vector: Vector,
    groups: &Groups,
    ks: &[usize],
) -> Result<Vector, QueryError> {
    let mut pace = budget.pace();
    for members in &groups.members {
        let mut left = ks.to_vec();
        for &m in members {
            let points = &mut vector[m].points;
            pace.points(points)?;
            for (i, left) in left.iter_mut().enumerate() {
                if points.has(i) {
                    match left.checked_sub(1) {
                        Some(less) => *left = less,
                        None => points.set(i, None),
                    }
                }
            }
        }
    }
    vector.retain(|s| s.points.any());
    Ok(vector)
}

/// The k largest or smallest floats of each group, NaN last. At a single step the result
/// is ordered by value within each group.
fn keep_extreme(
    budget: &Budget,
    vector: Vector,
    groups: &Groups,
    ks: &[usize],
    largest: bool,
) -> Result<Vector, QueryError> {
    budget.hold(Held::bytes(vector.len() * ks.len() * size_of::<f64>()))?;
    let mut kept: Vec<Points> = vector.iter().map(|s| Points::absent(s.points.len())).collect();
    let mut order: Vec<usize> = Vec::new();
    let mut candidates: Vec<(f64, usize)> = Vec::new();
    for members in &groups.members {
        for (i, &k) in ks.iter().enumerate() {
            budget.check()?;
            candidates.clear();
            let floats = members.iter().map(|&m| (vector[m].points.floats[i], m));
            candidates.extend(floats.filter(|(v, _)| !is_absent(*v)));
            // Equal values keep the order of the series, so that the choice is stable.
            let by_value =
                |a: &(f64, usize), b: &(f64, usize)| nan_last(a.0, b.0, largest).then(a.1.cmp(&b.1));
            if k < candidates.len() && k > 0 {
                candidates.select_nth_unstable_by(k - 1, by_value);
            }
            candidates.truncate(k);
            if ks.len() == 1 {
                candidates = pace::sorted(budget, candidates, by_value)?;
                order.extend(candidates.iter().map(|c| c.1));
            }
            for &(v, m) in &candidates {
                kept[m].floats[i] = v;
            }
        }
    }
    if ks.len() != 1 {
        order = (0..vector.len()).collect();
    }
    let mut slots: Vec<Option<(Series, Points)>> = vector.into_iter().zip(kept).map(Some).collect();
    let chosen = order.into_iter().filter_map(|m| slots[m].take());
    Ok(chosen.map(|(s, points)| Series { points, ..s }).filter(|s| s.points.any()).collect())
}

/// The elements whose place between 0 and 1, a hash of their labels, lies within r.
fn limit_ratio(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    mut vector: Vector,
    params: &[f64],
) -> Result<Vector, QueryError> {
    let mut ratios = Vec::with_capacity(params.len());
    for &r in params {
        if r.is_nan() {
            return Err(QueryError::Execution("Ratio value is NaN".to_owned()));
        }
        let capped = r.clamp(-1.0, 1.0);
        if capped != r {
            let text =
                format!("ratio value should be between -1 and 1, got {}, capping to {capped}", go_float(r));
            ev.notes.warn(param(aggregate).span, text);
        }
        ratios.push(capped);
    }
    let mut pace = ev.ctx.budget.pace();
    for series in &mut vector {
        pace.series(series)?;
        let place = place_of(&series.labels);
        for (i, &r) in ratios.iter().enumerate() {
            let inside = if r >= 0.0 { place < r } else { place >= 1.0 + r };
            if !inside {
                series.points.set(i, None);
            }
        }
    }
    vector.retain(|s| s.points.any());
    Ok(vector)
}

/// The place of a label set between 0 and 1: its hash as a fraction.
fn place_of(labels: &Labels) -> f64 {
    xxh64(labels.as_bytes()) as f64 / u64::MAX as f64
}

/// `quantile(φ, v)`.
pub(crate) fn quantile(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let phis = phis_of(ev, param(aggregate), steps)?;
    let vector = ev.vector(&aggregate.expr, steps)?;
    note_ignored(ev, aggregate, &vector);
    let groups = Groups::of(&ev.ctx.budget, &vector, &aggregate.grouping)?;
    let mut columns = Vec::with_capacity(groups.members.len());
    for members in &groups.members {
        columns.extend(group_quantiles(ev, &vector, members, std::slice::from_ref(&phis))?);
    }
    Ok(assemble(groups, columns))
}

/// `quantiles("label", φ…, v)`: of each group one element for each φ, which the label names.
pub(crate) fn quantiles(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let label = text(param(aggregate));
    if label.is_empty() {
        return Err(QueryError::Execution(format!("invalid label name {label:?}")));
    }
    let mut phis = Vec::with_capacity(aggregate.more.len());
    for node in &aggregate.more {
        phis.push(phis_of(ev, node, steps)?);
    }
    let names: Vec<String> = phis.iter().map(|phis| phi_name(phis)).collect();
    let vector = ev.vector(&aggregate.expr, steps)?;
    note_ignored(ev, aggregate, &vector);
    let groups = Groups::of(&ev.ctx.budget, &vector, &aggregate.grouping)?;
    let mut named = Vec::new();
    for (group, members) in groups.members.iter().enumerate() {
        let columns = group_quantiles(ev, &vector, members, &phis)?;
        for (name, points) in names.iter().zip(columns).filter(|(_, points)| points.any()) {
            let own = settled(&groups.labels[group], groups.drop_name[group]);
            let labels = own.to_builder().set(&label, name).build();
            named.push(Series { labels, drop_name: false, points });
        }
    }
    merge_equal(&ev.ctx.budget, named)
}

fn phis_of(ev: &mut Evaluator<'_>, node: &Node, steps: Steps) -> Result<Vec<f64>, QueryError> {
    let phis = ev.scalar(node, steps)?;
    for phi in worst_phis(&phis) {
        ev.notes.warn(node.span, bad_phi(phi));
    }
    Ok(phis)
}

/// The column of each φ for one group; its floats are sorted once for all of them.
fn group_quantiles(
    ev: &mut Evaluator<'_>,
    vector: &Vector,
    members: &[usize],
    phis: &[Vec<f64>],
) -> Result<Vec<Points>, QueryError> {
    ev.ctx.budget.check()?;
    let count = phis.first().map_or(0, Vec::len);
    ev.ctx.budget.hold(Held::values(count * phis.len()))?;
    let mut columns = vec![Points::absent(count); phis.len()];
    let mut sorted: Vec<f64> = Vec::with_capacity(members.len());
    for i in 0..count {
        ev.ctx.budget.check()?;
        sorted.clear();
        let floats = members.iter().map(|&m| vector[m].points.floats[i]);
        sorted.extend(floats.filter(|v| !is_absent(*v)));
        if sorted.is_empty() {
            continue;
        }
        sorted = pace::sorted(&ev.ctx.budget, sorted, |a, b| nan_first(*a, *b))?;
        for (column, phis) in columns.iter_mut().zip(phis) {
            column.floats[i] = quantile_of_sorted(phis[i], &sorted);
        }
    }
    Ok(columns)
}

/// Of the parameters that are no φ: NaN, the smallest and the largest.
fn worst_phis(phis: &[f64]) -> impl Iterator<Item = f64> {
    let nan = phis.iter().copied().find(|p| p.is_nan());
    let smallest = phis.iter().copied().filter(|p| *p < 0.0).reduce(f64::min);
    let largest = phis.iter().copied().filter(|p| *p > 1.0).reduce(f64::max);
    [nan, smallest, largest].into_iter().flatten()
}

/// `count_values("label", v)`.
pub(crate) fn count_values(
    ev: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let label = text(param(aggregate));
    if label.is_empty() {
        return Err(QueryError::Execution(format!("invalid label name {label:?}")));
    }
    let vector = ev.vector(&aggregate.expr, steps)?;
    let mut counted: Vec<Series> = Vec::new();
    let mut places: HashMap<Labels, usize> = HashMap::new();
    for series in &vector {
        ev.ctx.budget.check()?;
        let own = settled(&series.labels, series.drop_name);
        // Most series have few values: their groups are looked up once.
        let mut known: SmallVec<[(u64, usize); 4]> = SmallVec::new();
        for i in 0..steps.count {
            let Some(point) = series.points.get(i) else { continue };
            let bits = if let Point::Float(v) = point { Some(v.to_bits()) } else { None };
            let place = match bits.and_then(|b| known.iter().find(|(k, _)| *k == b)) {
                Some(&(_, place)) => place,
                None => {
                    let group = group_of(&own, &label, &point, &aggregate.grouping);
                    let before = counted.len();
                    let place = *places.entry(group).or_insert_with_key(|labels| {
                        let points = Points::absent(steps.count);
                        counted.push(Series { labels: labels.clone(), drop_name: false, points });
                        counted.len() - 1
                    });
                    if counted.len() > before {
                        ev.ctx.budget.hold(counted[place].held())?;
                        ev.ctx.budget.check()?;
                    }
                    known.extend(bits.map(|b| (b, place)));
                    place
                }
            };
            let slot = &mut counted[place].points.floats[i];
            *slot = if is_absent(*slot) { 1.0 } else { *slot + 1.0 };
        }
    }
    Ok(counted)
}

/// The group of a value: the label is set first, then the set is grouped. `by` keeps the label
/// without naming it; `without` drops it if it names it, and the metric name in any case.
fn group_of(series: &Labels, label: &str, point: &Point, grouping: &Grouping) -> Labels {
    let text = match point {
        Point::Float(v) => float_text(*v),
        Point::Histogram(h) => histogram_text(h),
    };
    let mut labels = match grouping {
        Grouping::None => LabelsBuilder::new(),
        Grouping::By(names) => label_sets::only(series, &label_sets::sorted_names(names)).to_builder(),
        Grouping::Without(names) => {
            label_sets::without(series, &label_sets::sorted_names(names)).to_builder()
        }
    };
    let drops_label = match grouping {
        Grouping::None | Grouping::By(_) => false,
        Grouping::Without(names) => label == METRIC_NAME || names.iter().any(|name| name == label),
    };
    if drops_label { labels.build() } else { labels.set(label, &text).build() }
}

/// Shortest decimal without exponent.
pub(crate) fn float_text(v: f64) -> String {
    if v.is_nan() {
        "NaN".to_owned()
    } else if v.is_infinite() {
        if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{v}")
    }
}
