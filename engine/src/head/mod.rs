//! The head: the newest samples, in memory.
//!
//! It maps label sets to series, and holds the samples that are not yet in the store. It does no I/O; the WAL makes it
//! durable, and a flush moves its samples to the store.
//!
//! # Concurrency
//! Appends, deletes, freezing and retiring of series are serialised by the engine's commit lock. Readers may run at any
//! time: the registry is behind a read-write lock, each series behind a small lock. Lock order: commit, registry,
//! series; the lock of [`Tenants`] is held for one count, and no other lock is taken meanwhile. A reader sees one state
//! of all series (`pins.rs`), regardless of concurrent appends.

pub mod batch;
pub mod databases;
pub mod events;
pub mod exemplars;
mod handle;
pub mod isolation;
pub mod metadata;
mod pieces;
pub mod postings;
pub mod record;
mod registry;
mod select;
pub mod series;
pub mod tenants;

pub use isolation::{kept, pins, seen};

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use arc_swap::ArcSwap;
use roaring::RoaringTreemap;

pub use batch::{Batch, ResolvedBatch, SeriesGroup};
pub use databases::HeadDatabases;
pub use events::{Event, FrozenEvent, HeadEvents, Segment, Written};
pub use exemplars::{HeadExemplars, SeriesExemplars};
pub(crate) use handle::Owner;
pub use handle::SeriesHandle;
pub use metadata::HeadMetadata;
pub use series::{ChunkPolicy, Epoch, EpochSamples, Frozen, HeadCopy, HeadSeries};
pub use tenants::{TenantUse, Tenants, TenantsReport};

use crate::Result;
use crate::budget::Work;
use crate::head::kept::Kept;
use crate::head::pins::Pins;
use crate::head::postings::HeadPostings;
use crate::head::registry::Registry;
use crate::head::select::{HeadIndex, LOOKS_PER_LOCK};
use crate::index::ids::IdList;
use crate::index::select;
use crate::model::{Labels, Matcher, MetricType, MetricTypes, SeriesId, SeriesRules, Tenant, TimeRange};
use crate::sync::RwLock;

/// Fixed cost of a series in the head, bytes, without its labels and samples: the series
/// itself (112), the counts and the rounding of its labels' allocation (32), its entries in
/// the registry (20 to 30) and in the postings (20, and 70 more for each pair that no other
/// series has). A million series of seven labels, four series to a pod, took 441 bytes of
/// resident memory each after a start, 124 of them labels and 127 samples: so 190.
const SERIES_BYTES: u64 = 240;

/// The number of pages of series that are searched for idle ones before writers may continue.
const PAGES_PER_LOCK: usize = 64;

/// The number of series that are looked up by id at once.
const SERIES_PER_PAGE: usize = 1024;

/// Number of series that are removed before readers get the lock.
const TAKEN_BACK_PER_LOCK: usize = 64;

/// The part of the memory for series that the series of a label set takes.
pub(crate) fn bytes_of(labels: &Labels) -> u64 {
    SERIES_BYTES + labels.as_bytes().len() as u64
}

/// A label set that the head does not have.
#[derive(Debug, Clone, Copy)]
pub struct Missing {
    hash: u32,
    /// The number of series in the head.
    pub count: usize,
}

/// The head.
#[derive(Debug)]
pub struct Head {
    registry: RwLock<Registry>,
    // Label sets come from the network, so the hash is keyed.
    hasher: RandomState,
    next_id: AtomicU64,
    sample_bytes: AtomicU64,
    /// The states that readers see.
    pub pins: Pins,
    /// Flushed samples that readers still need.
    pub kept: Kept,
    /// String fields not yet in the store.
    pub events: HeadEvents,
    /// Descriptions of metrics.
    pub metadata: HeadMetadata,
    /// Observations attached to series.
    pub exemplars: HeadExemplars,
    /// Databases that were created by name.
    pub databases: HeadDatabases,
    /// The tenants of the series, and the memory of their series.
    pub tenants: Tenants,
    /// Without a lock: each reader takes them, also one in a forked child, where a lock may never become free.
    rules: ArcSwap<SeriesRules>,
}

impl Head {
    /// Creates an empty head that assigns ids from `next_id` on and keeps up to `note_bytes` of exemplars and metadata.
    /// The tenant of a series is the value of the label `tenant_label`.
    pub fn new(next_id: u64, note_bytes: u64, tenant_label: &str) -> Self {
        Head {
            registry: RwLock::default(),
            hasher: RandomState::default(),
            next_id: AtomicU64::new(next_id),
            sample_bytes: AtomicU64::new(0),
            pins: Pins::default(),
            kept: Kept::default(),
            events: HeadEvents::default(),
            metadata: HeadMetadata::new(note_bytes / 2),
            exemplars: HeadExemplars::new(note_bytes / 2),
            databases: HeadDatabases::default(),
            tenants: Tenants::new(tenant_label),
            rules: ArcSwap::default(),
        }
    }

    /// What the ladders say of the samples of each series: here, in the store and in the tiers.
    pub(crate) fn rules(&self) -> Arc<SeriesRules> {
        self.rules.load_full()
    }

    /// Changes [`Head::rules`]. What has begun with other rules ends with them: a view, a flush or merge of a partition.
    pub(crate) fn set_rules(&self, rules: SeriesRules) {
        self.rules.store(Arc::new(rules));
    }

    /// No series here or in the store has this id or a larger one.
    pub fn next_id(&self) -> u64 {
        self.next_id.load(Ordering::Acquire)
    }

    /// The hash used to look up a label set.
    #[inline]
    fn hash(&self, labels: &Labels) -> u32 {
        self.hasher.hash_one(labels.as_bytes()) as u32
    }

    /// The series of a label set, if the head has it.
    pub fn find(&self, labels: &Labels) -> Option<Arc<HeadSeries>> {
        self.look_up(labels).ok()
    }

    /// The series of a label set.
    ///
    /// # Errors
    /// The head does not have it; the error is what [`Head::create`] needs.
    #[inline]
    pub fn look_up(&self, labels: &Labels) -> std::result::Result<Arc<HeadSeries>, Missing> {
        let hash = self.hash(labels);
        let registry = self.registry.read();
        match registry.find(hash, labels) {
            Some(series) => Ok(series.clone()),
            None => Err(Missing { hash, count: registry.len() }),
        }
    }

    /// Creates a series that was missing. Returns it, and whether it is new: another thread may have created it in the
    /// meantime. The caller has admitted it and counted it ([`Tenants::take`]).
    pub fn create(&self, labels: &Labels, missing: Missing) -> (Arc<HeadSeries>, bool) {
        let hash = missing.hash;
        let mut registry = self.registry.write();
        if let Some(series) = registry.find(hash, labels) {
            self.tenants.give([labels]);
            return (series.clone(), false);
        }
        // Ids are drawn under the lock, so postings see them in ascending order.
        let id = self.next_id.fetch_add(1, Ordering::AcqRel);
        let series = Arc::new(HeadSeries::new(SeriesId(id), labels.clone(), hash));
        registry.insert(series.clone());
        (series, true)
    }

    /// Removes those of `series` that were never written to. Returns their number. The caller excludes appends.
    pub fn take_back(&self, series: &[Arc<HeadSeries>]) -> usize {
        // Usually there are none, so no reader waits for this.
        let unused: Vec<_> = series.iter().filter(|series| series.is_unused()).collect();
        let mut taken = 0;
        for some in unused.chunks(TAKEN_BACK_PER_LOCK) {
            let mut registry = self.registry.write();
            // Readers find samples that are kept for them through the series.
            let is_free =
                |series: &&&Arc<HeadSeries>| !self.kept.holds(series.id) && series.evict_if_unused();
            for series in some.iter().filter(is_free) {
                registry.remove(series);
                self.tenants.give([&series.labels]);
                taken += 1;
            }
            if registry.postings.is_littered() {
                registry.sweep();
            }
        }
        taken
    }

    /// The series with an id, if the head has it.
    #[cfg(test)]
    pub fn find_id(&self, id: u64) -> Option<Arc<HeadSeries>> {
        self.registry.read().find_id(id).cloned()
    }

    /// The series of a label set, creating it if necessary.
    pub fn find_or_create(&self, labels: &Labels) -> Arc<HeadSeries> {
        self.look_up(labels).unwrap_or_else(|missing| {
            self.tenants.add(labels);
            self.create(labels, missing).0
        })
    }

    /// Defines a series with the id given in the WAL. Returns the series, and whether it is new. The id is adopted
    /// unless the head has the label set under another one. A new series cannot be selected until its postings are
    /// added to those returned by [`Head::take_postings`].
    pub fn define(&self, id: SeriesId, labels: &Labels) -> (Arc<HeadSeries>, bool) {
        self.next_id.fetch_max(id.0.saturating_add(1), Ordering::AcqRel);
        let hash = self.hash(labels);
        let mut registry = self.registry.write();
        if let Some(series) = registry.find(hash, labels) {
            return (series.clone(), false);
        }
        // No log that we wrote gives one id to two label sets.
        let is_free = registry.find_id(id.0).is_none();
        let id = if is_free { id } else { SeriesId(self.next_id.fetch_add(1, Ordering::AcqRel)) };
        let series = Arc::new(HeadSeries::new(id, labels.clone(), hash));
        self.tenants.add(labels);
        registry.insert_unposted(series.clone());
        (series, true)
    }

    /// Takes the postings; the caller returns them together with those of the series defined since.
    pub fn take_postings(&self) -> HeadPostings {
        std::mem::take(&mut self.registry.write().postings)
    }

    /// Returns the postings to the head.
    pub fn set_postings(&self, postings: HeadPostings) {
        self.registry.write().postings = postings;
    }

    /// Removes the series for which `evict` returns true; `keep_out` excludes appends for the lifetime of its value.
    /// That value and the registry's lock are held for some thousand series at a time, which bounds how long writers
    /// wait. Series with samples kept for readers stay, because readers find the samples through them.
    pub fn evict<G>(&self, mut evict: impl FnMut(&HeadSeries) -> bool, keep_out: impl Fn() -> G) -> usize {
        let mut evict = |series: &HeadSeries| !self.kept.holds(series.id) && evict(series);
        let (mut gone, mut page) = (RoaringTreemap::new(), Some(0));
        while let Some(from) = page {
            let mut dead = Vec::new();
            {
                let _appends = keep_out();
                page = self.registry.write().evict(from, PAGES_PER_LOCK, &mut evict, &mut dead);
            }
            self.tenants.give(dead.iter().map(|series| &series.labels));
            gone.extend(dead.iter().map(|series| series.id.0));
        }
        // Until they are removed here too, a query finds ids without a series, and skips them.
        let mut place = Some(0).filter(|_| !gone.is_empty());
        while let Some(from) = place {
            place = self.registry.write().postings.forget(&gone, from, LOOKS_PER_LOCK);
        }
        if !gone.is_empty() {
            self.registry.write().sweep();
        }
        gone.len() as usize
    }

    /// All series, ascending by id.
    pub fn all_series(&self) -> Vec<Arc<HeadSeries>> {
        self.registry.read().iter().cloned().collect()
    }

    /// The series that meet all matchers, ascending by id.
    ///
    /// # Errors
    /// `work` was stopped.
    pub fn select(&self, matchers: &[Matcher], work: &Work) -> Result<Vec<Arc<HeadSeries>>> {
        let mut ids = self.select_ids(matchers, work)?.into_iter();
        let (mut found, mut page) = (Vec::new(), Vec::new());
        while self.next_page(&mut ids, &mut page) {
            found.append(&mut page);
        }
        Ok(found)
    }

    /// The ids of the series that meet all matchers.
    ///
    /// # Errors
    /// `work` was stopped.
    pub fn select_ids(&self, matchers: &[Matcher], work: &Work) -> Result<RoaringTreemap> {
        select(&HeadIndex(&self.registry), matchers, work)
    }

    /// Replaces `page` by the series of the next ids, as many as are looked up at once. Returns false if no ids were
    /// left. Series that have left the head in the meantime are omitted.
    pub fn next_page(&self, ids: &mut impl Iterator<Item = u64>, page: &mut Vec<Arc<HeadSeries>>) -> bool {
        page.clear();
        let registry = self.registry.read();
        let mut any = false;
        for id in ids.take(SERIES_PER_PAGE) {
            any = true;
            page.extend(registry.find_id(id).cloned());
        }
        any
    }

    /// The number of series that have `name="value"`.
    pub fn series_count_of(&self, name: &str, value: &str) -> u64 {
        self.registry.read().postings.postings_len(name, value)
    }

    /// The first label whose name has at least `values_max` values that do not include this one.
    pub fn first_new_value<'l>(&self, labels: &'l Labels, values_max: u64) -> Option<(&'l str, &'l str)> {
        let registry = self.registry.read();
        labels.iter().find(|(name, value)| {
            registry.postings.value_count(name) as u64 >= values_max
                && registry.postings.postings_len(name, value) == 0
        })
    }

    /// The number of series in the head.
    pub fn series_count(&self) -> usize {
        self.registry.read().len()
    }

    /// All label names, sorted.
    pub fn label_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.registry.read().postings.names().map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    /// Appends to `page` up to `most` values of `name` from `from` on, in order, each with the number of its series.
    /// Returns where to continue, if there are more.
    pub fn counts(
        &self,
        name: &str,
        from: &[u8],
        most: usize,
        page: &mut Vec<(String, u64)>,
    ) -> Option<Vec<u8>> {
        self.registry.read().postings.counts(name, from, most, page)
    }

    /// Appends to `page` up to `most` values of `name` from `from` on, in order, each with its series. Returns where to
    /// continue, if there are more.
    pub fn page(
        &self,
        name: &str,
        from: &[u8],
        most: usize,
        page: &mut VecDeque<(String, IdList)>,
    ) -> Option<Vec<u8>> {
        self.registry.read().postings.page(name, from, most, page)
    }

    /// Counts memory taken by samples.
    pub fn add_sample_bytes(&self, bytes: u64) {
        self.sample_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Subtracts memory released by samples. It must never exceed what was counted, or appends would wait although
    /// there is memory.
    pub fn sub_sample_bytes(&self, bytes: u64) {
        let before = self.sample_bytes.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "{bytes} bytes released of {before}");
    }

    /// Deletes the samples, events and exemplars in `range` of the series that match all matchers, during the replay of
    /// the log.
    pub fn delete(&self, policy: ChunkPolicy, matchers: &[Matcher], range: TimeRange) {
        let (mut freed, mut grown) = (self.events.delete(matchers, range), 0);
        self.exemplars.delete(matchers, range);
        let found = self.select(matchers, &Work::unbounded());
        let rules = self.rules();
        for series in found.expect("work without bounds is never over") {
            let removed = series.delete(policy, &rules.duplicates, range);
            freed += u64::try_from(removed).unwrap_or(0);
            grown += u64::try_from(-removed).unwrap_or(0);
        }
        self.add_sample_bytes(grown);
        self.sub_sample_bytes(freed);
    }

    /// Bytes of samples and events, including those kept for readers.
    pub fn sample_bytes(&self) -> u64 {
        self.sample_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of samples and events that are not in the store.
    pub fn unflushed_bytes(&self) -> u64 {
        self.sample_bytes().saturating_sub(self.kept.bytes())
    }

    /// Bytes of series: labels, registry, postings.
    pub fn series_bytes(&self) -> u64 {
        self.tenants.bytes()
    }
}

impl MetricTypes for Head {
    fn stated(&self, labels: &Labels) -> Option<bool> {
        self.rules.load().counters.of(labels)
    }

    fn types_of(&self, labels: &Labels, family: &str) -> Vec<MetricType> {
        let label = self.tenants.label();
        let tenant = labels.get(label).and_then(|name| Tenant::new(label, name));
        self.metadata.types_of(tenant.as_ref(), family)
    }
}

#[cfg(test)]
mod tests;
