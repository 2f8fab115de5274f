//! Snapshots: permissions, progress, cancellation, and the form as an archive.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use barograph::budget::{Cancel, Work};
use barograph::{Database, Error, StorageError};

use crate::Outcome;
use crate::process::{Skipped, count, listing, options, write};

fn mode(path: &Path) -> std::io::Result<u32> {
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o7777)
}

/// A database whose directory is private, with tables, a log, and unusual permissions.
fn private(dir: &Path) -> Result<Database, Box<dyn std::error::Error>> {
    let db = Database::open_with(dir.join("data"), options())?;
    write(&db, 0..50)?;
    db.flush()?;
    write(&db, 50..60)?;
    for (path, mode) in [("", 0o700), ("wal", 0o750), ("store", 0o710), ("FORMAT", 0o600)] {
        std::fs::set_permissions(dir.join("data").join(path), Permissions::from_mode(mode))?;
    }
    for (file, _) in listing(&dir.join("data/wal"))? {
        std::fs::set_permissions(file, Permissions::from_mode(0o640))?;
    }
    Ok(db)
}

fn check_modes(dir: &Path) -> Outcome {
    for (path, expected) in [("", 0o700), ("wal", 0o750), ("store", 0o710), ("FORMAT", 0o600)] {
        assert_eq!(mode(&dir.join(path))?, expected, "{path} of {}", dir.display());
    }
    for (file, _) in listing(&dir.join("wal"))? {
        assert_eq!(mode(Path::new(&file))?, 0o640, "{file}");
    }
    Ok(())
}

/// A copy of a private directory is private too, and so is a directory restored from it.
pub fn snapshot_keeps_permissions(dir: &Path) -> Outcome {
    let db = private(dir)?;
    let mut seen = Vec::new();
    db.snapshot_within(dir.join("copy"), &Work::unbounded(), |progress| seen.push(progress))?;
    assert!(seen.len() >= 2 && seen.is_sorted_by_key(|progress| progress.bytes), "{seen:?}");
    assert!(seen.last().is_some_and(|last| last.bytes == last.bytes_total), "{seen:?}");
    check_modes(&dir.join("copy"))?;
    assert_eq!(mode(&dir.join("copy/SNAPSHOT"))?, 0o600, "as FORMAT");
    Database::restore(dir.join("copy"), dir.join("restored"))?;
    check_modes(&dir.join("restored"))?;
    assert_eq!(count(&Database::open_with(dir.join("restored"), options())?)?, 60);
    // While the copy is being made and files may not have their permissions yet, nobody else can read it.
    std::fs::set_permissions(dir.join("data"), Permissions::from_mode(0o755))?;
    let (copy, mut modes) = (dir.join("open"), Vec::new());
    db.snapshot_within(&copy, &Work::unbounded(), |_| modes.extend(mode(&copy).ok()))?;
    assert_eq!((modes.first(), mode(&copy)?), (Some(&0o700), 0o755), "{modes:?}");
    Ok(())
}

/// A canceled snapshot leaves nothing behind, and the database stays in use.
pub fn snapshot_is_stopped(dir: &Path) -> Outcome {
    let db = private(dir)?;
    let cancel = Cancel::default();
    let work = Work::unbounded().until(cancel.clone());
    let copy = dir.join("copy");
    let stopped = db.snapshot_within(&copy, &work, |_| cancel.cancel());
    assert!(matches!(stopped, Err(Error::Storage(StorageError::Stopped(_)))), "{stopped:?}");
    assert!(!copy.exists());
    let cancel = Cancel::default();
    let work = Work::unbounded().until(cancel.clone());
    let mut archive = Vec::new();
    let stopped = db.snapshot_to(&mut archive, &work, |_| cancel.cancel());
    assert!(matches!(stopped, Err(Error::Storage(StorageError::Stopped(_)))), "{stopped:?}");
    assert_eq!(listing(&dir.join("data/staging"))?, [], "what it was made of is removed");
    write(&db, 60..61)?;
    db.flush()?;
    assert_eq!(count(&db)?, 61);
    Ok(())
}

/// `tar` unpacks the archive to a snapshot.
pub fn snapshot_as_an_archive(dir: &Path) -> Outcome {
    let db = private(dir)?;
    let (mut archive, mut seen) = (Vec::new(), Vec::new());
    let report = db.snapshot_to(&mut archive, &Work::unbounded(), |progress| seen.push(progress))?;
    assert!(seen.is_sorted_by_key(|progress| progress.bytes), "{seen:?}");
    assert!(seen.last().is_some_and(|last| last.bytes == report.bytes), "{seen:?}");
    assert_eq!(listing(&dir.join("data/staging"))?, []);
    assert!(archive.ends_with(&[0; 1024]), "two empty blocks end it");
    std::fs::write(dir.join("copy.tar"), &archive)?;
    std::fs::create_dir(dir.join("copy"))?;
    std::fs::set_permissions(dir.join("copy"), Permissions::from_mode(0o700))?;
    let tar = Command::new("tar")
        .args(["-x", "-p", "-f", "copy.tar", "-C", "copy"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output();
    let Ok(unpacked) = tar else {
        return Err(Skipped("there is no program tar".to_owned()).into());
    };
    assert!(unpacked.status.success() && unpacked.stderr.is_empty(), "{unpacked:?}");
    check_modes(&dir.join("copy"))?;
    Database::restore(dir.join("copy"), dir.join("restored"))?;
    assert_eq!(count(&Database::open_with(dir.join("restored"), options())?)?, 60);
    Ok(())
}
