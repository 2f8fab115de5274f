//! Decompositions of published series, compared with those of statsmodels (`scripts/golden/decompose.py`).

use barograph_analytics::decompose::{Decomposition, Options, Precision, decompose};
use std::path::Path;

/// One column for each part, and the number of steps between its values.
struct Golden {
    every: usize,
    columns: Vec<Vec<f64>>,
}

fn golden(name: &str, periods: &[usize]) -> Golden {
    let periods: Vec<String> = periods.iter().map(usize::to_string).collect();
    let path = format!("{}/tests/golden/{name}.{}.txt", env!("CARGO_MANIFEST_DIR"), periods.join("_"));
    let text = std::fs::read_to_string(Path::new(&path)).expect("the golden file is in the repository");
    let mut lines = text.lines();
    let every = lines.next().and_then(|line| line.strip_prefix("every ")?.parse().ok()).expect("a distance");
    let rows: Vec<Vec<f64>> =
        lines.map(|line| line.split(' ').map(|word| word.parse().expect("a number")).collect()).collect();
    let columns = (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column]).collect()).collect();
    Golden { every, columns }
}

/// The series that the script generates, too.
fn made() -> Vec<f64> {
    let value = |i: u64| {
        let noise = ((i * 2_654_435_761) % 4_294_967_296) as f64 / 4_294_967_296.0 - 0.5;
        let saw = ((i % 288) as f64 / 288.0 - 0.5).abs();
        let week = if (i / 288) % 7 >= 5 { -3.0 } else { 0.0 };
        let spikes = if i % 997 == 500 { 25.0 } else { 0.0 };
        50.0 + i as f64 / 2000.0 + 20.0 * saw + week + 4.0 * noise + spikes
    };
    (0..8064).map(value).collect()
}

fn run(values: &[f64], seasons: &[usize], robust: bool) -> Decomposition {
    decompose(values, &Options { seasons, robust, precision: Precision::Exact }, &mut || Ok(()))
        .expect("the series fits")
}

/// Every part differs by at most a millionth of its largest value.
fn assert_equal(name: &str, got: &Decomposition, expected: &[Vec<f64>], every: usize) {
    let parts = std::iter::once(&got.trend).chain(got.seasons.iter().map(|(_, season)| season));
    for (part, (got, expected)) in parts.zip(expected).enumerate() {
        let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let got = got.iter().step_by(every);
        let worst = got.zip(expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f64::max);
        assert!(worst <= 1e-6 * largest, "{name}, part {part}: {worst} of {largest}");
    }
}

fn compare(name: &str, periods: &[usize]) {
    let Golden { every, mut columns } = golden(name, periods);
    let values = if name == "made" { made() } else { columns.remove(0) };
    let parts = 1 + periods.len();
    assert_equal(name, &run(&values, periods, false), &columns[..parts], every);
    if columns.len() > parts {
        assert_equal(&format!("{name}, robust"), &run(&values, periods, true), &columns[parts..], every);
    }
}

#[test]
fn one_season() {
    for (name, period) in [
        ("co2_weekly", 52),
        ("co2_monthly", 12),
        ("sunspots", 11),
        ("realgdp", 4),
        ("elnino", 12),
        ("made", 288),
    ] {
        compare(name, &[period]);
    }
}

#[test]
fn several_seasons() {
    compare("elnino", &[6, 12]);
    compare("made", &[288, 2016]);
}

#[test]
fn an_interpolated_window_is_close_to_an_exact_one() {
    let values = made();
    let seasons = &[288, 2016];
    let exact = run(&values, seasons, false);
    let quick =
        decompose(&values, &Options { seasons, robust: false, precision: Precision::Auto }, &mut || Ok(()))
            .unwrap();
    assert!(quick.interpolated && !exact.interpolated);
    // A thousandth of the standard deviation, which is 3.6.
    let pairs = std::iter::zip(&quick.seasons, &exact.seasons).map(|((_, a), (_, b))| (a, b));
    for (a, b) in pairs.chain([(&quick.residual, &exact.residual), (&quick.trend, &exact.trend)]) {
        let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 0.0036, "{worst}");
    }
}

/// Numbers from 0 to 1 that are the same in every run.
fn random(i: usize) -> f64 {
    let mut bits = (i as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// The error of trend and season where the values are missing (or would be), as the root of the mean square, against
/// the series before noise is added.
fn error_at(missing: impl Fn(usize) -> bool, blank: bool, robust: bool) -> f64 {
    let angle = |i: usize| i as f64 / 48.0 * std::f64::consts::TAU;
    let truth = |i: usize| 20.0 + i as f64 / 400.0 + 5.0 * angle(i).sin() + 2.0 * (2.0 * angle(i)).cos();
    let noise = |i: usize| (0..12).map(|k| random(12 * i + k)).sum::<f64>() - 6.0;
    let whole: Vec<f64> = (0..48 * 28).map(|i| truth(i) + noise(i)).collect();
    let with_gaps: Vec<f64> =
        whole.iter().enumerate().map(|(i, v)| if missing(i) { f64::NAN } else { *v }).collect();
    let got = run(if blank { &with_gaps } else { &whole }, &[48], robust);
    // Steps without a value are blank in the result, so the steps of one season before and after them are judged.
    let near = |i: usize| !missing(i) && (missing(i.saturating_sub(48)) || missing(i + 48));
    let places: Vec<usize> = (48..48 * 27).filter(|&i| near(i)).collect();
    let square = |&i: &usize| (got.trend[i] + got.seasons[0].1[i] - truth(i)).powi(2);
    (places.iter().map(square).sum::<f64>() / places.len() as f64).sqrt()
}

#[test]
fn a_gap_disturbs_its_neighbours_no_more_than_noise_does() {
    let block = |len: usize| move |i: usize| (480..480 + len).contains(&i);
    let scattered = |share: f64| move |i: usize| random(i + 1_000_000) < share;
    for robust in [false, true] {
        let check = |name: &str, missing: &dyn Fn(usize) -> bool| {
            let without = error_at(missing, false, robust);
            let with = error_at(missing, true, robust);
            assert!(with < 1.25 * without, "{name}, robust: {robust}: {with}, without the gap {without}");
        };
        check("5 % of the steps", &scattered(0.05));
        check("20 % of the steps", &scattered(0.2));
        check("a quarter of a season", &block(12));
        check("a season", &block(48));
        check("three seasons", &block(144));
    }
}
