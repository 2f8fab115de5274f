//! Queries on a serialized bitmap without decoding it.
//!
//! The postings of a label that all series have take hundreds of kilobytes. To count them, or to check which of a few
//! series they contain, their headers and a few look-ups suffice. (`roaring` can intersect with a serialized bitmap of
//! 32 bits, whose bytes it trusts, and cannot count one. These bitmaps have 64 bits and come from disk.)
//!
//! # Format
//! The format of Roaring bitmaps, little-endian. 64 bits: a count u64, then for each part the upper half of its ids u32
//! and a bitmap of 32 bits:
//! ```text
//! cookie u32       12346, then the number of containers u32;
//!                  or 12347 + (containers - 1) << 16, then one bit for each: whether it has runs
//! for each         upper half of its ids u16, number of its ids minus one u16
//! for each         its offset u32; omitted if there are runs and fewer than 4 containers
//! containers       up to 4096 ids: the lower halves u16, ascending; more: 2^16 bits;
//!                  with runs: their number u16, then for each its start u16, length minus one u16
//! ```

use roaring::RoaringTreemap;

const COOKIE: u32 = 12346;
const COOKIE_RUNS: u32 = 12347;
/// Number of containers from which on there are offsets in addition to runs.
const OFFSETS_MIN: usize = 4;
/// Maximum number of ids in a container that lists them.
const ARRAY_MAX: usize = 4096;
const BITS_BYTES: usize = 1 << 13;

/// The number of ids; `None` if it cannot be determined.
pub(super) fn count(bytes: &[u8]) -> Option<u64> {
    let mut total = 0;
    each_container(bytes, |_, container| {
        total += container.ids;
        Some(())
    })?;
    Some(total)
}

/// The ids among `ids` that are in the bitmap; `None` if damage is detected.
pub(super) fn keep(bytes: &[u8], ids: &RoaringTreemap) -> Option<RoaringTreemap> {
    let (mut kept, mut wanted) = (Vec::new(), ids.iter().peekable());
    each_container(bytes, |upper, container| {
        while wanted.next_if(|id| id >> 16 < upper).is_some() {}
        while let Some(id) = wanted.next_if(|id| id >> 16 == upper) {
            if container.has(id as u16)? {
                kept.push(id);
            }
        }
        Some(())
    })?;
    RoaringTreemap::from_sorted_iter(kept).ok()
}

/// Ids with one upper half.
struct Container<'b> {
    ids: u64,
    kind: Kind,
    bytes: &'b [u8],
}

enum Kind {
    Array,
    Bits,
    Runs,
}

impl Container<'_> {
    fn has(&self, lower: u16) -> Option<bool> {
        let u16_at = |at: usize| Some(u16::from_le_bytes(*self.bytes.get(at * 2..)?.first_chunk()?));
        match self.kind {
            Kind::Bits => Some(self.bytes.get(usize::from(lower >> 3))? >> (lower & 7) & 1 == 1),
            Kind::Array => {
                let before = partition(self.bytes.len() / 2, |at| Some(u16_at(at)? < lower))?;
                Some(before < self.bytes.len() / 2 && u16_at(before)? == lower)
            }
            Kind::Runs => {
                let begun = partition(self.bytes.len() / 4, |at| Some(u16_at(at * 2)? <= lower))?;
                let Some(at) = begun.checked_sub(1) else { return Some(false) };
                Some(lower - u16_at(at * 2)? <= u16_at(at * 2 + 1)?)
            }
        }
    }
}

/// The number of leading indexes below `count` that meet a condition, which no later one meets.
fn partition(count: usize, meets: impl Fn(usize) -> Option<bool>) -> Option<usize> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if meets(middle)? { low = middle + 1 } else { high = middle }
    }
    Some(low)
}

/// Calls `visit` for all containers, with the upper 48 bits of their ids, which must ascend.
fn each_container(mut bytes: &[u8], mut visit: impl FnMut(u64, Container<'_>) -> Option<()>) -> Option<()> {
    let parts = take_u64(&mut bytes)?;
    let mut before = None;
    for _ in 0..parts {
        let high = u64::from(take_u32(&mut bytes)?) << 16;
        let cookie = take_u32(&mut bytes)?;
        let (containers, runs) = match cookie {
            COOKIE => (take_u32(&mut bytes)? as usize, None),
            _ if cookie & 0xffff == COOKIE_RUNS => {
                let containers = (cookie >> 16) as usize + 1;
                (containers, Some(take(&mut bytes, containers.div_ceil(8))?))
            }
            _ => return None,
        };
        let described = take(&mut bytes, containers.checked_mul(4)?)?;
        if runs.is_none() || containers >= OFFSETS_MIN {
            take(&mut bytes, containers * 4)?;
        }
        for (at, about) in described.as_chunks::<4>().0.iter().enumerate() {
            let upper = high | u64::from(u16::from_le_bytes([about[0], about[1]]));
            if before.replace(upper).is_some_and(|before| before >= upper) {
                return None;
            }
            let ids = usize::from(u16::from_le_bytes([about[2], about[3]])) + 1;
            let has_runs = runs.is_some_and(|bits| bits[at / 8] >> (at % 8) & 1 == 1);
            let (kind, length) = if has_runs {
                (Kind::Runs, usize::from(u16::from_le_bytes(*take(&mut bytes, 2)?.first_chunk()?)) * 4)
            } else if ids > ARRAY_MAX {
                (Kind::Bits, BITS_BYTES)
            } else {
                (Kind::Array, ids * 2)
            };
            visit(upper, Container { ids: ids as u64, kind, bytes: take(&mut bytes, length)? })?;
        }
    }
    bytes.is_empty().then_some(())
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(*take(bytes, 4)?.first_chunk()?))
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(*take(bytes, 8)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(ids: &RoaringTreemap) -> Vec<u8> {
        let mut bytes = Vec::new();
        ids.serialize_into(&mut bytes).unwrap();
        bytes
    }

    /// Ranges that become arrays, bits and runs, in several parts.
    fn some_ids() -> impl Strategy<Value = RoaringTreemap> {
        let stretch = (0u64..3, 0u64..5, 0u64..60_000, 1u64..9_000, 1u64..4);
        let ids = proptest::collection::vec(stretch, 0..8).prop_map(|stretches| {
            let ids = stretches.into_iter().flat_map(|(part, container, start, count, step)| {
                let first = part << 32 | container << 16 | start;
                (0..count).map(move |n| first + n * step)
            });
            ids.collect::<RoaringTreemap>()
        });
        (ids, any::<bool>()).prop_map(|(mut ids, with_runs)| {
            if with_runs {
                ids = ids
                    .bitmaps()
                    .map(|(part, bitmap)| {
                        let mut bitmap = bitmap.clone();
                        bitmap.optimize();
                        (part, bitmap)
                    })
                    .collect();
            }
            ids
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn the_same_as_of_the_decoded(ids in some_ids(), wanted in some_ids()) {
            let bytes = encoded(&ids);
            prop_assert_eq!(count(&bytes), Some(ids.len()));
            prop_assert_eq!(keep(&bytes, &wanted), Some(&ids & &wanted));
            prop_assert_eq!(keep(&bytes, &ids), Some(ids));
        }

        #[test]
        fn damage_never_panics(ids in some_ids(), at: prop::sample::Index, with: u8, end: prop::sample::Index) {
            let mut bytes = encoded(&ids);
            let short = &bytes[..end.index(bytes.len())];
            prop_assert_eq!((count(short), keep(short, &ids)), (None, None));
            let at = at.index(bytes.len());
            bytes[at] = with;
            let _ = (count(&bytes), keep(&bytes, &ids));
        }
    }

    #[test]
    fn all_kinds_of_containers() {
        let mut bitmap: roaring::RoaringBitmap = (0..70_000).chain([200_000, 300_000]).collect();
        bitmap.optimize();
        bitmap.extend((400_000..450_000).step_by(2));
        let ids: RoaringTreemap = [(0, bitmap)].into_iter().collect();
        let wanted: RoaringTreemap =
            [0, 69_999, 70_000, 200_000, 299_999, 400_000, 400_001].into_iter().collect();
        let kept = keep(&encoded(&ids), &wanted).unwrap();
        assert_eq!(kept.iter().collect::<Vec<_>>(), [0, 69_999, 200_000, 400_000]);
        assert_eq!(count(&[]), None);
        assert_eq!(count(&[0; 8]), Some(0));
        assert_eq!(count(&[0; 9]), None);
    }
}
