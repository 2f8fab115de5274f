//! Reading the chunks of many series: cursors that go on from where they stand.
//!
//! A generation's chunks are ordered by series id. A reader that asks for series in that
//! order finds each next one where the cursor stopped, so it pays a step and no search;
//! series that nobody asked for are stepped over as long as they are few. Any other order
//! is read as well, by a search for each series.

use crate::Result;
use crate::chunk::{Run, Scratch};
use crate::model::{SeriesId, TimeRange, Timestamp};
use crate::store::catalogue::Generation;
use crate::store::keys::{self, Prefix};
use crate::store::kv::{Cursor, Family, Kv};

/// Cursors kept: generations that one reader goes through side by side. Each pins a block
/// or two of the store.
const CURSORS_MAX: usize = 32;
/// Keys that are stepped over before a search is cheaper.
const STEPS_MAX: usize = 12;
/// The same where the ids say that many series lie between: but there may be no chunks of
/// them.
const STEPS_FAR: usize = 1;

/// Reads the chunks of generations that were in the store before it was made.
pub struct Walks<'a> {
    kv: &'a dyn Kv,
    is_scan: bool,
    open: Vec<Walk<'a>>,
    /// The one to give up when there are too many.
    oldest: usize,
    scratch: Scratch,
}

/// A cursor in one generation.
struct Walk<'a> {
    prefix: Prefix,
    /// Every key that the cursor has passed is of this series or a smaller one.
    passed: Option<SeriesId>,
    cursor: Box<dyn Cursor + 'a>,
}

impl<'a> Walks<'a> {
    /// No cursor yet.
    pub fn new(kv: &'a dyn Kv) -> Self {
        Walks { kv, is_scan: false, open: Vec::new(), oldest: 0, scratch: Scratch::default() }
    }

    /// The same for one pass over whole generations, which stays out of the store's cache.
    pub fn scanning(kv: &'a dyn Kv) -> Self {
        Walks { is_scan: true, ..Walks::new(kv) }
    }

    /// Appends to `run` the samples of series `id` in the chunks of `generation` that touch
    /// `range`; all of them must be later than the run. Returns how many chunks were looked at.
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
        let wanted = generation.prefix.chunk(id, Timestamp::MIN);
        let series_prefix = &wanted[..wanted.len() - 8];
        let at = self.walk_in(generation.prefix);
        let walk = &mut self.open[at];
        walk.stand(id, &wanted)?;
        let mut chunks = 0;
        while let Some((key, value)) = walk.cursor.entry() {
            if !key.starts_with(series_prefix) {
                break;
            }
            let first = keys::decode_chunk(key).map(|(_, first)| first);
            if first.is_none_or(|first| first > range.end) {
                break;
            }
            run.extend_from_chunk(key, value, range.start, &mut self.scratch)?;
            chunks += 1;
            walk.cursor.advance()?;
        }
        walk.passed = Some(id);
        Ok(chunks)
    }

    fn walk_in(&mut self, prefix: Prefix) -> usize {
        if let Some(at) = self.open.iter().position(|walk| walk.prefix == prefix) {
            return at;
        }
        if self.open.len() < CURSORS_MAX {
            let cursor =
                if self.is_scan { self.kv.scan(Family::Chunks) } else { self.kv.cursor(Family::Chunks) };
            self.open.push(Walk { prefix, passed: None, cursor });
            return self.open.len() - 1;
        }
        let at = self.oldest;
        self.oldest = (at + 1) % CURSORS_MAX;
        let walk = &mut self.open[at];
        (walk.prefix, walk.passed) = (prefix, None);
        at
    }
}

impl Walk<'_> {
    /// Stands on the first chunk of `id`, or on what follows where it has none. After an
    /// error the next series is searched for.
    fn stand(&mut self, id: SeriesId, wanted: &[u8]) -> Result<()> {
        if let Some(passed) = self.passed.take().filter(|passed| *passed < id) {
            let is_near = id.0 - passed.0 <= STEPS_MAX as u64;
            for _ in 0..if is_near { STEPS_MAX } else { STEPS_FAR } {
                match self.cursor.entry() {
                    Some((key, _)) if key < wanted => self.cursor.advance()?,
                    _ => return Ok(()),
                }
            }
        }
        self.cursor.seek(wanted)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::chunk::Sealing;
    use crate::codec::Effort;
    use crate::model::{PartitionId, Value};
    use crate::store::catalogue::Graveyard;
    use crate::store::generation::{GenerationWriter, Tables};
    use crate::store::memory::MemoryKv;
    use proptest::prelude::*;

    /// Series `id` of generation `number` has `id % 4` chunks of three samples; the value says
    /// whose they are.
    fn written(kv: &MemoryKv, number: u64, ids: impl Iterator<Item = u64>) -> Arc<Generation> {
        let prefix =
            Prefix { class: 0, tier: 0, partition: PartitionId(number as i32 / 2), generation: number };
        let mut tables = Tables::new(kv);
        let sealing = Sealing { samples_max: 3, effort: Effort::Fast };
        let mut writer = GenerationWriter::new(&mut tables, prefix, number, sealing);
        for id in ids {
            writer.add_samples(SeriesId(id), &samples(number, id)).unwrap();
        }
        let (prefix, record) = writer.finish().unwrap();
        tables.ingest().unwrap();
        Generation::new(prefix, record, &Arc::new(Graveyard::default()))
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
            let mut walks = Walks::new(&kv);
            for (number, id, is_late) in asked {
                let range = if is_late { TimeRange::new(25, 45) } else { TimeRange::ALL };
                let mut run = Run::default();
                walks.read(&generations[number as usize], SeriesId(id), range, &mut run).unwrap();
                run.keep_inside(range);
                let mut expected = if id % (1 + number % 3) == 0 { samples(number, id) } else { Run::default() };
                expected.keep_inside(range);
                prop_assert_eq!(run, expected, "series {} of generation {}", id, number);
            }
        }
    }
}
