//! Tests of the scores: spikes, unusual values for their time, gaps, short series and stops.

use super::*;
use crate::Stop;

/// Noise from -0.5 to 0.5 that is the same in every run.
fn noise(i: u32) -> f64 {
    let mut bits = u64::from(i).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

fn daily(len: u32) -> Vec<f64> {
    (0..len)
        .map(|i| 50.0 + 20.0 * (f64::from(i % 288) / 288.0 * std::f64::consts::TAU).sin() + noise(i))
        .collect()
}

fn run(values: &[f64], method: Method, period: Option<usize>) -> Scores {
    score(values, method, period, &mut || Ok(())).unwrap()
}

#[test]
fn a_value_that_is_unusual_for_its_time_alone_is_found() {
    let mut values = daily(2880);
    // An ordinary value, at the time of the lowest.
    values[2880 - 72] = 70.0;
    let seasonal = run(&values, Method::Auto, Some(288));
    assert!(seasonal.scores[2880 - 72] > 2.0, "{}", seasonal.scores[2880 - 72]);
    let others = seasonal.scores[600..2880 - 72].iter().copied().fold(0.0, f64::max);
    assert!(others < 1.0, "{others}");
    let plain = run(&values, Method::Auto, None);
    assert!(plain.scores[2880 - 72] < 1.0);
    let seasonal = run(&values, Method::Esd, Some(288));
    assert!(seasonal.scores[2880 - 72] > 5.0, "{}", seasonal.scores[2880 - 72]);
    let (expected, scale) = (seasonal.expected[2880 - 72], seasonal.scale[2880 - 72]);
    assert!((expected - 30.0).abs() < 1.0 && scale < 1.0, "{expected} {scale}");
    assert!(run(&values, Method::Esd, None).scores[2880 - 72] < 1.0);
}

#[test]
fn values_as_far_as_many_before_them_are_no_outliers() {
    // One value in 25 is in a tail, each a little nearer than the one before.
    let tail = |i: u32| if i.is_multiple_of(25) { 60.0 - f64::from(i) / 60.0 } else { 0.0 };
    let values: Vec<f64> = (0..3000).map(|i| 10.0 + noise(i) + tail(i)).collect();
    let scores = run(&values, Method::Esd, None).scores;
    assert!(scores[1000..].iter().all(|score| *score < 1.0));
    assert!(run(&values, Method::Mad, None).scores[2975] > 5.0);
}

#[test]
fn a_forest_finds_what_is_only_unusual_together() {
    // Values from 0 to 100 that change slowly, and a jump from 70 to 30.
    let mut values: Vec<f64> =
        (0..2000).map(|i| 50.0 + 50.0 * (f64::from(i) / 200.0).sin() + noise(i)).collect();
    for value in &mut values[1800..] {
        *value = 100.0 - *value;
    }
    let scores = run(&values, Method::Iforest, None);
    assert!(scores.scores[1800] > 1.0, "{}", scores.scores[1800]);
    assert!(scores.scores[1300..1800].iter().all(|score| *score < 1.0));
    assert!(scores.expected.iter().all(|value| value.is_nan()));
}

#[test]
fn every_method_finds_a_spike_and_nothing_else() {
    let mut values: Vec<f64> = (0..1500).map(|i| 10.0 + noise(i)).collect();
    values[1200] = 40.0;
    for (name, method) in Method::ALL {
        let scores = run(&values, method, None).scores;
        let at = scores.iter().position(|&score| score >= 1.0);
        assert_eq!(at, Some(1200), "{name}: {:?}", at.map(|at| scores[at]));
        assert!(scores[1300..].iter().all(|score| *score < 1.0), "{name}");
    }
}

#[test]
fn values_whose_squares_are_too_large_have_scores() {
    let mut values: Vec<f64> = (0..1500).map(|i| 10.0 + noise(i)).collect();
    values[1200] = 1e300;
    for (name, method) in Method::ALL {
        let scores = run(&values, method, None).scores;
        let at = scores.iter().position(|&score| score >= 1.0);
        assert_eq!(at, Some(1200), "{name}: {:?}", at.map(|at| scores[at]));
        assert!(scores[1201..].iter().all(|score| !score.is_nan()), "{name}");
        let huge: Vec<f64> = (0..1500).map(|i| 1e308 + 1e307 * noise(i)).collect();
        let scores = run(&huge, method, None).scores;
        assert!(scores[500..].iter().all(|score| *score < 1.0), "{name}");
        let scores = run(&[1e308; 1500], method, None).scores;
        assert!(scores[500..].iter().all(|score| *score < 0.01), "{name}");
    }
}

#[test]
fn a_deviation_is_that_of_the_values_before() {
    let usual: Vec<f64> = (0..8000).map(noise).collect();
    let mut spike = usual.clone();
    spike[100] = 1e6;
    let shift: Vec<f64> = (0..).zip(&usual).map(|(i, v)| if i < 3000 { *v } else { v + 1e7 }).collect();
    for values in [usual, spike, shift] {
        let got = run(&values, Method::Zscore, None);
        for step in (100..values.len()).step_by(50) {
            let before = &values[step.saturating_sub(HISTORY)..step];
            let mean = before.iter().sum::<f64>() / before.len() as f64;
            let squares = before.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
            let (deviation, scale) = ((squares / before.len() as f64).sqrt(), got.scale[step]);
            assert!((scale - deviation).abs() < 1e-6 * deviation, "{step}: {scale} {deviation}");
        }
    }
}

#[test]
fn an_autoregression_of_too_few_values_is_refused() {
    let values = daily(800);
    for (period, needs) in [(None, 351), (Some(24), 351), (Some(288), 351)] {
        let got = score(&values[..needs - 1], Method::Ar, period, &mut || Ok(()));
        assert_eq!(got, Err(Unfit::TooShort { has: needs - 1, needs }.into()));
        let scores = run(&values[..needs], Method::Ar, period).scores;
        assert!(!scores[needs - 1].is_nan(), "{period:?}");
    }
    // The season is used as soon as that leaves scores.
    let of = |len: usize| run(&values[..len], Method::Ar, Some(288)).scores;
    let first = |scores: &[f64]| scores.iter().position(|score| !score.is_nan());
    assert_eq!([600, 601].map(|len| first(&of(len))), [Some(350), Some(600)]);
}

#[test]
fn a_score_depends_on_the_past_alone() {
    let values = daily(1200);
    for (name, method) in Method::ALL {
        let whole = run(&values, method, Some(288)).scores;
        let part = run(&values[..900], method, Some(288)).scores;
        let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        assert!(part.iter().zip(&whole).all(same), "{name}");
    }
}

#[test]
fn gaps_and_constant_values_are_not_unusual() {
    for (name, method) in Method::ALL {
        let scores = run(&[5.0; 700], method, Some(10)).scores;
        // A forest tells the places in the season apart.
        let most = if method == Method::Iforest { 0.5 } else { 1e-6 };
        assert!(scores.iter().all(|score| score.is_nan() || *score < most), "{name}");
        let mut values = daily(1000);
        values[600..640].fill(f64::NAN);
        let scores = run(&values, method, Some(288)).scores;
        assert!(scores[600..640].iter().all(|score| score.is_nan()), "{name}");
        assert!(scores[640..].iter().all(|score| *score < 1.5), "{name}");
    }
}

#[test]
fn the_expected_range_follows_the_season() {
    let got = run(&daily(2880), Method::Auto, Some(288));
    for i in 600..2880_u32 {
        let i = i as usize;
        let truth = 50.0 + 20.0 * ((i % 288) as f64 / 288.0 * std::f64::consts::TAU).sin();
        assert!((got.expected[i] - truth).abs() < 1.0, "{i}: {} {truth}", got.expected[i]);
        assert!(got.scale[i] > 0.1 && got.scale[i] < 1.0);
    }
}

#[test]
fn events_are_held_apart() {
    let scores = [0.0, 1.2, 1.5, f64::NAN, 2.0, 0.5, 1.0];
    assert_eq!(onsets(&scores, 1.0, 1), [1, 2, 4, 6]);
    assert_eq!(onsets(&scores, 1.0, 4), [1, 6]);
    assert_eq!(onsets(&scores, 1.3, 0), [2, 4]);
}

#[test]
fn short_series_and_stops_are_refused() {
    let mut go = || Ok(());
    let got = score(&[1.0; 149], Method::Auto, None, &mut go);
    assert_eq!(got, Err(Unfit::TooShort { has: 149, needs: 150 }.into()));
    let mut stop = || Err(Stop);
    assert_eq!(score(&daily(2000), Method::Auto, None, &mut stop), Err(Error::Stopped));
    assert!(bytes(1000, Method::Auto, Some(usize::MAX)) < 1 << 20);
}
