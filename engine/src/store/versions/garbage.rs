//! Removal of what no version names: replaced generations that no reader uses any more, and output that turned out not
//! to be needed.
//!
//! A table that also has other keys is rewritten. After RocksDB has met a damaged block while it rewrites tables, it
//! accepts no further changes. So tables are read first, with all that may be rewritten together with them, and are
//! left alone if one of them is damaged. Damage elsewhere changes nothing.

use crate::Result;
use crate::model::TimeRange;
use crate::store::catalogue::Catalogue;
use crate::store::keys::Prefix;
use crate::store::kv::{Cursor, Family, KeyRange, Kv, Removal};
use crate::store::versions::Versions;

impl Versions {
    /// Removes the ranges of generations that no reader uses any more.
    pub(crate) fn collect(&self) -> Result<()> {
        let dead = self.obsolete.take();
        fail_point!("bury.begun");
        let removed = remove_ranges(&*self.kv, &self.current_owned(), &Family::BULK, &dead);
        let (stay, done) = match removed {
            Ok(stay) => (stay, Ok(())),
            Err(error) => (dead, Err(error)),
        };
        self.obsolete.add(stay);
        fail_point!("bury.done");
        done
    }

    /// Removes output that no version names, but not what an uncertain commit may name after all. What cannot be
    /// removed now is removed by a later [`Versions::collect`].
    pub(crate) fn discard(&self, mut prefixes: Vec<Prefix>) {
        {
            let editing = self.editing.lock();
            prefixes.retain(|prefix| !editing.uncertain.names(*prefix));
        }
        let stay = remove_ranges(&*self.kv, &self.current_owned(), &Family::BULK, &prefixes);
        self.obsolete.add(stay.unwrap_or_else(|error| {
            tracing::warn!(%error, "unused output could not be removed; removal will be retried");
            prefixes
        }));
    }

    /// Rewrites tables where so many overlap, unless they are damaged.
    pub(crate) fn settle_tables(&self, overlapping_min: usize) -> Result<()> {
        for family in Family::BULK {
            let mut overlaps = overlaps(self.kv.unsettled(family)?);
            overlaps.retain(|span| span.overlapping >= overlapping_min);
            let damaged = damaged(&*self.kv, &self.current_owned(), family, &overlaps)?;
            overlaps.retain(|span| !damaged.contains(&span.keys));
            if !overlaps.is_empty() {
                self.kv.settle(family, &overlaps.into_iter().map(|span| span.keys).collect::<Vec<_>>())?;
            }
        }
        Ok(())
    }
}

/// Removes the ranges of prefixes that `catalogue` does not name. Returns those of which something may stay, because a
/// table that also has other keys cannot be rewritten.
///
/// # Errors
/// The store failed; something may be removed.
pub(crate) fn remove_ranges(
    kv: &dyn Kv,
    catalogue: &Catalogue,
    families: &[Family],
    prefixes: &[Prefix],
) -> Result<Vec<Prefix>> {
    if prefixes.is_empty() {
        return Ok(Vec::new());
    }
    let ranges: Vec<KeyRange> = prefixes.iter().map(Prefix::range).collect();
    let mut stays = vec![false; ranges.len()];
    for &family in families {
        let overlaps = overlaps(kv.rewritten(family, &ranges)?);
        let damaged = damaged(kv, catalogue, family, &overlaps)?;
        for (stays, (start, end)) in stays.iter_mut().zip(&ranges) {
            *stays |= damaged.iter().any(|(first, last)| first < end && start <= last);
        }
    }
    let those = |is_staying: bool| {
        let chosen = ranges.iter().zip(&stays).filter(move |(_, stays)| **stays == is_staying);
        chosen.map(|(range, _)| range.clone()).collect::<Vec<_>>()
    };
    for &family in families {
        kv.remove_ranges(family, those(true), Removal::WholeTables)?;
        kv.remove_ranges(family, those(false), Removal::All)?;
    }
    Ok(prefixes.iter().zip(stays).filter(|(_, stays)| *stays).map(|(prefix, _)| *prefix).collect())
}

/// Tables that overlap each other, directly or through others.
struct Overlap {
    /// The first key of the first and the last key of the last.
    keys: KeyRange,
    /// The most tables that may have one key.
    overlapping: usize,
}

/// The overlaps of tables with these first and last keys.
fn overlaps(mut tables: Vec<KeyRange>) -> Vec<Overlap> {
    tables.sort_unstable();
    let mut overlaps: Vec<Overlap> = Vec::new();
    // The last keys of those tables of the current span that reach the current one.
    let mut open: Vec<Vec<u8>> = Vec::new();
    for (first, last) in tables {
        open.retain(|end| *end >= first);
        open.push(last.clone());
        match overlaps.last_mut().filter(|_| open.len() > 1) {
            Some(span) => {
                span.overlapping = span.overlapping.max(open.len());
                span.keys.1 = last.max(std::mem::take(&mut span.keys.1));
            }
            None => overlaps.push(Overlap { keys: (first, last), overlapping: 1 }),
        }
    }
    overlaps
}

/// The overlaps that must not be rewritten: those in which a generation is set aside, and those that cannot be read.
///
/// # Errors
/// A span cannot be read for a reason other than damage.
fn damaged(
    kv: &dyn Kv,
    catalogue: &Catalogue,
    family: Family,
    overlaps: &[Overlap],
) -> Result<Vec<KeyRange>> {
    let aside: Vec<KeyRange> =
        catalogue.damage_in(TimeRange::ALL).map(|(prefix, _)| prefix.range()).collect();
    let mut damaged = Vec::new();
    for Overlap { keys, .. } in overlaps {
        let (first, last) = keys;
        if aside.iter().any(|(start, end)| first < end && start <= last) {
            damaged.push(keys.clone());
        } else if let Err(error) = read_through(&mut *kv.probe(family), first, last) {
            if !error.is_damage() {
                return Err(error);
            }
            tracing::warn!(%error, "tables that cannot be read are not rewritten");
            damaged.push(keys.clone());
        }
    }
    Ok(damaged)
}

fn read_through(cursor: &mut dyn Cursor, first: &[u8], last: &[u8]) -> Result<()> {
    cursor.seek(first)?;
    while cursor.entry().is_some_and(|(key, _)| key <= last) {
        cursor.advance()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_of_tables_that_overlap() {
        let tables = [(0, 10), (5, 6), (6, 7), (10, 12), (13, 20), (30, 40), (31, 32)];
        let found = overlaps(tables.map(|(first, last)| (vec![first], vec![last])).into());
        let found: Vec<_> =
            found.iter().map(|span| (span.keys.0[0], span.keys.1[0], span.overlapping)).collect();
        assert_eq!(found, [(0, 12, 3), (13, 20, 1), (30, 40, 2)]);
    }
}
