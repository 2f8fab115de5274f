//! `barograph repair`

use std::path::Path;

use anyhow::Context;

use crate::commands::directory;

/// Prints what is wrong and what was repaired. Returns false if something is left to repair.
///
/// # Errors
/// The directory is in use, or damaged in a way that this cannot repair.
pub fn run(dir: &Path, apply: bool) -> anyhow::Result<bool> {
    let report = directory::repair(dir, apply)
        .with_context(|| format!("{} cannot be repaired: restore a snapshot", dir.display()))?;
    for fault in &report.faults {
        println!("{fault}");
    }
    for kept in &report.kept {
        println!("the removed record is in {}", kept.display());
    }
    for left in &report.left {
        println!("{left}");
    }
    if !report.left.is_empty() {
        println!(
            "damaged generations cannot be repaired. The database opens without them: queries of their time have a \
             warning, other reads of it are refused, and partitions past the retention are removed. A snapshot has what \
             is lost; `barograph export --allow-damage` reads the rest"
        );
    }
    match (report.faults.is_empty(), apply) {
        (true, _) if !report.left.is_empty() => {}
        (true, _) => {
            println!("{}: the store needs no repair; `barograph verify` reads all of it", dir.display())
        }
        (false, true) => println!("{}: repaired", dir.display()),
        (false, false) => println!("{}: nothing has changed; --apply repairs it", dir.display()),
    }
    Ok(report.left.is_empty() && (report.faults.is_empty() || apply))
}
