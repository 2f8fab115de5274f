//! What can go wrong in the engine, and what the caller should do about it.

use std::io;
use std::path::PathBuf;

use crate::budget::{Denied, Stopped};

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The input is wrong: fix it, do not retry.
    Invalid,
    /// Stored bytes are damaged: run `verify`, restore a snapshot.
    Corrupt,
    /// The machine could not do it now (I/O error, disk full): retry later.
    Unavailable,
    /// A limit was reached that stays: send less or something else, or raise the limit. The
    /// same call meets it again.
    Limit,
    /// A limit was reached that clears with time: retry later.
    Busy,
    /// The database is closed, or refuses writes since an earlier failure.
    Closed,
    /// This build leaves out the feature that the call needs: build with it.
    Unsupported,
}

/// What can go wrong in the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is out of range: choose a value inside the limits named.
    #[error("option {name}: {reason}")]
    Option {
        /// The field of `Options`.
        name: &'static str,
        /// Value and limits.
        reason: String,
    },
    /// A sample or series is not acceptable.
    #[error("{0}")]
    Invalid(String),
    /// Stored bytes are damaged.
    #[error("{file}: damaged at offset {offset}: {what}")]
    Corrupt {
        /// The file, or the family and key.
        file: String,
        /// Byte offset, 0 where it means nothing.
        offset: u64,
        /// What was expected and what was found.
        what: String,
    },
    /// The directory was written by a newer version.
    #[error("{file}: format version {found}, this build reads up to {supported}; use a newer barograph")]
    FutureVersion {
        /// The file.
        file: String,
        /// Version found.
        found: u32,
        /// Newest version this build reads.
        supported: u32,
    },
    /// Another process or this one has the directory open.
    #[error("{}: in use by {by} (lock held on {})", dir.display(), lock.display())]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The lock file.
        lock: PathBuf,
        /// Who: "this process", "process 4711", or "another process".
        by: String,
    },
    /// The operating system refused.
    #[error("{}: {action}: {cause}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error. Its words are part of this error's own text.
        #[source]
        cause: io::Error,
    },
    /// The storage library refused.
    #[error("{action}: {message}")]
    Store {
        /// What was tried.
        action: &'static str,
        /// The library's words.
        message: String,
    },
    /// The disk is full; queries are answered, writes are refused until space is back.
    #[error("{}: no space left on the disk; free some space, and writes resume without a restart", path.display())]
    DiskFull {
        /// The file system's directory.
        path: PathBuf,
    },
    /// A limit was reached that stays until it is raised.
    #[error("{0}")]
    Limit(String),
    /// A limit was reached that clears with time: too many new series in a second, or memory
    /// for series that the next flush may free.
    #[error("{0}")]
    Throttled(String),
    /// Memory for unflushed samples is used up and flushing does not keep pace.
    #[error(
        "write buffer full ({used_bytes} of {limit_bytes} bytes) for {waited_ms} ms; retry later or raise memory"
    )]
    Busy {
        /// Bytes held.
        used_bytes: u64,
        /// The bound.
        limit_bytes: u64,
        /// How long the call waited.
        waited_ms: u64,
    },
    /// A read was stopped: it was canceled, or its time was up.
    #[error("the read was stopped: {0}")]
    Stopped(#[from] Stopped),
    /// A read needs more memory than it may hold, or than others leave.
    #[error(transparent)]
    Memory(#[from] Denied),
    /// Writes are refused since an earlier failure; reopen the database.
    #[error("writes are refused since an earlier failure: {0}; close and open the database again")]
    Poisoned(String),
    /// The handle was opened by a process from which this one was forked. It must not be used here, and dropping it
    /// changes nothing.
    #[error(
        "the database was opened by process {opened_by}, and process {process} was forked from it: only process \
         {opened_by} may use it, and a process that was forked after the first opening can open none; fork before \
         opening, or start a program"
    )]
    Forked {
        /// The process that opened it.
        opened_by: u32,
        /// The calling process.
        process: u32,
    },
    /// The call needs a feature that this build leaves out.
    #[error("{what} needs the feature `{feature}`, which this build leaves out; build with it, or {instead}")]
    Unsupported {
        /// What the caller wanted.
        what: &'static str,
        /// The feature of the crate.
        feature: &'static str,
        /// What works without the feature.
        instead: &'static str,
    },
    /// The database is closed.
    #[error("the database is closed")]
    Closed,
    /// [`Engine::close`](crate::Engine::close) has closed the database, but calls that began before still read it.
    #[error(
        "the database is closed, but its directory stays locked until the {calls} calls that still read it have ended; \
         a call does not end while it waits for `close`"
    )]
    StillInUse {
        /// Number of these calls.
        calls: usize,
    },
}

impl Error {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Option { .. } | Error::Invalid(_) => ErrorKind::Invalid,
            Error::Corrupt { .. } | Error::FutureVersion { .. } => ErrorKind::Corrupt,
            Error::Locked { .. } | Error::Io { .. } | Error::Store { .. } | Error::DiskFull { .. } => {
                ErrorKind::Unavailable
            }
            Error::Limit(_) | Error::Memory(Denied::Own { .. }) => ErrorKind::Limit,
            Error::Throttled(_)
            | Error::Busy { .. }
            | Error::StillInUse { .. }
            | Error::Memory(Denied::Shared(_) | Denied::Heavy)
            | Error::Stopped(_) => ErrorKind::Busy,
            Error::Poisoned(_) | Error::Forked { .. } | Error::Closed => ErrorKind::Closed,
            Error::Unsupported { .. } => ErrorKind::Unsupported,
        }
    }

    /// Whether stored bytes are damaged or cannot be read. It may pass, like any failure of a disk.
    pub fn is_damage(&self) -> bool {
        matches!(self, Error::Corrupt { .. })
    }

    /// Wraps an I/O error; a full disk gets its own variant.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, cause: io::Error) -> Self {
        let path = path.into();
        if matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Error::DiskFull { path };
        }
        Error::Io { action, path, cause }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_error_of_the_system_is_the_source_and_part_of_the_text() {
        let error = Error::io("open", "/x", io::Error::from_raw_os_error(13));
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).expect("it is kept");
        assert_eq!((cause.kind(), cause.raw_os_error()), (io::ErrorKind::PermissionDenied, Some(13)));
        assert_eq!(error.to_string(), format!("/x: open: {cause}"));
    }
}
