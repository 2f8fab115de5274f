//! Buffers whose memory is taken before they grow and released when their bytes have been sent.

use barograph::budget::{Hold, Taken, Work};
use bytes::Bytes;

use crate::error::ApiError;
use crate::json::Sink;

/// Size of a piece of an answer in bytes, unless a single item is larger.
pub(super) const PIECE_BYTES: usize = 64 * 1024;
/// Size of the first buffer in bytes; most answers need no more.
pub(super) const FIRST_BYTES: usize = 1024;

/// Written bytes with the hold on their memory. The work that wrote them holds it until they become part of an answer.
pub struct HeldBytes {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The hold on their memory.
    pub taken: Taken,
}

/// Bytes that release their memory when they have been sent or dropped.
struct Piece<H> {
    bytes: Vec<u8>,
    _held: H,
}

impl<H> AsRef<[u8]> for Piece<H> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HeldBytes {
    /// Converts to [`Bytes`], whose memory is still held by the work that wrote them.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(Piece { bytes: self.bytes, _held: self.taken })
    }

    /// Converts to [`Bytes`], whose memory is held by `hold` instead of the work that wrote them.
    pub fn held_by(self, hold: Hold) -> Bytes {
        Bytes::from_owner(Piece { bytes: self.bytes, _held: hold })
    }
}

/// A buffer with the memory that is taken for it.
pub(super) struct Buffer {
    /// The written bytes.
    pub bytes: Vec<u8>,
    taken: Taken,
    prepaid: usize,
}

impl Buffer {
    /// An empty buffer. `prepaid` bytes of it are already taken by the caller.
    pub fn new(work: &Work, prepaid: usize) -> Self {
        Buffer { bytes: Vec::new(), taken: Taken::of(work), prepaid }
    }

    /// Takes memory for `room` more bytes, and then reserves them.
    pub fn reserve(&mut self, room: usize) -> Result<(), ApiError> {
        let needed = self.bytes.len() + room;
        if needed > self.bytes.capacity() {
            let grown = (4 * self.bytes.capacity()).clamp(FIRST_BYTES, PIECE_BYTES).max(needed);
            self.taken.at_least(grown.saturating_sub(self.prepaid))?;
            self.bytes.reserve_exact(grown - self.bytes.len());
        }
        Ok(())
    }

    /// Takes memory for growth beyond the reserved room.
    pub fn settle(&mut self) -> Result<(), ApiError> {
        Ok(self.taken.at_least(self.bytes.capacity().saturating_sub(self.prepaid))?)
    }

    /// The written bytes, whose memory is held until they are sent.
    pub fn into_held(self) -> HeldBytes {
        HeldBytes { bytes: self.bytes, taken: self.taken }
    }
}

/// A buffer that stays in one piece, for an answer that must be complete before its first byte is sent.
pub struct Whole {
    bytes: Vec<u8>,
    taken: Taken,
}

impl Whole {
    /// An empty buffer.
    pub fn new(work: &Work) -> Self {
        Whole { bytes: Vec::new(), taken: Taken::of(work) }
    }

    /// The written bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Clears the buffer and keeps its memory for later use.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

impl Sink for Whole {
    type Error = ApiError;

    fn put(&mut self, room: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), ApiError> {
        let needed = self.bytes.len() + room;
        if needed > self.bytes.capacity() {
            let grown = needed.max(2 * self.bytes.capacity());
            // While the buffer moves, both copies exist.
            self.taken.at_least(grown + self.bytes.capacity())?;
            self.bytes.reserve_exact(grown - self.bytes.len());
        }
        write(&mut self.bytes);
        Ok(self.taken.at_least(self.bytes.capacity())?)
    }
}
