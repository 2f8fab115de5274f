//! Opens, checks and repairs data directories for the commands. A program built without RocksDB supports only databases
//! in memory: these calls return `barograph::ErrorKind::Unsupported`.

use std::path::Path;
use std::time::Duration;

use barograph::{Database, Ladder, Options, RepairReport, Tiers, VerifyReport};

/// Opens the directory of the settings.
///
/// # Errors
/// Same as `barograph::Database::open_with`.
pub fn open(dir: &Path, options: Options) -> anyhow::Result<Database> {
    Ok(Database::open_with(dir, options)?)
}

/// Opens a directory for reading. Without the settings of its server, the rules of stored ladders count.
///
/// # Errors
/// Same as `barograph::Database::open_read_only`; a damaged log or store is refused, unless damage is allowed.
pub fn open_read_only(dir: &Path, allow_damage: bool) -> barograph::Result<Database> {
    let (recover_damaged_wal, refuse_damaged_store) = (allow_damage, !allow_damage);
    Database::open_read_only(
        dir,
        Options::default()
            .with_stored_kept(true)
            .with_recover_damaged_wal(recover_damaged_wal)
            .with_refuse_damaged_store(refuse_damaged_store),
    )
}

/// The stored ladders of a directory with their rules and types, which keep everything. None if the directory cannot be read: a
/// command that opens it for writing reports why.
pub fn stored_rules(dir: &Path) -> Vec<Ladder> {
    let stored = open_read_only(dir, true).ok().and_then(|database| database.stored_kept());
    let keep_all = |mut ladder: Ladder| {
        (ladder.retention, ladder.tiers) = (Duration::ZERO, Tiers::default());
        ladder
    };
    stored.map_or_else(Vec::new, |kept| kept.ladders.into_iter().map(keep_all).collect())
}

/// Reads everything in a directory and verifies every checksum.
///
/// # Errors
/// Same as `barograph::Database::verify`.
pub fn verify(dir: &Path) -> anyhow::Result<VerifyReport> {
    Ok(Database::verify(dir)?)
}

/// Repairs a directory whose store does not open, or reports what a repair would do.
///
/// # Errors
/// Same as `barograph::Database::repair`.
pub fn repair(dir: &Path, apply: bool) -> barograph::Result<RepairReport> {
    Database::repair(dir, apply)
}
