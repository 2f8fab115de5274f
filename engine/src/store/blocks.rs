//! A sorted list whose versions share their common parts.
//!
//! Entries are in reference-counted blocks of at most [`BLOCK_MAX`]. Copying the list is free. A change copies one
//! block and the list of blocks: about the square root of the number of entries. Each block has a sum of its entries,
//! so a search skips blocks without matching entries.

use std::sync::Arc;

/// Maximum entries of a block.
const BLOCK_MAX: usize = 256;

/// An element of the list. Cheap to clone: a reference count.
pub trait Entry: Clone {
    /// The sort key.
    type Key: Ord + Copy;
    /// A summary of several entries.
    type Sum: Clone + Default + std::fmt::Debug;

    /// Its key.
    fn key(&self) -> Self::Key;

    /// Adds it to a summary.
    fn add_to(&self, sum: &mut Self::Sum);
}

/// A sorted list without duplicate keys.
#[derive(Debug, Clone)]
pub struct Blocks<T: Entry> {
    blocks: Arc<Vec<Arc<Block<T>>>>,
    len: usize,
}

/// Consecutive entries; never empty.
#[derive(Debug, Clone)]
struct Block<T: Entry> {
    entries: Vec<T>,
    sum: T::Sum,
}

impl<T: Entry> Block<T> {
    fn new(entries: Vec<T>) -> Arc<Self> {
        let mut block = Block { entries, sum: T::Sum::default() };
        block.add_up();
        Arc::new(block)
    }

    fn add_up(&mut self) {
        note_touched(self.entries.len());
        self.sum = T::Sum::default();
        self.entries.iter().for_each(|entry| entry.add_to(&mut self.sum));
    }

    fn last(&self) -> T::Key {
        self.entries.last().expect("a block is never empty").key()
    }
}

impl<T: Entry> Default for Blocks<T> {
    fn default() -> Self {
        Blocks { blocks: Arc::default(), len: 0 }
    }
}

impl<T: Entry> Blocks<T> {
    /// A list of entries in ascending order.
    pub fn of_sorted(entries: Vec<T>) -> Self {
        debug_assert!(entries.is_sorted_by(|a, b| a.key() < b.key()));
        let len = entries.len();
        // Not full, so that later changes do not split every block.
        let blocks = entries.chunks(BLOCK_MAX * 3 / 4).map(|entries| Block::new(entries.to_vec())).collect();
        Blocks { blocks: Arc::new(blocks), len }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Index of the block that contains `key` or the position for it; the number of blocks if `key` is after all
    /// entries.
    fn block_of(&self, key: T::Key) -> usize {
        self.blocks.partition_point(|block| block.last() < key)
    }

    /// The entry with a key.
    pub fn get(&self, key: T::Key) -> Option<&T> {
        let block = self.blocks.get(self.block_of(key))?;
        let at = block.entries.binary_search_by_key(&key, T::key).ok()?;
        block.entries.get(at)
    }

    /// All entries, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.blocks.iter().flat_map(|block| &block.entries).inspect(|_| note_touched(1))
    }

    /// The first entry.
    pub fn first(&self) -> Option<&T> {
        self.blocks.first()?.entries.first()
    }

    /// The last entry.
    pub fn last(&self) -> Option<&T> {
        self.blocks.last()?.entries.last()
    }

    /// The last entry that is not after `key`.
    pub fn last_until(&self, key: T::Key) -> Option<&T> {
        let at = self.block_of(key);
        let within = self.blocks.get(at).and_then(|block| {
            let after = block.entries.partition_point(|entry| entry.key() <= key);
            block.entries.get(after.checked_sub(1)?)
        });
        within.or_else(|| self.blocks.get(at.checked_sub(1)?)?.entries.last())
    }

    /// The entries from `key` on, ascending.
    pub fn iter_from(&self, key: T::Key) -> impl Iterator<Item = &T> {
        self.find_from(key, |_| true)
    }

    /// The entries from `key` on, ascending, of the blocks whose sum `is_wanted`.
    pub fn find_from(
        &self,
        key: T::Key,
        is_of_interest: impl Fn(&T::Sum) -> bool,
    ) -> impl Iterator<Item = &T> {
        let blocks = self.blocks.get(self.block_of(key)..).unwrap_or_default();
        let blocks = blocks.iter().filter(move |block| {
            note_touched(1);
            is_of_interest(&block.sum)
        });
        let entries = blocks.flat_map(move |block| {
            let first = block.entries.partition_point(|entry| entry.key() < key);
            &block.entries[first..]
        });
        entries.inspect(|_| note_touched(1))
    }

    /// Calls `visit` with the sum of each block.
    pub fn each_sum(&self, visit: impl FnMut(&T::Sum)) {
        self.blocks.iter().map(|block| &block.sum).for_each(visit);
    }

    /// Adds an entry, or replaces the one with its key.
    pub fn put(&mut self, entry: T) {
        let key = entry.key();
        let blocks = self.blocks_mut();
        // An entry after all others goes into the last block.
        let at = blocks.partition_point(|block| block.last() < key).min(blocks.len().saturating_sub(1));
        let Some(block) = blocks.get_mut(at) else {
            blocks.push(Block::new(vec![entry]));
            self.len = 1;
            return;
        };
        let block = Arc::make_mut(block);
        let place = block.entries.binary_search_by_key(&key, T::key);
        match place {
            Ok(at) => block.entries[at] = entry,
            Err(at) => block.entries.insert(at, entry),
        }
        if block.entries.len() > BLOCK_MAX {
            let rest = block.entries.split_off(BLOCK_MAX / 2);
            block.add_up();
            blocks.insert(at + 1, Block::new(rest));
        } else {
            block.add_up();
        }
        self.len += usize::from(place.is_err());
    }

    /// Removes the entry with a key and returns it.
    pub fn remove(&mut self, key: T::Key) -> Option<T> {
        let at = self.block_of(key);
        let within = self.blocks.get(at)?.entries.binary_search_by_key(&key, T::key).ok()?;
        let blocks = self.blocks_mut();
        let block = Arc::make_mut(&mut blocks[at]);
        let removed = block.entries.remove(within);
        block.add_up();
        if block.entries.is_empty() {
            blocks.remove(at);
        }
        self.len -= 1;
        Some(removed)
    }

    fn blocks_mut(&mut self) -> &mut Vec<Arc<Block<T>>> {
        if Arc::strong_count(&self.blocks) > 1 {
            note_touched(self.blocks.len());
        }
        Arc::make_mut(&mut self.blocks)
    }
}

/// Counts entries and blocks that this thread copied or visited: tests compare the cost of changes.
#[cfg(test)]
pub(crate) mod touched {
    use std::cell::Cell;

    thread_local! {
        pub(super) static COUNT: Cell<u64> = const { Cell::new(0) };
    }

    /// The number of entries and blocks that `work` touched.
    pub(crate) fn by(work: impl FnOnce()) -> u64 {
        let before = COUNT.get();
        work();
        COUNT.get() - before
    }
}

#[inline]
fn note_touched(_entries: usize) {
    #[cfg(test)]
    touched::COUNT.set(touched::COUNT.get() + _entries as u64);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    impl Entry for Arc<(u32, u32)> {
        type Key = u32;
        type Sum = u64;

        fn key(&self) -> u32 {
            self.0
        }

        fn add_to(&self, sum: &mut u64) {
            *sum += u64::from(self.1);
        }
    }

    type List = Blocks<Arc<(u32, u32)>>;

    fn all(list: &List) -> Vec<(u32, u32)> {
        list.iter().map(|entry| **entry).collect()
    }

    fn total(list: &List) -> u64 {
        let mut total = 0;
        list.each_sum(|sum| total += sum);
        total
    }

    proptest! {
        #[test]
        fn a_list_is_an_ordered_map(
            start in proptest::collection::btree_map(0u32..4000, any::<u32>(), 0..1500),
            steps in proptest::collection::vec((0u32..4000, proptest::option::of(any::<u32>())), 0..600),
            ascending in any::<bool>(),
        ) {
            let mut model: BTreeMap<u32, u32> = start;
            let mut list = List::of_sorted(model.iter().map(|(&key, &value)| Arc::new((key, value))).collect());
            for (at, (key, value)) in steps.into_iter().enumerate() {
                let key = if ascending { 4000 + at as u32 } else { key };
                let (before, held) = (all(&list), list.clone());
                match value {
                    Some(value) => {
                        list.put(Arc::new((key, value)));
                        model.insert(key, value);
                    }
                    None => prop_assert_eq!(list.remove(key).map(|e| e.1), model.remove(&key)),
                }
                if at % 50 == 0 {
                    prop_assert_eq!(all(&held), before, "an older version stays as it was");
                }
                prop_assert_eq!(list.get(key).map(|e| e.1), model.get(&key).copied());
                prop_assert_eq!(list.len(), model.len());
                let from = key.wrapping_mul(7) % 5000;
                let expected: Vec<u32> = model.range(from..).map(|(&key, _)| key).take(300).collect();
                prop_assert_eq!(list.iter_from(from).map(|e| e.0).take(300).collect::<Vec<_>>(), expected);
                prop_assert_eq!(list.last_until(from).map(|e| e.0), model.range(..=from).next_back().map(|(&k, _)| k));
                prop_assert_eq!(list.first().map(|e| e.0), model.keys().next().copied());
                prop_assert_eq!(list.last().map(|e| e.0), model.keys().next_back().copied());
            }
            prop_assert_eq!(all(&list), model.iter().map(|(&k, &v)| (k, v)).collect::<Vec<_>>());
            prop_assert_eq!(total(&list), model.values().map(|&v| u64::from(v)).sum::<u64>());
            prop_assert_eq!(list.is_empty(), model.is_empty());
        }
    }

    #[test]
    fn a_change_touches_few_of_many() {
        let list = |entries: u32| List::of_sorted((0..entries).map(|key| Arc::new((2 * key, 1))).collect());
        for entries in [100, 100_000] {
            let list = list(entries);
            let most = touched::by(|| {
                let mut next = list.clone();
                next.put(Arc::new((entries + 1, 5)));
                next.remove(entries);
            });
            assert!(most < 4 * BLOCK_MAX as u64, "{entries} entries: {most}");
            assert_eq!(list.len(), entries as usize);
        }
    }

    #[test]
    fn a_search_passes_over_blocks_without_what_it_looks_for() {
        let entry = |key: u32| Arc::new((key, u32::from(key == 70_000)));
        let list = List::of_sorted((0..100_000).map(entry).collect());
        let mut found = Vec::new();
        let looked = touched::by(|| {
            found = list.find_from(5, |sum| *sum > 0).filter(|e| e.1 > 0).map(|e| e.0).collect::<Vec<_>>();
        });
        assert_eq!(found, [70_000]);
        assert!(looked < 1000, "{looked}");
    }
}
