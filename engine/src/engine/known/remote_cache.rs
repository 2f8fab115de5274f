//! Maps the bytes that name a series in a remote-write request to the series, with one hash lookup.
//!
//! A sender repeats the label bytes of each series with each sample. These bytes are the key; labels are decoded,
//! checked and registered once, when a key is new. The same bytes from a tenant's writer name different series, or are
//! refused: its keys begin with its name, and are kept separately from keys without a tenant.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::RwLock;

use crate::head::HeadSeries;
use crate::model::Tenant;
use crate::remote::RemoteVersion;

// Keys come from the network, so the hash is keyed.
type Series = HashMap<Box<[u8]>, Arc<HeadSeries>, RandomState>;

/// A class of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    version: RemoteVersion,
    of_tenants: bool,
}

impl Keys {
    /// The keys of a version, either of the writers of all tenants or of all other writers.
    pub fn of(version: RemoteVersion, tenant: Option<&Tenant>) -> Self {
        Keys { version, of_tenants: tenant.is_some() }
    }

    /// The prefix of the keys of a tenant's writer.
    pub fn prefix(tenant: &Tenant) -> Vec<u8> {
        let mut prefix = Vec::new();
        for text in [tenant.label(), tenant.name()] {
            prefix.extend_from_slice(&(text.len() as u64).to_le_bytes());
            prefix.extend_from_slice(text.as_bytes());
        }
        prefix
    }

    /// The length of that prefix, bytes.
    pub fn prefix_len(tenant: &Tenant) -> usize {
        2 * size_of::<u64>() + tenant.label().len() + tenant.name().len()
    }

    fn number(self) -> usize {
        2 * usize::from(self.version == RemoteVersion::Two) + usize::from(self.of_tenants)
    }
}

/// The series of each key, one map for each class. Bounded: it is cleared when it exceeds its limit in bytes.
#[derive(Debug)]
pub struct RemoteCache {
    entries: RwLock<Entries>,
    bytes_max: u64,
}

#[derive(Debug, Default)]
struct Entries {
    /// Indexed by [`Keys::number`].
    series: [Series; 4],
    /// Bytes of all maps.
    bytes: u64,
}

/// Cost of an entry without its key: map slot, allocation, pointers.
const ENTRY_BYTES: u64 = 64;

fn bytes_of(key: &[u8]) -> u64 {
    ENTRY_BYTES + key.len() as u64
}

impl RemoteCache {
    /// Creates an empty cache of at most `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> Self {
        RemoteCache { entries: RwLock::default(), bytes_max }
    }

    /// Its size, bytes.
    pub fn bytes(&self) -> u64 {
        self.entries.read().bytes
    }

    /// The series of a key.
    pub fn get(&self, keys: Keys, key: &[u8]) -> Option<Arc<HeadSeries>> {
        self.entries.read().series[keys.number()].get(key).cloned()
    }

    /// Adds the series of a key.
    pub fn insert(&self, keys: Keys, key: &[u8], series: &Arc<HeadSeries>) {
        let bytes = bytes_of(key);
        let mut entries = self.entries.write();
        if entries.bytes + bytes > self.bytes_max {
            *entries = Entries::default();
        }
        if entries.series[keys.number()].insert(key.into(), series.clone()).is_none() {
            entries.bytes += bytes;
        }
    }

    /// Removes a key whose series has left the head.
    pub fn forget_dead(&self, keys: Keys, key: &[u8]) {
        let mut entries = self.entries.write();
        let series = &mut entries.series[keys.number()];
        if series.get(key).is_some_and(|series| series.is_dead()) {
            series.remove(key);
            entries.bytes -= bytes_of(key);
        }
    }

    /// The number of keys.
    #[cfg(test)]
    pub(in crate::engine) fn len(&self) -> usize {
        let entries = self.entries.read();
        entries.series.iter().map(HashMap::len).sum()
    }

    /// Removes entries whose series have left the head.
    pub fn purge_dead(&self) {
        let Entries { series, bytes } = &mut *self.entries.write();
        for series in series {
            series.retain(|key, series| {
                let is_dead = series.is_dead();
                *bytes -= if is_dead { bytes_of(key) } else { 0 };
                !is_dead
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, SeriesId};

    const ONE: Keys = Keys { version: RemoteVersion::One, of_tenants: false };
    const TWO: Keys = Keys { version: RemoteVersion::Two, of_tenants: false };

    #[test]
    fn keys_of_tenants_are_their_own() {
        let (a, b) = (Tenant::new("db", "a").unwrap(), Tenant::new("db", "ab").unwrap());
        assert_eq!(Keys::prefix(&a).len(), Keys::prefix_len(&a));
        assert_ne!(Keys::prefix(&a), Keys::prefix(&b)[..Keys::prefix(&a).len()]);
        let cache = RemoteCache::new(1_000);
        let series = Arc::new(HeadSeries::new(SeriesId(1), Labels::empty(), 0));
        let key = Keys::prefix(&a);
        cache.insert(ONE, &key, &series);
        assert!(cache.get(Keys::of(RemoteVersion::One, Some(&a)), &key).is_none());
        cache.insert(Keys::of(RemoteVersion::One, Some(&a)), &key, &series);
        assert!(cache.get(Keys::of(RemoteVersion::Two, Some(&a)), &key).is_none());
        assert_eq!(cache.len(), 2);
    }

    #[test]
    fn it_starts_over_when_full_and_forgets_the_dead() {
        let cache = RemoteCache::new(1_000);
        let series = |id: u64| Arc::new(HeadSeries::new(SeriesId(id), Labels::empty(), 0));
        for id in 0..100u64 {
            cache.insert(ONE, &id.to_le_bytes(), &series(id));
            assert_eq!(cache.get(ONE, &id.to_le_bytes()).unwrap().id.0, id);
            assert!(cache.get(TWO, &id.to_le_bytes()).is_none());
        }
        assert!(cache.len() <= 1_000 / 72);
        let alive = series(1);
        let dead = series(2);
        let bytes_before = cache.bytes();
        cache.insert(TWO, b"alive", &alive);
        cache.insert(TWO, b"dead", &dead);
        assert!(dead.evict_if_idle(0, crate::head::Epoch { number: 1, cut: 0 }));
        cache.purge_dead();
        assert!(cache.get(TWO, b"alive").is_some());
        assert!(cache.get(TWO, b"dead").is_none());
        assert_eq!(cache.bytes(), bytes_before + bytes_of(b"alive"));
    }
}
