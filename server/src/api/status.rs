//! What describes the server: health, metrics, build, settings, cardinality, and the
//! empty shapes of what a scraping Prometheus would list.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::call::{Call, success_value};
use crate::api::features;
use crate::api::reply::{Reply, TEXT};
use crate::api::routes::Endpoint;
use crate::config::settings::SETTINGS;
use crate::error::ApiError;
use crate::storage;
use crate::telemetry::exposition;

/// The Prometheus version whose HTTP API this is. Grafana chooses features by it.
const PROMETHEUS_VERSION: &str = "3.8.0";

/// Entries of each cardinality list.
const TOP_DEFAULT: usize = 10;
/// Most entries of each.
const TOP_MAX: usize = 10_000;

/// `/-/healthy`: the process answers.
pub fn healthy() -> Reply {
    Reply::ok(TEXT, "Barograph is healthy.\n")
}

/// `/-/ready`: the database answers.
///
/// # Errors
/// 503 while it does not.
pub fn ready(call: &Call) -> Result<Reply, ApiError> {
    call.app.database()?;
    Ok(Reply::ok(TEXT, "Barograph is ready.\n"))
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
        Endpoint::Rules => json!({ "groups": [] }),
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

/// `/api/v1/status/tsdb`: how many series there are, and which names and labels have most;
/// in memory, as Prometheus answers, with `start` or `end` also in the store.
///
/// # Errors
/// 400 for a bad limit or time, 503 when it takes too long, and what storage gives.
pub async fn tsdb(call: Call) -> Result<Reply, ApiError> {
    let top = match call.params.get("limit") {
        None => TOP_DEFAULT,
        Some(text) => match text.parse::<usize>() {
            Ok(limit) if limit > 0 => limit.min(TOP_MAX),
            _ => return Err(ApiError::bad_data("limit must be a positive number")),
        },
    };
    let database = call.database()?;
    let turn = call.turn().await?;
    let range = ["start", "end"].iter().any(|name| call.params.get(name).is_some());
    let range = range.then(|| call.params.range()).transpose()?;
    let time_max = call.config.query_timeout;
    let value = storage::blocking(move || {
        let _turn = turn;
        storage::cardinality(&database, range, top, time_max)
    })
    .await??;
    Ok(success_value(&value))
}
