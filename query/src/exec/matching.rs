//! Which series of two vectors belong together: one signature for each series, looked up
//! once and not at every step.

use std::collections::HashMap;

use barograph_engine::model::Labels;

use super::budget::Budget;
use super::labels::{only, sorted_names, without};
use crate::error::QueryError;
use crate::series::{Points, Vector};
use crate::syntax::ast::MatchLabels;

/// The series of both sides that have one signature; indices in the order of the vectors.
#[derive(Debug, Default)]
pub(super) struct Match {
    /// The labels that are compared.
    pub signature: Labels,
    /// Series of the left vector.
    pub left: Vec<usize>,
    /// Series of the right vector.
    pub right: Vec<usize>,
}

/// The signature of a label set.
pub(super) fn signature_of(labels: &MatchLabels) -> Box<dyn Fn(&Labels) -> Labels> {
    match labels {
        MatchLabels::On(names) => {
            let names = sorted_names(names);
            Box::new(move |l| only(l, &names))
        }
        MatchLabels::Ignoring(names) => {
            let names = sorted_names(names);
            Box::new(move |l| without(l, &names))
        }
    }
}

/// All signatures of both vectors, in the order in which they first appear.
///
/// # Errors
/// As [`Budget::check`].
pub(super) fn matches(
    budget: &Budget,
    left: &Vector,
    right: &Vector,
    labels: &MatchLabels,
) -> Result<Vec<Match>, QueryError> {
    let mut pace = budget.pace();
    let signature = signature_of(labels);
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(left.len());
    let mut found: Vec<Match> = Vec::with_capacity(left.len());
    let mut place = |labels: &Labels, found: &mut Vec<Match>| {
        *places.entry(signature(labels)).or_insert_with_key(|signature| {
            found.push(Match { signature: signature.clone(), ..Match::default() });
            found.len() - 1
        })
    };
    for (i, series) in left.iter().enumerate() {
        pace.labels()?;
        let at = place(&series.labels, &mut found);
        found[at].left.push(i);
    }
    for (i, series) in right.iter().enumerate() {
        pace.labels()?;
        let at = place(&series.labels, &mut found);
        found[at].right.push(i);
    }
    Ok(found)
}

/// At which steps any of the series has a value.
///
/// # Errors
/// As [`Budget::check`].
pub(super) fn any_present<'a>(
    budget: &Budget,
    points: impl Iterator<Item = &'a Points>,
    steps: usize,
) -> Result<Vec<bool>, QueryError> {
    let (mut any, mut pace) = (vec![false; steps], budget.pace());
    for points in points {
        pace.work(1 + points.len())?;
        for (i, any) in any.iter_mut().enumerate() {
            *any = *any || points.has(i);
        }
    }
    Ok(any)
}
