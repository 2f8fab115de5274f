//! A view: one consistent read of head and store.
//!
//! # Consistency
//! For each selected series the head's data is copied first and the catalogue is taken
//! after it; the other order would lose samples that a flush moves in between. What is in
//! both is the same sample and is merged away. So a view holds everything acknowledged
//! before it was made. Selecting a series again within one view gives the same head data
//! again.
//!
//! # Order of precedence
//! Of two samples with one timestamp the one written later wins: generations by cut, then
//! what a flush is working on, then the active head.
//!
//! Next: `store/generation.rs` for the stored part, `head/series.rs` for the rest.

mod cardinality;
mod estimate;
mod labels;
mod reach;
mod reader;
mod selection;
mod series;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use roaring::RoaringTreemap;

pub use cardinality::Cardinality;
pub use estimate::ReadEstimate;
use reach::Reach;
use reader::PooledWalks;
pub use reader::SeriesReader;
use selection::Selection;
pub use series::ViewSeries;

use crate::budget::{Taken, Work};
use crate::head::{Event, Head, HeadCopy, HeadSeries};
use crate::index::select;
use crate::model::{Matcher, PartitionId, SeriesId, TimeRange};
use crate::store::catalogue::{Catalogue, Generation, Tombstone, generations_of};
use crate::store::generation::GenerationReader;
use crate::store::kv::Kv;
use crate::{Error, Result};

/// The labels of fewer series are read in less time than it takes to see which of them have
/// samples in the range.
const REACH_MIN: u64 = 4;

/// A consistent read of everything. Make one for each query.
pub struct View<'e> {
    head: &'e Head,
    kv: &'e dyn Kv,
    catalogue: &'e ArcSwap<Catalogue>,
    pinned: Mutex<Pinned>,
    walks: Mutex<Vec<PooledWalks<'e>>>,
    work: Work,
    kept: Taken,
    chunks_read: AtomicU64,
}

/// What earlier selections of this view have taken.
#[derive(Default)]
struct Pinned {
    catalogue: Option<Arc<Catalogue>>,
    copies: HashMap<u64, (TimeRange, Arc<HeadCopy>), RandomState>,
    /// Series that the head had nothing of, in which range.
    nothing: Vec<(TimeRange, RoaringTreemap)>,
}

impl Pinned {
    fn has_nothing(&self, id: SeriesId, range: TimeRange) -> bool {
        self.nothing.iter().any(|(known, ids)| covers(*known, range) && ids.contains(id.0))
    }
}

/// A series of the head that is selected, and what the head has of it.
type Captured = (Arc<HeadSeries>, Option<Arc<HeadCopy>>);

impl<'e> View<'e> {
    /// A view of the parts of an open database.
    pub fn new(head: &'e Head, kv: &'e dyn Kv, catalogue: &'e ArcSwap<Catalogue>) -> Self {
        View {
            head,
            kv,
            catalogue,
            pinned: Mutex::default(),
            walks: Mutex::default(),
            kept: Taken::of(&Work::unbounded()),
            work: Work::unbounded(),
            chunks_read: AtomicU64::new(0),
        }
    }

    /// Makes it ask `work` whether to go on, and take from it what it keeps, which it gives back when it is dropped.
    #[must_use]
    pub fn with_work(mut self, work: &Work) -> Self {
        (self.work, self.kept) = (work.clone(), Taken::of(work));
        self
    }

    /// What it asks.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// Bytes that this view keeps until it is dropped: copies of open chunks in the head, and
    /// what was selected.
    pub fn kept_bytes(&self) -> u64 {
        self.kept.bytes()
    }

    /// Chunks of the store and of the head that were read so far.
    pub fn chunks_read(&self) -> u64 {
        self.chunks_read.load(Ordering::Relaxed)
    }

    /// The series that meet all matchers and may have samples in `range`, sorted by labels.
    ///
    /// # Errors
    /// As [`View::gather`].
    pub fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<ViewSeries>> {
        let mut found = self.gather(matchers, range, series_max)?;
        found.sort_unstable_by_key(|series| series.rank);
        Ok(found)
    }

    /// As [`View::select`], but in the order in which a [`SeriesReader`] is fastest: what the
    /// store keeps side by side follows each other.
    ///
    /// # Errors
    /// [`Error::Limit`] when more than `series_max` match, what [`View::work`] refuses, or the store could not be read.
    pub fn gather(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<ViewSeries>> {
        let (heads, catalogue) = self.capture(matchers, range, series_max)?;
        self.gather_from(&heads, &catalogue, matchers, range, series_max)
    }

    pub(crate) fn gather_from(
        &self,
        heads: &[Captured],
        catalogue: &Arc<Catalogue>,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<ViewSeries>> {
        let mut found = Selection::new(series_max);
        for (series, copy) in heads {
            if let Some(copy) = copy {
                let found = found.series(series.id, || series.labels.clone(), catalogue)?;
                found.head = Some(copy.clone());
            }
        }
        let mut reach: Option<(PartitionId, Reach)> = None;
        for generation in indexing(catalogue, range) {
            let reader = GenerationReader::new(self.kv, generation);
            let ids = select(&reader, matchers)?;
            if ids.len() < REACH_MIN {
                self.add_stored(&mut found, catalogue, heads, &reader, ids.into_iter())?;
                continue;
            }
            let partition = generation.prefix.partition;
            let reach = match &mut reach {
                Some((known, reach)) if *known == partition => reach,
                other => {
                    let all = generations_of(&catalogue.generations, partition);
                    &mut other.insert((partition, Reach::new(self.kv, all, range)?)).1
                }
            };
            let ids = ids.into_iter().filter(|&id| reach.may_hold(SeriesId(id)));
            self.add_stored(&mut found, catalogue, heads, &reader, ids)?;
        }
        let out = found.finish()?;
        self.kept.more(out.iter().map(ViewSeries::memory_bytes).sum())?;
        Ok(out)
    }

    /// Adds the series of a generation. Long-lived ones are mostly known from the head, or
    /// from a later partition: only of the others labels are read.
    fn add_stored(
        &self,
        found: &mut Selection,
        catalogue: &Arc<Catalogue>,
        heads: &[Captured],
        reader: &GenerationReader<'_>,
        ids: impl Iterator<Item = u64>,
    ) -> Result<()> {
        let mut unknown = RoaringTreemap::new();
        let partition = reader.generation.prefix.partition;
        let mut heads = heads.iter().map(|(series, _)| series).peekable();
        for id in ids {
            while heads.next_if(|series| series.id.0 < id).is_some() {}
            if let Some(series) = heads.next_if(|series| series.id.0 == id) {
                let found = found.series(SeriesId(id), || series.labels.clone(), catalogue)?;
                found.add_id(partition, SeriesId(id));
            } else if let Some(series) = found.known(SeriesId(id)) {
                series.add_id(partition, SeriesId(id));
            } else {
                unknown.insert(id);
            }
        }
        for (id, labels) in reader.labels_of(&unknown)? {
            found.series(id, || labels, catalogue)?.add_id(partition, id);
        }
        Ok(())
    }

    /// Copies the head's part of a selection, then takes the catalogue. The series come in
    /// ascending order of ids.
    fn capture(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<(Vec<Captured>, Arc<Catalogue>)> {
        let earlier = self.catalogue.load_full();
        let (heads, took_new) = self.copy_heads(matchers, range, series_max)?;
        Ok((heads, self.take_catalogue(&earlier, took_new)))
    }

    /// The head's part, and whether any of it was copied just now.
    pub(crate) fn copy_heads(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<(Vec<Captured>, bool)> {
        let heads = self.head.select(matchers)?;
        let mut pinned = self.pinned.lock();
        let (mut took_new, mut holding) = (false, 0);
        let mut nothing = RoaringTreemap::new();
        let mut out = Vec::with_capacity(heads.len());
        for series in heads {
            let known = pinned.copies.get(&series.id.0).filter(|(copied, _)| covers(*copied, range));
            let copy = match known {
                Some((_, copy)) => Some(copy.clone()),
                None if pinned.has_nothing(series.id, range) => None,
                None => {
                    took_new = true;
                    let copy = series.copy(range, || self.head.frozen_cut());
                    if copy.may_hold_samples() {
                        let copy = Arc::new(copy);
                        self.kept.more(copy.memory_bytes())?;
                        pinned.copies.insert(series.id.0, (range, copy.clone()));
                        Some(copy)
                    } else {
                        nothing.insert(series.id.0);
                        None
                    }
                }
            };
            // The head has each label set once: too many are told before all are copied.
            holding += usize::from(copy.is_some());
            if holding > series_max {
                return Err(Error::Limit(format!("more than {series_max} series match")));
            }
            out.push((series, copy));
        }
        if !nothing.is_empty() {
            pinned.nothing.push((range, nothing));
        }
        Ok((out, took_new))
    }

    /// The catalogue, no older than what was copied of the head; `earlier` is one that is no newer.
    pub(crate) fn take_catalogue(&self, earlier: &Catalogue, took_new: bool) -> Arc<Catalogue> {
        let mut pinned = self.pinned.lock();
        let catalogue = match &pinned.catalogue {
            Some(catalogue) if !took_new => catalogue.clone(),
            Some(pinned) => remembering(remembering(self.catalogue.load_full(), earlier), pinned),
            None => remembering(self.catalogue.load_full(), earlier),
        };
        pinned.catalogue = Some(catalogue.clone());
        catalogue
    }

    /// Events in `range` whose labels meet all matchers, ascending in time, at most
    /// `limit`. Of two with the same labels and time the later written one is returned.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn events(&self, matchers: &[Matcher], range: TimeRange, limit: usize) -> Result<Vec<Event>> {
        let earlier = self.catalogue.load_full();
        let (frozen, cut, active) = self.head.events.select(matchers, range);
        let catalogue = remembering(self.catalogue.load_full(), &earlier);
        let mut all: Vec<Event> = Vec::new();
        for generation in in_range(&catalogue, range) {
            let hiding: Vec<_> =
                catalogue.tombstones.iter().filter(|t| t.concerns(&generation.record)).collect();
            GenerationReader::new(self.kv, generation).for_each_event(
                range,
                &mut |timestamp, labels, text| {
                    let is_hidden = hiding.iter().any(|t| t.range.contains(timestamp) && t.matches(&labels));
                    if !is_hidden && matchers.iter().all(|m| m.matches_labels(&labels)) {
                        all.push(Event { labels, timestamp, text });
                    }
                    Ok(())
                },
            )?;
        }
        let is_live = |e: &Event| {
            !catalogue
                .tombstones
                .iter()
                .any(|t| t.seq > cut && t.range.contains(e.timestamp) && t.matches(&e.labels))
        };
        all.extend(frozen.into_iter().filter(is_live));
        all.extend(active);
        Ok(newest_of_each(all, limit))
    }
}

/// Sorts by time and labels; of equals the last stays.
fn newest_of_each(mut events: Vec<Event>, limit: usize) -> Vec<Event> {
    events.sort_by(|a, b| (a.timestamp, &a.labels).cmp(&(b.timestamp, &b.labels)));
    let mut out: Vec<Event> = Vec::with_capacity(events.len().min(limit));
    for event in events {
        let is_same = |e: &Event| (e.timestamp, &e.labels) == (event.timestamp, &event.labels);
        if out.last().is_some_and(is_same) {
            out.pop();
        } else if out.len() == limit {
            break;
        }
        out.push(event);
    }
    out
}

/// `catalogue` with the deletes that an earlier one knew. By now they may be carried out in the store and forgotten,
/// and what was copied of the head may be from before that: samples on their way to the store.
fn remembering(catalogue: Arc<Catalogue>, earlier: &Catalogue) -> Arc<Catalogue> {
    let is_forgotten =
        |t: &&Arc<Tombstone>| catalogue.tombstones.binary_search_by_key(&t.seq, |known| known.seq).is_err();
    let forgotten: Vec<_> = earlier.tombstones.iter().filter(is_forgotten).cloned().collect();
    if forgotten.is_empty() {
        return catalogue;
    }
    let mut catalogue = (*catalogue).clone();
    catalogue.tombstones.extend(forgotten);
    catalogue.sort();
    Arc::new(catalogue)
}

fn covers(outer: TimeRange, inner: TimeRange) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

fn in_range(catalogue: &Catalogue, range: TimeRange) -> impl Iterator<Item = &Arc<Generation>> {
    catalogue.generations.iter().filter(move |g| range.overlaps(g.record.first, g.record.last))
}

/// The generations whose index may name a series with samples in `range`. A series is
/// indexed once in a partition, by whichever of its generations came first.
fn indexing(catalogue: &Catalogue, range: TimeRange) -> impl Iterator<Item = &Arc<Generation>> {
    let width = catalogue.root.partition_width_ns;
    catalogue.generations.iter().filter(move |g| {
        let (first, last) = g.prefix.partition.bounds(width);
        range.overlaps(first, last)
    })
}

/// One id that a label set has in one partition.
type PartitionSeries = (PartitionId, SeriesId);
