//! Combines series: their labels without the metric name, their values under one label set, and the steps at which any
//! of them has a value.

use std::collections::HashMap;

use barograph_engine::budget::map_bytes;
use barograph_engine::model::{Labels, METRIC_NAME};

use crate::budget::Budget;
use crate::error::QueryError;
use crate::series::{Points, Series, Vector};
use crate::usage::Footprint;

/// The error text for a result that would contain a label set twice.
pub(crate) const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

/// Whether a label is dropped together with the metric name.
pub(crate) fn is_metadata(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// The labels of a series, without the name if it is marked to be dropped. Functions that set a
/// label call this first, so that the label they set is never dropped as a name.
pub(crate) fn settled(labels: &Labels, drop_name: bool) -> Labels {
    if drop_name { labels.without(is_metadata) } else { labels.clone() }
}

/// Merges series with equal labels, which must not have values at the same step.
///
/// # Errors
/// [`QueryError::Execution`] if they do; otherwise the same as [`Budget::check`] and [`Budget::hold`].
pub(crate) fn merge_equal(budget: &Budget, vector: Vector) -> Result<Vector, QueryError> {
    let needed = Footprint::bytes(
        map_bytes(vector.len(), size_of::<(Labels, usize)>()) + vector.len() * size_of::<Series>(),
    );
    budget.hold(needed)?;
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(vector.len());
    let mut merged: Vector = Vec::with_capacity(vector.len());
    let mut pace = budget.pace();
    for series in vector {
        pace.labels()?;
        match places.get(&series.labels) {
            None => {
                places.insert(series.labels.clone(), merged.len());
                merged.push(series);
            }
            Some(&place) => {
                let into = &mut merged[place];
                into.drop_name |= series.drop_name;
                pace.points(&series.points)?;
                if !into.points.merge(series.points) {
                    return Err(QueryError::Execution(SAME_LABELS.to_owned()));
                }
            }
        }
    }
    drop(places);
    budget.release(needed);
    Ok(merged)
}

/// The steps at which any of the series has a value.
///
/// # Errors
/// Same as [`Budget::check`].
pub(crate) fn any_present<'a>(
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
