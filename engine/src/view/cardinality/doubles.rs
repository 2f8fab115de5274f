//! Label sets that have several ids.
//!
//! A series gets a new id when it comes back after a restart or after a time of silence, so
//! ids alone would count it twice. Every series record is read and its labels hashed; to
//! bound the memory of that, a pass looks at a span of hashes, and there are as many passes
//! as needed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use ahash::RandomState;
use roaring::RoaringTreemap;

use crate::Result;
use crate::head::Head;
use crate::model::Labels;
use crate::store::catalogue::Generation;
use crate::store::generation::GenerationReader;
use crate::store::kv::Kv;

/// Label sets that one pass tells apart: some 64 MiB.
const PASS_MAX: usize = if cfg!(test) { 50 } else { 2_000_000 };

/// Ids of label sets.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// Different label sets.
    pub series: u64,
    /// Ids of label sets that have a smaller one too.
    pub doubles: RoaringTreemap,
}

/// One span of hashes.
struct Pass {
    from: u64,
    to: u64,
    smallest: HashMap<u64, u64, RandomState>,
}

impl Pass {
    fn add(&mut self, hash: u64, id: u64, doubles: &mut RoaringTreemap) {
        if !(self.from..=self.to).contains(&hash) {
            return;
        }
        match self.smallest.entry(hash) {
            Entry::Vacant(entry) => {
                entry.insert(id);
            }
            Entry::Occupied(mut entry) if *entry.get() != id => {
                let known = *entry.get();
                doubles.insert(known.max(id));
                entry.insert(known.min(id));
            }
            Entry::Occupied(_) => {}
        }
        if self.smallest.len() > PASS_MAX {
            self.to = self.from + (self.to - self.from) / 2;
            let to = self.to;
            self.smallest.retain(|hash, _| *hash <= to);
        }
    }
}

/// Counts the label sets of the head and of generations.
pub(super) fn census(
    head: &Head,
    kv: &dyn Kv,
    generations: &[&Arc<Generation>],
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Census> {
    let hasher = RandomState::new();
    let hash = |labels: &Labels| hasher.hash_one(labels.as_bytes());
    let mut census = Census::default();
    let mut from = 0;
    loop {
        let mut pass = Pass { from, to: u64::MAX, smallest: HashMap::default() };
        for series in head.all_series() {
            pass.add(hash(&series.labels), series.id.0, &mut census.doubles);
        }
        for generation in generations {
            let mut number = 0_u64;
            GenerationReader::new(kv, generation).for_each_series(&mut |id, labels| {
                pass.add(hash(&labels), id.0, &mut census.doubles);
                number += 1;
                if number.is_multiple_of(4096) { go_on() } else { Ok(()) }
            })?;
        }
        census.series += pass.smallest.len() as u64;
        let Some(next) = pass.to.checked_add(1) else { return Ok(census) };
        from = next;
    }
}
