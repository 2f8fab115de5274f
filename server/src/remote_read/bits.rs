//! Bit streams in the format of Prometheus' chunks, high bits first, and the checksum of its frames.

/// Appends bits to a byte vector, the highest bit of each number first.
#[derive(Debug, Default)]
pub struct Bits {
    bytes: Vec<u8>,
    /// Unused low bits of the last byte.
    free: u32,
}

/// Ranges of the variable-length integers: bits of the value, then the prefix and its number of bits.
const CLASSES: [(u32, u64, u32); 8] = [
    (3, 0b10, 2),
    (6, 0b110, 3),
    (9, 0b1110, 4),
    (12, 0b1_1110, 5),
    (18, 0b11_1110, 6),
    (25, 0b111_1110, 7),
    (56, 0b1111_1110, 8),
    (64, 0b1111_1111, 8),
];

impl Bits {
    /// A stream that follows `bytes`.
    pub fn after(bytes: Vec<u8>) -> Self {
        Bits { bytes, free: 0 }
    }

    /// The bytes, the last one padded with zeros.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends the low `width` bits of `value`.
    ///
    /// Prometheus writes whole bytes first and opens the next byte after each of them, so a stream that ends with a
    /// whole byte at a boundary is followed by an empty byte of zeros. This stream has it too, so that chunks of the
    /// same samples are identical.
    pub fn push(&mut self, value: u64, width: u32) {
        let mut left = width;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let count = left.min(self.free);
            let piece = (value >> (left - count)) & ((1 << count) - 1);
            self.free -= count;
            left -= count;
            if let Some(last) = self.bytes.last_mut() {
                *last |= (piece as u8) << self.free;
            }
        }
        if self.free == 0 && width > 0 && width.is_multiple_of(8) {
            self.bytes.push(0);
            self.free = 8;
        }
    }

    /// Appends a whole byte.
    pub fn push_byte(&mut self, byte: u8) {
        self.push(u64::from(byte), 8);
    }

    /// Appends a LEB128 varint, byte by byte.
    pub fn push_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push_byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.push_byte(value as u8);
    }

    /// Appends an integer in the classes of histogram chunks: a class of n bits contains -(2^(n-1) - 1) to 2^(n-1).
    pub fn push_classed_int(&mut self, value: i64) {
        if value == 0 {
            return self.push(0, 1);
        }
        let fits = |bits: u32| {
            let half = 1i64 << (bits - 1);
            value > -half && value <= half
        };
        self.push_class(value as u64, |bits| bits == 64 || fits(bits));
    }

    /// Appends an unsigned integer in the classes of histogram chunks.
    pub fn push_classed_uint(&mut self, value: u64) {
        if value == 0 {
            return self.push(0, 1);
        }
        self.push_class(value, |bits| bits == 64 || value >> bits == 0);
    }

    fn push_class(&mut self, value: u64, fits: impl Fn(u32) -> bool) {
        if let Some((bits, prefix, width)) = CLASSES.into_iter().find(|(bits, ..)| fits(*bits)) {
            self.push(prefix, width);
            self.push(value, bits);
        }
    }
}

/// One column of floats in XOR form: its last value and the window of bits that was used last.
#[derive(Debug, Clone, Copy)]
pub struct XorColumn {
    value: f64,
    /// Zero bits before and after the window; `None` before the first difference.
    window: Option<(u32, u32)>,
}

impl XorColumn {
    /// Begins with a value, which is written in full.
    pub fn begin(bits: &mut Bits, value: f64) -> Self {
        bits.push(value.to_bits(), 64);
        XorColumn { value, window: None }
    }

    /// Appends the next value.
    pub fn push(&mut self, bits: &mut Bits, value: f64) {
        let delta = value.to_bits() ^ self.value.to_bits();
        self.value = value;
        if delta == 0 {
            return bits.push(0, 1);
        }
        // The number of leading zeros has five bits.
        let (leading, trailing) = (delta.leading_zeros().min(31), delta.trailing_zeros());
        if let Some((first, last)) = self.window.filter(|w| leading >= w.0 && trailing >= w.1) {
            bits.push(0b10, 2);
            bits.push(delta >> last, 64 - first - last);
            return;
        }
        self.window = Some((leading, trailing));
        let width = 64 - leading - trailing;
        bits.push(0b11, 2);
        bits.push(u64::from(leading), 5);
        // A width of 64 is written as 0.
        bits.push(u64::from(width & 63), 6);
        bits.push(delta >> trailing, width);
    }
}

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            // The Castagnoli polynomial, reversed.
            value = if value & 1 == 1 { (value >> 1) ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

static CRC_TABLE: [u32; 256] = crc_table();

/// The CRC-32C checksum.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| (crc >> 8) ^ CRC_TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize];
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_high_first() {
        let mut bits = Bits::after(vec![0xff]);
        bits.push(0b101, 3);
        bits.push(0x1_ff00, 17);
        bits.push(1, 1);
        assert_eq!(bits.into_bytes(), [0xff, 0b1011_1111, 0b1111_0000, 0b0000_1000]);
    }

    #[test]
    fn a_whole_byte_at_a_boundary_opens_the_next() {
        let bytes = |widths: &[u32]| {
            let mut bits = Bits::default();
            widths.iter().for_each(|&width| bits.push(u64::MAX, width));
            bits.into_bytes()
        };
        assert_eq!(bytes(&[8]), [0xff, 0]);
        assert_eq!(bytes(&[64]), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);
        assert_eq!(bytes(&[8, 8]), [0xff, 0xff, 0]);
        assert_eq!(bytes(&[3, 5]), [0xff]);
        assert_eq!(bytes(&[4, 12]), [0xff, 0xff]);
        assert_eq!(bytes(&[8, 1]), [0xff, 0x80]);
        assert_eq!(bytes(&[3, 8]), [0xff, 0xe0]);
    }

    #[test]
    fn classes_at_their_ends() {
        let width = |write: &dyn Fn(&mut Bits)| {
            let mut bits = Bits::default();
            write(&mut bits);
            bits.len() * 8 - bits.free as usize
        };
        for (value, expected) in [
            (0, 1),
            (-3, 5),
            (4, 5),
            (-4, 9),
            (5, 9),
            (32, 9),
            (33, 13),
            (256, 13),
            (257, 17),
            (2048, 17),
            (1 << 17, 24),
            (1 << 24, 32),
            (1 << 55, 64),
            ((1 << 55) + 1, 72),
            (i64::MIN, 72),
        ] {
            assert_eq!(width(&|bits| bits.push_classed_int(value)), expected, "{value}");
        }
        for (value, expected) in [(0, 1), (7, 5), (8, 9), (63, 9), (64, 13), (u64::MAX, 72)] {
            assert_eq!(width(&|bits| bits.push_classed_uint(value)), expected, "{value}");
        }
    }

    #[test]
    fn the_checksum_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }
}
