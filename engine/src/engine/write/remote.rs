//! Remote-write ingestion: iterates over the request, finds series, appends.
//!
//! Invalid samples are refused and reported; the rest is stored. Exemplars and metadata are secondary: if one cannot be
//! stored, it is dropped and counted, and the request succeeds without it, as in Prometheus. A request of up to 100,000
//! samples is one record of the log and becomes visible at once, so nothing of it is stored after an error. A larger
//! one, or one that exceeds the memory for batches, is stored in pieces, which may split a series; the pieces before an
//! error are stored. Sending it again changes nothing.
//!
//! Next: `remote/` decodes the request, `remote_cache.rs` finds the series, `appender.rs` stores.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::admit::label_bytes;
use crate::engine::known::remote_cache::{Keys, RemoteCache};
use crate::engine::write::appender::Appender;
use crate::head::HeadSeries;
use crate::model::{Exemplar, METRIC_NAME, Metadata, MetricType, Tenant, Timestamp, Value};
use crate::remote::{
    Item, LabelFault, Point, RemoteReason, RemoteVersion, Request, Series, WireError, WireHistogram,
};
use crate::{Error, ErrorKind};

/// A refused series, or a refused part of one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RemoteRefusal {
    /// The number of the series or description in the request, from 1.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// The reason.
    pub reason: RemoteReason,
}

impl fmt::Display for RemoteRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "series {} {}: {}", self.number, self.name, self.reason)
    }
}

/// The result of a request.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct RemoteReport {
    /// Number of floats stored.
    pub samples: u64,
    /// Number of native histograms stored.
    pub histograms: u64,
    /// Number of exemplars stored.
    pub exemplars: u64,
    /// Number of refused samples and histograms, and of the exemplars of refused series; the others are stored.
    /// References without a symbol also count here.
    pub refused: u64,
    /// Of these, the number of those that reached a limit which clears with time (new series in a second, memory): the
    /// same request may be accepted later.
    pub limited: u64,
    /// The first refusals, at most [`RemoteReport::REFUSALS_MAX`].
    pub refusals: Vec<RemoteRefusal>,
    /// Number of exemplars dropped because they are too long, too old or have invalid labels. Their samples are stored.
    pub exemplars_dropped: u64,
    /// Number of descriptions of metrics dropped because they are too long or too many.
    pub metadata_dropped: u64,
    /// The first of both, at most [`RemoteReport::REFUSALS_MAX`].
    pub drops: Vec<RemoteRefusal>,
}

impl RemoteReport {
    /// The maximum number of refusals in the report.
    pub const REFUSALS_MAX: usize = 10;

    /// Adds the result of `make` to a list that is not full. As few as two bytes of a request may cause a refusal, so
    /// messages are created only for the first few.
    pub(in crate::engine) fn note(list: &mut Vec<RemoteRefusal>, make: impl FnOnce() -> RemoteRefusal) {
        if list.len() < RemoteReport::REFUSALS_MAX {
            list.push(make());
        }
    }
}

/// Why a request was not stored.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The bytes are not a request: do not send them again.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The storage refused; see the kind of the error.
    #[error(transparent)]
    Storage(#[from] Error),
}

/// How far in the future a sample may be, nanoseconds.
const FUTURE_MAX: i64 = 10 * 60 * 1_000_000_000;
/// A series with fewer samples is added without checking the memory for batches in between.
const POINTS_FEW: u64 = 64;
/// A histogram counts as this many samples, plus one for each group of this many buckets.
const HISTOGRAM_SAMPLES: usize = 8;

impl Engine {
    /// Appends a decompressed remote-write request. Returns when everything accepted is durable, according to the
    /// durability option. Refused samples are not an error; they are in the report.
    ///
    /// # Errors
    /// [`RemoteError::Wire`] if the bytes are not a request; an I/O error, or memory that stays full. Then nothing is
    /// stored of a request of up to 100,000 samples, if the memory for batches is sufficient.
    pub fn write_remote(
        &self,
        body: &[u8],
        version: RemoteVersion,
    ) -> std::result::Result<RemoteReport, RemoteError> {
        self.write_remote_of(None, body, version)
    }

    /// Like [`Engine::write_remote`], for a tenant: every series gets its label, and a series of another tenant is
    /// refused.
    ///
    /// # Errors
    /// As [`Engine::write_remote`].
    pub fn write_remote_of(
        &self,
        tenant: Option<&Tenant>,
        body: &[u8],
        version: RemoteVersion,
    ) -> std::result::Result<RemoteReport, RemoteError> {
        let shared = &self.shared;
        let to = Appender::new(shared)?;
        let request = Request::open(version, body)?;
        let mut writer = RemoteWriter {
            to,
            known: shared.writer.known().remotes(),
            version,
            keys: Keys::of(version, tenant),
            tenant,
            tenant_key: tenant.map(Keys::prefix).unwrap_or_default(),
            future: shared.admission.now().saturating_add(FUTURE_MAX),
            scratch: Vec::new(),
            report: RemoteReport::default(),
            learned: Vec::new(),
            failed: None,
        };
        let stored = writer.add_all(&request);
        let safe = writer.to.wait();
        writer.take_back();
        stored?;
        safe?;
        Ok(writer.report)
    }
}

/// Converts a request to rows of a batch.
struct RemoteWriter<'p> {
    to: Appender<'p>,
    /// Series by the bytes that name them.
    known: &'p RemoteCache,
    version: RemoteVersion,
    keys: Keys,
    /// The tenant of the series.
    tenant: Option<&'p Tenant>,
    /// The current key, after the name of the tenant.
    tenant_key: Vec<u8>,
    future: Timestamp,
    scratch: Vec<u8>,
    report: RemoteReport,
    /// Keys whose series were added to the cache by this request.
    learned: Vec<Box<[u8]>>,
    /// Why a piece in the middle of a series could not be committed.
    failed: Option<Error>,
}

/// A series of the request: its number, and its series in the head.
struct Place {
    number: u64,
    head: Arc<HeadSeries>,
}

impl RemoteWriter<'_> {
    /// Adds everything in a request.
    fn add_all(&mut self, request: &Request<'_>) -> std::result::Result<(), RemoteError> {
        for (number, item) in (1..).zip(request.items()) {
            self.make_room_if_full();
            match item? {
                _ if self.failed.is_some() => {}
                Item::Series(series) => self.add(number, &series)?,
                Item::Metadata(family, metadata) => self.describe(number, &family, &metadata),
            }
            if let Some(error) = self.failed.take() {
                return Err(error.into());
            }
        }
        Ok(self.to.commit()?)
    }

    /// Takes more memory, and commits a piece when it is full.
    #[inline]
    fn make_room_if_full(&mut self) {
        if self.to.is_full() && self.failed.is_none() {
            self.failed = self.to.make_room(0).err();
        }
    }

    /// Removes series of which nothing was stored, and their cache entries.
    fn take_back(&mut self) {
        if self.to.take_back(0) {
            for key in self.learned.drain(..) {
                self.known.forget_dead(self.keys, &key);
            }
        }
    }

    #[cold]
    fn refuse(&mut self, number: u64, name: impl FnOnce() -> String, reason: RemoteReason, points: u64) {
        self.report.refused += points;
        RemoteReport::note(&mut self.report.refusals, || RemoteRefusal { number, name: name(), reason });
    }

    /// Records that an exemplar or a description is dropped.
    #[cold]
    fn drop_note(
        &mut self,
        number: u64,
        name: impl FnOnce() -> String,
        reason: impl FnOnce() -> RemoteReason,
    ) {
        RemoteReport::note(&mut self.report.drops, || RemoteRefusal {
            number,
            name: name(),
            reason: reason(),
        });
    }

    fn add(&mut self, number: u64, series: &Series<'_, '_>) -> std::result::Result<(), WireError> {
        let counts = series.counts;
        if self.version == RemoteVersion::Two {
            let fault = match (counts.samples, counts.histograms) {
                (0, 0) => Some(RemoteReason::Empty),
                (1.., 1..) => Some(RemoteReason::Mixed),
                _ => None,
            };
            if let Some(reason) = fault {
                self.refuse(
                    number,
                    || series.describe(),
                    reason,
                    (counts.samples + counts.histograms).max(1),
                );
                // A refused series must still be well-formed.
                return series.for_each_point(|_| ());
            }
        }
        match self.locate(series) {
            Ok(head) => {
                let place = Place { number, head };
                if counts.samples + counts.histograms < POINTS_FEW {
                    return series.for_each_point(|point| self.point(&place, point));
                }
                // A single series can be larger than a piece.
                series.for_each_point(|point| {
                    self.make_room_if_full();
                    if self.failed.is_none() {
                        self.point(&place, point);
                    }
                })
            }
            Err(reason) => {
                let mut points = 0;
                series.for_each_point(|point| points += u64::from(!matches!(point, Point::Metadata(_))))?;
                if matches!(reason, RemoteReason::Limited { .. }) {
                    self.report.limited += points.max(1);
                }
                self.refuse(number, || series.describe(), reason, points.max(1));
                Ok(())
            }
        }
    }

    fn locate(&mut self, series: &Series<'_, '_>) -> std::result::Result<Arc<HeadSeries>, RemoteReason> {
        let mut key = series.key(&mut self.scratch, self.to.shared.options.label_bytes_per_series)?;
        if let Some(tenant) = self.tenant {
            self.tenant_key.truncate(Keys::prefix_len(tenant));
            self.tenant_key.extend_from_slice(key);
            key = &self.tenant_key;
        }
        if let Some(known) = self.known.get(self.keys, key) {
            return Ok(known);
        }
        let mut labels = series.labels()?;
        if let Some(tenant) = self.tenant {
            let claimed = tenant.claim(&labels).map(Cow::into_owned);
            labels = claimed.map_err(|foreign| RemoteReason::Refused { why: foreign.to_string() })?;
        }
        let (found, limit) = (labels.len(), self.to.shared.options.labels_per_series);
        if found > limit {
            return Err(LabelFault::TooMany { found, limit }.into());
        }
        let (bytes, limit) = (label_bytes(&labels), self.to.shared.options.label_bytes_per_series);
        if bytes > limit {
            return Err(LabelFault::TooLong { bytes, limit }.into());
        }
        let created = self.to.created();
        let found = self.to.series(&labels).map_err(|e| match e.kind() {
            ErrorKind::Busy => RemoteReason::Limited { why: e.to_string() },
            _ => RemoteReason::Refused { why: e.to_string() },
        })?;
        if self.to.created() > created {
            self.learned.push(key.into());
        }
        self.known.insert(self.keys, key, &found);
        Ok(found)
    }

    fn point(&mut self, place: &Place, point: Point) {
        let refused = match point {
            Point::Sample { timestamp_ms, start_ms, value } => {
                self.sample(place, timestamp_ms, start_ms, value)
            }
            Point::Histogram(histogram) => self.histogram(place, *histogram),
            Point::Exemplar { labels: Err(fault), .. } if fault.is_reference() => {
                Err(RemoteReason::Exemplar(fault))
            }
            Point::Exemplar { timestamp_ms, value, labels } => {
                let stored = labels
                    .map_err(RemoteReason::Exemplar)
                    .and_then(|labels| self.exemplar(place, timestamp_ms, value, labels));
                if let Err(reason) = stored {
                    let too_old = u64::from(matches!(reason, RemoteReason::TooOld { .. }));
                    self.to.too_old(too_old);
                    self.report.exemplars_dropped += 1;
                    self.drop_note(place.number, || place.head.labels.to_string(), || reason);
                }
                Ok(())
            }
            Point::Metadata(Ok(metadata)) => {
                self.describe_series(place, &metadata);
                Ok(())
            }
            Point::Metadata(Err(fault)) => Err(fault.into()),
        };
        if let Err(reason) = refused {
            if matches!(reason, RemoteReason::TooOld { .. }) {
                self.to.too_old(1);
            }
            self.refuse(place.number, || place.head.labels.to_string(), reason, 1);
        }
    }

    /// The time in nanoseconds, if it is valid for a sample of the series.
    #[inline]
    fn time(&self, place: &Place, timestamp_ms: i64) -> std::result::Result<Timestamp, RemoteReason> {
        match timestamp_ms.checked_mul(1_000_000) {
            Some(timestamp) if timestamp > self.future => Err(RemoteReason::Future { timestamp_ms }),
            Some(timestamp) if self.to.horizon.is_past(timestamp, &place.head.labels) => {
                let limit_ms = self.to.horizon.of_series(&place.head.labels).div_euclid(1_000_000);
                Err(RemoteReason::TooOld { timestamp_ms, limit_ms })
            }
            Some(timestamp) => Ok(timestamp),
            None if timestamp_ms > 0 => Err(RemoteReason::Future { timestamp_ms }),
            None => Err(RemoteReason::Time { timestamp_ms }),
        }
    }

    #[inline]
    fn sample(
        &mut self,
        place: &Place,
        timestamp_ms: i64,
        start_ms: i64,
        value: f64,
    ) -> std::result::Result<(), RemoteReason> {
        let timestamp = self.time(place, timestamp_ms)?;
        self.to.rows.push(place.head.clone(), timestamp, start(start_ms), Value::Float(value));
        self.report.samples += 1;
        self.to.weight += 1;
        Ok(())
    }

    fn histogram(&mut self, place: &Place, wire: WireHistogram) -> std::result::Result<(), RemoteReason> {
        let timestamp_ms = wire.timestamp_ms;
        let timestamp = self.time(place, timestamp_ms)?;
        let start_ms = wire.start_ms;
        let histogram =
            wire.into_stored().map_err(|fault| RemoteReason::Histogram { timestamp_ms, fault })?;
        let buckets = histogram.positive_buckets.len() + histogram.negative_buckets.len();
        let value = Value::Histogram(Arc::new(histogram));
        self.to.rows.push(place.head.clone(), timestamp, start(start_ms), value);
        self.report.histograms += 1;
        self.to.weight += HISTOGRAM_SAMPLES + buckets / HISTOGRAM_SAMPLES;
        Ok(())
    }

    fn exemplar(
        &mut self,
        place: &Place,
        timestamp_ms: i64,
        value: f64,
        labels: crate::model::Labels,
    ) -> std::result::Result<(), RemoteReason> {
        let timestamp = self.time(place, timestamp_ms)?;
        let exemplar = Exemplar { labels, timestamp: crate::Timestamp::from_nanos(timestamp), value };
        self.to
            .shared
            .admission
            .note_exemplar(&mut self.to.rows, &place.head.labels, exemplar, self.to.horizon.all)
            .map_err(|e| RemoteReason::Refused { why: e.to_string() })?;
        self.report.exemplars += 1;
        self.to.weight += HISTOGRAM_SAMPLES;
        Ok(())
    }

    /// Version 2 describes each series; the family of a classic histogram or summary is the common part of the names.
    fn describe_series(&mut self, place: &Place, metadata: &Metadata) {
        if *metadata == Metadata::default() {
            return;
        }
        let Some(name) = place.head.labels.get(METRIC_NAME) else { return };
        let suffixes: &[&str] = match metadata.kind {
            MetricType::Histogram | MetricType::GaugeHistogram => &["_bucket", "_count", "_sum"],
            MetricType::Summary => &["_count", "_sum"],
            _ => &[],
        };
        let family = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        self.describe(place.number, family, metadata);
    }

    fn describe(&mut self, number: u64, family: &str, metadata: &Metadata) {
        if family.is_empty() {
            self.report.metadata_dropped += 1;
            let why = || RemoteReason::Refused { why: "metadata without a metric name".to_owned() };
            self.drop_note(number, || shown_name(family), why);
            return;
        }
        let before = self.to.rows.metadata.len();
        match self.to.shared.admission.note_metadata(&mut self.to.rows, self.tenant, family, metadata) {
            Ok(()) if self.to.rows.metadata.len() == before => {}
            Ok(()) => self.to.weight += HISTOGRAM_SAMPLES,
            Err(e) => {
                self.report.metadata_dropped += 1;
                let why = || RemoteReason::Refused { why: e.to_string() };
                self.drop_note(number, || shown_name(family), why);
            }
        }
    }
}

/// A family's name for a message.
fn shown_name(family: &str) -> String {
    format!("{:?}", family.chars().take(100).collect::<String>())
}

/// A start time in nanoseconds; an impossible one counts as unknown.
fn start(start_ms: i64) -> Timestamp {
    start_ms.checked_mul(1_000_000).unwrap_or(0)
}
