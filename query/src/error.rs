//! Why a query gave no answer.

use barograph_engine::budget::{Denied, Stopped, bytes_text};

use crate::source::SourceError;

/// Why a query gave no answer. The text is what the HTTP API prints.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is not a query: fix it. Prints `LINE:COL: parse error: …`.
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
        /// What was expected, what was found.
        message: String,
    },
    /// Its regular expressions may take more memory than those of one request may: fix it.
    #[error(
        "{place}: {message}: use simpler expressions, such as fewer repetitions of large character sets, split the query, or raise the limit"
    )]
    Expressions {
        /// Where the one is that is too much: line and column, or the function that it was given to.
        place: String,
        /// The limit, bytes.
        limit: u64,
        /// Which one it is.
        message: String,
    },
    /// The times do not make sense: `end` before `start`, a step below 1 ms, a range asked of
    /// what has no value at each step (a string, a range vector).
    #[error("{0}")]
    BadTimes(String),
    /// The evaluation failed: many-to-many matching, duplicate labels, a bad parameter.
    #[error("{0}")]
    Execution(String),
    /// The query needs more than it may use.
    #[error("query processing would load too many samples into memory in query execution (limit {limit})")]
    TooManySamples {
        /// The limit.
        limit: u64,
    },
    /// The query would hold more memory than one may.
    #[error(
        "the query needs more than {} of memory, the limit of one query: select fewer series, shorten the range, widen the step, or raise the limit",
        bytes_text(*limit)
    )]
    Memory {
        /// The limit, bytes.
        limit: u64,
    },
    /// All running queries together would hold more memory than they may: try again later.
    #[error(
        "the running queries together need more than {} of memory, the limit of all: retry when others have ended, or ask for less",
        bytes_text(*limit)
    )]
    MemoryPool {
        /// The limit, bytes.
        limit: u64,
    },
    /// The time was up.
    #[error("query timed out in expression evaluation after {seconds} s")]
    Timeout {
        /// The limit.
        seconds: f64,
    },
    /// It was stopped.
    #[error("query was canceled")]
    Canceled,
    /// It began as light work, and is heavy: run it as such
    /// ([`Account::begin_light`](barograph_engine::budget::Account::begin_light)).
    #[error("the query is too much for light work")]
    Heavy,
    /// Storage could not answer.
    #[error(transparent)]
    Source(SourceError),
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
