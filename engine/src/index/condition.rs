//! The condition that a matcher places on an index.

use roaring::RoaringTreemap;

use super::{PostingsSource, PostingsUnion, TermWalk};
use crate::Result;
use crate::budget::Work;
use crate::model::{MatchOp, Matcher, Pattern};

/// Number of look-ups of a series or a value between two checks for cancellation.
const LOOKS_PER_CHECK: usize = 256;

/// A matcher in its simplest form.
#[derive(Debug)]
pub(super) struct Condition<'m> {
    matcher: &'m Matcher,
    test: Test<'m>,
}

#[derive(Debug, Clone, Copy)]
enum Test<'m> {
    /// Matches no series.
    Never,
    /// The label has this value.
    Is(&'m str),
    /// The label does not have this value.
    IsNot(&'m str),
    /// The label is present.
    Present,
    /// The label is absent.
    Absent,
    /// The label is present, and its value matches.
    In(&'m Pattern),
    /// The label is absent, or its value does not match.
    NotIn(&'m Pattern),
    /// The label is absent, or its value matches.
    AbsentOrIn(&'m Pattern),
    /// The label is present, and its value does not match.
    PresentNotIn(&'m Pattern),
}

impl<'m> Condition<'m> {
    /// `None` if every series matches.
    pub(super) fn of(matcher: &'m Matcher) -> Option<Self> {
        let (value, is_negative) = (matcher.value.as_str(), matcher.op == MatchOp::NotRegex);
        let test = match (matcher.op, matcher.pattern()) {
            (MatchOp::Equal, _) if value.is_empty() => Test::Absent,
            (MatchOp::NotEqual, _) if value.is_empty() => Test::Present,
            (MatchOp::NotEqual, _) => Test::IsNot(value),
            (MatchOp::Equal, _) | (_, None) => Test::Is(value),
            (_, Some(pattern)) if pattern.is_everything() => {
                if !is_negative {
                    return None;
                }
                Test::Never
            }
            (_, Some(pattern)) if pattern.is_something() && is_negative => Test::Absent,
            (_, Some(pattern)) if pattern.is_something() => Test::Present,
            (_, Some(pattern)) => match (is_negative, matcher.matches_empty()) {
                (false, false) => Test::In(pattern),
                (false, true) => Test::AbsentOrIn(pattern),
                (true, true) => Test::NotIn(pattern),
                (true, false) => Test::PresentNotIn(pattern),
            },
        };
        Some(Condition { matcher, test })
    }

    /// The pair that a series must have, if that is the whole condition.
    pub(super) fn pair(&self) -> Option<(&'m str, &'m str)> {
        match self.test {
            Test::Is(value) => Some((&self.matcher.name, value)),
            _ => None,
        }
    }

    /// The order of evaluation: selective and cheap conditions first.
    pub(super) fn rank(&self, source: &dyn PostingsSource) -> (u8, u64) {
        let sharpness = |pattern: &Pattern| match pattern.as_literals() {
            Some(literals) => literals.len() as u64,
            None => u64::from(u32::MAX) - pattern.prefix().map_or(0, str::len) as u64,
        };
        match self.test {
            Test::Never => (0, 0),
            Test::Is(value) => (1, source.postings_len(&self.matcher.name, value).unwrap_or(0)),
            Test::In(pattern) => (2, sharpness(pattern)),
            Test::Present => (3, 0),
            Test::PresentNotIn(_) => (3, 1),
            Test::IsNot(_) => (4, 0),
            Test::NotIn(pattern) => (5, sharpness(pattern)),
            Test::AbsentOrIn(_) => (6, 0),
            Test::Absent => (6, 1),
        }
    }

    /// All matching series; `None` if only checking every series could tell.
    pub(super) fn begin(&self, source: &dyn PostingsSource, work: &Work) -> Result<Option<RoaringTreemap>> {
        let no_bound = u64::MAX;
        Ok(match self.test {
            Test::Never => Some(RoaringTreemap::new()),
            Test::Is(value) => Some(source.postings(&self.matcher.name, value)?),
            Test::Present => self.having(source, no_bound, work)?,
            Test::In(pattern) => self.matching(source, pattern, no_bound, work)?,
            Test::PresentNotIn(pattern) => {
                let matching = self.matching(source, pattern, no_bound, work)?.unwrap_or_default();
                self.having(source, no_bound, work)?.map(|having| having - matching)
            }
            Test::IsNot(_) | Test::NotIn(_) | Test::AbsentOrIn(_) | Test::Absent => None,
        })
    }

    /// The matching series among `ids`: by postings or, if those take longer, by checking the labels of each.
    pub(super) fn narrow(
        &self,
        source: &dyn PostingsSource,
        ids: RoaringTreemap,
        work: &Work,
    ) -> Result<RoaringTreemap> {
        // The number of values that may be checked is limited to the cost of reading all labels, so that discarding an
        // insufficient result at most doubles the cost.
        let looks_max = ids.len().saturating_mul(source.labels_price());
        let narrowed = match self.test {
            Test::Never => Some(RoaringTreemap::new()),
            Test::Is(value) | Test::IsNot(value) => self.by_value(source, value, &ids, looks_max)?,
            Test::Present => self.having(source, looks_max, work)?.map(|having| &ids & having),
            Test::Absent => self.having(source, looks_max, work)?.map(|having| &ids - having),
            Test::In(pattern) => {
                self.matching(source, pattern, looks_max, work)?.map(|matching| &ids & matching)
            }
            Test::NotIn(pattern) => {
                self.matching(source, pattern, looks_max, work)?.map(|matching| &ids - matching)
            }
            Test::AbsentOrIn(pattern) | Test::PresentNotIn(pattern) => {
                self.by_presence(source, pattern, &ids, looks_max, work)?
            }
        };
        narrowed.map_or_else(|| self.by_labels(source, ids, work), Ok)
    }

    fn by_value(
        &self,
        source: &dyn PostingsSource,
        value: &str,
        ids: &RoaringTreemap,
        looks_max: u64,
    ) -> Result<Option<RoaringTreemap>> {
        if source.postings_len(&self.matcher.name, value).is_some_and(|len| len > looks_max) {
            return Ok(None);
        }
        let postings = source.postings(&self.matcher.name, value)?;
        Ok(Some(if matches!(self.test, Test::Is(_)) { ids & postings } else { ids - postings }))
    }

    /// The result according to the presence of the label and its value.
    fn by_presence(
        &self,
        source: &dyn PostingsSource,
        pattern: &Pattern,
        ids: &RoaringTreemap,
        looks_max: u64,
        work: &Work,
    ) -> Result<Option<RoaringTreemap>> {
        let Some(having) = self.having(source, looks_max, work)? else { return Ok(None) };
        let Some(matching) = self.matching(source, pattern, looks_max, work)? else { return Ok(None) };
        let others = having - matching;
        Ok(Some(if matches!(self.test, Test::PresentNotIn(_)) { ids & others } else { ids - others }))
    }

    /// The series with the label; `None` if that takes more than `looks_max` look-ups.
    fn having(
        &self,
        source: &dyn PostingsSource,
        looks_max: u64,
        work: &Work,
    ) -> Result<Option<RoaringTreemap>> {
        match source.having(&self.matcher.name)? {
            Some(having) => Ok(Some(having)),
            None => self.walk(source, None, looks_max, work),
        }
    }

    /// The series with the label and a matching value; `None` if that takes more than `looks_max` look-ups.
    fn matching(
        &self,
        source: &dyn PostingsSource,
        pattern: &Pattern,
        looks_max: u64,
        work: &Work,
    ) -> Result<Option<RoaringTreemap>> {
        let Some(literals) = pattern.as_literals() else {
            return self.walk(source, Some(pattern), looks_max, work);
        };
        if literals.len() as u64 > looks_max {
            return Ok(None);
        }
        let mut found = RoaringTreemap::new();
        for (at, literal) in literals.iter().filter(|literal| !literal.is_empty()).enumerate() {
            if at.is_multiple_of(LOOKS_PER_CHECK) {
                work.check()?;
            }
            found |= source.postings(&self.matcher.name, literal)?;
        }
        Ok(Some(found))
    }

    fn walk(
        &self,
        source: &dyn PostingsSource,
        pattern: Option<&Pattern>,
        looks_max: u64,
        work: &Work,
    ) -> Result<Option<RoaringTreemap>> {
        let (mut walk, mut found) = (TermWalk::new(pattern, looks_max, work), PostingsUnion::default());
        source.walk(&self.matcher.name, &mut walk, &mut found)?;
        Ok(walk.is_whole()?.then(|| found.finish()))
    }

    fn by_labels(
        &self,
        source: &dyn PostingsSource,
        ids: RoaringTreemap,
        work: &Work,
    ) -> Result<RoaringTreemap> {
        let mut kept = PostingsUnion::default();
        for (at, id) in ids.into_iter().enumerate() {
            if at.is_multiple_of(LOOKS_PER_CHECK) {
                work.check()?;
            }
            if source.labels(id)?.is_some_and(|labels| self.matcher.matches_labels(&labels)) {
                kept.push(id);
            }
        }
        Ok(kept.finish())
    }
}
