//! Writing generations of buckets, label set by label set.

use std::sync::Arc;

use roaring::RoaringTreemap;
use smallvec::{SmallVec, smallvec};

use super::TierJob;
use super::commit::Written;
use crate::Result;
use crate::chunk::Sealing;
use crate::codec::CompressionLevel;
use crate::compact::Compactor;
use crate::compact::index::{SeriesMerge, merge_postings};
use crate::model::{Labels, PartitionId, SeriesId, TimeRange};
use crate::rollup::{Bucket, Columns};
use crate::store::catalogue::Generation;
use crate::store::cursors::{BucketPieces, ChunkCursors};
use crate::store::duplicates::DuplicateScan;
use crate::store::generation::{GenerationWriter, Tables};
use crate::store::kv::Bulk;

/// The memory of the native histograms of one series after which work on its buckets pauses, bytes: what was read is then
/// processed first. More than that of a chunk.
pub(crate) const NATIVE_BYTES_PAUSE: usize = 4 << 20;

/// All ids of a label set, ascending. Its buckets are written under the first.
pub(super) type Ids = SmallVec<[u64; 1]>;

/// Takes the next buckets of a label set, which ascend, and leaves none. It is called several times for a label set whose
/// native histograms take much memory ([`NATIVE_BYTES_PAUSE`]).
pub(super) type Take<'t> = dyn FnMut(&mut Vec<Bucket>) -> Result<()> + 't;

/// Whether buckets must be taken before there are more.
pub(super) fn are_heavy(buckets: &[Bucket]) -> bool {
    native_bytes(buckets) > NATIVE_BYTES_PAUSE
}

fn native_bytes(buckets: &[Bucket]) -> usize {
    buckets.iter().flat_map(|bucket| &bucket.natives).map(|natives| natives.memory_bytes()).sum()
}

/// Takes the stored buckets of a label set with ends in `range`.
pub(super) fn take_stored(
    cursors: &mut ChunkCursors<'_>,
    generations: &[Arc<Generation>],
    ids: &[u64],
    range: TimeRange,
    columns: Columns,
    take: &mut Take<'_>,
) -> Result<()> {
    let mut pieces = BucketPieces::new(generations, ids, range, columns);
    let mut buckets = Vec::new();
    while cursors.read_piece(&mut pieces, NATIVE_BYTES_PAUSE, &mut buckets)? {
        take(&mut buckets)?;
    }
    Ok(())
}

/// The label sets of some generations, ascending by their smallest id.
pub(super) struct LabelSets<'a> {
    records: SeriesMerge<'a>,
    scan: DuplicateScan,
    duplicates: RoaringTreemap,
}

impl<'a> LabelSets<'a> {
    /// Finds ids with the same labels in about `bytes` of memory.
    pub(super) fn of(kv: &'a dyn Bulk, generations: &'a [Arc<Generation>], bytes: u64) -> Result<Self> {
        let scan = DuplicateScan::take_within(bytes, kv, generations, &[], &|| Ok(()))?;
        let duplicates = scan.duplicates();
        Ok(LabelSets { records: SeriesMerge::new(kv, generations)?, scan, duplicates })
    }

    pub(super) fn next(&mut self) -> Result<Option<(Ids, Labels)>> {
        while let Some((id, labels)) = self.records.next()? {
            if !self.duplicates.contains(id.0) {
                let several = self.scan.groups.get(&id.0).map(|ids| Ids::from_slice(ids));
                return Ok(Some((several.unwrap_or_else(|| smallvec![id.0]), labels)));
            }
        }
        Ok(None)
    }
}

impl<'c> Compactor<'c> {
    /// Starts a generation of buckets, which includes raw generations up to `cut`.
    pub(super) fn bucket_writer<'t>(
        &self,
        tables: &'t mut Tables<'c>,
        partition: PartitionId,
        cut: u64,
    ) -> GenerationWriter<'t, 'c> {
        let sealing = Sealing { samples_max: self.chunk_samples, level: CompressionLevel::Balanced };
        GenerationWriter::new(tables, self.versions.fresh_prefix(partition), cut, sealing)
    }

    /// Writes a generation with the buckets that `read` passes on for each label set of `sources`. The result may be
    /// without chunks.
    pub(super) fn write_buckets(
        &self,
        tables: &mut Tables<'c>,
        job: &TierJob,
        (partition, cut): (PartitionId, u64),
        sources: &[Arc<Generation>],
        mut read: impl FnMut(&Labels, &Ids, &mut Take<'_>) -> Result<()>,
    ) -> Result<Written> {
        let kv = self.kv;
        let mut writer = self.bucket_writer(tables, partition, cut);
        let mut sets = LabelSets::of(kv, sources, self.work_bytes_max)?;
        let mut absent = sets.duplicates.clone();
        while let Some((ids, labels)) = sets.next()? {
            let (id, mut is_absent) = (SeriesId(ids[0]), true);
            read(&labels, &ids, &mut |buckets| {
                if is_absent && !buckets.is_empty() {
                    writer.add_record(id, &labels)?;
                    is_absent = false;
                }
                self.add_buckets(&mut writer, job, (id, &labels), buckets)
            })?;
            if is_absent {
                absent.insert(id.0);
            }
        }
        merge_postings(kv, sources, &absent, &mut writer)?;
        writer.finish()
    }

    /// Writes the next buckets of a series that replace stored ones, and removes them. `written` counts those of the series;
    /// its labels come before the first.
    pub(super) fn replace_in(
        &self,
        writer: &mut GenerationWriter<'_, '_>,
        job: &TierJob,
        (id, labels): (SeriesId, &Labels),
        buckets: &mut Vec<Bucket>,
        written: &mut u64,
    ) -> Result<()> {
        if *written == 0 && !buckets.is_empty() {
            writer.add_labels(id, labels)?;
        }
        *written += buckets.len() as u64;
        self.add_buckets(writer, job, (id, labels), buckets)
    }

    /// Writes the next buckets of a series, and removes them.
    pub(super) fn add_buckets(
        &self,
        writer: &mut GenerationWriter<'_, '_>,
        job: &TierJob,
        (id, labels): (SeriesId, &Labels),
        buckets: &mut Vec<Bucket>,
    ) -> Result<()> {
        self.counts.native_bytes_peak.raise_to(native_bytes(buckets) as u64);
        writer.add_buckets(id, buckets, &job.shape(self.types, labels, buckets))?;
        buckets.clear();
        Ok(())
    }
}
