//! Opening: lock, check, recover.
//!
//! # Layout of a data directory
//! ```text
//! LOCK       held while a process has the directory open
//! FORMAT     one line, "barograph 1": the version of this layout
//! reserve    blocks held back for a full disk (`disk.rs`)
//! wal/       the write-ahead log
//! store/     the key-value store
//! staging/   tables under construction; emptied at each start
//! ```
//!
//! # Steps
//! Take the lock; check the format; open the store; read the catalogue; remove ranges that it does not name; report
//! generations without data; replay the WAL after `flushed_seq` into the head. The work depends on the size of the WAL,
//! which the options bound, and not on the size of the store.

mod assemble;
pub(in crate::engine) mod closed;
pub(in crate::engine) mod inventory;
pub(in crate::engine) mod repair;
pub(in crate::engine) mod replay;
pub(in crate::engine) mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::{Clock, SystemClock};
use crate::engine::directory::disk;
use crate::engine::directory::lock::Lock;
use crate::engine::directory::{self, Use};
use crate::engine::open::assemble::{Opened, assemble, in_effect};
use crate::engine::open::closed::open_store;
use crate::engine::open::inventory::Inventory;
use crate::engine::open::replay::Replay;
use crate::engine::{Engine, notes};
use crate::options::{Durability, Options};
use crate::process::Process;
use crate::store::catalogue::{Catalogue, Obsolete};
use crate::store::guard::GuardedKv;
use crate::store::kv::{self, Kv};
use crate::store::memory::MemoryKv;
use crate::store::versions::{Edit, remove_ranges};
use crate::wal::{Recovery, ReplayReport, SyncPolicy, Wal, WalOptions};
use crate::{Error, Result};

/// The number of generation numbers that are skipped if leftovers stay: more than a crash can have left.
const NUMBERS_PASSED: u64 = 1 << 32;
/// The findings of opening.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct OpenReport {
    /// Number of samples replayed from the WAL.
    pub samples_replayed: u64,
    /// Number of samples in the WAL that were dropped because the definitions of their series were lost in a damaged
    /// part.
    pub samples_unknown: u64,
    /// Number of removed ranges that a crash had left behind.
    pub leftovers_removed: u64,
    /// The findings of the replay; `None` for a database in memory.
    pub wal: Option<ReplayReport>,
    /// How long opening took.
    pub open_time: Duration,
}

impl Engine {
    /// Opens the database in `dir`, or creates it.
    ///
    /// # Errors
    /// The directory is in use, damaged, from a newer version, or cannot be written; [`Error::Unsupported`] in a build
    /// without the feature `rocksdb`.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Engine> {
        Self::open_with_clock(dir, options, Arc::new(SystemClock))
    }

    /// Same as [`Engine::open`], with the caller's clock.
    ///
    /// # Errors
    /// Same as [`Engine::open`].
    pub fn open_with_clock(dir: impl AsRef<Path>, options: Options, clock: Arc<dyn Clock>) -> Result<Engine> {
        kv::supported()?;
        let dir = &directory::absolute(dir.as_ref())?;
        options.validate()?;
        // Before anything is touched.
        Process::opening()?;
        let lock = directory::prepare(dir)?;
        disk::check_size(dir, &options)?;
        if disk::is_scarce(dir) && disk::give_up_reserves(dir) {
            tracing::warn!(dir = %dir.display(), "the disk is full: opening uses the space reserved for this case");
        }
        let kv = open_store(dir, &options, false)?;
        Self::start(Some((dir.to_owned(), lock)), kv, options, clock)
    }

    /// Opens an existing database for reading. Nothing in the directory changes, and the WAL is replayed into memory.
    /// No process may have it open for writing. With [`Options::recover_damaged_wal`], damage in the log is not an
    /// error: the intact part is read, and [`OpenReport::wal`] describes the rest.
    ///
    /// # Errors
    /// Same as [`Engine::open`]; there is no database.
    pub fn open_read_only(dir: impl AsRef<Path>, options: Options) -> Result<Engine> {
        kv::supported()?;
        let dir = &directory::absolute(dir.as_ref())?;
        options.validate()?;
        let process = Process::opening()?;
        let options = Options { background: false, ..options };
        let lock = directory::lock_existing(dir, Use::Read)?;
        let guard = GuardedKv::new(open_store(dir, &options, true)?);
        let kv: Arc<dyn Kv> = guard.clone();
        let started = Instant::now();
        let obsolete = Arc::new(Obsolete::default());
        let mut catalogue = Catalogue::load(&*kv, &obsolete)?.ok_or_else(|| Error::Corrupt {
            file: dir.join("store").display().to_string(),
            offset: 0,
            what: "the store has no catalogue".to_owned(),
        })?;
        let mut inventory = Inventory::take(&*kv, &catalogue)?;
        inventory.set_aside(&mut catalogue, options.refuse_damaged_store)?;
        let options = in_effect(options, &catalogue);
        let mut replay = Replay::new(&catalogue, &options);
        notes::load(&*kv, replay.head())?;
        let place = dir.join("wal");
        let found = crate::wal::read(&place, recovery(&options), catalogue.root.flushed_seq, &mut |r| {
            replay.apply(&place, r)
        })?;
        let replay = replay.finish();
        let report = OpenReport { wal: Some(found), ..OpenReport::default() };
        let (dir, lock, clock) = (Some(dir.to_owned()), Some(lock), Arc::new(SystemClock));
        Ok(assemble(Opened {
            process,
            is_read_only: true,
            dir,
            lock,
            wal: None,
            options,
            clock,
            obsolete,
            catalogue,
            replay,
            report,
            started,
            kv: guard,
        }))
    }

    /// Creates a database in memory, whose data is lost when it is dropped. For tests, and for embedders that only need
    /// queries.
    ///
    /// # Errors
    /// An option is out of range.
    pub fn in_memory(options: Options) -> Result<Engine> {
        options.validate()?;
        Self::start(None, Arc::new(MemoryKv::default()), options, Arc::new(SystemClock))
    }

    /// Opens a directory for the WAL over a store that the caller keeps. Tests use this to crash and reopen without the
    /// files of a real store.
    ///
    /// # Errors
    /// Same as [`Engine::open`].
    pub fn open_over(dir: &Path, kv: Arc<dyn Kv>, options: Options, clock: Arc<dyn Clock>) -> Result<Engine> {
        options.validate()?;
        let dir = &directory::absolute(dir)?;
        let lock = directory::prepare(dir)?;
        Self::start(Some((dir.to_owned(), lock)), kv, options, clock)
    }

    fn start(
        place: Option<(PathBuf, Lock)>,
        kv: Arc<dyn Kv>,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Engine> {
        let (process, started) = (Process::opening()?, Instant::now());
        let guard = GuardedKv::new(kv);
        let kv: Arc<dyn Kv> = guard.clone();
        let obsolete = Arc::new(Obsolete::default());
        let mut catalogue = load_or_create(&*kv, &obsolete, &options, &*clock)?;
        let mut inventory = Inventory::take(&*kv, &catalogue)?;
        inventory.set_aside(&mut catalogue, options.refuse_damaged_store)?;
        if inventory.is_incomplete {
            // Leftovers of a crash may be in the unreadable part: nothing may be written under the same numbers.
            catalogue.root.next_generation += NUMBERS_PASSED;
        }
        catalogue.root.next_generation = beyond_leftovers(catalogue.root.next_generation, &inventory);
        let mut report = OpenReport {
            leftovers_removed: remove_leftovers(&*kv, &catalogue, inventory)?,
            ..OpenReport::default()
        };
        fail_point!("open.leftovers");
        let (dir, lock) = place.unzip();
        let options = in_effect(options, &catalogue);
        let mut replay = Replay::new(&catalogue, &options);
        notes::load(&*kv, replay.head())?;
        let wal = match &dir {
            Some(dir) => {
                let (wal, found) = open_wal(dir, &options, &catalogue, &mut replay)?;
                report.wal = Some(found);
                Some(wal)
            }
            None => None,
        };
        fail_point!("open.replayed");
        let replay = replay.finish();
        let engine = assemble(Opened {
            process,
            is_read_only: false,
            dir,
            lock,
            wal,
            options,
            clock,
            obsolete,
            catalogue,
            replay,
            report,
            started,
            kv: guard,
        });
        engine.shared.disk.hold_reserve();
        if engine.options().background {
            engine.shared.catch_up_at_open();
        }
        engine.start_workers()?;
        Ok(engine)
    }
}

fn load_or_create(
    kv: &dyn Kv,
    obsolete: &Arc<Obsolete>,
    options: &Options,
    clock: &dyn Clock,
) -> Result<Catalogue> {
    if let Some(catalogue) = Catalogue::load(kv, obsolete)? {
        return Ok(catalogue);
    }
    // The id only distinguishes segments of different databases. The time of creation and the process make it unique.
    let id = (clock.now() as u64).rotate_left(20) ^ u64::from(std::process::id());
    let catalogue = Catalogue::new(id, options.layout());
    kv.commit(Edit::default().changes(&catalogue.root, &[])?)?;
    fail_point!("open.catalogue");
    Ok(catalogue)
}

/// The next generation number. Removed keys may reappear after a crash and must not be among those of another
/// generation. A number that no crash can have left is ignored: the numbers after it would wrap around and be used
/// twice.
fn beyond_leftovers(next: u64, inventory: &Inventory) -> u64 {
    let left = inventory.leftovers.iter().flat_map(|(_, leftovers)| leftovers).map(|l| l.generation);
    let possible = left.filter(|number| *number < next.saturating_add(NUMBERS_PASSED));
    possible.map(|number| number + 1).fold(next, u64::max)
}

/// Removes every range that the catalogue does not name. Returns their number.
fn remove_leftovers(kv: &dyn Kv, catalogue: &Catalogue, inventory: Inventory) -> Result<u64> {
    let mut removed = 0;
    for (family, leftovers) in inventory.leftovers {
        let stay = remove_ranges(kv, catalogue, &[family], &leftovers)?;
        removed += (leftovers.len() - stay.len()) as u64;
        fail_point!("open.leftover");
    }
    Ok(removed)
}

fn recovery(options: &Options) -> Recovery {
    if options.recover_damaged_wal { Recovery::Skip } else { Recovery::Refuse }
}

fn open_wal(
    dir: &Path,
    options: &Options,
    catalogue: &Catalogue,
    replay: &mut Replay,
) -> Result<(Wal, ReplayReport)> {
    let wal_options = WalOptions {
        segment_bytes: options.wal_segment_bytes,
        reserve_bytes: options.wal_reserve_bytes,
        stored_bytes: catalogue.generations.totals().bytes,
        buffer_bytes: usize::try_from(options.log_bytes_max()).unwrap_or(usize::MAX),
        sync: match options.durability {
            Durability::Always => SyncPolicy::Always,
            Durability::Interval(every) => SyncPolicy::Interval(every),
            Durability::Off => SyncPolicy::Off,
        },
    };
    let place = dir.join("wal");
    Wal::open(&place, wal_options, recovery(options), catalogue.root.flushed_seq, &mut |record| {
        replay.apply(&place, record)
    })
}
