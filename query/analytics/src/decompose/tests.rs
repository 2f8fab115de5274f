//! Tests of the decomposition: parts that add up to the series, gaps, extreme values, refusals, stops and memory.

use super::*;
use crate::Stop;

fn options(seasons: &[usize]) -> Options<'_> {
    Options { seasons, robust: false, precision: Precision::Exact }
}

fn run(values: &[f64], options: &Options<'_>) -> Result<Decomposition, Error> {
    decompose(values, options, &mut || Ok(()))
}

/// A season of 48 steps on a slope.
fn clean(len: u32) -> Vec<f64> {
    let angle = |i: u32| f64::from(i % 48) / 48.0 * std::f64::consts::TAU;
    (0..len).map(|i| 10.0 + 0.01 * f64::from(i) + 3.0 * angle(i).sin()).collect()
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    assert_eq!(run(&[1.0; 9], &options(&[])), Err(Unfit::NoSeason.into()));
    assert_eq!(run(&[1.0; 9], &options(&[4, 1])), Err(Unfit::Period(1).into()));
    let short = Unfit::TooFewCycles { has: 9, period: 5, cycles: 2 };
    assert_eq!(run(&[1.0; 9], &options(&[5])), Err(short.into()));
    assert_eq!(run(&[f64::NAN; 9], &options(&[2])), Err(Unfit::Gaps { missing: 9, of: 9 }.into()));
}

#[test]
fn a_constant_series_has_no_season_and_no_residual() {
    for robust in [false, true] {
        let got = run(&[7.0; 50], &Options { robust, ..options(&[4, 12]) }).unwrap();
        assert!(got.residual.iter().chain(&got.seasons[1].1).all(|v| v.abs() < 1e-9), "{robust}");
        assert!(got.trend.iter().all(|v| (v - 7.0).abs() < 1e-9));
    }
}

#[test]
fn what_rounding_leaves_is_not_explained() {
    assert_eq!(strength(&[0.0; 5], &[0.0; 5], 0.0), 0.0);
    // A slope without a season.
    let values: Vec<f64> = (0..400).map(|i| 0.1 + 0.7 * f64::from(i)).collect();
    let got = run(&values, &options(&[48])).unwrap();
    assert!(got.residual.iter().any(|v| *v != 0.0));
    assert_eq!(strength(&got.seasons[0].1, &got.residual, 280.0), 0.0);
    assert!(strength(&got.trend, &got.residual, 280.0) > 0.999);
}

#[test]
fn gaps_stay_gaps_and_do_not_disturb_the_rest() {
    let whole = clean(480);
    let mut values = whole.clone();
    values[100] = f64::NAN;
    values[200..260].fill(f64::NAN);
    for robust in [false, true] {
        let got = run(&values, &Options { robust, ..options(&[48]) }).unwrap();
        for (i, value) in whole.iter().enumerate() {
            let sum = got.trend[i] + got.seasons[0].1[i];
            if values[i].is_nan() {
                assert!(sum.is_nan() && got.residual[i].is_nan(), "{i}");
            } else {
                assert!((sum - value).abs() < 0.2, "{robust}, {i}: {sum} {value}");
            }
        }
    }
}

#[test]
fn parts_sum_up_to_the_series() {
    let mut values = clean(400);
    values[77] += 50.0;
    for seasons in [&[48][..], &[24, 48]] {
        let got = run(&values, &options(seasons)).unwrap();
        for (i, value) in values.iter().enumerate() {
            let seasonal: f64 = got.seasons.iter().map(|(_, season)| season[i]).sum();
            assert!((got.trend[i] + seasonal + got.residual[i] - value).abs() < 1e-9);
        }
    }
    let robust = run(&values, &Options { robust: true, ..options(&[48]) }).unwrap();
    assert_eq!(robust.weights[77], 0.0);
    assert!(strength(&robust.seasons[0].1, &robust.residual, 70.0) < 0.9);
    let without: Vec<f64> =
        robust.residual.iter().enumerate().map(|(i, r)| if i == 77 { 0.0 } else { *r }).collect();
    assert!(strength(&robust.seasons[0].1, &without, 70.0) > 0.999);
}

#[test]
fn huge_values_are_scaled_or_refused() {
    let values: Vec<f64> = clean(200).iter().map(|v| v * 1e306).collect();
    let got = run(&values, &options(&[48])).unwrap();
    assert!(got.residual.iter().all(|v| v.abs() < 1e305));
}

#[test]
fn a_stop_is_obeyed_within_a_few_milliseconds_of_work() {
    let values = clean(60_000);
    let mut calls = 0;
    let mut stop = || {
        calls += 1;
        if calls < 3 { Ok(()) } else { Err(Stop) }
    };
    let got = decompose(&values, &Options { robust: true, ..options(&[48]) }, &mut stop);
    assert_eq!(got, Err(Error::Stopped));
    assert_eq!(calls, 3);
}

#[test]
fn memory_is_stated() {
    let base = bytes(8064, &options(&[288]));
    assert!((8064 * 8 * 8..8064 * 8 * 40 + (4 << 20)).contains(&base), "{base}");
}
