//! The handle, through which a program uses the engine and the query language.

mod kept;
mod query;
mod read;
mod upkeep;
mod write;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use barograph_engine::model::Tenant;
use barograph_engine::{Engine, Options};

use crate::Result;

/// An open database. Clones share it. [`Database::close`] closes it for all of them and unlocks the directory; so does
/// dropping the last one, without a flush.
///
/// A handle may belong to a tenant ([`Database::for_tenant`]): it reads, deletes and writes only that tenant's series.
#[derive(Clone)]
pub struct Database {
    pub(crate) engine: Arc<Engine>,
    pub(crate) tenant: Option<Arc<Tenant>>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the database in `dir` with default options, or creates it.
    ///
    /// ```
    /// use barograph::Database;
    /// # fn main() -> barograph::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// # let directory = dir.path().join("data");
    /// let db = Database::open(&directory)?;
    /// db.close()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The directory is in use, damaged, from a newer version, or cannot be written. A build without the feature
    /// `rocksdb` returns [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported); it has [`Database::in_memory`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Database> {
        Self::open_with(dir, Options::default())
    }

    /// Opens the database in `dir`, or creates it.
    ///
    /// ```
    /// # fn main() -> barograph::Result<()> {
    /// use barograph::{Database, Durability, Options};
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// let options = Options::default().with_durability(Durability::Off).with_memory_bytes(64 << 20);
    /// let db = Database::open_with(dir.path(), options)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Same as [`Database::open`]; also if an option is out of range.
    pub fn open_with(dir: impl AsRef<Path>, options: Options) -> Result<Database> {
        Ok(Self::over(Engine::open(dir, options)?))
    }

    /// Opens an existing database for reading; nothing in the directory changes.
    ///
    /// ```
    /// use barograph::{Database, Options, Timestamp};
    /// # fn main() -> barograph::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// # let directory = dir.path().join("data");
    /// # Database::open(&directory)?.close()?;
    /// let db = Database::open_read_only(&directory, Options::default())?;
    /// assert!(db.query("cpu_usage", Timestamp::now())?.value.into_vector().unwrap_or_default().is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// There is no database, or it is in use or damaged; without the feature `rocksdb`, same as [`Database::open`].
    pub fn open_read_only(dir: impl AsRef<Path>, options: Options) -> Result<Database> {
        Ok(Self::over(Engine::open_read_only(dir, options)?))
    }

    /// Creates a database in memory. Its data is lost when it is dropped.
    ///
    /// ```
    /// use barograph::{Database, Options, Timestamp};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default().with_memory_bytes(64 << 20))?;
    /// assert_eq!(db.query("1 + 1", Timestamp::now())?.value.into_scalar(), Some(2.0));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// An option is out of range.
    pub fn in_memory(options: Options) -> Result<Database> {
        Ok(Self::over(Engine::in_memory(options)?))
    }

    fn over(engine: Engine) -> Database {
        Database { engine: Arc::new(engine), tenant: None }
    }

    /// Flushes, stops the background work, closes all files and unlocks the directory, even if clones and readers
    /// remain. Reads and writes in progress complete, and closing waits for them. Later calls through any handle or
    /// reader fail with [`ErrorKind::Closed`](crate::ErrorKind::Closed); [`Database::stats`], [`Database::health`] and
    /// other figures are still available.
    ///
    /// ```
    /// # fn main() -> barograph::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// use barograph::{Database, ErrorKind};
    /// let db = Database::open(dir.path())?;
    /// let other = db.clone();
    /// db.close()?;
    /// assert_eq!(other.flush().unwrap_err().kind(), ErrorKind::Closed);
    /// let again = Database::open(dir.path())?;
    /// # again.close()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The last flush failed; nothing acknowledged is lost. Or an append that was begun, and that nothing waited for,
    /// could not be stored. [`ErrorKind::StillInUse`](crate::ErrorKind::StillInUse) if reads are still in progress
    /// after ten seconds, or in the calling thread, such as in the closure of an export: the directory is unlocked when
    /// the last of them ends.
    pub fn close(&self) -> Result<()> {
        Ok(self.engine.close()?)
    }
}
