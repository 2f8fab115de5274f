//! The permissions of copies: those of the originals, so that a snapshot of a private directory is private.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::{Error, Result};

/// The file whose permissions are used for files without an original.
const ANY: &str = "FORMAT";

/// Makes a directory accessible only to its owner while it is being filled.
pub(in crate::engine) fn hide(dir: &Path) -> Result<()> {
    set(dir, Permissions::from_mode(0o700))
}

/// Gives `to` the permissions of `from`.
pub(in crate::engine) fn copy_one(from: &Path, to: &Path) -> Result<()> {
    let permissions = fs::metadata(from).map_err(|e| Error::io("inspect", from, e))?.permissions();
    set(to, permissions)
}

/// Gives `copy`, and everything in it, the permissions of the files with the same names in `original`.
pub(in crate::engine) fn copy(original: &Path, copy: &Path) -> Result<()> {
    let any = original.join(ANY);
    copy_below(original, copy, &any)?;
    copy_one(original, copy)
}

fn copy_below(original: &Path, copy: &Path, any: &Path) -> Result<()> {
    for entry in fs::read_dir(copy).map_err(|e| Error::io("list", copy, e))? {
        let entry = entry.map_err(|e| Error::io("list", copy, e))?;
        let (from, to) = (original.join(entry.file_name()), entry.path());
        if to.is_dir() {
            copy_below(&from, &to, any)?;
        }
        // Appends, flushes and merges may have removed the original in the meantime.
        match copy_one(&from, &to) {
            Err(Error::Io { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
                copy_one(any, &to)?
            }
            copied => copied?,
        }
    }
    Ok(())
}

fn set(path: &Path, permissions: Permissions) -> Result<()> {
    fs::set_permissions(path, permissions).map_err(|e| Error::io("set the permissions of", path, e))
}
