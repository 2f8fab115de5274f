//! Merges the generations of a tier's partition: extensions and repairs become one, with the buckets of a series in one
//! chunk.

use super::TierJob;
use super::write::take_stored;
use crate::Result;
use crate::compact::{Compactor, GENERATIONS_MAX};
use crate::model::{TierId, TimeRange};
use crate::rollup::Columns;
use crate::store::catalogue::{Catalogue, GenerationRecord};
use crate::store::cursors::ChunkCursors;
use crate::store::generation::Tables;
use crate::store::generations::Partition;

/// A merged partition is merged again when it has this many generations: each repair adds one.
const REPAIRS_MAX: usize = 4;

impl<'c> Compactor<'c> {
    /// Merges the next partition of a tier that needs it; with `all`, the next one that has several generations. Returns
    /// whether there was one.
    pub(crate) fn merge_tier(&self, job: &TierJob, all: bool) -> Result<bool> {
        let catalogue = self.versions.current_owned();
        let Some(partition) = next_partition(&catalogue, job.tier(), all) else { return Ok(false) };
        self.rewrite_buckets(job, &catalogue, partition)?;
        Ok(true)
    }

    /// Merges the generations of a partition of a tier, without the series for which it is past the retention.
    pub(in crate::compact) fn rewrite_buckets(
        &self,
        job: &TierJob,
        catalogue: &Catalogue,
        partition: &Partition,
    ) -> Result<()> {
        let inputs = partition.generations.clone();
        let trims = catalogue.trims_over(partition.id);
        let mut tables = Tables::new(self.kv);
        self.versions.resolve_uncertain(self.context)?;
        let cut = inputs.iter().map(|generation| generation.record.cut).max().unwrap_or(0);
        let mut cursors = ChunkCursors::scanning(self.kv);
        let place = (partition.id, cut);
        let (prefix, record) =
            self.write_buckets(&mut tables, job, place, &inputs, |labels, ids, take| {
                if trims.iter().any(|trim| trim.series.contains(labels)) {
                    return Ok(());
                }
                take_stored(&mut cursors, &inputs, ids, TimeRange::ALL, Columns::ALL, take)
            })?;
        let record = GenerationRecord { merged: true, ..record };
        fail_point!("tier.merged");
        let written = (record.chunks > 0).then_some((prefix, record));
        self.replace_buckets(tables, written.into_iter().collect(), inputs, Vec::new(), Vec::new())?;
        fail_point!("tier.swapped");
        Ok(())
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
