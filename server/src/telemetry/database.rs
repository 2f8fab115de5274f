//! The statistics of the database as metrics, in one table.

use barograph::{Stats, TenantsReport, Timestamp};

use crate::telemetry::exposition::{Kind, Metric};

type Read = fn(&Stats) -> f64;

/// Name, help, type and value of each metric. The names begin with `barograph_db_`, which `barograph inspect` looks
/// for.
const TABLE: &[(&str, &str, Kind, Read)] = &[
    ("barograph_db_samples_total", "Samples appended.", Kind::Counter, |s| s.samples as f64),
    ("barograph_db_events_total", "Events appended.", Kind::Counter, |s| s.events as f64),
    ("barograph_db_series_created_total", "Series created in the head.", Kind::Counter, |s| {
        s.series_created as f64
    }),
    ("barograph_db_refused_total", "Appends refused by a limit.", Kind::Counter, |s| s.refused as f64),
    (
        "barograph_db_refused_metric_limit_total",
        "Appends of new series refused by max_series_per_metric.",
        Kind::Counter,
        |s| s.refused_metric as f64,
    ),
    (
        "barograph_db_refused_label_limit_total",
        "Appends of new series refused by max_values_per_label.",
        Kind::Counter,
        |s| s.refused_label as f64,
    ),
    (
        "barograph_db_refused_tenant_limit_total",
        "Appends of new series refused by max_series_per_tenant, max_new_series_per_tenant or the fair share of a tenant.",
        Kind::Counter,
        |s| s.refused_tenant as f64,
    ),
    ("barograph_db_too_old_total", "Samples older than the retention, refused.", Kind::Counter, |s| {
        s.too_old as f64
    }),
    ("barograph_db_waits_total", "Appends that had to wait for memory.", Kind::Counter, |s| s.waits as f64),
    ("barograph_db_flushes_total", "Completed flushes.", Kind::Counter, |s| s.flushes as f64),
    ("barograph_db_flush_failures_total", "Failed flushes; each is tried again.", Kind::Counter, |s| {
        s.flush_failures as f64
    }),
    ("barograph_db_flush_seconds_total", "Time spent in flushes.", Kind::Counter, |s| {
        s.flush_time.as_secs_f64()
    }),
    ("barograph_db_merges_total", "Completed merges.", Kind::Counter, |s| s.merges as f64),
    ("barograph_db_merge_failures_total", "Failed merges.", Kind::Counter, |s| s.merge_failures as f64),
    ("barograph_db_merge_seconds_total", "Time spent in merges.", Kind::Counter, |s| {
        s.merge_time.as_secs_f64()
    }),
    (
        "barograph_db_compaction_waited_seconds_total",
        "Time for which merges waited because of `compaction_rate`; a part of the time spent in merges.",
        Kind::Counter,
        |s| s.compaction_waited.as_secs_f64(),
    ),
    ("barograph_db_partitions_expired_total", "Partitions dropped by retention.", Kind::Counter, |s| {
        s.partitions_expired as f64
    }),
    ("barograph_db_deletes_total", "Deletes carried out.", Kind::Counter, |s| s.deletes as f64),
    ("barograph_db_head_series", "Series in the head.", Kind::Gauge, |s| s.head_series as f64),
    ("barograph_db_head_sample_bytes", "Memory of unflushed samples and events.", Kind::Gauge, |s| {
        s.head_sample_bytes as f64
    }),
    ("barograph_db_head_series_bytes", "Memory of series in the head.", Kind::Gauge, |s| {
        s.head_series_bytes as f64
    }),
    ("barograph_db_last_seq", "Sequence number of the newest WAL record.", Kind::Gauge, |s| {
        s.last_seq as f64
    }),
    ("barograph_db_durable_seq", "WAL sequence number up to which everything is synced.", Kind::Gauge, |s| {
        s.durable_seq as f64
    }),
    (
        "barograph_db_flushed_seq",
        "WAL sequence number up to which everything is in the store.",
        Kind::Gauge,
        |s| s.flushed_seq as f64,
    ),
    ("barograph_db_wal_bytes", "Size of the WAL.", Kind::Gauge, |s| s.wal_bytes as f64),
    ("barograph_db_wal_segments", "Number of WAL segments.", Kind::Gauge, |s| s.wal_segments as f64),
    ("barograph_db_wal_records_total", "WAL records appended.", Kind::Counter, |s| s.wal_records as f64),
    ("barograph_db_wal_syncs_total", "fsyncs of the WAL.", Kind::Counter, |s| s.wal_syncs as f64),
    ("barograph_db_wal_sync_seconds_total", "Time spent in fsyncs of the WAL.", Kind::Counter, |s| {
        s.wal_sync_time.as_secs_f64()
    }),
    ("barograph_db_scrub_passes_total", "Completed scrubs of the store.", Kind::Counter, |s| {
        s.scrub_passes as f64
    }),
    ("barograph_db_scrub_bytes_total", "Bytes read by scrubs.", Kind::Counter, |s| s.scrub_bytes as f64),
    (
        "barograph_db_scrub_problems",
        "Problems in the store found by the last scrub, or by the current one if it found more.",
        Kind::Gauge,
        |s| s.scrub_problems as f64,
    ),
    (
        "barograph_db_scrub_finished_timestamp_seconds",
        "Time at which the last scrub ended; 0 before the first.",
        Kind::Gauge,
        |s| s.scrub_finished.map_or(0.0, Timestamp::as_secs_f64),
    ),
    ("barograph_db_disk_full", "1 while writes are refused because the disk is full.", Kind::Gauge, |s| {
        f64::from(u8::from(s.disk_full))
    }),
    (
        "barograph_db_store_poisoned",
        "1 when writes are refused since an fsync of the store failed.",
        Kind::Gauge,
        |s| f64::from(u8::from(s.store_poisoned)),
    ),
    ("barograph_db_wal_poisoned", "1 when writes are refused since a failed fsync.", Kind::Gauge, |s| {
        f64::from(u8::from(s.wal_poisoned))
    }),
    ("barograph_db_partitions", "Partitions in the store.", Kind::Gauge, |s| s.partitions as f64),
    ("barograph_db_generations", "Generations in the store.", Kind::Gauge, |s| s.generations as f64),
    ("barograph_db_tombstones", "Tombstones not yet applied to stored data.", Kind::Gauge, |s| {
        s.tombstones as f64
    }),
    ("barograph_db_stored_chunks", "Chunks in the store.", Kind::Gauge, |s| s.stored_chunks as f64),
    ("barograph_db_stored_samples", "Samples in the store, including overwritten ones.", Kind::Gauge, |s| {
        s.stored_samples as f64
    }),
    (
        "barograph_db_stored_chunk_bytes",
        "Size of the chunks in the store before block compression.",
        Kind::Gauge,
        |s| s.stored_chunk_bytes as f64,
    ),
    ("barograph_db_oldest_seconds", "Oldest timestamp in the store.", Kind::Gauge, |s| seconds(s.oldest)),
    ("barograph_db_newest_seconds", "Newest timestamp written.", Kind::Gauge, |s| seconds(s.newest)),
    (
        "barograph_db_generations_set_aside",
        "Damaged generations that are set aside: reads omit and report them, or are refused.",
        Kind::Gauge,
        |s| s.generations_aside as f64,
    ),
    (
        "barograph_db_clock_ahead_seconds",
        "How far the clock is ahead of the time that retention trusts; 0 if the clock is trusted.",
        Kind::Gauge,
        |s| s.clock_ahead.as_secs_f64(),
    ),
    (
        "barograph_db_disk_bytes",
        "Size of all files of the database, including preallocated blocks.",
        Kind::Gauge,
        |s| s.disk.total() as f64,
    ),
    ("barograph_db_rocksdb_table_bytes", "Size of the RocksDB tables on disk.", Kind::Gauge, |s| {
        s.store.table_bytes as f64
    }),
    ("barograph_db_rocksdb_tables", "Number of RocksDB tables.", Kind::Gauge, |s| s.store.tables as f64),
    ("barograph_db_rocksdb_cache_bytes", "Size of RocksDB's block cache.", Kind::Gauge, |s| {
        s.store.cache_bytes as f64
    }),
    (
        "barograph_db_rocksdb_other_memory_bytes",
        "Memory of RocksDB outside its block cache.",
        Kind::Gauge,
        |s| s.store.other_memory_bytes as f64,
    ),
];

fn seconds(time: Option<Timestamp>) -> f64 {
    time.map_or(f64::NAN, Timestamp::as_secs_f64)
}

/// The memory of queries.
pub fn query_memory(bytes: u64) -> Metric {
    Metric::plain(
        Kind::Gauge,
        "barograph_query_memory_bytes",
        "Memory held by queries, including unsent answers.",
        bytes as f64,
    )
}

/// Maximum number of tenants with separate points.
pub const TENANTS_MAX: usize = 50;

/// The series of tenants in memory, and their refused series. The sum over all tenants without a separate point is a
/// separate metric, since any value of a label can be the name of a tenant.
pub fn tenants(report: &TenantsReport) -> [Metric; 5] {
    let gauge = |name, help, value: u64| Metric::plain(Kind::Gauge, name, help, value as f64);
    let count = gauge("barograph_tenants", "Tenants with series in memory (tenant_label).", report.count);
    let mut series = Metric::new(
        Kind::Gauge,
        "barograph_tenant_series",
        "Series in memory of the 50 tenants with the most; series without tenant_label belong to the empty tenant.",
    );
    for tenant in &report.largest {
        series.push(&[("tenant", &tenant.name)], tenant.series as f64);
    }
    let others = gauge(
        "barograph_tenant_series_others",
        "Series in memory of all other tenants.",
        report.others.series,
    );
    let mut refused = Metric::new(
        Kind::Counter,
        "barograph_tenant_refused_series_total",
        "New series refused by a limit, for the first 50 tenants that had any.",
    );
    for (name, count) in &report.refused {
        refused.push(&[("tenant", name)], *count as f64);
    }
    let refused_others = Metric::plain(
        Kind::Counter,
        "barograph_tenant_refused_series_others_total",
        "New series of all other tenants refused by a limit.",
        report.refused_others as f64,
    );
    [count, series, others, refused, refused_others]
}

/// All figures.
pub fn metrics(stats: &Stats) -> Vec<Metric> {
    TABLE.iter().map(|(name, help, kind, read)| Metric::plain(*kind, name, help, read(stats))).collect()
}

#[cfg(test)]
mod tests {
    use barograph::TenantUse;

    use super::*;
    use crate::telemetry::exposition;

    #[test]
    fn names_say_their_type() {
        for (name, help, kind, _) in TABLE {
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(name.starts_with("barograph_db_") && help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn tenants_that_are_not_listed_are_summed_up() {
        let tenant = |name: &str, series| TenantUse { name: name.to_owned(), series, bytes: 0 };
        let report = TenantsReport {
            count: 60,
            largest: vec![tenant("a", 9), tenant("", 5)],
            others: tenant("", 7),
            refused: vec![("a".to_owned(), 3)],
            refused_others: 2,
        };
        let text = exposition::write(&tenants(&report));
        for line in [
            "barograph_tenants 60",
            "barograph_tenant_series{tenant=\"a\"} 9",
            "barograph_tenant_series{tenant=\"\"} 5",
            "barograph_tenant_series_others 7",
            "barograph_tenant_refused_series_total{tenant=\"a\"} 3",
            "barograph_tenant_refused_series_others_total 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
