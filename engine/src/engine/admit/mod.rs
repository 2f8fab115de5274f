//! Admission: limits on the series, partitions and memory of a request, and on the total memory.
//!
//! Next: `newcomers.rs` (new series of a request), `limits.rs` (all series), `pressure.rs` (writes that wait),
//! `idle.rs` (series that leave for others), `batches.rs` (memory of batches), `in_memory.rs` (a database without
//! files).

pub(in crate::engine) mod batches;
mod idle;
mod in_memory;
mod limits;
pub(in crate::engine) mod newcomers;
mod pressure;
mod rate;
pub(in crate::engine) mod spread;

use std::sync::Arc;

use batches::BatchMemory;
use idle::IdleSearch;
use in_memory::InMemory;
use limits::CardinalityLimits;
pub(in crate::engine) use limits::label_bytes;
use pressure::Pressure;
use rate::SeriesLimiter;

use crate::Result;
use crate::clock::Clock;
use crate::engine::base::Base;
use crate::engine::jobs::Jobs;
use crate::head::Head;
use crate::model::Timestamp;
use crate::options::Options;
use crate::stats::{Counter, Stats};

/// Decides what is admitted to an open database.
pub(in crate::engine) struct Admission {
    head: Arc<Head>,
    options: Arc<Options>,
    jobs: Arc<Jobs>,
    clock: Arc<dyn Clock>,
    limiter: SeriesLimiter,
    cardinality: CardinalityLimits,
    batches: BatchMemory,
    idle: IdleSearch,
    pressure: Pressure,
    in_memory: InMemory,
    counts: Counts,
}

/// Counts since the database was opened.
#[derive(Default)]
struct Counts {
    series_created: Counter,
    refused: Counter,
    refused_metric: Counter,
    refused_label: Counter,
    refused_tenant: Counter,
    too_old: Counter,
}

impl Admission {
    /// Creates it with the limits of the options.
    pub fn new(base: &Base) -> Self {
        let Base { options, clock, jobs, head, .. } = base;
        Admission {
            head: head.clone(),
            options: options.clone(),
            jobs: jobs.clone(),
            clock: clock.clone(),
            limiter: SeriesLimiter::new(options.new_series_per_second),
            cardinality: CardinalityLimits::new(options),
            batches: BatchMemory::new(options.batch_bytes_max()),
            idle: IdleSearch::new(base),
            pressure: Pressure::new(base),
            in_memory: InMemory::new(base),
            counts: Counts::default(),
        }
    }

    /// The head that it admits series to.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The time with which the times of samples are compared.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The memory of batches.
    pub fn batches(&self) -> &BatchMemory {
        &self.batches
    }

    /// The search for idle series.
    pub fn idle(&self) -> &IdleSearch {
        &self.idle
    }

    /// The back-pressure on writes.
    pub fn pressure(&self) -> &Pressure {
        &self.pressure
    }

    /// The limit of a database in memory.
    pub fn in_memory(&self) -> &InMemory {
        &self.in_memory
    }

    /// Waits until there is memory for a batch. Without background jobs, `flush` frees some.
    ///
    /// # Errors
    /// There is not enough memory, or the errors of `flush`.
    pub fn wait_for_room(&self, flush: impl FnOnce() -> Result<()>) -> Result<()> {
        self.in_memory.refuse_if_full()?;
        self.pressure.wait(flush)
    }

    /// Counts samples, events and exemplars that are older than the retention.
    pub fn count_too_old(&self, count: u64) {
        self.counts.too_old.add(count);
    }

    pub fn add_to(&self, stats: &mut Stats) {
        let Counts { series_created, refused, refused_metric, refused_label, refused_tenant, too_old } =
            &self.counts;
        stats.series_created = series_created.get();
        stats.refused = refused.get() + self.in_memory.refused();
        stats.refused_metric = refused_metric.get();
        stats.refused_label = refused_label.get();
        stats.refused_tenant = refused_tenant.get();
        stats.too_old = too_old.get();
        self.pressure.add_to(stats);
    }
}
