//! Exact sums against long integers.

use proptest::prelude::*;

use super::*;
use crate::rollup::test_data::Fixed;

fn sum(values: &[f64]) -> ExactSum {
    let mut sum = ExactSum::default();
    sum.extend(values);
    sum.normalize();
    sum
}

/// Floats of similar and of very different magnitudes, of both signs, many of which cancel.
fn terms() -> impl Strategy<Value = Vec<f64>> {
    let finite =
        (any::<bool>(), 0u64..(700 + 1023), any::<u64>()).prop_map(|(negative, exponent, mantissa)| {
            f64::from_bits(u64::from(negative) << 63 | exponent << 52 | mantissa >> 12)
        });
    let near = (any::<bool>(), 1000u64..1100, any::<u64>(), 0u32..53).prop_map(
        |(negative, exponent, mantissa, keep)| {
            let mantissa = mantissa >> 12 & !((1u64 << keep) - 1);
            f64::from_bits(u64::from(negative) << 63 | exponent << 52 | mantissa)
        },
    );
    let plain = prop_oneof![
        (-1000i32..1000).prop_map(f64::from),
        (-100_000i32..100_000).prop_map(|k| f64::from(k) / 1000.0),
        prop::sample::select(&[0.0, -0.0, 1e200, -1e200, 1e100, 1.0, 5e-324, 9_007_199_254_740_993.0][..]),
    ];
    let some = prop::collection::vec(prop_oneof![finite, near, plain], 0..60);
    (some, any::<prop::sample::Index>(), any::<bool>()).prop_map(|(mut values, at, cancels)| {
        if cancels && !values.is_empty() {
            let at = at.index(values.len());
            let negated: Vec<f64> = values[at..].iter().map(|value| -value).collect();
            values.extend(negated);
        }
        values
    })
}

#[test]
fn what_a_pair_of_floats_loses() {
    let mut first = sum(&[1e200, 1e100, 1.0]);
    first.merge(&sum(&[-1e200, -1e100]));
    assert_eq!(first.value(), 1.0);
    assert!(first.same_bits(&sum(&[1.0])));
}

#[test]
fn ties_look_beyond_the_middle() {
    let (one, half) = (1.0, f64::EPSILON / 2.0);
    assert_eq!(sum(&[one, half]).value(), 1.0);
    assert_eq!(sum(&[one, half, 1e-300]).value(), 1.0 + f64::EPSILON);
    assert_eq!(sum(&[one, half, -1e-300]).value(), 1.0);
    assert_eq!(sum(&[one + f64::EPSILON, half, -1e-300]).value(), 1.0 + f64::EPSILON);
    assert_eq!(
        sum(&[one, half, 1e-300]).components().collect::<Vec<_>>(),
        [1.0 + f64::EPSILON, -half, 1e-300]
    );
}

#[test]
fn zero_is_positive() {
    for values in [&[][..], &[-0.0], &[-0.0, -0.0], &[1.0, -1.0], &[1e200, 1.0, -1.0, -1e200]] {
        assert_eq!(sum(values).value().to_bits(), 0);
        assert_eq!(sum(values).components().count(), 0);
    }
}

#[test]
fn what_is_not_finite_is_what_ieee_says() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    assert_eq!(sum(&[1.0, inf, 2.0]).value(), inf);
    assert_eq!(sum(&[-inf, 1e200, 1.0]).components().count(), 1);
    for values in [&[inf, -inf][..], &[nan, 1.0], &[1.0, -nan, inf], &[f64::from_bits(0xfff8_dead_beef_0001)]]
    {
        assert_eq!(sum(values).value().to_bits(), nan.to_bits());
    }
    let mut merged = sum(&[inf]);
    merged.merge(&sum(&[5.0]));
    assert_eq!(merged.value(), inf);
    merged.merge(&sum(&[-inf]));
    assert!(merged.value().is_nan() && !merged.is_exact());
}

#[test]
fn huge_sums_are_unknown() {
    let huge = 2f64.powi(700);
    for values in [&[huge][..], &[-f64::MAX, 1.0], &[f64::MAX, f64::MAX], &[huge, f64::INFINITY]] {
        assert!(sum(values).is_huge() && sum(values).value().is_nan());
        assert!(sum(values).same_bits(&ExactSum::huge()));
        let mut merged = sum(&[1.0]);
        merged.merge(&sum(values));
        assert!(merged.is_huge());
    }
    assert!(!sum(&[huge.next_down()]).is_huge() && !sum(&[f64::INFINITY]).is_huge());
}

#[test]
fn sums_of_values_that_are_not_huge_may_be_larger() {
    let largest = 2f64.powi(700).next_down();
    let mut merged = sum(&[largest; 50]);
    merged.merge(&sum(&[largest; 14]));
    assert_eq!(merged.value(), largest * 64.0);
    assert!(ExactSum::from_components(&merged.components().collect::<Vec<_>>()).same_bits(&merged));
}

proptest! {
    #[test]
    fn sums_are_correctly_rounded_in_any_order(values in terms(), cut in any::<prop::sample::Index>()) {
        let expected = Fixed::of(&values);
        let whole = sum(&values);
        prop_assert_eq!(whole.value().to_bits(), expected.rounded().to_bits());
        let components: Vec<f64> = whole.components().collect();
        prop_assert_eq!(Fixed::of(&components), expected);
        let backwards: Vec<f64> = values.iter().rev().copied().collect();
        prop_assert!(sum(&backwards).same_bits(&whole));
        prop_assert!(ExactSum::from_components(&components).same_bits(&whole));

        let (before, after) = values.split_at(cut.index(values.len() + 1));
        let mut merged = sum(before);
        merged.merge(&sum(after));
        prop_assert!(merged.same_bits(&whole));
        let mut raw = ExactSum::default();
        raw.extend(after);
        raw.extend(before);
        prop_assert_eq!(raw.value().to_bits(), whole.value().to_bits(), "not normalized");
    }

    #[test]
    fn each_component_is_the_rest_rounded(values in terms()) {
        let components: Vec<f64> = sum(&values).components().collect();
        for i in 0..components.len() {
            prop_assert_eq!(Fixed::of(&components[i..]).rounded(), components[i]);
        }
    }

    #[test]
    fn products_are_exact(value in any::<f64>(), count in 0u64..60) {
        prop_assume!(value.abs() < 1e210);
        let copies = vec![value; count as usize];
        prop_assert!(ExactSum::product(value, count).same_bits(&sum(&copies)));
    }
}
