//! When the series of a generation had samples, recorded for stretches of 256 consecutive ids.
//!
//! Ids are assigned in the order in which series appear, so short-lived series that were alive at the same time have
//! neighbouring ids. A query over a minute skips the stretches without samples in it, before it reads a label set or
//! looks for a chunk.
//!
//! # Format
//! One record per generation, see `keys`. Numbers are little-endian.
//! ```text
//! 0   1   version, 1; a record of any other version is ignored
//! 1   8   number of the first stretch u64: its ids divided by 256
//! 9   8   base i64: the earliest timestamp in seconds, rounded down
//! 17  12  for each stretch that has chunks, ascending:
//!         its number u32, minus that of the first;
//!         its first timestamp u32 in seconds after the base, rounded down;
//!         its last one, rounded up, or 2^32 - 1 if that overflows
//! -4  4   CRC-32 of all before, u32
//! ```
//! A generation whose ids are too far apart has no record, nor has one of an older build.

use crate::model::{SeriesId, TimeRange, Timestamp};

/// Ids in a stretch, as a power of two.
const SHIFT: u32 = 8;
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 17;
const ENTRY_BYTES: usize = 12;
const SECOND_NS: i64 = 1_000_000_000;

/// The stretch that contains an id.
pub fn stretch_of(id: SeriesId) -> u64 {
    id.0 >> SHIFT
}

/// The record of a generation that is being written.
#[derive(Debug, Default)]
pub struct TimesWriter {
    stretches: Vec<(u64, Timestamp, Timestamp)>,
}

impl TimesWriter {
    /// Adds a chunk of series `id`. Ids must not descend.
    pub fn add(&mut self, id: SeriesId, first: Timestamp, last: Timestamp) {
        match self.stretches.last_mut() {
            Some(known) if known.0 == stretch_of(id) => {
                known.1 = known.1.min(first);
                known.2 = known.2.max(last);
            }
            _ => self.stretches.push((stretch_of(id), first, last)),
        }
    }

    /// The record, if there is one.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let start = self.stretches.first()?.0;
        let base = self.stretches.iter().map(|s| s.1).min()?.div_euclid(SECOND_NS);
        let after_base = |seconds: i64| u32::try_from(seconds - base).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(HEAD_BYTES + self.stretches.len() * ENTRY_BYTES + 4);
        out.push(VERSION);
        out.extend_from_slice(&start.to_le_bytes());
        out.extend_from_slice(&base.to_le_bytes());
        for &(stretch, first, last) in &self.stretches {
            let number = u32::try_from(stretch - start).ok()?;
            let first = after_base(first.div_euclid(SECOND_NS));
            let last = after_base(last.div_euclid(SECOND_NS) + i64::from(last.rem_euclid(SECOND_NS) > 0));
            [number, first, last].iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        }
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        Some(out)
    }
}

/// A decoded record.
#[derive(Debug)]
pub struct Times {
    start: u64,
    base: i64,
    record: Vec<u8>,
}

impl Times {
    /// Decodes a record. `None` if it is damaged; `Some(None)` if it is valid but cannot be used.
    pub fn decode(record: Vec<u8>) -> Option<Option<Self>> {
        let (body, crc) = record.split_last_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        if body.first() != Some(&VERSION) {
            return Some(None);
        }
        let (start, rest) = body[1..].split_first_chunk()?;
        let (base, entries) = rest.split_first_chunk()?;
        let (start, base) = (u64::from_le_bytes(*start), i64::from_le_bytes(*base));
        (entries.len() % ENTRY_BYTES == 0).then_some(Some(Times { start, base, record }))
    }

    /// Whether series of a stretch may have samples in `range`.
    pub fn may_hold(&self, stretch: u64, range: TimeRange) -> bool {
        let (entries, _) = self.record[HEAD_BYTES..].as_chunks::<ENTRY_BYTES>();
        let word = |entry: &[u8; ENTRY_BYTES], at: usize| {
            u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]])
        };
        let Some(number) = stretch.checked_sub(self.start).and_then(|n| u32::try_from(n).ok()) else {
            return false;
        };
        let Ok(at) = entries.binary_search_by_key(&number, |entry| word(entry, 0)) else { return false };
        let time = |seconds: u32| self.base.saturating_add(i64::from(seconds)).saturating_mul(SECOND_NS);
        let last = match word(&entries[at], 8) {
            u32::MAX => Timestamp::MAX,
            last => time(last),
        };
        range.overlaps(time(word(&entries[at], 4)), last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(writer: &TimesWriter) -> Times {
        Times::decode(writer.encode().unwrap()).unwrap().unwrap()
    }

    #[test]
    fn golden_bytes() {
        let mut writer = TimesWriter::default();
        assert_eq!(writer.encode(), None);
        writer.add(SeriesId(256), 3 * SECOND_NS + 1, 4 * SECOND_NS);
        writer.add(SeriesId(511), 2 * SECOND_NS + 1, 4 * SECOND_NS + 1);
        writer.add(SeriesId(1024), 9 * SECOND_NS, 9 * SECOND_NS);
        let bytes = writer.encode().unwrap();
        let expected = "01 0100000000000000 0200000000000000 \
                        00000000 00000000 03000000 03000000 07000000 07000000";
        let hex: String = bytes[..bytes.len() - 4].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected.replace(' ', ""));
    }

    #[test]
    fn what_does_not_fit_is_left_open() {
        let mut writer = TimesWriter::default();
        writer.add(SeriesId(0), Timestamp::MIN, Timestamp::MIN);
        writer.add(SeriesId(300), Timestamp::MAX - 1, Timestamp::MAX);
        let times = read(&writer);
        assert!(times.may_hold(1, TimeRange::new(Timestamp::MAX - 2, Timestamp::MAX)));
        assert!(times.may_hold(0, TimeRange::new(Timestamp::MIN, 0)) && !times.may_hold(2, TimeRange::ALL));
        writer.add(SeriesId(u64::MAX), 0, 0);
        assert_eq!(writer.encode(), None, "ids too far apart");
    }

    #[test]
    fn damage_is_noticed_and_other_versions_are_passed_over() {
        let mut writer = TimesWriter::default();
        writer.add(SeriesId(7), 5, 6);
        let good = writer.encode().unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Times::decode(bad).is_none(), "bit {bit}");
        }
        assert!((0..good.len()).all(|length| Times::decode(good[..length].to_vec()).is_none()));
        let mut other = vec![VERSION + 1, 1, 2, 3];
        other.extend_from_slice(&crc32fast::hash(&other).to_le_bytes());
        assert!(Times::decode(other).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn nothing_that_is_there_is_missed(
            mut chunks in proptest::collection::vec((0u64..3000, -90_000_000_000i64..90_000_000_000, 0i64..5_000_000_000), 1..40),
            asked in (-99_000_000_000i64..99_000_000_000, 0i64..20_000_000_000),
        ) {
            chunks.sort_unstable();
            let mut writer = TimesWriter::default();
            chunks.iter().for_each(|&(id, first, length)| writer.add(SeriesId(id), first, first + length));
            let (times, range) = (read(&writer), TimeRange::new(asked.0, asked.0 + asked.1));
            for stretch in 0..14 {
                let of_stretch = || chunks.iter().filter(|chunk| chunk.0 >> SHIFT == stretch);
                let has = of_stretch().any(|&(_, first, length)| range.overlaps(first, first + length));
                let first = of_stretch().map(|chunk| chunk.1).min();
                let last = of_stretch().map(|chunk| chunk.1 + chunk.2).max();
                let near = first.zip(last).is_some_and(|(first, last)| {
                    range.overlaps(first - SECOND_NS, last + SECOND_NS)
                });
                let said = times.may_hold(stretch, range);
                prop_assert!((said || !has) && (near || !said), "stretch {}: {} {} {}", stretch, said, has, near);
            }
        }
    }
}
