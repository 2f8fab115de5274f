//! One piece of work for each series, on as many cores as there are, with the results in
//! the order of the series: whether it ran in parallel does not show.

use rayon::prelude::*;

use super::budget::Budget;
use crate::error::QueryError;

/// Fewer items than this are not worth waking other threads for.
const PARALLEL_MIN: usize = 32;

/// Whether work over `items` is shared by several cores, unless it is light.
pub(super) fn splits(items: u64) -> bool {
    items >= PARALLEL_MIN as u64 && rayon::current_num_threads() > 1
}

/// Applies `work` to every item. Each worker has its own scratch space.
///
/// # Errors
/// The error of one of the items that failed.
pub(super) fn map<T, S, R, F>(budget: &Budget, items: Vec<T>, work: F) -> Result<Vec<R>, QueryError>
where
    T: Send,
    S: Default,
    R: Send,
    F: Fn(&mut S, T) -> Result<Option<R>, QueryError> + Sync + Send,
{
    if !splits(items.len() as u64) || !budget.spreads() {
        let mut scratch = S::default();
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            results.extend(work(&mut scratch, item)?);
        }
        return Ok(results);
    }
    let results: Result<Vec<Option<R>>, QueryError> = items
        .into_par_iter()
        .with_min_len(8)
        .map_init(S::default, |scratch, item| work(scratch, item))
        .collect();
    Ok(results?.into_iter().flatten().collect())
}
