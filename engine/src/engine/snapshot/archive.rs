//! Snapshots as a stream: a tar archive of the snapshot's directory, with `SNAPSHOT` last, so that an incomplete
//! archive is recognized.
//!
//! The snapshot is first made next to the data, where the tables of the store can be linked, so that flushes and merges
//! wait only for that and not for the output.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::budget::Work;
use crate::engine::Engine;
use crate::engine::snapshot::tar::{self, Kind};
use crate::engine::snapshot::{MANIFEST, OnProgress, SnapshotProgress, SnapshotReport};
use crate::{Error, Result};

/// The number of bytes written between two checks whether to stop.
const PIECE_BYTES: usize = 256 << 10;

impl Engine {
    /// Writes the database in its current state to `target` as a tar archive. Unpacked, it is the directory that
    /// [`restore`](crate::restore) takes. Appends continue in the meantime; flushes and merges wait while files are
    /// linked and the log is copied. `progress` is called after each 256 KiB.
    ///
    /// # Errors
    /// `target` or the data directory cannot be written; [`Error::Stopped`].
    pub fn snapshot_to(
        &self,
        target: &mut dyn Write,
        work: &Work,
        progress: &mut OnProgress<'_>,
    ) -> Result<SnapshotReport> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let Some(dir) = self.shared.disk.dir() else {
            return Err(Error::Invalid("a database in memory has no files to copy".to_owned()));
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let staged = Staged(dir.join("staging").join(format!("snapshot-{number}")));
        let report = self.snapshot_within(&staged.0, work, &mut |_| {})?;
        let made = SnapshotProgress { bytes: 0, bytes_total: report.bytes };
        Archive { target, root: &staged.0, work, made, progress }.write()?;
        Ok(SnapshotReport { path: dir.to_owned(), ..report })
    }
}

/// A directory that is removed when this is dropped.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        // What remains is removed when the database is opened next.
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Archive<'a, 'p> {
    target: &'a mut dyn Write,
    root: &'a Path,
    work: &'a Work,
    made: SnapshotProgress,
    progress: &'a mut OnProgress<'p>,
}

impl Archive<'_, '_> {
    fn write(&mut self) -> Result<()> {
        for folder in ["", "store", "wal"] {
            let path = self.root.join(folder);
            if !folder.is_empty() {
                let metadata = fs::metadata(&path).map_err(|e| Error::io("inspect", &path, e))?;
                self.put(&tar::header(folder, &metadata, Kind::Directory))?;
            }
            for name in files(&path)? {
                if name != MANIFEST {
                    let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                    self.add(&name)?;
                }
            }
        }
        self.add(MANIFEST)?;
        self.put(&tar::END)?;
        self.target.flush().map_err(|e| Error::io("write the archive of", self.root, e))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.target.write_all(bytes).map_err(|e| Error::io("write the archive of", self.root, e))
    }

    /// Adds a file. Nothing writes to it.
    fn add(&mut self, name: &str) -> Result<()> {
        let path = self.root.join(name);
        let failed = |e| Error::io("read", &path, e);
        let mut file = File::open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        self.put(&tar::header(name, &metadata, Kind::File))?;
        let (mut left, mut piece) = (metadata.len(), vec![0; PIECE_BYTES]);
        while left > 0 {
            self.work.check()?;
            let piece = &mut piece[..left.min(PIECE_BYTES as u64) as usize];
            file.read_exact(piece).map_err(failed)?;
            self.put(piece)?;
            left -= piece.len() as u64;
            self.made.bytes += piece.len() as u64;
            (self.progress)(self.made);
        }
        self.put(tar::padding(metadata.len()))
    }
}

/// The names of the files in a directory, sorted.
fn files(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| Error::io("list", dir, e))? {
        let entry = entry.map_err(|e| Error::io("list", dir, e))?;
        if !entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
