//! The compactor: background work on stored data.
//!
//! Terms: a partition is *closed* when the newest sample is one partition width past its end, so few samples are still
//! expected; *merging* it combines all its generations into one with full chunks, and applies deletes; *expiring* drops
//! partitions that are older than the retention. The next partition is chosen here, from the catalogue alone.
//!
//! Next: `downsample/`, `merge.rs`, `samples.rs`, `events.rs`, `index.rs` (what finds samples), `untouched.rs`,
//! `retention.rs`, `trim.rs` and `event_trim.rs`.

pub(crate) mod downsample;
mod event_trim;
mod events;
mod index;
mod merge;
mod retention;
mod samples;
mod trim;
mod untouched;

pub(crate) use event_trim::is_event_trim_due;
pub(crate) use retention::{Horizons, is_expiry_due};
pub(crate) use trim::{TrimGoal, count_series, is_trim_due, unapplied_trims};

use std::time::Duration;

use crate::compact::downsample::awaits_repair;
use crate::model::{DuplicateRules, MetricTypes, PartitionId, Timestamp};
use crate::stats::{Counter, Stats};
use crate::store::catalogue::Catalogue;
use crate::store::generations::Partition;
use crate::store::kv::Bulk;
use crate::store::versions::{CommitContext, Versions};

/// An open partition is merged when it has this many generations, so that queries do not have to read ever more of
/// them.
pub(crate) const GENERATIONS_MAX: usize = 12;

/// Maximum number of partitions that are merged together, and maximum bytes of their chunks.
pub(crate) const TOGETHER_MAX: usize = 512;
const TOGETHER_BYTES_MAX: u64 = 8 << 20;

/// What work on the store needs from an open database.
pub(crate) struct Compactor<'c> {
    pub versions: &'c Versions,
    /// The store of `versions`, in which the compactor reads and writes at a limited rate.
    pub kv: &'c dyn Bulk,
    pub context: &'c dyn CommitContext,
    pub counts: &'c MergeCounts,
    /// What is known of the types of metrics.
    pub types: &'c dyn MetricTypes,
    /// Maximum samples of a chunk.
    pub chunk_samples: usize,
    /// Which of several samples with the same timestamp counts.
    pub duplicates: DuplicateRules,
    /// Memory for a merge, in addition to its inputs and its output for one series.
    pub work_bytes_max: u64,
    /// Merges apply deletes up to this sequence in any case, and later ones only where all tiers include them.
    pub deletes_until: u64,
}

/// What merges and expiries have done since the database was opened.
#[derive(Debug, Default)]
pub(crate) struct MergeCounts {
    merges: Counter,
    failures: Counter,
    ns: Counter,
    samples_peak: Counter,
    event_bytes_peak: Counter,
    /// The most memory of the native histograms of buckets that were written together.
    pub native_bytes_peak: Counter,
    partitions_expired: Counter,
}

impl MergeCounts {
    pub(crate) fn add_to(&self, stats: &mut Stats) {
        let MergeCounts { merges, failures, ns, samples_peak, event_bytes_peak, partitions_expired, .. } =
            self;
        stats.merges = merges.get();
        stats.merge_failures = failures.get();
        stats.merge_time = Duration::from_nanos(ns.get());
        stats.merge_samples_peak = samples_peak.get();
        stats.merge_event_bytes_peak = event_bytes_peak.get();
        stats.partitions_expired = partitions_expired.get();
    }
}

/// The next partitions from `from` on to merge together at the time `now`: one, or several small ones. `has_memory`
/// says whether there is memory for some merge.
pub(crate) fn next_merges(
    catalogue: &Catalogue,
    now: Timestamp,
    mut from: PartitionId,
    has_memory: impl Fn(&[PartitionId]) -> bool,
) -> Vec<PartitionId> {
    loop {
        let mut due = due_from(catalogue, now, from);
        let Some(&first) = due.first() else { return due };
        while !due.is_empty() && !has_memory(&due) {
            due.truncate(due.len() / 2);
        }
        if !due.is_empty() {
            return due;
        }
        from = first.next();
    }
}

/// Like [`next_merges`], for the partitions to which a delete up to the sequence `until` must be applied, closed or
/// not.
pub(crate) fn next_cleanings(catalogue: &Catalogue, from: PartitionId, until: u64) -> Vec<PartitionId> {
    together(with_deletes(catalogue, from, until).filter(|partition| partition.aside.is_empty()))
}

fn due_from(catalogue: &Catalogue, now: Timestamp, from: PartitionId) -> Vec<PartitionId> {
    let layout = catalogue.layout();
    let newest_delete = catalogue.tombstones.last().map_or(0, |t| t.seq);
    let unfinished = catalogue.generations.unfinished_from(from, newest_delete);
    let can_be_merged =
        |partition: &&Partition| partition.aside.is_empty() && !awaits_repair(catalogue, partition.id);
    let due = unfinished.filter(can_be_merged).filter(|partition| {
        let width = layout.width(partition.id.tier);
        let is_closed = layout.bounds(partition.id).1.saturating_add(width) <= now;
        // A generation written by a flush alone is also rewritten once: a merge uses the better codecs.
        let is_due =
            is_closed && (partition.needs_merge() || has_deletes(catalogue, partition, newest_delete));
        is_due || partition.generations.len() >= GENERATIONS_MAX
    });
    together(due)
}

/// The first of `partitions`, as many as are merged in one go.
fn together<'c>(partitions: impl Iterator<Item = &'c Partition>) -> Vec<PartitionId> {
    let mut bytes = 0;
    let together = partitions.take(TOGETHER_MAX).take_while(|partition| {
        let is_first = bytes == 0;
        // At least one byte, so that only the first partition counts as the first.
        bytes += 1 + partition.generations.iter().map(|g| g.record.bytes).sum::<u64>();
        is_first || bytes <= TOGETHER_BYTES_MAX
    });
    together.map(|partition| partition.id).collect()
}

/// The partitions from `from` on that have a delete up to the sequence `until` to apply.
pub(crate) fn with_deletes(
    catalogue: &Catalogue,
    from: PartitionId,
    until: u64,
) -> impl Iterator<Item = &Partition> {
    let unfinished = catalogue.generations.unfinished_from(from, until);
    unfinished.filter(move |partition| has_deletes(catalogue, partition, until))
}

/// Whether a partition has a delete up to the sequence `until` to apply.
fn has_deletes(catalogue: &Catalogue, partition: &Partition, until: u64) -> bool {
    let later = catalogue.tombstones.iter_from(partition.applied().saturating_add(1));
    let mut due = later.take_while(|t| t.seq <= until);
    due.any(|t| partition.all().any(|g| t.concerns(&g.record)))
}
