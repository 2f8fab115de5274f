//! Opens, checks and repairs data directories for the commands. A program built without RocksDB supports only databases
//! in memory: these calls return `barograph::ErrorKind::Unsupported`.

use std::path::Path;

use barograph::{Database, Options, RepairReport, VerifyReport};

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
