//! Columns of native histograms: the values of a chunk of samples, and those of buckets.
//!
//! The histograms of a series share few layouts, and a bucket's count is close to its count one sample before. So
//! layouts are stored in a table. Count, zero count and sum are columns. The buckets of all samples of one layout are
//! one column, ordered by bucket; if counts are whole numbers, it holds the increase of each since the previous sample.
//!
//! # Format
//! The section of codec [`Histograms`](CodecId::Histograms). Integers are varints.
//!
//! | field | bytes | meaning |
//! |---|---|---|
//! | layouts - 1 | varint | distinct layouts, in order of their first sample |
//! | layout, each | varint, as said | length; a layout as in [`histogram`](crate::codec::histogram) |
//! | layout of each sample | a column | index into the table; absent where it has one entry |
//! | counts | a column | |
//! | zero counts | a column | |
//! | sums | a column | |
//! | buckets of each layout | columns | absent for a layout without buckets, else as below |
//!
//! A column is `codec (1) | length (varint) | section`, of integers or of floats depending on the codec. With `s`
//! samples of a layout of `b` buckets, the buckets are either one column of `s * b` floats, ordered by bucket; or a
//! column of `b` integers, the counts of the first sample, followed, if `s > 1`, by one of `(s - 1) * b` integers,
//! ordered by bucket: the increase of each since the previous sample of the same layout, modulo 2^64.
//!
//! # Invariants
//! The size of what decoding allocates is computed from the layouts before a count is decoded, and bounded by
//! [`DECODED_BYTES_MAX`].

use std::collections::HashMap;
use std::sync::Arc;

use crate::codec::histogram::{Layout, as_whole};
use crate::codec::{CodecId, CompressionLevel, Fault, adaptive, varint};
use crate::model::Histogram;

/// The maximum memory of a chunk's decoded histograms, bytes. A writer closes a chunk long before, so a chunk that
/// exceeds this is damaged.
pub const DECODED_BYTES_MAX: usize = 1 << 20;

/// The maximum memory of the decoded histograms of a list, bytes. A writer keeps lists far shorter.
pub(crate) const LIST_BYTES_MAX: usize = 64 << 20;

/// The memory of the histograms in one section of a list, unless there is only one, bytes.
const SECTION_BYTES: usize = 128 << 10;

/// The maximum number of histograms in one section of a list.
const SECTION_MAX: usize = 1024;

/// Appends any number of histograms: sections, each behind the number of its histograms and its length.
pub(crate) fn write_list(histograms: &[Arc<Histogram>], level: CompressionLevel, out: &mut Vec<u8>) {
    let mut rest = histograms;
    while !rest.is_empty() {
        let totals = rest.iter().scan(0, |total, histogram| {
            *total += histogram.memory_bytes();
            Some(*total)
        });
        let fitting = totals.take(SECTION_MAX).take_while(|total| *total <= SECTION_BYTES);
        let count = fitting.count().max(1);
        let (first, later) = rest.split_at(count);
        let mut section = Vec::new();
        encode(first, level, &mut section);
        varint::write(out, count as u64);
        varint::write(out, section.len() as u64);
        out.extend_from_slice(&section);
        rest = later;
    }
}

/// Appends the section of `histograms`, of which there is at least one.
pub(crate) fn encode(histograms: &[Arc<Histogram>], level: CompressionLevel, out: &mut Vec<u8>) {
    let (table, layouts) = layouts_of(histograms);
    varint::write(out, table.len() as u64 - 1);
    for layout in &table {
        varint::write(out, layout.len() as u64);
        out.extend_from_slice(layout);
    }
    if table.len() > 1 {
        write_ints(&layouts, level, out);
    }
    let column = |of: fn(&Histogram) -> f64| histograms.iter().map(|h| of(h)).collect::<Vec<f64>>();
    write_counts(&column(|h| h.count), level, out);
    write_counts(&column(|h| h.zero_count), level, out);
    write_floats(&column(|h| h.sum), level, out);
    for layout in 0..table.len() as i64 {
        let group: Vec<&Histogram> =
            histograms.iter().zip(&layouts).filter(|(_, of)| **of == layout).map(|(h, _)| &**h).collect();
        encode_buckets(&group, level, out);
    }
}

/// The distinct layouts, and for each histogram the index of its layout.
fn layouts_of(histograms: &[Arc<Histogram>]) -> (Vec<Vec<u8>>, Vec<i64>) {
    let mut table: Vec<Vec<u8>> = Vec::new();
    let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut layouts = Vec::with_capacity(histograms.len());
    let (mut bytes, mut last) = (Vec::new(), 0);
    for histogram in histograms {
        bytes.clear();
        Layout::write(histogram, &mut bytes);
        // It is nearly always the previous one.
        if table.get(last) != Some(&bytes) {
            last = *known.entry(bytes.clone()).or_insert_with(|| {
                table.push(bytes.clone());
                table.len() - 1
            });
        }
        layouts.push(last as i64);
    }
    (table, layouts)
}

fn encode_buckets(group: &[&Histogram], level: CompressionLevel, out: &mut Vec<u8>) {
    let width = |h: &Histogram| h.positive_buckets.len() + h.negative_buckets.len();
    let bucket = |h: &Histogram, at: usize| {
        let positive = h.positive_buckets.get(at);
        *positive.unwrap_or_else(|| &h.negative_buckets[at - h.positive_buckets.len()])
    };
    let buckets = group.first().map_or(0, |h| width(h));
    if buckets == 0 {
        return;
    }
    let counts: Vec<f64> = (0..buckets).flat_map(|at| group.iter().map(move |h| bucket(h, at))).collect();
    let Some(whole) = as_integers(&counts) else {
        write_floats(&counts, level, out);
        return;
    };
    let (mut firsts, mut gains) = (Vec::with_capacity(buckets), Vec::with_capacity(whole.len()));
    for counts in whole.chunks(group.len()) {
        firsts.push(counts[0]);
        gains.extend(counts.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
    }
    write_ints(&firsts, level, out);
    if group.len() > 1 {
        write_ints(&gains, level, out);
    }
}

/// All counts as integers, if all of them are whole numbers.
fn as_integers(counts: &[f64]) -> Option<Vec<i64>> {
    counts.iter().map(|&count| as_whole(count).map(|whole| whole as i64)).collect()
}

fn write_counts(counts: &[f64], level: CompressionLevel, out: &mut Vec<u8>) {
    match as_integers(counts) {
        Some(whole) => write_ints(&whole, level, out),
        None => write_floats(counts, level, out),
    }
}

/// Appends a column of integers, with its codec and its length.
pub(crate) fn write_ints(values: &[i64], level: CompressionLevel, out: &mut Vec<u8>) {
    let mut section = Vec::new();
    let codec = adaptive::encode_ints(values, level, &mut section);
    write_column(codec, &section, out);
}

fn write_floats(values: &[f64], level: CompressionLevel, out: &mut Vec<u8>) {
    let mut section = Vec::new();
    let codec = adaptive::encode_floats(values, level, &mut section);
    write_column(codec, &section, out);
}

fn write_column(codec: CodecId, section: &[u8], out: &mut Vec<u8>) {
    out.push(codec.to_byte());
    varint::write(out, section.len() as u64);
    out.extend_from_slice(section);
}

/// Decodes a section of `count` histograms, at least one, and appends them to `out`.
///
/// # Errors
/// The section's fault, in which case nothing is appended.
pub(crate) fn decode(section: &[u8], count: usize, out: &mut Vec<Arc<Histogram>>) -> Result<(), Fault> {
    let mut reader = Reader { bytes: section, position: 0 };
    let table = reader.table(count)?;
    let layouts = if table.len() > 1 { reader.ints(count)? } else { vec![0; count] };
    let mut groups = vec![Vec::new(); table.len()];
    let mut decoded_bytes = 0usize;
    for (sample, &layout) in layouts.iter().enumerate() {
        let at = usize::try_from(layout).ok().filter(|at| *at < table.len()).ok_or(Fault::Field)?;
        decoded_bytes = decoded_bytes.saturating_add(table[at].memory_bytes());
        groups[at].push(sample);
    }
    if decoded_bytes > DECODED_BYTES_MAX {
        return Err(Fault::Histogram);
    }
    let (counts, zero_counts, sums) = (reader.counts(count)?, reader.counts(count)?, reader.floats(count)?);
    let mut histograms: Vec<Histogram> =
        (0..count).map(|i| table[layouts[i] as usize].start(counts[i], zero_counts[i], sums[i])).collect();
    for (layout, group) in table.iter().zip(&groups) {
        decode_buckets(&mut reader, layout, group, &mut histograms)?;
    }
    if reader.position < section.len() {
        return Err(Fault::Trailing);
    }
    out.extend(histograms.into_iter().map(Arc::new));
    Ok(())
}

fn decode_buckets(
    reader: &mut Reader<'_>,
    layout: &Layout,
    group: &[usize],
    histograms: &mut [Histogram],
) -> Result<(), Fault> {
    let (buckets, samples) = (layout.buckets(), group.len());
    if samples == 0 {
        return Err(Fault::Field);
    }
    if buckets == 0 {
        return Ok(());
    }
    let mut push = |sample: usize, count: f64| layout.push_count(&mut histograms[sample], count);
    if !reader.is_ints() {
        let counts = reader.floats(buckets * samples)?;
        for counts in counts.chunks(samples) {
            group.iter().zip(counts).for_each(|(&sample, &count)| push(sample, count));
        }
        return Ok(());
    }
    let firsts = reader.ints(buckets)?;
    let gains = if samples > 1 { reader.ints(buckets * (samples - 1))? } else { Vec::new() };
    for (bucket, &first) in firsts.iter().enumerate() {
        let mut count = first;
        push(group[0], count as f64);
        let gains = gains.get(bucket * (samples - 1)..).unwrap_or_default();
        for (&sample, gain) in group[1..].iter().zip(gains) {
            count = count.wrapping_add(*gain);
            push(sample, count as f64);
        }
    }
    Ok(())
}

/// Reads columns one after the other.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// Begins at the first column.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, position: 0 }
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        if self.position == self.bytes.len() { Ok(()) } else { Err(Fault::Trailing) }
    }

    /// The histograms of [`write_list`], of which there are `count`.
    pub(crate) fn list(&mut self, count: usize) -> Result<Vec<Arc<Histogram>>, Fault> {
        let (mut list, mut bytes) = (Vec::new(), 0usize);
        while list.len() < count {
            let more = usize::try_from(varint::read(self.bytes, &mut self.position)?);
            let most = SECTION_MAX.min(count - list.len());
            let more = more.ok().filter(|more| (1..=most).contains(more)).ok_or(Fault::Field)?;
            let first = list.len();
            decode(self.take()?, more, &mut list)?;
            bytes += list[first..].iter().map(|histogram| histogram.memory_bytes()).sum::<usize>();
            if bytes > LIST_BYTES_MAX {
                return Err(Fault::Histogram);
            }
        }
        Ok(list)
    }

    fn take(&mut self) -> Result<&'a [u8], Fault> {
        let len = usize::try_from(varint::read(self.bytes, &mut self.position)?);
        let end = len.ok().and_then(|len| self.position.checked_add(len)).ok_or(Fault::Truncated)?;
        let taken = self.bytes.get(self.position..end).ok_or(Fault::Truncated)?;
        self.position = end;
        Ok(taken)
    }

    /// The table of layouts. Each is backed by bytes of the section, so no more are created than there are.
    fn table(&mut self, count: usize) -> Result<Vec<Layout>, Fault> {
        let less_one = varint::read(self.bytes, &mut self.position)?;
        if less_one >= count as u64 {
            return Err(Fault::Field);
        }
        (0..=less_one).map(|_| self.take().and_then(Layout::read)).collect()
    }

    fn column(&mut self) -> Result<(CodecId, &'a [u8]), Fault> {
        let byte = *self.bytes.get(self.position).ok_or(Fault::Truncated)?;
        self.position += 1;
        Ok((CodecId::from_byte(byte)?, self.take()?))
    }

    /// Whether the next column is one of integers.
    fn is_ints(&self) -> bool {
        let codec = self.bytes.get(self.position).and_then(|byte| CodecId::from_byte(*byte).ok());
        codec.is_some_and(CodecId::is_for_ints)
    }

    /// A column of integers of [`write_ints`].
    pub(crate) fn ints(&mut self, count: usize) -> Result<Vec<i64>, Fault> {
        let (codec, section) = self.column()?;
        let mut out = Vec::with_capacity(count);
        adaptive::decode_ints(codec, section, count, &mut out)?;
        Ok(out)
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f64>, Fault> {
        let (codec, section) = self.column()?;
        let mut out = Vec::with_capacity(count);
        adaptive::decode_floats(codec, section, count, &mut Vec::new(), &mut out)?;
        Ok(out)
    }

    fn counts(&mut self, count: usize) -> Result<Vec<f64>, Fault> {
        if self.is_ints() {
            return Ok(self.ints(count)?.into_iter().map(|whole| whole as f64).collect());
        }
        self.floats(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::test_data::{assert_same_histograms, histograms};
    use crate::model::{ResetHint, Span};

    fn section(histograms: &[Histogram]) -> Vec<u8> {
        let shared: Vec<Arc<Histogram>> = histograms.iter().cloned().map(Arc::new).collect();
        let mut out = Vec::new();
        encode(&shared, CompressionLevel::Best, &mut out);
        out
    }

    fn back(bytes: &[u8], count: usize) -> Result<Vec<Arc<Histogram>>, Fault> {
        let mut out = Vec::new();
        decode(bytes, count, &mut out)?;
        Ok(out)
    }

    /// A latency histogram of 20 buckets as it grows.
    fn growing(samples: usize) -> Vec<Histogram> {
        let mut buckets = vec![0.0; 20];
        let grow = |i: usize| {
            buckets.iter_mut().enumerate().for_each(|(at, v)| *v += ((i * 7 + at * 13) % (at + 2)) as f64);
            let count = buckets.iter().sum();
            Histogram {
                schema: 2,
                zero_threshold: 1e-128,
                count,
                sum: count * 0.21,
                positive_spans: vec![Span { offset: -12, length: 15 }, Span { offset: 2, length: 5 }],
                positive_buckets: buckets.clone(),
                reset_hint: ResetHint::NotReset,
                ..Histogram::default()
            }
        };
        (0..samples).map(grow).collect()
    }

    #[test]
    fn a_growing_histogram_costs_few_bits_a_bucket() {
        let histograms = growing(200);
        let bytes = section(&histograms);
        assert_same_histograms(&back(&bytes, 200).unwrap(), &histograms);
        // Raw: 200 samples of 23 floats.
        assert!(bytes.len() < 200 * 23 * 8 / 10, "{} bytes", bytes.len());
    }

    #[test]
    fn layouts_that_come_and_go_are_kept_once() {
        let mut histograms = growing(60);
        for histogram in histograms.iter_mut().skip(1).step_by(3) {
            histogram.reset_hint = ResetHint::Unknown;
        }
        let bytes = section(&histograms);
        assert_eq!(bytes[0], 1, "two layouts");
        assert_same_histograms(&back(&bytes, 60).unwrap(), &histograms);
    }

    #[test]
    fn what_would_take_too_much_memory_is_refused() {
        // One layout of the most buckets there may be, for a thousand samples, in a few bytes.
        let wide = Histogram {
            positive_spans: vec![Span { offset: 0, length: Histogram::BUCKETS_MAX as u32 }],
            positive_buckets: vec![0.0; Histogram::BUCKETS_MAX],
            ..Histogram::default()
        };
        let bytes = section(&vec![wide.clone(); 3]);
        assert_eq!(back(&bytes, 3).unwrap().len(), 3);
        assert!(bytes.len() < 40);
        assert_eq!(back(&bytes, 1000).unwrap_err(), Fault::Histogram);
        let empty = section(&[Histogram::default(), Histogram::default()]);
        assert_eq!(back(&empty, crate::chunk::SAMPLES_MAX).unwrap_err(), Fault::Histogram);
    }

    #[test]
    fn malformed_sections_are_refused() {
        let good = section(&growing(5));
        assert!(back(&good, 4).is_err() && back(&good, 6).is_err(), "another count");
        assert_eq!(back(&[good.clone(), vec![0]].concat(), 5).unwrap_err(), Fault::Trailing);
        for cut in 0..good.len() {
            assert!(back(&good[..cut], 5).is_err(), "{cut} bytes");
        }
        assert_eq!(back(&[5], 3).unwrap_err(), Fault::Field, "more layouts than samples");
        // Two layouts, and a column that names the second never, then one that is not there.
        let layout = |schema| {
            let mut out = Vec::new();
            Layout::write(&Histogram { schema, ..Histogram::default() }, &mut out);
            [&[out.len() as u8][..], &out].concat()
        };
        let rest = [CodecId::ConstantInt.to_byte(), 1, 0, CodecId::ConstantInt.to_byte(), 1, 0, 0x10, 0];
        for index in [0, 4] {
            let column = [CodecId::ConstantInt.to_byte(), 1, index];
            let bytes = [&[1][..], &layout(0), &layout(1), &column, &rest].concat();
            assert_eq!(back(&bytes, 2).unwrap_err(), Fault::Field, "index {index}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(histograms in histograms(1..60)) {
            let found = back(&section(&histograms), histograms.len()).unwrap();
            assert_same_histograms(&found, &histograms);
        }

        #[test]
        fn damaged_sections_never_panic(
            histograms in histograms(1..8),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        ) {
            let mut bytes = section(&histograms);
            for (at, byte) in flips {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            for found in back(&bytes, histograms.len()).unwrap_or_default() {
                prop_assert!(found.validate_layout().is_ok());
                prop_assert!(found.memory_bytes() <= DECODED_BYTES_MAX);
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), count in 1usize..3000) {
            let _ = back(&bytes, count);
        }
    }
}
