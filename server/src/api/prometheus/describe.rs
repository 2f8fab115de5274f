//! `/api/v1/status/`: the description that a Prometheus server gives of itself.

use std::collections::BTreeMap;

use barograph::Stats;
use serde_json::json;

use crate::api::call::{Call, success, success_value};
use crate::api::gate::Asked;
use crate::api::prometheus::cardinality;
use crate::clock;
use crate::config::settings::SETTINGS;
use crate::config::values::show_duration;
use crate::error::ApiError;
use crate::http::reply::{JSON, Reply};

/// The version of Prometheus whose HTTP API this implements. Grafana selects features by it.
const PROMETHEUS_VERSION: &str = "3.8.0";

/// Default number of entries in each cardinality list.
const TOP_DEFAULT: usize = 10;
/// Maximum number of entries in each.
const TOP_MAX: usize = 10_000;

/// `…/buildinfo`: the version of the implemented API.
///
/// # Errors
/// 503 while there is no database.
pub async fn build_info(call: Call) -> Result<Reply, ApiError> {
    call.state.database()?;
    Ok(success_value(&json!({
        "version": PROMETHEUS_VERSION, "revision": format!("barograph-{}", env!("CARGO_PKG_VERSION")),
        "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
    })))
}

/// `…/runtimeinfo`: facts about the process.
///
/// # Errors
/// 503 while there is no database.
pub async fn runtime_info(call: Call) -> Result<Reply, ApiError> {
    let kept = call.state.database()?.kept();
    let now = clock::now_ns();
    let started = now - call.state.telemetry.uptime().as_nanos() as i64;
    let rfc3339 = |ns: i64| {
        jiff::Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| String::new(), |t| t.to_string())
    };
    Ok(success_value(&json!({
        "startTime": rfc3339(started), "CWD": "", "hostname": "", "serverTime": rfc3339(now),
        "reloadConfigSuccess": true, "lastConfigTime": rfc3339(started), "corruptionCount": 0,
        "goroutineCount": 0, "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
        "GOMEMLIMIT": call.state.memory.total(), "GOGC": "", "GODEBUG": "",
        "storageRetention": show_duration(kept.retention),
    })))
}

/// `…/flags`: the settings by the names of their flags.
///
/// # Errors
/// 503 while there is no database.
pub async fn flags(call: Call) -> Result<Reply, ApiError> {
    call.state.database()?;
    let texts: BTreeMap<String, &str> = SETTINGS
        .iter()
        .map(|setting| {
            let text = call.config.texts.get(setting.key).map_or(setting.default, String::as_str);
            (setting.flag(), text)
        })
        .collect();
    Ok(success_value(&json!(texts)))
}

/// `…/config`: the settings as a file.
///
/// # Errors
/// 503 while there is no database.
pub async fn config(call: Call) -> Result<Reply, ApiError> {
    call.state.database()?;
    Ok(success_value(&json!({ "yaml": call.config.to_toml() })))
}

/// `…/walreplay`: always done, because nothing is answered before the replay is done.
///
/// # Errors
/// 503 while there is no database.
pub async fn wal_replay(call: Call) -> Result<Reply, ApiError> {
    call.state.database()?;
    Ok(success_value(&json!({ "min": 0, "max": 0, "current": 0 })))
}

/// `/api/v1/status/tsdb`: the number of series, and the names and labels with the most; in memory, as in Prometheus,
/// and with `start` or `end` also in the store. A tenant sees only its own series.
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
