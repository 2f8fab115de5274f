//! Native histograms row by row, the form used by the log and the open chunk.
//!
//! The *layout* of a histogram is everything that seldom changes between samples: schema, zero threshold, spans of
//! buckets, explicit bounds and reset hint. It is written if it differs from the previous one in the stream. Counts are
//! varints if all of them are whole numbers. (The stored chunk has columns instead of rows: `histogram/columns.rs`.)
//!
//! # Format
//! Integers are varints, "signed" ones zigzag; floats are eight bytes, little-endian.
//!
//! | histogram field | bytes | meaning |
//! |---|---|---|
//! | head | 1 | bit 0: layout as before; bit 1: counts are whole; others zero |
//! | layout length, layout | varint, as said | absent with bit 0 |
//! | sum | 8 | |
//! | count, zero count | each | a varint, or a float without bit 1 |
//! | positive, then negative counts | each | the same, as many as the layout's spans hold |
//!
//! | layout field | bytes | meaning |
//! |---|---|---|
//! | flags | 1 | bits 0-1: reset hint (0 unknown, 1 reset, 2 not reset, 3 gauge); bit 2: a zero threshold; bit 3: negative spans; bit 4: explicit bounds; others zero |
//! | schema | varint | signed |
//! | zero threshold | 8 | with bit 2, else 0 |
//! | positive spans | varint, each | how many; signed offset, length |
//! | negative spans | varint, each | the same, with bit 3 |
//! | explicit bounds | varint, 8 each | with bit 4 |
//!
//! # Invariants
//! A decoded layout is accepted by [`Histogram::validate`], and nothing is allocated for spans, bounds or counts whose
//! bytes are missing.

pub mod columns;

use super::Fault;
use super::varint::{self, unzigzag, zigzag};
use crate::model::{Histogram, ResetHint, Span};

const LAYOUT_AS_BEFORE: u8 = 1;
const WHOLE: u8 = 1 << 1;

const HINT_MASK: u8 = 3;
const ZERO_THRESHOLD: u8 = 1 << 2;
const NEGATIVE: u8 = 1 << 3;
const BOUNDS: u8 = 1 << 4;

const FLOAT_LEN: usize = 8;

/// The count as an integer, if the conversion preserves all bits.
pub fn as_whole(count: f64) -> Option<u64> {
    let is_whole = (0.0..=9_007_199_254_740_992.0).contains(&count)
        && count.trunc() == count
        && !count.is_sign_negative();
    is_whole.then_some(count as u64)
}

/// All fields of a histogram except its counts and sum.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// A histogram of this layout without counts.
    template: Histogram,
    positive: usize,
    negative: usize,
}

impl Layout {
    /// Appends the layout of `histogram`, which must be valid.
    pub fn write(histogram: &Histogram, out: &mut Vec<u8>) {
        let hint = match histogram.reset_hint {
            ResetHint::Unknown => 0,
            ResetHint::Reset => 1,
            ResetHint::NotReset => 2,
            ResetHint::Gauge => 3,
        };
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let has_threshold = histogram.zero_threshold.to_bits() != 0;
        out.push(
            hint | flag(has_threshold, ZERO_THRESHOLD)
                | flag(!histogram.negative_spans.is_empty(), NEGATIVE)
                | flag(!histogram.custom_values.is_empty(), BOUNDS),
        );
        varint::write(out, zigzag(i64::from(histogram.schema)));
        if has_threshold {
            push_float(out, histogram.zero_threshold);
        }
        write_spans(&histogram.positive_spans, out);
        if !histogram.negative_spans.is_empty() {
            write_spans(&histogram.negative_spans, out);
        }
        if !histogram.custom_values.is_empty() {
            varint::write(out, histogram.custom_values.len() as u64);
            histogram.custom_values.iter().for_each(|&bound| push_float(out, bound));
        }
    }

    /// Decodes a layout that takes all of `bytes`.
    ///
    /// # Errors
    /// Bytes are missing or left over, or a rule of histograms is broken.
    pub fn read(bytes: &[u8]) -> Result<Layout, Fault> {
        let mut fields = Fields { bytes, position: 0 };
        let flags = fields.byte()?;
        if flags & !(HINT_MASK | ZERO_THRESHOLD | NEGATIVE | BOUNDS) != 0 {
            return Err(Fault::Field);
        }
        let mut template = Histogram {
            reset_hint: match flags & HINT_MASK {
                0 => ResetHint::Unknown,
                1 => ResetHint::Reset,
                2 => ResetHint::NotReset,
                _ => ResetHint::Gauge,
            },
            schema: i32::try_from(unzigzag(fields.varint()?)).map_err(|_| Fault::Field)?,
            ..Histogram::default()
        };
        if flags & ZERO_THRESHOLD != 0 {
            template.zero_threshold = fields.float()?;
        }
        template.positive_spans = fields.spans()?;
        if flags & NEGATIVE != 0 {
            template.negative_spans = fields.spans()?;
        }
        if flags & BOUNDS != 0 {
            let count = fields.count(FLOAT_LEN)?;
            template.custom_values = (0..count).map(|_| fields.float()).collect::<Result<_, _>>()?;
        }
        if fields.position < bytes.len() {
            return Err(Fault::Trailing);
        }
        let (positive, negative) = template.validate_layout().map_err(|_| Fault::Histogram)?;
        Ok(Layout { template, positive, negative })
    }

    /// The number of bucket counts of a histogram with this layout, positive ones first.
    pub fn buckets(&self) -> usize {
        self.positive + self.negative
    }

    /// The memory of a histogram with this layout, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.template.memory_bytes() + self.buckets() * size_of::<f64>()
    }

    /// A histogram with this layout. The counts of buckets are added with [`Layout::push_count`].
    pub fn start(&self, count: f64, zero_count: f64, sum: f64) -> Histogram {
        Histogram {
            count,
            zero_count,
            sum,
            positive_buckets: Vec::with_capacity(self.positive),
            negative_buckets: Vec::with_capacity(self.negative),
            ..self.template.clone()
        }
    }

    /// Appends the next bucket's count to a histogram that was started with this layout.
    pub fn push_count(&self, histogram: &mut Histogram, count: f64) {
        if histogram.positive_buckets.len() < self.positive {
            histogram.positive_buckets.push(count);
        } else {
            histogram.negative_buckets.push(count);
        }
    }
}

fn write_spans(spans: &[Span], out: &mut Vec<u8>) {
    varint::write(out, spans.len() as u64);
    for span in spans {
        varint::write(out, zigzag(i64::from(span.offset)));
        varint::write(out, u64::from(span.length));
    }
}

fn push_float(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Writes a stream of histograms.
#[derive(Debug, Clone, Default)]
pub struct HistogramWriter {
    /// The encoded previous layout; empty before the first histogram.
    layout: Vec<u8>,
    scratch: Vec<u8>,
}

impl HistogramWriter {
    /// Appends `histogram`, which must be valid.
    pub fn write(&mut self, histogram: &Histogram, out: &mut Vec<u8>) {
        let counts = || {
            let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
            [&histogram.count, &histogram.zero_count].into_iter().chain(buckets).copied()
        };
        let is_whole = counts().all(|count| as_whole(count).is_some());
        self.scratch.clear();
        Layout::write(histogram, &mut self.scratch);
        let is_known = self.scratch == self.layout;
        out.push(if is_known { LAYOUT_AS_BEFORE } else { 0 } | if is_whole { WHOLE } else { 0 });
        if !is_known {
            varint::write(out, self.scratch.len() as u64);
            out.extend_from_slice(&self.scratch);
            std::mem::swap(&mut self.scratch, &mut self.layout);
        }
        push_float(out, histogram.sum);
        for count in counts() {
            match as_whole(count).filter(|_| is_whole) {
                Some(whole) => varint::write(out, whole),
                None => push_float(out, count),
            }
        }
    }

    /// Its heap memory, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.layout.capacity() + self.scratch.capacity()
    }
}

/// Reads the output of a [`HistogramWriter`] from the beginning.
#[derive(Debug, Default)]
pub struct HistogramReader {
    layout: Option<Layout>,
}

impl HistogramReader {
    /// Reads the histogram at `*position` and moves the position past it.
    ///
    /// # Errors
    /// Bytes are missing, or a rule of histograms is broken.
    pub fn read(&mut self, bytes: &[u8], position: &mut usize) -> Result<Histogram, Fault> {
        let mut fields = Fields { bytes, position: *position };
        let head = fields.byte()?;
        if head & !(LAYOUT_AS_BEFORE | WHOLE) != 0 {
            return Err(Fault::Field);
        }
        if head & LAYOUT_AS_BEFORE == 0 {
            let len = fields.count(1)?;
            self.layout = Some(Layout::read(fields.take(len)?)?);
        }
        let layout = self.layout.as_ref().ok_or(Fault::Field)?;
        let sum = fields.float()?;
        let is_whole = head & WHOLE != 0;
        let next = |fields: &mut Fields<'_>| {
            if is_whole { fields.varint().map(|whole| whole as f64) } else { fields.float() }
        };
        let (count, zero_count) = (next(&mut fields)?, next(&mut fields)?);
        let least = layout.buckets() * if is_whole { 1 } else { FLOAT_LEN };
        if fields.left() < least {
            return Err(Fault::Truncated);
        }
        let mut histogram = layout.start(count, zero_count, sum);
        for _ in 0..layout.buckets() {
            layout.push_count(&mut histogram, next(&mut fields)?);
        }
        *position = fields.position;
        Ok(histogram)
    }
}

/// Reads fields one after the other.
struct Fields<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Fields<'a> {
    fn left(&self) -> usize {
        self.bytes.len() - self.position
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let end = self.position.checked_add(len).ok_or(Fault::Truncated)?;
        let taken = self.bytes.get(self.position..end).ok_or(Fault::Truncated)?;
        self.position = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.take(1).map(|taken| taken[0])
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        varint::read(self.bytes, &mut self.position)
    }

    fn float(&mut self) -> Result<f64, Fault> {
        let taken = self.take(FLOAT_LEN)?;
        Ok(f64::from_bits(u64::from_le_bytes(taken.try_into().map_err(|_| Fault::Truncated)?)))
    }

    /// The number of items that take at least `least` bytes each. Fails if there are fewer bytes.
    fn count(&mut self, least: usize) -> Result<usize, Fault> {
        let count = usize::try_from(self.varint()?).map_err(|_| Fault::Truncated)?;
        if count > self.left() / least { Err(Fault::Truncated) } else { Ok(count) }
    }

    fn spans(&mut self) -> Result<Vec<Span>, Fault> {
        let count = self.count(2)?;
        if count > Histogram::SPANS_MAX {
            return Err(Fault::Histogram);
        }
        let mut span = || {
            let offset = i32::try_from(unzigzag(self.varint()?)).map_err(|_| Fault::Field)?;
            let length = u32::try_from(self.varint()?).map_err(|_| Fault::Field)?;
            Ok(Span { offset, length })
        };
        (0..count).map(|_| span()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::test_data::{assert_same_histograms, histograms};

    fn written(histograms: &[Histogram]) -> Vec<u8> {
        let mut writer = HistogramWriter::default();
        let mut out = Vec::new();
        histograms.iter().for_each(|histogram| writer.write(histogram, &mut out));
        out
    }

    fn read(bytes: &[u8]) -> Result<Vec<Histogram>, Fault> {
        let (mut reader, mut position, mut out) = (HistogramReader::default(), 0, Vec::new());
        while position < bytes.len() {
            out.push(reader.read(bytes, &mut position)?);
        }
        Ok(out)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_bytes() {
        let exponential = Histogram {
            schema: 3,
            zero_threshold: 0.5,
            zero_count: 1.0,
            count: 300.0,
            sum: 1.5,
            positive_spans: vec![Span { offset: -2, length: 2 }],
            positive_buckets: vec![200.0, 90.0],
            negative_spans: vec![Span { offset: 1, length: 1 }],
            negative_buckets: vec![9.0],
            reset_hint: ResetHint::Gauge,
            ..Histogram::default()
        };
        let custom = Histogram {
            schema: Histogram::CUSTOM,
            count: 1.5,
            positive_spans: vec![Span { offset: 1, length: 1 }],
            positive_buckets: vec![1.5],
            custom_values: vec![2.0],
            ..Histogram::default()
        };
        let bytes = written(&[exponential.clone(), exponential, custom]);
        assert_eq!(
            hex(&bytes),
            "02100f06000000000000e03f010302010201000000000000f83fac0201c8015a09\
             03000000000000f83fac0201c8015a09\
             000e10690102010100000000000000400000000000000000000000000000f83f0000000000000000\
             000000000000f83f"
        );
        assert_eq!(read(&bytes).unwrap().len(), 3);
    }

    #[test]
    fn hostile_layouts_are_refused_before_anything_is_allocated() {
        let fault = |bytes: &[u8]| Layout::read(bytes).unwrap_err();
        assert_eq!(fault(&[]), Fault::Truncated);
        assert_eq!(fault(&[0x20, 0, 0]), Fault::Field);
        assert_eq!(fault(&[0, 0, 0, 0]), Fault::Trailing);
        assert_eq!(fault(&[0, 18, 0]), Fault::Histogram, "schema 9");
        // Billions of spans, of buckets, of bounds.
        assert_eq!(fault(&[0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]), Fault::Truncated);
        assert_eq!(fault(&[0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]), Fault::Histogram);
        assert_eq!(fault(&[0x10, 105, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]), Fault::Truncated);
        assert_eq!(HistogramReader::default().read(&[1; 40], &mut 0), Err(Fault::Field), "no layout before");
    }

    #[test]
    fn only_what_comes_back_is_whole() {
        assert_eq!(as_whole(3.0), Some(3));
        assert_eq!(as_whole(9_007_199_254_740_992.0), Some(1 << 53));
        for count in [-0.0, -1.0, 0.5, f64::NAN, f64::INFINITY, 1e17] {
            assert_eq!(as_whole(count), None, "{count}");
        }
    }

    proptest! {
        #[test]
        fn streams_come_back(histograms in histograms(1..20)) {
            let found = read(&written(&histograms)).unwrap();
            assert_same_histograms(&found, &histograms);
        }

        #[test]
        fn cut_streams_are_noticed(histograms in histograms(1..4), cut in 1usize..9) {
            let bytes = written(&histograms);
            let found = read(&bytes[..bytes.len() - cut.min(bytes.len() - 1)]);
            prop_assert!(found.is_err() || found.unwrap().len() < histograms.len());
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Layout::read(&bytes);
            let _ = read(&bytes);
        }

        #[test]
        fn damaged_streams_never_panic(
            histograms in histograms(1..4),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        ) {
            let mut bytes = written(&histograms);
            for (at, byte) in flips {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            for found in read(&bytes).unwrap_or_default() {
                prop_assert!(found.validate_layout().is_ok());
            }
        }
    }
}
