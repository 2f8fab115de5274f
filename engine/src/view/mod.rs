//! A view: one consistent read of head and store.
//!
//! # Consistency
//! A view is pinned to one record of the log (`head/isolation/pins.rs`). It shows all batches and deletes up to that
//! record completely, and nothing later, no matter when and how often it is read. So it includes everything that was
//! acknowledged before it was created. Its catalogue is taken together with the pin. Samples that the catalogue lacks
//! come from the head, which keeps them until the view is dropped, even if a flush moves them into the store in the
//! meantime (`head/isolation/kept.rs`).
//!
//! Exemplars and metadata are not part of a view.
//!
//! # Damage
//! A read of a time range in which a generation is set aside is refused, or leaves the generation out and reports it
//! (`gaps.rs`). The same is true of a read that meets damage: the generation is set aside at once
//! (`store/kv/guard.rs`).
//!
//! # Closing
//! A view may outlive the closing of its database: its calls then return [`Error::Closed`] (`calls.rs`).
//!
//! # Memory and time
//! A view checks its [`Work`] at least every ten milliseconds, and takes memory from it before it copies or collects
//! anything.
//!
//! # Tenants
//! A view may be restricted to one tenant. All its selections go through [`View::head_ids`], [`View::stored_ids`] or
//! [`View::scoped`], which add the tenant's matcher to those of the caller.
//!
//! # Order of precedence
//! Of two samples with one timestamp, the one written later wins: generations by cut, then the samples of a flush in
//! progress, then the active head.
//!
//! Next: `store/generation.rs` for the stored part, `head/series.rs` for the rest.

mod calls;
mod cardinality;
mod estimate;
mod events;
mod gaps;
mod labels;
mod pieces;
mod present;
mod reader;
mod selection;
mod series;
pub(crate) mod tier;
mod time_filter;
mod turns;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use parking_lot::Mutex;
use roaring::RoaringTreemap;
use smallvec::SmallVec;

use calls::Calls;
pub use cardinality::Cardinality;
pub use estimate::ReadEstimate;
pub use gaps::Damage;
use gaps::Gaps;
use reader::PooledCursors;
pub use reader::SeriesReader;
use selection::Selection;
pub use series::ViewSeries;
pub use tier::{BucketPlan, TierSpan};
use time_filter::TimeFilters;
pub use turns::Pieces;

use crate::budget::{Taken, Work, map_bytes};
use crate::head::pins::Pin;
use crate::head::{Head, HeadCopy, HeadSeries};
use crate::index::select;
use crate::model::{
    DuplicateRules, Labels, Matcher, PartitionId, SeriesId, Tenant, TierId, TimeRange, described_as_counter,
    is_named_like_counter,
};
use crate::store::catalogue::Catalogue;
use crate::store::gate::Gate;
use crate::store::generation::GenerationReader;
use crate::store::generations::Partition;
use crate::store::kv::Bulk;
use crate::store::versions::Versions;
use crate::{Error, Result};

/// The number of series copied or added between two checks whether to stop.
const SERIES_PER_CHECK: usize = 256;

/// A consistent read of everything. Create one for each query and drop it soon: during its lifetime, memory keeps the
/// samples that were unflushed when it was created.
pub struct View<'e> {
    head: &'e Head,
    kv: &'e dyn Bulk,
    gate: &'e Gate,
    catalogue: Arc<Catalogue>,
    /// The current catalogue, which shows what has been set aside since.
    latest: &'e Versions,
    pin: Pin<'e>,
    pinned: Mutex<Pinned>,
    cursors: Mutex<Vec<PooledCursors<'e>>>,
    work: Work,
    kept: Taken,
    tenant: Option<Tenant>,
    gaps: Gaps,
    /// Which of several samples with the same timestamp counts.
    duplicates: DuplicateRules,
    chunks_read: AtomicU64,
    /// Declared, and so dropped, after the cursors.
    calls: Mutex<Calls<'e>>,
}

/// The data taken by earlier selections of this view.
#[derive(Default)]
struct Pinned {
    copies: HashMap<u64, (TimeRange, Arc<HeadCopy>), RandomState>,
    /// Series without data in the head, and the range for which that is known.
    nothing: Vec<(TimeRange, RoaringTreemap)>,
}

impl Pinned {
    fn has_nothing(&self, id: SeriesId, range: TimeRange) -> bool {
        self.nothing.iter().any(|(known, ids)| covers(*known, range) && ids.contains(id.0))
    }
}

/// The head's data of a series.
#[derive(Clone)]
enum HeadPart {
    /// None in the range.
    Nothing,
    /// A copy.
    Copied(Arc<HeadCopy>),
    /// To be copied when it is read.
    Waiting(Arc<HeadSeries>),
}

/// A selected series of the head, and the head's data of it.
type Captured = (Arc<HeadSeries>, HeadPart);

/// The head's part of a selection, ascending by ids.
pub(crate) struct Heads {
    list: Vec<Captured>,
    _taken: Taken,
}

impl<'e> View<'e> {
    /// Creates a view of the parts of an open database after its last change.
    pub(crate) fn new(head: &'e Head, gate: &'e Gate, latest: &'e Versions) -> Self {
        let (pin, catalogue) = head.pins.pin(|| {
            let catalogue = latest.current_owned();
            let flushed = catalogue.root.flushed_seq;
            (catalogue, flushed)
        });
        View {
            head,
            kv: gate.kv(),
            gate,
            catalogue,
            latest,
            pin,
            pinned: Mutex::default(),
            cursors: Mutex::default(),
            kept: Taken::of(&Work::unbounded()),
            work: Work::unbounded(),
            tenant: None,
            gaps: Gaps::default(),
            duplicates: head.rules().duplicates.clone(),
            chunks_read: AtomicU64::new(0),
            calls: Mutex::default(),
        }
    }

    /// Makes the view check `work` and take its memory from it until the view is dropped.
    #[must_use]
    pub fn with_work(mut self, work: &Work) -> Self {
        (self.work, self.kept) = (work.clone(), Taken::of(work));
        self
    }

    /// Restricts all further selections to one tenant.
    #[must_use]
    pub fn of_tenant(mut self, tenant: &Tenant) -> Self {
        self.tenant = Some(tenant.clone());
        self
    }

    /// Whether a series counts something, so that its rate says more than its values: its ladder or its metadata says so,
    /// or, without any, its name.
    pub fn is_counter(&self, labels: &Labels) -> bool {
        let by_name = || labels.metric_name().is_some_and(is_named_like_counter);
        described_as_counter(self.head, labels).unwrap_or_else(by_name)
    }

    /// The given matchers and the tenant's.
    fn scoped<'m>(&self, matchers: &'m [Matcher]) -> Cow<'m, [Matcher]> {
        match &self.tenant {
            None => Cow::Borrowed(matchers),
            Some(tenant) => matchers.iter().cloned().chain([tenant.matcher()]).collect(),
        }
    }

    /// The given selectors, each with the tenant's matcher.
    fn all_scoped<'m>(&self, selectors: &'m [Vec<Matcher>]) -> Cow<'m, [Vec<Matcher>]> {
        match &self.tenant {
            None => Cow::Borrowed(selectors),
            Some(tenant) => Cow::Owned(tenant.restrict(selectors)),
        }
    }

    /// The ids of the series in the head that match all matchers.
    fn head_ids(&self, matchers: &[Matcher]) -> Result<RoaringTreemap> {
        self.head.select_ids(&self.scoped(matchers), &self.work)
    }

    /// The ids of the series of a generation that match all matchers.
    fn stored_ids(&self, reader: &GenerationReader<'_>, matchers: &[Matcher]) -> Result<RoaringTreemap> {
        select(reader, &self.scoped(matchers), &self.work)
    }

    /// The last record of the log that it shows.
    #[cfg(test)]
    pub(crate) fn seq(&self) -> u64 {
        self.pin.seq
    }

    /// The work that it checks.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// The memory that this view keeps until it is dropped: copies of open chunks in the head, and selections.
    pub fn kept_bytes(&self) -> u64 {
        self.kept.bytes()
    }

    /// The number of chunks of the store and of the head read so far.
    pub fn chunks_read(&self) -> u64 {
        self.chunks_read.load(Ordering::Relaxed)
    }

    /// The series that match all matchers and may have samples in `range`, sorted by labels.
    ///
    /// # Errors
    /// Same as [`View::select_unsorted`].
    pub fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<ViewSeries>> {
        let mut found = self.select_unsorted(matchers, range, series_max)?;
        found.sort_unstable_by_key(|series| series.rank);
        Ok(found)
    }

    /// Like [`View::select`], but in the order in which a [`SeriesReader`] is fastest: the storage order.
    ///
    /// # Errors
    /// [`Error::Limit`] if more than `series_max` match; the errors of [`View::work`]; the store could not be read.
    /// [`Error::Throttled`] if the view is so old that memory could not keep the samples it needs.
    pub fn select_unsorted(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<ViewSeries>> {
        let _call = self.enter()?;
        let heads = self.copy_heads(matchers, range, series_max)?;
        self.without_damage(|| self.select_unsorted_into(&self.kept, &heads, matchers, range, series_max))
    }

    /// The series of `heads` and of the store, ascending by ids; the memory of the result is taken as `kept`.
    fn select_unsorted_into(
        &self,
        kept: &Taken,
        heads: &Heads,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<ViewSeries>> {
        self.note_gaps(&self.catalogue, TierId::RAW, range)?;
        let partitions =
            self.catalogue.generations.partitions_in(TierId::RAW, range, self.catalogue.layout());
        self.select_in(partitions, kept, heads, matchers, range, series_max)
    }

    /// The series of `heads` and of these partitions of the store, which ascend.
    fn select_in<'c>(
        &'c self,
        partitions: impl Iterator<Item = &'c Partition>,
        kept: &Taken,
        heads: &Heads,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<ViewSeries>> {
        let catalogue = &self.catalogue;
        let mut found = Selection::new(series_max, kept, &self.work);
        for (at, (series, part)) in heads.list.iter().enumerate() {
            if at.is_multiple_of(SERIES_PER_CHECK) {
                self.work.check()?;
            }
            if !matches!(part, HeadPart::Nothing) {
                let found = found.series(series.id, || series.labels.clone(), catalogue)?;
                found.head = part.clone();
            }
        }
        let mut filters = TimeFilters::new(self.kv, catalogue, range);
        let generations = partitions.flat_map(|partition| &partition.generations);
        for generation in generations.filter(|generation| !self.is_lost(generation.prefix)) {
            let reader = GenerationReader::new(self.kv, generation);
            let ids = self.stored_ids(&reader, matchers)?;
            let ids = filters.among(generation, ids)?;
            self.add_stored(&mut found, catalogue, &heads.list, &reader, ids)?;
        }
        found.finish()
    }

    /// Adds the series of a generation. Long-lived ones are usually known from the head or from a later partition, so
    /// labels are read only for the others.
    fn add_stored(
        &self,
        found: &mut Selection<'_>,
        catalogue: &Arc<Catalogue>,
        heads: &[Captured],
        reader: &GenerationReader<'_>,
        ids: impl Iterator<Item = u64>,
    ) -> Result<()> {
        let partition = reader.generation.prefix.partition;
        let mut heads = heads.iter().map(|(series, _)| series).peekable();
        let mut stored = reader.labels_by_id();
        for (at, id) in ids.map(SeriesId).enumerate() {
            if at.is_multiple_of(SERIES_PER_CHECK) {
                self.work.check()?;
            }
            while heads.next_if(|series| series.id < id).is_some() {}
            let series = if let Some(series) = heads.next_if(|series| series.id == id) {
                found.series(id, || series.labels.clone(), catalogue)?
            } else if let Some(known) = found.known(id) {
                known
            } else {
                let labels = stored.next(id)?;
                found.admit(labels.memory_bytes())?;
                found.series(id, || labels, catalogue)?
            };
            series.add_id(partition, id);
        }
        Ok(())
    }

    /// The head's part of a selection, ascending by ids.
    fn copy_heads(&self, matchers: &[Matcher], range: TimeRange, series_max: usize) -> Result<Heads> {
        let ids = self.head_ids(matchers)?;
        let (mut heads, mut page) = (self.heads(ids.len() as usize)?, Vec::new());
        let mut pinned = self.pinned.lock();
        let mut holding = 0;
        let mut nothing = RoaringTreemap::new();
        let mut ids = ids.into_iter();
        while self.head.next_page(&mut ids, &mut page) {
            for (at, series) in page.drain(..).enumerate() {
                if at.is_multiple_of(SERIES_PER_CHECK) {
                    self.work.check()?;
                }
                let known = pinned.copies.get(&series.id.0).filter(|(copied, _)| covers(*copied, range));
                let part = match known {
                    Some((_, copy)) => HeadPart::Copied(copy.clone()),
                    None if pinned.has_nothing(series.id, range) => HeadPart::Nothing,
                    None => {
                        let part = self.copy(&series, range, &self.kept)?;
                        match &part {
                            HeadPart::Copied(copy) => self.pin(&mut pinned, series.id, range, copy)?,
                            _ => drop(nothing.insert(series.id.0)),
                        }
                        part
                    }
                };
                // The head has each label set once, so a number over the limit is detected before all are copied.
                holding += usize::from(!matches!(part, HeadPart::Nothing));
                if holding > series_max {
                    return Err(Error::Limit(format!("more than {series_max} series match")));
                }
                heads.list.push((series, part));
            }
        }
        if !nothing.is_empty() {
            pinned.nothing.push((range, nothing));
        }
        Ok(heads)
    }

    /// An empty list with capacity for `count` series.
    fn heads(&self, count: usize) -> Result<Heads> {
        let taken = Taken::of(&self.work);
        taken.more(count * size_of::<Captured>())?;
        Ok(Heads { list: Vec::with_capacity(count), _taken: taken })
    }

    /// A copy of the head's data of a series in `range`. Its memory is taken as `kept` before the copy is made.
    fn copy(&self, series: &HeadSeries, range: TimeRange, kept: &Taken) -> Result<HeadPart> {
        let mut most = 0;
        let deletes = self.deletes_of(&series.labels);
        let copy = series.copy(range, &self.pin, &deletes, |bytes| {
            most = bytes;
            Ok(kept.more(bytes)?)
        })?;
        // Read after the series: a flush that ends in the meantime moves samples from there to here.
        let mut copy = copy.unwrap_or_default();
        self.head.kept.of_series(series.id, &self.pin, |frozen| {
            copy.add_frozen(frozen, range, &self.pin, &deletes);
        });
        self.pin.check()?;
        if copy.is_empty() {
            return Ok(HeadPart::Nothing);
        }
        let bytes = copy.memory_bytes();
        kept.more(bytes.saturating_sub(most))?;
        // Neither includes the counts of the `Arc`.
        kept.less(most.saturating_sub(bytes));
        Ok(HeadPart::Copied(Arc::new(copy)))
    }

    /// The deletes of a series that are not in the store, each with its range: those logged since the last flush.
    fn deletes_of(&self, labels: &Labels) -> SmallVec<[(u64, TimeRange); 1]> {
        let tombstones = self.catalogue.tombstones.iter().rev();
        let unflushed = tombstones.take_while(|tombstone| tombstone.seq > self.pin.flushed);
        unflushed.filter(|t| t.matches(labels)).map(|t| (t.seq, t.range)).collect()
    }

    /// Whether the head has samples in `range` of one of its series, now or when the view was created, that are not
    /// completely hidden by a single delete.
    fn head_touches(&self, series: &HeadSeries, range: TimeRange) -> bool {
        let deletes = self.deletes_of(&series.labels);
        let mut touches = series.touches(range, &self.pin, &deletes);
        if !touches {
            self.head.kept.of_series(series.id, &self.pin, |frozen| {
                touches |= frozen.touches(range, &self.pin, &deletes);
            });
        }
        touches
    }

    /// Remembers a copy for the next selection of this view.
    fn pin(&self, pinned: &mut Pinned, id: SeriesId, range: TimeRange, copy: &Arc<HeadCopy>) -> Result<()> {
        if pinned.copies.len() == pinned.copies.capacity() {
            let (known, more) = (pinned.copies.len(), pinned.copies.len().max(16));
            let bytes = |entries| map_bytes(entries, size_of::<(u64, (TimeRange, Arc<HeadCopy>))>());
            self.kept.more(bytes(known + more) - bytes(known))?;
            pinned.copies.reserve(more);
        }
        pinned.copies.insert(id.0, (range, copy.clone()));
        Ok(())
    }
}

fn covers(outer: TimeRange, inner: TimeRange) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// One of a label set's ids, and its partition.
type PartitionSeries = (PartitionId, SeriesId);
