//! Figures about the open database.

use crate::engine::Engine;
use crate::engine::directory::disk_use;
use crate::head::TenantsReport;
use crate::model::Timestamp;
use crate::stats::Stats;

impl Engine {
    /// Figures about the open database, which are not taken at a single moment.
    pub fn stats(&self) -> Stats {
        if !self.is_usable() {
            return Stats::default();
        }
        let shared = &self.shared;
        let newest = shared.retention.newest_written();
        let mut stats = Stats {
            head_series: shared.head.series_count() as u64,
            head_sample_bytes: shared.head.sample_bytes(),
            head_series_bytes: shared.head.series_bytes(),
            newest: (newest != Timestamp::MIN).then_some(crate::Timestamp::from_nanos(newest)),
            clock_ahead: shared.retention.ahead(),
            store_poisoned: shared.versions.kv().failure().is_some(),
            store: shared.versions.kv().stats(),
            disk: shared.disk.dir().map(disk_use::measure).unwrap_or_default(),
            ..Stats::default()
        };
        shared.admission.add_to(&mut stats);
        shared.writer.add_to(&mut stats);
        shared.flusher.add_to(&mut stats);
        shared.merger.add_to(&mut stats);
        shared.scrub.add_to(&mut stats);
        self.add_catalogue(&mut stats);
        stats
    }

    /// The memory of the `top` tenants with most series, and of all others together.
    pub fn tenants(&self, top: usize) -> TenantsReport {
        if self.is_usable() { self.shared.head.tenants.report(top) } else { TenantsReport::default() }
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
        stats.oldest = (totals.generations > 0).then_some(crate::Timestamp::from_nanos(totals.first));
    }
}
