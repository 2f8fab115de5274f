//! Reading the chunks of many series: cursors that continue from their position.
//!
//! A generation's chunks are ordered by series id. A reader that requests series in that order finds the next one where
//! the cursor stopped, so it pays a step instead of a search. Series that were not requested are stepped over if they
//! are few. Any other order works too, with a search for each series.

mod buckets;
mod pieces;

use std::ops::ControlFlow;

pub(crate) use buckets::decode_chunk;
pub use pieces::BucketPieces;

use crate::chunk::run::Admit;
use crate::chunk::{Run, Scratch};
use crate::model::{SeriesId, TimeRange, Timestamp};
use crate::rollup::BucketColumns;
use crate::store::catalogue::Generation;
use crate::store::keys::{self, Prefix};
use crate::store::kv::{Bulk, Cursor, Family};
use crate::{Error, Result};

/// The maximum number of cursors, one for each generation that a reader reads concurrently. Each pins a block or two of
/// the store.
const CURSORS_MAX: usize = 64;
/// The number of keys that are stepped over before a search is cheaper.
const STEPS_MAX: usize = 12;
/// The same if the ids suggest that there are many series in between. There may be no chunks of them.
const STEPS_FAR: usize = 1;

/// Called with the key and the value of each chunk, and with memory for decoding it, until it breaks.
type VisitChunk<'v> = dyn FnMut(&[u8], &[u8], &mut Scratch) -> Result<ControlFlow<()>> + 'v;

/// Reads the chunks of generations that were in the store before it was created.
pub struct ChunkCursors<'a> {
    kv: &'a dyn Bulk,
    is_scan: bool,
    open: Vec<ChunkCursor<'a>>,
    /// The one to replace when there are too many.
    oldest: usize,
    /// The one that was used last.
    latest: usize,
    scratch: Scratch,
    /// Memory for the buckets of one label set.
    buckets: BucketColumns,
}

/// A cursor in one generation.
struct ChunkCursor<'a> {
    prefix: Prefix,
    /// The cursor is at the first chunk of this series at or after this time, or at the key that follows.
    position: Option<(SeriesId, Timestamp)>,
    cursor: Box<dyn Cursor + 'a>,
}

impl<'a> ChunkCursors<'a> {
    /// Creates it without cursors.
    pub fn new(kv: &'a dyn Bulk) -> Self {
        ChunkCursors {
            kv,
            is_scan: false,
            open: Vec::new(),
            oldest: 0,
            latest: 0,
            scratch: Scratch::default(),
            buckets: BucketColumns::default(),
        }
    }

    /// The same for one pass over whole generations, which bypasses the store's cache.
    pub fn scanning(kv: &'a dyn Bulk) -> Self {
        ChunkCursors { is_scan: true, ..ChunkCursors::new(kv) }
    }

    /// Appends to `run` the samples of series `id` in the chunks of `generation` that overlap `range`. All of them must
    /// be later than those of the run. Returns the number of chunks visited.
    ///
    /// # Errors
    /// A chunk is damaged, or the store could not be read.
    pub fn read(
        &mut self,
        generation: &Generation,
        id: SeriesId,
        range: TimeRange,
        run: &mut Run,
    ) -> Result<u64> {
        self.read_admitted(generation, id, range, run, &mut |_, _| Ok(()))
    }

    /// Same as [`ChunkCursors::read`]; `admit` is called before each chunk is decoded.
    ///
    /// # Errors
    /// Also those of `admit`.
    pub fn read_admitted(
        &mut self,
        generation: &Generation,
        id: SeriesId,
        range: TimeRange,
        run: &mut Run,
        admit: &mut Admit<'_>,
    ) -> Result<u64> {
        self.each_chunk(generation, id, (Timestamp::MIN, range.end), &mut |key, value, scratch| {
            run.extend_from_chunk(key, value, range.start, scratch, admit)?;
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Calls `visit` with key and value of each chunk of series `id` in `generation` that begins at `from` or later and at or
    /// before `last`, until it breaks. Returns their number.
    fn each_chunk(
        &mut self,
        generation: &Generation,
        id: SeriesId,
        (from, last): (Timestamp, Timestamp),
        visit: &mut VisitChunk<'_>,
    ) -> Result<u64> {
        let wanted = generation.prefix.chunk(id, from);
        let series_prefix = &wanted[..wanted.len() - 8];
        let at = self.walk_in(generation.prefix);
        let cursor = &mut self.open[at];
        cursor.stand(id, from, &wanted)?;
        cursor.position = None;
        let mut chunks = 0;
        while let Some((key, value)) = cursor.cursor.entry() {
            if !key.starts_with(series_prefix) {
                break;
            }
            let first = keys::decode_chunk(key).map(|(_, first)| first);
            if first.is_none_or(|first| first > last) {
                break;
            }
            let visited = visit(key, value, &mut self.scratch);
            let next = visited.inspect_err(|error| note(&*cursor.cursor, error))?;
            chunks += 1;
            if next.is_break() {
                return Ok(chunks);
            }
            cursor.cursor.advance()?;
        }
        cursor.position = Some((id, last.saturating_add(1)));
        Ok(chunks)
    }

    /// Calls `visit` with the samples of each chunk of a series in a generation, and the bytes that it takes.
    ///
    /// # Errors
    /// Same as [`ChunkCursors::read`].
    pub fn each_run(
        &mut self,
        generation: &Generation,
        id: SeriesId,
        visit: &mut dyn FnMut(&Run, u64),
    ) -> Result<()> {
        let mut run = Run::default();
        self.each_chunk(generation, id, (Timestamp::MIN, Timestamp::MAX), &mut |key, value, scratch| {
            run.clear();
            run.extend_from_chunk(key, value, Timestamp::MIN, scratch, &mut |_, _| Ok(()))?;
            visit(&run, value.len() as u64);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(())
    }

    /// The start of the first chunk of series `id` in `generation` that begins at `from` or later.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn next_time(
        &mut self,
        generation: &Generation,
        id: SeriesId,
        from: Timestamp,
    ) -> Result<Option<Timestamp>> {
        let wanted = generation.prefix.chunk(id, from);
        let at = self.walk_in(generation.prefix);
        let cursor = &mut self.open[at];
        cursor.stand(id, from, &wanted)?;
        let entry = cursor.cursor.entry().filter(|(key, _)| key.starts_with(&wanted[..wanted.len() - 8]));
        Ok(entry.and_then(|(key, _)| keys::decode_chunk(key)).map(|(_, first)| first))
    }

    /// Appends the chunk found by [`ChunkCursors::next_time`] to `run`, which has only earlier samples. Returns the
    /// time from which to look for the next one; `None` if there can be none.
    ///
    /// # Errors
    /// Same as [`ChunkCursors::read`].
    pub fn read_next(
        &mut self,
        generation: &Generation,
        id: SeriesId,
        from: Timestamp,
        run: &mut Run,
    ) -> Result<Option<Timestamp>> {
        let wanted = generation.prefix.chunk(id, from);
        let at = self.walk_in(generation.prefix);
        let cursor = &mut self.open[at];
        cursor.stand(id, from, &wanted)?;
        cursor.position = None;
        let Some((key, value)) = cursor.cursor.entry() else { return Ok(None) };
        if !key.starts_with(&wanted[..wanted.len() - 8]) {
            return Ok(None);
        }
        let next = keys::decode_chunk(key).and_then(|(_, first)| first.checked_add(1));
        let added = run.extend_from_chunk(key, value, Timestamp::MIN, &mut self.scratch, &mut |_, _| Ok(()));
        added.inspect_err(|error| note(&*cursor.cursor, error))?;
        cursor.cursor.advance()?;
        cursor.position = next.map(|next| (id, next));
        Ok(next)
    }

    /// The index of the cursor in a generation. Each series is read in the same order of generations, so it is looked for
    /// behind the latest one first.
    fn walk_in(&mut self, prefix: Prefix) -> usize {
        let near = self.open.iter().enumerate().skip(self.latest).take(2);
        let mut all = near.chain(self.open.iter().enumerate());
        let found = all.find(|(_, cursor)| cursor.prefix == prefix).map(|(at, _)| at);
        self.latest = found.unwrap_or_else(|| self.opened(prefix));
        self.latest
    }

    fn opened(&mut self, prefix: Prefix) -> usize {
        if self.open.len() < CURSORS_MAX {
            let cursor =
                if self.is_scan { self.kv.scan(Family::Chunks) } else { self.kv.cursor(Family::Chunks) };
            self.open.push(ChunkCursor { prefix, position: None, cursor });
            return self.open.len() - 1;
        }
        let at = self.oldest;
        self.oldest = (at + 1) % CURSORS_MAX;
        let cursor = &mut self.open[at];
        (cursor.prefix, cursor.position) = (prefix, None);
        at
    }
}

/// Reports a damaged chunk; other errors come from the reader.
fn note(cursor: &dyn Cursor, error: &Error) {
    if error.is_damage() {
        cursor.note_damage(error);
    }
}

impl ChunkCursor<'_> {
    /// Moves to the first chunk of `id` at or after `from`, whose key would be `wanted`, or to the key that follows if
    /// there is none. After an error, the next chunk is found by a search.
    fn stand(&mut self, id: SeriesId, from: Timestamp, wanted: &[u8]) -> Result<()> {
        if let Some((passed, _)) = self.position.take().filter(|position| *position <= (id, from)) {
            let is_near = id.0 - passed.0 <= STEPS_MAX as u64;
            for _ in 0..if is_near { STEPS_MAX } else { STEPS_FAR } {
                match self.cursor.entry() {
                    Some((key, _)) if key < wanted => self.cursor.advance()?,
                    _ => {
                        self.position = Some((id, from));
                        return Ok(());
                    }
                }
            }
        }
        self.cursor.seek(wanted)?;
        self.position = Some((id, from));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::chunk::Sealing;
    use crate::codec::CompressionLevel;
    use crate::model::{PartitionId, Value};
    use crate::store::catalogue::Obsolete;
    use crate::store::generation::{GenerationWriter, Tables};
    use crate::store::memory::MemoryKv;
    use proptest::prelude::*;

    /// Series `id` of generation `number` has `id % 4` chunks of three samples; the value says
    /// whose they are.
    fn written(kv: &MemoryKv, number: u64, ids: impl Iterator<Item = u64>) -> Arc<Generation> {
        let prefix = Prefix { partition: PartitionId::raw(number as i32 / 2), generation: number };
        let mut tables = Tables::new(kv);
        let sealing = Sealing { samples_max: 3, level: CompressionLevel::Fast };
        let mut writer = GenerationWriter::new(&mut tables, prefix, number, sealing);
        for id in ids {
            writer.end_samples(SeriesId(id), &mut samples(number, id)).unwrap();
        }
        let (prefix, record) = writer.finish().unwrap();
        tables.ingest().unwrap();
        Generation::new(prefix, record, &Arc::new(Obsolete::default()))
    }

    fn samples(number: u64, id: u64) -> Run {
        let mut run = Run::default();
        for t in 0..(id % 4 * 3) as i64 {
            run.push(t * 10, 0, &Value::Float((number * 1000 + id) as f64));
        }
        run
    }

    proptest! {
        #[test]
        fn any_order_of_series_and_generations_reads_the_same(
            asked in proptest::collection::vec((0u64..40, 0u64..120, any::<bool>()), 1..200),
            ascending in any::<bool>(),
        ) {
            let kv = MemoryKv::default();
            let generations: Vec<_> = (0..40).map(|number| written(&kv, number, (0..120).step_by(1 + number as usize % 3))).collect();
            let mut asked = asked;
            if ascending {
                asked.sort_unstable_by_key(|(number, id, _)| (*id, *number));
            }
            let mut cursors = ChunkCursors::new(&kv);
            for (number, id, is_late) in asked {
                let range = if is_late { TimeRange::new(25, 45) } else { TimeRange::ALL };
                let mut run = Run::default();
                cursors.read(&generations[number as usize], SeriesId(id), range, &mut run).unwrap();
                run.keep_inside(range);
                let mut expected = if id % (1 + number % 3) == 0 { samples(number, id) } else { Run::default() };
                expected.keep_inside(range);
                prop_assert_eq!(run, expected, "series {} of generation {}", id, number);
            }
        }
    }
}
