//! Reads again what could not be read, and asks whose data is lost.
//!
//! A read may fail once, because of a cable or a controller, and succeed the next time. So each failed read is
//! repeated, and only what fails twice is damage. The [`Judge`] then decides which generation it concerns.
//!
//! A block that cannot be read may hold the last keys of one generation and the first ones of the next. If the judge
//! knows that a generation is complete before the block, reading it ends there without an error.

use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};

use crate::store::kv::{Bulk, Change, Cursor, Family, KeyRange, Kv, KvStats, Removal, Table, TableWriter};
use crate::{Error, Result};

/// What an unreadable place means for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that it reads comes before the place.
    Complete,
    /// It cannot be read completely.
    Damaged,
}

/// Decides which generation is damaged.
pub trait Judge: Send + Sync {
    /// A read failed twice. `key` is the key that was searched for, or the last one that could be read. `store` can be
    /// read without asking the judge again.
    fn unreadable(&self, store: &dyn Bulk, family: Family, key: &[u8], error: &Error) -> Verdict;

    /// A value was read, and its content is damaged.
    fn damaged(&self, key: &[u8], error: &Error);
}

/// A store whose damage is judged.
pub struct GuardedKv {
    inner: Arc<dyn Kv>,
    judge: OnceLock<Weak<dyn Judge>>,
}

impl GuardedKv {
    /// Without a judge, what fails twice is an error.
    pub fn new(inner: Arc<dyn Kv>) -> Arc<Self> {
        Arc::new(GuardedKv { inner, judge: OnceLock::new() })
    }

    /// Appoints the judge; the first one stays.
    pub fn appoint(&self, judge: Weak<dyn Judge>) {
        let _ = self.judge.set(judge);
    }

    fn judge(&self) -> Option<Arc<dyn Judge>> {
        self.judge.get()?.upgrade()
    }

    /// Runs `read`, a second time if the first try meets damage. `None`: there is nothing more to read.
    fn twice<T>(
        &self,
        (family, reach): (Family, Reach),
        key: &[u8],
        mut read: impl FnMut() -> Result<T>,
    ) -> Result<Option<T>> {
        if let Ok(found) = read() {
            return Ok(Some(found));
        }
        match read() {
            Ok(found) => Ok(Some(found)),
            Err(error) => self.failed((family, reach), key, error).map(|()| None),
        }
    }

    fn failed(&self, (family, reach): (Family, Reach), key: &[u8], error: Error) -> Result<()> {
        if !error.is_damage() || family == Family::Meta {
            return Err(error);
        }
        match self.judge().map(|judge| judge.unreadable(&*self.inner, family, key, &error)) {
            Some(Verdict::Complete) if reach == Reach::Generation => Ok(()),
            _ => Err(error),
        }
    }

    fn guarded<'a>(
        &'a self,
        family: Family,
        inner: Box<dyn Cursor + 'a>,
        reach: Reach,
    ) -> Box<dyn Cursor + 'a> {
        let (last, steps, is_over) = (Vec::new(), 0, false);
        Box::new(GuardedCursor { guard: self, family, inner, reach, last, steps, is_over })
    }
}

impl Bulk for GuardedKv {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.twice((family, Reach::Generation), key, || self.inner.get(family, key)).map(Option::flatten)
    }

    fn cursor<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        self.guarded(family, self.inner.cursor(family), Reach::Generation)
    }

    fn scan<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        self.guarded(family, self.inner.scan(family), Reach::Generation)
    }

    fn probe<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        self.guarded(family, self.inner.probe(family), Reach::All)
    }

    fn note_damage(&self, key: &[u8], error: &Error) {
        if let Some(judge) = self.judge() {
            judge.damaged(key, error);
        }
    }

    fn table<'a>(&'a self, family: Family) -> Result<Box<dyn TableWriter + 'a>> {
        self.inner.table(family)
    }

    fn ingest(&self, family: Family, tables: Vec<Table>) -> Result<()> {
        self.inner.ingest(family, tables)
    }
}

impl Kv for GuardedKv {
    fn commit(&self, changes: Vec<Change>) -> Result<()> {
        self.inner.commit(changes)
    }

    fn rewritten(&self, family: Family, ranges: &[KeyRange]) -> Result<Vec<KeyRange>> {
        self.inner.rewritten(family, ranges)
    }

    fn remove_ranges(&self, family: Family, ranges: Vec<KeyRange>, removal: Removal) -> Result<()> {
        self.inner.remove_ranges(family, ranges, removal)
    }

    fn unsettled(&self, family: Family) -> Result<Vec<KeyRange>> {
        self.inner.unsettled(family)
    }

    fn settle(&self, family: Family, spans: &[KeyRange]) -> Result<()> {
        self.inner.settle(family, spans)
    }

    fn rewrite_records(&self) -> Result<()> {
        self.inner.rewrite_records()
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        self.inner.checkpoint(dir)
    }

    fn close(&self) {
        self.inner.close();
    }

    fn failure(&self) -> Option<&str> {
        self.inner.failure()
    }

    fn stats(&self) -> KvStats {
        self.inner.stats()
    }
}

/// Steps between two keys that a cursor remembers: to copy each would cost more than the step.
const STEPS_MAX: usize = 64;

/// How far a cursor is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// To the end of a generation: what follows is of no interest.
    Generation,
    /// As far as there are keys.
    All,
}

struct GuardedCursor<'a> {
    guard: &'a GuardedKv,
    family: Family,
    inner: Box<dyn Cursor + 'a>,
    reach: Reach,
    /// Where it was, and how many steps ago.
    last: Vec<u8>,
    steps: usize,
    /// What follows cannot be read and does not belong to the generation that is being read.
    is_over: bool,
}

impl GuardedCursor<'_> {
    fn remember(&mut self) {
        if let Some((key, _)) = self.inner.entry() {
            self.last.clear();
            self.last.extend_from_slice(key);
            self.steps = 0;
        }
    }

    /// Goes back to the entry before the step that failed.
    fn go_back(&mut self) -> Result<()> {
        self.inner.seek(&self.last)?;
        (0..self.steps).try_for_each(|_| self.inner.advance())
    }

    /// Repeats a step that failed.
    #[cold]
    fn advance_again(&mut self) -> Result<()> {
        let moved = self.go_back().and_then(|()| {
            self.remember();
            self.inner.advance()
        });
        match moved {
            Ok(()) => self.steps += 1,
            Err(error) => {
                self.guard.failed((self.family, self.reach), &self.last, error)?;
                self.is_over = true;
            }
        }
        Ok(())
    }
}

impl Cursor for GuardedCursor<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        let GuardedCursor { guard, family, reach, inner, .. } = self;
        self.is_over = guard.twice((*family, *reach), key, || inner.seek(key))?.is_none();
        self.last.clear();
        self.last.extend_from_slice(key);
        self.steps = 0;
        Ok(())
    }

    fn advance(&mut self) -> Result<()> {
        if self.is_over {
            return Ok(());
        }
        if self.steps >= STEPS_MAX {
            self.remember();
        }
        match self.inner.advance() {
            Ok(()) => self.steps += 1,
            Err(_) => self.advance_again()?,
        }
        Ok(())
    }

    fn entry(&self) -> Option<(&[u8], &[u8])> {
        if self.is_over { None } else { self.inner.entry() }
    }

    fn note_damage(&self, error: &Error) {
        if let Some((key, _)) = self.entry() {
            self.guard.note_damage(key, error);
        }
    }
}
