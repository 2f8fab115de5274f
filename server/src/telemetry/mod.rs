//! The server's own counters, and everything that reads them.
//!
//! Counters are atomics with fixed labels: an endpoint is a path in the table of routes, and a status is its class, so
//! no request can add a series. [`Telemetry::metrics`] returns all of them in one list, which `/metrics` prints and the
//! self-monitor writes into the database. A metric therefore exists in both or in neither.

pub mod compaction;
pub mod database;
pub mod exposition;
pub mod latency;
pub mod log;
pub mod memory;
pub mod process;
pub mod requests;
pub mod udp;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use exposition::{Kind, Metric};
use latency::Latency;
use requests::Requests;
use udp::UdpCounters;

pub use latency::LatencyClass;

/// A counter. It uses relaxed ordering, because nothing else is ordered by it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds one until the guard is dropped; for gauges.
    pub fn guard(&self) -> CounterGuard<'_> {
        self.add(1);
        CounterGuard(self)
    }

    /// The current value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Adds one to a [`Counter`] until it is dropped, even during a panic.
#[derive(Debug)]
#[must_use = "dropping it subtracts the one"]
pub struct CounterGuard<'c>(&'c Counter);

impl Drop for CounterGuard<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The origin of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `/write`, `/api/v2/write` and `/api/v3/write_lp`.
    Http,
    /// The TCP listener.
    Tcp,
    /// The UDP listener.
    Udp,
    /// `/api/v1/write`.
    RemoteWrite,
}

const ORIGINS: [(Origin, &str); 4] = [
    (Origin::Http, "http"),
    (Origin::Tcp, "tcp"),
    (Origin::Udp, "udp"),
    (Origin::RemoteWrite, "remote_write"),
];

/// Counters of the data from one origin.
#[derive(Debug, Default)]
pub struct IngestCounters {
    /// Body bytes as received.
    pub bytes: Counter,
    /// Lines, good and bad.
    pub lines: Counter,
    /// Lines refused.
    pub lines_bad: Counter,
    /// Stored lines whose time is far from the current time.
    pub lines_far: Counter,
    /// Samples stored.
    pub samples: Counter,
    /// Samples refused, except those of line protocol.
    pub samples_bad: Counter,
    /// Events stored.
    pub events: Counter,
    /// Exemplars stored.
    pub exemplars: Counter,
    /// Exemplars of stored samples that were dropped.
    pub exemplars_dropped: Counter,
    /// Descriptions of metrics that were dropped.
    pub metadata_dropped: Counter,
    /// Batches that storage refused.
    pub failures: Counter,
}

/// Connections of one listener.
#[derive(Debug, Default)]
pub struct Connections {
    /// Open connections.
    pub open: Counter,
    /// Connections refused at the limit.
    pub refused: Counter,
}

/// All counters of the server.
pub struct Telemetry {
    started: Instant,
    requests: Requests,
    /// Requests that are running.
    pub requests_running: Counter,
    /// HTTP connections.
    pub connections: Connections,
    /// Connections closed because the client read an answer too slowly.
    pub answers_cut: Counter,
    /// TCP line connections.
    pub line_connections: Connections,
    /// The counters of datagrams.
    pub udp: UdpCounters,
    ingest: [IngestCounters; ORIGINS.len()],
    /// Time from request to answer of writes.
    pub write_seconds: Latency,
    /// Time from request to answer of queries, including waiting.
    pub query_seconds: Latency,
    /// Rounds of self-monitoring that storage refused.
    pub self_failures: Counter,
}

impl Telemetry {
    /// Counters at zero: one for each of `endpoints`, and one for requests that reach no endpoint.
    pub fn new(endpoints: impl Iterator<Item = &'static str>) -> Self {
        Telemetry {
            started: Instant::now(),
            requests: Requests::new(endpoints),
            requests_running: Counter::default(),
            connections: Connections::default(),
            answers_cut: Counter::default(),
            line_connections: Connections::default(),
            udp: UdpCounters::default(),
            ingest: Default::default(),
            write_seconds: Latency::default(),
            query_seconds: Latency::default(),
            self_failures: Counter::default(),
        }
    }

    /// Counts a finished request of an endpoint.
    pub fn observe_request(&self, endpoint: &str, latency: LatencyClass, status: u16, took: Duration) {
        self.requests.count(endpoint, status);
        match latency {
            LatencyClass::Write => self.write_seconds.record(took),
            LatencyClass::Query => self.query_seconds.record(took),
            LatencyClass::None => {}
        }
    }

    /// The counters of one origin.
    pub fn ingest(&self, origin: Origin) -> &IngestCounters {
        &self.ingest[origin as usize]
    }

    /// Time since the process started.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// All metrics of the server itself.
    pub fn metrics(&self) -> Vec<Metric> {
        let mut metrics = vec![
            Metric::gauge(
                "barograph_build_info",
                "A constant 1, labelled with the version.",
                &[("version", env!("CARGO_PKG_VERSION"))],
                1.0,
            ),
            Metric::plain(
                Kind::Gauge,
                "barograph_uptime_seconds",
                "Time since the process started.",
                self.uptime().as_secs_f64(),
            ),
        ];
        metrics.push(self.requests.metric());
        for (name, help, kind, counter) in [
            (
                "barograph_http_requests_running",
                "Requests that are running.",
                Kind::Gauge,
                &self.requests_running,
            ),
            ("barograph_http_connections", "Open HTTP connections.", Kind::Gauge, &self.connections.open),
            (
                "barograph_http_connections_refused_total",
                "HTTP connections refused at max_connections.",
                Kind::Counter,
                &self.connections.refused,
            ),
            (
                "barograph_http_answers_cut_total",
                "Connections closed because the client read an answer too slowly (answer_rate, body_timeout).",
                Kind::Counter,
                &self.answers_cut,
            ),
            (
                "barograph_line_connections",
                "Open TCP line connections.",
                Kind::Gauge,
                &self.line_connections.open,
            ),
            (
                "barograph_line_connections_refused_total",
                "TCP line connections refused at max_connections.",
                Kind::Counter,
                &self.line_connections.refused,
            ),
            (
                "barograph_self_monitoring_failures_total",
                "Rounds of self-monitoring that could not be stored.",
                Kind::Counter,
                &self.self_failures,
            ),
        ] {
            metrics.push(Metric::plain(kind, name, help, counter.get() as f64));
        }
        metrics.extend(self.ingest_metrics());
        metrics.extend(self.udp.metrics());
        metrics.push(self.write_seconds.metric("barograph_write_seconds", "Time to answer a write."));
        metrics.push(
            self.query_seconds
                .metric("barograph_query_seconds", "Time to answer a query, including waiting."),
        );
        metrics.extend(process::metrics());
        metrics
    }

    fn ingest_metrics(&self) -> Vec<Metric> {
        type Read = fn(&IngestCounters) -> u64;
        let table: [(&str, &str, Read); 11] = [
            ("barograph_ingest_bytes_total", "Bytes received, after decompression.", |c| c.bytes.get()),
            ("barograph_ingest_lines_total", "Lines received.", |c| c.lines.get()),
            ("barograph_ingest_lines_bad_total", "Lines refused.", |c| c.lines_bad.get()),
            (
                "barograph_ingest_lines_far_total",
                "Stored lines whose time is more than ten years from the current time.",
                |c| c.lines_far.get(),
            ),
            ("barograph_ingest_samples_total", "Samples stored.", |c| c.samples.get()),
            ("barograph_ingest_samples_bad_total", "Samples refused, except those of line protocol.", |c| {
                c.samples_bad.get()
            }),
            ("barograph_ingest_exemplars_total", "Exemplars stored.", |c| c.exemplars.get()),
            (
                "barograph_ingest_exemplars_dropped_total",
                "Exemplars of stored samples that were dropped: too long, too old, or with invalid labels.",
                |c| c.exemplars_dropped.get(),
            ),
            (
                "barograph_ingest_metadata_dropped_total",
                "Metric metadata that was dropped: too long, or too many.",
                |c| c.metadata_dropped.get(),
            ),
            ("barograph_ingest_events_total", "Events stored.", |c| c.events.get()),
            ("barograph_ingest_failures_total", "Batches that storage refused.", |c| c.failures.get()),
        ];
        let mut metrics = Vec::new();
        for (name, help, read) in table {
            let mut metric = Metric::new(Kind::Counter, name, help);
            for (origin, label) in ORIGINS {
                metric.push(&[("origin", label)], read(self.ingest(origin)) as f64);
            }
            metrics.push(metric);
        }
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_while_it_lasts_ends_with_a_panic_too() {
        let counter = Counter::default();
        let lasting = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _one = counter.guard();
            assert_eq!(counter.get(), 1);
            panic!("as a handler may");
        }));
        assert!(lasting.is_err());
        assert_eq!(counter.get(), 0);
    }
}
