//! The faults of files.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// A fault in one file, or in two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A bit is flipped.
    Flip {
        file: PathBuf,
        at: usize,
        bit: u8,
    },
    /// The file is truncated.
    Truncate {
        file: PathBuf,
        length: usize,
    },
    Remove {
        file: PathBuf,
    },
    /// Two files are swapped.
    Swap {
        file: PathBuf,
        other: PathBuf,
    },
    /// Another file, which may be new, gets the contents of this one too.
    Duplicate {
        file: PathBuf,
        to: PathBuf,
    },
    /// The file is replaced by an earlier version of itself.
    Stale {
        file: PathBuf,
        state: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Flip { file, at, bit } => write!(f, "{}: bit {bit} of byte {at} flips", file.display()),
            Fault::Truncate { file, length } => write!(f, "{}: ends after {length} bytes", file.display()),
            Fault::Remove { file } => write!(f, "{}: is missing", file.display()),
            Fault::Swap { file, other } => {
                write!(f, "{} and {} are swapped", file.display(), other.display())
            }
            Fault::Duplicate { file, to } => write!(f, "{} is a copy of {}", to.display(), file.display()),
            Fault::Stale { file, state } => write!(f, "{}: is that of earlier state {state}", file.display()),
        }
    }
}

impl Fault {
    /// Applies a fault to a copy of a database.
    pub fn apply(&self, dir: &Path, earlier: &[tempfile::TempDir]) {
        let read = |file: &Path| std::fs::read(dir.join(file)).expect("a file");
        let write = |file: &Path, bytes: &[u8]| std::fs::write(dir.join(file), bytes).expect("written");
        match self {
            Fault::Flip { file, at, bit } => {
                let mut bytes = read(file);
                bytes[*at] ^= 1 << bit;
                write(file, &bytes);
            }
            Fault::Truncate { file, length } => write(file, &read(file)[..*length]),
            Fault::Remove { file } => std::fs::remove_file(dir.join(file)).expect("removed"),
            Fault::Swap { file, other } => {
                let (one, two) = (read(file), read(other));
                write(file, &two);
                write(other, &one);
            }
            Fault::Duplicate { file, to } => write(to, &read(file)),
            Fault::Stale { file, state } => {
                let bytes = std::fs::read(earlier[*state].path().join(file)).expect("a file");
                write(file, &bytes);
            }
        }
    }
}

/// The names of the files in and below a directory, and their contents.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(dir.join(&folder)).expect("a directory") {
            let entry = entry.expect("an entry");
            let name = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(name);
            } else {
                found.insert(name, std::fs::read(entry.path()).expect("a file"));
            }
        }
    }
    found
}

/// Files that nothing reads; fewer of their bytes are damaged.
fn is_unread(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("OPTIONS-") || name == "IDENTITY"
}

/// Whether each bit of each byte is flipped: in the log, in the catalogue, and in the files that lead to it.
fn has_all_bits(file: &Path, bytes: &[u8]) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_table = name.ends_with(".sst");
    // Tables name their column family.
    let is_catalogue = is_table && bytes.windows(4).any(|word| word == b"meta");
    file.starts_with("wal")
        || is_catalogue
        || name == "CURRENT"
        || name == "FORMAT"
        || name.starts_with("MANIFEST-")
}

/// Flips in every `stride`-th byte: all bits of the log and of the catalogue, one bit of other files.
pub fn flips(dir: &Path, stride: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, (file, bytes)) in files(dir).into_iter().enumerate() {
        let stride = if is_unread(&file) { stride * 37 } else { stride };
        for at in (number * 7 % stride..bytes.len()).step_by(stride) {
            let bits = if has_all_bits(&file, &bytes) { 0..8 } else { at as u8 % 8..at as u8 % 8 + 1 };
            faults.extend(bits.map(|bit| Fault::Flip { file: file.clone(), at, bit }));
        }
    }
    faults
}

/// Truncations to every `stride`-th length.
pub fn truncations(dir: &Path, stride: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, (file, bytes)) in files(dir).into_iter().enumerate() {
        let stride = if is_unread(&file) { stride * 37 } else { stride };
        let lengths = (number * 7 % stride..bytes.len()).step_by(stride);
        faults.extend(lengths.map(|length| Fault::Truncate { file: file.clone(), length }));
    }
    faults
}

/// Each file is missing, or replaced by another one, or by an earlier version of itself.
pub fn mix_ups(dir: &Path, earlier: &[tempfile::TempDir]) -> Vec<Fault> {
    let files = files(dir);
    let mut faults = Vec::new();
    for (file, bytes) in &files {
        faults.push(Fault::Remove { file: file.clone() });
        faults.push(Fault::Truncate { file: file.clone(), length: 0 });
        for other in next_names(file) {
            faults.push(Fault::Duplicate { file: file.clone(), to: other });
        }
        let is_neighbour = |other: &&PathBuf| other.parent() == file.parent() && *other != file;
        for other in files.keys().filter(is_neighbour) {
            if file < other && bytes != &files[other] {
                faults.push(Fault::Swap { file: file.clone(), other: other.clone() });
            }
            faults.push(Fault::Duplicate { file: file.clone(), to: other.clone() });
        }
    }
    for (state, earlier) in earlier.iter().enumerate() {
        for (file, bytes) in self::files(earlier.path()) {
            if files.get(&file) != Some(&bytes) {
                faults.push(Fault::Stale { file, state });
            }
        }
    }
    faults
}

/// Names for a further file of the same kind, with other numbers.
fn next_names(file: &Path) -> Vec<PathBuf> {
    let Some(name) = file.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    let Ok(number) = digits.parse::<u64>() else { return Vec::new() };
    let with = |number: u64| {
        file.with_file_name(name.replace(&digits, &format!("{number:0width$}", width = digits.len())))
    };
    [number + 1, number + 100]
        .map(with)
        .into_iter()
        .filter(|name| !file.with_file_name(name).exists())
        .collect()
}
