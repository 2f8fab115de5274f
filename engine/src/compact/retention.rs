//! Retention: partitions wholly before the horizon of their tier are dropped.

use crate::Result;
use crate::compact::Compactor;
use crate::model::{PartitionId, TierId, Timestamp};
use crate::store::catalogue::Catalogue;
use crate::store::versions::{Edit, IndexChange};

/// The time of each tier at or before which samples are past the retention.
pub(crate) type Horizons<'h> = &'h dyn Fn(TierId) -> Timestamp;

/// Whether a partition is wholly before the horizon of its tier.
pub(crate) fn is_expiry_due(catalogue: &Catalogue, horizons: Horizons<'_>) -> bool {
    expired(catalogue, horizons).next().is_some()
}

/// The partitions whose last instant is not after the horizon of their tier.
fn expired<'c>(catalogue: &'c Catalogue, horizons: Horizons<'c>) -> impl Iterator<Item = PartitionId> + 'c {
    let layout = catalogue.layout();
    catalogue.generations.tiers().flat_map(move |tier| {
        let horizon = horizons(tier);
        let partitions = catalogue.generations.partitions_from(PartitionId::first_of(tier)).map(|p| p.id);
        partitions.take_while(move |id| id.tier == tier && layout.bounds(*id).1 <= horizon)
    })
}

impl Compactor<'_> {
    /// Drops the partitions whose last instant is not after the horizon of their tier.
    pub(crate) fn expire(&self, horizons: Horizons<'_>) -> Result<()> {
        let (mut dropped, mut partitions) = (Vec::new(), 0);
        let was_any = self.versions.commit(self.context, |now| {
            let edit = expiry(now.catalogue, horizons);
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
        dropped.iter().for_each(|g| g.mark_obsolete());
        fail_point!("expire.retired");
        self.counts.partitions_expired.add(partitions as u64);
        tracing::info!(partitions, "dropped partitions past the retention");
        Ok(())
    }
}

fn expiry(catalogue: &Catalogue, horizons: Horizons<'_>) -> Edit {
    let dropped: Vec<PartitionId> = expired(catalogue, horizons).collect();
    let remove = dropped.iter().flat_map(|partition| catalogue.generations.all_in(*partition)).collect();
    Edit { remove, index: IndexChange { dropped, ..IndexChange::default() }, ..Edit::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Layout;
    use crate::store::catalogue::{Generation, GenerationRecord};
    use crate::store::keys::Prefix;

    #[test]
    fn each_tier_has_a_horizon_of_its_own() {
        let hourly = TierId { class: 0, resolution: 1 };
        let mut catalogue = Catalogue::new(1, Layout::new(1000));
        for (tier, number) in [(TierId::RAW, 0), (TierId::RAW, 1), (hourly, -2), (hourly, 0), (hourly, 1)] {
            let prefix = Prefix { partition: PartitionId { tier, number }, generation: 1 };
            let generation = Generation::new(prefix, GenerationRecord::default(), &Default::default());
            catalogue.generations.insert(generation);
        }
        let expired = |raw, other| {
            let horizons = move |tier| if tier == TierId::RAW { raw } else { other };
            let edit = expiry(&catalogue, &horizons);
            assert_eq!(edit.remove.len(), edit.index.dropped.len());
            edit.index.dropped.iter().map(|id| (id.tier.resolution, id.number)).collect::<Vec<_>>()
        };
        assert_eq!(expired(998, Timestamp::MIN), []);
        assert_eq!(expired(999, Timestamp::MIN), [(0, 0)]);
        assert_eq!(expired(1999, 999), [(0, 0), (0, 1), (1, -2), (1, 0)]);
        assert_eq!(expired(Timestamp::MIN, 999), [(1, -2), (1, 0)]);
    }
}
