//! Prometheus remote write, versions 1 and 2.
//!
//! The body is a snappy block, and the media type states the version. Answers are texts for the sender's log. The
//! status is 204 if all samples are stored; 400 if something was refused permanently (the rest is stored); and 429 if a
//! limit that clears with time refused something. In that case, the sender may repeat the whole request, which does not
//! change stored samples. A sender that repeats on 429 holds back all its metrics until it succeeds, so no other
//! refusal may be 429.
//!
//! Next: `barograph::Database::write_remote`.

use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::api::call::Call;
use crate::error::{ApiError, Dialect};
use crate::http::body::BodyLimits;
use crate::http::reply::{Reply, TEXT};
use crate::ingest;
use crate::runtime;
use barograph::{RemoteReport, RemoteVersion};

const VERSION_1: &str = "prometheus.WriteRequest";
const VERSION_2: &str = "io.prometheus.write.v2.Request";

/// `/api/v1/write`
///
/// # Errors
/// 415 for another type or compression, 400 for a malformed body, 413 for a large one, 429 and 5xx if storage accepted
/// nothing.
pub async fn write(mut call: Call) -> Result<Reply, ApiError> {
    let version = version(&call.headers)?;
    match store(&mut call, version).await {
        Ok(report) => Ok(answer(&report, version)),
        // A sender of version 2 takes an answer without counts to come from a server that supports only version 1.
        Err(error) => Ok(counted(Reply::error(&error, Dialect::Text), &RemoteReport::default(), version)),
    }
}

async fn store(call: &mut Call, version: RemoteVersion) -> Result<RemoteReport, ApiError> {
    let database = call.database()?;
    let mut held = call.read_snappy(BodyLimits::write(&call.config)).await?;
    let turn = call.turn_to_write(&held).await?;
    let state = call.state.clone();
    let report = runtime::blocking(move || {
        let _turn = turn;
        held.decode()?;
        ingest::store_remote(&database, &state.telemetry, &held.bytes, version)
    });
    report.await?
}

/// The version that a `Content-Type` states. Old senders name no message, and the oldest send no type.
fn version(headers: &HeaderMap) -> Result<RemoteVersion, ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(RemoteVersion::One) };
    let text = value.to_str().unwrap_or("?");
    let unsupported = || {
        let shown: String = text.chars().take(100).collect();
        ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "bad_data",
            format!(
                "Content-Type {shown:?} is not supported; send application/x-protobuf with proto={VERSION_1} or \
                 proto={VERSION_2}"
            ),
        )
    };
    let mut parts = text.split(';').map(str::trim);
    if !parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-protobuf")) {
        return Err(unsupported());
    }
    let message = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("proto").then(|| value.trim().trim_matches('"').to_owned())
    });
    match message.as_deref() {
        None | Some(VERSION_1) => Ok(RemoteVersion::One),
        Some(VERSION_2) => Ok(RemoteVersion::Two),
        Some(_) => Err(unsupported()),
    }
}

fn answer(report: &RemoteReport, version: RemoteVersion) -> Reply {
    let reply = match (report.refused, report.limited) {
        (0, _) => Reply::no_content(),
        (_, 0) => Reply::ok(TEXT, describe(report)).status(StatusCode::BAD_REQUEST),
        _ => Reply::ok(TEXT, describe(report))
            .status(StatusCode::TOO_MANY_REQUESTS)
            .header(header::RETRY_AFTER, HeaderValue::from_static("1")),
    };
    counted(reply, report, version)
}

/// Adds the counts of stored data, which a sender of version 2 expects in every answer.
fn counted(mut reply: Reply, report: &RemoteReport, version: RemoteVersion) -> Reply {
    if version == RemoteVersion::Two {
        for (name, count) in [
            ("x-prometheus-remote-write-samples-written", report.samples),
            ("x-prometheus-remote-write-histograms-written", report.histograms),
            ("x-prometheus-remote-write-exemplars-written", report.exemplars),
        ] {
            reply = reply.header(HeaderName::from_static(name), HeaderValue::from(count));
        }
    }
    reply
}

/// A description in one line, because senders log only the first line.
fn describe(report: &RemoteReport) -> String {
    let stored = report.samples + report.histograms + report.exemplars;
    let mut text = format!("partial write: {} refused, {stored} stored", report.refused);
    for refusal in &report.refusals {
        text.push_str("; ");
        text.push_str(&refusal.to_string().replace(['\n', '\r'], " "));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_name_the_version() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, text.parse().unwrap());
            version(&headers).map_err(|e| e.status.as_u16())
        };
        assert_eq!(version(&HeaderMap::new()).unwrap(), RemoteVersion::One);
        for text in [
            "application/x-protobuf",
            "Application/X-Protobuf; charset=utf-8",
            "application/x-protobuf;proto=prometheus.WriteRequest",
        ] {
            assert_eq!(of(text), Ok(RemoteVersion::One), "{text}");
        }
        for text in [
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "application/x-protobuf; proto=\"io.prometheus.write.v2.Request\"",
        ] {
            assert_eq!(of(text), Ok(RemoteVersion::Two), "{text}");
        }
        for text in
            ["application/json", "application/x-protobuf;proto=io.prometheus.write.v3.Request", "text/plain"]
        {
            assert_eq!(of(text), Err(415), "{text}");
        }
    }
}
