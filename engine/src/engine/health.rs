//! Whether the open database accepts writes and can move them into the store.

use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::model::TimeRange;
use crate::sync::Mutex;
use crate::view::Damage;
use crate::wal::Wal;
use crate::{Error, Result};

/// The state of an open database. It is healthy if all fields are `None`, false or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Why writes are refused until the database is opened again: an fsync of the log or of the store has failed.
    pub refuses_writes: Option<String>,
    /// Why the last write to the log failed, unless a later one succeeded; the next one is attempted. `None` for a full
    /// disk.
    pub writes_fail: Option<String>,
    /// How long flushes have been failing, and the error of the last one. Acknowledged data remains in the log.
    pub flushes_fail: Option<(Duration, String)>,
    /// Whether the disk is full: writes are refused until there is space, and then resume without a restart.
    pub disk_full: bool,
    /// Damaged generations of the store: reads leave them out and report them, or are refused.
    pub damaged: Vec<Damage>,
}

/// Since when flushes have been failing, and the last error.
#[derive(Debug, Default)]
pub(super) struct Failing(Mutex<Option<(Instant, String)>>);

impl Failing {
    /// Records the result of a flush.
    pub(super) fn note<T>(&self, done: &Result<T>) {
        let mut failing = self.0.lock();
        match done {
            Ok(_) => *failing = None,
            Err(error) => {
                let since = failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
                *failing = Some((since, error.to_string()));
            }
        }
    }

    /// Whether the last flush failed.
    pub(super) fn is_any(&self) -> bool {
        self.0.lock().is_some()
    }

    pub(super) fn get(&self) -> Option<(Duration, String)> {
        self.0.lock().as_ref().map(|(since, why)| (since.elapsed(), why.clone()))
    }
}

impl Engine {
    /// The state of the open database. Takes a few short locks, so it can be called often.
    ///
    /// ```
    /// use barograph_engine::{Engine, Options};
    /// # fn main() -> barograph_engine::Result<()> {
    /// let engine = Engine::in_memory(Options::default())?;
    /// assert_eq!(engine.health(), Default::default());
    /// # Ok(()) }
    /// ```
    pub fn health(&self) -> Health {
        let shared = &self.shared;
        if let Err(forked) = shared.lifecycle.check_process() {
            return Health { refuses_writes: Some(forked.to_string()), ..Health::default() };
        }
        let log = shared.writer.log();
        let wal = log.map(Wal::stats).unwrap_or_default();
        let store =
            shared.versions.kv().failure().map(|reason| Error::Poisoned(reason.to_owned()).to_string());
        let poisoned =
            wal.poisoned.then(|| "writes are refused because an fsync of the log failed".to_owned());
        Health {
            refuses_writes: store.or(poisoned),
            writes_fail: log.and_then(Wal::failing).filter(|_| !wal.disk_full),
            flushes_fail: shared.flusher.failing(),
            disk_full: wal.disk_full,
            damaged: self.damage(TimeRange::ALL),
        }
    }

    /// The damaged generations set aside in the partitions of `range`, ascending by time: reads may miss samples there.
    pub fn damage(&self, range: TimeRange) -> Vec<Damage> {
        self.shared.versions.current().damage_in(range).map(|(_, damage)| damage).collect()
    }
}
