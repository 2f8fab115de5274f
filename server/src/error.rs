//! Errors of requests: one error type, written in four formats.
//!
//! A handler returns an [`ApiError`]: a status, Prometheus' error type, and a message that names input, position and
//! limit. Only this module turns errors of the layers below into a status, and decides how clients of Prometheus,
//! InfluxDB 1 and InfluxDB 2 see them.

use barograph::budget::{Denied, Full, Stopped};
use barograph::{Error, ErrorKind, QueryError, StorageError};
use hyper::StatusCode;

/// The error format that the clients of a route expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `{"status":"error","errorType":…,"error":…}`
    Prometheus,
    /// `{"error":…}`
    Influx1,
    /// `{"code":…,"message":…,"line":…}`
    Influx2,
    /// One line of plain text.
    Text,
}

/// The bad lines of a write, for clients that read more than the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLines {
    /// Lines of the body that contain data.
    pub total: u64,
    /// Lines that were refused; the others are stored.
    pub bad: u64,
    /// Samples stored.
    pub samples: u64,
    /// String fields stored.
    pub events: u64,
    /// The first bad lines: line and column, both from 1, and the reason.
    pub first: Vec<(u64, u64, String)>,
}

impl BadLines {
    fn describe(&self, value: &mut serde_json::Value) {
        if let Some((line, ..)) = self.first.first() {
            value["line"] = (*line).into();
        }
        value["lines_total"] = self.total.into();
        value["lines_bad"] = self.bad.into();
        value["samples"] = self.samples.into();
        value["events"] = self.events.into();
        value["errors"] = self
            .first
            .iter()
            .map(|(line, column, reason)| {
                serde_json::json!({ "line": line, "column": column, "reason": reason })
            })
            .collect();
    }
}

/// A failed request.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// Prometheus' `errorType`.
    pub error_type: &'static str,
    /// The message: input, position, limit, value.
    pub message: String,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u32>,
    /// The bad lines of a write.
    pub lines: Option<Box<BadLines>>,
    /// `Allow`, for 405.
    pub allow: Option<String>,
}

impl ApiError {
    /// An error with this status.
    pub fn new(status: StatusCode, error_type: &'static str, message: impl Into<String>) -> Self {
        ApiError { status, error_type, message: message.into(), retry_after: None, lines: None, allow: None }
    }

    /// 400: the request is wrong.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_data", message)
    }

    /// 400 about one parameter, in Prometheus' format.
    pub fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {reason}"))
    }

    /// 413: the body is larger than `limit` bytes, which `setting` sets.
    pub fn too_large(what: &str, limit: u64, setting: &str) -> Self {
        let limit = crate::config::values::show_size(limit);
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "bad_data",
            format!("{what} is larger than {limit}, the limit ({setting}); send less at once, or raise it"),
        )
    }

    /// 503 with a time to retry: the server has reached one of its limits.
    pub fn busy(message: impl Into<String>, retry_after: u32) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        error.retry_after = Some(retry_after);
        error
    }

    /// 429 with a time to retry: the client sends too much.
    pub fn too_many(message: impl Into<String>, retry_after: u32) -> Self {
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message);
        error.retry_after = Some(retry_after);
        error
    }

    /// 403: the token does not allow it.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// 422: the request is well formed, but its answer exceeds a limit or makes no sense.
    pub fn execution(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "execution", message)
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 500: an internal error.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// The status for clients of `dialect`. Clients of InfluxDB 1, such as Telegraf, drop their data on every 4xx, so
    /// errors after which they should retry are 503 for them.
    pub fn status_in(&self, dialect: Dialect) -> StatusCode {
        match (dialect, self.status) {
            (Dialect::Influx1, StatusCode::TOO_MANY_REQUESTS) => StatusCode::SERVICE_UNAVAILABLE,
            (_, status) => status,
        }
    }

    /// The word InfluxDB 2 uses for this status.
    fn influx2_code(&self) -> &'static str {
        match self.status.as_u16() {
            400 | 411 | 414 | 431 => "invalid",
            401 => "unauthorized",
            403 => "forbidden",
            404 => "not found",
            405 => "method not allowed",
            413 => "request too large",
            415 => "unsupported media type",
            422 => "unprocessable entity",
            429 => "too many requests",
            503 | 507 => "unavailable",
            _ => "internal error",
        }
    }

    /// The body in `dialect`, with a final line feed.
    pub fn body(&self, dialect: Dialect) -> Vec<u8> {
        let value = match dialect {
            Dialect::Prometheus => {
                // The fields are in the same order as in Prometheus, for clients that compare the text.
                let message = serde_json::Value::from(self.message.as_str());
                let kind = self.error_type;
                return format!(r#"{{"status":"error","errorType":"{kind}","error":{message}}}"#)
                    .into_bytes();
            }
            Dialect::Influx1 => serde_json::json!({ "error": self.message }),
            Dialect::Text => {
                let mut line = self.message.replace(['\n', '\r'], " ").into_bytes();
                line.push(b'\n');
                return line;
            }
            Dialect::Influx2 => {
                let mut value = serde_json::json!({ "code": self.influx2_code(), "message": self.message });
                if let Some(lines) = &self.lines {
                    lines.describe(&mut value);
                }
                value
            }
        };
        let mut body = value.to_string().into_bytes();
        body.push(b'\n');
        body
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let kind = error.kind();
        match error {
            Error::Query(error) => return error.into(),
            Error::Storage(StorageError::Stopped(stopped)) => return stopped.into(),
            Error::Storage(StorageError::Memory(denied)) => return denied.into(),
            _ => {}
        }
        match kind {
            ErrorKind::DiskFull => {
                let mut full = Self::new(StatusCode::INSUFFICIENT_STORAGE, "unavailable", message);
                full.retry_after = Some(10);
                full
            }
            // A retry would reach the same limit, until the limit is raised.
            ErrorKind::Invalid | ErrorKind::Limit | ErrorKind::Unsupported => Self::bad_data(message),
            ErrorKind::Busy | ErrorKind::StillInUse => Self::too_many(message, 1),
            ErrorKind::Io | ErrorKind::Locked => Self::busy(message, 5),
            ErrorKind::Closed | ErrorKind::Poisoned | ErrorKind::Forked => Self::busy(message, 30),
            _ => Self::internal(message),
        }
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        Error::from(error).into()
    }
}

impl From<Stopped> for ApiError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Canceled => QueryError::Canceled.into(),
            Stopped::Timeout { seconds } => QueryError::Timeout { seconds }.into(),
            Stopped::Heavy => QueryError::Heavy.into(),
        }
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Own { .. } => {
                Self::execution(format!("{denied} (query_memory); ask for less, or raise it"))
            }
            Denied::Shared(full) => full.into(),
            Denied::Heavy => QueryError::Heavy.into(),
        }
    }
}

impl From<Full> for ApiError {
    /// The memory shared by reads, or by their answers, is full.
    fn from(full: Full) -> Self {
        let setting = if full.share == "queries" { "query_memory_total" } else { "memory" };
        let message = format!("{full} ({setting})");
        match full.is_permanent() {
            true => Self::execution(format!("{message}; ask for less, or raise it")),
            false => Self::too_many(format!("{message}; retry later, or raise it"), 5),
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        use barograph::SourceError;
        let message = error.to_string();
        match error {
            QueryError::Parse { .. } => Self::parameter("query", message),
            QueryError::Expressions { .. } => {
                Self::parameter("query", format!("{message} (query_regex_memory)"))
            }
            QueryError::BadTimes(_) => Self::bad_data(message),
            QueryError::Timeout { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "timeout",
                format!("{message} (query_timeout, or what the request asked); ask for less, or raise it"),
            ),
            QueryError::Canceled => Self::canceled(message),
            QueryError::Source(SourceError::Storage(_)) => Self::internal(message),
            QueryError::Source(SourceError::Busy(_)) => Self::too_many(format!("{message} (memory)"), 1),
            QueryError::Source(SourceError::Closed(_)) => Self::busy(message, 30),
            QueryError::Memory { .. } => Self::execution(format!("{message} (query_memory)")),
            // Admission runs the query again.
            QueryError::Heavy => Self::busy(message, 1),
            QueryError::MemoryPool { .. } => Self::too_many(format!("{message} (query_memory_total)"), 5),
            QueryError::TooManySamples { .. } => {
                Self::execution(format!("{message} (query_max_samples); select less, or raise it"))
            }
            QueryError::Source(SourceError::TooManySeries { .. }) => {
                Self::execution(format!("{message} (query_max_series)"))
            }
            _ => Self::execution(message),
        }
    }
}

impl ApiError {
    /// 499: the client has disconnected, or the request was canceled.
    pub fn canceled(message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(499).expect("499 is between 100 and 999");
        Self::new(status, "canceled", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_has_its_shape() {
        let mut error = ApiError::bad_data("line 3: no field");
        error.lines = Some(Box::new(BadLines {
            total: 9,
            bad: 1,
            samples: 8,
            events: 0,
            first: vec![(3, 7, "no field".into())],
        }));
        let text = |dialect| String::from_utf8(error.body(dialect)).unwrap();
        assert_eq!(
            text(Dialect::Prometheus),
            r#"{"status":"error","errorType":"bad_data","error":"line 3: no field"}"#
        );
        assert_eq!(text(Dialect::Influx1), "{\"error\":\"line 3: no field\"}\n");
        assert_eq!(text(Dialect::Text), "line 3: no field\n");
        assert_eq!(
            text(Dialect::Influx2),
            concat!(
                r#"{"code":"invalid","errors":[{"column":7,"line":3,"reason":"no field"}],"events":0,"line":3,"#,
                r#""lines_bad":1,"lines_total":9,"message":"line 3: no field","samples":8}"#,
                "\n"
            )
        );
    }

    #[test]
    fn errors_from_below_get_their_status() {
        use StorageError as Error;
        let full: ApiError = Error::DiskFull { path: "/data".into() }.into();
        assert_eq!((full.status.as_u16(), full.retry_after), (507, Some(10)));
        assert_eq!(ApiError::from(Error::Closed).status.as_u16(), 503);
        assert_eq!(ApiError::from(Error::Limit("x".into())).status.as_u16(), 400);
        let busy = ApiError::from(Error::Throttled("x".into()));
        assert_eq!((busy.status.as_u16(), busy.retry_after), (429, Some(1)));
        assert_eq!(busy.status_in(Dialect::Influx1).as_u16(), 503);
        assert_eq!(busy.status_in(Dialect::Influx2).as_u16(), 429);
        let full = Error::Busy { used_bytes: 2, limit_bytes: 1, waited_ms: 1 };
        assert_eq!(ApiError::from(full).status.as_u16(), 429);
        assert_eq!(ApiError::from(Error::Invalid("x".into())).status.as_u16(), 400);
        let parse = QueryError::Parse { line: 1, column: 5, start: 4, end: 5, message: "no".into() };
        assert_eq!(ApiError::from(parse).message, "invalid parameter \"query\": 1:5: parse error: no");
        assert_eq!(ApiError::from(QueryError::Canceled).status.as_u16(), 499);
        let cause = barograph::Cause::new(std::fmt::Error);
        let late = QueryError::Source(barograph::SourceError::Busy(cause));
        let late = ApiError::from(late);
        assert_eq!((late.status.as_u16(), late.retry_after), (429, Some(1)));
        assert_eq!(ApiError::from(QueryError::TooManySamples { limit: 5 }).status.as_u16(), 422);
        let timeout = ApiError::from(QueryError::Timeout { seconds: 1.0 });
        assert_eq!((timeout.status.as_u16(), timeout.error_type), (503, "timeout"));
    }
}
