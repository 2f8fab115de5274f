//! A simulated store: commits are refused, done or not, or done later, and what was removed may come back with a crash.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::store::kv::{Bulk, Change, Cursor, Family, KeyRange, Kv, KvStats, Removal, Table, TableWriter};
use crate::store::memory::MemoryKv;
use crate::sync::turns::{self, Dice};
use crate::{Error, Result};

/// How a call that changes the store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Without effect.
    Before,
    /// After its effect.
    After,
    /// Its effect, if it was a commit, comes later or never.
    Uncertain,
    /// Without effect, and the store takes no change until it is opened again.
    ForGood,
}

/// Keys and values.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// What outlives the process.
#[derive(Debug)]
struct Kept {
    dice: Dice,
    pairs: Arc<MemoryKv>,
    /// A commit that was refused and may still be carried out.
    uncertain: Option<Vec<Change>>,
    /// What was removed since the start.
    removed: Vec<(Family, Pairs)>,
    copies: Vec<(PathBuf, MemoryKv)>,
    refusal: Option<(Refusal, u64)>,
    is_off: bool,
    refused: u64,
}

/// The store, as one process has it open.
pub(super) struct Store {
    kept: Arc<Mutex<Kept>>,
    pairs: Arc<MemoryKv>,
    has_failed: AtomicBool,
}

impl Store {
    pub(super) fn new(dice: Dice) -> Arc<Self> {
        let pairs = Arc::new(MemoryKv::default());
        let kept = Kept {
            dice,
            pairs: pairs.clone(),
            uncertain: None,
            removed: Vec::new(),
            copies: Vec::new(),
            refusal: None,
            is_off: false,
            refused: 0,
        };
        Arc::new(Store { kept: Arc::new(Mutex::new(kept)), pairs, has_failed: AtomicBool::default() })
    }

    /// What the next process finds.
    pub(super) fn reopened(&self) -> Arc<Self> {
        let mut kept = self.kept.lock();
        (kept.is_off, kept.refusal) = (false, None);
        if let Some(changes) = kept.uncertain.take()
            && kept.dice.once_in(2)
        {
            self.pairs.commit(changes).expect("memory takes it");
        }
        for (family, pairs) in std::mem::take(&mut kept.removed) {
            if kept.dice.once_in(3) {
                self.pairs.ingest(family, vec![Table::Memory(pairs)]).expect("memory takes it");
            }
        }
        Arc::new(Store {
            kept: self.kept.clone(),
            pairs: kept.pairs.clone(),
            has_failed: AtomicBool::default(),
        })
    }

    /// The change with this number from now on is refused.
    pub(super) fn refuse(&self, refusal: Refusal, after: u64) {
        self.kept.lock().refusal = Some((refusal, after));
    }

    pub(super) fn mend(&self) {
        self.kept.lock().refusal = None;
    }

    /// No call changes anything any more.
    pub(super) fn switch_off(&self) {
        self.kept.lock().is_off = true;
    }

    /// Changes that were refused so far.
    pub(super) fn refused(&self) -> u64 {
        self.kept.lock().refused
    }

    /// The copy that a snapshot has made.
    pub(super) fn copy_in(&self, dir: &Path) -> Option<MemoryKv> {
        let mut kept = self.kept.lock();
        let at = kept.copies.iter().position(|(place, _)| place == dir)?;
        Some(kept.copies.swap_remove(at).1)
    }

    fn step(&self, changes: Option<&[Change]>, work: impl FnOnce(&mut Kept) -> Result<()>) -> Result<()> {
        turns::point();
        let mut kept = self.kept.lock();
        let done = self.do_or_refuse(&mut kept, changes, work);
        drop(kept);
        turns::point();
        done
    }

    fn do_or_refuse(
        &self,
        kept: &mut Kept,
        changes: Option<&[Change]>,
        work: impl FnOnce(&mut Kept) -> Result<()>,
    ) -> Result<()> {
        // After a crash nothing that a thread drops has an effect.
        let is_off = kept.is_off || std::thread::panicking();
        if is_off || self.has_failed.load(Ordering::Relaxed) {
            return Err(Error::Store { action: "change the store", message: "it is off".to_owned() });
        }
        let met = match &mut kept.refusal {
            Some((refusal, 0)) => Some(*refusal),
            Some((_, after)) => {
                *after -= 1;
                None
            }
            None => None,
        };
        let Some(refusal) = met else {
            if let Some(uncertain) = changes.and_then(|_| kept.uncertain.take())
                && kept.dice.once_in(2)
            {
                self.pairs.commit(uncertain)?;
            }
            return work(kept);
        };
        (kept.refusal, kept.refused) = (None, kept.refused + 1);
        match refusal {
            Refusal::Before => {}
            Refusal::After => work(kept)?,
            Refusal::Uncertain => kept.uncertain = changes.map(<[Change]>::to_vec).or(kept.uncertain.take()),
            Refusal::ForGood => self.has_failed.store(true, Ordering::Relaxed),
        }
        Err(Error::DiskFull { path: "simulated".into() })
    }
}

struct Steps<'a>(Box<dyn Cursor + 'a>);

impl Cursor for Steps<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        turns::point();
        self.0.seek(key)
    }

    fn advance(&mut self) -> Result<()> {
        turns::point();
        self.0.advance()
    }

    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.0.entry()
    }
}

impl Bulk for Store {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        turns::point();
        self.pairs.get(family, key)
    }

    fn cursor<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        Box::new(Steps(self.pairs.cursor(family)))
    }

    fn table<'a>(&'a self, family: Family) -> Result<Box<dyn TableWriter + 'a>> {
        self.step(None, |_| Ok(()))?;
        self.pairs.table(family)
    }

    fn ingest(&self, family: Family, tables: Vec<Table>) -> Result<()> {
        self.step(None, |_| self.pairs.ingest(family, tables))
    }
}

impl Kv for Store {
    fn commit(&self, changes: Vec<Change>) -> Result<()> {
        self.step(Some(&changes), |_| self.pairs.commit(changes.clone()))
    }

    fn remove_ranges(&self, family: Family, ranges: Vec<KeyRange>, removal: Removal) -> Result<()> {
        self.step(None, |kept| {
            for range in &ranges {
                kept.removed.push((family, self.pairs.pairs(family, range)));
            }
            self.pairs.remove_ranges(family, ranges, removal)
        })
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        self.step(None, |kept| {
            kept.copies.retain(|(place, _)| place != dir);
            kept.copies.push((dir.to_owned(), self.pairs.copy()));
            Ok(())
        })
    }

    fn failure(&self) -> Option<&str> {
        self.has_failed.load(Ordering::Relaxed).then_some("simulated")
    }

    fn stats(&self) -> KvStats {
        KvStats::default()
    }
}
