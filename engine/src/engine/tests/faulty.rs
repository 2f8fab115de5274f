//! A store whose calls fail.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::store::kv::{Change, Cursor, Family, KeyRange, Kv, KvStats, Table, TableWriter};
use crate::store::memory::MemoryKv;
use crate::{Error, Result};

/// A store that refuses after a countdown, as a full disk would.
pub(super) struct FaultyKv {
    inner: Arc<MemoryKv>,
    pub(super) calls_left: AtomicI64,
    /// Whether what is refused is carried out all the same, as by a store that fails after it has written.
    pub(super) is_done: AtomicBool,
    /// A disk without room for tables, where all else fits.
    pub(super) is_full: AtomicBool,
}

impl FaultyKv {
    pub(super) fn over(inner: Arc<MemoryKv>) -> Arc<Self> {
        Arc::new(FaultyKv {
            inner,
            calls_left: AtomicI64::new(i64::MAX),
            is_done: AtomicBool::default(),
            is_full: AtomicBool::default(),
        })
    }

    fn step(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let is_good = self.calls_left.fetch_sub(1, Ordering::Relaxed) > 0;
        if is_good || self.is_done.load(Ordering::Relaxed) {
            work()?;
        }
        if is_good { Ok(()) } else { Err(Error::DiskFull { path: "test".into() }) }
    }
}

impl Kv for FaultyKv {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.inner.get(family, key)
    }

    fn cursor<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        self.inner.cursor(family)
    }

    fn table<'a>(&'a self, family: Family) -> Result<Box<dyn TableWriter + 'a>> {
        self.step(|| Ok(()))?;
        if self.is_full.load(Ordering::Relaxed) {
            return Err(Error::DiskFull { path: "test".into() });
        }
        self.inner.table(family)
    }

    fn ingest(&self, family: Family, tables: Vec<Table>) -> Result<()> {
        self.step(|| self.inner.ingest(family, tables))
    }

    fn commit(&self, changes: Vec<Change>) -> Result<()> {
        self.step(|| self.inner.commit(changes))
    }

    fn remove_ranges(&self, family: Family, ranges: Vec<KeyRange>) -> Result<()> {
        self.step(|| self.inner.remove_ranges(family, ranges))
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        self.inner.checkpoint(dir)
    }

    fn stats(&self) -> KvStats {
        self.inner.stats()
    }
}
