//! Snapshots: consistent copies of a running database, and restoring them.
//!
//! # Format
//! A snapshot is a directory like a data directory (`FORMAT`, `store/`, `wal/`) with an additional file, `SNAPSHOT`,
//! which is written last and has one line, `barograph snapshot 1 seq N`. The snapshot contains every write up to WAL
//! sequence N and none after it. A directory without that file is an unfinished snapshot. Directories and files have
//! the permissions of the originals.
//!
//! As a stream (`archive.rs`) it is a tar archive of the same directory.

pub(in crate::engine) mod archive;
pub(in crate::engine) mod tar;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::budget::Work;
use crate::engine::directory;
use crate::engine::directory::permissions;
use crate::engine::directory::regular::is_file;
use crate::engine::{Engine, Shared};
use crate::sync::MutexGuard;
use crate::{Error, Result};

/// How long a snapshot excludes merges while it waits for a flush.
const FLUSH_WAIT: Duration = Duration::from_millis(50);
const FORMAT: &str = "FORMAT";
pub(in crate::engine) const MANIFEST: &str = "SNAPSHOT";
const MANIFEST_START: &str = "barograph snapshot 1 seq ";

/// The result of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotReport {
    /// Its directory.
    pub path: PathBuf,
    /// The last WAL sequence in it.
    pub seq: u64,
    /// Its size, bytes.
    pub bytes: u64,
}

/// The progress of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotProgress {
    /// The number of bytes copied.
    pub bytes: u64,
    /// The total number of bytes, which is approximate until the last call.
    pub bytes_total: u64,
}

/// Called with the progress of a snapshot.
pub type OnProgress<'p> = dyn FnMut(SnapshotProgress) + 'p;

impl Engine {
    /// Copies the database in its current state into `dest`, which must not exist. Appends continue in the meantime;
    /// flushes and merges wait.
    ///
    /// # Errors
    /// `dest` exists or cannot be written; a partial copy is then removed.
    pub fn snapshot(&self, dest: &Path) -> Result<SnapshotReport> {
        self.snapshot_within(dest, &Work::unbounded(), &mut |_| {})
    }

    /// Like [`Engine::snapshot`], until `work` is stopped. `progress` is called after each copied part: the store,
    /// whose tables are linked if `dest` is on the same file system, and the log.
    ///
    /// # Errors
    /// Same as [`Engine::snapshot`]; [`Error::Stopped`].
    pub fn snapshot_within(
        &self,
        dest: &Path,
        work: &Work,
        progress: &mut OnProgress<'_>,
    ) -> Result<SnapshotReport> {
        let shared = &self.shared;
        let dest = &directory::absolute(dest)?;
        shared.check_writable()?;
        work.check()?;
        let _call = shared.lifecycle.enter()?;
        let (Some(wal), Some(dir)) = (shared.writer.log(), shared.disk.dir()) else {
            return Err(Error::Invalid("a database in memory has no files to copy".to_owned()));
        };
        if dest.exists() {
            return Err(Error::Invalid(format!("{}: exists already; name a new directory", dest.display())));
        }
        directory::create(dest)?;
        permissions::hide(dest)?;
        fail_point!("snapshot.begun");
        let _at_rest = shared.at_rest();
        let copied = wal.settle().and_then(|()| {
            let seq = wal.durable_seq();
            work.check()?;
            shared.versions.kv().checkpoint(&dest.join("store"))?;
            fail_point!("snapshot.store");
            let stored = size_of_dir(dest)?;
            let bytes_total = stored + wal.size_bytes();
            progress(SnapshotProgress { bytes: stored, bytes_total });
            work.check()?;
            wal.copy_to(&dest.join("wal"), seq)?;
            fail_point!("snapshot.log");
            work.check()?;
            finish_copy(dest, seq)?;
            permissions::copy(dir, dest)?;
            let bytes = size_of_dir(dest)?;
            progress(SnapshotProgress { bytes, bytes_total: bytes });
            Ok(SnapshotReport { path: dest.to_owned(), seq, bytes })
        });
        if copied.is_err() {
            // The cause is more important than a copy that cannot be removed.
            let _ = fs::remove_dir_all(dest);
        }
        copied
    }
}

impl Shared {
    /// Excludes flushes and merges. During a merge, which may take minutes, flushes do not wait for it.
    fn at_rest(&self) -> impl Sized + '_ {
        loop {
            // Against the order of locks, so only briefly: a flush may wait for merges.
            let merging = self.merger.lock();
            if let Some(flush) = self.flusher.lock_within(FLUSH_WAIT) {
                return (flush, merging);
            }
            MutexGuard::unlock_fair(merging);
        }
    }
}

/// Creates a data directory from a snapshot. `dir` must not exist or must be empty.
///
/// # Errors
/// `snapshot` is not a complete snapshot, or contains something other than files and directories; or `dir` cannot be
/// written.
pub fn restore(snapshot: &Path, dir: &Path) -> Result<SnapshotReport> {
    let seq = read_manifest(snapshot)?;
    if dir.exists() {
        let mut entries = fs::read_dir(dir).map_err(|e| Error::io("list", dir, e))?;
        if entries.next().is_some() {
            return Err(Error::Invalid(format!("{}: is not empty; name a new directory", dir.display())));
        }
    }
    let is_new = !dir.exists();
    // `FORMAT` is copied last: a partial copy, which a crash may leave, does not open as a database.
    copy_dir(snapshot, dir, &|name| name != FORMAT && name != MANIFEST)?;
    fail_point!("restore.copied");
    let format = dir.join(FORMAT);
    let staged = dir.join("FORMAT.new");
    is_file(&snapshot.join(FORMAT))?;
    copy_file(&snapshot.join(FORMAT), &staged)?;
    fail_point!("restore.staged");
    fs::rename(&staged, &format).map_err(|e| Error::io("rename", &staged, e))?;
    fail_point!("restore.named");
    if is_new {
        permissions::copy_one(snapshot, dir)?;
    }
    sync_dir(dir)?;
    Ok(SnapshotReport { path: dir.to_owned(), seq, bytes: size_of_dir(dir)? })
}

fn read_manifest(snapshot: &Path) -> Result<u64> {
    let path = snapshot.join(MANIFEST);
    is_file(&path)?;
    let text = fs::read_to_string(&path).map_err(|e| {
        if e.kind() == std::io::ErrorKind::NotFound {
            return Error::Invalid(format!(
                "{}: no complete snapshot (it has no {MANIFEST})",
                snapshot.display()
            ));
        }
        Error::io("read", &path, e)
    })?;
    text.trim_end().strip_prefix(MANIFEST_START).and_then(|seq| seq.parse().ok()).ok_or_else(|| {
        Error::Corrupt {
            file: path.display().to_string(),
            offset: 0,
            what: format!("{:?}, expected \"{MANIFEST_START}N\"", text.trim_end()),
        }
    })
}

fn finish_copy(dest: &Path, seq: u64) -> Result<()> {
    directory::write_format(dest, &dest.join("FORMAT"))
        .map_err(|e| Error::io("write", dest.join("FORMAT"), e))?;
    fail_point!("snapshot.format");
    let path = dest.join(MANIFEST);
    fs::write(&path, format!("{MANIFEST_START}{seq}\n")).map_err(|e| Error::io("write", &path, e))?;
    fail_point!("snapshot.named");
    File::open(&path).and_then(|f| f.sync_all()).map_err(|e| Error::io("sync", &path, e))?;
    sync_dir(dest)
}

fn sync_dir(dir: &Path) -> Result<()> {
    directory::sync(dir).map_err(|e| Error::io("sync", dir, e))
}

/// Copies files and directories and syncs them. Links and devices are refused: a snapshot contains none, and following
/// one could lead out of its directory.
fn copy_dir(from: &Path, to: &Path, is_wanted: &dyn Fn(&OsStr) -> bool) -> Result<()> {
    directory::create(to)?;
    for entry in fs::read_dir(from).map_err(|e| Error::io("list", from, e))? {
        let entry = entry.map_err(|e| Error::io("list", from, e))?;
        if !is_wanted(&entry.file_name()) {
            continue;
        }
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|e| Error::io("inspect", &source, e))?;
        if kind.is_dir() {
            copy_dir(&source, &target, &|_| true)?;
            permissions::copy_one(&source, &target)?;
        } else if kind.is_file() {
            copy_file(&source, &target)?;
        } else {
            return Err(Error::Invalid(format!("{}: is neither a file nor a directory", source.display())));
        }
    }
    sync_dir(to)
}

fn copy_file(source: &Path, target: &Path) -> Result<()> {
    fs::copy(source, target).map_err(|e| Error::io("copy", source, e))?;
    fail_point!("restore.file");
    File::open(target).and_then(|f| f.sync_all()).map_err(|e| Error::io("sync", target, e))
}

pub(in crate::engine) fn size_of_dir(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).map_err(|e| Error::io("list", dir, e))? {
        let entry = entry.map_err(|e| Error::io("list", dir, e))?;
        let metadata = entry.metadata().map_err(|e| Error::io("inspect", entry.path(), e))?;
        bytes += if metadata.is_dir() { size_of_dir(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A snapshot of which a folder named `inside` cannot be copied.
    fn broken_snapshot(dir: &Path, inside: &str) -> PathBuf {
        let snapshot = dir.join("snapshot");
        fs::create_dir_all(snapshot.join(inside)).expect("a directory");
        finish_copy(&snapshot, 7).expect("its last files");
        fs::write(snapshot.join(inside).join("1"), b"records").expect("a file");
        std::os::unix::fs::symlink("/dev/null", snapshot.join(inside).join("link")).expect("a link");
        snapshot
    }

    #[test]
    fn what_is_restored_in_part_is_no_database() {
        // In some of the directories the file system lists `FORMAT` before the folder.
        for number in 0..32 {
            let (dir, inside) = (tempfile::tempdir().expect("a directory"), format!("folder-{number}"));
            let (snapshot, restored) = (broken_snapshot(dir.path(), &inside), dir.path().join("restored"));
            let refused = restore(&snapshot, &restored).expect_err("a link is not followed");
            assert!(refused.to_string().contains("neither a file nor a directory"), "{refused}");
            assert!(!restored.join(FORMAT).exists(), "it would be opened");
            fs::remove_file(snapshot.join(&inside).join("link")).expect("its removal");
            fs::remove_dir_all(&restored).expect("its removal");
            assert_eq!(restore(&snapshot, &restored).expect("all of it").seq, 7);
            assert_eq!(fs::read_to_string(restored.join(FORMAT)).expect("a file"), "barograph 1\n");
            assert!(!restored.join(MANIFEST).exists() && restored.join(&inside).join("1").exists());
        }
    }

    #[test]
    fn a_restored_database_and_its_parents_are_synced() {
        let dir = tempfile::tempdir().expect("a directory");
        let snapshot = dir.path().join("snapshot");
        fs::create_dir_all(snapshot.join("wal")).expect("a directory");
        finish_copy(&snapshot, 7).expect("its last files");
        directory::synced::take();
        restore(&snapshot, &dir.path().join("a/b")).expect("all of it");
        // The parents, what was copied, and the directory once more with the file that makes it a database.
        assert_eq!(
            directory::synced::take(),
            ["a", "", "a/b", "a/b/wal", "a/b", "a/b"].map(|name| dir.path().join(name))
        );
    }

    #[cfg(feature = "rocksdb")]
    #[test]
    fn a_database_a_snapshot_and_their_parents_are_synced() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        let options = crate::Options { background: false, ..crate::Options::default() };
        let engine = Engine::open(dir.path().join("a/b"), options).expect("a new database");
        assert_eq!(directory::synced::take(), ["a", "", "a/b"].map(at));
        engine.snapshot(&dir.path().join("s/t")).expect("a snapshot");
        // With the file that makes it a database, and with the one that makes it a snapshot.
        assert_eq!(directory::synced::take(), ["s", "", "s/t", "s/t"].map(at));
    }
}
