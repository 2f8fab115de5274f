//! Exemplars: the newest of each series, within a memory limit.
//!
//! All of them are in memory; a flush writes the series that changed. The exemplars with the oldest timestamps are
//! removed first: of one series beyond [`PER_SERIES_MAX`], and of all series beyond the memory limit. Which ones a
//! series keeps does not depend on the order of arrival, so replaying the log over the contents of the store restores
//! the same.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem::size_of;

use ahash::RandomState;

use crate::Result;
use crate::Timestamp;
use crate::budget::{Taken, Work};
use crate::model::matcher::{meets_all, meets_any};
use crate::model::{Exemplar, Labels, Matcher, TimeRange};
use crate::sync::Mutex;

/// Maximum number of exemplars of one series.
pub const PER_SERIES_MAX: usize = 128;
/// The number of series visited between two checks whether to stop.
const SERIES_PER_CHECK: usize = 1024;
/// Fixed cost of a series that has exemplars, bytes.
const SERIES_BYTES: u64 = 200;

/// A series and its exemplars, ascending by time.
pub type SeriesExemplars = (Labels, Vec<Exemplar>);

/// The exemplars of all series.
#[derive(Debug)]
pub struct HeadExemplars {
    bytes_max: u64,
    inner: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    // Label sets come from the network, so the hash is keyed.
    slots: HashMap<Labels, u64, RandomState>,
    series: HashMap<u64, SeriesExemplars, RandomState>,
    /// The first timestamp of each series and its slot.
    oldest: BTreeSet<(Timestamp, u64)>,
    next_slot: u64,
    bytes: u64,
    /// Series whose exemplars differ from those in the store.
    dirty: HashSet<Labels, RandomState>,
}

fn bytes_of(exemplar: &Exemplar) -> u64 {
    (size_of::<Exemplar>() + exemplar.labels.as_bytes().len()) as u64
}

fn bytes_of_series(labels: &Labels) -> u64 {
    SERIES_BYTES + labels.as_bytes().len() as u64
}

impl HeadExemplars {
    /// Creates it without exemplars, for at most `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> Self {
        HeadExemplars { bytes_max, inner: Mutex::default() }
    }

    /// Adds an exemplar. One with the same time and labels gets the new value.
    pub fn insert(&self, series: &Labels, exemplar: &Exemplar) {
        let mut lists = self.inner.lock();
        lists.insert(series, exemplar);
        lists.dirty.insert(series.clone());
        lists.shrink(self.bytes_max);
    }

    /// Adds exemplars that the store contains.
    pub fn adopt(&self, series: &Labels, exemplars: &[Exemplar]) {
        let mut lists = self.inner.lock();
        exemplars.iter().for_each(|exemplar| lists.insert(series, exemplar));
        lists.shrink(self.bytes_max);
    }

    /// Removes the exemplars in `range` of the series that match all matchers.
    pub fn delete(&self, matchers: &[Matcher], range: TimeRange) {
        let mut lists = self.inner.lock();
        let found: Vec<u64> = lists
            .series
            .iter()
            .filter(|(_, (labels, _))| meets_all(matchers, labels))
            .map(|(slot, _)| *slot)
            .collect();
        for slot in found {
            lists.remove_if(slot, |exemplar| range.contains(exemplar.timestamp.as_nanos()));
        }
    }

    /// Removes the exemplars at or before `horizon`.
    pub fn expire(&self, horizon: i64) {
        let (mut lists, horizon) = (self.inner.lock(), Timestamp::from_nanos(horizon));
        while let Some(&(_, slot)) = lists.oldest.first().filter(|(first, _)| *first <= horizon) {
            lists.remove_if(slot, |exemplar| exemplar.timestamp <= horizon);
        }
    }

    /// Copies of the exemplars in `range` of the series that match all matchers of any selector, ascending by labels.
    /// Series without exemplars are omitted. The memory of the result stays taken from `work`.
    ///
    /// # Errors
    /// `work` has no memory left for it, or was stopped.
    pub fn select(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        work: &Work,
    ) -> Result<Vec<SeriesExemplars>> {
        let (lists, taken) = (self.inner.lock(), Taken::of(work));
        let mut found: Vec<SeriesExemplars> = Vec::new();
        for (at, (labels, list)) in lists.series.values().enumerate() {
            if at.is_multiple_of(SERIES_PER_CHECK) {
                work.check()?;
            }
            let inside = || list.iter().filter(|e| range.contains(e.timestamp.as_nanos()));
            let bytes: u64 = inside().map(bytes_of).sum();
            if bytes > 0 && meets_any(selectors, labels) {
                taken.more(bytes as usize + labels.memory_bytes() + size_of::<SeriesExemplars>())?;
                found.push((labels.clone(), inside().cloned().collect()));
            }
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        taken.leave();
        Ok(found)
    }

    /// The series that a flush must write, in their current state; one with an empty list must be removed. They count
    /// as written; [`HeadExemplars::mark_dirty`] undoes that.
    pub fn take_dirty(&self) -> Vec<SeriesExemplars> {
        let mut lists = self.inner.lock();
        let dirty = std::mem::take(&mut lists.dirty);
        let current = |labels: &Labels| {
            lists.slots.get(labels).and_then(|slot| lists.series.get(slot)).map(|(_, list)| list.clone())
        };
        dirty.into_iter().map(|labels| (labels.clone(), current(&labels).unwrap_or_default())).collect()
    }

    /// Marks series that did not reach the store.
    pub fn mark_dirty(&self, series: impl IntoIterator<Item = Labels>) {
        self.inner.lock().dirty.extend(series);
    }

    /// The memory of all exemplars, bytes.
    pub fn bytes(&self) -> u64 {
        self.inner.lock().bytes
    }
}

impl Lists {
    fn insert(&mut self, labels: &Labels, exemplar: &Exemplar) {
        let slot = match self.slots.get(labels) {
            Some(slot) => *slot,
            None => self.add_series(labels),
        };
        let Some((_, list)) = self.series.get_mut(&slot) else { return };
        let first_before = list.first().map(|e| e.timestamp);
        let place = list.binary_search_by(|e| {
            e.timestamp.cmp(&exemplar.timestamp).then_with(|| e.labels.cmp(&exemplar.labels))
        });
        match place {
            Ok(at) => list[at].value = exemplar.value,
            Err(at) => {
                self.bytes += bytes_of(exemplar);
                list.insert(at, exemplar.clone());
                if list.len() > PER_SERIES_MAX {
                    self.bytes -= bytes_of(&list.remove(0));
                }
            }
        }
        self.reindex(slot, first_before);
    }

    fn add_series(&mut self, labels: &Labels) -> u64 {
        let slot = self.next_slot;
        self.next_slot += 1;
        self.bytes += bytes_of_series(labels);
        self.slots.insert(labels.clone(), slot);
        self.series.insert(slot, (labels.clone(), Vec::new()));
        slot
    }

    /// Updates the position of a series whose list changed, and removes the series if its list is empty.
    fn reindex(&mut self, slot: u64, first_before: Option<Timestamp>) {
        let Some((labels, list)) = self.series.get(&slot) else { return };
        let first = list.first().map(|e| e.timestamp);
        if first == first_before && first.is_some() {
            return;
        }
        if let Some(before) = first_before {
            self.oldest.remove(&(before, slot));
        }
        match first {
            Some(first) => {
                self.oldest.insert((first, slot));
            }
            None => {
                self.bytes -= bytes_of_series(labels);
                self.slots.remove(labels);
                self.series.remove(&slot);
            }
        }
    }

    fn remove_if(&mut self, slot: u64, goes: impl Fn(&Exemplar) -> bool) {
        let Some((labels, list)) = self.series.get_mut(&slot) else { return };
        let (first_before, length) = (list.first().map(|e| e.timestamp), list.len());
        let mut freed = 0;
        list.retain(|exemplar| {
            let stays = !goes(exemplar);
            freed += if stays { 0 } else { bytes_of(exemplar) };
            stays
        });
        if list.len() < length {
            let labels = labels.clone();
            self.dirty.insert(labels);
            self.bytes -= freed;
            self.reindex(slot, first_before);
        }
    }

    /// Removes the oldest until all fit.
    fn shrink(&mut self, bytes_max: u64) {
        while self.bytes > bytes_max {
            let Some(&(first, slot)) = self.oldest.first() else { return };
            self.remove_if(slot, |exemplar| exemplar.timestamp == first);
        }
    }
}

#[cfg(test)]
mod tests;
