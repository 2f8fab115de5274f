//! From the bytes that name a series in a remote-write request to the series, in one hash.
//!
//! A sender repeats the label bytes of each series with each sample. They are the key here;
//! labels are decoded, checked and registered once, when a key is new.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::RwLock;

use crate::head::HeadSeries;
use crate::remote::RemoteVersion;

// Keys come from the network: the hash is keyed.
type Series = HashMap<Box<[u8]>, Arc<HeadSeries>, RandomState>;

/// The series of each key, apart for each version. Bounded: when it holds more bytes than
/// it may, it starts over.
#[derive(Debug)]
pub struct RemoteCache {
    entries: RwLock<Entries>,
    bytes_max: u64,
}

#[derive(Debug, Default)]
struct Entries {
    one: Series,
    two: Series,
    /// What both take.
    bytes: u64,
}

/// Cost of an entry beside its key: map slot, allocation, pointers.
const ENTRY_BYTES: u64 = 64;

fn bytes_of(key: &[u8]) -> u64 {
    ENTRY_BYTES + key.len() as u64
}

impl Entries {
    fn of(&self, version: RemoteVersion) -> &Series {
        match version {
            RemoteVersion::One => &self.one,
            RemoteVersion::Two => &self.two,
        }
    }

    fn of_mut(&mut self, version: RemoteVersion) -> &mut Series {
        match version {
            RemoteVersion::One => &mut self.one,
            RemoteVersion::Two => &mut self.two,
        }
    }
}

impl RemoteCache {
    /// An empty cache of at most `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> Self {
        RemoteCache { entries: RwLock::default(), bytes_max }
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> u64 {
        self.entries.read().bytes
    }

    /// The series of a key.
    pub fn get(&self, version: RemoteVersion, key: &[u8]) -> Option<Arc<HeadSeries>> {
        self.entries.read().of(version).get(key).cloned()
    }

    /// Remembers the series of a key.
    pub fn insert(&self, version: RemoteVersion, key: &[u8], series: &Arc<HeadSeries>) {
        let bytes = bytes_of(key);
        let mut entries = self.entries.write();
        if entries.bytes + bytes > self.bytes_max {
            *entries = Entries::default();
        }
        if entries.of_mut(version).insert(key.into(), series.clone()).is_none() {
            entries.bytes += bytes;
        }
    }

    /// Forgets a key that names a series which left the head.
    pub fn forget_dead(&self, version: RemoteVersion, key: &[u8]) {
        let mut entries = self.entries.write();
        let series = entries.of_mut(version);
        if series.get(key).is_some_and(|series| series.is_dead()) {
            series.remove(key);
            entries.bytes -= bytes_of(key);
        }
    }

    /// How many keys it holds.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let entries = self.entries.read();
        entries.one.len() + entries.two.len()
    }

    /// Forgets entries of series that left the head.
    pub fn purge_dead(&self) {
        let Entries { one, two, bytes } = &mut *self.entries.write();
        for series in [one, two] {
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

    #[test]
    fn it_starts_over_when_full_and_forgets_the_dead() {
        let cache = RemoteCache::new(1_000);
        let series = |id: u64| Arc::new(HeadSeries::new(SeriesId(id), Labels::empty(), 0));
        for id in 0..100u64 {
            cache.insert(RemoteVersion::One, &id.to_le_bytes(), &series(id));
            assert_eq!(cache.get(RemoteVersion::One, &id.to_le_bytes()).unwrap().id.0, id);
            assert!(cache.get(RemoteVersion::Two, &id.to_le_bytes()).is_none());
        }
        assert!(cache.len() <= 1_000 / 72);
        let alive = series(1);
        let dead = series(2);
        let bytes_before = cache.bytes();
        cache.insert(RemoteVersion::Two, b"alive", &alive);
        cache.insert(RemoteVersion::Two, b"dead", &dead);
        assert!(dead.retire_if_idle(0, crate::head::Epoch { number: 1, cut: 0 }));
        cache.purge_dead();
        assert!(cache.get(RemoteVersion::Two, b"alive").is_some());
        assert!(cache.get(RemoteVersion::Two, b"dead").is_none());
        assert_eq!(cache.bytes(), bytes_before + bytes_of(b"alive"));
    }
}
