//! The samples of one series in all inputs of a merge, piece by piece, and a checksum of them that does not depend on
//! the boundaries of the pieces.

use std::sync::Arc;

use crate::Result;
use crate::chunk::Run;
use crate::chunk::pieces::Sources;
use crate::codec::histogram::HistogramWriter;
use crate::model::{SeriesId, TimeRange, Timestamp};
use crate::store::catalogue::{Generation, Tombstone};
use crate::store::cursors::ChunkCursors;

/// The samples of one series in the inputs, without deleted ones: a source for each generation and id, older ones
/// first.
pub(super) struct GroupSources<'m, 'kv> {
    generations: &'m [Arc<Generation>],
    /// Deletes of this series.
    hiding: Vec<&'m Tombstone>,
    ids: &'m [u64],
    cursors: &'m mut ChunkCursors<'kv>,
    /// Samples outside are left out.
    range: TimeRange,
    /// For each source, the time from which it has not been read yet; `None` if it is exhausted.
    rest: Vec<Option<Timestamp>>,
}

impl<'m, 'kv> GroupSources<'m, 'kv> {
    pub(super) fn new(
        generations: &'m [Arc<Generation>],
        hiding: Vec<&'m Tombstone>,
        ids: &'m [u64],
        cursors: &'m mut ChunkCursors<'kv>,
    ) -> Self {
        let rest = vec![Some(Timestamp::MIN); generations.len() * ids.len()];
        GroupSources { generations, hiding, ids, cursors, range: TimeRange::ALL, rest }
    }

    /// The same for the samples in `range`. Generations without any are not looked at: there may be hundreds, and each
    /// bucket that is computed again asks.
    pub(super) fn within(
        range: TimeRange,
        generations: &'m [Arc<Generation>],
        hiding: Vec<&'m Tombstone>,
        ids: &'m [u64],
        cursors: &'m mut ChunkCursors<'kv>,
    ) -> Self {
        let has_some = |g: &Generation| range.overlaps(g.record.first, g.record.last);
        let rest = generations
            .iter()
            .flat_map(|g| std::iter::repeat_n(has_some(g).then_some(Timestamp::MIN), ids.len()))
            .collect();
        GroupSources { generations, hiding, ids, cursors, range, rest }
    }

    fn part(&self, source: usize) -> (&'m Generation, SeriesId) {
        (&self.generations[source / self.ids.len()], SeriesId(self.ids[source % self.ids.len()]))
    }
}

impl Sources for GroupSources<'_, '_> {
    fn count(&self) -> usize {
        self.rest.len()
    }

    fn next_time(&mut self, source: usize) -> Result<Option<Timestamp>> {
        let (generation, id) = self.part(source);
        let Some(from) = self.rest[source] else { return Ok(None) };
        let next = self.cursors.next_time(generation, id, from)?;
        Ok(next.filter(|time| *time <= self.range.end))
    }

    fn read(&mut self, source: usize, run: &mut Run) -> Result<()> {
        let (generation, id) = self.part(source);
        let hides = |t: &&&Tombstone| t.concerns(&generation.record);
        let Some(from) = self.rest[source] else { return Ok(()) };
        let is_inside =
            self.range.start < generation.record.first && generation.record.last <= self.range.end;
        if is_inside && !self.hiding.iter().any(|t| hides(&t)) {
            self.rest[source] = self.cursors.read_next(generation, id, from, run)?;
            return Ok(());
        }
        let mut piece = Run::default();
        self.rest[source] = self.cursors.read_next(generation, id, from, &mut piece)?;
        for tombstone in self.hiding.iter().filter(hides) {
            piece.retain(|t| !tombstone.range.contains(t));
        }
        piece.keep_inside(self.range);
        run.extend(&piece);
        Ok(())
    }
}

/// Calls `visit` with the samples of a series in one generation, chunk by chunk.
pub(super) fn for_each_chunk(
    cursors: &mut ChunkCursors<'_>,
    generation: &Generation,
    id: SeriesId,
    visit: &mut dyn FnMut(&Run),
) -> Result<()> {
    let (mut run, mut rest) = (Run::default(), Some(Timestamp::MIN));
    while let Some(from) = rest {
        run.clear();
        rest = cursors.read_next(generation, id, from, &mut run)?;
        visit(&run);
    }
    Ok(())
}

/// A checksum that depends on every bit of every sample of a series, and on nothing else.
#[derive(Default)]
pub(super) struct Fingerprint {
    hasher: crc32fast::Hasher,
    samples: u64,
    bytes: Vec<u8>,
    histograms: HistogramWriter,
}

/// Marks the kind of data that follows a sample's time and value.
const EXACT: u8 = 1;
const HISTOGRAM: u8 = 2;
const START: u8 = 3;

impl Fingerprint {
    /// Adds the samples of `run` from `from` on.
    pub(super) fn add(&mut self, run: &Run, from: usize) {
        let bytes = &mut self.bytes;
        bytes.clear();
        let is_plain = run.exact.is_empty() && run.histograms.is_empty() && run.starts.is_empty();
        for i in from..run.len() {
            bytes.extend_from_slice(&run.timestamps[i].to_le_bytes());
            bytes.extend_from_slice(&run.values[i].to_bits().to_le_bytes());
            if is_plain {
                continue;
            }
            if let Some(exact) = run.exact_at(i) {
                bytes.push(EXACT);
                bytes.extend_from_slice(&exact.to_le_bytes());
            }
            if let Some(histogram) = run.histogram_at(i) {
                bytes.push(HISTOGRAM);
                self.histograms.write(histogram, bytes);
            }
            if run.start_at(i) != 0 {
                bytes.push(START);
                bytes.extend_from_slice(&run.start_at(i).to_le_bytes());
            }
        }
        self.hasher.update(bytes);
        self.samples += (run.len() - from) as u64;
    }

    /// The number of samples added.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// Returns the checksum of the series `id` and starts a new one.
    pub(super) fn take(&mut self, id: u64) -> u64 {
        let hasher = std::mem::take(&mut self.hasher);
        let samples = std::mem::take(&mut self.samples);
        self.histograms = HistogramWriter::default();
        (u64::from(hasher.finalize()) << 32 | samples) ^ id.rotate_left(17)
    }
}
