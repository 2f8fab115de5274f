//! Which series of two vectors belong together: one signature for each series, looked up
//! once and not at every step.

use std::collections::HashMap;

use barograph_engine::model::Labels;

use super::labels::{only, sorted_names, without};
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
pub(super) fn matches(left: &Vector, right: &Vector, labels: &MatchLabels) -> Vec<Match> {
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
        let at = place(&series.labels, &mut found);
        found[at].left.push(i);
    }
    for (i, series) in right.iter().enumerate() {
        let at = place(&series.labels, &mut found);
        found[at].right.push(i);
    }
    found
}

/// At which steps any of the series has a value.
pub(super) fn any_present<'a>(points: impl Iterator<Item = &'a Points>, steps: usize) -> Vec<bool> {
    let mut any = vec![false; steps];
    for points in points {
        for (i, any) in any.iter_mut().enumerate() {
            *any = *any || points.has(i);
        }
    }
    any
}
