//! Repairing a store that does not open, without opening it.

use std::path::PathBuf;

/// What repairing found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairReport {
    /// What is wrong, and what becomes of it. Empty: nothing that a repair knows of.
    pub faults: Vec<String>,
    /// Where what was taken away is kept; empty for a trial.
    pub kept: Vec<PathBuf>,
}

#[cfg(feature = "rocksdb")]
impl super::Engine {
    /// Looks for what keeps the store of a directory from opening, and repairs it with `apply`; without it nothing
    /// changes. Opening for writing repairs the same by itself. Nobody may have the directory open.
    ///
    /// # Errors
    /// The directory is in use, the MANIFEST is damaged in a way that only a snapshot helps against, or a file cannot
    /// be read or written.
    pub fn repair_dir(dir: &std::path::Path, apply: bool) -> crate::Result<RepairReport> {
        let _lock = super::open::lock_existing(dir)?;
        let mut report = RepairReport::default();
        let store = dir.join("store");
        crate::store::manifest::check(&store)?;
        if let Some(found) = crate::store::manifest::torn::find(&store)? {
            report.faults.push(format!(
                "{}; the record is taken off, and what it added is in the log",
                found.describe()
            ));
            if apply {
                report.kept.push(found.take_off()?);
            }
        }
        Ok(report)
    }
}
