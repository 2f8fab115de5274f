//! Series of any size: what is said of a series is also said of one that is a power of two times as large.

use barograph_analytics::compare::association::{self, Reference};
use barograph_analytics::compare::correlate::Scratch;
use barograph_analytics::compare::incident::Incident;
use barograph_analytics::decompose::{self, Precision, decompose, strength};
use barograph_analytics::forecast::{self, forecast};
use barograph_analytics::order::median;
use barograph_analytics::robust::{Sorted, theil_sen};
use barograph_analytics::{Error, Unfit, anomaly, changepoint, esd, forest, gaps, outliers, season};

/// Numbers that have the unit of the values, and others.
#[derive(Debug, Default)]
struct Numbers {
    values: Vec<f64>,
    plain: Vec<f64>,
}

type Function = Box<dyn Fn(&[f64]) -> Result<Numbers, Error>>;

const SEASON: usize = 48;

fn plain(plain: Vec<f64>) -> Numbers {
    Numbers { plain, ..Numbers::default() }
}

/// Every function with every method, by name.
fn functions() -> Vec<(String, Function)> {
    let mut all = Vec::new();
    let mut add = |name: String, function: Function| all.push((name, function));
    unusual(&mut add);
    parts(&mut add);
    forecasts(&mut add);
    statistics(&mut add);
    compared(&mut add);
    all
}

type Add<'a> = &'a mut dyn FnMut(String, Function);

fn unusual(add: Add<'_>) {
    for (name, method) in anomaly::Method::ALL {
        for period in [None, Some(SEASON)] {
            let of = move |v: &[f64]| {
                let got = anomaly::score(v, method, period, &mut || Ok(()))?;
                Ok(Numbers { values: [got.expected, got.scale].concat(), plain: got.scores })
            };
            add(format!("anomaly {name} {period:?}"), Box::new(of));
        }
    }
    let found = |steps: Vec<usize>| plain(steps.into_iter().map(|step| step as f64).collect());
    add(
        "esd".into(),
        Box::new(move |v| Ok(found(esd::seasonal(v, &esd::Options::new(SEASON), &mut || Ok(()))?))),
    );
    for (name, model) in changepoint::Model::ALL {
        let of = move |v: &[f64]| {
            let options = changepoint::Options { model, ..changepoint::Options::default() };
            let got = changepoint::find(v, &options, &mut || Ok(()))?;
            let values = got.iter().map(|change| change.shift).collect();
            Ok(Numbers { values, plain: got.iter().map(|change| change.at as f64).collect() })
        };
        add(format!("changepoint {name}"), Box::new(of));
    }
    for (name, method) in outliers::Method::ALL {
        let of = move |v: &[f64]| {
            let got = outliers::of_group(v, method, 3.0, &mut Vec::new());
            Ok(plain(got.into_iter().map(|is| is.map_or(f64::NAN, |is| f64::from(u8::from(is)))).collect()))
        };
        add(format!("outliers {name}"), Box::new(of));
    }
}

fn parts(add: Add<'_>) {
    for robust in [false, true] {
        for seasons in [&[SEASON][..], &[24, 120]] {
            let of = move |v: &[f64]| {
                let options = decompose::Options { seasons, robust, precision: Precision::Auto };
                let got = decompose(v, &options, &mut || Ok(()))?;
                let largest = v.iter().filter(|v| v.is_finite()).fold(0.0_f64, |a, b| a.max(b.abs()));
                let mut plain = got.weights.clone();
                plain.push(strength(&got.trend, &got.residual, largest));
                let mut values = [got.trend, got.residual].concat();
                values.extend(got.seasons.into_iter().flat_map(|(_, season)| season));
                Ok(Numbers { values, plain })
            };
            add(format!("decompose {robust} {seasons:?}"), Box::new(of));
        }
    }
    let of = |v: &[f64]| {
        let got = season::find(v, &[SEASON], 3, &mut || Ok(()))?;
        Ok(plain(got.iter().flat_map(|found| [found.length as f64, found.strength]).collect()))
    };
    add("season".into(), Box::new(of));
}

fn forecasts(add: Add<'_>) {
    for (name, method) in forecast::Method::ALL {
        for seasons in [&[][..], &[12], &[SEASON], &[24, 120]] {
            let of = move |v: &[f64]| {
                let options = forecast::Options { method, seasons, horizon: 60, level: 0.95 };
                let got = forecast(v, &options, &mut || Ok(()))?;
                Ok(Numbers { values: [got.point, got.lower, got.upper].concat(), plain: vec![] })
            };
            add(format!("forecast {name} {seasons:?}"), Box::new(of));
        }
    }
    for period in [None, Some(SEASON)] {
        let of = move |v: &[f64]| {
            let last = v.iter().rev().find(|v| v.is_finite()).copied().unwrap_or(0.0);
            let got = forecast::until(v, last / 2.0, period, &mut || Ok(()))?;
            Ok(plain(vec![got.point, got.earliest, got.latest]))
        };
        add(format!("until {period:?}"), Box::new(of));
    }
}

fn statistics(add: Add<'_>) {
    let of = |v: &[f64]| {
        let line = theil_sen(v, &mut || Ok(()))?;
        let sorted = Sorted::of(v);
        let means = [0.0, 0.1, 0.4].map(|cut| [sorted.trimmed_mean(cut), sorted.winsorized_mean(cut)]);
        let mut values =
            vec![line.slope, line.at_start, sorted.mad(), sorted.iqr(), sorted.median(), median(v)];
        values.extend(means.as_flattened());
        Ok(Numbers { values, plain: vec![] })
    };
    add("robust".into(), Box::new(of));
    let of = |v: &[f64]| Ok(Numbers { values: gaps::fill(v, &[SEASON])?.values, plain: vec![] });
    add("gaps".into(), Box::new(of));
    let of = |v: &[f64]| Ok(plain(forest::scores(v, 3, 0, &forest::Options::default(), &mut || Ok(()))?));
    add("forest".into(), Box::new(of));
}

fn compared(add: Add<'_>) {
    for (name, method) in association::Method::ALL {
        let of = move |v: &[f64]| {
            let filled = gaps::fill(v, &[])?.values;
            let (target, candidate) = (&filled[7..], &filled[..filled.len() - 7]);
            let got = Reference::new(target, method)?.compare(
                candidate,
                20,
                &mut Scratch::default(),
                &mut || Ok(()),
            )?;
            Ok(plain(vec![got.score, f64::from(got.lag), got.p]))
        };
        add(format!("association {name}"), Box::new(of));
    }
    let of = |v: &[f64]| {
        let filled = gaps::fill(v, &[])?.values;
        let (target, candidate) = (&filled[..filled.len() - 7], &filled[7..]);
        let incident = Incident::of(target, 20)?;
        let got = incident.suspect(candidate, &mut Scratch::default(), &mut || Ok(()))?;
        let own = incident.disturbance();
        Ok(plain(vec![
            own.onset as f64,
            own.strength,
            own.deviations,
            got.score,
            got.r,
            f64::from(got.lag),
            got.lead as f64,
            got.disturbance.onset as f64,
            got.disturbance.strength,
            got.disturbance.deviations,
        ]))
    };
    add("incident".into(), Box::new(of));
}

fn noise(i: usize) -> f64 {
    let mut bits = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// Series of values up to 1.9 in size.
fn series() -> Vec<(&'static str, Vec<f64>)> {
    let of = |f: fn(usize) -> f64| (0..720).map(f).collect::<Vec<f64>>();
    vec![
        ("noise", of(|i| 1.9 * noise(i))),
        ("wave", of(|i| 1.2 * (i as f64 / SEASON as f64 * std::f64::consts::TAU).sin() + 0.3 * noise(i))),
        (
            "growing",
            of(|i| {
                0.5 + i as f64 / 900.0
                    + 0.3 * (i as f64 / 24.0 * std::f64::consts::TAU).sin()
                    + 0.1 * noise(i)
            }),
        ),
        ("shift", of(|i| if i < 400 { -1.5 + 0.1 * noise(i) } else { 1.5 + 0.1 * noise(i) })),
        ("spike", of(|i| if i == 600 { 1.9 } else { -1.8 + 0.01 * noise(i) })),
        ("gaps", of(|i| if i % 7 == 3 { f64::NAN } else { 1.0 + 0.5 * noise(i) })),
        ("equal", of(|_| 1.5)),
    ]
}

/// Where two results differ by more than rounding.
fn difference(expected: &[f64], got: &[f64]) -> Option<(usize, f64, f64)> {
    if expected.len() != got.len() {
        return Some((usize::MAX, expected.len() as f64, got.len() as f64));
    }
    let size = expected.iter().filter(|v| v.is_finite()).fold(0.0_f64, |size, v| size.max(v.abs()));
    let same = |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * size;
    let at = expected.iter().zip(got).position(|pair| !same(pair))?;
    Some((at, expected[at], got[at]))
}

fn times_power(value: f64, exponent: i32) -> f64 {
    value * 2.0_f64.powi(exponent / 2) * 2.0_f64.powi(exponent - exponent / 2)
}

#[test]
fn the_size_of_values_does_not_matter() {
    for (shape, values) in series() {
        for (name, function) in functions() {
            let usual = function(&values);
            for exponent in [1023, 520, -520, -990] {
                let scaled: Vec<f64> = values.iter().map(|v| times_power(*v, exponent)).collect();
                let got = function(&scaled);
                let at = format!("{name} of {shape} times 2^{exponent}");
                let Ok(usual) = &usual else {
                    assert_eq!(usual.as_ref().err(), got.as_ref().err(), "{at}");
                    continue;
                };
                let expected: Vec<f64> = usual.values.iter().map(|v| times_power(*v, exponent)).collect();
                let Ok(got) = got else {
                    assert_eq!(got.err(), Some(Unfit::Overflow.into()), "{at}");
                    assert!(expected.iter().any(|v| v.is_infinite()), "{at}");
                    continue;
                };
                assert_eq!(difference(&expected, &got.values), None, "{at}");
                assert_eq!(difference(&usual.plain, &got.plain), None, "{at}");
            }
        }
    }
}
