//! A MANIFEST whose last record adds tables that are gone.
//!
//! If the fsync of that record fails, RocksDB 11.8 deletes the tables of the ingestion although the record may be in
//! the file. Such a directory no longer opens. The tables were never acknowledged: the catalogue, which is committed
//! later and to the same file, does not name them, and their samples are in the log. The record is therefore removed,
//! which restores the store as it was before.
//!
//! This applies only to ingested tables. A last record that changes the family of the catalogue, removes tables, or
//! adds tables of which some exist is kept: it indicates other damage.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::edits::{self, Edit};
use super::{Records, current, open_plain, scan};
use crate::store::kv::Family;
use crate::{Error, Result};

/// A last record that adds tables which are not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornIngestion {
    /// The manifest.
    pub manifest: PathBuf,
    /// Offset of the record; the manifest ends there once the record is removed.
    pub offset: u64,
    /// The tables that are gone.
    pub tables: Vec<String>,
}

/// Looks for such a record in the RocksDB directory `dir`.
///
/// # Errors
/// The manifest is damaged in another way, or a file cannot be read.
pub fn find(dir: &Path) -> Result<Option<TornIngestion>> {
    let Some(name) = current(dir)? else { return Ok(None) };
    let manifest = dir.join(name);
    let Some(file) = open_plain(&manifest)? else { return Ok(None) };
    let mut families = HashMap::from([(0, "default".to_owned())]);
    let mut tables: HashMap<u64, u64> = HashMap::new();
    let mut last = (0, Edit::default());
    let mut visit = |offset, payload: &[u8]| {
        let edit = edits::read(payload).map_err(|what| (offset, what))?;
        if let Some(name) = &edit.creates {
            families.insert(edit.family, name.clone());
        }
        tables.extend(edit.adds.iter().map(|number| (*number, offset)));
        for number in &edit.removes {
            tables.remove(number);
        }
        last = (offset, edit);
        Ok(())
    };
    scan(&manifest, file, Records::shown_to(&mut visit))?;
    let mut gone: Vec<(u64, u64)> = Vec::new();
    for (number, offset) in tables {
        if !dir.join(table_name(number)).try_exists().map_err(|e| Error::io("look for a table in", dir, e))? {
            gone.push((number, offset));
        }
    }
    let (offset, edit) = last;
    let bulk = Family::BULK.map(Family::name);
    let is_bulk = families.get(&edit.family).is_some_and(|name| bulk.contains(&name.as_str()));
    let is_whole =
        !gone.is_empty() && gone.len() == edit.adds.len() && gone.iter().all(|(_, at)| *at == offset);
    if !is_bulk || !is_whole || edit.is_grouped || !edit.removes.is_empty() {
        return Ok(None);
    }
    gone.sort_unstable();
    let tables = gone.into_iter().map(|(number, _)| table_name(number)).collect();
    Ok(Some(TornIngestion { manifest, offset, tables }))
}

fn table_name(number: u64) -> String {
    format!("{number:06}.sst")
}

impl TornIngestion {
    /// Removes the record. Its bytes are kept next to the manifest, as `<manifest>.<offset>.bad`.
    ///
    /// # Errors
    /// A file could not be written; then the manifest is as it was.
    pub fn take_off(&self) -> Result<PathBuf> {
        let failed = |action| move |e| Error::io(action, &self.manifest, e);
        let mut file =
            OpenOptions::new().read(true).write(true).open(&self.manifest).map_err(failed("open"))?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.offset)).map_err(failed("read"))?;
        file.read_to_end(&mut bytes).map_err(failed("read"))?;
        let aside = self.manifest.with_added_extension(format!("{}.bad", self.offset));
        let mut kept = fs::File::create(&aside).map_err(|e| Error::io("create", &aside, e))?;
        kept.write_all(&bytes).and_then(|()| kept.sync_all()).map_err(|e| Error::io("write", &aside, e))?;
        fail_point!("repair.kept");
        file.set_len(self.offset).and_then(|()| file.sync_all()).map_err(failed("shorten"))?;
        fail_point!("repair.cut");
        Ok(aside)
    }

    /// What it is, for people.
    pub fn describe(&self) -> String {
        format!(
            "{}: its last record, at offset {}, adds {}, which {} not there: an ingestion whose fsync failed",
            self.manifest.display(),
            self.offset,
            self.tables.join(", "),
            if self.tables.len() == 1 { "is" } else { "are" }
        )
    }
}
