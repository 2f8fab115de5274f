//! `barograph repair`

use std::path::Path;

use anyhow::Context;

use crate::storage;

/// Prints what is wrong and what was done; false where something is left to do.
///
/// # Errors
/// The directory is in use, or damaged in a way that this cannot repair.
pub fn run(dir: &Path, apply: bool) -> anyhow::Result<bool> {
    let report = storage::repair(dir, apply)
        .with_context(|| format!("{} cannot be repaired: restore a snapshot", dir.display()))?;
    for fault in &report.faults {
        println!("{fault}");
    }
    for kept in &report.kept {
        println!("the removed record is in {}", kept.display());
    }
    match (report.faults.is_empty(), apply) {
        (true, _) => {
            println!("{}: the store needs no repair; `barograph verify` reads all of it", dir.display())
        }
        (false, true) => println!("{}: repaired", dir.display()),
        (false, false) => println!("{}: nothing has changed; --apply repairs it", dir.display()),
    }
    Ok(report.faults.is_empty() || apply)
}
