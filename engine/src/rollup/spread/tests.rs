//! Squared distances against integers.

use proptest::prelude::*;

use super::*;
use crate::rollup::test_data::built;

fn spread(values: &[f64]) -> f64 {
    let mut sum = ExactSum::default();
    sum.extend(values);
    sum.normalize();
    of(values, &sum)
}

/// `n m2` of integers, which differ by less than 2^50.
fn exact(values: &[i64]) -> i128 {
    let from_first: Vec<i128> = values.iter().map(|value| i128::from(value - values[0])).collect();
    let (sum, squares) = from_first.iter().fold((0, 0), |(sum, squares), d| (sum + d, squares + d * d));
    squares * values.len() as i128 - sum * sum
}

/// The relative distance of `m2` from the exact value, in units of 2^-60.
fn error(m2: f64, values: &[i64]) -> f64 {
    let (found, n) = (m2 as i128, values.len() as i128);
    let whole = found * n - exact(values);
    let fraction = (m2 - found as f64) * n as f64;
    (whole as f64 + fraction).abs() / (exact(values) as f64).max(1.0) * 2f64.powi(60)
}

#[test]
fn a_mean_that_dwarfs_the_deviation() {
    let values: Vec<i64> = (0..360).map(|i| (1 << 52) + i * i % 7).collect();
    let floats: Vec<f64> = values.iter().map(|&value| value as f64).collect();
    let nearest = exact(&values) as f64 / 360.0;
    assert_eq!(spread(&floats), nearest);
}

#[test]
fn few_values() {
    assert_eq!(spread(&[]), 0.0);
    assert_eq!(spread(&[1e300]).to_bits(), f64::NAN.to_bits());
    assert_eq!(spread(&[5.5]), 0.0);
    assert_eq!(spread(&[1.0, 2.0]), 0.5);
    assert_eq!(spread(&[1.0, 2.0, 6.0]), 14.0);
}

#[test]
fn squares_that_overflow_are_infinite() {
    assert_eq!(spread(&[1e200, -1e200, 3.0, 1.0, 2.0]), f64::INFINITY);
    assert!(spread(&[1.0, f64::INFINITY]).is_nan() && spread(&[1.0, f64::NAN]).is_nan());
}

#[test]
fn the_error_does_not_grow_with_the_number_of_merges() {
    for offset in [0, 1 << 50] {
        let values: Vec<i64> = (0..6000).map(|i| offset + i * i * 7919 % 1_000_003).collect();
        let series: Vec<_> = (1..).zip(&values).map(|(time, &value)| (time, value as f64, 0)).collect();
        let buckets = built(&series, 2);
        let mut whole = buckets[0].clone();
        buckets[1..].iter().for_each(|bucket| whole.merge(bucket));
        assert_eq!(buckets.len(), 3000);
        // 2^10 of 2^-60 are 2^-50; nearly all of it remains.
        assert!(error(whole.m2, &values) < 300.0, "{} of 2^-60", error(whole.m2, &values));
    }
}

proptest! {
    #[test]
    fn the_spread_is_correctly_rounded(
        steps in prop::collection::vec(0i64..1 << 40, 1..300), offset in 0i64..1 << 53, shift in 0u32..40,
    ) {
        let values: Vec<i64> = steps.iter().map(|step| offset + (step >> shift)).collect();
        prop_assume!(values.iter().all(|value| *value as f64 as i64 == *value));
        let floats: Vec<f64> = values.iter().map(|&value| value as f64).collect();
        prop_assert!(error(spread(&floats), &values) <= 128.5, "{} of 2^-60", error(spread(&floats), &values));
    }
}

proptest! {
    #[test]
    fn moments_are_those_of_merged_buckets(
        values in prop::collection::vec((-1i64 << 40..1 << 40, 0u32..40), 1..200), exponent in 0i32..4,
    ) {
        let scaled = |(int, shift): &(i64, u32)| (int >> shift) as f64 / 10f64.powi(exponent);
        let series: Vec<_> = (1..).zip(&values).map(|(time, value)| (time, scaled(value), 0)).collect();
        let buckets = built(&series, 5);
        let mut columns = crate::rollup::BucketColumns::new(crate::rollup::Columns::SPREAD);
        buckets.iter().for_each(|bucket| columns.push(bucket));
        let runs = crate::rollup::Runs::of(std::borrow::Cow::Borrowed(&columns.sums), columns.len());
        let moments = |row: usize| Moments {
            count: columns.counts[row],
            sum: runs.whole(row..row + 1).unwrap(),
            m2: columns.squares[row],
            rest: 0.0,
        };
        let (mut whole, mut found) = (buckets[0].clone(), moments(0));
        for (row, bucket) in buckets.iter().enumerate().skip(1) {
            whole.merge(bucket);
            found.merge(&moments(row), |int| runs.scaled(int));
        }
        let bits = |m2: f64, rest: f64| (m2.to_bits(), rest.to_bits());
        prop_assert_eq!(bits(found.m2, found.rest), bits(whole.m2, whole.m2_rest));
    }
}

/// The products of such sums and counts do not fit into integers.
#[test]
fn sums_of_many_bits_merge_like_exact_ones() {
    let sums = [(3i128 << 122) + 12_345, (1i128 << 123) + 678];
    let counts = [17u64, 60];
    let exact_sums = sums.map(|sum| {
        let mut exact = ExactSum::default();
        [sum >> 64 << 64, sum & i128::from(u64::MAX)].iter().for_each(|part| exact.add(*part as f64));
        exact
    });
    let spread = |at: usize| Spread { count: counts[at], sum: &exact_sums[at], m2: 0.0, rest: 0.0 };
    let moments = |at: usize| Moments { count: counts[at], sum: sums[at], m2: 0.0, rest: 0.0 };
    let mut found = moments(0);
    found.merge(&moments(1), |int| int);
    assert_eq!((found.m2, found.rest), merged(&spread(0), &spread(1)));
}
