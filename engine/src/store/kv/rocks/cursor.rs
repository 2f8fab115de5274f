//! A cursor that keeps the database open.
//!
//! RocksDB's iterator borrows the database. A cursor may be kept by a view while the database is closed through another
//! handle, so it holds the database together with the iterator.

use std::sync::Arc;

use rocksdb::{DBRawIterator, ReadOptions};

use super::{Open, unreadable};
use crate::store::kv::{Cursor, Family};
use crate::{Error, Result};

pub(super) struct RocksCursor {
    /// `None` if the database was closed before. Declared, and so dropped, before the database.
    inner: Option<DBRawIterator<'static>>,
    _open: Option<Arc<Open>>,
}

impl RocksCursor {
    #[expect(unsafe_code, reason = "the iterator borrows what is kept beside it")]
    pub(super) fn new(open: &Arc<Open>, family: Family, mut options: ReadOptions) -> Self {
        options.set_verify_checksums(true);
        let inner = open.db.raw_iterator_cf_opt(open.family(family), options);
        // SAFETY: only the lifetime changes, from a borrow of `open.db` to 'static. The database stays at its place in
        // the `Arc`, which the cursor holds for as long as the iterator: fields drop in the order of their declaration,
        // and neither of them is handed out.
        let inner = unsafe { std::mem::transmute::<DBRawIterator<'_>, DBRawIterator<'static>>(inner) };
        RocksCursor { inner: Some(inner), _open: Some(open.clone()) }
    }

    /// A cursor over a closed database: every step returns [`Error::Closed`].
    pub(super) fn closed() -> Self {
        RocksCursor { inner: None, _open: None }
    }

    fn inner(&mut self) -> Result<&mut DBRawIterator<'static>> {
        self.inner.as_mut().ok_or(Error::Closed)
    }
}

fn check(inner: &DBRawIterator<'_>) -> Result<()> {
    // Only an iterator that stopped can have met an error.
    if inner.valid() {
        return Ok(());
    }
    inner.status().map_err(unreadable("read the store"))
}

impl Cursor for RocksCursor {
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        let inner = self.inner()?;
        inner.seek(key);
        check(inner)
    }

    fn advance(&mut self) -> Result<()> {
        let inner = self.inner()?;
        // Past the end this does nothing.
        inner.next();
        check(inner)
    }

    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.inner.as_ref()?.item()
    }
}
