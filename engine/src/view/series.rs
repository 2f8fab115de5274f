//! One selected series, and its newest sample before a range.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::Result;
use crate::budget::Taken;
use crate::index::{PostingsSource, select};
use crate::model::{Labels, Matcher, PartitionId, SeriesId, TimeRange, Timestamp, Value};
use crate::store::catalogue::Catalogue;
use crate::store::generation::GenerationReader;
use crate::view::{HeadPart, PartitionSeries, View};

/// How far back the sample before an instant is searched for, nanoseconds, smallest first. Most series have one within
/// minutes, in a chunk that is read anyway.
const BEFORE_NS: [i64; 3] = [600 * 1_000_000_000, 4 * 3_600 * 1_000_000_000, i64::MAX];

/// A selected series: its data in the head, and its location in the store.
pub struct ViewSeries {
    /// Its identity.
    pub labels: Labels,
    /// Its rank in the selection's order of labels.
    pub rank: u32,
    pub(super) head: HeadPart,
    pub(super) catalogue: Arc<Catalogue>,
    /// Ascending by partition.
    pub(super) ids: SmallVec<[PartitionSeries; 1]>,
}

impl ViewSeries {
    pub(super) fn new(labels: Labels, catalogue: Arc<Catalogue>) -> Self {
        ViewSeries { labels, rank: 0, head: HeadPart::Nothing, catalogue, ids: SmallVec::new() }
    }

    /// Its position in the store: series that are close together there have close positions.
    pub fn place(&self) -> u64 {
        self.ids.first().map_or(0, |id| id.1.0)
    }

    /// Its ids in the store.
    pub(super) fn ids(&self) -> impl Iterator<Item = SeriesId> {
        self.ids.iter().map(|id| id.1)
    }

    /// The same series with other places in the store.
    pub(super) fn with_ids(&self, ids: SmallVec<[PartitionSeries; 1]>) -> Self {
        ViewSeries {
            labels: self.labels.clone(),
            rank: self.rank,
            head: self.head.clone(),
            catalogue: self.catalogue.clone(),
            ids,
        }
    }

    /// Adds the information of another entry with the same labels.
    pub(super) fn join(&mut self, other: &mut ViewSeries) {
        if matches!(self.head, HeadPart::Nothing) {
            self.head = std::mem::replace(&mut other.head, HeadPart::Nothing);
        }
        self.ids.extend(other.ids.drain(..));
        self.ids.sort_unstable();
        self.ids.dedup();
    }

    /// The memory of its list of ids, if that is on the heap, bytes.
    pub(super) fn spilled_bytes(&self) -> usize {
        let spilled = if self.ids.spilled() { self.ids.capacity() } else { 0 };
        spilled * size_of::<PartitionSeries>()
    }

    /// Adds an id. Partitions must ascend.
    pub(super) fn add_id(&mut self, partition: PartitionId, id: SeriesId) {
        let mut same_partition = self.ids.iter().rev().take_while(|known| known.0 == partition);
        if !same_partition.any(|known| known.1 == id) {
            self.ids.push((partition, id));
        }
    }
}

impl View<'_> {
    /// The value of the newest sample at or before `at`. The search covers memory, the partitions in which the series
    /// was selected, and the one before them. For a series without samples for longer than that, the result is `None`.
    ///
    /// # Errors
    /// A chunk is damaged, or the store could not be read.
    pub fn newest_before(&self, series: &ViewSeries, at: Timestamp) -> Result<Option<Value>> {
        let _call = self.enter()?;
        let newest = |ids: &[PartitionSeries], back_ns: i64| -> Result<Option<Value>> {
            self.work.check()?;
            let held = Taken::of(&self.work);
            let range = TimeRange::new(at.saturating_sub(back_ns), at);
            let around = ViewSeries {
                labels: series.labels.clone(),
                rank: series.rank,
                head: match self.head.find(&series.labels) {
                    Some(series) => self.copy(&series, range, &held)?,
                    None => HeadPart::Nothing,
                },
                catalogue: series.catalogue.clone(),
                ids: ids.into(),
            };
            let run = self.read(&around, range)?;
            Ok(run.len().checked_sub(1).map(|last| run.value_at(last)))
        };
        for back_ns in BEFORE_NS {
            if let Some(found) = newest(&series.ids, back_ns)? {
                return Ok(Some(found));
            }
        }
        let here = series.catalogue.layout().raw(at);
        let is_known = |partition: PartitionId| series.ids.iter().any(|s| s.0 == partition);
        let generations = &series.catalogue.generations;
        let mut before = generations.last_until(here).map(|p| p.id);
        while let Some(partition) = before.filter(|p| is_known(*p)) {
            let until = partition.previous();
            before = until.and_then(|until| generations.last_until(until)).map(|p| p.id);
        }
        match before {
            Some(partition) => {
                let ids = self.without_damage(|| self.ids_in(series, partition))?;
                newest(&ids, i64::MAX)
            }
            None => Ok(None),
        }
    }

    /// The ids of the series in a partition in which it was not selected.
    pub(super) fn ids_in(&self, series: &ViewSeries, partition: PartitionId) -> Result<Vec<PartitionSeries>> {
        let (first, last) = series.catalogue.layout().bounds(partition);
        self.note_gaps(&series.catalogue, partition.tier, TimeRange::inclusive(first, last))?;
        let matchers: Vec<Matcher> = series.labels.iter().map(|(n, v)| Matcher::equal(n, v)).collect();
        let mut ids = Vec::new();
        let generations = series.catalogue.generations.in_partition(partition);
        for generation in generations.iter().filter(|generation| !self.is_lost(generation.prefix)) {
            let reader = GenerationReader::new(self.kv, generation);
            for id in select(&reader, &matchers, &self.work)? {
                if reader.labels(id)?.is_some_and(|labels| labels == series.labels) {
                    ids.push((partition, SeriesId(id)));
                }
            }
        }
        Ok(ids)
    }
}
