//! Compression of request bodies.
//!
//! The declared length of a body is checked before anything is decompressed: a snappy block begins with it, and gzip
//! ends with it. A snappy block cannot exceed it, but gzip can. Decompression therefore counts its output, so a bomb
//! ends at the limit, however small the body is.

use std::io::Read;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap};

use crate::error::ApiError;

/// A limit on a number of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// The maximum.
    pub bytes: u64,
    /// The setting that sets it.
    pub setting: &'static str,
}

impl Limit {
    /// The error for exceeding the limit.
    pub fn passed_by(self, what: &str) -> ApiError {
        ApiError::too_large(what, self.bytes, self.setting)
    }
}

/// Maximum number of bytes that one byte of a snappy block expands to: a copy of 64 bytes takes three.
const SNAPPY_RATIO_MAX: u64 = 22;
/// Maximum number of bytes that one byte of gzip expands to, a property of the format.
const GZIP_RATIO_MAX: u64 = 1032;
/// Number of bytes that are decompressed at a time.
const PIECE: usize = 256 * 1024;

/// The compression of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Uncompressed.
    Identity,
    /// gzip, one or several members.
    Gzip,
    /// One snappy block.
    Snappy,
}

/// Reads `Content-Encoding`.
///
/// # Errors
/// 415 for an unknown encoding, and for more than one.
pub fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(value) = values.next() else { return Ok(Encoding::Identity) };
    let text = value.to_str().unwrap_or("?").trim().to_ascii_lowercase();
    let unsupported = |found: &str| {
        let message = format!("Content-Encoding {found:?} is not supported; send gzip or none");
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_data", message)
    };
    if values.next().is_some() {
        return Err(unsupported("(several)"));
    }
    match text.as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        other => Err(unsupported(&other.chars().take(64).collect::<String>())),
    }
}

/// Checks the `Content-Encoding` of remote write and read: snappy, which the oldest senders do not declare.
///
/// # Errors
/// 415 for any other encoding, and for more than one.
pub fn snappy(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let text = values.next().map_or("snappy", |value| value.to_str().unwrap_or("?").trim());
    if text.eq_ignore_ascii_case("snappy") && values.next().is_none() {
        return Ok(Encoding::Snappy);
    }
    let shown: String = text.chars().take(64).collect();
    let message = format!("Content-Encoding {shown:?} is not supported here; send one snappy block");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_data", message))
}

/// The decompressed length that `sent` declares: exact for snappy; for gzip, a guess that holds for a single member.
///
/// # Errors
/// 413 for a snappy block beyond `limit`, 400 for bytes that are not a snappy block.
pub fn unpacked_length(encoding: Encoding, sent: &[u8], limit: Limit) -> Result<u64, ApiError> {
    match encoding {
        Encoding::Identity => Ok(0),
        Encoding::Snappy => snappy_length(sent, limit),
        Encoding::Gzip => {
            let trailer = sent.last_chunk::<4>().map_or(0, |last| u64::from(u32::from_le_bytes(*last)));
            Ok(trailer.min(GZIP_RATIO_MAX.saturating_mul(sent.len() as u64)).min(limit.bytes))
        }
    }
}

fn no_snappy(what: String) -> ApiError {
    ApiError::bad_data(format!("the body is not a snappy block: {what}"))
}

fn snappy_length(sent: &[u8], limit: Limit) -> Result<u64, ApiError> {
    let length = snap::raw::decompress_len(sent).map_err(|e| no_snappy(e.to_string()))? as u64;
    if length > limit.bytes {
        return Err(limit.passed_by("the decompressed request body"));
    }
    if length > SNAPPY_RATIO_MAX * sent.len() as u64 {
        return Err(no_snappy(format!("{} bytes cannot decompress to {length}", sent.len())));
    }
    Ok(length)
}

/// Decompresses `sent`. Calls `reserve` with the size before it allocates, first with [`unpacked_length`]; `reserve`
/// may refuse.
///
/// # Errors
/// 413 beyond `limit`, 400 for damaged or truncated data, and the errors of `reserve`.
pub fn unpack(
    encoding: Encoding,
    sent: &[u8],
    limit: Limit,
    mut reserve: impl FnMut(u64) -> Result<(), ApiError>,
) -> Result<Vec<u8>, ApiError> {
    let length = unpacked_length(encoding, sent, limit)?;
    reserve(length)?;
    match encoding {
        Encoding::Identity => Ok(sent.to_vec()),
        Encoding::Snappy => {
            snap::raw::Decoder::new().decompress_vec(sent).map_err(|e| no_snappy(e.to_string()))
        }
        Encoding::Gzip => gunzip(sent, limit, length as usize, reserve),
    }
}

/// Decompresses all gzip members of `sent` into room for `length` bytes, and more if necessary.
fn gunzip(
    sent: &[u8],
    limit: Limit,
    length: usize,
    mut reserve: impl FnMut(u64) -> Result<(), ApiError>,
) -> Result<Vec<u8>, ApiError> {
    let limit_bytes = usize::try_from(limit.bytes).unwrap_or(usize::MAX);
    let mut decoder = flate2::bufread::MultiGzDecoder::new(sent);
    let mut read = |piece: &mut [u8], start: usize| {
        read_some(&mut decoder, piece).map_err(|e| {
            ApiError::bad_data(format!("the gzip body is damaged or truncated after {start} bytes: {e}"))
        })
    };
    let mut decoded: Vec<u8> = Vec::new();
    let mut room = length;
    decoded.reserve_exact(room);
    loop {
        let start = decoded.len();
        if start == room {
            // Whether more bytes follow is checked before room is made for them.
            let mut next = [0];
            if read(&mut next, start)? == 0 {
                return Ok(decoded);
            }
            if start >= limit_bytes {
                return Err(limit.passed_by("the decompressed request body"));
            }
            room = start.saturating_add((start / 2).max(PIECE)).min(limit_bytes);
            reserve(room as u64)?;
            decoded.reserve_exact(room - start);
            decoded.push(next[0]);
            continue;
        }
        decoded.resize(start + PIECE.min(room - start), 0);
        let count = read(&mut decoded[start..], start)?;
        decoded.truncate(start + count);
        if count == 0 {
            return Ok(decoded);
        }
    }
}

/// Fills `piece` as far as there is data.
fn read_some(decoder: &mut impl Read, piece: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match decoder.read(&mut piece[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn at_most(bytes: u64) -> Limit {
        Limit { bytes, setting: "max_body_decoded" }
    }

    /// The output, and the largest room that was asked for.
    fn unpack_in(encoding: Encoding, sent: &[u8], limit: u64) -> (Result<Vec<u8>, ApiError>, u64) {
        let most = Cell::new(0);
        let unpacked = unpack(encoding, sent, at_most(limit), |room| {
            most.set(most.get().max(room));
            Ok(())
        });
        (unpacked, most.get())
    }

    fn gunzip(sent: &[u8], limit: u64) -> Result<Vec<u8>, ApiError> {
        unpack_in(Encoding::Gzip, sent, limit).0
    }

    #[test]
    fn a_member_says_how_long_it_is_and_others_may_follow() {
        let text = "cpu value=1 1\n".repeat(50_000);
        let (unpacked, room) = unpack_in(Encoding::Gzip, &gzip(text.as_bytes()), 10 << 20);
        assert_eq!(
            (unpacked.unwrap(), room),
            (text.clone().into_bytes(), text.len() as u64),
            "no byte too much"
        );
        let mut twice = gzip(text.as_bytes());
        twice.extend(gzip(b"end"));
        let (unpacked, room) = unpack_in(Encoding::Gzip, &twice, 10 << 20);
        let unpacked = unpacked.unwrap();
        assert_eq!(unpacked.len(), text.len() + 3);
        assert!(unpacked.ends_with(b"\nend") && unpacked.len() as u64 <= room, "{room}");
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let bomb = gzip(&vec![b'a'; 8 << 20]);
        assert!(bomb.len() < 16 << 10);
        // Its own words, and others.
        let mut liar = bomb.clone();
        let end = liar.len();
        for said in [8 << 20, 0, 5, u32::MAX] {
            liar[end - 4..].copy_from_slice(&u32::to_le_bytes(said));
            let (unpacked, room) = unpack_in(Encoding::Gzip, &liar, 1 << 20);
            let error = unpacked.unwrap_err();
            assert_eq!(error.status, 413);
            assert!(error.message.contains("1MiB, the limit (max_body_decoded)"), "{}", error.message);
            assert!(room <= 1 << 20, "{room}");
        }
        assert_eq!(gunzip(&gzip(b"abc"), 3).unwrap(), b"abc");
        assert_eq!(gunzip(&gzip(b"abcd"), 3).unwrap_err().status, 413);
        let refused =
            unpack(Encoding::Gzip, &bomb, at_most(64 << 20), |_| Err(ApiError::too_many("full", 1)));
        assert_eq!(refused.unwrap_err().status, 429, "nothing is unpacked without room");
    }

    #[test]
    fn damage_and_truncation_are_400() {
        let whole = gzip("cpu value=1 1\n".repeat(100).as_bytes());
        for cut in 1..whole.len() {
            assert_eq!(gunzip(&whole[..cut], 1 << 20).unwrap_err().status, 400, "cut at {cut}");
        }
        let mut flipped = whole.clone();
        let last = flipped.len() - 5;
        flipped[last] ^= 1;
        assert_eq!(gunzip(&flipped, 1 << 20).unwrap_err().status, 400);
        assert_eq!(gunzip(b"cpu value=1", 1 << 20).unwrap_err().status, 400);
        let nested = gunzip(&gzip(&whole), 1 << 20).unwrap();
        assert_eq!(nested, whole, "one layer, not more");
    }

    #[test]
    fn snappy_blocks_are_measured_before_they_are_unpacked() {
        let unpack = |bytes: &[u8], limit| {
            let (unpacked, room) = unpack_in(Encoding::Snappy, bytes, limit);
            unpacked.map(|bytes| (bytes, room)).map_err(|e| (e.status.as_u16(), room))
        };
        let text = b"up 1 ".repeat(10_000);
        let block = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        assert_eq!(unpack(&block, 1 << 20).unwrap(), (text, 50_000));
        assert_eq!(unpack(&block, 49_999), Err((413, 0)));
        assert_eq!(unpack(&[0xff, 0xff, 0xff, 0xff, 0x0f], 128 << 20), Err((413, 0)), "4 GiB in 5 bytes");
        assert_eq!(unpack(&[0x80, 0x80, 0x80, 0x20, 0, 1], 128 << 20), Err((400, 0)), "64 MiB in 6 bytes");
        assert_eq!(unpack(&[0x90, 0x4e, 0xff, 0xff], 1 << 20).unwrap_err().0, 400);
        for cut in 0..block.len() {
            assert_eq!(unpack(&block[..cut], 1 << 20).unwrap_err().0, 400, "cut at {cut}");
        }
        assert_eq!(unpack(b"", 1 << 20), Err((400, 0)));
    }

    #[test]
    fn encodings() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
            }
            headers
        };
        let parse = |values: &[&str]| encoding(&headers(values)).map_err(|e| e.status.as_u16());
        assert_eq!(parse(&[]), Ok(Encoding::Identity));
        assert_eq!(parse(&["GZIP"]), Ok(Encoding::Gzip));
        assert_eq!(parse(&["gzip, gzip"]), Err(415));
        assert_eq!(parse(&["gzip", "gzip"]), Err(415));
        assert_eq!(parse(&["br"]), Err(415));
        let parse = |values: &[&str]| snappy(&headers(values)).map_err(|e| e.status.as_u16());
        assert_eq!(parse(&[]), Ok(Encoding::Snappy));
        assert_eq!(parse(&["gzip"]), Err(415));
    }
}
