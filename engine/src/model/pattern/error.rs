//! Why an expression of a request was not compiled.

use super::{PatternError, shown};
use crate::budget::{Denied, Stopped, bytes_text};

/// Why an expression was not compiled.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CompileError {
    /// The text is not an expression, or it is too large by itself.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The expressions of the request would take more than their limit.
    #[error(
        "with {} the regular expressions may take more than {} of memory together, the limit of one request",
        shown(pattern), bytes_text(*limit)
    )]
    Weight {
        /// The expression that exceeded it.
        pattern: String,
        /// The limit, bytes.
        limit: u64,
    },
    /// The request was canceled, or its time was up.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The request would hold more memory than it may, or other requests leave too little.
    #[error(transparent)]
    Memory(#[from] Denied),
}

impl CompileError {
    /// Converts to the error of a pattern that is compiled alone.
    pub(super) fn of(self, text: &str) -> PatternError {
        match self {
            CompileError::Pattern(error) => error,
            other => PatternError { pattern: text.to_owned(), reason: other.to_string() },
        }
    }
}
