//! Blocks of integers, each block with one width in bits.
//!
//! Value `i` takes the bits from `i * width` on, low bits first, so eight values take exactly `width` bytes. The
//! unpacker loads a group of eight small values as one word, and each wider value with one unaligned load. No load
//! depends on another. For widths up to 32, the code of each is compiled by itself, so that places in a group are constants.

use super::bits::mask;

const WORD: usize = 8;
const GROUP: usize = 8;
/// More bytes than two groups of 32 bits take.
const TAIL_MAX: usize = 72;

/// The number of bytes that `count` values of `width` bits take.
pub fn packed_len(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Appends `values`, the low `width` bits of each; `width` is at most 64.
pub fn pack(values: &[u64], width: u32, out: &mut Vec<u8>) {
    let low = mask(width);
    let (mut word, mut used) = (0u64, 0u32);
    out.reserve(packed_len(values.len(), width));
    for &value in values {
        let value = value & low;
        word |= value.wrapping_shl(used);
        let total = used.wrapping_add(width);
        if total >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            // If the value began the word, all of it has been written.
            word = value.checked_shr(64u32.wrapping_sub(used)).unwrap_or(0);
            used = total.wrapping_sub(64);
        } else {
            used = total;
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..used.div_ceil(8) as usize]);
}

/// Fills `out` from `bytes`, which must hold [`packed_len`] bytes; missing ones read as zeros.
pub fn unpack(bytes: &[u8], width: u32, out: &mut [u64]) {
    macro_rules! by_width {
        ($($small:literal)*; $($wider:literal)*) => {
            match width {
                0 => out.fill(0),
                $($small => unpack_groups::<$small>(bytes, out),)*
                $($wider => unpack_wider::<$wider>(bytes, out),)*
                33..=57 => unpack_words(bytes, width, out),
                _ => unpack_wide(bytes, width, out),
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8; 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
}

/// Widths up to 8: eight values are one word.
fn unpack_groups<const WIDTH: usize>(bytes: &[u8], out: &mut [u64]) {
    let low = mask(WIDTH as u32);
    let mut at = 0usize;
    for group in out.chunks_mut(GROUP) {
        let word = load(bytes, at);
        at = at.wrapping_add(WIDTH);
        for (i, value) in group.iter_mut().enumerate() {
            *value = word >> (i * WIDTH) & low;
        }
    }
}

/// Widths from 9 to 32: a group takes `WIDTH` bytes, and the words of its values end within the seven bytes after it.
fn unpack_wider<const WIDTH: usize>(bytes: &[u8], out: &mut [u64]) {
    let low = mask(WIDTH as u32);
    let (mut at, mut done) = (0usize, 0usize);
    for group in out.as_chunks_mut::<GROUP>().0 {
        let Some(window) = bytes.get(at..at.wrapping_add(WIDTH + WORD - 1)) else { break };
        for (i, value) in group.iter_mut().enumerate() {
            let bit = i * WIDTH;
            *value = load(window, bit >> 3) >> (bit & 7) & low;
        }
        at = at.wrapping_add(WIDTH);
        done = done.wrapping_add(GROUP);
    }
    // A group or two are left, so near the end that words would reach beyond it.
    let (rest, mut padded) = (bytes.get(at..).unwrap_or_default(), [0; TAIL_MAX + WORD]);
    let rest = &rest[..rest.len().min(TAIL_MAX)];
    padded[..rest.len()].copy_from_slice(rest);
    unpack_words(&padded, WIDTH as u32, &mut out[done..]);
}

/// Widths up to 57: a value lies within the eight bytes that start with its first byte.
fn unpack_words(bytes: &[u8], width: u32, out: &mut [u64]) {
    let low = mask(width);
    let mut bit = 0usize;
    for value in out {
        *value = load(bytes, bit >> 3) >> (bit & 7) & low;
        bit = bit.wrapping_add(width as usize);
    }
}

fn unpack_wide(bytes: &[u8], width: u32, out: &mut [u64]) {
    let low = mask(width);
    let mut bit = 0usize;
    for value in out {
        let (at, shift) = (bit >> 3, (bit & 7) as u32);
        let high = bytes.get(at.wrapping_add(WORD)).copied().unwrap_or(0);
        let high = u64::from(high).checked_shl(64u32.wrapping_sub(shift)).unwrap_or(0);
        *value = (load(bytes, at) >> shift | high) & low;
        bit = bit.wrapping_add(width as usize);
    }
}

/// The word at byte `at`; zeros past the end.
#[inline]
fn load(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|tail| tail.first_chunk::<WORD>()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => load_tail(bytes, at),
    }
}

#[cold]
fn load_tail(bytes: &[u8], at: usize) -> u64 {
    let tail = bytes.get(at..).unwrap_or_default();
    let mut word = [0; WORD];
    word[..tail.len()].copy_from_slice(tail);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_bytes() {
        let mut out = Vec::new();
        pack(&[1, 2, 3, 4, 5], 3, &mut out);
        assert_eq!(out, [0b1101_0001, 0b0101_1000]);
        pack(&[0x1ff], 64, &mut out);
        assert_eq!(out[2..], [0xff, 1, 0, 0, 0, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn every_width_round_trips(values in prop::collection::vec(any::<u64>(), 0..100)) {
            for width in 0..=64 {
                let mut out = vec![7];
                pack(&values, width, &mut out);
                prop_assert_eq!(out.len(), 1 + packed_len(values.len(), width));
                let mut unpacked = vec![9; values.len()];
                unpack(&out[1..], width, &mut unpacked);
                let expected: Vec<u64> = values.iter().map(|value| value & mask(width)).collect();
                prop_assert_eq!(&unpacked, &expected, "width {}", width);
                // What is missing reads as zeros.
                let half = &out[1..out.len() / 2 + 1];
                unpack(half, width, &mut unpacked);
                let mut filled = vec![9; values.len()];
                unpack(&[half, &vec![0; out.len()][..]].concat(), width, &mut filled);
                prop_assert_eq!(&unpacked, &filled, "width {}", width);
            }
        }
    }
}
