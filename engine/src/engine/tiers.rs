//! Figures about the tiers of buckets.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::Engine;
use crate::model::{Resolution, TierId};

/// A tier of buckets: what is stored, and for which span.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierReport {
    /// The width of its buckets.
    pub resolution: Resolution,
    /// How long its buckets are kept, zero for ever; `None` if the options no longer name the tier, whose buckets then
    /// stay as they are.
    pub keep: Option<Duration>,
    /// The span for which it is complete: its buckets end after the first time and not after the second. `None` until
    /// the first buckets are built.
    pub complete: Option<(crate::Timestamp, crate::Timestamp)>,
    /// Number of buckets, including those that a later merge removes.
    pub buckets: u64,
    /// Bytes of their chunks.
    pub bytes: u64,
    /// Number of partitions.
    pub partitions: u64,
    /// Number of generations.
    pub generations: u64,
}

impl Engine {
    /// The tiers of buckets, ascending by width.
    pub fn tiers(&self) -> Vec<TierReport> {
        if !self.is_usable() {
            return Vec::new();
        }
        let kept = self.shared.options.tiers.iter().map(|tier| (tier.resolution, tier.keep));
        let kept: BTreeMap<Resolution, Duration> = kept.collect();
        let catalogue = self.shared.versions.current_owned();
        let stored = catalogue.coverage.keys().filter_map(|tier| tier.resolution());
        let mut all: Vec<Resolution> = kept.keys().copied().chain(stored).collect();
        all.sort_unstable_by_key(|resolution| resolution.width_ns());
        all.dedup();
        let report = |resolution: Resolution| {
            let tier = TierId::of(0, resolution);
            let complete = catalogue.coverage.get(&tier).map(|coverage| {
                let at = crate::Timestamp::from_nanos;
                (at(coverage.from), at(coverage.through))
            });
            let keep = kept.get(&resolution).copied();
            let mut report = TierReport {
                resolution,
                keep,
                complete,
                buckets: 0,
                bytes: 0,
                partitions: 0,
                generations: 0,
            };
            let partitions = catalogue.generations.partitions_from(crate::model::PartitionId::first_of(tier));
            for partition in partitions.take_while(|partition| partition.id.tier == tier) {
                report.partitions += 1;
                for generation in partition.all() {
                    report.generations += 1;
                    report.buckets += generation.record.samples;
                    report.bytes += generation.record.bytes;
                }
            }
            report
        };
        all.into_iter().map(report).collect()
    }
}
