//! Reads selected series, one after the other.
//!
//! Samples are decoded directly into the caller's run. They are collected and merged only if several sources have
//! samples of a series: generations, the epoch that a flush is writing, the head.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::budget::{Taken, Work};
use crate::chunk::Run;
use crate::head::EpochSamples;
use crate::head::seen::Seen;
use crate::model::{RuleOf, TimeRange, Timestamp};
use crate::store::catalogue::{Catalogue, Generation, Tombstone};
use crate::store::cursors::ChunkCursors;
use crate::view::calls::Entered;
use crate::view::{HeadPart, View, ViewSeries};
use crate::{Error, Result};

/// Reads series of a view. It is fastest in the order of [`View::select_unsorted`], in which adjacent data of the store
/// is read in one pass.
pub struct SeriesReader<'v, 'e> {
    pub(super) view: &'v View<'e>,
    /// Present from the first read on.
    call: Option<Entered<'v, 'e>>,
    cursors: Option<PooledCursors<'e>>,
    chunks: u64,
    /// The maximum memory that the samples of one series took. It is reused for the next series.
    pub(super) taken: Taken,
    /// Memory for the samples from which buckets of one series are computed.
    pub(super) scratch: Run,
    /// The number of samples that may still be decoded, if it is limited; `None` again after the limit was exceeded.
    pub(super) samples_left: Option<usize>,
}

/// The number of chunks decoded between two checks whether to stop.
const CHUNKS_PER_CHECK: u64 = 64;

/// Takes memory for a run before it grows.
struct Growth<'t> {
    work: &'t Work,
    taken: &'t Taken,
    /// Bytes of the other runs of the series.
    others: usize,
    /// The number of the run's histograms that are counted, and their bytes.
    histograms: (usize, usize),
    chunks: u64,
}

impl<'t> Growth<'t> {
    fn new(work: &'t Work, taken: &'t Taken) -> Self {
        Growth { work, taken, others: 0, histograms: (0, 0), chunks: 0 }
    }

    fn admit(&mut self, run: &mut Run, samples: usize) -> Result<()> {
        if self.chunks.is_multiple_of(CHUNKS_PER_CHECK) {
            self.work.check()?;
        }
        self.chunks += 1;
        self.count(run)?;
        let beside = self.others + self.histograms.1;
        Ok(run.reserve(samples, |bytes| self.taken.at_least(beside + bytes))?)
    }

    /// Counts what was decoded last.
    fn count(&mut self, run: &Run) -> Result<()> {
        let (counted, bytes) = &mut self.histograms;
        for (_, histogram) in run.histograms.get(*counted..).unwrap_or_default() {
            *bytes += histogram.memory_bytes();
        }
        *counted = run.histograms.len();
        Ok(self.taken.at_least(self.others + *bytes + run.memory_bytes())?)
    }

    /// Continues with another run; `parts` is the size of all of them.
    fn turn_to(&mut self, run: &Run, parts: usize) {
        self.others = parts.saturating_sub(run.memory_bytes());
        self.histograms.0 = run.histograms.len();
    }
}

/// Cursors see the store at the time of their creation, so they are valid for one catalogue.
pub(super) struct PooledCursors<'e> {
    catalogue: Arc<Catalogue>,
    cursors: ChunkCursors<'e>,
}

/// Deletes that may hide samples of one series.
type Hiding<'a> = [&'a Tombstone];

impl<'e> View<'e> {
    /// Creates a reader of selected series. Several readers may be in use concurrently, each on its own part.
    pub fn reader(&self) -> SeriesReader<'_, 'e> {
        let taken = Taken::of(&self.work);
        SeriesReader {
            view: self,
            call: None,
            cursors: None,
            chunks: 0,
            taken,
            scratch: Run::default(),
            samples_left: None,
        }
    }

    /// The samples of `series` in `range`, ascending.
    ///
    /// # Errors
    /// A chunk is damaged, or the store could not be read.
    pub fn read(&self, series: &ViewSeries, range: TimeRange) -> Result<Run> {
        let mut run = Run::default();
        self.reader().read(series, range, &mut run)?;
        Ok(run)
    }

    pub(super) fn cursors(&self, catalogue: &Arc<Catalogue>) -> PooledCursors<'e> {
        let pooled = {
            let mut pool = self.cursors.lock();
            let at = pool.iter().position(|w| Arc::ptr_eq(&w.catalogue, catalogue));
            at.map(|at| pool.swap_remove(at))
        };
        pooled.unwrap_or_else(|| PooledCursors {
            catalogue: catalogue.clone(),
            cursors: ChunkCursors::new(self.kv),
        })
    }
}

impl<'e> SeriesReader<'_, 'e> {
    /// Replaces `out` by the samples of `series` in `range`, ascending.
    ///
    /// # Errors
    /// A chunk is damaged, or the store could not be read.
    pub fn read(&mut self, series: &ViewSeries, range: TimeRange, out: &mut Run) -> Result<()> {
        out.clear();
        self.enter()?;
        let tombstones = series.catalogue.tombstones.iter().map(|t| &**t);
        let hiding: Vec<&Tombstone> = tombstones
            .filter(|t| {
                t.range.overlaps(range.start.saturating_add(1), range.end) && t.matches(&series.labels)
            })
            .collect();
        let copied;
        let head = match &series.head {
            HeadPart::Nothing => None,
            HeadPart::Copied(head) => Some(head),
            HeadPart::Waiting(waiting) => {
                copied = self.view.copy(waiting, range, &self.taken)?;
                if let HeadPart::Copied(head) = &copied { Some(head) } else { None }
            }
        };
        let mut parts = Parts { first: out, rest: Vec::new() };
        if !series.ids.is_empty() {
            self.read_stored(series, range, &hiding, &mut parts)?;
        }
        let rule = RuleOf::new(&self.view.duplicates, &series.labels);
        if let Some(head) = head {
            self.chunks += head.chunks(range);
            for (frozen, seen) in &head.frozen {
                self.add_unflushed(&mut parts, &frozen.data, range, seen, rule)?;
            }
            self.add_unflushed(&mut parts, &head.active, range, &head.seen, rule)?;
        }
        parts.admit_merge(&self.taken)?;
        parts.merge(rule);
        out.keep_inside(range);
        Ok(())
    }

    fn read_stored(
        &mut self,
        series: &ViewSeries,
        range: TimeRange,
        hiding: &Hiding<'_>,
        parts: &mut Parts<'_>,
    ) -> Result<()> {
        let _ = self.cursors_of(series);
        let cursors = self.cursors.as_mut().map(|pooled| &mut pooled.cursors).expect("taken above");
        let mut growth = Growth::new(&self.view.work, &self.taken);
        for ids in series.stored_in(range).chunk_by(|a, b| a.0 == b.0) {
            let partition = ids[0].0;
            let (start, _) = series.catalogue.layout().bounds(partition);
            for generation in series.catalogue.generations.in_partition(partition) {
                let is_inside = range.overlaps(generation.record.first, generation.record.last);
                if !is_inside || self.view.is_lost(generation.prefix) {
                    continue;
                }
                for &(_, id) in ids {
                    let all = parts.memory_bytes();
                    let run = if hiding.is_empty() { parts.next_from(start) } else { parts.next() };
                    growth.turn_to(run, all);
                    let before = run.len();
                    let read = cursors.read_admitted(generation, id, range, run, &mut |run, more| {
                        limit(&mut self.samples_left, more)?;
                        growth.admit(run, more)
                    });
                    match read {
                        Ok(chunks) => self.chunks += chunks,
                        Err(error) => {
                            self.view.gives_up(generation.prefix, range, error)?;
                            run.truncate(before);
                            break;
                        }
                    }
                    growth.count(run)?;
                    hide(run, hiding, applied(generation));
                }
            }
        }
        Ok(())
    }

    /// Begins the call that lasts for the lifetime of the reader.
    pub(super) fn enter(&mut self) -> Result<()> {
        if self.call.is_none() {
            self.call = Some(self.view.enter()?);
        }
        Ok(())
    }

    /// Cursors for the catalogue of a series.
    pub(super) fn cursors_of(&mut self, series: &ViewSeries) -> &mut ChunkCursors<'e> {
        if self.cursors.as_ref().is_none_or(|w| !Arc::ptr_eq(&w.catalogue, &series.catalogue)) {
            self.give_back();
        }
        let view = self.view;
        &mut self.cursors.get_or_insert_with(|| view.cursors(&series.catalogue)).cursors
    }

    fn add_unflushed(
        &mut self,
        parts: &mut Parts<'_>,
        unflushed: &EpochSamples,
        range: TimeRange,
        seen: &Seen,
        rule: RuleOf<'_>,
    ) -> Result<()> {
        if unflushed.is_empty() {
            return Ok(());
        }
        let mut growth = Growth::new(&self.view.work, &self.taken);
        let all = parts.memory_bytes();
        let run = parts.next();
        growth.turn_to(run, all);
        let count = unflushed.count(range);
        limit(&mut self.samples_left, count)?;
        growth.admit(run, count)?;
        unflushed.read_into(range, seen, rule, run);
        growth.count(run)
    }

    fn give_back(&mut self) {
        if let Some(cursors) = self.cursors.take() {
            self.view.cursors.lock().push(cursors);
        }
    }
}

impl Drop for SeriesReader<'_, '_> {
    fn drop(&mut self) {
        self.give_back();
        self.view.chunks_read.fetch_add(self.chunks, Ordering::Relaxed);
    }
}

/// Subtracts `more` samples from a limit. Returns an error if fewer are left, after which there is no limit.
fn limit(left: &mut Option<usize>, more: usize) -> Result<()> {
    let Some(before) = *left else { return Ok(()) };
    *left = before.checked_sub(more);
    if left.is_some() { Ok(()) } else { Err(Error::Limit(String::new())) }
}

/// The samples of one series in the parts of the database, older writes first.
struct Parts<'o> {
    first: &'o mut Run,
    rest: Vec<Run>,
}

impl Parts<'_> {
    /// An empty run for the next part.
    fn next(&mut self) -> &mut Run {
        if self.first.is_empty() {
            return self.first;
        }
        if self.rest.last().is_none_or(|run| !run.is_empty()) {
            self.rest.push(Run::default());
        }
        self.rest.last_mut().expect("pushed above")
    }

    /// The run for a part that has no sample before `start`.
    fn next_from(&mut self, start: Timestamp) -> &mut Run {
        let goes_on = self.rest.is_empty() && self.first.timestamps.last().is_none_or(|&last| last < start);
        if goes_on { self.first } else { self.next() }
    }

    fn memory_bytes(&self) -> usize {
        self.first.memory_bytes() + self.rest.iter().map(Run::memory_bytes).sum::<usize>()
    }

    /// Takes the memory for a merge: the merged columns, and the indexes of samples in order.
    fn admit_merge(&self, taken: &Taken) -> Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let samples = self.first.len() + self.rest.iter().map(Run::len).sum::<usize>();
        let merged = samples * 2 * size_of::<(Timestamp, u32, u32)>();
        Ok(taken.at_least(self.memory_bytes() + merged)?)
    }

    fn merge(self, rule: RuleOf<'_>) {
        if !self.rest.is_empty() {
            let mut all = vec![std::mem::take(self.first)];
            all.extend(self.rest);
            *self.first = Run::merge(all, || rule.get());
        }
    }
}

/// Deletes up to this sequence are already applied to `generation`, or precede everything in it.
fn applied(generation: &Generation) -> u64 {
    generation.record.cut.max(generation.record.deletes_applied)
}

fn hide(run: &mut Run, hiding: &Hiding<'_>, applied: u64) {
    for tombstone in hiding.iter().filter(|t| t.seq > applied) {
        run.retain(|t| !tombstone.range.contains(t));
    }
}
