//! Runs a piece of work for each series on as many cores as are free. The results are in the order of the series, as if
//! a single core did all of the work.

use super::Budget;
use crate::crew::Crew;
use crate::error::QueryError;

/// With fewer items, waking other threads is not worthwhile.
const PARALLEL_MIN: usize = 32;
/// Minimum number of items in a piece of work.
const PIECE_MIN: usize = 8;
/// Number of pieces of work per core, so that all cores finish at about the same time.
pub(crate) const PIECES_A_CORE: usize = 4;

/// Whether work over `items` is divided among cores, unless it is light.
pub(crate) fn splits(crew: &Crew, items: u64) -> bool {
    items >= PARALLEL_MIN as u64 && crew.workers() > 1
}

/// Divides a list into pieces of at most `length` consecutive items.
pub(crate) fn pieces<T>(items: Vec<T>, length: usize) -> Vec<Vec<T>> {
    let mut pieces = Vec::with_capacity(items.len().div_ceil(length));
    let mut items = items.into_iter();
    loop {
        let piece: Vec<T> = items.by_ref().take(length).collect();
        if piece.is_empty() {
            return pieces;
        }
        pieces.push(piece);
    }
}

/// Applies `work` to every item. Each piece of work has a separate scratch space.
///
/// # Errors
/// The error of one of the items that failed.
pub(crate) fn map<T, S, R, F>(budget: &Budget, items: Vec<T>, work: F) -> Result<Vec<R>, QueryError>
where
    T: Send,
    S: Default,
    R: Send,
    F: Fn(&mut S, T) -> Result<Option<R>, QueryError> + Sync,
{
    let all = |items: Vec<T>| {
        let mut scratch = S::default();
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            results.extend(work(&mut scratch, item)?);
        }
        Ok(results)
    };
    let crew = budget.crew();
    if !splits(crew, items.len() as u64) || !budget.spreads() {
        return all(items);
    }
    let length = items.len().div_ceil(PIECES_A_CORE * crew.workers()).max(PIECE_MIN);
    let results = crew.share(pieces(items, length), all)?;
    Ok(results.into_iter().flatten().collect())
}
