//! Figures about an open database, and the counters that its owners keep for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::store::kv::KvStats;

/// Counts something since the database was opened.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Raises it to `n` if it is lower.
    pub fn raise_to(&self, n: u64) {
        self.0.fetch_max(n, Ordering::Relaxed);
    }

    /// The current value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Figures about an open database at one moment. Counts begin when it is opened.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Number of samples appended.
    pub samples: u64,
    /// Number of events appended.
    pub events: u64,
    /// Number of series created in the head.
    pub series_created: u64,
    /// Number of appends refused by a limit.
    pub refused: u64,
    /// Of these, appends of a new series of a metric at its limit.
    pub refused_metric: u64,
    /// Of these, appends of a new value of a label at its limit.
    pub refused_label: u64,
    /// Of these, refused because a tenant reached one of its limits or its fair share.
    pub refused_tenant: u64,
    /// Number of samples refused because they were older than the retention.
    pub too_old: u64,
    /// Number of completed flushes.
    pub flushes: u64,
    /// Number of failed flushes; each is retried.
    pub flush_failures: u64,
    /// Time spent in flushes.
    pub flush_time: Duration,
    /// Number of completed merges.
    pub merges: u64,
    /// Number of failed merges.
    pub merge_failures: u64,
    /// Time spent in merges.
    pub merge_time: Duration,
    /// Bytes that the compactor has read and written while there was a limit
    /// ([`Options::compaction_rate`](crate::Options::compaction_rate)).
    pub compaction_bytes: u64,
    /// Time for which the compactor waited because of this limit. It is a part of `merge_time` too.
    pub compaction_waited: Duration,
    /// Maximum number of decoded samples that a merge held at once.
    pub merge_samples_peak: u64,
    /// Maximum size of events that a merge held at once, bytes.
    pub merge_event_bytes_peak: u64,
    /// Maximum number of decoded samples that a flush held at once.
    pub flush_samples_peak: u64,
    /// Number of partitions dropped by retention.
    pub partitions_expired: u64,
    /// Number of deletes.
    pub deletes: u64,
    /// Number of appends that waited for memory.
    pub waits: u64,
    /// Number of series in the head.
    pub head_series: u64,
    /// Bytes of unflushed samples and events.
    pub head_sample_bytes: u64,
    /// Bytes of series in the head.
    pub head_series_bytes: u64,
    /// Sequence number of the newest WAL record.
    pub last_seq: u64,
    /// Sequence number up to which everything is synced, in the WAL or in the store.
    pub durable_seq: u64,
    /// Sequence number up to which everything is in the store.
    pub flushed_seq: u64,
    /// Size of the WAL, bytes.
    pub wal_bytes: u64,
    /// Number of WAL records appended.
    pub wal_records: u64,
    /// Number of fsyncs of the WAL.
    pub wal_syncs: u64,
    /// Time spent in fsyncs of the WAL.
    pub wal_sync_time: Duration,
    /// Number of WAL segments.
    pub wal_segments: u64,
    /// Whether the WAL refuses writes because of a failed fsync.
    pub wal_poisoned: bool,
    /// Whether writes are refused because the disk is full.
    pub disk_full: bool,
    /// Whether the store refuses changes, and therefore all writes are refused, because of a failed fsync.
    pub store_poisoned: bool,
    /// Number of partitions in the store.
    pub partitions: u64,
    /// Number of generations in the store.
    pub generations: u64,
    /// Number of damaged generations that are set aside; `generations` includes them.
    pub generations_aside: u64,
    /// Number of tombstones that are not yet applied to stored data.
    pub tombstones: u64,
    /// Number of chunks in the store.
    pub stored_chunks: u64,
    /// Number of samples in the store; an overwritten sample counts until it is merged.
    pub stored_samples: u64,
    /// Bytes of chunks in the store before block compression.
    pub stored_chunk_bytes: u64,
    /// Oldest timestamp in the store.
    pub oldest: Option<crate::Timestamp>,
    /// Newest timestamp written.
    pub newest: Option<crate::Timestamp>,
    /// How far the clock is ahead of the time that retention trusts; zero if the clock is trusted.
    pub clock_ahead: Duration,
    /// Number of completed scrubs.
    pub scrub_passes: u64,
    /// Bytes read by scrubs.
    pub scrub_bytes: u64,
    /// Problems found by the last scrub, or by the current one if it has found more.
    pub scrub_problems: u64,
    /// When the last scrub ended.
    pub scrub_finished: Option<crate::Timestamp>,
    /// The statistics of the store.
    pub store: KvStats,
    /// Bytes on the disk, by part; zero for a database in memory.
    pub disk: DiskBytes,
}

/// Bytes that a database takes on disk, including allocated blocks without data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskBytes {
    /// Tables of the store: samples, index, events, catalogue.
    pub tables: u64,
    /// Other files of RocksDB: MANIFEST, options.
    pub store: u64,
    /// Segments of the log.
    pub log: u64,
    /// Blocks held back for a full disk, for the log and for the store.
    pub reserve: u64,
    /// Tables under construction.
    pub staging: u64,
    /// The rest: damaged bytes that were set aside, small files.
    pub other: u64,
}

impl DiskBytes {
    /// The sum of all parts.
    pub fn total(&self) -> u64 {
        let DiskBytes { tables, store, log, reserve, staging, other } = self;
        tables + store + log + reserve + staging + other
    }
}
