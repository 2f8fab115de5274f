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

use super::bits::{BitReader, BitWriter, mask};
use crate::codec::Fault;

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
/// Raw bits up to this number are read together with their code; more are read separately.
const RAW_NEAR: u32 = 40;

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

/// The table for reading a code: an entry for each value of the next `bits` bits.
struct Table {
    /// Bits 0 to 3: length of the code; 4 to 9: number of raw bits; from 16 on: the bits above them.
    entries: [u32; 1 << LENGTH_MAX],
    bits: u32,
    /// Whether no token has raw bits.
    is_direct: bool,
}

impl Table {
    /// An empty table for [`Table::read`]. It is too large to be moved.
    fn empty() -> Self {
        Table { entries: [0; 1 << LENGTH_MAX], bits: 0, is_direct: true }
    }

    /// Reads the lengths at `*at` and moves past them.
    fn read(&mut self, body: &[u8], at: &mut usize) -> Result<(), Fault> {
        let mut byte = || {
            let byte = body.get(*at).copied().ok_or(Fault::Truncated);
            *at += 1;
            byte
        };
        let last = byte()?;
        if last == ONE_TOKEN {
            let token = usize::from(byte()?);
            self.entries[0] = entry(token, 0).ok_or(Fault::Field)?;
            (self.bits, self.is_direct) = (0, raw_bits(token) == 0);
            return Ok(());
        }
        let last = usize::from(last);
        if last >= TOKENS {
            return Err(Fault::Field);
        }
        let mut lengths = [0u8; TOKENS];
        let (mut token, mut pair, mut is_low) = (0, 0, true);
        while token <= last {
            if is_low {
                pair = byte()?;
            }
            let nibble = if is_low { pair & 15 } else { pair >> 4 };
            is_low = !is_low;
            match RUNS.get(usize::from(nibble.wrapping_sub(12))) {
                Some(run) => token += run,
                None => {
                    lengths[token] = nibble;
                    token += 1;
                }
            }
        }
        // A run must not exceed the last token, and no nibble may be left.
        if token != last + 1 || (!is_low && pair >> 4 != 0) {
            return Err(Fault::Field);
        }
        self.fill(&lengths[..=last])
    }

    /// Fills the table from the lengths of the tokens up to the last one that is used: those beyond would cost as much as
    /// decoding a short column.
    fn fill(&mut self, lengths: &[u8]) -> Result<(), Fault> {
        let used = || lengths.iter().filter(|&&length| length > 0);
        let sum: u32 = used().map(|&length| 1 << (LENGTH_MAX - u32::from(length))).sum();
        if sum != 1 << LENGTH_MAX {
            return Err(Fault::Field);
        }
        self.bits = u32::from(used().copied().max().unwrap_or(0));
        self.is_direct = lengths.len() <= DIRECT as usize;
        let codes = codes(lengths);
        let entries = &mut self.entries[..1 << self.bits];
        for (token, (&code, &length)) in codes.iter().zip(lengths).enumerate().filter(|(_, (_, l))| **l > 0) {
            let entry = entry(token, length).ok_or(Fault::Field)?;
            let mut place = usize::from(code);
            while let Some(at) = entries.get_mut(place) {
                *at = entry;
                place = place.wrapping_add(1 << length);
            }
        }
        Ok(())
    }
}

fn entry(token: usize, length: u8) -> Option<u32> {
    (token < TOKENS).then(|| (leading(token) as u32) << 16 | raw_bits(token) << 4 | u32::from(length))
}

/// A source of bits.
trait Bits {
    /// At least the next 57 bits; zeros past the end.
    fn peek(&self) -> u64;
    /// Skips bits.
    fn skip(&mut self, bits: u32);
    /// The number of bytes from which bits were taken.
    fn bytes(&self) -> usize;
    /// Whether the remaining bits of the last of these bytes are zero.
    fn ends_clean(&self) -> bool;
}

struct Forward<'a>(BitReader<'a>);

impl Bits for Forward<'_> {
    #[inline]
    fn peek(&self) -> u64 {
        self.0.peek()
    }

    #[inline]
    fn skip(&mut self, bits: u32) {
        self.0.skip(bits);
    }

    fn bytes(&self) -> usize {
        self.0.position().div_ceil(8)
    }

    fn ends_clean(&self) -> bool {
        ends_clean(self.peek(), self.0.position())
    }
}

/// Reads from the last byte to the first.
struct Backward<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits for Backward<'_> {
    #[inline]
    fn peek(&self) -> u64 {
        let end = self.bytes.len().saturating_sub(self.position >> 3);
        let head = self.bytes.get(..end).unwrap_or_default();
        let word = match head.last_chunk::<8>() {
            Some(chunk) => u64::from_be_bytes(*chunk),
            None => first_bytes(head),
        };
        word >> (self.position & 7)
    }

    #[inline]
    fn skip(&mut self, bits: u32) {
        self.position = self.position.wrapping_add(bits as usize);
    }

    fn bytes(&self) -> usize {
        self.position.div_ceil(8)
    }

    fn ends_clean(&self) -> bool {
        ends_clean(self.peek(), self.position)
    }
}

#[cold]
fn first_bytes(head: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(head.iter().rev()) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

fn ends_clean(next: u64, position: usize) -> bool {
    let left = (8 - position % 8) % 8;
    next & mask(left as u32) == 0
}

/// Decodes a body of `out.len()` integers.
///
/// # Errors
/// The fault of a body that is too short, too long or malformed. The contents of `out` are then invalid.
pub fn decode(body: &[u8], out: &mut [u64]) -> Result<(), Fault> {
    let mut at = 0;
    let mut table = Table::empty();
    table.read(body, &mut at)?;
    let streams = body.get(at..).ok_or(Fault::Truncated)?;
    let mut front = Forward(BitReader::new(streams));
    let mut back = Backward { bytes: streams, position: 0 };
    let half = out.len().div_ceil(2);
    let (first, second) = out.split_at_mut(half);
    if table.is_direct {
        decode_direct(&table, &mut front, first, &mut back, second);
    } else {
        let (paired, rest) = first.split_at_mut(second.len());
        for (a, b) in paired.iter_mut().zip(second) {
            *a = next(&table, &mut front);
            *b = next(&table, &mut back);
        }
        rest.iter_mut().for_each(|a| *a = next(&table, &mut front));
    }
    let used = front.bytes().saturating_add(back.bytes());
    if used > streams.len() {
        Err(Fault::Truncated)
    } else if used < streams.len() || !front.ends_clean() || !back.ends_clean() {
        Err(Fault::Trailing)
    } else {
        Ok(())
    }
}

/// The next integer.
#[inline]
fn next(table: &Table, stream: &mut impl Bits) -> u64 {
    let word = stream.peek();
    let entry = table.entries[(word & mask(table.bits)) as usize];
    let (length, raw) = (entry & 15, entry >> 4 & 63);
    let leading = u64::from(entry >> 16);
    if raw > RAW_NEAR {
        return next_wide(stream, length, raw, leading);
    }
    stream.skip(length.wrapping_add(raw));
    leading << raw | (word >> length & mask(raw))
}

#[cold]
fn next_wide(stream: &mut impl Bits, length: u32, raw: u32, leading: u64) -> u64 {
    stream.skip(length);
    let low = stream.peek() & mask(RAW_NEAR);
    stream.skip(RAW_NEAR);
    let high = stream.peek() & mask(raw - RAW_NEAR);
    stream.skip(raw - RAW_NEAR);
    leading << raw | high << RAW_NEAR | low
}

/// The number of codes decoded from one load: five of the longest fit into 57 bits.
const AT_ONCE: usize = 5;

/// Decodes tokens without raw bits, several from each load.
fn decode_direct(
    table: &Table,
    front: &mut Forward<'_>,
    first: &mut [u64],
    back: &mut Backward<'_>,
    second: &mut [u64],
) {
    let low = mask(table.bits);
    let one = |word: &mut u64, used: &mut u32| {
        let entry = table.entries[(*word & low) as usize];
        *word >>= entry & 15;
        *used = used.wrapping_add(entry & 15);
        u64::from(entry >> 16)
    };
    let mut a = first.chunks_mut(AT_ONCE);
    let mut b = second.chunks_mut(AT_ONCE);
    loop {
        let (a, b) = (a.next(), b.next());
        if a.is_none() && b.is_none() {
            return;
        }
        let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
        let (mut a_word, mut a_used) = (front.peek(), 0);
        let (mut b_word, mut b_used) = (back.peek(), 0);
        if a.len() == AT_ONCE && b.len() == AT_ONCE {
            for i in 0..AT_ONCE {
                a[i] = one(&mut a_word, &mut a_used);
                b[i] = one(&mut b_word, &mut b_used);
            }
        } else {
            a.iter_mut().for_each(|value| *value = one(&mut a_word, &mut a_used));
            b.iter_mut().for_each(|value| *value = one(&mut b_word, &mut b_used));
        }
        front.skip(a_used);
        back.skip(b_used);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(values: &[u64]) -> Vec<u8> {
        let mut out = vec![9];
        encode(values, &mut out);
        out.split_off(1)
    }

    fn round_trip(values: &[u64]) -> usize {
        let body = body(values);
        let mut decoded = vec![7; values.len()];
        assert_eq!(decode(&body, &mut decoded), Ok(()), "{values:?}");
        assert_eq!(decoded, values);
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
        assert!(Table::empty().fill(&lengths).is_ok(), "complete");
        let all = code_lengths(&[1; TOKENS], LENGTH_SHORT);
        assert!(Table::empty().fill(&all).is_ok());
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

        #[test]
        fn every_code_is_complete(
            counts in prop::collection::vec((0u32..1000, 0u32..20), TOKENS), longest in 9u32..12,
        ) {
            let counts: Vec<u32> = counts.into_iter().map(|(count, shift)| count << shift >> 10).collect();
            let counts: [u32; TOKENS] = counts.try_into().unwrap();
            let lengths = code_lengths(&counts, longest);
            let used = counts.iter().filter(|&&count| count > 0).count();
            prop_assert!(used < 2 || Table::empty().fill(&lengths).is_ok());
            prop_assert!(used < 2 || counts.iter().zip(lengths).all(|(&count, length)| (count > 0) == (length > 0)));
        }

        #[test]
        fn hostile_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 1usize..2000) {
            let _ = decode(&bytes, &mut vec![0; count]);
        }
    }
}
