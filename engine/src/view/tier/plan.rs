//! Where the buckets of a selection come from.

use std::sync::Arc;

use crate::model::{Labels, PartitionId, Resolution, TierId, TimeRange, Timestamp};
use crate::rollup::BucketColumns;
use crate::store::catalogue::{Catalogue, Coverage, Generation, Tombstone};
use crate::store::generations::Partition;

/// Where the buckets of a selection come from, as far as that is the same for all of its series.
#[derive(Debug)]
pub struct BucketPlan {
    pub(super) tier: TierId,
    pub(super) resolution: Resolution,
    /// The ends of buckets; its own ends are bounds of buckets.
    pub(super) range: TimeRange,
    /// The part of the range that the tier covers.
    pub(super) stored: TimeRange,
    /// Buckets that begin earlier cannot be computed from raw samples, because these have been dropped.
    pub(super) computable: Timestamp,
    /// The spans that are computed from raw samples, ascending, apart from each other.
    pub(super) raw: Vec<TimeRange>,
    /// Raw generations that may change stored buckets.
    pub(super) newer: Vec<Arc<Generation>>,
    /// Deletes that may change stored buckets.
    pub(super) deletes: Vec<Arc<Tombstone>>,
    /// The raw partitions in which the ids of all series are known, ascending.
    pub(super) known: Vec<PartitionId>,
}

impl BucketPlan {
    pub(super) fn new(catalogue: &Catalogue, resolution: Resolution, range: TimeRange) -> Self {
        let range = TimeRange::new(resolution.floor(range.start), resolution.ceil(range.end));
        let tier = TierId::of(0, resolution);
        let mut plan = BucketPlan {
            tier,
            resolution,
            range,
            stored: TimeRange::new(range.start, range.start),
            computable: catalogue.computable_from(resolution),
            raw: Vec::new(),
            newer: Vec::new(),
            deletes: Vec::new(),
            known: Vec::new(),
        };
        if range.is_empty() {
            return plan;
        }
        match catalogue.coverage.get(&tier) {
            None => plan.raw.push(range),
            Some(coverage) => plan.look_for_changes(catalogue, coverage),
        }
        let layout = catalogue.layout();
        let computed = plan.raw.iter().flat_map(|span| {
            catalogue.generations.partitions_in(TierId::RAW, *span, layout).map(|partition| partition.id)
        });
        let changed = plan.newer.iter().map(|generation| generation.prefix.partition);
        let deleted = plan.deletes.iter().flat_map(|delete| {
            let span = plan.buckets_over(delete.range.intersection(plan.stored));
            catalogue.generations.partitions_in(TierId::RAW, span, layout).map(|partition| partition.id)
        });
        let mut known: Vec<PartitionId> = computed.chain(changed).chain(deleted).collect();
        known.sort_unstable();
        known.dedup();
        plan.known = known;
        plan
    }

    fn look_for_changes(&mut self, catalogue: &Catalogue, coverage: &Coverage) {
        let range = self.range;
        let stored = coverage.range().intersection(range);
        if stored.is_empty() {
            return self.raw.push(range);
        }
        let layout = catalogue.layout();
        self.stored = stored;
        self.raw.push(TimeRange::new(range.start, stored.start));
        let lost = catalogue.generations.partitions_in(self.tier, stored, layout);
        for partition in lost.filter(|partition| !partition.aside.is_empty()) {
            let (first, last) = layout.bounds(partition.id);
            self.raw.push(TimeRange::inclusive(first, last).intersection(stored));
        }
        self.raw.push(TimeRange::new(stored.end, range.end));
        self.raw.retain(|span| !span.is_empty());
        let newer = catalogue.newer_than(coverage, stored);
        self.newer = newer.flat_map(|partition| coverage.lacks(partition, stored)).cloned().collect();
        self.deletes = catalogue.deletes_after(coverage, stored).cloned().collect();
    }

    /// The width of the buckets.
    pub fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// The ends of its buckets; the ends of the range are bounds of buckets.
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// The number of buckets in the range.
    pub(super) fn buckets(&self) -> usize {
        let span = self.range.end.saturating_sub(self.range.start);
        usize::try_from(span / self.resolution.width_ns()).unwrap_or(0)
    }

    /// The partitions that have records of the series, ascending.
    pub(super) fn partitions<'c>(&self, catalogue: &'c Catalogue) -> Vec<&'c Partition> {
        let generations = &catalogue.generations;
        let raw = self.known.iter().filter_map(|id| generations.partition(*id));
        let stored = generations.partitions_in(self.tier, self.stored, catalogue.layout());
        raw.chain(stored.filter(|partition| partition.aside.is_empty())).collect()
    }

    /// Where the buckets of a series can be computed from raw samples: those that begin at this time or later.
    pub(super) fn computable_of(&self, catalogue: &Catalogue, labels: &Labels) -> Timestamp {
        self.computable.max(self.resolution.ceil(catalogue.trimmed(TierId::RAW, labels)))
    }

    /// Whether a delete removes a stored bucket of a series that can be computed again from `computable` on.
    pub(super) fn is_removed(
        &self,
        buckets: &BucketColumns,
        row: usize,
        labels: &Labels,
        computable: Timestamp,
    ) -> bool {
        let width = self.resolution.width_ns();
        let removes = |delete: &Arc<Tombstone>| {
            buckets.is_inside(row, delete.range, width) == Some(true) && delete.matches(labels)
        };
        buckets.ends[row].saturating_sub(width) < computable && self.deletes.iter().any(removes)
    }

    /// The buckets of a series that deletes may have changed.
    pub(super) fn deleted_from<'p>(&'p self, labels: &'p Labels) -> impl Iterator<Item = TimeRange> + 'p {
        let of_series = self.deletes.iter().filter(|delete| delete.matches(labels));
        of_series.map(|delete| self.buckets_over(delete.range.intersection(self.stored)))
    }

    /// The span of the buckets that a range of samples touches.
    pub(super) fn buckets_over(&self, samples: TimeRange) -> TimeRange {
        let first = self.resolution.ceil(samples.start.saturating_add(1));
        let start = first.saturating_sub(self.resolution.width_ns());
        TimeRange::new(start, self.resolution.ceil(samples.end))
    }
}
