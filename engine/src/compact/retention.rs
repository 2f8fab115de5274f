//! Retention: partitions wholly before the horizon are dropped.

use crate::Result;
use crate::compact::count;
use crate::engine::Parts;
use crate::model::Timestamp;
use crate::store::edit::Edit;

impl Parts {
    /// Whether a partition is wholly before the horizon.
    pub(crate) fn is_expiry_due(&self, horizon: Timestamp) -> bool {
        let current = self.catalogue.load();
        let width = current.root.partition_width_ns;
        let first = current.generations.first_partition();
        first.is_some_and(|partition| partition.id.bounds(width).1 <= horizon)
    }

    /// Drops the partitions whose last instant is not after the horizon.
    pub(crate) fn expire(&self, horizon: Timestamp) -> Result<()> {
        let mut structure = self.structure.lock();
        let current = self.catalogue.load_full();
        let width = current.root.partition_width_ns;
        let gone = current.generations.partitions().take_while(|p| p.id.bounds(width).1 <= horizon);
        let (partitions, gone): (Vec<_>, Vec<_>) =
            gone.map(|p| (p.id, p.all().cloned().collect::<Vec<_>>())).unzip();
        let edit = Edit { remove: gone.concat(), ..Edit::default() };
        if edit.remove.is_empty() {
            return Ok(());
        }
        fail_point!("expire.begun");
        self.commit_edit(&mut structure, &edit, Vec::new())?;
        for partition in &partitions {
            structure.indexed.remove(partition);
            *structure.versions.entry(*partition).or_default() += 1;
        }
        fail_point!("expire.committed");
        drop(structure);
        edit.remove.iter().for_each(|g| g.retire());
        fail_point!("expire.retired");
        count(&self.counters.partitions_expired, partitions.len() as u64);
        tracing::info!(partitions = partitions.len(), "dropped partitions past the retention");
        Ok(())
    }
}
