//! Lends the reserve: work that frees space on a full disk uses its blocks temporarily.

use super::{Shared, State, Wal};
use crate::sync::MutexGuard;
use crate::wal::reserve_for;
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
    /// Lends the blocks of the reserve to work that frees space, until the loan is dropped. During that time, appends
    /// are refused as on a full disk.
    pub fn lend_reserve(&self) -> Loan<'_> {
        let (mut state, ()) = self.shared.lead(Writer::lend_reserve);
        state.disk_full = true;
        Loan(self)
    }

    /// Sets the number of bytes that the caller stores elsewhere; the reserve grows with it.
    pub fn set_stored_bytes(&self, bytes: u64) {
        let mut state = self.shared.idle(self.shared.state.lock());
        state.stored_bytes = bytes;
        state.is_led = true;
        self.shared.grow_reserve(&mut state);
        state.is_led = false;
        self.shared.done.notify_all();
    }

    /// The intended size of the reserve for the present amount of data.
    pub fn reserve_bytes(&self) -> u64 {
        self.shared.state.lock().reserve_bytes
    }
}

impl Shared {
    /// Makes the reserve as large as the data, if the disk has the blocks. The reserve becomes smaller only when the
    /// log is opened. The caller is the leader.
    pub(super) fn grow_reserve(&self, state: &mut MutexGuard<'_, State>) {
        let data = state.stored_bytes.saturating_add(state.size_bytes());
        let wanted = reserve_for(data, self.options.reserve_bytes);
        if wanted <= state.reserve_bytes || state.is_closed {
            return;
        }
        let grown = MutexGuard::unlocked(state, || self.writer.lock().grow_reserve(wanted));
        if let Some(is_held) = grown {
            // Blocks that are not available now are requested again when the data has doubled.
            state.reserve_bytes = wanted;
            state.disk_full |= !is_held;
        }
    }

    /// Logs when the disk has become full, and when something was written after that. The caller no longer leads: what
    /// receives the message may write to this log.
    pub(super) fn log_space(&self, state: &mut MutexGuard<'_, State>, has_written: bool) {
        let is_full = state.disk_full;
        if state.is_full_logged == is_full || !(is_full || has_written) {
            return;
        }
        state.is_full_logged = is_full;
        let dir = self.dir.display();
        MutexGuard::unlocked(state, || match is_full {
            true => tracing::warn!(%dir, "the disk is full: writes are refused until there is space"),
            false => tracing::warn!(%dir, "the disk has space again: writes are accepted"),
        });
    }

    /// Changes the writer as the leader, without holding `state` at the same time.
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

    /// Real files, except that no reserve is larger than this.
    #[derive(Debug)]
    struct Small(u64);

    impl WalFs for Small {
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
            RealFs.remove(path)
        }

        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            RealFs.sync_dir(dir)
        }

        fn reserve(&self, path: &Path, bytes: u64) -> io::Result<()> {
            if bytes <= self.0 {
                return RealFs.reserve(path, bytes);
            }
            // As with real files: what was there is gone.
            let _ = RealFs.remove(path);
            Err(io::ErrorKind::StorageFull.into())
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

    #[test]
    fn the_reserve_grows_with_the_data_and_keeps_its_size_on_a_full_disk() -> Result<()> {
        let dir = tempfile::tempdir().expect("a directory");
        let held = || dir.path().join("reserve").metadata().map_or(0, |found| found.len());
        let options = WalOptions { stored_bytes: 0, ..WalOptions::default() };
        let open = || Wal::open(dir.path(), options.clone(), Recovery::Refuse, 0, &mut |_| Ok(()));
        let (wal, _) = open()?;
        assert_eq!(held(), 0, "there is nothing to protect");
        let append = |bytes: usize| {
            let payload = vec![1; bytes];
            wal.append_all(&[NewRecord { kind: 0, parts: [&payload, &[], &[], &[]] }], wal.term())?;
            wal.sync()
        };
        append(1)?;
        assert_eq!(held(), 16 << 10);
        append(70 << 10)?;
        assert_eq!((held(), wal.reserve_bytes()), (64 << 10, 64 << 10));
        wal.set_stored_bytes(100 << 10);
        assert_eq!(held(), 128 << 10);
        wal.set_stored_bytes(0);
        assert_eq!(held(), 128 << 10, "it never becomes smaller");
        let lent = wal.lend_reserve();
        wal.set_stored_bytes(200 << 10);
        assert_eq!(held(), 0, "lent blocks are not taken back");
        drop(lent);
        assert_eq!((held(), wal.stats().disk_full), (128 << 10, false));
        append(1)?;
        assert_eq!((held(), wal.stats().disk_full), (256 << 10, false));
        wal.close()?;
        drop(open()?);
        assert_eq!(held(), 64 << 10, "the log has 70 KiB");
        Ok(())
    }

    #[test]
    fn the_reserve_keeps_its_size_where_the_disk_has_no_more() -> Result<()> {
        let dir = tempfile::tempdir().expect("a directory");
        let held = || dir.path().join("reserve").metadata().map_or(0, |found| found.len());
        let options = WalOptions { reserve_bytes: 16 << 30, stored_bytes: 1, ..WalOptions::default() };
        let fs = Arc::new(Small(64 << 10));
        let (wal, _) = Wal::open_on(fs, dir.path(), options, Recovery::Refuse, 0, &mut |_| Ok(()))?;
        for stored in [64 << 10, 128 << 10, 1 << 30] {
            wal.set_stored_bytes(stored);
            assert_eq!((held(), wal.stats().disk_full), (64 << 10, false));
        }
        Ok(())
    }
}
