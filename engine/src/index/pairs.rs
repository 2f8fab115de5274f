//! Label pairs and the series that have each.
//!
//! A pair is looked up in its encoded form, as in a label set ([`Labels::as_bytes`]): one hash and one comparison of
//! bytes find it, and a new pair needs no separate allocation. The head has one such table, and a generation is written
//! from one.
//!
//! [`Labels::as_bytes`]: crate::model::Labels::as_bytes

use std::ops::Range;

use ahash::RandomState;
use hashbrown::HashTable;
use roaring::RoaringTreemap;

use crate::index::ids::IdList;
use crate::model::labels::{push_pair, read_pair};

/// Pairs in the order in which they were first added, each with its ids.
#[derive(Debug, Default)]
pub struct PairTable {
    // Pairs come from the network, so the hash is keyed.
    hasher: RandomState,
    /// Indexes into `pairs`.
    table: HashTable<u32>,
    pairs: Vec<Pair>,
    /// All encoded pairs, concatenated.
    texts: Vec<u8>,
}

#[derive(Debug)]
struct Pair {
    /// Its offset in `texts`.
    start: usize,
    ids: IdList,
}

/// A pair of a table.
#[derive(Debug, Clone, Copy)]
pub struct PairRef<'a> {
    /// The label's name.
    pub name: &'a str,
    /// Its value.
    pub value: &'a str,
    /// The series that have it.
    pub ids: &'a IdList,
}

impl PairTable {
    /// Adds a series to an encoded pair. Returns the index of the pair if it is new.
    #[inline]
    pub fn insert(&mut self, pair: &[u8], id: u64) -> Option<u32> {
        let hash = self.hasher.hash_one(pair);
        let (pairs, texts) = (&mut self.pairs, &self.texts);
        // A pair contains its own length, so an encoded pair that begins with another one is that one.
        if let Some(&at) = self.table.find(hash, |&at| texts[pairs[at as usize].start..].starts_with(pair)) {
            pairs[at as usize].ids.insert(id);
            return None;
        }
        Some(self.add(hash, pair, IdList::from_sorted(&[id])))
    }

    fn add(&mut self, hash: u64, pair: &[u8], ids: IdList) -> u32 {
        let at = u32::try_from(self.pairs.len()).expect("more label pairs than memory holds");
        self.pairs.push(Pair { start: self.texts.len(), ids });
        self.texts.extend_from_slice(pair);
        let PairTable { hasher, table, pairs, texts } = self;
        table.insert_unique(hash, at, |&at| hasher.hash_one(encoded(texts, &pairs[at as usize])));
        at
    }

    /// The index of an encoded pair, if the table has it.
    pub fn find_encoded(&self, pair: &[u8]) -> Option<u32> {
        let is_it = |&at: &u32| self.texts[self.pairs[at as usize].start..].starts_with(pair);
        self.table.find(self.hasher.hash_one(pair), is_it).copied()
    }

    /// Removes a series from the pair at an index. Returns whether the pair has no series left.
    pub fn remove_id(&mut self, at: u32, id: u64) -> bool {
        let ids = &mut self.pairs[at as usize].ids;
        let had_any = !ids.is_empty();
        ids.remove(id);
        had_any && ids.is_empty()
    }

    /// Removes the last added pair if it has no series. Returns its index and its name.
    pub fn pop_empty(&mut self) -> Option<(u32, String)> {
        let at = u32::try_from(self.pairs.len()).ok()?.checked_sub(1)?;
        if !self.pairs[at as usize].ids.is_empty() {
            return None;
        }
        let name = self.get(at).name.to_owned();
        let start = self.pairs[at as usize].start;
        let hash = self.hasher.hash_one(&self.texts[start..]);
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == at) {
            entry.remove();
        }
        self.pairs.pop();
        self.texts.truncate(start);
        Some((at, name))
    }

    /// The series with `name="value"`, if there is one.
    pub fn find(&self, name: &str, value: &str) -> Option<&IdList> {
        let mut pair = Vec::with_capacity(name.len() + value.len() + 4);
        push_pair(&mut pair, name, value);
        let is_it = |&at: &u32| self.texts[self.pairs[at as usize].start..].starts_with(&pair);
        let at = self.table.find(self.hasher.hash_one(&pair[..]), is_it)?;
        Some(&self.pairs[*at as usize].ids)
    }

    /// The pair at an index.
    pub fn get(&self, at: u32) -> PairRef<'_> {
        let pair = &self.pairs[at as usize];
        let (name, value, _) = read_pair(&self.texts[pair.start..]).expect("a pair as it was added");
        let text = |bytes| str::from_utf8(bytes).expect("labels are text");
        PairRef { name: text(name), value: text(value), ids: &pair.ids }
    }

    /// The value of the pair at an index, and its series, for walks over many pairs.
    #[inline]
    pub fn term(&self, at: u32) -> (&[u8], &IdList) {
        let pair = &self.pairs[at as usize];
        let (_, value, _) = read_pair(&self.texts[pair.start..]).expect("a pair as it was added");
        (value, &pair.ids)
    }

    /// The indexes of all pairs, in the order in which they were first added.
    pub fn indexes(&self) -> Range<u32> {
        0..self.pairs.len() as u32
    }

    /// The indexes of all pairs, ordered by name and value.
    pub fn sorted(&self) -> Vec<u32> {
        let key = |at: u32| {
            let PairRef { name, value, .. } = self.get(at);
            (name, value)
        };
        let mut order: Vec<_> = self.indexes().map(|at| (key(at), at)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, at)| at).collect()
    }

    /// Removes `dead` series from the pairs in `places`, some of which may then have none left.
    pub fn forget(&mut self, places: Range<usize>, dead: &RoaringTreemap) {
        let end = places.end.min(self.pairs.len());
        for pair in &mut self.pairs[places.start.min(end)..end] {
            pair.ids.remove_all(dead);
        }
    }

    /// Removes the pairs without series. Returns the new index for each old one, or [`PairTable::GONE`].
    pub fn sweep(&mut self) -> Vec<u32> {
        let mut left = PairTable { hasher: self.hasher.clone(), ..PairTable::default() };
        let moved = std::mem::take(&mut self.pairs).into_iter().map(|pair| {
            if pair.ids.is_empty() {
                return Self::GONE;
            }
            let bytes = encoded(&self.texts, &pair);
            left.add(self.hasher.hash_one(bytes), bytes, pair.ids)
        });
        let moved = moved.collect();
        *self = left;
        moved
    }

    /// The result of [`PairTable::sweep`] for a pair that it removed.
    pub const GONE: u32 = u32::MAX;
}

/// The bytes of a pair.
fn encoded<'a>(texts: &'a [u8], pair: &Pair) -> &'a [u8] {
    let rest = &texts[pair.start..];
    let (_, _, length) = read_pair(rest).expect("a pair as it was added");
    &rest[..length]
}
