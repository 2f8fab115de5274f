//! Label sets that have several ids.
//!
//! A series gets a new id when it returns after a restart or after a period without samples, so ids alone would count
//! it twice. Every series record is read, and its labels are hashed twice, each time with a random key. The probability
//! that any two of ten million label sets agree in all 128 bits is 2^-82. To bound the memory, a pass covers a range of
//! hashes, and there are as many passes as needed.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ahash::RandomState;
use roaring::RoaringTreemap;

use crate::Result;
use crate::model::Labels;
use crate::store::catalogue::Generation;
use crate::store::generation::GenerationReader;
use crate::store::kv::Bulk;

/// Default number of label sets that one pass distinguishes: about 64 MiB.
const PASS_MAX: usize = if cfg!(test) { 50 } else { 1_500_000 };
/// The minimum, so that there are not too many passes.
const PASS_MIN: usize = if cfg!(test) { 10 } else { 20_000 };
/// The memory of a label set in a pass, bytes: its slot, and its part of the free slots of a table that has just grown.
const SET_BYTES: u64 = 44;

/// Two hashes of a label set; the first decides the pass.
type Hashes = (u64, u64);

/// Label sets and their ids.
#[derive(Debug, Default)]
pub struct DuplicateScan {
    /// The number of different label sets.
    pub series: u64,
    /// For label sets with several ids: the smallest, and all of them, ascending.
    pub groups: BTreeMap<u64, Vec<u64>>,
}

impl DuplicateScan {
    /// Counts the label sets of generations, and of `others`.
    ///
    /// # Errors
    /// Those of `go_on`, which is called periodically; or the store could not be read.
    pub fn take(
        kv: &dyn Bulk,
        generations: &[Arc<Generation>],
        others: &[(Labels, u64)],
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        Self::take_within(u64::MAX, kv, generations, others, go_on)
    }

    /// Same as [`DuplicateScan::take`], with passes of about `bytes`.
    ///
    /// # Errors
    /// Same as [`DuplicateScan::take`].
    pub fn take_within(
        bytes: u64,
        kv: &dyn Bulk,
        generations: &[Arc<Generation>],
        others: &[(Labels, u64)],
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let sets_max = usize::try_from(bytes / SET_BYTES).unwrap_or(usize::MAX).clamp(PASS_MIN, PASS_MAX);
        let hashers = [RandomState::new(), RandomState::new()];
        let hash = |labels: &Labels| {
            let [first, second] = hashers.each_ref().map(|hasher| hasher.hash_one(labels.as_bytes()));
            (first, second)
        };
        let mut scan = DuplicateScan::default();
        let mut from = 0;
        loop {
            let mut pass = Pass { from, to: u64::MAX, sets_max, smallest: HashMap::default() };
            for (labels, id) in others {
                pass.add(hash(labels), *id, &mut scan.groups);
            }
            for generation in generations {
                let mut number = 0_u64;
                GenerationReader::new(kv, generation).for_each_series(&mut |id, labels| {
                    pass.add(hash(&labels), id.0, &mut scan.groups);
                    number += 1;
                    if number.is_multiple_of(4096) { go_on() } else { Ok(()) }
                })?;
            }
            scan.series += pass.smallest.len() as u64;
            let Some(next) = pass.to.checked_add(1) else { break };
            from = next;
        }
        scan.groups.values_mut().for_each(|ids| {
            ids.sort_unstable();
            ids.dedup();
        });
        Ok(scan)
    }

    /// The ids that are not the smallest of their label set.
    pub fn duplicates(&self) -> RoaringTreemap {
        self.groups.values().flat_map(|ids| &ids[1..]).collect()
    }
}

/// One range of hashes.
struct Pass {
    from: u64,
    to: u64,
    /// The maximum number of label sets in it.
    sets_max: usize,
    smallest: HashMap<Hashes, u64, RandomState>,
}

impl Pass {
    fn add(&mut self, hash: Hashes, id: u64, groups: &mut BTreeMap<u64, Vec<u64>>) {
        if !(self.from..=self.to).contains(&hash.0) {
            return;
        }
        match self.smallest.entry(hash) {
            Entry::Vacant(entry) => {
                entry.insert(id);
            }
            Entry::Occupied(mut entry) if *entry.get() != id => {
                let known = entry.insert(id.min(*entry.get()));
                let mut ids = groups.remove(&known).unwrap_or_else(|| vec![known]);
                ids.push(id);
                groups.insert(known.min(id), ids);
            }
            Entry::Occupied(_) => {}
        }
        if self.smallest.len() > self.sets_max {
            // What is left out now is covered by a later pass, with all its ids.
            self.to = self.from + (self.to - self.from) / 2;
            let to = self.to;
            self.smallest.retain(|(first, _), id| {
                let stays = *first <= to;
                if !stays {
                    groups.remove(id);
                }
                stays
            });
        }
    }
}
