//! Distributions as logs of HdrHistogram, for its tools, and such logs as native histograms.
//!
//! The format of a log is described in `ingest/hdr/`.

use std::collections::BTreeMap;
use std::io::Write as _;

use barograph::internals::{Metered, Sketch, sketch, sketched};
use barograph::{
    Database, Histogram, Labels, METRIC_NAME, QueryValue, Request, SampleValue, Times, Timestamp,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::admission::Writer;
use crate::api::call::Call;
use crate::api::prometheus::{explain, query};
use crate::error::ApiError;
use crate::http::body::BodyLimits;
use crate::http::reply::{Reply, TEXT};
use crate::ingest::hdr::{COMPRESSED, LogOptions, store_log, tag};
use crate::runtime;

/// The value of 1 in a payload, unless `unit` says it: microseconds, for metrics in seconds.
const UNIT: f64 = 1e-6;

/// The log says so if rounding to whole counts changes a histogram by more than this share.
const ROUNDING: f64 = 0.01;

/// `/api/v1/export/hdr?query=…`: the native histograms of a query's result as a log. An instant query has `time`, a range
/// query `start`, `end` and `step`.
///
/// # Errors
/// 400 for bad parameters, 422 if the result has values that are not native histograms, and the errors of the query.
pub async fn export(call: Call) -> Result<Reply, ApiError> {
    let times = match call.params.get("start") {
        Some(_) => query::range_times(&call)?,
        None => query::instant_times(&call)?,
    };
    let unit = unit(&call)?;
    let mut request = query::request(&call, times)?;
    let database = call.database()?;
    let admitted = call.admit(query::asked(&request)).await?;
    admitted
        .answer(TEXT, move |work, out| {
            request.start_at(work.started());
            write_log(&database, &request, unit, out)
        })
        .await
}

/// `/api/v1/import/hdr?metric=…`: stores the histograms of a log.
///
/// # Errors
/// 400 with the first ten bad lines (the good ones are stored), 413 for a body or payloads that are too large, and the
/// errors of storage.
pub async fn import(mut call: Call) -> Result<Reply, ApiError> {
    let options = LogOptions {
        unit: unit(&call)?,
        labels: extra_labels(&call)?,
        payloads_max: call.config.max_body_decoded,
    };
    let database = call.database()?;
    let mut held = call.read_body(BodyLimits::write(&call.config)).await?;
    let turn = call.turn_to_write(&held).await?;
    let state = call.state.clone();
    let report = runtime::blocking(move || {
        let _turn = turn;
        held.decode()?;
        store_log(&database, &state.telemetry, &held.bytes, &options)
    });
    match report.await??.error() {
        Some(error) => Err(error),
        None => Ok(Reply::no_content()),
    }
}

fn unit(call: &Call) -> Result<f64, ApiError> {
    let Some(text) = call.params.get("unit") else { return Ok(UNIT) };
    match text.parse::<f64>() {
        Ok(unit) if unit.is_normal() && unit > 0.0 => Ok(unit),
        _ => Err(ApiError::parameter("unit", format!("expected a positive number, found {text:?}"))),
    }
}

/// The labels that the parameters name, the metric name among them.
fn extra_labels(call: &Call) -> Result<BTreeMap<String, String>, ApiError> {
    let mut labels = BTreeMap::new();
    for pair in call.params.all("extra_label") {
        let (name, value) = pair.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            ApiError::parameter("extra_label", format!("expected name=value, found {pair:?}"))
        })?;
        labels.insert(name.to_owned(), value.to_owned());
    }
    if let Some(name) = call.params.get("metric") {
        labels.insert(METRIC_NAME.to_owned(), name.to_owned());
    }
    Ok(labels)
}

/// A histogram of a result.
struct Interval<'r> {
    end: Timestamp,
    labels: &'r Labels,
    histogram: &'r Histogram,
}

fn write_log(
    database: &Database,
    request: &Request,
    unit: f64,
    out: &mut Writer<'_>,
) -> Result<(), ApiError> {
    let response = database.execute_at_once(request)?;
    let mut intervals = intervals(&response.value)?;
    // Readers expect intervals in the order of their times.
    intervals.sort_by_key(|interval| interval.end);
    let step_ms = match request.times {
        Times::Range { step, .. } => step.as_millis() as i64,
        Times::Instant { .. } => 0,
    };
    let start_ms = |interval: &Interval<'_>| interval.end.as_millis().saturating_sub(step_ms);
    let mut head = format!("#[Histogram log format version 1.3]\n#[unit: {unit}]\n");
    if let Some(first) = intervals.first() {
        let start = start_ms(first);
        let (seconds, time) = (shown_seconds(start), Timestamp::from_millis(start));
        head += &format!("#[StartTime: {seconds} (seconds since epoch), {time}]\n");
    }
    for note in response.warnings.iter().chain(&response.infos) {
        head += &format!("#[{}]\n", note.replace(['\n', '\r'], " "));
    }
    if let Some(accuracy) = response.accuracy.filter(|accuracy| !accuracy.exact) {
        head += &format!("#[accuracy: {}]\n", explain::accuracy(&accuracy));
    }
    head += "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";
    out.text(head.as_bytes())?;
    for interval in &intervals {
        let line = line(interval, (start_ms(interval), step_ms), unit)?;
        out.text(line.as_bytes())?;
    }
    Ok(())
}

/// The histograms of a result.
fn intervals(value: &QueryValue) -> Result<Vec<Interval<'_>>, ApiError> {
    let mut intervals = Vec::new();
    let is_complete = match value {
        QueryValue::Vector(vector) => vector.iter().all(|sample| match &sample.value {
            SampleValue::Float(_) => false,
            SampleValue::Histogram(histogram) => {
                intervals.push(Interval { end: sample.timestamp, labels: &sample.labels, histogram });
                true
            }
        }),
        QueryValue::Matrix(matrix) => matrix.iter().all(|series| {
            let labels = &series.labels;
            intervals.extend(series.histograms().map(|(end, histogram)| Interval { end, labels, histogram }));
            series.floats_ms.is_empty()
        }),
        _ => false,
    };
    match is_complete {
        true => Ok(intervals),
        false => Err(ApiError::execution(
            "the result has values that are not native histograms; histogram_over_time(x[1h]) makes one of the values of x",
        )),
    }
}

/// A line of the log, after a comment if it does not count everything.
fn line(interval: &Interval<'_>, (start_ms, length_ms): (i64, i64), unit: f64) -> Result<String, ApiError> {
    let (all, nans) = sketched::to_sketch(interval.histogram);
    let (below, counted): (Vec<_>, Vec<_>) = all.entries().iter().partition(|(key, _)| *key < 0);
    let below = Sketch::from_counts(below).count();
    let hdr = Sketch::from_counts(counted).to_hdr(unit);
    let left_out = below.saturating_add(hdr.left_out).saturating_add(nans);
    let units = all.entries().iter().rev().map(|&(key, _)| sketch::representative(key) / unit);
    let max = units.into_iter().find(|max| *max < 2f64.powi(63)).unwrap_or(0.0).max(0.0);
    let tag = tag::of(interval.labels);
    let mut line = String::new();
    let (whole, given) = (all.count().saturating_add(nans), interval.histogram.count);
    if (given - whole as f64).abs() > ROUNDING * given.abs() {
        line += &format!(
            "#[the counts of the next line are whole and not negative, {whole} in all; the histogram has {given}]\n"
        );
    }
    if left_out > 0 {
        line += &format!(
            "#[the next line leaves out some observations, {left_out}: negative, NaN, infinite or too large]\n"
        );
    }
    if !tag.is_empty() {
        line += &format!("Tag={tag},");
    }
    line += &format!("{},{},{max:.3},", shown_seconds(start_ms), shown_seconds(length_ms));
    STANDARD.encode_string(compressed(&hdr.payload)?, &mut line);
    line.push('\n');
    Ok(line)
}

/// Milliseconds as seconds.
fn shown_seconds(ms: i64) -> String {
    format!("{:.3}", ms as f64 / 1000.0)
}

/// The compressed form of a payload.
fn compressed(payload: &[u8]) -> Result<Vec<u8>, ApiError> {
    let failed = |e| ApiError::internal(format!("a histogram cannot be compressed: {e}"));
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(payload).map_err(failed)?;
    let packed = encoder.finish().map_err(failed)?;
    let mut out = Vec::with_capacity(8 + packed.len());
    out.extend_from_slice(&COMPRESSED.to_be_bytes());
    out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
    out.extend_from_slice(&packed);
    Ok(out)
}
