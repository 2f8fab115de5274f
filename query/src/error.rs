//! Errors of queries.

use barograph_engine::budget::{Denied, Stopped, bytes_text};

use crate::source::SourceError;
use crate::span::{Position, Span};

/// The kind of a [`QueryError`], which says what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueryErrorKind {
    /// The text is not a query or selector: correct it. The error gives the position.
    Parse,
    /// The times are inconsistent: correct the request.
    Times,
    /// The query cannot be evaluated on this data, such as many-to-many matching: change the query.
    Execution,
    /// The query needs more than a limit of [`Limits`](crate::Limits) allows: ask for less, or raise the limit.
    Limit,
    /// Others are using what the query needs: retry later.
    Busy,
    /// The time limit was exceeded.
    Timeout,
    /// The query was canceled.
    Canceled,
    /// Storage is damaged or could not be read. [`source`](std::error::Error::source) is the error of the storage
    /// engine, a `barograph::StorageError`, whose kind says which.
    Storage,
    /// The database is closed, or was opened by the process that forked this one.
    Closed,
}

/// Why a query failed. The text is what the HTTP API prints. [`QueryError::kind`] says what the caller can do; the
/// error of the storage engine is available as the [`source`](std::error::Error::source).
///
/// ```
/// use barograph_query::source::memory::MemorySource;
/// use barograph_query::{QueryErrorKind, Request, execute};
///
/// let error = execute(&MemorySource::new(), &Request::instant("sum(", barograph_engine::Timestamp::UNIX_EPOCH)).unwrap_err();
/// assert_eq!(error.kind(), QueryErrorKind::Parse);
/// assert!(error.to_string().starts_with("1:5: parse error"));
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is not a query: correct it. Prints `LINE:COL: parse error: …`.
    #[error("{line}:{column}: parse error: {message}")]
    Parse {
        /// From 1.
        line: u32,
        /// In bytes, from 1.
        column: u32,
        /// First byte of the faulty text.
        start: u32,
        /// One past its last byte.
        end: u32,
        /// What was expected and what was found.
        message: String,
    },
    /// The regular expressions may take more memory than those of one request are allowed: simplify them.
    #[error(
        "{place}: {message}: use simpler expressions, such as fewer repetitions of large character sets, split the query, or raise the limit"
    )]
    Expressions {
        /// The position of the expression that is too much: line and column, or the function that it was passed to.
        place: String,
        /// The limit, bytes.
        limit: u64,
        /// Which expression it is.
        message: String,
    },
    /// The times are inconsistent: `end` before `start`, a step below 1 ms, or a range query of an expression that has
    /// no value at each step (a string, a range vector).
    #[error("{0}")]
    BadTimes(String),
    /// The evaluation failed: many-to-many matching, duplicate labels, or an invalid parameter.
    #[error("{0}")]
    Execution(String),
    /// The query needs more samples than it may use.
    #[error("query processing would load too many samples into memory in query execution (limit {limit})")]
    TooManySamples {
        /// The limit.
        limit: u64,
    },
    /// The query would hold more memory than one query may.
    #[error(
        "the query needs more than {} of memory, the limit of one query: select fewer series, shorten the range, widen the step, or raise the limit",
        bytes_text(*limit)
    )]
    Memory {
        /// The limit, bytes.
        limit: u64,
    },
    /// All running queries together would hold more memory than they may: retry later.
    #[error(
        "the running queries together need more than {} of memory, the limit of all: retry when others have ended, or ask for less",
        bytes_text(*limit)
    )]
    MemoryPool {
        /// The limit, bytes.
        limit: u64,
    },
    /// The time limit was exceeded.
    #[error("query timed out in expression evaluation after {seconds} s")]
    Timeout {
        /// The limit.
        seconds: f64,
    },
    /// The query was canceled.
    #[error("query was canceled")]
    Canceled,
    /// The query began as light work and turned out to be heavy: run it as heavy work
    /// ([`Account::begin_light`](barograph_engine::budget::Account::begin_light)).
    #[error("the query is too much for light work")]
    Heavy,
    /// Storage could not answer.
    #[error(transparent)]
    Source(SourceError),
}

impl QueryError {
    /// A parse error at a place of `query`.
    pub(crate) fn parse(query: &str, span: Span, message: String) -> QueryError {
        let Position { line, column } = span.position(query);
        QueryError::Parse { line, column, start: span.start, end: span.end, message }
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> QueryErrorKind {
        match self {
            QueryError::Parse { .. } => QueryErrorKind::Parse,
            QueryError::BadTimes(_) => QueryErrorKind::Times,
            QueryError::Execution(_) => QueryErrorKind::Execution,
            QueryError::Expressions { .. }
            | QueryError::TooManySamples { .. }
            | QueryError::Memory { .. } => QueryErrorKind::Limit,
            QueryError::MemoryPool { .. } | QueryError::Heavy => QueryErrorKind::Busy,
            QueryError::Timeout { .. } => QueryErrorKind::Timeout,
            QueryError::Canceled => QueryErrorKind::Canceled,
            QueryError::Source(error) => error.kind(),
        }
    }
}

impl SourceError {
    fn kind(&self) -> QueryErrorKind {
        match self {
            SourceError::Storage(_) => QueryErrorKind::Storage,
            SourceError::Memory(denied) => QueryError::from(*denied).kind(),
            SourceError::Stopped(stopped) => QueryError::from(*stopped).kind(),
            SourceError::Busy(_) => QueryErrorKind::Busy,
            SourceError::Closed(_) => QueryErrorKind::Closed,
            SourceError::TooManySeries { .. } => QueryErrorKind::Limit,
        }
    }
}

impl From<Stopped> for QueryError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Canceled => QueryError::Canceled,
            Stopped::Timeout { seconds } => QueryError::Timeout { seconds },
            Stopped::Heavy => QueryError::Heavy,
        }
    }
}

impl From<Denied> for QueryError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Own { limit } => QueryError::Memory { limit },
            Denied::Shared(full) => QueryError::MemoryPool { limit: full.limit },
            Denied::Heavy => QueryError::Heavy,
        }
    }
}

impl From<SourceError> for QueryError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Memory(denied) => denied.into(),
            SourceError::Stopped(stopped) => stopped.into(),
            error => QueryError::Source(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use barograph_engine::budget::Share;

    use super::*;
    use crate::source::Cause;

    #[test]
    fn every_error_has_its_kind_and_a_clone_keeps_the_cause() {
        let full = Share::new("queries", 1).take(2).expect_err("more than there is");
        let io = || Cause::new(std::io::Error::from_raw_os_error(5));
        let text = String::new;
        let expected = [
            (QueryError::BadTimes(text()), QueryErrorKind::Times),
            (QueryError::Execution(text()), QueryErrorKind::Execution),
            (QueryError::Expressions { place: text(), limit: 1, message: text() }, QueryErrorKind::Limit),
            (QueryError::TooManySamples { limit: 1 }, QueryErrorKind::Limit),
            (QueryError::Memory { limit: 1 }, QueryErrorKind::Limit),
            (QueryError::MemoryPool { limit: 1 }, QueryErrorKind::Busy),
            (QueryError::Heavy, QueryErrorKind::Busy),
            (QueryError::Timeout { seconds: 1.0 }, QueryErrorKind::Timeout),
            (QueryError::Canceled, QueryErrorKind::Canceled),
            (QueryError::Source(SourceError::TooManySeries { limit: 1 }), QueryErrorKind::Limit),
            (QueryError::Source(SourceError::Memory(Denied::Own { limit: 1 })), QueryErrorKind::Limit),
            (QueryError::Source(SourceError::Memory(Denied::Shared(full))), QueryErrorKind::Busy),
            (QueryError::Source(SourceError::Stopped(Stopped::Canceled)), QueryErrorKind::Canceled),
            (QueryError::Source(SourceError::Storage(io())), QueryErrorKind::Storage),
            (QueryError::Source(SourceError::Busy(io())), QueryErrorKind::Busy),
            (QueryError::Source(SourceError::Closed(io())), QueryErrorKind::Closed),
        ];
        for (error, kind) in expected {
            assert_eq!(error.kind(), kind, "{error:?}");
            if let QueryError::Source(SourceError::Storage(_)) = &error {
                let clone = error.clone();
                let cause = clone.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
                assert_eq!(cause.and_then(std::io::Error::raw_os_error), Some(5));
            }
        }
    }
}
