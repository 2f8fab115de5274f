//! Opens, checks and repairs data directories for the commands. A program built without RocksDB supports only databases in
//! memory and refuses.

use std::path::Path;

use barograph::{Database, Options, RepairReport, VerifyReport};

/// Opens the directory of the settings.
///
/// # Errors
/// Same as `barograph::Database::open_with`.
#[cfg(feature = "rocksdb")]
pub fn open(dir: &Path, options: Options) -> anyhow::Result<Database> {
    Ok(Database::open_with(dir, options)?)
}

/// Opens a directory for reading.
///
/// # Errors
/// Same as `barograph::Database::open_read_only`; a damaged log or store is refused, unless damage is allowed.
#[cfg(feature = "rocksdb")]
pub fn open_read_only(dir: &Path, allow_damage: bool) -> barograph::Result<Database> {
    let (recover_damaged_wal, refuse_damaged_store) = (allow_damage, !allow_damage);
    Database::open_read_only(dir, Options { recover_damaged_wal, refuse_damaged_store, ..Options::default() })
}

/// Reads everything in a directory and verifies every checksum.
///
/// # Errors
/// Same as `barograph::Database::verify`.
#[cfg(feature = "rocksdb")]
pub fn verify(dir: &Path) -> anyhow::Result<VerifyReport> {
    Ok(Database::verify(dir)?)
}

/// Repairs a directory whose store does not open, or reports what a repair would do.
///
/// # Errors
/// Same as `barograph::Database::repair`.
#[cfg(feature = "rocksdb")]
pub fn repair(dir: &Path, apply: bool) -> barograph::Result<RepairReport> {
    Database::repair(dir, apply)
}

#[cfg(not(feature = "rocksdb"))]
mod without_rocksdb {
    //! A build without RocksDB supports only databases in memory.
    use super::{Database, Options, Path, RepairReport, VerifyReport};
    use barograph::{Result, StorageError};

    fn refuse<T>() -> Result<T> {
        let why = "this program was built without RocksDB and opens no directory; serve --in-memory works without it";
        Err(StorageError::Invalid(why.to_owned()).into())
    }

    /// Always refuses.
    ///
    /// # Errors
    /// Always.
    pub fn open(_: &Path, _: Options) -> anyhow::Result<Database> {
        Ok(refuse()?)
    }

    /// Always refuses.
    ///
    /// # Errors
    /// Always.
    pub fn open_read_only(_: &Path, _: bool) -> Result<Database> {
        refuse()
    }

    /// Always refuses.
    ///
    /// # Errors
    /// Always.
    pub fn verify(_: &Path) -> anyhow::Result<VerifyReport> {
        Ok(refuse()?)
    }

    /// Always refuses.
    ///
    /// # Errors
    /// Always.
    pub fn repair(_: &Path, _: bool) -> Result<RepairReport> {
        refuse()
    }
}

#[cfg(not(feature = "rocksdb"))]
pub use without_rocksdb::{open, open_read_only, repair, verify};
