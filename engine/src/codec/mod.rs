//! Codecs: how columns of timestamps and values become bytes, and come back bit for bit.
//!
//! A codec turns one column of a chunk into one run of bytes, its *section*, and never
//! mixes columns: sections of neighbouring series that share their timestamps stay equal
//! byte runs, which the store's block compression then finds again. A codec knows
//! nothing of chunks: the caller passes count, time range and the section's length.
//!
//! The writer keeps the smallest of the codecs that suit a column ([`adaptive`]) and
//! stores its name ([`CodecId`]); the reader never guesses.
//!
//! # Invariants
//! - I1. Decoding gives back the very bits that were encoded, for every bit pattern.
//! - I2. No input panics a decoder, and none makes it allocate more than the count that
//!   the caller passed.
//! - I3. A section is used up to its last byte; what is left over is a fault.

pub mod adaptive;
pub mod buckets;
pub mod coding;
pub mod decimal;
pub mod gorilla;
pub mod histogram;
pub mod integers;
pub mod near;
pub mod packed;
mod plan;
pub mod sparse;
#[cfg(test)]
pub(crate) mod test_data;
pub mod timestamps;
pub mod transform;

pub use coding::{bitpack, bits, blocks, exceptions, prefix, varint};

/// What an encoder may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionLevel {
    /// For chunks that are merged soon: quick to write, quickest to read.
    Fast,
    /// For chunks that stay: as small as the codecs can make them.
    Best,
}

/// Names a codec in stored bytes. A number once given is never given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CodecId {
    /// Timestamps with one interval, which the chunk's time range implies: no bytes.
    Regular = 0x01,
    /// Timestamps as bucketed differences of differences.
    DeltaOfDelta = 0x02,
    /// Timestamps as bit-packed integers.
    PackedTimes = 0x03,
    /// One float for all samples: its bytes up to the last that is not zero.
    ConstantFloat = 0x10,
    /// Floats as XOR with the float before (Gorilla).
    Xor = 0x11,
    /// Floats that are decimal numbers, as bit-packed integers.
    Decimal = 0x12,
    /// Floats that are fractions of one denominator but for their last bits.
    Near = 0x13,
    /// One integer for all samples: zigzag varint.
    ConstantInt = 0x20,
    /// Integers as bucketed differences.
    IntDelta = 0x21,
    /// Integers, bit-packed.
    PackedInts = 0x22,
    /// Native histograms: a table of layouts and columns of counts, each with a codec of its own.
    Histograms = 0x30,
}

impl CodecId {
    /// The codec a stored byte names.
    ///
    /// # Errors
    /// [`Fault::UnknownCodec`] for a byte that this build does not know.
    pub fn from_byte(byte: u8) -> Result<Self, Fault> {
        Ok(match byte {
            0x01 => CodecId::Regular,
            0x02 => CodecId::DeltaOfDelta,
            0x03 => CodecId::PackedTimes,
            0x10 => CodecId::ConstantFloat,
            0x11 => CodecId::Xor,
            0x12 => CodecId::Decimal,
            0x13 => CodecId::Near,
            0x20 => CodecId::ConstantInt,
            0x21 => CodecId::IntDelta,
            0x22 => CodecId::PackedInts,
            0x30 => CodecId::Histograms,
            _ => return Err(Fault::UnknownCodec(byte)),
        })
    }

    /// The byte that is stored.
    pub fn to_byte(self) -> u8 {
        self as u8
    }
}

/// What is wrong with bytes that a decoder refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The bytes end before the last sample.
    #[error("ends before its last sample")]
    Truncated,
    /// Bytes are left after the last sample.
    #[error("bytes left after the last sample")]
    Trailing,
    /// A varint is longer than its value needs, or than 64 bits.
    #[error("varint is not in its shortest form")]
    Varint,
    /// A field is outside its limits.
    #[error("field out of range")]
    Field,
    /// A native histogram that breaks a rule, or a chunk of them that is too large.
    #[error("a native histogram is malformed or too large")]
    Histogram,
    /// A codec that this build does not know, or that does not fit the column.
    #[error("unknown codec 0x{0:02x}")]
    UnknownCodec(u8),
    /// Decoded timestamps do not ascend.
    #[error("timestamps do not ascend")]
    Order,
    /// Decoded timestamps do not end where the header says.
    #[error("timestamps disagree with the time range")]
    Range,
}
