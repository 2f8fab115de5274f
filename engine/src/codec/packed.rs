//! Integers as bit-packed residuals of a simple prediction: the stage that timestamps,
//! integer values and decimal floats share.
//!
//! The writer predicts each integer from its place ([`Transform`]), judging the four ways
//! by a sample, and packs what is left in blocks, each at the width that makes it
//! smallest. The few residuals that need more bits than that are patches behind the block;
//! a column that seldom changes is a width of zero and some patches.
//!
//! All arithmetic is modulo 2^64 and exact over the whole of `i64`.
//!
//! # Format
//! The first integer is the caller's to store. With `m` = (integer - first) / divisor:
//!
//! | field | bytes | meaning |
//! |---|---|---|
//! | transform | 1 | low 2 bits: [`Transform`]; bit 2: a divisor follows; others zero |
//! | divisor | varint | at least 2; absent: 1 |
//! | slope | varint | zigzag; for `Line`: of `m` per sample, times 2^16; for `Delta2`: the first difference; absent for others |
//! | base | varint | zigzag; what residuals are counted from |
//! | blocks | | of 256 residuals, the last with what is left, none without residuals |
//!
//! | block field | bytes | meaning |
//! |---|---|---|
//! | width | 1 | low 7 bits: 0 to 64; high bit: residuals are zigzag of the difference from the base's centre, else the difference from the base |
//! | centre | varint | only with the high bit: zigzag, added to the base |
//! | patches | 1 | how many |
//! | residuals | packed | low bits of each, see [`bitpack`](super::bitpack) |
//! | patch, each | varint, varint | residuals between it and the patch before; high bits, shifted down by the width |
//!
//! Residuals are of the integers behind the first (`Delta2`: behind the second).

use super::bitpack::{pack, packed_len, unpack};
use super::varint::{self, unzigzag, zigzag};
use super::{Fault, plan};

/// Residuals in a block.
pub const BLOCK: usize = 256;

const TRANSFORM_MASK: u8 = 0x03;
const DIVISOR_FLAG: u8 = 0x04;
const ZIGZAG_FLAG: u8 = 0x80;
/// Fraction bits of a line's slope.
pub const SLOPE_BITS: u32 = 16;

/// How an integer is predicted; what the prediction misses is its residual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Transform {
    /// Not at all.
    Frame = 0,
    /// By the one before: residuals are differences.
    Delta = 1,
    /// By the one before and its difference: residuals are changes of the difference.
    Delta2 = 2,
    /// By a straight line through the first: a clock with jitter has residuals of the
    /// jitter's size, where differences would have 1.4 times it, and their changes 2.4 times.
    Line = 3,
}

impl Transform {
    /// All of them, simplest first.
    pub const ALL: [Transform; 4] = [Transform::Frame, Transform::Delta, Transform::Delta2, Transform::Line];

    /// The first integer that has a residual.
    pub fn start(self) -> usize {
        if self == Transform::Delta2 { 2 } else { 1 }
    }

    /// The residual of `m[i]`; `i` is not before the start.
    #[inline]
    pub fn residual(self, m: &[i64], i: usize, slope: i64) -> i64 {
        match self {
            Transform::Frame => m[i],
            Transform::Delta => m[i].wrapping_sub(m[i - 1]),
            Transform::Delta2 => m[i].wrapping_sub(m[i - 1].wrapping_mul(2)).wrapping_add(m[i - 2]),
            Transform::Line => m[i].wrapping_sub(on_line(slope, i as i64)),
        }
    }
}

#[inline]
fn on_line(slope: i64, i: i64) -> i64 {
    slope.wrapping_mul(i) >> SLOPE_BITS
}

/// Appends the section of `values`, at least one, without the first.
pub fn encode(values: &[i64], out: &mut Vec<u8>) {
    let Some(&first) = values.first() else { return };
    let mut m: Vec<i64> = values.iter().map(|value| value.wrapping_sub(first)).collect();
    let divisor = plan::common_divisor(&m);
    if divisor > 1 {
        let divisor = divisor as i64;
        m.iter_mut().for_each(|value| *value /= divisor);
    }
    let plan = plan::choose(&m);
    let has_divisor = if divisor > 1 { DIVISOR_FLAG } else { 0 };
    out.push(plan.transform as u8 | has_divisor);
    if divisor > 1 {
        varint::write(out, divisor);
    }
    if matches!(plan.transform, Transform::Delta2 | Transform::Line) {
        varint::write(out, zigzag(plan.slope));
    }

    let start = plan.transform.start();
    let mut residuals = m;
    to_residuals(&mut residuals, plan.transform, plan.slope);
    let residuals = residuals.get(start..).unwrap_or_default();
    let base = plan::base(residuals, plan.centre, plan.spread);
    varint::write(out, zigzag(base));
    for block in residuals.chunks(BLOCK) {
        encode_block(block, base, plan.centre, out);
    }
}

/// Replaces integers by their residuals, from the back so that none is read too late.
fn to_residuals(m: &mut [i64], transform: Transform, slope: i64) {
    match transform {
        Transform::Frame => {}
        Transform::Delta => {
            for i in (1..m.len()).rev() {
                m[i] = m[i].wrapping_sub(m[i - 1]);
            }
        }
        Transform::Delta2 => {
            for i in (2..m.len()).rev() {
                m[i] = m[i].wrapping_sub(m[i - 1].wrapping_mul(2)).wrapping_add(m[i - 2]);
            }
        }
        Transform::Line => {
            for (i, value) in m.iter_mut().enumerate() {
                *value = value.wrapping_sub(on_line(slope, i as i64));
            }
        }
    }
}

fn encode_block(residuals: &[i64], base: i64, centre: i64, out: &mut Vec<u8>) {
    let mut above = [0; BLOCK];
    let mut around = [0; BLOCK];
    let (above, around) = (&mut above[..residuals.len()], &mut around[..residuals.len()]);
    for ((&residual, above), around) in residuals.iter().zip(&mut *above).zip(&mut *around) {
        *above = residual.wrapping_sub(base) as u64;
        *around = zigzag(residual.wrapping_sub(centre));
    }
    let (width_above, cost_above) = plan::width(above);
    let (width_around, cost_around) = plan::width(around);
    let centre = zigzag(centre.wrapping_sub(base));
    let (packed, width) = if cost_around + varint::len(centre) < cost_above {
        out.push(width_around as u8 | ZIGZAG_FLAG);
        varint::write(out, centre);
        (around, width_around)
    } else {
        out.push(width_above as u8);
        (above, width_above)
    };
    let patch = |residual: u64| residual.checked_shr(width).filter(|&high| high != 0);
    let patches = packed.iter().filter(|&&residual| patch(residual).is_some()).count();
    out.push(patches as u8);
    pack(packed, width, out);
    let mut next = 0;
    for (i, high) in packed.iter().enumerate().filter_map(|(i, &residual)| Some((i, patch(residual)?))) {
        varint::write(out, (i - next) as u64);
        varint::write(out, high);
        next = i + 1;
    }
}

/// How a section's integers follow from its residuals.
struct Rebuild {
    transform: Transform,
    /// Of results.
    first: i64,
    /// Of results per `m`: the divisor times the caller's unit.
    scale: i64,
    slope: i64,
}

/// Decodes the section of `count` integers, at least one, and appends each times `unit`.
///
/// # Errors
/// The fault of a section that is too short, too long or malformed; `out` then holds at most
/// `count` integers of rubbish behind its old length.
pub fn decode(section: &[u8], first: i64, count: usize, unit: i64, out: &mut Vec<i64>) -> Result<(), Fault> {
    let mut at = 0;
    let head = *section.first().ok_or(Fault::Truncated)?;
    at += 1;
    let transform = Transform::ALL[usize::from(head & TRANSFORM_MASK)];
    if head & !(TRANSFORM_MASK | DIVISOR_FLAG) != 0 {
        return Err(Fault::Field);
    }
    let divisor = if head & DIVISOR_FLAG != 0 { varint::read(section, &mut at)? } else { 1 };
    let sloped = matches!(transform, Transform::Delta2 | Transform::Line);
    let slope = if sloped { unzigzag(varint::read(section, &mut at)?) } else { 0 };
    let base = unzigzag(varint::read(section, &mut at)?);
    let rebuild = Rebuild {
        transform,
        first: first.wrapping_mul(unit),
        scale: (divisor as i64).wrapping_mul(unit),
        slope,
    };
    rebuild.decode(section, at, base, count, out)
}

impl Rebuild {
    fn decode(
        &self,
        section: &[u8],
        mut at: usize,
        base: i64,
        count: usize,
        out: &mut Vec<i64>,
    ) -> Result<(), Fault> {
        out.push(self.first);
        let mut state = State { value: self.first, step: 0, line: 0 };
        let mut left = count.saturating_sub(1);
        if self.transform == Transform::Delta2 && left > 0 {
            state.step = self.slope.wrapping_mul(self.scale);
            state.value = state.value.wrapping_add(state.step);
            out.push(state.value);
            left -= 1;
        }
        let mut buffer = [0u64; BLOCK];
        while left > 0 {
            let block = &mut buffer[..left.min(BLOCK)];
            let frame = decode_block(section, &mut at, base, block)?;
            self.append(block, frame, &mut state, out);
            left -= block.len();
        }
        if at < section.len() { Err(Fault::Trailing) } else { Ok(()) }
    }

    /// Turns residuals into integers.
    fn append(&self, block: &[u64], frame: BlockFrame, state: &mut State, out: &mut Vec<i64>) {
        let BlockFrame { origin, is_zigzag } = frame;
        let origin = origin.wrapping_mul(self.scale);
        if is_zigzag {
            let scale = self.scale;
            self.append_scaled(block, |u| origin.wrapping_add(unzigzag(u).wrapping_mul(scale)), state, out);
        } else if self.scale == 1 {
            self.append_scaled(block, |u| origin.wrapping_add(u as i64), state, out);
        } else {
            let scale = self.scale;
            self.append_scaled(block, |u| origin.wrapping_add((u as i64).wrapping_mul(scale)), state, out);
        }
    }

    #[inline]
    fn append_scaled(
        &self,
        block: &[u64],
        residual: impl Fn(u64) -> i64,
        state: &mut State,
        out: &mut Vec<i64>,
    ) {
        let State { mut value, mut step, mut line } = *state;
        match self.transform {
            Transform::Frame => {
                let first = self.first;
                out.extend(block.iter().map(|&u| first.wrapping_add(residual(u))));
            }
            Transform::Delta => out.extend(block.iter().map(|&u| {
                value = value.wrapping_add(residual(u));
                value
            })),
            Transform::Delta2 => out.extend(block.iter().map(|&u| {
                step = step.wrapping_add(residual(u));
                value = value.wrapping_add(step);
                value
            })),
            Transform::Line => {
                let Rebuild { first, scale, slope, .. } = *self;
                out.extend(block.iter().map(|&u| {
                    line = line.wrapping_add(slope);
                    let expected = (line >> SLOPE_BITS).wrapping_mul(scale);
                    first.wrapping_add(expected).wrapping_add(residual(u))
                }));
            }
        }
        *state = State { value, step, line };
    }
}

/// Where a rebuilding stands between two blocks.
#[derive(Clone, Copy)]
struct State {
    /// The last integer.
    value: i64,
    /// Its difference from the one before.
    step: i64,
    /// Slope times its index.
    line: i64,
}

/// What a block's residuals are counted from.
#[derive(Clone, Copy)]
struct BlockFrame {
    origin: i64,
    is_zigzag: bool,
}

/// Fills `block` with residuals, patches applied.
fn decode_block(section: &[u8], at: &mut usize, base: i64, block: &mut [u64]) -> Result<BlockFrame, Fault> {
    let head = *section.get(*at).ok_or(Fault::Truncated)?;
    *at += 1;
    let (width, is_zigzag) = (u32::from(head & !ZIGZAG_FLAG), head & ZIGZAG_FLAG != 0);
    if width > 64 {
        return Err(Fault::Field);
    }
    let centre = if is_zigzag { unzigzag(varint::read(section, at)?) } else { 0 };
    let patches = *section.get(*at).ok_or(Fault::Truncated)?;
    *at += 1;
    let bytes = section.get(*at..*at + packed_len(block.len(), width)).ok_or(Fault::Truncated)?;
    *at += bytes.len();
    unpack(bytes, width, block);
    let mut next = 0usize;
    for _ in 0..patches {
        let gap = usize::try_from(varint::read(section, at)?).map_err(|_| Fault::Field)?;
        let high = varint::read(section, at)?;
        let residual = next.checked_add(gap).and_then(|i| block.get_mut(i)).ok_or(Fault::Field)?;
        *residual |= high.wrapping_shl(width);
        next += gap + 1;
    }
    Ok(BlockFrame { origin: base.wrapping_add(centre), is_zigzag })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::test_data::{integers, times};

    fn round_trip(values: &[i64]) -> usize {
        let mut out = vec![3];
        encode(values, &mut out);
        let mut decoded = vec![5];
        assert_eq!(decode(&out[1..], values[0], values.len(), 1, &mut decoded), Ok(()));
        assert_eq!(&decoded[1..], values);
        out.len() - 1
    }

    #[test]
    fn golden_bytes() {
        for (values, golden) in [
            (&[7][..], "0000"),
            (&[7, 7, 8, 7, 5], "000302002e"),
            (&[0, 1000, 3000, 2000, 1_000_000_000], "04e807020201d8038fa10f"),
        ] {
            let mut out = Vec::new();
            encode(values, &mut out);
            let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, golden, "{values:?}");
        }
    }

    #[test]
    fn each_transform_has_its_data() {
        let noise = |i: i64| {
            let mixed = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as i64 % 13
        };
        let walk = |steps: &dyn Fn(i64) -> i64| {
            (0..1000)
                .scan(0, |at, i| {
                    *at += steps(i);
                    Some(*at)
                })
                .collect::<Vec<i64>>()
        };
        let cases: [(Transform, Vec<i64>); 4] = [
            (Transform::Frame, (0..1000).map(noise).collect()),
            (Transform::Delta, walk(&|i| noise(i) - 6)),
            (Transform::Delta2, walk(&|i| 10 * i + noise(i) % 2)),
            (Transform::Line, (0..1000).map(|i| i * 1000 + noise(i)).collect()),
        ];
        for (transform, values) in cases {
            let mut out = Vec::new();
            encode(&values, &mut out);
            assert_eq!(out[0] & TRANSFORM_MASK, transform as u8, "{transform:?}");
            assert!(round_trip(&values) < 600, "{transform:?}: {} bytes", round_trip(&values));
        }
    }

    #[test]
    fn rare_changes_and_resets_are_patches() {
        let mut values = vec![4; 1000];
        values[500..].fill(1 << 40);
        assert!(round_trip(&values) < 40, "{} bytes", round_trip(&values));
        let resets: Vec<i64> = (0..1000).map(|i| (i % 400) * 1_000_003 + i % 3).collect();
        assert!(round_trip(&resets) < 450, "{} bytes", round_trip(&resets));
    }

    #[test]
    fn a_common_divisor_is_taken_out() {
        let values: Vec<i64> = (0..1000).map(|i| 17 + 4096 * ((i * i) % 7)).collect();
        assert!(round_trip(&values) < 420, "{} bytes", round_trip(&values));
    }

    #[test]
    fn extremes() {
        round_trip(&[i64::MIN]);
        round_trip(&[i64::MIN, i64::MAX]);
        round_trip(&[i64::MAX, i64::MIN, i64::MAX, 0, i64::MIN]);
        round_trip(&[0, i64::MIN, 0, i64::MIN]);
        for count in [255, 256, 257, 258, 512, 513, 514] {
            round_trip(&(0..count).map(|i| i * i % 31).collect::<Vec<_>>());
        }
    }

    proptest! {
        #[test]
        fn integers_round_trip(values in integers(1..700)) {
            round_trip(&values);
        }

        #[test]
        fn times_round_trip_in_units(values in times(1..300), unit in 1i64..1_000_000_000) {
            round_trip(&values);
            let mut out = Vec::new();
            encode(&values, &mut out);
            let mut decoded = Vec::new();
            prop_assert_eq!(decode(&out, values[0], values.len(), unit, &mut decoded), Ok(()));
            let expected: Vec<i64> = values.iter().map(|value| value.wrapping_mul(unit)).collect();
            prop_assert_eq!(decoded, expected);
        }

        #[test]
        fn hostile_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..300), head in 0u8..8, first in any::<i64>(),
            count in 1usize..2000, unit in any::<i64>(),
        ) {
            let mut decoded = Vec::new();
            let _ = decode(&bytes, first, count, unit, &mut decoded);
            let _ = decode(&[&[head], &bytes[..]].concat(), first, count, unit, &mut decoded);
            prop_assert!(decoded.len() <= 2 * count);
        }

        #[test]
        fn flipped_bits(values in integers(1..300), flip in any::<prop::sample::Index>()) {
            let mut out = Vec::new();
            encode(&values, &mut out);
            let bit = flip.index(out.len() * 8);
            out[bit / 8] ^= 1 << (bit % 8);
            let mut decoded = Vec::new();
            if decode(&out, values[0], values.len(), 1, &mut decoded).is_ok() {
                prop_assert_eq!(decoded.len(), values.len());
            }
            prop_assert!(decoded.len() <= values.len());
        }
    }
}
