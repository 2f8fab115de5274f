//! `and`, `or`, `unless`: filter elements without changing their values and names.

use super::matching::matches;
use crate::budget::Budget;
use crate::error::QueryError;
use crate::merge::any_present;
use crate::merge::merge_equal;
use crate::series::{Points, Vector};
use crate::steps::Steps;
use crate::syntax::ast::{BinaryOp, MatchLabels};

/// Evaluates a set operator at all steps.
pub(crate) fn evaluate(
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

/// Keeps the values at the steps where `at` is `keep`.
fn mask(points: &mut Points, at: &[bool], keep: bool) {
    for (i, &at) in at.iter().enumerate() {
        if at != keep {
            points.set(i, None);
        }
    }
}
