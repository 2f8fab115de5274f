//! Verifying a directory that is not open anywhere.

use std::path::Path;

use crate::engine::Engine;
use crate::engine::upkeep::verify::{VerifyReport, verify_store};
use crate::store::catalogue::Catalogue;
use crate::store::guard::GuardedKv;
use crate::store::kv::{self, Kv};
use crate::{Error, Result};

impl Engine {
    /// Reads everything in a directory that is not open, both WAL and store, without changing anything. Damage is in
    /// the report.
    ///
    /// # Errors
    /// The directory is in use, from a newer version, or its store cannot be opened; [`Error::Unsupported`] in a build
    /// without the feature `rocksdb`.
    pub fn verify_dir(dir: &Path, options: &crate::Options) -> Result<VerifyReport> {
        kv::supported()?;
        let _lock = crate::engine::directory::lock_existing(dir, crate::engine::directory::Use::Read)?;
        let guarded = GuardedKv::new(crate::engine::open::closed::open_store(dir, options, true)?);
        let kv: &dyn Kv = &*guarded;
        let obsolete = std::sync::Arc::default();
        let catalogue = Catalogue::load(kv, &obsolete)?.ok_or_else(|| Error::Corrupt {
            file: dir.join("store").display().to_string(),
            offset: 0,
            what: "the store has no catalogue".to_owned(),
        })?;
        let mut report = verify_store(kv, &catalogue)?;
        let wal = crate::wal::verify(&dir.join("wal"))?;
        report.wal_records = wal.records;
        for damage in &wal.damage {
            report.problems.push(format!(
                "{}: offset {}: {}",
                damage.file.display(),
                damage.offset,
                damage.what
            ));
        }
        // Damage in the store is already in the list.
        if let Err(refusal) = crate::engine::open::closed::judge(dir, kv, &catalogue, options) {
            let refusal = format!("the database would not open: {refusal}");
            // Damage that is already in the list also ends an opening.
            if !report.problems.iter().any(|problem| refusal.contains(problem.as_str())) {
                report.problems.push(refusal);
            }
        }
        Ok(report)
    }
}
