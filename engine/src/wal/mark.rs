//! The file `durable`: two slots that are written alternately, so that an incomplete write leaves the other slot
//! intact.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::directory::{MARK_NAME, read_start, refuse_future};
use super::format::{Checked, Fault, MARK_BYTES, MARK_VERSION, Mark};
use super::fs::{WalFile, WalFs, write_all_at};
use super::repair::{replace, with_reserve};
use crate::error::{Error, Result};

/// The offsets of the slots. Each is in a separate page: the kernel writes pages, and disks write at most one page
/// atomically.
pub(super) const SLOTS_AT: [usize; 2] = [0, 4096];
/// Bytes of the file.
pub(super) const FILE_BYTES: usize = SLOTS_AT[1] + MARK_BYTES;

/// The bytes of a file whose slots both state `mark`.
pub(super) fn file_of(mark: Mark) -> Vec<u8> {
    let mut bytes = vec![0; FILE_BYTES];
    for at in SLOTS_AT {
        bytes[at..at + MARK_BYTES].copy_from_slice(&mark.encode());
    }
    bytes
}

/// The slots found in a file: one in a file of version 1, or in one truncated to one slot.
pub(super) struct Marks(Vec<Checked<Mark>>);

impl Marks {
    /// Reads the file; `None` if it does not exist.
    pub fn read(path: &Path) -> Result<Option<Marks>> {
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let bytes = read_start(path, FILE_BYTES)?;
        let mut marks = Marks(Vec::with_capacity(SLOTS_AT.len()));
        for at in SLOTS_AT {
            let slot = refuse_future(path, MARK_VERSION, Mark::decode(bytes.get(at..).unwrap_or_default()))?;
            marks.0.push(slot.map(|(mark, _)| mark));
            let is_alone = match slot {
                Ok((_, version)) => version < MARK_VERSION,
                Err(_) => bytes.len() <= SLOTS_AT[1],
            };
            if is_alone {
                break;
            }
        }
        Ok(Some(marks))
    }

    /// The newest mark of a log whose segments have these database ids, and its slot.
    pub fn newest(&self, ids: &[u64]) -> Option<(usize, Mark)> {
        let marks = self.0.iter().enumerate().filter_map(|(slot, mark)| Some((slot, mark.ok()?)));
        marks.filter(|(_, mark)| belongs(mark, ids)).max_by_key(|(_, mark)| mark.seq)
    }

    /// The faults of slots, and the offsets of these slots.
    pub fn faults(&self, ids: &[u64]) -> impl Iterator<Item = (u64, Fault)> {
        let fault = |slot: &Checked<Mark>| match *slot {
            Ok(mark) if belongs(&mark, ids) => None,
            Ok(Mark { database_id: found, .. }) => {
                Some(Fault::Database { expected: ids.first().copied().unwrap_or_default(), found })
            }
            Err(fault) => Some(fault),
        };
        SLOTS_AT.iter().zip(&self.0).filter_map(move |(at, slot)| Some((*at as u64, fault(slot)?)))
    }

    /// The slot to write after `newest`; `None` if the file does not have both.
    pub fn slot_after(&self, newest: usize) -> Option<usize> {
        (self.0.len() == SLOTS_AT.len()).then_some(1 - newest)
    }
}

fn belongs(mark: &Mark, ids: &[u64]) -> bool {
    ids.is_empty() || ids.contains(&mark.database_id)
}

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct MarkFile {
    file: Arc<dyn WalFile>,
    database_id: u64,
    /// The slot that is written next.
    slot: usize,
}

impl MarkFile {
    /// Opens the file and writes `mark` into `slot`, or creates the file if `slot` is `None`.
    pub fn open(fs: &dyn WalFs, dir: &Path, mark: Mark, slot: Option<usize>) -> Result<Self> {
        let path = dir.join(MARK_NAME);
        if slot.is_none() {
            with_reserve(fs, dir, || replace(fs, dir, &path, &file_of(mark)))?;
        }
        let file = fs.open(&path).map_err(|error| Error::io("open", &path, error))?;
        let mut opened = MarkFile { file: file.into(), database_id: mark.database_id, slot: 0 };
        if let Some(slot) = slot {
            opened.slot = slot;
            let write = || opened.write(mark.seq).map_err(|error| Error::io("write", &path, error));
            with_reserve(fs, dir, write)?;
        }
        Ok(opened)
    }

    /// Records that everything up to `seq` is synced. If it fails, the next call writes the same slot.
    pub fn write(&mut self, seq: u64) -> io::Result<()> {
        let mark = Mark { database_id: self.database_id, seq };
        write_all_at(&*self.file, &mark.encode(), SLOTS_AT[self.slot] as u64, &mut 0)?;
        self.slot = 1 - self.slot;
        Ok(())
    }

    /// The file, to sync it.
    pub fn file(&self) -> Arc<dyn WalFile> {
        Arc::clone(&self.file)
    }
}
