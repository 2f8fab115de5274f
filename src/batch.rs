//! Batches with typed timestamps.

use std::fmt;

use barograph_engine::Timestamp;
use barograph_engine::model::{Exemplar, Labels, Metadata, Value};

use crate::SeriesHandle;

/// Samples to append at once: written to the log as one record, or as several if they exceed 32 MiB, and visible
/// together once they are durable: a view has all samples and events of a batch or none (exemplars and metadata are not
/// part of views). If the process ends before an append returns, a restart finds all of the batch or nothing; of a
/// batch with several records, or with events, metadata or exemplars, it may find only the first records.
///
/// ```
/// use std::time::Duration;
///
/// use barograph::{Batch, Labels, Timestamp, Value};
///
/// # fn main() -> barograph::Result<()> {
/// let up = Labels::from_pairs([("__name__", "up"), ("job", "api")])?;
/// let mut batch = Batch::new();
/// let begin = Timestamp::from_secs(1_700_000_000);
/// batch.push(&up, begin, Value::Float(1.0));
/// batch.push(&up, begin + Duration::from_secs(15), Value::Float(0.0));
/// assert_eq!(batch.len(), 2);
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Batch(pub(crate) barograph_engine::Batch);

impl Batch {
    /// An empty batch.
    ///
    /// ```
    /// use barograph::Batch;
    /// # fn main() -> barograph::Result<()> {
    /// assert!(Batch::new().is_empty());
    /// # Ok(()) }
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sample. Of two samples of a series with the same timestamp, the later one wins.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// # use barograph::{Batch, Labels, Value};
    /// # fn main() -> barograph::Result<()> {
    /// let mut batch = Batch::new();
    /// batch.push(&Labels::from_pairs([("__name__", "load")])?, SystemTime::now(), Value::Float(0.5));
    /// # assert_eq!(batch.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn push(&mut self, labels: &Labels, timestamp: impl Into<Timestamp>, value: Value) {
        self.0.push(labels, timestamp.into().as_nanos(), value);
    }

    /// Adds a sample whose counting began at `start`, for example the start of the process that counts.
    ///
    /// ```
    /// use barograph::{Batch, Labels, Timestamp, Value};
    /// # fn main() -> barograph::Result<()> {
    /// let mut batch = Batch::new();
    /// let requests = Labels::from_pairs([("__name__", "requests_total")])?;
    /// batch.push_started(&requests, Timestamp::from_secs(160), Timestamp::from_secs(100), Value::Int(7));
    /// # assert_eq!(batch.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn push_started(
        &mut self,
        labels: &Labels,
        timestamp: impl Into<Timestamp>,
        start: impl Into<Timestamp>,
        value: Value,
    ) {
        self.0.push_started(labels, timestamp.into().as_nanos(), start.into().as_nanos(), value);
    }

    /// Adds a sample of a series whose handle is known. This is the fastest way to write.
    ///
    /// ```
    /// use barograph::{Batch, Database, Labels, Options, Timestamp, Value};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default())?;
    /// let load = db.handle(&Labels::from_pairs([("__name__", "load")])?)?;
    /// let mut batch = Batch::new();
    /// batch.push_to(&load, Timestamp::from_secs(1_700_000_000), Value::Float(0.5));
    /// assert_eq!(db.append(&batch)?.samples, 1);
    /// # Ok(()) }
    /// ```
    pub fn push_to(&mut self, series: &SeriesHandle, timestamp: impl Into<Timestamp>, value: Value) {
        self.0.push_to(series, timestamp.into().as_nanos(), value);
    }

    /// Adds an event: text at an instant.
    ///
    /// ```
    /// use barograph::{Batch, Labels, Timestamp};
    /// # fn main() -> barograph::Result<()> {
    /// let mut batch = Batch::new();
    /// let deploys = Labels::from_pairs([("__name__", "deploy")])?;
    /// batch.push_event(&deploys, Timestamp::from_secs(1_700_000_000), "version 7");
    /// # assert_eq!(batch.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn push_event(&mut self, labels: &Labels, timestamp: impl Into<Timestamp>, text: &str) {
        self.0.push_event(labels, timestamp.into().as_nanos(), text);
    }

    /// Adds a description of a metric family. A family keeps its newest eight distinct descriptions.
    ///
    /// ```
    /// use barograph::{Batch, Metadata, MetricType};
    /// let mut batch = Batch::new();
    /// let (kind, help, unit) = (MetricType::Counter, "Requests answered.".to_owned(), String::new());
    /// batch.push_metadata("requests_total", Metadata { kind, help, unit });
    /// # assert_eq!(batch.len(), 1);
    /// ```
    pub fn push_metadata(&mut self, family: &str, metadata: Metadata) {
        self.0.push_metadata(family, metadata);
    }

    /// Adds an exemplar of a series. A series keeps its newest 128. All exemplars together share a 64th of the memory
    /// setting; the oldest are removed first.
    ///
    /// ```
    /// use barograph::{Batch, Exemplar, Labels, Timestamp};
    /// # fn main() -> barograph::Result<()> {
    /// let mut batch = Batch::new();
    /// let labels = Labels::from_pairs([("trace_id", "4bf92f35")])?;
    /// let exemplar = Exemplar { labels, timestamp: Timestamp::from_secs(1_700_000_000), value: 0.7 };
    /// batch.push_exemplar(&Labels::from_pairs([("__name__", "latency_seconds")])?, exemplar);
    /// # assert_eq!(batch.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn push_exemplar(&mut self, series: &Labels, exemplar: Exemplar) {
        self.0.push_exemplar(series, exemplar);
    }

    /// Marks all timestamps of the batch as taken from this machine's clock. Retention then does not use them to
    /// confirm the clock, so a clock that jumps ahead does not expire the data of others. [`Batch::clear`] resets the
    /// mark.
    ///
    /// ```
    /// # use barograph::Batch;
    /// let mut batch = Batch::new();
    /// batch.set_stamped_by_clock();
    /// assert!(batch.is_stamped_by_clock());
    /// ```
    pub fn set_stamped_by_clock(&mut self) {
        self.0.set_stamped_by_clock();
    }

    /// Whether [`Batch::set_stamped_by_clock`] was called.
    ///
    /// ```
    /// use barograph::Batch;
    /// # fn main() -> barograph::Result<()> {
    /// let mut batch = Batch::new();
    /// batch.set_stamped_by_clock();
    /// assert!(batch.is_stamped_by_clock());
    /// # Ok(()) }
    /// ```
    pub fn is_stamped_by_clock(&self) -> bool {
        self.0.is_stamped_by_clock()
    }

    /// Number of samples, events, descriptions and exemplars.
    ///
    /// ```
    /// use barograph::{Batch, Labels, Timestamp, Value};
    /// # fn main() -> barograph::Result<()> {
    /// # let labels = Labels::from_pairs([("__name__", "load")])?;
    /// let mut batch = Batch::new();
    /// batch.push(&labels, Timestamp::now(), Value::Float(0.5));
    /// assert_eq!(batch.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the batch is empty.
    ///
    /// ```
    /// use barograph::Batch;
    /// # fn main() -> barograph::Result<()> {
    /// assert!(Batch::new().is_empty());
    /// # Ok(()) }
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Clears the batch, keeping its memory for reuse.
    ///
    /// ```
    /// use barograph::{Batch, Labels, Timestamp, Value};
    /// # fn main() -> barograph::Result<()> {
    /// # let labels = Labels::from_pairs([("__name__", "load")])?;
    /// let mut batch = Batch::new();
    /// batch.push(&labels, Timestamp::now(), Value::Float(0.5));
    /// batch.clear();
    /// assert!(batch.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
