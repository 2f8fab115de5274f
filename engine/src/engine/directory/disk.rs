//! A full disk: work that frees space may use reserved blocks.
//!
//! Expiring partitions, applying deletes and opening write a little before they free much: a record of the MANIFEST, a
//! table of the catalogue. Without any free block they could not begin, and no space would ever be freed. So the log's
//! reserve is lent to them. The log itself may have used it up, so the file `DIR/reserve` reserves a few blocks that
//! only they use.
//!
//! The reserves grow with the data up to their limits ([`crate::wal::reserve_for`]).

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::base::Base;
use crate::engine::jobs::Jobs;
use crate::store::versions::Versions;
use crate::wal::Wal;
use crate::{Error, Options, Result};

/// Less free space than this counts as none. It is several times what RocksDB writes for a change of the catalogue.
const SCARCE_BYTES: u64 = 4 << 20;
/// Maximum size of `DIR/reserve`, bytes. If the log has no reserve, there is none.
const RESERVE_BYTES_MAX: u64 = 4 << 20;
/// Minimum size, unless the log's reserve is smaller. Together with the log's reserve it is the space of a memtable,
/// which a full RocksDB needs to resume.
const RESERVE_BYTES_MIN: u64 = 32 << 10;
/// The size of an empty database on disk without the reserves, bytes.
const EMPTY_BYTES: u64 = 4 << 20;
/// How long to wait for RocksDB to notice free space: it checks every few seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// The free space for us on the file system of `dir`, and its size, bytes. `None` if the system does not report them.
fn space(dir: &Path) -> Option<(u64, u64)> {
    let found = rustix::fs::statvfs(dir).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some((bytes(found.f_bavail), bytes(found.f_blocks)))
}

/// Whether an opening needs the reserve. The blocks are reserved again as soon as there is enough space.
pub(in crate::engine) fn is_scarce(dir: &Path) -> bool {
    space(dir).is_some_and(|(free, _)| free < SCARCE_BYTES)
}

/// The size of `DIR/reserve` for a log with a reserve of `log` bytes.
fn store_reserve(log: u64) -> u64 {
    (log / 4).clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX).min(log)
}

/// Reserves the blocks of `DIR/reserve`, unless they are reserved already or not available.
fn hold_reserve(dir: &Path, bytes: u64) {
    let path = dir.join("reserve");
    // A process that ended before it had the blocks leaves an empty file.
    let is_held = |found: std::fs::Metadata| found.len() == bytes && found.blocks() * 512 >= bytes;
    if bytes == 0 || path.metadata().is_ok_and(is_held) {
        return;
    }
    let Ok(file) = File::create(&path) else { return };
    let flags = rustix::fs::FallocateFlags::empty();
    if rustix::fs::fallocate(&file, flags, 0, bytes).is_err() {
        // Missing, or not supported by this file system: then there is no reserve.
        let _ = std::fs::remove_file(&path);
    }
}

/// Frees the blocks of all reserves of a directory that is about to be opened. Returns false if there are none.
pub(in crate::engine) fn give_up_reserves(dir: &Path) -> bool {
    let log = crate::wal::give_up_reserve(&dir.join("wal"));
    std::fs::remove_file(dir.join("reserve")).is_ok() || log
}

/// Refuses a disk that is smaller than the reserves: every write would be refused as on a full disk, forever.
///
/// # Errors
/// [`Error::Option`] with both numbers.
pub(in crate::engine) fn check_size(dir: &Path, options: &Options) -> Result<()> {
    let needed =
        options.wal_reserve_bytes.saturating_add(store_reserve(options.wal_reserve_bytes) + EMPTY_BYTES);
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

/// Owner of the directory of an open database, and of the blocks reserved in it.
pub(in crate::engine) struct Disk {
    /// `None` for a database in memory.
    dir: Option<PathBuf>,
    log: Option<Arc<Wal>>,
    versions: Arc<Versions>,
    jobs: Arc<Jobs>,
}

impl Disk {
    pub fn new(base: &Base) -> Self {
        let Base { dir, log, versions, jobs, .. } = base;
        Disk { dir: dir.clone(), log: log.clone(), versions: versions.clone(), jobs: jobs.clone() }
    }

    /// The directory; `None` for a database in memory.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The directory and the log, if there are both.
    fn written(&self) -> Option<(&Path, &Wal)> {
        self.dir().zip(self.log.as_deref())
    }

    /// Runs work that frees space; on a full disk, with the blocks reserved by the log.
    pub fn with_room<T>(&self, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        let Some((dir, wal)) = self.written() else { return work() };
        if !is_scarce(dir) {
            return work();
        }
        let lent = wal.lend_reserve();
        // If it is missing, the log's reserve may be enough.
        let _ = std::fs::remove_file(dir.join("reserve"));
        let since = Instant::now();
        let done = loop {
            match work() {
                // RocksDB does not try again until it has noticed the space.
                Err(Error::DiskFull { .. }) if since.elapsed() < PATIENCE && !self.jobs.nap(PAUSE) => {}
                done => break done,
            }
        };
        hold_reserve(dir, store_reserve(wal.reserve_bytes()));
        drop(lent);
        done
    }

    /// Reserves released blocks again, as soon as there are some.
    pub fn hold_reserve(&self) {
        if let Some((dir, wal)) = self.written() {
            hold_reserve(dir, store_reserve(wal.reserve_bytes()));
        }
    }

    /// Makes the reserves as large as the present amount of data.
    pub fn grow_reserves(&self) {
        if let Some(wal) = &self.log {
            wal.set_stored_bytes(self.versions.current().generations.totals().bytes);
            self.hold_reserve();
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
        hold_reserve(dir.path(), RESERVE_BYTES_MAX);
        // If the file system guarantees no blocks, the file is removed.
        assert!(path.metadata().is_ok_and(|found| found.len() == RESERVE_BYTES_MAX) || !path.exists());
        assert!(give_up_reserves(dir.path()) || !path.exists());
    }

    #[test]
    fn the_reserves_are_as_large_as_the_data_up_to_their_limits() {
        let of = |data, max| {
            let log = crate::wal::reserve_for(data, max);
            (log, store_reserve(log))
        };
        assert_eq!(of(0, 16 << 20), (0, 0));
        assert_eq!(of(1, 16 << 20), (16 << 10, 16 << 10));
        assert_eq!(of(100_000, 16 << 20), (64 << 10, 32 << 10));
        assert_eq!(of(5 << 20, 16 << 20), (4 << 20, 1 << 20));
        assert_eq!(of(20 << 20, 16 << 20), (16 << 20, 4 << 20));
        assert_eq!(of(u64::MAX, 16 << 20), (16 << 20, 4 << 20));
        assert_eq!(of(10 << 20, 0), (0, 0));
        assert_eq!(of(10 << 20, 4096), (4096, 4096));
    }

    #[cfg(feature = "rocksdb")]
    #[test]
    fn the_reserves_grow_with_the_data_and_are_there_again_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { background: false, wal_reserve_bytes: 1 << 20, ..Options::default() };
        let open = || crate::Engine::open(dir.path(), options.clone()).unwrap();
        let engine = open();
        assert_eq!(engine.stats().disk.reserve, 0);
        engine.append(&crate::engine::tests::float_batch(0, &[1, 2, 3])).unwrap();
        engine.flush().unwrap();
        assert_eq!(engine.stats().disk.reserve, 32 << 10);
        // Numbers that no codec makes smaller.
        let times: Vec<i64> = (10..100_000).map(|i: i64| i * 1_000 + i * i % 997).collect();
        engine.append(&crate::engine::tests::float_batch(1, &times)).unwrap();
        engine.flush().unwrap();
        assert_eq!(engine.stats().disk.reserve, (1 << 20) + (256 << 10));
        drop(engine);
        let again = open().stats().disk;
        assert!(again.reserve >= 64 << 10 && 2 * again.reserve >= again.tables, "{again:?}");
    }
}
