//! Logs of HdrHistogram: text with a histogram for each interval, as the log writers of all its ports make it.
//!
//! Each line becomes a native histogram at the end of its interval. A payload counts integers; the caller says which unit
//! they have. The middle of each bucket is counted in the bucket of schema 8 that contains it. With three significant
//! digits, a value and any number in the bucket that counts it differ by less than 0.33 %; with two, by less than 0.67 %.
//!
//! # Format
//! | line | meaning |
//! |---|---|
//! | `#[BaseTime: S …` | times of intervals count from S, seconds since 1970 |
//! | `#[StartTime: S …` | times of intervals that are more than a year before S count from it, if there is no BaseTime |
//! | `#…`, `"StartTimestamp",…`, empty | nothing |
//! | `[Tag=T,]start,length,max,payload` | an interval in seconds; its largest value, which is not read; its histogram |
//!
//! A payload is base64 of encoding V2, plain (specified in `engine/src/rollup/sketch/hdr.rs`) or compressed: the cookie
//! 0x1c849314, the number of bytes that follow (both in four bytes, big endian), a zlib stream of the plain form.
//!
//! A tag is a label `tag`. A tag that consists of pairs `name=value` with `;` between them, as our own export writes
//! ([`tag`]), is these labels.
//!
//! # Memory
//! A body holds one decompressed payload at a time, of at most [`PAYLOAD_MAX`] bytes, and histograms up to
//! [`BATCH_BYTES`]. A payload is read bucket by bucket, so what layout it claims does not matter. All payloads of a body
//! together may be as large as a decompressed body.

mod line;
pub mod tag;

use std::collections::BTreeMap;

use barograph::{Batch, Database, ErrorKind, Histogram, Labels, Timestamp, Value};

use crate::error::ApiError;
use crate::telemetry::{Origin, Telemetry};
use line::{Line, Times, read_line};

/// Maximum number of bytes of a payload, decompressed: about all buckets of a histogram with three significant digits.
pub const PAYLOAD_MAX: usize = 1 << 20;
/// Maximum number of bytes of a tag: labels of a series are shorter, by any setting.
const TAG_MAX: usize = 1 << 20;
/// Histograms that are stored at once, bytes.
const BATCH_BYTES: usize = 1 << 20;
/// Refused lines that an answer lists.
const LISTED_MAX: usize = 10;

/// The cookie of a compressed payload.
pub const COMPRESSED: u32 = 0x1c84_9314;
/// The cookie of a plain payload.
const PLAIN: u32 = 0x1c84_9313;
/// The beginning of the line with the names of the columns.
const LEGEND: &str = "\"StartTimestamp\"";

/// How a log is stored.
#[derive(Debug)]
pub struct LogOptions {
    /// The value of 1 in a payload.
    pub unit: f64,
    /// Labels of all histograms, which replace those of tags.
    pub labels: BTreeMap<String, String>,
    /// Maximum number of bytes of all payloads together, decompressed; `max_body_decoded`.
    pub payloads_max: u64,
}

/// What was stored of a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LogReport {
    /// Histograms stored.
    pub stored: u64,
    /// Lines refused.
    pub refused: u64,
    /// The first of them: line, from 1, and reason.
    pub first: Vec<(usize, String)>,
}

impl LogReport {
    fn refuse(&mut self, line: usize, reason: String) {
        self.refused += 1;
        if self.first.len() < LISTED_MAX {
            self.first.push((line, reason));
        }
    }

    /// The error of a log of which lines were refused.
    pub fn error(&self) -> Option<ApiError> {
        let LogReport { stored, refused, first } = self;
        if *refused == 0 {
            return None;
        }
        let mut message = format!("partial write: {refused} lines refused, {stored} histograms stored");
        for (line, reason) in first {
            message.push_str(&format!("; line {line}: {reason}"));
        }
        let untold = refused - first.len() as u64;
        if untold > 0 {
            message.push_str(&format!("; and {untold} more"));
        }
        Some(ApiError::bad_data(message))
    }
}

/// Stores the histograms of a log. Blocks until they are durable. Bad lines do not stop good ones; the report lists them.
///
/// # Errors
/// 413 if payloads are too large together; and what storage says when it accepts nothing. Histograms of earlier lines may be
/// stored; sending the log again changes nothing about them.
pub fn store_log(
    database: &Database,
    telemetry: &Telemetry,
    body: &[u8],
    options: &LogOptions,
) -> Result<LogReport, ApiError> {
    let counters = telemetry.ingest(Origin::Http);
    counters.bytes.add(body.len() as u64);
    let mut store = Store { database, pending: Vec::new(), bytes: 0, report: LogReport::default() };
    let stored = store.log(body, options);
    let LogReport { stored: samples, refused, .. } = store.report;
    counters.samples.add(samples);
    counters.lines.add(samples + refused);
    counters.lines_bad.add(refused);
    if stored.is_err() {
        counters.failures.add(1);
    }
    stored.map(|()| store.report)
}

/// A histogram that is not stored yet.
struct Pending {
    line: usize,
    labels: Labels,
    time: Timestamp,
    histogram: Histogram,
}

impl Pending {
    fn bytes(&self) -> usize {
        let Histogram { positive_buckets, positive_spans, .. } = &self.histogram;
        size_of::<Pending>()
            + self.labels.as_bytes().len()
            + (positive_buckets.len() + positive_spans.len()) * 8
    }
}

struct Store<'d> {
    database: &'d Database,
    pending: Vec<Pending>,
    /// Bytes of `pending`.
    bytes: usize,
    report: LogReport,
}

impl Store<'_> {
    fn log(&mut self, body: &[u8], options: &LogOptions) -> Result<(), ApiError> {
        let (mut times, mut unpacked) = (Times::default(), 0);
        for (at, line) in body.split(|&byte| byte == b'\n').enumerate() {
            let number = at + 1;
            let read = read_line(line, &mut times, options, &mut unpacked);
            if unpacked > options.payloads_max {
                self.commit()?;
                let what = format!("the decompressed size of the payloads of lines 1 to {number}");
                return Err(ApiError::too_large(&what, options.payloads_max, "max_body_decoded"));
            }
            match read {
                Ok(None) => {}
                Ok(Some(Line { labels, time, histogram })) => {
                    self.push(Pending { line: number, labels, time, histogram })?;
                }
                Err(reason) => self.report.refuse(number, reason),
            }
        }
        self.commit()
    }

    fn push(&mut self, pending: Pending) -> Result<(), ApiError> {
        self.bytes += pending.bytes();
        self.pending.push(pending);
        if self.bytes < BATCH_BYTES { Ok(()) } else { self.commit() }
    }

    /// Stores what is pending: all of it or, if storage refuses some of it, one by one.
    fn commit(&mut self) -> Result<(), ApiError> {
        let pending = std::mem::take(&mut self.pending);
        self.bytes = 0;
        if self.append(&pending)? {
            return Ok(());
        }
        for one in pending {
            let line = one.line;
            if !self.append(std::slice::from_ref(&one))? {
                self.report.refuse(line, "it is older than the retention".to_owned());
            }
        }
        Ok(())
    }

    /// Whether all of `pending` is stored. Refuses a single one that breaks a rule.
    fn append(&mut self, pending: &[Pending]) -> Result<bool, ApiError> {
        let mut batch = Batch::new();
        for Pending { labels, time, histogram, .. } in pending {
            batch.push(labels, *time, Value::Histogram(histogram.clone().into()));
        }
        match (self.database.append(&batch), pending) {
            (Ok(report), _) if report.too_old == 0 => {
                self.report.stored += report.samples;
                Ok(true)
            }
            // Appending a sample again changes nothing.
            (Ok(_), _) => Ok(false),
            (Err(error), [one]) if is_refusal(&error) => {
                self.report.refuse(one.line, error.to_string());
                Ok(true)
            }
            (Err(error), _) if is_refusal(&error) => Ok(false),
            (Err(error), _) => {
                let first = pending.first().map_or(0, |one| one.line);
                let mut error = ApiError::from(error);
                error
                    .message
                    .push_str(&format!("; histograms before line {first} are stored: send the log again"));
                Err(error)
            }
        }
    }
}

/// Whether storage refuses the data, rather than being unable to store any.
fn is_refusal(error: &barograph::Error) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Limit)
}
