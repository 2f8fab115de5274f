//! Lists of series ids that stay small while they grow.
//!
//! Most label pairs of short-lived series belong to one series or a few, and some belong to all. A list is 16 bytes: a
//! few ids are stored in it as differences, more ids in a buffer of differences, and many ids in a bitmap, which is the
//! form that queries need.

use roaring::{RoaringBitmap, RoaringTreemap};

use crate::codec::varint;

/// Maximum bytes of differences without a buffer.
const FEW_BYTES: usize = 14;
/// Number of ids from which on a list is a bitmap; below that, the fixed cost of a bitmap exceeds its savings.
const MANY: u32 = 96;

/// Ids in ascending order, without duplicates.
#[derive(Debug, Clone)]
pub struct IdList(Form);

#[derive(Debug, Clone)]
enum Form {
    /// Varints: the first id, then the differences.
    Few {
        length: u8,
        bytes: [u8; FEW_BYTES],
    },
    /// The same in a buffer.
    Some(Box<Differences>),
    Many(Box<Bitmap>),
}

#[derive(Debug, Clone)]
struct Differences {
    bytes: Vec<u8>,
    last: u64,
    count: u32,
}

/// A bitmap that grows at its end. Ids are collected before they are inserted, so that their position is looked up once
/// for all of them.
#[derive(Debug, Clone, Default)]
struct Bitmap {
    /// By the upper half of the ids, ascending.
    halves: Vec<(u32, RoaringBitmap)>,
    /// Ids larger than all in `halves`, ascending.
    tail: Vec<u64>,
    last: u64,
}

/// Maximum number of ids that are collected before a bitmap.
const TAIL: usize = 32;

const _: () = assert!(size_of::<IdList>() == 16);

impl Default for IdList {
    fn default() -> Self {
        IdList(Form::Few { length: 0, bytes: [0; FEW_BYTES] })
    }
}

impl IdList {
    /// Adds an id that is not in the list; fast if it is larger than all existing ones.
    #[inline]
    pub fn insert(&mut self, id: u64) {
        match &mut self.0 {
            Form::Few { length, bytes } => {
                let taken = usize::from(*length);
                let last = Steps::new(&bytes[..taken]).last();
                match last {
                    Some(last) if id <= last => self.insert_between(id),
                    _ => match put(&mut bytes[taken..], id.wrapping_sub(last.unwrap_or(0))) {
                        Some(written) => *length = length.wrapping_add(written),
                        None => self.insert_as_some(id),
                    },
                }
            }
            Form::Some(list) if id > list.last && list.count < MANY => list.push(id),
            Form::Some(_) => self.insert_between(id),
            Form::Many(map) => map.insert(id),
        }
    }

    #[cold]
    fn insert_as_some(&mut self, id: u64) {
        let mut list = Differences { bytes: Vec::new(), last: 0, count: 0 };
        self.for_each(|id| list.push(id));
        list.push(id);
        self.0 = Form::Some(Box::new(list));
    }

    #[cold]
    fn insert_between(&mut self, id: u64) {
        let mut ids = Vec::with_capacity(MANY as usize + 1);
        self.for_each(|id| ids.push(id));
        if let Err(at) = ids.binary_search(&id) {
            ids.insert(at, id);
        }
        *self = IdList::from_sorted(&ids);
    }

    /// A list of ids, which must be in ascending order without duplicates.
    pub fn from_sorted(ids: &[u64]) -> IdList {
        if ids.len() > MANY as usize {
            let mut map = Bitmap::default();
            ids.iter().for_each(|&id| map.insert(id));
            return IdList(Form::Many(Box::new(map)));
        }
        let mut list = IdList::default();
        ids.iter().for_each(|&id| list.insert(id));
        list
    }

    /// Removes the ids in `dead`.
    pub fn remove_all(&mut self, dead: &RoaringTreemap) {
        if let Form::Many(map) = &mut self.0 {
            let left = map.to_treemap() - dead;
            if left.len() > u64::from(MANY) {
                **map = Bitmap::from(left);
                return;
            }
        }
        let mut kept = Vec::new();
        self.for_each(|id| kept.extend(Some(id).filter(|id| !dead.contains(*id))));
        *self = IdList::from_sorted(&kept);
    }

    /// Removes an id, if it is present. If there are many ids, the others are not copied.
    pub fn remove(&mut self, id: u64) {
        if let Form::Many(map) = &mut self.0 {
            map.remove(id);
            if map.len() > u64::from(MANY) {
                return;
            }
        }
        let mut kept = Vec::new();
        self.for_each(|other| kept.extend(Some(other).filter(|other| *other != id)));
        *self = IdList::from_sorted(&kept);
    }

    /// Calls `visit` with each id, ascending.
    #[inline]
    pub fn for_each(&self, mut visit: impl FnMut(u64)) {
        match &self.0 {
            Form::Few { length, bytes } => Steps::new(&bytes[..usize::from(*length)]).for_each(visit),
            Form::Some(list) => Steps::new(&list.bytes).for_each(visit),
            Form::Many(map) => map.iter().for_each(&mut visit),
        }
    }

    /// The number of ids.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Form::Few { length, bytes } => Steps::new(&bytes[..usize::from(*length)]).count() as u64,
            Form::Some(list) => u64::from(list.count),
            Form::Many(map) => map.len(),
        }
    }

    /// Whether there are no ids.
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Form::Few { length: 0, .. })
    }

    /// The ids as a bitmap.
    pub fn to_bitmap(&self) -> RoaringTreemap {
        if let Form::Many(map) = &self.0 {
            return map.to_treemap();
        }
        let mut ids = Vec::with_capacity(MANY as usize);
        self.for_each(|id| ids.push(id));
        bitmap(&ids)
    }

    /// The ids as a bitmap, if they are stored as one.
    pub fn as_bitmap(&self) -> Option<RoaringTreemap> {
        match &self.0 {
            Form::Many(map) => Some(map.to_treemap()),
            _ => None,
        }
    }
}

impl Differences {
    #[inline]
    fn push(&mut self, id: u64) {
        varint::write(&mut self.bytes, id.wrapping_sub(self.last));
        (self.last, self.count) = (id, self.count.wrapping_add(1));
    }
}

impl Bitmap {
    #[inline]
    fn insert(&mut self, id: u64) {
        if id <= self.last && !(self.halves.is_empty() && self.tail.is_empty()) {
            return self.insert_between(id);
        }
        self.tail.push(id);
        self.last = id;
        if self.tail.len() >= TAIL {
            self.gather();
        }
    }

    fn gather(&mut self) {
        for ids in self.tail.chunk_by(|a, b| a >> 32 == b >> 32) {
            let upper = (ids[0] >> 32) as u32;
            if self.halves.last().is_none_or(|(last, _)| *last != upper) {
                self.halves.push((upper, RoaringBitmap::new()));
            }
            if let Some((_, lower)) = self.halves.last_mut() {
                lower.append(ids.iter().map(|&id| id as u32)).expect("the tail is larger than all before it");
            }
        }
        self.tail.clear();
    }

    /// Writers that return after a flush are defined in a different order, so this is not rare when a log is replayed.
    fn insert_between(&mut self, id: u64) {
        if self.tail.first().is_some_and(|first| *first <= id) {
            if let Err(at) = self.tail.binary_search(&id) {
                self.tail.insert(at, id);
            }
            if self.tail.len() >= TAIL {
                self.gather();
            }
            return;
        }
        let upper = (id >> 32) as u32;
        let at = self.halves.partition_point(|(half, _)| *half < upper);
        if self.halves.get(at).is_none_or(|(half, _)| *half != upper) {
            self.halves.insert(at, (upper, RoaringBitmap::new()));
        }
        self.halves[at].1.insert(id as u32);
    }

    fn remove(&mut self, id: u64) {
        if let Ok(at) = self.tail.binary_search(&id) {
            self.tail.remove(at);
        } else if let Ok(at) = self.halves.binary_search_by_key(&((id >> 32) as u32), |(upper, _)| *upper) {
            self.halves[at].1.remove(id as u32);
        }
    }

    fn len(&self) -> u64 {
        self.halves.iter().map(|(_, lower)| lower.len()).sum::<u64>() + self.tail.len() as u64
    }

    fn iter(&self) -> impl Iterator<Item = u64> {
        let stored = self
            .halves
            .iter()
            .flat_map(|(upper, lower)| lower.iter().map(|lower| u64::from(*upper) << 32 | u64::from(lower)));
        stored.chain(self.tail.iter().copied())
    }

    fn to_treemap(&self) -> RoaringTreemap {
        let mut map = RoaringTreemap::from_bitmaps(self.halves.iter().cloned());
        map.append(self.tail.iter().copied()).expect("the tail is larger than all before it");
        map
    }
}

impl From<RoaringTreemap> for Bitmap {
    fn from(map: RoaringTreemap) -> Self {
        let last = map.max().unwrap_or(0);
        let halves = map.bitmaps().map(|(upper, lower)| (upper, lower.clone())).collect();
        Bitmap { halves, tail: Vec::new(), last }
    }
}

/// An iterator over differences that yields ids.
struct Steps<'a> {
    bytes: &'a [u8],
    id: u64,
}

impl<'a> Steps<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Steps { bytes, id: 0 }
    }
}

impl Iterator for Steps<'_> {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        let (&first, mut rest) = self.bytes.split_first()?;
        let mut step = u64::from(first & 0x7f);
        if first >= 0x80 {
            let mut position = 0;
            step = varint::read(self.bytes, &mut position).ok()?;
            rest = self.bytes.get(position..)?;
        }
        self.bytes = rest;
        self.id = self.id.wrapping_add(step);
        Some(self.id)
    }
}

/// Writes a varint to the front of `out`, if it fits; returns its length.
#[inline]
fn put(out: &mut [u8], mut value: u64) -> Option<u8> {
    let mut length = 0u8;
    loop {
        let byte = out.get_mut(usize::from(length))?;
        length = length.wrapping_add(1);
        if value < 0x80 {
            *byte = value as u8;
            return Some(length);
        }
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
}

/// A bitmap of ascending ids. It is built half by half, because the treemap's own constructor looks up the bitmap of
/// the upper half for every id.
pub fn bitmap(ids: &[u64]) -> RoaringTreemap {
    let halves = ids.chunk_by(|a, b| a >> 32 == b >> 32).map(|ids| {
        let lower = RoaringBitmap::from_sorted_iter(ids.iter().map(|&id| id as u32));
        ((ids[0] >> 32) as u32, lower.expect("ids are kept in ascending order"))
    });
    RoaringTreemap::from_bitmaps(halves)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn shown(list: &IdList) -> Vec<u64> {
        let mut ids = Vec::new();
        list.for_each(|id| ids.push(id));
        ids
    }

    #[test]
    fn ids_beyond_32_bits_stay_apart() {
        let ids = [0, 7, u64::from(u32::MAX), 1 << 32, (1 << 32) + 7, (5 << 32) + 1, u64::MAX];
        assert_eq!(bitmap(&ids).iter().collect::<Vec<_>>(), ids);
        assert_eq!(shown(&IdList::from_sorted(&ids)), ids);
        assert!(bitmap(&[]).is_empty());
    }

    #[test]
    fn neighbours_need_no_buffer() {
        let mut list = IdList::default();
        (1_000_000..1_000_010).for_each(|id| list.insert(id));
        assert!(matches!(list.0, Form::Few { .. }), "{list:?}");
        (2_000_000..2_000_100).for_each(|id| list.insert(id));
        assert!(matches!(list.0, Form::Many(_)), "{list:?}");
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            ids in proptest::collection::vec(prop_oneof![0u64..300, any::<u64>(), 1u64 << 40..(1 << 40) + 50], 0..300),
            rising: bool,
            dead in proptest::collection::btree_set(0u64..300, 0..300),
            picked in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u64>()), 0..60),
        ) {
            let mut ids = ids;
            if rising {
                ids.sort_unstable();
            }
            let (mut list, mut model) = (IdList::default(), BTreeSet::new());
            for id in ids {
                if model.insert(id) {
                    list.insert(id);
                }
                prop_assert_eq!(list.len(), model.len() as u64);
            }
            prop_assert_eq!(shown(&list), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(list.to_bitmap().iter().collect::<Vec<_>>(), shown(&list));
            prop_assert!(list.as_bitmap().is_none_or(|map| map == list.to_bitmap()));
            for (place, id) in picked {
                let here = model.iter().nth(place.index(model.len().max(1))).copied().unwrap_or(id);
                for id in [here, id] {
                    model.remove(&id);
                    list.remove(id);
                    prop_assert_eq!(list.len(), model.len() as u64);
                }
                prop_assert_eq!(shown(&list), model.iter().copied().collect::<Vec<_>>());
                model.insert(id);
                list.insert(id);
            }
            list.remove_all(&dead.iter().copied().collect());
            model.retain(|id| !dead.contains(id));
            prop_assert_eq!(shown(&list), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(list.is_empty(), model.is_empty());
        }
    }
}
