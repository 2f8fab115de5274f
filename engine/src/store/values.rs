//! Small records: bincode inside an envelope with a checksum.
//!
//! bincode has no checksum and no version, and without a limit a few hostile bytes make it allocate without bound, so
//! it is used only here.
//!
//! # Format
//! ```text
//! 0  4  magic "BGR1"
//! 4  4  format version, u32 little-endian
//! 8  4  CRC-32 of bytes 4..8 and 12.., u32 little-endian
//! 12 …  bincode 2, standard configuration, at most RECORD_BYTES_MAX
//! ```
//! A record is valid if and only if the magic and the checksum match, the version is known, and bincode uses all bytes.

use bincode::{Decode, Encode};

use crate::{Error, Result};

/// Largest record, bytes.
pub const RECORD_BYTES_MAX: usize = 16 << 20;
const MAGIC: &[u8; 4] = b"BGR1";
const HEADER_BYTES: usize = 12;

fn configuration() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<RECORD_BYTES_MAX>()
}

/// Wraps `record`, a value of format `version`.
///
/// # Errors
/// The record is larger than [`RECORD_BYTES_MAX`].
pub fn encode<T: Encode>(version: u32, record: &T) -> Result<Vec<u8>> {
    let payload = bincode::encode_to_vec(record, configuration()).map_err(|e| {
        Error::Limit(format!("record cannot be encoded (limit {RECORD_BYTES_MAX} bytes): {e}"))
    })?;
    let mut out = Vec::with_capacity(HEADER_BYTES + payload.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&checksum(version, &payload).to_le_bytes());
    out.extend_from_slice(&payload);
    Ok(out)
}

/// Unwraps a record of at most format `supported`. `place` names it in errors.
///
/// # Errors
/// [`Error::Corrupt`], or [`Error::FutureVersion`] when a newer build wrote it.
pub fn decode<T: Decode<()>>(place: &str, supported: u32, bytes: &[u8]) -> Result<T> {
    let corrupt =
        |offset: usize, what: String| Error::Corrupt { file: place.to_owned(), offset: offset as u64, what };
    let header = bytes
        .first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| corrupt(0, format!("{} bytes, expected at least {HEADER_BYTES}", bytes.len())))?;
    if &header[..4] != MAGIC {
        return Err(corrupt(0, format!("magic {:02x?}, expected {MAGIC:02x?}", &header[..4])));
    }
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (version, stored, payload) = (word(4), word(8), &bytes[HEADER_BYTES..]);
    let computed = checksum(version, payload);
    if stored != computed {
        return Err(corrupt(8, format!("checksum {stored:08x}, computed {computed:08x}")));
    }
    if version > supported {
        return Err(Error::FutureVersion { file: place.to_owned(), found: version, supported });
    }
    let (record, used) = bincode::decode_from_slice::<T, _>(payload, configuration())
        .map_err(|e| corrupt(HEADER_BYTES, format!("record cannot be decoded: {e}")))?;
    if used != payload.len() {
        return Err(corrupt(HEADER_BYTES + used, format!("{} bytes left over", payload.len() - used)));
    }
    Ok(record)
}

/// The format version that a record names, if it is long enough to name one.
pub fn version_of(bytes: &[u8]) -> Option<u32> {
    let (_, rest) = bytes.split_first_chunk::<4>()?;
    rest.first_chunk::<4>().map(|version| u32::from_le_bytes(*version))
}

fn checksum(version: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&version.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let bytes = encode(1, &(7u64, "up".to_owned())).unwrap();
        assert_eq!(bytes, b"BGR1\x01\0\0\0\xaf\xcf\x96\x35\x07\x02up", "{bytes:02x?}");
        assert_eq!(decode::<(u64, String)>("x", 1, &bytes).unwrap(), (7, "up".to_owned()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = encode(1, &(7u64, "a label".to_owned())).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<(u64, String)>("x", 1, &bad).is_err(), "bit {bit}");
        }
        for length in 0..good.len() {
            assert!(decode::<(u64, String)>("x", 1, &good[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let bytes = encode(2, &7u64).unwrap();
        let error = decode::<u64>("meta/root", 1, &bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "meta/root: format version 2, this build reads up to 1; use a newer barograph"
        );
    }

    #[test]
    fn a_huge_length_does_not_allocate() {
        let payload = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0x10];
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&1u32.to_le_bytes());
        bytes.extend_from_slice(&checksum(1, &payload).to_le_bytes());
        bytes.extend_from_slice(&payload);
        assert!(matches!(decode::<Vec<u8>>("x", 1, &bytes), Err(Error::Corrupt { .. })));
    }
}
