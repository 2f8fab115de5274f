//! A directory that is not open: its store, and whether opening would succeed.

use std::path::Path;
use std::sync::Arc;

use crate::Result;
use crate::engine::notes;
use crate::engine::open::inventory::Inventory;
use crate::engine::open::replay::Replay;
use crate::options::Options;
use crate::store::catalogue::Catalogue;
use crate::store::kv::{self, Kv, StoreSettings};
use crate::wal::Recovery;

/// Opens the store of a directory.
///
/// # Errors
/// It is damaged, or in use, or this build has no store for directories.
pub(in crate::engine) fn open_store(dir: &Path, options: &Options, read_only: bool) -> Result<Arc<dyn Kv>> {
    kv::open(StoreSettings {
        dir: dir.join("store"),
        staging: dir.join("staging"),
        cache_bytes: options.cache_bytes(),
        open_timeout: options.open_timeout,
        read_only,
    })
}

/// Why opening `dir` over this store would fail. Checks the same as [`Engine::open`], without changing anything.
pub(in crate::engine) fn judge(
    dir: &Path,
    kv: &dyn Kv,
    catalogue: &Catalogue,
    options: &Options,
) -> Result<()> {
    let mut damaged = Inventory::take(kv, catalogue)?.damaged;
    if let Some((_, damage)) = damaged.pop_first().filter(|_| options.refuse_damaged_store) {
        return Err(damage);
    }
    let mut replay = Replay::new(catalogue, options);
    notes::load(kv, replay.head())?;
    let place = dir.join("wal");
    crate::wal::read(&place, Recovery::Refuse, catalogue.root.flushed_seq, &mut |r| replay.apply(&place, r))?;
    Ok(())
}
