//! Generations in use: the expected contents of each, and the keys of those that have left the catalogue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bincode::{Decode, Encode};

use crate::model::Timestamp;
use crate::store::keys::Prefix;
use crate::sync::{Condvar, Mutex};

/// The expected contents of one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct GenerationRecord {
    /// Every sample in it has a WAL sequence at or below this one.
    pub cut: u64,
    /// Deletes up to this sequence were applied when it was written.
    pub deletes_applied: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// Number of samples.
    pub samples: u64,
    /// Number of series records.
    pub series: u64,
    /// Number of events.
    pub events: u64,
    /// Sum of the CRC-32 of all chunk values, wrapping.
    pub crc_sum: u64,
    /// Bytes of chunk values.
    pub bytes: u64,
    /// Smallest timestamp.
    pub first: Timestamp,
    /// Largest timestamp.
    pub last: Timestamp,
    /// Whether a merge wrote it.
    pub merged: bool,
}

impl GenerationRecord {
    /// Deletes up to this sequence are applied to it, or precede all of its samples (C2).
    pub fn applied(&self) -> u64 {
        self.cut.max(self.deletes_applied)
    }
}

/// Collects the prefixes of generations that have left the catalogue and are no longer read, until their ranges are
/// removed.
#[derive(Debug, Default)]
pub struct Obsolete {
    inner: Mutex<ObsoletePrefixes>,
    /// Signalled when a generation is released.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct ObsoletePrefixes {
    prefixes: Vec<Prefix>,
    bytes: u64,
    /// Generations that have left the catalogue and are still being read.
    held: u64,
    /// The number of those that are no longer read.
    released: u64,
}

impl Obsolete {
    /// Returns all prefixes whose ranges can be removed now, and forgets them.
    pub fn take(&self) -> Vec<Prefix> {
        let mut inner = self.inner.lock();
        inner.bytes = 0;
        std::mem::take(&mut inner.prefixes)
    }

    /// Adds prefixes under which nothing is named or read.
    pub fn add(&self, prefixes: Vec<Prefix>) {
        self.inner.lock().prefixes.extend(prefixes);
    }

    /// Number of generations that have left the catalogue and are still being read.
    pub fn held(&self) -> u64 {
        self.inner.lock().held
    }

    /// Waits until a generation is released, at most until `end`. Does not wait if none is being read.
    pub fn wait_for_release(&self, end: Instant) {
        let mut inner = self.inner.lock();
        let before = inner.released;
        while inner.held > 0 && inner.released == before {
            if self.changed.wait_until(&mut inner, end).timed_out() {
                return;
            }
        }
    }

    /// Whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.inner.lock().prefixes.is_empty()
    }

    /// Bytes of chunk values of the generations added since the last [`Obsolete::take`]. Those returned with
    /// [`Obsolete::add`] could not be removed, and do not make another attempt more urgent.
    pub fn bytes(&self) -> u64 {
        self.inner.lock().bytes
    }
}

/// A generation that views may hold. When it has left the catalogue and the last view releases it, its prefix becomes
/// obsolete.
#[derive(Debug)]
pub struct Generation {
    /// The prefix of its keys.
    pub prefix: Prefix,
    /// Its expected contents.
    pub record: GenerationRecord,
    keys: Arc<Keys>,
}

/// The keys of a generation: needed while a reader holds it, under this record or another.
#[derive(Debug)]
struct Keys {
    prefix: Prefix,
    bytes: u64,
    is_obsolete: AtomicBool,
    obsolete: Arc<Obsolete>,
}

impl Generation {
    /// A generation that is, or is about to be, in the catalogue.
    pub fn new(prefix: Prefix, record: GenerationRecord, obsolete: &Arc<Obsolete>) -> Arc<Self> {
        let keys = Keys {
            prefix,
            bytes: record.bytes,
            is_obsolete: AtomicBool::new(false),
            obsolete: obsolete.clone(),
        };
        Arc::new(Generation { prefix, record, keys: Arc::new(keys) })
    }

    /// The same keys with another record.
    pub(crate) fn with_record(&self, record: GenerationRecord) -> Arc<Self> {
        Arc::new(Generation { prefix: self.prefix, record, keys: self.keys.clone() })
    }

    /// Marks it as having left the catalogue.
    pub fn mark_obsolete(&self) {
        let mut inner = self.keys.obsolete.inner.lock();
        if !self.keys.is_obsolete.swap(true, Ordering::AcqRel) {
            inner.held += 1;
        }
    }

    /// The same keys for a reader that does not keep them: once the generation has left the catalogue, they may be
    /// gone.
    pub(crate) fn unheld(&self) -> Arc<Self> {
        Generation::new(self.prefix, self.record, &Arc::default())
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if self.is_obsolete.load(Ordering::Acquire) {
            let mut inner = self.obsolete.inner.lock();
            inner.held -= 1;
            inner.released += 1;
            inner.prefixes.push(self.prefix);
            inner.bytes += self.bytes;
            drop(inner);
            self.obsolete.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PartitionId;

    fn prefix(partition: i32, generation: u64) -> Prefix {
        Prefix { partition: PartitionId::raw(partition), generation }
    }

    fn record(cut: u64) -> GenerationRecord {
        GenerationRecord { cut, first: 10, last: 20, ..GenerationRecord::default() }
    }

    #[test]
    fn an_obsolete_generation_is_collected_when_the_last_reader_leaves() {
        let obsolete = Arc::new(Obsolete::default());
        let generation = Generation::new(prefix(1, 1), record(1), &obsolete);
        let reader = generation.clone();
        generation.mark_obsolete();
        drop(generation);
        assert!(obsolete.take().is_empty());
        assert_eq!(obsolete.held(), 1);
        drop(reader);
        assert_eq!(obsolete.held(), 0);
        assert_eq!(obsolete.take(), [prefix(1, 1)]);
        let generation = Generation::new(prefix(1, 3), record(1), &obsolete);
        let renewed = generation.with_record(record(2));
        renewed.mark_obsolete();
        drop(renewed);
        assert!(obsolete.take().is_empty(), "a reader has the same keys under the previous record");
        drop(generation);
        assert_eq!(obsolete.take(), [prefix(1, 3)]);
        drop(Generation::new(prefix(1, 2), record(1), &obsolete));
        assert!(obsolete.take().is_empty(), "a generation in the catalogue is not removed on exit");
    }
}
