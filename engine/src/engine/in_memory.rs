//! The bound on a database in memory, whose store takes memory too.
//!
//! Samples, series, caches and the store together take at most three quarters of
//! [`Options::memory_bytes`](crate::Options::memory_bytes); writes that come then are refused. The last quarter is for
//! batches and for merges, which hold what they read and what they write: a merge for which there is no memory is not
//! due.

use crate::budget::bytes_text;
use crate::engine::Shared;
use crate::engine::jobs::Task;
use crate::model::PartitionId;
use crate::stats::Counters;
use crate::{Error, Result};

impl Shared {
    fn is_in_memory(&self) -> bool {
        self.dir.is_none()
    }

    /// Bytes of everything that stays.
    fn resident_bytes(&self) -> u64 {
        let head = &self.head;
        let notes = head.exemplars.bytes() + head.metadata.bytes();
        head.sample_bytes()
            + head.series_bytes()
            + notes
            + self.known.bytes()
            + self.versions.kv().stats().other_memory_bytes
    }

    /// Refuses a write to a database in memory that is full.
    pub(super) fn refuse_full_memory(&self) -> Result<()> {
        if !self.is_in_memory() {
            return Ok(());
        }
        let (used, limit) = (self.resident_bytes(), self.options.memory_bytes / 4 * 3);
        if used < limit {
            return Ok(());
        }
        Counters::add(&self.counters.refused, 1);
        let full = format!(
            "the database in memory is full: it holds {} of the {} for data, three quarters of memory_bytes",
            bytes_text(used),
            bytes_text(limit)
        );
        if self.retention.horizon() == i64::MIN {
            return Err(Error::Limit(format!(
                "{full}; raise memory_bytes, set a retention, or delete series"
            )));
        }
        self.jobs.ask(Task::Merge);
        Err(Error::Throttled(format!("{full}; retry when older samples expire, or raise memory_bytes")))
    }

    /// Whether there is memory for the merge of these partitions.
    pub(crate) fn has_memory_to_merge(&self, partitions: &[PartitionId]) -> bool {
        if !self.is_in_memory() {
            return true;
        }
        let catalogue = self.versions.current();
        let in_partition = |id: &PartitionId| {
            let generations = catalogue.generations.in_partition(*id);
            generations.iter().map(|generation| generation.record.bytes).sum::<u64>()
        };
        let bytes: u64 = partitions.iter().map(in_partition).sum();
        bytes <= self.options.memory_bytes.saturating_sub(self.resident_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::engine::tests::labels;
    use crate::model::{Matcher, TimeRange, Value};
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
        assert!(engine.shared.resident_bytes() <= MEMORY, "{}", engine.shared.resident_bytes());
        // What is deleted makes room, although not everything could be merged at once.
        let most = TimeRange::new(i64::MIN, samples / 2 * SECOND);
        engine.delete(&[Matcher::equal("job", "job0")], most).unwrap();
        engine.flush().unwrap();
        engine.compact().unwrap();
        let (after, _) = fill(&engine, samples);
        assert!(after > samples + samples / 4, "{samples}, then {after}");
        assert!(engine.shared.resident_bytes() <= MEMORY);
    }

    #[test]
    fn a_retention_makes_room_again() {
        let engine = open(Duration::from_secs(3600 * 24));
        let (samples, error) = fill(&engine, 0);
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(samples > 500_000, "{samples}");
    }
}
