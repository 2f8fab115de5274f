//! The write-ahead log: it makes acknowledged writes survive a crash until they are flushed.
//!
//! A log is a directory of *segments*, `00000001.wal`, `00000002.wal`, …, each a header and a sequence of records.
//! Sequence numbers continue without a gap from segment to segment. Appending copies a record into memory. A *sync*
//! writes all records collected so far and makes them durable, with one `fdatasync` for all waiting threads (group
//! commit).
//!
//! The log does not interpret the payload of a record. Kinds `0..=KIND_MAX` belong to the caller.
//!
//! # Format
//! Integers are little-endian. A segment's header, 48 bytes (`format.rs`):
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `BAROWAL\0` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | zero |
//! | 16 | 8 | database id, the same in all files of one log |
//! | 24 | 8 | segment number, as in the file's name |
//! | 32 | 8 | sequence number of the segment's first record |
//! | 40 | 4 | zero |
//! | 44 | 4 | CRC32 of bytes 0..44, at this place in every version |
//!
//! Records follow without padding. After the last one, the open segment may have zeros, which later records overwrite.
//! This allocates the blocks of small writes in advance, so that their sync is one write and one flush, without the
//! file system's journal. A seal removes the zeros.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | payload length, at most 64 MiB |
//! | 4 | 4 | CRC32 of length, kind, sequence number, durable mark and payload, continued from the segment's seed |
//! | 8 | 1 | kind |
//! | 9 | 8 | sequence number |
//! | 17 | 8 | durable mark: everything up to this number was synced when the record was written |
//! | 25 | … | payload |
//!
//! The seed is the CRC32 of database id and segment number, so a record proves where it belongs: bytes of another
//! segment, another database or a payload that imitates a record are never taken for a record.
//!
//! Kinds of the log itself, which do not use up sequence numbers:
//!
//! | kind | name | sequence number | payload |
//! |---|---|---|---|
//! | 0xF0 | commit | last record before it | empty; ends each synced write |
//! | 0xF1 | gap | last lost record | u64 first lost record; stands where a repair gave up damaged records |
//! | 0xF2 | seal | last record before it | u64 count of records and commits and gaps, u32 CRC32 of all their CRC fields |
//!
//! A record is valid if and only if
//! 1. its length is at most 64 MiB and it ends inside the file;
//! 2. its CRC is right;
//! 3. a caller's record has the next sequence number, a commit or seal the last one, and a gap begins at the next one;
//! 4. the payloads of gaps and seals have the right length, and a seal matches the entries before it and is followed
//!    only by zeros.
//!
//! The file `durable` has two slots of 36 bytes, at 0 and 4096, with zeros between them:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `BAROMARK` |
//! | 8 | 4 | format version, 2 |
//! | 12 | 4 | zero |
//! | 16 | 8 | database id |
//! | 24 | 8 | sequence number |
//! | 32 | 4 | CRC32 of bytes 0..32, at this place in every version |
//!
//! After each sync, the slot that is not the newest is overwritten. Sequence numbers never decrease, so the slot with
//! the larger one is the newest. An incomplete write, caused by a full disk or a power loss, leaves the other slot,
//! which is one sync behind. In version 1 the file had one slot. Such a file can be read, and is replaced when the log
//! is opened for writing. A build that only knows version 1 refuses to open a log whose first slot has version 2.
//!
//! `reserve` contains no data; it reserves blocks for a full disk. `*.tmp` files are unfinished and are deleted when
//! the log is opened. `*.bad` files contain data that a repair removed.
//!
//! # Torn tail or damage
//! A crash may leave the last write incomplete. That is normal and must not prevent a start. But a damaged record that
//! had been acknowledged must never be mistaken for an incomplete write. The difference is whether a sync had covered
//! the bytes:
//!
//! * A segment is sealed and synced before its successor is created, so only the last one can be torn. In all others,
//!   everything that is not valid is damage.
//! * In the last segment, a bad range is damage if any intact record (before or after it) or the file `durable`
//!   contains a durable mark beyond the last commit that precedes the range.
//! * The last synced write has no later record to carry its mark. Its own commit or seal cannot prove that the sync
//!   completed, because pages reach the disk in any order. But a page that did not arrive reads as zeros: segments are
//!   new files, never reused, with nothing but zeros ahead. So a bad range followed by an intact commit or seal is torn
//!   only if it contains a 512-byte sector (or the rest of the one in which it begins) of only zeros; otherwise it is
//!   damage.
//! * The remaining case is a torn tail: it is reported and truncated before anything is appended. If there are only
//!   zeros to the end of the file, there is no tail: nothing was written there, or nothing arrived.
//!
//! `durable` is exact if the process was killed. It lags behind by the kernel's write-back (some 30 s) after a power
//! loss, or by one sync if its last write was incomplete. It never claims too much, since it is written after the sync.
//! It also shows that the log's end was truncated or its last segment removed, which the segments alone cannot.
//!
//! A mark that lags is safe, since it only claims less. Acknowledged records are in segments. These exist durably
//! before the mark that covers them is written, and are deleted only when the caller has stored the records durably. So
//! a log without segments is complete if the caller has everything up to the mark. Before segments are deleted, the
//! file `durable` is synced (I6). Otherwise a power loss could remove the last evidence of them, and a caller with an
//! older state would not notice that records are missing.
//!
//! Some cases cannot be distinguished. Within the last synced write, after a power loss that also lost the newest
//! `durable`, (1) a truncated file looks torn; (2) so does a flipped bit in a record that contains a whole aligned
//! sector of zeros; (3) a file system that shows stale blocks instead of zeros (ext4 with `data=writeback`) makes a
//! torn write look like damage, which errs on the safe side. In each case the report says what was dropped.
//!
//! # Invariants
//! I1. A segment with a successor is sealed and synced.
//! I2. Bytes of records are never written again once they are synced. An open log only appends, over zeros or at the
//!     end of the file.
//! I3. After a failed sync, nothing more is written until the log is opened again. The tail that no later mark proves
//!     is then written again, with its seal, before it is trusted, since the page cache may contain data that the disk
//!     has lost.
//! I5. Records of one call are appended together or not at all. Records that cannot be written or synced are removed
//!     from memory and from the file before any other record takes their place. After a failed sync the file is
//!     truncated without a sync; only a power loss, or a disk that does not truncate files either, may bring back a
//!     refused record. If a process ends before an append returns, a prefix of its records remains.
//! I4. The durable mark never exceeds what a successful sync has covered.
//! I6. When a segment is deleted, a mark that covers it is on the disk. If the disk refuses this mark, the segment is
//!     deleted nevertheless: that frees space, and nothing is lost.
//!
//! # Not here
//! The caller locks the directory. The engine knows the meaning of records, and when the log may be truncated.
//!
//! Next: `log.rs` for the open log, `recover.rs` for recovery.

mod buffer;
mod copy;
mod directory;
mod format;
mod fs;
mod log;
mod mark;
mod mmap;
mod recover;
mod repair;
mod replay;
#[cfg(test)]
mod tests;
mod ticket;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

#[cfg(test)]
pub(crate) use fs::{faulty, simulated};

pub use format::{KIND_MAX, PAYLOAD_BYTES_MAX};
pub use log::{Loan, Wal};
pub use recover::{read, verify};
pub use ticket::{Fate, NewRecord, Ticket};

use crate::error::{Error, Result};

/// Minimum size of a reserve, unless there is no data: the space for sealing a segment and beginning another.
const RESERVE_BYTES_MIN: u64 = 16 << 10;

/// Options of a log.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// Size at which a segment is closed and the next one begins: 1 KiB to 1 GiB, default 64 MiB. Records that are
    /// appended together and exceed it have a segment to themselves.
    pub segment_bytes: u64,
    /// Maximum size of the blocks held back for a full disk, so that appended records can still be made durable: at
    /// most 16 GiB, 0 for none. Default 128 MiB.
    pub reserve_bytes: u64,
    /// Bytes that the caller stores elsewhere at present ([`Wal::set_stored_bytes`]). The size of the blocks held back
    /// follows that of this data and the log, up to `reserve_bytes` ([`reserve_for`]). Default: no limit other than
    /// `reserve_bytes`.
    pub stored_bytes: u64,
    /// Maximum size of records that were appended and are not written yet; a single larger record is accepted. Default
    /// 64 MiB.
    pub buffer_bytes: usize,
    /// When a write counts as durable.
    pub sync: SyncPolicy,
}

impl Default for WalOptions {
    fn default() -> Self {
        WalOptions {
            segment_bytes: 64 << 20,
            reserve_bytes: 128 << 20,
            stored_bytes: u64::MAX,
            buffer_bytes: 64 << 20,
            sync: SyncPolicy::Always,
        }
    }
}

impl WalOptions {
    fn check(&self) -> Result<()> {
        let limits = [
            ("segment_bytes", self.segment_bytes, 1 << 10, 1 << 30),
            ("reserve_bytes", self.reserve_bytes, 0, 16 << 30),
        ];
        for (name, value, min, max) in limits {
            if !(min..=max).contains(&value) {
                return Err(Error::Option { name, reason: format!("{value} is not within {min}..={max}") });
            }
        }
        match self.sync {
            SyncPolicy::Interval(every) if every.is_zero() => {
                Err(Error::Option { name: "sync", reason: "an interval of zero; use Always".to_owned() })
            }
            _ => Ok(()),
        }
    }
}

/// The size of the reserve for `data` bytes of data, at most `max`: the largest power of two that does not exceed the
/// data. An empty log has nothing to protect, and where space is scarce, a fixed reserve would be larger than the data.
pub fn reserve_for(data: u64, max: u64) -> u64 {
    match data {
        0 => 0,
        _ => (1 << data.ilog2()).max(RESERVE_BYTES_MIN).min(max),
    }
}

/// Frees the blocks that a log in `dir` reserves for a full disk. Returns false if there are none. The log must not be
/// open. It reserves them again when it is opened, or as soon as there is space.
pub fn give_up_reserve(dir: &std::path::Path) -> bool {
    std::fs::remove_file(dir.join(directory::RESERVE_NAME)).is_ok()
}

/// When [`Wal::wait_for`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// After the data is on the disk. The data survives a power loss.
    Always,
    /// After the data is with the operating system; a thread makes it durable at this interval. The data survives a
    /// killed process; a power loss loses at most the last interval.
    Interval(Duration),
    /// After the data is with the operating system. The data survives a killed process. Only the end of a segment is
    /// synced.
    Off,
}

/// The treatment of damage that a crash does not explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Fail with [`Error::Corrupt`] and do not change the segments.
    Refuse,
    /// Move the damaged bytes to `<segment>.<offset>.bad`, record the gap in the log, and continue with the rest.
    Skip,
}

/// One record of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its sequence number, from 1.
    pub seq: u64,
    /// The caller's kind, at most [`KIND_MAX`].
    pub kind: u8,
    /// The caller's bytes.
    pub payload: &'a [u8],
}

/// What opening or checking a log found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayReport {
    /// The number of records passed to the caller.
    pub records: u64,
    /// The first sequence number among them; 0 if there were none.
    pub first_seq: u64,
    /// The last sequence number in the log; 0 if nothing was ever appended.
    pub last_seq: u64,
    /// The number of segments read. Those that contain only data that the caller no longer needs are not read.
    pub segments: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The end of an unfinished write, if there was one.
    pub torn_tail: Option<TornTail>,
    /// Damage, in order. Only [`Recovery::Skip`] and [`verify`] return damage, except for a damaged or missing file
    /// `durable`: it contains no data, and is reported and created again.
    pub damage: Vec<Damage>,
    /// Files and directories that do not belong to the log; they are left alone.
    pub strays: Vec<PathBuf>,
}

/// The end of a write that was interrupted by a crash. Nothing in it was ever acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub file: PathBuf,
    /// The offset at which the log ends.
    pub offset: u64,
    /// Bytes from there to the end of the file.
    pub bytes_dropped: u64,
}

/// Bytes that were synced and have changed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// The offset in the file.
    pub offset: u64,
    /// What was expected and what was found, and the records that are lost.
    pub what: String,
    /// The file to which [`Recovery::Skip`] moved the bytes; `None` if there were none to keep.
    pub quarantined_to: Option<PathBuf>,
}

/// Counters of an open log, since it was opened unless stated otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalStats {
    /// The number of records appended.
    pub records: u64,
    /// Their size with headers, bytes.
    pub bytes: u64,
    /// The number of syncs.
    pub syncs: u64,
    /// The time spent in syncs, nanoseconds.
    pub sync_ns_sum: u64,
    /// The duration of the longest sync, nanoseconds.
    pub sync_ns_max: u64,
    /// The number of segments on the disk at present.
    pub segments: u64,
    /// A sync has failed: the log refuses everything until it is opened again.
    pub poisoned: bool,
    /// The disk is full: appends are refused until there is space again.
    pub disk_full: bool,
    /// The number of failed writes of the file `durable`. The log is as safe, but can be verified less well.
    pub mark_failures: u64,
}
