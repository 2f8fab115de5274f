//! Integers as differences, exact over the whole range of `i64`.
//!
//! # Format
//! The first integer as 64 bits, then the difference of each from the previous one, modulo 2^64, in the bucket code
//! [`STEPS`]; an escape contains the difference itself.

use super::Fault;
use super::bits::{BitReader, BitWriter};
use super::buckets::{Buckets, Code};

/// The code of differences: small steps of gauges first, then counters with increasing strides.
pub const STEPS: Buckets = Buckets::new([3, 7, 12, 20, 34]);

/// Appends `value`, which follows `previous`.
#[inline]
pub fn write_step(writer: &mut BitWriter<'_>, previous: i64, value: i64) {
    let step = value.wrapping_sub(previous);
    if !STEPS.write(writer, step) {
        STEPS.write_escape(writer, step as u64);
    }
}

/// Reads `count` integers that follow `previous` and passes each to `push`.
///
/// Bits past the end read as zeros; the reader's `finish` reports it.
#[inline]
pub fn read_run(reader: &mut BitReader<'_>, mut previous: i64, count: usize, out: &mut Vec<i64>) {
    out.extend((0..count).map(|_| {
        let step = match STEPS.read(reader) {
            Code::Value(step) => step,
            Code::Escape(raw) => raw as i64,
        };
        previous = previous.wrapping_add(step);
        previous
    }));
}

/// Appends the section of `values`, of which there is at least one.
pub fn encode(values: &[i64], out: &mut Vec<u8>) {
    let mut writer = BitWriter::new(out);
    if let Some(&first) = values.first() {
        writer.write(first as u64, 64);
    }
    for pair in values.windows(2) {
        write_step(&mut writer, pair[0], pair[1]);
    }
    writer.finish();
}

/// Decodes a section of `count` integers, at least one, and appends them.
///
/// # Errors
/// The fault of a section that is too short or too long. `out` may then contain additional invalid integers.
pub fn decode(section: &[u8], count: usize, out: &mut Vec<i64>) -> Result<(), Fault> {
    let mut reader = BitReader::new(section);
    let first = reader.read(64) as i64;
    out.push(first);
    read_run(&mut reader, first, count.saturating_sub(1), out);
    reader.finish()
}

/// Whether all integers are equal.
pub fn is_constant(values: &[i64]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::test_data::integers;

    #[test]
    fn golden_bytes() {
        let mut out = Vec::new();
        encode(&[1, 1, 2, 0, i64::MAX], &mut out);
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "01000000000000004afaffffffffffffffff00");
    }

    proptest! {
        #[test]
        fn round_trip(values in integers(1..300)) {
            let mut out = vec![9];
            encode(&values, &mut out);
            let mut decoded = vec![5];
            prop_assert_eq!(decode(&out[1..], values.len(), &mut decoded), Ok(()));
            prop_assert_eq!(&decoded[1..], &values[..]);
        }

        #[test]
        fn hostile_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 1usize..2000) {
            let mut decoded = Vec::new();
            let _ = decode(&bytes, count, &mut decoded);
            prop_assert_eq!(decoded.len(), count);
        }
    }
}
