//! The disk budget: when the database is larger, the oldest partitions are dropped, of the finest data first.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Merger, Pass};
use crate::Result;
use crate::compact::downsample::{TierJob, is_included};
use crate::engine::directory::disk_use;
use crate::engine::tiers::BudgetReport;
use crate::model::{PartitionId, TierId, Timestamp};
use crate::store::catalogue::Catalogue;
use crate::store::generations::Partition;

/// The number of newest partitions of a tier that a budget does not drop: the one that is written, and one that is closed.
const PARTITIONS_MIN: usize = 2;
/// A forecast looks at this many partitions that are closed.
const PARTITIONS_MEASURED: usize = 7;
/// Tables are at most this many times as large as their chunks: beyond that they have space that is reclaimed later.
const SCALE_MAX: f64 = 3.0;
const DAY_NS: f64 = 86_400e9;

/// What the parts of a database take.
pub(super) struct Use {
    /// Everything.
    total: u64,
    /// Bytes on the disk for each byte of chunks in the catalogue: indexes, events and the form of tables.
    pub(super) scale: f64,
}

impl Merger {
    pub(super) fn disk_use(&self, catalogue: &Catalogue) -> Use {
        let chunks = catalogue.generations.totals().bytes;
        let Some(dir) = self.disk.dir() else { return Use { total: chunks, scale: 1.0 } };
        let found = disk_use::measure(dir);
        let scale = self.scale(found.tables, chunks);
        Use { total: found.total() - found.tables + (chunks as f64 * scale) as u64, scale }
    }

    /// What tables take for each byte of chunks in the catalogue. While they also hold what has left it, for readers or
    /// until it is removed, that cannot be measured: it is what it was, or too little, and too little is dropped.
    fn scale(&self, tables: u64, chunks: u64) -> f64 {
        let obsolete = self.versions.obsolete();
        let mut scale = self.scale.lock();
        if chunks > 0 && obsolete.held() == 0 && obsolete.is_empty() {
            *scale = Some((tables as f64 / chunks as f64).clamp(1.0, SCALE_MAX));
        }
        scale.unwrap_or(1.0)
    }

    /// Drops the oldest partitions if the database is larger than its budget. What wider tiers keep stays until these include
    /// it, as in [`Merger::expire`].
    pub(in crate::engine) fn fit(&self, pass: &Pass) -> Result<()> {
        let budget = pass.disk_bytes();
        let catalogue = self.versions.current_owned();
        let Some((used, horizons)) = self.beyond_budget(&catalogue, budget, &pass.tiers) else {
            return Ok(());
        };
        if horizons.is_empty() {
            tracing::warn!(
                used,
                budget,
                "the database is larger than its budget, and nothing more can be dropped"
            );
            return Ok(());
        }
        tracing::info!(used, budget, "the database is larger than its budget: old partitions are dropped");
        self.drop_before(pass, &|partition| {
            horizons.get(&partition.id.tier).copied().unwrap_or(Timestamp::MIN)
        })
    }

    /// What the database takes if that is more than a budget, and the time of each tier up to which data is dropped for it.
    pub(super) fn beyond_budget(
        &self,
        catalogue: &Catalogue,
        budget: u64,
        tiers: &[TierJob],
    ) -> Option<(u64, BTreeMap<TierId, Timestamp>)> {
        if budget == 0 {
            return None;
        }
        let now = self.disk_use(catalogue);
        let excess = now.total.checked_sub(budget).filter(|excess| *excess > 0)?;
        Some((now.total, horizons(catalogue, (excess as f64 / now.scale) as u64, tiers)))
    }

    /// How the database fits into its budget.
    pub fn budget(&self) -> BudgetReport {
        let catalogue = self.versions.current_owned();
        let Use { total, scale } = self.disk_use(&catalogue);
        let budget = self.keeping.kept().disk_bytes;
        let rates = rates(&catalogue);
        let per_day: f64 = rates.values().sum::<f64>() * scale;
        let full_in = (budget > 0 && per_day > 0.0).then(|| {
            let days = (budget as f64 - total as f64).max(0.0) / per_day;
            Duration::try_from_secs_f64(days * 86_400.0).unwrap_or(Duration::MAX)
        });
        let first = catalogue.raw_from().max(first_sample(&catalogue).saturating_sub(1));
        let span = catalogue.root.newest.saturating_sub(first).max(0);
        let raw = Duration::from_nanos(span.unsigned_abs());
        BudgetReport {
            budget_bytes: budget,
            used_bytes: total,
            bytes_per_day: (per_day > 0.0).then_some(per_day as u64),
            full_in,
            raw_kept: full_in.map(|full_in| raw.saturating_add(full_in)),
        }
    }
}

/// The time of the first raw sample; the newest time that counts if there is none.
fn first_sample(catalogue: &Catalogue) -> Timestamp {
    let all = of_tier(catalogue, TierId::RAW).flat_map(Partition::all);
    let first = all.filter(|g| g.record.samples > 0).map(|g| g.record.first).min();
    first.unwrap_or(catalogue.root.newest)
}

/// The time of each tier up to which data is dropped so that `excess` bytes of chunks are freed, or as many as can be.
fn horizons(catalogue: &Catalogue, excess: u64, tiers: &[TierJob]) -> BTreeMap<TierId, Timestamp> {
    let (layout, mut freed) = (catalogue.layout(), 0);
    let mut all: Vec<TierId> = catalogue.generations.tiers().collect();
    all.sort_unstable_by_key(|tier| tier.resolution().map_or(0, |resolution| resolution.width_ns()));
    let mut horizons = BTreeMap::new();
    for tier in all {
        let partitions: Vec<&Partition> = of_tier(catalogue, tier).collect();
        let old = partitions.len().saturating_sub(PARTITIONS_MIN);
        for partition in &partitions[..old] {
            if freed >= excess || !is_included(catalogue, partition.id, tiers) {
                break;
            }
            freed += bytes_in(partition);
            horizons.insert(tier, layout.bounds(partition.id).1);
        }
    }
    horizons
}

fn of_tier(catalogue: &Catalogue, tier: TierId) -> impl Iterator<Item = &Partition> {
    catalogue
        .generations
        .partitions_from(PartitionId::first_of(tier))
        .take_while(move |partition| partition.id.tier == tier)
}

fn bytes_in(partition: &Partition) -> u64 {
    partition.all().map(|generation| generation.record.bytes).sum()
}

fn bytes_of(catalogue: &Catalogue, tier: TierId) -> u64 {
    of_tier(catalogue, tier).map(bytes_in).sum()
}

/// Bytes of chunks of each tier for a day, as far as they have been merged, or built.
fn rates(catalogue: &Catalogue) -> BTreeMap<TierId, f64> {
    let rate = |tier: TierId| {
        let (bytes, span) = match catalogue.coverage.get(&tier).filter(|_| !tier.is_raw()) {
            Some(coverage) => (bytes_of(catalogue, tier), coverage.through.saturating_sub(coverage.from)),
            None => closed_samples(catalogue),
        };
        (span > 0).then(|| (tier, bytes as f64 / span as f64 * DAY_NS))
    };
    catalogue.generations.tiers().filter_map(rate).collect()
}

/// The bytes of the newest closed partitions of raw samples, and the time that they span.
fn closed_samples(catalogue: &Catalogue) -> (u64, i64) {
    let partitions: Vec<&Partition> = of_tier(catalogue, TierId::RAW).collect();
    let closed = &partitions[..partitions.len().saturating_sub(PARTITIONS_MIN)];
    let measured = &closed[closed.len().saturating_sub(PARTITIONS_MEASURED)..];
    measured.iter().fold((0, 0), |(bytes, span), partition| {
        let ends = partition.all().map(|generation| (generation.record.first, generation.record.last));
        let whole = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let (first, last) = whole.unwrap_or_default();
        (bytes + bytes_in(partition), last.saturating_sub(first).saturating_add(span))
    })
}
