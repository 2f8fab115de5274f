//! A stream that passes one request at a time to the HTTP library and checks its head first.
//!
//! The stream reads until a head is complete, checks it (`head.rs`), and passes it on, with its address escaped if
//! necessary. After the answer, the library sees the end of the stream, so that it keeps no buffers for an idle
//! connection; the next request gets a new instance of the library (`connection.rs`). A refused head is replaced by a
//! plain request that closes the connection, and the refusal is passed to the service through [`Exchange`], so it is
//! answered in order, with a body, like any request. Bodies pass unchanged.
//!
//! # Invariants
//! - R1: bytes are changed only inside a head, never inside a body. After a head has been passed on, the next byte is
//!   read only when the service has received the request, and only if the HTTP library understands the same length of
//!   its body as was found here; otherwise the connection ends. Requests are smuggled past a proxy when two readers of
//!   a connection disagree. That cannot happen here.
//! - R2: while a request is answered, the next head is kept. The HTTP library checks for the end of the stream only
//!   while it has nothing to read. The end is therefore passed on at once, and no work continues for a peer that has
//!   left, even if that peer has sent further requests.
//! - R3: if the end of a body is uncertain (chunks in an unusual form), everything after it passes unchanged.
//!
//! `requests/reading.rs` has what the library reads; `closing.rs` has what it writes and how a connection ends.

mod closing;
mod reading;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf, Take};

use barograph::budget::Full;

use crate::error::ApiError;
use crate::http::body::{ARRIVAL_BYTES, has_own_pieces};
use crate::listen::chunks::{Followed, Follower};
use crate::listen::exchange::Exchange;
use crate::listen::head::{self, Framing, Head, HeadLimits, Refusal};
use crate::listen::kinds;
use crate::listen::stream::Activity;
use crate::memory::connections::{Place, Purpose, REST_BYTES};
use closing::Linger;

/// Memory of a request, bytes: buffers of the HTTP library, and the work of the service.
pub const REQUEST_BYTES: u64 = 20 << 10;
/// Maximum bytes passed to the HTTP library at once. It starts with reads of 8 KiB; when a read fills its buffer, it
/// doubles the buffer and keeps it.
const PIECE_BYTES: usize = 8 * 1024 - 1;
/// The same for a large body, if there is memory for it. Fewer pieces cost less CPU.
const LARGE_PIECE_BYTES: usize = 64 * 1024 - 1;
/// Minimum length of a large body, bytes.
const LARGE_BODY_BYTES: u64 = 256 << 10;
/// The end of a large body is passed in small pieces: after two reads that fill less than half of its buffer, the HTTP
/// library halves it, from 64 KiB to 8 KiB in three steps.
const LARGE_BODY_END_BYTES: u64 = 6 * 8 * 1024;
/// Additional memory of a connection for large pieces, instead of [`ARRIVAL_BYTES`].
const LARGE_BYTES: u64 = 128 << 10;
/// Number of bytes that are read before there is a buffer, and size of the buffer for heads, unless one is longer.
const FIRST_BYTES: usize = 2048;
/// The needs of a request, according to its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The kind of the request.
    pub purpose: Purpose,
    /// The memory of the request, bytes.
    pub bytes: u64,
}

#[derive(Debug)]
enum State {
    /// A head is arriving; this many of its bytes were searched for its end.
    Head { scanned: usize },
    /// A head is being passed on: from `replaced`, or this many bytes unchanged.
    Handing { left: usize, framing: Framing },
    /// A body with this many bytes left.
    Body { left: u64 },
    /// A chunked body.
    Chunks(Follower),
    /// Further bytes are dropped; the answer is a refusal.
    Refused,
    /// Further bytes pass unchanged.
    Opaque,
}

/// A stream of checked requests; see the module's documentation.
pub struct Requests<S> {
    inner: Take<S>,
    exchange: Arc<Exchange>,
    activity: Arc<Activity>,
    limits: HeadLimits,
    state: State,
    /// The bytes in `start..end` were read and not yet passed on.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// A head that is passed on instead of the received one, and how much of it was passed on.
    replaced: Vec<u8>,
    replaced_at: usize,
    shut_down: bool,
    linger: Option<Linger>,
    /// Number of bytes that were read and dropped.
    dropped: u64,
    /// The memory of the connection between requests.
    rest: Place,
    /// The memory of the current request.
    room: Option<Place>,
    /// The needs of the request whose head is being passed on.
    asked: Asked,
    /// Whether the HTTP library has written out everything.
    is_flushed: bool,
    /// Whether the HTTP library saw the end of a stream that has not ended.
    is_parked: bool,
    /// Maximum bytes of the current body that are passed on at once.
    piece: usize,
}

impl<S: AsyncRead + Unpin> Requests<S> {
    /// Wraps a new connection.
    ///
    /// `rest` is the memory of the connection between requests. More is taken while a long head arrives.
    pub fn new(
        inner: S,
        exchange: Arc<Exchange>,
        activity: Arc<Activity>,
        limits: HeadLimits,
        rest: Place,
    ) -> Self {
        Requests {
            inner: inner.take(0),
            exchange,
            activity,
            limits,
            state: State::Head { scanned: 0 },
            buffer: Vec::new(),
            start: 0,
            end: 0,
            replaced: Vec::new(),
            replaced_at: 0,
            shut_down: false,
            linger: None,
            dropped: 0,
            rest,
            room: None,
            asked: Asked { purpose: Purpose::Instant, bytes: REQUEST_BYTES },
            is_flushed: true,
            is_parked: false,
            piece: PIECE_BYTES,
        }
    }

    /// Reads at most `limit` bytes directly to their destination.
    fn poll_direct(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        limit: u64,
    ) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        self.inner.set_limit(limit);
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        Poll::Ready(Ok(buf.filled().len() - before))
    }

    /// Reads more into the buffer; 0 at the end of the stream. The buffer is allocated only when there is something to
    /// read, because most connections are idle.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.is_empty() {
            let mut first = [0; FIRST_BYTES];
            self.inner.set_limit(FIRST_BYTES as u64);
            let mut free = ReadBuf::new(&mut first);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut free))?;
            let count = free.filled().len();
            if count > 0 {
                self.buffer = first[..count].to_vec();
                (self.start, self.end) = (0, count);
            }
            return Poll::Ready(Ok(count));
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            // A longer head was refused before it filled the buffer.
            let most = self.limits.head() + FIRST_BYTES;
            let length = (2 * self.buffer.len()).max(FIRST_BYTES).min(most).max(self.end + 1);
            if length > FIRST_BYTES
                && let Err(full) = self.rest.grow((length - self.buffer.len()) as u64)
            {
                self.refuse_memory(full);
                return Poll::Ready(Ok(1));
            }
            self.buffer.resize(length, 0);
        }
        self.inner.set_limit(u64::MAX);
        let mut free = ReadBuf::new(&mut self.buffer[self.end..]);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut free))?;
        let count = free.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }

    /// Passes on at most `count` bytes of the buffer.
    fn give(&mut self, buf: &mut ReadBuf<'_>, count: usize) -> usize {
        let count = count.min(self.end - self.start).min(buf.remaining()).min(PIECE_BYTES);
        buf.put_slice(&self.buffer[self.start..self.start + count]);
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.buffer = Vec::new();
        }
        count
    }

    /// Determines the needs of a request whose head has `length` bytes when it is passed on.
    fn ask(&mut self, purpose: Purpose, length: usize, framing: Framing) {
        let mut bytes = REQUEST_BYTES;
        if length > FIRST_BYTES {
            // The HTTP library's buffer for it has up to twice its length.
            bytes += 2 * length as u64;
        }
        let declared = if let Framing::Length(length) = framing { Some(length) } else { None };
        if declared != Some(0) && !has_own_pieces(declared) {
            bytes += ARRIVAL_BYTES;
        }
        self.asked = Asked { purpose, bytes };
    }

    /// Determines the size of the pieces of the following body, and takes their memory.
    fn take_pieces(&mut self, framing: Framing) {
        self.piece = PIECE_BYTES;
        // Most of the memory is left to connections: a hundred bodies that never end must not exclude others.
        if let (Framing::Length(LARGE_BODY_BYTES..), Some(room)) = (framing, &mut self.room)
            && room.grow_if_idle(LARGE_BYTES)
        {
            self.piece = LARGE_PIECE_BYTES;
        }
    }

    /// Maximum bytes to read of a body with `left` bytes left.
    fn piece(&self, left: u64) -> u64 {
        let small = left.min(PIECE_BYTES as u64);
        left.saturating_sub(LARGE_BODY_END_BYTES).min(self.piece as u64).max(small)
    }

    /// Passes on the head that replaces the received one. Returns false when nothing of it is left.
    fn give_replaced(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let rest = &self.replaced[self.replaced_at..];
        if rest.is_empty() {
            return false;
        }
        let count = rest.len().min(buf.remaining()).min(PIECE_BYTES);
        buf.put_slice(&rest[..count]);
        self.replaced_at += count;
        if self.replaced_at == self.replaced.len() {
            (self.replaced, self.replaced_at) = (Vec::new(), 0);
        }
        true
    }

    /// Examines the part of a head that has arrived. Returns false while more is needed.
    fn examine(&mut self, scanned: usize) -> bool {
        let bytes = &self.buffer[self.start..self.end];
        // Empty lines before a request do not belong to it.
        let empty = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let scanned = scanned.saturating_sub(empty);
        self.start += empty;
        match head::examine(&bytes[empty..], scanned, self.limits) {
            Ok(None) => {
                self.state = State::Head { scanned: self.end - self.start };
                return false;
            }
            Ok(Some(Head { length, escaped, framing })) => {
                let plain = &self.buffer[self.start..self.start + length];
                let purpose = kinds::purpose(escaped.as_deref().unwrap_or(plain), framing);
                self.ask(purpose, escaped.as_ref().map_or(length, Vec::len).max(self.buffer.len()), framing);
                let left = match escaped {
                    None => length,
                    Some(escaped) => {
                        self.start += length;
                        self.replaced = escaped;
                        0
                    }
                };
                self.state = State::Handing { left, framing };
            }
            Err(refusal) => self.refuse(*refusal),
        }
        true
    }

    /// Refuses the current head because there is no memory for it.
    fn refuse_memory(&mut self, full: Full) {
        let error = ApiError::busy(format!("{full} (memory); retry later, or raise it"), 1);
        self.refuse(Refusal::of(&self.buffer[self.start..self.end], error));
    }

    /// Passes on a request that is answered with an error, instead of the received one.
    fn refuse(&mut self, refusal: Refusal) {
        let Refusal { error, path, is_head } = refusal;
        let method = if is_head { "HEAD" } else { "GET" };
        let request = format!("{method} {path} HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n");
        self.replaced = request.into_bytes();
        self.exchange.refuse(error);
        (self.start, self.end) = (0, 0);
        self.ask(Purpose::Instant, 0, Framing::Length(0));
        self.state = State::Refused;
    }

    /// Called when the head was passed on: continues with the body, if the HTTP library agrees on its length.
    fn after_head(&mut self, framing: Framing) -> io::Result<()> {
        let found = match framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        };
        if self.exchange.take_begun() != Some(found) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request's end is not certain"));
        }
        self.state = match framing {
            Framing::Length(0) => State::Head { scanned: 0 },
            Framing::Length(left) => State::Body { left },
            Framing::Chunked => State::Chunks(Follower::at_start()),
        };
        Ok(())
    }

    /// Passes on a part of a chunked body. Returns false if more must be read first.
    fn give_chunks(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let State::Chunks(follower) = &mut self.state else { return false };
        let count = (self.end - self.start).min(buf.remaining());
        if count == 0 {
            return false;
        }
        match follower.follow(&self.buffer[self.start..self.start + count]) {
            Followed::All => self.give(buf, count),
            Followed::Ends(count) => {
                self.state = State::Head { scanned: 0 };
                self.give(buf, count)
            }
            Followed::Lost => {
                // Only the HTTP library would know where the next request begins.
                self.exchange.end_with_this();
                self.state = State::Opaque;
                self.give(buf, count)
            }
        };
        true
    }

    /// Passes on everything that is in the buffer or arrives.
    fn poll_opaque(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.give(buf, usize::MAX) {
            0 => self.poll_direct(cx, buf, PIECE_BYTES as u64).map_ok(drop),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Reads ahead while a request is answered. Ready at the end of the stream, which is the only thing passed on.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.activity.wake_at_end(cx);
        while self.end - self.start < FIRST_BYTES {
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }

    /// Waits for a head without passing it on, and returns the needs of its request; `None` at the end of the stream.
    ///
    /// # Errors
    /// The connection failed, or its peer was too slow.
    pub async fn next(&mut self) -> io::Result<Option<Asked>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Asked>>> {
        self.room = None;
        self.is_parked = false;
        if self.buffer.len() <= FIRST_BYTES {
            self.rest.shrink(REST_BYTES);
        }
        loop {
            let State::Head { scanned } = self.state else {
                let has_head = matches!(self.state, State::Handing { .. } | State::Refused);
                return Poll::Ready(Ok(has_head.then_some(self.asked)));
            };
            if self.start < self.end && self.examine(scanned) {
                continue;
            }
            if ready!(self.poll_fill(cx))? == 0 {
                // The peer has left, so an incomplete request is dropped.
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// Completes when the peer has left.
    pub async fn left(&mut self) {
        // An error ends the connection as well.
        let _ = std::future::poll_fn(|cx| self.poll_ahead(cx)).await;
    }

    /// Provides the memory of the request whose head was found, so that the HTTP library can read it.
    pub fn begin(&mut self, room: Place) {
        self.room = Some(room);
        self.is_flushed = true;
        if let State::Handing { framing, .. } = self.state {
            self.take_pieces(framing);
        }
    }

    /// Whether the HTTP library has finished a request and the connection stays open.
    pub fn is_parked(&self) -> bool {
        self.is_parked
    }

    /// Called after a request: the peer may send another, or has already sent it. The HTTP library sees the end of the
    /// stream when it has written the answer, and its buffers are released.
    fn poll_park(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.is_busy() || !self.is_flushed {
            return self.poll_ahead(cx);
        }
        self.is_parked = true;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod differential;
#[cfg(test)]
mod tests;
