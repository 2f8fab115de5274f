//! Derives the options of the database from the settings.

use barograph::{Durability, Options};

use crate::config::{self, Config};
use crate::memory;

/// The engine's options from the settings.
pub fn options(config: &Config) -> Options {
    Options {
        durability: match config.durability {
            config::Durability::Always => Durability::Always,
            config::Durability::Interval => Durability::Interval(config.sync_interval),
            config::Durability::Off => Durability::Off,
        },
        memory_bytes: memory::engine_bytes(config),
        retention: config.retention,
        partition_width: config.partition_width,
        flush_interval: config.flush_interval,
        wal_bytes: config.wal_size,
        new_series_per_second: config.max_new_series,
        active_series: config.max_series,
        max_series_per_metric: config.max_series_per_metric,
        max_values_per_label: config.max_values_per_label,
        tenant_label: config.tenant_label.clone(),
        max_series_per_tenant: config.max_series_per_tenant,
        max_new_series_per_tenant: config.max_new_series_per_tenant,
        labels_per_series: config.max_labels,
        label_bytes_per_series: config.max_label_bytes,
        label_bytes_per_line: config.max_line_label_bytes,
        partitions_per_request: config.max_partitions_per_request,
        write_wait: config.write_wait,
        scrub_interval: config.scrub_interval,
        recover_damaged_wal: config.on_damage.recover_wal,
        refuse_damaged_store: config.on_damage.refuse_store,
        ..Options::default()
    }
}
