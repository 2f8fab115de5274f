//! A run: samples of one series as columns, on their way between head, chunks and views.
//!
//! Values are floats; an integer that a float cannot hold is also kept exactly, in a list
//! beside them. Almost every run has none, so that list costs nothing, and everything that
//! only needs floats can ignore it.
//!
//! # Invariants
//! R1. Timestamps ascend strictly.
//! R2. `exact` ascends by index, and holds every sample whose integer `values` rounds.

use crate::chunk::{Chunk, ChunkKind, ChunkValues, OpenChunk, Scratch, sealed};
use crate::codec::Effort;
use crate::model::{TimeRange, Timestamp, Value};
use crate::{Error, Result};

/// Samples of one series in ascending time order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    /// Nanoseconds, strictly ascending.
    pub timestamps: Vec<Timestamp>,
    /// One for each timestamp; integers as the nearest float.
    pub values: Vec<f64>,
    /// Integers that a float cannot hold: index and value.
    pub exact: Vec<(u32, i64)>,
}

/// Whether an integer survives the way into a float and back.
pub fn is_float_exact(v: i64) -> bool {
    // The comparison is made in 128 bits: `i64::MAX as f64` saturates on the way back.
    (v as f64) as i128 == i128::from(v)
}

/// The integer that `v` is, if it is one and an integer chunk keeps its bits.
pub fn as_integer(v: f64) -> Option<i64> {
    let limit = 9_007_199_254_740_992.0;
    let keeps = v.trunc() == v && v.abs() <= limit && !(v == 0.0 && v.is_sign_negative());
    keeps.then_some(v as i64)
}

impl Run {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// First and last timestamp.
    pub fn bounds(&self) -> Option<(Timestamp, Timestamp)> {
        Some((*self.timestamps.first()?, *self.timestamps.last()?))
    }

    /// Appends one sample; its timestamp must be larger than the last one.
    pub fn push(&mut self, timestamp: Timestamp, value: &Value) {
        let float = match value {
            Value::Float(v) => *v,
            Value::Int(v) => {
                if !is_float_exact(*v) {
                    self.exact.push((self.values.len() as u32, *v));
                }
                *v as f64
            }
            // Histograms travel in chunks of their own and never reach a run.
            Value::Histogram(_) => f64::NAN,
        };
        self.timestamps.push(timestamp);
        self.values.push(float);
    }

    /// A run of samples in arrival order: sorted, and of equal timestamps the last stays.
    pub fn from_arrivals(arrivals: &[(Timestamp, Value)]) -> Run {
        let mut order: Vec<usize> = (0..arrivals.len()).collect();
        order.sort_by_key(|&i| arrivals[i].0);
        let mut run = Run::default();
        for (place, &i) in order.iter().enumerate() {
            let is_replaced = order.get(place + 1).is_some_and(|&next| arrivals[next].0 == arrivals[i].0);
            if !is_replaced {
                run.push(arrivals[i].0, &arrivals[i].1);
            }
        }
        run
    }

    /// Appends what an open chunk holds; all of it must be later than the run.
    pub fn extend_from_open(&mut self, chunk: &OpenChunk) {
        match chunk.kind() {
            ChunkKind::Int => {
                let mut ints = Vec::new();
                chunk.decode_ints(&mut self.timestamps, &mut ints);
                self.extend_ints(&ints);
            }
            ChunkKind::Float => chunk.decode(&mut self.timestamps, &mut self.values),
        }
    }

    /// Appends what a stored chunk holds, unless all of it is at or before `after`; it must
    /// be later than the run.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the chunk's key.
    pub fn extend_from_chunk(&mut self, key: &[u8], bytes: &[u8], after: Timestamp) -> Result<()> {
        let corrupt = |e: crate::chunk::ChunkError| Error::Corrupt {
            file: format!("chunks/{}", key.escape_ascii()),
            offset: e.offset as u64,
            what: e.what.to_string(),
        };
        let chunk = Chunk::open(key, bytes).map_err(corrupt)?;
        if chunk.last() <= after {
            return Ok(());
        }
        let decoded = match chunk.kind() {
            ChunkKind::Int => {
                let mut ints = Vec::new();
                let decoded = chunk.decode_ints(&mut self.timestamps, &mut ints);
                self.extend_ints(&ints);
                decoded
            }
            ChunkKind::Float => chunk.decode(&mut Scratch::default(), &mut self.timestamps, &mut self.values),
        };
        decoded.map_err(corrupt)
    }

    fn extend_ints(&mut self, ints: &[i64]) {
        for &v in ints {
            if !is_float_exact(v) {
                self.exact.push((self.values.len() as u32, v));
            }
            self.values.push(v as f64);
        }
    }

    /// Appends `other`; all of it must be later.
    pub fn extend(&mut self, other: &Run) {
        let shift = self.values.len() as u32;
        self.timestamps.extend_from_slice(&other.timestamps);
        self.values.extend_from_slice(&other.values);
        self.exact.extend(other.exact.iter().map(|&(i, v)| (i + shift, v)));
    }

    /// The exact integer of a sample, if a float does not hold it.
    pub fn exact_at(&self, index: usize) -> Option<i64> {
        let at = self.exact.binary_search_by_key(&(index as u32), |e| e.0).ok()?;
        Some(self.exact[at].1)
    }

    /// Keeps the samples for which `keep` answers true.
    pub fn retain(&mut self, mut keep: impl FnMut(Timestamp) -> bool) {
        if self.timestamps.iter().all(|&t| keep(t)) {
            return;
        }
        let mut kept = Run::default();
        for i in 0..self.len() {
            if keep(self.timestamps[i]) {
                kept.copy_sample(self, i);
            }
        }
        *self = kept;
    }

    /// Indexes of the samples inside `range`.
    pub fn indexes(&self, range: TimeRange) -> std::ops::Range<usize> {
        let start = self.timestamps.partition_point(|&t| t <= range.start);
        let end = self.timestamps.partition_point(|&t| t <= range.end);
        start..end.max(start)
    }

    /// The samples at `indexes` as a run of their own.
    pub fn slice(&self, indexes: std::ops::Range<usize>) -> Run {
        let low = self.exact.partition_point(|e| (e.0 as usize) < indexes.start);
        let high = self.exact.partition_point(|e| (e.0 as usize) < indexes.end);
        Run {
            timestamps: self.timestamps[indexes.clone()].to_vec(),
            values: self.values[indexes.clone()].to_vec(),
            exact: self.exact[low..high].iter().map(|&(i, v)| (i - indexes.start as u32, v)).collect(),
        }
    }

    fn copy_sample(&mut self, from: &Run, index: usize) {
        if let Some(v) = from.exact_at(index) {
            self.exact.push((self.values.len() as u32, v));
        }
        self.timestamps.push(from.timestamps[index]);
        self.values.push(from.values[index]);
    }

    /// Merges runs; of equal timestamps the sample of the later run stays.
    pub fn merge(mut runs: Vec<Run>) -> Run {
        runs.retain(|r| !r.is_empty());
        if runs.len() <= 1 {
            return runs.pop().unwrap_or_default();
        }
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by_key(|&i| runs[i].timestamps[0]);
        let ends_before = |a: usize, b: usize| runs[a].timestamps.last() < runs[b].timestamps.first();
        if order.windows(2).all(|w| ends_before(w[0], w[1])) {
            let total = runs.iter().map(Run::len).sum();
            let mut out = Run {
                timestamps: Vec::with_capacity(total),
                values: Vec::with_capacity(total),
                exact: Vec::new(),
            };
            for i in order {
                out.extend(&runs[i]);
            }
            return out;
        }
        Self::merge_overlapping(&runs)
    }

    fn merge_overlapping(runs: &[Run]) -> Run {
        let mut entries: Vec<(Timestamp, u32, u32)> = Vec::with_capacity(runs.iter().map(Run::len).sum());
        for (rank, run) in runs.iter().enumerate() {
            entries.extend(run.timestamps.iter().enumerate().map(|(i, &t)| (t, rank as u32, i as u32)));
        }
        entries.sort_unstable();
        let mut out = Run::default();
        for (place, &(t, rank, index)) in entries.iter().enumerate() {
            if entries.get(place + 1).is_none_or(|next| next.0 != t) {
                out.copy_sample(&runs[rank as usize], index as usize);
            }
        }
        out
    }

    /// Encodes the run as chunks of at most `samples_max`, integers beyond a float's reach
    /// in integer chunks. `emit` gets, for each chunk, its first timestamp and a closure's
    /// worth of data: index range and kind.
    pub fn chunk_spans(&self, samples_max: usize) -> Vec<(ChunkKind, std::ops::Range<usize>)> {
        let mut spans = Vec::with_capacity(self.len() / samples_max + 1);
        if self.exact.is_empty() {
            let mut start = 0;
            while start < self.len() {
                let end = (start + samples_max).min(self.len());
                spans.push((ChunkKind::Float, start..end));
                start = end;
            }
            return spans;
        }
        let mut start = 0;
        while start < self.len() {
            let (kind, end) = self.span_from(start, samples_max);
            spans.push((kind, start..end));
            start = end;
        }
        spans
    }

    /// The longest span from `start` that one kind of chunk can hold.
    fn span_from(&self, start: usize, samples_max: usize) -> (ChunkKind, usize) {
        let limit = (start + samples_max).min(self.len());
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

    /// Encodes the samples of one span of [`Run::chunk_spans`].
    pub fn encode_span(
        &self,
        key: &[u8],
        kind: ChunkKind,
        span: std::ops::Range<usize>,
        effort: Effort,
        out: &mut Vec<u8>,
    ) {
        let timestamps = &self.timestamps[span.clone()];
        if kind == ChunkKind::Int {
            let ints: Vec<i64> = span.map(|i| self.exact_at(i).unwrap_or(self.values[i] as i64)).collect();
            sealed::encode(key, timestamps, ChunkValues::Int(&ints), effort, out);
        } else {
            sealed::encode(key, timestamps, ChunkValues::Float(&self.values[span]), effort, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(samples: &[(i64, f64)]) -> Run {
        let mut run = Run::default();
        for &(t, v) in samples {
            run.push(t, &Value::Float(v));
        }
        run
    }

    #[test]
    fn the_last_arrival_wins() {
        let arrivals = [(5, Value::Float(1.0)), (3, Value::Float(2.0)), (5, Value::Float(3.0))];
        assert_eq!(Run::from_arrivals(&arrivals), run(&[(3, 2.0), (5, 3.0)]));
    }

    #[test]
    fn the_later_run_wins() {
        let merged = Run::merge(vec![run(&[(1, 1.0), (3, 1.0)]), run(&[]), run(&[(2, 2.0), (3, 2.0)])]);
        assert_eq!(merged, run(&[(1, 1.0), (2, 2.0), (3, 2.0)]));
        let disjoint = Run::merge(vec![run(&[(5, 1.0)]), run(&[(1, 2.0)])]);
        assert_eq!(disjoint, run(&[(1, 2.0), (5, 1.0)]));
    }

    #[test]
    fn integers_keep_every_digit() {
        let big = (1i64 << 53) + 1;
        let values = [
            Value::Int(1),
            Value::Int(big),
            Value::Int(i64::MAX),
            Value::Float(0.5),
            Value::Int(i64::MIN + 1),
        ];
        let mut all = Run::default();
        for (t, v) in values.iter().enumerate() {
            all.push(t as i64, v);
        }
        assert_eq!(all.exact, [(1, big), (2, i64::MAX), (4, i64::MIN + 1)]);
        let spans = all.chunk_spans(1024);
        assert_eq!(spans, [(ChunkKind::Int, 0..3), (ChunkKind::Float, 3..4), (ChunkKind::Int, 4..5)]);
        let mut again = Run::default();
        for (kind, span) in spans {
            let mut bytes = Vec::new();
            all.encode_span(b"key", kind, span, Effort::Best, &mut bytes);
            again.extend_from_chunk(b"key", &bytes, i64::MIN).unwrap();
        }
        assert_eq!(again, all);
    }

    #[test]
    fn only_what_an_integer_chunk_keeps_is_an_integer() {
        assert_eq!(as_integer(3.0), Some(3));
        for v in [-0.0, 0.5, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(as_integer(v), None, "{v}");
        }
        assert!(is_float_exact(1 << 60) && !is_float_exact(i64::MAX) && !is_float_exact((1 << 53) + 1));
    }

    proptest! {
        #[test]
        fn merging_equals_a_map(runs in proptest::collection::vec(proptest::collection::btree_map(0i64..60, any::<i64>(), 0..20), 0..5)) {
            let mut expected = std::collections::BTreeMap::new();
            let mut inputs = Vec::new();
            for map in &runs {
                let mut one = Run::default();
                for (&t, &v) in map {
                    one.push(t, &Value::Int(v));
                    expected.insert(t, v);
                }
                inputs.push(one);
            }
            let merged = Run::merge(inputs);
            let got: Vec<(i64, i64)> = (0..merged.len())
                .map(|i| (merged.timestamps[i], merged.exact_at(i).unwrap_or(merged.values[i] as i64)))
                .collect();
            prop_assert_eq!(got, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
