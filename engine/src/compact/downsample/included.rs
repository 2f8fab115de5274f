//! What a tier includes of the raw samples, and what it lacks.

use super::{TierJob, has_samples, source_of};
use crate::model::{PartitionId, Resolution, TierId, TimeRange, Timestamp};
use crate::store::catalogue::{Catalogue, Coverage};

/// A state of the raw samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Included {
    /// The raw generations with a cut up to this one.
    pub cut: u64,
    /// The deletes up to this sequence.
    pub deletes: u64,
}

impl Included {
    /// Whether it has all that a tier with this coverage includes.
    pub fn is_at_least(self, coverage: &Coverage) -> bool {
        coverage.cut <= self.cut && coverage.deletes_applied <= self.deletes
    }
}

/// The state of the raw samples that a tier includes when it is brought up to date now.
pub(super) fn included(catalogue: &Catalogue, job: &TierJob) -> Included {
    // A delete that no longer hides anything is forgotten.
    let known = catalogue.coverage.get(&job.tier()).map_or(0, |coverage| coverage.deletes_applied);
    let newest_delete = catalogue.tombstones.last().map_or(known, |delete| delete.seq.max(known));
    let newest = Included { cut: catalogue.root.flushed_seq, deletes: newest_delete };
    match job.finer.and_then(|finer| catalogue.coverage.get(&TierId::of(0, finer))) {
        // It cannot include what the narrower tier does not.
        Some(finer) if lacks_something(catalogue, finer, finer.range()) => {
            Included { cut: finer.cut, deletes: finer.deletes_applied }
        }
        _ => newest,
    }
}

/// Whether a tier with this coverage lacks samples or deletes in its part `within`.
fn lacks_something(catalogue: &Catalogue, coverage: &Coverage, within: TimeRange) -> bool {
    !within.is_empty()
        && (catalogue.newer_than(coverage, within).next().is_some()
            || catalogue.deletes_after(coverage, within).next().is_some())
}

/// The partitions of a tier with buckets that the samples and deletes of `goal` may have changed and that the tier does not
/// include yet.
pub(super) fn changed(
    catalogue: &Catalogue,
    job: &TierJob,
    coverage: &Coverage,
    goal: Included,
) -> Vec<PartitionId> {
    let (layout, tier) = (catalogue.layout(), job.tier());
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
        for generation in coverage.lacks(partition, coverage.range()).filter(|g| g.record.cut <= goal.cut) {
            let record = &generation.record;
            add(TimeRange::inclusive(record.first, record.last).intersection(coverage.range()));
        }
    }
    let deletes = catalogue.deletes_after(coverage, coverage.range());
    for delete in deletes.take_while(|delete| delete.seq <= goal.deletes) {
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
    let mut tiers = catalogue.coverage.iter().filter(|(tier, _)| !tier.is_raw());
    tiers.any(|(_, coverage)| lacks_something(catalogue, coverage, range.intersection(coverage.range())))
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

/// Whether what is kept longer includes a partition, so that it may be dropped: all of these tiers a raw one, and the next
/// wider one that of a tier.
pub(crate) fn is_included(catalogue: &Catalogue, partition: PartitionId, jobs: &[TierJob]) -> bool {
    let Some(narrow) = partition.tier.resolution() else { return is_summarized(catalogue, partition, jobs) };
    let wider = jobs.iter().find(|job| job.resolution.width_ns() > narrow.width_ns());
    wider.is_none_or(|job| has_partition(catalogue, partition, job))
}

fn is_summarized(catalogue: &Catalogue, partition: PartitionId, jobs: &[TierJob]) -> bool {
    jobs.iter().all(|job| has_partition(catalogue, partition, job)) && !awaits_repair(catalogue, partition)
}

/// Whether the buckets of a tier include all of a partition, raw or of a narrower tier, that they can and that the tier
/// keeps.
fn has_partition(catalogue: &Catalogue, partition: PartitionId, job: &TierJob) -> bool {
    let Some((first, last)) = extent(catalogue, partition) else { return true };
    let dropped = match partition.tier.resolution() {
        None => catalogue.computable_from(job.resolution),
        Some(_) => {
            let narrow = catalogue.coverage.get(&partition.tier);
            narrow.map_or(Timestamp::MIN, |narrow| job.resolution.ceil(narrow.from))
        }
    };
    let before = first.saturating_sub(1).max(job.horizon).max(dropped);
    if last <= before {
        return true;
    }
    let Some(coverage) = catalogue.coverage.get(&job.tier()) else { return false };
    let buckets = buckets_over(job.resolution, before, last);
    coverage.from <= buckets.start
        && buckets.end <= coverage.through
        && (job.omits_any(catalogue) || coverage.sparse().intersection(buckets).is_empty())
        // Samples stay in place of buckets that cannot be read, while these can be computed again.
        && damaged_in(catalogue, job.tier(), buckets).all(|span| !can_compute(catalogue, job, span))
}

/// The buckets that hold instants after `before` and not after `last`.
fn buckets_over(resolution: Resolution, before: Timestamp, last: Timestamp) -> TimeRange {
    TimeRange::new(resolution.floor(before), resolution.ceil(last))
}

/// The first and last time in a partition; `None` if it has no samples, or buckets. Events are not summarized.
fn extent(catalogue: &Catalogue, partition: PartitionId) -> Option<(Timestamp, Timestamp)> {
    let records = catalogue.generations.partition(partition)?.all().map(|generation| &generation.record);
    let spans = records.filter(|record| record.chunks > 0).map(|record| (record.first, record.last));
    spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

/// Whether a generation of a tier, or of raw samples, is set aside in the partitions of a span.
pub(super) fn is_damaged(catalogue: &Catalogue, tier: TierId, span: TimeRange) -> bool {
    let mut partitions = catalogue.generations.partitions_in(tier, span, catalogue.layout());
    partitions.any(|partition| !partition.aside.is_empty())
}

/// The spans of the partitions of a tier in which a generation is set aside, as far as the tier is complete there.
pub(super) fn damaged_in(
    catalogue: &Catalogue,
    tier: TierId,
    span: TimeRange,
) -> impl Iterator<Item = TimeRange> {
    let layout = catalogue.layout();
    let complete = catalogue.coverage.get(&tier).map_or(TimeRange::new(0, 0), Coverage::range);
    let partitions = catalogue.generations.partitions_in(tier, span, layout);
    let damaged = partitions.filter(|partition| !partition.aside.is_empty());
    damaged.map(move |partition| {
        let (first, last) = layout.bounds(partition.id);
        TimeRange::inclusive(first, last).intersection(complete)
    })
}

/// Whether all buckets of a tier that end in a span can be computed: from raw samples, or from the narrower tier.
pub(super) fn can_compute(catalogue: &Catalogue, job: &TierJob, span: TimeRange) -> bool {
    has_samples(catalogue, job, span)
        || source_of(catalogue, job, span)
            .is_some_and(|finer| !is_damaged(catalogue, TierId::of(0, finer), span))
}
