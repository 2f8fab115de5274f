//! Derives the options of the database from the settings.

use barograph::{Durability, Options};

use crate::config::{self, Config};
use crate::memory;

/// The engine's options from the settings.
pub fn options(config: &Config) -> Options {
    Options::default()
        .with_durability(match config.durability {
            config::Durability::Always => Durability::Always,
            config::Durability::Interval => Durability::Interval(config.sync_interval),
            config::Durability::Off => Durability::Off,
        })
        .with_memory_bytes(memory::engine_bytes(config))
        .with_retention(config.retention)
        .with_tiers(config.tiers.clone())
        .with_ladders(config.ladders.clone())
        .with_event_retention(config.event_retention)
        .with_stored_kept(config.kept_places().next().is_none())
        .with_disk_bytes(config.disk_budget)
        .with_duplicates(config.duplicates)
        .with_partition_width(config.partition_width)
        .with_flush_interval(config.flush_interval)
        .with_wal_bytes(config.wal_size)
        .with_new_series_per_second(config.max_new_series)
        .with_active_series(config.max_series)
        .with_max_series_per_metric(config.max_series_per_metric)
        .with_max_values_per_label(config.max_values_per_label)
        .with_tenant_label(config.tenant_label.clone())
        .with_max_series_per_tenant(config.max_series_per_tenant)
        .with_max_new_series_per_tenant(config.max_new_series_per_tenant)
        .with_labels_per_series(config.max_labels)
        .with_label_bytes_per_series(config.max_label_bytes)
        .with_label_bytes_per_line(config.max_line_label_bytes)
        .with_partitions_per_request(config.max_partitions_per_request)
        .with_write_wait(config.write_wait)
        .with_scrub_interval(config.scrub_interval)
        .with_compaction_rate(config.compaction_rate)
        .with_recover_damaged_wal(config.on_damage.recover_wal)
        .with_refuse_damaged_store(config.on_damage.refuse_store)
}
