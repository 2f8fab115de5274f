//! Appending: find the series, log, apply, wait for the disk.
//!
//! Next: `record_log.rs` for the log, `head/series.rs` for the samples in memory.

use crate::engine::admit::newcomers::Newcomers;
use crate::engine::admit::spread::Spread;
use crate::engine::write::record_log::check_event;
use crate::engine::{Engine, Shared};
use crate::head::batch::{BatchSample, SeriesKey};
use crate::head::{Batch, ResolvedBatch};
use crate::model::{Labels, Timestamp, Value};
use crate::wal::Ticket;
use crate::{Error, Result};

/// The result of an append.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppendReport {
    /// Number of samples stored.
    pub samples: u64,
    /// Number of events stored.
    pub events: u64,
    /// Number of exemplars stored.
    pub exemplars: u64,
    /// Number of samples, events and exemplars refused because they are older than the retention.
    pub too_old: u64,
}

impl Engine {
    /// Appends a batch. Returns when it is durable, according to the durability option. From then on, all of it is
    /// visible to views.
    ///
    /// # Errors
    /// [`Error::Limit`], [`Error::Throttled`], [`Error::Busy`] or [`Error::Invalid`]: nothing of the batch is stored.
    /// After an I/O error, including a full disk, nothing of it is stored either, and a restart finds nothing of it.
    /// There is one exception: if a sync failed ([`Error::Poisoned`]) and then the power fails too, the batch may be
    /// stored. If the process ends before the call returns, the batch may or may not be stored, and a batch of more
    /// than 32 MiB may be stored in part.
    pub fn append(&self, batch: &Batch) -> Result<AppendReport> {
        let shared = &self.shared;
        shared.check_writable()?;
        let mut newcomers = Newcomers::of_whole();
        let appended = shared.append(batch, &mut newcomers);
        shared.writer.take_back(&mut newcomers, 0);
        appended
    }
}

impl Shared {
    pub(in crate::engine) fn append(&self, batch: &Batch, newcomers: &mut Newcomers) -> Result<AppendReport> {
        let (report, ticket) = self.begin_append(batch, newcomers)?;
        fail_point!("append.logged");
        self.writer.wait_durable(ticket)?;
        fail_point!("append.durable");
        Ok(report)
    }

    /// Logs a batch. Returns what will be stored of it, and what to wait for.
    #[inline]
    pub(in crate::engine) fn begin_append(
        &self,
        batch: &Batch,
        newcomers: &mut Newcomers,
    ) -> Result<(AppendReport, Option<Ticket>)> {
        let Shared { admission, writer, options, .. } = self;
        let mut resolved = ResolvedBatch::default();
        let (samples, patience) = (batch.samples.len(), options.write_wait);
        let free = || writer.settle_deferred();
        admission.batches().wait_whole(&mut resolved, samples, batch.text_bytes(), patience, free)?;
        resolved.stamp = batch.stamp;
        let horizon = self.retention.horizon();
        let mut report = AppendReport::default();
        for sample in &batch.samples {
            let BatchSample { series, timestamp, start_timestamp, value } = sample;
            check_sample(series.labels(), *timestamp, value)?;
            if horizon.is_past(*timestamp, series.labels()) {
                report.too_old += 1;
                continue;
            }
            let series = match series {
                SeriesKey::Labels(labels) => admission.resolve(labels, newcomers)?,
                SeriesKey::Handle(handle) => self.series_of(handle, newcomers)?,
            };
            resolved.push(series, *timestamp, *start_timestamp, value.clone());
        }
        for event in &batch.events {
            check_sample(&event.labels, event.timestamp.as_nanos(), &Value::Float(0.0))?;
            admission.check_labels(&event.labels)?;
            check_event(&event.labels, &event.text)?;
            if event.timestamp.as_nanos() <= horizon.events {
                report.too_old += 1;
                continue;
            }
            resolved.push_event(event.clone());
        }
        for (family, metadata) in &batch.metadata {
            admission.note_metadata(&mut resolved, batch.tenant.as_ref(), family, metadata)?;
        }
        for (series, exemplar) in &batch.exemplars {
            let is_kept = admission.note_exemplar(&mut resolved, series, exemplar.clone(), horizon.all)?;
            report.too_old += u64::from(!is_kept);
        }
        admission.count_too_old(report.too_old);
        report.exemplars = resolved.exemplars.len() as u64;
        report.samples = resolved.samples() as u64;
        report.events = resolved.events.len() as u64;
        self.spread().admit(&resolved)?;
        let ticket = self.commit(&mut resolved)?;
        Ok((report, ticket))
    }

    /// Counts the partitions of one request.
    pub(in crate::engine) fn spread(&self) -> Spread {
        Spread::new(self.versions.layout(), self.options.partitions_per_request)
    }

    /// Logs a batch and clears it. Returns what to wait for. The batch becomes visible when it is safe. First waits for
    /// memory; without background jobs, by flushing.
    ///
    /// # Errors
    /// Nothing of it is logged.
    pub(crate) fn commit(&self, resolved: &mut ResolvedBatch) -> Result<Option<Ticket>> {
        if resolved.is_empty() {
            return Ok(None);
        }
        self.admission.wait_for_room(|| self.flusher.flush().map(drop))?;
        self.writer.commit(resolved)
    }
}

#[inline]
fn check_sample(labels: &Labels, timestamp: Timestamp, value: &Value) -> Result<()> {
    let is_plain = !labels.is_empty() && timestamp != Timestamp::MIN && !matches!(value, Value::Histogram(_));
    if is_plain { Ok(()) } else { check_unusual(labels, timestamp, value) }
}

/// The rest of [`check_sample`]: validates histograms, and gives the reason for a refusal.
#[inline(never)]
fn check_unusual(labels: &Labels, timestamp: Timestamp, value: &Value) -> Result<()> {
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
