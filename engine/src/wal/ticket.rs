//! The arguments and results of appending: records, the ticket of the last one, and their state.

use std::io;
use std::path::PathBuf;

use super::buffer::record_bytes;
use super::{KIND_MAX, PAYLOAD_BYTES_MAX};
use crate::error::{Error, Result};

/// A record to be appended. Its payload is the concatenation of `parts`.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// The caller's kind, at most [`KIND_MAX`].
    pub kind: u8,
    /// The caller's bytes; some parts may be empty.
    pub parts: [&'a [u8]; 4],
}

impl NewRecord<'_> {
    fn payload_bytes(&self) -> usize {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.len()))
    }

    /// Its size in the log, if the log accepts it.
    pub(super) fn checked_bytes(&self) -> Result<usize> {
        let (kind, payload_bytes) = (self.kind, self.payload_bytes());
        if payload_bytes > PAYLOAD_BYTES_MAX {
            return Err(Error::Limit(format!(
                "log record of {payload_bytes} bytes, the limit is {PAYLOAD_BYTES_MAX}; write it in smaller parts"
            )));
        }
        if kind > KIND_MAX {
            return Err(Error::Invalid(format!(
                "log record of kind {kind:#04x}; the highest is {KIND_MAX:#04x}"
            )));
        }
        Ok(record_bytes(payload_bytes))
    }
}

/// The result of an append: a sequence number, which is reused if this record is removed, and the number of removals so
/// far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The sequence number.
    pub seq: u64,
    pub(super) term: usize,
}

/// The state of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Not safe yet.
    Open,
    /// It is as safe as the [`SyncPolicy`](crate::wal::SyncPolicy) promises.
    Safe,
    /// It was removed; no replay finds it.
    Lost,
}

/// Why records were removed; passed to each of their waiters.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    DiskFull(PathBuf),
    Io { action: &'static str, path: PathBuf, code: Option<i32>, text: String },
    Poisoned(String),
}

impl Refusal {
    pub fn of(error: &Error) -> Refusal {
        match error {
            Error::DiskFull { path } => Refusal::DiskFull(path.clone()),
            Error::Io { action, path, cause } => {
                let (code, text) = (cause.raw_os_error(), cause.to_string());
                Refusal::Io { action, path: path.clone(), code, text }
            }
            Error::Poisoned(cause) => Refusal::Poisoned(cause.clone()),
            other => Refusal::Poisoned(other.to_string()),
        }
    }

    pub fn error(&self) -> Error {
        match self {
            Refusal::DiskFull(path) => Error::DiskFull { path: path.clone() },
            Refusal::Io { action, path, code, text } => {
                let cause = code.map_or_else(|| io::Error::other(text.clone()), io::Error::from_raw_os_error);
                Error::Io { action, path: path.clone(), cause }
            }
            Refusal::Poisoned(cause) => Error::Poisoned(cause.clone()),
        }
    }
}
