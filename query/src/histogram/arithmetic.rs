//! Sums and differences of histograms with what they notice, and multiples.

pub(crate) use barograph_engine::model::histogram::algebra::arithmetic::{
    at_schema, coarser, common_bounds, equal, plus, rebound, with_zero, zero_like,
};
use barograph_engine::model::{Histogram, ResetHint};

use super::set_buckets;
use crate::annotations::flags::Flags;

/// `a + b`; `None` if only one has explicit bounds.
pub(crate) fn sum(a: &Histogram, b: &Histogram, flags: &mut Flags) -> Option<Histogram> {
    let (mut h, reconciled) = plus(a, b, 1.0)?;
    let (hint, conflict) = joint_hint(a.reset_hint, b.reset_hint);
    h.reset_hint = hint;
    if reconciled {
        flags.raise(Flags::RECONCILED_ADD);
    }
    if conflict {
        flags.raise(Flags::RESET_CONFLICT_ADD);
    }
    Some(h)
}

/// `a - b`, as a gauge; `None` if only one has explicit bounds.
pub(crate) fn difference(a: &Histogram, b: &Histogram, flags: &mut Flags) -> Option<Histogram> {
    let (mut h, reconciled) = plus(a, b, -1.0)?;
    if reconciled {
        flags.raise(Flags::RECONCILED_SUB);
    }
    if joint_hint(a.reset_hint, b.reset_hint).1 {
        flags.raise(Flags::RESET_CONFLICT_SUB);
    }
    h.reset_hint = ResetHint::Gauge;
    Some(h)
}

/// The reset hint of a sum, and whether the two hints contradict each other.
pub(crate) fn joint_hint(a: ResetHint, b: ResetHint) -> (ResetHint, bool) {
    match (a, b) {
        _ if a == b => (a, false),
        (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => (ResetHint::Gauge, false),
        (ResetHint::Unknown, _) | (_, ResetHint::Unknown) => (ResetHint::Unknown, false),
        _ => (ResetHint::Unknown, true),
    }
}

/// Multiplies every count and the sum. A negative factor makes the result a gauge.
pub(crate) fn scaled(h: &Histogram, factor: f64) -> Histogram {
    map(h, factor < 0.0, |v| v * factor)
}

/// Divides every count and the sum. Division by zero leaves no buckets.
pub(crate) fn divided(h: &Histogram, by: f64) -> Histogram {
    let mut h = map(h, by < 0.0, |v| v / by);
    if by == 0.0 {
        set_buckets(&mut h, &Vec::new(), &Vec::new());
    }
    h
}

fn map(h: &Histogram, to_gauge: bool, f: impl Fn(f64) -> f64) -> Histogram {
    let mut h = h.clone();
    h.zero_count = f(h.zero_count);
    h.count = f(h.count);
    h.sum = f(h.sum);
    h.positive_buckets.iter_mut().chain(&mut h.negative_buckets).for_each(|v| *v = f(*v));
    if to_gauge {
        h.reset_hint = ResetHint::Gauge;
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::positive;
    use barograph_engine::model::Span;

    fn exponential(schema: i32, buckets: &[(i32, f64)]) -> Histogram {
        let mut h = Histogram { schema, count: buckets.iter().map(|b| b.1).sum(), ..Histogram::default() };
        set_buckets(&mut h, &buckets.to_vec(), &Vec::new());
        h
    }

    #[test]
    fn the_lower_resolution_wins() {
        let a = exponential(1, &[(1, 1.0), (2, 2.0), (3, 4.0)]);
        let b = exponential(0, &[(1, 10.0)]);
        let h = sum(&a, &b, &mut Flags::default()).unwrap();
        assert_eq!((h.schema, positive(&h)), (0, vec![(1, 13.0), (2, 4.0)]));
    }

    #[test]
    fn a_wider_zero_bucket_takes_what_it_touches() {
        let a = exponential(0, &[(0, 1.0), (1, 2.0), (3, 4.0)]);
        let b = Histogram { zero_threshold: 1.5, zero_count: 5.0, count: 5.0, ..Histogram::default() };
        let h = sum(&a, &b, &mut Flags::default()).unwrap();
        assert_eq!((h.zero_threshold, h.zero_count), (2.0, 8.0));
        assert_eq!(positive(&h), vec![(3, 4.0)]);
    }

    #[test]
    fn explicit_bounds_meet_in_those_that_both_have() {
        let custom = |bounds: &[f64], counts: &[f64]| Histogram {
            schema: Histogram::CUSTOM,
            custom_values: bounds.to_vec(),
            positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
            positive_buckets: counts.to_vec(),
            ..Histogram::default()
        };
        let a = custom(&[1.0, 2.0, 5.0], &[1.0, 1.0, 1.0, 1.0]);
        let b = custom(&[2.0, 3.0, 5.0], &[10.0, 10.0, 10.0, 10.0]);
        let mut flags = Flags::default();
        let h = sum(&a, &b, &mut flags).unwrap();
        assert!(flags.has(Flags::RECONCILED_ADD));
        assert_eq!(h.custom_values, [2.0, 5.0]);
        assert_eq!(positive(&h), vec![(0, 12.0), (1, 21.0), (2, 11.0)]);
        assert!(sum(&a, &exponential(0, &[]), &mut flags).is_none());
    }
    #[test]
    fn counts_of_nan_are_equal_in_the_same_place() {
        let a = exponential(0, &[(1, f64::NAN), (2, 3.0)]);
        assert!(equal(&a, &a.clone()));
        assert!(!equal(&a, &exponential(0, &[(1, f64::NAN), (2, 4.0)])));
        assert!(!equal(&a, &exponential(0, &[(1, f64::NAN), (3, 3.0)])));
        assert!(!equal(&a, &exponential(0, &[(1, 3.0), (2, f64::NAN)])));
    }
}
