//! `/api/v3/write_lp` of InfluxDB 3.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{Version, Work, stored};
use crate::api::call::Call;
use crate::error::ApiError;
use crate::http::reply::{JSON, Reply};
use crate::ingest;
use crate::ingest::sections::Context;
use crate::runtime;
use barograph::internals::line::Lines;
use barograph::{LineError, LineReport, Precision};

/// Bytes of a refused line that the answer quotes.
const LINE_SHOWN: usize = 256;

/// The outcome of a write.
enum Outcome {
    /// The body was stored, except for the lines in the report, whose texts are in the second field.
    Written(LineReport, Vec<Value>),
    /// A line did not parse, and the client did not accept a partial write.
    Refused(Value),
}

/// `/api/v3/write_lp`: 204 if every line is stored durably, even with `no_sync`. The unit of a timestamp is derived
/// from its size, unless `precision` specifies it.
///
/// # Errors
/// 400 with the refused lines; the others are stored. With `accept_partial=false`, nothing is stored if a line does not
/// parse. Also 400 without `db`, and the errors of reading the body and of storage.
pub async fn write(mut call: Call) -> Result<Reply, ApiError> {
    call.params.require("db")?;
    let precision = precision(&call)?;
    let accepts_partial = flag(&call, "accept_partial", true)?;
    flag(&call, "no_sync", false)?;
    let work = Work::new(&mut call, precision, Version::Three).await?;
    let outcome = runtime::blocking(move || {
        let work = work.decoded()?;
        if !accepts_partial && let Some(error) = first_fault(&work) {
            let line = described(&work.held.bytes, std::slice::from_ref(&error)).pop();
            return Ok(Outcome::Refused(line.unwrap_or_default()));
        }
        let report = work.store()?;
        let lines = described(&work.held.bytes, &report.errors);
        Ok::<_, ApiError>(Outcome::Written(report, lines))
    });
    match outcome.await?? {
        Outcome::Refused(line) => Ok(refused("parsing failed for write_lp endpoint", line)),
        Outcome::Written(report, lines) => match ingest::partial_write(&report) {
            None => Ok(stored(&report)),
            // A limit that clears with time: the client may send the whole body again.
            Some(error) if error.retry_after.is_some() => Err(error),
            Some(_) => Ok(refused("partial write of line protocol occurred", Value::Array(lines))),
        },
    }
}

/// The precision, with the names of version 3 in addition to those of the other versions.
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
    Context::default().split(&work.held.bytes).find_map(|section| {
        let fault = Lines::new(section.bytes, work.precision, limits).find_map(Result::err)?;
        Some(LineError { line: fault.line + section.line as usize, ..fault })
    })
}

/// Descriptions of the refused lines, given in ascending order, with the lines of the body at which they begin.
fn described(body: &[u8], errors: &[LineError]) -> Vec<Value> {
    let (mut at, mut row) = (0, 1);
    let describe = |error: &LineError| {
        while row < error.line
            && let Some(end) = memchr::memchr(b'\n', &body[at..])
        {
            (at, row) = (at + end + 1, row + 1);
        }
        let shown = &body[at..body.len().min(at + LINE_SHOWN)];
        let shown = shown.split(|&byte| byte == b'\n').next().unwrap_or_default();
        json!({
            "original_line": String::from_utf8_lossy(shown),
            "line_number": error.line,
            "error_message": error.reason.to_string(),
        })
    };
    errors.iter().map(describe).collect()
}

fn refused(error: &str, data: Value) -> Reply {
    let body = json!({ "error": error, "data": data });
    Reply::ok(JSON, format!("{body}\n")).status(StatusCode::BAD_REQUEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_lines_are_found_in_one_pass() {
        let long = "x".repeat(300);
        let body = format!("bad\nm v=1\n\nworse\r\n{long}\nlast");
        let limits = barograph::LineLimits::default();
        let errors: Vec<LineError> =
            Lines::new(body.as_bytes(), Precision::Auto, limits).filter_map(Result::err).collect();
        let found: Vec<(u64, String)> = described(body.as_bytes(), &errors)
            .iter()
            .map(|line| {
                (line["line_number"].as_u64().unwrap(), line["original_line"].as_str().unwrap().to_owned())
            })
            .collect();
        let expected = [(1, "bad"), (4, "worse\r"), (5, &long[..LINE_SHOWN]), (6, "last")];
        assert_eq!(found, expected.map(|(number, text)| (number, text.to_owned())));
    }
}
