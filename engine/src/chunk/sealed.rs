//! The stored chunk: [`encode`] writes one, [`Chunk`] reads it. The format is specified in
//! [`chunk`](crate::chunk).

use std::borrow::Cow;
use std::sync::Arc;

use super::starts::{self, Form};
use super::{ChunkKind, SAMPLES_MAX};
use crate::codec::histogram::columns as histograms;
use crate::codec::timestamps::{self, Frame};
use crate::codec::{CodecId, CompressionLevel, Fault, adaptive, varint};
use crate::model::Histogram;

const VERSION: u8 = 1;
const KIND_MASK: u8 = 0x0f;
const HAS_STARTS: u8 = 1 << 4;
const UNIT_SHIFT: u32 = 6;
const CODEC_MASK: u8 = (1 << UNIT_SHIFT) - 1;
const CHECKSUM_LEN: usize = 4;

/// Nanoseconds in a unit of timestamps, by unit number.
const UNITS: [i64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

/// The values of a chunk to encode.
#[derive(Debug, Clone, Copy)]
pub enum ChunkValues<'a> {
    /// Becomes a [`ChunkKind::Float`] chunk.
    Float(&'a [f64]),
    /// Becomes a [`ChunkKind::Int`] chunk.
    Int(&'a [i64]),
    /// Becomes a [`ChunkKind::Histogram`] chunk. The histograms must be valid, and take at most
    /// [`HISTOGRAM_CHUNK_BYTES`](super::HISTOGRAM_CHUNK_BYTES) in memory unless there is only one.
    Histogram(&'a [Arc<Histogram>]),
}

/// Why stored bytes are not a chunk, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chunk byte {offset}: {what}")]
pub struct ChunkError {
    /// In bytes from the chunk's start; for a fault of a section, the section's start.
    pub offset: usize,
    /// The fault.
    pub what: ChunkFault,
}

/// What is wrong with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkFault {
    /// Written by a newer build.
    #[error("format version {0}, this build reads up to {VERSION}")]
    FutureVersion(u8),
    /// The bytes changed, or the chunk belongs to another key.
    #[error("checksum {found:08x}, expected {expected:08x}: damaged, or stored under a wrong key")]
    Checksum {
        /// The stored checksum.
        found: u32,
        /// The checksum of key and bytes.
        expected: u32,
    },
    /// A kind or flag that this build does not know.
    #[error("unknown kind and flags 0x{0:02x}")]
    Kind(u8),
    /// More samples than a chunk may hold.
    #[error("{0} samples, a chunk holds at most 65536")]
    Count(u64),
    /// A timestamp that does not fit into an `i64` of nanoseconds.
    #[error("timestamp out of range")]
    TimeRange,
    /// Another kind of chunk was read as integers.
    #[error("not a chunk of integers")]
    NotInts,
    /// A chunk of histograms was read as numbers.
    #[error("a chunk of histograms, not of numbers")]
    NotNumbers,
    /// A chunk of numbers was read as histograms.
    #[error("not a chunk of histograms")]
    NotHistograms,
    /// A header field or a section is malformed.
    #[error(transparent)]
    Codec(#[from] Fault),
}

/// Appends one chunk without start timestamps to `out`.
///
/// # Panics
/// Same as [`encode_started`].
pub fn encode(
    key: &[u8],
    timestamps: &[i64],
    values: ChunkValues<'_>,
    level: CompressionLevel,
    out: &mut Vec<u8>,
) {
    encode_started(key, timestamps, &[], values, level, out);
}

/// Appends one chunk to `out`. `starts` is empty, or has a start timestamp for each sample, 0 if it is unknown.
///
/// # Panics
/// If there is no sample, or more than [`SAMPLES_MAX`], or not one value (and start) for each timestamp: the caller
/// cuts chunks. Timestamps must ascend strictly. This is asserted in debug builds; a chunk that violates it is refused
/// when it is read.
pub fn encode_started(
    key: &[u8],
    timestamps: &[i64],
    starts: &[i64],
    values: ChunkValues<'_>,
    level: CompressionLevel,
    out: &mut Vec<u8>,
) {
    let (kind, values_len) = match values {
        ChunkValues::Float(values) => (ChunkKind::Float, values.len()),
        ChunkValues::Int(values) => (ChunkKind::Int, values.len()),
        ChunkValues::Histogram(values) => (ChunkKind::Histogram, values.len()),
    };
    let count = timestamps.len();
    assert!((1..=SAMPLES_MAX).contains(&count), "{count} samples in a chunk");
    assert_eq!(count, values_len, "as many values as timestamps");
    assert!(starts.is_empty() || starts.len() == count, "as many start timestamps as timestamps");
    debug_assert!(timestamps.windows(2).all(|pair| pair[0] < pair[1]));

    let start = out.len();
    let has_starts = starts.iter().any(|&start| start != 0);
    out.extend_from_slice(&[VERSION, kind as u8 | if has_starts { HAS_STARTS } else { 0 }]);
    varint::write(out, count as u64 - 1);
    encode_times(timestamps, level, out);
    if has_starts {
        starts::encode(timestamps, starts, level, out);
    }
    let codec_at = out.len();
    out.push(0);
    let codec = match values {
        ChunkValues::Float(values) => adaptive::encode_floats(values, level, out),
        ChunkValues::Int(values) => adaptive::encode_ints(values, level, out),
        ChunkValues::Histogram(values) => {
            histograms::encode(values, level, out);
            CodecId::Histograms
        }
    };
    out[codec_at] = codec.to_byte();
    let sum = checksum(key, &out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

fn encode_times(timestamps: &[i64], level: CompressionLevel, out: &mut Vec<u8>) {
    let is_regular = timestamps::is_regular(timestamps);
    // For a regular column, the first two determine the unit.
    let telling = if is_regular { &timestamps[..timestamps.len().min(2)] } else { timestamps };
    let number = coarsest_unit(telling);
    let unit = UNITS[number];
    let (first, last) = (timestamps[0] / unit, timestamps[timestamps.len() - 1] / unit);
    varint::write(out, varint::zigzag(first));
    varint::write(out, last.wrapping_sub(first) as u64);
    let number = (number as u8) << UNIT_SHIFT;
    if is_regular {
        out.extend_from_slice(&[number | CodecId::Regular.to_byte(), 0]);
        return;
    }
    let mut section = Vec::new();
    let codec = adaptive::encode_times(&in_units(timestamps, unit), level, &mut section);
    out.push(number | codec.to_byte());
    varint::write(out, section.len() as u64);
    out.extend_from_slice(&section);
}

/// The number of the coarsest unit of which every timestamp is a multiple.
fn coarsest_unit(timestamps: &[i64]) -> usize {
    // Here and below the divisors are written out, so that every division is by a constant.
    let whole = |unit: fn(i64) -> bool| timestamps.iter().all(|&timestamp| unit(timestamp));
    if whole(|timestamp| timestamp % UNITS[3] == 0) {
        3
    } else if whole(|timestamp| timestamp % UNITS[2] == 0) {
        2
    } else if whole(|timestamp| timestamp % UNITS[1] == 0) {
        1
    } else {
        0
    }
}

fn in_units(timestamps: &[i64], unit: i64) -> Cow<'_, [i64]> {
    if unit == UNITS[3] {
        timestamps.iter().map(|timestamp| timestamp / UNITS[3]).collect()
    } else if unit == UNITS[2] {
        timestamps.iter().map(|timestamp| timestamp / UNITS[2]).collect()
    } else if unit == UNITS[1] {
        timestamps.iter().map(|timestamp| timestamp / UNITS[1]).collect()
    } else {
        Cow::Borrowed(timestamps)
    }
}

fn checksum(key: &[u8], bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(bytes);
    hasher.finalize()
}

/// Memory that [`Chunk::decode`] reuses from chunk to chunk.
#[derive(Debug, Default)]
pub struct Scratch {
    ints: Vec<i64>,
}

/// A stored chunk whose header and checksum have been verified.
///
/// ```
/// use barograph_engine::chunk::{Chunk, ChunkValues, Scratch, encode};
/// use barograph_engine::codec::CompressionLevel;
///
/// let mut bytes = Vec::new();
/// encode(b"key", &[10, 20, 30], ChunkValues::Float(&[0.5, 1.5, -0.0]), CompressionLevel::Best, &mut bytes);
///
/// let chunk = Chunk::open(b"key", &bytes)?;
/// assert_eq!((chunk.count(), chunk.first(), chunk.last()), (3, 10, 30));
/// let (mut timestamps, mut values) = (Vec::new(), Vec::new());
/// chunk.decode(&mut Scratch::default(), &mut timestamps, &mut values)?;
/// assert_eq!(timestamps, [10, 20, 30]);
/// assert!(Chunk::open(b"another key", &bytes).is_err());
/// # Ok::<(), barograph_engine::chunk::ChunkError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    kind: ChunkKind,
    /// In units.
    frame: Frame,
    /// Nanoseconds; the frame's ends times this fit into `i64`.
    unit: i64,
    times: Section<'a>,
    starts: Option<(Form, Section<'a>)>,
    values: Section<'a>,
}

#[derive(Debug, Clone, Copy)]
struct Section<'a> {
    codec: CodecId,
    /// In bytes from the chunk's start.
    offset: usize,
    bytes: &'a [u8],
}

impl Section<'_> {
    fn fault(&self, what: Fault) -> ChunkError {
        ChunkError { offset: self.offset, what: what.into() }
    }
}

impl<'a> Chunk<'a> {
    /// Verifies the version, checksum and header of the chunk stored under `key`.
    ///
    /// # Errors
    /// The fault and its position. Sections are checked when they are decoded.
    pub fn open(key: &[u8], bytes: &'a [u8]) -> Result<Self, ChunkError> {
        let at = |offset: usize| move |what: ChunkFault| ChunkError { offset, what };
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&version) => return Err(at(0)(ChunkFault::FutureVersion(version))),
            None => return Err(at(0)(Fault::Truncated.into())),
        }
        let Some((body, stored)) = bytes.split_last_chunk::<CHECKSUM_LEN>() else {
            return Err(at(bytes.len())(Fault::Truncated.into()));
        };
        let (found, expected) = (u32::from_le_bytes(*stored), checksum(key, body));
        if found != expected {
            return Err(at(body.len())(ChunkFault::Checksum { found, expected }));
        }
        Header { body, position: 1 }.parse()
    }

    /// What the values are.
    pub fn kind(&self) -> ChunkKind {
        self.kind
    }

    /// The number of samples, 1 to [`SAMPLES_MAX`].
    pub fn count(&self) -> usize {
        self.frame.count
    }

    /// The first timestamp, nanoseconds.
    pub fn first(&self) -> i64 {
        self.frame.first.wrapping_mul(self.unit)
    }

    /// The last timestamp, nanoseconds.
    pub fn last(&self) -> i64 {
        self.frame.last.wrapping_mul(self.unit)
    }

    /// Appends all samples; integers as the nearest floats.
    ///
    /// # Errors
    /// [`ChunkFault::NotNumbers`] for a chunk of histograms, or the fault of a section. Both columns are then
    /// unchanged.
    pub fn decode(
        &self,
        scratch: &mut Scratch,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), ChunkError> {
        let len = (timestamps.len(), values.len());
        self.decode_times(timestamps).and_then(|()| self.decode_values(scratch, values)).inspect_err(|_| {
            timestamps.truncate(len.0);
            values.truncate(len.1);
        })
    }

    /// Appends all samples of a chunk of integers, exactly.
    ///
    /// # Errors
    /// [`ChunkFault::NotInts`] for any other chunk, or the fault of a section. Both columns are then unchanged.
    pub fn decode_ints(&self, timestamps: &mut Vec<i64>, values: &mut Vec<i64>) -> Result<(), ChunkError> {
        let len = (timestamps.len(), values.len());
        self.decode_times(timestamps).and_then(|()| self.decode_integers(values)).inspect_err(|_| {
            timestamps.truncate(len.0);
            values.truncate(len.1);
        })
    }

    /// Appends all samples of a chunk of histograms.
    ///
    /// # Errors
    /// [`ChunkFault::NotHistograms`] for a chunk of numbers, or the fault of a section. Both columns are then
    /// unchanged.
    pub fn decode_histograms(
        &self,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<Arc<Histogram>>,
    ) -> Result<(), ChunkError> {
        if self.kind != ChunkKind::Histogram {
            return Err(ChunkError { offset: 1, what: ChunkFault::NotHistograms });
        }
        let len = timestamps.len();
        let decoded = self.decode_times(timestamps).and_then(|()| {
            histograms::decode(self.values.bytes, self.frame.count, values)
                .map_err(|fault| self.values.fault(fault))
        });
        decoded.inspect_err(|_| timestamps.truncate(len))
    }

    /// Whether there is a section of start timestamps.
    pub fn has_starts(&self) -> bool {
        self.starts.is_some()
    }

    /// Appends a start timestamp for each sample, 0 if it is unknown. `timestamps` are the decoded timestamps of the
    /// chunk.
    ///
    /// # Errors
    /// The fault of the section. The column is then unchanged.
    ///
    /// # Panics
    /// If the number of timestamps differs from the number of samples.
    pub fn decode_starts(&self, timestamps: &[i64], out: &mut Vec<i64>) -> Result<(), ChunkError> {
        assert_eq!(timestamps.len(), self.frame.count, "the timestamps of another chunk");
        let len = out.len();
        let Some((form, section)) = self.starts else {
            out.resize(len + self.frame.count, 0);
            return Ok(());
        };
        starts::decode(form, section.codec, section.bytes, timestamps, out)
            .map_err(|fault| section.fault(fault))
            .inspect_err(|_| out.truncate(len))
    }

    fn decode_times(&self, out: &mut Vec<i64>) -> Result<(), ChunkError> {
        out.reserve(self.frame.count);
        let Section { codec, bytes, .. } = self.times;
        adaptive::decode_times(codec, bytes, self.frame, self.unit, out)
            .map_err(|fault| self.times.fault(fault))
    }

    fn decode_values(&self, scratch: &mut Scratch, out: &mut Vec<f64>) -> Result<(), ChunkError> {
        if self.kind == ChunkKind::Histogram {
            return Err(ChunkError { offset: 1, what: ChunkFault::NotNumbers });
        }
        out.reserve(self.frame.count);
        if self.kind == ChunkKind::Int {
            scratch.ints.clear();
            self.decode_integers(&mut scratch.ints)?;
            out.extend(scratch.ints.iter().map(|&value| value as f64));
            return Ok(());
        }
        let Section { codec, bytes, .. } = self.values;
        adaptive::decode_floats(codec, bytes, self.frame.count, &mut scratch.ints, out)
            .map_err(|fault| self.values.fault(fault))
    }

    fn decode_integers(&self, out: &mut Vec<i64>) -> Result<(), ChunkError> {
        if self.kind != ChunkKind::Int {
            return Err(ChunkError { offset: 1, what: ChunkFault::NotInts });
        }
        out.reserve(self.frame.count);
        let Section { codec, bytes, .. } = self.values;
        adaptive::decode_ints(codec, bytes, self.frame.count, out).map_err(|fault| self.values.fault(fault))
    }
}

/// Reads the header's fields one after the other.
struct Header<'a> {
    /// The chunk without its checksum.
    body: &'a [u8],
    position: usize,
}

impl<'a> Header<'a> {
    fn parse(mut self) -> Result<Chunk<'a>, ChunkError> {
        let (offset, byte) = (self.position, self.byte()?);
        let kind = match byte & KIND_MASK {
            0 => ChunkKind::Float,
            1 => ChunkKind::Int,
            2 => ChunkKind::Histogram,
            _ => return Err(ChunkError { offset, what: ChunkFault::Kind(byte) }),
        };
        if byte & !(KIND_MASK | HAS_STARTS) != 0 {
            return Err(ChunkError { offset, what: ChunkFault::Kind(byte) });
        }
        let (offset, less_one) = (self.position, self.varint()?);
        if less_one >= SAMPLES_MAX as u64 {
            return Err(ChunkError { offset, what: ChunkFault::Count(less_one.saturating_add(1)) });
        }
        let (frame, unit, codec) = self.times(less_one as usize + 1)?;
        let len = self.varint()?;
        let times = self.section(codec, len)?;
        let starts = if byte & HAS_STARTS == 0 { None } else { Some(self.starts()?) };
        let (offset, codec) = (self.position, self.codec(u8::MAX)?);
        if (kind == ChunkKind::Histogram) != (codec == CodecId::Histograms) {
            let what = Fault::UnknownCodec(codec.to_byte()).into();
            return Err(ChunkError { offset, what });
        }
        let values = self.section(codec, (self.body.len() - self.position) as u64)?;
        Ok(Chunk { kind, frame, unit, times, starts, values })
    }

    fn starts(&mut self) -> Result<(Form, Section<'a>), ChunkError> {
        let offset = self.position;
        let bits = self.body.get(offset).map_or(0, |byte| byte >> starts::FORM_SHIFT);
        let form = Form::from_bits(bits).map_err(|what| ChunkError { offset, what: what.into() })?;
        let codec = self.codec(starts::CODEC_MASK)?;
        let len = self.varint()?;
        Ok((form, self.section(codec, len)?))
    }

    fn times(&mut self, count: usize) -> Result<(Frame, i64, CodecId), ChunkError> {
        let offset = self.position;
        let first = varint::unzigzag(self.varint()?);
        let span = self.varint()?;
        let number = self.body.get(self.position).map_or(0, |byte| byte >> UNIT_SHIFT);
        let codec = self.codec(CODEC_MASK)?;
        let unit = UNITS[usize::from(number)];
        let last = first.checked_add_unsigned(span);
        let (Some(_), Some(last)) =
            (first.checked_mul(unit), last.filter(|last| last.checked_mul(unit).is_some()))
        else {
            return Err(ChunkError { offset, what: ChunkFault::TimeRange });
        };
        Ok((Frame { first, last, count }, unit, codec))
    }

    fn byte(&mut self) -> Result<u8, ChunkError> {
        let offset = self.position;
        let byte = self.body.get(offset).ok_or(ChunkError { offset, what: Fault::Truncated.into() })?;
        self.position += 1;
        Ok(*byte)
    }

    fn varint(&mut self) -> Result<u64, ChunkError> {
        let offset = self.position;
        varint::read(self.body, &mut self.position).map_err(|what| ChunkError { offset, what: what.into() })
    }

    fn codec(&mut self, mask: u8) -> Result<CodecId, ChunkError> {
        let offset = self.position;
        CodecId::from_byte(self.byte()? & mask).map_err(|what| ChunkError { offset, what: what.into() })
    }

    fn section(&mut self, codec: CodecId, len: u64) -> Result<Section<'a>, ChunkError> {
        let offset = self.position;
        let bytes = usize::try_from(len)
            .ok()
            .and_then(|len| self.body.get(offset..offset.checked_add(len)?))
            .ok_or(ChunkError { offset, what: Fault::Truncated.into() })?;
        self.position += bytes.len();
        Ok(Section { codec, offset, bytes })
    }
}

#[cfg(test)]
mod tests;
