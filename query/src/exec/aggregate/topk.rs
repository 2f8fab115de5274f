//! `topk`, `bottomk`, `limitk`, `limit_ratio`: select some elements of each group.

use barograph_engine::model::Labels;

use super::groups::{Groups, note_ignored};
use super::parameters::{counts, param};
use super::xxh64::xxh64;
use crate::budget::{Budget, pace};
use crate::error::QueryError;
use crate::exec::Evaluator;
use crate::numbers::go::go_float;
use crate::numbers::one_float::nan_last;
use crate::plan::Aggregate;
use crate::series::{Points, Series, Vector, is_absent};
use crate::steps::Steps;
use crate::syntax::ast::AggregateOp;
use crate::usage::Footprint;

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
    budget.hold(Footprint::bytes(vector.len() * ks.len() * size_of::<f64>()))?;
    let mut kept: Vec<Points> = vector.iter().map(|s| Points::absent(s.points.len())).collect();
    let mut order: Vec<usize> = Vec::new();
    let mut candidates: Vec<(f64, usize)> = Vec::new();
    for members in &groups.members {
        for (i, &k) in ks.iter().enumerate() {
            budget.check()?;
            candidates.clear();
            let floats = members.iter().map(|&m| (vector[m].points.floats[i], m));
            candidates.extend(floats.filter(|(v, _)| !is_absent(*v)));
            // Equal values keep the order of the series, so that the selection is stable.
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

/// The elements whose position between 0 and 1, a hash of their labels, is within r.
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
            ev.annotations.warn(param(aggregate).span, text);
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

/// The position of a label set between 0 and 1: its hash as a fraction.
fn place_of(labels: &Labels) -> f64 {
    xxh64(labels.as_bytes()) as f64 / u64::MAX as f64
}
