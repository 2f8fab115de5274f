//! `and`, `or`, `unless`, `union`: elements pass or not, values and names untouched.

use std::collections::HashMap;

use barograph_engine::model::Labels;

use super::Evaluator;
use super::matching::matches;
use crate::budget::Budget;
use crate::error::QueryError;
use crate::plan::Call;
use crate::series::any_present;
use crate::series::merge::{is_metadata, merge_equal};
use crate::series::{Points, Vector};
use crate::steps::Steps;
use crate::syntax::ast::{BinaryOp, MatchLabels};

/// Evaluates a set operator at all steps.
pub(super) fn evaluate(
    budget: &Budget,
    op: BinaryOp,
    mut left: Vector,
    mut right: Vector,
    labels: &MatchLabels,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let mut pace = budget.pace();
    for m in matches(budget, &left, &right, labels)? {
        pace.labels()?;
        match op {
            BinaryOp::Or => {
                let on_left = any_present(budget, m.left.iter().map(|&i| &left[i].points), steps.count)?;
                for &i in &m.right {
                    pace.points(&right[i].points)?;
                    mask(&mut right[i].points, &on_left, false);
                }
            }
            _ => {
                let on_right = any_present(budget, m.right.iter().map(|&i| &right[i].points), steps.count)?;
                let keep = op == BinaryOp::And;
                for &i in &m.left {
                    pace.points(&left[i].points)?;
                    mask(&mut left[i].points, &on_right, keep);
                }
            }
        }
    }
    if op == BinaryOp::Or {
        left.append(&mut right);
    }
    left.retain(|s| s.points.any());
    // A series may come from the left at one step and from the right at another.
    merge_equal(budget, left)
}

/// `union(a, b, …)`: at each step the elements of all arguments, of equal ones the first.
pub(super) fn union(ev: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vector, QueryError> {
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut united: Vector = Vec::new();
    for arg in &call.args {
        let vector = ev.vector(arg, steps)?;
        let mut pace = ev.ctx.budget.pace();
        for series in vector {
            pace.series(&series)?;
            // Two names that are going to be dropped do not tell elements apart.
            let labels = match series.drop_name {
                true => series.labels.without(is_metadata),
                false => series.labels.clone(),
            };
            match places.get(&labels) {
                None => {
                    places.insert(labels, united.len());
                    united.push(series);
                }
                Some(&place) => {
                    let into = &mut united[place].points;
                    for step in (0..steps.count).filter(|&step| series.points.has(step)) {
                        if !into.has(step) {
                            into.set(step, series.points.get(step));
                        }
                    }
                }
            }
        }
    }
    Ok(united)
}

/// Keeps the values at the steps where `at` is `keep`.
fn mask(points: &mut Points, at: &[bool], keep: bool) {
    for (i, &at) in at.iter().enumerate() {
        if at != keep {
            points.set(i, None);
        }
    }
}
