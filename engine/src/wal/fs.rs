//! The few file operations that modify a log, behind a trait so that tests can make any of them fail.
//!
//! Reading is not included: a failed read changes nothing.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

#[cfg(test)]
pub(crate) mod faulty;
#[cfg(test)]
pub(crate) mod simulated;

#[cfg(test)]
thread_local! {
    static NEXT: std::cell::RefCell<Option<std::sync::Arc<dyn WalFs>>> = const { std::cell::RefCell::new(None) };
}

/// The file system of this thread's next log, if a test has set one.
#[cfg(test)]
pub(super) fn take_next() -> Option<std::sync::Arc<dyn WalFs>> {
    NEXT.take()
}

#[cfg(test)]
fn set_next(fs: std::sync::Arc<dyn WalFs>) {
    NEXT.set(Some(fs));
}

/// A file open for writing.
pub(super) trait WalFile: Send + Sync + fmt::Debug {
    /// Writes some of `bytes` at `offset` and returns their number.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Truncates or extends the file to `length` bytes.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Makes the content durable.
    fn sync(&self) -> io::Result<()>;
    /// Whether `path` still names this file. False if the file was deleted, or its directory was deleted or moved.
    fn is_at(&self, path: &Path) -> bool;
}

/// Operations on a directory.
pub(super) trait WalFs: Send + Sync + fmt::Debug {
    /// Creates an empty file, replacing an existing one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WalFile>>;
    /// Opens an existing file.
    fn open(&self, path: &Path) -> io::Result<Box<dyn WalFile>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Creates a file of `bytes` bytes with allocated blocks, or no file.
    fn reserve(&self, path: &Path, bytes: u64) -> io::Result<()>;
}

/// Writes all of `bytes` at `offset`. The progress is recorded in `written`; another call continues from there.
pub(super) fn write_all_at(
    file: &dyn WalFile,
    bytes: &[u8],
    offset: u64,
    written: &mut usize,
) -> io::Result<()> {
    while *written < bytes.len() {
        match file.write_at(&bytes[*written..], offset + *written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The operating system's files.
#[derive(Debug)]
pub(super) struct RealFs;

impl WalFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn is_at(&self, path: &Path) -> bool {
        let identity = |found: fs::Metadata| (found.dev(), found.ino());
        match (self.metadata(), fs::metadata(path)) {
            (Ok(own), Ok(found)) => identity(own) == identity(found),
            (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
            // A process that has dropped its privileges may not have access any more.
            (Err(_), Ok(_)) => true,
        }
    }
}

/// Creates an empty file. Never opens an existing one: it may be a FIFO, which would block.
fn create_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        result => result,
    }
}

impl WalFs for RealFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WalFile>> {
        Ok(Box::new(create_file(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn WalFile>> {
        Ok(Box::new(OpenOptions::new().write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn reserve(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = create_file(path)?;
        let result = match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::OPNOTSUPP) => fill(&file, bytes),
            result => result.map_err(io::Error::from),
        };
        if result.is_err() {
            fs::remove_file(path)?;
        }
        result
    }
}

/// Allocates blocks by writing to them, for file systems that cannot reserve any.
fn fill(file: &File, bytes: u64) -> io::Result<()> {
    const STEP: u64 = 1 << 20;
    let zeros = vec![0; STEP as usize];
    for offset in (0..bytes).step_by(STEP as usize) {
        let count = STEP.min(bytes - offset) as usize;
        file.write_all_at(&zeros[..count], offset)?;
    }
    file.sync_data()
}
