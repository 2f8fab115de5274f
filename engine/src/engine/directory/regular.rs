//! Files that must be regular files.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::{Error, Result};

/// Whether the file exists. Anything else with its name is an error: opening a FIFO could block forever.
pub(in crate::engine) fn is_file(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(Error::Corrupt {
            file: path.display().to_string(),
            offset: 0,
            what: "it is not a regular file".to_owned(),
        }),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("inspect", path, e)),
    }
}
