//! What InfluxDB clients say: writes of version 1 and 2, pings, and the first query of a
//! version 1 writer.
//!
//! `db` (version 1) and `bucket` (version 2) become the label `db` of every series in the
//! body that has no tag of that name, so two databases never merge in silence. `rp` and
//! `org` are accepted and mean nothing.
//!
//! Next: `ingest/mod.rs`.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::json;

use crate::api::body::Limit;
use crate::api::call::Call;
use crate::api::reply::{JSON, Reply};
use crate::error::ApiError;
use crate::ingest;
use crate::storage;
use crate::telemetry::Origin;
use barograph::Precision;

/// The version that InfluxDB clients are told: they choose their dialect by it.
const INFLUX_VERSION: &str = "1.8.10";

/// Longest value of `db` and `bucket`, bytes.
const DB_MAX: usize = 256;

/// Which write API was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `/write?db=…`
    One,
    /// `/api/v2/write?bucket=…&org=…`
    Two,
}

/// `/write` and `/api/v2/write`: 204 when every line is stored durably.
///
/// # Errors
/// 400 naming the first ten bad lines (the good ones are stored), and what reading the
/// body or storage gives.
pub async fn write(mut call: Call, version: Version) -> Result<Reply, ApiError> {
    let precision = precision(&call)?;
    let db = database_name(&call, version)?.map(str::to_owned);
    let database = call.database()?;
    let (mut held, encoding) = call.read_body(Limit::sent(&call.config)).await?;
    let app = call.app.clone();
    let config = call.config.clone();
    let report = storage::blocking(move || {
        held.decode(encoding, Limit::decoded(&config))?;
        let options = storage::line_options(&config, precision, db.as_deref());
        ingest::store_lines(&database, &app.telemetry, Origin::Http, &held.bytes, &options)
    });
    match ingest::partial_write(&report.await??) {
        Some(error) => Err(error),
        None => Ok(Reply::no_content().header(version_header(), HeaderValue::from_static(INFLUX_VERSION))),
    }
}

fn version_header() -> HeaderName {
    HeaderName::from_static("x-influxdb-version")
}

fn precision(call: &Call) -> Result<Precision, ApiError> {
    match call.params.get("precision") {
        None => Ok(Precision::Nanosecond),
        Some(text) => text.parse().map_err(|e| ApiError::parameter("precision", e)),
    }
}

fn database_name(call: &Call, version: Version) -> Result<Option<&str>, ApiError> {
    let name = match version {
        Version::One => "db",
        Version::Two => "bucket",
    };
    let Some(text) = call.params.get(name) else { return Ok(None) };
    if text.len() > DB_MAX || text.contains('\0') {
        return Err(ApiError::parameter(
            name,
            format!("expected at most {DB_MAX} bytes, a fixed limit, without NUL"),
        ));
    }
    Ok(Some(text))
}

/// `/ping`
pub fn ping(call: &Call) -> Reply {
    let version = HeaderValue::from_static(INFLUX_VERSION);
    let reply = match call.params.get("verbose") {
        Some("true" | "1") => Reply::ok(JSON, format!("{{\"version\":\"{INFLUX_VERSION}\"}}\n")),
        _ => Reply::no_content(),
    };
    reply
        .header(version_header(), version)
        .header(HeaderName::from_static("x-influxdb-build"), HeaderValue::from_static("OSS"))
        .header(
            HeaderName::from_static("x-barograph-version"),
            HeaderValue::from_static(env!("CARGO_PKG_VERSION")),
        )
}

/// `/health`, in the words of InfluxDB 2.
pub fn health(call: &Call) -> Reply {
    let ready = call.app.database().is_ok();
    let (status, message) = match ready {
        true => ("pass", "ready for queries and writes"),
        false => ("fail", "the database is being opened or closed"),
    };
    let body = json!({
        "name": "barograph", "message": message, "status": status, "checks": [],
        "version": env!("CARGO_PKG_VERSION"), "commit": "",
    });
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Reply::ok(JSON, format!("{body}\n")).status(code)
}

/// What a version 1 client asks of `/query`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statement {
    CreateDatabase,
    ShowDatabases,
    ShowRetentionPolicies,
    Other,
}

/// The statements of a text, which semicolons part where they stand outside of quotes.
fn statements(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut quote, mut is_escaped) = (0, None, false);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), b'\\') => is_escaped = true,
            (Some(open), byte) if byte == open => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b';') => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found.retain(|statement| !statement.trim().is_empty());
    found
}

fn statement(text: &str) -> Statement {
    let words: Vec<String> = text.split_whitespace().take(5).map(str::to_ascii_uppercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["CREATE", "DATABASE", _, ..] => Statement::CreateDatabase,
        ["SHOW", "DATABASES"] => Statement::ShowDatabases,
        ["SHOW", "RETENTION", "POLICIES", ..] => Statement::ShowRetentionPolicies,
        _ => Statement::Other,
    }
}

/// `/query`: databases need no creating, so creating one succeeds; listing them lists the
/// values of the label `db`. Several statements are answered one after the other, if all can
/// be.
///
/// # Errors
/// 400 for every other statement.
pub async fn query(call: Call) -> Result<Reply, ApiError> {
    let asked: Vec<Statement> = statements(call.params.require("q")?).into_iter().map(statement).collect();
    if asked.is_empty() || asked.contains(&Statement::Other) {
        return Err(ApiError::bad_data(
            "InfluxQL is not spoken here, only CREATE DATABASE, SHOW DATABASES and SHOW RETENTION POLICIES; ask in \
             PromQL at /api/v1/query",
        ));
    }
    let mut results = Vec::with_capacity(asked.len());
    for (id, statement) in asked.into_iter().enumerate() {
        let mut result = json!({ "statement_id": id });
        if let Some(series) = series(&call, statement).await? {
            result["series"] = json!([series]);
        }
        results.push(result);
    }
    let body = json!({ "results": results });
    Ok(Reply::ok(JSON, format!("{body}\n"))
        .header(version_header(), HeaderValue::from_static(INFLUX_VERSION)))
}

/// What a statement answers, if it answers something.
async fn series(call: &Call, statement: Statement) -> Result<Option<serde_json::Value>, ApiError> {
    match statement {
        Statement::CreateDatabase | Statement::Other => Ok(None),
        Statement::ShowDatabases => {
            let database = call.database()?;
            let names = storage::blocking(move || {
                database.label_values("db", &[], barograph_engine::model::TimeRange::ALL)
            });
            let names = names.await??;
            let values: Vec<[String; 1]> = names.into_iter().map(|(name, _)| [name]).collect();
            Ok(Some(json!({ "name": "databases", "columns": ["name"], "values": values })))
        }
        Statement::ShowRetentionPolicies => Ok(Some(json!({
            "columns": ["name", "duration", "shardGroupDuration", "replicaN", "default"],
            "values": [["autogen", "0s", "24h0m0s", 1, true]],
        }))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_writers() {
        for text in ["CREATE DATABASE x", " create database \"a b\" WITH DURATION 1d "] {
            assert_eq!(statement(text), Statement::CreateDatabase, "{text}");
        }
        assert_eq!(statement("show databases"), Statement::ShowDatabases);
        assert_eq!(statement("SHOW RETENTION POLICIES ON x"), Statement::ShowRetentionPolicies);
        for text in ["", "CREATE DATABASE", "DROP DATABASE x", "SELECT * FROM cpu", "SHOW"] {
            assert_eq!(statement(text), Statement::Other, "{text}");
        }
    }

    #[test]
    fn semicolons_part_statements() {
        assert_eq!(statements("a; b ;;c;"), ["a", " b ", "c"]);
        assert_eq!(statements(r#"a "x;\";y" ';' b;c"#), [r#"a "x;\";y" ';' b"#, "c"]);
        assert_eq!(statements("a \"open; b"), ["a \"open; b"]);
        for text in ["", " ; ", ";"] {
            assert!(statements(text).is_empty(), "{text:?}");
        }
    }
}
