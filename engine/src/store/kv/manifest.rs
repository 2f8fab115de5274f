//! Checks a RocksDB directory's CURRENT and MANIFEST before RocksDB may open it.
//!
//! RocksDB 11.8 loops for ever on a MANIFEST in which one bit of a record's type is flipped, and takes a damaged length
//! in the last record for an unfinished write, which it drops silently. So the frame of every record is checked here
//! first. The content is not interpreted, and memory is one block regardless of the file's size.
//!
//! # Format
//! CURRENT is `MANIFEST-<digits>\n`. A MANIFEST consists of blocks of 32,768 bytes. A record never crosses a block
//! boundary; fewer than seven bytes at a block's end are padding.
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 4 | masked CRC-32C of everything from offset 6 on |
//! | 4 | 2 | length of the payload |
//! | 6 | 1 | type: 1 whole, 2 first, 3 middle, 4 last; 5 to 8 the same, recyclable |
//! | 7 | 4 | log number, in recyclable types alone |
//! | 7 or 11 | length | payload |
//!
//! All numbers are little-endian; masked means rotated right by 15 bits, plus `0xa282ead8`. A file is sound if and only
//! if every record's sum holds, types follow as whole or first-middle…-last, either all or none are recyclable, and it
//! ends after a record.
//!
//! # Tail
//! What a crash can leave after the last whole record is not damage: part of a header, part of a payload, fragments
//! without their last one, or zeros to the end. It is reported, and RocksDB drops it as well. A record that claims more
//! bytes than the file has is nevertheless damage if its block does not have that many either, if its sum fits the
//! existing bytes (the length is wrong), or if a sound record follows its header.
//!
//! # Not here
//! The content of records, and whether the tables they name exist: `edits.rs` and `torn.rs` read that if RocksDB cannot
//! open the directory. Whether all tables are named: the catalogue knows.

mod edits;
pub mod torn;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::{Error, Result};

/// Bytes of a block.
const BLOCK_BYTES: usize = 32_768;
/// Bytes of a header; fewer at a block's end are padding.
const HEADER_BYTES: usize = 7;
/// Bytes of a recyclable record's header.
const RECYCLABLE_HEADER_BYTES: usize = 11;
/// The offset of the first byte that a sum covers.
const SUMMED_FROM: usize = 6;
/// The constant that masking adds.
const MASK_DELTA: u32 = 0xa282_ead8;
/// More than the longest name in CURRENT.
const CURRENT_BYTES: u64 = 64;

/// The result of a successful check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ManifestReport {
    /// Name of the manifest; `None` if there is no database yet.
    pub manifest: Option<String>,
    /// Its size in bytes.
    pub bytes: u64,
    /// The number of its whole records.
    pub records: u64,
    /// The bytes after them, if any.
    pub tail: Option<ManifestTail>,
}

/// The bytes after the last whole record, which RocksDB will drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestTail {
    /// The offset of the first of them.
    pub offset: u64,
    /// Their number.
    pub bytes: u64,
    /// A description of them.
    pub what: &'static str,
}

/// Checks the RocksDB directory `dir`. A directory without CURRENT and without tables is an empty or partially created
/// database, which is valid.
///
/// # Errors
/// [`Error::Corrupt`] with file and offset of the first damage, [`Error::Io`] if a file cannot be read.
pub fn check(dir: &Path) -> Result<ManifestReport> {
    let Some(name) = current(dir)? else {
        return Ok(ManifestReport::default());
    };
    let path = dir.join(&name);
    let file = open_plain(&path)?.ok_or_else(|| {
        damage(&dir.join("CURRENT"), 0, format!("it names {name}, which is not in the directory"))
    })?;
    let mut report = scan(&path, file, Records::default())?;
    report.manifest = Some(name);
    Ok(report)
}

/// The manifest's name, read from CURRENT.
fn current(dir: &Path) -> Result<Option<String>> {
    let path = dir.join("CURRENT");
    let Some(file) = open_plain(&path)? else {
        if has_tables(dir)? {
            return Err(damage(&path, 0, "it is missing beside table files".to_owned()));
        }
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(CURRENT_BYTES).read_to_end(&mut bytes).map_err(|e| Error::io("read", &path, e))?;
    let name = bytes.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok()).filter(|name| {
        name.strip_prefix("MANIFEST-")
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    });
    match name {
        Some(name) => Ok(Some(name.to_owned())),
        None => Err(damage(
            &path,
            0,
            format!(
                "expected \"MANIFEST-<digits>\" and a line end, found {:?}",
                String::from_utf8_lossy(&bytes)
            ),
        )),
    }
}

/// Opens a regular file; `None` if it does not exist. Anything else (a directory, or a pipe that would block) is
/// refused without opening it.
fn open_plain(path: &Path) -> Result<Option<File>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(damage(path, 0, "it is not a plain file".to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("look at", path, e)),
    }
    File::open(path).map(Some).map_err(|e| Error::io("open", path, e))
}

fn has_tables(dir: &Path) -> Result<bool> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io("list", dir, e)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("list", dir, e))?;
        if Path::new(&entry.file_name()).extension().is_some_and(|e| e == "sst") {
            return Ok(true);
        }
    }
    Ok(false)
}

fn damage(path: &Path, offset: u64, what: String) -> Error {
    Error::Corrupt { file: path.display().to_string(), offset, what }
}

/// Reads block after block and checks each record.
fn scan(path: &Path, mut input: impl Read, mut records: Records<'_>) -> Result<ManifestReport> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let mut offset = 0;
    loop {
        block.clear();
        input
            .by_ref()
            .take(BLOCK_BYTES as u64)
            .read_to_end(&mut block)
            .map_err(|e| Error::io("read", path, e))?;
        records.block(offset, &block).map_err(|(at, what)| damage(path, at, what))?;
        offset += block.len() as u64;
        if block.len() < BLOCK_BYTES {
            break;
        }
    }
    let tail = records.tail(offset);
    if records.whole == 0 {
        return Err(damage(path, 0, format!("no whole record in {offset} bytes")));
    }
    Ok(ManifestReport { manifest: None, bytes: offset, records: records.whole, tail })
}

/// An offset in the file and the fault there.
type Found = (u64, String);

fn unknown_kind(offset: u64, kind: u8) -> Found {
    (offset, format!("record type {kind} is not one of a manifest"))
}

/// The state of a scan.
#[derive(Default)]
struct Records<'v> {
    /// Receives the payload of each whole record.
    visitor: Option<Visitor<'v>>,
    /// The number of whole records.
    whole: u64,
    /// The offset of the record whose last fragment has not been read yet.
    open: Option<u64>,
    /// Whether records are recyclable; unknown before the first.
    recyclable: Option<bool>,
    /// The offset of an unfinished write or of zeros, and its description.
    cut: Option<(u64, &'static str)>,
}

/// Receives a record's payload and the offset of the record.
type Visit<'v> = dyn FnMut(u64, &[u8]) -> std::result::Result<(), Found> + 'v;

/// Assembles records from their fragments, and passes each on with its offset.
struct Visitor<'v> {
    payload: Vec<u8>,
    visit: &'v mut Visit<'v>,
}

/// A record's header.
struct Header {
    sum: u32,
    length: usize,
    kind: u8,
    bytes: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`, which has at least [`HEADER_BYTES`].
    fn read(bytes: &[u8]) -> Header {
        let kind = bytes[6];
        Header {
            sum: u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            length: usize::from(u16::from_le_bytes([bytes[4], bytes[5]])),
            kind,
            bytes: if (5..=8).contains(&kind) { RECYCLABLE_HEADER_BYTES } else { HEADER_BYTES },
        }
    }

    fn is_recyclable(&self) -> bool {
        self.bytes == RECYCLABLE_HEADER_BYTES
    }
}

impl<'v> Records<'v> {
    /// Passes the payload of each whole record to `visit`.
    fn shown_to(visit: &'v mut Visit<'v>) -> Self {
        Records { visitor: Some(Visitor { payload: Vec::new(), visit }), ..Records::default() }
    }

    /// Checks the block at `start`. A short one is the last of the file.
    fn block(&mut self, start: u64, block: &[u8]) -> std::result::Result<(), Found> {
        if self.cut.is_some() {
            return self.zeros(start, block);
        }
        let mut at = 0;
        while BLOCK_BYTES - at >= HEADER_BYTES && at < block.len() {
            let offset = start + at as u64;
            let rest = &block[at..];
            if rest.len() < HEADER_BYTES {
                self.cut = Some((offset, "part of a record's header"));
                return Ok(());
            }
            if rest[..HEADER_BYTES].iter().all(|byte| *byte == 0) {
                self.cut = Some((offset, "zeros"));
                return self.zeros(offset, rest);
            }
            let header = Header::read(rest);
            self.check_kind(offset, &header)?;
            let end = header.bytes + header.length;
            if end > BLOCK_BYTES - at {
                let left = BLOCK_BYTES - at;
                return Err((offset, format!("a record of {end} bytes where its block has {left} left")));
            }
            if end > rest.len() {
                return self.unfinished(offset, &header, rest);
            }
            self.record(offset, &header, &rest[..end])?;
            at += end;
        }
        Ok(())
    }

    /// Zeros may only be followed by zeros.
    fn zeros(&self, start: u64, bytes: &[u8]) -> std::result::Result<(), Found> {
        match bytes.iter().position(|byte| *byte != 0) {
            Some(at) if self.cut.is_some_and(|(_, what)| what == "zeros") => {
                Err((start + at as u64, "data behind a run of zeros".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The last record claims more bytes than the file has.
    fn unfinished(&mut self, offset: u64, header: &Header, rest: &[u8]) -> std::result::Result<(), Found> {
        if masked(crc32c(&rest[SUMMED_FROM..])) == header.sum {
            let (wanted, there) = (header.bytes + header.length, rest.len());
            return Err((
                offset,
                format!("a record's length is damaged: it says {wanted} bytes, its sum fits {there}"),
            ));
        }
        if let Some(at) = (1..rest.len()).find(|at| is_sound(&rest[*at..])) {
            let follows = offset + at as u64;
            return Err((
                offset,
                format!("a record's length is damaged: a sound record follows at {follows}"),
            ));
        }
        self.cut = Some((offset, "part of a record"));
        Ok(())
    }

    /// Checks one record; `bytes` is all of it.
    fn record(&mut self, offset: u64, header: &Header, bytes: &[u8]) -> std::result::Result<(), Found> {
        let found = masked(crc32c(&bytes[SUMMED_FROM..]));
        if found != header.sum {
            return Err((
                offset,
                format!("checksum of a record: expected {:08x}, found {found:08x}", header.sum),
            ));
        }
        self.recyclable = Some(header.is_recyclable());
        // RocksDB reads a manifest as log number 0 and stops at a record of another log.
        if header.is_recyclable() && bytes[HEADER_BYTES..RECYCLABLE_HEADER_BYTES] != [0; 4] {
            return Err((offset, "a record of another log".to_owned()));
        }
        let payload = &bytes[header.bytes..];
        match (header.kind, self.open) {
            (1 | 5, None) => {
                self.show(offset, payload, true)?;
                self.whole += 1;
            }
            (2 | 6, None) => {
                self.show(offset, payload, false)?;
                self.open = Some(offset);
            }
            (3 | 7, Some(first)) => self.show(first, payload, false)?,
            (4 | 8, Some(first)) => {
                self.show(first, payload, true)?;
                self.open = None;
                self.whole += 1;
            }
            (1..=8, None) => {
                return Err((offset, format!("record type {} without a first fragment", header.kind)));
            }
            (1..=8, Some(first)) => {
                return Err((
                    offset,
                    format!("record type {} inside the record begun at {first}", header.kind),
                ));
            }
            (kind, _) => return Err(unknown_kind(offset, kind)),
        }
        Ok(())
    }

    fn show(&mut self, first: u64, fragment: &[u8], is_last: bool) -> std::result::Result<(), Found> {
        let Some(visitor) = &mut self.visitor else { return Ok(()) };
        visitor.payload.extend_from_slice(fragment);
        if is_last {
            (visitor.visit)(first, &visitor.payload)?;
            visitor.payload.clear();
        }
        Ok(())
    }

    /// Refuses a type that no manifest has, or that mixes recyclable with other records. On the latter RocksDB loops
    /// for ever.
    fn check_kind(&self, offset: u64, header: &Header) -> std::result::Result<(), Found> {
        if !(1..=8).contains(&header.kind) {
            return Err(unknown_kind(offset, header.kind));
        }
        if self.recyclable.is_some_and(|recyclable| recyclable != header.is_recyclable()) {
            return Err((offset, format!("record type {} among types of the other family", header.kind)));
        }
        Ok(())
    }

    /// The bytes after the last whole record of a file of `size` bytes.
    fn tail(&self, size: u64) -> Option<ManifestTail> {
        let (offset, what) = match (self.open, self.cut) {
            (Some(first), _) => (first, "fragments of a record without the last one"),
            (None, Some(cut)) => cut,
            (None, None) => return None,
        };
        Some(ManifestTail { offset, bytes: size - offset, what })
    }
}

/// Whether `bytes` begin with a record whose sum holds.
fn is_sound(bytes: &[u8]) -> bool {
    if bytes.len() < HEADER_BYTES || !(1..=8).contains(&bytes[SUMMED_FROM]) {
        return false;
    }
    let header = Header::read(bytes);
    let end = header.bytes + header.length;
    end <= bytes.len() && masked(crc32c(&bytes[SUMMED_FROM..end])) == header.sum
}

/// CRC-32C (Castagnoli, reflected polynomial `0x82f63b78`), one byte per step.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ CRC_TABLE[usize::from(crc as u8 ^ byte)])
}

/// The form in which RocksDB stores a sum. Masking keeps the sum of data that contains sums a good one.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(MASK_DELTA)
}

#[cfg(test)]
mod tests;
