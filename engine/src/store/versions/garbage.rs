//! Removal of what no version names: replaced generations that no reader uses any more, and output that was written in
//! vain.

use crate::Result;
use crate::store::catalogue::Catalogue;
use crate::store::keys::Prefix;
use crate::store::kv::{Cursor, Family, KeyRange, Kv, Removal};
use crate::store::versions::Versions;

/// Families whose tables are large.
const BULK: [Family; 3] = [Family::Chunks, Family::Index, Family::Events];

impl Versions {
    /// Removes the ranges of generations that no reader uses any more.
    pub(crate) fn collect(&self) -> Result<()> {
        let dead = self.graveyard.take();
        fail_point!("bury.begun");
        let removed = self.remove_ranges(&dead);
        if !matches!(removed, Ok(Removal::All)) {
            self.graveyard.add(dead);
        }
        fail_point!("bury.done");
        removed.map(drop)
    }

    /// Removes output that no version names, but not what an uncertain commit may name after all. What cannot be
    /// removed now is removed by a later [`Versions::collect`].
    pub(crate) fn discard(&self, mut prefixes: Vec<Prefix>) {
        {
            let editing = self.editing.lock();
            prefixes.retain(|prefix| !editing.uncertain.names(*prefix));
        }
        match self.remove_ranges(&prefixes) {
            Ok(Removal::All) => return,
            Ok(Removal::WholeTables) => {}
            Err(error) => {
                tracing::warn!(%error, "unused output could not be removed; removal will be retried");
            }
        }
        self.graveyard.add(prefixes);
    }

    fn remove_ranges(&self, prefixes: &[Prefix]) -> Result<Removal> {
        let ranges: Vec<KeyRange> = prefixes.iter().map(Prefix::range).collect();
        let mut is_safe = true;
        for family in BULK {
            is_safe = is_safe && are_rewritable(&*self.kv, family, &ranges)?;
        }
        // Reading may have set a generation aside.
        let removal = if is_safe { removal(&self.current()) } else { Removal::WholeTables };
        for family in BULK {
            self.kv.remove_ranges(family, ranges.clone(), removal)?;
        }
        Ok(removal)
    }

    /// Rewrites tables where many overlap, unless one of them is damaged.
    pub(crate) fn settle_tables(&self) -> Result<()> {
        for family in BULK {
            let tables = self.kv.unsettled(family)?;
            let is_safe = !tables.is_empty() && are_readable(&*self.kv, family, tables)?;
            // Reading may have set a generation aside.
            if is_safe && removal(&self.current()) == Removal::All {
                self.kv.settle(family)?;
            }
        }
        Ok(())
    }
}

/// How to remove dead ranges. While a generation is set aside, no table is rewritten: the store would read damaged
/// blocks and then refuse all further changes.
pub(crate) fn removal(catalogue: &Catalogue) -> Removal {
    if catalogue.generations.totals().aside > 0 { Removal::WholeTables } else { Removal::All }
}

/// Whether all tables that removing ranges rewrites can be read. RocksDB accepts no change any more after it has met a
/// damaged block while it rewrites a table.
pub(crate) fn are_rewritable(kv: &dyn Kv, family: Family, ranges: &[KeyRange]) -> Result<bool> {
    are_readable(kv, family, kv.rewritten(family, ranges)?)
}

/// Whether tables with these first and last keys can be read.
fn are_readable(kv: &dyn Kv, family: Family, tables: Vec<KeyRange>) -> Result<bool> {
    for (first, last) in tables {
        if let Err(error) = read_through(&mut *kv.scan(family), &first, &last) {
            if !error.is_damage() {
                return Err(error);
            }
            tracing::warn!(%error, "a table cannot be read, so it is not rewritten");
            return Ok(false);
        }
    }
    Ok(true)
}

fn read_through(cursor: &mut dyn Cursor, first: &[u8], last: &[u8]) -> Result<()> {
    cursor.seek(first)?;
    while cursor.entry().is_some_and(|(key, _)| key <= last) {
        cursor.advance()?;
    }
    Ok(())
}
