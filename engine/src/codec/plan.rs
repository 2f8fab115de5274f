//! The writer's choices for [`packed`](super::packed) sections: transform, divisor, base, widths.
//!
//! A poor choice costs size, never correctness, because the section records it. Transform and centre are chosen by a
//! sample, widths by exact size.

use super::blocks::width;
use super::transform::{SLOPE_BITS, Transform, to_residuals};
use super::{prefix, varint};

/// The number of residuals examined for each transform.
const SAMPLE: usize = 64;
/// Columns of up to this many integers are judged in a smaller buffer.
const SHORT: usize = 16;

/// The prediction of a column.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The transform.
    pub transform: Transform,
    /// For [`Transform::Line`] per sample, times 2^16; for [`Transform::Delta2`] the first difference.
    pub slope: i64,
    /// The middle of the residuals.
    pub centre: i64,
    /// The distance from the centre within which most residuals lie.
    pub spread: u64,
}

/// The greatest common divisor of all integers, 1 where it exceeds `i64`.
pub fn common_divisor(m: &[i64]) -> u64 {
    let mut divisor = 0u64;
    for value in m {
        let value = value.unsigned_abs();
        if divisor == 0 || value % divisor != 0 {
            divisor = gcd(divisor, value);
            if divisor == 1 {
                break;
            }
        }
    }
    if divisor == 0 || divisor > i64::MAX as u64 { 1 } else { divisor }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The transforms that fit the column, each with the size of its sampled residuals in blocks.
fn judged(m: &[i64]) -> impl Iterator<Item = (usize, Plan)> {
    Transform::ALL
        .into_iter()
        .filter_map(|transform| slope(m, transform).map(|slope| judge(m, transform, slope)))
}

/// Chooses the transform whose sampled residuals pack smallest.
pub fn choose(m: &[i64]) -> Plan {
    judged(m).min_by_key(|(bytes, _)| *bytes).expect("a frame is always possible").1
}

/// Chooses the transform whose residuals take the fewest bits in a prefix code. Examines all residuals of the
/// transforms that a sample does not rule out.
pub fn choose_by_all(m: &[i64]) -> Plan {
    let mut best: Option<(f64, Plan)> = None;
    let mut sorted = Vec::with_capacity(m.len());
    let mut transformed = Vec::with_capacity(m.len());
    let least = judged(m).map(|(bytes, _)| bytes).min().unwrap_or(0);
    for (_, Plan { transform, slope, .. }) in judged(m).filter(|(bytes, _)| *bytes <= least + least / 4 + 2) {
        transformed.clear();
        transformed.extend_from_slice(m);
        let residuals = &mut transformed;
        to_residuals(residuals, transform, slope);
        let residuals = residuals.get(transform.start()..).unwrap_or_default();
        sorted.clear();
        sorted.extend_from_slice(residuals);
        let centre = match sorted.len() {
            0 => 0,
            len => *sorted.select_nth_unstable(len / 2).1,
        };
        let around = residuals.iter().map(|residual| varint::zigzag(residual.wrapping_sub(centre)));
        let bits = prefix::Counts::of(around).bits();
        if best.as_ref().is_none_or(|(least, _)| bits < *least) {
            best = Some((bits, Plan { transform, slope, centre, spread: 0 }));
        }
    }
    best.expect("a frame is always possible").1
}

/// The slope of a transform; 0 for those that need none; `None` if the transform does not fit the column.
fn slope(m: &[i64], transform: Transform) -> Option<i64> {
    let last_index = m.len().wrapping_sub(1) as i64;
    match transform {
        Transform::Frame | Transform::Delta => Some(0),
        Transform::Delta2 => (m.len() > 2).then(|| m[1].wrapping_sub(m[0])),
        Transform::Line => {
            let span = m.last().copied().filter(|_| m.len() > 2)?;
            span.checked_mul(1 << SLOPE_BITS)?.checked_div(last_index)
        }
    }
}

fn judge(m: &[i64], transform: Transform, slope: i64) -> (usize, Plan) {
    // Clearing the buffer would cost more than examining the few residuals of a short column.
    if m.len() <= SHORT {
        judge_within::<SHORT>(m, transform, slope)
    } else {
        judge_within::<SAMPLE>(m, transform, slope)
    }
}

fn judge_within<const ROOM: usize>(m: &[i64], transform: Transform, slope: i64) -> (usize, Plan) {
    let start = transform.start();
    let stride = (m.len().saturating_sub(start)).div_ceil(SAMPLE).max(1);
    let mut sample = [0i64; ROOM];
    let mut len = 0;
    for (into, i) in sample.iter_mut().zip((start..m.len()).step_by(stride)) {
        *into = transform.residual(m, i, slope);
        len += 1;
    }
    let sample = &mut sample[..len];
    if sample.is_empty() {
        return (0, Plan { transform, slope, centre: 0, spread: 0 });
    }
    let (_, &mut centre, _) = sample.select_nth_unstable(len / 2);
    let mut distances = [0u64; ROOM];
    for (distance, residual) in distances.iter_mut().zip(&*sample) {
        *distance = varint::zigzag(residual.wrapping_sub(centre));
    }
    let distances = &mut distances[..len];
    let (_, bytes) = width(distances);
    let (_, &mut spread, _) = distances.select_nth_unstable(len * 3 / 4);
    (bytes, Plan { transform, slope, centre, spread })
}

/// The smallest residual that is not far below the others: one reset of a counter should become an exception, not a
/// base that widens all other residuals.
pub fn base(residuals: &[i64], centre: i64, spread: u64) -> i64 {
    let reach = spread.saturating_mul(16).saturating_add(16);
    let floor = centre.saturating_sub_unsigned(reach);
    residuals.iter().copied().filter(|&residual| residual >= floor).min().unwrap_or(centre)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisors() {
        assert_eq!(common_divisor(&[0, 0, 0]), 1);
        assert_eq!(common_divisor(&[0, 12, -18, 6]), 6);
        assert_eq!(common_divisor(&[0, 12, 7]), 1);
        assert_eq!(common_divisor(&[0, i64::MIN]), 1);
        assert_eq!(common_divisor(&[0, i64::MIN, 1 << 62]), 1 << 62);
    }

    #[test]
    fn a_stray_below_does_not_become_the_base() {
        let mut residuals = vec![100, 101, 102, 99, 100];
        residuals.push(-1_000_000);
        assert_eq!(base(&residuals, 100, 1), 99);
        assert_eq!(base(&[], 5, 0), 5);
        assert_eq!(base(&[i64::MIN, i64::MAX], i64::MIN, u64::MAX), i64::MIN);
    }
}
