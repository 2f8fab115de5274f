//! Reads request bodies: bounded in bytes as sent, bytes decoded, time, and memory over
//! all requests together.
//!
//! A length that is declared too large is refused before the first byte; one that is not
//! declared is refused at the byte that crosses the limit. Decompression counts what
//! comes out, so a bomb ends at the limit however small it came in.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::error::ApiError;

/// Memory is accounted in pieces of this many bytes.
const UNIT: u64 = 64 * 1024;

/// The memory all request bodies share.
#[derive(Debug, Clone)]
pub struct BodyBudget {
    units: Arc<Semaphore>,
    bytes: u64,
}

impl BodyBudget {
    /// A budget of `bytes`.
    pub fn new(bytes: u64) -> Self {
        BodyBudget { units: Arc::new(Semaphore::new(bytes.div_ceil(UNIT) as usize)), bytes }
    }
}

/// A body in memory, and its share of the budget.
pub struct Held {
    /// The decoded bytes.
    pub bytes: Vec<u8>,
    share: Share,
}

/// A growing part of the budget, given back when dropped.
struct Share {
    budget: BodyBudget,
    permits: Vec<OwnedSemaphorePermit>,
    bytes: u64,
}

impl Share {
    fn missing(&self, bytes: u64) -> u32 {
        (bytes.div_ceil(UNIT) - self.bytes.div_ceil(UNIT).min(bytes.div_ceil(UNIT))) as u32
    }

    /// A body that the whole budget cannot hold is refused for good: to wait for it would be
    /// to wait for ever.
    fn check(&self, bytes: u64) -> Result<(), ApiError> {
        if bytes.div_ceil(UNIT) <= self.budget.bytes.div_ceil(UNIT) {
            return Ok(());
        }
        Err(ApiError::too_large("the request body in memory", self.budget.bytes, "max_body_total"))
    }

    async fn grow(&mut self, bytes: u64, patience: Duration) -> Result<(), ApiError> {
        self.check(bytes)?;
        let missing = self.missing(bytes);
        if missing > 0 {
            let wait = self.budget.units.clone().acquire_many_owned(missing);
            match tokio::time::timeout(patience, wait).await {
                Ok(Ok(permit)) => self.permits.push(permit),
                _ => return Err(out_of_memory()),
            }
        }
        self.bytes = self.bytes.max(bytes);
        Ok(())
    }

    fn try_grow(&mut self, bytes: u64) -> Result<(), ApiError> {
        self.check(bytes)?;
        let missing = self.missing(bytes);
        if missing > 0 {
            let permit = self.budget.units.clone().try_acquire_many_owned(missing);
            self.permits.push(permit.map_err(|_| out_of_memory())?);
        }
        self.bytes = self.bytes.max(bytes);
        Ok(())
    }
}

fn out_of_memory() -> ApiError {
    ApiError::busy("the request bodies under way fill max_body_total; retry later, or raise it", 1)
}

/// A limit of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// The most there may be.
    pub bytes: u64,
    /// The setting that moves it.
    pub setting: &'static str,
}

impl Limit {
    /// That of a body of samples as sent.
    pub fn sent(config: &Config) -> Self {
        Limit { bytes: config.max_body, setting: "max_body" }
    }

    /// That of a body of samples decompressed.
    pub fn decoded(config: &Config) -> Self {
        Limit { bytes: config.max_body_decoded, setting: "max_body_decoded" }
    }

    /// That of what asks: a form, or a remote read. Percent escapes make a query three times as
    /// long, and other parameters stand beside it.
    pub fn question(config: &Config) -> Self {
        let bytes = (4 * config.query_max_bytes as u64).max(64 << 10);
        Limit { bytes, setting: "query_max_bytes, times 4" }
    }

    /// The refusal of what passes it.
    fn passed_by(self, what: &str) -> ApiError {
        ApiError::too_large(what, self.bytes, self.setting)
    }
}

/// How much one body may take.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Bytes as sent.
    pub sent_max: Limit,
    /// Longest pause between two pieces, and longest wait for memory.
    pub idle: Duration,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// gzip, one or several members.
    Gzip,
}

/// Reads `Content-Encoding`.
///
/// # Errors
/// 415 for an encoding that is not known, and for more than one.
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

/// Checks the `Content-Encoding` of remote write and read: snappy, which the oldest senders
/// do not even name.
///
/// # Errors
/// 415 for any other encoding, and for more than one.
pub fn expect_snappy(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let text = values.next().map_or("snappy", |value| value.to_str().unwrap_or("?").trim());
    if text.eq_ignore_ascii_case("snappy") && values.next().is_none() {
        return Ok(());
    }
    let shown: String = text.chars().take(64).collect();
    let message = format!("Content-Encoding {shown:?} is not supported here; send one snappy block");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_data", message))
}

/// Reads a body as it was sent.
///
/// # Errors
/// 413 beyond `sent_max`, 408 after a pause, 400 when the body breaks off or is malformed,
/// 503 when the budget stays used up.
pub async fn read(mut body: Incoming, limits: BodyLimits, budget: &BodyBudget) -> Result<Held, ApiError> {
    let declared = body.size_hint().exact();
    if declared.is_some_and(|length| length > limits.sent_max.bytes) {
        return Err(limits.sent_max.passed_by("the request body"));
    }
    let mut share = Share { budget: budget.clone(), permits: Vec::new(), bytes: 0 };
    let mut bytes = Vec::new();
    loop {
        let frame = match tokio::time::timeout(limits.idle, body.frame()).await {
            Err(_) => {
                let seconds = limits.idle.as_secs_f64();
                let message = format!("no byte of the body for {seconds} s (body_timeout); send it again");
                return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message));
            }
            Ok(None) => return Ok(Held { bytes, share }),
            Ok(Some(Err(_))) => {
                return Err(ApiError::bad_data(format!(
                    "the request body broke off or is malformed after {} bytes",
                    bytes.len()
                )));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        let total = bytes.len() as u64 + data.len() as u64;
        if total > limits.sent_max.bytes {
            return Err(limits.sent_max.passed_by("the request body"));
        }
        share.grow(total, limits.idle).await?;
        bytes.extend_from_slice(&data);
    }
}

impl Held {
    /// Decompresses in place. Blocks: not for async code.
    ///
    /// # Errors
    /// 413 beyond `decoded_max`, 400 when the bytes are not gzip or break off, 503 when
    /// the budget is used up.
    pub fn decode(&mut self, encoding: Encoding, decoded_max: Limit) -> Result<(), ApiError> {
        if encoding == Encoding::Identity {
            return Ok(());
        }
        let sent = self.bytes.len() as u64;
        let share = &mut self.share;
        let decoded = gunzip(&self.bytes, decoded_max, |length| share.try_grow(sent + length))?;
        self.bytes = decoded;
        Ok(())
    }
}

impl Held {
    /// Decompresses a snappy block in place. Blocks: not for async code.
    ///
    /// # Errors
    /// 413 when the block says that it is longer than `decoded_max`, before anything is
    /// allocated; 400 when it is no snappy block; 503 when the budget is used up.
    pub fn decode_snappy(&mut self, decoded_max: Limit) -> Result<(), ApiError> {
        let sent = self.bytes.len() as u64;
        let share = &mut self.share;
        self.bytes = unsnappy(&self.bytes, decoded_max, |length| share.try_grow(sent + length))?;
        Ok(())
    }
}

/// A byte of a snappy block stands for at most this many: a copy of 64 bytes takes three.
const SNAPPY_RATIO_MAX: u64 = 22;

fn unsnappy(
    compressed: &[u8],
    limit: Limit,
    grow: impl FnOnce(u64) -> Result<(), ApiError>,
) -> Result<Vec<u8>, ApiError> {
    let broken = |what: String| ApiError::bad_data(format!("the body is no snappy block: {what}"));
    let length = snap::raw::decompress_len(compressed).map_err(|e| broken(e.to_string()))? as u64;
    if length > limit.bytes {
        return Err(limit.passed_by("the decompressed request body"));
    }
    if length > SNAPPY_RATIO_MAX * compressed.len() as u64 {
        return Err(broken(format!("{} bytes cannot stand for {length}", compressed.len())));
    }
    grow(length)?;
    snap::raw::Decoder::new().decompress_vec(compressed).map_err(|e| broken(e.to_string()))
}

/// Decompresses all gzip members of `compressed`. `grow` is told the length before each
/// enlargement and may refuse.
fn gunzip(
    compressed: &[u8],
    limit: Limit,
    mut grow: impl FnMut(u64) -> Result<(), ApiError>,
) -> Result<Vec<u8>, ApiError> {
    const PIECE: usize = 256 * 1024;
    let mut decoder = flate2::bufread::MultiGzDecoder::new(compressed);
    let mut decoded = Vec::new();
    loop {
        let start = decoded.len();
        if start as u64 > limit.bytes {
            return Err(limit.passed_by("the decompressed request body"));
        }
        let piece = PIECE.min((limit.bytes as usize - start).saturating_add(1));
        grow((start + piece) as u64)?;
        decoded.resize(start + piece, 0);
        let count = read_some(&mut decoder, &mut decoded[start..]).map_err(|e| {
            ApiError::bad_data(format!("the gzip body is damaged or breaks off after {start} bytes: {e}"))
        })?;
        decoded.truncate(start + count);
        if count == 0 {
            return Ok(decoded);
        }
    }
}

/// Fills as much of `piece` as there is.
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
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn free(_: u64) -> Result<(), ApiError> {
        Ok(())
    }

    fn at_most(bytes: u64) -> Limit {
        Limit { bytes, setting: "max_body_decoded" }
    }

    #[test]
    fn gzip_members_follow_each_other() {
        let text = "cpu value=1 1\n".repeat(50_000);
        let mut twice = gzip(text.as_bytes());
        twice.extend(gzip(b"end"));
        let decoded = gunzip(&twice, at_most(10 << 20), free).unwrap();
        assert_eq!(decoded.len(), text.len() + 3);
        assert!(decoded.ends_with(b"\nend"));
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let bomb = gzip(&vec![b'a'; 8 << 20]);
        assert!(bomb.len() < 16 << 10);
        let mut largest = 0;
        let error = gunzip(&bomb, at_most(1 << 20), |n| {
            largest = largest.max(n);
            Ok(())
        })
        .unwrap_err();
        assert_eq!(error.status, 413);
        assert!(error.message.contains("1MiB, the limit (max_body_decoded)"), "{}", error.message);
        assert!(largest <= (1 << 20) + 1, "{largest}");
        assert_eq!(gunzip(&gzip(b"abc"), at_most(3), free).unwrap(), b"abc");
    }

    #[test]
    fn damage_and_truncation_are_400() {
        let whole = gzip("cpu value=1 1\n".repeat(100).as_bytes());
        for cut in 1..whole.len() {
            assert_eq!(
                gunzip(&whole[..cut], at_most(1 << 20), free).unwrap_err().status,
                400,
                "cut at {cut}"
            );
        }
        let mut flipped = whole.clone();
        let last = flipped.len() - 5;
        flipped[last] ^= 1;
        assert_eq!(gunzip(&flipped, at_most(1 << 20), free).unwrap_err().status, 400);
        assert_eq!(gunzip(b"cpu value=1", at_most(1 << 20), free).unwrap_err().status, 400);
        let nested = gunzip(&gzip(&whole), at_most(1 << 20), free).unwrap();
        assert_eq!(nested, whole, "one layer, not more");
    }

    #[test]
    fn a_body_beyond_the_whole_budget_is_refused_for_good() {
        let budget = BodyBudget::new(4 * UNIT);
        let share = || Share { budget: budget.clone(), permits: Vec::new(), bytes: 0 };
        share().try_grow(4 * UNIT).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        // Patience without end: it must not be waited for.
        let waited = runtime.block_on(share().grow(4 * UNIT + 1, Duration::MAX)).unwrap_err();
        for error in [waited, share().try_grow(4 * UNIT + 1).unwrap_err()] {
            assert_eq!((error.status.as_u16(), error.retry_after), (413, None));
            assert!(error.message.contains("256KiB, the limit (max_body_total)"), "{}", error.message);
        }
        let mut first = share();
        first.try_grow(UNIT).unwrap();
        let error = share().try_grow(4 * UNIT).unwrap_err();
        assert_eq!((error.status.as_u16(), error.retry_after), (503, Some(1)), "others hold it: it passes");
    }

    #[test]
    fn the_budget_is_shared_and_given_back() {
        let budget = BodyBudget::new(4 * UNIT);
        let share = || Share { budget: budget.clone(), permits: Vec::new(), bytes: 0 };
        let mut first = share();
        first.try_grow(3 * UNIT).unwrap();
        first.try_grow(UNIT).unwrap();
        let mut second = share();
        second.try_grow(1).unwrap();
        assert_eq!(second.try_grow(UNIT + 1).unwrap_err().status, 503);
        drop(first);
        second.try_grow(4 * UNIT).unwrap();
    }

    #[test]
    fn snappy_blocks_are_measured_before_they_are_unpacked() {
        let grown = std::cell::Cell::new(0);
        let unpack = |bytes: &[u8], limit| {
            grown.set(0);
            unsnappy(bytes, at_most(limit), |length| {
                grown.set(length);
                Ok(())
            })
            .map_err(|e| (e.status.as_u16(), grown.get()))
        };
        let text = b"up 1 ".repeat(10_000);
        let block = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        assert_eq!(unpack(&block, 1 << 20).unwrap(), text);
        assert_eq!(grown.get(), 50_000);
        assert_eq!(unpack(&block, 49_999), Err((413, 0)));
        assert_eq!(unpack(&[0xff, 0xff, 0xff, 0xff, 0x0f], 128 << 20), Err((413, 0)), "4 GiB in 5 bytes");
        assert_eq!(unpack(&[0x80, 0x80, 0x80, 0x20, 0, 1], 128 << 20), Err((400, 0)), "64 MiB in 6 bytes");
        assert_eq!(unpack(&[0x90, 0x4e, 0xff, 0xff], 1 << 20), Err((400, 0)));
        for cut in 0..block.len() {
            assert_eq!(unpack(&block[..cut], 1 << 20).unwrap_err().0, 400, "cut at {cut}");
        }
        assert_eq!(unpack(b"", 1 << 20), Err((400, 0)));
    }

    #[test]
    fn encodings() {
        let parse = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
            }
            encoding(&headers).map_err(|e| e.status.as_u16())
        };
        assert_eq!(parse(&[]), Ok(Encoding::Identity));
        assert_eq!(parse(&["GZIP"]), Ok(Encoding::Gzip));
        assert_eq!(parse(&["gzip, gzip"]), Err(415));
        assert_eq!(parse(&["gzip", "gzip"]), Err(415));
        assert_eq!(parse(&["br"]), Err(415));
    }
}
