//! Events in order of time, one at a time.
//!
//! Partitions do not overlap, so the generations of one partition are merged at a time, together with the events of the
//! head up to the partition's end. All events of one instant are collected, so that of two with the same labels the one
//! written later is visible. Nothing else is held in memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::View;
use crate::Result;
use crate::budget::Taken;
use crate::head::{Event, Segment, Written};
use crate::model::matcher::meets_any;
use crate::model::{Labels, Matcher, TierId, TimeRange, Timestamp};
use crate::store::catalogue::{Generation, Tombstone};
use crate::store::generation::GenerationReader;
use crate::store::iterators::StoredEvents;
use crate::store::keys::Prefix;

/// The number of events visited between two checks whether to stop.
const EVENTS_PER_CHECK: usize = 256;

/// The matching events of one generation.
struct Side<'a, 'q, 'e> {
    events: StoredEvents<'a>,
    hiding: Vec<&'q Tombstone>,
    selectors: &'q [Vec<Matcher>],
    view: &'q View<'e>,
    prefix: Prefix,
    range: TimeRange,
    next: Option<Event>,
}

impl Side<'_, '_, '_> {
    /// Moves to the next event. A side with damage ends if the view leaves out damage.
    fn advance(&mut self) -> Result<()> {
        let moved = self.next_wanted();
        moved.or_else(|error| {
            self.next = None;
            self.view.gives_up(self.prefix, self.range, error)
        })
    }

    fn next_wanted(&mut self) -> Result<()> {
        for looked in 0_usize.. {
            if looked.is_multiple_of(EVENTS_PER_CHECK) {
                self.view.work.check()?;
            }
            let next = self.events.next()?;
            self.next = next.map(|(timestamp, labels, text)| Event {
                labels,
                timestamp: crate::Timestamp::from_nanos(timestamp),
                text,
            });
            let Some(event) = &self.next else { break };
            let is_hidden = self
                .hiding
                .iter()
                .any(|t| t.range.contains(event.timestamp.as_nanos()) && t.matches(&event.labels));
            if !is_hidden && meets_any(self.selectors, &event.labels) {
                break;
            }
        }
        Ok(())
    }
}

/// The matching events of the head, ascending by time; those with equal times in arrival order.
struct HeadSide {
    segments: Vec<Segment>,
    /// The time, and the indexes of the segment and of the event.
    heap: BinaryHeap<Reverse<(Timestamp, u32, u32)>>,
    _taken: Taken,
}

impl HeadSide {
    fn new(view: &View<'_>, selectors: &[Vec<Matcher>], range: TimeRange) -> Result<Self> {
        let (taken, work) = (Taken::of(&view.work), &view.work);
        let segments = view.head_events()?;
        let (mut places, mut looked) = (Vec::new(), 0_usize);
        for (number, segment) in segments.iter().enumerate() {
            for (at, Written { seq, event }) in segment.iter().enumerate() {
                if looked.is_multiple_of(EVENTS_PER_CHECK) {
                    work.check()?;
                }
                looked += 1;
                // Events up to `flushed` are in the store.
                let is_seen = view.pin.flushed < *seq && *seq <= view.pin.seq;
                if !is_seen
                    || !range.contains(event.timestamp.as_nanos())
                    || !meets_any(selectors, &event.labels)
                {
                    continue;
                }
                let mut later = view.catalogue.tombstones.iter().rev().take_while(|t| t.seq > *seq);
                if later.any(|t| t.range.contains(event.timestamp.as_nanos()) && t.matches(&event.labels)) {
                    continue;
                }
                if places.len() == places.capacity() {
                    let more = places.capacity().max(64);
                    taken.more(more * size_of::<Reverse<(Timestamp, u32, u32)>>())?;
                    places.reserve_exact(more);
                }
                places.push(Reverse((event.timestamp.as_nanos(), number as u32, at as u32)));
            }
        }
        Ok(HeadSide { segments, heap: places.into(), _taken: taken })
    }

    /// The time of the next event, if it is at or before `until`.
    fn time(&self, until: Timestamp) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse(place)| place.0).filter(|time| *time <= until)
    }

    fn pop(&mut self, time: Timestamp) -> Option<&Event> {
        self.time(time)?;
        let Reverse((_, segment, at)) = self.heap.pop()?;
        self.segments[segment as usize].get(at as usize).map(|written| &written.event)
    }
}

impl View<'_> {
    /// The first `limit` events in `range` whose labels match all matchers of any of `selectors`, ascending by time,
    /// then by labels. Of two with the same labels and time, the one written later is returned. The memory of the
    /// result stays taken from the work.
    ///
    /// # Errors
    /// The errors of [`View::work`], or the store could not be read.
    pub fn events(&self, selectors: &[Vec<Matcher>], range: TimeRange, limit: usize) -> Result<Vec<Event>> {
        let (mut found, taken) = (Vec::new(), Taken::of(&self.work));
        if limit > 0 {
            self.each_event(selectors, range, &mut |event| {
                // The list grows to twice its length.
                taken.more(event.memory_bytes() as usize + size_of::<Event>())?;
                found.push(event);
                Ok(found.len() < limit)
            })?;
        }
        taken.leave();
        Ok(found)
    }

    /// Calls `visit` with the same events, in the same order, until it returns false.
    ///
    /// # Errors
    /// Those of `visit`, the errors of [`View::work`], or the store could not be read.
    pub fn each_event(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        visit: &mut dyn FnMut(Event) -> Result<bool>,
    ) -> Result<()> {
        let _call = self.enter()?;
        let selectors = &self.all_scoped(selectors)[..];
        let catalogue = &self.catalogue;
        self.note_gaps(catalogue, TierId::RAW, range)?;
        let mut head = HeadSide::new(self, selectors, range)?;
        let layout = catalogue.layout();
        for partition in catalogue.generations.partitions_in(TierId::RAW, range, layout) {
            let mut sides = Vec::new();
            let has_events = |g: &&Arc<Generation>| {
                let is_inside = range.overlaps(g.record.first, g.record.last);
                is_inside && catalogue.has_events(g) && !self.is_lost(g.prefix)
            };
            for generation in partition.generations.iter().filter(has_events) {
                let hiding = catalogue.tombstones.iter().filter(|t| t.concerns(&generation.record));
                let prefix = generation.prefix;
                let events = match GenerationReader::new(self.kv, generation).events(range) {
                    Ok(events) => events,
                    Err(error) => {
                        self.gives_up(prefix, range, error)?;
                        continue;
                    }
                };
                let hiding = hiding.map(|t| &**t).collect();
                let mut side = Side { events, hiding, selectors, view: self, prefix, range, next: None };
                side.advance()?;
                sides.push(side);
            }
            if sides.is_empty() {
                continue;
            }
            let (_, end) = layout.bounds(partition.id);
            if !self.merge_events(&mut sides, &mut head, end, visit)? {
                return Ok(());
            }
        }
        self.merge_events(&mut [], &mut head, Timestamp::MAX, visit)?;
        Ok(())
    }

    /// The events of the head, in arrival order; some of them may also be in the store.
    fn head_events(&self) -> Result<Vec<Segment>> {
        let mut segments = self.head.events.snapshot();
        // Read after the others: a flush that ends in the meantime moves events from there to here. Some may be in
        // both.
        let mut all = self.head.kept.events();
        all.append(&mut segments);
        self.pin.check()?;
        Ok(all)
    }

    /// Visits the events of the sides, and of the head up to `end`. Returns whether to continue.
    fn merge_events(
        &self,
        sides: &mut [Side<'_, '_, '_>],
        head: &mut HeadSide,
        end: Timestamp,
        visit: &mut dyn FnMut(Event) -> Result<bool>,
    ) -> Result<bool> {
        let taken = Taken::of(&self.work);
        let mut instant: BTreeMap<Labels, String> = BTreeMap::new();
        loop {
            self.work.check()?;
            let times =
                sides.iter().filter_map(|side| side.next.as_ref().map(|event| event.timestamp.as_nanos()));
            let Some(time) = times.chain(head.time(end)).min() else { return Ok(true) };
            let mut bytes = 0;
            // The one written later comes later, and replaces the other.
            for side in &mut *sides {
                while let Some(event) = side.next.take_if(|event| event.timestamp.as_nanos() == time) {
                    bytes += event.memory_bytes() as usize;
                    taken.at_least(bytes)?;
                    instant.insert(event.labels, event.text);
                    side.advance()?;
                }
            }
            while let Some(event) = head.pop(time) {
                bytes += event.memory_bytes() as usize;
                taken.at_least(bytes)?;
                instant.insert(event.labels.clone(), event.text.clone());
            }
            while let Some((labels, text)) = instant.pop_first() {
                if !visit(Event { labels, timestamp: crate::Timestamp::from_nanos(time), text })? {
                    return Ok(false);
                }
            }
        }
    }
}
