//! Variable-length integers: LEB128, and zigzag for signed ones.
//!
//! Each byte has seven bits, low bits first; the high bit indicates that more follow. A `u64` takes 1 to 10 bytes. Each
//! value has exactly one encoding, the shortest. A longer one is refused, so that equal values have equal bytes, and a
//! checksum over bytes is a checksum over values.

use crate::codec::Fault;

/// The maximum number of bytes of a varint.
pub const MAX_LEN: usize = 10;

/// Appends `value`.
#[inline]
pub fn write(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The number of bytes that [`write()`] appends for `value`.
pub fn len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Reads a varint at `*position` and moves the position past it.
///
/// # Errors
/// [`Fault::Truncated`] at the end of the bytes, [`Fault::Varint`] for an encoding that is not the shortest or exceeds
/// 64 bits. The position is then unchanged.
#[inline]
pub fn read(bytes: &[u8], position: &mut usize) -> Result<u64, Fault> {
    let mut value = 0u64;
    let tail = bytes.get(*position..).unwrap_or_default();
    for (i, &byte) in tail.iter().take(MAX_LEN).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            // The tenth byte contains only bit 63. A last byte of zero is redundant.
            let overlong = (byte == 0 && i > 0) || (i == MAX_LEN - 1 && byte > 1);
            if overlong {
                return Err(Fault::Varint);
            }
            *position += i + 1;
            return Ok(value);
        }
    }
    Err(if tail.len() < MAX_LEN { Fault::Truncated } else { Fault::Varint })
}

/// Maps signed to unsigned integers so that small magnitudes stay small: 0, -1, 1, -2 become 0, 1, 2, 3.
#[inline]
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[inline]
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ (value as i64 & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_bytes() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (0x7f, &[0x7f]),
            (0x80, &[0x80, 0x01]),
            (300, &[0xac, 0x02]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            let mut out = Vec::new();
            write(&mut out, value);
            assert_eq!(out, bytes);
        }
        assert_eq!([0, -1, 1, i64::MAX, i64::MIN].map(zigzag), [0, 1, 2, u64::MAX - 1, u64::MAX]);
    }

    #[test]
    fn longer_forms_are_refused() {
        for bytes in [&[0x80, 0x00][..], &[0xff, 0x80, 0x00], &[0xff; 10], &[0xff; 11]] {
            let mut position = 0;
            assert_eq!(read(bytes, &mut position), Err(Fault::Varint), "{bytes:x?}");
            assert_eq!(position, 0);
        }
        let too_wide = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(read(&too_wide, &mut 0), Err(Fault::Varint));
        for bytes in [&[][..], &[0x80], &[0xff; 9]] {
            assert_eq!(read(bytes, &mut 0), Err(Fault::Truncated));
        }
        assert_eq!(read(&[1], &mut 7), Err(Fault::Truncated));
    }

    proptest! {
        #[test]
        fn round_trip(raw in any::<u64>(), shift in 0u32..64) {
            let value = raw >> shift;
            let mut out = vec![0xaa];
            write(&mut out, value);
            prop_assert_eq!(out.len(), 1 + len(value));
            let mut position = 1;
            prop_assert_eq!(read(&out, &mut position), Ok(value));
            prop_assert_eq!(position, out.len());
            prop_assert_eq!(zigzag(unzigzag(value)), value);
        }

        #[test]
        fn what_is_read_writes_back_the_same(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut position = 0;
            if let Ok(value) = read(&bytes, &mut position) {
                let mut out = Vec::new();
                write(&mut out, value);
                prop_assert_eq!(&out[..], &bytes[..position]);
            }
        }
    }
}
