//! The work of the compactor: `/api/v1/status/compaction`, and metrics of the tiers of buckets.

use barograph::{BudgetReport, Database, EventsReport, LadderReport, SeriesClass, TierReport};
use serde_json::{Value, json};

use crate::config::Config;
use crate::telemetry::exposition::{Kind, Metric};

/// Counts since the start, the tiers of buckets, the disk budget, and what is kept of events and of which series.
pub fn describe(database: &Database, config: &Config) -> Value {
    let stats = database.stats();
    json!({
        "merges": stats.merges,
        "mergeFailures": stats.merge_failures,
        "waitedSeconds": stats.compaction_waited.as_secs_f64(),
        "partitionsExpired": stats.partitions_expired,
        "partitions": stats.partitions,
        "generations": stats.generations,
        "samples": stats.stored_samples,
        "tombstones": stats.tombstones,
        "tiers": database.tiers().iter().map(tier).collect::<Vec<_>>(),
        "budget": budget(&database.budget()),
        "keptBy": config.kept_source(database.stored_kept().is_some()),
        "events": events(&database.events_kept()),
        "ladders": database.ladders().iter().map(ladder).collect::<Vec<_>>(),
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

fn budget(report: &BudgetReport) -> Value {
    json!({
        "budgetBytes": report.budget_bytes,
        "usedBytes": report.used_bytes,
        "bytesPerDay": report.bytes_per_day,
        "fullInSeconds": report.full_in.map(|time| time.as_secs()),
        "rawKeptSeconds": report.raw_kept.map(|time| time.as_secs()),
    })
}

fn events(report: &EventsReport) -> Value {
    json!({
        "retentionSeconds": report.retention.as_secs(),
        "droppedThrough": report.dropped.map(|time| time.as_secs_f64()),
    })
}

fn ladder(report: &LadderReport) -> Value {
    let dropped = report.dropped.iter().map(|dropped| {
        let name = dropped.resolution.map_or("raw", |resolution| resolution.name());
        (name.to_owned(), json!(dropped.until.as_secs_f64()))
    });
    json!({
        "ladder": report.ladder.to_string(),
        "droppedThrough": dropped.collect::<serde_json::Map<_, _>>(),
    })
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
        "omits": tier.omits.iter().map(class).collect::<Vec<_>>(),
    })
}

fn class(class: &SeriesClass) -> Value {
    json!({
        "counters": class.is_counter,
        "nativeHistograms": class.has_histograms,
        "sampleSeconds": class.seconds(),
    })
}
