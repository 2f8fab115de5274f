//! Signed integers in a prefix code of buckets: few bits for small magnitudes.
//!
//! # Format
//! | bits, first to last | value |
//! |---|---|
//! | `0` | 0 |
//! | `k` ones, a zero, `widths[k-1]` bits | `k` = 1 to 5: zigzag of the value, less one |
//! | six ones, 64 bits | escape: any `u64`; its meaning is the caller's |
//!
//! Zero has its own code, so a bucket of `w` bits holds the magnitudes up to 2^(w-1).

use super::bits::{BitReader, BitWriter, mask};
use super::varint::{unzigzag, zigzag};

const BUCKETS: usize = 5;
const ESCAPE_ONES: u32 = BUCKETS as u32 + 1;

/// One prefix code: the widths of its buckets.
#[derive(Debug)]
pub struct Buckets {
    /// The length is a power of two, so that a masked index needs no bounds check.
    widths: [u8; 8],
    /// The low bits of each width.
    masks: [u64; 8],
    /// The bucket (0 to 5; 5 is the escape) for a number of significant bits.
    bucket_of: [u8; 65],
}

/// A decoded code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The value of a bucket.
    Value(i64),
    /// The 64 bits of an escape.
    Escape(u64),
}

impl Buckets {
    /// A code with these bucket widths, ascending, each 1 to 48.
    pub const fn new(widths: [u8; BUCKETS]) -> Self {
        let mut bucket_of = [BUCKETS as u8; 65];
        let mut bits = 0;
        while bits <= 64 {
            let mut k = 0;
            while k < BUCKETS {
                if bits <= widths[k] as usize {
                    bucket_of[bits] = k as u8;
                    break;
                }
                k += 1;
            }
            bits += 1;
        }
        let (mut all, mut masks) = ([64; 8], [u64::MAX; 8]);
        let mut k = 0;
        while k < BUCKETS {
            assert!(widths[k] > 0 && widths[k] <= 48 && (k == 0 || widths[k - 1] < widths[k]));
            all[k] = widths[k];
            masks[k] = mask(widths[k] as u32);
            k += 1;
        }
        Buckets { widths: all, masks, bucket_of }
    }

    /// Appends `value`. Returns false if it does not fit into any bucket.
    #[inline(always)]
    #[must_use]
    pub fn write(&self, writer: &mut BitWriter<'_>, value: i64) -> bool {
        if value == 0 {
            writer.write(0, 1);
            return true;
        }
        let payload = zigzag(value).wrapping_sub(1);
        let bucket = u32::from(self.bucket_of[64usize.wrapping_sub(payload.leading_zeros() as usize)]);
        if bucket == BUCKETS as u32 {
            return false;
        }
        let prefix = bucket.wrapping_add(2);
        let ones = 2u64.wrapping_shl(bucket).wrapping_sub(1);
        let width = u32::from(self.widths[(bucket & 7) as usize]);
        writer.write(ones | payload.wrapping_shl(prefix), prefix.wrapping_add(width));
        true
    }

    /// Appends an escape with the bits `raw`.
    pub fn write_escape(&self, writer: &mut BitWriter<'_>, raw: u64) {
        writer.write(mask(ESCAPE_ONES), ESCAPE_ONES);
        writer.write(raw, 64);
    }

    /// Reads one code.
    #[inline]
    pub fn read(&self, reader: &mut BitReader<'_>) -> Code {
        let word = reader.peek();
        if word & 1 == 0 {
            reader.skip(1);
            return Code::Value(0);
        }
        // Bit 6 is cleared so that at most six ones are counted.
        let ones = (!word | 1 << ESCAPE_ONES).trailing_zeros();
        if ones == ESCAPE_ONES {
            return read_escape(reader);
        }
        let bucket = (ones.wrapping_sub(1) & 7) as usize;
        let prefix = ones.wrapping_add(1);
        reader.skip(prefix.wrapping_add(u32::from(self.widths[bucket])));
        Code::Value(unzigzag((word.wrapping_shr(prefix) & self.masks[bucket]).wrapping_add(1)))
    }
}

#[cold]
fn read_escape(reader: &mut BitReader<'_>) -> Code {
    reader.skip(ESCAPE_ONES);
    Code::Escape(reader.read(64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: Buckets = Buckets::new([1, 3, 9, 20, 48]);

    #[test]
    fn golden_bits() {
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        for value in [0, -1, 1, -2, 5] {
            assert!(CODE.write(&mut writer, value));
        }
        CODE.write_escape(&mut writer, 7);
        writer.finish();
        // 0 | 10 0 | 10 1 | 110 010 | 1110 100100000 | 111111 ..., first bits first
        assert_eq!(bytes, [0b1101_0010, 0b1110_1001, 0b0001_0010, 0b1111_1100, 0b0111, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn every_magnitude_comes_back() {
        let mut values = vec![i64::MIN, i64::MAX];
        values.extend(-3000..3000);
        values.extend((0..63).flat_map(|bit| {
            let power = 1i64 << bit;
            [power, power - 1, power + 1, -power, -power - 1, 1 - power]
        }));
        for &value in &values {
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            let fits = CODE.write(&mut writer, value);
            if !fits {
                CODE.write_escape(&mut writer, value as u64);
            }
            writer.finish();
            assert_eq!(fits, (-(1 << 47)..=1 << 47).contains(&value), "{value}");
            let mut reader = BitReader::new(&bytes);
            let expected = if fits { Code::Value(value) } else { Code::Escape(value as u64) };
            assert_eq!(CODE.read(&mut reader), expected);
            assert_eq!(reader.finish(), Ok(()), "{value}");
        }
    }
}
