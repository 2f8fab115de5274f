//! The shares of memory as metrics and for the status page, together with the actual memory of the process.

use barograph::budget::Part;
use barograph::{Database, Stats};
use serde_json::{Value, json};

use crate::memory::{Memory, PARTS, PROCESS_BYTES};
use crate::telemetry::exposition::{Kind, Metric};
use crate::telemetry::process;

/// A share at one point in time.
struct Entry {
    part: &'static Part,
    limit: u64,
    used: Option<u64>,
    peak: Option<u64>,
    refused: Option<u64>,
    is_engine: bool,
}

impl Entry {
    fn describe(&self) -> Value {
        let mut entry = json!({
            "name": self.part.name, "limitBytes": self.limit, "usedBytes": self.used,
            "bounds": self.part.bounds, "whenFull": self.part.full,
        });
        if !self.is_engine {
            entry["peakBytes"] = json!(self.peak);
            entry["refused"] = json!(self.refused);
        }
        entry
    }
}

/// The engine's parts, then the shares of the server itself.
fn entries(memory: &Memory, database: &Database) -> Vec<Entry> {
    let of_engine = database.memory().into_iter().map(|of| Entry {
        part: of.part,
        limit: of.limit,
        used: of.used,
        peak: None,
        refused: None,
        is_engine: true,
    });
    let shares = memory.shares().into_iter().map(|share| Entry {
        part: Part::named(PARTS, share.name()),
        limit: share.limit(),
        used: Some(share.used()),
        peak: Some(share.peak()),
        refused: Some(share.refused()),
        is_engine: false,
    });
    of_engine.chain(shares).collect()
}

/// The answer of `/api/v1/status/memory`.
pub fn describe(memory: &Memory, database: &Database) -> Value {
    let entries = entries(memory, database);
    let list = |is_engine| -> Vec<Value> {
        entries.iter().filter(|entry| entry.is_engine == is_engine).map(Entry::describe).collect()
    };
    let stats = database.stats();
    let resident = process::resident();
    let engine = Part::named(PARTS, "engine");
    let counted: u64 = entries.iter().filter(|entry| entry.is_engine).filter_map(|entry| entry.used).sum();
    json!({
        "memoryBytes": memory.total(),
        "process": {
            "reservedBytes": PROCESS_BYTES,
            "residentBytes": resident.map(|r| r.total),
            "residentAnonymousBytes": resident.map(|r| r.anonymous),
            "residentFileBytes": resident.map(|r| r.file),
        },
        "engine": {
            "limitBytes": memory.engine(), "usedBytes": counted, "bounds": engine.bounds,
            "whenFull": engine.full, "parts": list(true),
        },
        "shares": list(false),
        "rocksdb": {
            "blockCacheBytes": stats.store.cache_bytes,
            "blockCachePinnedBytes": stats.store.cache_pinned_bytes, "otherBytes": stats.store.other_memory_bytes,
        },
        "pieces": pieces(&stats),
    })
}

fn pieces(stats: &Stats) -> Value {
    json!({
        "flushSamplesPeak": stats.flush_samples_peak, "mergeSamplesPeak": stats.merge_samples_peak,
        "mergeEventBytesPeak": stats.merge_event_bytes_peak,
    })
}

/// The shares as metrics.
pub fn metrics(memory: &Memory, database: &Database) -> Vec<Metric> {
    let mut limit =
        Metric::new(Kind::Gauge, "barograph_memory_limit_bytes", "Limit of each share of memory.");
    let mut used =
        Metric::new(Kind::Gauge, "barograph_memory_used_bytes", "Current use of each share of memory.");
    let mut peak =
        Metric::new(Kind::Gauge, "barograph_memory_peak_bytes", "Highest use of each share of memory.");
    let mut refused = Metric::new(
        Kind::Counter,
        "barograph_memory_refused_total",
        "Requests for memory that each share refused.",
    );
    for entry in entries(memory, database) {
        let labels = [("share", entry.part.name)];
        limit.push(&labels, entry.limit as f64);
        for (metric, value) in
            [(&mut used, entry.used), (&mut peak, entry.peak), (&mut refused, entry.refused)]
        {
            if let Some(value) = value {
                metric.push(&labels, value as f64);
            }
        }
    }
    let total = Metric::plain(
        Kind::Gauge,
        "barograph_memory_bytes",
        "The setting memory, which bounds the process.",
        memory.total() as f64,
    );
    vec![total, limit, used, peak, refused]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_one_share() {
        let mut names: Vec<_> =
            PARTS.iter().chain(barograph::internals::PARTS).map(|part| part.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}
