//! Keys: how bulk data is laid out in the store.
//!
//! # Format
//! All numbers are big-endian. Signed ones have the sign bit flipped, so that the order of bytes is the order of
//! numbers.
//!
//! ```text
//! prefix    = class u8 | resolution u8 | partition i32 | generation u64     (14 bytes)
//! chunk     = prefix | series u64 | first timestamp i64                     (30 bytes)
//!             of buckets: the end of the first one
//! series    = prefix | 0x01 | series u64
//! postings  = prefix | 0x02 | label name, escaped | label value
//! times     = prefix | 0x03
//! event     = prefix | timestamp i64 | ordinal u32
//! ```
//! In an escaped name each 0x00 is written as 0x00 0xff, and the name ends with 0x00 0x01, so that all values of one
//! name form a range and names sort before their extensions. No label has an empty value: postings with an empty value
//! list all series that have the label. Labels with few values have no such postings, nor do generations of older
//! versions.
//!
//! A *generation* is the output of one flush or merge for one partition. Its prefix is new, so its keys form a range
//! that contains nothing else, and dropping a partition or replacing a generation means dropping ranges. The catalogue
//! records which generations are current.
//!
//! # Invariants
//! K1. Within one generation, the chunks of a series do not overlap in time.
//! K2. Of two generations of one partition, the one with the larger cut wins; of a tier of buckets, the one with the larger
//!     number.
//! K3. A key is longer than the prefix. A generation is removed up to the next prefix, and RocksDB includes the end of a
//!     range when it removes whole tables: a key that is that prefix would be removed with the generation before it.

use crate::model::{PartitionId, SeriesId, TierId, Timestamp};

/// The prefix of one generation's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    /// The partition.
    pub partition: PartitionId,
    /// Serial number, never used twice.
    pub generation: u64,
}

/// Length of an encoded [`Prefix`].
pub const PREFIX_BYTES: usize = 1 + 1 + 4 + 8;
const CHUNK_KEY_BYTES: usize = PREFIX_BYTES + 8 + 8;
const KIND_SERIES: u8 = 1;
const KIND_POSTINGS: u8 = 2;
const KIND_TIMES: u8 = 3;
const SERIES_KEY_BYTES: usize = PREFIX_BYTES + 1 + 8;

/// Writes `bytes` at an offset of a key. The compiler knows all sizes, so these are plain stores. `copy_from_slice` may
/// be a call instead, depending on how the crate is divided into codegen units.
#[inline]
fn put<const KEY: usize, const BYTES: usize>(key: &mut [u8; KEY], at: usize, bytes: [u8; BYTES]) {
    for (to, from) in key[at..at + BYTES].iter_mut().zip(bytes) {
        *to = from;
    }
}

impl Prefix {
    /// The encoded form.
    pub fn encode(&self) -> [u8; PREFIX_BYTES] {
        let mut out = [0; PREFIX_BYTES];
        let PartitionId { tier, number } = self.partition;
        out[0] = tier.class;
        out[1] = tier.resolution;
        put(&mut out, 2, ((number as u32) ^ (1 << 31)).to_be_bytes());
        put(&mut out, 6, self.generation.to_be_bytes());
        out
    }

    /// Reads the prefix of any bulk key; `None` if it is too short.
    pub fn decode(key: &[u8]) -> Option<Prefix> {
        let number = u32::from_be_bytes(key.get(2..6)?.try_into().ok()?) ^ (1 << 31);
        let generation = u64::from_be_bytes(key.get(6..14)?.try_into().ok()?);
        let tier = TierId { class: key[0], resolution: key[1] };
        Some(Prefix { partition: PartitionId { tier, number: number as i32 }, generation })
    }

    /// The range `[start, end)` of all keys under this prefix.
    pub fn range(&self) -> (Vec<u8>, Vec<u8>) {
        let start = self.encode().to_vec();
        let end = successor(&start);
        (start, end)
    }

    /// The key of a chunk.
    pub fn chunk(&self, series: SeriesId, first: Timestamp) -> [u8; CHUNK_KEY_BYTES] {
        let mut out = [0; CHUNK_KEY_BYTES];
        put(&mut out, 0, self.encode());
        put(&mut out, PREFIX_BYTES, series.0.to_be_bytes());
        put(&mut out, PREFIX_BYTES + 8, ordered(first));
        out
    }

    /// The key of a series record.
    pub fn series(&self, series: SeriesId) -> [u8; SERIES_KEY_BYTES] {
        let mut out = [0; SERIES_KEY_BYTES];
        put(&mut out, 0, self.encode());
        out[PREFIX_BYTES] = KIND_SERIES;
        put(&mut out, PREFIX_BYTES + 1, series.0.to_be_bytes());
        out
    }

    /// The key of the record that says when series had samples (`times`).
    pub fn times(&self) -> [u8; PREFIX_BYTES + 1] {
        let mut out = [KIND_TIMES; PREFIX_BYTES + 1];
        out[..PREFIX_BYTES].copy_from_slice(&self.encode());
        out
    }

    /// The key of the postings of `name="value"`.
    pub fn postings(&self, name: &str, value: &str) -> Vec<u8> {
        let mut out = self.postings_of_name(name);
        out.extend_from_slice(value.as_bytes());
        out
    }

    /// The common beginning of the keys of all postings of `name`.
    pub fn postings_of_name(&self, name: &str) -> Vec<u8> {
        let mut out = self.all_postings();
        for &byte in name.as_bytes() {
            out.push(byte);
            if byte == 0 {
                out.push(0xff);
            }
        }
        out.extend_from_slice(&[0, 1]);
        out
    }

    /// The common beginning of the keys of all postings.
    pub fn all_postings(&self) -> Vec<u8> {
        let mut out = self.encode().to_vec();
        out.push(KIND_POSTINGS);
        out
    }

    /// The key of an event.
    pub fn event(&self, timestamp: Timestamp, ordinal: u32) -> Vec<u8> {
        let mut out = self.encode().to_vec();
        out.extend_from_slice(&ordered(timestamp));
        out.extend_from_slice(&ordinal.to_be_bytes());
        out
    }
}

/// Series and first timestamp of a chunk key.
pub fn decode_chunk(key: &[u8]) -> Option<(SeriesId, Timestamp)> {
    if key.len() != CHUNK_KEY_BYTES {
        return None;
    }
    let series = u64::from_be_bytes(key[14..22].try_into().ok()?);
    Some((SeriesId(series), unordered(key[22..30].try_into().ok()?)))
}

/// The series of a series record's key.
pub fn decode_series(key: &[u8]) -> Option<SeriesId> {
    let rest = key.get(PREFIX_BYTES..)?;
    let (&KIND_SERIES, id) = rest.split_first()? else { return None };
    Some(SeriesId(u64::from_be_bytes(id.try_into().ok()?)))
}

/// Name and value of a postings key.
pub fn decode_postings(key: &[u8]) -> Option<(String, String)> {
    let rest = key.get(PREFIX_BYTES..)?;
    let (&KIND_POSTINGS, mut rest) = rest.split_first()? else { return None };
    let mut name = Vec::new();
    loop {
        match rest {
            [0, 1, tail @ ..] => {
                rest = tail;
                break;
            }
            [0, 0xff, tail @ ..] => {
                name.push(0);
                rest = tail;
            }
            [byte, tail @ ..] if *byte != 0 => {
                name.push(*byte);
                rest = tail;
            }
            _ => return None,
        }
    }
    Some((String::from_utf8(name).ok()?, String::from_utf8(rest.to_vec()).ok()?))
}

/// The timestamp of an event key.
pub fn decode_event(key: &[u8]) -> Option<Timestamp> {
    Some(unordered(key.get(PREFIX_BYTES..PREFIX_BYTES + 8)?.try_into().ok()?))
}

/// The smallest key after all keys that begin with `prefix`.
pub fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return end;
        }
        end.pop();
    }
    // All bytes are 0xff: a sequence of them that is longer than any key sorts after all keys.
    vec![0xff; prefix.len() + 64]
}

fn ordered(t: Timestamp) -> [u8; 8] {
    ((t as u64) ^ (1 << 63)).to_be_bytes()
}

fn unordered(bytes: [u8; 8]) -> Timestamp {
    (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(partition: i32, generation: u64) -> Prefix {
        Prefix { partition: PartitionId::raw(partition), generation }
    }

    #[test]
    fn golden_keys() {
        let p = prefix(-1, 7);
        assert_eq!(p.encode(), [0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(
            p.chunk(SeriesId(3), -2)[14..],
            [0, 0, 0, 0, 0, 0, 0, 3, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]
        );
        assert_eq!(p.series(SeriesId(3))[14..], [1, 0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(&p.postings("a\0b", "v")[14..], b"\x02a\x00\xffb\x00\x01v");
        assert_eq!(p.times()[14..], [3]);
    }

    #[test]
    fn a_successor_ends_its_prefix() {
        assert_eq!(successor(&[1, 0xff]), [2]);
        assert!(successor(&[0xff; 3]) > vec![0xff; 30]);
    }

    proptest! {
        #[test]
        fn byte_order_is_number_order(a in any::<(i32, u64, u64, i64)>(), b in any::<(i32, u64, u64, i64)>()) {
            let key = |v: (i32, u64, u64, i64)| prefix(v.0, v.1).chunk(SeriesId(v.2), v.3);
            prop_assert_eq!(a.cmp(&b), key(a).cmp(&key(b)));
        }

        #[test]
        fn keys_round_trip(p in any::<(i32, u64)>(), series: u64, t: i64, name in ".{1,20}", value in ".{1,20}") {
            let p = prefix(p.0, p.1);
            prop_assert_eq!(Prefix::decode(&p.encode()), Some(p));
            prop_assert_eq!(decode_chunk(&p.chunk(SeriesId(series), t)), Some((SeriesId(series), t)));
            prop_assert_eq!(decode_series(&p.series(SeriesId(series))), Some(SeriesId(series)));
            prop_assert_eq!(decode_event(&p.event(t, 9)), Some(t));
            prop_assert_eq!(decode_postings(&p.postings(&name, &value)), Some((name.clone(), value)));
            prop_assert!(p.postings(&name, "").starts_with(&p.postings_of_name(&name)));
        }

        #[test]
        fn hostile_keys_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..48)) {
            let _ = (Prefix::decode(&bytes), decode_chunk(&bytes), decode_series(&bytes), decode_postings(&bytes), decode_event(&bytes));
        }
    }
}
