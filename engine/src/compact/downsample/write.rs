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
use crate::model::{Labels, PartitionId, SeriesId};
use crate::rollup::Bucket;
use crate::store::catalogue::Generation;
use crate::store::duplicates::DuplicateScan;
use crate::store::generation::{GenerationWriter, Tables};
use crate::store::kv::Bulk;

/// All ids of a label set, ascending. Its buckets are written under the first.
pub(super) type Ids = SmallVec<[u64; 1]>;

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
        let sealing = Sealing { samples_max: self.chunk_samples, level: CompressionLevel::Best };
        GenerationWriter::new(tables, self.versions.fresh_prefix(partition), cut, sealing)
    }

    /// Writes a generation with the buckets that `read` appends for each label set of `sources`. The result may be without
    /// chunks.
    pub(super) fn write_buckets(
        &self,
        tables: &mut Tables<'c>,
        job: &TierJob,
        (partition, cut): (PartitionId, u64),
        sources: &[Arc<Generation>],
        mut read: impl FnMut(&Labels, &Ids, &mut Vec<Bucket>) -> Result<()>,
    ) -> Result<Written> {
        let kv = self.kv;
        let mut writer = self.bucket_writer(tables, partition, cut);
        let mut sets = LabelSets::of(kv, sources, self.work_bytes_max)?;
        let mut absent = sets.duplicates.clone();
        let mut buckets = Vec::new();
        while let Some((ids, labels)) = sets.next()? {
            buckets.clear();
            read(&labels, &ids, &mut buckets)?;
            if buckets.is_empty() {
                absent.insert(ids[0]);
            } else {
                writer.add_record(SeriesId(ids[0]), &labels)?;
                writer.add_buckets(SeriesId(ids[0]), &buckets, &job.shape(self.types, &labels, &buckets))?;
            }
        }
        merge_postings(kv, sources, &absent, &mut writer)?;
        writer.finish()
    }
}
