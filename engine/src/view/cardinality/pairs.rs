//! Label pairs of the head and of generations, merged in their order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::count;
use crate::Result;
use crate::head::Head;
use crate::index::ids::IdList;
use crate::index::{Ids, encoding};
use crate::store::catalogue::Generation;
use crate::store::generation::GenerationReader;
use crate::store::kv::Kv;
use crate::store::terms::StoredPairs;

/// Values of the head that are copied at once.
const PAGE: usize = 1024;

/// A pair and where its ids are.
struct Pair {
    name: String,
    value: String,
    ids: PairIds,
}

enum PairIds {
    Head(IdList),
    Stored(Vec<u8>),
}

/// One source of pairs.
enum Source<'a> {
    Head(HeadPairs<'a>),
    Stored(StoredPairs<'a>),
}

impl Source<'_> {
    fn next(&mut self) -> Result<Option<Pair>> {
        match self {
            Source::Head(pairs) => Ok(pairs.next()),
            Source::Stored(pairs) => {
                let pair = pairs.next()?;
                Ok(pair.map(|(name, value, postings)| Pair { name, value, ids: PairIds::Stored(postings) }))
            }
        }
    }
}

/// The head's pairs; its lock is taken for a page at a time.
struct HeadPairs<'a> {
    head: &'a Head,
    names: std::vec::IntoIter<String>,
    name: String,
    /// Where the next page begins; none at the end of a name.
    from: Option<Vec<u8>>,
    page: VecDeque<(String, IdList)>,
}

impl<'a> HeadPairs<'a> {
    fn new(head: &'a Head) -> Self {
        let names = head.label_names().into_iter();
        HeadPairs { head, names, name: String::new(), from: None, page: VecDeque::new() }
    }

    fn next(&mut self) -> Option<Pair> {
        loop {
            if let Some((value, ids)) = self.page.pop_front() {
                return Some(Pair { name: self.name.clone(), value, ids: PairIds::Head(ids) });
            }
            let from = match self.from.take() {
                Some(from) => from,
                None => {
                    self.name = self.names.next()?;
                    Vec::new()
                }
            };
            self.from = self.head.page(&self.name, &from, PAGE, &mut self.page);
        }
    }
}

/// All sources, merged.
pub(super) struct Merge<'a> {
    sources: Vec<Source<'a>>,
    /// What each source stands on.
    fronts: Vec<Option<PairIds>>,
    heap: BinaryHeap<Reverse<(String, String, usize)>>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(head: &'a Head, kv: &'a dyn Kv, generations: &[&'a Arc<Generation>]) -> Result<Self> {
        let mut sources = vec![Source::Head(HeadPairs::new(head))];
        for generation in generations {
            sources.push(Source::Stored(GenerationReader::new(kv, generation).pairs()?));
        }
        let fronts = sources.iter().map(|_| None).collect();
        let mut merge = Merge { sources, fronts, heap: BinaryHeap::new() };
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

    /// The next pair, and how many series have it, without those among `doubles`.
    pub(super) fn next(&mut self, doubles: &RoaringTreemap) -> Result<Option<(String, String, u64)>> {
        let Some(Reverse((name, value, at))) = self.heap.pop() else { return Ok(None) };
        let mut places = vec![at];
        while let Some(Reverse((n, v, _))) = self.heap.peek()
            && (n, v) == (&name, &value)
        {
            places.extend(self.heap.pop().map(|Reverse((_, _, at))| at));
        }
        let mut ids: Vec<PairIds> = places.iter().filter_map(|&at| self.fronts[at].take()).collect();
        let series = match ids.as_slice() {
            [only] if doubles.is_empty() => only.len(),
            _ => union(&mut ids).map(|ids| count(&ids, doubles)),
        };
        let series = series.ok_or_else(|| damaged(&name, &value))?;
        places.into_iter().try_for_each(|at| self.advance(at))?;
        Ok(Some((name, value, series)))
    }
}

impl PairIds {
    fn len(&self) -> Option<u64> {
        match self {
            PairIds::Head(list) => Some(list.len()),
            PairIds::Stored(bytes) => encoding::count(bytes),
        }
    }
}

fn union(parts: &mut Vec<PairIds>) -> Option<RoaringTreemap> {
    let mut ids = Ids::default();
    for part in parts.drain(..) {
        match part {
            PairIds::Head(list) => ids.add_list(&list),
            PairIds::Stored(bytes) => encoding::decode_into(&bytes, &mut ids)?,
        }
    }
    Some(ids.finish())
}

fn damaged(name: &str, value: &str) -> crate::Error {
    crate::Error::Corrupt {
        file: format!("index, postings of {name}={value:?}"),
        offset: 0,
        what: "damaged postings".to_owned(),
    }
}
