//! Floats as Prometheus' XOR chunks.
//!
//! # Format
//! u16 big-endian count, then a bit stream, high bits first:
//! ```text
//! first sample   zigzag varint time, 64 bits value
//! second         varint time delta, value in XOR form
//! others         delta of the delta, value in XOR form
//! delta of delta 0 | 10 + 14 bits | 110 + 17 | 1110 + 20 | 1111 + 64, two's complement
//! XOR form       0: same | 10 + bits of the window | 11 + 5 bits leading zeros + 6 bits
//!                width + bits
//! ```

use barograph::internals::varint::zigzag;

use crate::remote_read::bits::{Bits, XorColumn};

/// Maximum number of samples in a chunk, as in Prometheus.
pub const SAMPLES_MAX: usize = 120;

/// Encodes up to [`SAMPLES_MAX`] samples with ascending times.
pub fn encode(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut bits = Bits::after((samples.len() as u16).to_be_bytes().to_vec());
    let Some((&(first, value), rest)) = samples.split_first() else { return bits.into_bytes() };
    bits.push_varint(zigzag(first));
    let mut column = XorColumn::begin(&mut bits, value);
    let (mut time, mut delta) = (first, 0i64);
    for (index, &(at, value)) in rest.iter().enumerate() {
        let step = at.wrapping_sub(time);
        match index {
            0 => bits.push_varint(step as u64),
            _ => push_delta_of_delta(&mut bits, step.wrapping_sub(delta)),
        }
        (time, delta) = (at, step);
        column.push(&mut bits, value);
    }
    bits.into_bytes()
}

fn push_delta_of_delta(bits: &mut Bits, value: i64) {
    if value == 0 {
        return bits.push(0, 1);
    }
    for (width, prefix, prefix_width) in [(14, 0b10, 2), (17, 0b110, 3), (20, 0b1110, 4)] {
        let half = 1i64 << (width - 1);
        if value > -half && value <= half {
            bits.push(prefix, prefix_width);
            return bits.push(value as u64, width);
        }
    }
    bits.push(0b1111, 4);
    bits.push(value as u64, 64);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads bits, high bits first: the inverse of the writer, for tests only.
    pub struct BitReader<'a> {
        pub bytes: &'a [u8],
        pub at: usize,
    }

    impl BitReader<'_> {
        pub fn take(&mut self, width: u32) -> u64 {
            let mut value = 0;
            for _ in 0..width {
                let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1;
                value = value << 1 | u64::from(bit);
                self.at += 1;
            }
            value
        }

        pub fn varint(&mut self) -> u64 {
            let (mut value, mut shift) = (0, 0);
            loop {
                let byte = self.take(8);
                value |= (byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return value;
                }
            }
        }

        /// Counts ones up to `most`, and consumes the zero after them.
        pub fn ones(&mut self, most: u32) -> u32 {
            (0..most).take_while(|_| self.take(1) == 1).count() as u32
        }

        /// Reads an integer of n bits, which is between -(2^(n-1) - 1) and 2^(n-1).
        pub fn signed(&mut self, width: u32) -> i64 {
            let raw = self.take(width);
            if width < 64 && raw > 1 << (width - 1) { raw as i64 - (1i64 << width) } else { raw as i64 }
        }
    }

    #[derive(Default)]
    pub struct XorReader {
        pub value: u64,
        window: (u32, u32),
    }

    impl XorReader {
        pub fn next(&mut self, bits: &mut BitReader<'_>) -> f64 {
            if bits.take(1) == 1 {
                if bits.take(1) == 1 {
                    let (leading, width) = (bits.take(5) as u32, bits.take(6) as u32);
                    let width = if width == 0 { 64 } else { width };
                    self.window = (width, 64 - leading - width);
                }
                let (width, shift) = self.window;
                self.value ^= bits.take(width) << shift;
            }
            f64::from_bits(self.value)
        }
    }

    pub fn decode(bytes: &[u8]) -> Vec<(i64, f64)> {
        let count = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        let mut bits = BitReader { bytes: &bytes[2..], at: 0 };
        let (mut time, mut delta) = (0i64, 0i64);
        let mut column = XorReader::default();
        let mut found = Vec::new();
        for index in 0..count {
            match index {
                0 => {
                    time = barograph::internals::varint::unzigzag(bits.varint());
                    column.value = bits.take(64);
                    found.push((time, f64::from_bits(column.value)));
                    continue;
                }
                1 => delta = bits.varint() as i64,
                _ => {
                    let width = [0, 14, 17, 20, 64][bits.ones(4) as usize];
                    delta = delta.wrapping_add(if width == 0 { 0 } else { bits.signed(width) });
                }
            }
            time = time.wrapping_add(delta);
            found.push((time, column.next(&mut bits)));
        }
        found
    }

    /// Bytes of the format, worked out by hand: times 1000, 2000, 3000, values 1, 1, 2.
    #[test]
    fn golden_bytes() {
        let bytes = encode(&[(1000, 1.0), (2000, 1.0), (3000, 2.0)]);
        let expected = [
            0,
            3, // count
            0xd0,
            0x0f, // zigzag 2000
            0x3f,
            0xf0,
            0,
            0,
            0,
            0,
            0,
            0, // 1.0
            0xe8,
            0x07, // delta 1000
            // 0: same value; 0: same delta; 11: new window, 1 leading zero, 11 bits, all ones
            0b0011_0000,
            0b1001_0111,
            0b1111_1111,
            0b1100_0000,
        ];
        assert_eq!(bytes, expected, "{bytes:02x?}");
    }

    pub fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A chunk that Prometheus 2.42 streamed for the same samples.
    #[test]
    fn the_bytes_are_those_of_prometheus() {
        let steps = [0, 1000, 2000, 3001, 4001, 5000, 20_000, 20_001, 120_001, 120_002, 1_120_002, 1_120_003];
        let nan = f64::from_bits(0x7ff8_0000_0000_0000);
        let values = [1.0, 1.0, 2.0, 2.5, -0.1, nan, 1e300, 3.0, 3.0, f64::INFINITY, 0.1, 0.2];
        let samples: Vec<(i64, f64)> = steps.iter().map(|s| 1_795_712_196_000 + s).zip(values).collect();
        let streamed = "\
            000cc0f6cc8cc3683ff0000000000000e8073097ffe0007683bfffc1fffdecccccccccccdbfffb01\
            0666666666666e1b58c039fc8791000eb3b715a63e3fe43c8800759dc30d3eee79618ffe00000000\
            00007800000000007a11fc8093333333333337fffffffffffc2f70600700000000000000";
        assert_eq!(hex(&encode(&samples)), streamed);
    }

    proptest! {
        #[test]
        fn chunks_read_back(
            start in -1_000_000_000_000i64..4_000_000_000_000,
            steps in proptest::collection::vec((prop_oneof![Just(15_000i64), 1i64..100, 1i64..1_000_000_000], any::<u64>(), 0u8..4), 1..120),
        ) {
            let (mut time, mut value) = (start, 0u64);
            let samples: Vec<(i64, f64)> = steps
                .into_iter()
                .map(|(step, bits, how)| {
                    time += step;
                    value = match how {
                        0 => value,
                        1 => (f64::from_bits(value) + 1.0).to_bits(),
                        2 => value ^ 1 << (bits % 64),
                        _ => bits,
                    };
                    (time, f64::from_bits(value))
                })
                .collect();
            let found = decode(&encode(&samples));
            prop_assert_eq!(found.len(), samples.len());
            for (a, b) in found.iter().zip(&samples) {
                prop_assert_eq!((a.0, a.1.to_bits()), (b.0, b.1.to_bits()));
            }
        }
    }
}
