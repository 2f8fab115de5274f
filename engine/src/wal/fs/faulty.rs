//! A file system that fails on demand.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{RealFs, WalFile, WalFs};

/// The fault of the selected call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An I/O error, once.
    Error,
    /// An I/O error of this call and all later ones.
    ErrorForever,
    /// The disk is full from now on, until [`FaultyFs::mend`]. Only calls that need space fail.
    DiskFull,
    /// Half of a write succeeds, then the disk is full as above.
    ShortWrite,
    /// A signal. Only writes are affected.
    Interrupted,
    /// An I/O error of a sync; other calls are not counted.
    SyncError,
}

/// Real files, with a fault at the N-th call.
#[derive(Debug, Clone)]
pub(crate) struct FaultyFs {
    plan: Arc<Plan>,
}

#[derive(Default)]
struct Plan {
    on_sync: Mutex<Option<Box<dyn Fn() + Send>>>,
    fault: Mutex<Option<(Fault, u64)>>,
    /// The disk is full while this file exists; removing it frees space.
    full_beside: Mutex<Option<PathBuf>>,
    calls: AtomicU64,
    syncs: AtomicU64,
    written: AtomicU64,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("fault", &self.fault).finish_non_exhaustive()
    }
}

/// The kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Write,
    Sync,
    Other,
}

impl FaultyFs {
    /// Creates a file system in which call number `at`, from 0, has the fault `fault`.
    pub fn new(fault: Fault, at: u64) -> Self {
        let fs = FaultyFs { plan: Arc::default() };
        fs.fail(fault, at);
        fs
    }

    /// Same as [`FaultyFs::new`], for a file system in use.
    pub fn fail(&self, fault: Fault, at: u64) {
        *self.plan.fault.lock() = Some((fault, at));
    }

    /// From now on, the disk only has the space that the removal of this file frees.
    pub fn fill_up_beside(&self, file: &Path) {
        *self.plan.full_beside.lock() = Some(file.to_owned());
    }

    /// A file system that never fails and never waits for a disk, for tests that open a log thousands of times.
    pub fn sound() -> Self {
        FaultyFs::new(Fault::Error, u64::MAX)
    }

    /// Makes the log that this thread opens next use it, for tests of code that opens logs.
    pub fn take_next_log(&self) {
        super::set_next(Arc::new(self.clone()));
    }

    /// Removes the fault.
    pub fn mend(&self) {
        *self.plan.fault.lock() = None;
        *self.plan.full_beside.lock() = None;
    }

    /// Calls `hook` at each sync from now on.
    pub fn set_sync_hook(&self, hook: impl Fn() + Send + 'static) {
        *self.plan.on_sync.lock() = Some(Box::new(hook));
    }

    /// The number of calls so far that count towards the fault.
    pub fn calls(&self) -> u64 {
        self.plan.calls.load(Ordering::Relaxed)
    }

    /// The number of syncs so far.
    pub fn syncs(&self) -> u64 {
        self.plan.syncs.load(Ordering::Relaxed)
    }

    /// Bytes written since the last [`FaultyFs::forget_written`].
    pub fn written(&self) -> u64 {
        self.plan.written.load(Ordering::Relaxed)
    }

    /// Resets the count of written bytes.
    pub fn forget_written(&self) {
        self.plan.written.store(0, Ordering::Relaxed);
    }
}

impl Plan {
    /// Counts a call and fails it if it is the selected one. `Ok(true)` requests half a write.
    fn enter(&self, call: Call) -> io::Result<bool> {
        let mut slot = self.fault.lock();
        if call == Call::Sync {
            self.syncs.fetch_add(1, Ordering::Relaxed);
            if let Some(hook) = &*self.on_sync.lock() {
                hook();
            }
        }
        if call == Call::Write && self.full_beside.lock().as_ref().is_some_and(|file| file.exists()) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let Some((fault, at)) = *slot else { return Ok(false) };
        if fault == Fault::SyncError && call != Call::Sync {
            return Ok(false);
        }
        let now = self.calls.fetch_add(1, Ordering::Relaxed);
        let full = Err(io::ErrorKind::StorageFull.into());
        let broken = Err(io::Error::from_raw_os_error(5));
        match fault {
            Fault::Error | Fault::SyncError if now == at => broken,
            Fault::ErrorForever if now >= at => broken,
            Fault::DiskFull if now >= at && call == Call::Write => full,
            Fault::ShortWrite if now == at && call == Call::Write => Ok(true),
            Fault::ShortWrite if now == at => {
                *slot = Some((fault, at + 1));
                Ok(false)
            }
            Fault::ShortWrite if now > at && call == Call::Write => full,
            Fault::Interrupted if now == at && call == Call::Write => Err(io::ErrorKind::Interrupted.into()),
            _ => Ok(false),
        }
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn WalFile>,
    plan: Arc<Plan>,
}

impl WalFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let is_short = self.plan.enter(Call::Write)?;
        let count = if is_short { bytes.len().div_ceil(2) } else { bytes.len() };
        self.plan.written.fetch_add(count as u64, Ordering::Relaxed);
        self.file.write_at(&bytes[..count], offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.plan.enter(Call::Other)?;
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        // Counted and possibly failed, but not executed: tests read from the page cache in any case.
        self.plan.enter(Call::Sync).map(drop)
    }

    fn is_at(&self, path: &Path) -> bool {
        self.file.is_at(path)
    }
}

impl FaultyFs {
    fn wrap(&self, file: Box<dyn WalFile>) -> Box<dyn WalFile> {
        Box::new(FaultyFile { file, plan: Arc::clone(&self.plan) })
    }
}

impl WalFs for FaultyFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WalFile>> {
        self.plan.enter(Call::Write)?;
        Ok(self.wrap(RealFs.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn WalFile>> {
        self.plan.enter(Call::Other)?;
        Ok(self.wrap(RealFs.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.plan.enter(Call::Other)?;
        RealFs.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.plan.enter(Call::Other)?;
        RealFs.remove(path)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.plan.enter(Call::Sync).map(drop)
    }

    fn reserve(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.plan.enter(Call::Write)?;
        if self.plan.full_beside.lock().is_some() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealFs.reserve(path, bytes)
    }
}
