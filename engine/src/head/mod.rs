//! The head: the newest samples, in memory.
//!
//! It maps label sets to series, and holds what is not yet in the store. It does no I/O;
//! the WAL makes it durable and a flush empties it.
//!
//! # Concurrency
//! Appends, deletes, freezing and retiring of series are serialised by the engine's commit
//! lock. Readers come at any time: the registry is behind a read-write lock, each series
//! behind a small lock of its own. Lock order: commit, registry, series.

pub mod batch;
pub mod events;
pub mod exemplars;
mod handle;
pub mod metadata;
pub mod postings;
pub mod record;
pub mod series;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use parking_lot::RwLock;
use roaring::RoaringTreemap;

pub use batch::{Batch, Resolved, SeriesGroup};
pub use events::{Event, HeadEvents};
pub use exemplars::{HeadExemplars, SeriesExemplars};
pub(crate) use handle::Owner;
pub use handle::SeriesHandle;
pub use metadata::HeadMetadata;
pub use series::{Cutting, Epoch, HeadCopy, HeadSeries, Unflushed};

use crate::Result;
use crate::head::postings::HeadPostings;
use crate::index::{PostingsSource, select};
use crate::model::{Labels, Matcher, SeriesId, TimeRange};

/// Fixed cost of a series in the head, bytes, beside its labels and samples: the series
/// itself, its entries in the registry and in the postings.
const SERIES_BYTES: u64 = 500;

/// The head.
#[derive(Debug)]
pub struct Head {
    registry: RwLock<Registry>,
    next_id: AtomicU64,
    sample_bytes: AtomicU64,
    series_bytes: AtomicU64,
    frozen_cut: AtomicU64,
    /// String fields not yet in the store.
    pub events: HeadEvents,
    /// What metrics are.
    pub metadata: HeadMetadata,
    /// Observations attached to series.
    pub exemplars: HeadExemplars,
}

#[derive(Debug, Default)]
struct Registry {
    // Label sets come from the network: the hash is keyed.
    by_labels: HashMap<Labels, Arc<HeadSeries>, RandomState>,
    by_id: HashMap<u64, Arc<HeadSeries>, RandomState>,
    postings: HeadPostings,
}

impl Head {
    /// An empty head that gives out ids from `next_id` on and keeps `exemplar_bytes` of
    /// exemplars.
    pub fn new(next_id: u64, exemplar_bytes: u64) -> Self {
        Head {
            registry: RwLock::default(),
            next_id: AtomicU64::new(next_id),
            sample_bytes: AtomicU64::new(0),
            series_bytes: AtomicU64::new(0),
            frozen_cut: AtomicU64::new(0),
            events: HeadEvents::default(),
            metadata: HeadMetadata::default(),
            exemplars: HeadExemplars::new(exemplar_bytes),
        }
    }

    /// No series here or in the store has this id or a larger one.
    pub fn next_id(&self) -> u64 {
        self.next_id.load(Ordering::Acquire)
    }

    /// The series of a label set, if the head has it.
    pub fn find(&self, labels: &Labels) -> Option<Arc<HeadSeries>> {
        self.registry.read().by_labels.get(labels).cloned()
    }

    /// The series with an id, if the head has it.
    pub fn find_id(&self, id: u64) -> Option<Arc<HeadSeries>> {
        self.registry.read().by_id.get(&id).cloned()
    }

    /// The series of a label set; a new one if the head has none.
    pub fn find_or_create(&self, labels: &Labels) -> Arc<HeadSeries> {
        if let Some(series) = self.find(labels) {
            return series;
        }
        let mut registry = self.registry.write();
        if let Some(series) = registry.by_labels.get(labels) {
            return series.clone();
        }
        // Ids are drawn under the lock, so postings see them in ascending order.
        let id = self.next_id.fetch_add(1, Ordering::AcqRel);
        self.register(&mut registry, SeriesId(id), labels)
    }

    /// A series that the WAL defines with its id. The id is taken over unless the head has
    /// the label set under another one.
    pub fn define(&self, id: SeriesId, labels: &Labels) -> Arc<HeadSeries> {
        self.next_id.fetch_max(id.0 + 1, Ordering::AcqRel);
        let mut registry = self.registry.write();
        if let Some(series) = registry.by_labels.get(labels) {
            return series.clone();
        }
        self.register(&mut registry, id, labels)
    }

    fn register(&self, registry: &mut Registry, id: SeriesId, labels: &Labels) -> Arc<HeadSeries> {
        let series = Arc::new(HeadSeries::new(id, labels.clone()));
        registry.by_labels.insert(labels.clone(), series.clone());
        registry.by_id.insert(id.0, series.clone());
        registry.postings.insert(id, labels);
        self.series_bytes.fetch_add(SERIES_BYTES + labels.as_bytes().len() as u64, Ordering::Relaxed);
        series
    }

    /// Takes series out that `retire` agrees to; the caller keeps appends out meanwhile.
    pub fn retire(&self, mut retire: impl FnMut(&HeadSeries) -> bool) -> usize {
        let mut registry = self.registry.write();
        let mut dead: Vec<(u64, Labels)> = Vec::new();
        for series in registry.by_labels.values() {
            if retire(series) {
                dead.push((series.id.0, series.labels.clone()));
            }
        }
        if dead.is_empty() {
            return 0;
        }
        let mut bytes = 0;
        for (id, labels) in &dead {
            registry.by_labels.remove(labels);
            registry.by_id.remove(id);
            bytes += SERIES_BYTES + labels.as_bytes().len() as u64;
        }
        let mut ids: Vec<u64> = dead.iter().map(|d| d.0).collect();
        ids.sort_unstable();
        registry.postings.remove(&ids);
        registry.by_labels.shrink_to_fit();
        registry.by_id.shrink_to_fit();
        self.series_bytes.fetch_sub(bytes, Ordering::Relaxed);
        dead.len()
    }

    /// All series, ascending by id.
    pub fn all_series(&self) -> Vec<Arc<HeadSeries>> {
        let mut all: Vec<Arc<HeadSeries>> = self.registry.read().by_id.values().cloned().collect();
        all.sort_unstable_by_key(|s| s.id);
        all
    }

    /// The series that meet all matchers, ascending by id.
    ///
    /// # Errors
    /// None; the signature is that of every postings source.
    pub fn select(&self, matchers: &[Matcher]) -> Result<Vec<Arc<HeadSeries>>> {
        let registry = self.registry.read();
        let ids = select(&*registry, matchers)?;
        Ok(ids.iter().filter_map(|id| registry.by_id.get(&id).cloned()).collect())
    }

    /// How many series the head has.
    pub fn series_count(&self) -> usize {
        self.registry.read().by_id.len()
    }

    /// All label names, sorted.
    pub fn label_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.registry.read().postings.names().map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    /// All values of a label and how many series each has, sorted.
    pub fn label_values(&self, name: &str) -> Vec<(String, u64)> {
        self.registry.read().postings.values(name).map(|(v, n)| (v.to_owned(), n as u64)).collect()
    }

    /// The cut of what a flush is working on.
    pub fn frozen_cut(&self) -> u64 {
        self.frozen_cut.load(Ordering::Acquire)
    }

    /// Says at which cut a flush begins.
    pub fn set_frozen_cut(&self, cut: u64) {
        self.frozen_cut.store(cut, Ordering::Release);
    }

    /// Counts memory that samples took.
    pub fn add_sample_bytes(&self, bytes: u64) {
        self.sample_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts memory that samples gave back: never more than was counted before, or appends
    /// would wait for room that is there.
    pub fn sub_sample_bytes(&self, bytes: u64) {
        let before = self.sample_bytes.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "{bytes} bytes given back of {before}");
    }

    /// Deletes the samples and events that are not set apart for a flush, and the exemplars, in
    /// `range`, of the series that meet all matchers; returns how many samples. The caller keeps appends out
    /// meanwhile.
    ///
    /// # Errors
    /// None; see [`Head::select`].
    pub fn delete(
        &self,
        epoch: Epoch,
        cutting: Cutting,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<u64> {
        let (mut samples, mut grown) = (0, 0);
        let mut freed = self.events.delete(matchers, range);
        self.exemplars.delete(matchers, range);
        for series in self.select(matchers)? {
            let removed = series.delete(epoch, cutting, range);
            samples += removed.samples as u64;
            freed += u64::try_from(removed.bytes).unwrap_or(0);
            grown += u64::try_from(-removed.bytes).unwrap_or(0);
        }
        self.add_sample_bytes(grown);
        self.sub_sample_bytes(freed);
        Ok(samples)
    }

    /// Bytes of samples and events.
    pub fn sample_bytes(&self) -> u64 {
        self.sample_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of series: labels, registry, postings.
    pub fn series_bytes(&self) -> u64 {
        self.series_bytes.load(Ordering::Relaxed)
    }
}

impl PostingsSource for Registry {
    fn postings(&self, name: &str, value: &str) -> Result<RoaringTreemap> {
        Ok(self.postings.postings(name, value))
    }

    fn union_where(
        &self,
        name: &str,
        prefix: &str,
        accept: &mut dyn FnMut(&str) -> bool,
        into: &mut RoaringTreemap,
    ) -> Result<()> {
        self.postings.union_where(name, prefix, accept, into);
        Ok(())
    }

    fn all(&self) -> Result<RoaringTreemap> {
        Ok(self.postings.all())
    }

    fn value_count_hint(&self, name: &str) -> usize {
        self.postings.value_count(name)
    }

    fn labels(&self, id: u64) -> Result<Option<Labels>> {
        Ok(self.by_id.get(&id).map(|s| s.labels.clone()))
    }
}
