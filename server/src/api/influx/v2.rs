//! The requests that clients of InfluxDB 2 make before they write: whether the server is ready, and which organizations
//! and buckets exist.
//!
//! A bucket is a value of the label `db`. Clients must name an organization, but it has no effect, so every
//! organization exists.

use std::time::{Duration, SystemTime};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::call::Call;
use crate::api::gate::Asked;
use crate::error::ApiError;
use crate::http::auth::Access;
use crate::http::body::BodyLimits;
use crate::http::reply::{JSON, Reply};
use crate::ingest::sections::DATABASE_BYTES_MAX;
use barograph::budget::Work;

/// The organization if the request names none.
const ORG: &str = "barograph";
/// Number of buckets in an answer if the client gives no `limit`; InfluxDB has the same default and maximum.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;

/// Maximum size of the description of a bucket to be created, bytes. Parsed JSON takes many times as much.
const BUCKET_BYTES_MAX: usize = 64 << 10;

/// The id of a name: 16 hexadecimal digits, the same after every restart.
fn id(kind: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("{kind}\0{name}").as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn org(call: &Call) -> &str {
    call.params.get("org").unwrap_or(ORG)
}

fn bucket(name: &str, org: &str) -> Value {
    json!({
        "id": id("bucket", name), "orgID": id("org", org), "type": "user", "name": name,
        "retentionRules": [{ "type": "expire", "everySeconds": 0 }],
        "createdAt": "1970-01-01T00:00:00Z", "updatedAt": "1970-01-01T00:00:00Z", "labels": [],
    })
}

/// `GET /api/v2/buckets`: the bucket that `name` or `id` asks for, else all from `after` or `offset` on, at most
/// `limit`. A bucket asked for by name always exists, since writing to it does not require creating it. `POST
/// /api/v2/buckets` adds a name to the list, durably.
///
/// # Errors
/// 400 for a bad parameter or body, 403 for a name other than that of the token's tenant, 404 for an unknown id, 422
/// for a listed name.
pub async fn buckets(mut call: Call) -> Result<Reply, ApiError> {
    if call.method == Method::POST {
        return create(&mut call).await;
    }
    let found = match (call.params.get("name"), call.params.get("id")) {
        (Some(name), _) => {
            let name = checked(name)?;
            call.check_database(name)?;
            vec![name.to_owned()]
        }
        (None, Some(wanted)) => {
            let wanted = wanted.to_owned();
            let pick = move |work: &Work, names: Vec<String>| match position(work, &names, &wanted)? {
                Some(at) => Ok(names.into_iter().skip(at).take(1).collect()),
                None => Err(ApiError::not_found("bucket not found")),
            };
            names(&call, pick).await?
        }
        (None, None) => {
            let (offset, limit) = (number(&call, "offset", 0)?, number(&call, "limit", LIMIT_DEFAULT)?);
            if !(1..=LIMIT_MAX).contains(&limit) {
                return Err(ApiError::parameter("limit", format!("expected 1 to {LIMIT_MAX}")));
            }
            let after = call.params.get("after").map(str::to_owned);
            let pick = move |work: &Work, names: Vec<String>| {
                let before = after.as_ref().map(|after| position(work, &names, after)).transpose()?.flatten();
                let start = before.map_or(offset, |at| at + 1);
                Ok(names.into_iter().skip(start).take(limit).collect())
            };
            names(&call, pick).await?
        }
    };
    let buckets: Vec<Value> = found.iter().map(|name| bucket(name, org(&call))).collect();
    Ok(answer(&json!({ "links": { "self": "/api/v2/buckets" }, "buckets": buckets })))
}

async fn create(call: &mut Call) -> Result<Reply, ApiError> {
    call.require(Access::Write)?;
    let database = call.database()?;
    let held = call.read_body(BodyLimits::question(&call.config)).await?.decoded().await?;
    if held.bytes.len() > BUCKET_BYTES_MAX {
        return Err(ApiError::bad_data(format!(
            "the body has {} bytes; the fixed limit for a bucket is {BUCKET_BYTES_MAX}",
            held.bytes.len()
        )));
    }
    let body = call.keep_body(held)?;
    let (name, org) = described(&body)?;
    checked(&name)?;
    call.check_change_of_database(&name)?;
    let created = name.clone();
    let admitted = call.admit(Asked::of(call)?.named(name.clone())).await?;
    let is_new = admitted.run(move |work| {
        let known = database.reader(work).databases()?.contains(&created);
        Ok(database.create_database(&created)? && !known)
    });
    if !is_new.await? {
        return Err(ApiError::execution(format!("bucket with name {name} already exists")));
    }
    Ok(answer(&bucket(&name, &org)).status(StatusCode::CREATED))
}

/// The name and organization in the description of a bucket. The parsed body, which takes many times its length, is
/// dropped before the request waits for its turn.
fn described(body: &[u8]) -> Result<(String, String), ApiError> {
    let asked: Value =
        serde_json::from_slice(body).map_err(|e| ApiError::bad_data(format!("the body is not JSON: {e}")))?;
    let name = asked["name"].as_str().ok_or_else(|| ApiError::bad_data("the body has no \"name\""))?;
    Ok((name.to_owned(), asked["orgID"].as_str().unwrap_or(ORG).to_owned()))
}

/// `GET /api/v2/orgs`: the organization that `org` names.
///
/// # Errors
/// Never.
pub async fn orgs(call: Call) -> Result<Reply, ApiError> {
    let name = org(&call);
    Ok(answer(&json!({
        "links": { "self": "/api/v2/orgs" },
        "orgs": [{
            "id": id("org", name), "name": name, "description": "",
            "createdAt": "1970-01-01T00:00:00Z", "updatedAt": "1970-01-01T00:00:00Z",
        }],
    })))
}

/// `GET /ready`: the time since the server has been answering.
///
/// # Errors
/// 503 while there is no database.
pub async fn ready(call: Call) -> Result<Reply, ApiError> {
    call.database()?;
    let up = call.state.telemetry.uptime();
    let started = jiff::Timestamp::try_from(SystemTime::now() - up)
        .map_err(|_| ApiError::internal("the clock is out of range"))?;
    Ok(answer(&json!({ "status": "ready", "started": started.to_string(), "up": spoken(up) })))
}

/// A duration in Go's format, in whole seconds: `1h2m3s`.
fn spoken(up: Duration) -> String {
    let seconds = up.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{}s", seconds % 60),
        _ => format!("{hours}h{minutes}m{}s", seconds % 60),
    }
}

/// The names of databases that `pick` selects.
async fn names<F>(call: &Call, pick: F) -> Result<Vec<String>, ApiError>
where
    F: Fn(&Work, Vec<String>) -> Result<Vec<String>, ApiError> + Send + 'static,
{
    let database = call.database()?;
    let admitted = call.admit(Asked::of(call)?).await?;
    admitted.read(move |work| pick(work, database.reader(work).databases()?)).await
}

/// The index of the bucket with this id in `names`.
fn position(work: &Work, names: &[String], wanted: &str) -> Result<Option<usize>, ApiError> {
    /// Number of ids computed between two checks for cancellation.
    const AT_ONCE: usize = 1024;
    for (chunk, names) in names.chunks(AT_ONCE).enumerate() {
        work.check()?;
        if let Some(at) = names.iter().position(|name| id("bucket", name) == wanted) {
            return Ok(Some(chunk * AT_ONCE + at));
        }
    }
    Ok(None)
}

fn checked(name: &str) -> Result<&str, ApiError> {
    if name.is_empty() || name.len() > DATABASE_BYTES_MAX || name.contains('\0') {
        return Err(ApiError::parameter(
            "name",
            format!("expected 1 to {DATABASE_BYTES_MAX} bytes without NUL"),
        ));
    }
    Ok(name)
}

fn number(call: &Call, name: &str, default: usize) -> Result<usize, ApiError> {
    match call.params.get(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| ApiError::parameter(name, "expected a whole number")),
    }
}

fn answer(value: &Value) -> Reply {
    Reply::ok(JSON, format!("{value}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_prints_them() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m0s"), (3_723, "1h2m3s"), (360_000, "100h0m0s")]
        {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn ids_are_sixteen_digits_and_differ_by_kind() {
        assert_eq!(id("bucket", "a").len(), 16);
        assert_ne!(id("bucket", "a"), id("org", "a"));
        assert_ne!(id("bucket", "a"), id("bucket", "b"));
    }
}
