//! Opens the store of a directory. A build without the feature `rocksdb` only has stores in memory and refuses.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::store::kv::Kv;
use crate::{Error, Result};

/// How to open the store.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// The store's directory.
    pub dir: PathBuf,
    /// The directory in which tables are built before they are ingested; on the same file system.
    pub staging: PathBuf,
    /// Bytes of the block cache.
    pub cache_bytes: u64,
    /// How long opening may take.
    pub open_timeout: Duration,
    /// Open without writing anything.
    pub read_only: bool,
}

/// Whether this build has stores in directories. Checked before anything in a directory changes.
///
/// # Errors
/// [`Error::Unsupported`]: it was built without the feature `rocksdb`.
pub fn supported() -> Result<()> {
    if cfg!(feature = "rocksdb") { Ok(()) } else { Err(unsupported()) }
}

fn unsupported() -> Error {
    Error::Unsupported {
        what: "a database in a directory",
        feature: "rocksdb",
        instead: "open a database in memory",
    }
}

/// Opens the store of a directory.
///
/// # Errors
/// It is damaged, or in use, or [`supported`] refuses.
#[cfg(feature = "rocksdb")]
pub fn open(settings: StoreSettings) -> Result<Arc<dyn Kv>> {
    Ok(Arc::new(crate::store::kv::rocks::RocksKv::open(settings)?))
}

/// Opens the store of a directory.
///
/// # Errors
/// Always; same as [`supported`].
#[cfg(not(feature = "rocksdb"))]
pub fn open(_: StoreSettings) -> Result<Arc<dyn Kv>> {
    Err(unsupported())
}

#[cfg(all(test, not(feature = "rocksdb")))]
mod tests {
    use crate::{Engine, ErrorKind, Options};

    #[test]
    fn a_build_without_a_store_refuses_and_leaves_the_directory_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (place, options) = (dir.path().join("db"), Options::default());
        let refusals = [
            Engine::open(&place, options.clone()).err(),
            Engine::open_read_only(&place, options.clone()).err(),
            Engine::verify_dir(&place, &options).err(),
            Engine::repair_dir(&place, true).err(),
        ];
        for refused in refusals.map(|refused| refused.unwrap()) {
            assert_eq!(refused.kind(), ErrorKind::Unsupported);
            assert_eq!(
                refused.to_string(),
                "a database in a directory needs the feature `rocksdb`, which this build leaves out; build with it, or \
                 open a database in memory"
            );
        }
        assert!(!place.exists());
    }
}
