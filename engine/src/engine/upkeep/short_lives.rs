//! What programs that live for seconds would leave undone: small merges, and small segments of the log.
//!
//! The background threads look for work after a while. A program that opens, writes a little and ends would never get
//! there, and each of its runs would leave a generation, or a segment if it ends without closing. So closing merges what
//! is due, and opening flushes and merges what earlier runs have left: only where that is little, within a time, and at
//! least one merge, so that each run does away with as much as runs leave.

use std::time::{Duration, Instant};

use crate::compact::GENERATIONS_MAX;
use crate::engine::Shared;
use crate::engine::upkeep::merge::OVERLAPPING;
use crate::model::PartitionId;
use crate::{Error, Result};

/// After this time no merge is begun.
const TIME: Duration = Duration::from_secs(1);
/// Partitions with more bytes of chunks are left to the background, and a log with more to its flush.
const BYTES_MAX: u64 = 16 << 20;
/// Segments of the log from which on opening flushes.
const SEGMENTS_MAX: u64 = 8;
/// Generations of a partition from which on opening merges: closing merges before there are as many.
const PILE: usize = 2 * GENERATIONS_MAX;

impl Shared {
    /// Does what earlier runs have left. A failure is no reason not to open.
    pub(in crate::engine) fn catch_up_at_open(&self) {
        if let Err(error) = self.flush_segments().and_then(|()| self.merge_small(PILE)) {
            tracing::warn!(%error, "what earlier runs left in small pieces could not be put together; it will be tried again");
        }
    }

    /// Merges what is due when closing. A failure loses nothing.
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

    /// Merges small partitions that are due and have at least so many generations.
    fn merge_small(&self, generations_min: usize) -> Result<()> {
        let mut merging = self.merger.lock();
        let (end, mut is_first) = (Instant::now() + TIME, true);
        let has_time = || std::mem::take(&mut is_first) || Instant::now() < end;
        self.merger.merge_while(&mut merging, has_time, |from| self.next_small(from, generations_min))?;
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
