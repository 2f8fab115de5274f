//! The file of refused lines. Each line is preceded by a comment with its position and the reason, so that the file can
//! be corrected and imported.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The file under construction.
pub struct Rejects {
    path: PathBuf,
    out: BufWriter<File>,
    database: Option<String>,
    is_empty: bool,
}

impl Rejects {
    /// Creates the file.
    ///
    /// # Errors
    /// The file exists already, or cannot be created.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create_new(path).with_context(|| format!("--rejects {}", path.display()))?;
        Ok(Rejects { path: path.to_owned(), out: BufWriter::new(file), database: None, is_empty: true })
    }

    /// Adds a line. `database` is the database that an export named for it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, database: Option<&str>, why: &str, line: &[u8]) -> anyhow::Result<()> {
        let mut text = Vec::new();
        if self.database.as_deref() != database {
            text.extend_from_slice(format!("# CONTEXT-DATABASE:{}\n", database.unwrap_or("")).as_bytes());
            self.database = database.map(str::to_owned);
        }
        text.extend_from_slice(format!("# {}\n", why.replace(['\n', '\r'], " ")).as_bytes());
        text.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            text.push(b'\n');
        }
        self.is_empty = false;
        self.out.write_all(&text).with_context(|| format!("--rejects {}", self.path.display()))
    }

    /// Finishes the file. A file without lines is removed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.out.flush().with_context(|| format!("--rejects {}", self.path.display()))?;
        if self.is_empty {
            std::fs::remove_file(&self.path).with_context(|| format!("--rejects {}", self.path.display()))?;
        }
        Ok(())
    }
}
