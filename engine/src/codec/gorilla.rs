//! Floats as XOR with the previous float (Pelkonen and others, "Gorilla", VLDB 2015).
//!
//! Floats are treated as bits, so NaN payloads, both zeros and the infinities are preserved.
//!
//! # Format
//! The first float as 64 bits; then for each further one, with `x` its XOR with the previous one:
//!
//! | bits, first to last | meaning |
//! |---|---|
//! | `0` | `x` = 0 |
//! | `1 0`, `s` bits | `x` inside the window in force: `s` significant bits above `t` zeros |
//! | `1 1`, 5 bits `l`, 6 bits `s-1`, `s` bits | a new window: `l` leading zeros (31 means 31 or more), `s` significant bits |
//!
//! `t` = 64 - `l` - `s`. There is no window at the start. The writer opens a new window if `x` does not fit into the
//! current one, and also if a new one saves bits for this float alone, so that one wide outlier does not widen all that
//! follow.

use super::Fault;
use super::bits::{BitReader, BitWriter, mask};

/// The bits of a new window beyond the significant ones, minus those of an existing window.
const WINDOW_COST: u32 = 11;
const LEADING_MAX: u32 = 31;

/// The state of the stream between two floats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct XorState {
    /// The last float's bits.
    pub previous: u64,
    /// Leading zeros of the window.
    pub leading: u8,
    /// Significant bits of the window; 0 while there is none.
    pub significant: u8,
}

impl XorState {
    /// The state after a first float.
    pub fn new(first: u64) -> Self {
        XorState { previous: first, leading: 0, significant: 0 }
    }

    /// Appends a float.
    #[inline]
    pub fn write(&mut self, writer: &mut BitWriter<'_>, bits: u64) {
        let xor = bits ^ self.previous;
        self.previous = bits;
        if xor == 0 {
            writer.write(0, 1);
            return;
        }
        let leading = xor.leading_zeros().min(LEADING_MAX);
        let trailing = xor.trailing_zeros();
        let needed = 64u32.wrapping_sub(leading).wrapping_sub(trailing);
        let significant = u32::from(self.significant);
        let window_trailing = 64u32.wrapping_sub(u32::from(self.leading)).wrapping_sub(significant);
        let fits = leading >= u32::from(self.leading) && trailing >= window_trailing;
        if significant != 0 && fits && significant <= needed.wrapping_add(WINDOW_COST) {
            let payload = xor.wrapping_shr(window_trailing);
            if significant <= 62 {
                writer.write(0b01 | payload << 2, significant.wrapping_add(2));
            } else {
                writer.write(0b01, 2);
                writer.write(payload, significant);
            }
            return;
        }
        self.leading = leading as u8;
        self.significant = needed as u8;
        let header = 0b11 | u64::from(leading) << 2 | u64::from(needed.wrapping_sub(1)) << 7;
        writer.write(header, 13);
        writer.write(xor.wrapping_shr(trailing), needed);
    }

    /// Reads `count` floats and appends them.
    ///
    /// Bits past the end read as zeros; the reader's `finish` reports it.
    #[inline]
    pub fn read_run(&mut self, reader: &mut BitReader<'_>, count: usize, out: &mut Vec<f64>) {
        let XorState { mut previous, leading, significant } = *self;
        let mut significant = u32::from(significant);
        let mut trailing = 64u32.wrapping_sub(u32::from(leading)).wrapping_sub(significant);
        let mut low = mask(significant);
        out.extend((0..count).map(|_| {
            let word = reader.peek();
            if word & 1 == 0 {
                reader.skip(1);
                return f64::from_bits(previous);
            }
            if word & 2 != 0 {
                let leading = (word >> 2) as u32 & 31;
                significant = ((word >> 7) as u32 & 63).wrapping_add(1);
                // In damaged data, leading and significant bits may exceed 64 together.
                trailing = 64u32.saturating_sub(leading.wrapping_add(significant));
                low = mask(significant);
                reader.skip(13);
                previous ^= reader.read(significant).wrapping_shl(trailing);
            } else if significant <= 55 {
                reader.skip(significant.wrapping_add(2));
                previous ^= ((word >> 2) & low).wrapping_shl(trailing);
            } else {
                reader.skip(2);
                previous ^= reader.read(significant).wrapping_shl(trailing);
            }
            f64::from_bits(previous)
        }));
        *self = XorState {
            previous,
            leading: 64u32.wrapping_sub(trailing).wrapping_sub(significant) as u8,
            significant: significant as u8,
        };
    }
}

/// Appends the section of `values`, of which there is at least one.
pub fn encode(values: &[f64], out: &mut Vec<u8>) {
    let mut writer = BitWriter::new(out);
    if let Some((first, rest)) = values.split_first() {
        writer.write(first.to_bits(), 64);
        let mut state = XorState::new(first.to_bits());
        for value in rest {
            state.write(&mut writer, value.to_bits());
        }
    }
    writer.finish();
}

/// Decodes a section of `count` floats, at least one, and appends them.
///
/// # Errors
/// The fault of a section that is too short or too long. `out` may then contain additional invalid floats.
pub fn decode(section: &[u8], count: usize, out: &mut Vec<f64>) -> Result<(), Fault> {
    let mut reader = BitReader::new(section);
    let first = reader.read(64);
    out.push(f64::from_bits(first));
    XorState::new(first).read_run(&mut reader, count.saturating_sub(1), out);
    reader.finish()
}

/// Appends the section of a column that consists of `value` only: its bytes from the sign on, without trailing zero
/// bytes. Small whole numbers take at most three bytes, zero none.
pub fn encode_constant(value: f64, out: &mut Vec<u8>) {
    let bytes = value.to_bits().to_be_bytes();
    let len = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    out.extend_from_slice(&bytes[..len]);
}

/// Decodes the result of [`encode_constant`].
///
/// # Errors
/// [`Fault::Trailing`] for more than eight bytes, or a zero byte at the end.
pub fn decode_constant(section: &[u8]) -> Result<f64, Fault> {
    let mut bytes = [0; 8];
    let used = bytes.get_mut(..section.len()).ok_or(Fault::Trailing)?;
    used.copy_from_slice(section);
    if section.last() == Some(&0) {
        return Err(Fault::Trailing);
    }
    Ok(f64::from_bits(u64::from_be_bytes(bytes)))
}

/// Whether all floats have the same bits.
pub fn is_constant(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::test_data::{NASTY_BITS, assert_same_bits, floats};

    #[test]
    fn golden_bytes() {
        let mut out = Vec::new();
        encode(&[12.0, 12.0, 24.0, 15.0, -0.0, f64::from_bits(0x7ff0_0000_0000_0002)], &mut out);
        let golden = "00000000000028405ec0d7b003e7023cf0030000000000f0ff";
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden);
    }

    #[test]
    fn a_window_that_is_too_wide_is_left() {
        let mut values = vec![1.0, 1.0 / 3.0];
        values.extend((0..1000).map(|i| f64::from(i % 2)));
        let mut out = Vec::new();
        encode(&values, &mut out);
        assert!(out.len() < 2000, "{} bytes", out.len());
    }

    #[test]
    fn damaged_windows_do_not_panic() {
        let mut bytes = vec![0; 8];
        let mut writer = BitWriter::new(&mut bytes);
        writer.write(0b11 | 31 << 2 | 63 << 7, 13);
        writer.write(u64::MAX, 64);
        writer.write(0b01, 2);
        writer.write(u64::MAX, 64);
        writer.finish();
        let mut out = Vec::new();
        assert_eq!(decode(&bytes, 3, &mut out), Ok(()));
    }

    #[test]
    fn constants() {
        for (value, bytes) in
            [(0.0, &[][..]), (1.0, &[0x3f, 0xf0]), (-0.0, &[0x80]), (300.0, &[0x40, 0x72, 0xc0])]
        {
            let mut out = Vec::new();
            encode_constant(value, &mut out);
            assert_eq!(out, bytes);
        }
        for bits in NASTY_BITS {
            let mut out = Vec::new();
            encode_constant(f64::from_bits(bits), &mut out);
            assert_same_bits(&[decode_constant(&out).unwrap()], &[f64::from_bits(bits)]);
        }
        assert_eq!(decode_constant(&[1, 0]), Err(Fault::Trailing));
        assert_eq!(decode_constant(&[1; 9]), Err(Fault::Trailing));
    }

    proptest! {
        #[test]
        fn round_trip(values in floats(1..300)) {
            let mut out = vec![9];
            encode(&values, &mut out);
            let mut decoded = vec![0.5];
            prop_assert_eq!(decode(&out[1..], values.len(), &mut decoded), Ok(()));
            assert_same_bits(&decoded[1..], &values);
        }

        #[test]
        fn a_run_may_be_read_in_pieces(values in floats(2..100), cut in 1usize..99) {
            let mut out = Vec::new();
            encode(&values, &mut out);
            let mut reader = BitReader::new(&out);
            let mut state = XorState::new(reader.read(64));
            let cut = cut.min(values.len() - 1);
            let mut decoded = Vec::new();
            state.read_run(&mut reader, cut, &mut decoded);
            state.read_run(&mut reader, values.len() - 1 - cut, &mut decoded);
            assert_same_bits(&decoded, &values[1..]);
        }

        #[test]
        fn hostile_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 1usize..2000) {
            let mut decoded = Vec::new();
            let _ = decode(&bytes, count, &mut decoded);
            prop_assert_eq!(decoded.len(), count);
        }
    }
}
