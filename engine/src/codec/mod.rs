//! Codecs: lossless encodings of columns of timestamps and values.
//!
//! A codec encodes one column of a chunk as a sequence of bytes, its *section*, and never mixes columns. Sections of
//! neighbouring series with the same timestamps are therefore equal byte sequences, which the store's block compression
//! can find. A codec knows nothing of chunks: the caller passes count, time range and the section's length.
//!
//! The writer uses the codec with the smallest result among those that suit a column ([`adaptive`]) and stores its id
//! ([`CodecId`]); the reader never guesses.
//!
//! # Invariants
//! - I1. Decoding returns exactly the bits that were encoded, for every bit pattern.
//! - I2. No input makes a decoder panic, or allocate more than the count that the caller passed.
//! - I3. A section is read to its last byte; remaining bytes are a fault.

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
pub(crate) use plan::common_divisor;

/// The effort that an encoder may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionLevel {
    /// For chunks that are merged soon: fast to write, fastest to read.
    Fast,
    /// For chunks that are kept and read often: a form that is slower to read is chosen only if it is much smaller.
    Balanced,
    /// For chunks that are kept: as small as the codecs can make them.
    Best,
}

macro_rules! codecs {
    ($($(#[$doc:meta])* $codec:ident = $byte:literal)+) => {
        /// Identifies a codec in stored bytes. A number that has been assigned is never reused. Its high half is the
        /// kind of column: 0 timestamps, 1 floats, 2 integers, 3 histograms.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum CodecId {
            $($(#[$doc])* $codec = $byte,)+
        }

        impl CodecId {
            /// The codec for a stored byte.
            ///
            /// # Errors
            /// [`Fault::UnknownCodec`] for a byte that this build does not know.
            pub fn from_byte(byte: u8) -> Result<Self, Fault> {
                match byte {
                    $($byte => Ok(CodecId::$codec),)+
                    _ => Err(Fault::UnknownCodec(byte)),
                }
            }
        }
    };
}

codecs! {
    /// Timestamps with one interval, which the chunk's time range implies: no bytes.
    Regular = 0x01
    /// Timestamps as bucketed differences of differences.
    DeltaOfDelta = 0x02
    /// Timestamps as bit-packed integers.
    PackedTimes = 0x03
    /// One float for all samples: its bytes up to the last non-zero one.
    ConstantFloat = 0x10
    /// Floats as XOR with the previous float (Gorilla).
    Xor = 0x11
    /// Floats that are decimal numbers, as bit-packed integers.
    Decimal = 0x12
    /// Floats that are fractions with a common denominator, except for their last bits.
    Near = 0x13
    /// One integer for all samples: zigzag varint.
    ConstantInt = 0x20
    /// Integers as bucketed differences.
    IntDelta = 0x21
    /// Integers, bit-packed.
    PackedInts = 0x22
    /// Native histograms: a table of layouts and columns of counts, each with a separate codec.
    Histograms = 0x30
}

impl CodecId {
    /// Whether the codec is for integers.
    pub fn is_for_ints(self) -> bool {
        self.to_byte() >> 4 == 2
    }

    /// The stored byte.
    pub fn to_byte(self) -> u8 {
        self as u8
    }
}

/// The fault of bytes that a decoder refuses.
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
    /// The last decoded timestamp differs from that of the header.
    #[error("timestamps disagree with the time range")]
    Range,
}
