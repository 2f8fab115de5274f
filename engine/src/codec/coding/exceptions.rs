//! Floats that cannot be represented by a section's rule: their positions and their bits.
//!
//! # Format
//! | field | bytes | meaning |
//! |---|---|---|
//! | exceptions | varint | how many |
//! | exception, each | varint, 0 or 8 | twice the number of floats between it and the exception before, plus 1 for the stale marker; else its bits follow, little-endian |

use super::varint;
use crate::codec::Fault;
use crate::model::STALE_NAN_BITS;

/// Appends the exceptions at `indexes`, ascending, of `values`.
pub fn encode(values: &[f64], indexes: &[u32], out: &mut Vec<u8>) {
    varint::write(out, indexes.len() as u64);
    let mut next = 0;
    for &index in indexes {
        let bits = values[index as usize].to_bits();
        let is_stale = bits == STALE_NAN_BITS;
        varint::write(out, u64::from(index - next) << 1 | u64::from(is_stale));
        if !is_stale {
            out.extend_from_slice(&bits.to_le_bytes());
        }
        next = index + 1;
    }
}

/// The positions of a section's exceptions.
#[derive(Debug, Clone, Copy)]
pub struct Exceptions {
    /// The first exception, in bytes from the section's start.
    at: usize,
    many: u64,
    /// The number of floats in the section.
    count: usize,
}

impl Exceptions {
    /// Checks the exceptions at `*at` of a section of `count` floats and moves past them.
    ///
    /// # Errors
    /// The fault of exceptions that are cut short or out of range.
    pub fn read(section: &[u8], at: &mut usize, count: usize) -> Result<Self, Fault> {
        let many = varint::read(section, at)?;
        if many > count as u64 {
            return Err(Fault::Field);
        }
        let exceptions = Exceptions { at: *at, many, count };
        *at = exceptions.visit(section, |_, _| {})?;
        Ok(exceptions)
    }

    /// Overwrites `floats`, one for each float of the section, with the exceptions.
    ///
    /// # Errors
    /// None if [`Exceptions::read`] returned none.
    pub fn apply(&self, section: &[u8], floats: &mut [f64]) -> Result<(), Fault> {
        self.visit(section, |index, bits| {
            if let Some(float) = floats.get_mut(index) {
                *float = f64::from_bits(bits);
            }
        })?;
        Ok(())
    }

    /// Calls `visit` with the index and bits of each exception; indexes are below the count. Returns the end of the
    /// exceptions.
    fn visit(&self, section: &[u8], mut visit: impl FnMut(usize, u64)) -> Result<usize, Fault> {
        let (mut at, mut next) = (self.at, 0u64);
        for _ in 0..self.many {
            let code = varint::read(section, &mut at)?;
            let index = next.wrapping_add(code >> 1);
            if index >= self.count as u64 {
                return Err(Fault::Field);
            }
            let bits = if code & 1 == 1 {
                STALE_NAN_BITS
            } else {
                let raw = section.get(at..).and_then(|tail| tail.first_chunk()).ok_or(Fault::Truncated)?;
                at += raw.len();
                u64::from_le_bytes(*raw)
            };
            visit(index as usize, bits);
            next = index + 1;
        }
        Ok(at)
    }
}
