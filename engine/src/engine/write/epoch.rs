//! Epochs: what a flush needs from the log and the head.
//!
//! A flush takes everything up to a record, the cut. The next epoch begins there: records after the cut define their
//! series again, so the log can drop everything before it once the flush is in the store.

use crate::Result;
use crate::engine::write::Writer;
use crate::head::Epoch;
use crate::head::pins::{Base, EpochStart};
use crate::store::versions::CommitContext;
use crate::wal::Wal;

/// The beginning of an epoch, and what the flush of everything before it needs to know.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Begun {
    pub epoch: Epoch,
    pub start: EpochStart,
    /// The beginning of the epoch being flushed.
    pub base: Base,
    /// Bytes of its samples.
    pub bytes: u64,
}

impl Writer {
    /// Begins an epoch: cuts the log and freezes everything before the cut. `None` if nothing was written since the
    /// last one began. Only one flush at a time calls this.
    ///
    /// # Errors
    /// Those of the log.
    pub fn begin_epoch(&self) -> Result<Option<Begun>> {
        let is_any = || {
            let commit = self.commit.lock();
            commit.first_append.is_some() || !commit.pending.is_empty()
        };
        if let Some(wal) = self.log.as_ref().filter(|_| is_any()) {
            // Changing to a new segment syncs the old one, and writers would wait for that. After this, little of it is
            // left.
            wal.settle()?;
        }
        let mut commit = self.commit.lock();
        // The cut divides the log: everything before it is in the head, and records after it define their series
        // again.
        self.settle_all(&mut commit);
        if commit.first_append.is_none() {
            return Ok(None);
        }
        let cut = match &self.log {
            Some(wal) => wal.rotate()?,
            None => commit.last_seq,
        };
        commit.epoch = Epoch { number: commit.epoch.number + 1, cut };
        commit.first_append = None;
        let head = self.applier.head();
        let base = head.pins.begin_epoch(&mut commit.turn, cut);
        head.events.freeze();
        // Samples kept for readers were flushed before; the flush lock prevents new ones.
        let bytes = head.unflushed_bytes();
        Ok(Some(Begun { epoch: commit.epoch, start: commit.turn.start(), base, bytes }))
    }

    /// Drops everything up to the cut from the log: it is in the store.
    ///
    /// # Errors
    /// Those of the log.
    pub fn truncate_to(&self, cut: u64) -> Result<()> {
        self.log.as_ref().map_or(Ok(()), |wal| wal.truncate_to(cut))
    }

    /// Removes series from the head that had no sample for this many flushes.
    pub fn retire_idle(&self, idle_flushes: u32) {
        // Only flushes change it, one at a time.
        let epoch = self.commit.lock().epoch;
        let head = self.applier.head();
        let retired = head.evict(|series| series.evict_if_idle(idle_flushes, epoch), || self.commit.lock());
        if retired > 0 {
            self.known.purge_dead();
            tracing::debug!(retired, "idle series left the head");
        }
    }
}

impl CommitContext for Writer {
    fn next_series(&self) -> u64 {
        self.applier.head().next_id()
    }

    fn sync_log(&self, seq: u64) -> Result<()> {
        match &self.log {
            Some(wal) if seq > wal.durable_seq() => Wal::settle(wal),
            _ => Ok(()),
        }
    }

    fn publish(&self, flushed_seq: u64, replace: &mut dyn FnMut()) {
        self.applier.head().pins.publish(flushed_seq, replace);
    }
}
