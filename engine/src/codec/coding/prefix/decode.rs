//! Decodes bodies: the table of a code, and the two streams.

use super::{DIRECT, LENGTH_MAX, LENGTH_SHORT, ONE_TOKEN, RUNS, TOKENS, leading, raw_bits};
use crate::codec::Fault;
use crate::codec::bits::{BitReader, mask};

/// Raw bits up to this number are read together with their code; more are read separately.
const RAW_NEAR: u32 = 40;
/// The bits that a stream certainly returns at once.
const AT_HAND: u32 = 57;
/// Entries of the table of a short column, and of any.
const ENTRIES_SHORT: usize = 1 << LENGTH_SHORT;
const ENTRIES: usize = 1 << LENGTH_MAX;

/// The lengths of the codes of the tokens.
pub(super) struct Lengths {
    /// The tokens that are used, by length, then by number: the order of their canonical codes.
    tokens: [u8; TOKENS],
    /// How many tokens have each length.
    many: [usize; LENGTH_MAX as usize + 1],
    /// The length of the longest code.
    longest: usize,
    /// The most bits that an integer takes, code and raw bits.
    widest: u32,
    /// Whether no token has raw bits.
    is_direct: bool,
}

impl Lengths {
    /// Reads the lengths at `*at` and moves past them.
    fn read(body: &[u8], at: &mut usize) -> Result<Self, Fault> {
        let mut byte = || {
            let byte = body.get(*at).copied().ok_or(Fault::Truncated);
            *at += 1;
            byte
        };
        let last = byte()?;
        if last == ONE_TOKEN {
            let token = byte()?;
            if usize::from(token) >= TOKENS {
                return Err(Fault::Field);
            }
            return Ok(Lengths::of_one(token));
        }
        let last = usize::from(last);
        if last >= TOKENS {
            return Err(Fault::Field);
        }
        let (mut used, mut count) = ([(0, 0); TOKENS], 0);
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
                    // The next one takes its place if the token is not used.
                    used[count] = (token as u8, nibble);
                    count += usize::from(nibble > 0);
                    token += 1;
                }
            }
        }
        // A run must not exceed the last token, and no nibble may be left.
        if token != last + 1 || (!is_low && pair >> 4 != 0) {
            return Err(Fault::Field);
        }
        Lengths::of(&used[..count])
    }

    fn of_one(token: u8) -> Self {
        let mut one = Lengths {
            tokens: [0; TOKENS],
            many: [0; LENGTH_MAX as usize + 1],
            longest: 0,
            widest: raw_bits(token.into()),
            is_direct: raw_bits(token.into()) == 0,
        };
        (one.tokens[0], one.many[0]) = (token, 1);
        one
    }

    /// The order of the codes of tokens, which ascend, with their lengths from 1 on.
    ///
    /// # Errors
    /// The code is not complete.
    pub(super) fn of(used: &[(u8, u8)]) -> Result<Self, Fault> {
        let mut many = [0usize; LENGTH_MAX as usize + 1];
        for &(_, length) in used {
            many[usize::from(length)] += 1;
        }
        let shares = many.iter().enumerate().map(|(length, many)| many << (LENGTH_MAX as usize - length));
        if shares.sum::<usize>() != ENTRIES {
            return Err(Fault::Field);
        }
        let mut next = [0usize; LENGTH_MAX as usize + 1];
        for length in 1..LENGTH_MAX as usize {
            next[length + 1] = next[length] + many[length];
        }
        let (mut tokens, mut widest) = ([0; TOKENS], 0);
        for &(token, length) in used {
            let next = &mut next[usize::from(length)];
            tokens[*next] = token;
            *next += 1;
            widest = widest.max(u32::from(length) + raw_bits(token.into()));
        }
        let longest = many.iter().rposition(|&many| many > 0).unwrap_or(0);
        let is_direct = used.last().is_none_or(|(token, _)| u64::from(*token) < DIRECT);
        Ok(Lengths { tokens, many, longest, widest, is_direct })
    }

    /// An entry for each value of the next bits: bits 0 to 3 are the length of the code, 4 to 9 the number of raw bits, 10 to
    /// 15 the sum of both, up to 63, and from 16 on, the bits above the raw ones.
    ///
    /// The first code of `length` bits decides `2^length` entries, all later ones repeat them. So the table doubles with
    /// each length, by copying, and each code is one entry.
    fn table<const N: usize>(&self) -> [u32; N] {
        let mut table = [0; N];
        let (mut size, mut code) = (1, 0u16);
        let mut tokens = self.tokens.iter();
        for (length, &many) in self.many.iter().enumerate().take(self.longest + 1) {
            if length > 0 {
                double(&mut table, &mut size);
                code <<= 1;
            }
            for &token in tokens.by_ref().take(many) {
                let place = REVERSED[usize::from(code) % ENTRIES] >> (LENGTH_MAX as usize - length);
                table[usize::from(place)] = entry(token.into(), length as u32);
                code += 1;
            }
        }
        while size < N {
            double(&mut table, &mut size);
        }
        table
    }
}

fn double(table: &mut [u32], size: &mut usize) {
    table.copy_within(..*size, *size);
    *size *= 2;
}

fn entry(token: usize, length: u32) -> u32 {
    let raw = raw_bits(token);
    (leading(token) as u32) << 16 | (raw + length).min(63) << 10 | raw << 4 | length
}

/// The lowest bits of numbers in reverse order: there is no instruction for it.
static REVERSED: [u16; ENTRIES] = {
    let (mut reversed, mut number) = ([0; ENTRIES], 0);
    while number < ENTRIES {
        reversed[number] = (number as u16).reverse_bits() >> (16 - LENGTH_MAX);
        number += 1;
    }
    reversed
};

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

/// Decodes a body of `out.len()` integers, and returns their bits as signed integers.
///
/// # Errors
/// The fault of a body that is too short, too long or malformed. The contents of `out` are then invalid.
pub fn decode(body: &[u8], out: &mut [i64]) -> Result<(), Fault> {
    let mut at = 0;
    let lengths = Lengths::read(body, &mut at)?;
    let streams = body.get(at..).ok_or(Fault::Truncated)?;
    let mut both =
        Both { front: Forward(BitReader::new(streams)), back: Backward { bytes: streams, position: 0 } };
    // A small table is made faster, and takes less of the first-level cache.
    if lengths.longest <= LENGTH_SHORT as usize {
        both.decode(&lengths, &lengths.table::<ENTRIES_SHORT>(), out);
    } else {
        both.decode(&lengths, &lengths.table::<ENTRIES>(), out);
    }
    let Both { front, back } = both;
    let used = front.bytes().saturating_add(back.bytes());
    if used > streams.len() {
        Err(Fault::Truncated)
    } else if used < streams.len() || !front.ends_clean() || !back.ends_clean() {
        Err(Fault::Trailing)
    } else {
        Ok(())
    }
}

/// The two streams of a body.
struct Both<'a> {
    front: Forward<'a>,
    back: Backward<'a>,
}

impl Both<'_> {
    fn decode<const N: usize>(&mut self, lengths: &Lengths, table: &[u32; N], out: &mut [i64]) {
        let (first, second) = out.split_at_mut(out.len().div_ceil(2));
        // As many integers from each load as certainly fit.
        let done = match AT_HAND.checked_div(lengths.widest) {
            _ if lengths.is_direct => self.decode_groups::<N, 5, false>(table, first, second),
            None | Some(6..) => self.decode_groups::<N, 6, true>(table, first, second),
            Some(4 | 5) => self.decode_groups::<N, 4, true>(table, first, second),
            Some(3) => self.decode_groups::<N, 3, true>(table, first, second),
            Some(2) => self.decode_groups::<N, 2, true>(table, first, second),
            Some(0 | 1) => 0,
        };
        let (first, second) = (&mut first[done..], &mut second[done..]);
        let (paired, rest) = first.split_at_mut(second.len());
        for (a, b) in paired.iter_mut().zip(second) {
            *a = next(table, &mut self.front) as i64;
            *b = next(table, &mut self.back) as i64;
        }
        rest.iter_mut().for_each(|a| *a = next(table, &mut self.front) as i64);
    }

    /// Decodes groups of `K` integers of both streams, as long as there are whole ones; `RAW` says whether they may have
    /// raw bits. Returns the number of integers of each stream.
    #[inline]
    fn decode_groups<const N: usize, const K: usize, const RAW: bool>(
        &mut self,
        table: &[u32; N],
        first: &mut [i64],
        second: &mut [i64],
    ) -> usize {
        let ((first, _), (second, _)) = (first.as_chunks_mut::<K>(), second.as_chunks_mut::<K>());
        let groups = first.len().min(second.len());
        for (a, b) in first.iter_mut().zip(second) {
            let (mut a_word, mut a_used) = (self.front.peek(), 0);
            let (mut b_word, mut b_used) = (self.back.peek(), 0);
            for i in 0..K {
                a[i] = taken::<N, RAW>(table, &mut a_word, &mut a_used);
                b[i] = taken::<N, RAW>(table, &mut b_word, &mut b_used);
            }
            self.front.skip(a_used);
            self.back.skip(b_used);
        }
        groups * K
    }
}

/// Takes an integer from the low bits of a word, which has all of its bits.
#[inline]
fn taken<const N: usize, const RAW: bool>(table: &[u32; N], word: &mut u64, used: &mut u32) -> i64 {
    let entry = table[*word as usize & (N - 1)];
    let (length, leading) = (entry & 15, u64::from(entry >> 16));
    if !RAW {
        *word >>= length;
        *used = used.wrapping_add(length);
        return leading as i64;
    }
    let (raw, all) = (entry >> 4 & 63, entry >> 10 & 63);
    let value = leading << raw | *word >> length & (1u64 << raw).wrapping_sub(1);
    *word >>= all;
    *used = used.wrapping_add(all);
    value as i64
}

/// The next integer.
#[inline]
fn next<const N: usize>(table: &[u32; N], stream: &mut impl Bits) -> u64 {
    let word = stream.peek();
    let entry = table[word as usize & (N - 1)];
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
