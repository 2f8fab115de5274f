//! Data directories that commands read.

use std::path::Path;

use anyhow::{Context, bail};
use barograph::{Damage, Database, ErrorKind, TimeRange};

use crate::commands::directory;
use crate::commands::hint;

/// A data directory that is open for reading, even if it is damaged.
pub struct Reader {
    /// The database.
    pub database: Database,
    /// Whether acknowledged data may be missing from it.
    is_damaged: bool,
    /// The damage that was already reported.
    shown: Vec<Damage>,
}

impl Reader {
    /// Opens the directory. A damaged log or store is an error. With `allow_damage`, the damage is reported on standard
    /// error instead, and [`Reader::finish`] ends the command with an error.
    ///
    /// # Errors
    /// The errors of the database; for a locked directory, the message says how to use its server instead.
    pub fn open(dir: &Path, allow_damage: bool) -> anyhow::Result<Self> {
        let refusal = match directory::open_read_only(dir, false) {
            Ok(database) if !allow_damage => {
                return Ok(Reader { database, is_damaged: false, shown: Vec::new() });
            }
            // Reading may find damage that opening does not detect.
            Ok(_) => None,
            Err(refusal) => Some(refusal),
        };
        let is_damaged = refusal.is_some();
        if let Some(refusal) = refusal {
            if refusal.kind() != ErrorKind::Corrupt {
                return Err(refusal).with_context(|| hint(dir));
            }
            if !allow_damage {
                let way_out = "--allow-damage reads what is intact";
                return Err(refusal).with_context(|| format!("cannot open {} ({way_out})", dir.display()));
            }
        }
        let database = directory::open_read_only(dir, true).with_context(|| hint(dir))?;
        if is_damaged {
            tell(&database);
        }
        let shown = database.damage(TimeRange::ALL);
        Ok(Reader { database, is_damaged, shown })
    }

    /// Ends the command with an error if its output may be incomplete.
    ///
    /// # Errors
    /// The directory is damaged.
    pub fn finish(self) -> anyhow::Result<()> {
        let damage = self.database.damage(TimeRange::ALL);
        damage.iter().filter(|damage| !self.shown.contains(damage)).for_each(|damage| eprintln!("{damage}"));
        if self.is_damaged || !damage.is_empty() {
            bail!(
                "the directory is damaged: acknowledged data may be missing above, or deleted data shown again"
            );
        }
        Ok(())
    }
}

fn tell(database: &Database) {
    for damage in database.damage(TimeRange::ALL) {
        eprintln!("{damage}");
    }
    let report = database.open_report();
    for damage in report.wal.iter().flat_map(|wal| &wal.damage) {
        eprintln!("{}: offset {}: {}", damage.file.display(), damage.offset, damage.what);
    }
    if report.samples_unknown > 0 {
        eprintln!("{} samples in the log belong to series that cannot be identified", report.samples_unknown);
    }
}
