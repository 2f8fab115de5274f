//! Received bytes of a TCP connection that are not stored yet, with their memory.
//!
//! An idle connection holds no memory. The first step takes the memory of a small body. While the connection waits for
//! that, nothing is read: the data stays in the kernel, and the sender waits. Larger batches are read if memory is
//! available at once. Only a line that is longer than the buffer waits while it holds memory; the pool resolves the
//! deadlock that this could cause.

use std::time::Duration;

use crate::http::body::Bodies;
use crate::memory::pool::Room;
use barograph::budget::Full;

/// Size of the first step, bytes.
const FIRST_BYTES: usize = 16 << 10;
/// Lines are stored when at least this many bytes are waiting.
const BATCH_BYTES: usize = 1 << 20;

/// A buffer of received lines; see the module's documentation.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    first: Option<Room>,
    more: Option<Room>,
}

impl LineBuffer {
    /// The received bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Capacity in bytes, including the received bytes.
    fn room(&self) -> usize {
        let bytes = |room: &Option<Room>| room.as_ref().map_or(0, Room::bytes);
        (bytes(&self.first) + bytes(&self.more)) as usize
    }

    /// The memory that it holds, bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.room() as u64
    }

    /// Whether there is no room for another byte.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= self.room()
    }

    /// Whether there is enough to store at once.
    pub fn is_batch(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES
    }

    /// Whether there is a complete line.
    pub fn has_line(&self) -> bool {
        memchr::memchr(b'\n', &self.bytes).is_some()
    }

    /// Makes room for more bytes if that needs no waiting.
    pub fn try_grow(&mut self, bodies: &Bodies) -> bool {
        let more = self.room().max(FIRST_BYTES) as u64;
        let grown = match (&self.first, &mut self.more) {
            (None, _) => bodies.small.try_take(FIRST_BYTES as u64).map(|room| self.first = Some(room)),
            (Some(_), Some(room)) => room.try_grow(more),
            (Some(_), none) => bodies.large.try_take(more).map(|room| *none = Some(room)),
        };
        self.fit();
        grown.is_ok()
    }

    /// Makes room for more bytes, and waits for the memory.
    ///
    /// # Errors
    /// [`Full`].
    pub async fn grow(&mut self, bodies: &Bodies, patience: Duration) -> Result<(), Full> {
        if self.try_grow(bodies) {
            return Ok(());
        }
        let more = self.room() as u64;
        match (&self.first, &self.more) {
            (None, _) => self.first = Some(bodies.small.take(FIRST_BYTES as u64, patience).await?),
            (Some(first), None) => self.more = Some(first.beside(&bodies.large, more, patience).await?),
            // A single room for everything replaces the existing one.
            (Some(_), Some(room)) => self.more = Some(room.beside(&bodies.large, 2 * more, patience).await?),
        }
        self.fit();
        Ok(())
    }

    fn fit(&mut self) {
        self.bytes.reserve_exact(self.room().saturating_sub(self.bytes.len()));
    }

    /// The bytes, for a caller that appends to them. If the buffer is not full, the caller appends no more than there
    /// is room for.
    pub fn spare(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Removes the first `count` bytes, which have been stored.
    pub fn drop_first(&mut self, count: usize) {
        self.bytes.drain(..count);
    }

    /// Releases the memory if there are no bytes.
    pub fn rest(&mut self) {
        if self.bytes.is_empty() {
            *self = LineBuffer::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use barograph::budget::Share;

    fn fill(buffer: &mut LineBuffer, byte: u8) {
        let room = buffer.room();
        buffer.spare().resize(room, byte);
    }

    #[test]
    fn memory_is_taken_before_the_buffer_grows_and_given_back_when_it_is_empty() {
        let bodies = Bodies::new(Share::new("bodies", 400 << 10), Share::new("forms", 1 << 20));
        let mut buffer = LineBuffer::default();
        assert!(buffer.is_full() && !buffer.is_batch());
        let mut steps = Vec::new();
        while buffer.try_grow(&bodies) {
            assert!(buffer.bytes.capacity() as u64 <= buffer.memory_bytes());
            steps.push(buffer.room() >> 10);
            fill(&mut buffer, b'x');
            assert!(buffer.is_full());
        }
        assert_eq!(
            steps,
            [16, 32, 64, 128, 256],
            "three quarters of 400 hold 240 in addition to the first 16"
        );
        assert!(!buffer.has_line());
        assert_eq!((bodies.small.used(), bodies.large.used()), (16 << 10, 240 << 10));
        buffer.drop_first(10);
        buffer.rest();
        assert_eq!(buffer.room(), 256 << 10, "the current memory stays");
        fill(&mut buffer, b'\n');
        assert!(buffer.has_line());
        buffer.drop_first(256 << 10);
        buffer.rest();
        assert_eq!((buffer.room(), bodies.small.used(), bodies.large.used()), (0, 0, 0));
    }

    #[tokio::test]
    async fn a_line_longer_than_the_buffer_waits_for_more() {
        let bodies = Bodies::new(Share::new("bodies", 400 << 10), Share::new("forms", 1 << 20));
        let mut buffer = LineBuffer::default();
        let patience = Duration::from_secs(3600);
        for kib in [16, 32, 64, 128] {
            buffer.grow(&bodies, patience).await.unwrap();
            assert_eq!(buffer.room(), kib << 10);
            fill(&mut buffer, b'x');
        }
        let other = bodies.large.try_take(150 << 10).unwrap();
        assert!(!buffer.try_grow(&bodies));
        let (grown, ()) = tokio::join!(buffer.grow(&bodies, patience), async { drop(other) });
        grown.unwrap();
        assert_eq!(buffer.bytes.len(), 128 << 10);
        assert!(buffer.room() >= 256 << 10);
        drop(buffer);
        assert_eq!((bodies.small.used(), bodies.large.used()), (0, 0));
    }
}
