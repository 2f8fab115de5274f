//! The lock of a data directory: one process writes, or any number of processes and handles read.
//!
//! It is an `flock` of the file `LOCK`, exclusive for writing and shared for reading (`process.rs` has the reason, and
//! its state in forked children). It is released explicitly, because closing the file does not release it while a child
//! that is being started still has a copy. `LOCK` contains the process id of its last writer, for messages.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::engine::directory::regular::is_file;
use crate::process::{Process, Unshared};
use crate::{Error, Result};

/// The number of locks that this process holds, by the canonical paths of their files.
static HELD: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

/// The number of bytes of the file that are read for a process id.
const ID_BYTES: u64 = 32;

/// The purpose of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Writing,
    Reading,
}

/// The lock of a directory, held until it is dropped.
#[derive(Debug)]
pub(in crate::engine) struct Lock(Option<Held>);

#[derive(Debug)]
struct Held {
    file: File,
    path: PathBuf,
    process: Process,
    unshared: Unshared,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let Some(held) = self.0.take() else { return };
        if held.process.check_thoroughly().is_err() {
            // The lock is the parent's, and the descriptor is closed.
            let _ = ManuallyDrop::new(held);
            return;
        }
        let mut all = HELD.lock();
        if let Err(error) = held.file.unlock() {
            tracing::warn!(lock = %held.path.display(), %error, "the directory could not be unlocked; closing unlocks it");
        }
        drop(held.unshared);
        drop(held.file);
        if let Some(count) = all.get_mut(&held.path) {
            *count -= 1;
            if *count == 0 {
                all.remove(&held.path);
            }
        }
    }
}

/// Locks an existing directory for writing, creating the lock's file.
pub(in crate::engine) fn for_writing(dir: &Path) -> Result<Lock> {
    let path = dir.join("LOCK");
    is_file(&path)?;
    let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
    take(dir, &path, file.map_err(|e| Error::io("open the lock file", &path, e))?, Purpose::Writing)
}

/// Locks a directory for reading, together with other readers. If the file is missing and cannot be created, as on a
/// read-only mount, there is no lock: no process has the directory open for writing either.
pub(in crate::engine) fn for_reading(dir: &Path) -> Result<Lock> {
    let path = dir.join("LOCK");
    let file = match is_file(&path)? {
        true => File::open(&path),
        false => File::options().create(true).truncate(false).read(true).write(true).open(&path),
    };
    match file {
        Ok(file) => take(dir, &path, file, Purpose::Reading),
        Err(e) if matches!(e.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) => {
            Ok(Lock(None))
        }
        Err(e) => Err(Error::io("open the lock file", path, e)),
    }
}

fn take(dir: &Path, path: &Path, file: File, purpose: Purpose) -> Result<Lock> {
    let process = Process::opening()?;
    let real = fs::canonicalize(path).map_err(|e| Error::io("look up", path, e))?;
    let mut all = HELD.lock();
    let taken = match purpose {
        Purpose::Writing => file.try_lock(),
        Purpose::Reading => file.try_lock_shared(),
    };
    match taken {
        Ok(()) => {
            *all.entry(real.clone()).or_default() += 1;
            drop(all);
            if purpose == Purpose::Writing {
                // On a full disk, messages will not name the process.
                let _ = file.set_len(0).and_then(|()| writeln!(&file, "{}", process.id()));
            }
            let unshared = Unshared::new(file.as_raw_fd());
            Ok(Lock(Some(Held { file, path: real, process, unshared })))
        }
        Err(TryLockError::WouldBlock) => {
            let by = match all.contains_key(&real) {
                true => "this process".to_owned(),
                false => holder(&file, purpose),
            };
            Err(Error::Locked { dir: dir.to_owned(), lock: path.to_owned(), by })
        }
        Err(TryLockError::Error(e)) => Err(Error::io("lock", path, e)),
    }
}

/// Names the other process that holds a lock.
fn holder(file: &File, purpose: Purpose) -> String {
    let is_read = purpose == Purpose::Writing && file.try_lock_shared().is_ok();
    if is_read {
        return "another process, which reads it".to_owned();
    }
    let mut text = String::new();
    let id = file.take(ID_BYTES).read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok());
    id.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(lock: Result<Lock>) -> String {
        lock.map(drop).expect_err("it is locked").to_string()
    }

    #[test]
    fn readers_share_and_exclude_a_writer() {
        let dir = tempfile::tempdir().unwrap();
        drop(for_writing(dir.path()).unwrap());
        let readers = [for_reading(dir.path()).unwrap(), for_reading(dir.path()).unwrap()];
        assert!(refusal(for_writing(dir.path())).contains("in use by this process"));
        let [first, second] = readers;
        drop(first);
        assert!(refusal(for_writing(dir.path())).contains("in use by this process"));
        drop(second);
        let writer = for_writing(dir.path()).unwrap();
        assert!(refusal(for_reading(dir.path())).contains("in use by this process"));
        drop(writer);
        drop(for_reading(dir.path()).unwrap());
    }

    #[test]
    fn the_lock_of_another_process_names_it() {
        let dir = tempfile::tempdir().unwrap();
        drop(for_writing(dir.path()).unwrap());
        let path = dir.path().join("LOCK");
        // Another open file, unknown to this module, as another process has.
        let other = File::options().read(true).write(true).open(&path).unwrap();
        other.lock().unwrap();
        std::fs::write(&path, "4711\n").unwrap();
        for refused in [for_writing(dir.path()), for_reading(dir.path())] {
            let why = refusal(refused);
            assert!(why.contains("in use by process 4711"), "{why}");
        }
        other.unlock().unwrap();
        other.lock_shared().unwrap();
        let why = refusal(for_writing(dir.path()));
        assert!(why.contains("another process, which reads it"), "{why}");
        drop(for_reading(dir.path()).unwrap());
    }

    #[test]
    fn dropping_releases_it_although_a_copy_of_the_descriptor_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let lock = for_writing(dir.path()).unwrap();
        let copy = lock.0.as_ref().unwrap().file.try_clone().unwrap();
        drop(lock);
        drop(for_writing(dir.path()).unwrap());
        drop(copy);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_directory_where_nothing_can_be_created_is_read_without_a_lock() {
        // No process can create files there, not even as root.
        assert!(for_reading(Path::new("/sys")).unwrap().0.is_none());
        assert!(for_writing(Path::new("/sys")).is_err());
    }
}
