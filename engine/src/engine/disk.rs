//! A full disk: what frees space may use blocks that are held back.
//!
//! Expiring partitions, carrying out deletes and opening write a little before they free much: a record of the MANIFEST,
//! a table of the catalogue. With no block left they could not begin, and nothing would ever be freed. The log's reserve
//! is lent to them; and since the log itself may have used it up, the file `DIR/reserve` holds a few blocks back that are
//! theirs alone.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::engine::Parts;
use crate::{Error, Options, Result};

/// Less free space than this is none: what RocksDB writes for a change of the catalogue, several times over.
const SCARCE_BYTES: u64 = 4 << 20;
/// Bytes of `DIR/reserve`; none are reserved if the log reserves none.
const RESERVE_BYTES: u64 = 4 << 20;
/// Bytes of a database on an empty disk, without the reserves.
const EMPTY_BYTES: u64 = 4 << 20;
/// How long to wait for RocksDB to notice that there is space: it looks every few seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Bytes that are free for us on the file system of `dir`, and all that it has. `None` where the system does not say.
fn space(dir: &Path) -> Option<(u64, u64)> {
    let found = rustix::fs::statvfs(dir).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some((bytes(found.f_bavail), bytes(found.f_blocks)))
}

/// Whether an opening needs the reserve: the space it releases is reserved again as soon as there is enough.
pub(super) fn is_scarce(dir: &Path) -> bool {
    space(dir).is_some_and(|(free, _)| free < SCARCE_BYTES)
}

/// Holds the blocks of `DIR/reserve` back, unless they are already or cannot be had.
pub(super) fn hold_reserve(dir: &Path, options: &Options) {
    let path = dir.join("reserve");
    // A process that ended before it had the blocks leaves an empty file.
    let is_held = path.metadata().is_ok_and(|found| found.len() == RESERVE_BYTES);
    if options.wal_reserve_bytes == 0 || is_held {
        return;
    }
    let Ok(file) = File::create(&path) else { return };
    let flags = rustix::fs::FallocateFlags::empty();
    if rustix::fs::fallocate(&file, flags, 0, RESERVE_BYTES).is_err() {
        // Not there, or not promised by this file system: then there is none.
        let _ = std::fs::remove_file(&path);
    }
}

/// Frees the blocks of all reserves of a directory that is about to be opened; false if there are none.
pub(super) fn give_up_reserves(dir: &Path) -> bool {
    let log = crate::wal::give_up_reserve(&dir.join("wal"));
    std::fs::remove_file(dir.join("reserve")).is_ok() || log
}

/// Refuses a disk that is smaller than the reserves: every write would be refused as on a full disk, for ever.
///
/// # Errors
/// [`Error::Option`] with both numbers.
pub(super) fn check_size(dir: &Path, options: &Options) -> Result<()> {
    let needed = options.wal_reserve_bytes.saturating_add(RESERVE_BYTES + EMPTY_BYTES);
    match space(dir) {
        Some((_, total)) if total < needed && options.wal_reserve_bytes > 0 => Err(Error::Option {
            name: "wal_reserve_bytes",
            reason: format!(
                "the file system of {} has {total} bytes in total, fewer than the {needed} that an empty database needs, {} \
                 of them held back for a full disk; choose a larger file system",
                dir.display(),
                options.wal_reserve_bytes
            ),
        }),
        _ => Ok(()),
    }
}

impl Parts {
    /// Does what frees space, on a full disk with the blocks that the log holds back.
    pub(super) fn with_room<T>(&self, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        let (Some(dir), Some(wal)) = (&self.dir, &self.wal) else { return work() };
        if !is_scarce(dir) {
            return work();
        }
        let lent = wal.lend_reserve();
        // Where it is gone already, the log's may be enough.
        let _ = std::fs::remove_file(dir.join("reserve"));
        let since = Instant::now();
        let done = loop {
            match work() {
                // RocksDB does not try again before it has seen the space.
                Err(Error::DiskFull { .. }) if since.elapsed() < PATIENCE && !self.nap(PAUSE, |_| false) => {}
                done => break done,
            }
        };
        hold_reserve(dir, &self.options);
        drop(lent);
        done
    }

    /// Holds blocks back again that were given up, as soon as there are some.
    pub(super) fn hold_reserve(&self) {
        if let Some(dir) = self.dir.as_deref().filter(|_| !self.read_only) {
            hold_reserve(dir, &self.options);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_without_blocks_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reserve");
        File::create(&path).unwrap();
        hold_reserve(dir.path(), &Options::default());
        // If the file system guarantees no blocks, the file is removed.
        assert!(path.metadata().is_ok_and(|found| found.len() == RESERVE_BYTES) || !path.exists());
        assert!(give_up_reserves(dir.path()) || !path.exists());
    }
}
