//! `and`, `or`, `unless`: elements pass or not, values and names untouched.

use super::finish;
use super::matching::{any_present, matches};
use super::steps::Steps;
use crate::error::QueryError;
use crate::series::{Points, Vector};
use crate::syntax::ast::{BinaryOp, MatchLabels};

/// Evaluates a set operator at all steps.
pub(super) fn evaluate(
    op: BinaryOp,
    mut left: Vector,
    mut right: Vector,
    labels: &MatchLabels,
    steps: Steps,
) -> Result<Vector, QueryError> {
    for m in matches(&left, &right, labels) {
        match op {
            BinaryOp::Or => {
                let on_left = any_present(m.left.iter().map(|&i| &left[i].points), steps.count);
                m.right.iter().for_each(|&i| mask(&mut right[i].points, &on_left, false));
            }
            _ => {
                let on_right = any_present(m.right.iter().map(|&i| &right[i].points), steps.count);
                let keep = op == BinaryOp::And;
                m.left.iter().for_each(|&i| mask(&mut left[i].points, &on_right, keep));
            }
        }
    }
    if op == BinaryOp::Or {
        left.append(&mut right);
    }
    left.retain(|s| s.points.any());
    // A series may come from the left at one step and from the right at another.
    finish::merge_equal(left)
}

/// Keeps the values at the steps where `at` is `keep`.
fn mask(points: &mut Points, at: &[bool], keep: bool) {
    for (i, &at) in at.iter().enumerate() {
        if at != keep {
            points.set(i, None);
        }
    }
}
