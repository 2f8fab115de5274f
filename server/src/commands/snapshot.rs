//! `barograph snapshot` and `barograph verify`

use std::path::Path;

use anyhow::{Context, bail};
use barograph::Database;

use crate::cli::{SnapshotCommand, Target};
use crate::client::Client;
use crate::commands::directory;

/// Creates or restores a snapshot.
///
/// # Errors
/// The server or the directory refuses.
pub fn run(command: &SnapshotCommand) -> anyhow::Result<()> {
    match command {
        SnapshotCommand::Create { dest, target } => create(dest.as_deref(), target),
        SnapshotCommand::Restore { snapshot, data_dir } => {
            let report = Database::restore(snapshot, data_dir)
                .with_context(|| format!("cannot restore {}", snapshot.display()))?;
            println!("restored {} to {} ({} bytes)", snapshot.display(), data_dir.display(), report.bytes);
            Ok(())
        }
    }
}

fn create(dest: Option<&Path>, target: &Target) -> anyhow::Result<()> {
    match (&target.data_dir, dest) {
        (Some(dir), Some(dest)) => {
            // The samples in the log are flushed first, so the directory is opened for writing.
            let database = super::open(dir)?;
            database.snapshot(dest)?;
            database.close()?;
            println!("{}", dest.display());
        }
        (Some(_), None) => {
            bail!("name the directory to create: barograph snapshot create DEST --data-dir DIR")
        }
        (None, _) => {
            let answer = Client::new(target)?.post("/api/v1/admin/tsdb/snapshot", &[], b"")?.json()?;
            println!("{}", answer["data"]["name"].as_str().unwrap_or(""));
        }
    }
    Ok(())
}

/// Reads everything, verifies every checksum and prints what is wrong. Returns false if anything is wrong.
///
/// # Errors
/// The directory cannot be opened.
pub fn verify(dir: &Path) -> anyhow::Result<bool> {
    let report = directory::verify(dir).with_context(|| format!("{} cannot be checked", dir.display()))?;
    for problem in &report.problems {
        eprintln!("{problem}");
    }
    println!(
        "{}: {} generations, {} chunks, {} samples, {} series records, {} WAL records; {} problems",
        dir.display(),
        report.generations,
        report.chunks,
        report.samples,
        report.series,
        report.wal_records,
        report.problems.len()
    );
    Ok(report.is_clean())
}
