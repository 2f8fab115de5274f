//! What describes the server: health, metrics, build, settings, cardinality, and the
//! empty shapes of what a scraping Prometheus would list.

use std::collections::BTreeMap;
use std::time::Duration;

use barograph::{Health, Stats};
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::api::call::{Call, success, success_value};
use crate::api::gate::Asked;
use crate::api::prometheus::{cardinality, features};
use crate::api::routes::Endpoint;
use crate::config::settings::SETTINGS;
use crate::error::ApiError;
use crate::http::reply::{JSON, Reply, TEXT};
use crate::storage;
use crate::telemetry::{self, exposition};

/// The page at `/`.
const ROOT: &str = include_str!("root.html");

/// The Prometheus version whose HTTP API this is. Grafana chooses features by it.
const PROMETHEUS_VERSION: &str = "3.8.0";

/// Entries of each cardinality list.
const TOP_DEFAULT: usize = 10;
/// Most entries of each.
const TOP_MAX: usize = 10_000;

/// How long flushes may fail before the server says that it is not ready.
const FLUSHES_FAIL_MAX: Duration = Duration::from_secs(60);

/// `/-/healthy`: whether the process needs no restart. A server that refuses writes until it is restarted is not
/// healthy; a condition that clears with time is only reported.
///
/// # Errors
/// 503 when an fsync has failed.
pub fn healthy(call: &Call) -> Result<Reply, ApiError> {
    let health = call.app.health().unwrap_or_default();
    match &health.refuses_writes {
        Some(reason) => Err(refuses(reason)),
        None => Ok(Reply::ok(TEXT, format!("Barograph is healthy.\n{}", ailments(&health)))),
    }
}

/// `/-/ready`: whether to send requests here.
///
/// # Errors
/// 503 while the database is being opened or closed, when an fsync has failed, and when flushes have failed for a
/// minute.
pub fn ready(call: &Call) -> Result<Reply, ApiError> {
    call.app.database()?;
    let health = call.app.health().unwrap_or_default();
    if let Some(reason) = &health.refuses_writes {
        return Err(refuses(reason));
    }
    match &health.flushes_fail {
        Some((since, why)) if *since >= FLUSHES_FAIL_MAX && !health.disk_full => {
            Err(ApiError::busy(format!("flushes have failed for {} s: {why}", since.as_secs()), 30))
        }
        _ => Ok(Reply::ok(TEXT, format!("Barograph is ready.\n{}", ailments(&health)))),
    }
}

fn refuses(reason: &str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", format!("{reason} (restart the server)"))
}

/// A line for each thing that is not as it should be.
fn ailments(health: &Health) -> String {
    let mut text = String::new();
    if health.disk_full {
        text.push_str("The disk is full: writes are refused until there is space.\n");
    }
    if let Some(why) = &health.writes_fail {
        text.push_str(&format!("Writes fail: {why}\n"));
    }
    for damage in &health.damaged {
        text.push_str(&format!("The store is damaged: {damage}\n"));
    }
    if let Some((since, why)) = &health.flushes_fail {
        text.push_str(&format!("Flushes have failed for {} s: {why}\n", since.as_secs()));
    }
    text
}

/// `/metrics`
///
/// # Errors
/// 503 while there is no database.
pub async fn metrics(call: &Call) -> Result<Reply, ApiError> {
    let (app, database) = (call.app.clone(), call.database()?);
    let text = storage::blocking(move || exposition::write(&storage::all_metrics(&app, &database))).await?;
    Ok(Reply::ok(exposition::CONTENT_TYPE, text))
}

/// Everything that needs no look into the database.
///
/// # Errors
/// 503 while there is no database.
pub fn describe(endpoint: Endpoint, call: &Call) -> Result<Reply, ApiError> {
    call.app.database()?;
    let value = match endpoint {
        Endpoint::BuildInfo => json!({
            "version": PROMETHEUS_VERSION, "revision": format!("barograph-{}", env!("CARGO_PKG_VERSION")),
            "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
        }),
        Endpoint::RuntimeInfo => runtime(call),
        Endpoint::Flags => flags(call),
        Endpoint::ConfigText => json!({ "yaml": call.config.to_toml() }),
        Endpoint::Features => features::describe(&call.config),
        Endpoint::WalReplay => json!({ "min": 0, "max": 0, "current": 0 }),
        Endpoint::Rules => rules(call)?,
        Endpoint::Alerts => json!({ "alerts": [] }),
        Endpoint::Targets => {
            json!({ "activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {} })
        }
        Endpoint::TargetsMetadata => json!([]),
        Endpoint::ScrapePools => json!({ "scrapePools": [] }),
        Endpoint::Alertmanagers => json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] }),
        _ => json!({}),
    };
    Ok(success_value(&value))
}

/// No rules, of the types that there are.
fn rules(call: &Call) -> Result<Value, ApiError> {
    match call.params.get("type").map(str::to_ascii_lowercase).as_deref() {
        None | Some("alert" | "record") => Ok(json!({ "groups": [] })),
        Some(other) => Err(ApiError::parameter("type", format!("not supported value {other:?}"))),
    }
}

/// `/`: where everything is.
pub fn root() -> Reply {
    Reply::ok("text/html; charset=utf-8", ROOT)
}

fn flags(call: &Call) -> Value {
    let texts: BTreeMap<String, &str> = SETTINGS
        .iter()
        .map(|setting| {
            let text = call.config.texts.get(setting.key).map_or(setting.default, String::as_str);
            (setting.flag(), text)
        })
        .collect();
    json!(texts)
}

fn runtime(call: &Call) -> Value {
    let now = storage::now_ns();
    let started = now - call.app.telemetry.uptime().as_nanos() as i64;
    let rfc3339 = |ns: i64| {
        jiff::Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| String::new(), |t| t.to_string())
    };
    let retention = crate::config::values::show_duration(call.config.retention);
    json!({
        "startTime": rfc3339(started), "CWD": "", "hostname": "", "serverTime": rfc3339(now),
        "reloadConfigSuccess": true, "lastConfigTime": rfc3339(started), "corruptionCount": 0,
        "goroutineCount": 0, "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
        "GOMEMLIMIT": call.app.memory.total(), "GOGC": "", "GODEBUG": "", "storageRetention": retention,
    })
}

/// `/api/v1/status/memory`: the shares of the memory, what they hold, and what the process really has.
///
/// # Errors
/// 503 while there is no database.
pub async fn memory(call: Call) -> Result<Reply, ApiError> {
    let (app, database) = (call.app.clone(), call.database()?);
    let value = storage::blocking(move || telemetry::memory::describe(&app.memory, &database)).await?;
    Ok(success_value(&value))
}

/// `/api/v1/status/tsdb`: the number of series, and the names and labels with most; in memory, as in Prometheus, and
/// with `start` or `end` also in the store. A tenant sees its own series.
///
/// # Errors
/// 400 for a bad limit or time, 503 if it takes too long, and the errors of storage.
pub async fn tsdb(call: Call) -> Result<Reply, ApiError> {
    let top = match call.params.get("limit") {
        None => TOP_DEFAULT,
        Some(text) => match text.parse::<usize>() {
            Ok(limit) if limit > 0 => limit.min(TOP_MAX),
            _ => return Err(ApiError::bad_data("limit must be a positive number")),
        },
    };
    let range = ["start", "end"].iter().any(|name| call.params.get(name).is_some());
    let range = range.then(|| call.params.range()).transpose()?;
    let database = call.database()?;
    let admitted = call.admit(Asked::of(&call)?).await?;
    admitted
        .answer(JSON, move |work, out| {
            let found = database.reader(work).cardinality(range, top)?;
            // The totals of the store cover all tenants.
            let stats = if database.tenant().is_none() { database.stats() } else { Stats::default() };
            success(out, &[], &[], |out| cardinality::write(out, &found, &stats))
        })
        .await
}
