//! Merges the generations of a tier's partition: extensions and repairs become one, with the buckets of a series in one
//! chunk.

use std::sync::Arc;

use super::TierJob;
use crate::Result;
use crate::chunk::Sealing;
use crate::codec::CompressionLevel;
use crate::compact::index::{SeriesMerge, merge_postings};
use crate::compact::{Compactor, GENERATIONS_MAX};
use crate::model::{SeriesId, TierId, TimeRange};
use crate::rollup::Bucket;
use crate::rollup::encode::Columns;
use crate::store::catalogue::{Catalogue, Generation, GenerationRecord};
use crate::store::cursors::ChunkCursors;
use crate::store::duplicates::DuplicateScan;
use crate::store::generation::{GenerationWriter, Tables, newest_of_each};
use crate::store::generations::Partition;
use crate::store::keys::Prefix;
use crate::store::versions::Edit;

/// A merged partition is merged again when it has this many generations: each repair adds one.
const REPAIRS_MAX: usize = 4;

impl<'c> Compactor<'c> {
    /// Merges the next partition of a tier that needs it; with `all`, the next one that has several generations. Returns
    /// whether there was one.
    pub(crate) fn merge_tier(&self, job: &TierJob, all: bool) -> Result<bool> {
        let catalogue = self.versions.current_owned();
        let Some(partition) = next_partition(&catalogue, job.tier(), all) else { return Ok(false) };
        let inputs = partition.generations.clone();
        let mut tables = Tables::new(self.versions.kv());
        let (prefix, record) = self.write_buckets(&mut tables, job, &inputs)?;
        fail_point!("tier.merged");
        let output = self.versions.generation(prefix, record);
        let stored = tables.ingest().and_then(|()| {
            self.versions.commit(self.context, |_| {
                let add = if record.chunks > 0 { vec![output.clone()] } else { Vec::new() };
                Ok(Some(Edit { add, remove: inputs.clone(), ..Edit::default() }))
            })
        });
        if let Err(error) = stored {
            self.versions.discard(vec![prefix]);
            return Err(error);
        }
        fail_point!("tier.swapped");
        inputs.iter().for_each(|generation| generation.mark_obsolete());
        Ok(true)
    }

    fn write_buckets(
        &self,
        tables: &mut Tables<'c>,
        job: &TierJob,
        inputs: &[Arc<Generation>],
    ) -> Result<(Prefix, GenerationRecord)> {
        let kv = self.versions.kv();
        let scan = DuplicateScan::take_within(self.work_bytes_max, kv, inputs, &[], &|| Ok(()))?;
        let mut absent = scan.duplicates();
        let cut = inputs.iter().map(|generation| generation.record.cut).max().unwrap_or(0);
        let prefix = self.versions.fresh_prefix(inputs[0].prefix.partition);
        let sealing = Sealing { samples_max: self.chunk_samples, level: CompressionLevel::Best };
        let mut writer = GenerationWriter::new(tables, prefix, cut, sealing);
        let mut cursors = ChunkCursors::scanning(kv);
        let mut records = SeriesMerge::new(kv, inputs)?;
        let mut buckets: Vec<Bucket> = Vec::new();
        while let Some((id, labels)) = records.next()? {
            if absent.contains(id.0) {
                continue;
            }
            let alone = [id.0];
            let ids = scan.groups.get(&id.0).map_or(&alone[..], Vec::as_slice);
            buckets.clear();
            for generation in inputs {
                for &id in ids {
                    let (id, columns) = (SeriesId(id), Columns::ALL);
                    cursors.read_buckets(generation, id, TimeRange::ALL, columns, &mut buckets)?;
                }
            }
            newest_of_each(&mut buckets, 0);
            if buckets.is_empty() {
                absent.insert(id.0);
            } else {
                writer.add_record(id, &labels)?;
                writer.add_buckets(id, &buckets, &job.shape(&labels))?;
            }
        }
        merge_postings(kv, inputs, &absent, &mut writer)?;
        let (prefix, record) = writer.finish()?;
        Ok((prefix, GenerationRecord { merged: true, ..record }))
    }
}

/// The first partition of a tier that is complete and has several generations, or that has many.
fn next_partition(catalogue: &Catalogue, tier: TierId, all: bool) -> Option<&Partition> {
    let coverage = catalogue.coverage.get(&tier)?;
    let layout = catalogue.layout();
    let mut partitions = catalogue.generations.partitions_in(tier, coverage.range(), layout);
    partitions.find(|partition| {
        let generations = &partition.generations;
        let is_complete = layout.bounds(partition.id).1 <= coverage.through;
        let is_merged = generations.first().is_some_and(|first| first.record.merged);
        let most = match (is_complete, is_merged) {
            _ if all => 2,
            (true, false) => 2,
            (true, true) => REPAIRS_MAX,
            (false, _) => GENERATIONS_MAX,
        };
        partition.aside.is_empty() && generations.len() >= most
    })
}
