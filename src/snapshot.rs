//! Snapshots: copies of a running database, and their way back.

use std::path::Path;

use barograph_engine::budget::Work;
use barograph_engine::{SnapshotProgress, SnapshotReport};

use crate::{Database, Result};

impl Database {
    /// Copies the database as it is now into `dest`, which must not exist.
    ///
    /// # Errors
    /// `dest` exists or cannot be written.
    pub fn snapshot(&self, dest: &Path) -> Result<SnapshotReport> {
        Ok(self.engine.snapshot(dest)?)
    }

    /// As [`Database::snapshot`], until `work` is stopped; calls `progress` after each part.
    ///
    /// # Errors
    /// As [`Database::snapshot`]; [`ErrorKind::Canceled`](crate::ErrorKind::Canceled) and
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when the work was stopped. A part of the copy is then removed.
    pub fn snapshot_within(
        &self,
        dest: &Path,
        work: &Work,
        mut progress: impl FnMut(SnapshotProgress),
    ) -> Result<SnapshotReport> {
        Ok(self.engine.snapshot_within(dest, work, &mut progress)?)
    }

    /// Writes the database as it is now to `target` as a tar archive; unpacked it is the directory that
    /// [`Database::restore`] takes, with the permissions of the original. Calls `progress` at least every 256 KiB.
    ///
    /// ```
    /// use barograph::budget::Work;
    /// use barograph::{Database, LineOptions};
    /// # fn main() -> barograph::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// let db = Database::open(dir.path())?;
    /// db.write_lines(b"cpu,host=a usage=0.5 1000\n", &LineOptions::default())?;
    /// let mut archive = Vec::new();
    /// db.snapshot_to(&mut archive, &Work::unbounded(), |progress| {
    ///     println!("{} of {} bytes", progress.bytes, progress.bytes_total);
    /// })?;
    /// assert!(!archive.is_empty());
    /// # db.close()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `target` or the data directory cannot be written, or the work was stopped. What was written of the archive is of
    /// no use then.
    pub fn snapshot_to(
        &self,
        mut target: impl std::io::Write,
        work: &Work,
        mut progress: impl FnMut(SnapshotProgress),
    ) -> Result<SnapshotReport> {
        Ok(self.engine.snapshot_to(&mut target, work, &mut progress)?)
    }

    /// Makes a data directory of a snapshot.
    ///
    /// # Errors
    /// `snapshot` is not complete, or `dir` is not empty or cannot be written.
    pub fn restore(snapshot: &Path, dir: &Path) -> Result<SnapshotReport> {
        Ok(barograph_engine::restore(snapshot, dir)?)
    }
}
