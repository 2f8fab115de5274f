//! The storage engine as a storage for scripts.
//!
//! Loaded samples are stored before the next query in one of four ways, in turn, so that queries read from every place
//! where samples can be: one generation of the store, several generations, the log after a crash, and a merge of late
//! samples with earlier ones. Each way ends with closing (or dropping) the database and reopening it.

use std::path::PathBuf;
use std::sync::Arc;

use barograph_engine::clock::SystemClock;
use barograph_engine::model::{Labels, Matcher, TimeRange, Timestamp, Value};
use barograph_engine::store::memory::MemoryKv;
use barograph_engine::{Batch, Durability, Engine, Options};
use barograph_query::source::SeriesSource;
use barograph_query::source::engine::EngineSource;

use crate::storage::{Sample, Storage};

/// Far from the times of every script: a sample here closes the earlier partitions, and closed partitions are merged.
const FAR_FUTURE: Timestamp = 4_500_000_000_000_000_000;

/// How samples reach the place where queries read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// One flush, merged.
    Merged,
    /// Two flushes, the second of later samples.
    TwoGenerations,
    /// Later samples only in the log, from which opening reads them.
    Replayed,
    /// Every second sample arrives late, after a flush of the others; then a merge.
    LateMerged,
}

impl Way {
    fn next(self) -> Way {
        match self {
            Way::Merged => Way::TwoGenerations,
            Way::TwoGenerations => Way::Replayed,
            Way::Replayed => Way::LateMerged,
            Way::LateMerged => Way::Merged,
        }
    }

    /// Whether sample `at` of `len` is written before the first flush.
    fn is_first(self, at: usize, len: usize) -> bool {
        match self {
            Way::Merged => true,
            Way::TwoGenerations | Way::Replayed => at * 2 < len,
            Way::LateMerged => at % 2 == 1,
        }
    }
}

/// A [`Storage`] over [`Engine`].
pub struct EngineStorage {
    root: tempfile::TempDir,
    /// The store of a database without a store on disk.
    store: Option<Arc<MemoryKv>>,
    engine: Option<Engine>,
    /// Counts databases, each in its own directory.
    number: u64,
    way: Way,
    /// Samples that are loaded but not written yet.
    pending: Vec<(Labels, Vec<Sample>)>,
    is_changed: bool,
}

impl EngineStorage {
    /// Databases in a temporary directory, as a server has them.
    ///
    /// # Errors
    /// The directory or the database cannot be created.
    #[cfg(feature = "rocksdb")]
    pub fn on_disk() -> Result<EngineStorage, String> {
        Self::new(None)
    }

    /// Databases with a log on disk and a store in memory.
    ///
    /// # Errors
    /// The directory or the database cannot be created.
    pub fn with_store_in_memory() -> Result<EngineStorage, String> {
        Self::new(Some(Arc::default()))
    }

    fn new(store: Option<Arc<MemoryKv>>) -> Result<EngineStorage, String> {
        let root = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut storage = EngineStorage {
            root,
            store,
            engine: None,
            number: 0,
            way: Way::Merged,
            pending: Vec::new(),
            is_changed: false,
        };
        storage.open()?;
        Ok(storage)
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join(self.number.to_string())
    }

    fn open(&mut self) -> Result<(), String> {
        let options = Options::default()
            .with_background(false)
            .with_durability(Durability::Off)
            .with_memory_bytes(64 << 20)
            .with_wal_segment_bytes(1 << 20)
            .with_wal_reserve_bytes(0);
        let dir = self.dir();
        let opened = match &self.store {
            Some(store) => Engine::open_over(&dir, store.clone(), options, Arc::new(SystemClock)),
            #[cfg(feature = "rocksdb")]
            None => Engine::open(&dir, options),
            #[cfg(not(feature = "rocksdb"))]
            None => return Err("this build has no store on disk".to_owned()),
        };
        self.engine = Some(opened.map_err(|e| format!("{}: {e}", dir.display()))?);
        Ok(())
    }

    fn engine(&self) -> Result<&Engine, String> {
        self.engine.as_ref().ok_or_else(|| "the database did not open".to_owned())
    }

    /// Writes the loaded samples, in the next way.
    fn write(&mut self) -> Result<(), String> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        self.is_changed = true;
        let way = self.way;
        let engine = self.engine()?;
        for is_first in [true, false] {
            let mut batch = Batch::new();
            for (labels, samples) in &pending {
                let chosen =
                    samples.iter().enumerate().filter(|(at, _)| way.is_first(*at, samples.len()) == is_first);
                for (_, s) in chosen {
                    batch.push_started(labels, s.timestamp, s.start_timestamp, s.value.clone());
                }
            }
            engine.append(&batch).map_err(|e| e.to_string())?;
            if is_first {
                engine.flush().map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }

    /// Moves everything written to its place, and reopens the database.
    fn settle(&mut self) -> Result<(), String> {
        self.write()?;
        if !std::mem::take(&mut self.is_changed) {
            return Ok(());
        }
        if matches!(self.way, Way::Merged | Way::LateMerged) {
            let labels = Labels::from_pairs([("__name__", "far_future")]).map_err(|e| e.to_string())?;
            let mut batch = Batch::new();
            batch.push(&labels, FAR_FUTURE, Value::Float(0.0));
            let engine = self.engine()?;
            let merged = engine.append(&batch).and_then(|_| engine.flush()).and_then(|_| engine.compact());
            merged.map_err(|e| e.to_string())?;
        }
        if self.way != Way::Replayed {
            self.engine()?.close().map_err(|e| e.to_string())?;
        }
        self.way = self.way.next();
        self.engine = None;
        self.open()
    }
}

impl Storage for EngineStorage {
    fn clear(&mut self) -> Result<(), String> {
        self.pending.clear();
        self.engine = None;
        let _ = std::fs::remove_dir_all(self.dir());
        self.number += 1;
        self.store = self.store.take().map(|_| Arc::default());
        self.is_changed = false;
        self.open()
    }

    fn append(&mut self, labels: &Labels, samples: &[Sample]) -> Result<(), String> {
        self.pending.push((labels.clone(), samples.to_vec()));
        Ok(())
    }

    fn delete(&mut self, matchers: &[Matcher], range: TimeRange) -> Result<(), String> {
        self.write()?;
        self.is_changed = true;
        self.engine()?.delete(matchers, range).map_err(|e| e.to_string())?;
        Ok(())
    }

    fn with_source(&mut self, read: &mut dyn FnMut(&dyn SeriesSource)) -> Result<(), String> {
        self.settle()?;
        read(&EngineSource::new(self.engine()?.view()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Script, run};

    #[test]
    fn every_way_gives_the_same_samples() {
        const ONCE: &str = "
            clear

            load 1m
              h@st -1s 0s _ _ -2s
              h {{schema:0 count:1 buckets:[1]}} 2 {{schema:0 count:3 buckets:[3]}} 4 5

            eval range from 0 to 4m step 1m h
              h {{schema:0 count:1 buckets:[1]}} 2 {{schema:0 count:3 buckets:[3]}} 4 5

            delete from 0 to 2m h

            eval range from 0 to 4m step 1m h
              h {{schema:0 count:1 buckets:[1]}}x2 4 5
        ";
        let script = format!("{ONCE}\n").repeat(4);
        let report =
            run(&Script::parse(&script).unwrap(), &mut EngineStorage::with_store_in_memory().unwrap());
        assert!(report.is_green(), "{report}");
        assert_eq!(report.total, 8);
    }

    #[test]
    fn samples_that_the_engine_refuses_end_the_script() {
        let script = Script::parse("load 1m\n  h {{schema:0 count:-1}}\n\neval instant at 0 h\n").unwrap();
        let report = run(&script, &mut EngineStorage::with_store_in_memory().unwrap());
        assert!(report.broken.is_some_and(|reason| reason.contains("the count is -1")));
    }
}
