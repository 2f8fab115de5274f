//! One error for every call of the facade.

use barograph_engine::budget::{Denied, Full, Stopped};
use barograph_engine::line::UnknownPrecision;
use barograph_engine::model::{HistogramError, LabelsError, PatternError};
use barograph_engine::remote::wire::WireError;
use barograph_engine::{Error as StorageError, ErrorKind as StorageErrorKind, TimestampError};
use barograph_query::{QueryError, QueryErrorKind};

/// The result of calls of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed.
///
/// [`Error::kind`] says what the caller can do about it. The text names the input, the location, the limit and the
/// option that changes it. The variants hold the error of the part that failed, for callers that need its details;
/// [`source`](std::error::Error::source) is the error below that one, such as the [`std::io::Error`] of the system.
///
/// ```
/// use barograph::{Database, ErrorKind, Options, Timestamp};
///
/// # fn main() -> barograph::Result<()> {
/// let db = Database::in_memory(Options::default())?;
/// let error = db.query("sum(", Timestamp::now()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Parse);
/// assert!(error.to_string().starts_with("1:5: parse error"));
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the storage engine.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An error of a query or a selector.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The bytes are not a remote-write request.
    #[error(transparent)]
    RemoteWrite(#[from] WireError),
    /// The pairs are not a label set.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// The histogram is not valid.
    #[error(transparent)]
    Histogram(#[from] HistogramError),
    /// The text is not a regular expression.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The text is not a precision of timestamps.
    #[error(transparent)]
    Precision(#[from] UnknownPrecision),
    /// The text is no timestamp.
    #[error(transparent)]
    Timestamp(#[from] TimestampError),
}

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is wrong: correct it, and do not retry.
    Invalid,
    /// The text is not a query or selector: correct it. The error contains line and column.
    Parse,
    /// The query cannot be evaluated on this data, for example because of many-to-many matching: change the query.
    Execution,
    /// A permanent limit was reached: send or request less, or raise the limit. The same call reaches the limit again.
    Limit,
    /// A limit that clears with time was reached, or other calls use what this one needs: retry later.
    Busy,
    /// The time of the call was up.
    Timeout,
    /// The call was canceled.
    Canceled,
    /// Stored bytes are damaged: run [`Database::verify`](crate::Database::verify), or restore a snapshot.
    Corrupt,
    /// A newer version has written to the directory: use that version.
    FutureVersion,
    /// Another process, or this one, has the directory open.
    Locked,
    /// The disk is full. Reads still work, and writes resume when there is space again.
    DiskFull,
    /// The operating system or the storage library reported an error: retry later.
    Io,
    /// Writes are refused because of an earlier failure: close the database and open it again.
    Poisoned,
    /// The database is closed.
    Closed,
    /// The database is closed, but its directory stays locked until the reads in progress have ended.
    StillInUse,
    /// The database was opened by the parent of this forked process: only the parent may use it.
    Forked,
    /// The build lacks the feature that the call needs, such as `rocksdb`: build with it.
    Unsupported,
}

impl Error {
    /// What the caller can do about it.
    ///
    /// ```
    /// use barograph::{Database, ErrorKind, Options, Timestamp};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default())?;
    /// assert_eq!(db.query("sum(", Timestamp::now()).unwrap_err().kind(), ErrorKind::Parse);
    /// # Ok(()) }
    /// ```
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Storage(error) => of_storage(error),
            Error::Query(error) => of_query(error),
            Error::RemoteWrite(_)
            | Error::Labels(_)
            | Error::Histogram(_)
            | Error::Pattern(_)
            | Error::Precision(_)
            | Error::Timestamp(_) => ErrorKind::Invalid,
        }
    }
}

fn of_storage(error: &StorageError) -> ErrorKind {
    match error {
        StorageError::FutureVersion { .. } => ErrorKind::FutureVersion,
        StorageError::Locked { .. } => ErrorKind::Locked,
        StorageError::DiskFull { .. } => ErrorKind::DiskFull,
        StorageError::Poisoned(_) => ErrorKind::Poisoned,
        StorageError::Forked { .. } => ErrorKind::Forked,
        StorageError::StillInUse { .. } => ErrorKind::StillInUse,
        // More than the whole share: waiting does not help.
        StorageError::Memory(Denied::Shared(full)) if full.is_permanent() => ErrorKind::Limit,
        StorageError::Stopped(Stopped::Canceled) => ErrorKind::Canceled,
        StorageError::Stopped(Stopped::Timeout { .. }) => ErrorKind::Timeout,
        other => match other.kind() {
            StorageErrorKind::Invalid => ErrorKind::Invalid,
            StorageErrorKind::Corrupt => ErrorKind::Corrupt,
            StorageErrorKind::Unavailable => ErrorKind::Io,
            StorageErrorKind::Limit => ErrorKind::Limit,
            StorageErrorKind::Busy => ErrorKind::Busy,
            StorageErrorKind::Closed => ErrorKind::Closed,
            StorageErrorKind::Unsupported => ErrorKind::Unsupported,
        },
    }
}

fn of_query(error: &QueryError) -> ErrorKind {
    let of_cause = || {
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<StorageError>());
        cause.map(of_storage)
    };
    match error.kind() {
        QueryErrorKind::Parse => ErrorKind::Parse,
        QueryErrorKind::Times => ErrorKind::Invalid,
        QueryErrorKind::Limit => ErrorKind::Limit,
        QueryErrorKind::Busy => ErrorKind::Busy,
        QueryErrorKind::Timeout => ErrorKind::Timeout,
        QueryErrorKind::Canceled => ErrorKind::Canceled,
        QueryErrorKind::Storage => of_cause().unwrap_or(ErrorKind::Io),
        QueryErrorKind::Closed => of_cause().unwrap_or(ErrorKind::Closed),
        _ => ErrorKind::Execution,
    }
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        StorageError::from(stopped).into()
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        StorageError::from(denied).into()
    }
}

impl From<Full> for Error {
    fn from(full: Full) -> Self {
        Denied::Shared(full).into()
    }
}

impl From<barograph_engine::RemoteError> for Error {
    fn from(error: barograph_engine::RemoteError) -> Self {
        match error {
            barograph_engine::RemoteError::Wire(error) => error.into(),
            barograph_engine::RemoteError::Storage(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io;

    use barograph_engine::budget::Share;
    use barograph_query::source::{Cause, SourceError};

    use super::*;

    #[test]
    fn every_storage_error_has_its_kind() {
        let text = String::new;
        let share = Share::new("reads", 2);
        let _held = share.take(1).expect("there are two");
        let full = |bytes| Denied::Shared(share.take(bytes).expect_err("more than there is"));
        for (error, kind) in [
            (StorageError::Option { name: "a", reason: text() }, ErrorKind::Invalid),
            (StorageError::Invalid(text()), ErrorKind::Invalid),
            (StorageError::Corrupt { file: text(), offset: 0, what: text() }, ErrorKind::Corrupt),
            (StorageError::FutureVersion { file: text(), found: 2, supported: 1 }, ErrorKind::FutureVersion),
            (StorageError::Locked { dir: "a".into(), lock: "b".into(), by: text() }, ErrorKind::Locked),
            (StorageError::io("open", "a", io::ErrorKind::NotFound.into()), ErrorKind::Io),
            (StorageError::io("open", "a", io::ErrorKind::StorageFull.into()), ErrorKind::DiskFull),
            (StorageError::Store { action: "open", message: text() }, ErrorKind::Io),
            (StorageError::Limit(text()), ErrorKind::Limit),
            (StorageError::Throttled(text()), ErrorKind::Busy),
            (StorageError::Busy { used_bytes: 1, limit_bytes: 1, waited_ms: 1 }, ErrorKind::Busy),
            (Stopped::Canceled.into(), ErrorKind::Canceled),
            (Stopped::Timeout { seconds: 1.0 }.into(), ErrorKind::Timeout),
            (Denied::Own { limit: 1 }.into(), ErrorKind::Limit),
            (full(2).into(), ErrorKind::Busy),
            (full(3).into(), ErrorKind::Limit),
            (StorageError::Poisoned(text()), ErrorKind::Poisoned),
            (StorageError::Forked { opened_by: 1, process: 2 }, ErrorKind::Forked),
            (StorageError::Closed, ErrorKind::Closed),
            (StorageError::StillInUse { calls: 1 }, ErrorKind::StillInUse),
        ] {
            let printed = error.to_string();
            let error = Error::from(error);
            assert_eq!((error.kind(), error.to_string()), (kind, printed));
        }
    }

    #[test]
    fn a_query_that_storage_refuses_has_the_kind_of_storage() {
        let refused = |cause: StorageError| {
            Error::from(QueryError::Source(match cause.kind() {
                StorageErrorKind::Closed => SourceError::Closed(Cause::new(cause)),
                _ => SourceError::Storage(Cause::new(cause)),
            }))
        };
        let damaged = StorageError::Corrupt { file: "a".to_owned(), offset: 7, what: "b".to_owned() };
        let printed = damaged.to_string();
        let error = refused(damaged);
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Corrupt, printed));
        assert!(error.source().is_some_and(|cause| cause.is::<StorageError>()), "{error:?}");
        assert_eq!(refused(StorageError::Closed).kind(), ErrorKind::Closed);
        assert_eq!(refused(StorageError::Forked { opened_by: 1, process: 2 }).kind(), ErrorKind::Forked);
    }

    #[test]
    fn what_is_wrong_with_the_input_converts() {
        use crate::{Labels, Matcher};
        let twice = Labels::from_pairs([("a", "1"), ("a", "2")]).expect_err("twice");
        let pattern = Matcher::new("a", crate::MatchOp::Regex, "(").expect_err("no expression");
        let precision = "week".parse::<crate::Precision>().expect_err("no precision");
        let time = "noon".parse::<crate::Timestamp>().expect_err("no time");
        for error in [Error::from(twice), pattern.into(), precision.into(), time.into()] {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        }
    }
}
