//! The interface to the key-value store: all code above uses [`Kv`] or [`Bulk`] and never a type of the library below.
//!
//! The store keeps families of ordered keys (`family.rs`). Bulk data arrives only as finished, sorted tables, which are
//! ingested as a whole ([`Bulk::ingest`]). Small records about them are committed atomically ([`Kv::commit`]). Both are
//! durable when the call returns. Bulk data never overwrites keys: every flush and merge writes under a new prefix (see
//! `keys`), so the store has nothing to compact.

mod family;
pub mod guard;
pub mod manifest;
pub mod memory;
pub mod metered;
mod open;
#[cfg(feature = "rocksdb")]
pub mod rocks;

use std::path::Path;

pub use family::Family;
pub use open::{StoreSettings, open, supported};

use crate::{Error, Result};

/// One change of a [`Kv::commit`]: a key and its new value, or none to remove it.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// Plain figures about the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KvStats {
    /// Bytes of all tables on disk.
    pub table_bytes: u64,
    /// Number of tables.
    pub tables: u64,
    /// Bytes held by the block cache.
    pub cache_bytes: u64,
    /// Of these, bytes of blocks in use, which the cache cannot evict.
    pub cache_pinned_bytes: u64,
    /// Bytes held by indexes and filters outside the block cache, and write buffers.
    pub other_memory_bytes: u64,
}

/// Reads an ordered key-value store and writes tables into it, which is all that readers and the compactor do.
pub trait Bulk: Send + Sync {
    /// The value of `key`.
    ///
    /// # Errors
    /// The store could not be read, or a checksum failed.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// A cursor over `family` as it is now; later changes do not show.
    fn cursor<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a>;

    /// The same for one pass over much of it. What it reads does not displace the blocks of queries from the cache.
    fn scan<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        self.cursor(family)
    }

    /// The same, for reading all that rewriting tables would read: also keys that were removed and are still in a
    /// table, and, in a [`guard`], also what comes after a generation that is complete.
    fn probe<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        self.scan(family)
    }

    /// Reports that the value under `key`, which could be read, is damaged.
    fn note_damage(&self, _key: &[u8], _error: &Error) {}

    /// Starts a table for `family`. Nothing is visible before [`Bulk::ingest`].
    ///
    /// # Errors
    /// The table's file cannot be created.
    fn table<'a>(&'a self, family: Family) -> Result<Box<dyn TableWriter + 'a>>;

    /// Ingests finished tables, all of one family, atomically and durably.
    ///
    /// # Errors
    /// Nothing of the tables is visible after an error.
    fn ingest(&self, family: Family, tables: Vec<Table>) -> Result<()>;
}

/// An ordered key-value store.
pub trait Kv: Bulk {
    /// Applies changes to [`Family::Meta`], atomically and durably.
    ///
    /// # Errors
    /// After an error, either all of the changes are applied, now or later, or none: the next opening of the store
    /// finds one or the other (see `doubt`).
    fn commit(&self, changes: Vec<Change>) -> Result<()>;

    /// Removes the keys in each of the ranges, which do not overlap, and frees their space. They may reappear after a
    /// crash; the caller removes unknown ranges when it opens. Tables that also hold other keys are rewritten, once for
    /// all ranges in them: many ranges in one call cost far less than many calls.
    ///
    /// # Errors
    /// The store refused.
    fn remove_ranges(&self, family: Family, ranges: Vec<KeyRange>, removal: Removal) -> Result<()>;

    /// The first and last keys of the tables that removing all keys of `ranges` may rewrite: those that have other keys
    /// too, and all that overlap them, directly or through others. A table that cannot be read ends a removal, and with
    /// it all further changes.
    ///
    /// # Errors
    /// The store could not be read.
    fn rewritten(&self, _family: Family, _ranges: &[KeyRange]) -> Result<Vec<KeyRange>> {
        Ok(Vec::new())
    }

    /// The first and last keys of the tables of a family that [`Kv::settle`] may rewrite; none while few of them
    /// overlap.
    ///
    /// # Errors
    /// The store could not be read.
    fn unsettled(&self, _family: Family) -> Result<Vec<KeyRange>> {
        Ok(Vec::new())
    }

    /// Rewrites the tables of a family from the first key of each of these spans to its last, so that a read looks into
    /// fewer. A span begins and ends where no table overlaps it. A table that cannot be read ends it, and with it all
    /// further changes.
    ///
    /// # Errors
    /// The store is closed.
    fn settle(&self, _family: Family, _spans: &[KeyRange]) -> Result<()> {
        Ok(())
    }

    /// Rewrites the records of [`Kv::commit`], so that nothing of removed and replaced records stays on the disk.
    ///
    /// # Errors
    /// The store refused.
    fn rewrite_records(&self) -> Result<()> {
        Ok(())
    }

    /// Makes a consistent copy in `dir`, which must not exist.
    ///
    /// # Errors
    /// The copy could not be made; `dir` may hold a part of it.
    fn checkpoint(&self, dir: &Path) -> Result<()>;

    /// Closes the store: frees its files and memory. Calls that begin later return [`Error::Closed`];
    /// a cursor that is still held keeps the store open.
    fn close(&self) {}

    /// Why the store accepts no changes until it is reopened. Its data can still be read.
    fn failure(&self) -> Option<&str> {
        None
    }

    /// Current figures.
    fn stats(&self) -> KvStats;
}

/// Which keys [`Kv::remove_ranges`] removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// All keys.
    All,
    /// Only tables wholly inside a range: nothing is read, and no table is written.
    WholeTables,
}

/// The keys at or after the first and before the second.
pub type KeyRange = (Vec<u8>, Vec<u8>);

/// Iterates over the keys of one family in ascending order.
pub trait Cursor: Send {
    /// Moves to the first key at or after `key`.
    ///
    /// # Errors
    /// The store could not be read, or a checksum failed.
    fn seek(&mut self, key: &[u8]) -> Result<()>;

    /// Moves to the next key.
    ///
    /// # Errors
    /// The store could not be read, or a checksum failed.
    fn advance(&mut self) -> Result<()>;

    /// The current key and value; `None` past the end.
    fn entry(&self) -> Option<(&[u8], &[u8])>;

    /// Reports that the current value is damaged.
    fn note_damage(&self, _error: &Error) {}
}

/// Writes one table.
pub trait TableWriter: Send {
    /// Appends a pair; keys must ascend strictly.
    ///
    /// # Errors
    /// The file could not be written.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Bytes written so far, roughly.
    fn size_bytes(&self) -> u64;

    /// Completes the table.
    ///
    /// # Errors
    /// The file could not be written.
    fn finish(self: Box<Self>) -> Result<Table>;
}

/// A finished table that has not been ingested yet. Dropping it removes its file.
#[derive(Debug)]
pub enum Table {
    /// A file in the staging directory.
    File(StagedFile),
    /// Pairs in memory, for the in-memory store.
    Memory(Vec<(Vec<u8>, Vec<u8>)>),
}

/// A file that is removed when dropped, unless it was moved away before.
#[derive(Debug)]
pub struct StagedFile {
    path: std::path::PathBuf,
}

impl StagedFile {
    /// Takes ownership of the file at `path`.
    pub fn new(path: std::path::PathBuf) -> Self {
        StagedFile { path }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        // Ingestion moves the file away, so a file that is still here was not ingested.
        let _ = std::fs::remove_file(&self.path);
    }
}
