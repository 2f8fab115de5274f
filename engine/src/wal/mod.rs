//! The write-ahead log: what makes an acknowledged write survive a crash until it is flushed.
//!
//! A log is a directory of *segments*, `00000001.wal`, `00000002.wal`, …, each a header and a run of records whose
//! sequence numbers continue without a gap from segment to segment. Appending copies a record into memory; a *sync*
//! writes what has gathered and makes it durable, one `fdatasync` for all who wait (group commit).
//!
//! The payload of a record is opaque here. Kinds `0..=KIND_MAX` belong to the caller.
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
//! Records follow without padding. Behind the last one the open segment may have zeros, which later records overwrite:
//! the blocks of small writes are there before, so that their sync is one write and one flush, without the file
//! system's journal. A seal ends the file again.
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
//! segment, another database or a payload that imitates a record never pass for one.
//!
//! Kinds of the log itself; they take no sequence number of their own:
//!
//! | kind | name | sequence number | payload |
//! |---|---|---|---|
//! | 0xF0 | commit | last record before it | empty; ends each synced write |
//! | 0xF1 | gap | last lost record | u64 first lost record; stands where a repair gave up damaged records |
//! | 0xF2 | seal | last record before it | u64 count of records and commits and gaps, u32 CRC32 of all their CRC fields |
//!
//! A record is valid iff
//! 1. length is at most 64 MiB and the record ends inside the file;
//! 2. its CRC is right;
//! 3. a caller's record has the next sequence number, a commit or seal the last one, a gap begins at the next one;
//! 4. a gap's and a seal's payload have their length, a seal agrees with what precedes it and ends the file, but for
//!    zeros.
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
//! After each sync the slot that is not the newest is overwritten. Sequence numbers never decrease, so the larger of
//! the two is the newest. A write that is cut short, by a full disk or a power loss, leaves the other slot, which is
//! one sync behind. In version 1 the file was one slot; such a file is read, and replaced when the log is opened for
//! writing. A build that knows version 1 only refuses to open a log whose first slot has version 2.
//!
//! `reserve` is an empty promise of blocks for a full disk. `*.tmp` is unfinished and deleted at the next open, `*.bad`
//! is what a repair took out.
//!
//! # Torn tail or damage
//! A crash may leave the last write in pieces. That is normal and must not stop a start; a damaged record that had
//! been acknowledged must never be taken for it. The difference is whether a sync had covered the bytes:
//!
//! * A segment is sealed and synced before its successor comes to exist, so only the last one can be torn. Everything
//!   else that is not valid is damage.
//! * In the last segment, a bad range is damage if any intact record (before or after it) or the file `durable`
//!   states a durable mark beyond the last commit that precedes the range.
//! * The last synced write has no later record to carry its mark. Its own commit or seal cannot prove that the sync
//!   ended: pages reach the disk in any order. But a page that did not arrive reads as zeros, since segments are fresh
//!   files, never reused, and have nothing but zeros ahead. So a bad range followed by an intact commit or seal is torn only if it holds a 512-byte
//!   sector (or the rest of the one that it begins in) of zeros alone; else it is damage.
//! * What is left is a torn tail: it is reported and cut off before anything is appended. Zeros alone to the end of the
//!   file are no tail: nothing was written there, or nothing arrived.
//!
//! `durable` is exact when the process was killed and lags by the kernel's write-back (some 30 s) after a power
//! loss, or by one sync if its last write was cut short. It never claims too much, being written after the sync. It
//! also shows that the log's end was cut off or its last segment removed, which the segments alone cannot.
//!
//! A mark that lags is safe: it only claims less. Acknowledged records are in segments, which exist durably before the
//! mark that covers them is written, and which are deleted only when the caller has stored them durably. So a log
//! without segments is complete if the caller has everything up to the mark. Before segments are deleted the file
//! `durable` is synced (I6). Otherwise a power loss could take the last evidence of them, and a caller with an older
//! state would not notice that records are missing.
//!
//! What cannot be distinguished: within the last synced write, after a power loss that also lost the newest `durable`, (1) a
//! file cut short looks torn; (2) so does a flipped bit in a record that holds a whole aligned sector of zeros; (3) a
//! file system that shows stale blocks instead of zeros (ext4 with `data=writeback`) makes a tear look like
//! damage, which errs on the safe side. In each case the report says what was dropped.
//!
//! # Invariants
//! I1. A segment with a successor is sealed and synced.
//! I2. Bytes of records are never written again once they are synced; an open log only appends, over zeros or at the end
//!     of the file.
//! I3. After a failed sync nothing more is written until the log is opened again. The tail that no later mark proves,
//!     with its seal, is then written again before it is trusted, since the page cache may hold what the disk has lost.
//! I5. Records of one call are appended together or not at all. Records that cannot be written or synced are removed
//!     from memory and from the file before any other record takes their place. After a failed sync the file is
//!     truncated without a sync; only a power loss, or a disk that does not truncate files either, may bring back a
//!     refused record. If a process ends before an append returns, a prefix of its records remains.
//! I4. The durable mark never runs ahead of what a successful sync has covered.
//! I6. When a segment is deleted, a mark that covers it is on the disk. A disk that refuses this mark does not keep the
//!     segment: deleting frees space, and nothing is lost.
//!
//! # Not here
//! The directory is locked by the caller. What records mean, and when the log may be cut, is the engine's.
//! Next: `log.rs` for the open log, `recover.rs` for the way back.

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

/// Bytes of a reserve at least, unless there are no data: what it takes to seal a segment and begin another.
const RESERVE_BYTES_MIN: u64 = 16 << 10;

/// How a log is kept.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// Size at which a segment is closed and the next begun: 1 KiB to 1 GiB, default 64 MiB. Records that are
    /// appended together and are larger have a segment to themselves.
    pub segment_bytes: u64,
    /// Blocks held back at most for a full disk, so that what was appended can still be made durable: at most 16 GiB, 0
    /// for none. Default 128 MiB.
    pub reserve_bytes: u64,
    /// Bytes that the caller stores elsewhere, now ([`Wal::set_stored_bytes`]). As many blocks are held back as these and
    /// the log take, up to `reserve_bytes` ([`reserve_for`]). Default: all of them.
    pub stored_bytes: u64,
    /// Records that were appended and are not written yet take at most this, but for one that alone takes more. Default
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

/// Bytes of the reserve for so much data, with a limit of `max`: the largest power of two that is no more than the data.
/// An empty log has nothing to protect, and where space is scarce a fixed reserve would be larger than the data.
pub fn reserve_for(data: u64, max: u64) -> u64 {
    match data {
        0 => 0,
        _ => (1 << data.ilog2()).max(RESERVE_BYTES_MIN).min(max),
    }
}

/// Frees the blocks that a log in `dir` reserves for a full disk; false if there are none. The log must not be open.
/// It reserves them again when it is opened, or as soon as there is space.
pub fn give_up_reserve(dir: &std::path::Path) -> bool {
    std::fs::remove_file(dir.join(directory::RESERVE_NAME)).is_ok()
}

/// When [`Wal::wait_for`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// After the data is on the disk: survives power loss.
    Always,
    /// After the data is with the operating system, which a thread makes durable this often: survives a killed
    /// process, a power loss takes at most the last interval.
    Interval(Duration),
    /// After the data is with the operating system: survives a killed process. Only a segment's end is synced.
    Off,
}

/// What to do about damage that a crash does not explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Fail with [`Error::Corrupt`] and leave the segments as they are.
    Refuse,
    /// Put the damaged bytes aside as `<segment>.<offset>.bad`, note the gap in the log, continue with the rest.
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
pub struct ReplayReport {
    /// Records handed to the caller.
    pub records: u64,
    /// The first of them, 0 if there was none.
    pub first_seq: u64,
    /// The last sequence number in the log, 0 if nothing was ever appended.
    pub last_seq: u64,
    /// Segments read; those that hold only what the caller no longer needs are not.
    pub segments: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The end of a write that was not finished, if there was one.
    pub torn_tail: Option<TornTail>,
    /// Damage, in order. Only [`Recovery::Skip`] and [`verify`] get here with any, but for a damaged or missing file
    /// `durable`: it holds no data, and is reported and made again.
    pub damage: Vec<Damage>,
    /// Files and directories that are not the log's, left alone.
    pub strays: Vec<PathBuf>,
}

/// The end of a write that a crash interrupted; nothing in it was ever acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub file: PathBuf,
    /// Where the log ends.
    pub offset: u64,
    /// Bytes from there to the end of the file.
    pub bytes_dropped: u64,
}

/// Bytes that were synced and are no longer what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// What was expected and found, and which records are lost.
    pub what: String,
    /// Where [`Recovery::Skip`] put the bytes; none if there were none to keep.
    pub quarantined_to: Option<PathBuf>,
}

/// Counters of an open log, since it was opened unless said otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalStats {
    /// Records appended.
    pub records: u64,
    /// Bytes of them, with their headers.
    pub bytes: u64,
    /// Syncs done.
    pub syncs: u64,
    /// Time spent in them, in nanoseconds.
    pub sync_ns_sum: u64,
    /// The longest of them, in nanoseconds.
    pub sync_ns_max: u64,
    /// Segments on the disk now.
    pub segments: u64,
    /// A sync has failed: the log refuses everything until opened again.
    pub poisoned: bool,
    /// The disk is full: appends are refused until space is back.
    pub disk_full: bool,
    /// Times the file `durable` could not be written; the log is as safe, its check weaker.
    pub mark_failures: u64,
}
