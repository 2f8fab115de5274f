//! The registry: the series in the head, by labels and by id.
//!
//! Each label set is stored once, in its series. The table by labels contains only pointers and uses the hash stored in
//! the series. Ids are assigned in ascending order, so the table by id consists of pages of neighbours. A page is freed
//! when all of its series have left.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::head::HeadSeries;
use crate::head::postings::HeadPostings;
use crate::model::Labels;

/// Ids of one page; its slots take half a KiB.
const PAGE_SERIES: u64 = 64;

/// Series by labels, by id, and by label pair.
#[derive(Debug, Default)]
pub struct Registry {
    by_labels: HashTable<Arc<HeadSeries>>,
    pages: BTreeMap<u64, Page>,
    /// Label pair to ids.
    pub postings: HeadPostings,
}

#[derive(Debug)]
struct Page {
    taken: usize,
    slots: Box<[Option<Arc<HeadSeries>>; PAGE_SERIES as usize]>,
}

impl Registry {
    /// The series of a label set with this hash.
    #[inline]
    pub fn find(&self, hash: u32, labels: &Labels) -> Option<&Arc<HeadSeries>> {
        self.by_labels.find(spread(hash), |series| series.hash == hash && series.labels == *labels)
    }

    /// The series with an id.
    pub fn find_id(&self, id: u64) -> Option<&Arc<HeadSeries>> {
        self.pages.get(&(id / PAGE_SERIES))?.slots[(id % PAGE_SERIES) as usize].as_ref()
    }

    /// The number of series.
    pub fn len(&self) -> usize {
        self.by_labels.len()
    }

    /// Adds a series whose labels and id are not present yet.
    pub fn insert(&mut self, series: Arc<HeadSeries>) {
        self.postings.insert(series.id, &series.labels);
        self.insert_unposted(series);
    }

    /// Adds a series without its postings, which the caller adds.
    pub fn insert_unposted(&mut self, series: Arc<HeadSeries>) {
        let id = series.id;
        self.by_labels.insert_unique(spread(series.hash), series.clone(), |series| spread(series.hash));
        let page = self.pages.entry(id.0 / PAGE_SERIES).or_insert_with(Page::new);
        page.taken += 1;
        page.slots[(id.0 % PAGE_SERIES) as usize] = Some(series);
    }

    /// Visits up to `pages_max` pages of series from `page` on and removes those for which `evict` returns true. They
    /// are appended to `dead`, ascending by id; their postings stay. Returns where to continue, if there are more.
    pub fn evict(
        &mut self,
        page: u64,
        pages_max: usize,
        evict: &mut dyn FnMut(&HeadSeries) -> bool,
        dead: &mut Vec<Arc<HeadSeries>>,
    ) -> Option<u64> {
        let (mut emptied, first_dead, mut next) = (Vec::new(), dead.len(), None);
        for (looked, (&number, page)) in self.pages.range_mut(page..).enumerate() {
            if looked == pages_max {
                next = Some(number);
                break;
            }
            for slot in page.slots.iter_mut() {
                if slot.as_ref().is_some_and(|series| evict(series)) {
                    dead.extend(slot.take());
                    page.taken -= 1;
                }
            }
            if page.taken == 0 {
                emptied.push(number);
            }
        }
        for number in emptied {
            self.pages.remove(&number);
        }
        for series in &dead[first_dead..] {
            let found = self.by_labels.find_entry(spread(series.hash), |other| Arc::ptr_eq(other, series));
            drop(found.expect("a series is in both tables").remove());
        }
        next
    }

    /// Removes a series that has left, and its postings.
    pub fn remove(&mut self, series: &HeadSeries) {
        let is_it = |other: &Arc<HeadSeries>| std::ptr::eq(&raw const **other, series);
        if let Ok(entry) = self.by_labels.find_entry(spread(series.hash), is_it) {
            entry.remove();
            self.postings.remove(series.id, &series.labels);
        }
        let number = series.id.0 / PAGE_SERIES;
        let Some(page) = self.pages.get_mut(&number) else { return };
        let slot = &mut page.slots[(series.id.0 % PAGE_SERIES) as usize];
        if slot.take_if(|other| std::ptr::eq(&raw const **other, series)).is_some() {
            page.taken -= 1;
        }
        if page.taken == 0 {
            self.pages.remove(&number);
        }
    }

    /// Releases memory left behind by removed series, and pairs without series.
    pub fn sweep(&mut self) {
        self.postings.sweep();
        if self.by_labels.capacity() / 4 > self.by_labels.len() {
            self.by_labels.shrink_to_fit(|series| spread(series.hash));
        }
    }

    /// All series, ascending by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<HeadSeries>> {
        self.pages.values().flat_map(|page| page.slots.iter().flatten())
    }
}

impl Page {
    fn new() -> Self {
        Page { taken: 0, slots: Box::new([const { None }; PAGE_SERIES as usize]) }
    }
}

/// The table uses the lowest bits of a hash and its seven highest.
#[inline]
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}
