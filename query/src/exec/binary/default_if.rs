//! `default`, `if`, `ifnot`: replace missing values, and filter by the presence of other values.
//!
//! These operators treat NaN as a missing value: `default` replaces it, and `if` does not match it. A scalar, which
//! cannot be absent, can therefore be missing too. A scalar is the counterpart of every element; elements of two
//! vectors are counterparts according to their labels.
//!
//! The labels of a gap are known only if the series has values elsewhere. Therefore, only for these operators, a step
//! of a range query may differ from the answer of an instant query: a series that the left side has anywhere in the
//! query is filled under its own labels.

use barograph_engine::model::Labels;

use super::matching::matches;
use crate::budget::Budget;
use crate::error::QueryError;
use crate::merge::merge_equal;
use crate::series::{ABSENT, Points, Series, Value, Vector};
use crate::steps::Steps;
use crate::syntax::ast::{BinaryOp, MatchLabels};

/// Evaluates one of the three operators at all steps. `labels` is present if and only if both sides are vectors.
pub(crate) fn evaluate(
    budget: &Budget,
    op: BinaryOp,
    (left, right): (Value, Value),
    labels: Option<&MatchLabels>,
    steps: Steps,
) -> Result<Value, QueryError> {
    let vector = match (left, right) {
        (Value::Scalar(l), Value::Scalar(r)) => {
            return Ok(Value::Scalar(l.into_iter().zip(r).map(|(l, r)| scalars(op, l, r)).collect()));
        }
        (Value::Vector(l), Value::Vector(r)) => {
            let unlabelled = MatchLabels::Ignoring(Vec::new());
            vectors(budget, op, (l, r), labels.unwrap_or(&unlabelled), steps)?
        }
        (Value::Vector(l), Value::Scalar(r)) => vector_and_scalar(budget, op, l, r, steps)?,
        (Value::Scalar(l), Value::Vector(r)) => scalar_and_vector(budget, op, l, r, steps)?,
        _ => unreachable!("the checker refuses strings as operands"),
    };
    let present = vector.into_iter().filter(|s| s.points.any()).collect();
    Ok(Value::Vector(merge_equal(budget, present)?))
}

fn scalars(op: BinaryOp, l: f64, r: f64) -> f64 {
    let keeps_left = match op {
        BinaryOp::Default => !l.is_nan(),
        BinaryOp::If => !r.is_nan(),
        _ => r.is_nan(),
    };
    match (keeps_left, op) {
        (true, _) => l,
        (false, BinaryOp::Default) => r,
        (false, _) => f64::NAN,
    }
}

fn vectors(
    budget: &Budget,
    op: BinaryOp,
    (mut left, mut right): (Vector, Vector),
    labels: &MatchLabels,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let mut pace = budget.pace();
    // Only series that the left side really has may provide labels.
    left.retain(|s| s.points.any());
    let found = matches(budget, &left, &right, labels)?;
    for m in &found {
        pace.labels()?;
        if op == BinaryOp::Default {
            for &l in &m.left {
                for &r in &m.right {
                    pace.points(&right[r].points)?;
                    fill(&mut left[l].points, &right[r].points);
                }
            }
        } else {
            let there = any_there(budget, m.right.iter().map(|&r| &right[r].points), steps)?;
            for &l in &m.left {
                pace.points(&left[l].points)?;
                keep_where(&mut left[l].points, &there, op == BinaryOp::If);
            }
        }
    }
    if op == BinaryOp::Default {
        // Those with a counterpart on the left are done.
        let used = found.iter().filter(|m| !m.left.is_empty());
        for r in used.flat_map(|m| m.right.iter().copied()) {
            pace.work(steps.count)?;
            right[r].points = Points::absent(steps.count);
        }
        left.append(&mut right);
    }
    Ok(left)
}

fn vector_and_scalar(
    budget: &Budget,
    op: BinaryOp,
    mut left: Vector,
    right: Vec<f64>,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let mut pace = budget.pace();
    if op != BinaryOp::Default {
        let there: Vec<bool> = right.iter().map(|r| !r.is_nan()).collect();
        for series in &mut left {
            pace.points(&series.points)?;
            keep_where(&mut series.points, &there, op == BinaryOp::If);
        }
        return Ok(left);
    }
    let scalar = unlabelled(right);
    left.retain(|s| s.points.any());
    for series in &mut left {
        pace.points(&series.points)?;
        fill(&mut series.points, &scalar.points);
    }
    if left.is_empty() && steps.count > 0 {
        left.push(scalar);
    }
    Ok(left)
}

fn scalar_and_vector(
    budget: &Budget,
    op: BinaryOp,
    left: Vec<f64>,
    mut right: Vector,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let mut scalar = unlabelled(left);
    if op == BinaryOp::Default {
        let there = any_there(budget, std::iter::once(&scalar.points), steps)?;
        let mut pace = budget.pace();
        for series in &mut right {
            pace.points(&series.points)?;
            keep_where(&mut series.points, &there, false);
        }
        right.push(scalar);
        return Ok(right);
    }
    let there = any_there(budget, right.iter().map(|s| &s.points), steps)?;
    keep_where(&mut scalar.points, &there, op == BinaryOp::If);
    Ok(vec![scalar])
}

/// A scalar as a series without labels. NaN is a missing value.
fn unlabelled(values: Vec<f64>) -> Series {
    let floats = values.into_iter().map(|v| if v.is_nan() { ABSENT } else { v }).collect();
    Series { labels: Labels::empty(), drop_name: false, points: Points { floats, histograms: None } }
}

/// Whether a step has a value that is not NaN.
fn is_there(points: &Points, step: usize) -> bool {
    !points.floats[step].is_nan() || points.histogram(step).is_some()
}

/// The steps at which any of the series has a value that is not NaN.
fn any_there<'p>(
    budget: &Budget,
    points: impl Iterator<Item = &'p Points>,
    steps: Steps,
) -> Result<Vec<bool>, QueryError> {
    let (mut there, mut pace) = (vec![false; steps.count], budget.pace());
    for points in points {
        pace.work(1 + points.len())?;
        for (step, there) in there.iter_mut().enumerate() {
            *there = *there || is_there(points, step);
        }
    }
    Ok(there)
}

/// Fills missing values of `points` with values of `from`. A NaN stays if `from` has no value.
fn fill(points: &mut Points, from: &Points) {
    for step in 0..points.len() {
        if !is_there(points, step) && is_there(from, step) {
            points.set(step, from.get(step));
        }
    }
}

/// Keeps the values at the steps where `there` equals `wanted`.
fn keep_where(points: &mut Points, there: &[bool], wanted: bool) {
    for (step, &there) in there.iter().enumerate() {
        if there != wanted {
            points.set(step, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_that_is_nan_is_missing() {
        use BinaryOp::{Default, If, IfNot};
        assert_eq!(scalars(Default, 1.0, 2.0), 1.0);
        assert_eq!(scalars(Default, f64::NAN, 2.0), 2.0);
        assert_eq!(scalars(If, 1.0, 0.0), 1.0);
        assert!(scalars(If, 1.0, f64::NAN).is_nan());
        assert!(scalars(IfNot, 1.0, 0.0).is_nan());
        assert_eq!(scalars(IfNot, 1.0, f64::NAN), 1.0);
    }
}
