//! Integers that are mostly zero, stored as the gaps between the others, and the others.
//!
//! A prefix code spends at least one bit on the most frequent integer. If at most one in four is not zero, two shorter
//! columns take less space. Each is encoded with [`prefix`].
//!
//! # Format
//! | field | bytes | meaning |
//! |---|---|---|
//! | many | varint | integers that are not zero, at least one |
//! | length | varint | bytes of the next field |
//! | gaps | as said | for each: zeros between it and the one before |
//! | integers | rest | each less 1 |

use super::{Fault, prefix, varint};

/// At most one in this many integers is not zero.
const SHARE: usize = 4;

/// Whether `values` may be suitable.
pub fn may_suit(values: &[u64]) -> bool {
    let many = values.iter().filter(|&&value| value != 0).count();
    many > 0 && many <= values.len() / SHARE
}

/// Appends a body for `values`, for which [`may_suit`] must be true.
pub fn encode(values: &[u64], out: &mut Vec<u8>) {
    let (mut gaps, mut others) = (Vec::new(), Vec::new());
    let mut next = 0;
    for (i, &value) in values.iter().enumerate().filter(|(_, value)| **value != 0) {
        gaps.push((i - next) as u64);
        others.push(value - 1);
        next = i + 1;
    }
    varint::write(out, gaps.len() as u64);
    let mut body = Vec::new();
    prefix::encode(&gaps, &mut body);
    varint::write(out, body.len() as u64);
    out.extend_from_slice(&body);
    prefix::encode(&others, out);
}

/// Decodes a body of `out.len()` integers, and returns their bits as signed integers.
///
/// # Errors
/// The fault of a body that is too short, too long or malformed. The contents of `out` are then invalid.
pub fn decode(body: &[u8], out: &mut [i64]) -> Result<(), Fault> {
    let mut at = 0;
    let many = varint::read(body, &mut at)?;
    if many == 0 || many > out.len() as u64 {
        return Err(Fault::Field);
    }
    let length = usize::try_from(varint::read(body, &mut at)?).map_err(|_| Fault::Truncated)?;
    let rest = body.get(at..).ok_or(Fault::Truncated)?;
    let (gaps_body, others_body) = rest.split_at_checked(length).ok_or(Fault::Truncated)?;
    let mut gaps = vec![0; many as usize];
    prefix::decode(gaps_body, &mut gaps)?;
    let mut others = vec![0; many as usize];
    prefix::decode(others_body, &mut others)?;
    out.fill(0);
    let mut next = 0u64;
    for (gap, other) in gaps.into_iter().zip(others) {
        let index = next.checked_add(gap as u64).ok_or(Fault::Field)?;
        let place = usize::try_from(index).ok().and_then(|index| out.get_mut(index)).ok_or(Fault::Field)?;
        *place = (other as u64).checked_add(1).ok_or(Fault::Field)? as i64;
        next = index + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(values: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(values, &mut out);
        out
    }

    #[test]
    fn golden_bytes() {
        let mut values = vec![0; 40];
        (values[3], values[20], values[39]) = (1, 1, 700);
        let hex: String = body(&values).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "0306100ce11d02051af10e01000177");
    }

    #[test]
    fn rare_ones_cost_their_gaps() {
        let values: Vec<u64> = (0..1000u64).map(|i| u64::from(i * i % 10 == 4)).collect();
        assert!(may_suit(&values) && !may_suit(&[0; 100]) && !may_suit(&[1, 0, 0]));
        assert!(body(&values).len() < 60, "{} bytes", body(&values).len());
    }

    proptest! {
        #[test]
        fn round_trip(
            others in prop::collection::btree_map(0usize..900, 1u64.., 1..200), zeros in 0usize..100,
        ) {
            let mut values = vec![0; others.keys().max().unwrap_or(&0) + 1 + zeros];
            others.iter().for_each(|(&i, &value)| values[i] = value);
            let mut decoded = vec![7; values.len()];
            prop_assert_eq!(decode(&body(&values), &mut decoded), Ok(()));
            prop_assert!(decoded.iter().map(|&value| value as u64).eq(values));
        }

        #[test]
        fn hostile_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 1usize..1000) {
            let _ = decode(&bytes, &mut vec![0; count]);
        }
    }
}
