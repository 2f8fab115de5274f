//! Repairing a store that does not open, without opening it.

use std::path::PathBuf;

/// The findings of a repair, and what it did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairReport {
    /// The damage, and its repair. Empty if there is none that a repair handles.
    pub faults: Vec<String>,
    /// The files with the removed data; empty for a trial.
    pub kept: Vec<PathBuf>,
    /// Damage that cannot be repaired. The database opens without the damaged parts.
    pub left: Vec<String>,
}

impl super::Engine {
    /// Finds damage that prevents the store of a directory from opening, and repairs it if `apply` is set; otherwise
    /// nothing changes. Opening for writing makes the same repairs. The directory must not be open anywhere.
    ///
    /// # Errors
    /// The directory is in use, the MANIFEST is damaged beyond repair, or a file cannot be read or written;
    /// [`crate::Error::Unsupported`] in a build without the feature `rocksdb`.
    pub fn repair_dir(dir: &std::path::Path, apply: bool) -> crate::Result<RepairReport> {
        use crate::engine::directory::Use;
        crate::store::kv::supported()?;
        let purpose = if apply { Use::Repair } else { Use::Read };
        let _lock = crate::engine::directory::lock_existing(dir, purpose)?;
        let mut report = RepairReport::default();
        let store = dir.join("store");
        let mut is_torn = false;
        crate::store::manifest::check(&store)?;
        if let Some(found) = crate::store::manifest::torn::find(&store)? {
            report.faults.push(format!(
                "{}; the record is removed, and the log has the samples of these tables",
                found.describe()
            ));
            is_torn = !apply;
            if apply {
                report.kept.push(found.take_off()?);
            }
        }
        if !is_torn {
            report.left = damaged_generations(dir)?;
        }
        Ok(report)
    }
}

fn damaged_generations(dir: &std::path::Path) -> crate::Result<Vec<String>> {
    use crate::engine::open::inventory::Inventory;
    use crate::store::catalogue::Catalogue;

    let kv = crate::engine::open::closed::open_store(dir, &crate::Options::default(), true)?;
    let Some(mut catalogue) = Catalogue::load(&*kv, &std::sync::Arc::default())? else {
        return Ok(Vec::new());
    };
    Inventory::take(&*kv, &catalogue)?.set_aside(&mut catalogue, false)?;
    let damage = catalogue.damage_in(crate::model::TimeRange::ALL).map(|(_, damage)| damage.to_string());
    Ok(damage.collect())
}
