//! `/api/v3/write_lp` of InfluxDB 3.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{Version, Work, stored};
use crate::api::call::Call;
use crate::api::reply::{JSON, Reply};
use crate::error::ApiError;
use crate::{ingest, storage};
use barograph::{LineError, LineReport, Precision};
use barograph_engine::line::Lines;

/// Bytes of a refused line that are sent back.
const LINE_SHOWN: usize = 256;

/// What became of a body.
enum Outcome {
    /// It was stored, but for the lines of the report, whose texts are beside it.
    Written(LineReport, Vec<Value>),
    /// A line is no line protocol, and a part was not wanted.
    Refused(Value),
}

/// `/api/v3/write_lp`: 204 when every line is stored durably, and also with `no_sync`, which may be faster elsewhere.
/// The unit of timestamps is told from their size, unless `precision` names it.
///
/// # Errors
/// 400 with the refused lines; the others are stored. With `accept_partial=false` nothing is stored where a line does
/// not parse. Without `db` 400, and what reading the body or storage gives.
pub async fn write(mut call: Call) -> Result<Reply, ApiError> {
    call.params.require("db")?;
    let precision = precision(&call)?;
    let accepts_partial = flag(&call, "accept_partial", true)?;
    flag(&call, "no_sync", false)?;
    let work = Work::new(&mut call, precision, Version::Three).await?;
    let outcome = storage::blocking(move || {
        let work = work.decoded()?;
        if !accepts_partial && let Some(error) = first_fault(&work) {
            return Ok(Outcome::Refused(described(&work.held.bytes, &error)));
        }
        let report = work.store()?;
        let lines = report.errors.iter().map(|error| described(&work.held.bytes, error)).collect();
        Ok::<_, ApiError>(Outcome::Written(report, lines))
    });
    match outcome.await?? {
        Outcome::Refused(line) => Ok(refused("parsing failed for write_lp endpoint", line)),
        Outcome::Written(report, lines) => match ingest::partial_write(&report) {
            None => Ok(stored(&report)),
            // A limit that passes by itself: the whole body may come again.
            Some(error) if error.retry_after.is_some() => Err(error),
            Some(_) => Ok(refused("partial write of line protocol occurred", Value::Array(lines))),
        },
    }
}

/// The names of version 3 beside those of the other versions.
fn precision(call: &Call) -> Result<Precision, ApiError> {
    Ok(match call.params.get("precision") {
        Some("nanosecond") => Precision::Nanosecond,
        Some("microsecond") => Precision::Microsecond,
        Some("millisecond") => Precision::Millisecond,
        Some("second") => Precision::Second,
        _ => super::precision(call, Precision::Auto)?,
    })
}

fn flag(call: &Call, name: &str, default: bool) -> Result<bool, ApiError> {
    match call.params.get(name) {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(ApiError::parameter(name, "expected true or false")),
    }
}

/// The first line that does not parse.
fn first_fault(work: &Work) -> Option<LineError> {
    let limits = work.options().limits;
    Lines::new(&work.held.bytes, work.precision, limits).find_map(Result::err)
}

fn described(body: &[u8], error: &LineError) -> Value {
    let line = body.split(|&byte| byte == b'\n').nth(error.line.saturating_sub(1)).unwrap_or_default();
    let shown = &line[..line.len().min(LINE_SHOWN)];
    json!({
        "original_line": String::from_utf8_lossy(shown),
        "line_number": error.line,
        "error_message": error.reason.to_string(),
    })
}

fn refused(error: &str, data: Value) -> Reply {
    let body = json!({ "error": error, "data": data });
    Reply::ok(JSON, format!("{body}\n")).status(StatusCode::BAD_REQUEST)
}
