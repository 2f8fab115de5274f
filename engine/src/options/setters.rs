//! Setters, with which a program builds its options.

use std::time::Duration;

use super::{Durability, Ladder, Options, Tiers};
use crate::model::Duplicates;

macro_rules! setters {
    ($($set:ident $field:ident: $type:ty),* $(,)?) => {
        /// Setters of the fields with the same names.
        ///
        /// ```
        /// use barograph_engine::{Durability, Options};
        ///
        /// let options = Options::default().with_durability(Durability::Off).with_memory_bytes(64 << 20);
        /// assert_eq!(options.memory_bytes, 64 << 20);
        /// ```
        impl Options {
            $(
                #[doc = concat!("Sets [`Options::", stringify!($field), "`].")]
                #[must_use]
                pub fn $set(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*

            /// Sets [`Options::tenant_label`].
            #[must_use]
            pub fn with_tenant_label(mut self, label: impl Into<String>) -> Self {
                self.tenant_label = label.into();
                self
            }
        }
    };
}

setters! {
    with_durability durability: Durability,
    with_memory_bytes memory_bytes: u64,
    with_retention retention: Duration,
    with_tiers tiers: Tiers,
    with_ladders ladders: Vec<Ladder>,
    with_event_retention event_retention: Option<Duration>,
    with_stored_kept stored_kept: bool,
    with_disk_bytes disk_bytes: u64,
    with_duplicates duplicates: Duplicates,
    with_partition_width partition_width: Duration,
    with_flush_interval flush_interval: Duration,
    with_wal_bytes wal_bytes: u64,
    with_wal_segment_bytes wal_segment_bytes: u64,
    with_wal_reserve_bytes wal_reserve_bytes: u64,
    with_new_series_per_second new_series_per_second: u64,
    with_active_series active_series: u64,
    with_max_series_per_metric max_series_per_metric: u64,
    with_max_values_per_label max_values_per_label: u64,
    with_max_series_per_tenant max_series_per_tenant: u64,
    with_max_new_series_per_tenant max_new_series_per_tenant: u64,
    with_labels_per_series labels_per_series: usize,
    with_label_bytes_per_series label_bytes_per_series: usize,
    with_label_bytes_per_line label_bytes_per_line: usize,
    with_partitions_per_request partitions_per_request: usize,
    with_write_wait write_wait: Duration,
    with_chunk_samples chunk_samples: usize,
    with_open_timeout open_timeout: Duration,
    with_scrub_interval scrub_interval: Duration,
    with_compaction_rate compaction_rate: u64,
    with_recover_damaged_wal recover_damaged_wal: bool,
    with_refuse_damaged_store refuse_damaged_store: bool,
    with_background background: bool,
}
