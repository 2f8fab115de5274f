//! The head's postings in the form that [`crate::index`] searches.
//!
//! # Concurrency
//! The registry's lock is taken for a short part of a walk at a time, never for all of it, because new series wait for
//! it. A series that is created or removed during the walk may or may not be found. One that existed before and holds
//! samples is always found.

use roaring::RoaringTreemap;

use super::registry::Registry;
use crate::Result;
use crate::budget::Work;
use crate::index::{PostingsSource, PostingsUnion, TermWalk};
use crate::model::Labels;
use crate::sync::RwLock;

/// The number of values or series visited before the lock is released.
pub(super) const LOOKS_PER_LOCK: usize = 4096;

/// A registry as a source of postings.
pub(super) struct HeadIndex<'r>(pub(super) &'r RwLock<Registry>);

impl PostingsSource for HeadIndex<'_> {
    fn postings(&self, name: &str, value: &str) -> Result<RoaringTreemap> {
        Ok(self.0.read().postings.postings(name, value))
    }

    fn postings_len(&self, name: &str, value: &str) -> Option<u64> {
        Some(self.0.read().postings.postings_len(name, value))
    }

    fn walk(&self, name: &str, walk: &mut TermWalk<'_>, into: &mut PostingsUnion) -> Result<()> {
        let mut from = Some(walk.target().as_bytes().to_vec());
        while let Some(place) = from {
            from = self.0.read().postings.walk(name, &place, LOOKS_PER_LOCK, walk, into);
        }
        Ok(())
    }

    fn having(&self, _name: &str) -> Result<Option<RoaringTreemap>> {
        Ok(None)
    }

    fn all(&self, _work: &Work) -> Result<RoaringTreemap> {
        Ok(self.0.read().postings.all())
    }

    fn labels_price(&self) -> u64 {
        4
    }

    fn labels(&self, id: u64) -> Result<Option<Labels>> {
        Ok(self.0.read().find_id(id).map(|series| series.labels.clone()))
    }
}
