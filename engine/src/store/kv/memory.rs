//! A store in memory, for tests and for embedders that do not want files.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::RwLock;

use crate::store::kv::{Bulk, Change, Cursor, Family, KeyRange, Kv, KvStats, Removal, Table, TableWriter};
use crate::{Error, Result};

type Pair = (Arc<[u8]>, Arc<[u8]>);
type Pairs = BTreeMap<Arc<[u8]>, Arc<[u8]>>;

/// One ordered map for each family.
#[derive(Debug, Default)]
pub struct MemoryKv {
    families: [RwLock<Pairs>; Family::ALL.len()],
    /// Bytes of keys and values.
    bytes: AtomicU64,
    pairs: AtomicU64,
}

/// Bytes of a pair besides its key and value: two allocations with the counts of an `Arc`, and its slot in a node of
/// the map. Two thirds of the slots are in use.
const PAIR_BYTES: u64 = 2 * (16 + 16) + 48;

impl MemoryKv {
    fn family(&self, family: Family) -> &RwLock<Pairs> {
        &self.families[family as usize]
    }

    fn insert(&self, pairs: &mut Pairs, key: Vec<u8>, value: Vec<u8>) {
        let (key_bytes, value_bytes) = (key.len() as u64, value.len() as u64);
        self.bytes.fetch_add(key_bytes + value_bytes, Relaxed);
        match pairs.insert(Arc::from(key), Arc::from(value)) {
            Some(old) => drop(self.bytes.fetch_sub(key_bytes + old.len() as u64, Relaxed)),
            None => drop(self.pairs.fetch_add(1, Relaxed)),
        }
    }

    fn remove(&self, pairs: &mut Pairs, key: &[u8]) {
        if let Some(old) = pairs.remove(key) {
            self.bytes.fetch_sub((key.len() + old.len()) as u64, Relaxed);
            self.pairs.fetch_sub(1, Relaxed);
        }
    }

    /// A copy as it is now.
    #[cfg(test)]
    pub fn copy(&self) -> MemoryKv {
        MemoryKv {
            families: self.families.each_ref().map(|family| RwLock::new(family.read().clone())),
            bytes: AtomicU64::new(self.bytes.load(Relaxed)),
            pairs: AtomicU64::new(self.pairs.load(Relaxed)),
        }
    }

    /// The pairs in a range of keys.
    #[cfg(test)]
    pub fn pairs(&self, family: Family, range: &KeyRange) -> Vec<(Vec<u8>, Vec<u8>)> {
        let pairs = self.family(family).read();
        let within = (Bound::Included(&range.0[..]), Bound::Excluded(&range.1[..]));
        pairs.range::<[u8], _>(within).map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    /// Flips the last bit of the value of the first key with `prefix`.
    #[cfg(test)]
    pub fn flip(&self, family: Family, prefix: &[u8]) {
        self.change(family, prefix, |value| *value.last_mut().expect("it has a value") ^= 1);
    }

    /// Changes the value of the first key with `prefix`.
    #[cfg(test)]
    pub fn change(&self, family: Family, prefix: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
        let mut pairs = self.family(family).write();
        let found = pairs.iter_mut().find(|(key, _)| key.starts_with(prefix));
        let (_, value) = found.expect("a key with the prefix");
        let mut changed = value.to_vec();
        change(&mut changed);
        *value = Arc::from(changed);
    }
}

impl Bulk for MemoryKv {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.family(family).read().get(key).map(|value| value.to_vec()))
    }

    fn cursor<'a>(&'a self, family: Family) -> Box<dyn Cursor + 'a> {
        Box::new(MemoryCursor { pairs: self.family(family), entry: None })
    }

    fn table<'a>(&'a self, _family: Family) -> Result<Box<dyn TableWriter + 'a>> {
        Ok(Box::new(MemoryTable::default()))
    }

    fn ingest(&self, family: Family, tables: Vec<Table>) -> Result<()> {
        let mut pairs = self.family(family).write();
        for table in tables {
            let Table::Memory(rows) = table else {
                return Err(Error::Store {
                    action: "ingest",
                    message: "a file table in a memory store".to_owned(),
                });
            };
            rows.into_iter().for_each(|(key, value)| self.insert(&mut pairs, key, value));
        }
        Ok(())
    }
}

impl Kv for MemoryKv {
    fn commit(&self, changes: Vec<Change>) -> Result<()> {
        let mut pairs = self.family(Family::Meta).write();
        for (key, value) in changes {
            match value {
                Some(value) => self.insert(&mut pairs, key, value),
                None => self.remove(&mut pairs, &key),
            }
        }
        Ok(())
    }

    fn remove_ranges(&self, family: Family, ranges: Vec<KeyRange>, _removal: Removal) -> Result<()> {
        let mut pairs = self.family(family).write();
        for (start, end) in ranges {
            let within = (Bound::Included(&start[..]), Bound::Excluded(&end[..]));
            let keys: Vec<Arc<[u8]>> = pairs.range::<[u8], _>(within).map(|(key, _)| key.clone()).collect();
            keys.iter().for_each(|key| self.remove(&mut pairs, key));
        }
        Ok(())
    }

    fn checkpoint(&self, _dir: &Path) -> Result<()> {
        Err(Error::Invalid("a database in memory has no files to copy".to_owned()))
    }

    fn stats(&self) -> KvStats {
        let bytes = self.bytes.load(Relaxed);
        let other_memory_bytes = bytes + self.pairs.load(Relaxed) * PAIR_BYTES;
        KvStats { table_bytes: bytes, other_memory_bytes, ..KvStats::default() }
    }
}

struct MemoryCursor<'a> {
    pairs: &'a RwLock<Pairs>,
    entry: Option<Pair>,
}

impl Cursor for MemoryCursor<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        let pairs = self.pairs.read();
        let mut range = pairs.range::<[u8], _>((Bound::Included(key), Bound::Unbounded));
        self.entry = range.next().map(|(k, v)| (k.clone(), v.clone()));
        Ok(())
    }

    fn advance(&mut self) -> Result<()> {
        let Some((key, _)) = self.entry.take() else { return Ok(()) };
        let pairs = self.pairs.read();
        let mut range = pairs.range::<[u8], _>((Bound::Excluded(&key[..]), Bound::Unbounded));
        self.entry = range.next().map(|(k, v)| (k.clone(), v.clone()));
        Ok(())
    }

    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.entry.as_ref().map(|(k, v)| (&k[..], &v[..]))
    }
}

#[derive(Default)]
struct MemoryTable {
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: u64,
}

impl TableWriter for MemoryTable {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        debug_assert!(self.rows.last().is_none_or(|(last, _)| &last[..] < key));
        self.bytes += (key.len() + value.len()) as u64;
        self.rows.push((key.to_vec(), value.to_vec()));
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        self.bytes
    }

    fn finish(self: Box<Self>) -> Result<Table> {
        Ok(Table::Memory(self.rows))
    }
}
