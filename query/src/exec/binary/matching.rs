//! Matches the series of two vectors by signature, once for all steps.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use barograph_engine::budget::map_bytes;
use barograph_engine::model::Labels;

use crate::budget::Budget;
use crate::error::QueryError;
use crate::series::label_sets::{only, sorted_names, without};
use crate::series::{Vector, labels_held};
use crate::syntax::ast::MatchLabels;

/// The series of both sides with the same signature, as indices in the order of the vectors.
#[derive(Debug, Default)]
pub(crate) struct Match {
    /// The labels that are compared.
    pub signature: Labels,
    /// Series of the left vector.
    pub left: Vec<usize>,
    /// Series of the right vector.
    pub right: Vec<usize>,
}

/// Bytes of a signature without its labels: the first indices on both sides.
const INDICES: usize = 2 * 4 * size_of::<usize>();
/// Bytes of a signature beyond the capacity reserved for the left side, in a map and a list after growth.
const GROWN: usize = 3 * size_of::<(Labels, usize)>() + 2 * size_of::<Match>();

/// The signature of a label set.
pub(crate) fn signature_of(labels: &MatchLabels) -> Box<dyn Fn(&Labels) -> Labels> {
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

/// All signatures of both vectors, in the order of first appearance. Their memory is held until the node is done.
///
/// # Errors
/// Same as [`Budget::check`] and [`Budget::hold`].
pub(crate) fn matches(
    budget: &Budget,
    left: &Vector,
    right: &Vector,
    labels: &MatchLabels,
) -> Result<Vec<Match>, QueryError> {
    let (mut pace, room) = (budget.pace(), left.len());
    let signature = signature_of(labels);
    pace.hold(map_bytes(room, size_of::<(Labels, usize)>()) + room * size_of::<Match>())?;
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(room);
    let mut found: Vec<Match> = Vec::with_capacity(room);
    for (vector, is_left) in [(left, true), (right, false)] {
        // Lists of indices grow to at most twice their length.
        pace.hold(2 * vector.len() * size_of::<usize>())?;
        for (i, series) in vector.iter().enumerate() {
            pace.labels()?;
            let at = match places.entry(signature(&series.labels)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    let signature = new.key().clone();
                    let grown = if found.len() < room { 0 } else { GROWN };
                    pace.hold(labels_held(&signature).bytes as usize + INDICES + grown)?;
                    found.push(Match { signature, ..Match::default() });
                    *new.insert(found.len() - 1)
                }
            };
            let side = if is_left { &mut found[at].left } else { &mut found[at].right };
            side.push(i);
        }
    }
    Ok(found)
}
