//! From the raw bytes of a line's series to its series, in one look-up.
//!
//! A writer sends the same `measurement,tags` bytes again and again. They are the key here;
//! labels are made once, when a key or a field is new. A line of one field, which is what
//! short-lived series mostly are, leads to its series directly; the key of others leads to
//! the series of each field in the order they were first seen.
//!
//! A million writers' keys would take more memory than the series themselves, so what is
//! kept of a key is two hashes of 64 bits, each under a random key of its own. Two keys
//! meet with a chance of 2^-128; among a billion keys that any two do, with one of 2^-69.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use hashbrown::HashTable;
use parking_lot::RwLock;

use crate::head::{HeadSeries, SeriesGroup};
use crate::line::Naming;

/// What belongs to a key: the fields known so far and their series.
#[derive(Debug)]
pub struct LineSeries {
    /// Field keys as written.
    pub fields: Box<[Box<[u8]>]>,
    /// One series for each field.
    pub group: SeriesGroup,
}

/// What is kept of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineKey(u64, u64);

#[derive(Debug)]
struct Entry<T> {
    key: LineKey,
    series: T,
}

type Entries<T> = RwLock<HashTable<Entry<T>>>;

/// The series of lines that share one set of extra labels and one naming.
#[derive(Debug)]
pub struct LineContext {
    extra_labels: Vec<(String, String)>,
    naming: Naming,
    hashers: [RandomState; 2],
    /// By key and field.
    singles: Entries<Arc<HeadSeries>>,
    /// By key.
    groups: Entries<Arc<LineSeries>>,
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
/// Cost of an entry: its slot, and as many free ones as a table has at worst.
const ENTRY_BYTES: u64 = 56;
/// Cost of a group beside its slot: allocations, pointers.
const GROUP_BYTES: u64 = 80;
/// Cost of a field of a group beside its name.
const FIELD_BYTES: u64 = 40;

impl LineCache {
    /// An empty cache of at most `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> Self {
        LineCache { contexts: RwLock::default(), bytes: AtomicU64::new(0), bytes_max }
    }

    /// The context of some extra labels and a naming.
    pub fn context(&self, extra_labels: &[(String, String)], naming: &Naming) -> Arc<LineContext> {
        let is_it = |c: &&Arc<LineContext>| c.extra_labels == extra_labels && c.naming == *naming;
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
            hashers: [RandomState::new(), RandomState::new()],
            singles: RwLock::default(),
            groups: RwLock::default(),
        });
        contexts.push(context.clone());
        context
    }

    /// Remembers the series of a key and a field.
    pub fn insert_single(&self, context: &LineContext, key: LineKey, series: &Arc<HeadSeries>) {
        self.make_room(ENTRY_BYTES);
        insert(&context.singles, key, series.clone());
    }

    /// Remembers the series of a key, in place of what was known before.
    pub fn insert_group(&self, context: &LineContext, key: LineKey, series: Arc<LineSeries>) {
        self.make_room(bytes_of(&series));
        insert(&context.groups, key, series);
    }

    fn make_room(&self, bytes: u64) {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.bytes_max {
            for context in self.contexts.read().iter() {
                *context.singles.write() = HashTable::new();
                *context.groups.write() = HashTable::new();
            }
            self.bytes.store(bytes, Ordering::Relaxed);
        }
    }

    /// Forgets entries that name series which left the head.
    pub fn purge_dead(&self) {
        for context in self.contexts.read().iter() {
            let mut freed = 0;
            let mut singles = context.singles.write();
            singles.retain(|entry| {
                freed += if entry.series.is_dead() { ENTRY_BYTES } else { 0 };
                !entry.series.is_dead()
            });
            singles.shrink_to_fit(|entry| entry.key.0);
            drop(singles);
            context.groups.write().retain(|entry| {
                let is_dead = entry.series.group.iter().any(|series| series.is_dead());
                freed += if is_dead { bytes_of(&entry.series) } else { 0 };
                !is_dead
            });
            self.bytes.fetch_sub(freed, Ordering::Relaxed);
        }
    }
}

fn bytes_of(series: &LineSeries) -> u64 {
    let fields: u64 = series.fields.iter().map(|field| field.len() as u64 + FIELD_BYTES).sum();
    ENTRY_BYTES + GROUP_BYTES + fields
}

fn get<T: Clone>(entries: &Entries<T>, key: LineKey) -> Option<T> {
    entries.read().find(key.0, |entry| entry.key == key).map(|entry| entry.series.clone())
}

fn insert<T>(entries: &Entries<T>, key: LineKey, series: T) {
    let mut entries = entries.write();
    match entries.find_mut(key.0, |entry| entry.key == key) {
        Some(entry) => entry.series = series,
        None => {
            entries.insert_unique(key.0, Entry { key, series }, |entry| entry.key.0);
        }
    }
}

impl LineContext {
    /// What is kept of a series key, and of one field's where it is the only one.
    #[inline]
    pub fn key(&self, series_key: &[u8], field: &[u8]) -> LineKey {
        let [first, second] = self.hashers.each_ref().map(|hasher| {
            let mut hasher = hasher.build_hasher();
            hasher.write(series_key);
            hasher.write(field);
            hasher.write_usize(series_key.len());
            hasher.finish()
        });
        LineKey(first, second)
    }

    /// The series of a key and a field.
    #[inline]
    pub fn single(&self, key: LineKey) -> Option<Arc<HeadSeries>> {
        get(&self.singles, key)
    }

    /// The series of a key.
    #[inline]
    pub fn group(&self, key: LineKey) -> Option<Arc<LineSeries>> {
        get(&self.groups, key)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, SeriesId};

    fn series(id: u64) -> Arc<HeadSeries> {
        Arc::new(HeadSeries::new(SeriesId(id), Labels::empty(), 0))
    }

    #[test]
    fn keys_and_fields_do_not_run_into_each_other() {
        let cache = LineCache::new(1 << 20);
        let context = cache.context(&[], &Naming::MeasurementField);
        let keys = [("cpu,host=a", "b"), ("cpu,host=", "ab"), ("cpu,host=ab", ""), ("", "cpu,host=ab")];
        for (id, (key, field)) in keys.iter().enumerate() {
            let key = context.key(key.as_bytes(), field.as_bytes());
            assert!(context.single(key).is_none());
            cache.insert_single(&context, key, &series(id as u64));
        }
        for (id, (key, field)) in keys.iter().enumerate() {
            let found = context.single(context.key(key.as_bytes(), field.as_bytes()));
            assert_eq!(found.map(|series| series.id.0), Some(id as u64));
        }
        let other = cache.context(&[("db".to_owned(), "x".to_owned())], &Naming::MeasurementField);
        assert!(other.single(other.key(b"cpu,host=a", b"b")).is_none(), "contexts share nothing");
    }

    #[test]
    fn it_starts_over_when_full_and_forgets_the_dead() {
        let cache = LineCache::new(10 * ENTRY_BYTES);
        let context = cache.context(&[], &Naming::MeasurementField);
        for id in 0..100u64 {
            cache.insert_single(&context, context.key(&id.to_le_bytes(), b""), &series(id));
            assert!(context.singles.read().len() <= 10);
        }
        let (alive, dead) = (series(1), series(2));
        let group = |members: &[&Arc<HeadSeries>]| {
            let fields = members.iter().map(|series| series.id.0.to_le_bytes().to_vec().into()).collect();
            Arc::new(LineSeries { fields, group: members.iter().map(|&series| series.clone()).collect() })
        };
        let cache = LineCache::new(1 << 20);
        let context = cache.context(&[], &Naming::MeasurementField);
        cache.insert_single(&context, context.key(b"alive", b""), &alive);
        let bytes_before = cache.bytes.load(Ordering::Relaxed);
        cache.insert_single(&context, context.key(b"dead", b""), &dead);
        cache.insert_group(&context, context.key(b"both", b""), group(&[&alive, &dead]));
        assert!(dead.retire_if_idle(0));
        cache.purge_dead();
        assert!(context.single(context.key(b"alive", b"")).is_some());
        assert!(context.single(context.key(b"dead", b"")).is_none());
        assert!(context.group(context.key(b"both", b"")).is_none());
        assert_eq!(cache.bytes.load(Ordering::Relaxed), bytes_before);
    }
}
