//! Timestamps: no bytes for a regular interval, otherwise differences of differences.
//!
//! All arithmetic is modulo 2^64, so every ascending sequence of `i64` is restored, even one that spans more than
//! `i64::MAX`. The chunk's header has first, last and count. The mean interval `(last - first) / (count - 1)` follows
//! from them. It is the prediction for the first interval, so a series with jitter starts with a short code.
//!
//! # Format
//! [`CodecId::Regular`](super::CodecId::Regular): no bytes; all intervals equal the mean interval.
//!
//! [`CodecId::DeltaOfDelta`](super::CodecId::DeltaOfDelta): for each timestamp except the first, in the chunk's unit,
//! the change of the interval in the bucket code [`TURNS`]; an escape contains the change itself.

use super::Fault;
use super::bits::{BitReader, BitWriter};
use super::buckets::{Buckets, Code};

/// The code of interval changes. Measured on scrapes with millisecond resolution: most changes are within 2^6, outliers
/// within 2^12; the wide buckets are for nanosecond clocks.
pub const TURNS: Buckets = Buckets::new([5, 8, 12, 20, 32]);

/// First, last and count of a column, in one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// First timestamp.
    pub first: i64,
    /// Last timestamp, not before the first.
    pub last: i64,
    /// The number of timestamps, at least one.
    pub count: usize,
}

impl Frame {
    /// The mean interval, rounded down.
    fn interval(&self) -> u64 {
        let span = self.last.wrapping_sub(self.first) as u64;
        span.checked_div((self.count as u64).wrapping_sub(1)).unwrap_or(0)
    }
}

/// Whether all intervals are equal.
pub fn is_regular(timestamps: &[i64]) -> bool {
    let [first, second, ..] = timestamps else { return true };
    let interval = second.wrapping_sub(*first);
    timestamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == interval)
}

/// Appends the delta-of-delta section of strictly ascending `timestamps`, of which there is at least one.
pub fn encode(timestamps: &[i64], out: &mut Vec<u8>) {
    let [first, .., last] = *timestamps else { return };
    let frame = Frame { first, last, count: timestamps.len() };
    let mut writer = BitWriter::new(out);
    let mut interval = frame.interval() as i64;
    for pair in timestamps.windows(2) {
        let next = pair[1].wrapping_sub(pair[0]);
        let turn = next.wrapping_sub(interval);
        if !TURNS.write(&mut writer, turn) {
            TURNS.write_escape(&mut writer, turn as u64);
        }
        interval = next;
    }
    writer.finish();
}

/// Appends the timestamps of a regular column, each multiplied by `unit`.
///
/// # Errors
/// [`Fault::Range`] if the count does not divide the time range into equal intervals.
pub fn decode_regular(frame: Frame, unit: i64, out: &mut Vec<i64>) -> Result<(), Fault> {
    let interval = frame.interval();
    let span = frame.last.wrapping_sub(frame.first) as u64;
    if interval.checked_mul(frame.count as u64 - 1) != Some(span) || (span == 0) != (frame.count == 1) {
        return Err(Fault::Range);
    }
    let step = (interval as i64).wrapping_mul(unit);
    let mut next = frame.first.wrapping_mul(unit);
    out.extend((0..frame.count).map(|_| {
        let timestamp = next;
        next = next.wrapping_add(step);
        timestamp
    }));
    Ok(())
}

/// Decodes a delta-of-delta section and appends its timestamps, each multiplied by `unit`.
///
/// # Errors
/// The fault of a section that is too short or too long, does not end at the frame's last timestamp or does not ascend.
/// `out` may then contain additional invalid timestamps.
pub fn decode(section: &[u8], frame: Frame, unit: i64, out: &mut Vec<i64>) -> Result<(), Fault> {
    let mut reader = BitReader::new(section);
    let mut interval = (frame.interval() as i64).wrapping_mul(unit);
    let mut timestamp = frame.first.wrapping_mul(unit);
    let mut ascends = true;
    out.push(timestamp);
    out.extend((1..frame.count).map(|_| {
        let turn = match TURNS.read(&mut reader) {
            Code::Value(turn) => turn,
            Code::Escape(raw) => raw as i64,
        };
        interval = interval.wrapping_add(turn.wrapping_mul(unit));
        let next = timestamp.wrapping_add(interval);
        ascends &= next > timestamp;
        timestamp = next;
        next
    }));
    reader.finish()?;
    if !ascends {
        Err(Fault::Order)
    } else if timestamp != frame.last.wrapping_mul(unit) {
        Err(Fault::Range)
    } else {
        Ok(())
    }
}

/// Checks that decoded timestamps ascend strictly and end at `last`.
///
/// # Errors
/// [`Fault::Order`] and [`Fault::Range`].
pub fn check(timestamps: &[i64], last: i64) -> Result<(), Fault> {
    // Not ended early: the whole column is compared in a few vector instructions.
    let ascends = timestamps.iter().zip(&timestamps[1..]).fold(true, |all, (a, b)| all & (a < b));
    if !ascends {
        Err(Fault::Order)
    } else if timestamps.last() != Some(&last) {
        Err(Fault::Range)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::test_data::times;

    fn frame(timestamps: &[i64]) -> Frame {
        Frame { first: timestamps[0], last: *timestamps.last().unwrap(), count: timestamps.len() }
    }

    #[test]
    fn golden_bytes() {
        let mut out = Vec::new();
        encode(&[1000, 2003, 2999, 4000, 4001, 100_000_000_000], &mut out);
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "ff2c0ffad5feffff7fac74cef77b61db215d00000000");
    }

    #[test]
    fn extremes() {
        for timestamps in [
            &[i64::MIN][..],
            &[i64::MAX],
            &[i64::MIN, i64::MAX],
            &[i64::MIN, 0, i64::MAX],
            &[i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX],
            &[-1, 0],
            &[0, 1, i64::MAX],
        ] {
            let mut out = Vec::new();
            encode(timestamps, &mut out);
            let mut decoded = Vec::new();
            assert_eq!(decode(&out, frame(timestamps), 1, &mut decoded), Ok(()));
            assert_eq!(decoded, timestamps);
        }
        let two = frame(&[i64::MIN, i64::MAX]);
        let mut decoded = Vec::new();
        assert_eq!(decode_regular(two, 1, &mut decoded), Ok(()));
        assert_eq!(decoded, [i64::MIN, i64::MAX]);
    }

    #[test]
    fn regular_ranges_that_do_not_divide_are_refused() {
        for (first, last, count) in [(0, 10, 4), (0, 2, 4), (0, 0, 2), (5, 6, 1)] {
            assert_eq!(decode_regular(Frame { first, last, count }, 1, &mut Vec::new()), Err(Fault::Range));
        }
    }

    #[test]
    fn a_descending_section_is_refused() {
        let mut out = Vec::new();
        encode(&[0, 10, 5, 30], &mut out);
        assert_eq!(
            decode(&out, Frame { first: 0, last: 30, count: 4 }, 1, &mut Vec::new()),
            Err(Fault::Order)
        );
        assert!(decode(&out, Frame { first: 0, last: 31, count: 4 }, 1, &mut Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn round_trip(timestamps in times(1..300)) {
            let mut out = vec![9];
            encode(&timestamps, &mut out);
            let mut decoded = vec![5];
            prop_assert_eq!(decode(&out[1..], frame(&timestamps), 1, &mut decoded), Ok(()));
            prop_assert_eq!(&decoded[1..], &timestamps[..]);
            decoded.clear();
            let regular = decode_regular(frame(&timestamps), 1, &mut decoded);
            if is_regular(&timestamps) {
                prop_assert_eq!(regular, Ok(()));
                prop_assert_eq!(&decoded, &timestamps);
            } else {
                prop_assert_ne!(&decoded, &timestamps);
            }
        }

        #[test]
        fn hostile_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            first in any::<i64>(), last in any::<i64>(), count in 1usize..2000, unit in 1i64..2_000_000_000,
        ) {
            let frame = Frame { first, last, count };
            let mut decoded = Vec::new();
            let _ = decode(&bytes, frame, unit, &mut decoded);
            prop_assert_eq!(decoded.len(), count);
            decoded.clear();
            let _ = decode_regular(frame, unit, &mut decoded);
            prop_assert!(decoded.len() <= count);
        }
    }
}
