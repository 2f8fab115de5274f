//! Encoding, decoding and verification of headers, records and the durable mark. The tables are in [`super`].

use crc32fast::Hasher;

/// The largest kind that a caller may use; larger ones belong to the log.
pub const KIND_MAX: u8 = 0xEF;
/// Largest payload of one record, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// The version of a segment's format that this build writes, and the newest that it reads.
pub(super) const VERSION: u32 = 1;
/// The same for the file `durable`. Version 1 had one slot.
pub(super) const MARK_VERSION: u32 = 2;
/// Bytes of a segment's header.
pub(super) const HEADER_BYTES: usize = 48;
/// Bytes of a record before its payload.
pub(super) const RECORD_BYTES: usize = 25;
/// Bytes of one slot of the file `durable`.
pub(super) const MARK_BYTES: usize = 36;

pub(super) const KIND_COMMIT: u8 = 0xF0;
pub(super) const KIND_GAP: u8 = 0xF1;
pub(super) const KIND_SEAL: u8 = 0xF2;

const SEGMENT_MAGIC: [u8; 8] = *b"BAROWAL\0";
const MARK_MAGIC: [u8; 8] = *b"BAROMARK";
const HEADER_CRC_AT: usize = HEADER_BYTES - 4;
const MARK_CRC_AT: usize = MARK_BYTES - 4;
const GAP_PAYLOAD_BYTES: usize = 8;
const SEAL_PAYLOAD_BYTES: usize = 12;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a slice of eight"))
}

/// Verified data, or the fault.
pub(super) type Checked<T> = std::result::Result<T, Fault>;

/// The fault of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("expected {expected} bytes, found {found}")]
    Short { expected: usize, found: usize },
    #[error("not a file of this log: wrong magic")]
    Magic,
    #[error("format version {0}")]
    Version(u32),
    #[error("header checksum: expected {expected:08x}, found {found:08x}")]
    HeaderCrc { expected: u32, found: u32 },
    #[error("database id: expected {expected:016x}, found {found:016x}")]
    Database { expected: u64, found: u64 },
    #[error("segment number: expected {expected}, found {found}")]
    Number { expected: u64, found: u64 },
    #[error("header: first sequence number {found} is below {expected}")]
    FirstSeq { expected: u64, found: u64 },
    #[error("record length {length} leaves the segment, which has {left} bytes left")]
    Length { length: u64, left: usize },
    #[error("record checksum: expected {expected:08x}, found {found:08x}")]
    Crc { expected: u32, found: u32 },
    #[error("sequence number: expected {expected}, found {found}")]
    Seq { expected: u64, found: u64 },
    #[error("record kind {0:#04x} with a wrong payload")]
    Payload(u8),
    #[error("the seal disagrees with the records before it")]
    Seal,
    #[error("bytes after the seal")]
    AfterSeal,
    #[error("the segment has a successor but no seal")]
    NoSeal,
}

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub database_id: u64,
    pub number: u64,
    pub first_seq: u64,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.database_id.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_seq.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..HEADER_CRC_AT]);
        bytes[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Checked<Header> {
        let (bytes, _) = checked(bytes, HEADER_BYTES, &SEGMENT_MAGIC, VERSION)?;
        match u64_at(bytes, 32) {
            0 => Err(Fault::FirstSeq { expected: 1, found: 0 }),
            first_seq => Ok(Header { database_id: u64_at(bytes, 16), number: u64_at(bytes, 24), first_seq }),
        }
    }
}

/// A slot of the file `durable`: everything up to `seq` has been synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub database_id: u64,
    pub seq: u64,
}

impl Mark {
    pub fn encode(&self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[0..8].copy_from_slice(&MARK_MAGIC);
        bytes[8..12].copy_from_slice(&MARK_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.database_id.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.seq.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..MARK_CRC_AT]);
        bytes[MARK_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a mark and the version of its format.
    pub fn decode(bytes: &[u8]) -> Checked<(Mark, u32)> {
        let (bytes, version) = checked(bytes, MARK_BYTES, &MARK_MAGIC, MARK_VERSION)?;
        Ok((Mark { database_id: u64_at(bytes, 16), seq: u64_at(bytes, 24) }, version))
    }
}

/// Verifies the beginning and end, which both files have in common; `newest` is the newest version that can be read.
/// The checksum is verified before the version, so that a flipped bit is not taken for a newer format.
fn checked<'a>(bytes: &'a [u8], length: usize, magic: &[u8; 8], newest: u32) -> Checked<(&'a [u8], u32)> {
    let Some(bytes) = bytes.get(..length) else {
        return Err(Fault::Short { expected: length, found: bytes.len() });
    };
    if bytes[..8] != *magic {
        return Err(Fault::Magic);
    }
    let (found, expected) = (crc32fast::hash(&bytes[..length - 4]), u32_at(bytes, length - 4));
    if found != expected {
        return Err(Fault::HeaderCrc { expected, found });
    }
    match u32_at(bytes, 8) {
        version if (1..=newest).contains(&version) => Ok((bytes, version)),
        version => Err(Fault::Version(version)),
    }
}

/// The start value for the checksums of a segment's records.
pub(super) fn segment_seed(database_id: u64, number: u64) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&database_id.to_le_bytes());
    hasher.update(&number.to_le_bytes());
    hasher.finalize()
}

/// Appends one record to `out` and returns its checksum. The caller has verified the payload's length.
pub(super) fn encode_record(
    out: &mut Vec<u8>,
    seed: u32,
    kind: u8,
    seq: u64,
    mark: u64,
    parts: &[&[u8]],
) -> u32 {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let length = u32::try_from(length).expect("a payload is at most 64 MiB");
    let mut fields = [0; RECORD_BYTES];
    fields[0..4].copy_from_slice(&length.to_le_bytes());
    fields[8] = kind;
    fields[9..17].copy_from_slice(&seq.to_le_bytes());
    fields[17..25].copy_from_slice(&mark.to_le_bytes());
    let mut hasher = record_hasher(seed, &fields);
    for part in parts {
        hasher.update(part);
    }
    let crc = hasher.finalize();
    fields[4..8].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&fields);
    for part in parts {
        out.extend_from_slice(part);
    }
    crc
}

/// The seal's payload.
pub(super) fn encode_seal(entries: u64, crc_of_crcs: u32) -> [u8; SEAL_PAYLOAD_BYTES] {
    let mut payload = [0; SEAL_PAYLOAD_BYTES];
    payload[..8].copy_from_slice(&entries.to_le_bytes());
    payload[8..].copy_from_slice(&crc_of_crcs.to_le_bytes());
    payload
}

fn record_hasher(seed: u32, fields: &[u8]) -> Hasher {
    let mut hasher = Hasher::new_with_initial(seed);
    hasher.update(&fields[0..4]);
    hasher.update(&fields[8..RECORD_BYTES]);
    hasher
}

/// A record of any kind in a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub kind: u8,
    pub seq: u64,
    pub mark: u64,
    pub crc: u32,
    pub payload: &'a [u8],
}

/// The purpose of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Record,
    Commit,
    Gap { first: u64 },
    Seal { entries: u64, crc_of_crcs: u32 },
}

impl<'a> Entry<'a> {
    /// Decodes the entry at the start of `bytes` without its checksum, for bytes that were verified before.
    pub fn peek(bytes: &'a [u8]) -> Checked<Entry<'a>> {
        if bytes.len() < RECORD_BYTES {
            return Err(Fault::Short { expected: RECORD_BYTES, found: bytes.len() });
        }
        let length = u32_at(bytes, 0) as usize;
        if length > PAYLOAD_BYTES_MAX || length > bytes.len() - RECORD_BYTES {
            return Err(Fault::Length { length: length as u64, left: bytes.len() - RECORD_BYTES });
        }
        Ok(Entry {
            kind: bytes[8],
            seq: u64_at(bytes, 9),
            mark: u64_at(bytes, 17),
            crc: u32_at(bytes, 4),
            payload: &bytes[RECORD_BYTES..RECORD_BYTES + length],
        })
    }

    /// Decodes and verifies the entry at the start of `bytes`.
    pub fn decode(bytes: &'a [u8], seed: u32) -> Checked<Entry<'a>> {
        let entry = Entry::peek(bytes)?;
        let mut hasher = record_hasher(seed, bytes);
        hasher.update(entry.payload);
        let found = hasher.finalize();
        if found != entry.crc {
            return Err(Fault::Crc { expected: entry.crc, found });
        }
        Ok(entry)
    }

    /// Size of the entry in the segment, bytes.
    pub fn encoded_bytes(&self) -> usize {
        RECORD_BYTES + self.payload.len()
    }

    pub fn role(&self) -> Checked<Role> {
        match (self.kind, self.payload.len()) {
            (0..=KIND_MAX, _) => Ok(Role::Record),
            (KIND_COMMIT, 0) => Ok(Role::Commit),
            (KIND_GAP, GAP_PAYLOAD_BYTES) if u64_at(self.payload, 0) <= self.seq => {
                Ok(Role::Gap { first: u64_at(self.payload, 0) })
            }
            (KIND_SEAL, SEAL_PAYLOAD_BYTES) => {
                Ok(Role::Seal { entries: u64_at(self.payload, 0), crc_of_crcs: u32_at(self.payload, 8) })
            }
            _ => Err(Fault::Payload(self.kind)),
        }
    }
}

/// Number and checksum of a segment's entries, as stored in its seal.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub entries: u64,
    crcs: Hasher,
}

impl Tally {
    pub fn add(&mut self, crc: u32) {
        self.entries += 1;
        self.crcs.update(&crc.to_le_bytes());
    }

    pub fn crc_of_crcs(&self) -> u32 {
        self.crcs.clone().finalize()
    }
}
