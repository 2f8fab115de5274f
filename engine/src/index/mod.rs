//! From label matchers to series ids, over any source of postings.
//!
//! *Postings* of `name="value"` are the ids of the series that carry that label. The head
//! keeps them in memory ([`crate::head`]), each generation keeps its own in the store; both
//! are searched by [`select`].
//!
//! A label may have millions of values. Expressions are therefore asked of the values in
//! their order (`terms.rs`), so that stretches without a match are skipped, and no more than
//! it would cost to look at the labels of the series that are left (`condition.rs`).

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

/// Where postings come from.
pub trait PostingsSource {
    /// The series with `name="value"`; the value is never empty.
    ///
    /// # Errors
    /// The store could not be read.
    fn postings(&self, name: &str, value: &str) -> Result<RoaringTreemap>;

    /// How many these are, if that is known without a look at them.
    fn postings_len(&self, name: &str, value: &str) -> Option<u64>;

    /// The series that have all of `pairs`, if the source finds them quicker together than
    /// one pair after the other. No value is empty.
    ///
    /// # Errors
    /// The store could not be read.
    fn with_all(&self, _pairs: &[(&str, &str)]) -> Result<Option<RoaringTreemap>> {
        Ok(None)
    }

    /// Leads `walk` through the values of `name` in order, from its target on, and adds the
    /// series of those that it takes to `into`.
    ///
    /// # Errors
    /// The store could not be read.
    fn walk(&self, name: &str, walk: &mut TermWalk<'_>, into: &mut PostingsUnion) -> Result<()>;

    /// The series that have a label `name`, if that is known without a walk.
    ///
    /// # Errors
    /// The store could not be read.
    fn having(&self, name: &str) -> Result<Option<RoaringTreemap>>;

    /// All series.
    ///
    /// # Errors
    /// The work is over, or the store could not be read.
    fn all(&self, work: &Work) -> Result<RoaringTreemap>;

    /// How many values a walk can look at for the price of one series' labels, roughly.
    fn labels_price(&self) -> u64;

    /// The labels of a series.
    ///
    /// # Errors
    /// The store could not be read.
    fn labels(&self, id: u64) -> Result<Option<Labels>>;
}

/// The ids of the series that meet all matchers.
///
/// # Errors
/// `work` is over, or the source could not be read.
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
