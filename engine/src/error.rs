//! The errors of the engine, and what the caller can do about them.

use std::io;
use std::path::PathBuf;

use crate::budget::{Denied, Stopped};

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The input is wrong: correct it, and do not retry.
    Invalid,
    /// Stored bytes are damaged: run `verify`, or restore a snapshot.
    Corrupt,
    /// The machine cannot do it now (I/O error, disk full): retry later.
    Unavailable,
    /// A permanent limit was reached: send less or something else, or raise the limit. The same call reaches the limit
    /// again.
    Limit,
    /// A limit that clears with time was reached: retry later.
    Busy,
    /// The database is closed, or refuses writes because of an earlier failure.
    Closed,
    /// This build lacks the feature that the call needs: build with it.
    Unsupported,
}

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is out of range: choose a value within the limits in the message.
    #[error("option {name}: {reason}")]
    Option {
        /// The field of `Options`.
        name: &'static str,
        /// Value and limits.
        reason: String,
    },
    /// A sample or series is invalid.
    #[error("{0}")]
    Invalid(String),
    /// Stored bytes are damaged.
    #[error("{file}: damaged at offset {offset}: {what}")]
    Corrupt {
        /// The file, or the family and key.
        file: String,
        /// Byte offset; 0 if not applicable.
        offset: u64,
        /// What was expected and what was found.
        what: String,
    },
    /// The directory was written by a newer version.
    #[error("{file}: format version {found}, this build reads up to {supported}; use a newer barograph")]
    FutureVersion {
        /// The file.
        file: String,
        /// The version found.
        found: u32,
        /// The newest version that this build reads.
        supported: u32,
    },
    /// Another process or this one has opened the directory.
    #[error("{}: in use by {by} (lock held on {})", dir.display(), lock.display())]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The lock file that is held.
        lock: PathBuf,
        /// The holder of the lock: "this process", "process 4711", or "another process".
        by: String,
    },
    /// An operation of the operating system failed.
    #[error("{}: {action}: {cause}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error. Its text is part of this error's text.
        #[source]
        cause: io::Error,
    },
    /// An operation of the storage library failed.
    #[error("{action}: {message}")]
    Store {
        /// The operation.
        action: &'static str,
        /// The message of the library.
        message: String,
    },
    /// The disk is full: queries are answered, and writes are refused until there is space.
    #[error("{}: no space left on the disk; free some space, and writes resume without a restart", path.display())]
    DiskFull {
        /// A directory on the file system.
        path: PathBuf,
    },
    /// A permanent limit was reached.
    #[error("{0}")]
    Limit(String),
    /// A limit that clears with time was reached: too many new series in a second, or memory for series that the next
    /// flush may free.
    #[error("{0}")]
    Throttled(String),
    /// The memory for unflushed samples is used up, and flushing cannot keep up.
    #[error(
        "write buffer full ({used_bytes} of {limit_bytes} bytes) for {waited_ms} ms; retry later or raise memory"
    )]
    Busy {
        /// Bytes held.
        used_bytes: u64,
        /// The limit.
        limit_bytes: u64,
        /// How long the call waited.
        waited_ms: u64,
    },
    /// A read was stopped because it was canceled or its time was up.
    #[error("the read was stopped: {0}")]
    Stopped(#[from] Stopped),
    /// A read needs more memory than it may hold, or than is free.
    #[error(transparent)]
    Memory(#[from] Denied),
    /// Writes are refused because of an earlier failure; reopen the database.
    #[error("writes are refused since an earlier failure: {0}; close and open the database again")]
    Poisoned(String),
    /// The handle was opened by the parent of this forked process. It must not be used here, and dropping it has no
    /// effect.
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
    /// The call needs a feature that this build lacks.
    #[error("{what} needs the feature `{feature}`, which this build leaves out; build with it, or {instead}")]
    Unsupported {
        /// What the caller requested.
        what: &'static str,
        /// The feature of the crate.
        feature: &'static str,
        /// What works without the feature.
        instead: &'static str,
    },
    /// The database is closed.
    #[error("the database is closed")]
    Closed,
    /// [`Engine::close`](crate::Engine::close) has closed the database, but earlier calls still read it.
    #[error(
        "the database is closed, but its directory stays locked until the {calls} calls that still read it have ended; \
         a call does not end while it waits for `close`"
    )]
    StillInUse {
        /// The number of these calls.
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

    /// Whether stored bytes are damaged or cannot be read. Like any disk failure, this may be temporary.
    pub fn is_damage(&self) -> bool {
        matches!(self, Error::Corrupt { .. })
    }

    /// Wraps an I/O error; a full disk has a separate variant.
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
