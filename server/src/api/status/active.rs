//! Lists and cancels the active queries.

use serde_json::json;

use crate::api::call::{Call, success_value};
use crate::error::ApiError;
use crate::http::reply::Reply;

/// `/api/v1/status/active_queries`; a tenant sees only its own.
///
/// # Errors
/// Never.
pub async fn list(call: Call) -> Result<Reply, ApiError> {
    Ok(success_value(&json!({ "queries": call.state.gates.active.list(call.tenant.as_deref()) })))
}

/// `/api/v1/status/active_queries/{id}/cancel`: the client of the query gets 499.
///
/// # Errors
/// 400 if the id is not a number, 404 if there is no such query, or no longer.
pub async fn cancel(call: Call) -> Result<Reply, ApiError> {
    let id = &call.segment;
    let number: u64 =
        id.parse().map_err(|_| ApiError::bad_data(format!("{id:?} is not the id of a query")))?;
    match call.state.gates.active.cancel(number, call.tenant.as_deref()) {
        Some(entry) => Ok(success_value(&entry)),
        None => Err(ApiError::not_found(format!("no query {number} waits or runs"))),
    }
}
