//! From the bytes that name a series in a remote-write request to the series, in one hash.
//!
//! A sender repeats the label bytes of each series with each sample. They are the key here;
//! labels are decoded, checked and registered once, when a key is new.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use parking_lot::RwLock;

use crate::head::HeadSeries;
use crate::remote::RemoteVersion;

// Keys come from the network: the hash is keyed.
type Entries = RwLock<HashMap<Box<[u8]>, Arc<HeadSeries>, RandomState>>;

/// The series of each key, apart for each version. Bounded: when it holds more bytes than
/// it may, it starts over.
#[derive(Debug)]
pub struct RemoteCache {
    one: Entries,
    two: Entries,
    bytes: AtomicU64,
    bytes_max: u64,
}

/// Cost of an entry beside its key: map slot, allocation, pointers.
const ENTRY_BYTES: u64 = 64;

impl RemoteCache {
    /// An empty cache of at most `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> Self {
        RemoteCache { one: RwLock::default(), two: RwLock::default(), bytes: AtomicU64::new(0), bytes_max }
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn entries(&self, version: RemoteVersion) -> &Entries {
        match version {
            RemoteVersion::One => &self.one,
            RemoteVersion::Two => &self.two,
        }
    }

    /// The series of a key.
    pub fn get(&self, version: RemoteVersion, key: &[u8]) -> Option<Arc<HeadSeries>> {
        self.entries(version).read().get(key).cloned()
    }

    /// Remembers the series of a key.
    pub fn insert(&self, version: RemoteVersion, key: &[u8], series: &Arc<HeadSeries>) {
        let bytes = ENTRY_BYTES + key.len() as u64;
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.bytes_max {
            self.one.write().clear();
            self.two.write().clear();
            self.bytes.store(bytes, Ordering::Relaxed);
        }
        if self.entries(version).write().insert(key.into(), series.clone()).is_some() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Forgets a key that names a series which left the head.
    pub fn forget_dead(&self, version: RemoteVersion, key: &[u8]) {
        let mut entries = self.entries(version).write();
        if entries.get(key).is_some_and(|series| series.is_dead()) {
            entries.remove(key);
            self.bytes.fetch_sub(ENTRY_BYTES + key.len() as u64, Ordering::Relaxed);
        }
    }

    /// How many keys it holds.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.one.read().len() + self.two.read().len()
    }

    /// Forgets entries of series that left the head.
    pub fn purge_dead(&self) {
        for entries in [&self.one, &self.two] {
            let mut freed = 0;
            entries.write().retain(|key, series| {
                freed += if series.is_dead() { ENTRY_BYTES + key.len() as u64 } else { 0 };
                !series.is_dead()
            });
            self.bytes.fetch_sub(freed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, SeriesId};

    #[test]
    fn it_starts_over_when_full_and_forgets_the_dead() {
        let cache = RemoteCache::new(1_000);
        let series = |id: u64| Arc::new(HeadSeries::new(SeriesId(id), Labels::empty(), 0));
        for id in 0..100u64 {
            cache.insert(RemoteVersion::One, &id.to_le_bytes(), &series(id));
            assert_eq!(cache.get(RemoteVersion::One, &id.to_le_bytes()).unwrap().id.0, id);
            assert!(cache.get(RemoteVersion::Two, &id.to_le_bytes()).is_none());
        }
        assert!(cache.one.read().len() <= 1_000 / 72);
        let alive = series(1);
        let dead = series(2);
        cache.insert(RemoteVersion::Two, b"alive", &alive);
        cache.insert(RemoteVersion::Two, b"dead", &dead);
        assert!(dead.retire_if_idle(0, crate::head::Epoch { number: 1, cut: 0 }));
        cache.purge_dead();
        assert!(cache.get(RemoteVersion::Two, b"alive").is_some());
        assert!(cache.get(RemoteVersion::Two, b"dead").is_none());
    }
}
