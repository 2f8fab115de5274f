//! Figures about the open database.

use std::sync::atomic::Ordering;

use crate::engine::directory::disk_use;
use crate::engine::{Engine, duration_ns};
use crate::head::TenantsReport;
use crate::model::Timestamp;
use crate::stats::Stats;
use crate::wal::Wal;

impl Engine {
    /// Figures about the open database, taken one after the other.
    pub fn stats(&self) -> Stats {
        if !self.is_usable() {
            return Stats::default();
        }
        let shared = &self.shared;
        let c = &shared.counters;
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let newest = shared.retention.newest_written();
        let mut stats = Stats {
            samples: load(&c.samples),
            events: load(&c.events),
            series_created: load(&c.series_created),
            refused: load(&c.refused),
            refused_metric: load(&c.refused_metric),
            refused_label: load(&c.refused_label),
            refused_tenant: load(&c.refused_tenant),
            too_old: load(&c.too_old),
            flushes: load(&c.flushes),
            flush_failures: load(&c.flush_failures),
            flush_ns: load(&c.flush_ns),
            merges: load(&c.merges),
            merge_failures: load(&c.merge_failures),
            merge_ns: load(&c.merge_ns),
            merge_samples_peak: load(&c.merge_samples_peak),
            merge_event_bytes_peak: load(&c.merge_event_bytes_peak),
            flush_samples_peak: load(&c.flush_samples_peak),
            partitions_expired: load(&c.partitions_expired),
            deletes: load(&c.deletes),
            waits: load(&c.waits),
            head_series: shared.head.series_count() as u64,
            head_sample_bytes: shared.head.sample_bytes(),
            head_series_bytes: shared.head.series_bytes(),
            last_seq: shared.wal.as_ref().map_or_else(|| shared.commit.lock().last_seq, Wal::last_seq),
            newest: (newest != Timestamp::MIN).then_some(newest),
            clock_ahead_ns: duration_ns(shared.retention.ahead()).unsigned_abs(),
            store_poisoned: shared.versions.kv().failure().is_some(),
            store: shared.versions.kv().stats(),
            disk: shared.dir.as_deref().map(disk_use::measure).unwrap_or_default(),
            ..Stats::default()
        };
        shared.scrub.add_to(&mut stats);
        self.add_wal(&mut stats);
        self.add_catalogue(&mut stats);
        stats
    }

    /// The memory of the `top` tenants with most series, and of all others together.
    pub fn tenants(&self, top: usize) -> TenantsReport {
        if self.is_usable() { self.shared.head.tenants.report(top) } else { TenantsReport::default() }
    }

    fn add_wal(&self, stats: &mut Stats) {
        let Some(wal) = &self.shared.wal else { return };
        let figures = wal.stats();
        stats.durable_seq = wal.durable_seq();
        stats.wal_bytes = wal.size_bytes();
        stats.wal_records = figures.records;
        stats.wal_syncs = figures.syncs;
        stats.wal_sync_ns = figures.sync_ns_sum;
        stats.wal_segments = figures.segments;
        stats.wal_poisoned = figures.poisoned;
        stats.disk_full = figures.disk_full;
    }

    fn add_catalogue(&self, stats: &mut Stats) {
        let catalogue = self.shared.versions.current();
        stats.flushed_seq = catalogue.root.flushed_seq;
        stats.tombstones = catalogue.tombstones.len() as u64;
        let totals = catalogue.generations.totals();
        stats.generations = totals.generations;
        stats.generations_aside = totals.aside;
        stats.partitions = totals.partitions;
        stats.stored_chunks = totals.chunks;
        stats.stored_samples = totals.samples;
        stats.stored_chunk_bytes = totals.bytes;
        stats.oldest = (totals.generations > 0).then_some(totals.first);
    }
}
