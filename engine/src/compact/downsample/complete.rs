//! Completes buckets, while what they are computed from is stored: those that were omitted from a tier that is now to be kept
//! whole, and those that an earlier version built without native histograms.

use super::commit::Written;
use super::repair::compute;
use super::source::Source;
use super::write::{LabelSets, take_stored};
use super::{TierJob, awaits_finer, has_samples, source_of};
use crate::Result;
use crate::compact::Compactor;
use crate::model::{PartitionId, SeriesId, TimeRange, Timestamp};
use crate::rollup::{Bucket, Columns};
use crate::store::catalogue::{Catalogue, Coverage};
use crate::store::cursors::ChunkCursors;
use crate::store::generation::Tables;

impl<'c> Compactor<'c> {
    /// Completes the newest partition of a tier that may omit something. Returns whether there was one.
    pub(crate) fn complete_tier(&self, job: &TierJob) -> Result<bool> {
        let (catalogue, tier) = (self.versions.current_owned(), job.tier());
        let Some(coverage) = catalogue.coverage.get(&tier) else { return Ok(false) };
        let left = coverage.sparse();
        if job.omits_any(&catalogue) || left.is_empty() {
            return Ok(false);
        }
        let layout = catalogue.layout();
        let partition = layout.partition(tier, left.end);
        let (first, last) = layout.bounds(partition);
        let span = TimeRange::inclusive(first, last).intersection(left);
        if awaits_finer(&catalogue, job, span) {
            return Ok(false);
        }
        self.versions.resolve_uncertain(self.context)?;
        let mut tables = Tables::new(self.kv);
        let (written, buckets) =
            self.write_completed(&mut tables, &catalogue, job, (partition, coverage.cut), span)?;
        let reached = Coverage { whole_from: span.start, ..*coverage };
        self.commit_buckets(tier, tables, written.into_iter().collect(), reached)?;
        if buckets > 0 {
            tracing::info!(%partition, buckets, "completed buckets that were omitted or lacked native histograms");
        }
        Ok(true)
    }

    /// Writes the buckets of one partition that are omitted or leave out native histograms, and returns their number.
    fn write_completed(
        &self,
        tables: &mut Tables<'c>,
        catalogue: &Catalogue,
        job: &TierJob,
        (partition, cut): (PartitionId, u64),
        span: TimeRange,
    ) -> Result<(Option<Written>, u64)> {
        let (kv, width) = (self.kv, job.resolution.width_ns());
        let generations = catalogue.generations.in_partition(partition);
        let finer = source_of(catalogue, job, span);
        let mut source = Source::new(self, catalogue, finer, job, span);
        let mut writer = self.bucket_writer(tables, partition, cut);
        let mut cursors = ChunkCursors::scanning(kv);
        let mut sets = LabelSets::of(kv, generations, self.work_bytes_max)?;
        let mut completed = 0;
        while let Some((ids, labels)) = sets.next()? {
            let (mut ends, mut omitted): (Vec<Timestamp>, Vec<Timestamp>) = Default::default();
            take_stored(&mut cursors, generations, &ids, span, Columns::HISTOGRAMS, &mut |buckets| {
                let lacks =
                    |bucket: &Bucket| bucket.omitted || (bucket.has_histograms && bucket.natives.is_none());
                omitted.extend(buckets.iter().filter(|bucket| bucket.omitted).map(|bucket| bucket.end));
                ends.extend(buckets.drain(..).filter(lacks).map(|bucket| bucket.end));
                Ok(())
            })?;
            let whole = source.whole_from(&labels);
            ends.retain(|end| {
                let samples = TimeRange::new(end - width, *end);
                // What damage has left of the samples is more than a bucket that is omitted has.
                let is_better = || match omitted.binary_search(end) {
                    Ok(_) => samples.start >= catalogue.computable_from(job.resolution),
                    Err(_) => has_samples(catalogue, job, samples),
                };
                samples.start >= whole && (finer.is_some() || is_better())
            });
            if ends.is_empty() {
                continue;
            }
            let of_source = source.ids_of(&labels)?;
            let (id, mut written) = (SeriesId(ids[0]), 0);
            compute(&mut source, job, &labels, &of_source, &ends, &mut |buckets| {
                // What cannot be described stays as it is. Stale markers in the form of histograms count as markers now.
                let is_better = |bucket: &Bucket| {
                    let is_described = bucket.has_histograms == bucket.natives.is_some();
                    is_described || omitted.binary_search(&bucket.end).is_ok()
                };
                buckets.retain(|bucket| !bucket.is_empty() && is_better(bucket));
                self.replace_in(&mut writer, job, (id, &labels), buckets, &mut written)
            })?;
            completed += written;
        }
        let (prefix, record) = writer.finish()?;
        Ok(((record.chunks > 0).then_some((prefix, record)), completed))
    }
}

#[cfg(test)]
impl Compactor<'_> {
    /// Makes a tier sparse: changes all its buckets.
    pub(crate) fn forget(&self, job: &TierJob, forget: impl Fn(&mut Bucket)) -> Result<()> {
        let (catalogue, tier) = (self.versions.current_owned(), job.tier());
        let Some(&coverage) = catalogue.coverage.get(&tier) else { return Ok(()) };
        let layout = catalogue.layout();
        for partition in catalogue.generations.partitions_in(tier, coverage.range(), layout) {
            let inputs = partition.generations.clone();
            let mut tables = Tables::new(self.kv);
            let mut cursors = ChunkCursors::scanning(self.kv);
            let place = (partition.id, coverage.cut);
            let written = self.write_buckets(&mut tables, job, place, &inputs, |_, ids, take| {
                take_stored(&mut cursors, &inputs, ids, TimeRange::ALL, Columns::ALL, &mut |buckets| {
                    buckets.iter_mut().for_each(&forget);
                    take(buckets)
                })
            })?;
            let sparse = Coverage { whole_from: coverage.through, ..coverage };
            self.replace_buckets(tables, vec![written], inputs, vec![(tier, Some(sparse))], Vec::new())?;
        }
        Ok(())
    }
}
