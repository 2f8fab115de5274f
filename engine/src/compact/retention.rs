//! Retention: partitions wholly before the horizon of their tier are dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Result;
use crate::compact::Compactor;
use crate::compact::downsample::{TierJob, is_included};
use crate::model::{PartitionId, TierId, Timestamp};
use crate::store::catalogue::{Catalogue, Choices, Coverage};
use crate::store::generations::Partition;
use crate::store::versions::{Edit, IndexChange};

/// The time at or before which what a partition holds is past the retention.
pub(crate) type Horizons<'h> = &'h dyn Fn(&Partition) -> Timestamp;

/// Whether a partition is wholly before the horizon of its tier, and may be dropped.
pub(crate) fn is_expiry_due(catalogue: &Catalogue, horizons: Horizons<'_>, tiers: &[TierJob]) -> bool {
    expired(catalogue, horizons, tiers).next().is_some()
}

/// The partitions whose last instant is not after the horizon of their tier. A raw partition, and all after it, stay
/// until all tiers include it, and those of a tier until the next wider one does.
fn expired<'c>(
    catalogue: &'c Catalogue,
    horizons: Horizons<'c>,
    tiers: &'c [TierJob],
) -> impl Iterator<Item = PartitionId> + 'c {
    let layout = catalogue.layout();
    catalogue.generations.tiers().flat_map(move |tier| {
        let partitions = catalogue.generations.partitions_from(PartitionId::first_of(tier));
        let old = partitions.take_while(move |partition| {
            let is_old = partition.id.tier == tier && layout.bounds(partition.id).1 <= horizons(partition);
            is_old && is_included(catalogue, partition.id, tiers)
        });
        old.map(|partition| partition.id)
    })
}

impl Compactor<'_> {
    /// Drops the partitions whose last instant is not after the horizon of their tier. Raw ones stay until these tiers
    /// include them.
    pub(crate) fn expire(&self, horizons: Horizons<'_>, tiers: &[TierJob]) -> Result<()> {
        let (mut dropped, mut partitions) = (Vec::new(), 0);
        let was_any = self.versions.commit(self.context, |now| {
            let edit = expiry(now.catalogue, horizons, tiers);
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

    /// Drops all of a tier of buckets. Returns the bytes of its chunks; `None` if there is no such tier.
    pub(crate) fn drop_tier(&self, tier: TierId) -> Result<Option<u64>> {
        let mut dropped = Vec::new();
        let was_any = self.versions.commit(self.context, |now| {
            let edit = removal(now.catalogue, tier);
            dropped.clone_from(&edit.remove);
            Ok((!edit.coverage.is_empty()).then(|| edit.without_spent(now.catalogue)))
        })?;
        fail_point!("tier.dropped");
        dropped.iter().for_each(|g| g.mark_obsolete());
        Ok(was_any.then(|| dropped.iter().map(|g| g.record.bytes).sum()))
    }
}

/// Removes a tier with all that is known of it; changes nothing if there is none.
fn removal(catalogue: &Catalogue, tier: TierId) -> Edit {
    let of_tier = catalogue.generations.partitions_from(PartitionId::first_of(tier)).map(|p| p.id);
    let dropped: Vec<PartitionId> = of_tier.take_while(|id| id.tier == tier).collect();
    let trims = catalogue.trims.iter().filter(|(_, trim)| trim.tier == tier);
    let mut choices = Choices::clone(&catalogue.choices);
    choices.forget(tier);
    Edit {
        remove: dropped.iter().flat_map(|partition| catalogue.generations.all_in(*partition)).collect(),
        coverage: catalogue.coverage.contains_key(&tier).then_some((tier, None)).into_iter().collect(),
        trims: trims.map(|(number, _)| (*number, None)).collect(),
        choices: Some(Arc::new(choices)),
        index: IndexChange { dropped, ..IndexChange::default() },
        ..Edit::default()
    }
}

fn expiry(catalogue: &Catalogue, horizons: Horizons<'_>, tiers: &[TierJob]) -> Edit {
    let dropped: Vec<PartitionId> = expired(catalogue, horizons, tiers).collect();
    let remove = dropped.iter().flat_map(|partition| catalogue.generations.all_in(*partition)).collect();
    let coverage = coverage_without(catalogue, &dropped);
    Edit { remove, coverage, index: IndexChange { dropped, ..IndexChange::default() }, ..Edit::default() }
}

/// The coverage of the tiers that have lost these partitions. That of raw samples only says where they begin.
fn coverage_without(catalogue: &Catalogue, dropped: &[PartitionId]) -> Vec<(TierId, Option<Coverage>)> {
    let mut ends = BTreeMap::new();
    for partition in dropped {
        let (_, last) = catalogue.layout().bounds(*partition);
        let end = ends.entry(partition.tier).or_insert(last);
        *end = last.max(*end);
    }
    let (from, through) = (Timestamp::MIN, Timestamp::MAX);
    let all = Coverage { from, through, cut: 0, deletes_applied: u64::MAX, whole_from: Timestamp::MIN };
    let known = |tier: TierId| match catalogue.coverage.get(&tier) {
        None if tier == TierId::RAW => Some(all),
        known => known.copied(),
    };
    ends.into_iter()
        .filter_map(|(tier, end)| {
            let known = known(tier)?;
            let from = known.from.max(end);
            Some((tier, Some(Coverage { from, through: known.through.max(from), ..known })))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Layout;
    use crate::store::catalogue::{Generation, GenerationRecord};
    use crate::store::keys::Prefix;

    #[test]
    fn each_tier_has_a_horizon_of_its_own() {
        let hourly = TierId { class: 0, resolution: 200 };
        let mut catalogue = Catalogue::new(1, Layout::new(1000));
        for (tier, number) in [(TierId::RAW, 0), (TierId::RAW, 1), (hourly, -2), (hourly, 0), (hourly, 1)] {
            let prefix = Prefix { partition: PartitionId { tier, number }, generation: 1 };
            let generation = Generation::new(prefix, GenerationRecord::default(), &Default::default());
            catalogue.generations.insert(generation);
        }
        let expired = |raw, other| {
            let horizons =
                move |partition: &Partition| if partition.id.tier == TierId::RAW { raw } else { other };
            let edit = expiry(&catalogue, &horizons, &[]);
            assert_eq!(edit.remove.len(), edit.index.dropped.len());
            edit.index.dropped.iter().map(|id| (id.tier.resolution, id.number)).collect::<Vec<_>>()
        };
        assert_eq!(expired(998, Timestamp::MIN), []);
        assert_eq!(expired(999, Timestamp::MIN), [(0, 0)]);
        assert_eq!(expired(1999, 999), [(0, 0), (0, 1), (200, -2), (200, 0)]);
        assert_eq!(expired(Timestamp::MIN, 999), [(200, -2), (200, 0)]);
    }

    #[test]
    fn a_partition_of_a_tier_stays_until_the_next_wider_tier_has_it() {
        use crate::model::Resolution;
        use crate::rollup::Extras;
        let [narrow, wide] = ["5m", "1h"].map(|name| Resolution::parse(name).unwrap());
        let job = |resolution, finer| TierJob {
            resolution,
            finer,
            extras: Extras::default(),
            horizon: Timestamp::MIN,
            omits: false,
        };
        let jobs = [job(narrow, None), job(wide, Some(narrow))];
        let mut catalogue = Catalogue::new(1, Layout::new(1000));
        let (tier, day) = (TierId::of(0, narrow), narrow.partition_ns());
        for number in 0..3 {
            let prefix = Prefix { partition: PartitionId { tier, number }, generation: 1 };
            let (first, last) = catalogue.layout().bounds(prefix.partition);
            let record = GenerationRecord { first, last, chunks: 1, ..GenerationRecord::default() };
            catalogue.generations.insert(Generation::new(prefix, record, &Default::default()));
        }
        let mut dropped = |covered: Option<(Timestamp, Timestamp)>| {
            let coverages = std::sync::Arc::make_mut(&mut catalogue.coverage);
            let whole_from = Timestamp::MIN;
            let of = |from, through| Coverage { from, through, cut: 1, deletes_applied: 1, whole_from };
            coverages.insert(tier, of(0, 3 * day));
            if let Some((from, through)) = covered {
                coverages.insert(TierId::of(0, wide), of(from, through));
            }
            let edit = expiry(&catalogue, &|_| 2 * day, &jobs);
            edit.index.dropped.iter().map(|id| id.number).collect::<Vec<_>>()
        };
        assert_eq!(dropped(None), []);
        assert_eq!(dropped(Some((wide.width_ns(), 3 * day))), [], "it begins too late");
        assert_eq!(dropped(Some((0, day))), [0]);
        assert_eq!(dropped(Some((0, 3 * day))), [0, 1]);
    }
}
