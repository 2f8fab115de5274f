//! A store whose calls fail.

use parking_lot::Mutex;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::store::kv::{Bulk, Change, Cursor, Family, KeyRange, Kv, KvStats, Removal, Table, TableWriter};
use crate::store::memory::MemoryKv;
use crate::{Error, Result};

/// A store that refuses after a countdown, as a full disk would.
pub(super) struct FaultyKv {
    inner: Arc<MemoryKv>,
    pub(super) calls_left: AtomicI64,
    /// Whether what is refused is carried out all the same, as by a store that fails after it has written.
    pub(super) is_done: AtomicBool,
    /// Whether each commit is refused, and nothing else.
    pub(super) refuses_commits: AtomicBool,
    /// A disk without room for tables, where all else fits.
    pub(super) is_full: AtomicBool,
    /// Keys with this prefix cannot be read.
    pub(super) broken: Mutex<Option<(Family, Vec<u8>)>>,
    /// In no family.
    pub(super) breaks_all: AtomicBool,
    /// How often reading them fails.
    pub(super) failures_left: AtomicI64,
    /// It fails for a reason that is no damage.
    pub(super) is_passing: AtomicBool,
    /// First and last keys of the tables of chunks that removals and settling rewrite.
    pub(super) tables: Mutex<Vec<KeyRange>>,
    /// How often records were rewritten.
    pub(super) rewritten_records: AtomicU64,
    /// What was settled.
    pub(super) settled: Mutex<Vec<KeyRange>>,
    /// The ranges of chunks that were removed, and how.
    pub(super) removals: Mutex<Vec<(Removal, KeyRange)>>,
    /// Why the store takes no change any more.
    pub(super) failure: OnceLock<String>,
    /// Called before each call is answered, except for calls that the hook makes.
    hook: Mutex<Option<Hook>>,
}

/// The calls that a hook sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Table,
    Cursor(Family),
}

type Hook = Box<dyn FnMut(Call) + Send>;

impl FaultyKv {
    pub(super) fn over(inner: Arc<MemoryKv>) -> Arc<Self> {
        Arc::new(FaultyKv {
            inner,
            calls_left: AtomicI64::new(i64::MAX),
            is_done: AtomicBool::default(),
            refuses_commits: AtomicBool::default(),
            is_full: AtomicBool::default(),
            broken: Mutex::default(),
            breaks_all: AtomicBool::default(),
            failures_left: AtomicI64::new(i64::MAX),
            is_passing: AtomicBool::default(),
            tables: Mutex::default(),
            rewritten_records: AtomicU64::new(0),
            settled: Mutex::default(),
            removals: Mutex::default(),
            failure: OnceLock::new(),
            hook: Mutex::default(),
        })
    }

    pub(super) fn set_hook(&self, hook: impl FnMut(Call) + Send + 'static) {
        *self.hook.lock() = Some(Box::new(hook));
    }

    fn tell(&self, call: Call) {
        let Some(mut hook) = self.hook.lock().take() else { return };
        hook(call);
        *self.hook.lock() = Some(hook);
    }

    pub(super) fn unhook(&self) {
        *self.hook.lock() = None;
    }

    fn check(&self, family: Family, key: &[u8]) -> Result<()> {
        match &*self.broken.lock() {
            Some((broken, prefix))
                if (*broken == family || self.breaks_all.load(Ordering::Relaxed))
                    && key.starts_with(prefix)
                    && self.failures_left.fetch_sub(1, Ordering::Relaxed) > 0 =>
            {
                if self.is_passing.load(Ordering::Relaxed) {
                    return Err(Error::Store { action: "read", message: "too many open files".to_owned() });
                }
                Err(Error::Corrupt {
                    file: "store/000001.sst".to_owned(),
                    offset: 0,
                    what: "block checksum".to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    fn step(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let is_good = self.calls_left.fetch_sub(1, Ordering::Relaxed) > 0;
        self.do_or_refuse(is_good, work)
    }

    fn do_or_refuse(&self, is_good: bool, work: impl FnOnce() -> Result<()>) -> Result<()> {
        if is_good || self.is_done.load(Ordering::Relaxed) {
            work()?;
        }
        if is_good { Ok(()) } else { Err(Error::DiskFull { path: "test".into() }) }
    }
}

/// A cursor that fails at unreadable keys.
struct BreakingCursor<'a> {
    inner: Box<dyn Cursor + 'a>,
    kv: &'a FaultyKv,
    family: Family,
}

impl BreakingCursor<'_> {
    fn check(&self) -> Result<()> {
        self.inner.entry().map_or(Ok(()), |(key, _)| self.kv.check(self.family, key))
    }
}

impl Cursor for BreakingCursor<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.inner.seek(key)?;
        self.check()
    }

    fn advance(&mut self) -> Result<()> {
        self.inner.advance()?;
        self.check()
    }

    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.inner.entry()
    }
}

impl Bulk for FaultyKv {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.check(family, key)?;
        self.inner.get(family, key)
    }

    fn cursor<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        self.tell(Call::Cursor(family));
        Box::new(BreakingCursor { inner: self.inner.cursor(family), kv: self, family })
    }

    fn table<'a>(&'a self, family: Family) -> Result<Box<dyn TableWriter + 'a>> {
        self.tell(Call::Table);
        self.step(|| Ok(()))?;
        if self.is_full.load(Ordering::Relaxed) {
            return Err(Error::DiskFull { path: "test".into() });
        }
        self.inner.table(family)
    }

    fn ingest(&self, family: Family, tables: Vec<Table>) -> Result<()> {
        self.step(|| self.inner.ingest(family, tables))
    }
}

impl Kv for FaultyKv {
    fn commit(&self, changes: Vec<Change>) -> Result<()> {
        if self.refuses_commits.load(Ordering::Relaxed) {
            return self.do_or_refuse(false, || self.inner.commit(changes));
        }
        self.step(|| self.inner.commit(changes))
    }

    fn remove_ranges(&self, family: Family, ranges: Vec<KeyRange>, removal: Removal) -> Result<()> {
        if family == Family::Chunks {
            self.removals.lock().extend(ranges.iter().map(|range| (removal, range.clone())));
        }
        self.step(|| self.inner.remove_ranges(family, ranges, removal))
    }

    fn rewritten(&self, family: Family, ranges: &[KeyRange]) -> Result<Vec<KeyRange>> {
        let is_touched = |(first, last): &&KeyRange| {
            family == Family::Chunks && ranges.iter().any(|(start, end)| first < end && start <= last)
        };
        Ok(self.tables.lock().iter().filter(is_touched).cloned().collect())
    }

    fn unsettled(&self, family: Family) -> Result<Vec<KeyRange>> {
        Ok(if family == Family::Chunks { self.tables.lock().clone() } else { Vec::new() })
    }

    fn settle(&self, _family: Family, spans: &[KeyRange]) -> Result<()> {
        self.settled.lock().extend_from_slice(spans);
        Ok(())
    }

    fn rewrite_records(&self) -> Result<()> {
        self.rewritten_records.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        self.inner.checkpoint(dir)
    }

    fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    fn stats(&self) -> KvStats {
        self.inner.stats()
    }
}
