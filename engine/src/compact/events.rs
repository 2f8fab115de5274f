//! The events of a partition in all inputs of a merge, one instant at a time.
//!
//! Of two events with the same time and labels, the one written later wins, so all events of one instant are merged
//! together. If they take more memory than allowed, the inputs are read again for each of several groups of label sets.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::Result;
use crate::model::{Labels, TimeRange, Timestamp};
use crate::store::catalogue::{Generation, Tombstone};
use crate::store::generation::{GenerationReader, GenerationWriter};
use crate::store::iterators::StoredEvents;
use crate::store::kv::Bulk;

/// Approximate size of a map node, without labels and text.
const ENTRY_BYTES: usize = 2 * (size_of::<Labels>() + size_of::<String>());

/// The events of one input, without deleted ones.
struct Source<'a> {
    events: StoredEvents<'a>,
    hiding: Vec<&'a Tombstone>,
    next: Option<(Timestamp, Labels, String)>,
}

impl Source<'_> {
    fn advance(&mut self) -> Result<()> {
        loop {
            self.next = self.events.next()?;
            let Some((time, labels, _)) = &self.next else { return Ok(()) };
            if !self.hiding.iter().any(|t| t.range.contains(*time) && t.matches(labels)) {
                return Ok(());
            }
        }
    }
}

/// Events of one instant by their labels, and the memory they take.
#[derive(Default)]
struct Instant {
    events: BTreeMap<Labels, String>,
    bytes: usize,
}

impl Instant {
    fn insert(&mut self, labels: Labels, text: String) {
        let bytes = text.len();
        match self.events.entry(labels) {
            Entry::Vacant(entry) => {
                self.bytes += bytes + entry.key().as_bytes().len() + ENTRY_BYTES;
                entry.insert(text);
            }
            Entry::Occupied(mut entry) => {
                self.bytes = self.bytes + bytes - entry.insert(text).len();
            }
        }
    }
}

/// Merges events, and records the most bytes held at once.
pub(super) struct EventMerge<'a> {
    kv: &'a dyn Bulk,
    generations: &'a [Arc<Generation>],
    tombstones: &'a [Arc<Tombstone>],
    /// The memory limit; a single event may exceed it.
    bytes_max: usize,
    peak: usize,
    fingerprint: EventFingerprint,
}

impl<'a> EventMerge<'a> {
    /// Creates a merge of the events of `generations`, which are ordered from oldest to newest.
    pub(super) fn new(
        kv: &'a dyn Bulk,
        generations: &'a [Arc<Generation>],
        tombstones: &'a [Arc<Tombstone>],
        bytes_max: u64,
    ) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let fingerprint = EventFingerprint::default();
        EventMerge { kv, generations, tombstones, bytes_max, peak: 0, fingerprint }
    }

    /// The most bytes held at once.
    pub(super) fn peak(&self) -> usize {
        self.peak
    }

    /// Writes all events and adds them to the fingerprint.
    ///
    /// # Errors
    /// An input cannot be read, or the output cannot be written.
    pub(super) fn write(&mut self, writer: &mut GenerationWriter<'_, '_>) -> Result<EventFingerprint> {
        let mut sources = self.sources(TimeRange::ALL)?;
        while let Some(time) = first_time(&sources) {
            let mut instant = Instant::default();
            let mut total = 0;
            for source in &mut sources {
                while let Some((_, labels, text)) = source.next.take_if(|event| event.0 == time) {
                    total += labels.as_bytes().len() + text.len() + ENTRY_BYTES;
                    if instant.bytes <= self.bytes_max {
                        instant.insert(labels, text);
                    }
                    source.advance()?;
                }
            }
            if instant.bytes <= self.bytes_max {
                self.put(time, &instant, writer)?;
            } else {
                drop(instant);
                self.write_in_parts(time, total, writer)?;
            }
        }
        Ok(self.fingerprint)
    }

    fn sources(&self, range: TimeRange) -> Result<Vec<Source<'a>>> {
        let source = |generation: &'a Arc<Generation>| {
            let hiding = self.tombstones.iter().filter(|t| t.concerns(&generation.record)).map(|t| &**t);
            let events = GenerationReader::new(self.kv, generation).events(range)?;
            let mut source = Source { events, hiding: hiding.collect(), next: None };
            source.advance()?;
            Ok(source)
        };
        self.generations.iter().map(source).collect()
    }

    /// Writes the events of one instant, which take `total` bytes, one group of label sets after another.
    fn write_in_parts(
        &mut self,
        time: Timestamp,
        total: usize,
        writer: &mut GenerationWriter<'_, '_>,
    ) -> Result<()> {
        // Half as large on average, because some groups are larger than others.
        let groups = u32::try_from(2 * total / self.bytes_max.max(1) + 1).unwrap_or(u32::MAX);
        for group in 0..groups {
            let mut instant = Instant::default();
            for source in &mut self.sources(TimeRange::inclusive(time, time))? {
                while let Some((_, labels, text)) = source.next.take() {
                    if crc32fast::hash(labels.as_bytes()) % groups == group {
                        instant.insert(labels, text);
                    }
                    source.advance()?;
                }
            }
            self.put(time, &instant, writer)?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        time: Timestamp,
        instant: &Instant,
        writer: &mut GenerationWriter<'_, '_>,
    ) -> Result<()> {
        self.peak = self.peak.max(instant.bytes);
        for (labels, text) in &instant.events {
            self.fingerprint.add(time, labels, text);
            writer.add_event(time, labels, text)?;
        }
        Ok(())
    }
}

fn first_time(sources: &[Source<'_>]) -> Option<Timestamp> {
    sources.iter().filter_map(|source| source.next.as_ref().map(|event| event.0)).min()
}

/// A checksum over events in any order, and their number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct EventFingerprint {
    count: u64,
    sum: u64,
}

impl EventFingerprint {
    /// Adds an event.
    pub(super) fn add(&mut self, time: Timestamp, labels: &Labels, text: &str) {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&time.to_le_bytes());
        hasher.update(&(labels.as_bytes().len() as u64).to_le_bytes());
        hasher.update(labels.as_bytes());
        hasher.update(text.as_bytes());
        self.count += 1;
        // The multiplication spreads the bits, so that the sum of many checksums depends on each.
        let spread = u64::from(hasher.finalize()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.sum = self.sum.wrapping_add(spread);
    }

    /// The number of events added.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}
