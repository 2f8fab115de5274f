//! Writes batches to the disk: creates segments, writes, syncs, and handles failures of writes and syncs.
//!
//! After a failed write, the partial data is truncated, since the caller gets an error. A failed sync is final: the
//! kernel may have dropped the pages and would report success for a second one.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffer::WriteGroup;
use super::directory::{RESERVE_NAME, Segment, segment_name};
use super::format::{HEADER_BYTES, Header};
use super::fs::{WalFile, WalFs, write_all_at};
use super::mark::MarkFile;
use crate::error::{Error, Result};

/// Minimum and maximum number of zeros written at once; in between, as many as the segment has bytes.
const AHEAD_BYTES_MIN: u64 = if cfg!(test) { 64 } else { 16 << 10 };
const AHEAD_BYTES_MAX: u64 = if cfg!(test) { 4 << 10 } else { 128 << 10 };
/// The smallest unit that the kernel writes.
const DISK_PAGE_BYTES: u64 = if cfg!(test) { 64 } else { 4 << 10 };
/// Unit of a file's block count.
const DISK_BLOCK_BYTES: u64 = 512;

/// The part of the log that does I/O.
#[derive(Debug)]
pub(super) struct Writer {
    fs: Arc<dyn WalFs>,
    dir: PathBuf,
    database_id: u64,
    current: Option<Current>,
    /// `None` once closed.
    mark: Option<MarkFile>,
    reserve_bytes: u64,
    holds_reserve: bool,
    /// Other work uses its blocks, so it must not be allocated again yet.
    is_lent: bool,
}

/// The segment that is being written.
#[derive(Debug)]
struct Current {
    number: u64,
    first_seq: u64,
    last_seq: u64,
    path: PathBuf,
    file: Box<dyn WalFile>,
    end: u64,
    /// The file's length: zeros follow `end` up to here.
    ahead: u64,
    /// There was no space for zeros.
    is_tight: bool,
    is_dirty: bool,
}

/// The result of one run of the writer, even if it failed.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The last synced sequence number, if anything was synced.
    pub durable: Option<u64>,
    /// The last sequence number that is with the operating system, if anything was written.
    pub written: Option<u64>,
    /// Segments that were sealed.
    pub sealed: Vec<Segment>,
    pub sync_times: Vec<Duration>,
    pub mark_failed: bool,
    /// The disk is full, or the reserve could not be allocated again.
    pub disk_full: bool,
    /// The memory of a written batch.
    pub spare: Vec<u8>,
}

impl Writer {
    /// `mark` covers the last record of the log.
    pub fn open(
        fs: Arc<dyn WalFs>,
        dir: PathBuf,
        database_id: u64,
        mark: MarkFile,
        reserve_bytes: u64,
    ) -> Result<Self> {
        let reserve = dir.join(RESERVE_NAME);
        let found = reserve.symlink_metadata().ok();
        let holds_reserve = found.as_ref().is_some_and(|found| {
            found.is_file()
                && found.len() == reserve_bytes
                && found.blocks() * DISK_BLOCK_BYTES >= reserve_bytes
        });
        if found.is_some() && !holds_reserve {
            fs.remove(&reserve).map_err(|error| Error::io("remove", &reserve, error))?;
        }
        let (current, mark) = (None, Some(mark));
        Ok(Writer { fs, dir, database_id, current, mark, reserve_bytes, holds_reserve, is_lent: false })
    }

    /// Closes the files. The caller must not write any more.
    pub fn close(&mut self) {
        (self.current, self.mark) = (None, None);
    }

    /// The file `durable`, for syncing it; `None` once closed.
    pub fn mark_file(&self) -> Option<Arc<dyn WalFile>> {
        self.mark.as_ref().map(MarkFile::file)
    }

    /// The segment that is being written, up to the part that is on the disk.
    pub fn current(&self) -> Option<Segment> {
        let current = self.current.as_ref()?;
        let Current { number, first_seq, last_seq, end: bytes, .. } = *current;
        Some(Segment { number, first_seq, last_seq, bytes })
    }

    /// Writes `batches`, removing each when it is finished, and syncs if requested or if a segment ends.
    pub fn run(
        &mut self,
        batches: &mut VecDeque<WriteGroup>,
        sync: bool,
        progress: &mut Progress,
    ) -> Result<()> {
        let result = self.write_batches(batches, sync, progress);
        let is_starved = matches!(result, Err(Error::DiskFull { .. }));
        progress.disk_full = !self.hold_reserve() || is_starved;
        if let Some(seq) = progress.durable {
            progress.mark_failed = self.mark.as_mut().is_some_and(|mark| mark.write(seq).is_err());
            fail_point!("log.marked");
        }
        result
    }

    fn write_batches(
        &mut self,
        batches: &mut VecDeque<WriteGroup>,
        sync: bool,
        progress: &mut Progress,
    ) -> Result<()> {
        while let Some(batch) = batches.front_mut() {
            match self.write_batch(batch) {
                Err(Error::DiskFull { .. }) if self.release_reserve() => self.write_batch(batch)?,
                result => result?,
            }
            if sync && !batch.seals {
                self.current.iter_mut().for_each(|current| current.zero_ahead(batch.bytes.len() as u64));
            }
            progress.written = Some(batch.last_seq);
            if batch.seals {
                self.sync_current(progress)?;
                progress.sealed.extend(self.current());
                self.current = None;
                fail_point!("rotate.sealed");
            }
            if let Some(batch) = batches.pop_front() {
                progress.spare = batch.bytes;
            }
        }
        if sync { self.sync_current(progress) } else { Ok(()) }
    }

    fn write_batch(&mut self, batch: &mut WriteGroup) -> Result<()> {
        let current = match &mut self.current {
            Some(current) => current,
            None => self.current.insert(create(&*self.fs, &self.dir, self.database_id, batch)?),
        };
        debug_assert_eq!(current.number, batch.segment, "a segment ends with its seal");
        let begun = batch.written;
        let offset = current.end - begun as u64;
        let result = write_all_at(&*current.file, &batch.bytes, offset, &mut batch.written);
        current.end += (batch.written - begun) as u64;
        current.ahead = current.ahead.max(current.end);
        current.is_dirty = true;
        result.map_err(|error| Error::io("write", &current.path, error))?;
        current.last_seq = batch.last_seq;
        if batch.seals {
            current.trim()?;
        }
        fail_point!("log.written");
        Ok(())
    }

    fn sync_current(&mut self, progress: &mut Progress) -> Result<()> {
        let Some(current) = self.current.as_mut().filter(|current| current.is_dirty) else { return Ok(()) };
        let begun = Instant::now();
        current.file.sync().map_err(|error| poisoned(&current.path, &error))?;
        progress.sync_times.push(begun.elapsed());
        if !current.file.is_at(&current.path) {
            // Such a file is synced without an error, but can never be found again.
            return Err(Error::Poisoned(format!(
                "{} is no longer there: the directory was deleted or moved while the database was open",
                current.path.display()
            )));
        }
        fail_point!("log.synced");
        current.is_dirty = false;
        progress.durable = Some(current.last_seq);
        Ok(())
    }

    /// Truncates `segment` to its first `bytes`, which end with the record `last_seq`, and so removes later records.
    /// With `sync` the truncation survives a power failure.
    pub fn cut(&mut self, (segment, bytes): (u64, u64), last_seq: u64, sync: bool) -> Result<()> {
        let Some(current) = self.current.as_mut().filter(|current| current.number == segment) else {
            return Ok(());
        };
        if current.end == bytes {
            return Ok(());
        }
        current.file.set_len(bytes).map_err(|error| Error::io("truncate", &current.path, error))?;
        (current.end, current.ahead, current.last_seq) = (bytes, bytes, last_seq);
        // It stays dirty: only the next sync shows that the rest is covered.
        if sync { current.file.sync().map_err(|error| poisoned(&current.path, &error)) } else { Ok(()) }
    }

    /// Makes the blocks of the reserve available to other work until [`Writer::end_loan`].
    pub fn lend_reserve(&mut self) {
        self.is_lent = true;
        self.release_reserve();
    }

    /// Allocates the reserve again, now or when the next batch is written.
    pub fn end_loan(&mut self) -> bool {
        self.is_lent = false;
        self.hold_reserve()
    }

    /// Grows the reserve to `bytes`. If the disk does not have as many, the reserve keeps its size; false if the disk
    /// does not even have that any more. `None` while the log uses the blocks of the reserve.
    pub fn grow_reserve(&mut self, bytes: u64) -> Option<bool> {
        if self.reserve_bytes > 0 && !self.holds_reserve {
            return None;
        }
        let before = std::mem::replace(&mut self.reserve_bytes, bytes);
        self.holds_reserve = false;
        if !self.hold_reserve() {
            self.reserve_bytes = before;
        }
        Some(self.hold_reserve())
    }

    /// Makes the blocks of the reserve available to the log.
    fn release_reserve(&mut self) -> bool {
        let released = self.holds_reserve && self.fs.remove(&self.dir.join(RESERVE_NAME)).is_ok();
        self.holds_reserve &= !released;
        released
    }

    /// Allocates the reserve again if it was released. Without it appends are refused, so every failure counts.
    fn hold_reserve(&mut self) -> bool {
        if !self.holds_reserve && self.reserve_bytes > 0 && !self.is_lent {
            let path = self.dir.join(RESERVE_NAME);
            self.holds_reserve = self.fs.reserve(&path, self.reserve_bytes).is_ok();
        }
        self.holds_reserve || self.reserve_bytes == 0
    }
}

impl Current {
    /// Writes zeros ahead of the next batches if small ones have used up the existing ones. A sync then need not make
    /// the file's length and blocks durable as well, which costs as much as the batch and another flush.
    fn zero_ahead(&mut self, written: u64) {
        if self.end < self.ahead || written > AHEAD_BYTES_MAX / 8 || self.is_tight {
            return;
        }
        let step = self.end.next_power_of_two().clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX);
        let ahead = (self.end + step).next_multiple_of(DISK_PAGE_BYTES);
        let zeros = vec![0; (ahead - self.end) as usize];
        match write_all_at(&*self.file, &zeros, self.end, &mut 0) {
            Ok(()) => self.ahead = ahead,
            Err(_) => {
                // The batch is written; the remaining space is for the next ones.
                self.is_tight = true;
                self.ahead = ahead;
                let _ = self.trim();
            }
        }
    }

    /// Removes the zeros.
    fn trim(&mut self) -> Result<()> {
        if self.ahead > self.end {
            self.file.set_len(self.end).map_err(|error| Error::io("truncate", &self.path, error))?;
            self.ahead = self.end;
        }
        Ok(())
    }
}

/// Creates the segment that begins with a batch. It is renamed to its final name when its header is on the disk, so a
/// segment never has an incomplete header.
fn create(fs: &dyn WalFs, dir: &Path, database_id: u64, batch: &WriteGroup) -> Result<Current> {
    let path = dir.join(segment_name(batch.segment));
    let unfinished = path.with_added_extension("tmp");
    let header = Header { database_id, number: batch.segment, first_seq: batch.first_seq };
    let file = fs.create(&unfinished).map_err(|error| Error::io("create", &unfinished, error))?;
    fail_point!("rotate.created");
    write_all_at(&*file, &header.encode(), 0, &mut 0)
        .map_err(|error| Error::io("write", &unfinished, error))?;
    file.sync().map_err(|error| poisoned(&unfinished, &error))?;
    fail_point!("rotate.written");
    fs.rename(&unfinished, &path).map_err(|error| Error::io("rename", &unfinished, error))?;
    fail_point!("rotate.named");
    fs.sync_dir(dir).map_err(|error| poisoned(dir, &error))?;
    fail_point!("rotate.synced");
    Ok(Current {
        number: batch.segment,
        first_seq: batch.first_seq,
        last_seq: batch.first_seq - 1,
        path,
        file,
        end: HEADER_BYTES as u64,
        ahead: HEADER_BYTES as u64,
        is_tight: false,
        is_dirty: false,
    })
}

fn poisoned(path: &Path, error: &io::Error) -> Error {
    Error::Poisoned(format!("{}: sync: {error}", path.display()))
}
