//! Residuals in bit-packed blocks, each with the width that makes it smallest.
//!
//! The few residuals that need more bits than their block has are stored after it as exceptions. A column that seldom
//! changes has width zero and some exceptions.
//!
//! # Format
//! Blocks of 256 residuals. The last has the remainder; without residuals there are none:
//!
//! | field | bytes | meaning |
//! |---|---|---|
//! | width | 1 | low 7 bits: 0 to 64; high bit: residuals are zigzag of the difference from the base's centre, else the difference from the base |
//! | centre | varint | only with the high bit: zigzag, added to the base |
//! | exceptions | 1 | how many |
//! | residuals | packed | low bits of each, see [`bitpack`](super::bitpack) |
//! | exception, each | varint, varint | residuals between it and the exception before; high bits, shifted down by the width |

use super::bitpack::{pack, packed_len, unpack};
use super::varint::{self, unzigzag, zigzag};
use crate::codec::Fault;

/// The number of residuals in a block.
pub const BLOCK: usize = 256;

/// Blocks of up to this many residuals are assembled in a smaller buffer.
const SHORT_BLOCK: usize = 16;

const ZIGZAG_FLAG: u8 = 0x80;

/// Appends a block of at most [`BLOCK`] residuals.
pub fn encode_block(residuals: &[i64], base: i64, centre: i64, out: &mut Vec<u8>) {
    // Most chunks of short-lived series are short, and clearing the buffer takes time.
    if residuals.len() <= SHORT_BLOCK {
        encode_block_within::<SHORT_BLOCK>(residuals, base, centre, out);
    } else {
        encode_block_within::<BLOCK>(residuals, base, centre, out);
    }
}

fn encode_block_within<const ROOM: usize>(residuals: &[i64], base: i64, centre: i64, out: &mut Vec<u8>) {
    let mut above = [0; ROOM];
    let mut around = [0; ROOM];
    let (above, around) = (&mut above[..residuals.len()], &mut around[..residuals.len()]);
    for ((&residual, above), around) in residuals.iter().zip(&mut *above).zip(&mut *around) {
        *above = residual.wrapping_sub(base) as u64;
        *around = zigzag(residual.wrapping_sub(centre));
    }
    let (width_above, cost_above) = width(above);
    let (width_around, cost_around) = width(around);
    let centre = zigzag(centre.wrapping_sub(base));
    let (packed, width) = if cost_around + varint::len(centre) < cost_above {
        out.push(width_around as u8 | ZIGZAG_FLAG);
        varint::write(out, centre);
        (around, width_around)
    } else {
        out.push(width_above as u8);
        (above, width_above)
    };
    let exception = |residual: u64| residual.checked_shr(width).filter(|&high| high != 0);
    let exceptions = packed.iter().filter(|&&residual| exception(residual).is_some()).count();
    out.push(exceptions as u8);
    pack(packed, width, out);
    let mut next = 0;
    for (i, high) in packed.iter().enumerate().filter_map(|(i, &residual)| Some((i, exception(residual)?))) {
        varint::write(out, (i - next) as u64);
        varint::write(out, high);
        next = i + 1;
    }
}

/// How the residuals of a block are counted.
#[derive(Clone, Copy)]
pub struct BlockFrame {
    /// Added to each.
    pub origin: i64,
    /// Whether they are zigzag-encoded.
    pub is_zigzag: bool,
}

/// Fills `block` with residuals, exceptions applied.
///
/// # Errors
/// The section ends early or is damaged.
pub fn decode_block(
    section: &[u8],
    at: &mut usize,
    base: i64,
    block: &mut [u64],
) -> Result<BlockFrame, Fault> {
    let head = *section.get(*at).ok_or(Fault::Truncated)?;
    *at += 1;
    let (width, is_zigzag) = (u32::from(head & !ZIGZAG_FLAG), head & ZIGZAG_FLAG != 0);
    if width > 64 {
        return Err(Fault::Field);
    }
    let centre = if is_zigzag { unzigzag(varint::read(section, at)?) } else { 0 };
    let exceptions = *section.get(*at).ok_or(Fault::Truncated)?;
    *at += 1;
    let bytes = section.get(*at..*at + packed_len(block.len(), width)).ok_or(Fault::Truncated)?;
    *at += bytes.len();
    unpack(bytes, width, block);
    let mut next = 0usize;
    for _ in 0..exceptions {
        let gap = usize::try_from(varint::read(section, at)?).map_err(|_| Fault::Field)?;
        let high = varint::read(section, at)?;
        let residual = next.checked_add(gap).and_then(|i| block.get_mut(i)).ok_or(Fault::Field)?;
        *residual |= high.wrapping_shl(width);
        next += gap + 1;
    }
    Ok(BlockFrame { origin: base.wrapping_add(centre), is_zigzag })
}

/// The width that makes a block smallest, and the resulting number of bytes.
pub fn width(residuals: &[u64]) -> (u32, usize) {
    let mut count_of = [0u32; 65];
    let mut all = 0;
    for residual in residuals {
        count_of[64usize.wrapping_sub(residual.leading_zeros() as usize)] += 1;
        all |= residual;
    }
    let widest = 64usize.wrapping_sub(all.leading_zeros() as usize);
    let mut best = (widest as u32, (residuals.len() * widest).div_ceil(8));
    let mut exceptional = 0;
    for width in (0..widest).rev() {
        exceptional += count_of[width + 1] as usize;
        let exceptions: usize =
            (width + 1..=widest).map(|bits| count_of[bits] as usize * exception_len(bits - width)).sum();
        let size = (residuals.len() * width).div_ceil(8) + exceptions;
        if size < best.1 && exceptional < BLOCK {
            best = (width as u32, size);
        }
        // Below this width, exceptions only become more numerous and longer; their number must fit into a byte.
        if exceptions > best.1 {
            break;
        }
    }
    best
}

/// Bytes of an exception whose residual is `bits` wider than the block.
fn exception_len(bits: usize) -> usize {
    1 + bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths() {
        assert_eq!(width(&[0; 100]), (0, 0));
        assert_eq!(width(&[7; 16]), (3, 6));
        let mut strays = [7; 128];
        (strays[5], strays[99]) = (1 << 30, u64::MAX);
        assert_eq!(width(&strays), (3, 48 + 5 + 10));
        assert_eq!(width(&[u64::MAX; 8]), (64, 64));
        assert_eq!(width(&[]), (0, 0));
    }
}
