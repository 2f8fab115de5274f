//! Reads a series of any length in pieces, so that memory does not grow with its number of samples.
//!
//! Most series are short and are read as one piece. Of a longer one each stored partition is a piece; a longer
//! partition is cut at the beginnings of chunks.

use crate::budget::Taken;
use crate::chunk::Run;
use crate::model::{SeriesId, TimeRange, Timestamp};
use crate::store::catalogue::Generation;
use crate::view::{HeadPart, PartitionSeries, SeriesReader, ViewSeries};
use crate::{Error, Result};

/// The number of samples that are read at once, counted before overlapping parts are merged.
const PIECE_SAMPLES: usize = 1 << 16;
/// The number of chunks that begin in one piece of a longer partition.
const PIECE_CHUNKS: usize = 64;
/// The number of late samples that count as a chunk.
const LATE_SAMPLES: usize = 1024;
/// Pieces end at the end of a millisecond, because some protocols keep only one sample of each.
const MILLISECOND: i64 = 1_000_000;

/// The rest of one series that is still to be read.
pub(super) struct Rest {
    /// The last element is the next range.
    ranges: Vec<(TimeRange, Extent)>,
}

/// How far a range has been divided.
#[derive(Clone, Copy)]
enum Extent {
    All,
    Partition,
    Piece,
}

impl Rest {
    /// Creates it with all of `range`.
    pub fn of(range: TimeRange) -> Self {
        Rest { ranges: vec![(range, Extent::All)] }
    }

    /// Replaces `run` by the samples of the next piece that has any, and returns its range.
    pub fn next(
        &mut self,
        reader: &mut SeriesReader<'_, '_>,
        series: &ViewSeries,
        run: &mut Run,
    ) -> Result<Option<TimeRange>> {
        while let Some((range, extent)) = self.ranges.pop() {
            let (parts, extent) = match extent {
                Extent::Piece => {
                    reader.read(series, range, run)?;
                    (Vec::new(), extent)
                }
                _ if reader.read_short(series, range, run)? => (Vec::new(), extent),
                Extent::All => (reader.partitions(series, range), Extent::Partition),
                Extent::Partition => (reader.cut(series, range)?, Extent::Piece),
            };
            if !parts.is_empty() {
                self.ranges.extend(parts.into_iter().rev().map(|part| (part, extent)));
            } else if !run.is_empty() {
                return Ok(Some(range));
            }
        }
        Ok(None)
    }
}

/// Called with the time range of each piece, and with its samples.
pub type VisitPiece<'v> = dyn FnMut(TimeRange, &mut Run) -> Result<bool> + 'v;

impl SeriesReader<'_, '_> {
    /// Calls `visit` with the samples of `series` in `range`, in ascending pieces, until it returns false. Returns true
    /// if it never did. A piece has at most about 64 Ki samples, or twice 64 chunks of each generation if that is more.
    /// `run` is used as the buffer.
    ///
    /// # Errors
    /// Those of `visit` and of [`SeriesReader::read`].
    pub fn read_pieces(
        &mut self,
        series: &ViewSeries,
        range: TimeRange,
        run: &mut Run,
        visit: &mut VisitPiece<'_>,
    ) -> Result<bool> {
        let mut rest = Rest::of(range);
        while let Some(piece) = rest.next(self, series, run)? {
            if !visit(piece, run)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the samples in `range` if they are a single piece. Returns whether they are.
    fn read_short(&mut self, series: &ViewSeries, range: TimeRange, run: &mut Run) -> Result<bool> {
        self.samples_left = Some(PIECE_SAMPLES);
        let read = self.read(series, range, run);
        let is_short = self.samples_left.take().is_some();
        match read {
            Err(Error::Limit(_)) if !is_short => Ok(false),
            read => read.map(|()| true),
        }
    }

    /// `range`, cut where a stored partition of the series begins.
    fn partitions(&self, series: &ViewSeries, range: TimeRange) -> Vec<TimeRange> {
        let layout = series.catalogue.layout();
        let parts = series.stored_in(range).chunk_by(|a, b| a.0 == b.0);
        split(range, parts.map(|ids| layout.bounds(ids[0].0).0))
    }

    /// `range` of at most one stored partition, cut where every 64th chunk begins.
    fn cut(&mut self, series: &ViewSeries, range: TimeRange) -> Result<Vec<TimeRange>> {
        let taken = Taken::of(&self.view.work);
        let mut starts = Vec::new();
        if let HeadPart::Copied(head) = &series.head {
            taken.more(head.starts_max() * size_of::<Timestamp>())?;
            starts.reserve_exact(head.starts_max());
            head.add_starts(range, LATE_SAMPLES, &mut starts);
        }
        self.add_stored_starts(series, range, &taken, &mut starts)?;
        starts.sort_unstable();
        let firsts = starts.into_iter().step_by(PIECE_CHUNKS).skip(1);
        Ok(split(range, firsts))
    }

    /// Adds the times at which stored chunks begin.
    fn add_stored_starts(
        &mut self,
        series: &ViewSeries,
        range: TimeRange,
        taken: &Taken,
        starts: &mut Vec<Timestamp>,
    ) -> Result<()> {
        let generations = &series.catalogue.generations;
        for &(partition, id) in series.stored_in(range) {
            for generation in generations.in_partition(partition) {
                let mut from = range.start.saturating_add(1);
                while let Some(first) = self.next_start(series, generation, id, from)? {
                    if first > range.end {
                        break;
                    }
                    if starts.len() == starts.capacity() {
                        self.view.work.check()?;
                        taken.more(PIECE_CHUNKS * size_of::<Timestamp>())?;
                        starts.reserve_exact(PIECE_CHUNKS);
                    }
                    starts.push(first);
                    from = first.saturating_add(1);
                }
            }
        }
        Ok(())
    }

    /// The start of the first chunk of a generation that begins at or after `from`.
    fn next_start(
        &mut self,
        series: &ViewSeries,
        generation: &Generation,
        id: SeriesId,
        from: Timestamp,
    ) -> Result<Option<Timestamp>> {
        let view = self.view;
        if view.is_lost(generation.prefix) {
            return Ok(None);
        }
        let next = self.cursors_of(series).next_time(generation, id, from);
        next.or_else(|error| {
            let until = TimeRange::new(from.saturating_sub(1), Timestamp::MAX);
            view.gives_up(generation.prefix, until, error).map(|()| None)
        })
    }
}

/// `range`, cut before the milliseconds of `firsts`, which ascend.
fn split(range: TimeRange, firsts: impl Iterator<Item = Timestamp>) -> Vec<TimeRange> {
    let (mut parts, mut start) = (Vec::new(), range.start);
    for first in firsts {
        let end = first.saturating_sub(first.rem_euclid(MILLISECOND)).saturating_sub(1);
        if start < end && end < range.end {
            parts.push(TimeRange::new(start, end));
            start = end;
        }
    }
    parts.push(TimeRange::new(start, range.end));
    parts
}

impl ViewSeries {
    /// Its ids in the partitions that `range` touches.
    pub(super) fn stored_in(&self, range: TimeRange) -> &[PartitionSeries] {
        let layout = self.catalogue.layout();
        let (first, last) = (layout.raw(range.start.saturating_add(1)), layout.raw(range.end));
        let ids = &self.ids;
        &ids[ids.partition_point(|id| id.0 < first)..ids.partition_point(|id| id.0 <= last)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_with_a_millisecond_and_leave_nothing_out() {
        let range = TimeRange::new(-5, 10 * MILLISECOND);
        let parts = split(range, [0, 1, 999_999, 3_000_001, 3_500_000, 10_000_000, 11_000_000].into_iter());
        let ends: Vec<_> = parts.iter().map(|part| part.end).collect();
        assert_eq!(ends, [-1, 2_999_999, 9_999_999, 10_000_000]);
        assert_eq!(parts[0].start, range.start);
        assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
        let all = split(TimeRange::ALL, [Timestamp::MIN, Timestamp::MIN + 1, Timestamp::MAX].into_iter());
        assert_eq!(all.last().map(|part| part.end), Some(Timestamp::MAX));
    }
}
