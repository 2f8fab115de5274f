//! What a pair of neighbouring samples says: whether a counter was reset between them, and whether the value changed.
//!
//! This is the only definition of a reset. A bucket applies it to the pairs of samples inside it. Merging two buckets applies
//! it to the last sample of the earlier and the first of the later one.

use super::edge::Edge;

/// Whether a counter was reset between two neighbouring samples: the value dropped, or the later one's start timestamp
/// shows it.
#[inline]
pub fn is_reset(before: &Edge, after: &Edge) -> bool {
    after.value < before.value || is_start_reset((after.start, after.time), (before.start, before.time))
}

/// Whether the start timestamp of a sample shows that the counter was reset since the previous sample. Arguments are
/// start and time of a sample, and those of the one before it.
///
/// A start equal to the time of the previous sample is a reset only if it is new, because the previous sample may itself
/// be at the start.
#[inline]
pub fn is_start_reset((start, time): (i64, i64), (start_before, time_before): (i64, i64)) -> bool {
    let began_since = start > time_before || (start == time_before && start != start_before);
    start != 0 && began_since && start < time
}

/// Whether a start timestamp contradicts the previous sample: it is before that sample, but new.
#[inline]
pub fn is_start_overlap(start: i64, start_before: i64, time_before: i64) -> bool {
    start != 0 && start < time_before && start != start_before
}

/// Whether two neighbouring values differ; from NaN to NaN is no change.
#[inline]
pub fn is_change(before: f64, after: f64) -> bool {
    before != after && !(before.is_nan() && after.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(time: i64, value: f64, start: i64) -> Edge {
        Edge { time, value, start }
    }

    #[test]
    fn a_drop_is_a_reset() {
        assert!(is_reset(&edge(10, 5.0, 0), &edge(20, 4.0, 0)));
        assert!(!is_reset(&edge(10, 5.0, 0), &edge(20, 5.0, 0)));
        assert!(!is_reset(&edge(10, f64::NAN, 0), &edge(20, 1.0, 0)));
        assert!(!is_reset(&edge(10, 0.0, 0), &edge(20, -0.0, 0)));
    }

    #[test]
    fn a_start_since_the_previous_sample_is_a_reset() {
        let before = edge(10, 5.0, 3);
        assert!(is_reset(&before, &edge(20, 9.0, 11)));
        assert!(is_reset(&before, &edge(20, 9.0, 10)), "new, at the previous sample");
        assert!(!is_reset(&before, &edge(20, 9.0, 3)), "the same start");
        assert!(!is_reset(&before, &edge(20, 9.0, 0)), "unknown");
        assert!(!is_reset(&before, &edge(20, 9.0, 20)), "at the sample itself");
        assert!(!is_reset(&edge(10, 0.0, 10), &edge(20, 9.0, 10)), "the previous sample is at the start");
    }

    #[test]
    fn a_new_start_before_the_previous_sample_overlaps() {
        assert!(is_start_overlap(5, 3, 10));
        assert!(!is_start_overlap(3, 3, 10) && !is_start_overlap(0, 3, 10) && !is_start_overlap(10, 3, 10));
    }

    #[test]
    fn nan_to_nan_is_no_change() {
        let nan = f64::from_bits(0x7ff8_0000_0000_0001);
        assert!(!is_change(f64::NAN, nan) && !is_change(0.0, -0.0) && !is_change(1.5, 1.5));
        assert!(is_change(f64::NAN, 1.0) && is_change(1.0, f64::NAN) && is_change(1.0, 2.0));
    }
}
