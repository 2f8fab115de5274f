//! Sorting many label sets.
//!
//! Sets that are selected together usually share a long beginning: a name, a job, a pod's name up to its last
//! characters. A comparison sort reads those bytes again in each comparison. Here, the first difference within a run of
//! sets is found first, the eight characters from there become the key of each set, and the keys are sorted. Sets with
//! equal keys form a run again. Each step reads each set once, instead of once per comparison.
//!
//! # Format
//! A key has the characters of names and values in order, each increased by one, with a zero after each name and value.
//! Numbers are then ordered as [`Labels`] are, since a part that ends is smaller than one that continues. No byte of
//! UTF-8 is 255.

use crate::model::Labels;
use crate::model::labels::{common_prefix, compare, read_part};

/// Runs of fewer sets are sorted by comparing.
const RUN_MIN: usize = 24;

/// The order of items by their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelOrder {
    /// For each position, the index of the item that belongs there. Equal items are adjacent.
    pub order: Vec<u32>,
    /// Whether no two items can have the same labels.
    pub is_strict: bool,
}

/// Finds the order of `items` by their labels.
///
/// # Panics
/// If there are more than `u32::MAX` items.
pub fn label_order<T>(items: &[T], labels: impl Fn(&T) -> &Labels) -> LabelOrder {
    let count = u32::try_from(items.len()).expect("items are counted in 32 bits");
    let mut entries: Vec<Entry<'_>> = (0..count)
        .zip(items)
        .map(|(at, item)| Entry { key: 0, at, bytes: labels(item).as_bytes() })
        .collect();
    let is_sorted = entries.is_sorted_by(|a, b| compare(a.bytes, b.bytes).is_lt());
    let is_strict = is_sorted || sort(&mut entries);
    LabelOrder { order: entries.into_iter().map(|entry| entry.at).collect(), is_strict }
}

/// Sorts `items` by their labels. Items with equal labels become adjacent, in any order.
pub fn sort_by_labels<T>(items: &mut [T], labels: impl Fn(&T) -> &Labels) {
    let found = label_order(items, labels);
    arrange(items, found.order);
}

/// A set while it is sorted.
struct Entry<'a> {
    key: u64,
    /// Its index among the items.
    at: u32,
    bytes: &'a [u8],
}

/// A position in a set: where a name or value begins, and how many of its bytes come before the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    part: usize,
    skip: usize,
}

/// Sorts the entries. Returns whether no two are equal.
fn sort(entries: &mut [Entry<'_>]) -> bool {
    let mut is_strict = true;
    let mut runs = vec![(0..entries.len(), Place { part: 0, skip: 0 })];
    while let Some((range, from)) = runs.pop() {
        let run = &mut entries[range.clone()];
        if run.len() < RUN_MIN {
            let compare =
                |a: &Entry<'_>, b: &Entry<'_>| compare(&a.bytes[from.part..], &b.bytes[from.part..]);
            run.sort_unstable_by(compare);
            is_strict &= run.is_sorted_by(|a, b| compare(a, b).is_lt());
            continue;
        }
        let Some(place) = first_difference(run, from.part) else {
            is_strict = false;
            continue;
        };
        for entry in run.iter_mut() {
            entry.key = key(entry.bytes, place);
        }
        // Sets that were created one after the other keep their order: they are close in memory.
        run.sort_unstable_by_key(|entry| (entry.key, entry.at));
        let mut start = range.start;
        for equal in run.chunk_by(|a, b| a.key == b.key) {
            let end = start + equal.len();
            if equal.len() > 1 {
                runs.push((start..end, place));
            }
            start = end;
        }
    }
    is_strict
}

/// The first position at which the sets of a run differ; `None` if all are equal. They are equal before the part at
/// `from`.
fn first_difference(run: &[Entry<'_>], from: usize) -> Option<Place> {
    let (first, rest) = run.split_first()?;
    let mut least: Option<Place> = None;
    // The bytes of `first` that all sets so far begin with.
    let mut alike = &first.bytes[from..];
    for other in rest {
        let tail = other.bytes.get(from..).unwrap_or_default();
        if tail.starts_with(alike) && (least.is_some() || tail.len() == alike.len()) {
            continue;
        }
        let place = difference(first.bytes, other.bytes, from);
        if least.is_none_or(|least| place < least) {
            least = Some(place);
            let (content, _) = read_part(first.bytes, place.part).unwrap_or((&[], 0));
            let begin = if content.is_empty() { place.part } else { offset_in(first.bytes, content) };
            alike = &first.bytes[from..begin + place.skip];
        }
    }
    least
}

/// The offset of `part` in the bytes that it is a slice of.
fn offset_in(bytes: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - bytes.as_ptr() as usize
}

/// The first position at which two different sets differ.
fn difference(a: &[u8], b: &[u8], from: usize) -> Place {
    let alike = from + common_prefix(&a[from..], &b[from..]);
    let mut part = from;
    while let Some((_, end)) = read_part(a, part).filter(|(_, end)| *end <= alike) {
        part = end;
    }
    let content = |bytes| read_part(bytes, part).map_or(&[][..], |(content, _)| content);
    Place { part, skip: common_prefix(content(a), content(b)) }
}

/// The eight characters from a position on.
fn key(bytes: &[u8], place: Place) -> u64 {
    const LENGTH: usize = size_of::<u64>();
    let mut out = [0u8; LENGTH];
    let (mut filled, mut at, mut skip) = (0, place.part, place.skip);
    while let Some((content, end)) = read_part(bytes, at) {
        let content = content.get(skip..).unwrap_or_default();
        for (slot, byte) in out[filled..].iter_mut().zip(content) {
            *slot = byte.saturating_add(1);
        }
        filled += content.len() + 1;
        if filled >= LENGTH {
            break;
        }
        (at, skip) = (end, 0);
    }
    u64::from_be_bytes(out)
}

/// Permutes the items: the one at `order[i]` moves to `i`.
fn arrange<T>(items: &mut [T], mut order: Vec<u32>) {
    for start in 0..order.len() {
        let mut at = start;
        loop {
            let from = std::mem::replace(&mut order[at], at as u32) as usize;
            if from == start {
                break;
            }
            items.swap(at, from);
            at = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(mut sets: Vec<Labels>) -> Vec<Labels> {
        sort_by_labels(&mut sets, |labels| labels);
        sets
    }

    fn is_strict(sets: &[Labels]) -> bool {
        label_order(sets, |labels| labels).is_strict
    }

    fn pods(count: u32) -> Vec<Labels> {
        let pod = |i: u32| {
            let h = i.wrapping_mul(0x9e37_79b9);
            let pod = format!("d-{}-{:x}-{}", h % 97, h >> 12, i % 11);
            let pairs = [("__name__", "requests_total"), ("pod", pod.as_str()), ("code", "200")];
            Labels::from_pairs(pairs).unwrap()
        };
        (0..count).map(pod).collect()
    }

    #[test]
    fn many_sets_that_begin_alike() {
        let mut expected = pods(5000);
        let found = sorted(expected.clone());
        assert!(is_strict(&expected));
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(sorted(expected.clone()), expected);
        assert!(is_strict(&expected));
        expected.push(expected[77].clone());
        assert!(!is_strict(&expected) && !is_strict(&[&expected[..9], &expected[..9]].concat()));
    }

    #[test]
    fn equal_sets_and_prefixes_of_each_other() {
        let set = |length: usize| Labels::from_pairs([("a", "x".repeat(length).as_str())]).unwrap();
        let mut sets: Vec<Labels> = (0..300).map(|i| set(1 + i * 7 % 200)).collect();
        sets.extend(vec![set(150); 100]);
        sets.extend(vec![Labels::empty(); 50]);
        let found = sorted(sets.clone());
        sets.sort();
        assert_eq!(found, sets);
        assert_eq!(sorted(vec![set(3); 100]), vec![set(3); 100]);
    }

    proptest! {
        #[test]
        fn order_is_that_of_labels(
            sets in proptest::collection::vec(
                proptest::collection::btree_map("[ab\u{0}é]{1,3}", "[ab\u{0}\u{10ffff}]{1,12}", 0..4), 0..200),
            long in any::<bool>(),
        ) {
            let ends = if long { "y".repeat(200) } else { String::new() };
            let mut sets: Vec<Labels> = sets
                .iter()
                .map(|set| {
                    let values: Vec<_> = set.iter().map(|(n, v)| (n.as_str(), format!("{v}{ends}"))).collect();
                    Labels::from_pairs(values.iter().map(|(n, v)| (*n, v.as_str()))).unwrap()
                })
                .collect();
            let found = sorted(sets.clone());
            sets.sort();
            prop_assert_eq!(found, sets);
        }
    }
}
