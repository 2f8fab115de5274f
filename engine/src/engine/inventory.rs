//! What the store holds, compared with what the catalogue names. Opening takes it: one pass over each family, which
//! passes over what lies under one prefix.

use std::collections::BTreeMap;

use crate::store::catalogue::{Catalogue, GenerationRecord};
use crate::store::keys::{Prefix, successor};
use crate::store::kv::{Cursor, Family, Kv};
use crate::{Error, Result};

/// Keys of one prefix that are passed one by one before the next prefix is searched for: small generations have few.
const STEPS_MAX: usize = 8;

/// The families of bulk data, and how many records of a generation are in each.
type Expected = fn(&GenerationRecord) -> u64;
const FAMILIES: [(Family, Expected); 3] =
    [(Family::Chunks, |r| r.chunks), (Family::Index, |r| r.series), (Family::Events, |r| r.events)];

/// How store and catalogue differ.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// For each family the prefixes that the catalogue does not name.
    pub leftovers: Vec<(Family, Vec<Prefix>)>,
    /// Generations that have nothing in a family of which the catalogue names records: the store may have lost a table,
    /// and queries would be answered with silence. (`verify` compares every count and checksum.)
    pub missing: BTreeMap<Prefix, Error>,
}

impl Inventory {
    /// Looks at everything.
    ///
    /// # Errors
    /// The store could not be read.
    pub(super) fn take(kv: &dyn Kv, catalogue: &Catalogue) -> Result<Self> {
        let mut named: Vec<(Prefix, GenerationRecord)> =
            catalogue.generations.iter().map(|g| (g.prefix, g.record)).collect();
        named.sort_unstable_by_key(|(prefix, _)| *prefix);
        let mut inventory = Inventory::default();
        for (family, expected) in FAMILIES {
            inventory.compare(kv, family, named.iter().map(|(p, record)| (*p, expected(record))))?;
        }
        Ok(inventory)
    }

    /// The same, where nothing is missing.
    ///
    /// # Errors
    /// Something is, or the store could not be read.
    pub(super) fn whole(kv: &dyn Kv, catalogue: &Catalogue) -> Result<Self> {
        let mut inventory = Self::take(kv, catalogue)?;
        inventory.missing.pop_first().map_or(Ok(inventory), |(_, missing)| Err(missing))
    }

    fn compare(
        &mut self,
        kv: &dyn Kv,
        family: Family,
        named: impl Iterator<Item = (Prefix, u64)>,
    ) -> Result<()> {
        let mut cursor = kv.cursor(family);
        cursor.seek(&[])?;
        let mut leftovers = Vec::new();
        let mut found = next_prefix(&mut *cursor, family, None)?;
        for (prefix, expected) in named {
            while let Some(leftover) = found.filter(|found| *found < prefix) {
                leftovers.push(leftover);
                found = next_prefix(&mut *cursor, family, found)?;
            }
            if found == Some(prefix) {
                found = next_prefix(&mut *cursor, family, found)?;
            } else if expected > 0 {
                self.missing.entry(prefix).or_insert_with(|| missing(family, prefix, expected));
            }
        }
        while let Some(leftover) = found {
            leftovers.push(leftover);
            found = next_prefix(&mut *cursor, family, found)?;
        }
        if !leftovers.is_empty() {
            self.leftovers.push((family, leftovers));
        }
        Ok(())
    }
}

/// The prefix of the first key after all of `passed`, at one of which the cursor is.
fn next_prefix(cursor: &mut dyn Cursor, family: Family, passed: Option<Prefix>) -> Result<Option<Prefix>> {
    let mut steps = 0;
    while let Some((key, _)) = cursor.entry() {
        let prefix = Prefix::decode(key).ok_or_else(|| Error::Corrupt {
            file: format!("{}/{}", family.name(), key.escape_ascii()),
            offset: 0,
            what: "key shorter than a prefix".to_owned(),
        })?;
        if passed != Some(prefix) {
            return Ok(Some(prefix));
        }
        steps += 1;
        if steps < STEPS_MAX { cursor.advance()? } else { cursor.seek(&successor(&prefix.encode()))? }
    }
    Ok(None)
}

fn missing(family: Family, prefix: Prefix, expected: u64) -> Error {
    Error::Corrupt {
        file: format!("{}/{}", family.name(), prefix.encode().escape_ascii()),
        offset: 0,
        what: format!(
            "the catalogue names {expected} records of partition {}, the store has none",
            prefix.partition.0
        ),
    }
}
