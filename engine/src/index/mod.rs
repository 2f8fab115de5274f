//! From label matchers to series ids, over any source of postings.
//!
//! *Postings* of `name="value"` are the ids of the series that carry that label. The head
//! keeps them in memory ([`crate::head`]), each generation keeps its own in the store; both
//! are searched by [`select`].

pub mod encoding;
pub mod ids;
pub mod pairs;

use roaring::RoaringTreemap;

use crate::Result;
use crate::model::{Labels, MatchOp, Matcher};

/// Where postings come from.
pub trait PostingsSource {
    /// The series with `name="value"`.
    ///
    /// # Errors
    /// The store could not be read.
    fn postings(&self, name: &str, value: &str) -> Result<RoaringTreemap>;

    /// Calls `visit` with each value of `name` that begins with `prefix`, in order, and
    /// adds the postings of those it accepts to `into`.
    ///
    /// # Errors
    /// The store could not be read.
    fn union_where(
        &self,
        name: &str,
        prefix: &str,
        accept: &mut dyn FnMut(&str) -> bool,
        into: &mut RoaringTreemap,
    ) -> Result<()>;

    /// All series.
    ///
    /// # Errors
    /// The store could not be read.
    fn all(&self) -> Result<RoaringTreemap>;

    /// How many values `name` has, roughly; decides between looking at values and looking
    /// at candidates.
    fn value_count_hint(&self, name: &str) -> usize;

    /// The labels of a series.
    ///
    /// # Errors
    /// The store could not be read.
    fn labels(&self, id: u64) -> Result<Option<Labels>>;
}

/// Below this many candidates, looking at their labels beats looking at a label's values.
const FEW_CANDIDATES: u64 = 64;

/// The ids of the series that meet all matchers.
///
/// # Errors
/// The source could not be read.
pub fn select(source: &dyn PostingsSource, matchers: &[Matcher]) -> Result<RoaringTreemap> {
    let mut ordered: Vec<&Matcher> = matchers.iter().collect();
    ordered.sort_by_key(|m| cost_rank(m));
    let mut candidates: Option<RoaringTreemap> = None;
    for matcher in ordered {
        let found = match candidates {
            Some(c) if c.is_empty() => return Ok(c),
            Some(c) if is_cheaper_by_labels(source, matcher, c.len()) => keep_matching(source, matcher, c)?,
            Some(c) => restrict(source, matcher, c)?,
            None if matcher.matches_empty() => restrict(source, matcher, source.all()?)?,
            None => positive(source, matcher)?,
        };
        candidates = Some(found);
    }
    match candidates {
        Some(candidates) => Ok(candidates),
        None => source.all(),
    }
}

/// Sharp and cheap matchers first.
fn cost_rank(matcher: &Matcher) -> u8 {
    let is_list = matcher.pattern().is_some_and(|p| p.as_literals().is_some());
    match matcher.op {
        MatchOp::Equal if !matcher.value.is_empty() => 0,
        MatchOp::Regex if is_list && !matcher.matches_empty() => 1,
        _ if !matcher.matches_empty() => 2,
        _ => 3,
    }
}

fn is_cheaper_by_labels(source: &dyn PostingsSource, matcher: &Matcher, candidates: u64) -> bool {
    if matcher.op == MatchOp::Equal && !matcher.value.is_empty() {
        return false;
    }
    candidates <= FEW_CANDIDATES || candidates < source.value_count_hint(&matcher.name) as u64
}

fn keep_matching(
    source: &dyn PostingsSource,
    matcher: &Matcher,
    ids: RoaringTreemap,
) -> Result<RoaringTreemap> {
    let mut kept = RoaringTreemap::new();
    for id in ids {
        if source.labels(id)?.is_some_and(|labels| matcher.matches_labels(&labels)) {
            kept.insert(id);
        }
    }
    Ok(kept)
}

fn restrict(source: &dyn PostingsSource, matcher: &Matcher, ids: RoaringTreemap) -> Result<RoaringTreemap> {
    if !matcher.matches_empty() {
        return Ok(ids & positive(source, matcher)?);
    }
    let mut unwanted = RoaringTreemap::new();
    if matcher.op == MatchOp::NotEqual {
        unwanted = source.postings(&matcher.name, &matcher.value)?;
    } else {
        source.union_where(&matcher.name, "", &mut |value| !matcher.matches(value), &mut unwanted)?;
    }
    Ok(ids - unwanted)
}

/// The series that carry the label with a matching value.
fn positive(source: &dyn PostingsSource, matcher: &Matcher) -> Result<RoaringTreemap> {
    if matcher.op == MatchOp::Equal {
        return source.postings(&matcher.name, &matcher.value);
    }
    let mut found = RoaringTreemap::new();
    let pattern = if matcher.op == MatchOp::Regex { matcher.pattern() } else { None };
    if let Some(literals) = pattern.and_then(|p| p.as_literals()) {
        for literal in literals {
            found |= source.postings(&matcher.name, literal)?;
        }
        return Ok(found);
    }
    let prefix = pattern.and_then(|p| p.prefix()).unwrap_or("");
    source.union_where(&matcher.name, prefix, &mut |value| matcher.matches(value), &mut found)?;
    Ok(found)
}
