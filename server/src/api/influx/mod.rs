//! The API of InfluxDB: writes of versions 1, 2 and 3, pings, and the requests that clients make before they write.
//!
//! `db` (versions 1 and 3) or `bucket` (version 2) becomes the label `db` of every series in the body that has no tag
//! of that name, so two databases are never merged silently. `rp` and `org` are accepted and ignored. Databases do not
//! have to be created; those that clients create are listed.
//!
//! Next: `ingest/mod.rs`.

pub mod statements;
pub mod v2;
pub mod v3;

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::json;

use crate::admission::LargeWrite;
use crate::api::call::Call;
use crate::config::Config;
use crate::error::ApiError;
use crate::http::body::{BodyLimits, Held};
use crate::http::reply::{JSON, Reply};
use crate::ingest::{self, sections::DATABASE_BYTES_MAX};
use crate::runtime;
use crate::state::State;
use barograph::{Database, LineOptions, LineReport, Precision};

/// The version that InfluxDB clients see, by which they choose their protocol.
const INFLUX_VERSION: &str = "1.8.10";

/// Maximum number of refused lines in an answer, regardless of `errors`.
const ERRORS_MAX: usize = 10_000;

/// Which write API was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// `/write?db=…`
    One,
    /// `/api/v2/write?bucket=…&org=…`
    Two,
    /// `/api/v3/write_lp?db=…`
    Three,
}

/// `/write`: 204 if every line is stored durably. The answer counts the stored data.
///
/// # Errors
/// 400 with the first ten bad lines, or as many as `errors` asks for (the good lines are stored); 403 if the database
/// belongs to another tenant than the token; and the errors of reading the body and of storage.
pub async fn write_v1(call: Call) -> Result<Reply, ApiError> {
    write(call, Version::One).await
}

/// `/api/v2/write`, as [`write_v1`].
///
/// # Errors
/// Same as [`write_v1`].
pub async fn write_v2(call: Call) -> Result<Reply, ApiError> {
    write(call, Version::Two).await
}

async fn write(mut call: Call, version: Version) -> Result<Reply, ApiError> {
    let precision = precision(&call, Precision::Nanosecond)?;
    let work = Work::new(&mut call, precision, version).await?;
    let report = runtime::blocking(move || work.decoded()?.store()).await??;
    match ingest::partial_write(&report) {
        Some(error) => Err(error),
        None => Ok(stored(&report)),
    }
}

/// The answer to a completely stored write, with its counts.
fn stored(report: &LineReport) -> Reply {
    let mut reply = Reply::no_content().header(version_header(), HeaderValue::from_static(INFLUX_VERSION));
    for (name, count) in [
        ("x-barograph-lines", report.lines_total),
        ("x-barograph-samples", report.samples),
        ("x-barograph-events", report.events),
    ] {
        reply = reply.header(HeaderName::from_static(name), HeaderValue::from(count));
    }
    reply
}

/// The number of refused lines to list: the parameter `errors`.
fn errors_max(call: &Call) -> Result<usize, ApiError> {
    let Some(text) = call.params.get("errors") else { return Ok(LineReport::ERRORS_MAX) };
    match text.parse::<usize>() {
        Ok(number) if number > 0 => Ok(number.min(ERRORS_MAX)),
        _ => Err(ApiError::parameter(
            "errors",
            format!("expected a number from 1 to {ERRORS_MAX}, found {text:?}"),
        )),
    }
}

/// A write that has been read and not yet decoded. Its methods block.
struct Work {
    state: Arc<State>,
    config: Arc<Config>,
    database: Database,
    held: Held,
    precision: Precision,
    db: Option<String>,
    client: Option<SocketAddr>,
    errors_max: usize,
    /// The turn, held until the write is stored.
    _turn: Option<LargeWrite>,
}

impl Work {
    async fn new(call: &mut Call, precision: Precision, version: Version) -> Result<Work, ApiError> {
        let db = database_name(call, version)?.map(str::to_owned);
        if let Some(db) = &db {
            call.check_database(db)?;
        }
        let errors_max = errors_max(call)?;
        let database = call.database()?;
        let held = call.read_body(BodyLimits::write(&call.config)).await?;
        let turn = call.turn_to_write(&held).await?;
        let (state, config) = (call.state.clone(), call.config.clone());
        Ok(Work {
            state,
            config,
            database,
            held,
            precision,
            db,
            client: call.client,
            errors_max,
            _turn: turn,
        })
    }

    fn decoded(mut self) -> Result<Self, ApiError> {
        self.held.decode()?;
        Ok(self)
    }

    fn options(&self) -> LineOptions {
        let options = ingest::options::line_options(&self.config, self.precision, None);
        options.with_errors_max(self.errors_max)
    }

    fn store(&self) -> Result<LineReport, ApiError> {
        let (telemetry, body) = (&self.state.telemetry, &self.held.bytes);
        ingest::store_sections(
            &self.database,
            telemetry,
            self.client,
            body,
            &self.options(),
            self.db.as_deref(),
        )
    }
}

fn version_header() -> HeaderName {
    HeaderName::from_static("x-influxdb-version")
}

fn precision(call: &Call, default: Precision) -> Result<Precision, ApiError> {
    match call.params.get("precision") {
        None => Ok(default),
        Some(text) => text.parse().map_err(|e| ApiError::parameter("precision", e)),
    }
}

fn database_name(call: &Call, version: Version) -> Result<Option<&str>, ApiError> {
    let name = match version {
        Version::One | Version::Three => "db",
        Version::Two => "bucket",
    };
    let Some(text) = call.params.get(name) else { return Ok(None) };
    if text.len() > DATABASE_BYTES_MAX || text.contains('\0') {
        return Err(ApiError::parameter(
            name,
            format!("expected at most {DATABASE_BYTES_MAX} bytes, a fixed limit, without NUL"),
        ));
    }
    Ok(Some(text))
}

/// `/ping`
///
/// # Errors
/// Never.
pub async fn ping(call: Call) -> Result<Reply, ApiError> {
    let version = HeaderValue::from_static(INFLUX_VERSION);
    let reply = match call.params.get("verbose") {
        Some("true" | "1") => Reply::ok(JSON, format!("{{\"version\":\"{INFLUX_VERSION}\"}}\n")),
        _ => Reply::no_content(),
    };
    Ok(reply
        .header(version_header(), version)
        .header(HeaderName::from_static("x-influxdb-build"), HeaderValue::from_static("OSS"))
        .header(
            HeaderName::from_static("x-barograph-version"),
            HeaderValue::from_static(env!("CARGO_PKG_VERSION")),
        ))
}

/// `/health`, in the format of InfluxDB 2.
///
/// # Errors
/// Never.
pub async fn health(call: Call) -> Result<Reply, ApiError> {
    let refuses = call.state.health().and_then(|health| health.refuses_writes);
    let ready = call.state.database().is_ok() && refuses.is_none();
    let (status, message) = match &refuses {
        Some(reason) => ("fail", reason.as_str()),
        None if ready => ("pass", "ready for queries and writes"),
        None => ("fail", "the database is being opened or closed"),
    };
    let body = json!({
        "name": "barograph", "message": message, "status": status, "checks": [],
        "version": env!("CARGO_PKG_VERSION"), "commit": "",
    });
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(Reply::ok(JSON, format!("{body}\n")).status(code))
}

/// `/settings`: QuestDB's clients request this before they choose a version of line protocol. Version 1 is the text
/// format, which this server supports.
///
/// # Errors
/// Never.
pub async fn settings(call: Call) -> Result<Reply, ApiError> {
    let body = json!({
        "config": {
            "release.type": "OSS",
            "release.version": env!("CARGO_PKG_VERSION"),
            "line.proto.support.versions": [1],
            "ilp.proto.transports": ["http"],
            "cairo.max.file.name.length": call.config.max_name,
        },
        "preferences.version": 0,
        "preferences": {},
    });
    Ok(Reply::ok(JSON, format!("{body}\n")))
}
