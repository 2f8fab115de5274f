//! Integers as residuals of a simple prediction: the stage shared by timestamps, integer values and decimal floats.
//!
//! The writer predicts each integer from its position ([`Transform`]) and stores the residuals in one of three ways
//! ([`Stage`]). For a fast chunk it judges the predictions by a sample and packs the residuals into blocks of bits,
//! which decode at the speed of memory. For the best chunk it counts every residual and chooses the smallest result; for a
//! balanced one too, but blocks may be [a little larger](CODED_SLACK).
//!
//! All arithmetic is modulo 2^64 and exact over the whole range of `i64`.
//!
//! # Format
//! The caller stores the first integer. With `m` = (integer - first) / divisor:
//!
//! | field | bytes | meaning |
//! |---|---|---|
//! | head | 1 | bits 0 and 1: [`Transform`]; bit 2: a divisor follows; bits 3 and 4: [`Stage`]; others zero |
//! | divisor | varint | at least 2; absent: 1 |
//! | slope | varint | zigzag; for `Line`: of `m` per sample, times 2^16; for `Delta2`: the first difference; absent for others |
//! | base | varint | zigzag; what residuals are counted from |
//! | residuals | rest | as the stage has them: [`blocks`], [`prefix`] or [`sparse`]; the latter two hold the zigzag of the difference from the base |
//!
//! There are residuals for the integers after the first (`Delta2`: after the second).

use super::blocks::{BLOCK, BlockFrame, decode_block, encode_block};
use super::plan::{self, Plan};
use super::transform::{Rebuild, Transform, to_residuals};
use super::varint::{self, unzigzag, zigzag};
use super::{CompressionLevel, Fault, prefix, sparse};

#[cfg(doc)]
use super::blocks;

const TRANSFORM_MASK: u8 = 0x03;
const DIVISOR_FLAG: u8 = 0x04;
const STAGE_SHIFT: u32 = 3;
const STAGE_MASK: u8 = 0x18;
/// In columns shorter than this, a prefix code does not pay for its table.
const CODED_MIN: usize = 32;
/// How much larger blocks may be at [`CompressionLevel::Balanced`], in percent: a prefix code of a short column takes three
/// times the time to decode. Chunks of buckets become up to 5 % larger (`make rollup-sizes`), and queries take 5 to 20 % less
/// time (`PART=queries make bench-tiers`).
const CODED_SLACK: usize = 15;

/// How residuals are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// In blocks of bits.
    Blocks = 0,
    /// In a prefix code computed for the column.
    Prefix = 1,
    /// As the gaps between non-zero residuals, and the non-zero residuals.
    Sparse = 2,
}

/// Appends the section of `values`, of which there is at least one, without the first.
pub fn encode(values: &[i64], level: CompressionLevel, out: &mut Vec<u8>) {
    let Some(&first) = values.first() else { return };
    let mut m: Vec<i64> = values.iter().map(|value| value.wrapping_sub(first)).collect();
    let divisor = plan::common_divisor(&m);
    if divisor > 1 {
        let divisor = divisor as i64;
        m.iter_mut().for_each(|value| *value /= divisor);
    }
    let start = out.len();
    if level == CompressionLevel::Fast || values.len() < CODED_MIN {
        encode_blocks(&mut m, divisor, out);
    } else {
        encode_blocks(&mut m.clone(), divisor, out);
        let mut coded = Vec::with_capacity(out.len() - start);
        encode_coded(&mut m, divisor, &mut coded);
        let slack = if level == CompressionLevel::Balanced { CODED_SLACK } else { 0 };
        if coded.len() * (100 + slack) < (out.len() - start) * 100 {
            out.truncate(start);
            out.extend_from_slice(&coded);
        }
    }
}

fn encode_blocks(m: &mut [i64], divisor: u64, out: &mut Vec<u8>) {
    let plan = plan::choose(m);
    write_head(&plan, Stage::Blocks, divisor, out);
    to_residuals(m, plan.transform, plan.slope);
    let residuals = m.get(plan.transform.start()..).unwrap_or_default();
    let base = plan::base(residuals, plan.centre, plan.spread);
    varint::write(out, zigzag(base));
    for block in residuals.chunks(BLOCK) {
        encode_block(block, base, plan.centre, out);
    }
}

fn encode_coded(m: &mut [i64], divisor: u64, out: &mut Vec<u8>) {
    let plan = plan::choose_by_all(m);
    to_residuals(m, plan.transform, plan.slope);
    let residuals = m.get(plan.transform.start()..).unwrap_or_default();
    let around: Vec<u64> = residuals.iter().map(|r| zigzag(r.wrapping_sub(plan.centre))).collect();
    let mut body = Vec::with_capacity(around.len() / 2);
    prefix::encode(&around, &mut body);
    let mut stage = Stage::Prefix;
    if sparse::may_suit(&around) {
        let mut other = Vec::with_capacity(body.len());
        sparse::encode(&around, &mut other);
        if other.len() < body.len() {
            (stage, body) = (Stage::Sparse, other);
        }
    }
    write_head(&plan, stage, divisor, out);
    varint::write(out, zigzag(plan.centre));
    out.extend_from_slice(&body);
}

fn write_head(plan: &Plan, stage: Stage, divisor: u64, out: &mut Vec<u8>) {
    let has_divisor = if divisor > 1 { DIVISOR_FLAG } else { 0 };
    out.push(plan.transform as u8 | has_divisor | (stage as u8) << STAGE_SHIFT);
    if divisor > 1 {
        varint::write(out, divisor);
    }
    if matches!(plan.transform, Transform::Delta2 | Transform::Line) {
        varint::write(out, zigzag(plan.slope));
    }
}

/// Decodes the section of `count` integers, at least one, and appends each multiplied by `unit`.
///
/// # Errors
/// The fault of a section that is too short, too long or malformed. `out` may then contain up to `count` additional
/// invalid integers.
pub fn decode(section: &[u8], first: i64, count: usize, unit: i64, out: &mut Vec<i64>) -> Result<(), Fault> {
    let head = *section.first().ok_or(Fault::Truncated)?;
    let mut at = 1;
    if head & !(TRANSFORM_MASK | DIVISOR_FLAG | STAGE_MASK) != 0 {
        return Err(Fault::Field);
    }
    let transform = Transform::ALL[usize::from(head & TRANSFORM_MASK)];
    let divisor = if head & DIVISOR_FLAG != 0 { varint::read(section, &mut at)? } else { 1 };
    let sloped = matches!(transform, Transform::Delta2 | Transform::Line);
    let slope = if sloped { unzigzag(varint::read(section, &mut at)?) } else { 0 };
    let base = unzigzag(varint::read(section, &mut at)?);
    let scale = (divisor as i64).wrapping_mul(unit);
    let rebuild = Rebuild { transform, first: first.wrapping_mul(unit), scale, slope };
    let body = section.get(at..).ok_or(Fault::Truncated)?;
    match (head & STAGE_MASK) >> STAGE_SHIFT {
        0 => decode_blocks(body, base, count, &rebuild, out),
        1 => decode_coded(body, base, count, &rebuild, prefix::decode, out),
        2 => decode_coded(body, base, count, &rebuild, sparse::decode, out),
        _ => Err(Fault::Field),
    }
}

fn decode_blocks(
    body: &[u8],
    base: i64,
    count: usize,
    rebuild: &Rebuild,
    out: &mut Vec<i64>,
) -> Result<(), Fault> {
    let mut at = 0;
    let (mut state, mut left) = rebuild.begin(count, out);
    let mut buffer = [0u64; BLOCK];
    while left > 0 {
        let block = &mut buffer[..left.min(BLOCK)];
        let frame = decode_block(body, &mut at, base, block)?;
        rebuild.append(block, frame, &mut state, out);
        left -= block.len();
    }
    if at < body.len() { Err(Fault::Trailing) } else { Ok(()) }
}

fn decode_coded(
    body: &[u8],
    base: i64,
    count: usize,
    rebuild: &Rebuild,
    decode: fn(&[u8], &mut [i64]) -> Result<(), Fault>,
    out: &mut Vec<i64>,
) -> Result<(), Fault> {
    let (mut state, left) = rebuild.begin(count, out);
    let start = out.len();
    out.resize(start + left, 0);
    let residuals = &mut out[start..];
    decode(body, residuals)?;
    rebuild.replace(residuals, BlockFrame { origin: base, is_zigzag: true }, &mut state);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::test_data::{integers, times};

    fn encoded(values: &[i64], level: CompressionLevel) -> Vec<u8> {
        let mut out = vec![3];
        encode(values, level, &mut out);
        out.split_off(1)
    }

    /// The bytes of a fast section.
    fn round_trip(values: &[i64]) -> usize {
        let levels = [CompressionLevel::Fast, CompressionLevel::Balanced, CompressionLevel::Best];
        let [fast, balanced, best] = levels.map(|level| {
            let section = encoded(values, level);
            let mut decoded = vec![5];
            assert_eq!(decode(&section, values[0], values.len(), 1, &mut decoded), Ok(()), "{level:?}");
            assert_eq!(&decoded[1..], values, "{level:?}");
            section.len()
        });
        assert!(best <= balanced && balanced <= fast);
        fast
    }

    /// The skew of the values decides how much smaller a prefix code is.
    #[test]
    fn a_balanced_column_is_in_blocks_unless_a_prefix_code_is_much_smaller() {
        let stage = |values: &[i64], level| (encoded(values, level)[0] & STAGE_MASK) >> STAGE_SHIFT;
        let of_triangle = |i: i64| (i * 37 % 101 % 16) + (i * 53 % 97 % 16);
        let little: Vec<i64> = (0..200).map(of_triangle).collect();
        let much: Vec<i64> = (0..200).map(|i| if i % 5 == 0 { i * 37 % 101 } else { i % 2 }).collect();
        let stages = |values: &[i64]| {
            [CompressionLevel::Fast, CompressionLevel::Balanced, CompressionLevel::Best]
                .map(|level| stage(values, level))
        };
        let (blocks, prefix) = (Stage::Blocks as u8, Stage::Prefix as u8);
        assert_eq!(stages(&little), [blocks, blocks, prefix]);
        assert_eq!(stages(&much), [blocks, prefix, prefix]);
    }

    #[test]
    fn golden_bytes() {
        for (values, golden) in [
            (&[7][..], "0000"),
            (&[7, 7, 8, 7, 5], "000302002e"),
            (&[0, 1000, 3000, 2000, 1_000_000_000], "04e807020201d8038fa10f"),
        ] {
            let out = encoded(values, CompressionLevel::Fast);
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
            for level in [CompressionLevel::Fast, CompressionLevel::Best] {
                let head = encoded(&values, level)[0];
                assert_eq!(head & TRANSFORM_MASK, transform as u8, "{transform:?} {level:?}");
            }
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
            let expected: Vec<i64> = values.iter().map(|value| value.wrapping_mul(unit)).collect();
            for level in [CompressionLevel::Fast, CompressionLevel::Best] {
                let out = encoded(&values, level);
                let mut decoded = Vec::new();
                prop_assert_eq!(decode(&out, values[0], values.len(), unit, &mut decoded), Ok(()));
                prop_assert_eq!(&decoded, &expected);
            }
        }

        #[test]
        fn hostile_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..300), head in 0u8..32, first in any::<i64>(),
            count in 1usize..2000, unit in any::<i64>(),
        ) {
            let mut decoded = Vec::new();
            let _ = decode(&bytes, first, count, unit, &mut decoded);
            let _ = decode(&[&[head], &bytes[..]].concat(), first, count, unit, &mut decoded);
            prop_assert!(decoded.len() <= 2 * count);
        }

        #[test]
        fn flipped_bits(
            values in integers(1..300), flip in any::<prop::sample::Index>(), is_best in any::<bool>(),
        ) {
            let mut out = encoded(&values, if is_best { CompressionLevel::Best } else { CompressionLevel::Fast });
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
