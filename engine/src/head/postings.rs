//! The head's own postings: label pair to series ids, in memory.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use ahash::RandomState;
use roaring::{RoaringBitmap, RoaringTreemap};

use crate::model::{Labels, SeriesId};

/// Postings of the series in the head.
#[derive(Debug, Default)]
pub struct HeadPostings {
    names: HashMap<Box<str>, BTreeMap<Box<str>, Vec<u64>>, RandomState>,
    all: Vec<u64>,
}

impl HeadPostings {
    /// Adds a series that is not there yet.
    pub fn insert(&mut self, id: SeriesId, labels: &Labels) {
        insert_sorted(&mut self.all, id.0);
        for (name, value) in labels {
            let values = match self.names.get_mut(name) {
                Some(values) => values,
                None => self.names.entry(name.into()).or_default(),
            };
            match values.get_mut(value) {
                Some(ids) => insert_sorted(ids, id.0),
                None => {
                    values.insert(value.into(), vec![id.0]);
                }
            }
        }
    }

    /// Removes ids, given ascending.
    pub fn remove(&mut self, dead: &[u64]) {
        let is_dead = |id: &u64| dead.binary_search(id).is_ok();
        self.all.retain(|id| !is_dead(id));
        for values in self.names.values_mut() {
            values.retain(|_, ids| {
                ids.retain(|id| !is_dead(id));
                !ids.is_empty()
            });
        }
        self.names.retain(|_, values| !values.is_empty());
    }

    /// All ids.
    pub fn all(&self) -> RoaringTreemap {
        bitmap(&self.all)
    }

    /// The ids with `name="value"`.
    pub fn postings(&self, name: &str, value: &str) -> RoaringTreemap {
        self.names.get(name).and_then(|values| values.get(value)).map(|ids| bitmap(ids)).unwrap_or_default()
    }

    /// Adds to `into` the ids of the accepted values of `name` that begin with `prefix`.
    pub fn union_where(
        &self,
        name: &str,
        prefix: &str,
        accept: &mut dyn FnMut(&str) -> bool,
        into: &mut RoaringTreemap,
    ) {
        let Some(values) = self.names.get(name) else { return };
        let from = (Bound::Included(prefix), Bound::Unbounded);
        for (value, ids) in values.range::<str, _>(from).take_while(|(value, _)| value.starts_with(prefix)) {
            if accept(value) {
                into.extend(ids.iter().copied());
            }
        }
    }

    /// All label names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }

    /// The values of `name` and how many series each has, in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = (&str, usize)> {
        self.names.get(name).into_iter().flatten().map(|(value, ids)| (&**value, ids.len()))
    }

    /// How many values `name` has.
    pub fn value_count(&self, name: &str) -> usize {
        self.names.get(name).map_or(0, BTreeMap::len)
    }
}

/// Ids come in ascending order, but for those that a replay defines again.
fn insert_sorted(ids: &mut Vec<u64>, id: u64) {
    if ids.last().is_none_or(|&last| last < id) {
        ids.push(id);
    } else if let Err(at) = ids.binary_search(&id) {
        ids.insert(at, id);
    }
}

/// Built half by half: the treemap's own constructor looks for the upper half's bitmap again for every id, which was
/// half the time of a query that selects few series among many.
fn bitmap(ids: &[u64]) -> RoaringTreemap {
    let halves = ids.chunk_by(|a, b| a >> 32 == b >> 32).map(|ids| {
        let lower = RoaringBitmap::from_sorted_iter(ids.iter().map(|&id| id as u32));
        ((ids[0] >> 32) as u32, lower.expect("ids are kept in ascending order"))
    });
    RoaringTreemap::from_bitmaps(halves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_beyond_32_bits_stay_apart() {
        let ids = [0, 7, u64::from(u32::MAX), 1 << 32, (1 << 32) + 7, (5 << 32) + 1, u64::MAX];
        assert_eq!(bitmap(&ids).iter().collect::<Vec<_>>(), ids);
        assert!(bitmap(&[]).is_empty());
    }
}
