//! String fields that are not yet in the store.

use std::sync::Arc;

use crate::model::matcher::meets_all;
use crate::model::{Labels, Matcher, TimeRange};
use crate::sync::Mutex;

/// A string field: text at an instant, with the labels of its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The labels, including `__name__` (measurement and field).
    pub labels: Labels,
    /// When.
    pub timestamp: crate::Timestamp,
    /// The text.
    pub text: String,
}

impl Event {
    /// Its memory, bytes.
    pub fn memory_bytes(&self) -> u64 {
        (std::mem::size_of::<Written>() + self.labels.as_bytes().len() + self.text.len()) as u64
    }
}

/// Number of events in a segment, the unit that readers share with the head.
const SEGMENT_EVENTS: usize = 1024;

/// An event and the WAL sequence of its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The sequence.
    pub seq: u64,
    /// The event.
    pub event: Event,
}

/// Consecutive events. Readers hold them while the head continues.
pub type Segment = Arc<Vec<Written>>;

/// Events in arrival order: those that a flush is writing, and later ones.
#[derive(Debug, Default)]
pub struct HeadEvents {
    inner: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    frozen: Vec<Segment>,
    active: Vec<Segment>,
    /// The latest events; moved to `active` when there are enough or a reader needs them.
    newest: Vec<Written>,
}

/// A reference to an event that is frozen for a flush.
#[derive(Debug, Clone)]
pub struct FrozenEvent {
    segment: Segment,
    at: u32,
}

impl FrozenEvent {
    /// The event.
    pub fn event(&self) -> &Event {
        &self.segment[self.at as usize].event
    }

    /// The WAL sequence of its batch.
    pub fn seq(&self) -> u64 {
        self.segment[self.at as usize].seq
    }
}

impl Lists {
    fn close(&mut self) {
        if !self.newest.is_empty() {
            self.active.push(Arc::new(std::mem::take(&mut self.newest)));
        }
    }
}

impl HeadEvents {
    /// Adds an event of the batch `seq`.
    pub fn push(&self, seq: u64, event: Event) {
        let mut lists = self.inner.lock();
        lists.newest.push(Written { seq, event });
        if lists.newest.len() >= SEGMENT_EVENTS {
            lists.close();
        }
    }

    /// Freezes all events so far for a flush.
    pub fn freeze(&self) {
        let mut lists = self.inner.lock();
        lists.close();
        let mut active = std::mem::take(&mut lists.active);
        lists.frozen.append(&mut active);
    }

    /// The frozen events, in arrival order.
    pub fn frozen_segments(&self) -> Vec<Segment> {
        self.inner.lock().frozen.clone()
    }

    /// References to the frozen events, sorted by time; those of equal time in arrival order. Nothing is copied.
    pub fn frozen(&self) -> Vec<FrozenEvent> {
        let segments = self.frozen_segments();
        let of_segment = |segment: &Segment| {
            let segment = segment.clone();
            (0..segment.len() as u32).map(move |at| FrozenEvent { segment: segment.clone(), at })
        };
        let mut frozen: Vec<FrozenEvent> = segments.iter().flat_map(of_segment).collect();
        frozen.sort_by_key(|frozen| frozen.event().timestamp);
        frozen
    }

    /// Removes the events that a flush has written.
    pub fn drop_flushed(&self) {
        self.inner.lock().frozen = Vec::new();
    }

    /// Removes events that are not frozen for a flush. Returns their bytes.
    pub fn delete(&self, matchers: &[Matcher], range: TimeRange) -> u64 {
        let goes = |e: &Event| range.contains(e.timestamp.as_nanos()) && meets_all(matchers, &e.labels);
        let mut bytes = 0;
        let mut lists = self.inner.lock();
        lists.close();
        for segment in &mut lists.active {
            let events = segment.iter().map(|written| &written.event);
            let freed: u64 = events.filter(|e| goes(e)).map(Event::memory_bytes).sum();
            if freed > 0 {
                *segment = Arc::new(segment.iter().filter(|w| !goes(&w.event)).cloned().collect());
                bytes += freed;
            }
        }
        lists.active.retain(|segment| !segment.is_empty());
        bytes
    }

    /// All current events in arrival order; they are shared, not copied.
    pub fn snapshot(&self) -> Vec<Segment> {
        let mut lists = self.inner.lock();
        lists.close();
        lists.frozen.iter().chain(&lists.active).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: i64) -> Event {
        let labels = Labels::from_pairs([("__name__", "log")]).unwrap();
        Event { labels, timestamp: crate::Timestamp::from_nanos(number), text: format!("event {number}") }
    }

    fn times(segments: &[Segment]) -> Vec<i64> {
        segments.iter().flat_map(|segment| segment.iter().map(|w| w.event.timestamp.as_nanos())).collect()
    }

    #[test]
    fn a_snapshot_stays_as_it_was() {
        let events = HeadEvents::default();
        let count = SEGMENT_EVENTS as i64 + 10;
        (0..count).for_each(|number| events.push(1, event(number)));
        let before = events.snapshot();
        assert_eq!(times(&before), (0..count).collect::<Vec<_>>());
        let freed = events.delete(&[], TimeRange::inclusive(5, count));
        assert_eq!(freed, (5..count).map(|number| event(number).memory_bytes()).sum::<u64>());
        events.push(2, event(-1));
        assert_eq!(times(&before).len(), count as usize, "what a reader holds");
        events.freeze();
        events.push(3, event(-2));
        assert_eq!(times(&events.snapshot()), [0, 1, 2, 3, 4, -1, -2]);
        let frozen = events.frozen();
        let frozen: Vec<_> = frozen.iter().map(|e| (e.event().timestamp.as_nanos(), e.seq())).collect();
        assert_eq!(frozen, [(-1, 2), (0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]);
        events.drop_flushed();
        assert_eq!(times(&events.snapshot()), [-2]);
    }
}
