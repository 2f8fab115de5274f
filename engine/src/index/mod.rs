//! From label matchers to series ids, over any source of postings.
//!
//! The *postings* of `name="value"` are the ids of the series with that label. The head keeps them in memory
//! ([`crate::head`]), and each generation has its own in the store; [`select`] searches both.
//!
//! A label may have millions of values. Regular expressions are therefore evaluated over the sorted values
//! (`terms.rs`), so that ranges without a match are skipped, and over no more values than it would cost to check the
//! labels of the remaining series (`condition.rs`).

mod condition;
pub mod encoding;
pub mod ids;
pub mod merge;
pub mod pairs;
mod portable;
mod terms;
#[cfg(test)]
mod tests;
mod union;

use roaring::RoaringTreemap;

use crate::Result;
use crate::budget::Work;
use crate::index::condition::Condition;
use crate::model::{Labels, Matcher};

pub use terms::{Step, TermWalk};
pub use union::PostingsUnion;

/// A source of postings.
pub trait PostingsSource {
    /// The series with `name="value"`; the value is never empty.
    ///
    /// # Errors
    /// The store could not be read.
    fn postings(&self, name: &str, value: &str) -> Result<RoaringTreemap>;

    /// The number of these series, if it is known without reading them.
    fn postings_len(&self, name: &str, value: &str) -> Option<u64>;

    /// The series that have all of `pairs`, if the source finds them faster together than one pair after the other. No
    /// value is empty.
    ///
    /// # Errors
    /// The store could not be read.
    fn with_all(&self, _pairs: &[(&str, &str)]) -> Result<Option<RoaringTreemap>> {
        Ok(None)
    }

    /// Passes the values of `name` to `walk` in order, from its target on, and adds the series of the values that it
    /// takes to `into`.
    ///
    /// # Errors
    /// The store could not be read.
    fn walk(&self, name: &str, walk: &mut TermWalk<'_>, into: &mut PostingsUnion) -> Result<()>;

    /// The series that have a label `name`, if they are known without a walk.
    ///
    /// # Errors
    /// The store could not be read.
    fn having(&self, name: &str) -> Result<Option<RoaringTreemap>>;

    /// All series.
    ///
    /// # Errors
    /// The work was stopped, or the store could not be read.
    fn all(&self, work: &Work) -> Result<RoaringTreemap>;

    /// Approximate number of values that a walk can visit at the cost of reading one series' labels.
    fn labels_price(&self) -> u64;

    /// The labels of a series.
    ///
    /// # Errors
    /// The store could not be read.
    fn labels(&self, id: u64) -> Result<Option<Labels>>;
}

/// The ids of the series that match all matchers.
///
/// # Errors
/// `work` was stopped, or the source could not be read.
pub fn select(source: &dyn PostingsSource, matchers: &[Matcher], work: &Work) -> Result<RoaringTreemap> {
    let mut conditions: Vec<Condition<'_>> = matchers.iter().filter_map(Condition::of).collect();
    let mut candidates: Option<RoaringTreemap> = None;
    let pairs: Vec<(&str, &str)> = conditions.iter().filter_map(Condition::pair).collect();
    if pairs.len() > 1 {
        candidates = source.with_all(&pairs)?;
    }
    if candidates.is_some() {
        conditions.retain(|condition| condition.pair().is_none());
    }
    conditions.sort_by_cached_key(|condition| condition.rank(source));
    for condition in &conditions {
        work.check()?;
        let found = match candidates {
            Some(ids) if ids.is_empty() => return Ok(ids),
            Some(ids) => condition.narrow(source, ids, work)?,
            None => match condition.begin(source, work)? {
                Some(found) => found,
                None => condition.narrow(source, source.all(work)?, work)?,
            },
        };
        candidates = Some(found);
    }
    candidates.map_or_else(|| source.all(work), Ok)
}
