//! A run: samples of one series as columns, the form in which they pass between head, chunks and views.
//!
//! Values are floats. An integer that a float cannot represent is also kept exactly, in a separate list. Almost no run
//! has any, so that list costs nothing, and code that only needs floats can ignore it. The same is true of histograms
//! and start timestamps.
//!
//! # Invariants
//! R1. Timestamps ascend strictly.
//! R2. `exact` ascends by index, and holds every sample whose integer `values` rounds.
//! R3. `histograms` ascends by index; `values` has NaN at these indexes.
//! R4. `starts` is empty, or has one start timestamp for each sample, not all of them 0.

mod chunks;

use std::sync::Arc;

use crate::Result;
use crate::model::{Comparable, Duplicates, Histogram, TimeRange, Timestamp, Value, is_stale};

/// Samples of one series in ascending time order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    /// Nanoseconds, strictly ascending.
    pub timestamps: Vec<Timestamp>,
    /// One for each timestamp; integers as the nearest float.
    pub values: Vec<f64>,
    /// Integers that a float cannot represent: index and value.
    pub exact: Vec<(u32, i64)>,
    /// Histograms: index and histogram.
    pub histograms: Vec<(u32, Arc<Histogram>)>,
    /// Start timestamps; 0 is unknown. Empty if none is known.
    pub starts: Vec<Timestamp>,
}

/// Called before samples are decoded, with the run and their number.
pub type Admit<'a> = dyn FnMut(&mut Run, usize) -> Result<()> + 'a;

/// A sample in arrival order.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// Nanoseconds.
    pub timestamp: Timestamp,
    /// The start timestamp; 0 is unknown.
    pub start: Timestamp,
    /// The value.
    pub value: Value,
}

impl Arrival {
    /// Of these arrivals the ones that count, one of each timestamp, ascending by timestamp.
    pub fn in_order(
        arrivals: &[Arrival],
        these: impl IntoIterator<Item = u32>,
        duplicates: Duplicates,
    ) -> Vec<u32> {
        let of = |at: u32| &arrivals[at as usize];
        let mut order: Vec<u32> = these.into_iter().collect();
        order.sort_unstable_by_key(|&at| (of(at).timestamp, at));
        order.dedup_by(|later, kept| {
            let is_same = of(*later).timestamp == of(*kept).timestamp;
            if is_same && duplicates.is_later(|| of(*kept).comparable(), || of(*later).comparable()) {
                *kept = *later;
            }
            is_same
        });
        order
    }

    fn comparable(&self) -> Comparable {
        match &self.value {
            Value::Float(value) => Comparable::Number(*value, None),
            Value::Int(value) => Comparable::Number(*value as f64, Some(*value)),
            Value::Histogram(histogram) => Comparable::Histogram { is_stale: is_stale(histogram.sum) },
        }
    }
}

/// Whether an integer is unchanged after a conversion to a float and back.
#[inline]
pub fn is_float_exact(v: i64) -> bool {
    // Nearly all are small. Otherwise the comparison is made in 128 bits, because `i64::MAX as f64` saturates on the
    // way back.
    v.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS || (v as f64) as i128 == i128::from(v)
}

/// The integer equal to `v`, if there is one and a chunk of integers preserves the bits of `v`.
#[inline]
pub fn as_integer(v: f64) -> Option<i64> {
    // 2^63, the first float beyond the integers.
    let limit = 9_223_372_036_854_775_808.0;
    let keeps = v.trunc() == v && (-limit..limit).contains(&v) && !(v == 0.0 && v.is_sign_negative());
    keeps.then_some(v as i64)
}

impl Run {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Removes all samples, keeping the memory.
    pub fn clear(&mut self) {
        let Run { timestamps, values, exact, histograms, starts } = self;
        timestamps.clear();
        values.clear();
        exact.clear();
        histograms.clear();
        starts.clear();
    }

    /// First and last timestamp.
    pub fn bounds(&self) -> Option<(Timestamp, Timestamp)> {
        Some((*self.timestamps.first()?, *self.timestamps.last()?))
    }

    /// Appends one sample. Its timestamp must be larger than the last one. A start timestamp of 0 is unknown.
    pub fn push(&mut self, timestamp: Timestamp, start: Timestamp, value: &Value) {
        let at = self.values.len() as u32;
        let float = match value {
            Value::Float(v) => *v,
            Value::Int(v) => {
                if !is_float_exact(*v) {
                    self.exact.push((at, *v));
                }
                *v as f64
            }
            Value::Histogram(histogram) => {
                self.histograms.push((at, histogram.clone()));
                f64::NAN
            }
        };
        self.push_start(start);
        self.timestamps.push(timestamp);
        self.values.push(float);
    }

    /// Records the start timestamp of the sample that is appended next.
    fn push_start(&mut self, start: Timestamp) {
        if start != 0 && self.starts.is_empty() {
            self.starts.resize(self.values.len(), 0);
        }
        if start != 0 || !self.starts.is_empty() {
            self.starts.push(start);
        }
    }

    /// A run of samples in arrival order: sorted, with the one of each timestamp that counts.
    pub fn from_arrivals(arrivals: &[Arrival], duplicates: Duplicates) -> Run {
        let mut run = Run::default();
        for at in Arrival::in_order(arrivals, 0..arrivals.len() as u32, duplicates) {
            let Arrival { timestamp, start, value } = &arrivals[at as usize];
            run.push(*timestamp, *start, value);
        }
        run
    }

    /// The memory of its columns, without the histograms.
    pub fn memory_bytes(&self) -> usize {
        let columns = self.timestamps.capacity() + self.values.capacity() + self.starts.capacity();
        columns * size_of::<f64>()
            + self.exact.capacity() * size_of::<(u32, i64)>()
            + self.histograms.capacity() * size_of::<(u32, Arc<Histogram>)>()
    }

    /// Reserves memory for `more` samples. Before that, `admit` is called with the memory that all columns will take,
    /// bytes.
    ///
    /// # Errors
    /// Those of `admit`.
    pub fn reserve<E>(
        &mut self,
        more: usize,
        admit: impl FnOnce(usize) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let (length, wanted) = (self.len(), self.len() + more);
        if wanted <= self.timestamps.capacity().min(self.values.capacity()) {
            return Ok(());
        }
        let room = wanted.max(2 * length);
        admit(self.memory_bytes() + 2 * room.saturating_sub(self.values.capacity()) * size_of::<f64>())?;
        self.timestamps.reserve_exact(room - length);
        self.values.reserve_exact(room - length);
        Ok(())
    }

    /// Appends `other`; all of it must be later.
    pub fn extend(&mut self, other: &Run) {
        let shift = self.values.len() as u32;
        self.exact.extend(other.exact.iter().map(|&(i, v)| (i + shift, v)));
        self.histograms.extend(other.histograms.iter().map(|(i, h)| (i + shift, h.clone())));
        if !self.starts.is_empty() || !other.starts.is_empty() {
            self.starts.resize(self.values.len(), 0);
            self.starts.extend_from_slice(&other.starts);
            self.starts.resize(self.values.len() + other.values.len(), 0);
        }
        self.timestamps.extend_from_slice(&other.timestamps);
        self.values.extend_from_slice(&other.values);
    }

    /// The exact integer of a sample, if a float cannot represent it.
    pub fn exact_at(&self, index: usize) -> Option<i64> {
        let at = self.exact.binary_search_by_key(&(index as u32), |e| e.0).ok()?;
        Some(self.exact[at].1)
    }

    /// The histogram of a sample, if it is one.
    pub fn histogram_at(&self, index: usize) -> Option<&Arc<Histogram>> {
        let at = self.histograms.binary_search_by_key(&(index as u32), |e| e.0).ok()?;
        Some(&self.histograms[at].1)
    }

    /// The start timestamp of a sample; 0 if it is unknown.
    pub fn start_at(&self, index: usize) -> Timestamp {
        self.starts.get(index).copied().unwrap_or(0)
    }

    /// The value of a sample. An integer that a float represents exactly is returned as a float.
    pub fn value_at(&self, index: usize) -> Value {
        if let Some(histogram) = self.histogram_at(index) {
            return Value::Histogram(histogram.clone());
        }
        self.exact_at(index).map_or(Value::Float(self.values[index]), Value::Int)
    }

    /// Keeps the samples for which `keep` returns true.
    pub fn retain(&mut self, keep: impl Fn(Timestamp) -> bool) {
        self.retain_at(|_, timestamp| keep(timestamp));
    }

    /// Keeps the samples for which `keep` returns true; it receives index and timestamp.
    pub fn retain_at(&mut self, keep: impl Fn(usize, Timestamp) -> bool) {
        if self.timestamps.iter().enumerate().all(|(at, &t)| keep(at, t)) {
            return;
        }
        let mut kept = Run::default();
        for i in 0..self.len() {
            if keep(i, self.timestamps[i]) {
                kept.copy_sample(self, i);
            }
        }
        *self = kept;
    }

    /// Shortens the run to `length` samples; does nothing if it is shorter.
    pub fn truncate(&mut self, length: usize) {
        // After decoding has failed, one column may be longer than the others.
        if length >= self.len() && length >= self.values.len() {
            return;
        }
        let Run { timestamps, values, exact, histograms, starts } = self;
        timestamps.truncate(length);
        values.truncate(length);
        exact.truncate(exact.partition_point(|e| (e.0 as usize) < length));
        histograms.truncate(histograms.partition_point(|e| (e.0 as usize) < length));
        starts.truncate(length);
        if starts.iter().all(|&start| start == 0) {
            starts.clear();
        }
    }

    /// Indexes of the samples inside `range`.
    pub fn indexes(&self, range: TimeRange) -> std::ops::Range<usize> {
        let start = self.timestamps.partition_point(|&t| t <= range.start);
        let end = self.timestamps.partition_point(|&t| t <= range.end);
        start..end.max(start)
    }

    /// Keeps only the samples inside `range`.
    pub fn keep_inside(&mut self, range: TimeRange) {
        let inside = self.indexes(range);
        if inside.len() == self.len() {
            return;
        }
        if !self.exact.is_empty() || !self.histograms.is_empty() || !self.starts.is_empty() {
            *self = self.slice(inside);
            return;
        }
        self.timestamps.truncate(inside.end);
        self.values.truncate(inside.end);
        self.timestamps.drain(..inside.start);
        self.values.drain(..inside.start);
    }

    /// A copy of the samples at `indexes`.
    pub fn slice(&self, indexes: std::ops::Range<usize>) -> Run {
        fn within<T: Clone>(list: &[(u32, T)], indexes: &std::ops::Range<usize>) -> Vec<(u32, T)> {
            let low = list.partition_point(|e| (e.0 as usize) < indexes.start);
            let high = list.partition_point(|e| (e.0 as usize) < indexes.end);
            list[low..high].iter().map(|(i, v)| (i - indexes.start as u32, v.clone())).collect()
        }
        let starts = self.starts.get(indexes.clone()).unwrap_or_default();
        Run {
            timestamps: self.timestamps[indexes.clone()].to_vec(),
            values: self.values[indexes.clone()].to_vec(),
            exact: within(&self.exact, &indexes),
            histograms: within(&self.histograms, &indexes),
            starts: if starts.iter().any(|&start| start != 0) { starts.to_vec() } else { Vec::new() },
        }
    }

    /// Splits off the samples from `at` on.
    pub fn split_off(&mut self, at: usize) -> Run {
        let after = self.slice(at..self.len());
        self.truncate(at);
        after
    }

    /// Removes the first `count` samples.
    pub fn drop_first(&mut self, count: usize) {
        if count == self.len() {
            self.clear();
        } else if count > 0 && self.exact.is_empty() && self.histograms.is_empty() && self.starts.is_empty() {
            self.timestamps.drain(..count);
            self.values.drain(..count);
        } else if count > 0 {
            *self = self.slice(count..self.len());
        }
    }

    fn copy_sample(&mut self, from: &Run, index: usize) {
        let at = self.values.len() as u32;
        if let Some(v) = from.exact_at(index) {
            self.exact.push((at, v));
        }
        if let Some(histogram) = from.histogram_at(index) {
            self.histograms.push((at, histogram.clone()));
        }
        self.push_start(from.start_at(index));
        self.timestamps.push(from.timestamps[index]);
        self.values.push(from.values[index]);
    }

    fn comparable_at(&self, index: usize) -> Comparable {
        match self.histogram_at(index) {
            Some(histogram) => Comparable::Histogram { is_stale: is_stale(histogram.sum) },
            None => Comparable::Number(self.values[index], self.exact_at(index)),
        }
    }

    /// Merges runs, older ones first. Of samples with equal timestamps, the one that counts by the rule stays, which is asked
    /// for only if the runs overlap.
    pub fn merge(mut runs: Vec<Run>, rule: impl FnOnce() -> Duplicates) -> Run {
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
                ..Run::default()
            };
            for i in order {
                out.extend(&runs[i]);
            }
            return out;
        }
        Self::merge_overlapping(&runs, rule())
    }

    fn merge_overlapping(runs: &[Run], duplicates: Duplicates) -> Run {
        let mut entries: Vec<(Timestamp, u32, u32)> = Vec::with_capacity(runs.iter().map(Run::len).sum());
        for (rank, run) in runs.iter().enumerate() {
            entries.extend(run.timestamps.iter().enumerate().map(|(i, &t)| (t, rank as u32, i as u32)));
        }
        entries.sort_unstable();
        let mut out = Run::default();
        for same in entries.chunk_by(|a, b| a.0 == b.0) {
            let sample = |&(_, rank, index): &(Timestamp, u32, u32)| (&runs[rank as usize], index as usize);
            let comparable = |(run, index): (&Run, usize)| run.comparable_at(index);
            let (run, index) = same[1..].iter().map(sample).fold(sample(&same[0]), |kept, later| {
                let is_later = duplicates.is_later(|| comparable(kept), || comparable(later));
                if is_later { later } else { kept }
            });
            out.copy_sample(run, index);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{ChunkKind, Scratch};
    use crate::codec::CompressionLevel;
    use proptest::prelude::*;

    fn run(samples: &[(i64, f64)]) -> Run {
        let mut run = Run::default();
        for &(t, v) in samples {
            run.push(t, 0, &Value::Float(v));
        }
        run
    }

    #[test]
    fn the_last_arrival_wins() {
        let arrivals = [(5, 1.0), (3, 2.0), (5, 3.0)].map(|(timestamp, value)| Arrival {
            timestamp,
            start: 0,
            value: Value::Float(value),
        });
        assert_eq!(Run::from_arrivals(&arrivals, Duplicates::Last), run(&[(3, 2.0), (5, 3.0)]));
    }

    #[test]
    fn the_later_run_wins() {
        let merged =
            Run::merge(vec![run(&[(1, 1.0), (3, 1.0)]), run(&[]), run(&[(2, 2.0), (3, 2.0)])], || {
                Duplicates::Last
            });
        assert_eq!(merged, run(&[(1, 1.0), (2, 2.0), (3, 2.0)]));
        let disjoint = Run::merge(vec![run(&[(5, 1.0)]), run(&[(1, 2.0)])], || panic!("nothing meets"));
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
            all.push(t as i64, 0, v);
        }
        assert_eq!(all.exact, [(1, big), (2, i64::MAX), (4, i64::MIN + 1)]);
        let spans: Vec<_> = all.chunk_spans(1024).collect();
        assert_eq!(spans, [(ChunkKind::Int, 0..3), (ChunkKind::Float, 3..4), (ChunkKind::Int, 4..5)]);
        let mut again = Run::default();
        for (kind, span) in spans {
            let mut bytes = Vec::new();
            all.encode_span(b"key", kind, span, CompressionLevel::Best, &mut bytes);
            again
                .extend_from_chunk(b"key", &bytes, i64::MIN, &mut Scratch::default(), &mut |_, _| Ok(()))
                .unwrap();
        }
        assert_eq!(again, all);
    }

    /// All chunks of a run, encoded and read again.
    fn through_chunks(run: &Run, samples_max: usize) -> Run {
        let mut again = Run::default();
        for (kind, span) in run.chunk_spans(samples_max) {
            let mut bytes = Vec::new();
            run.encode_span(b"key", kind, span, CompressionLevel::Fast, &mut bytes);
            again
                .extend_from_chunk(b"key", &bytes, i64::MIN, &mut Scratch::default(), &mut |_, _| Ok(()))
                .unwrap();
        }
        again
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            2 => any::<f64>().prop_map(Value::Float),
            1 => any::<i64>().prop_map(Value::Int),
            2 => crate::codec::test_data::histogram().prop_map(|h| Value::Histogram(Arc::new(h))),
        ]
    }

    /// A text that differs for values that differ in a bit (but for payloads of NaN).
    fn shown(run: &Run) -> Vec<(i64, i64, String)> {
        (0..run.len())
            .map(|i| (run.timestamps[i], run.start_at(i), format!("{:?}", run.value_at(i))))
            .collect()
    }

    #[test]
    fn histograms_are_cut_by_their_bytes() {
        let wide = Arc::new(Histogram {
            positive_spans: vec![crate::model::Span { offset: 0, length: 1000 }],
            positive_buckets: vec![1.0; 1000],
            ..Histogram::default()
        });
        let mut run = Run::default();
        for t in 0..40 {
            let value = if t == 20 { Value::Float(1.0) } else { Value::Histogram(wide.clone()) };
            run.push(t, 0, &value);
        }
        let spans: Vec<_> = run.chunk_spans(1024).collect();
        let lengths: Vec<usize> = spans.iter().map(|(_, span)| span.len()).collect();
        assert_eq!(lengths, [16, 4, 1, 16, 3], "16 of 8.0 KiB fit into 128 KiB");
        assert_eq!(spans[2], (ChunkKind::Float, 20..21));
        assert_eq!(shown(&through_chunks(&run, 1024)), shown(&run));
        let short: Vec<usize> = run.chunk_spans(4).map(|(_, span)| span.len()).collect();
        assert_eq!(short[..3], [4, 4, 4]);
    }

    #[test]
    fn integers_that_a_float_holds_stay_among_those_that_none_holds() {
        let mut run = Run::default();
        for t in 0..1000 {
            run.push(t, 0, &Value::Int(if t % 2 == 0 { 1 << 60 } else { (1 << 60) + 1 }));
        }
        let spans: Vec<_> = run.chunk_spans(1024).collect();
        assert_eq!(spans, [(ChunkKind::Int, 0..1000)]);
        assert_eq!(shown(&through_chunks(&run, 1024)), shown(&run));
    }

    /// As a decoding that failed leaves it.
    #[test]
    fn a_run_whose_columns_differ_is_shortened_in_all_of_them() {
        let mut run = Run { timestamps: vec![1, 2], values: vec![1.0, 2.0, 3.0], ..Run::default() };
        run.truncate(2);
        assert_eq!((run.timestamps, run.values), (vec![1, 2], vec![1.0, 2.0]));
    }

    #[test]
    fn only_what_an_integer_chunk_keeps_is_an_integer() {
        assert_eq!(as_integer(3.0), Some(3));
        assert_eq!(as_integer(i64::MIN as f64), Some(i64::MIN));
        for v in [-0.0, 0.5, f64::NAN, f64::INFINITY, 1e300, i64::MAX as f64] {
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
                    one.push(t, 0, &Value::Int(v));
                    expected.insert(t, v);
                }
                inputs.push(one);
            }
            let merged = Run::merge(inputs, || Duplicates::Last);
            let got: Vec<(i64, i64)> = (0..merged.len())
                .map(|i| (merged.timestamps[i], merged.exact_at(i).unwrap_or(merged.values[i] as i64)))
                .collect();
            prop_assert_eq!(got, expected.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn mixed_runs_keep_everything_through_chunks_slices_and_merges(
            samples in proptest::collection::btree_map(
                -200i64..200,
                (prop_oneof![Just(0i64), Just(7), any::<i64>()], any_value()),
                0..40,
            ),
            cut in 0usize..40,
        ) {
            let mut run = Run::default();
            for (&t, (start, value)) in &samples {
                run.push(t, *start, value);
            }
            let all = shown(&run);
            prop_assert_eq!(shown(&through_chunks(&run, 16)), all.clone());
            let cut = cut.min(run.len());
            let (low, high) = (run.slice(0..cut), run.slice(cut..run.len()));
            prop_assert_eq!(shown(&Run::merge(vec![high.clone(), low.clone()], || Duplicates::Last)), all.clone());
            let mut even = run.clone();
            even.retain(|t| t % 2 == 0);
            prop_assert_eq!(shown(&Run::merge(vec![low, even, high], || Duplicates::Last)), all);
        }
    }
}
