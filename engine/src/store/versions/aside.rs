//! Damage that is found while the database is open: the generation is set aside, and the rest stays available.
//!
//! A query, a merge or a scrub calls this when a read fails twice or a value is damaged (`store/kv/guard.rs`). Nothing
//! of this is stored, so the next opening finds the damage again.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Error;
use crate::store::catalogue::{Catalogue, Generation};
use crate::store::generations::Aside;
use crate::store::guard::{Judge, Verdict};
use crate::store::keys::{self, Prefix};
use crate::store::kv::{Bulk, Family};
use crate::store::versions::Versions;

/// Generations next to damage.
#[derive(Default)]
pub(super) struct Boundaries {
    /// The last keys of generations that are complete although what follows them cannot be read.
    last: HashMap<(Family, Prefix), Vec<u8>>,
    /// What a merge has written and reads back; the catalogue does not name it yet.
    written: Option<Arc<Generation>>,
}

impl Judge for Versions {
    fn unreadable(&self, store: &dyn Bulk, family: Family, key: &[u8], error: &Error) -> Verdict {
        let Some(prefix) = Prefix::decode(key) else { return Verdict::Damaged };
        // Readers that find the same damage in the meantime wait for the result.
        let mut boundaries = self.boundaries.lock();
        let catalogue = self.current_owned();
        let written = boundaries.written.as_ref().filter(|written| written.prefix == prefix);
        let Some(generation) = catalogue.generations.get(prefix).or(written) else { return Verdict::Damaged };
        if is_aside(&catalogue, prefix) {
            return Verdict::Damaged;
        }
        let known = boundaries.last.get(&(family, prefix)).cloned();
        let Some(last) =
            known.or_else(|| last_key(store, family, generation)).filter(|last| key >= &last[..])
        else {
            self.set_aside(prefix, error);
            return Verdict::Damaged;
        };
        if boundaries.last.insert((family, prefix), last).is_none() {
            self.set_successor_aside(store, family, &catalogue, prefix);
        }
        Verdict::Complete
    }

    fn damaged(&self, key: &[u8], error: &Error) {
        if let Some(prefix) = Prefix::decode(key) {
            self.set_aside(prefix, error);
        }
    }
}

impl Versions {
    /// Sets a generation of the catalogue aside, unless it already is: reads leave it out or are refused from now on.
    pub(crate) fn set_aside(&self, prefix: Prefix, why: &dyn std::fmt::Display) {
        let mut editing = self.editing.lock();
        let current = self.current_owned();
        if current.generations.get(prefix).is_none() || is_aside(&current, prefix) {
            return;
        }
        let why = why.to_string();
        log_aside(prefix, &why);
        self.current.rcu(|latest| {
            let mut next = Catalogue::clone(latest);
            next.generations.set_aside(prefix, why.clone());
            next
        });
        // The next flush of the partition writes the records of its series again, since the present ones may be lost.
        editing.indexed.forget(prefix.partition);
    }

    /// Names the generation that a merge reads back, so that damage in it is attributed to it.
    pub(crate) fn reading_back(&self, written: Option<Arc<Generation>>) {
        self.boundaries.lock().written = written;
    }

    /// Sets the generation after a complete one aside if its first key in a family cannot be read.
    fn set_successor_aside(&self, store: &dyn Bulk, family: Family, catalogue: &Catalogue, prefix: Prefix) {
        let has_keys = |g: &&Arc<Generation>| g.prefix > prefix && g.record.keys_in(family) > 0;
        let Some(next) = catalogue.generations.iter().filter(has_keys).min_by_key(|g| g.prefix) else {
            return;
        };
        if let Err(error) = store.cursor(family).seek(&next.prefix.encode()) {
            self.set_aside(next.prefix, &error);
        }
    }
}

/// Logs that a generation was set aside.
pub(crate) fn log_aside(prefix: Prefix, why: &str) {
    tracing::error!(
        partition = %prefix.partition,
        generation = prefix.generation,
        why,
        "a damaged generation is set aside: reads of its time lack its samples; `barograph verify` reads all of it, a \
         snapshot has what is lost"
    );
}

fn is_aside(catalogue: &Catalogue, prefix: Prefix) -> bool {
    let is_it = |aside: &Aside| aside.generation.prefix == prefix;
    catalogue.generations.aside().any(is_it)
}

/// The last key of a generation, if all of its keys in a family can be read up to it; its prefix if it has none there.
fn last_key(store: &dyn Bulk, family: Family, generation: &Generation) -> Option<Vec<u8>> {
    let prefix = generation.prefix.encode();
    let mut cursor = store.scan(family);
    let (mut count, mut last) = (0, prefix.to_vec());
    let mut step = cursor.seek(&prefix);
    while let (Ok(()), Some((key, _))) = (&step, cursor.entry()) {
        if !key.starts_with(&prefix) {
            break;
        }
        count += u64::from(family != Family::Index || keys::decode_series(key).is_some());
        last.clear();
        last.extend_from_slice(key);
        step = cursor.advance();
    }
    // The number of postings is not known, but this record is the last one of an index that has it.
    let is_ended = family != Family::Index || count == 0 || last == generation.prefix.times();
    (count == generation.record.keys_in(family) && is_ended).then_some(last)
}
