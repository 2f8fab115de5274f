//! Sections: where the bytes of a column begin and end, and the integers in them.

use super::columns::Column;
use super::{CHECKSUM_LEN, PLAIN_VERSION, VERSION};
use crate::codec::{CodecId, CompressionLevel, Fault, adaptive, varint};

const FORM_SHIFT: u32 = 6;
const CODEC_MASK: u8 = (1 << FORM_SHIFT) - 1;

/// Why stored bytes are not a chunk of buckets, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bucket chunk byte {offset}: {what}")]
pub struct BucketChunkError {
    /// In bytes from the chunk's start; for a fault of a section, the section's start.
    pub offset: usize,
    /// The fault.
    pub what: BucketChunkFault,
}

/// What is wrong with a chunk of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BucketChunkFault {
    /// Written by a newer build.
    #[error("format version {0}, this build reads up to {VERSION}")]
    FutureVersion(u8),
    /// The bytes changed, or the chunk belongs to another key.
    #[error("checksum {found:08x}, expected {expected:08x}: damaged, or stored under a wrong key")]
    Checksum {
        /// The stored checksum.
        found: u32,
        /// The checksum of key and bytes.
        expected: u32,
    },
    /// A class, flag or column that this build does not know.
    #[error("unknown class, flags or columns 0x{0:02x}")]
    Unknown(u64),
    /// More buckets than a chunk may hold.
    #[error("{0} buckets, a chunk holds at most 1024")]
    Count(u64),
    /// A width that is not positive, or an end that does not fit into an `i64` of nanoseconds.
    #[error("width or end out of range")]
    Range,
    /// A header field or a section is malformed.
    #[error(transparent)]
    Codec(#[from] Fault),
}

/// The checksum of a chunk.
pub(super) fn checksum(key: &[u8], bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(bytes);
    hasher.finalize()
}

/// Separates a chunk's body from its checksum, and verifies it.
pub(super) fn verified<'a>(key: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], BucketChunkError> {
    let at = |offset: usize| move |what: BucketChunkFault| BucketChunkError { offset, what };
    match bytes.first() {
        Some(&(PLAIN_VERSION..=VERSION)) => {}
        Some(&version) => return Err(at(0)(BucketChunkFault::FutureVersion(version))),
        None => return Err(at(0)(Fault::Truncated.into())),
    }
    let Some((body, stored)) = bytes.split_last_chunk::<CHECKSUM_LEN>() else {
        return Err(at(bytes.len())(Fault::Truncated.into()));
    };
    let (found, expected) = (u32::from_le_bytes(*stored), checksum(key, body));
    if found != expected {
        return Err(at(body.len())(BucketChunkFault::Checksum { found, expected }));
    }
    Ok(body)
}

/// One form in which a column may be stored: integers, after some bytes.
#[derive(Debug, Default)]
pub(super) struct Form {
    pub prefix: Vec<u8>,
    pub ints: Vec<i64>,
}

impl From<Vec<i64>> for Form {
    fn from(ints: Vec<i64>) -> Self {
        Form { prefix: Vec::new(), ints }
    }
}

/// Collects the sections of a chunk.
#[derive(Debug)]
pub(super) struct Sections {
    pub level: CompressionLevel,
    pub present: u64,
    pub body: Vec<u8>,
}

impl Sections {
    /// Adds a column as bytes. Columns must be added in the order of their numbers.
    pub(super) fn bytes(&mut self, column: Column, form: u8, codec: Option<CodecId>, bytes: &[u8]) {
        self.present |= 1 << column as u8;
        self.body.push(form << FORM_SHIFT | codec.map_or(0, CodecId::to_byte));
        varint::write(&mut self.body, bytes.len() as u64);
        self.body.extend_from_slice(bytes);
    }

    /// Adds a column in the smallest of its forms, of which there are 1 to 4. Leaves it out if all integers of form 0
    /// are zero.
    pub(super) fn ints<const N: usize>(&mut self, column: Column, forms: [Form; N]) {
        if forms[0].ints.iter().all(|&int| int == 0) {
            return;
        }
        let mut best: Option<(u8, CodecId, Vec<u8>)> = None;
        for (number, form) in forms.into_iter().enumerate() {
            let mut bytes = form.prefix;
            let codec = adaptive::encode_ints(&form.ints, self.level, &mut bytes);
            if best.as_ref().is_none_or(|(_, _, least)| bytes.len() < least.len()) {
                best = Some((number as u8, codec, bytes));
            }
        }
        if let Some((form, codec, bytes)) = best {
            self.bytes(column, form, Some(codec), &bytes);
        }
    }
}

/// A stored column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'a> {
    pub form: u8,
    /// The byte of a [`CodecId`].
    pub codec: u8,
    /// In bytes from the chunk's start.
    pub offset: usize,
    pub bytes: &'a [u8],
}

impl<'a> Section<'a> {
    pub(super) fn fault(&self, what: Fault) -> BucketChunkError {
        BucketChunkError { offset: self.offset, what: what.into() }
    }

    /// The integer that all of the column are, if it is stored so.
    pub(super) fn constant(&self) -> Result<Option<i64>, Fault> {
        adaptive::constant_int(CodecId::from_byte(self.codec)?, self.bytes)
    }

    /// Replaces `out` by the `count` integers from `at` to the section's end.
    pub(super) fn ints(&self, at: usize, count: usize, out: &mut Vec<i64>) -> Result<(), Fault> {
        out.clear();
        let rest = self.bytes.get(at..).ok_or(Fault::Truncated)?;
        if count == 0 {
            return if rest.is_empty() { Ok(()) } else { Err(Fault::Trailing) };
        }
        out.reserve(count);
        adaptive::decode_ints(CodecId::from_byte(self.codec)?, rest, count, out)
    }
}

/// Reads fields and sections one after the other.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pub body: &'a [u8],
    pub position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn fault(&self, what: impl Into<BucketChunkFault>) -> BucketChunkError {
        BucketChunkError { offset: self.position, what: what.into() }
    }

    pub(super) fn byte(&mut self) -> Result<u8, BucketChunkError> {
        let byte = self.body.get(self.position).ok_or_else(|| self.fault(Fault::Truncated))?;
        self.position += 1;
        Ok(*byte)
    }

    pub(super) fn varint(&mut self) -> Result<u64, BucketChunkError> {
        let offset = self.position;
        varint::read(self.body, &mut self.position)
            .map_err(|what| BucketChunkError { offset, what: what.into() })
    }

    pub(super) fn section(&mut self) -> Result<Section<'a>, BucketChunkError> {
        let head = self.byte()?;
        let len = self.varint()?;
        let offset = self.position;
        let bytes = usize::try_from(len)
            .ok()
            .and_then(|len| self.body.get(offset..offset.checked_add(len)?))
            .ok_or_else(|| self.fault(Fault::Truncated))?;
        self.position += bytes.len();
        Ok(Section { form: head >> FORM_SHIFT, codec: head & CODEC_MASK, offset, bytes })
    }
}
