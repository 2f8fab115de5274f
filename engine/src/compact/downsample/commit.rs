//! Makes written generations of buckets part of the catalogue, after reading them back.

use std::sync::Arc;

use crate::compact::Compactor;
use crate::model::TierId;
use crate::rollup::{BucketColumns, Columns};
use crate::store::catalogue::{Coverage, Generation, GenerationRecord, Trim};
use crate::store::cursors::decode_chunk;
use crate::store::generation::Tables;
use crate::store::keys::Prefix;
use crate::store::kv::{Bulk, Family};
use crate::store::versions::Edit;
use crate::{Error, Result};

/// A generation of buckets that was written and is not committed.
pub(super) type Written = (Prefix, GenerationRecord);

impl<'c> Compactor<'c> {
    /// Makes written buckets durable, then commits them together with the tier's new coverage.
    pub(super) fn commit_buckets(
        &self,
        tier: TierId,
        tables: Tables<'c>,
        written: Vec<Written>,
        coverage: Coverage,
    ) -> Result<()> {
        self.replace_buckets(tables, written, Vec::new(), vec![(tier, Some(coverage))], Vec::new())
    }

    /// Makes written buckets durable, reads them back, and commits them in place of the generations `remove`, which are
    /// obsolete then, together with new coverages and trims.
    pub(super) fn replace_buckets(
        &self,
        tables: Tables<'c>,
        written: Vec<Written>,
        remove: Vec<Arc<Generation>>,
        coverage: Vec<(TierId, Option<Coverage>)>,
        trims: Vec<(u32, Arc<Trim>)>,
    ) -> Result<()> {
        fail_point!("tier.written");
        let written: Vec<Arc<Generation>> =
            written.into_iter().map(|(prefix, record)| self.versions.generation(prefix, record)).collect();
        let ingested = if written.is_empty() { Ok(()) } else { tables.ingest() };
        let stored = ingested.and_then(|()| {
            fail_point!("tier.ingested");
            self.read_back(&written)?;
            self.versions.commit(self.context, |now| {
                let edit = Edit {
                    add: written.clone(),
                    remove: remove.clone(),
                    coverage: coverage.clone(),
                    trims: trims.iter().map(|(number, trim)| (*number, Some(trim.clone()))).collect(),
                    ..Edit::default()
                };
                Ok(Some(edit.without_spent(now.catalogue)))
            })
        });
        if let Err(error) = stored {
            self.versions.discard(written.iter().map(|generation| generation.prefix).collect());
            return Err(error);
        }
        fail_point!("tier.committed");
        remove.iter().for_each(|generation| generation.mark_obsolete());
        Ok(())
    }

    /// Compares what the store has of the generations with what was written. Samples may be dropped once buckets include
    /// them.
    fn read_back(&self, written: &[Arc<Generation>]) -> Result<()> {
        let is_good = written.iter().try_for_each(|generation| {
            self.versions.reading_back(Some(generation.clone()));
            check_stored(self.kv, generation)
        });
        self.versions.reading_back(None);
        is_good
    }
}

fn check_stored(kv: &dyn Bulk, generation: &Generation) -> Result<()> {
    let prefix = generation.prefix.encode();
    let (mut chunks, mut sum, mut count) = (0u64, 0u64, 0u64);
    let mut buckets = BucketColumns::new(Columns::ALL_TIMES);
    let mut cursor = kv.scan(Family::Chunks);
    cursor.seek(&prefix)?;
    while let Some((key, value)) = cursor.entry().filter(|(key, _)| key.starts_with(&prefix)) {
        chunks += 1;
        sum = sum.wrapping_add(u64::from(crc32fast::hash(value)));
        buckets.truncate(0);
        decode_chunk(key, value, Columns::ALL_TIMES, &mut buckets)?;
        count += buckets.len() as u64;
        cursor.advance()?;
    }
    let GenerationRecord { chunks: wrote, samples, crc_sum, .. } = generation.record;
    if (chunks, count, sum) == (wrote, samples, crc_sum) {
        return Ok(());
    }
    Err(Error::Corrupt {
        file: format!("chunks/{}", prefix.escape_ascii()),
        offset: 0,
        what: format!(
            "{count} buckets in {chunks} chunks with checksum {sum:016x} are read back, {samples} in {wrote} with \
             {crc_sum:016x} were written; the samples stay in use"
        ),
    })
}
