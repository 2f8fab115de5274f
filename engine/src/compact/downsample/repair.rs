//! Computes the buckets again that late samples and deletes have changed, and no others.

use std::sync::Arc;

use super::commit::Written;
use super::included::{Included, changed, included};
use super::source::Source;
use super::write::{LabelSets, Take, are_heavy, take_stored};
use super::{TierJob, awaits_finer, has_samples, source_of};
use crate::Result;
use crate::chunk::Run;
use crate::compact::Compactor;
use crate::compact::index::SeriesMerge;
use crate::model::{Labels, PartitionId, SeriesId, TierId, TimeRange, Timestamp};
use crate::rollup::{Bucket, Columns};
use crate::store::catalogue::{Catalogue, Coverage, Generation, Tombstone};
use crate::store::cursors::ChunkCursors;
use crate::store::generation::Tables;

/// What has changed in one partition of a tier.
struct Changes<'r> {
    job: &'r TierJob,
    /// The part of the partition in which all of it is, in whole buckets.
    span: TimeRange,
    /// Buckets that begin earlier cannot be computed from raw samples, because these have been dropped.
    computable: Timestamp,
    /// Raw generations whose samples are new.
    newer: Vec<Arc<Generation>>,
    /// Deletes that are new.
    deletes: Vec<Arc<Tombstone>>,
}

impl<'c> Compactor<'c> {
    /// Includes in a tier what late samples and deletes have changed, one of its partitions after the other. Between them it
    /// calls `goes_on`, and ends early if that returns false, or if it must wait for the narrower tier. Returns the number of
    /// buckets that were computed again.
    pub(crate) fn repair_tier(&self, job: &TierJob, goes_on: &mut dyn FnMut() -> bool) -> Result<u64> {
        // Fixed at the start, so that the repair ends although more is written.
        let goal = included(&self.versions.current(), job);
        let (mut repaired, mut last) = (0, None);
        loop {
            let catalogue = self.versions.current_owned();
            let Some(coverage) = catalogue.coverage.get(&job.tier()) else { return Ok(repaired) };
            let all = changed(&catalogue, job, coverage, goal);
            let is_behind = coverage.deletes_applied < goal.deletes;
            if !goal.is_at_least(coverage) || (all.is_empty() && !is_behind) {
                return Ok(repaired);
            }
            let left: Vec<PartitionId> = all.into_iter().filter(|id| Some(*id) > last).collect();
            if left.first().is_some_and(|partition| {
                awaits_finer(&catalogue, job, span_of(&catalogue, coverage, *partition))
            }) {
                return Ok(repaired);
            }
            // Until all are done, the tier does not include it: readers compute these buckets.
            let reached = if left.len() > 1 { *coverage } else { with(coverage, goal) };
            repaired += self.repair_partition(&catalogue, job, (coverage, reached), goal, left.first())?;
            last = left.first().copied();
            if left.len() <= 1 || !goes_on() {
                return Ok(repaired);
            }
        }
    }

    /// Repairs one partition of a tier, if there is one, and commits it with the coverage that is reached then. Returns the
    /// number of buckets.
    fn repair_partition(
        &self,
        catalogue: &Catalogue,
        job: &TierJob,
        (coverage, reached): (&Coverage, Coverage),
        goal: Included,
        partition: Option<&PartitionId>,
    ) -> Result<u64> {
        self.versions.resolve_uncertain(self.context)?;
        let (mut written, mut repaired) = (Vec::new(), 0);
        let mut tables = Tables::new(self.kv);
        if let Some(&partition) = partition {
            let changes = Changes::of(catalogue, job, coverage, goal, partition);
            let (output, buckets) =
                self.write_repaired(&mut tables, catalogue, &changes, partition, goal.cut)?;
            let (removed, empty) =
                self.write_removed(&mut tables, catalogue, &changes, partition, goal.cut)?;
            written.extend(output.into_iter().chain(removed));
            repaired = buckets + empty;
        }
        self.commit_buckets(job.tier(), tables, written, reached)?;
        Ok(repaired)
    }

    /// Writes empty buckets in place of those that deletes have removed and that cannot be computed again, because the
    /// samples have been dropped. Returns their number.
    fn write_removed(
        &self,
        tables: &mut Tables<'c>,
        catalogue: &Catalogue,
        changes: &Changes<'_>,
        partition: PartitionId,
        cut: u64,
    ) -> Result<(Option<Written>, u64)> {
        let (kv, job) = (self.kv, changes.job);
        let is_trimmed = catalogue.is_trimmed_after(TierId::RAW, changes.span.start);
        let is_dropped = is_trimmed || changes.span.start < changes.computable;
        if !is_dropped || changes.deletes.is_empty() {
            return Ok((None, 0));
        }
        let generations = catalogue.generations.in_partition(partition);
        let mut writer = self.bucket_writer(tables, partition, cut);
        let mut cursors = ChunkCursors::scanning(kv);
        let mut records = SeriesMerge::new(kv, generations)?;
        let (mut buckets, mut removed) = (Vec::new(), 0);
        while let Some((id, labels)) = records.next()? {
            buckets.clear();
            let computable = catalogue.complete_from(TierId::RAW, &labels, job.resolution);
            let dropped = TimeRange::new(changes.span.start, computable.min(changes.span.end));
            if dropped.is_empty() {
                continue;
            }
            let width = job.resolution.width_ns();
            let is_removed = |bucket: &Bucket| {
                let removes = |delete: &&Arc<Tombstone>| bucket.is_inside(delete.range, width) == Some(true);
                changes.deletes.iter().filter(removes).any(|delete| delete.matches(&labels))
            };
            take_stored(&mut cursors, generations, &[id.0], dropped, Columns::ALL_TIMES, &mut |found| {
                buckets.extend(found.drain(..).filter(is_removed).map(|bucket| Bucket::empty(bucket.end)));
                Ok(())
            })?;
            if !buckets.is_empty() {
                removed += buckets.len() as u64;
                writer.add_labels(id, &labels)?;
                writer.add_buckets(id, &buckets, &job.shape(self.types, &labels, &buckets))?;
            }
        }
        let (prefix, record) = writer.finish()?;
        Ok(((record.chunks > 0).then_some((prefix, record)), removed))
    }

    /// Writes the changed buckets of one partition, and returns their number.
    fn write_repaired(
        &self,
        tables: &mut Tables<'c>,
        catalogue: &Catalogue,
        changes: &Changes<'_>,
        partition: PartitionId,
        cut: u64,
    ) -> Result<(Option<Written>, u64)> {
        let (kv, job) = (self.kv, changes.job);
        let layout = catalogue.layout();
        let raw = catalogue.generations.partitions_in(TierId::RAW, changes.span, layout);
        let raw: Vec<_> = raw.flat_map(|partition| partition.generations.iter().cloned()).collect();
        let finer = source_of(catalogue, job, changes.span);
        let mut source = Source::new(self, catalogue, finer, job, changes.span);
        let mut writer = self.bucket_writer(tables, partition, cut);
        let mut cursors = ChunkCursors::scanning(kv);
        let mut sets = LabelSets::of(kv, &raw, self.work_bytes_max)?;
        let mut repaired = 0;
        while let Some((ids, labels)) = sets.next()? {
            let mut ends = changes.ends(&raw, &labels, &ids, &mut cursors)?;
            if finer.is_none() {
                // Raw samples are only a part of earlier buckets, and of those where some are damaged.
                ends.retain(|end| {
                    has_samples(catalogue, job, TimeRange::new(end - job.resolution.width_ns(), *end))
                });
            }
            let whole = source.whole_from(&labels);
            ends.retain(|end| end - job.resolution.width_ns() >= whole);
            if ends.is_empty() {
                continue;
            }
            let id = SeriesId(ids[0]);
            let of_source = if finer.is_some() { source.ids_of(&labels)? } else { ids };
            let mut written = 0;
            compute(&mut source, job, &labels, &of_source, &ends, &mut |buckets| {
                // A new sample leaves no bucket empty, unless its source lacks the bucket: then what is stored is better.
                buckets.retain(|bucket| !bucket.is_empty() || changes.deletes_from(bucket, &labels));
                self.replace_in(&mut writer, job, (id, &labels), buckets, &mut written)
            })?;
            repaired += written;
        }
        let (prefix, record) = writer.finish()?;
        Ok(((record.chunks > 0).then_some((prefix, record)), repaired))
    }
}

/// The buckets of a partition that a tier has.
fn span_of(catalogue: &Catalogue, coverage: &Coverage, partition: PartitionId) -> TimeRange {
    let (first, last) = catalogue.layout().bounds(partition);
    TimeRange::inclusive(first, last).intersection(coverage.range())
}

/// The coverage of a tier that includes what `goal` has.
fn with(coverage: &Coverage, goal: Included) -> Coverage {
    Coverage { cut: goal.cut, deletes_applied: goal.deletes, ..*coverage }
}

/// Computes and passes on the buckets with these ends, which ascend. Those without samples become empty ones, which
/// replace what is stored.
pub(super) fn compute(
    source: &mut Source<'_>,
    job: &TierJob,
    labels: &Labels,
    ids: &[u64],
    ends: &[Timestamp],
    take: &mut Take<'_>,
) -> Result<()> {
    let width = job.resolution.width_ns();
    let mut out = Vec::new();
    for next_to_each_other in ends.chunk_by(|a, b| b - a == width) {
        let (first, last) = (next_to_each_other[0], next_to_each_other[next_to_each_other.len() - 1]);
        let mut ends = next_to_each_other.iter().copied().peekable();
        source.read(labels, ids, TimeRange::new(first - width, last), &mut |found| {
            for bucket in found.drain(..) {
                out.extend(std::iter::from_fn(|| ends.next_if(|end| *end < bucket.end)).map(Bucket::empty));
                out.extend(ends.next_if_eq(&bucket.end).map(|_| bucket));
            }
            if are_heavy(&out) { take(&mut out) } else { Ok(()) }
        })?;
        out.extend(ends.map(Bucket::empty));
    }
    take(&mut out)
}

/// The smallest part of `span`, in whole buckets, in which all changes are.
fn hull(job: &TierJob, span: TimeRange, newer: &[Arc<Generation>], deletes: &[Arc<Tombstone>]) -> TimeRange {
    let of_newer = newer.iter().map(|g| TimeRange::inclusive(g.record.first, g.record.last));
    let all = of_newer.chain(deletes.iter().map(|delete| delete.range));
    let hull = all.reduce(|a, b| TimeRange::new(a.start.min(b.start), a.end.max(b.end)));
    let hull = hull.unwrap_or(span).intersection(span);
    let (floor, ceil) = (job.resolution.floor(hull.start), job.resolution.ceil(hull.end));
    TimeRange::new(floor, ceil).intersection(span)
}

impl<'r> Changes<'r> {
    fn of(
        catalogue: &Catalogue,
        job: &'r TierJob,
        coverage: &Coverage,
        goal: Included,
        partition: PartitionId,
    ) -> Self {
        let (layout, span) = (catalogue.layout(), span_of(catalogue, coverage, partition));
        let raw = catalogue.generations.partitions_in(TierId::RAW, span, layout);
        let newer = raw.flat_map(|partition| coverage.lacks(partition, span));
        let newer: Vec<_> = newer.filter(|generation| generation.record.cut <= goal.cut).cloned().collect();
        let deletes = catalogue.deletes_after(coverage, span);
        let deletes: Vec<_> = deletes.take_while(|delete| delete.seq <= goal.deletes).cloned().collect();
        let span = hull(job, span, &newer, &deletes);
        Changes { job, span, computable: catalogue.computable_from(job.resolution), newer, deletes }
    }

    /// Whether a new delete removes samples of a bucket.
    fn deletes_from(&self, bucket: &Bucket, labels: &Labels) -> bool {
        let span = TimeRange::new(bucket.end - self.job.resolution.width_ns(), bucket.end);
        self.deletes.iter().any(|delete| delete.overlaps(span) && delete.matches(labels))
    }

    /// The ends of the buckets of a series that have changed, ascending.
    fn ends(
        &self,
        raw: &[Arc<Generation>],
        labels: &Labels,
        ids: &[u64],
        cursors: &mut ChunkCursors<'_>,
    ) -> Result<Vec<Timestamp>> {
        let mut ends = Vec::new();
        let mut run = Run::default();
        for generation in &self.newer {
            self.add_ends(generation, self.span, ids, cursors, &mut run, &mut ends)?;
        }
        for delete in self.deletes.iter().filter(|delete| delete.matches(labels)) {
            // Samples that it hides are still stored.
            for generation in raw.iter().filter(|generation| delete.concerns(&generation.record)) {
                let span = delete.range.intersection(self.span);
                self.add_ends(generation, span, ids, cursors, &mut run, &mut ends)?;
            }
        }
        ends.sort_unstable();
        ends.dedup();
        Ok(ends)
    }

    /// Adds the ends of the buckets in which a generation has samples in `span`.
    fn add_ends(
        &self,
        generation: &Generation,
        span: TimeRange,
        ids: &[u64],
        cursors: &mut ChunkCursors<'_>,
        run: &mut Run,
        ends: &mut Vec<Timestamp>,
    ) -> Result<()> {
        for &id in ids {
            run.clear();
            cursors.read(generation, SeriesId(id), span, run)?;
            let times = run.timestamps.iter().filter(|time| span.contains(**time));
            ends.extend(times.map(|time| self.job.resolution.ceil(*time)));
            ends.dedup();
        }
        Ok(())
    }
}
