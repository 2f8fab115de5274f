//! Tests of the forecasts: trends, seasons, gaps, constants and refusals.

use super::*;
use crate::Stop;

fn noise(i: u32) -> f64 {
    let mut bits = u64::from(i).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

/// Days of 48 steps, quieter at weekends.
fn metric(i: u32) -> f64 {
    let week = if (i / 48) % 7 >= 5 { 0.5 } else { 1.0 };
    100.0 + 30.0 * week * (f64::from(i % 48) / 48.0 * std::f64::consts::TAU).sin() + 4.0 * noise(i)
}

fn run(values: &[f64], method: Method, seasons: &[usize], horizon: usize) -> Forecast {
    forecast(values, &Options { method, seasons, horizon, level: 0.95 }, &mut || Ok(())).unwrap()
}

#[test]
fn a_metric_with_a_day_and_a_week_is_continued() {
    let values: Vec<f64> = (0..48 * 28).map(metric).collect();
    let got = run(&values, Method::Auto, &[48, 336], 96);
    let truth: Vec<f64> = (48 * 28..48 * 30).map(metric).collect();
    let inside = (0..96).filter(|&h| (got.lower[h]..=got.upper[h]).contains(&truth[h])).count();
    let error = (0..96).map(|h| (got.point[h] - truth[h]).abs()).sum::<f64>() / 96.0;
    assert!(error < 2.0, "{error}");
    assert!((86..=96).contains(&inside), "{inside} of 96");
    let width = got.upper[10] - got.lower[10];
    assert!(width < 15.0, "{width}");
}

#[test]
fn a_trend_below_a_season_is_followed() {
    let rising = |i: u32| metric(i) + 0.05 * f64::from(i);
    let values: Vec<f64> = (0..48 * 7 * 9).map(rising).collect();
    let got = run(&values, Method::Auto, &[48, 336], 48);
    let error = (0..48).map(|h| (got.point[h] - rising(48 * 7 * 9 + h as u32)).abs()).sum::<f64>() / 48.0;
    assert!(error < 4.0, "{error}");
}

#[test]
fn gaps_do_not_hinder() {
    let mut values: Vec<f64> = (0..48 * 28).map(metric).collect();
    values[500..620].fill(f64::NAN);
    let got = run(&values, Method::Auto, &[48, 336], 48);
    assert!((0..48).all(|h| (got.point[h] - metric(48 * 28 + h as u32)).abs() < 12.0));
}

#[test]
fn every_method_continues_a_constant() {
    for (name, method) in Method::ALL {
        let got = run(&[7.0; 60], method, &[12], 20);
        assert!(got.point.iter().all(|v| (v - 7.0).abs() < 1e-6), "{name}: {got:?}");
        assert!(got.upper.iter().zip(&got.lower).all(|(a, b)| a - b < 1e-6), "{name}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let options = Options { method: Method::SeasonalNaive, seasons: &[], horizon: 5, level: 0.95 };
    let mut go = || Ok(());
    assert_eq!(forecast(&[1.0; 20], &options, &mut go), Err(Unfit::NoSeason.into()));
    assert_eq!(forecast(&[1.0; 7], &options, &mut go), Err(Unfit::TooShort { has: 7, needs: 8 }.into()));
    let options = Options { seasons: &[30], ..options };
    let short = Unfit::TooFewCycles { has: 20, period: 30, cycles: 1 };
    assert_eq!(forecast(&[1.0; 20], &options, &mut go), Err(short.into()));
    let values: Vec<f64> = (0..9000).map(metric).collect();
    let options = Options { method: Method::Auto, seasons: &[48, 336], ..options };
    assert_eq!(forecast(&values, &options, &mut || Err(Stop)), Err(Error::Stopped));
    let huge: Vec<f64> = (0..40).map(|i| if i % 2 == 0 { 1e308 } else { -1e308 }).collect();
    let got = forecast(&huge, &Options { method: Method::Linear, ..options }, &mut go);
    assert!(got.is_err() || got.is_ok_and(|got| got.point.iter().all(|v| v.is_finite())));
}

#[test]
fn a_range_of_logarithms_is_above_zero_and_wider_above() {
    let value = |i: u32| (1.0 + f64::from(i) / 500.0) * (metric(i) - 60.0) * (1.0 + 0.2 * noise(i));
    let values: Vec<f64> = (0..48 * 28).map(value).collect();
    let got = run(&values, Method::Auto, &[48, 336], 96);
    assert!(got.lower.iter().all(|lower| *lower > 0.0));
    let above = |h: usize| got.upper[h] - got.point[h] > got.point[h] - got.lower[h];
    assert!((0..96).all(above), "{got:?}");
    let error = |h: u32| (got.point[h as usize] / value(48 * 28 + h) - 1.0).abs();
    let mean = (0..96).map(error).sum::<f64>() / 96.0;
    assert!(mean < 0.15, "{mean}");
}
