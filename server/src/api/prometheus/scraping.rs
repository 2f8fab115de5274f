//! The lists of a Prometheus server that scrapes and evaluates rules. They are empty here, in the format that clients
//! expect.

use serde_json::json;

use crate::api::call::{Call, success_value};
use crate::error::ApiError;
use crate::http::reply::Reply;

/// `/api/v1/rules`: no rules, for the types that exist.
///
/// # Errors
/// 400 for another type, 503 while there is no database.
pub async fn rules(call: Call) -> Result<Reply, ApiError> {
    call.state.database()?;
    match call.params.get("type").map(str::to_ascii_lowercase).as_deref() {
        None | Some("alert" | "record") => Ok(success_value(&json!({ "groups": [] }))),
        Some(other) => Err(ApiError::parameter("type", format!("not supported value {other:?}"))),
    }
}

/// `/api/v1/alerts`
///
/// # Errors
/// 503 while there is no database.
pub async fn alerts(call: Call) -> Result<Reply, ApiError> {
    call.state.database()?;
    Ok(success_value(&json!({ "alerts": [] })))
}

/// `/api/v1/targets`
///
/// # Errors
/// 503 while there is no database.
pub async fn targets(call: Call) -> Result<Reply, ApiError> {
    call.state.database()?;
    Ok(success_value(&json!({ "activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {} })))
}

/// `/api/v1/targets/metadata`
///
/// # Errors
/// 503 while there is no database.
pub async fn targets_metadata(call: Call) -> Result<Reply, ApiError> {
    call.state.database()?;
    Ok(success_value(&json!([])))
}

/// `/api/v1/scrape_pools`
///
/// # Errors
/// 503 while there is no database.
pub async fn scrape_pools(call: Call) -> Result<Reply, ApiError> {
    call.state.database()?;
    Ok(success_value(&json!({ "scrapePools": [] })))
}

/// `/api/v1/alertmanagers`
///
/// # Errors
/// 503 while there is no database.
pub async fn alertmanagers(call: Call) -> Result<Reply, ApiError> {
    call.state.database()?;
    Ok(success_value(&json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] })))
}
