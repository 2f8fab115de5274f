//! The chunk that grows in the head, sample by sample.
//!
//! A head holds a million of these, so an open chunk is 120 bytes and has no buffer while its series is regular in time
//! and constant in value, as many are. Two prefixes need no bits at all: the samples at a constant interval, and the
//! samples with the first value. The first sample after a prefix starts that column's bit stream.
//!
//! # Format
//! It exists only in memory and may change between builds. Times after the regular prefix: the prefix's interval as 64
//! bits, then the changes of the interval in the bucket code [`TURNS`], in milliseconds, or in microseconds or
//! nanoseconds from the first change that needs them; that change is an escape, in nanoseconds. Floats after the
//! constant prefix: as in [`gorilla`](crate::codec::gorilla). Integers: as in [`integers`]. Histograms: as in
//! [`histogram`](crate::codec::histogram). Data that only few chunks have, start timestamps included, is boxed and
//! costs the others one pointer.

use std::sync::Arc;

use smallvec::SmallVec;

use super::starts::OpenStarts;
use super::{ChunkKind, HISTOGRAM_CHUNK_BYTES};
use crate::codec::bits::{BitReader, BitWriter, Pending};
use crate::codec::buckets::Code;
use crate::codec::gorilla::XorState;
use crate::codec::histogram::{HistogramReader, HistogramWriter};
use crate::codec::integers;
use crate::codec::timestamps::TURNS;
use crate::model::Histogram;

/// A chunk that samples are appended to.
///
/// ```
/// use barograph_engine::chunk::{ChunkKind, OpenChunk};
///
/// let mut chunk = OpenChunk::new(ChunkKind::Float);
/// chunk.push_float(10, 0.5);
/// chunk.push_float(20, 0.75);
/// let (mut timestamps, mut values) = (Vec::new(), Vec::new());
/// chunk.decode(&mut timestamps, &mut values);
/// assert_eq!((timestamps, values), (vec![10, 20], vec![0.5, 0.75]));
/// ```
#[derive(Debug, Clone)]
pub struct OpenChunk {
    time_bits: Bits,
    /// For histograms, only the bytes.
    value_bits: Bits,
    first: i64,
    last: i64,
    /// Between the last two samples.
    interval: i64,
    /// The last value's bits.
    value: u64,
    len: u16,
    /// The number of samples at the constant interval from `first`; the rest are in `time_bits`.
    regular: u16,
    /// The number of samples with the first value; the rest are in `value_bits`.
    constant: u16,
    leading: u8,
    significant: u8,
    unit: Unit,
    kind: ChunkKind,
    rare: Option<Box<Rare>>,
}

const _: () = assert!(size_of::<OpenChunk>() <= 120);

/// A growing stream of bits.
#[derive(Debug, Clone, Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: Pending,
}

impl Bits {
    #[inline]
    fn writer(&mut self) -> BitWriter<'_> {
        BitWriter::resume(&mut self.bytes, self.pending)
    }

    /// The stream as one slice. Nothing is allocated if it is shorter than a word, as in the many chunks with few
    /// samples.
    fn whole(&self) -> SmallVec<[u8; 8]> {
        let (word, used) = self.pending.bytes();
        let mut whole = SmallVec::with_capacity(self.bytes.len() + used);
        whole.extend_from_slice(&self.bytes);
        whole.extend_from_slice(&word[..used]);
        whole
    }
}

/// Data that a chunk of plain numbers does not need.
#[derive(Debug, Clone, Default)]
struct Rare {
    starts: Option<OpenStarts>,
    histograms: HistogramWriter,
    /// The memory of the histograms once they are decoded, bytes.
    decoded_bytes: usize,
}

/// The unit of interval changes: the coarsest that all changes so far are multiples of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Nanosecond,
    Microsecond,
    Millisecond,
}

impl Unit {
    /// `nanoseconds` in this unit, if it is a whole number.
    #[inline]
    fn whole(self, nanoseconds: i64) -> Option<i64> {
        // Written out so that each division is by a constant.
        match self {
            Unit::Nanosecond => Some(nanoseconds),
            Unit::Microsecond => (nanoseconds % 1_000 == 0).then_some(nanoseconds / 1_000),
            Unit::Millisecond => (nanoseconds % 1_000_000 == 0).then_some(nanoseconds / 1_000_000),
        }
    }

    fn nanoseconds(self) -> i64 {
        match self {
            Unit::Nanosecond => 1,
            Unit::Microsecond => 1_000,
            Unit::Millisecond => 1_000_000,
        }
    }

    /// The unit after an escape with `nanoseconds`.
    fn refined(self, nanoseconds: i64) -> Unit {
        let needed = if nanoseconds % 1_000_000 == 0 {
            Unit::Millisecond
        } else if nanoseconds % 1_000 == 0 {
            Unit::Microsecond
        } else {
            Unit::Nanosecond
        };
        self.min(needed)
    }
}

impl OpenChunk {
    /// The maximum number of samples in an open chunk.
    pub const SAMPLES_MAX: usize = u16::MAX as usize;

    /// An empty chunk.
    pub fn new(kind: ChunkKind) -> Self {
        OpenChunk {
            time_bits: Bits::default(),
            value_bits: Bits::default(),
            first: 0,
            last: 0,
            interval: 0,
            value: 0,
            len: 0,
            regular: 0,
            constant: 0,
            leading: 0,
            significant: 0,
            unit: Unit::Millisecond,
            kind,
            rare: None,
        }
    }

    /// Appends a float sample. `timestamp` must be later than the last one.
    ///
    /// # Panics
    /// On a chunk of integers, and on one of [`OpenChunk::SAMPLES_MAX`] samples.
    #[inline]
    pub fn push_float(&mut self, timestamp: i64, value: f64) {
        assert!(self.kind == ChunkKind::Float, "a float into a chunk of integers");
        let bits = value.to_bits();
        if !self.push_time_and_equal_value(timestamp, bits) {
            self.push_changed_float(bits);
        }
    }

    /// Appends an integer sample. `timestamp` must be later than the last one.
    ///
    /// # Panics
    /// On a chunk of floats, and on one of [`OpenChunk::SAMPLES_MAX`] samples.
    #[inline]
    pub fn push_int(&mut self, timestamp: i64, value: i64) {
        assert!(self.kind == ChunkKind::Int, "an integer into a chunk of floats");
        if !self.push_time_and_equal_value(timestamp, value as u64) {
            self.push_changed_int(value);
        }
    }

    /// Appends a histogram sample. `timestamp` must be later than the last one.
    ///
    /// # Panics
    /// On a chunk of numbers, and on one of [`OpenChunk::SAMPLES_MAX`] samples.
    pub fn push_histogram(&mut self, timestamp: i64, histogram: &Histogram) {
        assert!(self.kind == ChunkKind::Histogram, "a histogram into a chunk of numbers");
        self.push_time_and_equal_value(timestamp, 0);
        let rare = self.rare.get_or_insert_default();
        rare.decoded_bytes += histogram.memory_bytes();
        rare.histograms.write(histogram, &mut self.value_bits.bytes);
    }

    /// Records the start timestamp of the last sample.
    ///
    /// # Panics
    /// On an empty chunk.
    pub fn set_start(&mut self, start: i64) {
        let last = self.len().checked_sub(1).expect("a start timestamp without a sample");
        self.rare.get_or_insert_default().starts.get_or_insert_default().set(last, start);
    }

    /// Whether its histograms are as large as those of a chunk should be.
    pub fn is_heavy(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.decoded_bytes >= HISTOGRAM_CHUNK_BYTES)
    }

    /// Counts the sample and appends its time. Returns true if the value needs no bits.
    #[inline]
    fn push_time_and_equal_value(&mut self, timestamp: i64, value: u64) -> bool {
        assert!(self.len < u16::MAX, "no room in an open chunk of 65535 samples");
        if self.len == 0 {
            self.first = timestamp;
            self.last = timestamp;
            self.value = value;
            (self.len, self.regular, self.constant) = (1, 1, 1);
            return true;
        }
        debug_assert!(timestamp > self.last);
        let interval = timestamp.wrapping_sub(self.last);
        if self.regular == self.len && (self.len == 1 || interval == self.interval) {
            self.regular = self.regular.wrapping_add(1);
        } else {
            self.push_turn(interval);
        }
        self.last = timestamp;
        self.interval = interval;
        let equal = self.constant == self.len && self.value == value;
        self.constant = self.constant.wrapping_add(u16::from(equal));
        self.len = self.len.wrapping_add(1);
        equal
    }

    /// Appends an interval that differs from that of the regular prefix.
    ///
    /// This and the two functions below are kept out of their callers, whose common path needs few registers: most
    /// samples of most series are regular, and many are equal.
    #[inline(never)]
    fn push_turn(&mut self, interval: i64) {
        let mut writer = self.time_bits.writer();
        if self.regular == self.len {
            writer.write(self.interval as u64, 64);
        }
        let turn = interval.wrapping_sub(self.interval);
        let written = self.unit.whole(turn).is_some_and(|units| TURNS.write(&mut writer, units));
        if !written {
            TURNS.write_escape(&mut writer, turn as u64);
            self.unit = self.unit.refined(turn);
        }
        self.time_bits.pending = writer.suspend();
    }

    /// Appends a float that differs from the constant prefix. It has been counted already.
    #[inline(never)]
    fn push_changed_float(&mut self, bits: u64) {
        let starts = self.starts_values();
        let mut writer = self.value_bits.writer();
        if starts {
            writer.write(self.value, 64);
        }
        let mut state =
            XorState { previous: self.value, leading: self.leading, significant: self.significant };
        state.write(&mut writer, bits);
        self.value_bits.pending = writer.suspend();
        XorState { previous: self.value, leading: self.leading, significant: self.significant } = state;
    }

    /// Appends an integer that differs from the constant prefix. It has been counted already.
    #[inline(never)]
    fn push_changed_int(&mut self, value: i64) {
        let starts = self.starts_values();
        let mut writer = self.value_bits.writer();
        if starts {
            writer.write(self.value, 64);
        }
        integers::write_step(&mut writer, self.value as i64, value);
        self.value_bits.pending = writer.suspend();
        self.value = value as u64;
    }

    /// Whether the sample counted last is the first after the constant prefix.
    #[inline]
    fn starts_values(&self) -> bool {
        self.constant.wrapping_add(1) == self.len
    }

    /// What the values are.
    pub fn kind(&self) -> ChunkKind {
        self.kind
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first timestamp, nanoseconds; `None` while empty.
    pub fn first(&self) -> Option<i64> {
        (self.len > 0).then_some(self.first)
    }

    /// The last timestamp, nanoseconds; `None` while empty.
    pub fn last(&self) -> Option<i64> {
        (self.len > 0).then_some(self.last)
    }

    /// The memory of this chunk: its size and the capacity of its buffers.
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.time_bits.bytes.capacity()
            + self.value_bits.bytes.capacity()
            + self.rare_bytes()
    }

    #[inline]
    fn rare_bytes(&self) -> usize {
        let Some(rare) = &self.rare else { return 0 };
        let starts = rare.starts.as_ref().map_or(0, OpenStarts::memory_bytes);
        size_of::<Rare>() + starts + rare.histograms.memory_bytes()
    }

    /// Takes the samples, leaving an empty chunk of the same kind.
    pub fn freeze(&mut self) -> OpenChunk {
        let empty = OpenChunk::new(self.kind);
        std::mem::replace(self, empty)
    }

    /// Appends all samples; integers as the nearest floats.
    ///
    /// # Panics
    /// On a chunk of histograms.
    pub fn decode(&self, timestamps: &mut Vec<i64>, values: &mut Vec<f64>) {
        assert_ne!(self.kind, ChunkKind::Histogram, "a chunk of histograms read as numbers");
        self.decode_times(timestamps);
        match self.kind {
            ChunkKind::Float | ChunkKind::Histogram => self.decode_floats(values),
            ChunkKind::Int => {
                let mut ints = Vec::new();
                self.decode_integers(&mut ints);
                values.extend(ints.iter().map(|&value| value as f64));
            }
        }
    }

    /// Appends all samples of a chunk of integers, exactly.
    ///
    /// # Panics
    /// On a chunk of another kind.
    pub fn decode_ints(&self, timestamps: &mut Vec<i64>, values: &mut Vec<i64>) {
        assert_eq!(self.kind, ChunkKind::Int, "not a chunk of integers");
        self.decode_times(timestamps);
        self.decode_integers(values);
    }

    /// Appends all samples of a chunk of histograms.
    ///
    /// # Panics
    /// On a chunk of numbers.
    pub fn decode_histograms(&self, timestamps: &mut Vec<i64>, values: &mut Vec<Arc<Histogram>>) {
        assert_eq!(self.kind, ChunkKind::Histogram, "not a chunk of histograms");
        self.decode_times(timestamps);
        let (mut reader, mut position) = (HistogramReader::default(), 0);
        values.extend((0..self.len).map(|_| {
            let histogram = reader.read(&self.value_bits.bytes, &mut position);
            Arc::new(histogram.expect("a histogram as it was written"))
        }));
    }

    /// Whether any sample has a start timestamp.
    pub fn has_starts(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.starts.is_some())
    }

    /// Appends a start timestamp for each sample, 0 if it is unknown.
    pub fn decode_starts(&self, out: &mut Vec<i64>) {
        match self.rare.as_ref().and_then(|rare| rare.starts.as_ref()) {
            Some(starts) => starts.decode(self.len(), out),
            None => out.resize(out.len() + self.len(), 0),
        }
    }

    fn decode_times(&self, out: &mut Vec<i64>) {
        out.reserve(self.len());
        let bits = self.time_bits.whole();
        let mut reader = BitReader::new(&bits);
        let is_regular = self.regular == self.len;
        let mut interval = if is_regular { self.interval } else { reader.read(64) as i64 };
        let mut timestamp = self.first.wrapping_sub(interval);
        let mut next = |turn: i64| {
            interval = interval.wrapping_add(turn);
            timestamp = timestamp.wrapping_add(interval);
            timestamp
        };
        out.extend((0..self.regular).map(|_| next(0)));
        let mut unit = Unit::Millisecond;
        let mut unit_nanoseconds = unit.nanoseconds();
        out.extend((self.regular..self.len).map(|_| match TURNS.read(&mut reader) {
            Code::Value(units) => next(units.wrapping_mul(unit_nanoseconds)),
            Code::Escape(raw) => {
                unit = unit.refined(raw as i64);
                unit_nanoseconds = unit.nanoseconds();
                next(raw as i64)
            }
        }));
    }

    fn decode_floats(&self, out: &mut Vec<f64>) {
        out.reserve(self.len());
        let bits = self.value_bits.whole();
        let mut reader = BitReader::new(&bits);
        let first = if self.constant == self.len { self.value } else { reader.read(64) };
        out.resize(out.len() + usize::from(self.constant), f64::from_bits(first));
        XorState::new(first).read_run(&mut reader, self.len() - usize::from(self.constant), out);
    }

    fn decode_integers(&self, out: &mut Vec<i64>) {
        out.reserve(self.len());
        let bits = self.value_bits.whole();
        let mut reader = BitReader::new(&bits);
        let first = if self.constant == self.len { self.value } else { reader.read(64) } as i64;
        out.resize(out.len() + usize::from(self.constant), first);
        integers::read_run(&mut reader, first, self.len() - usize::from(self.constant), out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::test_data::{assert_same_bits, floats, integers, times};

    fn decoded(chunk: &OpenChunk) -> (Vec<i64>, Vec<f64>) {
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        chunk.decode(&mut timestamps, &mut values);
        (timestamps, values)
    }

    #[test]
    fn regular_and_constant_samples_need_no_buffer() {
        let mut chunk = OpenChunk::new(ChunkKind::Float);
        for i in 0..1000 {
            chunk.push_float(i * 15_000_000_000, 4.0);
        }
        assert_eq!(chunk.memory_bytes(), size_of::<OpenChunk>());
        let (timestamps, values) = decoded(&chunk);
        assert_eq!(timestamps, (0..1000).map(|i| i * 15_000_000_000).collect::<Vec<_>>());
        assert_eq!(values, [4.0; 1000]);
        chunk.push_float(chunk.last().unwrap() + 1, 5.0);
        let (timestamps, values) = decoded(&chunk);
        assert_eq!((timestamps[1000], values[1000]), (999 * 15_000_000_000 + 1, 5.0));
    }

    #[test]
    fn millisecond_jitter_is_counted_in_milliseconds() {
        let mut chunk = OpenChunk::new(ChunkKind::Int);
        for i in 0..1000 {
            chunk.push_int((i * 1000 + i * i % 7) * 1_000_000, 1);
        }
        assert!(chunk.time_bits.bytes.len() < 1000, "{} bytes", chunk.time_bits.bytes.len());
    }

    #[test]
    fn all_short_sequences_of_intervals_come_back() {
        const STEPS: [i64; 7] = [1, 1_000, 1_000_000, 3_000_000, 3_001_000, 1_000_000_000, 1 << 40];
        for sequence in 0..STEPS.len().pow(5) {
            let mut chunk = OpenChunk::new(ChunkKind::Int);
            let (mut timestamps, mut rest) = (vec![-5], sequence);
            for _ in 0..5 {
                timestamps.push(timestamps[timestamps.len() - 1] + STEPS[rest % STEPS.len()]);
                rest /= STEPS.len();
            }
            timestamps.iter().for_each(|&timestamp| chunk.push_int(timestamp, 0));
            assert_eq!(decoded(&chunk).0, timestamps);
        }
    }

    #[test]
    fn it_is_full_at_its_limit() {
        let mut chunk = OpenChunk::new(ChunkKind::Int);
        for i in 0..OpenChunk::SAMPLES_MAX as i64 {
            chunk.push_int(i, i);
        }
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        chunk.decode_ints(&mut timestamps, &mut values);
        assert_eq!(timestamps, (0..65_535).collect::<Vec<_>>());
        assert_eq!(values, timestamps);
        assert!(std::panic::catch_unwind(move || chunk.push_int(70_000, 0)).is_err());
    }

    #[test]
    fn freezing_leaves_an_empty_chunk() {
        let mut chunk = OpenChunk::new(ChunkKind::Float);
        assert!(chunk.is_empty() && chunk.first().is_none() && chunk.last().is_none());
        chunk.push_float(-5, 1.0);
        chunk.push_float(7, 2.0);
        let frozen = chunk.freeze();
        assert_eq!((frozen.len(), frozen.first(), frozen.last()), (2, Some(-5), Some(7)));
        assert!(chunk.is_empty() && decoded(&chunk).0.is_empty());
        chunk.push_float(8, 2.0);
        assert_eq!(decoded(&chunk), (vec![8], vec![2.0]));
    }

    proptest! {
        #[test]
        fn floats_come_back(timestamps in times(1..300), values in floats(300..301)) {
            let mut chunk = OpenChunk::new(ChunkKind::Float);
            for (i, (&timestamp, &value)) in timestamps.iter().zip(&values).enumerate() {
                prop_assert_eq!(chunk.len(), i);
                chunk.push_float(timestamp, value);
            }
            let (found, found_values) = decoded(&chunk);
            prop_assert_eq!(&found, &timestamps);
            assert_same_bits(&found_values, &values[..timestamps.len()]);
        }

        #[test]
        fn integers_come_back(timestamps in times(1..300), values in integers(300..301)) {
            let mut chunk = OpenChunk::new(ChunkKind::Int);
            for (&timestamp, &value) in timestamps.iter().zip(&values) {
                chunk.push_int(timestamp, value);
            }
            let (mut found, mut found_values) = (Vec::new(), Vec::new());
            chunk.clone().decode_ints(&mut found, &mut found_values);
            prop_assert_eq!(&found, &timestamps);
            prop_assert_eq!(&found_values[..], &values[..timestamps.len()]);
            let floats: Vec<f64> = found_values.iter().map(|&value| value as f64).collect();
            prop_assert_eq!(decoded(&chunk).1, floats);
        }
    }
}
