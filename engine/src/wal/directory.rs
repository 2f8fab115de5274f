//! The files of a log: their names, which of them exist, and their headers.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::format::{Checked, Fault, HEADER_BYTES, Header, VERSION};
use super::fs::WalFs;
use crate::error::{Error, Result};

pub(super) const RESERVE_NAME: &str = "reserve";
pub(super) const MARK_NAME: &str = "durable";
const SEGMENT_SUFFIX: &str = ".wal";

/// The file name of a segment.
pub(super) fn segment_name(number: u64) -> String {
    format!("{number:08}{SEGMENT_SUFFIX}")
}

/// A sealed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub number: u64,
    pub first_seq: u64,
    /// `first_seq - 1` if it is empty.
    pub last_seq: u64,
    pub bytes: u64,
}

/// The contents of a directory.
pub(super) struct Listing {
    /// By number.
    pub segments: Vec<(u64, PathBuf)>,
    /// Left by a crash; not needed.
    pub unfinished: Vec<PathBuf>,
    pub strays: Vec<PathBuf>,
}

pub(super) fn list(dir: &Path) -> Result<Listing> {
    let io_error = |error| Error::io("list", dir, error);
    let mut listing = Listing { segments: Vec::new(), unfinished: Vec::new(), strays: Vec::new() };
    for entry in fs::read_dir(dir).map_err(io_error)? {
        let path = entry.map_err(io_error)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_unfinished = |name: &str| name == MARK_NAME || segment_number(name).is_some();
        if let Some(number) = segment_number(&name) {
            listing.segments.push((number, path));
        } else if name.strip_suffix(".tmp").is_some_and(is_unfinished) {
            listing.unfinished.push(path);
        } else if name != MARK_NAME && name != RESERVE_NAME && !name.ends_with(".bad") {
            listing.strays.push(path);
        }
    }
    listing.segments.sort();
    listing.strays.sort();
    Ok(listing)
}

fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(SEGMENT_SUFFIX)?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

/// Reads at most `limit` bytes of a regular file. Anything else is refused before it is opened: a FIFO would block.
pub(super) fn read_start(path: &Path, limit: usize) -> Result<Vec<u8>> {
    let kind = fs::symlink_metadata(path).map_err(|error| Error::io("inspect", path, error))?.file_type();
    if !kind.is_file() {
        let found = match kind {
            kind if kind.is_dir() => "a directory",
            kind if kind.is_fifo() => "a FIFO",
            kind if kind.is_symlink() => "a symbolic link",
            _ => "a device or socket",
        };
        return Err(corrupt(path, 0, format!("expected a regular file, found {found}")));
    }
    let mut bytes = Vec::with_capacity(limit);
    let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    file.take(limit as u64).read_to_end(&mut bytes).map_err(|error| Error::io("read", path, error))?;
    Ok(bytes)
}

pub(super) fn corrupt(path: &Path, offset: usize, what: String) -> Error {
    Error::Corrupt { file: path.display().to_string(), offset: offset as u64, what }
}

/// A newer version is an error in every mode, because this build cannot judge such a file.
pub(super) fn refuse_future<T>(path: &Path, supported: u32, decoded: Checked<T>) -> Result<Checked<T>> {
    match decoded {
        Err(Fault::Version(found)) => {
            Err(Error::FutureVersion { file: path.display().to_string(), found, supported })
        }
        decoded => Ok(decoded),
    }
}

/// A segment whose records have not been read yet.
pub(super) struct Head {
    pub number: u64,
    pub path: PathBuf,
    pub header: Checked<Header>,
}

impl Head {
    /// Reads a segment's header.
    pub fn read(number: u64, path: PathBuf) -> Result<Head> {
        let header = match refuse_future(&path, VERSION, Header::decode(&read_start(&path, HEADER_BYTES)?))? {
            Ok(Header { number: found, .. }) if found != number => {
                Err(Fault::Number { expected: number, found })
            }
            header => header,
        };
        Ok(Head { number, path, header })
    }
}

/// Creates the directory if it does not exist, and makes its name durable.
pub(super) fn make_dir(fs: &dyn WalFs, dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Ok(()) => {
            let parent =
                dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs.sync_dir(parent).map_err(|error| Error::io("sync", parent, error))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::io("create", dir, error)),
    }
}
