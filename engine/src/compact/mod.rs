//! The compactor: background work on what is stored.
//!
//! Words: a partition is *closed* when the newest sample is a partition's width past its
//! end, so that little more will come; *merging* it makes one generation of all it has,
//! with full chunks, and carries deletes out; *expiring* drops partitions that are older
//! than the retention. Which partition is next is decided here, by looks at the catalogue
//! alone.
//!
//! Next: `merge.rs`, `samples.rs`, `events.rs`, `index.rs` (what finds samples) and `retention.rs`.

mod events;
mod index;
mod merge;
mod retention;
mod samples;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use crate::engine::Parts;
use crate::model::{PartitionId, Timestamp};
use crate::store::catalogue::{Catalogue, generations_of};

/// An open partition is merged when it has this many generations, so that queries do not
/// look into ever more of them.
const GENERATIONS_MAX: usize = 12;

impl Parts {
    /// The partition that is to be merged next, oldest first, but for those in `seen`.
    pub(crate) fn next_merge(&self, seen: &BTreeSet<PartitionId>) -> Option<PartitionId> {
        let catalogue = self.catalogue.load();
        let newest = catalogue.root.newest.min(self.clock.now());
        next_merge(&catalogue, newest, seen)
    }
}

fn next_merge(catalogue: &Catalogue, now: Timestamp, seen: &BTreeSet<PartitionId>) -> Option<PartitionId> {
    let width = catalogue.root.partition_width_ns;
    let mut partitions: Vec<PartitionId> = catalogue.generations.iter().map(|g| g.prefix.partition).collect();
    partitions.dedup();
    partitions.into_iter().filter(|partition| !seen.contains(partition)).find(|&partition| {
        let generations = generations_of(&catalogue.generations, partition);
        let is_closed = partition.bounds(width).1.saturating_add(width) <= now;
        let has_deletes =
            generations.iter().any(|g| catalogue.tombstones.iter().any(|t| t.concerns(&g.record)));
        // What a flush wrote alone is written anew too, once: a merge has the better codecs.
        let is_rough = generations.len() > 1 || generations.iter().any(|g| !g.record.merged);
        generations.len() >= GENERATIONS_MAX || (is_closed && (is_rough || has_deletes))
    })
}

/// A relaxed store is enough for counters.
fn count(counter: &std::sync::atomic::AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
