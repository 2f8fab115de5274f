//! Merges the label pairs of several sources in the order of names and values.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use roaring::RoaringTreemap;

use crate::index::ids::IdList;
use crate::index::{PostingsUnion, encoding};
use crate::{Error, Result};

/// A pair and the series that have it.
pub struct Pair {
    /// The label's name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The series.
    pub ids: PairIds,
}

/// The series that have a pair, in the form of their source.
pub enum PairIds {
    /// From memory.
    List(IdList),
    /// From the store.
    Encoded(Vec<u8>),
}

/// A source of pairs in ascending order.
pub trait PairSource {
    /// The next pair.
    ///
    /// # Errors
    /// The store could not be read.
    fn next(&mut self) -> Result<Option<Pair>>;
}

/// A pair, with the series in each source that has it.
pub struct MergedPair {
    /// The label's name.
    pub name: String,
    /// Its value.
    pub value: String,
    ids: Vec<PairIds>,
}

impl MergedPair {
    /// The series, without duplicates.
    ///
    /// # Errors
    /// The postings are damaged.
    pub fn union(self) -> Result<RoaringTreemap> {
        let mut union = PostingsUnion::default();
        for ids in self.ids {
            match ids {
                PairIds::List(list) => union.add_list(&list),
                PairIds::Encoded(bytes) => encoding::decode_into(&bytes, &mut union)
                    .ok_or_else(|| damaged(&self.name, &self.value))?,
            }
        }
        Ok(union.finish())
    }

    /// The number of series, except those in `without`.
    ///
    /// # Errors
    /// The postings are damaged.
    pub fn count(self, without: &RoaringTreemap) -> Result<u64> {
        if let ([only], true) = (self.ids.as_slice(), without.is_empty()) {
            let count = match only {
                PairIds::List(list) => Some(list.len()),
                PairIds::Encoded(bytes) => encoding::count(bytes),
            };
            return count.ok_or_else(|| damaged(&self.name, &self.value));
        }
        let ids = self.union()?;
        Ok(ids.len() - ids.intersection_len(without))
    }
}

fn damaged(name: &str, value: &str) -> Error {
    Error::Corrupt {
        file: format!("index, postings of {name}={value:?}"),
        offset: 0,
        what: "damaged postings".to_owned(),
    }
}

/// A merge of all sources. It holds one pair of each in memory.
pub struct PairMerge<'a> {
    sources: Vec<Box<dyn PairSource + 'a>>,
    /// The current item of each source.
    fronts: Vec<Option<PairIds>>,
    heap: BinaryHeap<Reverse<(String, String, usize)>>,
}

impl<'a> PairMerge<'a> {
    /// A merge before the first pair.
    ///
    /// # Errors
    /// A source could not be read.
    pub fn new(sources: Vec<Box<dyn PairSource + 'a>>) -> Result<Self> {
        let fronts = sources.iter().map(|_| None).collect();
        let mut merge = PairMerge { sources, fronts, heap: BinaryHeap::new() };
        (0..merge.sources.len()).try_for_each(|at| merge.advance(at))?;
        Ok(merge)
    }

    fn advance(&mut self, at: usize) -> Result<()> {
        if let Some(Pair { name, value, ids }) = self.sources[at].next()? {
            self.heap.push(Reverse((name, value, at)));
            self.fronts[at] = Some(ids);
        }
        Ok(())
    }

    /// The next pair.
    ///
    /// # Errors
    /// A source could not be read.
    pub fn next_pair(&mut self) -> Result<Option<MergedPair>> {
        let Some(Reverse((name, value, at))) = self.heap.pop() else { return Ok(None) };
        let mut places = vec![at];
        while let Some(Reverse((n, v, _))) = self.heap.peek()
            && (n, v) == (&name, &value)
        {
            places.extend(self.heap.pop().map(|Reverse((_, _, at))| at));
        }
        let ids = places.iter().filter_map(|&at| self.fronts[at].take()).collect();
        places.into_iter().try_for_each(|at| self.advance(at))?;
        Ok(Some(MergedPair { name, value, ids }))
    }
}
