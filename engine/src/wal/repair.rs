//! Rewrites segments during recovery: seals the one that a crash left open, rebuilds a damaged one without the lost
//! records, and saves damaged bytes.
//!
//! A rebuilt segment replaces the old one by a rename, so a crash leaves one or the other.

use std::path::{Path, PathBuf};

use super::directory::{RESERVE_NAME, Segment, segment_name};
use super::format::{
    HEADER_BYTES, Header, KIND_GAP, KIND_SEAL, Tally, encode_record, encode_seal, segment_seed,
};
use super::fs::{WalFs, write_all_at};
use super::replay::{ValidRun, entries};
use crate::error::{Error, Result};

/// The parts of a rebuilt segment.
pub(super) struct Rebuild<'a> {
    pub database_id: u64,
    pub number: u64,
    /// The first sequence number that the segment accounts for, with a record or a gap.
    pub first: u64,
    /// The sequence number after the last one that it accounts for.
    pub next: u64,
    /// The old segment's bytes, and the valid parts of them.
    pub bytes: &'a [u8],
    pub runs: &'a [ValidRun],
}

impl Rebuild<'_> {
    /// Writes the segment, sealed and synced.
    pub fn write(&self, fs: &dyn WalFs, dir: &Path) -> Result<Segment> {
        let header = Header { database_id: self.database_id, number: self.number, first_seq: self.first };
        let mut out = header.encode().to_vec();
        let mut tail = Tail { seed: segment_seed(self.database_id, self.number), tally: Tally::default() };
        let mut position = self.first;
        for run in self.runs {
            tail.gap(&mut out, position, run.first);
            let good = &self.bytes[run.range.clone()];
            tail.copy(&mut out, good);
            position = run.next;
        }
        tail.gap(&mut out, position, self.next);
        tail.seal(&mut out, self.next - 1);
        let path = dir.join(segment_name(self.number));
        replace(fs, dir, &path, &out)?;
        fail_point!("recover.rebuilt");
        Ok(Segment {
            number: self.number,
            first_seq: self.first,
            last_seq: self.next - 1,
            bytes: out.len() as u64,
        })
    }
}

/// The data appended to a segment to end it.
struct Tail {
    seed: u32,
    tally: Tally,
}

impl Tail {
    /// Copies valid entries other than a seal.
    fn copy(&mut self, out: &mut Vec<u8>, good: &[u8]) {
        let mut length = 0;
        for entry in entries(good).filter(|entry| entry.kind != KIND_SEAL) {
            self.tally.add(entry.crc);
            length += entry.encoded_bytes();
        }
        out.extend_from_slice(&good[..length]);
    }

    /// Records that `first..next` are lost, unless that is empty.
    fn gap(&mut self, out: &mut Vec<u8>, first: u64, next: u64) {
        if first < next {
            let crc = encode_record(out, self.seed, KIND_GAP, next - 1, 0, &[&first.to_le_bytes()]);
            self.tally.add(crc);
        }
    }

    fn seal(&mut self, out: &mut Vec<u8>, last_seq: u64) {
        let payload = encode_seal(self.tally.entries, self.tally.crc_of_crcs());
        encode_record(out, self.seed, KIND_SEAL, last_seq, 0, &[&payload]);
    }
}

/// The end of an undamaged segment that a crash left open, or that may not be covered by a sync.
pub(super) struct Unsealed {
    path: PathBuf,
    /// Everything after it is truncated.
    end: usize,
    /// Bytes before this offset are known to be on the disk.
    proven_end: usize,
    /// The bytes from there on, with the seal.
    tail: Vec<u8>,
}

impl Unsealed {
    /// Collects the data for sealing a segment; `end` is the end of its valid entries. An existing seal is written
    /// again.
    pub fn new(path: &Path, bytes: &[u8], seed: u32, proven_end: usize, end: usize, next: u64) -> Self {
        let (mut tail, mut unsealed_end) = (Tail { seed, tally: Tally::default() }, HEADER_BYTES);
        for entry in entries(&bytes[HEADER_BYTES..end]).filter(|entry| entry.kind != KIND_SEAL) {
            tail.tally.add(entry.crc);
            unsealed_end += entry.encoded_bytes();
        }
        let mut out = bytes[proven_end..unsealed_end].to_vec();
        tail.seal(&mut out, next - 1);
        Unsealed { path: path.to_owned(), end, proven_end, tail: out }
    }

    /// Truncates the torn tail, writes again what may not be covered by a sync, seals and syncs. Returns the segment's
    /// size.
    pub fn finish(&self, fs: &dyn WalFs) -> Result<u64> {
        let file = fs.open(&self.path).map_err(|error| Error::io("open", &self.path, error))?;
        file.set_len(self.end as u64).map_err(|error| Error::io("truncate", &self.path, error))?;
        fail_point!("replay.cut");
        write_all_at(&*file, &self.tail, self.proven_end as u64, &mut 0)
            .map_err(|error| Error::io("write", &self.path, error))?;
        fail_point!("replay.seal");
        file.sync().map_err(|error| Error::io("sync", &self.path, error))?;
        fail_point!("replay.sealed");
        Ok((self.proven_end + self.tail.len()) as u64)
    }
}

/// Saves damaged bytes next to their segment.
pub(super) fn quarantine(fs: &dyn WalFs, segment: &Path, offset: usize, bytes: &[u8]) -> Result<PathBuf> {
    let path = segment.with_added_extension(format!("{offset}.bad"));
    write_new(fs, &path, bytes)?;
    fail_point!("recover.quarantined");
    Ok(path)
}

/// Atomically and durably replaces the contents of `path` by `bytes`.
pub(super) fn replace(fs: &dyn WalFs, dir: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = path.with_added_extension("tmp");
    write_new(fs, &unfinished, bytes)?;
    fail_point!("replace.staged");
    fs.rename(&unfinished, path).map_err(|error| Error::io("rename", &unfinished, error))?;
    fail_point!("replace.named");
    fs.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))
}

/// Writes and syncs a file, but not its name.
fn write_new(fs: &dyn WalFs, path: &Path, bytes: &[u8]) -> Result<()> {
    let file = fs.create(path).map_err(|error| Error::io("create", path, error))?;
    write_all_at(&*file, bytes, 0, &mut 0).map_err(|error| Error::io("write", path, error))?;
    file.sync().map_err(|error| Error::io("sync", path, error))
}

/// Runs `work`, and if the disk is full, again with the blocks of the reserve.
pub(super) fn with_reserve<T>(fs: &dyn WalFs, dir: &Path, mut work: impl FnMut() -> Result<T>) -> Result<T> {
    match work() {
        Err(Error::DiskFull { .. }) if fs.remove(&dir.join(RESERVE_NAME)).is_ok() => work(),
        result => result,
    }
}
