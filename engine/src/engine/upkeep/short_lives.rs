//! Work that programs running for only seconds would leave undone: small merges, and removing small segments of the
//! log.
//!
//! The background threads check for work periodically. A program that opens the database, writes a little and ends
//! would end before that, and each of its runs would leave a generation, or a segment if it ends without closing. So
//! closing performs merges that are due, and opening flushes and merges what earlier runs have left: only if it is
//! little, and within a time limit, but at least one merge, so that each run removes as much as it leaves.

use std::time::{Duration, Instant};

use crate::compact::GENERATIONS_MAX;
use crate::engine::Shared;
use crate::engine::upkeep::merge::OVERLAPPING;
use crate::model::PartitionId;
use crate::{Error, Result};

/// No merge begins after this time.
const TIME: Duration = Duration::from_secs(1);
/// Partitions with more bytes of chunks are left to the background work, and a larger log to its flush.
const BYTES_MAX: u64 = 16 << 20;
/// The number of segments of the log from which opening flushes.
const SEGMENTS_MAX: u64 = 8;
/// The number of generations of a partition from which opening merges. Closing merges before there are as many.
const PILE: usize = 2 * GENERATIONS_MAX;

impl Shared {
    /// Does the work that earlier runs have left. A failure does not prevent opening.
    pub(in crate::engine) fn catch_up_at_open(&self) {
        if let Err(error) = self.flush_segments().and_then(|()| self.merge_small(PILE)) {
            tracing::warn!(%error, "what earlier runs left in small pieces could not be put together; it will be tried again");
        }
    }

    /// Performs merges that are due when closing. A failure loses nothing.
    pub(in crate::engine) fn merge_at_close(&self) {
        match self.merge_small(0) {
            Ok(()) | Err(Error::Poisoned(_) | Error::DiskFull { .. }) => {}
            Err(error) => tracing::warn!(%error, "a merge failed while closing; it will be tried again"),
        }
    }

    fn flush_segments(&self) -> Result<()> {
        let Some(wal) = self.writer.log() else { return Ok(()) };
        if wal.stats().segments >= SEGMENTS_MAX && wal.size_bytes() <= BYTES_MAX {
            self.flusher.flush()?;
        }
        Ok(())
    }

    /// Merges small partitions that are due and have at least this many generations.
    fn merge_small(&self, generations_min: usize) -> Result<()> {
        let mut merging = self.merger.lock();
        let (end, mut is_first) = (Instant::now() + TIME, true);
        let has_time = || std::mem::take(&mut is_first) || Instant::now() < end;
        self.merger.merge_while(&mut merging, 0, has_time, |from| self.next_small(from, generations_min))?;
        self.merger.collect_with_room()?;
        self.versions.settle_tables(OVERLAPPING)
    }

    fn next_small(&self, mut from: PartitionId, generations_min: usize) -> Vec<PartitionId> {
        loop {
            let due = self.merger.next_merges(from);
            let Some(last) = due.last() else { return due };
            let catalogue = self.versions.current();
            let (mut bytes, mut most) = (0, 0);
            for partition in &due {
                let generations = catalogue.generations.in_partition(*partition);
                bytes += generations.iter().map(|g| g.record.bytes).sum::<u64>();
                most = most.max(generations.len());
            }
            if bytes <= BYTES_MAX && most >= generations_min {
                return due;
            }
            from = last.next();
        }
    }
}
