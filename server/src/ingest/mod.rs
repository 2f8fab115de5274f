//! The entry point for line protocol, from any socket, and for remote write: one call that stores a body, counts it,
//! and reports what was wrong with it.
//!
//! The decoders are below the facade, because embedders write too. This module has the parts that only a server needs:
//! counters by origin, and the messages for partial writes.
//!
//! Next: `barograph::Database::write_lines`.

pub mod far;
pub mod hdr;
pub mod options;
pub mod sections;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::error::{ApiError, BadLines};
use crate::ingest::sections::{Context, DATABASE_BYTES_MAX, Section};
use crate::telemetry::log::Throttle;
use crate::telemetry::{IngestCounters, Origin, Telemetry};
use barograph::{
    Database, ErrorKind, LineBody, LineError, LineErrorKind, LineOptions, LineReport, RemoteReport,
    RemoteVersion,
};

/// Maximum number of sections of a request; each is stored with a separate sync.
const SECTIONS_MAX: usize = 1000;

static BAD_LINES: Throttle = Throttle::new();

/// Stores the lines of `body`, which `sender` sent. Blocks until they are durable.
///
/// Bad lines do not stop good ones; the report lists them.
///
/// # Errors
/// Storage accepted nothing; the error says whether to retry.
pub fn store_lines(
    database: &Database,
    telemetry: &Telemetry,
    origin: Origin,
    sender: Option<SocketAddr>,
    body: &[u8],
    options: &LineOptions,
) -> Result<LineReport, ApiError> {
    telemetry.ingest(origin).bytes.add(body.len() as u64);
    let body = LineBody { bytes: body, default_timestamp: None };
    let report = store_bodies(database, telemetry, origin, [body], options)?;
    far::warn(&report, options.precision, origin, |_| sender);
    Ok(report)
}

/// Stores the lines of several bodies, like [`store_lines`]. Their bytes are counted where they arrive. Logging is left
/// to the caller, who knows the senders.
///
/// # Errors
/// Same as [`store_lines`].
pub fn store_bodies<'b>(
    database: &Database,
    telemetry: &Telemetry,
    origin: Origin,
    bodies: impl IntoIterator<Item = LineBody<'b>>,
    options: &LineOptions,
) -> Result<LineReport, ApiError> {
    let counters = telemetry.ingest(origin);
    match database.write_line_bodies(bodies, options) {
        Ok(report) => {
            count(counters, &report);
            Ok(report)
        }
        Err(error) => {
            counters.failures.add(1);
            Err(unacknowledged(error))
        }
    }
}

/// The error of a body that storage did not acknowledge. If the log could not be written, only the pieces of a large
/// body before the failure are stored.
fn unacknowledged(error: barograph::Error) -> ApiError {
    let is_log = matches!(error.kind(), ErrorKind::Io | ErrorKind::DiskFull | ErrorKind::Locked);
    let mut error = ApiError::from(error);
    if is_log {
        error.message.push_str(
            "; nothing is stored, except the first pieces of a large body; send it again, which changes nothing \
             that is already stored",
        );
    }
    error
}

/// Stores the lines of a body that may be an export of InfluxDB 1 ([`sections`]): each line in the database that the
/// export names, or all of them in `db`.
///
/// # Errors
/// 400 if `db` would merge databases of the body, if the name of one is too long, or if there are more than
/// [`SECTIONS_MAX`] sections; nothing is stored then. Otherwise the same as [`store_lines`].
pub fn store_sections(
    database: &Database,
    telemetry: &Telemetry,
    sender: Option<SocketAddr>,
    body: &[u8],
    options: &LineOptions,
    db: Option<&str>,
) -> Result<LineReport, ApiError> {
    let sections: Vec<Section<'_>> = Context::default().split(body).take(SECTIONS_MAX + 1).collect();
    if sections.len() > SECTIONS_MAX {
        return Err(ApiError::bad_data(format!(
            "the body changes its database or retention policy more than {SECTIONS_MAX} times, a fixed limit: sort it by \
             database, or send it in parts; nothing is stored"
        )));
    }
    let named: BTreeSet<&str> = sections.iter().filter_map(|section| section.database.as_deref()).collect();
    check_names(&named, db)?;
    let mut total = LineReport::default();
    for section in &sections {
        let label = db.or(section.database.as_deref()).map(|name| ("db".to_owned(), name.to_owned()));
        let errors_max = options.errors_max.saturating_sub(total.errors.len());
        let options =
            options.clone().with_extra_labels(label.into_iter().collect()).with_errors_max(errors_max);
        let report = store_lines(database, telemetry, Origin::Http, sender, section.bytes, &options)?;
        absorb(&mut total, report, section.line);
    }
    Ok(total)
}

/// Checks that the names of databases in an export are valid, and that `db` would not merge several.
fn check_names(named: &BTreeSet<&str>, db: Option<&str>) -> Result<(), ApiError> {
    if let Some(bad) = named.iter().find(|name| name.len() > DATABASE_BYTES_MAX || name.contains('\0')) {
        let shown: String = bad.chars().take(100).collect();
        return Err(ApiError::bad_data(format!(
            "the export names the database {shown:?}: a name has at most {DATABASE_BYTES_MAX} bytes, a fixed limit, and no \
             NUL; nothing is stored"
        )));
    }
    let Some(db) = db.filter(|_| named.len() > 1) else { return Ok(()) };
    let names: Vec<String> = named.iter().take(10).map(|name| format!("{name:?}")).collect();
    let more = if named.len() > names.len() { ", …" } else { "" };
    Err(ApiError::bad_data(format!(
        "the body is an export of {} databases ({}{more}), which {db:?} would merge; name no database, and each line goes \
         into its own",
        named.len(),
        names.join(", ")
    )))
}

/// Adds the report of a part that begins after `line` lines.
fn absorb(total: &mut LineReport, part: LineReport, line: u64) {
    total.lines_total += part.lines_total;
    total.lines_bad += part.lines_bad;
    total.lines_limited += part.lines_limited;
    total.samples += part.samples;
    total.events += part.events;
    total.lines_far += part.lines_far;
    total.first_far = total.first_far.or(part.first_far);
    let moved = part.errors.into_iter().map(|error| LineError { line: error.line + line as usize, ..error });
    total.errors.extend(moved);
    total.error_bodies.extend(part.error_bodies);
}

/// Stores a remote-write request. Blocks until it is durable.
///
/// Invalid parts do not affect the rest; the report lists them.
///
/// # Errors
/// 400 if the bytes are not a request; otherwise storage accepted nothing, and the error says whether to retry.
pub fn store_remote(
    database: &Database,
    telemetry: &Telemetry,
    request: &[u8],
    version: RemoteVersion,
) -> Result<RemoteReport, ApiError> {
    let counters = telemetry.ingest(Origin::RemoteWrite);
    counters.bytes.add(request.len() as u64);
    match database.write_remote(request, version) {
        Ok(report) => {
            counters.samples.add(report.samples + report.histograms);
            counters.exemplars.add(report.exemplars);
            counters.samples_bad.add(report.refused);
            counters.exemplars_dropped.add(report.exemplars_dropped);
            counters.metadata_dropped.add(report.metadata_dropped);
            for drop in &report.drops {
                tracing::debug!("remote write: left out: {drop}");
            }
            Ok(report)
        }
        Err(error) => {
            counters.failures.add(1);
            Err(unacknowledged(error))
        }
    }
}

fn count(counters: &IngestCounters, report: &LineReport) {
    counters.lines.add(report.lines_total);
    counters.lines_bad.add(report.lines_bad);
    counters.lines_far.add(report.lines_far);
    counters.samples.add(report.samples);
    counters.events.add(report.events);
}

/// Logs refused lines whose sender gets no answer. `sender` returns the sender of a body.
pub fn log_bad_lines(report: &LineReport, origin: Origin, sender: impl Fn(usize) -> Option<SocketAddr>) {
    let (Some(first), Some(&body)) = (report.errors.first(), report.error_bodies.first()) else { return };
    if let Some(held_back) = BAD_LINES.pass() {
        let sender = sender(body).map(|address| address.to_string());
        tracing::warn!(held_back, refused = report.lines_bad, ?origin, sender, "bad lines: {first}");
    }
}

/// The error of a body with bad lines: how many lines are stored and how many are not, and the first ten with line,
/// column and reason. It asks the client to retry if a limit that clears with time refused some lines. `None` if every
/// line was good.
pub fn partial_write(report: &LineReport) -> Option<ApiError> {
    if report.lines_bad == 0 {
        return None;
    }
    let (bad, total) = (report.lines_bad, report.lines_total);
    let mut message = format!("{bad} of {total} lines refused, {} stored", total - bad);
    let mut error = if report.lines_limited == 0 {
        // Clients of InfluxDB recognize these words and do not send the body again. An error that asks for a retry must
        // not contain them, whatever its status.
        message.insert_str(0, "partial write: ");
        list(&mut message, report, "unable to parse ");
        ApiError::bad_data(message)
    } else {
        // In a retry, good lines overwrite themselves, and limited lines may succeed.
        message.push_str(&format!(
            ", {} of the refused may pass later: send the body again",
            report.lines_limited
        ));
        list(&mut message, report, "");
        ApiError::too_many(message, 1)
    };
    let first = report.errors.iter().map(|e| (e.line as u64, e.column as u64, e.reason.to_string()));
    let (samples, events) = (report.samples, report.events);
    error.lines = Some(Box::new(BadLines { total, bad, samples, events, first: first.collect() }));
    Some(error)
}

/// Appends the first errors. Lines that are not line protocol get the prefix `unparsed`.
fn list(message: &mut String, report: &LineReport, unparsed: &str) {
    for error in report.errors.iter().take(LineReport::ERRORS_MAX) {
        message.push_str("; ");
        if !matches!(error.reason, LineErrorKind::Refused { .. }) {
            message.push_str(unparsed);
        }
        message.push_str(&error.to_string());
    }
    let untold = report.lines_bad.saturating_sub(report.errors.len().min(LineReport::ERRORS_MAX) as u64);
    if untold > 0 {
        message.push_str(&format!("; and {untold} more"));
    }
}
