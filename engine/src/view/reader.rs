//! Reading selected series, one after the other.
//!
//! Samples are decoded straight into the caller's run. Only where several parts have samples
//! of a series (generations, what a flush works on, the head) they are gathered and merged.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Result;
use crate::chunk::Run;
use crate::head::Unflushed;
use crate::model::{TimeRange, Timestamp};
use crate::store::catalogue::{Catalogue, Generation, Tombstone, generations_of};
use crate::store::walk::Walks;
use crate::view::{View, ViewSeries};

/// Reads series of a view. Fastest in the order of [`View::gather`]: what the store keeps
/// side by side is then read in one pass.
pub struct SeriesReader<'v, 'e> {
    view: &'v View<'e>,
    walks: Option<PooledWalks<'e>>,
    chunks: u64,
}

/// Cursors see the store as it was when they were made: good for one catalogue.
pub(super) struct PooledWalks<'e> {
    catalogue: Arc<Catalogue>,
    walks: Walks<'e>,
}

/// Deletes that may hide samples of one series.
type Hiding<'a> = [&'a Tombstone];

impl<'e> View<'e> {
    /// A reader of selected series. Several may be at work at once, each on its own part.
    pub fn reader(&self) -> SeriesReader<'_, 'e> {
        SeriesReader { view: self, walks: None, chunks: 0 }
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

    fn walks(&self, catalogue: &Arc<Catalogue>) -> PooledWalks<'e> {
        let pooled = {
            let mut pool = self.walks.lock();
            let at = pool.iter().position(|w| Arc::ptr_eq(&w.catalogue, catalogue));
            at.map(|at| pool.swap_remove(at))
        };
        pooled.unwrap_or_else(|| PooledWalks { catalogue: catalogue.clone(), walks: Walks::new(self.kv) })
    }
}

impl SeriesReader<'_, '_> {
    /// Makes `out` the samples of `series` in `range`, ascending.
    ///
    /// # Errors
    /// A chunk is damaged, or the store could not be read.
    pub fn read(&mut self, series: &ViewSeries, range: TimeRange, out: &mut Run) -> Result<()> {
        out.clear();
        let tombstones = series.catalogue.tombstones.iter().map(|t| &**t);
        let hiding: Vec<&Tombstone> = tombstones
            .filter(|t| {
                t.range.overlaps(range.start.saturating_add(1), range.end) && t.matches(&series.labels)
            })
            .collect();
        let mut parts = Parts { first: out, rest: Vec::new() };
        if !series.ids.is_empty() {
            self.read_stored(series, range, &hiding, &mut parts)?;
        }
        if let Some(head) = &series.head {
            self.chunks += head.chunks(range);
            if let Some(frozen) = &head.frozen {
                parts.add_unflushed(frozen, range, &hiding, head.frozen_cut);
            }
            parts.add_unflushed(&head.active, range, &[], 0);
        }
        parts.merge();
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
        if self.walks.as_ref().is_none_or(|w| !Arc::ptr_eq(&w.catalogue, &series.catalogue)) {
            self.give_back();
            self.walks = Some(self.view.walks(&series.catalogue));
        }
        let walks = self.walks.as_mut().map(|pooled| &mut pooled.walks).expect("taken above");
        for (at, &(partition, _)) in series.ids.iter().enumerate() {
            if series.ids[..at].iter().any(|id| id.0 == partition) {
                continue;
            }
            let (start, _) = partition.bounds(series.catalogue.root.partition_width_ns);
            for generation in generations_of(&series.catalogue.generations, partition) {
                if !range.overlaps(generation.record.first, generation.record.last) {
                    continue;
                }
                for &(_, id) in series.ids[at..].iter().filter(|id| id.0 == partition) {
                    let run = if hiding.is_empty() { parts.next_from(start) } else { parts.next() };
                    self.chunks += walks.read(generation, id, range, run)?;
                    hide(run, hiding, applied(generation));
                }
            }
        }
        Ok(())
    }

    fn give_back(&mut self) {
        if let Some(walks) = self.walks.take() {
            self.view.walks.lock().push(walks);
        }
    }
}

impl Drop for SeriesReader<'_, '_> {
    fn drop(&mut self) {
        self.give_back();
        self.view.chunks_read.fetch_add(self.chunks, Ordering::Relaxed);
    }
}

/// What the parts of the database have of one series, the older writes first.
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

    fn add_unflushed(&mut self, unflushed: &Unflushed, range: TimeRange, hiding: &Hiding<'_>, cut: u64) {
        if !unflushed.is_empty() {
            let run = self.next();
            *run = unflushed.to_run(range);
            hide(run, hiding, cut);
        }
    }

    fn merge(self) {
        if !self.rest.is_empty() {
            let mut all = vec![std::mem::take(self.first)];
            all.extend(self.rest);
            *self.first = Run::merge(all);
        }
    }
}

/// Deletes up to this sequence are already carried out in `generation`, or were followed by
/// everything in it.
fn applied(generation: &Generation) -> u64 {
    generation.record.cut.max(generation.record.deletes_applied)
}

fn hide(run: &mut Run, hiding: &Hiding<'_>, applied: u64) {
    for tombstone in hiding.iter().filter(|t| t.seq > applied) {
        run.retain(|t| !tombstone.range.contains(t));
    }
}
