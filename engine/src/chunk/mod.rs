//! Chunks: compressed runs of one series' samples, growing ([`OpenChunk`]) or stored ([`Chunk`]).
//!
//! A stored chunk is self-contained except for its key. Count, time range and codecs are in its header, so a reader can
//! skip it without decoding, and its checksum covers its key, so a chunk under a wrong key is detected. Columns are
//! stored separately (see [`codec`](crate::codec)). The in-memory form of an open chunk is private to it and never
//! stored.
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
//! A chunk is valid if and only if the version is known, the checksum matches, kind and flags are known, first and last
//! times the unit fit into `i64`, every section decodes to exactly `count` entries and uses all of its bytes, and
//! timestamps ascend strictly from first to last. Builds from before histograms and start timestamps were stored refuse
//! chunks that have them because of an unknown kind.
//!
//! # Not here
//! The keys: `store/keys.rs`. The contents of each section: the files of `codec/`.

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

/// The maximum number of samples in a chunk.
pub const SAMPLES_MAX: usize = 65_536;

/// How samples become stored chunks.
#[derive(Debug, Clone, Copy)]
pub struct Sealing {
    /// The maximum number of samples in a chunk.
    pub samples_max: usize,
    /// The effort that the codecs may spend.
    pub level: CompressionLevel,
}

/// The kind of a chunk's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ChunkKind {
    /// Floats, every bit pattern.
    Float = 0,
    /// Integers, exact over the whole range of `i64`.
    Int = 1,
    /// Native histograms.
    Histogram = 2,
}

/// A chunk of histograms is closed when its histograms take this many bytes in memory: a query for one sample of a
/// chunk decodes all of it, and histograms vary widely in size.
pub const HISTOGRAM_CHUNK_BYTES: usize = 128 << 10;

const _: () = assert!(crate::codec::histogram::columns::DECODED_BYTES_MAX > HISTOGRAM_CHUNK_BYTES);
