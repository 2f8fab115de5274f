//! Retention: partitions wholly before the horizon are dropped.

use crate::Result;
use crate::compact::{Compactor, count};
use crate::model::{PartitionId, Timestamp};
use crate::store::catalogue::Catalogue;
use crate::store::versions::{Edit, IndexChange};

/// Whether a partition is wholly before the horizon.
pub(crate) fn is_expiry_due(catalogue: &Catalogue, horizon: Timestamp) -> bool {
    expired(catalogue, horizon).next().is_some()
}

/// The partitions whose last instant is not after the horizon.
fn expired(catalogue: &Catalogue, horizon: Timestamp) -> impl Iterator<Item = PartitionId> {
    let width = catalogue.root.partition_width_ns;
    let past = catalogue.generations.partitions().take_while(move |p| p.id.bounds(width).1 <= horizon);
    past.map(|partition| partition.id)
}

impl Compactor<'_> {
    /// Drops the partitions whose last instant is not after the horizon.
    pub(crate) fn expire(&self, horizon: Timestamp) -> Result<()> {
        let (mut dropped, mut partitions) = (Vec::new(), 0);
        let was_any = self.versions.commit(self.context, |now| {
            let edit = expiry(now.catalogue, horizon);
            if edit.remove.is_empty() {
                return Ok(None);
            }
            fail_point!("expire.begun");
            (dropped, partitions) = (edit.remove.clone(), edit.index.dropped.len());
            Ok(Some(edit))
        })?;
        if !was_any {
            return Ok(());
        }
        fail_point!("expire.committed");
        dropped.iter().for_each(|g| g.retire());
        fail_point!("expire.retired");
        count(&self.counters.partitions_expired, partitions as u64);
        tracing::info!(partitions, "dropped partitions past the retention");
        Ok(())
    }
}

fn expiry(catalogue: &Catalogue, horizon: Timestamp) -> Edit {
    let dropped: Vec<PartitionId> = expired(catalogue, horizon).collect();
    let remove = dropped.iter().flat_map(|partition| catalogue.generations.all_in(*partition)).collect();
    Edit { remove, index: IndexChange { dropped, ..IndexChange::default() }, ..Edit::default() }
}
