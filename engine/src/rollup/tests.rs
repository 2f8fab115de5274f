//! Buckets against their definition, and against each other: from samples, from finer buckets, across any borders.

use proptest::prelude::*;

use super::bucket::step_between;
use super::test_data::{
    COARSE, Fixed, Series, WIDTH, built, built_in_chunks, differences, m2_agrees, series,
};
use super::*;
use crate::model::is_stale;

/// The bucket of all `series`, column by column as its documentation says.
fn by_definition(series: &[(i64, f64, i64)], end: i64) -> Bucket {
    let samples: Vec<Edge> = series
        .iter()
        .filter(|sample| !is_stale(sample.1))
        .map(|&(time, value, start)| Edge { time, value, start })
        .collect();
    let pairs: Vec<(Edge, Edge)> = samples.windows(2).map(|pair| (pair[0], pair[1])).collect();
    let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
    let numbers: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    let reset = |pair: &&(Edge, Edge)| counter::is_reset(&pair.0, &pair.1);
    let resets: Vec<f64> = pairs.iter().filter(reset).map(|pair| pair.0.value).collect();
    let gaps: Vec<i64> = pairs.iter().map(|(a, b)| b.time - a.time).collect();
    let overlaps = |(a, b): &(Edge, Edge)| counter::is_start_overlap(b.start, a.start, a.time);
    let sum_of = |values: &[f64]| {
        let mut sum = ExactSum::default();
        sum.extend(values);
        sum.normalize();
        sum
    };
    let better = |a: f64, b: f64, is_better: bool| if is_better || a.is_nan() { b } else { a };
    Bucket {
        count: samples.len() as u64,
        first: samples.first().copied().unwrap_or_default(),
        last: samples.last().copied().unwrap_or_default(),
        nans: (values.len() - numbers.len()) as u64,
        markers: (series.len() - samples.len()) as u64,
        ended: series.last().is_some_and(|sample| is_stale(sample.1)),
        overlap: pairs.iter().any(overlaps),
        lost: sum_of(&resets),
        resets: resets.len() as u64,
        changes: pairs.iter().filter(|(a, b)| counter::is_change(a.value, b.value)).count() as u64,
        sum: sum_of(&values),
        min: numbers.iter().fold(f64::NAN, |min, &value| better(min, value, value < min)),
        max: numbers.iter().fold(f64::NAN, |max, &value| better(max, value, value > max)),
        gaps: match (gaps.iter().min(), gaps.iter().max()) {
            (Some(&min), Some(&max)) => Gaps::of(min, max),
            _ => Gaps::NONE,
        },
        step: pairs.iter().map(|(a, b)| step_between(a.value, b.value)).fold(0.0, f64::max),
        sketch: (!samples.is_empty()).then(|| Sketch::of(&values)),
        ..Bucket::empty(end)
    }
}

/// All buckets of a series, each from the samples in its span.
fn all_by_definition(series: &Series, width: i64) -> Vec<Bucket> {
    series
        .chunk_by(|a, b| builder::end_of(a.0, width) == builder::end_of(b.0, width))
        .map(|part| by_definition(part, builder::end_of(part[0].0, width)))
        .collect()
}

fn merged(buckets: &[Bucket]) -> Bucket {
    let mut whole = buckets[0].clone();
    buckets[1..].iter().for_each(|bucket| whole.merge(bucket));
    whole
}

/// Compares everything but `m2` by bits, and that within 2^-50.
fn assert_same(found: &Bucket, expected: &Bucket) -> Result<(), TestCaseError> {
    let different: Vec<_> = differences(found, expected).into_iter().filter(|&name| name != "m2").collect();
    prop_assert!(different.is_empty(), "{different:?}\n{found:?}\n{expected:?}");
    prop_assert!(m2_agrees(found.m2, expected.m2), "m2: {} and {}", found.m2, expected.m2);
    Ok(())
}

/// The columns that are asked for, from a builder of them alone and from one of all.
fn assert_built_alone(series: &Series, width: i64, columns: Columns) -> Result<(), TestCaseError> {
    let mut buckets = Vec::new();
    let mut builder = Builder::of(width, columns);
    for &(time, value, start) in series {
        builder.push(time, value, start, &mut buckets);
    }
    builder.finish(&mut buckets);
    let of = |buckets: &[Bucket]| {
        let mut all = BucketColumns::new(columns);
        buckets.iter().for_each(|bucket| all.push(bucket));
        all.buckets().collect::<Vec<_>>()
    };
    let (found, expected) = (of(&buckets), of(&built(series, width)));
    prop_assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        let different = differences(found, expected);
        prop_assert!(different.is_empty(), "{columns:?}: {different:?}");
    }
    Ok(())
}

#[test]
fn long_buckets_of_some_columns() {
    let series: Series =
        (0..5000i64).map(|i| (i + 1, ((i * i % 977) as f64).sqrt() - 9.0, i / 900)).collect();
    for columns in (0..12).map(|bit| Columns::from_bits(1 << bit)) {
        assert_built_alone(&series, 10_000, columns).unwrap();
    }
}

#[test]
fn sums_that_cancel_across_borders() {
    let values = [1e200, 1e100, 1.0, -1e200, -1e100];
    let series: Series = values.iter().enumerate().map(|(i, &v)| (20 * (i as i64 + 1), v, 0)).collect();
    assert_eq!(merged(&built(&series, WIDTH)).sum.value(), 1.0);
}

#[test]
fn long_buckets_do_not_depend_on_chunks() {
    let series: Series = (0..5000i64).map(|i| (i + 1, ((i * i % 977) as f64).sqrt(), 0)).collect();
    let whole = built(&series, 10_000);
    for cuts in [&[1usize, 2, 3][..], &[1024], &[1023, 2049], &[4999]] {
        let parts = built_in_chunks(&series, 10_000, cuts);
        assert_eq!(parts.len(), 1);
        assert!(differences(&parts[0], &whole[0]).is_empty(), "{:?}", differences(&parts[0], &whole[0]));
    }
    let values: Vec<f64> = series.iter().map(|sample| sample.1).collect();
    assert!(m2_agrees(whole[0].m2, spread::of(&values, &whole[0].sum)));
    assert_eq!(whole[0].sum.value(), Fixed::of(&values).rounded());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn buckets_are_what_their_documentation_says(series in series(150)) {
        let (found, expected) = (built(&series, WIDTH), all_by_definition(&series, WIDTH));
        prop_assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_same(found, &Bucket { m2: found.m2, ..expected.clone() })?;
        }
    }

    #[test]
    fn coarse_buckets_from_fine_ones_have_the_bits_of_those_from_samples(series in series(300)) {
        let fine = built(&series, WIDTH);
        let mut found = Vec::new();
        let mut fold = Fold::new(WIDTH * COARSE);
        fine.into_iter().for_each(|bucket| fold.push(bucket, &mut found));
        fold.finish(&mut found);
        let expected = built(&series, WIDTH * COARSE);
        prop_assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_same(found, expected)?;
            prop_assert_eq!(found.m2_rest.to_bits(), 0);
        }
    }

    #[test]
    fn columns_are_built_alone(series in series(150), which in 0u16..1 << 12) {
        assert_built_alone(&series, WIDTH, Columns::from_bits(which))?;
    }

    #[test]
    fn borders_do_not_matter(
        series in series(120), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(series.len())).collect();
        cuts.extend([0, series.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let wide = 1 << 40;
        let parts: Vec<Bucket> = cuts
            .windows(2)
            .map(|pair| Bucket { end: wide, ..merged(&built(&series[pair[0]..pair[1]], wide)) })
            .collect();
        let whole = merged(&built(&series, wide));
        assert_same(&merged(&parts), &Bucket { end: wide, ..whole.clone() })?;
        // The later ones first.
        let (first, last) = parts.split_first().expect("at least one");
        if !last.is_empty() {
            assert_same(&merged(&[first.clone(), merged(last)]), &Bucket { end: wide, ..whole })?;
        }
    }

    #[test]
    fn chunks_do_not_matter(
        series in series(200), mut cuts in prop::collection::vec(0usize..200, 0..6), coarse in 1i64..4,
    ) {
        cuts.sort_unstable();
        let (found, expected) =
            (built_in_chunks(&series, WIDTH * coarse, &cuts), built(&series, WIDTH * coarse));
        prop_assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert!(differences(found, expected).is_empty(), "{:?}", differences(found, expected));
        }
    }
}
