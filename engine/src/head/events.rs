//! String fields that are not yet in the store.

use parking_lot::Mutex;

use crate::model::{Labels, Matcher, TimeRange, Timestamp};

/// A string field: text at an instant, with the labels of its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The labels, `__name__` (measurement and field) among them.
    pub labels: Labels,
    /// Nanoseconds.
    pub timestamp: Timestamp,
    /// The text.
    pub text: String,
}

impl Event {
    /// Its share of memory, bytes.
    pub fn memory_bytes(&self) -> u64 {
        (std::mem::size_of::<Event>() + self.labels.as_bytes().len() + self.text.len()) as u64
    }
}

/// Events in arrival order: what a flush works on, and what came since.
#[derive(Debug, Default)]
pub struct HeadEvents {
    inner: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    /// The cut of `frozen`.
    cut: u64,
    frozen: Vec<Event>,
    active: Vec<Event>,
}

impl HeadEvents {
    /// Adds an event.
    pub fn push(&self, event: Event) {
        self.inner.lock().active.push(event);
    }

    /// Sets everything up to now, which is up to the sequence `cut`, apart for a flush.
    pub fn freeze(&self, cut: u64) {
        let mut lists = self.inner.lock();
        lists.cut = cut;
        let active = std::mem::take(&mut lists.active);
        lists.frozen.extend(active);
    }

    /// A copy of what is set apart, sorted by time; of one time in arrival order.
    pub fn frozen(&self) -> Vec<Event> {
        let mut frozen = self.inner.lock().frozen.clone();
        frozen.sort_by_key(|e| e.timestamp);
        frozen
    }

    /// Forgets what a flush has written.
    pub fn thaw(&self) {
        self.inner.lock().frozen = Vec::new();
    }

    /// Removes events that have not been set apart for a flush; returns their bytes.
    pub fn delete(&self, matchers: &[Matcher], range: TimeRange) -> u64 {
        let mut bytes = 0;
        self.inner.lock().active.retain(|e| {
            let goes = range.contains(e.timestamp) && matchers.iter().all(|m| m.matches_labels(&e.labels));
            if goes {
                bytes += e.memory_bytes();
            }
            !goes
        });
        bytes
    }

    /// Copies of the events in `range` that meet all matchers: frozen ones with their cut, then active ones.
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> (Vec<Event>, u64, Vec<Event>) {
        let wanted =
            |e: &&Event| range.contains(e.timestamp) && matchers.iter().all(|m| m.matches_labels(&e.labels));
        let lists = self.inner.lock();
        (
            lists.frozen.iter().filter(wanted).cloned().collect(),
            lists.cut,
            lists.active.iter().filter(wanted).cloned().collect(),
        )
    }
}
