//! Batches: the data that callers pass, and its form once series are known.

use std::borrow::Cow;
use std::sync::Arc;

use crate::budget::{Full, Hold, Share};
use crate::head::metadata::key_of;
use crate::head::{Event, Head, HeadSeries, SeriesHandle};
use crate::model::{Exemplar, Labels, Metadata, Tenant, Timestamp, Value};
use crate::{Error, Result};

/// Samples to append at once: written to the WAL as one record, or as several if they exceed 32 MiB, and visible
/// together once they are durable: a view has all samples and events of a batch or none (exemplars and metadata are not
/// part of views). If the process ends before an append returns, a restart finds all of the batch or nothing; of a
/// batch with several records, or with events, metadata or exemplars, it may find only the first records.
///
/// ```
/// use barograph_engine::{Batch, model::{Labels, Value}};
/// let labels = Labels::from_pairs([("__name__", "up"), ("job", "api")]).unwrap();
/// let mut batch = Batch::new();
/// batch.push(&labels, 1_700_000_000_000_000_000, Value::Float(1.0));
/// assert_eq!(batch.len(), 1);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(crate) samples: Vec<BatchSample>,
    pub(crate) events: Vec<Event>,
    pub(crate) metadata: Vec<(String, Metadata)>,
    pub(crate) exemplars: Vec<(Labels, Exemplar)>,
    pub(crate) stamp: Stamp,
    /// The tenant of the metadata.
    pub(crate) tenant: Option<Tenant>,
}

/// The origin of a sample's timestamp.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// The writer.
    #[default]
    Given,
    /// This machine's clock, at the arrival of the sample.
    Clock,
}

/// The newest timestamps of a batch; [`Timestamp::MIN`] if there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// Of timestamps set by writers.
    pub given: Timestamp,
    /// Of timestamps set by this machine's clock.
    pub stamped: Timestamp,
}

impl Default for Newest {
    fn default() -> Self {
        Newest { given: Timestamp::MIN, stamped: Timestamp::MIN }
    }
}

impl Newest {
    #[inline]
    fn note(&mut self, timestamp: Timestamp, stamp: Stamp) {
        let newest = match stamp {
            Stamp::Given => &mut self.given,
            Stamp::Clock => &mut self.stamped,
        };
        *newest = (*newest).max(timestamp);
    }
}

/// The series of a sample in a [`Batch`].
#[derive(Debug, Clone)]
pub(crate) enum SeriesKey {
    /// Not looked up yet.
    Labels(Labels),
    /// Looked up.
    Handle(SeriesHandle),
}

impl SeriesKey {
    pub(crate) fn labels(&self) -> &Labels {
        match self {
            SeriesKey::Labels(labels) => labels,
            SeriesKey::Handle(handle) => handle.labels(),
        }
    }
}

/// One sample of a [`Batch`].
#[derive(Debug, Clone)]
pub(crate) struct BatchSample {
    pub(crate) series: SeriesKey,
    pub(crate) timestamp: Timestamp,
    /// 0 means unknown.
    pub(crate) start_timestamp: Timestamp,
    pub(crate) value: Value,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sample; `timestamp` is in nanoseconds. Of two samples of a series with the same timestamp, the later one
    /// wins.
    pub fn push(&mut self, labels: &Labels, timestamp: Timestamp, value: Value) {
        self.push_started(labels, timestamp, 0, value);
    }

    /// Adds a sample whose counting began at `start_timestamp`, nanoseconds; 0 means unknown.
    pub fn push_started(
        &mut self,
        labels: &Labels,
        timestamp: Timestamp,
        start_timestamp: Timestamp,
        value: Value,
    ) {
        let series = SeriesKey::Labels(labels.clone());
        self.samples.push(BatchSample { series, timestamp, start_timestamp, value });
    }

    /// Adds a sample of a series whose handle is known. This is the fastest way to write.
    pub fn push_to(&mut self, series: &SeriesHandle, timestamp: Timestamp, value: Value) {
        let series = SeriesKey::Handle(series.clone());
        self.samples.push(BatchSample { series, timestamp, start_timestamp: 0, value });
    }

    /// Adds an event: text at an instant.
    pub fn push_event(&mut self, labels: &Labels, timestamp: Timestamp, text: &str) {
        self.events.push(Event {
            labels: labels.clone(),
            timestamp: crate::Timestamp::from_nanos(timestamp),
            text: text.to_owned(),
        });
    }

    /// Adds the description of a metric family. A family keeps its newest eight distinct descriptions.
    pub fn push_metadata(&mut self, family: &str, metadata: Metadata) {
        self.metadata.push((family.to_owned(), metadata));
    }

    /// Adds an exemplar of a series. A series keeps its newest 128. All exemplars together share a 64th of the memory
    /// setting; the oldest are removed first.
    pub fn push_exemplar(&mut self, series: &Labels, exemplar: Exemplar) {
        self.exemplars.push((series.clone(), exemplar));
    }

    /// Marks all timestamps of the batch as taken from this machine's clock. Retention then does not use them to
    /// confirm the clock, so a clock that jumps ahead does not expire the data of others. [`Batch::clear`] resets the
    /// mark.
    pub fn set_stamped_by_clock(&mut self) {
        self.stamp = Stamp::Clock;
    }

    /// Whether [`Batch::set_stamped_by_clock`] was called.
    pub fn is_stamped_by_clock(&self) -> bool {
        self.stamp == Stamp::Clock
    }

    /// Returns this batch as one of a tenant: every series gets its label, and the descriptions belong to the tenant.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a series belongs to another tenant.
    pub fn of_tenant(&self, tenant: &Tenant) -> Result<Batch> {
        let claim = |labels: &Labels| {
            let claimed = tenant.claim(labels).map(Cow::into_owned);
            claimed.map_err(|foreign| Error::Invalid(format!("series {labels}: {foreign}")))
        };
        let mut batch = Batch { tenant: Some(tenant.clone()), ..self.clone() };
        for BatchSample { series, .. } in &mut batch.samples {
            match series {
                SeriesKey::Labels(labels) => *labels = claim(labels)?,
                // A handle whose series lacks the label belongs to another tenant or to none.
                SeriesKey::Handle(handle) => tenant
                    .check(handle.labels())
                    .map_err(|foreign| Error::Invalid(format!("series {}: {foreign}", handle.labels())))?,
            }
        }
        for Event { labels, .. } in &mut batch.events {
            *labels = claim(labels)?;
        }
        for (labels, _) in &mut batch.exemplars {
            *labels = claim(labels)?;
        }
        Ok(batch)
    }

    /// The size of its string fields, histograms, exemplars and metadata, bytes: an upper bound of
    /// [`ResolvedBatch::text_bytes`].
    pub(crate) fn text_bytes(&self) -> u64 {
        let events = self.events.iter().map(Event::memory_bytes).sum::<u64>();
        let histograms = self.samples.iter().map(|sample| sample.value.heap_bytes()).sum::<usize>();
        let metadata = self.metadata.iter().map(|(family, metadata)| {
            let tenant = self.tenant.as_ref();
            metadata_bytes(&key_of(tenant, family), metadata)
        });
        let exemplars = self.exemplars.iter().map(|(series, exemplar)| exemplar_bytes(series, exemplar));
        events + (histograms + metadata.sum::<usize>() + exemplars.sum::<usize>()) as u64
    }

    /// The number of samples, events, descriptions and exemplars.
    pub fn len(&self) -> usize {
        self.samples.len() + self.events.len() + self.metadata.len() + self.exemplars.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.events.clear();
        self.metadata.clear();
        self.exemplars.clear();
        self.stamp = Stamp::Given;
        self.tenant = None;
    }
}

/// Series that are repeatedly written together: the fields of one line.
pub type SeriesGroup = Arc<[Arc<HeadSeries>]>;

/// The series of the values of a [`Row`].
#[derive(Debug, Clone)]
pub enum RowTarget {
    /// One series.
    One(Arc<HeadSeries>),
    /// Consecutive series of a group, from this index on.
    Group(SeriesGroup, u32),
}

impl From<&SeriesGroup> for RowTarget {
    /// The series of a group, starting with the first.
    fn from(group: &SeriesGroup) -> RowTarget {
        RowTarget::Group(group.clone(), 0)
    }
}

/// The values of one instant.
#[derive(Debug, Clone)]
pub struct Row {
    target: RowTarget,
    timestamp: Timestamp,
    count: u32,
}

impl Row {
    /// The series of its values.
    #[inline]
    fn series(&self) -> &[Arc<HeadSeries>] {
        match &self.target {
            RowTarget::One(series) => std::slice::from_ref(series),
            RowTarget::Group(group, first) => &group[*first as usize..][..self.count as usize],
        }
    }
}

/// How far a batch may grow before its writer must request more memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Granted {
    /// Samples.
    pub samples: usize,
    /// Bytes of string fields, histograms, exemplars and metadata.
    pub text_bytes: u64,
}

/// Bytes of a sample in a batch and in a record of the log: two varints and eight bytes.
pub(crate) const SAMPLE_BYTES: u64 =
    (size_of::<Row>() + size_of::<Value>() + size_of::<(usize, Timestamp)>()) as u64 + 24;
/// Bytes of a batch besides its samples and texts: its size, its entry in the queue for the log, the list of the series
/// that it defines, the frame of its record, and the allocator's overhead for each part.
pub(crate) const BATCH_BYTES: u64 = size_of::<ResolvedBatch>() as u64 + 256;
/// Approximate size of a description or an exemplar, without its texts.
const NOTE_BYTES: usize = 128;

/// Bytes of a description in a batch, with its key.
pub(crate) fn metadata_bytes(key: &str, metadata: &Metadata) -> usize {
    NOTE_BYTES + key.len() + metadata.help.len() + metadata.unit.len()
}

/// Bytes of an exemplar in a batch.
pub(crate) fn exemplar_bytes(series: &Labels, exemplar: &Exemplar) -> usize {
    NOTE_BYTES + series.as_bytes().len() + exemplar.labels.as_bytes().len()
}

/// Texts are in both the batch and a record.
pub(crate) const TEXT_FACTOR: u64 = 2;

impl Granted {
    fn bytes(self) -> u64 {
        BATCH_BYTES + self.samples as u64 * SAMPLE_BYTES + self.text_bytes.saturating_mul(TEXT_FACTOR)
    }
}

/// A batch whose series are known: rows of values, in order.
#[derive(Debug)]
pub struct ResolvedBatch {
    granted: Granted,
    /// The granted memory.
    hold: Option<Hold>,
    rows: Vec<Row>,
    values: Vec<Value>,
    /// The known start timestamps: index into `values`, ascending. Lines have none.
    starts: Vec<(usize, Timestamp)>,
    /// String fields.
    pub events: Vec<Event>,
    /// Bytes of events, histograms, exemplars and metadata.
    text_bytes: u64,
    /// The origin of the timestamps of what is pushed from now on.
    pub(crate) stamp: Stamp,
    newest: Newest,
    /// The smallest timestamp, [`Timestamp::MAX`] if there is none.
    oldest: Timestamp,
    /// New descriptions of metric families.
    pub metadata: Vec<(String, Metadata)>,
    /// Exemplars, each with its series.
    pub exemplars: Vec<(Labels, Exemplar)>,
    /// Names of new databases.
    pub databases: Vec<String>,
    /// Names of dropped databases.
    pub dropped: Vec<String>,
}

impl Default for ResolvedBatch {
    fn default() -> Self {
        ResolvedBatch {
            granted: Granted::default(),
            hold: None,
            rows: Vec::new(),
            values: Vec::new(),
            starts: Vec::new(),
            events: Vec::new(),
            text_bytes: 0,
            stamp: Stamp::default(),
            newest: Newest::default(),
            oldest: Timestamp::MAX,
            metadata: Vec::new(),
            exemplars: Vec::new(),
            databases: Vec::new(),
            dropped: Vec::new(),
        }
    }
}

impl ResolvedBatch {
    /// Adds one sample. A start timestamp of 0 is unknown.
    #[inline]
    pub fn push(
        &mut self,
        series: Arc<HeadSeries>,
        timestamp: Timestamp,
        start_timestamp: Timestamp,
        value: Value,
    ) {
        if start_timestamp != 0 {
            self.starts.push((self.values.len(), start_timestamp));
        }
        self.text_bytes += value.heap_bytes() as u64;
        self.note(timestamp, self.stamp);
        self.rows.push(Row { target: RowTarget::One(series), timestamp, count: 1 });
        self.values.push(value);
    }

    /// Adds a value for the series of `group` at `index` to the last row, or begins a row.
    pub fn push_of_group(&mut self, group: &SeriesGroup, index: u32, timestamp: Timestamp, value: Value) {
        self.values.push(value);
        self.note(timestamp, self.stamp);
        if let Some(Row { target: RowTarget::Group(last, first), timestamp: at, count }) =
            self.rows.last_mut()
            && *at == timestamp
            && *first + *count == index
            && Arc::ptr_eq(last, group)
        {
            *count += 1;
            return;
        }
        self.rows.push(Row { target: RowTarget::Group(group.clone(), index), timestamp, count: 1 });
    }

    /// The number of samples.
    pub fn samples(&self) -> usize {
        self.values.len()
    }

    /// The size of its string fields, histograms, exemplars and metadata, bytes.
    pub(crate) fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// Counts bytes of data other than samples.
    pub(crate) fn add_text_bytes(&mut self, bytes: usize) {
        self.text_bytes += bytes as u64;
    }

    /// Whether the batch has used all of its granted memory.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.values.len() >= self.granted.samples || self.text_bytes >= self.granted.text_bytes
    }

    /// The granted memory.
    pub(crate) fn granted(&self) -> Granted {
        self.granted
    }

    /// Takes the memory of the grant from `share`, and reserves capacity for the samples.
    ///
    /// # Errors
    /// The share has too little left.
    pub(crate) fn grant(&mut self, share: &Arc<Share>, granted: Granted) -> std::result::Result<(), Full> {
        match &mut self.hold {
            Some(hold) => hold.resize(granted.bytes())?,
            None => self.hold = Some(share.take(granted.bytes())?),
        }
        self.granted = granted;
        let more = granted.samples.saturating_sub(self.values.len());
        self.values.reserve_exact(more);
        self.rows.reserve_exact(granted.samples.saturating_sub(self.rows.len()));
        Ok(())
    }

    /// Bytes of the batch itself and of its samples.
    #[cfg(test)]
    pub(crate) fn sample_memory_bytes(&self) -> usize {
        size_of::<ResolvedBatch>()
            + self.rows.capacity() * size_of::<Row>()
            + self.values.capacity() * size_of::<Value>()
            + self.starts.capacity() * size_of::<(usize, Timestamp)>()
    }

    /// Returns the memory of the batch, which must be empty.
    pub(crate) fn release(&mut self) {
        debug_assert!(self.is_empty());
        *self = ResolvedBatch { stamp: self.stamp, ..ResolvedBatch::default() };
    }

    /// Adds a string field.
    pub fn push_event(&mut self, event: Event) {
        self.text_bytes += event.memory_bytes();
        self.note(event.timestamp.as_nanos(), self.stamp);
        self.events.push(event);
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
            && self.events.is_empty()
            && self.metadata.is_empty()
            && self.exemplars.is_empty()
            && self.databases.is_empty()
            && self.dropped.is_empty()
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.values.clear();
        self.starts.clear();
        self.text_bytes = 0;
        (self.stamp, self.newest, self.oldest) = (Stamp::Given, Newest::default(), Timestamp::MAX);
        self.events.clear();
        self.metadata.clear();
        self.exemplars.clear();
        self.databases.clear();
        self.dropped.clear();
    }

    /// Newest timestamps of samples and events.
    pub fn newest(&self) -> Newest {
        self.newest
    }

    /// Smallest timestamp of samples and events; [`Timestamp::MAX`] if there is none.
    pub(crate) fn oldest(&self) -> Timestamp {
        self.oldest
    }

    /// The timestamps of samples and events, row by row.
    pub(crate) fn timestamps(&self) -> impl Iterator<Item = Timestamp> {
        self.rows
            .iter()
            .map(|row| row.timestamp)
            .chain(self.events.iter().map(|event| event.timestamp.as_nanos()))
    }

    #[inline]
    fn note(&mut self, timestamp: Timestamp, stamp: Stamp) {
        self.newest.note(timestamp, stamp);
        self.oldest = self.oldest.min(timestamp);
    }

    /// Begins a row of the values that `fill` adds, starting with the first series of `target`. `fill` returns the
    /// timestamp and its origin; if it returns none, the row is removed. Returns whether there is a row.
    #[inline]
    pub(crate) fn fill_row(
        &mut self,
        target: RowTarget,
        fill: impl FnOnce(&mut Vec<Value>) -> Option<(Timestamp, Stamp)>,
    ) -> bool {
        let before = self.values.len();
        match fill(&mut self.values) {
            Some((timestamp, stamp)) => {
                self.note(timestamp, stamp);
                let count = (self.values.len() - before) as u32;
                self.rows.push(Row { target, timestamp, count });
                true
            }
            None => {
                self.values.truncate(before);
                false
            }
        }
    }

    /// Calls `visit` with each sample in order: series, timestamp, start timestamp, value.
    #[inline]
    pub fn for_each(&self, mut visit: impl FnMut(&Arc<HeadSeries>, Timestamp, Timestamp, &Value)) {
        if self.starts.is_empty() {
            return self.visit(|series, timestamp, _, value| visit(series, timestamp, 0, value));
        }
        let mut starts = self.starts.iter().copied().peekable();
        self.visit(|series, timestamp, at, value| {
            let start = starts.next_if(|(next, _)| *next == at).map_or(0, |(_, start)| start);
            visit(series, timestamp, start, value);
        });
    }

    /// Calls `visit` with each sample in order: series, timestamp, index of the value, value.
    #[inline]
    fn visit(&self, mut visit: impl FnMut(&Arc<HeadSeries>, Timestamp, usize, &Value)) {
        let mut values = self.values.iter().enumerate();
        for row in &self.rows {
            for (series, (at, value)) in row.series().iter().zip(&mut values) {
                visit(series, row.timestamp, at, value);
            }
        }
    }

    /// Replaces series that left the head after they were resolved. Returns the replacements.
    pub fn revive(&mut self, head: &Head) -> Vec<Arc<HeadSeries>> {
        let mut revived = Vec::new();
        if !self.rows.iter().any(|row| row.series().iter().any(|series| series.is_dead())) {
            return revived;
        }
        let mut rows = Vec::with_capacity(self.values.len());
        self.visit(|series, timestamp, _, _| {
            let mut alive = series.clone();
            if series.is_dead() {
                alive = head.find_or_create(&series.labels);
                revived.push(alive.clone());
            }
            rows.push(Row { target: RowTarget::One(alive), timestamp, count: 1 });
        });
        self.rows = rows;
        revived
    }
}
