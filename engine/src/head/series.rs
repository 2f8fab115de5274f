//! One series in the head: its open chunk, its closed chunks, and its late samples.
//!
//! In-order samples are appended to the open chunk. A sample at or before the newest one goes to the late buffer, in
//! arrival order; if both have a sample with the same timestamp, the late one is newer (`Duplicates` says which counts).
//! A flush freezes everything of one epoch; later samples go into new chunks.
//!
//! # Invariants
//! H1. Closed chunks and the open chunk ascend in time; none spans two partitions.
//! H2. A late sample is newer (in WAL order) than every in-order sample with its timestamp.
//! H3. `frozen` holds samples of an epoch before the current one.
//! H4. Samples are never removed from an epoch: readers of earlier states rely on their number (`seen.rs`). Deletes
//!     hide them, and a flush leaves out hidden samples.

mod copy;

use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

pub use copy::HeadCopy;

use crate::Result;
use crate::chunk::pieces::PieceMerge;
use crate::chunk::run::{Arrival, as_integer, is_float_exact};
use crate::chunk::{ChunkKind, OpenChunk, Run};
use crate::head::pins::{EpochStart, Pin, Turn};
use crate::head::seen::{Marks, Place, Seen};
use crate::model::{
    DuplicateRules, Labels, Layout, PartitionId, RuleOf, SeriesId, TimeRange, Timestamp, Value,
};
use crate::sync::Mutex;

/// An epoch: the period between two flushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Epoch {
    /// Counts flushes, from 1.
    pub number: u32,
    /// The WAL sequence at which it began: every sample of earlier epochs is at or below it.
    pub cut: u64,
}

/// Samples of one series and one epoch that are not in the store.
///
/// Most of a million series have at most an open chunk, so the open chunk and the rarer parts are each behind a
/// pointer.
#[derive(Debug, Default, Clone)]
pub struct EpochSamples {
    open: Option<Box<OpenChunk>>,
    overflow: Option<Box<Overflow>>,
    marks: Marks,
}

/// The parts of a series other than its open chunk.
#[derive(Debug, Default, Clone)]
struct Overflow {
    closed: Vec<Arc<OpenChunk>>,
    late: Vec<Arrival>,
    /// Samples in the closed chunks.
    closed_samples: u32,
    /// The number of samples before these that a copy left out.
    skipped: u32,
}

/// The samples of one series and one epoch that a flush is writing, or that readers from before its end still need.
#[derive(Debug)]
pub struct Frozen {
    /// The samples.
    pub data: EpochSamples,
    /// The sequence at which the epoch ended.
    pub cut: u64,
}

impl EpochSamples {
    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.overflow.is_none()
    }

    fn closed(&self) -> &[Arc<OpenChunk>] {
        self.overflow.as_ref().map_or(&[], |rest| &rest.closed)
    }

    fn late(&self) -> &[Arrival] {
        self.overflow.as_ref().map_or(&[], |rest| &rest.late)
    }

    /// The rarer parts, created if necessary, and the increase of memory in bytes.
    fn rest_mut(&mut self) -> (&mut Overflow, usize) {
        let grown = if self.overflow.is_none() { size_of::<Overflow>() } else { 0 };
        (self.overflow.get_or_insert_default(), grown)
    }

    /// The sum of the increases of memory that appends returned.
    fn memory_bytes(&self) -> usize {
        let rest = if self.overflow.is_some() { size_of::<Overflow>() } else { 0 };
        let chunks = self.chunks().map(OpenChunk::memory_bytes).sum::<usize>();
        rest + self.marks.memory_bytes()
            + chunks
            + self.late().iter().map(|s| late_bytes(&s.value)).sum::<usize>()
    }

    fn newest_in_order(&self) -> Option<Timestamp> {
        self.open.as_deref().or(self.closed().last().map(|c| &**c)).and_then(OpenChunk::last)
    }

    fn chunks(&self) -> impl Iterator<Item = &OpenChunk> {
        self.closed().iter().map(|c| &**c).chain(self.open.as_deref())
    }

    /// The chunks, each with the number of its first sample.
    fn numbered_chunks(&self) -> impl Iterator<Item = (u32, &OpenChunk)> {
        let mut next = self.overflow.as_ref().map_or(0, |rest| rest.skipped);
        self.chunks().map(move |chunk| {
            let first = next;
            next += chunk.len() as u32;
            (first, chunk)
        })
    }

    /// The number of samples of both kinds.
    fn place(&self) -> Place {
        let in_order = self.overflow.as_ref().map_or(0, |rest| rest.closed_samples);
        let open = self.open.as_deref().map_or(0, OpenChunk::len);
        Place { in_order: in_order + open as u32, late: self.late().len() as u32 }
    }

    /// The samples visible after the change `seq`; see [`Seen::new`].
    pub fn seen_at(&self, seq: u64, deletes: impl Iterator<Item = (u64, TimeRange)>) -> Seen {
        Seen::new(&self.marks, seq, deletes)
    }

    /// The visible samples in `range` as one run; a chunk that overlaps the range is included completely.
    pub(crate) fn to_run(&self, range: TimeRange, seen: &Seen, rule: RuleOf<'_>) -> Run {
        let mut run = Run::default();
        self.read_into(range, seen, rule, &mut run);
        run
    }

    /// Replaces the samples in `run` by those that [`EpochSamples::to_run`] returns.
    pub(crate) fn read_into(&self, range: TimeRange, seen: &Seen, rule: RuleOf<'_>, run: &mut Run) {
        run.clear();
        for (first, chunk) in self.numbered_chunks().filter(|(_, c)| touches(c, range)) {
            seen.extend(run, first, chunk);
        }
        if !self.late().is_empty() {
            let late = (0u32..).zip(self.late());
            let late = late.filter(|(n, s)| range.contains(s.timestamp) && seen.has_late(*n, s.timestamp));
            let late: Vec<_> = late.map(|(_, sample)| sample.clone()).collect();
            let duplicates = rule.get();
            let late = Run::from_arrivals(&late, duplicates);
            *run = Run::merge(vec![std::mem::take(run), late], || duplicates);
        }
    }

    /// Appends the samples that [`EpochSamples::to_run`] returns to `run` piece by piece, and calls `visit` after each
    /// piece, which may remove samples.
    ///
    /// # Errors
    /// Those of `visit`.
    pub(crate) fn read_pieces(
        &self,
        range: TimeRange,
        seen: &Seen,
        rule: RuleOf<'_>,
        run: &mut Run,
        visit: &mut dyn FnMut(&mut Run) -> Result<()>,
    ) -> Result<()> {
        let mut chunks = self.numbered_chunks().filter(|(_, c)| touches(c, range));
        if self.late().is_empty() {
            return chunks.try_for_each(|(first, chunk)| {
                seen.extend(run, first, chunk);
                visit(run)
            });
        }
        let mut sources = super::pieces::InOrderAndLate::new(chunks, self.late(), range, seen, rule);
        let mut merge = PieceMerge::default();
        merge.begin(&mut sources)?;
        while merge.next(&mut sources, || rule.get(), run)? {
            visit(run)?;
        }
        Ok(())
    }

    /// The maximum number of samples that [`EpochSamples::to_run`] returns.
    pub fn count(&self, range: TimeRange) -> usize {
        let chunks = self.chunks().filter(|c| touches(c, range)).map(OpenChunk::len).sum::<usize>();
        chunks + self.late().len()
    }

    /// Calls `visit` with each partition that holds a sample, ascending, once.
    pub fn for_each_partition(&self, layout: Layout, mut visit: impl FnMut(PartitionId)) {
        let Some((first, last)) = self.bounds() else { return };
        let first = layout.raw(first);
        if first == layout.raw(last) {
            return visit(first);
        }
        let firsts = self.chunks().filter_map(OpenChunk::first);
        let samples = firsts.chain(self.late().iter().map(|s| s.timestamp));
        let mut partitions: Vec<PartitionId> = samples.map(|t| layout.raw(t)).collect();
        partitions.sort_unstable();
        partitions.dedup();
        partitions.into_iter().for_each(visit);
    }

    /// Whether there may be samples in `range`.
    pub fn touches(&self, range: TimeRange) -> bool {
        self.chunks().any(|chunk| touches(chunk, range))
            || self.late().iter().any(|sample| range.contains(sample.timestamp))
    }

    /// Smallest and largest timestamp.
    pub fn bounds(&self) -> Option<(Timestamp, Timestamp)> {
        let chunks = self.chunks().filter_map(|c| c.first().zip(c.last()));
        chunks
            .chain(self.late().iter().map(|s| (s.timestamp, s.timestamp)))
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }
}

/// The memory of a late sample, bytes.
fn late_bytes(value: &Value) -> usize {
    size_of::<Arrival>() + value.heap_bytes()
}

fn touches(chunk: &OpenChunk, range: TimeRange) -> bool {
    chunk.first().zip(chunk.last()).is_some_and(|(first, last)| range.overlaps(first, last))
}

/// What the lock of a series guards.
#[derive(Debug, Default)]
struct SeriesData {
    /// No sample after this instant fits into the open chunk's partition.
    open_until: Timestamp,
    active: EpochSamples,
    frozen: Option<Arc<Frozen>>,
    /// The turn of the last append.
    turn: u32,
    /// The number of consecutive flushes that found no samples of this series.
    idle_flushes: u8,
}

/// A series with unflushed or recent samples.
#[derive(Debug)]
pub struct HeadSeries {
    /// Its id, also in the store.
    pub id: SeriesId,
    /// Its identity.
    pub labels: Labels,
    /// The hash of its labels that the registry uses.
    pub hash: u32,
    is_dead: AtomicBool,
    /// The epoch in which the WAL last defined this series' id; 0 if never. The commit lock guards it.
    defined_epoch: AtomicU32,
    data: Mutex<SeriesData>,
}

// With the counts of its `Arc` it takes 112 bytes, which is a size class of allocators.
const _: () = assert!(size_of::<HeadSeries>() <= 96);

/// How the head cuts chunks.
#[derive(Debug, Clone, Copy)]
pub struct ChunkPolicy {
    /// Chunks end where partitions do.
    pub layout: Layout,
    /// Most samples of a chunk.
    pub chunk_samples: usize,
}

impl HeadSeries {
    /// A series without samples.
    pub fn new(id: SeriesId, labels: Labels, hash: u32) -> Self {
        HeadSeries {
            id,
            labels,
            hash,
            is_dead: AtomicBool::new(false),
            defined_epoch: AtomicU32::new(0),
            data: Mutex::default(),
        }
    }

    /// Whether it has left the head, in which case a caller that still holds it must look up its labels again.
    #[inline]
    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Acquire)
    }

    /// Evicts the series if it has held no samples for `idle_flushes` flushes, and has no record in `epoch`, the
    /// current one. The caller excludes concurrent appends.
    pub fn evict_if_idle(&self, idle_flushes: u32, epoch: Epoch) -> bool {
        let data = self.data.lock();
        let is_idle = data.active.is_empty()
            && data.frozen.is_none()
            && u32::from(data.idle_flushes) >= idle_flushes
            && self.defined_epoch.load(Ordering::Relaxed) != epoch.number;
        if is_idle {
            self.is_dead.store(true, Ordering::Release);
        }
        is_idle
    }

    /// Whether the series was never written to: it has no samples here and no record in the log. The caller excludes
    /// concurrent appends.
    pub fn is_unused(&self) -> bool {
        let is_defined = self.defined_epoch.load(Ordering::Relaxed) != 0;
        !is_defined && !self.is_dead() && {
            let data = self.data.lock();
            data.active.is_empty() && data.frozen.is_none()
        }
    }

    /// Evicts the series if it is unused; succeeds only once. The caller excludes concurrent appends.
    pub fn evict_if_unused(&self) -> bool {
        let is_unused = self.is_unused();
        if is_unused {
            self.is_dead.store(true, Ordering::Release);
        }
        is_unused
    }

    /// Counts a flush that found no samples of this series.
    pub fn note_idle(&self) {
        let mut data = self.data.lock();
        if data.active.is_empty() && data.frozen.is_none() {
            data.idle_flushes = data.idle_flushes.saturating_add(1);
        }
    }

    /// Appends a sample in a turn; returns the increase of memory in bytes. A start timestamp of 0 is unknown.
    pub fn append(
        &self,
        turn: &Turn,
        policy: ChunkPolicy,
        timestamp: Timestamp,
        start: Timestamp,
        value: &Value,
    ) -> usize {
        let mut data = self.data.lock();
        let marked = if data.turn == turn.number { 0 } else { data.enter(turn) };
        let until = data.open_until;
        if let Some(open) = &mut data.active.open
            && start == 0
            && open.last() < Some(timestamp)
            && timestamp <= until
            && open.len() < policy.chunk_samples
        {
            let before = open.memory_bytes();
            match (value, open.kind()) {
                (Value::Float(v), ChunkKind::Float) => open.push_float(timestamp, *v),
                (Value::Int(v), ChunkKind::Float) if is_float_exact(*v) => {
                    open.push_float(timestamp, *v as f64);
                }
                (Value::Int(v), ChunkKind::Int) => open.push_int(timestamp, *v),
                _ => return marked + data.append_slowly(policy, timestamp, start, value),
            }
            return marked + open.memory_bytes() - before;
        }
        marked + data.append_slowly(policy, timestamp, start, value)
    }

    /// Whether the WAL must define this series in `epoch` before it is used. Returns true once per epoch. The caller
    /// holds the commit lock.
    #[inline]
    pub fn needs_definition(&self, epoch: Epoch) -> bool {
        let needs = self.defined_epoch.load(Ordering::Relaxed) != epoch.number;
        if needs {
            self.defined_epoch.store(epoch.number, Ordering::Relaxed);
        }
        needs
    }

    /// Undoes a definition that did not reach the WAL. The caller holds the commit lock.
    pub fn forget_definition(&self) {
        self.defined_epoch.store(0, Ordering::Relaxed);
    }

    /// Freezes the samples from before an epoch for a flush. Returns whether there are any.
    pub fn freeze(&self, epoch: EpochStart) -> bool {
        let mut data = self.data.lock();
        data.end_epoch(epoch);
        data.idle_flushes = if data.frozen.is_none() { data.idle_flushes.saturating_add(1) } else { 0 };
        data.frozen.is_some()
    }

    /// The samples that a flush must write, until [`HeadSeries::drop_flushed`].
    pub fn frozen(&self) -> Option<Arc<Frozen>> {
        self.data.lock().frozen.clone()
    }

    /// Removes the samples that a flush has written.
    pub fn drop_flushed(&self) {
        let frozen = self.data.lock().frozen.take();
        drop(frozen);
    }

    /// Whether it may have samples in `range` that are visible to a reader with `pin`: `deletes` are those that concern
    /// the series and that the reader sees.
    pub fn touches(&self, range: TimeRange, pin: &Pin<'_>, deletes: &[(u64, TimeRange)]) -> bool {
        let data = self.data.lock();
        let is_deleted = || data.active.is_deleted(pin.seq, pin.base_of_active(data.turn), deletes);
        (data.active.touches(range) && !is_deleted())
            || data.frozen.as_ref().is_some_and(|frozen| frozen.touches(range, pin, deletes))
    }

    /// The numbers of chunks with samples in `range` and of the samples there, estimated with `share_of`, which returns
    /// the fraction of a chunk's span that is in the range.
    pub fn estimate(&self, range: TimeRange, share_of: impl Fn(i64, i64, TimeRange) -> f64) -> (u64, f64) {
        let data = self.data.lock();
        let (mut chunks, mut samples) = (0, 0.0);
        let frozen = data.frozen.as_ref().map(|frozen| &frozen.data);
        for part in frozen.into_iter().chain([&data.active]) {
            for chunk in part.chunks().filter(|c| touches(c, range)) {
                let share = chunk.first().zip(chunk.last()).map_or(0.0, |(a, b)| share_of(a, b, range));
                chunks += 1;
                samples += chunk.len() as f64 * share;
            }
            let late = part.late().iter().filter(|s| range.contains(s.timestamp)).count();
            chunks += u64::from(late > 0);
            samples += late as f64;
        }
        (chunks, samples)
    }

    /// Removes the samples in `range` during the replay of the log, when there are no readers. Returns the decrease of
    /// memory, negative if it grew.
    pub(crate) fn delete(&self, policy: ChunkPolicy, rules: &DuplicateRules, range: TimeRange) -> i64 {
        let mut data = self.data.lock();
        let before = data.active.memory_bytes();
        let mut run = data.active.to_run(TimeRange::ALL, &Seen::ALL, RuleOf::new(rules, &self.labels));
        let samples = run.len();
        run.retain(|t| !range.contains(t));
        if run.len() == samples {
            return 0;
        }
        data.active = EpochSamples::default();
        for i in 0..run.len() {
            data.append_slowly(policy, run.timestamps[i], run.start_at(i), &run.value_at(i));
        }
        // The remaining samples are encoded again and may take more buffer than before.
        before as i64 - data.active.memory_bytes() as i64
    }
}

#[cfg(test)]
impl HeadSeries {
    /// The memory of its samples, as counted by appends and deletes, bytes.
    pub fn memory_bytes(&self) -> usize {
        let data = self.data.lock();
        data.active.memory_bytes() + data.frozen.as_deref().map_or(0, |frozen| frozen.data.memory_bytes())
    }
}

impl SeriesData {
    /// Begins a turn; returns the increase of memory in bytes.
    #[cold]
    fn enter(&mut self, turn: &Turn) -> usize {
        self.end_epoch(turn.start());
        self.turn = turn.number;
        let place = self.active.place();
        self.active.marks.put(place, &turn.pinned)
    }

    /// Freezes the samples from before an epoch. The turn stays: the next append is the first in a turn of the epoch.
    fn end_epoch(&mut self, epoch: EpochStart) {
        if epoch.is_after(self.turn) && !self.active.is_empty() {
            debug_assert!(self.frozen.is_none(), "one flush at a time");
            let data = std::mem::take(&mut self.active);
            self.frozen = Some(Arc::new(Frozen { data, cut: epoch.cut }));
        }
    }

    fn append_slowly(
        &mut self,
        policy: ChunkPolicy,
        timestamp: Timestamp,
        start: Timestamp,
        value: &Value,
    ) -> usize {
        if self.active.newest_in_order().is_some_and(|newest| timestamp <= newest) {
            let (rest, grown) = self.active.rest_mut();
            rest.late.push(Arrival { timestamp, start, value: value.clone() });
            return grown + late_bytes(value);
        }
        let open_kind = self.active.open.as_deref().map(OpenChunk::kind);
        let kind = kind_for(value, open_kind);
        let fits = self.active.open.as_ref().is_some_and(|open| {
            open.kind() == kind
                && timestamp <= self.open_until
                && open.len() < policy.chunk_samples
                && !open.is_heavy()
        });
        let mut grown = 0;
        if !fits {
            if let Some(closed) = self.active.open.take() {
                let (rest, more) = self.active.rest_mut();
                rest.closed_samples += closed.len() as u32;
                rest.closed.push(Arc::from(closed));
                grown += more;
            }
            self.open_until = policy.layout.bounds(policy.layout.raw(timestamp)).1;
            self.active.open = Some(Box::new(OpenChunk::new(kind)));
            grown += size_of::<OpenChunk>();
        }
        let open = self.active.open.as_mut().expect("opened above");
        let before = open.memory_bytes();
        match value {
            Value::Float(v) if kind == ChunkKind::Float => open.push_float(timestamp, *v),
            Value::Float(v) => open.push_int(timestamp, *v as i64),
            Value::Int(v) if kind == ChunkKind::Float => open.push_float(timestamp, *v as f64),
            Value::Int(v) => open.push_int(timestamp, *v),
            Value::Histogram(histogram) => open.push_histogram(timestamp, histogram),
        }
        if start != 0 {
            open.set_start(start);
        }
        grown + open.memory_bytes() - before
    }
}

/// An integer that a float represents exactly is stored as a float, unless a chunk of integers is open.
fn kind_for(value: &Value, open: Option<ChunkKind>) -> ChunkKind {
    let int_is_open = open == Some(ChunkKind::Int);
    match value {
        Value::Int(v) if !is_float_exact(*v) || int_is_open => ChunkKind::Int,
        Value::Float(v) if int_is_open && as_integer(*v).is_some() => ChunkKind::Int,
        Value::Histogram(_) => ChunkKind::Histogram,
        _ => ChunkKind::Float,
    }
}
