//! Reads request bodies, with limits on bytes as sent, bytes after decompression, time, and memory over all requests.
//!
//! A declared length that is too large is refused before the first byte; an undeclared one is refused at the byte that
//! exceeds the limit. Memory is taken before anything is read. The memory of a declared length is taken at once, and
//! the body waits in a queue without holding any, so that bodies that have memory can finish. A chunked body takes
//! memory in steps and is refused if a step would have to wait. Small bodies and query forms have separate memory,
//! which large bodies cannot use up. The memory of the decompressed body is taken when the whole body has arrived.
//!
//! A body must keep arriving ([`Pace`]), because a slow one holds memory that others wait for.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use crate::admission::{Client, MODEST};
use crate::config::Config;
use crate::config::values::show_size;
use crate::error::ApiError;
use crate::http::encoding::{self, Encoding, Limit};
use crate::memory::pool::{Pool, Room};
use crate::runtime;
use barograph::budget::{Full, Share};

/// Maximum length of a small body, bytes.
pub const SMALL: u64 = 64 << 10;
/// Maximum bytes of a body that the HTTP library and the service hold while it arrives: two pieces. A large body of
/// declared length takes them from the memory of bodies, so that bodies that wait for that memory take none from
/// connections; for any other body, the connection takes them.
pub const ARRIVAL_BYTES: u64 = 16 << 10;
/// Room for the first part of a body of unknown length, bytes.
const FIRST_STEP: u64 = 8 << 10;

/// The memory of all request bodies.
#[derive(Debug)]
pub struct Bodies {
    /// For bodies that are not small.
    pub large: Arc<Pool>,
    /// For small writes.
    pub small: Arc<Pool>,
    /// For small query forms.
    pub questions: Arc<Pool>,
}

impl Bodies {
    /// Divides the shares `bodies` and `forms`, of which the latter is for small bodies.
    pub fn new(bodies: Arc<Share>, forms: Arc<Share>) -> Self {
        Bodies {
            large: Pool::with_modest(bodies, MODEST),
            small: Pool::new(forms.clone(), 2),
            questions: Pool::new(forms, 2),
        }
    }

    /// The memory pool for a body of this many bytes.
    fn pool(&self, purpose: Purpose, bytes: u64) -> &Arc<Pool> {
        match purpose {
            _ if bytes > SMALL => &self.large,
            Purpose::Write => &self.small,
            Purpose::Question => &self.questions,
        }
    }
}

fn refused(full: Full) -> ApiError {
    if full.is_permanent() {
        return ApiError::too_large("the request body in memory", full.limit, "max_body_total, memory");
    }
    let (share, limit) = (full.share, show_size(full.limit));
    ApiError::too_many(
        format!(
            "the request bodies under way fill the memory for {share}, {limit} (max_body_total, memory); retry later, or \
             raise it"
        ),
        1,
    )
}

/// The purpose of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It contains samples.
    Write,
    /// It is a form, or a remote read.
    Question,
}

/// The limits of a body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    purpose: Purpose,
    sent_max: Limit,
    decoded_max: Limit,
    pace: PaceLimits,
}

impl BodyLimits {
    /// The limits of samples.
    pub fn write(config: &Config) -> Self {
        BodyLimits {
            purpose: Purpose::Write,
            sent_max: Limit { bytes: config.max_body, setting: "max_body" },
            decoded_max: Limit { bytes: config.max_body_decoded, setting: "max_body_decoded" },
            pace: PaceLimits::new(config),
        }
    }

    /// The limits of query forms. Percent escapes make a query three times as long, and there are other parameters.
    pub fn question(config: &Config) -> Self {
        let bytes = (4 * config.query_max_bytes as u64).max(64 << 10);
        let limit = Limit { bytes, setting: "query_max_bytes, times 4" };
        BodyLimits {
            purpose: Purpose::Question,
            sent_max: limit,
            decoded_max: limit,
            pace: PaceLimits::new(config),
        }
    }
}

/// The rate at which a body must arrive.
#[derive(Debug, Clone, Copy)]
pub struct PaceLimits {
    /// The longest pause between two pieces, the longest wait for memory, and the window over which the rate is
    /// averaged.
    pub timeout: Duration,
    /// The minimum rate, bytes a second.
    pub rate: u64,
}

impl PaceLimits {
    /// The limits of the settings.
    pub fn new(config: &Config) -> Self {
        PaceLimits { timeout: config.body_timeout, rate: config.body_rate }
    }
}

/// Watches how fast bytes arrive. In each window of `body_timeout`, they must arrive at `body_rate` or faster. While
/// others wait for memory, they must also arrive fast enough to fill the held memory within two windows. The end of a
/// window is checked only when nothing more can be read, so that the delay is not the server's.
#[derive(Debug)]
pub struct Pace {
    limits: PaceLimits,
    /// When the last byte arrived.
    last: Instant,
    began: Instant,
    bytes: u64,
}

impl Pace {
    /// Starts the clock.
    pub fn new(limits: PaceLimits) -> Self {
        let now = Instant::now();
        Pace { limits, last: now, began: now, bytes: 0 }
    }

    /// When to check again at the latest.
    pub fn deadline(&self) -> Instant {
        self.last.min(self.began) + self.limits.timeout
    }

    /// Counts bytes that have arrived.
    pub fn came(&mut self, bytes: usize) {
        self.last = Instant::now();
        self.bytes += bytes as u64;
        if self.last >= self.began + self.limits.timeout {
            self.begin(self.last);
        }
    }

    fn begin(&mut self, now: Instant) {
        (self.began, self.bytes) = (now, 0);
    }

    /// Called when the deadline has passed without a byte; checks whether to continue. `held` bytes of memory are held,
    /// `left` bytes are still to arrive, if known, and `contended` is true if others wait.
    ///
    /// # Errors
    /// 408.
    pub fn judge(&mut self, held: u64, left: Option<u64>, contended: bool) -> Result<(), ApiError> {
        let now = Instant::now();
        let seconds = self.limits.timeout.as_secs_f64();
        if now >= self.last + self.limits.timeout {
            return Err(too_slow(format!(
                "no byte of the body for {seconds} s (body_timeout); send it again"
            )));
        }
        if now < self.began + self.limits.timeout {
            return Ok(());
        }
        let least = (self.limits.rate as f64 * seconds) as u64;
        let fair = if contended { held / 2 } else { 0 };
        // It is enough if everything arrived that was still to come when the window began.
        let enough = left.map_or(u64::MAX, |left| left + self.bytes);
        if self.bytes < least.max(fair).min(enough) {
            let why = match fair > least {
                true => {
                    "while others wait for memory a body has to be there within twice body_timeout".to_owned()
                }
                false => format!("the least is {} a second (body_rate)", show_size(self.limits.rate)),
            };
            let message =
                format!("{} bytes of the body in {seconds} s are too slow: {why}; send it again", self.bytes);
            return Err(too_slow(message));
        }
        self.begin(now);
        Ok(())
    }
}

fn too_slow(message: String) -> ApiError {
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)
}

/// A body in memory, with the hold on its memory.
#[derive(Debug)]
pub struct Held {
    /// The bytes, as sent until they are decoded.
    pub bytes: Vec<u8>,
    encoding: Encoding,
    decoded_max: Limit,
    room: Room,
    /// Room for the decompressed body.
    unpacked: Option<Room>,
    large: Arc<Pool>,
}

/// Whether a body takes [`ARRIVAL_BYTES`] from the memory of bodies.
pub fn has_own_pieces(declared: Option<u64>) -> bool {
    declared.is_some_and(|length| length > SMALL)
}

/// A body that is arriving.
struct Arriving<'a> {
    bodies: &'a Bodies,
    limits: BodyLimits,
    declared: Option<u64>,
    bytes: Vec<u8>,
    /// The memory of `bytes` and of pieces in transit.
    room: Room,
    /// How much of it is for pieces.
    pieces: u64,
}

impl<'a> Arriving<'a> {
    /// Takes the memory of a declared length, or of the first step of an undeclared one.
    async fn begin(
        declared: Option<u64>,
        limits: BodyLimits,
        bodies: &'a Bodies,
        client: Client,
    ) -> Result<Arriving<'a>, ApiError> {
        if declared.is_some_and(|length| length > limits.sent_max.bytes) {
            return Err(limits.sent_max.passed_by("the request body"));
        }
        let first = declared.unwrap_or(FIRST_STEP);
        let pool = bodies.pool(limits.purpose, first);
        let pieces = if has_own_pieces(declared) { ARRIVAL_BYTES } else { 0 };
        let taken = pool.take_for(client.tenant(), first + pieces, limits.pace.timeout).await;
        Ok(Arriving { bodies, limits, declared, bytes: Vec::new(), room: taken.map_err(refused)?, pieces })
    }

    fn push(&mut self, data: &[u8]) -> Result<(), ApiError> {
        let total = (self.bytes.len() + data.len()) as u64;
        if total > self.limits.sent_max.bytes {
            return Err(self.limits.sent_max.passed_by("the request body"));
        }
        if total > self.room.bytes() - self.pieces {
            self.step(total).map_err(refused)?;
        }
        let room = usize::try_from(self.room.bytes() - self.pieces).unwrap_or(usize::MAX);
        self.bytes.reserve_exact(room.saturating_sub(self.bytes.len()));
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// Takes room for `total` bytes, with some in reserve.
    fn step(&mut self, total: u64) -> Result<(), Full> {
        let held = self.room.bytes();
        let more = held + held / 2;
        // A body stays in the memory of small bodies until it exceeds their limit.
        let more = if total <= SMALL { more.min(SMALL) } else { more };
        let wanted = total.max(more).min(self.limits.sent_max.bytes);
        let pool = self.bodies.pool(self.limits.purpose, wanted);
        if Arc::ptr_eq(pool, self.room.pool()) {
            return self.room.try_grow(wanted - held);
        }
        self.room = pool.try_take(wanted)?;
        Ok(())
    }

    /// Bytes that are still to come, if known.
    fn left(&self) -> Option<u64> {
        self.declared.map(|length| length.saturating_sub(self.bytes.len() as u64))
    }

    /// Called when the whole body has arrived: takes the memory for decompression.
    async fn end(self, encoding: Encoding) -> Result<Held, ApiError> {
        let Arriving { bodies, limits, bytes, mut room, .. } = self;
        room.shrink(bytes.capacity() as u64);
        let decoded_max = limits.decoded_max;
        let mut unpacked = None;
        if encoding != Encoding::Identity {
            let length = encoding::unpacked_length(encoding, &bytes, decoded_max)?;
            let pool = bodies.pool(limits.purpose, length);
            unpacked = Some(room.beside(pool, length, limits.pace.timeout).await.map_err(refused)?);
        }
        Ok(Held { bytes, encoding, decoded_max, room, unpacked, large: bodies.large.clone() })
    }
}

/// Reads a body as `client` sent it.
///
/// # Errors
/// 413 above the limits or if all the memory is too small, 408 if the body arrives too slowly, 400 if it is incomplete
/// or malformed, 429 if the memory stays in use.
pub async fn read(
    mut body: Incoming,
    encoding: Encoding,
    limits: BodyLimits,
    bodies: &Bodies,
    client: Client,
) -> Result<Held, ApiError> {
    let mut arriving = Arriving::begin(body.size_hint().exact(), limits, bodies, client).await?;
    let mut pace = Pace::new(limits.pace);
    loop {
        match tokio::time::timeout_at(pace.deadline(), body.frame()).await {
            Err(_) => {
                let contended = arriving.room.pool().waiting() > 0;
                pace.judge(arriving.room.bytes(), arriving.left(), contended)?;
            }
            Ok(None) => return arriving.end(encoding).await,
            Ok(Some(Err(_))) => {
                return Err(ApiError::bad_data(format!(
                    "the request body was interrupted or is malformed after {} bytes",
                    arriving.bytes.len()
                )));
            }
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    pace.came(data.len());
                    arriving.push(&data)?;
                }
            }
        }
    }
}

impl Held {
    /// The size of the body, decompressed if its encoding declares it.
    pub fn size(&self) -> u64 {
        self.unpacked.as_ref().map_or(0, Room::bytes).max(self.bytes.len() as u64)
    }

    /// Decompresses the body on a thread that may block.
    ///
    /// # Errors
    /// Same as [`Held::decode`].
    pub async fn decoded(mut self) -> Result<Held, ApiError> {
        if self.encoding == Encoding::Identity {
            return Ok(self);
        }
        runtime::blocking(move || self.decode().map(|()| self)).await?
    }

    /// Decompresses in place. Blocks: not for async code.
    ///
    /// # Errors
    /// 413 beyond the limit, 400 if the bytes are malformed or truncated, 429 if they are more than declared and the
    /// memory is used up.
    pub fn decode(&mut self) -> Result<(), ApiError> {
        let (Some(unpacked), large) = (&mut self.unpacked, &self.large) else { return Ok(()) };
        let bytes = encoding::unpack(self.encoding, &self.bytes, self.decoded_max, |total| {
            let held = unpacked.bytes();
            match total {
                _ if total <= held => Ok(()),
                SMALL.. if !Arc::ptr_eq(unpacked.pool(), large) => {
                    large.try_take(total).map(|room| *unpacked = room)
                }
                _ => unpacked.try_grow(total - held),
            }
            .map_err(refused)
        })?;
        // The compressed bytes are dropped before their memory is released.
        self.bytes = bytes;
        if let Some(unpacked) = self.unpacked.take() {
            self.room = unpacked;
        }
        self.room.shrink(self.bytes.capacity() as u64);
        self.encoding = Encoding::Identity;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PaceLimits = PaceLimits { timeout: Duration::from_secs(30), rate: 1024 };

    /// A pace whose last byte arrived `last` seconds ago, and whose window began `began` seconds ago.
    fn pace(last: u64, began: u64, bytes: u64) -> Pace {
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        Pace { limits: LIMITS, last: ago(last), began: ago(began), bytes }
    }

    fn why(judged: Result<(), ApiError>) -> String {
        let error = judged.unwrap_err();
        assert_eq!(error.status, 408);
        error.message
    }

    #[test]
    fn a_body_keeps_coming() {
        assert!(why(pace(31, 31, 1 << 30).judge(1, None, false)).contains("no byte of the body for 30 s"));
        assert!(pace(5, 20, 0).judge(1, None, false).is_ok(), "not yet");
        assert!(pace(5, 31, 30 * 1024).judge(1 << 30, None, false).is_ok());
        let slow = why(pace(5, 31, 30 * 1024 - 1).judge(1 << 30, None, false));
        assert!(
            slow.contains("30719 bytes of the body in 30 s") && slow.contains("1KiB a second (body_rate)")
        );
        let none = PaceLimits { rate: 0, ..LIMITS };
        assert!(Pace { limits: none, ..pace(5, 31, 1) }.judge(1 << 30, None, false).is_ok());
    }

    #[test]
    fn the_end_of_a_body_may_be_shorter_than_the_least() {
        // 500 bytes were left when the window began: 499 of them are not all, and then one is left for ever.
        assert!(why(pace(5, 31, 499).judge(1 << 20, Some(1), false)).contains("499 bytes"));
        assert!(pace(5, 31, 500).judge(1 << 20, Some(0), false).is_ok());
    }

    #[test]
    fn while_others_wait_a_body_comes_within_two_stretches() {
        let (held, half) = (20 << 20, 10 << 20);
        assert!(pace(5, 31, half).judge(held, Some(half), true).is_ok());
        assert!(why(pace(5, 31, half - 1).judge(held, Some(half), true)).contains("others wait"));
        assert!(pace(5, 31, half - 1).judge(held, Some(half), false).is_ok());
        assert!(pace(5, 31, 30 << 10).judge(1024, None, true).is_ok());
    }

    #[test]
    fn a_stretch_ends_without_a_judgement_where_bytes_are_there() {
        let mut late = pace(5, 31, 10);
        late.came(1);
        assert_eq!(late.bytes, 0);
        assert!(late.deadline() > Instant::now());
    }

    #[test]
    fn each_body_has_its_pool() {
        let bodies = Bodies::new(Share::new("bodies", 4 << 20), Share::new("forms", 1 << 20));
        let name = |purpose, bytes| {
            let pool = bodies.pool(purpose, bytes);
            let known = [&bodies.large, &bodies.small, &bodies.questions];
            known.iter().position(|known| Arc::ptr_eq(known, pool)).unwrap()
        };
        assert_eq!((name(Purpose::Write, SMALL), name(Purpose::Write, SMALL + 1)), (1, 0));
        assert_eq!((name(Purpose::Question, 0), name(Purpose::Question, SMALL + 1)), (2, 0));
        assert_eq!(bodies.small.limit() + bodies.questions.limit(), 1 << 20);
    }
}
