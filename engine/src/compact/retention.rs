//! Retention: partitions wholly before the horizon are dropped.

use std::sync::Arc;

use crate::Result;
use crate::compact::count;
use crate::engine::Parts;
use crate::model::Timestamp;

impl Parts {
    /// Whether a partition is wholly before the horizon.
    pub(crate) fn is_expiry_due(&self, horizon: Timestamp) -> bool {
        let current = self.catalogue.load();
        let width = current.root.partition_width_ns;
        current.generations.iter().any(|g| g.prefix.partition.bounds(width).1 <= horizon)
    }

    /// Drops the partitions whose last instant is not after the horizon.
    pub(crate) fn expire(&self, horizon: Timestamp) -> Result<()> {
        let mut structure = self.structure.lock();
        let current = self.catalogue.load_full();
        let width = current.root.partition_width_ns;
        let is_past = |partition: crate::model::PartitionId| partition.bounds(width).1 <= horizon;
        let (gone, kept): (Vec<_>, Vec<_>) =
            current.generations.iter().cloned().partition(|g| is_past(g.prefix.partition));
        if gone.is_empty() {
            return Ok(());
        }
        let mut next = (*current).clone();
        next.generations = kept;
        self.replace_catalogue(&mut structure.doubt, &current, next)?;
        let mut partitions: Vec<_> = gone.iter().map(|g| g.prefix.partition).collect();
        partitions.dedup();
        for partition in &partitions {
            structure.indexed.remove(partition);
            *structure.versions.entry(*partition).or_default() += 1;
        }
        drop(structure);
        gone.iter().for_each(|g| g.retire());
        drop((Arc::clone(&current), gone));
        count(&self.counters.partitions_expired, partitions.len() as u64);
        tracing::info!(partitions = partitions.len(), "dropped partitions past the retention");
        Ok(())
    }
}
