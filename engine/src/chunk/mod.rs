//! Chunks: compressed runs of one series' samples, growing ([`OpenChunk`]) or stored ([`Chunk`]).
//!
//! A stored chunk is self-contained but for its key: count, time range and codecs stand in
//! its header, so a reader skips it without decoding, and its checksum covers the key it
//! is stored under, so a chunk in the wrong place is noticed. Columns are runs
//! of their own (see [`codec`](crate::codec)). An open chunk's form in memory is private
//! to it and never stored.
//!
//! # Format
//! Version 1. Integers are LEB128 varints ([`varint`]) unless a size is given.
//!
//! | field | bytes | meaning |
//! |---|---|---|
//! | version | 1 | 1 |
//! | kind and flags | 1 | low 4 bits: 0 float, 1 int64, 2 histogram, 3 event (reserved); bit 4: a section of start timestamps; others zero |
//! | count - 1 | varint | samples, 1 to 65,536 |
//! | first | varint | first timestamp in units, zigzag |
//! | span | varint | last timestamp - first timestamp, in units |
//! | unit and timestamp codec | 1 | high 2 bits: unit 1000^n ns (0 ns, 1 us, 2 ms, 3 s), the coarsest in which every timestamp is whole; low 6 bits: [`CodecId`] of timestamps, 1 to 15 |
//! | timestamp length | varint | bytes of the timestamp section |
//! | timestamps | as said | the section |
//! | start timestamps | as [`starts`] says | only with bit 4 |
//! | value codec | 1 | [`CodecId`] of values |
//! | values | rest | the section, up to the checksum |
//! | checksum | 4 | CRC-32 (IEEE), little-endian, of the key, then of all bytes before it |
//!
//! A chunk is valid iff: the version is known, the checksum agrees, kind and flags are known,
//! first and last times the unit are `i64`s, every section decodes to exactly `count`
//! entries and uses its bytes up, and timestamps ascend strictly from first to last. Builds
//! before histograms and start timestamps were stored refuse chunks that have them as of an
//! unknown kind.
//!
//! # Not here
//! The keys: `store/keys.rs`. What each section's bytes mean: the files of `codec/`, and for
//! histograms [`histograms`].

pub mod histograms;
pub mod open;
pub mod pieces;
pub mod run;
pub mod sealed;
pub mod starts;

use crate::codec::CompressionLevel;
#[cfg(doc)]
use crate::codec::{CodecId, varint};

pub use open::OpenChunk;
pub use run::Run;
pub use sealed::{Chunk, ChunkError, ChunkFault, ChunkValues, Scratch, encode, encode_started};

/// The most samples one chunk holds.
pub const SAMPLES_MAX: usize = 65_536;

/// How samples become stored chunks.
#[derive(Debug, Clone, Copy)]
pub struct Sealing {
    /// Most samples of a chunk.
    pub samples_max: usize,
    /// What the codecs may spend.
    pub level: CompressionLevel,
}

/// What a chunk's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ChunkKind {
    /// Floats, every bit pattern.
    Float = 0,
    /// Integers, exact over the whole of `i64`.
    Int = 1,
    /// Native histograms.
    Histogram = 2,
}

/// Chunks of histograms are closed when these take this many bytes in memory: a query that
/// wants one sample of a chunk decodes all of it, and histograms are of very different sizes.
pub const HISTOGRAM_CHUNK_BYTES: usize = 128 << 10;
