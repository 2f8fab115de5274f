//! Runs and chunks: appending the samples of a chunk to a run, and cutting a run into chunks and encoding them.

use std::ops::Range;
use std::sync::Arc;

use super::{Admit, Run, as_integer, is_float_exact};
use crate::chunk::{
    Chunk, ChunkError, ChunkKind, ChunkValues, HISTOGRAM_CHUNK_BYTES, OpenChunk, Scratch, sealed,
};
use crate::codec::CompressionLevel;
use crate::model::{Histogram, Timestamp};
use crate::{Error, Result};

impl Run {
    /// Appends the samples of an open chunk, all of which must be later than those of the run.
    pub fn extend_from_open(&mut self, chunk: &OpenChunk) {
        match chunk.kind() {
            ChunkKind::Int => {
                let mut ints = Vec::new();
                chunk.decode_ints(&mut self.timestamps, &mut ints);
                self.extend_ints(&ints);
            }
            ChunkKind::Float => chunk.decode(&mut self.timestamps, &mut self.values),
            ChunkKind::Histogram => {
                let mut histograms = Vec::new();
                chunk.decode_histograms(&mut self.timestamps, &mut histograms);
                self.extend_histograms(histograms);
            }
        }
        if chunk.has_starts() {
            self.starts.resize(self.values.len() - chunk.len(), 0);
            chunk.decode_starts(&mut self.starts);
        } else if !self.starts.is_empty() {
            self.starts.resize(self.values.len(), 0);
        }
    }

    /// Appends the samples of a stored chunk, unless all of them are at or before `after`. They must be later than
    /// those of the run. Before decoding, `admit` is called with the run and the number of samples.
    ///
    /// # Errors
    /// Those of `admit`.
    /// [`Error::Corrupt`] naming the chunk's key.
    pub fn extend_from_chunk(
        &mut self,
        key: &[u8],
        bytes: &[u8],
        after: Timestamp,
        scratch: &mut Scratch,
        admit: &mut Admit<'_>,
    ) -> Result<()> {
        let corrupt = |e: ChunkError| Error::Corrupt {
            file: format!("chunks/{}", key.escape_ascii()),
            offset: e.offset as u64,
            what: e.what.to_string(),
        };
        let chunk = Chunk::open(key, bytes).map_err(corrupt)?;
        if chunk.last() <= after {
            return Ok(());
        }
        admit(self, chunk.count())?;
        self.extend_from_opened(&chunk, scratch).map_err(corrupt)
    }

    fn extend_from_opened(
        &mut self,
        chunk: &Chunk<'_>,
        scratch: &mut Scratch,
    ) -> std::result::Result<(), ChunkError> {
        let first = self.values.len();
        match chunk.kind() {
            ChunkKind::Int => {
                let mut ints = Vec::new();
                chunk.decode_ints(&mut self.timestamps, &mut ints)?;
                self.extend_ints(&ints);
            }
            ChunkKind::Float => {
                chunk.decode(scratch, &mut self.timestamps, &mut self.values)?;
            }
            ChunkKind::Histogram => {
                let mut histograms = Vec::new();
                chunk.decode_histograms(&mut self.timestamps, &mut histograms)?;
                self.extend_histograms(histograms);
            }
        }
        if chunk.has_starts() {
            self.starts.resize(first, 0);
            chunk.decode_starts(&self.timestamps[first..], &mut self.starts)
        } else {
            if !self.starts.is_empty() {
                self.starts.resize(self.values.len(), 0);
            }
            Ok(())
        }
    }

    fn extend_histograms(&mut self, histograms: Vec<Arc<Histogram>>) {
        let first = self.values.len();
        self.values.resize(first + histograms.len(), f64::NAN);
        self.histograms.extend((first as u32..).zip(histograms));
    }

    fn extend_ints(&mut self, ints: &[i64]) {
        for &v in ints {
            if !is_float_exact(v) {
                self.exact.push((self.values.len() as u32, v));
            }
            self.values.push(v as f64);
        }
    }

    /// How to cut the run into chunks of at most `samples_max`: the kind and the indexes of each. Integers that a float
    /// cannot represent go into chunks of integers. Histograms go into separate chunks, which are also limited by
    /// bytes.
    pub fn chunk_spans(&self, samples_max: usize) -> impl Iterator<Item = (ChunkKind, Range<usize>)> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let begin = start;
            (begin < self.len()).then(|| {
                let (kind, end) = self.span_from(begin, samples_max);
                start = end;
                (kind, begin..end)
            })
        })
    }

    /// The longest span from `start` on that one chunk can hold. Samples after the first `samples_max` do not affect
    /// it.
    pub fn span_from(&self, start: usize, samples_max: usize) -> (ChunkKind, usize) {
        let mut limit = (start + samples_max).min(self.len());
        let next = self.histograms.partition_point(|h| (h.0 as usize) < start);
        if let Some((at, _)) = self.histograms.get(next) {
            if *at as usize == start {
                return (ChunkKind::Histogram, self.histograms_from(next, limit));
            }
            limit = limit.min(*at as usize);
        }
        if self.exact.is_empty() {
            return (ChunkKind::Float, limit);
        }
        let (mut fits_float, mut fits_int) = (true, true);
        for index in start..limit {
            let is_exact = self.exact_at(index).is_some();
            let float = fits_float && !is_exact;
            let int = fits_int && (is_exact || as_integer(self.values[index]).is_some());
            if !float && !int {
                return (if fits_int { ChunkKind::Int } else { ChunkKind::Float }, index);
            }
            (fits_float, fits_int) = (float, int);
        }
        (if fits_float { ChunkKind::Float } else { ChunkKind::Int }, limit)
    }

    /// The end of a chunk that begins with the histogram at `first` of the list.
    fn histograms_from(&self, first: usize, limit: usize) -> usize {
        let start = self.histograms[first].0 as usize;
        let mut bytes = 0;
        let fitting = self.histograms[first..].iter().zip(start..limit).take_while(|((at, h), index)| {
            bytes += h.memory_bytes();
            *at as usize == *index && (*index == start || bytes <= HISTOGRAM_CHUNK_BYTES)
        });
        start + fitting.count()
    }

    /// Encodes the samples of one span of [`Run::chunk_spans`].
    pub fn encode_span(
        &self,
        key: &[u8],
        kind: ChunkKind,
        span: Range<usize>,
        level: CompressionLevel,
        out: &mut Vec<u8>,
    ) {
        let timestamps = &self.timestamps[span.clone()];
        let starts = self.starts.get(span.clone()).unwrap_or_default();
        match kind {
            ChunkKind::Float => {
                let values = ChunkValues::Float(&self.values[span]);
                sealed::encode_started(key, timestamps, starts, values, level, out);
            }
            ChunkKind::Int => {
                let ints: Vec<i64> =
                    span.map(|i| self.exact_at(i).unwrap_or(self.values[i] as i64)).collect();
                sealed::encode_started(key, timestamps, starts, ChunkValues::Int(&ints), level, out);
            }
            ChunkKind::Histogram => {
                let first = self.histograms.partition_point(|h| (h.0 as usize) < span.start);
                let histograms: Vec<Arc<Histogram>> =
                    self.histograms[first..][..span.len()].iter().map(|(_, h)| h.clone()).collect();
                sealed::encode_started(
                    key,
                    timestamps,
                    starts,
                    ChunkValues::Histogram(&histograms),
                    level,
                    out,
                );
            }
        }
    }
}
