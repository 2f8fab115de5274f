//! Compares the contents of the store with the catalogue when a database is opened: one pass over each family that
//! skips the keys of each prefix.

use std::collections::BTreeMap;

use crate::store::catalogue::{Catalogue, GenerationRecord};
use crate::store::keys::{Prefix, successor};
use crate::store::kv::{Bulk, Cursor, Family};
use crate::store::versions::log_aside;
use crate::{Error, Result};

/// Maximum keys of one prefix that are read one by one before the next prefix is searched for: small generations have
/// few.
const STEPS_MAX: usize = 8;

/// The differences between store and catalogue.
#[derive(Debug, Default)]
pub(in crate::engine) struct Inventory {
    /// For each family, the prefixes that the catalogue does not name.
    pub leftovers: Vec<(Family, Vec<Prefix>)>,
    /// Generations whose first keys cannot be read, or that have nothing in a family in which the catalogue counts
    /// records: the store may have lost a table, and queries would silently miss samples. (`verify` compares every
    /// count and checksum.)
    pub damaged: BTreeMap<Prefix, Error>,
    /// Something could not be read, and may belong to leftovers.
    pub is_incomplete: bool,
}

impl Inventory {
    /// Takes the inventory.
    ///
    /// # Errors
    /// A key has an unknown form, or the store cannot be read for a reason other than damage.
    pub(in crate::engine) fn take(kv: &dyn Bulk, catalogue: &Catalogue) -> Result<Self> {
        let mut named: Vec<(Prefix, GenerationRecord)> =
            catalogue.generations.iter().map(|g| (g.prefix, g.record)).collect();
        named.sort_unstable_by_key(|(prefix, _)| *prefix);
        let mut inventory = Inventory::default();
        for family in Family::BULK {
            inventory.compare(kv, family, named.iter().map(|(p, record)| (*p, record.keys_in(family))))?;
        }
        Ok(inventory)
    }

    /// Sets the damaged generations of `catalogue` aside; with `refuses`, fails instead.
    ///
    /// # Errors
    /// The first damage, with `refuses`.
    pub(in crate::engine) fn set_aside(&mut self, catalogue: &mut Catalogue, refuses: bool) -> Result<()> {
        for (prefix, error) in std::mem::take(&mut self.damaged) {
            if refuses {
                return Err(error);
            }
            let why = error.to_string();
            log_aside(prefix, &why);
            catalogue.generations.set_aside(prefix, why);
        }
        Ok(())
    }

    fn compare(
        &mut self,
        kv: &dyn Bulk,
        family: Family,
        named: impl Iterator<Item = (Prefix, u64)>,
    ) -> Result<()> {
        let mut walk = PrefixWalk::new(kv, family)?;
        let mut leftovers = Vec::new();
        for (prefix, expected) in named {
            if let Err(error) = walk.reach(prefix, &mut leftovers) {
                if !error.is_damage() {
                    return Err(error);
                }
                self.damaged.entry(prefix).or_insert(error);
            } else if walk.at == Some(prefix) {
                walk.pass()?;
            } else if expected > 0 {
                self.damaged.entry(prefix).or_insert_with(|| missing(family, prefix, expected));
            }
        }
        while let Some(leftover) = walk.at {
            leftovers.push(leftover);
            walk.pass()?;
        }
        self.is_incomplete |= walk.was_lost;
        if !leftovers.is_empty() {
            self.leftovers.push((family, leftovers));
        }
        Ok(())
    }
}

/// Walks from prefix to prefix.
struct PrefixWalk<'a> {
    cursor: Box<dyn Cursor + 'a>,
    family: Family,
    /// The current prefix.
    at: Option<Prefix>,
    /// The store cannot be read at this position: the next prefix must be searched for.
    is_lost: bool,
    /// That was so before.
    was_lost: bool,
}

impl<'a> PrefixWalk<'a> {
    fn new(kv: &'a dyn Bulk, family: Family) -> Result<Self> {
        let mut walk =
            PrefixWalk { cursor: kv.cursor(family), family, at: None, is_lost: false, was_lost: false };
        walk.is_lost = is_lost(walk.cursor.seek(&[]))?;
        walk.was_lost = walk.is_lost;
        walk.at = walk.here()?;
        Ok(walk)
    }

    /// Advances to `prefix`, or past it if it has no keys.
    fn reach(&mut self, prefix: Prefix, leftovers: &mut Vec<Prefix>) -> Result<()> {
        while let Some(leftover) = self.at.filter(|at| *at < prefix) {
            leftovers.push(leftover);
            self.pass()?;
        }
        if self.is_lost {
            self.cursor.seek(&prefix.encode())?;
            self.is_lost = false;
            self.at = self.here()?;
        }
        Ok(())
    }

    /// Advances to the first key after the current prefix. If the store cannot be read there, the position is lost:
    /// whether the keys that follow are damaged too shows when they are searched for.
    fn pass(&mut self) -> Result<()> {
        let passed = self.at.take();
        for step in 1.. {
            let moved = match passed {
                Some(passed) if step == STEPS_MAX => self.cursor.seek(&successor(&passed.encode())),
                _ => self.cursor.advance(),
            };
            self.is_lost = is_lost(moved)?;
            self.was_lost |= self.is_lost;
            if self.is_lost {
                return Ok(());
            }
            let here = self.here()?;
            if here.is_none() || here != passed {
                self.at = here;
                return Ok(());
            }
        }
        Ok(())
    }

    fn here(&self) -> Result<Option<Prefix>> {
        let Some((key, _)) = self.cursor.entry() else { return Ok(None) };
        let short = || Error::Corrupt {
            file: format!("{}/{}", self.family.name(), key.escape_ascii()),
            offset: 0,
            what: "key shorter than a prefix".to_owned(),
        };
        Prefix::decode(key).ok_or_else(short).map(Some)
    }
}

/// Whether a move met damage.
fn is_lost(moved: Result<()>) -> Result<bool> {
    match moved {
        Ok(()) => Ok(false),
        Err(error) if error.is_damage() => Ok(true),
        Err(error) => Err(error),
    }
}

fn missing(family: Family, prefix: Prefix, expected: u64) -> Error {
    Error::Corrupt {
        file: format!("{}/{}", family.name(), prefix.encode().escape_ascii()),
        offset: 0,
        what: format!(
            "the catalogue names {expected} records of partition {}, the store has none",
            prefix.partition
        ),
    }
}
