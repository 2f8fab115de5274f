//! Rules of a cut that `tests/promql/trim.test` cannot test, and properties of all cuts.

use barograph_engine::model::Span;
use proptest::prelude::*;

use super::*;

fn custom(bounds: &[f64], counts: &[f64]) -> Histogram {
    Histogram {
        schema: Histogram::CUSTOM,
        count: counts.iter().sum(),
        sum: 1.0,
        custom_values: bounds.to_vec(),
        positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
        positive_buckets: counts.to_vec(),
        ..Histogram::default()
    }
}

fn exponential(zero_count: f64, positive: &[(i32, f64)], negative: &[(i32, f64)]) -> Histogram {
    let all = positive.iter().chain(negative).map(|b| b.1);
    let count = zero_count + all.sum::<f64>();
    let mut h = Histogram { zero_threshold: 0.5, zero_count, count, sum: 1.0, ..Histogram::default() };
    set_buckets(&mut h, &positive.to_vec(), &negative.to_vec());
    h
}

#[test]
fn a_cut_of_nan_leaves_no_bucket_and_an_unknown_zero_bucket() {
    for cut in [below, above] {
        let plain = cut(&exponential(0.0, &[(2, 3.0)], &[(2, 3.0)]), f64::NAN);
        assert_eq!((plain.count, plain.sum, plain.positive_buckets.len()), (0.0, 0.0, 0));
        let zero = cut(&exponential(4.0, &[(2, 3.0)], &[(2, 3.0)]), f64::NAN);
        assert!(zero.count.is_nan() && zero.zero_count.is_nan() && zero.sum.is_nan());
    }
}

#[test]
fn a_bucket_of_infinities_is_like_any_that_is_open() {
    // One of 3 that ends at the largest float, and one of 2 above it.
    let h = exponential(0.0, &[(1024, 3.0), (1025, 2.0)], &[]);
    let kept = below(&h, f64::MAX);
    assert_eq!((kept.count, positive(&kept)), (3.0, vec![(1024, 3.0)]));
    assert_eq!(above(&h, f64::MAX).count, 2.0);
    assert_eq!(below(&h, f64::INFINITY), h);
    let mirrored = exponential(0.0, &[], &[(1024, 3.0), (1025, 2.0)]);
    assert_eq!(below(&mirrored, -f64::MAX).count, 2.0);
    assert_eq!(above(&mirrored, -f64::MAX).count, 3.0);
}

#[test]
fn a_zero_bucket_beside_one_sign_has_that_sign() {
    let h = exponential(4.0, &[(2, 1.0)], &[]);
    assert_eq!(below(&h, 0.0).zero_count, 0.0, "it begins at 0");
    assert_eq!(below(&h, 0.25).zero_count, 2.0);
    assert_eq!(above(&exponential(4.0, &[], &[(2, 1.0)]), 0.0).zero_count, 0.0, "it ends at 0");
    assert_eq!(below(&exponential(4.0, &[], &[]), 0.25).zero_count, 3.0);
}

proptest! {
    /// If the cut is not in an infinite bucket, the two halves add up to the whole.
    #[test]
    fn what_is_below_and_what_is_above_are_all(
        counts in proptest::collection::vec(0u32..50, 4),
        cut in -1.0f64..11.0,
    ) {
        let counts: Vec<f64> = counts.into_iter().map(f64::from).collect();
        let h = custom(&[-1.0, 3.0, 7.0, 11.0], &counts);
        let halves = below(&h, cut).count + above(&h, cut).count;
        prop_assert!((halves - h.count).abs() < 1e-9, "{} of {}", halves, h.count);
    }

    #[test]
    fn a_trim_keeps_no_more_than_there_was(
        bounds in proptest::collection::btree_set(-9i32..9, 0..4),
        counts in proptest::collection::vec(0u32..50, 5),
        cut in prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), -12.0f64..12.0],
    ) {
        let bounds: Vec<f64> = bounds.into_iter().map(f64::from).collect();
        let counts: Vec<f64> = counts.into_iter().take(bounds.len() + 1).map(f64::from).collect();
        let h = custom(&bounds, &counts);
        for kept in [below(&h, cut), above(&h, cut)] {
            prop_assert!(kept.count <= h.count);
            let left = positive(&kept);
            for (i, count) in positive(&h) {
                let now = left.iter().find(|b| b.0 == i).map_or(0.0, |b| b.1);
                prop_assert!((0.0..=count).contains(&now));
            }
        }
    }
}
