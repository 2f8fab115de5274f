//! Replay: builds the head from the log.
//!
//! One thread reads records and finds the series of each, one applies samples to their series, and one collects
//! postings. The work of each is about the same. Samples reach a series in the order of the log, since one thread
//! applies all of them.
//!
//! # Invariants
//! R1. Everything before a delete is applied before the delete: it waits for both other threads.
//! R2. A record uses the ids defined by it or an earlier record, back to `flushed_seq`. Only if records are missing,
//! because damage was skipped, there may be samples with an unknown id: they are counted and dropped.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use ahash::RandomState;

use crate::head::pins::Turn;
use crate::head::postings::HeadPostings;
use crate::head::record::{
    KIND_DATABASES, KIND_DELETE, KIND_DROPPED, KIND_EVENTS, KIND_EXEMPLARS, KIND_METADATA, KIND_SAMPLES,
    RecordReader,
};
use crate::head::{ChunkPolicy, Epoch, Head, HeadSeries};
use crate::model::{SeriesId, Timestamp, Value};
use crate::options::{Kept, Options};
use crate::store::catalogue::{Catalogue, Tombstone};
use crate::wal::Record;
use crate::{Error, Result};

/// The epoch of replay, in which later appends continue.
pub(in crate::engine) const EPOCH_AT_START: Epoch = Epoch { number: 1, cut: 0 };

/// The maximum number of records that wait for a thread.
const RECORDS_WAITING: usize = 2;

/// The head under construction.
pub(in crate::engine) struct Replay {
    head: Arc<Head>,
    policy: ChunkPolicy,
    places: Places,
    /// Series by index that have not been passed to the thread that applies samples.
    series: Vec<Arc<HeadSeries>>,
    workers: Option<Workers>,
    tombstones: Vec<Tombstone>,
    samples: u64,
    unknown: u64,
    records: u64,
    newest: Timestamp,
    /// The number of the next record.
    next_seq: u64,
    /// Whether records are missing before the current one.
    has_gap: bool,
}

/// The result of replay.
pub(in crate::engine) struct Replayed {
    pub head: Head,
    pub tombstones: Vec<Tombstone>,
    pub samples: u64,
    /// Number of samples of series whose definition is lost.
    pub unknown: u64,
    pub records: u64,
    pub newest: Timestamp,
}

impl Replay {
    pub fn new(catalogue: &Catalogue, options: &Options) -> Self {
        let head = Head::new(catalogue.root.next_series, options.note_bytes_max(), &options.tenant_label);
        head.set_rules(Kept::of(options).series_rules(options.duplicates));
        Replay {
            head: Arc::new(head),
            policy: ChunkPolicy { layout: catalogue.layout(), chunk_samples: options.chunk_samples },
            places: Places::default(),
            series: Vec::new(),
            workers: None,
            tombstones: Vec::new(),
            samples: 0,
            unknown: 0,
            records: 0,
            newest: Timestamp::MIN,
            next_seq: catalogue.root.flushed_seq.saturating_add(1),
            has_gap: false,
        }
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Applies a record, or passes it to the threads that will.
    pub fn apply(&mut self, wal: &Path, record: Record<'_>) -> Result<()> {
        self.records += 1;
        self.has_gap |= record.seq != self.next_seq;
        self.next_seq = record.seq.saturating_add(1);
        let place = || format!("{}, record {}", wal.display(), record.seq);
        let applied = match record.kind {
            KIND_SAMPLES => self.apply_samples(record.payload)?,
            KIND_EVENTS => RecordReader::new(record.payload).events(|event| {
                self.newest = self.newest.max(event.timestamp.as_nanos());
                self.head.add_sample_bytes(event.memory_bytes());
                self.head.events.push(record.seq, event);
            }),
            KIND_METADATA => RecordReader::new(record.payload)
                .metadata(|family, metadata| self.head.metadata.insert(&family, &metadata)),
            KIND_EXEMPLARS => RecordReader::new(record.payload)
                .exemplars(|series, exemplar| self.head.exemplars.insert(&series, &exemplar)),
            KIND_DATABASES => {
                RecordReader::new(record.payload).databases(|name| self.head.databases.insert(&name))
            }
            KIND_DROPPED => {
                RecordReader::new(record.payload).databases(|name| self.head.databases.remove(&name))
            }
            KIND_DELETE => {
                let tombstone = Tombstone::decode(&place(), record.seq, record.payload)?;
                self.apply_delete(tombstone);
                Some(())
            }
            _ => None,
        };
        applied.ok_or_else(|| Error::Corrupt {
            file: place(),
            offset: 0,
            what: format!("payload of kind {} cannot be decoded", record.kind),
        })
    }

    fn apply_samples(&mut self, payload: &[u8]) -> Result<Option<()>> {
        let Replay { head, places, samples: count, unknown, has_gap, newest, .. } = self;
        let (mut found, mut new, mut samples) = (Vec::new(), Vec::new(), Vec::new());
        let places = std::cell::RefCell::new(places);
        let mut is_unknown = false;
        let decoded = RecordReader::new(payload).samples(
            |id, labels| {
                let (series, is_new) = head.define(SeriesId(id), &labels);
                if is_new {
                    new.push(series.clone());
                }
                places.borrow_mut().add(id);
                found.push(series);
            },
            |id, timestamp, start, value| {
                let Some(place) = places.borrow_mut().get(id) else {
                    *unknown += 1;
                    is_unknown = true;
                    return has_gap.then_some(());
                };
                samples.push(Sample { place, timestamp, start, value });
                *newest = (*newest).max(timestamp);
                Some(())
            },
        );
        if decoded.is_none() {
            // Of a record that is set aside, only the definitions of series are used, since later records rely on them.
            samples.clear();
            if is_unknown {
                *unknown -= 1;
            }
        }
        *count += samples.len() as u64;
        if self.workers.is_none() {
            let series = std::mem::take(&mut self.series);
            self.workers = Some(Workers::start(&self.head, self.policy, series)?);
        }
        if let Some(workers) = &self.workers {
            workers.send(ReplayBatch { series: found, samples }, new);
        }
        Ok(decoded)
    }

    fn apply_delete(&mut self, tombstone: Tombstone) {
        self.catch_up();
        self.head.delete(self.policy, &tombstone.matchers, tombstone.range);
        self.tombstones.push(tombstone);
    }

    /// Waits until everything passed on is applied.
    fn catch_up(&mut self) {
        if let Some(workers) = self.workers.take() {
            self.series = workers.join(&self.head);
        }
    }

    /// Waits for the threads and returns the head.
    pub fn finish(mut self) -> Replayed {
        self.catch_up();
        let Replay { head, tombstones, samples, unknown, records, newest, .. } = self;
        let head = Arc::into_inner(head).expect("the threads that shared it have ended");
        Replayed { head, tombstones, samples, unknown, records, newest }
    }
}

/// A sample and the index of its series.
struct Sample {
    place: u32,
    timestamp: Timestamp,
    start: Timestamp,
    value: Value,
}

/// The contents of a record.
struct ReplayBatch {
    /// The series that it defines, which get the next indexes.
    series: Vec<Arc<HeadSeries>>,
    samples: Vec<Sample>,
}

/// Number of threads besides the reader's.
struct Workers {
    batches: SyncSender<ReplayBatch>,
    new: SyncSender<Vec<Arc<HeadSeries>>>,
    applier: JoinHandle<Vec<Arc<HeadSeries>>>,
    poster: JoinHandle<HeadPostings>,
}

impl Workers {
    fn start(head: &Arc<Head>, policy: ChunkPolicy, mut series: Vec<Arc<HeadSeries>>) -> Result<Self> {
        let (batches, batches_out) = sync_channel::<ReplayBatch>(RECORDS_WAITING);
        let (new, new_out) = sync_channel::<Vec<Arc<HeadSeries>>>(RECORDS_WAITING);
        let shared = head.clone();
        let applier = spawn("replay-samples", move || {
            let turn = Turn::default();
            for batch in batches_out {
                series.extend(batch.series);
                let mut grown = 0;
                for Sample { place, timestamp, start, value } in batch.samples {
                    let series = &series[place as usize];
                    grown += series.append(&turn, policy, timestamp, start, &value);
                }
                shared.add_sample_bytes(grown as u64);
            }
            series
        })?;
        let mut postings = head.take_postings();
        let poster = spawn("replay-postings", move || {
            for series in new_out.into_iter().flatten() {
                postings.insert(series.id, &series.labels);
            }
            postings
        })?;
        Ok(Workers { batches, new, applier, poster })
    }

    fn send(&self, batch: ReplayBatch, new: Vec<Arc<HeadSeries>>) {
        // A thread that ended has panicked; `join` returns the panic.
        let _ = self.new.send(new);
        let _ = self.batches.send(batch);
    }

    /// Waits for the end. Returns the series by index; the postings are in the head.
    fn join(self, head: &Head) -> Vec<Arc<HeadSeries>> {
        drop((self.batches, self.new));
        head.set_postings(joined(self.poster));
        joined(self.applier)
    }
}

/// Returns the result of a thread; resumes its panic.
fn joined<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map_err(|e| Error::io("start a thread to replay", name, e))
}

/// Maps ids of the log to indexes. The ids of one scrape or line are neighbours, so they are in pages, and the last
/// page is cached.
#[derive(Default)]
struct Places {
    pages: Vec<[u32; PAGE_IDS as usize]>,
    by_number: HashMap<u64, usize, RandomState>,
    /// Number and index of the page that was used last.
    last: Option<(u64, usize)>,
    count: u32,
}

/// Ids of one page.
const PAGE_IDS: u64 = 256;
/// Marks an id without a series.
const NOWHERE: u32 = u32::MAX;

impl Places {
    /// Assigns the next index to an id.
    fn add(&mut self, id: u64) {
        let number = id / PAGE_IDS;
        let at = self.page(number).unwrap_or_else(|| {
            self.pages.push([NOWHERE; PAGE_IDS as usize]);
            self.by_number.insert(number, self.pages.len() - 1);
            self.pages.len() - 1
        });
        self.pages[at][(id % PAGE_IDS) as usize] = self.count;
        self.count += 1;
    }

    /// The index assigned last to an id.
    #[inline]
    fn get(&mut self, id: u64) -> Option<u32> {
        let at = self.page(id / PAGE_IDS)?;
        let place = self.pages[at][(id % PAGE_IDS) as usize];
        (place != NOWHERE).then_some(place)
    }

    #[inline]
    fn page(&mut self, number: u64) -> Option<usize> {
        match self.last {
            Some((last, at)) if last == number => Some(at),
            _ => {
                let at = *self.by_number.get(&number)?;
                self.last = Some((number, at));
                Some(at)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_are_a_map(
            ids in proptest::collection::vec(prop_oneof![0u64..2000, any::<u64>()], 0..300),
            absent: u64,
        ) {
            let (mut places, mut model) = (Places::default(), HashMap::new());
            for (place, &id) in ids.iter().enumerate() {
                places.add(id);
                model.insert(id, place as u32);
                prop_assert_eq!(places.get(ids[place / 2]), model.get(&ids[place / 2]).copied());
            }
            for id in ids.into_iter().chain([absent]) {
                prop_assert_eq!(places.get(id), model.get(&id).copied());
            }
        }
    }
}
