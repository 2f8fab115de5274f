//! The head's postings: label pair to series ids, in memory.
//!
//! Series come and go constantly and queries are comparatively rare, so values are kept in the order of arrival, and
//! sorted when a query needs it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::Mutex;
use roaring::RoaringTreemap;

use crate::index::ids::IdList;
use crate::index::pairs::{PairRef, PairTable};
use crate::index::{PostingsUnion, Step, TermWalk};
use crate::model::{Labels, SeriesId};

/// Number of values that are skipped one by one before a search.
const NEAR: usize = 8;

/// Postings of the series in the head.
#[derive(Debug, Default)]
pub struct HeadPostings {
    pairs: PairTable,
    names: HashMap<Box<str>, Terms, RandomState>,
    all: IdList,
    /// Pairs that [`HeadPostings::remove`] left without ids and that are still in the table.
    empties: usize,
}

/// The values of one name, as indexes of pairs.
#[derive(Debug, Default)]
struct Terms {
    /// In order of arrival.
    arrived: Vec<u32>,
    /// The number of values in `arrived` that [`HeadPostings::remove`] left without ids.
    empties: usize,
    /// The part of them that a query has sorted.
    ordered: Mutex<Ordered>,
}

/// The first of the values that arrived, sorted: all that existed at the last query.
#[derive(Debug)]
struct Ordered {
    places: Arc<Vec<u32>>,
    /// Values from this index on have been removed since, or their places have been reused.
    right_below: u32,
}

impl Default for Ordered {
    fn default() -> Self {
        Ordered { places: Arc::default(), right_below: u32::MAX }
    }
}

impl Ordered {
    fn right(&self) -> impl Iterator<Item = u32> {
        self.places.iter().copied().filter(|at| *at < self.right_below)
    }
}

impl HeadPostings {
    /// Adds a series that is not present yet; fastest if its id is the largest.
    pub fn insert(&mut self, id: SeriesId, labels: &Labels) {
        self.all.insert(id.0);
        for pair in labels.encoded_pairs() {
            if self.empties > 0 {
                self.fill(pair);
            }
            if let Some(at) = self.pairs.insert(pair, id.0) {
                self.add_term(at);
            }
        }
    }

    fn add_term(&mut self, at: u32) {
        let name = self.pairs.get(at).name;
        match self.names.get_mut(name) {
            Some(terms) => terms.arrived.push(at),
            None => {
                self.names.insert(name.into(), Terms { arrived: vec![at], ..Terms::default() });
            }
        }
    }

    /// Updates the counts for a pair without ids that gets one.
    #[cold]
    fn fill(&mut self, pair: &[u8]) {
        let Some(at) = self.pairs.find_encoded(pair) else { return };
        let PairRef { name, ids, .. } = self.pairs.get(at);
        if ids.is_empty()
            && let Some(terms) = self.names.get_mut(name)
        {
            terms.empties = terms.empties.saturating_sub(1);
            self.empties = self.empties.saturating_sub(1);
        }
    }

    /// Removes a series, and the values and names that no other series has. Nothing remains of the series added last;
    /// of others a value may occupy memory until [`HeadPostings::sweep`].
    pub fn remove(&mut self, id: SeriesId, labels: &Labels) {
        self.all.remove(id.0);
        for pair in labels.encoded_pairs() {
            let Some(at) = self.pairs.find_encoded(pair) else { continue };
            if self.pairs.remove_id(at, id.0)
                && let Some(terms) = self.names.get_mut(self.pairs.get(at).name)
            {
                terms.empties += 1;
                self.empties += 1;
            }
        }
        while self.empties > 0
            && let Some((at, name)) = self.pairs.pop_empty()
        {
            self.empties -= 1;
            self.drop_term(at, &name);
        }
    }

    /// Removes the value that arrived last and is no longer in the table.
    fn drop_term(&mut self, at: u32, name: &str) {
        let Some(terms) = self.names.get_mut(name) else { return };
        terms.empties = terms.empties.saturating_sub(1);
        terms.arrived.pop_if(|last| *last == at);
        // The next query removes it from the sorted values, together with all others removed by then.
        let ordered = terms.ordered.get_mut();
        ordered.right_below = ordered.right_below.min(at);
        if terms.arrived.is_empty() {
            self.names.remove(name);
        }
    }

    /// Whether [`HeadPostings::remove`] left so many values without ids that a sweep is worthwhile.
    pub fn is_littered(&self) -> bool {
        self.empties > 1024 && self.empties > self.pairs.indexes().len() / 8
    }

    /// Removes the ids in `dead` from up to `pairs_max` pairs from `place` on. Returns where to continue, if there are
    /// more. Pairs without ids stay until [`HeadPostings::sweep`].
    pub fn forget(&mut self, dead: &RoaringTreemap, place: usize, pairs_max: usize) -> Option<usize> {
        if place == 0 {
            self.all.remove_all(dead);
        }
        let next = place.saturating_add(pairs_max);
        self.pairs.forget(place..next, dead);
        (next < self.pairs.indexes().len()).then_some(next)
    }

    /// Removes pairs without ids. Values that a query has sorted stay sorted.
    pub fn sweep(&mut self) {
        self.empties = 0;
        let moved = self.pairs.sweep();
        let kept = |places: &mut dyn Iterator<Item = u32>| -> Vec<u32> {
            places.map(|at| moved[at as usize]).filter(|&at| at != PairTable::GONE).collect()
        };
        self.names.retain(|_, terms| {
            let ordered = terms.ordered.get_mut();
            let places = Arc::new(kept(&mut ordered.right()));
            *ordered = Ordered { places, ..Ordered::default() };
            terms.arrived = kept(&mut terms.arrived.iter().copied());
            terms.empties = 0;
            !terms.arrived.is_empty()
        });
    }

    /// All ids.
    pub fn all(&self) -> RoaringTreemap {
        self.all.to_bitmap()
    }

    /// The ids with `name="value"`.
    pub fn postings(&self, name: &str, value: &str) -> RoaringTreemap {
        self.pairs.find(name, value).map(IdList::to_bitmap).unwrap_or_default()
    }

    /// The number of ids with `name="value"`.
    pub fn postings_len(&self, name: &str, value: &str) -> u64 {
        self.pairs.find(name, value).map_or(0, IdList::len)
    }

    /// Runs `walk` over the values of `name` from `from` on, past at most `looks_max` of them. Returns where to
    /// continue, if there are more.
    pub fn walk(
        &self,
        name: &str,
        from: &[u8],
        looks_max: usize,
        walk: &mut TermWalk<'_>,
        into: &mut PostingsUnion,
    ) -> Option<Vec<u8>> {
        let ordered = self.ordered(name);
        let value = |at: &u32| self.pairs.term(*at).0;
        let mut next = ordered.partition_point(|at| value(at) < from);
        for _ in 0..looks_max {
            let (value_here, ids) = self.pairs.term(*ordered.get(next)?);
            next += 1;
            match walk.step(value_here) {
                Step::Take => into.add_list(ids),
                Step::Leave => {}
                Step::Seek => {
                    let target = walk.target().as_bytes();
                    // It is usually near.
                    let near = ordered[next..].iter().take(NEAR).take_while(|at| value(at) < target).count();
                    next += near;
                    if near == NEAR {
                        next += ordered[next..].partition_point(|at| value(at) < target);
                    }
                }
                Step::Stop => return None,
            }
        }
        ordered.get(next).map(|at| value(at).to_vec())
    }

    /// All label names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let with_values = self.names.iter().filter(|(_, terms)| terms.arrived.len() > terms.empties);
        with_values.map(|(name, _)| &**name)
    }

    /// Appends to `page` up to `most` values of `name` from `from` on, in order, each with the number of its ids.
    /// Values without ids are skipped. Returns where to continue, if there are more.
    pub fn counts(
        &self,
        name: &str,
        from: &[u8],
        most: usize,
        page: &mut Vec<(String, u64)>,
    ) -> Option<Vec<u8>> {
        let ordered = self.ordered(name);
        let start = ordered.partition_point(|at| self.pairs.term(*at).0 < from);
        let mut rest = ordered[start..].iter();
        for at in rest.by_ref().take(most) {
            let PairRef { value, ids, .. } = self.pairs.get(*at);
            if !ids.is_empty() {
                page.push((value.to_owned(), ids.len()));
            }
        }
        rest.next().map(|at| self.pairs.term(*at).0.to_vec())
    }

    /// Appends to `page` up to `most` values of `name` from `from` on, in order, each with its ids. Returns where to
    /// continue, if there are more.
    pub fn page(
        &self,
        name: &str,
        from: &[u8],
        most: usize,
        page: &mut VecDeque<(String, IdList)>,
    ) -> Option<Vec<u8>> {
        let ordered = self.ordered(name);
        let start = ordered.partition_point(|at| self.pairs.term(*at).0 < from);
        let mut rest = ordered[start..].iter();
        page.extend(rest.by_ref().take(most).map(|at| {
            let PairRef { value, ids, .. } = self.pairs.get(*at);
            (value.to_owned(), ids.clone())
        }));
        rest.next().map(|at| self.pairs.term(*at).0.to_vec())
    }

    /// The number of values of `name`.
    pub fn value_count(&self, name: &str) -> usize {
        self.names.get(name).map_or(0, |terms| terms.arrived.len().saturating_sub(terms.empties))
    }

    /// The values of `name` in order, as indexes of pairs.
    fn ordered(&self, name: &str) -> Arc<Vec<u32>> {
        let Some(terms) = self.names.get(name) else { return Arc::default() };
        let mut ordered = terms.ordered.lock();
        if ordered.places.len() < terms.arrived.len() || ordered.right_below < u32::MAX {
            // The sort detects that the first part is in order and keeps it.
            let mut all = Vec::with_capacity(terms.arrived.len());
            all.extend(ordered.right());
            all.extend_from_slice(&terms.arrived[all.len()..]);
            all.sort_by(|&a, &b| self.pairs.get(a).value.cmp(self.pairs.get(b).value));
            *ordered = Ordered { places: Arc::new(all), ..Ordered::default() };
        }
        ordered.places.clone()
    }
}
