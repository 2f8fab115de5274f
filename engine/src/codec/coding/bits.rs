//! Bit streams, low bits first.
//!
//! The first bit written is bit 0 of byte 0, so a reader loads one unaligned little-endian word, shifts it, and takes
//! its low bits. No shift depends on a width, and the control bits of a prefix code come first.
//!
//! Between two writes, the writer's state is the bytes and the word that is not full yet ([`Pending`]). So a chunk that
//! grows sample by sample can keep a stream without a writer. The word is next to the chunk's other fields and not at
//! the end of its bytes, because otherwise a head with many series would wait for memory at each sample.
//!
//! # Invariants
//! - I1. While a stream is open, its length is a multiple of eight bytes; [`BitWriter::finish`] adds the bytes of the
//!   last word.
//! - I2. Reading past the end returns zeros and never panics; [`BitReader::finish`] reports it.

use crate::codec::Fault;

const WORD: usize = 8;

/// The last bits of an open stream, fewer than a word, followed by a set bit that marks their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending(u64);

impl Default for Pending {
    fn default() -> Self {
        Pending(1)
    }
}

impl Pending {
    /// The number of bits, and the bits; all higher ones are zero.
    #[inline]
    fn bits(self) -> (u32, u64) {
        let used = u64::BITS.wrapping_sub(1).wrapping_sub(self.0.leading_zeros());
        (used, self.0 & mask(used))
    }

    /// The bits as bytes, and the number of bytes.
    #[inline]
    pub fn bytes(self) -> ([u8; WORD], usize) {
        let (used, word) = self.bits();
        (word.to_le_bytes(), used.div_ceil(8) as usize)
    }
}

/// Appends bits to a byte vector that it borrows.
#[derive(Debug)]
pub struct BitWriter<'a> {
    bytes: &'a mut Vec<u8>,
    word: u64,
    used: u32,
}

impl<'a> BitWriter<'a> {
    /// Begins a stream at the end of `bytes`.
    pub fn new(bytes: &'a mut Vec<u8>) -> Self {
        BitWriter { bytes, word: 0, used: 0 }
    }

    /// Continues a stream that was suspended with [`BitWriter::suspend`].
    #[inline]
    pub fn resume(bytes: &'a mut Vec<u8>, pending: Pending) -> Self {
        let (used, word) = pending.bits();
        BitWriter { bytes, word, used }
    }

    /// Suspends the stream: `bytes` contains whole words, and the result resumes it.
    #[inline]
    pub fn suspend(self) -> Pending {
        self.pending()
    }

    #[inline]
    fn pending(&self) -> Pending {
        Pending(self.word | 1u64.wrapping_shl(self.used))
    }

    /// Ends the stream.
    pub fn finish(self) {
        let (word, used) = self.pending().bytes();
        self.bytes.extend_from_slice(&word[..used]);
    }

    /// Appends the low `width` bits of `value`; all bits above them must be zero.
    #[inline]
    pub fn write(&mut self, value: u64, width: u32) {
        debug_assert!(width <= 64 && (width == 64 || value >> width == 0));
        self.word |= value.wrapping_shl(self.used);
        let used = self.used.wrapping_add(width);
        if used < u64::BITS {
            self.used = used;
            return;
        }
        if self.bytes.len() == self.bytes.capacity() {
            grow(self.bytes);
        }
        self.bytes.extend_from_slice(&self.word.to_le_bytes());
        // Nothing is left if the value ended the word; if it also began it, all of it may have been written.
        self.word = value.checked_shr(u64::BITS.wrapping_sub(self.used)).unwrap_or(0);
        self.used = used.wrapping_sub(u64::BITS);
    }
}

/// Grows by half instead of doubling like `Vec`: a million open chunks are in such vectors, and their unused capacity
/// is memory of the head.
#[cold]
fn grow(bytes: &mut Vec<u8>) {
    let more = (bytes.len() / 2).next_multiple_of(WORD).max(3 * WORD);
    bytes.reserve_exact(more);
}

/// Reads bits from a byte slice.
#[derive(Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// In bits from the start.
    position: usize,
}

impl<'a> BitReader<'a> {
    /// Creates a reader at the first bit of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, position: 0 }
    }

    /// The number of bits read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// At least the next 57 bits; zeros past the end.
    #[inline]
    pub fn peek(&self) -> u64 {
        let at = self.position >> 3;
        let word = match self.bytes.get(at..).and_then(|tail| tail.first_chunk::<WORD>()) {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => self.peek_tail(at),
        };
        word >> (self.position & 7)
    }

    #[cold]
    fn peek_tail(&self, at: usize) -> u64 {
        let tail = self.bytes.get(at..).unwrap_or_default();
        let mut word = [0; WORD];
        word[..tail.len()].copy_from_slice(tail);
        u64::from_le_bytes(word)
    }

    /// Skips `width` bits.
    #[inline]
    pub fn skip(&mut self, width: u32) {
        self.position = self.position.wrapping_add(width as usize);
    }

    /// Reads `width` bits, 0 to 64.
    #[inline]
    pub fn read(&mut self, width: u32) -> u64 {
        let mut value = self.peek();
        let got = 64u32.wrapping_sub((self.position & 7) as u32);
        if width > got {
            let high = self.bytes.get((self.position >> 3).wrapping_add(WORD)).copied().unwrap_or(0);
            value |= u64::from(high).wrapping_shl(got);
        }
        self.skip(width);
        value & mask(width)
    }

    /// Ends reading.
    ///
    /// # Errors
    /// [`Fault::Truncated`] if more bits were read than there are, [`Fault::Trailing`] if a whole byte or a set bit is
    /// left.
    pub fn finish(self) -> Result<(), Fault> {
        let used = self.position.div_ceil(8);
        if used > self.bytes.len() {
            Err(Fault::Truncated)
        } else if used < self.bytes.len() || (self.position & 7 != 0 && self.peek() != 0) {
            Err(Fault::Trailing)
        } else {
            Ok(())
        }
    }
}

/// The low `width` bits set; `width` is at most 64.
#[inline]
pub const fn mask(width: u32) -> u64 {
    if width == 0 { 0 } else { u64::MAX >> (64u32.wrapping_sub(width) & 63) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_bits() {
        let mut bytes = vec![0x55];
        let mut writer = BitWriter::new(&mut bytes);
        writer.write(0b1, 1);
        writer.write(0b01, 2);
        writer.write(0xabc, 12);
        writer.write(u64::MAX, 64);
        writer.finish();
        assert_eq!(bytes, [0x55, 0xe3, 0xd5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    }

    #[test]
    fn nothing_written_is_nothing_stored() {
        let mut bytes = vec![1, 2, 3];
        BitWriter::new(&mut bytes).finish();
        assert_eq!(bytes, [1, 2, 3]);
        assert_eq!(BitReader::new(&[]).finish(), Ok(()));
    }

    #[test]
    fn the_reader_notices_both_ends() {
        let mut reader = BitReader::new(&[0xff]);
        assert_eq!(reader.read(9), 0xff);
        assert_eq!(reader.finish(), Err(Fault::Truncated));
        let mut reader = BitReader::new(&[0xff]);
        reader.skip(7);
        assert_eq!(reader.finish(), Err(Fault::Trailing));
        let mut reader = BitReader::new(&[0x7f, 0]);
        reader.skip(7);
        assert_eq!(reader.finish(), Err(Fault::Trailing));
        let mut reader = BitReader::new(&[0x7f]);
        reader.skip(7);
        assert_eq!(reader.finish(), Ok(()));
        let mut reader = BitReader::new(&[]);
        reader.position = usize::MAX - 100;
        assert_eq!(reader.read(64), 0);
        assert_eq!(reader.finish(), Err(Fault::Truncated));
    }

    proptest! {
        #[test]
        fn round_trip(
            fields in prop::collection::vec((any::<u64>(), 0u32..=64, any::<bool>()), 0..200),
            before in 0usize..9,
        ) {
            let mut bytes = vec![0xee; before];
            let mut pending = Pending::default();
            for &(value, width, pause) in &fields {
                let mut writer = BitWriter::resume(&mut bytes, pending);
                writer.write(value & mask(width), width);
                if pause {
                    writer.write(1, 1);
                }
                pending = writer.suspend();
            }
            let (last, used) = pending.bytes();
            prop_assert_eq!((bytes.len() - before) % WORD, 0);
            prop_assert_eq!((bytes.len() - before + used) as u32, fields.iter().map(|f| f.1 + u32::from(f.2)).sum::<u32>().div_ceil(8));
            bytes.extend_from_slice(&last[..used]);
            let bits: u32 = fields.iter().map(|&(_, width, pause)| width + u32::from(pause)).sum();
            prop_assert_eq!(bytes.len(), before + (bits as usize).div_ceil(8));
            let mut reader = BitReader::new(&bytes[before..]);
            for &(value, width, pause) in &fields {
                prop_assert_eq!(reader.read(width), value & mask(width));
                if pause {
                    prop_assert_eq!(reader.peek() & 1, 1);
                    reader.skip(1);
                }
            }
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }
}
