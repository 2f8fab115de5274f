//! XXH64 of a label set, by which `limit_ratio` selects series.
//!
//! Prometheus hashes the same bytes with XXH64 (its encoding of labels equals ours as long as every name and value is
//! shorter than 128 bytes), so both select the same series.

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

fn round(state: u64, lane: u64) -> u64 {
    state.wrapping_add(lane.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

fn merge(hash: u64, state: u64) -> u64 {
    (hash ^ round(0, state)).wrapping_mul(P1).wrapping_add(P4)
}

/// The hash of `bytes` with seed 0.
pub(crate) fn xxh64(bytes: &[u8]) -> u64 {
    let (stripes, mut rest) = bytes.as_chunks::<32>();
    let mut hash = if stripes.is_empty() {
        P5
    } else {
        let mut states = [P1.wrapping_add(P2), P2, 0, P1.wrapping_neg()];
        for stripe in stripes {
            let (lanes, _) = stripe.as_chunks::<8>();
            for (state, lane) in states.iter_mut().zip(lanes) {
                *state = round(*state, u64::from_le_bytes(*lane));
            }
        }
        let [a, b, c, d] = states;
        let mixed = [(a, 1), (b, 7), (c, 12), (d, 18)];
        let hash = mixed.iter().fold(0u64, |h, (s, by)| h.wrapping_add(s.rotate_left(*by)));
        states.into_iter().fold(hash, merge)
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    while let Some((lane, tail)) = rest.split_first_chunk::<8>() {
        hash = (hash ^ round(0, u64::from_le_bytes(*lane))).rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
        rest = tail;
    }
    if let Some((lane, tail)) = rest.split_first_chunk::<4>() {
        let lane = u64::from(u32::from_le_bytes(*lane));
        hash = (hash ^ lane.wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        rest = tail;
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(P3);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        assert_eq!(xxh64(b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(xxh64(b"a"), 0xD24E_C4F1_A98C_6E5B);
        assert_eq!(xxh64(b"abc"), 0x44BC_2CF5_AD77_0999);
        let text = b"Nobody inspects the spammish repetition";
        assert_eq!(xxh64(text), 0xFBCE_A83C_8A37_8BF1);
    }
}
