//! The generations of a catalogue by partition.

use std::sync::Arc;

use crate::model::{Layout, PartitionId, TierId, TimeRange, Timestamp};
use crate::store::blocks::{Blocks, Entry};
use crate::store::keys::Prefix;
use crate::store::lifetime::{Generation, GenerationRecord};

/// The generations of one partition; at least one.
#[derive(Debug)]
pub struct Partition {
    /// The partition.
    pub id: PartitionId,
    /// The readable generations, ascending by cut (K2); of a tier of buckets, ascending by number.
    pub generations: Vec<Arc<Generation>>,
    /// The damaged generations: they stay in the store and in the catalogue, but are not read.
    pub aside: Vec<Arc<Aside>>,
}

/// A generation that is set aside.
#[derive(Debug)]
pub struct Aside {
    /// The generation.
    pub generation: Arc<Generation>,
    /// The damage.
    pub why: String,
}

impl Partition {
    /// All generations, including those set aside.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Generation>> {
        self.generations.iter().chain(self.aside.iter().map(|aside| &aside.generation))
    }

    /// Whether a merge of raw generations would make it smaller: it has several generations, or one written by a flush.
    /// A partition with a generation set aside is not merged: others may rely on its series records, and its position in
    /// their order matters.
    pub fn needs_merge(&self) -> bool {
        self.id.tier.is_raw() && self.aside.is_empty() && self.is_unmerged()
    }

    fn is_unmerged(&self) -> bool {
        self.generations.len() > 1 || self.generations.iter().any(|g| !g.record.merged)
    }

    /// All deletes up to this sequence are applied in it, or precede all of its samples. Deletes are applied to buckets
    /// by repairs, and the coverage of the tier says up to which sequence.
    pub fn applied(&self) -> u64 {
        if !self.id.tier.is_raw() {
            return u64::MAX;
        }
        self.all().map(|g| g.record.applied()).min().unwrap_or(u64::MAX)
    }
}

/// Totals of several partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Number of partitions.
    pub partitions: u64,
    /// Number of generations.
    pub generations: u64,
    /// Chunks in them.
    pub chunks: u64,
    /// Raw samples in them.
    pub samples: u64,
    /// Bytes of chunks.
    pub bytes: u64,
    /// Smallest timestamp; [`Timestamp::MAX`] if there is none.
    pub first: Timestamp,
    /// Largest timestamp; [`Timestamp::MIN`] if there is none.
    pub last: Timestamp,
    /// The smallest [`Partition::applied`].
    pub applied: u64,
    /// Partitions that a merge would make smaller.
    pub needing_merge: u64,
    /// Generations set aside.
    pub aside: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Totals {
            partitions: 0,
            generations: 0,
            chunks: 0,
            samples: 0,
            bytes: 0,
            first: Timestamp::MAX,
            last: Timestamp::MIN,
            applied: u64::MAX,
            needing_merge: 0,
            aside: 0,
        }
    }
}

impl Totals {
    fn add(&mut self, other: &Totals) {
        self.partitions += other.partitions;
        self.generations += other.generations;
        self.chunks += other.chunks;
        self.samples += other.samples;
        self.bytes += other.bytes;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.applied = self.applied.min(other.applied);
        self.needing_merge += other.needing_merge;
        self.aside += other.aside;
    }
}

impl Entry for Arc<Partition> {
    type Key = PartitionId;
    type Sum = Totals;

    fn key(&self) -> PartitionId {
        self.id
    }

    fn add_to(&self, sum: &mut Totals) {
        for GenerationRecord { chunks, samples, bytes, first, last, .. } in self.all().map(|g| &g.record) {
            sum.generations += 1;
            sum.chunks += chunks;
            // A generation of buckets counts its buckets there.
            sum.samples += if self.id.tier.is_raw() { *samples } else { 0 };
            sum.bytes += bytes;
            sum.first = sum.first.min(*first);
            sum.last = sum.last.max(*last);
        }
        sum.partitions += 1;
        sum.applied = sum.applied.min(self.applied());
        sum.needing_merge += u64::from(self.needs_merge());
        sum.aside += self.aside.len() as u64;
    }
}

/// All generations. A clone is free, and a change is cheap, regardless of their number.
#[derive(Debug, Clone, Default)]
pub struct Generations {
    partitions: Blocks<Arc<Partition>>,
}

impl Generations {
    /// Creates it from generations in any order.
    pub fn of(mut all: Vec<Arc<Generation>>) -> Self {
        all.sort_by_key(|g| (g.prefix.partition, place(g)));
        let partitions = all.chunk_by(|a, b| a.prefix.partition == b.prefix.partition);
        let partitions = partitions
            .map(|of| (of[0].prefix.partition, of.to_vec()))
            .map(|(id, generations)| Arc::new(Partition { id, generations, aside: Vec::new() }))
            .collect();
        Generations { partitions: Blocks::of_sorted(partitions) }
    }

    /// The readable generations of a partition, ascending by cut.
    pub fn in_partition(&self, partition: PartitionId) -> &[Arc<Generation>] {
        self.partitions.get(partition).map_or(&[], |found| &found.generations)
    }

    /// A partition, if it has any generation.
    pub fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.partitions.get(id).map(|partition| &**partition)
    }

    /// All generations of a partition, including those set aside.
    pub fn all_in(&self, partition: PartitionId) -> Vec<Arc<Generation>> {
        self.partitions.get(partition).map(|found| found.all().cloned().collect()).unwrap_or_default()
    }

    /// All partitions, ascending.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().map(|partition| &**partition)
    }

    /// All partitions from `from` on, ascending.
    pub fn partitions_from(&self, from: PartitionId) -> impl Iterator<Item = &Partition> {
        self.partitions.iter_from(from).map(|partition| &**partition)
    }

    /// The tiers that have partitions, ascending.
    pub fn tiers(&self) -> impl Iterator<Item = TierId> {
        let mut from = Some(PartitionId::MIN);
        std::iter::from_fn(move || {
            let tier = self.partitions_from(from?).next()?.id.tier;
            let last = PartitionId { tier, number: i32::MAX };
            from = Some(last.next()).filter(|next| *next != last);
            Some(tier)
        })
    }

    /// The partitions of a tier that overlap `range`, ascending.
    pub fn partitions_in(
        &self,
        tier: TierId,
        range: TimeRange,
        layout: Layout,
    ) -> impl Iterator<Item = &Partition> {
        let first = layout.partition(tier, range.start.saturating_add(1));
        let until = layout.partition(tier, range.end);
        self.partitions_from(first).take_while(move |partition| partition.id <= until && !range.is_empty())
    }

    /// The raw partitions from `from` on that have unmerged generations, or to which a delete up to `seq` was not applied.
    /// The result may include others.
    pub fn unfinished_from(&self, from: PartitionId, seq: u64) -> impl Iterator<Item = &Partition> {
        let found = self.partitions.find_from(from, move |sum| sum.needing_merge > 0 || sum.applied < seq);
        found.map(|partition| &**partition).filter(|partition| partition.id.tier.is_raw())
    }

    /// Whether `is_it` holds for a raw generation that was written before `seq` and overlaps `range`.
    pub fn any_before(&self, seq: u64, range: TimeRange, is_it: impl Fn(&GenerationRecord) -> bool) -> bool {
        let is_of_interest = move |sum: &Totals| sum.applied < seq && range.overlaps(sum.first, sum.last);
        let mut found = self.partitions.find_from(PartitionId::MIN, is_of_interest);
        found.any(|partition| partition.id.tier.is_raw() && partition.all().any(|g| is_it(&g.record)))
    }

    /// The last partition of its tier that is not after `partition`.
    pub fn last_until(&self, partition: PartitionId) -> Option<&Partition> {
        let found = self.partitions.last_until(partition).map(|found| &**found);
        found.filter(|found| found.id.tier == partition.tier)
    }

    /// All generations, including those set aside, ascending by partition.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Generation>> {
        self.partitions.iter().flat_map(|partition| partition.all())
    }

    /// The generation with a prefix.
    pub fn get(&self, prefix: Prefix) -> Option<&Arc<Generation>> {
        self.partitions.get(prefix.partition)?.all().find(|g| g.prefix == prefix)
    }

    /// The generations set aside.
    pub fn aside(&self) -> impl Iterator<Item = &Aside> {
        let partitions = self.partitions.find_from(PartitionId::MIN, |sum| sum.aside > 0);
        partitions.flat_map(|partition| partition.aside.iter().map(|aside| &**aside))
    }

    /// The generations set aside in the partitions that overlap `range`.
    pub fn aside_in(&self, range: TimeRange, layout: Layout) -> impl Iterator<Item = &Aside> {
        self.aside().filter(move |aside| {
            let (first, last) = layout.bounds(aside.generation.prefix.partition);
            range.overlaps(first, last)
        })
    }

    /// Sets a generation aside.
    pub fn set_aside(&mut self, prefix: Prefix, why: String) {
        let Some(partition) = self.partitions.get(prefix.partition) else { return };
        let (damaged, generations) = partition.generations.iter().cloned().partition(|g| g.prefix == prefix);
        let mut aside = partition.aside.clone();
        let damaged: Vec<Arc<Generation>> = damaged;
        aside.extend(damaged.into_iter().map(|generation| Arc::new(Aside { generation, why: why.clone() })));
        self.partitions.put(Arc::new(Partition { id: prefix.partition, generations, aside }));
    }

    /// Totals of all partitions.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.partitions.each_sum(|sum| totals.add(sum));
        totals
    }

    /// Adds a generation.
    pub fn insert(&mut self, generation: Arc<Generation>) {
        let id = generation.prefix.partition;
        let mut generations = self.in_partition(id).to_vec();
        let at = generations.partition_point(|known| place(known) < place(&generation));
        generations.insert(at, generation);
        let aside = self.partitions.get(id).map(|known| known.aside.clone()).unwrap_or_default();
        self.partitions.put(Arc::new(Partition { id, generations, aside }));
    }

    /// Removes the generation with a prefix.
    pub fn remove(&mut self, prefix: Prefix) {
        let id = prefix.partition;
        let Some(known) = self.partitions.get(id) else { return };
        let (mut generations, mut aside) = (known.generations.clone(), known.aside.clone());
        generations.retain(|known| known.prefix != prefix);
        aside.retain(|known| known.generation.prefix != prefix);
        if generations.is_empty() && aside.is_empty() {
            self.partitions.remove(id);
        } else {
            self.partitions.put(Arc::new(Partition { id, generations, aside }));
        }
    }
}

/// Its position among those of its partition.
fn place(generation: &Generation) -> (u64, u64) {
    let cut = if generation.prefix.partition.tier.is_raw() { generation.record.cut } else { 0 };
    (cut, generation.prefix.generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::lifetime::Obsolete;

    fn generation(partition: i32, number: u64, cut: u64, merged: bool) -> Arc<Generation> {
        let prefix = Prefix { partition: PartitionId::raw(partition), generation: number };
        let first = i64::from(partition) * 10;
        let record = GenerationRecord {
            cut,
            samples: 2,
            first,
            last: first + 9,
            merged,
            ..GenerationRecord::default()
        };
        Generation::new(prefix, record, &Arc::new(Obsolete::default()))
    }

    fn numbers<'g>(generations: impl Iterator<Item = &'g Arc<Generation>>) -> Vec<u64> {
        generations.map(|g| g.prefix.generation).collect()
    }

    #[test]
    fn generations_are_in_the_order_of_partitions_and_cuts() {
        let mut all = Generations::of(vec![generation(3, 1, 9, false), generation(-3, 2, 9, true)]);
        all.insert(generation(3, 4, 7, false));
        all.insert(generation(3, 3, 9, false));
        assert_eq!(numbers(all.iter()), [2, 4, 1, 3]);
        assert_eq!(numbers(all.in_partition(PartitionId::raw(3)).iter()), [4, 1, 3]);
        assert_eq!(
            (all.totals().partitions, all.totals().generations, all.totals().needing_merge),
            (2, 4, 1)
        );
        assert_eq!((all.totals().first, all.totals().last, all.totals().applied), (-30, 39, 7));
        for number in [1, 3, 4, 4] {
            all.remove(Prefix { generation: number, ..generation(3, 1, 9, false).prefix });
        }
        assert_eq!(numbers(all.iter()), [2]);
        assert!(all.in_partition(PartitionId::raw(3)).is_empty());
    }

    #[test]
    fn what_is_set_aside_is_not_read_and_not_merged_and_stays() {
        let mut all = Generations::of((0..4).map(|number| generation(1, number, number, false)).collect());
        let damaged = generation(1, 2, 2, false).prefix;
        all.set_aside(damaged, "a block".to_owned());
        let partition = all.partitions().next().unwrap();
        assert_eq!(numbers(partition.generations.iter()), [0, 1, 3]);
        assert!(!partition.needs_merge() && partition.applied() == 0);
        assert_eq!((all.totals().generations, all.totals().aside, all.totals().needing_merge), (4, 1, 0));
        assert!(all.get(damaged).is_some() && all.aside().all(|aside| aside.why == "a block"));
        let width = 60_000_000_000;
        assert_eq!(all.aside_in(TimeRange::new(0, width - 1), Layout::new(width)).count(), 0);
        assert_eq!(all.aside_in(TimeRange::new(0, width), Layout::new(width)).count(), 1);
        all.insert(generation(1, 9, 9, false));
        for number in [0, 1, 3, 9] {
            all.remove(Prefix { generation: number, ..damaged });
        }
        assert_eq!((numbers(all.iter()), all.in_partition(damaged.partition).len()), (vec![2], 0));
        all.remove(damaged);
        assert_eq!(all.totals().partitions, 0);
    }

    #[test]
    fn a_range_reads_its_partitions_only() {
        let all = Generations::of((-5..5).map(|p| generation(p, 1, 1, true)).collect());
        let width = 60_000_000_000;
        let layout = Layout::new(width);
        let found =
            |range| all.partitions_in(TierId::RAW, range, layout).map(|p| p.id.number).collect::<Vec<_>>();
        assert_eq!(found(TimeRange::ALL).len(), 10);
        assert_eq!(found(TimeRange::new(-1, width)), [0, 1]);
        assert_eq!(found(TimeRange::new(-2, width - 1)), [-1, 0]);
        assert_eq!(found(TimeRange::new(9, 9)), [0; 0]);
        assert_eq!(found(TimeRange::new(500 * width, 900 * width)), [0; 0]);
    }

    #[test]
    fn each_tier_has_partitions_of_its_own() {
        let tiers = [TierId::RAW, TierId { class: 0, resolution: 1 }, TierId { class: 3, resolution: 0 }];
        let of = |(tier, number)| {
            let prefix = Prefix { partition: PartitionId { tier, number }, generation: 1 };
            Generation::new(prefix, GenerationRecord::default(), &Arc::default())
        };
        let all = Generations::of(tiers.iter().flat_map(|tier| [(*tier, 0), (*tier, 4)]).map(of).collect());
        assert_eq!(all.tiers().collect::<Vec<_>>(), tiers);
        let layout = Layout::new(60_000_000_000);
        for tier in tiers {
            let found: Vec<_> = all.partitions_in(tier, TimeRange::ALL, layout).map(|p| p.id).collect();
            assert_eq!(found, [0, 4].map(|number| PartitionId { tier, number }));
            assert!(
                all.last_until(PartitionId { tier, number: -1 }).is_none(),
                "that is one of another tier"
            );
            assert_eq!(all.last_until(PartitionId { tier, number: 3 }).map(|p| p.id.number), Some(0));
        }
    }
}
