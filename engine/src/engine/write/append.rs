//! Appending: resolve series, log, apply, wait for the disk.
//!
//! Next: `record_log.rs` for the log, `head/series.rs` for the sample's first home.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::engine::admit::newcomers::Newcomers;
use crate::engine::admit::spread::Spread;
use crate::engine::jobs::Task;
use crate::engine::write::pending::{Logged, Pending};
use crate::engine::{Engine, Shared};
use crate::head::batch::{BatchSample, SeriesKey};
use crate::head::{Batch, ResolvedBatch};
use crate::model::{Labels, Timestamp, Value};
use crate::stats::Counters;
use crate::sync::Mutex;
use crate::wal::Ticket;
use crate::{Error, Result};

/// What an append did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AppendReport {
    /// Samples stored.
    pub samples: u64,
    /// Events stored.
    pub events: u64,
    /// Exemplars stored.
    pub exemplars: u64,
    /// Samples, events and exemplars refused because they are older than the retention.
    pub too_old: u64,
}

/// Bounds the number of new series in one second.
#[derive(Debug, Default)]
pub struct SeriesLimiter {
    per_second: AtomicU64,
    window: Mutex<Option<(Instant, u64)>>,
}

impl SeriesLimiter {
    /// Changes the limit; zero is none.
    pub fn set(&self, per_second: u64) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }

    /// Admits one more series, unless the current second has reached the limit. A request that is stored whole or not
    /// at all has already created `brought` series: a retry creates them all again.
    pub(crate) fn admit(&self, brought: u64) -> Result<()> {
        let limit = self.per_second.load(Ordering::Relaxed);
        if limit == 0 {
            return Ok(());
        }
        if brought >= limit {
            return Err(Error::Limit(format!(
                "one batch creates more than {limit} new series, the limit for one second (max_new_series, \
                 Options::new_series_per_second): append it in smaller batches, or raise the limit"
            )));
        }
        let mut window = self.window.lock();
        let now = Instant::now();
        let (start, count) =
            window.filter(|w| now.duration_since(w.0) < Duration::from_secs(1)).unwrap_or((now, 0));
        if count >= limit {
            return Err(Error::Throttled(format!(
                "more than {limit} new series in one second, the limit (max_new_series); retry later"
            )));
        }
        *window = Some((start, count + 1));
        Ok(())
    }
}

impl Engine {
    /// Appends a batch. Returns when it is durable, as the durability option says; it is
    /// visible to views from then on, whole.
    ///
    /// # Errors
    /// [`Error::Limit`], [`Error::Throttled`], [`Error::Busy`] or [`Error::Invalid`]: nothing
    /// of the batch is stored. An I/O error, a full disk among them: nothing of it is stored either, and a restart
    /// finds nothing of it. One exception: where a sync failed ([`Error::Poisoned`]) and then the power fails too, it may
    /// turn out stored. A process that ends before it was answered leaves it stored or not, a batch of more than 32
    /// MiB perhaps in part.
    pub fn append(&self, batch: &Batch) -> Result<AppendReport> {
        let shared = &self.shared;
        shared.check_writable()?;
        let mut newcomers = Newcomers::of_whole();
        let appended = shared.append(batch, &mut newcomers);
        shared.take_back(&mut newcomers, 0);
        appended
    }
}

impl Shared {
    pub(in crate::engine) fn append(&self, batch: &Batch, newcomers: &mut Newcomers) -> Result<AppendReport> {
        let (report, ticket) = self.begin_append(batch, newcomers)?;
        fail_point!("append.logged");
        self.wait_durable(ticket)?;
        fail_point!("append.durable");
        Ok(report)
    }

    /// Logs a batch; returns what will be stored of it, and what to wait for.
    #[inline]
    pub(in crate::engine) fn begin_append(
        &self,
        batch: &Batch,
        newcomers: &mut Newcomers,
    ) -> Result<(AppendReport, Option<Ticket>)> {
        let shared = self;
        let mut resolved = ResolvedBatch::default();
        let (samples, patience) = (batch.samples.len(), shared.options.write_wait);
        let free = || shared.settle_deferred();
        shared.batches.wait_whole(&mut resolved, samples, batch.text_bytes(), patience, free)?;
        resolved.stamp = batch.stamp;
        let horizon = shared.retention.horizon();
        let mut report = AppendReport::default();
        for sample in &batch.samples {
            let BatchSample { series, timestamp, start_timestamp, value } = sample;
            shared.check_sample(series.labels(), *timestamp, value)?;
            if *timestamp <= horizon {
                report.too_old += 1;
                continue;
            }
            let series = match series {
                SeriesKey::Labels(labels) => shared.resolve(labels, newcomers)?,
                SeriesKey::Handle(handle) => shared.series_of(handle, newcomers)?,
            };
            resolved.push(series, *timestamp, *start_timestamp, value.clone());
        }
        for event in &batch.events {
            shared.check_sample(&event.labels, event.timestamp, &Value::Float(0.0))?;
            shared.check_labels(&event.labels)?;
            shared.check_event(&event.labels, &event.text)?;
            if event.timestamp <= horizon {
                report.too_old += 1;
                continue;
            }
            resolved.push_event(event.clone());
        }
        for (family, metadata) in &batch.metadata {
            shared.note_metadata(&mut resolved, batch.tenant.as_ref(), family, metadata)?;
        }
        for (series, exemplar) in &batch.exemplars {
            let is_kept = shared.note_exemplar(&mut resolved, series, exemplar.clone(), horizon)?;
            report.too_old += u64::from(!is_kept);
        }
        Counters::add(&shared.counters.too_old, report.too_old);
        report.exemplars = resolved.exemplars.len() as u64;
        report.samples = resolved.samples() as u64;
        report.events = resolved.events.len() as u64;
        shared.spread().admit(&resolved)?;
        let ticket = shared.commit(&mut resolved)?;
        Ok((report, ticket))
    }

    /// Counts the partitions of one request.
    pub(in crate::engine) fn spread(&self) -> Spread {
        Spread::new(self.chunk_policy().layout, self.options.partitions_per_request)
    }

    fn check_sample(&self, labels: &Labels, timestamp: Timestamp, value: &Value) -> Result<()> {
        if labels.is_empty() {
            return Err(Error::Invalid(format!("sample at {timestamp}: its label set is empty")));
        }
        if let Value::Histogram(histogram) = value
            && let Err(why) = histogram.validate()
        {
            return Err(Error::Invalid(format!("series {labels}: histogram at {timestamp}: {why}")));
        }
        if timestamp == Timestamp::MIN {
            return Err(Error::Invalid(format!(
                "series {labels}: timestamp {timestamp} is the one no sample may have"
            )));
        }
        Ok(())
    }

    /// Logs a batch and empties it; returns what to wait for. It becomes visible when that is safe.
    ///
    /// # Errors
    /// Nothing of it is logged.
    pub(crate) fn commit(&self, resolved: &mut ResolvedBatch) -> Result<Option<Ticket>> {
        if resolved.is_empty() {
            return Ok(None);
        }
        self.wait_for_room()?;
        let mut commit = self.commit.lock();
        let mut revived = resolved.revive(&self.head);
        let Some(wal) = &self.wal else {
            commit.last_seq += 1;
            let seq = commit.last_seq;
            // As a record of a log would: a flush may take all samples of a new series before its writer checks whether
            // it was used.
            resolved.for_each(|series, _, _, _| {
                series.needs_definition(commit.epoch);
            });
            self.apply(&mut commit, resolved, seq);
            resolved.clear();
            drop(commit);
            self.flush_if_full();
            return Ok(None);
        };
        loop {
            match self.log(&mut commit, wal, resolved) {
                Ok(Some((ticket, defined))) => {
                    let change = Logged::Batch(Box::new(std::mem::take(resolved)));
                    commit.pending.push_back(Pending { ticket, change, defined });
                    return Ok(Some(ticket));
                }
                Ok(None) => {
                    self.settle(&mut commit);
                    revived.extend(resolved.revive(&self.head));
                }
                Err(error) => {
                    self.head.take_back(&revived);
                    return Err(error);
                }
            }
        }
    }

    /// Waits while unflushed samples fill their share of memory.
    fn wait_for_room(&self) -> Result<()> {
        self.refuse_full_memory()?;
        let limit = self.options.head_bytes_max();
        if self.head.sample_bytes() < limit {
            return Ok(());
        }
        Counters::add(&self.counters.waits, 1);
        self.head.release();
        if !self.options.background {
            self.flush()?;
        }
        let start = Instant::now();
        let mut guard = self.room.0.lock();
        while self.head.sample_bytes() >= limit {
            self.jobs.ask(Task::Flush);
            let waited = start.elapsed();
            let Some(left) = self.options.write_wait.checked_sub(waited).filter(|left| !left.is_zero())
            else {
                Counters::add(&self.counters.refused, 1);
                let used_bytes = self.head.sample_bytes();
                return Err(Error::Busy {
                    used_bytes,
                    limit_bytes: limit,
                    waited_ms: waited.as_millis() as u64,
                });
            };
            self.room.1.wait_for(&mut guard, left.min(Duration::from_millis(100)));
        }
        Ok(())
    }
}
