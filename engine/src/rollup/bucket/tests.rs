//! Merging and rounding.

use proptest::prelude::*;

use super::*;

#[test]
fn gaps_are_rounded_outward() {
    assert_eq!(Gaps::of(15, 15), Gaps { min: 15, max: 15, regular: true });
    assert_eq!(Gaps::of(10, 63), Gaps { min: 10, max: 63, regular: false });
    assert_eq!(Gaps::of(65, 127), Gaps { min: 64, max: 128, regular: false });
    assert_eq!(Gaps::of(1, i64::MAX - 1).max, i64::MAX);
    let mut gaps = Gaps::NONE;
    assert!(gaps.is_none());
    [1001, 1001].iter().for_each(|&gap| gaps.add(gap));
    assert_eq!(gaps, Gaps { min: 1001, max: 1001, regular: true });
    gaps.add(5);
    assert_eq!(gaps, Gaps { min: 5, max: 1008, regular: false });
}

#[test]
fn steps_are_rounded_up() {
    assert_eq!([step_between(5.0, 5.0), step_between(1.0, f64::NAN)], [0.0, 0.0]);
    assert_eq!([step_between(0.0, 7.0), step_between(9.0, 1.0)], [7.0, 8.0]);
    assert_eq!(step_between(0.0, 8.5), 9.0);
    assert_eq!(step_between(0.0, f64::INFINITY), f64::INFINITY);
    assert_eq!(step_between(f64::MAX, -f64::MAX), f64::INFINITY);
    // The difference is 1 and a little, which rounds to 1.
    assert_eq!(step_between(-1e-30, 1.0), 1.125);
    assert_eq!(step_between(1e-30, 1.0), 1.0);
}

#[test]
fn of_equal_zeros_the_first_counts() {
    let with = |value: f64| Bucket { count: 1, min: value, max: value, ..Bucket::empty(0) };
    let mut bucket = with(-0.0);
    bucket.merge(&with(0.0));
    assert!(bucket.min.is_sign_negative() && bucket.max.is_sign_negative());
}

#[test]
fn a_distribution_that_one_part_lacks_is_lost() {
    let with = |sketch| Bucket { count: 1, sketch, ..Bucket::empty(0) };
    let sketch = || Some(Sketch::of(&[1.0]));
    for (a, b, is_kept) in [(sketch(), sketch(), true), (None, sketch(), false), (sketch(), None, false)] {
        let mut bucket = with(a);
        bucket.merge(&with(b));
        assert_eq!(bucket.sketch.is_some(), is_kept);
    }
    let mut bucket = Bucket::empty(0);
    bucket.merge(&with(sketch()));
    bucket.merge(&Bucket::empty(9));
    assert_eq!((bucket.sketch.is_some(), bucket.end), (true, 9));
}

proptest! {
    #[test]
    fn rounding_goes_outward_by_little(min in 1i64.., more in 0i64.., a in any::<f64>(), b in any::<f64>()) {
        let max = min.saturating_add(more);
        let gaps = Gaps::of(min, max);
        prop_assert!(gaps.min <= min && gaps.max >= max);
        prop_assert!(min - gaps.min <= min / 32 && gaps.max - max <= max / 32);
        if !gaps.regular {
            prop_assert_eq!(Gaps::outward(gaps.min, gaps.max), gaps);
        }
        let (step, difference) = (step_between(a, b), (b - a).abs());
        prop_assert!(step >= difference && (step <= difference * 1.126 || difference < 1e-300));
        prop_assert!(step == 0.0 || step_above(step, false) == step);
    }
}
