//! Plain counters and figures about an open database.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::kv::KvStats;

/// Counters since the database was opened.
#[derive(Debug, Default)]
pub struct Counters {
    /// Samples appended.
    pub samples: AtomicU64,
    /// Events appended.
    pub events: AtomicU64,
    /// Series created in the head.
    pub series_created: AtomicU64,
    /// Appends refused by a limit.
    pub refused: AtomicU64,
    /// Of these, appends of a new series of a metric at its limit.
    pub refused_metric: AtomicU64,
    /// Of these, appends of a new value of a label at its limit.
    pub refused_label: AtomicU64,
    /// Of these, refused because a tenant reached one of its limits or its fair share.
    pub refused_tenant: AtomicU64,
    /// Samples older than the retention, refused.
    pub too_old: AtomicU64,
    /// Completed flushes.
    pub flushes: AtomicU64,
    /// Failed flushes; each is tried again.
    pub flush_failures: AtomicU64,
    /// Nanoseconds spent in flushes.
    pub flush_ns: AtomicU64,
    /// Completed merges.
    pub merges: AtomicU64,
    /// Failed merges.
    pub merge_failures: AtomicU64,
    /// Nanoseconds spent in merges.
    pub merge_ns: AtomicU64,
    /// Most decoded samples that a merge held at once.
    pub merge_samples_peak: AtomicU64,
    /// Most bytes of events that a merge held at once.
    pub merge_event_bytes_peak: AtomicU64,
    /// Most decoded samples that a flush held at once.
    pub flush_samples_peak: AtomicU64,
    /// Partitions dropped by retention.
    pub partitions_expired: AtomicU64,
    /// Deletes carried out.
    pub deletes: AtomicU64,
    /// Appends that had to wait for memory.
    pub waits: AtomicU64,
}

impl Counters {
    /// Adds `n`.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// Figures about an open database at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields carry the names of the counters above and of what they measure")]
pub struct Stats {
    pub samples: u64,
    pub events: u64,
    pub series_created: u64,
    pub refused: u64,
    pub refused_metric: u64,
    pub refused_label: u64,
    pub refused_tenant: u64,
    pub too_old: u64,
    pub flushes: u64,
    pub flush_failures: u64,
    pub flush_ns: u64,
    pub merges: u64,
    pub merge_failures: u64,
    pub merge_ns: u64,
    pub merge_samples_peak: u64,
    pub merge_event_bytes_peak: u64,
    pub flush_samples_peak: u64,
    pub partitions_expired: u64,
    pub deletes: u64,
    pub waits: u64,
    /// Series in the head.
    pub head_series: u64,
    /// Bytes of unflushed samples and events.
    pub head_sample_bytes: u64,
    /// Bytes of series in the head.
    pub head_series_bytes: u64,
    /// Sequence of the newest WAL record.
    pub last_seq: u64,
    /// Sequence up to which everything is on disk in the WAL or in the store.
    pub durable_seq: u64,
    /// Sequence up to which everything is in the store.
    pub flushed_seq: u64,
    /// Bytes of the WAL.
    pub wal_bytes: u64,
    /// WAL records appended.
    pub wal_records: u64,
    /// fsyncs of the WAL.
    pub wal_syncs: u64,
    /// Nanoseconds spent in them.
    pub wal_sync_ns: u64,
    /// WAL segments.
    pub wal_segments: u64,
    /// Whether the WAL refuses writes since a failed fsync.
    pub wal_poisoned: bool,
    /// Whether writes are refused because the disk is full.
    pub disk_full: bool,
    /// Whether the store refuses changes, and with them all writes, since a failed fsync.
    pub store_poisoned: bool,
    /// Partitions in the store.
    pub partitions: u64,
    /// Generations in the store.
    pub generations: u64,
    /// Of these, damaged ones that are set aside.
    pub generations_aside: u64,
    /// Tombstones not yet carried out.
    pub tombstones: u64,
    /// Chunks in the store.
    pub stored_chunks: u64,
    /// Samples in the store; one that was overwritten counts until a merge.
    pub stored_samples: u64,
    /// Bytes of chunks in the store before block compression.
    pub stored_chunk_bytes: u64,
    /// Oldest timestamp in the store.
    pub oldest: Option<i64>,
    /// Newest timestamp written.
    pub newest: Option<i64>,
    /// How far the clock is ahead of the clock that retention trusts, nanoseconds; 0 if the clock itself is trusted.
    pub clock_ahead_ns: u64,
    /// Completed passes of the scrub.
    pub scrub_passes: u64,
    /// Bytes read by the scrub.
    pub scrub_bytes: u64,
    /// Problems found by the last pass of the scrub, or by the current one if it has found more.
    pub scrub_problems: u64,
    /// End of the last pass of the scrub.
    pub scrub_finished: Option<i64>,
    /// The store's own figures.
    pub store: KvStats,
    /// Bytes on the disk, by part; zero for a database in memory.
    pub disk: DiskBytes,
}

/// Bytes that a database takes on the disk, allocated blocks included that hold nothing yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskBytes {
    /// Tables of the store: samples, index, events, catalogue.
    pub tables: u64,
    /// What RocksDB keeps beside them: MANIFEST, LOG, options.
    pub store: u64,
    /// Segments of the log.
    pub log: u64,
    /// Blocks held back for a full disk, of the log and of the store.
    pub reserve: u64,
    /// Tables under construction.
    pub staging: u64,
    /// The rest: damaged bytes that were set aside, small files.
    pub other: u64,
}

impl DiskBytes {
    /// All of them.
    pub fn total(&self) -> u64 {
        let DiskBytes { tables, store, log, reserve, staging, other } = self;
        tables + store + log + reserve + staging + other
    }
}
