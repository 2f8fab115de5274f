//! Commits that failed: the store may have applied them, or may do so later.
//!
//! RocksDB behaves like this: changes whose flush fails because the disk is full stay in its memory and are written
//! when there is space again. Until another commit has succeeded, it is unknown which of two states a crash would
//! leave. So both are kept complete: everything that either names stays in the store, and the next commit repeats the
//! changes of the refused one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::Result;
use crate::store::catalogue::{Catalogue, Generation};
use crate::store::keys::Prefix;
use crate::store::kv::Change;

/// What refused commits may have left in the store.
#[derive(Debug, Default)]
pub(super) struct UncertainCommits {
    /// Keys of generations and tombstones that they put or removed.
    keys: BTreeSet<Vec<u8>>,
    /// Generations that they named and that are not in the catalogue.
    generations: Vec<Arc<Generation>>,
}

impl UncertainCommits {
    /// Whether all commits are known to be applied.
    pub(super) fn is_none(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the store may name a generation with this prefix.
    pub(super) fn names(&self, prefix: Prefix) -> bool {
        self.generations.iter().any(|generation| generation.prefix == prefix)
    }

    /// Changes that bring the uncertain keys into the state of `next`; they come before all others.
    pub(super) fn changes_to(&self, next: &Catalogue) -> Result<Vec<Change>> {
        if self.is_none() {
            return Ok(Vec::new());
        }
        self.keys.iter().map(|key| Ok((key.clone(), next.value_of(key)?))).collect()
    }

    /// Records a refused commit that was to change these keys of `current` and add these generations.
    pub(super) fn add(&mut self, keys: Vec<Vec<u8>>, current: &Catalogue, added: &[Arc<Generation>]) {
        self.keys.extend(keys);
        let is_new = |generation: &&Arc<Generation>| current.generations.get(generation.prefix).is_none();
        self.generations.extend(added.iter().filter(is_new).cloned());
    }

    /// A commit has succeeded: what it does not name can be removed.
    pub(super) fn end(&mut self) {
        self.keys.clear();
        self.generations.drain(..).for_each(|generation| generation.mark_obsolete());
    }
}
