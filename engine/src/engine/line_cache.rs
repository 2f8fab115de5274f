//! From the raw bytes of a line's series to its series, in one hash.
//!
//! A writer sends the same `measurement,tags` bytes again and again. They are the key here;
//! the value is the series of each field in the order they were first seen. Labels are
//! made once, when a key or a field is new.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use parking_lot::RwLock;

use crate::head::SeriesGroup;
use crate::line::{LineLimits, Naming};

/// What belongs to a key: the fields known so far and their series.
#[derive(Debug)]
pub struct LineSeries {
    /// Field keys as written.
    pub fields: Box<[Box<[u8]>]>,
    /// One series for each field.
    pub group: SeriesGroup,
}

/// The series of lines that share one set of extra labels, one naming and one set of limits.
#[derive(Debug)]
pub struct LineContext {
    extra_labels: Vec<(String, String)>,
    naming: Naming,
    /// A known key is not checked again, so it met these.
    limits: LineLimits,
    // Keys come from the network: the hash is keyed.
    entries: RwLock<HashMap<Box<[u8]>, Arc<LineSeries>, RandomState>>,
}

/// All contexts. Bounded: when it holds more bytes than it may, it starts over.
#[derive(Debug)]
pub struct LineCache {
    contexts: RwLock<Vec<Arc<LineContext>>>,
    bytes: AtomicU64,
    bytes_max: u64,
}

/// Most contexts; each database name that writers use is one.
const CONTEXTS_MAX: usize = 256;
/// Cost of an entry beside its keys: map slot, allocations, pointers.
const ENTRY_BYTES: u64 = 160;

impl LineCache {
    /// An empty cache of at most `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> Self {
        LineCache { contexts: RwLock::default(), bytes: AtomicU64::new(0), bytes_max }
    }

    /// The context of some extra labels, a naming and limits.
    pub fn context(
        &self,
        extra_labels: &[(String, String)],
        naming: &Naming,
        limits: &LineLimits,
    ) -> Arc<LineContext> {
        let is_it = |c: &&Arc<LineContext>| {
            c.extra_labels == extra_labels && c.naming == *naming && c.limits == *limits
        };
        if let Some(context) = self.contexts.read().iter().find(is_it) {
            return context.clone();
        }
        let mut contexts = self.contexts.write();
        if let Some(context) = contexts.iter().find(is_it) {
            return context.clone();
        }
        if contexts.len() >= CONTEXTS_MAX {
            contexts.clear();
        }
        let context = Arc::new(LineContext {
            extra_labels: extra_labels.to_vec(),
            naming: *naming,
            limits: *limits,
            entries: RwLock::default(),
        });
        contexts.push(context.clone());
        context
    }

    /// Remembers the series of a key, in place of what was known before.
    pub fn insert(&self, context: &LineContext, key: &[u8], series: Arc<LineSeries>) {
        let fields: usize = series.fields.iter().map(|f| f.len() + 40).sum();
        let bytes = ENTRY_BYTES + (key.len() + fields) as u64;
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.bytes_max {
            self.contexts.read().iter().for_each(|c| c.entries.write().clear());
            self.bytes.store(bytes, Ordering::Relaxed);
        }
        context.entries.write().insert(key.into(), series);
    }

    /// Forgets entries that name series which left the head.
    pub fn purge_dead(&self) {
        for context in self.contexts.read().iter() {
            context.entries.write().retain(|_, entry| !entry.group.iter().any(|s| s.is_dead()));
        }
    }
}

impl LineContext {
    /// What `look` makes of the series of a key.
    #[inline]
    pub fn look<T>(&self, key: &[u8], look: impl FnOnce(&LineSeries) -> T) -> Option<T> {
        self.entries.read().get(key).map(|series| look(series))
    }

    /// The series of a key.
    pub fn get(&self, key: &[u8]) -> Option<Arc<LineSeries>> {
        self.entries.read().get(key).cloned()
    }

    /// Labels that every line of this context gets.
    pub fn extra_labels(&self) -> &[(String, String)] {
        &self.extra_labels
    }

    /// How its series are named.
    pub fn naming(&self) -> &Naming {
        &self.naming
    }
}
