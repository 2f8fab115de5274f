//! Lends the reserve: work that frees space on a full disk uses its blocks for a while.

use super::{Shared, State, Wal};
use crate::sync::MutexGuard;
use crate::wal::writer::Writer;

/// The blocks of the reserve while they are lent.
pub struct Loan<'w>(&'w Wal);

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let (mut state, is_held) = self.0.shared.lead(Writer::end_loan);
        state.disk_full = !is_held;
    }
}

impl Wal {
    /// Lends the blocks of the reserve to work that frees space, until the loan is dropped. Meanwhile, appends are
    /// refused as on a full disk.
    pub fn lend_reserve(&self) -> Loan<'_> {
        let (mut state, ()) = self.shared.lead(Writer::lend_reserve);
        state.disk_full = true;
        Loan(self)
    }
}

impl Shared {
    /// Changes the writer as a leader, without holding `state` meanwhile.
    fn lead<T>(&self, change: impl FnOnce(&mut Writer) -> T) -> (MutexGuard<'_, State>, T) {
        let mut state = self.idle(self.state.lock());
        state.is_led = true;
        let done = MutexGuard::unlocked(&mut state, || change(&mut self.writer.lock()));
        state.is_led = false;
        self.done.notify_all();
        (state, done)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;
    use std::sync::{Arc, OnceLock, Weak};

    use parking_lot::Mutex;

    use super::*;
    use crate::wal::fs::{RealFs, WalFile, WalFs};
    use crate::wal::ticket::NewRecord;
    use crate::wal::{Recovery, WalOptions};
    use crate::{Error, Result};

    /// Real files; records for each change of the reserve whether the log's state was unlocked meanwhile.
    #[derive(Default)]
    struct Watched {
        log: OnceLock<Weak<Shared>>,
        was_free: Mutex<Vec<bool>>,
    }

    impl std::fmt::Debug for Watched {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Watched")
        }
    }

    impl Watched {
        fn look(&self) {
            if let Some(log) = self.log.get().and_then(Weak::upgrade) {
                self.was_free.lock().push(log.state.try_lock().is_some());
            }
        }
    }

    impl WalFs for Watched {
        fn create(&self, path: &Path) -> io::Result<Box<dyn WalFile>> {
            RealFs.create(path)
        }

        fn open(&self, path: &Path) -> io::Result<Box<dyn WalFile>> {
            RealFs.open(path)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            RealFs.rename(from, to)
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            self.look();
            RealFs.remove(path)
        }

        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            RealFs.sync_dir(dir)
        }

        fn reserve(&self, path: &Path, bytes: u64) -> io::Result<()> {
            self.look();
            RealFs.reserve(path, bytes)
        }
    }

    #[test]
    fn a_loan_refuses_appends_and_keeps_no_lock_while_files_change() -> Result<()> {
        let dir = tempfile::tempdir().expect("a directory");
        let reserve = dir.path().join("reserve");
        let options = WalOptions { reserve_bytes: 64 << 10, ..WalOptions::default() };
        let fs = Arc::new(Watched::default());
        let (wal, _) = Wal::open_on(fs.clone(), dir.path(), options, Recovery::Refuse, 0, &mut |_| Ok(()))?;
        fs.log.set(Arc::downgrade(&wal.shared)).expect("set once");
        let append = || wal.append_all(&[NewRecord { kind: 0, parts: [b"x", &[], &[], &[]] }], wal.term());
        let lent = wal.lend_reserve();
        assert!(!reserve.exists() && wal.stats().disk_full);
        assert!(matches!(append(), Err(Error::DiskFull { .. })));
        drop(lent);
        assert!(reserve.exists() && !wal.stats().disk_full);
        append()?;
        wal.sync()?;
        assert_eq!(*fs.was_free.lock(), [true, true], "removed, and restored");
        Ok(())
    }
}
