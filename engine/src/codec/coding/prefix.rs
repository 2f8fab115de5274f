//! Unsigned integers in prefix codes (Huffman): few bits for frequent values.
//!
//! An integer is a *token* followed by raw bits. Each integer below 16 is a token. Above, an octave has two tokens, and
//! the bits below the two leading ones follow raw. The code of the tokens is computed for each column and stored as
//! code lengths; codes are canonical.
//!
//! The first half of a body is one bit stream, written forwards; the second half is another, written backwards from the
//! end. Two decoders run in parallel, and neither needs a length.
//!
//! # Format
//! | field | bytes | meaning |
//! |---|---|---|
//! | last | 1 | the largest token used, 0 to 135; 255: one token only, which follows in one byte and takes no bits |
//! | lengths | nibbles, low one first | for each token up to the last: 0 to 11, the length of its code (0: not used), or 12 to 15: a run of 2, 4, 8, 16 tokens not used |
//! | streams | rest | codes, low bits first, each followed by its raw bits; see above |
//!
//! A code of `n` tokens is complete: the sum of `2^-length` is 1. The first
//! `count / 2`, rounded up, integers are in the stream from the front.

use super::bits::{BitWriter, mask};

mod decode;

pub use decode::decode;

/// Integers below this are tokens.
const DIRECT: u64 = 16;
/// Bits of the largest direct token.
const DIRECT_BITS: u32 = 4;
/// The number of tokens: two for each octave from 2^4 to 2^63.
const TOKENS: usize = 16 + 2 * 60;
/// The maximum length of a code: a table with this many index bits fits into the first-level cache.
const LENGTH_MAX: u32 = 11;
/// The maximum length of a code in a short column, for which building the table should not take longer than decoding
/// the integers.
const LENGTH_SHORT: u32 = 9;
/// A column of at least this many integers is not short.
const LONG: usize = 4096;
/// Marks a body with only one token.
const ONE_TOKEN: u8 = 255;
/// Lengths of runs of unused tokens, by nibble minus 12.
const RUNS: [usize; 4] = [2, 4, 8, 16];

/// The token of an integer.
#[inline]
fn token(value: u64) -> usize {
    if value < DIRECT {
        return value as usize;
    }
    let octave = 63u32.wrapping_sub(value.leading_zeros());
    let half = value >> octave.wrapping_sub(1) & 1;
    (DIRECT as usize).wrapping_add(2 * octave.wrapping_sub(DIRECT_BITS) as usize).wrapping_add(half as usize)
}

/// The number of raw bits after a token.
#[inline]
fn raw_bits(token: usize) -> u32 {
    if token < DIRECT as usize { 0 } else { (token as u32 - DIRECT as u32) / 2 + DIRECT_BITS - 1 }
}

/// The bits above the raw bits of a token's integers.
fn leading(token: usize) -> u64 {
    if token < DIRECT as usize { token as u64 } else { 2 | (token as u64 & 1) }
}

/// The frequency of each token in a column.
#[derive(Debug, Clone)]
pub struct Counts {
    of: [u32; TOKENS],
    total: u32,
}

impl Counts {
    /// Counts the tokens of `values`.
    pub fn of(values: impl Iterator<Item = u64>) -> Self {
        let mut counts = Counts { of: [0; TOKENS], total: 0 };
        for value in values {
            let count = &mut counts.of[token(value)];
            *count = count.wrapping_add(1);
            counts.total = counts.total.wrapping_add(1);
        }
        counts
    }

    /// The number of integers that are 0.
    pub fn zeros(&self) -> u32 {
        self.of[0]
    }

    /// The approximate size of the column in bits: entropy of the tokens, raw bits, and a few bits for each token's
    /// length.
    pub fn bits(&self) -> f64 {
        let total = f64::from(self.total);
        let mut bits = 0.0;
        for (token, &count) in self.of.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = f64::from(count);
            bits += count * (f64::from(raw_bits(token)) + (total / count).log2()) + 6.0;
        }
        bits
    }
}

/// Appends a body for `values`, of which there is at least one.
pub fn encode(values: &[u64], out: &mut Vec<u8>) {
    let counts = Counts::of(values.iter().copied());
    let longest = if values.len() < LONG { LENGTH_SHORT } else { LENGTH_MAX };
    let lengths = code_lengths(&counts.of, longest);
    write_lengths(&counts.of, &lengths, out);
    let codes = codes(&lengths);
    let (front, back) = values.split_at(values.len().div_ceil(2));
    write_stream(front, &lengths, &codes, out);
    let start = out.len();
    write_stream(back, &lengths, &codes, out);
    out[start..].reverse();
}

fn write_stream(values: &[u64], lengths: &[u8; TOKENS], codes: &[u16; TOKENS], out: &mut Vec<u8>) {
    let mut writer = BitWriter::new(out);
    for &value in values {
        let token = token(value);
        let raw = raw_bits(token);
        writer.write(u64::from(codes[token]), u32::from(lengths[token]));
        if raw > 0 {
            writer.write(value & mask(raw), raw);
        }
    }
    writer.finish();
}

/// The lengths of a nearly optimal prefix code with codes of at most `longest` bits. All are zero if there is only one
/// token.
fn code_lengths(counts: &[u32; TOKENS], longest: u32) -> [u8; TOKENS] {
    let mut lengths = [0u8; TOKENS];
    let mut order: Vec<usize> = (0..TOKENS).filter(|&token| counts[token] > 0).collect();
    if order.len() < 2 {
        return lengths;
    }
    order.sort_by_key(|&token| counts[token]);
    let depths = depths(&order.iter().map(|&token| u64::from(counts[token])).collect::<Vec<_>>());
    for (&token, depth) in order.iter().zip(depths) {
        lengths[token] = depth.min(longest) as u8;
    }
    limit(&order, &mut lengths, longest);
    lengths
}

/// The depths of the leaves of a Huffman tree over ascending `weights`, of which there are at least two.
fn depths(weights: &[u64]) -> Vec<u32> {
    let leaves = weights.len();
    // Nodes: the leaves, then inner nodes in the order of creation, which ascends in weight.
    let mut weight = weights.to_vec();
    let mut parent = vec![0usize; 2 * leaves - 1];
    let (mut leaf, mut inner) = (0, leaves);
    for node in leaves..2 * leaves - 1 {
        let mut sum = 0;
        for _ in 0..2 {
            let takes_leaf = leaf < leaves && (inner == node || weight[leaf] <= weight[inner]);
            let least = if takes_leaf { &mut leaf } else { &mut inner };
            sum += weight[*least];
            parent[*least] = node;
            *least += 1;
        }
        weight.push(sum);
    }
    let mut depth = vec![0u32; 2 * leaves - 1];
    for node in (0..2 * leaves - 2).rev() {
        depth[node] = depth[parent[node]] + 1;
    }
    depth.truncate(leaves);
    depth
}

/// Completes a code whose longest lengths were cut: the rarest tokens, first in `order`, become longer until the sum of
/// `2^-length` is at most 1; then the most frequent ones become shorter as long as the sum permits.
fn limit(order: &[usize], lengths: &mut [u8; TOKENS], longest: u32) {
    let share = |length: u8| 1u32 << (longest - u32::from(length));
    let whole = 1u32 << longest;
    let mut sum: u32 = order.iter().map(|&token| share(lengths[token])).sum();
    while sum > whole {
        let shorter = order.iter().copied().filter(|&token| u32::from(lengths[token]) < longest);
        let Some(token) = shorter.max_by_key(|&token| lengths[token]) else { return };
        sum -= share(lengths[token]) / 2;
        lengths[token] += 1;
    }
    for &token in order.iter().rev() {
        while lengths[token] > 1 && sum + share(lengths[token]) <= whole {
            sum += share(lengths[token]);
            lengths[token] -= 1;
        }
    }
}

/// Canonical codes of the first tokens, low bits first.
fn codes(lengths: &[u8]) -> [u16; TOKENS] {
    let mut many = [0u16; LENGTH_MAX as usize + 2];
    for &length in lengths {
        many[usize::from(length)] += 1;
    }
    // The first code of each length.
    let mut next = [0u16; LENGTH_MAX as usize + 2];
    for length in 2..=LENGTH_MAX as usize {
        next[length] = (next[length - 1] + many[length - 1]) << 1;
    }
    let mut codes = [0u16; TOKENS];
    for (code, &length) in codes.iter_mut().zip(lengths).filter(|(_, length)| **length > 0) {
        let next = &mut next[usize::from(length)];
        *code = next.reverse_bits() >> (16 - u32::from(length));
        *next += 1;
    }
    codes
}

fn write_lengths(counts: &[u32; TOKENS], lengths: &[u8; TOKENS], out: &mut Vec<u8>) {
    let last = counts.iter().rposition(|&count| count > 0).unwrap_or(0);
    if lengths[last] == 0 {
        out.extend_from_slice(&[ONE_TOKEN, last as u8]);
        return;
    }
    out.push(last as u8);
    let mut nibbles = Vec::with_capacity(last + 1);
    let mut token = 0;
    while token <= last {
        let unused = lengths[token..=last].iter().take_while(|&&length| length == 0).count();
        match RUNS.iter().rposition(|&run| run <= unused) {
            Some(run) => {
                nibbles.push(12 + run as u8);
                token += RUNS[run];
            }
            None => {
                nibbles.push(lengths[token]);
                token += 1;
            }
        }
    }
    out.extend(nibbles.chunks(2).map(|pair| pair[0] | pair.get(1).copied().unwrap_or(0) << 4));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::decode::Lengths;
    use super::*;
    use crate::codec::Fault;

    /// Whether a code with these lengths is complete.
    fn is_complete(lengths: &[u8]) -> bool {
        let used = lengths.iter().enumerate().filter(|(_, length)| **length > 0);
        let used: Vec<(u8, u8)> = used.map(|(token, &length)| (token as u8, length)).collect();
        Lengths::of(&used).is_ok()
    }

    fn body(values: &[u64]) -> Vec<u8> {
        let mut out = vec![9];
        encode(values, &mut out);
        out.split_off(1)
    }

    fn round_trip(values: &[u64]) -> usize {
        let body = body(values);
        let mut decoded = vec![7; values.len()];
        assert_eq!(decode(&body, &mut decoded), Ok(()), "{values:?}");
        assert!(decoded.iter().map(|&value| value as u64).eq(values.iter().copied()), "{values:?}");
        body.len()
    }

    fn integers(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec((any::<u64>(), 0u32..64, 0u32..8), count).prop_map(|all| {
            all.into_iter()
                .map(|(value, shift, few)| if few > 0 { value % 9 } else { value >> shift })
                .collect()
        })
    }

    #[test]
    fn golden_bytes() {
        let hex: String = body(&[0, 0, 0, 1, 0, 2, 0, 300, 1]).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "1821f30d03085673");
    }

    #[test]
    fn tokens_and_raw_bits_make_the_integer() {
        for octave in 0..64 {
            for value in
                [1 << octave, (1 << octave) + (1 << octave) / 2, (1u64 << octave) - 1 + (1 << octave)]
            {
                let token = token(value);
                assert!(token < TOKENS, "{value}");
                assert_eq!(leading(token) << raw_bits(token) | value & mask(raw_bits(token)), value);
            }
        }
        assert_eq!(token(u64::MAX), TOKENS - 1);
    }

    #[test]
    fn frequent_integers_are_short() {
        let values: Vec<u64> = (0..1024u64).map(|i| (i * i % 17) / 8).collect();
        assert!(round_trip(&values) < 1024 * 3 / 16 + 8, "{}", round_trip(&values));
        assert_eq!(round_trip(&[5; 1000]), 2);
        assert_eq!(round_trip(&[1 << 20; 3]), 2 + 2 * 3 + 2);
    }

    #[test]
    fn no_code_is_longer_than_the_limit() {
        // Fibonacci numbers make the deepest tree.
        let (mut a, mut b) = (1u32, 1u32);
        let mut counts = [0u32; TOKENS];
        for count in counts.iter_mut().take(30) {
            *count = a;
            (a, b) = (b, a + b);
        }
        let lengths = code_lengths(&counts, LENGTH_MAX);
        assert!(lengths.iter().all(|&length| u32::from(length) <= LENGTH_MAX));
        assert!(is_complete(&lengths), "complete");
        let all = code_lengths(&[1; TOKENS], LENGTH_SHORT);
        assert!(is_complete(&all));
    }

    #[test]
    fn short_and_long_bodies_are_refused() {
        let good = body(&[3, 1, 4, 1, 5, 9, 2, 6]);
        let decode = |bytes: &[u8]| decode(bytes, &mut [0; 8]);
        assert_eq!(decode(&good), Ok(()));
        for cut in 0..good.len() {
            assert!(decode(&good[..cut]).is_err(), "{cut} bytes");
        }
        assert!(decode(&[&good[..], &[0]].concat()).is_err());
        assert_eq!(decode(&[136, 0x11]), Err(Fault::Field));
        assert_eq!(decode(&[1, 0x21]), Err(Fault::Field), "an incomplete code");
        assert_eq!(decode(&[ONE_TOKEN, 200]), Err(Fault::Field));
    }

    proptest! {
        #[test]
        fn integers_round_trip(values in integers(1..400)) {
            round_trip(&values);
        }

        /// As many integers are taken from a load as fit, and long columns have longer codes.
        #[test]
        fn integers_of_any_width_round_trip(
            seed in any::<u64>(), bits in 1u32..=64, skew in 0u32..8, count in prop_oneof![1usize..300, 4000usize..5000],
        ) {
            let mut state = seed | 1;
            let values: Vec<u64> = (0..count)
                .map(|_| {
                    state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                    let lost = (state >> 7).trailing_zeros().saturating_mul(skew).min(bits - 1);
                    (state ^ state >> 32) >> (64 - bits) >> lost
                })
                .collect();
            round_trip(&values);
        }

        #[test]
        fn every_code_is_complete(
            counts in prop::collection::vec((0u32..1000, 0u32..20), TOKENS), longest in 9u32..12,
        ) {
            let counts: Vec<u32> = counts.into_iter().map(|(count, shift)| count << shift >> 10).collect();
            let counts: [u32; TOKENS] = counts.try_into().unwrap();
            let lengths = code_lengths(&counts, longest);
            let used = counts.iter().filter(|&&count| count > 0).count();
            prop_assert!(used < 2 || is_complete(&lengths));
            prop_assert!(used < 2 || counts.iter().zip(lengths).all(|(&count, length)| (count > 0) == (length > 0)));
        }

        #[test]
        fn hostile_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 1usize..2000) {
            let _ = decode(&bytes, &mut vec![0; count]);
        }
    }
}
