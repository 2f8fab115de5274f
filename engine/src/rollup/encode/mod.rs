//! Chunks of buckets: compressed runs of one series' buckets of one width, column by column.
//!
//! A column that the others imply is not stored, and most are stored as differences from what the others predict: the
//! first value from the last one before it, the extremes from first and last, the sum from the extremes, the spread
//! from the range. A reader names the columns that it needs, and the others are skipped.
//!
//! # Format
//! Version 2 with a column of native histograms, else 1. Integers are LEB128 varints ([`varint`]) unless a size is given.
//!
//! | field | bytes | meaning |
//! |---|---|---|
//! | version | 1 | 1 or 2 |
//! | class and flags | 1 | low 2 bits: [`Class`]; bit 2: gaps and steps are kept; bit 3: ends are multiples of the width; others zero |
//! | count - 1 | varint | buckets, 1 to [`BUCKETS_MAX`] |
//! | unit | varint | 1000^n ns (0 ns, 1 us, 2 ms, 3 s), the coarsest in which the width is whole |
//! | width | varint | in units |
//! | source | varint | what the buckets were folded from: 0 for samples, else width / width of the finer buckets |
//! | first end | varint | zigzag; in widths if they are multiples of it, else nanoseconds |
//! | present | varint | bit `i` for column number `i` (below) |
//! | section, each | 1 | high 2 bits: form; low 6 bits: [`CodecId`] |
//! | | varint | length of the rest |
//! | | as said | the column |
//! | checksum | 4 | CRC-32 (IEEE), little-endian, of the key, then of all bytes before it |
//!
//! Sections are in the order of their numbers. Columns have a row for each bucket with samples, unless their row below
//! says otherwise. *Previous* is the previous bucket with samples; where there is none, form 0 or the own last one
//! counts. Differences wrap. A column whose rows are all zero in form 0, or equal their first prediction, is absent. The
//! writer chooses the smallest form, but leaves extremes without a prediction where they are at most half larger so:
//! reading them then takes no other column.
//!
//! | number | column | rows | forms of its integers, or predictions of its floats |
//! |---|---|---|---|
//! | 0 | ends | all but the first | distance from the previous end, less 1; in widths or nanoseconds as the first |
//! | 1 | counts | all | |
//! | 2 | markers | all | |
//! | 3 | states | all | bit 0: ended; bit 1: overlap; bit 2: has native histograms; bit 3: and they are described; bit 4: omitted |
//! | 4 | NaN | | |
//! | 5 | last times | | 0: end - last; 1: varint zigzag `g`, then last - previous last - count g |
//! | 6 | first times | count > 1 | 0: first - (end - width); 1: varint zigzag `g`, then first - previous last - g; 2: likewise, last - first - (count - 1) g |
//! | 7 | last starts | | 0: as they are; 1: start - last time |
//! | 8 | first starts | count > 1 | 0: difference from the last start, 1: from the previous last start, 2: from the first time, 3: from the previous last time |
//! | 9 | last values | | predicted: 0 |
//! | 10 | first values | count > 1 | predicted: previous last; own last |
//! | 11 | resets | | |
//! | 12 | changes | | 0: as they are; 1: count - 1 - changes |
//! | 13 | lost | with resets, if kept | predicted: 0 |
//! | 14 | lost, more | the same | see [`sums`] |
//! | 15 | minima | | predicted: lesser of first and last |
//! | 16 | maxima | | predicted: greatest of first, last and lost |
//! | 17 | sums | | predicted: count times the mean of first and last, or of these and the extremes; 0 |
//! | 18 | sums, rest | | see [`sums`] |
//! | 19 | sums, more | | see [`sums`] |
//! | 20 | m2 | of exact sums | see [`squares`] |
//! | 21 | irregular | | 1 if distances are not equal |
//! | 22 | least gaps | | regular: difference from (last - first) / (count - 1); else see [`intervals`] |
//! | 23 | greatest gaps | | regular: difference from the least; else difference of the numbers |
//! | 24 | steps | | their bits, rotated left by 15 |
//! | 25 | sketches | | see [`coding`](super::sketch::coding) |
//! | 26 | native histograms | with state bit 3 | see [`natives`] |
//!
//! Floats are stored as [`floats`] says.
//!
//! A gauge has no columns of starts, resets and lost values, and a counter has none of sums, m2 and sketches. Lost values
//! of [`Class::Unclear`] are kept only where there is at most one reset for every 8 samples.
//!
//! An omitted bucket has no samples, markers or histograms in the chunk. It says that the samples of its span must be read
//! instead.
//!
//! # What is not stored
//! A column that a chunk does not keep, or that the caller does not ask for, reads as *unknown*: sums are
//! [huge](ExactSum::is_huge), `m2` and extremes are NaN, gaps and steps are as wide as possible, and there is no sketch.
//! Numbers of resets and changes read as 0, and start timestamps as unknown.
//!
//! Native histograms of a bucket are not described in chunks of version 1, nor where they take more than 16 MiB. What their
//! resets took is not known where gauges fall, and their sum where one of them is no gauge.

use super::bucket::Bucket;
use super::columns::Columns;
use crate::codec::CompressionLevel;
#[cfg(doc)]
use crate::codec::{CodecId, varint};
#[cfg(doc)]
use crate::rollup::ExactSum;

mod columns;
mod floats;
mod intervals;
mod natives;
mod predict;
mod reader;
mod section;
mod squares;
mod sums;
mod writer;

pub use reader::BucketChunk;
pub use section::{BucketChunkError, BucketChunkFault};

/// The maximum number of buckets in a chunk.
pub const BUCKETS_MAX: usize = 1024;

/// Chunks without native histograms, or in which these are not described.
const PLAIN_VERSION: u8 = 1;
const VERSION: u8 = 2;
const CLASS_MASK: u8 = 0x03;
const HAS_BOUNDS: u8 = 1 << 2;
const MULTIPLES: u8 = 1 << 3;
const CHECKSUM_LEN: usize = 4;

/// What a series is, which decides the columns that its chunks keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// All columns but those of resets and start timestamps.
    Gauge = 0,
    /// All columns but sums, spread and distribution.
    Counter = 1,
    /// All columns: what the series is is not known.
    Unclear = 2,
}

impl Class {
    /// Whether resets, lost values and start timestamps are kept.
    pub fn counts(self) -> bool {
        self != Class::Gauge
    }

    /// Whether sums, spread and distribution are kept.
    pub fn measures(self) -> bool {
        self != Class::Counter
    }
}

/// What all buckets of a chunk have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The width of a bucket, nanoseconds.
    pub width: i64,
    /// The width of the finer buckets from which these were folded; 0 for samples.
    pub source: i64,
    /// The columns that are kept.
    pub class: Class,
    /// Whether gaps and steps are kept.
    pub bounds: bool,
}

/// Appends one chunk to `out`. Sketches are kept where buckets have them.
///
/// # Panics
/// If there is no bucket, or more than [`BUCKETS_MAX`], or the width is not a positive multiple of the source. Ends must
/// ascend strictly, and sums must be normalized. This is asserted in debug builds.
pub fn encode(key: &[u8], shape: &Shape, buckets: &[Bucket], level: CompressionLevel, out: &mut Vec<u8>) {
    assert!((1..=BUCKETS_MAX).contains(&buckets.len()), "{} buckets in a chunk", buckets.len());
    assert!(shape.width > 0 && shape.source >= 0, "a width of {} ns", shape.width);
    assert_eq!(shape.width.checked_rem(shape.source).unwrap_or(0), 0, "a multiple of the source");
    debug_assert!(buckets.windows(2).all(|pair| pair[0].end < pair[1].end));
    writer::write(key, shape, buckets, level, out);
}

/// Appends the buckets of the chunk stored under `key`, with the columns that are asked for.
///
/// # Errors
/// The fault and its position. `out` is then unchanged.
pub fn decode(
    key: &[u8],
    bytes: &[u8],
    columns: Columns,
    out: &mut Vec<Bucket>,
) -> Result<(), BucketChunkError> {
    BucketChunk::open(key, bytes)?.decode(columns, out)
}

/// The memory of the native histograms in one chunk, unless it has only one bucket, bytes: they are decoded together.
const NATIVE_BYTES_MAX: usize = 2 << 20;

/// Divides buckets into those of one chunk each.
pub(crate) fn in_chunks(buckets: &[Bucket]) -> impl Iterator<Item = &[Bucket]> {
    let mut rest = buckets;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let mut fits = |bucket: &Bucket| {
            bytes += bucket.natives.as_ref().map_or(0, |natives| natives.memory_bytes());
            bytes <= NATIVE_BYTES_MAX
        };
        let most = rest.iter().take(BUCKETS_MAX).take_while(|bucket| fits(bucket)).count();
        let (first, later) = rest.split_at(most.max(1).min(rest.len()));
        rest = later;
        (!first.is_empty()).then_some(first)
    })
}

#[cfg(test)]
mod tests;
