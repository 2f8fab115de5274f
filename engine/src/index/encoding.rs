//! The encoding of postings.
//!
//! # Format
//! ```text
//! list:   varint count, then for each id the varint difference from the previous one (for
//!         the first, the id itself); at most LIST_MAX ids, strictly ascending
//! bitmap: a 64-bit Roaring bitmap in its portable form
//! bitmap: a 64-bit Roaring bitmap in its portable form
//! ```
//! Most labels of short-lived series belong to a single series, for which a bitmap would take 30 bytes.

use roaring::RoaringTreemap;

use crate::codec::varint;
use crate::index::ids::IdList;
use crate::index::{PostingsUnion, portable};

/// Maximum length of a list.
const LIST_MAX: usize = 16;
/// Larger sets of ids are compared as bitmaps.
const KEEP_MAX: u64 = 4096;
const KIND_LIST: u8 = 0;
const KIND_BITMAP: u8 = 1;

/// Appends the encoded form of a list to `out`.
pub fn encode(ids: &IdList, out: &mut Vec<u8>) {
    if ids.len() <= LIST_MAX as u64 {
        out.push(KIND_LIST);
        varint::write(out, ids.len());
        let mut previous = 0;
        ids.for_each(|id| {
            varint::write(out, id - previous);
            previous = id;
        });
        return;
    }
    encode_bitmap(&ids.to_bitmap(), out);
}

/// Appends the encoded form of the ids of a bitmap to `out`.
pub fn encode_ids(ids: &RoaringTreemap, out: &mut Vec<u8>) {
    if ids.len() <= LIST_MAX as u64 {
        return encode(&IdList::from_sorted(&ids.iter().collect::<Vec<_>>()), out);
    }
    encode_bitmap(ids, out);
}

fn encode_bitmap(ids: &RoaringTreemap, out: &mut Vec<u8>) {
    out.push(KIND_BITMAP);
    ids.serialize_into(&mut *out).expect("writing into memory does not fail");
}

/// Decodes postings; `None` if they are damaged.
pub fn decode(bytes: &[u8]) -> Option<RoaringTreemap> {
    let mut ids = PostingsUnion::default();
    decode_into(bytes, &mut ids)?;
    Some(ids.finish())
}

/// The number of encoded ids; `None` if it cannot be determined.
pub fn count(bytes: &[u8]) -> Option<u64> {
    match bytes.split_first()? {
        (&KIND_LIST, rest) => varint::read(rest, &mut 0).ok(),
        (&KIND_BITMAP, rest) => portable::count(rest),
        _ => None,
    }
}

/// The ids among `ids` that are encoded; `None` if they are damaged. Only the relevant parts of a large bitmap are
/// read.
pub fn keep(bytes: &[u8], ids: &RoaringTreemap) -> Option<RoaringTreemap> {
    match bytes.split_first()? {
        (&KIND_BITMAP, rest) if ids.len() <= KEEP_MAX => portable::keep(rest, ids),
        _ => decode(bytes).map(|found| ids & found),
    }
}

/// Adds the encoded ids to `ids`; `None` if they are damaged, in which case a part may have been added.
pub fn decode_into(bytes: &[u8], ids: &mut PostingsUnion) -> Option<()> {
    let (&kind, rest) = bytes.split_first()?;
    if kind == KIND_BITMAP {
        ids.add(RoaringTreemap::deserialize_from(rest).ok()?);
        return Some(());
    }
    if kind != KIND_LIST {
        return None;
    }
    let mut position = 0;
    let count = varint::read(rest, &mut position).ok()?;
    if count > LIST_MAX as u64 {
        return None;
    }
    let mut previous = 0u64;
    for index in 0..count {
        let step = varint::read(rest, &mut position).ok()?;
        if index > 0 && step == 0 {
            return None;
        }
        previous = previous.checked_add(step)?;
        ids.push(previous);
    }
    (position == rest.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let mut bytes = Vec::new();
        encode(&IdList::from_sorted(&[5, 7, 300]), &mut bytes);
        assert_eq!(bytes, [0, 3, 5, 2, 0xa5, 0x02]);
    }

    proptest! {
        #[test]
        fn round_trip(ids in proptest::collection::btree_set(any::<u64>(), 0..40)) {
            let ids: Vec<u64> = ids.into_iter().collect();
            let mut bytes = Vec::new();
            encode(&IdList::from_sorted(&ids), &mut bytes);
            let mut again = Vec::new();
            encode_ids(&ids.iter().copied().collect(), &mut again);
            prop_assert_eq!(&again, &bytes);
            prop_assert_eq!(count(&bytes), Some(ids.len() as u64));
            prop_assert_eq!(decode(&bytes).unwrap().into_iter().collect::<Vec<_>>(), ids);
        }

        #[test]
        fn what_is_kept_is_the_intersection(
            ids in proptest::collection::btree_set(0u64..200, 0..60),
            wanted in proptest::collection::btree_set(0u64..200, 0..60),
        ) {
            let mut bytes = Vec::new();
            encode_ids(&ids.iter().copied().collect(), &mut bytes);
            let kept = keep(&bytes, &wanted.iter().copied().collect()).unwrap();
            prop_assert!(kept.iter().eq(ids.intersection(&wanted).copied()));
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (decode(&bytes), count(&bytes), keep(&bytes, &(0..9).collect()));
        }
    }
}
