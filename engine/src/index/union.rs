//! Collects the ids of many postings into a union.

use roaring::RoaringTreemap;

use super::ids::{IdList, bitmap};

/// Number of single ids that are collected before they become a bitmap.
const FEW_MAX: usize = 1 << 16;

/// A union under construction. Many labels of short-lived series belong to a single series each; building or searching
/// a bitmap for each of them would cost more than everything else.
#[derive(Debug, Default)]
pub struct PostingsUnion {
    few: Vec<u64>,
    many: RoaringTreemap,
}

impl PostingsUnion {
    /// Adds one id.
    pub fn push(&mut self, id: u64) {
        if self.few.len() >= FEW_MAX {
            self.settle();
        }
        self.few.push(id);
    }

    /// Adds all ids of a bitmap.
    pub fn add(&mut self, ids: RoaringTreemap) {
        self.many |= ids;
    }

    /// Adds all ids of a list.
    pub fn add_list(&mut self, ids: &IdList) {
        match ids.as_bitmap() {
            Some(map) => self.add(map),
            None => ids.for_each(|id| self.push(id)),
        }
    }

    fn settle(&mut self) {
        // Ids grow with time, and so do most names, so the input is nearly sorted.
        self.few.sort_unstable();
        self.few.dedup();
        self.many |= bitmap(&self.few);
        self.few.clear();
    }

    /// The union of all added ids.
    pub fn finish(mut self) -> RoaringTreemap {
        self.settle();
        self.many
    }
}

impl Extend<u64> for PostingsUnion {
    fn extend<T: IntoIterator<Item = u64>>(&mut self, ids: T) {
        ids.into_iter().for_each(|id| self.push(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_union_has_each_id_once() {
        let (mut ids, mut expected) = (PostingsUnion::default(), BTreeSet::new());
        let mut id = 1u64;
        for n in 0..3 * FEW_MAX as u64 {
            id = id.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n) % (5 << 33);
            ids.push(id);
            expected.insert(id);
        }
        ids.add([7, u64::MAX].into_iter().collect());
        expected.extend([7, u64::MAX]);
        assert!(ids.finish().iter().eq(expected));
        assert!(PostingsUnion::default().finish().is_empty());
    }
}
