//! Bytes whose memory is taken before they are there, and given back when they have been sent.

use barograph_engine::budget::{Hold, Taken, Work};
use bytes::Bytes;

use crate::error::ApiError;
use crate::json::Sink;

/// Bytes of a piece of an answer, unless one thing that is written has more.
pub(super) const PIECE_BYTES: usize = 64 * 1024;
/// Bytes of the first buffer; most answers need no more.
pub(super) const FIRST_BYTES: usize = 1024;

/// Written bytes and what holds their memory: the work that wrote them, until they are a part of an answer.
pub struct HeldBytes {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their memory.
    pub taken: Taken,
}

/// Bytes that give their memory back when they have been sent or dropped.
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
    /// On their way, held by the work that wrote them.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(Piece { bytes: self.bytes, _held: self.taken })
    }

    /// On their way, held by `hold`; the work that wrote them holds them no more.
    pub fn held_by(self, hold: Hold) -> Bytes {
        Bytes::from_owner(Piece { bytes: self.bytes, _held: hold })
    }
}

/// A buffer and the memory that is taken for it.
pub(super) struct Buffer {
    /// What was written.
    pub bytes: Vec<u8>,
    taken: Taken,
    prepaid: usize,
}

impl Buffer {
    /// An empty buffer, of which somebody else has taken `prepaid` bytes.
    pub fn new(work: &Work, prepaid: usize) -> Self {
        Buffer { bytes: Vec::new(), taken: Taken::of(work), prepaid }
    }

    /// Makes room for `room` more bytes, which are taken first.
    pub fn reserve(&mut self, room: usize) -> Result<(), ApiError> {
        let needed = self.bytes.len() + room;
        if needed > self.bytes.capacity() {
            let grown = (4 * self.bytes.capacity()).clamp(FIRST_BYTES, PIECE_BYTES).max(needed);
            self.taken.at_least(grown.saturating_sub(self.prepaid))?;
            self.bytes.reserve_exact(grown - self.bytes.len());
        }
        Ok(())
    }

    /// Takes what the buffer has grown by beyond the room that was made.
    pub fn settle(&mut self) -> Result<(), ApiError> {
        Ok(self.taken.at_least(self.bytes.capacity().saturating_sub(self.prepaid))?)
    }

    /// What was written, held until it is sent.
    pub fn into_held(self) -> HeldBytes {
        HeldBytes { bytes: self.bytes, taken: self.taken }
    }
}

/// A buffer that stays whole, for an answer that has to be finished before its first byte is sent.
pub struct Whole {
    bytes: Vec<u8>,
    taken: Taken,
}

impl Whole {
    /// An empty one.
    pub fn new(work: &Work) -> Self {
        Whole { bytes: Vec::new(), taken: Taken::of(work) }
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Empties it; its memory stays for what comes next.
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
            // While it moves, both are there.
            self.taken.at_least(grown + self.bytes.capacity())?;
            self.bytes.reserve_exact(grown - self.bytes.len());
        }
        write(&mut self.bytes);
        Ok(self.taken.at_least(self.bytes.capacity())?)
    }
}
