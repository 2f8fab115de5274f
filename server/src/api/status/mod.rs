//! The state of this server: health, metrics, memory, active queries.

pub mod active;

use std::time::Duration;

use barograph::Health;
use hyper::StatusCode;

use crate::api::call::{Call, success_value};
use crate::error::ApiError;
use crate::http::reply::{Reply, TEXT};
use crate::runtime;
use crate::telemetry::{self, exposition};

/// The page at `/`.
const ROOT: &str = include_str!("root.html");

/// How long flushes may fail before the server reports that it is not ready.
const FLUSHES_FAIL_MAX: Duration = Duration::from_secs(60);

/// `/-/healthy`: 200 unless the process needs a restart. A server that refuses writes until it is restarted is not
/// healthy; a condition that clears with time is only reported.
///
/// # Errors
/// 503 when an fsync has failed.
pub async fn healthy(call: Call) -> Result<Reply, ApiError> {
    let health = call.state.health().unwrap_or_default();
    match &health.refuses_writes {
        Some(reason) => Err(refuses(reason)),
        None => Ok(Reply::ok(TEXT, format!("Barograph is healthy.\n{}", ailments(&health)))),
    }
}

/// `/-/ready`: whether requests should be sent to this server.
///
/// # Errors
/// 503 while the database is being opened or closed, when an fsync has failed, and when flushes have failed for a
/// minute.
pub async fn ready(call: Call) -> Result<Reply, ApiError> {
    call.state.database()?;
    let health = call.state.health().unwrap_or_default();
    check_ready(&health)?;
    Ok(Reply::ok(TEXT, format!("Barograph is ready.\n{}{}", in_memory(&call), ailments(&health))))
}

/// Refuses requests while writes are refused until a restart, and when flushes have failed for long: the log grows, and
/// with it the time of the next start.
fn check_ready(health: &Health) -> Result<(), ApiError> {
    if let Some(reason) = &health.refuses_writes {
        return Err(refuses(reason));
    }
    match &health.flushes_fail {
        Some((since, why)) if *since >= FLUSHES_FAIL_MAX && !health.disk_full => {
            Err(ApiError::busy(format!("flushes have failed for {} s: {why}", since.as_secs()), 30))
        }
        _ => Ok(()),
    }
}

fn in_memory(call: &Call) -> &'static str {
    if call.config.in_memory { "Nothing is stored: all data is lost when the server ends.\n" } else { "" }
}

fn refuses(reason: &str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", format!("{reason} (restart the server)"))
}

/// One line for each problem.
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
pub async fn metrics(call: Call) -> Result<Reply, ApiError> {
    let (state, database) = (call.state.clone(), call.database()?);
    let text = runtime::blocking(move || exposition::write(&state.metrics(&database))).await?;
    Ok(Reply::ok(exposition::CONTENT_TYPE, text))
}

/// `/`: a page with links.
///
/// # Errors
/// Never.
pub async fn root(_: Call) -> Result<Reply, ApiError> {
    Ok(Reply::ok("text/html; charset=utf-8", ROOT))
}

/// `/api/v1/status/memory`: the limit and the use of each share, and the resident memory of the process.
///
/// # Errors
/// 503 while there is no database.
pub async fn memory(call: Call) -> Result<Reply, ApiError> {
    let (state, database) = (call.state.clone(), call.database()?);
    let value = runtime::blocking(move || telemetry::memory::describe(&state.memory, &database)).await?;
    Ok(success_value(&value))
}

/// `/api/v1/status/compaction`: the work of the compactor, and the tiers of buckets.
///
/// # Errors
/// 503 while there is no database.
pub async fn compaction(call: Call) -> Result<Reply, ApiError> {
    let (config, database) = (call.config.clone(), call.database()?);
    let value = runtime::blocking(move || telemetry::compaction::describe(&database, &config)).await?;
    Ok(success_value(&value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(change: impl FnOnce(&mut Health)) -> Health {
        let mut health = Health::default();
        change(&mut health);
        health
    }

    /// Flushes that have failed for so many seconds.
    fn failing(seconds: u64) -> Health {
        health(|h| h.flushes_fail = Some((Duration::from_secs(seconds), "no table".to_owned())))
    }

    #[test]
    fn failed_flushes_make_a_server_unready_after_a_minute_unless_the_disk_is_full() {
        assert!(check_ready(&Health::default()).is_ok() && check_ready(&failing(59)).is_ok());
        let refused = check_ready(&failing(60)).expect_err("a minute has passed");
        assert_eq!((refused.status, refused.retry_after), (StatusCode::SERVICE_UNAVAILABLE, Some(30)));
        assert_eq!(refused.message, "flushes have failed for 60 s: no table");
        let mut full = failing(3600);
        full.disk_full = true;
        assert!(check_ready(&full).is_ok(), "queries are answered, and it ends without a restart");
        let broken = health(|h| h.refuses_writes = Some("an fsync failed".to_owned()));
        assert!(check_ready(&broken).is_err_and(|refused| refused.message.contains("restart the server")));
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        assert_eq!(ailments(&Health::default()), "");
        let mut all = failing(7);
        all.disk_full = true;
        all.writes_fail = Some("EIO".to_owned());
        let text = ailments(&all);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "The disk is full: writes are refused until there is space.",
                "Writes fail: EIO",
                "Flushes have failed for 7 s: no table"
            ]
        );
    }
}
