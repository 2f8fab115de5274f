//! Downsampling: tiers of buckets are built from raw samples, and the wider ones from the narrower ones.
//!
//! A tier has a coverage (C4 in `store/catalogue.rs`). *Extending* it adds the buckets of the next closed raw partitions.
//! *Repairing* it computes exactly the buckets again that late samples and deletes have changed since: those of the raw
//! generations and the tombstones that the coverage does not include yet. Neither changes the other's result, and both
//! may be repeated: a crash in between loses work, not data. Readers use raw samples in place of buckets that a repair
//! would change (`view/tier/`), so no answer waits for one.
//!
//! All of it happens under the merging lock. Raw partitions that need a repair are merged and expired after it, because
//! merging mixes what a tier includes with what it does not, and expiring ends the possibility to compute.
//!
//! Next: `source.rs` (what buckets are computed from), `write.rs`, `extend.rs`, `repair.rs`, and `merge.rs`, which merges
//! the generations of a tier's partition.

mod extend;
mod merge;
mod repair;
mod source;
mod write;

use std::sync::Arc;

use crate::Result;
use crate::compact::Compactor;
use crate::model::{Labels, METRIC_NAME, PartitionId, Resolution, TierId, TimeRange, Timestamp};
use crate::rollup::{Class, Extras, Shape};
use crate::store::catalogue::{Catalogue, Coverage, Generation, GenerationRecord};
use crate::store::generation::Tables;
use crate::store::keys::Prefix;
use crate::store::versions::Edit;

/// The number of generations after which an extension ends.
const GENERATIONS_PER_EXTENSION: usize = 16;

/// A tier to maintain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TierJob {
    /// The width of its buckets.
    pub resolution: Resolution,
    /// The next narrower tier, from which it is built.
    pub finer: Option<Resolution>,
    /// The columns that its buckets have beside those that every bucket has.
    pub extras: Extras,
}

impl TierJob {
    pub(crate) fn tier(&self) -> TierId {
        TierId::of(0, self.resolution)
    }

    /// The form of the chunks of a series.
    fn shape(&self, labels: &Labels) -> Shape {
        Shape {
            width: self.resolution.width_ns(),
            source: self.finer.map_or(0, Resolution::width_ns),
            class: class_of(labels),
            bounds: self.extras.bounds,
        }
    }
}

/// A generation of buckets that was written and is not committed.
type Written = (Prefix, GenerationRecord);

impl<'c> Compactor<'c> {
    /// Makes written buckets durable, then commits them together with the tier's new coverage.
    fn commit_buckets(
        &self,
        tier: TierId,
        tables: Tables<'c>,
        written: Vec<Written>,
        coverage: Coverage,
    ) -> Result<()> {
        fail_point!("tier.written");
        let written: Vec<Arc<Generation>> =
            written.into_iter().map(|(prefix, record)| self.versions.generation(prefix, record)).collect();
        let discard = || self.versions.discard(written.iter().map(|generation| generation.prefix).collect());
        let ingested = if written.is_empty() { Ok(()) } else { tables.ingest() };
        let stored = ingested.and_then(|()| {
            fail_point!("tier.ingested");
            self.versions.commit(self.context, |now| {
                let edit =
                    Edit { add: written.clone(), coverage: vec![(tier, Some(coverage))], ..Edit::default() };
                Ok(Some(edit.without_spent(now.catalogue)))
            })
        });
        if let Err(error) = stored {
            discard();
            return Err(error);
        }
        fail_point!("tier.committed");
        Ok(())
    }
}

/// The tier from which a span of buckets is computed: the narrower one, if it covers the span; `None`: raw samples.
fn source_of(catalogue: &Catalogue, job: &TierJob, span: TimeRange) -> Option<Resolution> {
    let finer = job.finer?;
    let coverage = catalogue.coverage.get(&TierId::of(0, finer))?;
    (coverage.from <= span.start && span.end <= coverage.through).then_some(finer)
}

/// The state of the raw samples that a tier includes when it is brought up to date now.
fn included(catalogue: &Catalogue, job: &TierJob) -> (u64, u64) {
    let finer = job.finer.and_then(|finer| catalogue.coverage.get(&TierId::of(0, finer)));
    match finer {
        // It cannot include what the narrower tier does not.
        Some(finer) => (finer.cut, finer.deletes_applied),
        None => (catalogue.root.flushed_seq, catalogue.tombstones.last().map_or(0, |t| t.seq)),
    }
}

/// The partitions of a tier with buckets that samples or deletes may have changed which it does not include yet, but
/// can.
fn changed(catalogue: &Catalogue, job: &TierJob, coverage: &Coverage) -> Vec<PartitionId> {
    let (layout, tier) = (catalogue.layout(), job.tier());
    let (cut, deletes_applied) = included(catalogue, job);
    let mut changed = Vec::new();
    let mut add = |span: TimeRange| {
        if span.is_empty() {
            return;
        }
        let (first, last) =
            (layout.partition(tier, span.start.saturating_add(1)), layout.partition(tier, span.end));
        changed.extend((first.number..=last.number).map(|number| PartitionId { tier, number }));
    };
    for partition in catalogue.newer_than(coverage, coverage.range()) {
        for generation in coverage.lacks(partition, coverage.range()).filter(|g| g.record.cut <= cut) {
            let record = &generation.record;
            add(TimeRange::inclusive(record.first, record.last).intersection(coverage.range()));
        }
    }
    let deletes = catalogue.deletes_after(coverage, coverage.range());
    for delete in deletes.take_while(|delete| delete.seq <= deletes_applied) {
        // Where nothing is stored, there is nothing to change.
        let span = delete.range.intersection(coverage.range());
        let stored = catalogue.generations.partitions_in(tier, span, layout).map(|partition| partition.id);
        changed.extend(stored);
    }
    changed.sort_unstable();
    changed.dedup();
    changed
}

/// Whether a raw partition has samples or deletes that a tier covering it does not include.
pub(crate) fn awaits_repair(catalogue: &Catalogue, partition: PartitionId) -> bool {
    let (first, last) = catalogue.layout().bounds(partition);
    let range = TimeRange::inclusive(first, last);
    let tiers = catalogue.coverage.iter().filter(|(tier, _)| !tier.is_raw());
    tiers.into_iter().any(|(_, coverage)| {
        let covered = range.intersection(coverage.range());
        !covered.is_empty()
            && (catalogue.newer_than(coverage, covered).next().is_some()
                || catalogue.deletes_after(coverage, covered).next().is_some())
    })
}

/// The newest delete that a merge of a raw partition may apply. A tier finds the buckets that a delete changes by the
/// samples that it hides, so these must stay until the tier includes the delete. It may have come after
/// [`awaits_repair`] was asked.
pub(crate) fn newest_included_delete(catalogue: &Catalogue, partition: PartitionId) -> u64 {
    let newest = catalogue.tombstones.last().map_or(0, |t| t.seq);
    let (first, last) = catalogue.layout().bounds(partition);
    let range = TimeRange::inclusive(first, last);
    let tiers = catalogue.coverage.iter().filter(|(tier, _)| !tier.is_raw());
    let awaiting = tiers.filter_map(|(_, coverage)| {
        let covered = range.intersection(coverage.range());
        Some(catalogue.deletes_after(coverage, covered).next()?.seq)
    });
    awaiting.min().map_or(newest, |first| first.saturating_sub(1).min(newest))
}

/// Whether all of these tiers include a raw partition, so that it may be dropped.
pub(crate) fn is_summarized(catalogue: &Catalogue, partition: PartitionId, jobs: &[TierJob]) -> bool {
    let (_, last) = catalogue.layout().bounds(partition);
    let has_all = jobs.iter().all(|job| {
        let coverage = catalogue.coverage.get(&job.tier());
        coverage.is_some_and(|coverage| job.resolution.ceil(last) <= coverage.through)
    });
    has_all && !awaits_repair(catalogue, partition)
}

/// Which columns the buckets of a series have.
fn class_of(labels: &Labels) -> Class {
    const OF_COUNTERS: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];
    let name = labels.get(METRIC_NAME).unwrap_or_default();
    if OF_COUNTERS.iter().any(|suffix| name.ends_with(suffix)) { Class::Counter } else { Class::Unclear }
}

/// The end of the raw partitions that are closed at `now`: newer samples may still be on their way.
fn closed_until(catalogue: &Catalogue, now: Timestamp) -> Timestamp {
    let layout = catalogue.layout();
    let width = layout.width(TierId::RAW);
    let open = layout.raw(now.saturating_add(1).saturating_sub(width));
    layout.bounds(open).0
}
