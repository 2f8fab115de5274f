//! Subscriptions: durable data, passed on in the order of the log.
//!
//! The thread that adds a batch to the head also puts the matching samples into the buffer of each subscription, right
//! after views can see them. It holds the commit lock at that time, so it never waits: a full buffer loses its oldest
//! updates, and an update that is larger than the whole buffer is lost alone. Both are counted and reported.
//!
//! Without subscriptions a batch costs one relaxed load.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvError, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use ahash::RandomState;
use arc_swap::ArcSwap;

use crate::engine::Engine;
use crate::head::{Event, HeadSeries, ResolvedBatch};
use crate::model::matcher::meets_all;
use crate::model::{Labels, Matcher, Value};
use crate::process::Process;
use crate::sync::{Condvar, Mutex};
use crate::{Result, Timestamp};

/// Maximum number of series for which a subscription caches whether they match.
const KNOWN_MAX: usize = 1 << 15;
/// Bytes per series, in a table that is at most half empty.
const KNOWN_BYTES: usize = 40;

/// What a [`Subscription`] receives.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Update {
    /// A sample became durable and visible.
    Sample {
        /// The series.
        labels: Labels,
        /// Its time. Late samples come when they are written, so times need not ascend.
        timestamp: Timestamp,
        /// When the counting began, if that is known.
        start_timestamp: Option<Timestamp>,
        /// What was written.
        value: Value,
    },
    /// A string field became durable and visible.
    Event(Event),
    /// This number of updates is missing before the next one, because the buffer had no space for them.
    Lagged(u64),
}

impl Update {
    /// Its memory in a buffer, bytes. Its labels may outlive their series.
    fn memory_bytes(&self) -> usize {
        let beside = match self {
            Update::Sample { labels, value, .. } => labels.memory_bytes() + value.heap_bytes(),
            Update::Event(event) => event.memory_bytes() as usize,
            Update::Lagged(_) => 0,
        };
        // A growing queue has capacity for up to twice its entries.
        2 * size_of::<Update>() + beside
    }
}

/// Receives the durable data of the matching series, in the order of the log, from its creation on.
///
/// The buffer is bounded. Writers never wait for a subscriber: one that falls behind loses the oldest updates of its
/// buffer, and receives [`Update::Lagged`] with their number in their place. An update that is larger than the whole
/// buffer is also replaced by [`Update::Lagged`], and the others stay. The subscription ends when the database is
/// closed or its last handle is dropped, after the buffered updates are received. It does not keep the database open.
///
/// Deletes are not reported. After an update is received, every new view shows it.
pub struct Subscription {
    channel: Arc<Channel>,
    all: Arc<Subscriptions>,
}

/// The subscriptions of a database.
pub(crate) struct Subscriptions {
    process: Process,
    count: AtomicUsize,
    list: ArcSwap<Vec<Arc<Channel>>>,
    is_ended: AtomicBool,
}

/// The buffer of one subscription.
struct Channel {
    matchers: Vec<Matcher>,
    bytes_max: usize,
    state: Mutex<Buffer>,
    /// Signalled when the buffer is not empty, and at the end.
    ready: Condvar,
}

#[derive(Default)]
struct Buffer {
    updates: VecDeque<Update>,
    bytes: usize,
    /// The number of updates missing before the first.
    lost: u64,
    is_ended: bool,
    /// Whether a series matches, by its id.
    known: HashMap<u64, bool, RandomState>,
}

impl Engine {
    /// Subscribes to the series that match all matchers; `buffer_bytes` limits the updates that have not been received.
    /// In addition, the subscription caches for some series whether they match, in at most a quarter of that and at
    /// most 1.25 MiB.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn subscribe(&self, matchers: &[Matcher], buffer_bytes: usize) -> Result<Subscription> {
        self.shared.lifecycle.check_open()?;
        Ok(self.shared.writer.subscriptions().add(matchers, buffer_bytes))
    }
}

impl Subscriptions {
    pub(super) fn new(process: Process) -> Arc<Self> {
        Arc::new(Subscriptions {
            process,
            count: AtomicUsize::new(0),
            list: ArcSwap::default(),
            is_ended: AtomicBool::new(false),
        })
    }

    /// Whether there are any subscriptions.
    #[inline]
    pub(super) fn is_any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    fn add(self: &Arc<Self>, matchers: &[Matcher], bytes_max: usize) -> Subscription {
        let channel = Arc::new(Channel {
            matchers: matchers.to_vec(),
            bytes_max,
            state: Mutex::default(),
            ready: Condvar::new(),
        });
        self.list.rcu(|list| list.iter().chain([&channel]).cloned().collect::<Vec<_>>());
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.is_ended.load(Ordering::Acquire) {
            channel.end();
        }
        Subscription { channel, all: Arc::clone(self) }
    }

    fn remove(&self, channel: &Arc<Channel>) {
        self.list.rcu(|list| {
            let others = list.iter().filter(|other| !Arc::ptr_eq(other, channel));
            others.cloned().collect::<Vec<_>>()
        });
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Passes on a batch that is in the head, and its events. The caller holds the commit lock.
    #[cold]
    pub(super) fn publish(&self, batch: &ResolvedBatch, events: &[Event]) {
        for channel in self.list.load().iter() {
            channel.publish(batch, events);
        }
    }

    /// Ends all subscriptions, including later ones.
    pub(super) fn end(&self) {
        self.is_ended.store(true, Ordering::Release);
        self.list.load().iter().for_each(|channel| channel.end());
    }
}

impl Channel {
    fn publish(&self, batch: &ResolvedBatch, events: &[Event]) {
        let mut state = self.state.lock();
        if state.is_ended {
            return;
        }
        let before = (state.updates.len(), state.lost);
        batch.for_each(|series, timestamp, start_timestamp, value| {
            if state.matches(&self.matchers, series, self.bytes_max) {
                let (labels, value) = (series.labels.clone(), value.clone());
                let timestamp = Timestamp::from_nanos(timestamp);
                let start_timestamp =
                    Some(start_timestamp).filter(|start| *start != 0).map(Timestamp::from_nanos);
                state.push(Update::Sample { labels, timestamp, start_timestamp, value }, self.bytes_max);
            }
        });
        for event in events.iter().filter(|event| meets_all(&self.matchers, &event.labels)) {
            state.push(Update::Event(event.clone()), self.bytes_max);
        }
        let is_changed = before != (state.updates.len(), state.lost);
        drop(state);
        if is_changed {
            self.ready.notify_all();
        }
    }

    fn end(&self) {
        self.state.lock().is_ended = true;
        self.ready.notify_all();
    }
}

impl Buffer {
    fn matches(&mut self, matchers: &[Matcher], series: &HeadSeries, bytes_max: usize) -> bool {
        if let Some(known) = self.known.get(&series.id.0) {
            return *known;
        }
        let matches = meets_all(matchers, &series.labels);
        let known_max = KNOWN_MAX.min(bytes_max / 4 / KNOWN_BYTES);
        if self.known.len() >= known_max {
            self.known.clear();
        }
        if known_max > 0 {
            self.known.insert(series.id.0, matches);
        }
        matches
    }

    /// Adds an update, removing the oldest if necessary. One that does not fit at all is lost, and replaced by a mark.
    fn push(&mut self, mut update: Update, bytes_max: usize) {
        if update.memory_bytes() > bytes_max {
            match self.updates.back_mut() {
                None => return self.lost += 1,
                Some(Update::Lagged(missing)) => return *missing += 1,
                Some(_) => update = Update::Lagged(1),
            }
        }
        let bytes = update.memory_bytes();
        while self.bytes + bytes > bytes_max
            && let Some(oldest) = self.take_first()
        {
            self.lost += if let Update::Lagged(missing) = oldest { missing } else { 1 };
        }
        self.bytes += bytes;
        self.updates.push_back(update);
    }

    fn take_first(&mut self) -> Option<Update> {
        let first = self.updates.pop_front()?;
        self.bytes -= first.memory_bytes();
        Some(first)
    }

    fn pop(&mut self) -> Option<Update> {
        while let Some(Update::Lagged(missing)) = self.updates.front() {
            self.lost += missing;
            self.take_first();
        }
        match std::mem::take(&mut self.lost) {
            0 => self.take_first(),
            missing => Some(Update::Lagged(missing)),
        }
    }
}

impl Subscription {
    /// Waits for the next update and returns it.
    ///
    /// # Errors
    /// The database is closed and everything was received; or this is a forked child.
    pub fn recv(&self) -> std::result::Result<Update, RecvError> {
        self.receive(None).map_err(|_| RecvError)
    }

    /// Waits for the next update, at most `timeout`, and returns it.
    ///
    /// # Errors
    /// [`RecvTimeoutError::Timeout`]; also as for [`Subscription::recv`].
    pub fn recv_timeout(&self, timeout: Duration) -> std::result::Result<Update, RecvTimeoutError> {
        // A time too far away to be represented means forever.
        self.receive(Instant::now().checked_add(timeout))
    }

    /// Returns the next update if there is one.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`]; also as for [`Subscription::recv`].
    pub fn try_recv(&self) -> std::result::Result<Update, TryRecvError> {
        self.receive(Some(Instant::now())).map_err(|error| match error {
            RecvTimeoutError::Timeout => TryRecvError::Empty,
            RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
        })
    }

    fn receive(&self, until: Option<Instant>) -> std::result::Result<Update, RecvTimeoutError> {
        if self.all.process.check().is_err() {
            return Err(RecvTimeoutError::Disconnected);
        }
        let mut state = self.channel.state.lock();
        let mut is_over = until.is_some_and(|until| Instant::now() >= until);
        loop {
            if let Some(update) = state.pop() {
                return Ok(update);
            }
            if state.is_ended {
                return Err(RecvTimeoutError::Disconnected);
            }
            if is_over {
                return Err(RecvTimeoutError::Timeout);
            }
            match until {
                None => self.channel.ready.wait(&mut state),
                Some(until) => is_over = self.channel.ready.wait_until(&mut state, until).timed_out(),
            }
        }
    }
}

#[cfg(test)]
impl Subscription {
    /// The number of series in the cache.
    pub(super) fn known(&self) -> usize {
        self.channel.state.lock().known.len()
    }
}

impl Iterator for Subscription {
    type Item = Update;

    /// Waits for the next update; `None` when the subscription has ended.
    fn next(&mut self) -> Option<Update> {
        self.recv().ok()
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("matchers", &self.channel.matchers).finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // A child has the buffer, but not the threads that write to it.
        if self.all.process.check().is_ok() {
            self.all.remove(&self.channel);
        }
    }
}
