//! A view's copy of one series: its open chunk and late samples. The rest is shared with the head.

use std::mem::size_of;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{EpochSamples, Frozen, HeadSeries, Overflow, touches};
use crate::Result;
use crate::chunk::OpenChunk;
use crate::chunk::run::Arrival;
use crate::head::pins::Pin;
use crate::head::seen::{Marks, Place, Seen};
use crate::model::{TimeRange, Timestamp};

/// A view's part of a series in the head.
#[derive(Debug, Default)]
pub struct HeadCopy {
    /// Samples of earlier epochs that the view's catalogue lacks, oldest first, and which of them are visible.
    pub frozen: SmallVec<[(Arc<Frozen>, Seen); 1]>,
    /// Samples of the current epoch.
    pub active: EpochSamples,
    /// Which of those are visible.
    pub seen: Seen,
}

impl HeadCopy {
    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.frozen.is_empty() && self.active.is_empty()
    }

    /// Chunks that overlap `range`.
    pub fn chunks(&self, range: TimeRange) -> u64 {
        self.parts().map(|p| p.chunks().filter(|c| touches(c, range)).count() as u64).sum()
    }

    /// Adds the times in `range` at which chunks begin, and every `step`-th of the late samples' times, to `times`,
    /// which has room for [`HeadCopy::starts_max`] more.
    pub fn add_starts(&self, range: TimeRange, step: usize, times: &mut Vec<Timestamp>) {
        for part in self.parts() {
            times.extend(part.chunks().filter_map(OpenChunk::first).filter(|first| range.contains(*first)));
            let before = times.len();
            times.extend(
                part.late().iter().map(|sample| sample.timestamp).filter(|time| range.contains(*time)),
            );
            times[before..].sort_unstable();
            let kept = (times.len() - before).div_ceil(step);
            (0..kept).for_each(|n| times[before + n] = times[before + n * step]);
            times.truncate(before + kept);
        }
    }

    /// The maximum number of times that [`HeadCopy::add_starts`] adds.
    pub fn starts_max(&self) -> usize {
        self.parts().map(|part| part.chunks().count() + part.late().len()).sum()
    }

    fn parts(&self) -> impl Iterator<Item = &EpochSamples> {
        self.frozen.iter().map(|(frozen, _)| &frozen.data).chain([&self.active])
    }

    /// Bytes that exist only for this copy: its late samples and its open chunk. Closed or frozen chunks belong to the
    /// head.
    pub fn memory_bytes(&self) -> usize {
        let open = self.active.open.as_deref().map_or(0, OpenChunk::memory_bytes);
        let rest = self.active.overflow.as_ref().map_or(0, |rest| {
            let late = rest.late.capacity() * size_of::<Arrival>();
            size_of::<Overflow>() + late + rest.closed.capacity() * size_of::<Arc<OpenChunk>>()
        });
        let hidden = self.frozen.iter().map(|(_, seen)| seen.memory_bytes()).sum::<usize>();
        size_of::<HeadCopy>() + open + rest + hidden + self.seen.memory_bytes()
    }

    /// Adds samples of an earlier epoch if visible ones may be in `range`. They are shared, not copied.
    pub fn add_frozen(
        &mut self,
        frozen: &Arc<Frozen>,
        range: TimeRange,
        pin: &Pin<'_>,
        deletes: &[(u64, TimeRange)],
    ) {
        let base = pin.base_of(frozen.cut);
        let newer = deletes.iter().copied().filter(|(seq, _)| *seq > base);
        let seen = frozen.data.seen_at(pin.seq, newer);
        let is_known = self.frozen.iter().any(|(known, _)| known.cut == frozen.cut);
        if !is_known && !seen.is_nothing() && frozen.data.touches(range) {
            let at = self.frozen.partition_point(|(known, _)| known.cut < frozen.cut);
            self.frozen.insert(at, (frozen.clone(), seen));
        }
    }
}

impl HeadSeries {
    /// Copies the samples in `range` that a reader with `pin` may see, if there are any. `deletes` are those that
    /// concern the series and that the reader sees. Before the copy, `admit` is called with its maximum size in bytes;
    /// it must not block.
    ///
    /// # Errors
    /// Those of `admit`.
    pub fn copy(
        &self,
        range: TimeRange,
        pin: &Pin<'_>,
        deletes: &[(u64, TimeRange)],
        admit: impl FnOnce(usize) -> Result<()>,
    ) -> Result<Option<HeadCopy>> {
        let data = self.data.lock();
        let mut copy = HeadCopy::default();
        if let Some(frozen) = data.frozen.as_ref().filter(|frozen| pin.needs(frozen.cut)) {
            copy.add_frozen(frozen, range, pin, deletes);
        }
        let newer = |base: u64| deletes.iter().copied().filter(move |(seq, _)| *seq > base);
        let seen = data.active.seen_at(pin.seq, newer(pin.base_of_active(data.turn)));
        let is_active = !seen.is_nothing() && data.active.touches(range);
        if copy.frozen.is_empty() && !is_active {
            return Ok(None);
        }
        let bytes = if is_active { data.active.copy_bytes(range, &seen) } else { 0 };
        admit(size_of::<HeadCopy>() + bytes)?;
        if is_active {
            (copy.active, copy.seen) = data.active.copy(range, &seen);
        }
        Ok(Some(copy))
    }
}

impl Frozen {
    /// Same as [`HeadSeries::touches`].
    pub fn touches(&self, range: TimeRange, pin: &Pin<'_>, deletes: &[(u64, TimeRange)]) -> bool {
        self.data.touches(range) && !self.data.is_deleted(pin.seq, pin.base_of(self.cut), deletes)
    }
}

impl EpochSamples {
    /// Whether one delete hides all samples; deletes up to `base` are older than the samples.
    pub(super) fn is_deleted(&self, seq: u64, base: u64, deletes: &[(u64, TimeRange)]) -> bool {
        if deletes.is_empty() {
            return false;
        }
        let Some((first, last)) = self.bounds() else { return true };
        let newer = deletes.iter().copied().filter(|(seq, _)| *seq > base);
        let hidden = self.seen_at(seq, newer).hidden;
        hidden
            .iter()
            .any(|(place, range)| *place == Place::END && range.contains(first) && range.contains(last))
    }

    /// Samples before the first chunk that overlaps `range`.
    fn before(&self, range: TimeRange) -> u32 {
        self.numbered_chunks().find(|(_, chunk)| touches(chunk, range)).map_or(0, |(first, _)| first)
    }

    /// Maximum bytes of a copy of the samples in `range`, without the struct itself.
    fn copy_bytes(&self, range: TimeRange, seen: &Seen) -> usize {
        let open = self.open.as_deref().filter(|c| touches(c, range)).map_or(0, OpenChunk::memory_bytes);
        let closed = self.closed().iter().filter(|c| touches(c, range)).count();
        let late = self.late().iter().filter(|s| range.contains(s.timestamp)).count();
        let has_rest = closed + late > 0 || (!seen.is_all() && self.before(range) > 0);
        let rest = if has_rest { size_of::<Overflow>() } else { 0 };
        open + rest + closed * size_of::<Arc<OpenChunk>>() + late * size_of::<Arrival>()
    }

    /// A copy of the samples that may be in `range`, and which of them are visible.
    fn copy(&self, range: TimeRange, seen: &Seen) -> (EpochSamples, Seen) {
        let (late, seen) = seen.of_late(self.late(), range);
        let mut rest = Overflow {
            closed: self.closed().iter().filter(|c| touches(c, range)).cloned().collect(),
            late,
            closed_samples: 0,
            skipped: if seen.is_all() { 0 } else { self.before(range) },
        };
        rest.closed.shrink_to_fit();
        rest.late.shrink_to_fit();
        let has_rest = !rest.closed.is_empty() || !rest.late.is_empty() || rest.skipped > 0;
        let open = self.open.as_ref().filter(|c| touches(c, range)).cloned();
        let rest = has_rest.then(|| Box::new(rest));
        (EpochSamples { open, overflow: rest, marks: Marks::default() }, seen)
    }
}
