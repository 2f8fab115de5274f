//! The work of the compactor: `/api/v1/status/compaction`, and metrics of the tiers of buckets.

use barograph::{Database, TierReport};
use serde_json::{Value, json};

use crate::telemetry::exposition::{Kind, Metric};

/// Counts since the start, and the tiers of buckets.
pub fn describe(database: &Database) -> Value {
    let stats = database.stats();
    json!({
        "merges": stats.merges,
        "mergeFailures": stats.merge_failures,
        "partitionsExpired": stats.partitions_expired,
        "partitions": stats.partitions,
        "generations": stats.generations,
        "samples": stats.stored_samples,
        "tombstones": stats.tombstones,
        "tiers": database.tiers().iter().map(tier).collect::<Vec<_>>(),
    })
}

/// Metrics of the tiers; none without tiers.
pub fn metrics(tiers: &[TierReport]) -> Vec<Metric> {
    let mut buckets =
        Metric::new(Kind::Gauge, "barograph_db_tier_buckets", "Buckets in the store, by width.");
    let mut bytes =
        Metric::new(Kind::Gauge, "barograph_db_tier_bytes", "Size of the chunks of buckets, by width.");
    let mut through = Metric::new(
        Kind::Gauge,
        "barograph_db_tier_complete_seconds",
        "Time up to which a tier is complete; missing until its first buckets are built.",
    );
    for tier in tiers {
        let labels = [("width", tier.resolution.name())];
        buckets.push(&labels, tier.buckets as f64);
        bytes.push(&labels, tier.bytes as f64);
        if let Some((_, until)) = tier.complete {
            through.push(&labels, until.as_secs_f64());
        }
    }
    let all = [buckets, bytes, through];
    all.into_iter().filter(|metric| !metric.points.is_empty()).collect()
}

fn tier(tier: &TierReport) -> Value {
    json!({
        "resolution": tier.resolution.name(),
        "keepSeconds": tier.keep.map(|keep| keep.as_secs()),
        "completeFrom": tier.complete.map(|(from, _)| from.as_secs_f64()),
        "completeThrough": tier.complete.map(|(_, through)| through.as_secs_f64()),
        "forecastBytes": tier.forecast_bytes,
        "buckets": tier.buckets,
        "bytes": tier.bytes,
        "partitions": tier.partitions,
        "generations": tier.generations,
    })
}
