//! Maps the raw bytes of a line's series to its series, with one lookup.
//!
//! A writer repeatedly sends the same `measurement,tags` bytes. They are the key; labels are created once, when a key
//! or a field is new. The key of lines with one field, as most short-lived series have, leads directly to its series.
//! The key of others leads to the series of each field in the order in which they were first seen.
//!
//! A million keys would take as much memory as the series themselves, so a key is represented by two hashes of 64 bits,
//! each with a random key. The probability that two keys collide is 2^-128; for any two among a billion keys it is
//! 2^-69.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use hashbrown::HashTable;
use parking_lot::RwLock;

use crate::head::{HeadSeries, SeriesGroup};
use crate::line::{LineLimits, Naming};
use crate::model::Tenant;

/// The known fields of a key, and their series.
#[derive(Debug)]
pub struct LineSeries {
    /// Field keys as written.
    pub fields: Box<[Box<[u8]>]>,
    /// One series for each field.
    pub group: SeriesGroup,
}

/// The representation of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineKey(u64, u64);

/// The target of a key.
#[derive(Debug, Clone)]
pub enum Known {
    /// One series, and the number of its field in [`LineContext::fields`].
    Single(Arc<HeadSeries>, u32),
    /// The series of several fields.
    Group(Arc<LineSeries>),
}

/// Names of fields, by number.
pub type FieldNames = Arc<Vec<Box<[u8]>>>;

/// Maximum number of names shared by keys with one field. A key with another name becomes a group of one.
const FIELD_NAMES_MAX: usize = 256;

#[derive(Debug)]
struct Entry {
    key: LineKey,
    known: Known,
}

const _: () = assert!(size_of::<Entry>() == 32);

/// The keys of one context.
#[derive(Debug)]
struct Entries {
    table: HashTable<Entry>,
    /// Bytes of these keys.
    bytes: u64,
    /// Bytes of the keys of all contexts, including these until they are dropped.
    all: Arc<AtomicU64>,
}

/// The series of lines that share one set of extra labels, one tenant, one naming and the same limits.
#[derive(Debug)]
pub struct LineContext {
    extra_labels: Vec<(String, String)>,
    /// A known key is not checked again, so all its series belong to this tenant.
    tenant: Option<Tenant>,
    naming: Naming,
    /// A known key is not checked again, so it met these.
    limits: LineLimits,
    hashers: [RandomState; 2],
    entries: RwLock<Entries>,
    fields: RwLock<FieldNames>,
}

/// All contexts. Bounded: when the cache exceeds its limit in bytes, it is cleared.
#[derive(Debug)]
pub struct LineCache {
    contexts: RwLock<Vec<Arc<LineContext>>>,
    bytes: Arc<AtomicU64>,
    bytes_max: u64,
}

/// Maximum number of contexts; each database name that writers use is one.
const CONTEXTS_MAX: usize = 256;
/// Size of an entry: its slot, and the maximum number of free slots per entry.
const ENTRY_BYTES: u64 = 64;
/// Size of a group without its slot: allocations, pointers.
const GROUP_BYTES: u64 = 80;
/// Size of a field of a group without its name.
const FIELD_BYTES: u64 = 40;

impl LineCache {
    /// Creates an empty cache of at most `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> Self {
        LineCache { contexts: RwLock::default(), bytes: Arc::default(), bytes_max }
    }

    /// Its size, bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns the context of the given extra labels, tenant, naming and limits.
    pub fn context(
        &self,
        extra_labels: &[(String, String)],
        tenant: Option<&Tenant>,
        naming: &Naming,
        limits: &LineLimits,
    ) -> Arc<LineContext> {
        let is_it = |c: &&Arc<LineContext>| {
            let is_same_writer = c.extra_labels == extra_labels && c.tenant.as_ref() == tenant;
            is_same_writer && c.naming == *naming && c.limits == *limits
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
            tenant: tenant.cloned(),
            naming: *naming,
            limits: *limits,
            hashers: [RandomState::new(), RandomState::new()],
            entries: RwLock::new(Entries { table: HashTable::new(), bytes: 0, all: self.bytes.clone() }),
            fields: RwLock::default(),
        });
        contexts.push(context.clone());
        context
    }

    /// Sets the target of a key.
    pub fn insert(&self, context: &LineContext, key: LineKey, known: Known) {
        if self.bytes() + known.bytes() > self.bytes_max {
            self.contexts.read().iter().for_each(|context| context.entries.write().clear());
        }
        context.entries.write().insert(key, known);
    }

    /// Removes a key whose target is a series that has left the head.
    pub fn forget_dead(&self, context: &LineContext, key: LineKey) {
        context.entries.write().forget_dead(key);
    }

    /// Removes entries whose targets are series that have left the head.
    pub fn purge_dead(&self) {
        self.contexts.read().iter().for_each(|context| context.entries.write().purge_dead());
    }
}

impl Entries {
    fn insert(&mut self, key: LineKey, known: Known) {
        self.add(known.bytes());
        match self.table.find_mut(key.0, |entry| entry.key == key) {
            Some(entry) => {
                let before = std::mem::replace(&mut entry.known, known);
                self.sub(before.bytes());
            }
            None => {
                self.table.insert_unique(key.0, Entry { key, known }, |entry| entry.key.0);
            }
        }
    }

    fn forget_dead(&mut self, key: LineKey) {
        let is_dead = |entry: &Entry| entry.key == key && entry.known.names_a_dead_one();
        if let Ok(entry) = self.table.find_entry(key.0, is_dead) {
            let bytes = entry.remove().0.known.bytes();
            self.sub(bytes);
        }
    }

    fn purge_dead(&mut self) {
        let mut freed = 0;
        self.table.retain(|entry| {
            let is_dead = entry.known.names_a_dead_one();
            freed += if is_dead { entry.known.bytes() } else { 0 };
            !is_dead
        });
        self.table.shrink_to_fit(|entry| entry.key.0);
        self.sub(freed);
    }

    fn clear(&mut self) {
        self.table = HashTable::new();
        self.sub(self.bytes);
    }

    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.all.fetch_add(bytes, Ordering::Relaxed);
    }

    fn sub(&mut self, bytes: u64) {
        self.bytes -= bytes;
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.sub(self.bytes);
    }
}

impl Known {
    fn bytes(&self) -> u64 {
        match self {
            Known::Single(..) => ENTRY_BYTES,
            Known::Group(series) => {
                let fields = series.fields.iter().map(|field| field.len() as u64 + FIELD_BYTES);
                ENTRY_BYTES + GROUP_BYTES + fields.sum::<u64>()
            }
        }
    }

    fn names_a_dead_one(&self) -> bool {
        match self {
            Known::Single(series, _) => series.is_dead(),
            Known::Group(series) => series.group.iter().any(|series| series.is_dead()),
        }
    }
}

impl LineContext {
    /// The representation of a series key.
    #[inline]
    pub fn key(&self, series_key: &[u8]) -> LineKey {
        let [first, second] = &self.hashers;
        LineKey(first.hash_one(series_key), second.hash_one(series_key))
    }

    /// The result of `look` for the target of a key.
    #[inline]
    pub fn look<T>(&self, key: LineKey, look: impl FnOnce(&Known) -> T) -> Option<T> {
        self.entries.read().table.find(key.0, |entry| entry.key == key).map(|entry| look(&entry.known))
    }

    /// The target of a key.
    pub fn get(&self, key: LineKey) -> Option<Known> {
        self.look(key, Known::clone)
    }

    /// The names to which the numbers in [`Known::Single`] refer: at least those of all keys found before.
    pub fn fields(&self) -> FieldNames {
        self.fields.read().clone()
    }

    /// The number of a field's name; `None` if there are too many names.
    pub fn number_of(&self, field: &[u8]) -> Option<u32> {
        let mut fields = self.fields.write();
        let found = fields.iter().position(|name| **name == *field);
        let number = found.or_else(|| {
            (fields.len() < FIELD_NAMES_MAX).then(|| {
                Arc::make_mut(&mut fields).push(field.into());
                fields.len() - 1
            })
        });
        number.map(|number| number as u32)
    }

    /// Labels that are added to every line of this context.
    pub fn extra_labels(&self) -> &[(String, String)] {
        &self.extra_labels
    }

    /// The tenant of all its series.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    /// How its series are named.
    pub fn naming(&self) -> &Naming {
        &self.naming
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, SeriesId};

    fn series(id: u64) -> Arc<HeadSeries> {
        Arc::new(HeadSeries::new(SeriesId(id), Labels::empty(), 0))
    }

    fn context(cache: &LineCache, database: &str) -> Arc<LineContext> {
        let extra = [("db".to_owned(), database.to_owned())];
        cache.context(&extra, None, &Naming::MeasurementField, &LineLimits::default())
    }

    #[test]
    fn contexts_share_nothing() {
        let cache = LineCache::new(1 << 20);
        let (a, b) = (context(&cache, "a"), context(&cache, "b"));
        assert!(Arc::ptr_eq(&a, &context(&cache, "a")));
        let strict = LineLimits { tags: 1, ..LineLimits::default() };
        let extra = [("db".to_owned(), "a".to_owned())];
        let c = cache.context(&extra, None, &Naming::MeasurementField, &strict);
        let tenant = Tenant::new("db", "a").unwrap();
        let d = cache.context(&extra, Some(&tenant), &Naming::MeasurementField, &LineLimits::default());
        cache.insert(&a, a.key(b"cpu,host=a"), Known::Single(series(7), 0));
        assert!(matches!(a.get(a.key(b"cpu,host=a")), Some(Known::Single(series, 0)) if series.id.0 == 7));
        assert!(d.get(d.key(b"cpu,host=a")).is_none(), "a tenant's writer is checked");
        assert!(b.get(b.key(b"cpu,host=a")).is_none() && c.get(c.key(b"cpu,host=a")).is_none());
        assert!(a.get(a.key(b"cpu,host=b")).is_none());
    }

    #[test]
    fn names_of_fields_are_numbered_up_to_a_bound() {
        let cache = LineCache::new(1 << 20);
        let context = context(&cache, "");
        for number in 0..FIELD_NAMES_MAX as u32 {
            assert_eq!(context.number_of(&number.to_le_bytes()), Some(number));
        }
        assert_eq!(context.number_of(b"one more"), None);
        assert_eq!(context.number_of(&9u32.to_le_bytes()), Some(9));
        assert_eq!(*context.fields()[9], 9u32.to_le_bytes());
    }

    #[test]
    fn contexts_that_go_give_their_bytes_back() {
        let cache = LineCache::new(1 << 20);
        let first = context(&cache, "first");
        cache.insert(&first, first.key(b"cpu"), Known::Single(series(1), 0));
        (0..CONTEXTS_MAX).for_each(|number| drop(context(&cache, &number.to_string())));
        assert!(!Arc::ptr_eq(&first, &context(&cache, "first")), "all contexts were dropped");
        // A writer that still holds an evicted context may use it.
        cache.insert(&first, first.key(b"mem"), Known::Single(series(2), 0));
        assert_eq!(cache.bytes(), 2 * ENTRY_BYTES);
        drop(first);
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn it_starts_over_when_full_and_forgets_the_dead() {
        let cache = LineCache::new(10 * ENTRY_BYTES);
        let full = context(&cache, "");
        for id in 0..100u64 {
            cache.insert(&full, full.key(&id.to_le_bytes()), Known::Single(series(id), 0));
            assert!(full.entries.read().table.len() <= 10);
        }
        let cache = LineCache::new(1 << 20);
        let context = context(&cache, "");
        let (alive, dead) = (series(1), series(2));
        let group = |members: &[&Arc<HeadSeries>]| {
            let fields = members.iter().map(|series| series.id.0.to_le_bytes().to_vec().into()).collect();
            let group = members.iter().map(|&series| series.clone()).collect();
            Known::Group(Arc::new(LineSeries { fields, group }))
        };
        cache.insert(&context, context.key(b"alive"), Known::Single(alive.clone(), 0));
        let bytes_before = cache.bytes.load(Ordering::Relaxed);
        cache.insert(&context, context.key(b"dead"), group(&[&dead]));
        cache.insert(&context, context.key(b"dead"), Known::Single(dead.clone(), 0));
        cache.insert(&context, context.key(b"both"), group(&[&alive, &dead]));
        assert!(dead.evict_if_idle(0, crate::head::Epoch { number: 1, cut: 0 }));
        cache.purge_dead();
        assert!(context.get(context.key(b"alive")).is_some());
        assert!(context.get(context.key(b"dead")).is_none());
        assert!(context.get(context.key(b"both")).is_none());
        assert_eq!(cache.bytes.load(Ordering::Relaxed), bytes_before);
    }
}
