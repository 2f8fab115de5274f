//! Snapshots: copies of a running database, and restoring them.

use std::path::Path;

use barograph_engine::budget::Work;
use barograph_engine::{SnapshotProgress, SnapshotReport};

use crate::{Database, Result};

impl Database {
    /// Copies the database in its current state into `dest`, which must not exist.
    ///
    /// ```
    /// use barograph::Database;
    /// # fn main() -> barograph::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// # let directory = dir.path().join("data");
    /// let db = Database::open(&directory)?;
    /// db.snapshot(dir.path().join("copy"))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `dest` exists or cannot be written.
    pub fn snapshot(&self, dest: impl AsRef<Path>) -> Result<SnapshotReport> {
        Ok(self.engine.snapshot(dest.as_ref())?)
    }

    /// Like [`Database::snapshot`], until `work` is stopped. Calls `progress` after each part.
    ///
    /// ```
    /// use barograph::{Database, budget::Work};
    /// # fn main() -> barograph::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// # let directory = dir.path().join("data");
    /// let db = Database::open(&directory)?;
    /// let copy = dir.path().join("copy");
    /// db.snapshot_within(copy, &Work::unbounded(), |progress| println!("{} bytes", progress.bytes))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same as [`Database::snapshot`]; [`ErrorKind::Canceled`](crate::ErrorKind::Canceled) and
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if the work was stopped. A partial copy is then removed.
    pub fn snapshot_within(
        &self,
        dest: impl AsRef<Path>,
        work: &Work,
        mut progress: impl FnMut(SnapshotProgress),
    ) -> Result<SnapshotReport> {
        Ok(self.engine.snapshot_within(dest.as_ref(), work, &mut progress)?)
    }

    /// Writes the database in its current state to `target` as a tar archive. Unpacked, it is the directory that
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
    /// `target` or the data directory cannot be written, or the work was stopped. The part of the archive that was
    /// written is then useless.
    pub fn snapshot_to(
        &self,
        mut target: impl std::io::Write,
        work: &Work,
        mut progress: impl FnMut(SnapshotProgress),
    ) -> Result<SnapshotReport> {
        Ok(self.engine.snapshot_to(&mut target, work, &mut progress)?)
    }

    /// Creates a data directory from a snapshot.
    ///
    /// ```
    /// use barograph::Database;
    /// # fn main() -> barograph::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// # let directory = dir.path().join("data");
    /// let db = Database::open(&directory)?;
    /// db.snapshot(dir.path().join("copy"))?;
    /// Database::restore(dir.path().join("copy"), dir.path().join("restored"))?;
    /// Database::open(dir.path().join("restored"))?.close()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `snapshot` is not complete, or `dir` is not empty or cannot be written.
    pub fn restore(snapshot: impl AsRef<Path>, dir: impl AsRef<Path>) -> Result<SnapshotReport> {
        Ok(barograph_engine::restore(snapshot.as_ref(), dir.as_ref())?)
    }
}
