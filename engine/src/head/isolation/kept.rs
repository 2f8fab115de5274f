//! Epochs that are in the store, and that readers from before their flush still read from memory.
//!
//! The catalogue of a reader is as old as its pin. It lacks the samples flushed since, and the generations that contain
//! them also contain later ones. Such samples stay in memory until these readers are dropped. Their memory is part of
//! that of unflushed samples and bounded: if it would exceed the bound, readers end with an error, those of the oldest
//! epoch first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::pins::Pin;
use crate::head::events::Segment;
use crate::head::series::Frozen;
use crate::head::{Head, HeadSeries};
use crate::model::SeriesId;
use crate::sync::RwLock;

/// How long a flush waits for the readers of all epochs together before it expires them. During that time the epoch
/// that it has written stays in memory, and writers may wait for that memory.
const PATIENCE: Duration = Duration::from_secs(2);

/// An epoch that a flush has written.
#[derive(Debug)]
pub struct Ended {
    /// The sequence before its first sample.
    pub base: u64,
    /// The sequence at which the epoch ended.
    pub cut: u64,
    /// Bytes of its samples and events.
    pub bytes: u64,
}

#[derive(Debug)]
struct KeptEpoch {
    ended: Ended,
    /// Ascending by id.
    series: Vec<(SeriesId, Arc<Frozen>)>,
    events: Vec<Segment>,
}

/// The kept epochs, oldest first.
#[derive(Debug, Default)]
pub struct Kept {
    epochs: RwLock<Vec<KeptEpoch>>,
    /// The number of epochs. Usually zero, and readers check it for each series.
    count: AtomicUsize,
}

impl Kept {
    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    fn change(&self, change: impl FnOnce(&mut Vec<KeptEpoch>)) {
        let mut epochs = self.epochs.write();
        change(&mut epochs);
        self.count.store(epochs.len(), Ordering::Release);
    }

    /// Bytes of samples and events.
    pub fn bytes(&self) -> u64 {
        self.epochs.read().iter().map(|epoch| epoch.ended.bytes).sum()
    }

    /// Calls `visit` with the samples of a series that a reader needs, oldest first.
    pub fn of_series(&self, id: SeriesId, pin: &Pin<'_>, mut visit: impl FnMut(&Arc<Frozen>)) {
        if self.is_empty() {
            return;
        }
        let epochs = self.epochs.read();
        for epoch in epochs.iter().filter(|epoch| pin.needs(epoch.ended.cut)) {
            if let Ok(at) = epoch.series.binary_search_by_key(&id, |(id, _)| *id) {
                visit(&epoch.series[at].1);
            }
        }
    }

    /// Whether samples of a series are kept.
    pub fn holds(&self, id: SeriesId) -> bool {
        let is_in = |epoch: &KeptEpoch| epoch.series.binary_search_by_key(&id, |(id, _)| *id).is_ok();
        !self.is_empty() && self.epochs.read().iter().any(is_in)
    }

    /// The events of all epochs, in arrival order.
    pub fn events(&self) -> Vec<Segment> {
        self.epochs.read().iter().flat_map(|epoch| epoch.events.iter().cloned()).collect()
    }
}

impl Head {
    /// Whether samples are kept that a flush has written.
    pub fn keeps(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Removes what a flush of `series` has written; samples that readers still need are kept, up to `bytes_max` in
    /// total. Readers that begin later do not need them.
    pub fn end_epoch(&self, ended: Ended, series: &[Arc<HeadSeries>], bytes_max: u64) {
        self.release();
        let is_kept = self.pins.needs(ended.base, ended.cut) && self.make_room(&ended, bytes_max);
        if is_kept {
            let frozen = series.iter().filter_map(|series| Some((series.id, series.frozen()?)));
            let (series, events) = (frozen.collect(), self.events.frozen_segments());
            self.kept.change(|epochs| epochs.push(KeptEpoch { ended, series, events }));
        } else {
            self.sub_sample_bytes(ended.bytes);
        }
        series.iter().for_each(|series| series.drop_flushed());
        self.events.drop_flushed();
    }

    /// Frees memory for an epoch to be kept; returns false if no reader needs it any more.
    fn make_room(&self, ended: &Ended, bytes_max: u64) -> bool {
        let until = Instant::now() + PATIENCE;
        while self.kept.bytes() + ended.bytes > bytes_max {
            let oldest = self.kept.epochs.read().first().map(|epoch| (epoch.ended.base, epoch.ended.cut));
            let (base, cut) = oldest.unwrap_or((ended.base, ended.cut));
            if self.pins.wait_for_readers(base, cut, until) {
                let readers = self.pins.expire(base, cut);
                tracing::warn!(
                    readers,
                    "reads ended early: memory can hold no more of the samples flushed since they began"
                );
            }
            self.release();
            if oldest.is_none() {
                return false;
            }
        }
        self.pins.needs(ended.base, ended.cut)
    }

    /// Releases the memory of epochs that no reader needs any more.
    pub fn release(&self) {
        if self.kept.is_empty() {
            return;
        }
        let is_over = |epoch: &mut KeptEpoch| !self.pins.needs(epoch.ended.base, epoch.ended.cut);
        let mut over = Vec::new();
        self.kept.change(|epochs| over.extend(epochs.extract_if(.., is_over)));
        let bytes = over.iter().map(|epoch| epoch.ended.bytes).sum();
        self.sub_sample_bytes(bytes);
    }
}
