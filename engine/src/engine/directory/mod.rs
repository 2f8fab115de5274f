//! The data directory: its format, and its durability after a power loss. Its lock: `lock.rs`.

pub(in crate::engine) mod disk;
pub(in crate::engine) mod disk_use;
pub(in crate::engine) mod lock;
pub(in crate::engine) mod permissions;
pub(in crate::engine) mod regular;

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::engine::directory::lock::Lock;
use crate::engine::directory::regular::is_file;
use crate::{Error, Result};

/// Version of the directory's layout.
const FORMAT_VERSION: u32 = 1;

/// Creates or checks the directory and takes its lock.
pub(in crate::engine) fn prepare(dir: &Path) -> Result<Lock> {
    create(dir)?;
    let lock = lock::for_writing(dir)?;
    check_format(dir)?;
    Ok(lock)
}

/// The purpose of opening a directory that must already contain a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Use {
    Read,
    Repair,
}

/// Takes the lock of a directory that must already contain a database. Changes nothing else.
pub(in crate::engine) fn lock_existing(dir: &Path, purpose: Use) -> Result<Lock> {
    if !is_file(&dir.join("FORMAT"))? {
        return Err(Error::Invalid(format!("{}: no database here (it has no file FORMAT)", dir.display())));
    }
    let lock = match purpose {
        Use::Read => lock::for_reading(dir)?,
        Use::Repair => lock::for_writing(dir)?,
    };
    check_format(dir)?;
    Ok(lock)
}

/// The absolute path of a directory. A relative one would refer to another place after a change of the working
/// directory.
pub(in crate::engine) fn absolute(dir: &Path) -> Result<PathBuf> {
    std::path::absolute(dir).map_err(|e| Error::io("find the current directory for", dir, e))
}

/// Creates a directory and its parents durably: a power loss does not remove them.
pub(in crate::engine) fn create(dir: &Path) -> Result<()> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let missing = dir.ancestors().take_while(is_missing).count();
    fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
    fail_point!("directory.created");
    let parents = dir.ancestors().skip(1).take(missing);
    // The parent of a relative path can be empty: the current directory.
    let parents = parents.map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir });
    for parent in parents {
        match sync(parent) {
            // The directory may be writable but not readable.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {}
            synced => synced.map_err(|e| Error::io("sync", parent, e))?,
        }
    }
    Ok(())
}

/// Makes the names in a directory durable.
pub(in crate::engine) fn sync(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()?;
    #[cfg(test)]
    synced::note(dir);
    Ok(())
}

/// The directories that a thread has synced, for tests.
#[cfg(test)]
pub(in crate::engine) mod synced {
    use std::cell::RefCell;
    use std::path::{Path, PathBuf};

    thread_local! {
        static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    pub(in crate::engine) fn note(dir: &Path) {
        SYNCED.with_borrow_mut(|synced| synced.push(dir.to_owned()));
    }

    /// Those since the last call, in order.
    pub(crate) fn take() -> Vec<PathBuf> {
        SYNCED.take()
    }
}

fn check_format(dir: &Path) -> Result<()> {
    let path = dir.join("FORMAT");
    if !is_file(&path)? {
        if dir.join("store").exists() || dir.join("wal").exists() {
            let what = "missing although there is a store".to_owned();
            return Err(Error::Corrupt { file: path.display().to_string(), offset: 0, what });
        }
        return write_format(dir, &path).map_err(|e| Error::io("write", &path, e));
    }
    let text = fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
    match text.trim_end().strip_prefix("barograph ").and_then(|v| v.parse::<u32>().ok()) {
        Some(FORMAT_VERSION) => Ok(()),
        Some(found) if found > FORMAT_VERSION => {
            Err(Error::FutureVersion { file: path.display().to_string(), found, supported: FORMAT_VERSION })
        }
        _ => Err(Error::Corrupt {
            file: path.display().to_string(),
            offset: 0,
            what: format!("{:?}, expected \"barograph {FORMAT_VERSION}\"", text.trim_end()),
        }),
    }
}

pub(in crate::engine) fn write_format(dir: &Path, path: &Path) -> std::io::Result<()> {
    let staged = dir.join("FORMAT.new");
    let mut file = File::create(&staged)?;
    writeln!(file, "barograph {FORMAT_VERSION}")?;
    file.sync_all()?;
    fail_point!("format.staged");
    fs::rename(&staged, path)?;
    fail_point!("format.named");
    sync(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_of_what_is_created_are_synced() {
        let dir = tempfile::tempdir().unwrap();
        let (a, c) = (dir.path().join("a"), dir.path().join("a/b/c"));
        create(&c).unwrap();
        assert_eq!(synced::take(), [a.join("b"), a, dir.path().to_owned()]);
        create(&c).unwrap();
        assert!(c.is_dir() && synced::take().is_empty());
        // A new data directory, and the file that makes it one.
        drop(prepare(&dir.path().join("d/e")).unwrap());
        assert_eq!(synced::take(), ["d", "", "d/e"].map(|name| dir.path().join(name)));
    }

    #[test]
    fn a_second_opening_says_whose_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = prepare(dir.path()).unwrap();
        std::fs::create_dir(dir.path().join("inside")).unwrap();
        let other_name = dir.path().join("inside/..");
        for refused in [prepare(dir.path()), lock_existing(&other_name, Use::Read)] {
            let why = refused.map(drop).unwrap_err().to_string();
            assert!(why.contains("in use by this process"), "{why}");
        }
        drop(first);
        drop(lock_existing(dir.path(), Use::Read).unwrap());
        drop(prepare(dir.path()).unwrap());
    }

    #[test]
    #[cfg(unix)]
    fn a_fifo_in_place_of_a_file_is_refused_at_once() {
        for name in ["FORMAT", "LOCK"] {
            let dir = tempfile::tempdir().unwrap();
            drop(prepare(dir.path()).unwrap());
            let path = dir.path().join(name);
            std::fs::remove_file(&path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
            for refused in [prepare(dir.path()), lock_existing(dir.path(), Use::Read)] {
                let why = refused.map(drop).unwrap_err().to_string();
                assert!(why.contains(name) && why.contains("not a regular file"), "{why}");
            }
        }
    }
}
