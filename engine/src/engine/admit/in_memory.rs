//! The limit of a database in memory, whose store also takes memory.
//!
//! Samples, series, caches and the store together take at most three quarters of
//! [`Options::memory_bytes`](crate::Options::memory_bytes); beyond that, writes are refused. The last quarter is for
//! batches and for merges, which hold their input and their output. A merge for which there is not enough memory is not
//! due.

use std::sync::Arc;

use crate::budget::bytes_text;
use crate::engine::base::Base;
use crate::engine::jobs::{Jobs, Task};
use crate::engine::known::KnownSeries;
use crate::engine::retention::Retention;
use crate::head::Head;
use crate::model::{PartitionId, Timestamp};
use crate::stats::Counter;
use crate::store::versions::Versions;
use crate::{Error, Result};

/// Decides whether a database in memory is full.
pub(in crate::engine) struct InMemory {
    /// The limit of all memory, bytes; `None` for a database with files, which has no such limit.
    bytes_max: Option<u64>,
    head: Arc<Head>,
    known: Arc<KnownSeries>,
    versions: Arc<Versions>,
    retention: Arc<Retention>,
    jobs: Arc<Jobs>,
    refused: Counter,
}

impl InMemory {
    pub fn new(base: &Base) -> Self {
        InMemory {
            bytes_max: base.dir.is_none().then_some(base.options.memory_bytes),
            head: base.head.clone(),
            known: base.known.clone(),
            versions: base.versions.clone(),
            retention: base.retention.clone(),
            jobs: base.jobs.clone(),
            refused: Counter::default(),
        }
    }

    /// The memory of everything except batches and merges, bytes.
    pub fn resident_bytes(&self) -> u64 {
        let head = &self.head;
        let notes = head.exemplars.bytes() + head.metadata.bytes();
        head.sample_bytes()
            + head.series_bytes()
            + notes
            + self.known.bytes()
            + self.versions.kv().stats().other_memory_bytes
    }

    /// Refuses a write if the database is in memory and full.
    ///
    /// # Errors
    /// [`Error::Limit`], or [`Error::Throttled`] if retention will free memory.
    #[inline]
    pub fn refuse_if_full(&self) -> Result<()> {
        self.bytes_max.map_or(Ok(()), |bytes_max| self.refuse_beyond(bytes_max / 4 * 3))
    }

    fn refuse_beyond(&self, limit: u64) -> Result<()> {
        let used = self.resident_bytes();
        if used < limit {
            return Ok(());
        }
        self.refused.add(1);
        let full = format!(
            "the database in memory is full: it holds {} of the {} for data, three quarters of memory_bytes",
            bytes_text(used),
            bytes_text(limit)
        );
        if self.retention.horizon().all == Timestamp::MIN {
            return Err(Error::Limit(format!(
                "{full}; raise memory_bytes, set a retention, or delete series"
            )));
        }
        self.jobs.ask(Task::Merge);
        Err(Error::Throttled(format!("{full}; retry when older samples expire, or raise memory_bytes")))
    }

    /// Whether there is memory for the merge of these partitions.
    pub fn has_memory_to_merge(&self, partitions: &[PartitionId]) -> bool {
        let Some(bytes_max) = self.bytes_max else { return true };
        let catalogue = self.versions.current();
        let in_partition = |id: &PartitionId| {
            let generations = catalogue.generations.in_partition(*id);
            generations.iter().map(|generation| generation.record.bytes).sum::<u64>()
        };
        let bytes: u64 = partitions.iter().map(in_partition).sum();
        bytes <= bytes_max.saturating_sub(self.resident_bytes())
    }

    /// The number of writes refused since the database was opened.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::engine::tests::labels;
    use crate::model::{Matcher, PartitionId, TimeRange, Value};
    use crate::{Batch, Engine, Error, ErrorKind, Options};

    const MEMORY: u64 = 16 << 20;
    const SECOND: i64 = 1_000_000_000;
    /// Samples of one batch.
    const BATCH: i64 = 5_000;

    fn open(retention: Duration) -> Engine {
        let options = Options {
            background: false,
            memory_bytes: MEMORY,
            retention,
            partition_width: Duration::from_secs(3600),
            ..Options::default()
        };
        Engine::in_memory(options).expect("the options are good")
    }

    /// Writes values that do not compress until a write is refused; how many samples were taken, and the refusal.
    fn fill(engine: &Engine, from: i64) -> (i64, Error) {
        let mut next = from;
        loop {
            let mut batch = Batch::new();
            for n in next..next + BATCH {
                let noise = u64::from(crc32fast::hash(&n.to_le_bytes())) << 20 | u64::from(n as u32);
                batch.push(&labels(0), n * SECOND, Value::Float(f64::from_bits(noise | 1 << 62)));
            }
            if let Err(error) = engine.append(&batch) {
                return (next, error);
            }
            next += BATCH;
            assert!(next < 100 * BATCH * 100, "never refused");
        }
    }

    #[test]
    fn a_database_in_memory_is_full_at_its_bound() {
        let engine = open(Duration::ZERO);
        let (samples, error) = fill(&engine, 0);
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert!(error.to_string().contains("memory_bytes"), "{error}");
        assert!(samples > 500_000, "{samples}");
        assert!(
            engine.shared.admission.in_memory().resident_bytes() <= MEMORY,
            "{}",
            engine.shared.admission.in_memory().resident_bytes()
        );
        // What is deleted makes room, although not everything could be merged at once.
        let most = TimeRange::new(i64::MIN, samples / 2 * SECOND);
        engine.delete(&[Matcher::equal("job", "job0")], most).unwrap();
        engine.flush().unwrap();
        engine.compact().unwrap();
        let (after, _) = fill(&engine, samples);
        assert!(after > samples + samples / 4, "{samples}, then {after}");
        assert!(engine.shared.admission.in_memory().resident_bytes() <= MEMORY);
    }

    /// A merge holds its output beside its inputs.
    #[test]
    fn only_what_there_is_memory_for_is_merged_together() {
        let engine = open(Duration::ZERO);
        fill(&engine, 0);
        engine.flush().unwrap();
        let shared = &engine.shared;
        let left = MEMORY - shared.admission.in_memory().resident_bytes();
        let catalogue = shared.versions.current_owned();
        let bytes_of = |partition: &PartitionId| -> u64 {
            catalogue
                .generations
                .in_partition(*partition)
                .iter()
                .map(|generation| generation.record.bytes)
                .sum()
        };
        let all: u64 = catalogue.generations.iter().map(|generation| generation.record.bytes).sum();
        assert!(all > left, "{all} bytes are stored, {left} are left");
        let (mut from, mut groups) = (PartitionId::MIN, 0);
        loop {
            let together = shared.merger.next_merges(from);
            let Some(last) = together.last() else { break };
            let bytes: u64 = together.iter().map(bytes_of).sum();
            assert!(bytes <= left, "{bytes} bytes together, {left} are left");
            (from, groups) = (last.next(), groups + 1);
        }
        assert!(groups > 1, "{groups} merges");
    }

    #[test]
    fn a_retention_makes_room_again() {
        let engine = open(Duration::from_secs(3600 * 24));
        let (samples, error) = fill(&engine, 0);
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(samples > 500_000, "{samples}");
    }
}
