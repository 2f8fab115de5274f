//! Tests of exponential smoothing, most of them against statsmodels (`scripts/golden/ets.py`).

use super::model::deviance;
use super::*;

/// A model of a golden file: what statsmodels found, and what it predicts.
struct Golden {
    shape: Shape,
    likelihood: f64,
    parameters: Parameters,
    ahead: Vec<f64>,
}

/// A series, its period, and the models.
fn golden(name: &str, period: usize) -> (Vec<f64>, Vec<Golden>) {
    let path = format!("{}/tests/golden/ets.{name}.{period}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let numbers =
        |words: &str| -> Vec<f64> { words.split_whitespace().map(|word| word.parse().unwrap()).collect() };
    let mut lines = text.lines();
    let values = numbers(lines.next().unwrap());
    let model = |line: &str| {
        let (name, rest) = line.split_once(' ').unwrap();
        let (found, ahead) = rest.split_once('|').unwrap();
        let found = numbers(found);
        let parameters = Parameters {
            alpha: found[1],
            beta: found[2],
            gamma: found[3],
            damping: found[4],
            level: found[5],
            trend: found[6],
            season: found[7..].to_vec(),
        };
        let shape = Shape::all().find(|shape| shape.name() == name).unwrap();
        Golden { shape, likelihood: found[0], parameters, ahead: numbers(ahead) }
    };
    (values, lines.map(model).collect())
}

const SERIES: [(&str, usize); 6] =
    [("co2_monthly", 12), ("realgdp", 4), ("elnino", 12), ("nile", 1), ("sunspots", 11), ("passengers", 12)];

fn pace<T>(run: impl FnOnce(&mut Pace<'_>) -> Result<T, Stop>) -> T {
    run(&mut Pace::new(&mut || Ok(()))).unwrap()
}

#[test]
fn likelihoods_and_predictions_are_those_of_statsmodels() {
    for (name, period) in SERIES {
        let (values, models) = golden(name, period);
        assert!(models.len() >= 6, "{name}");
        for Golden { shape, likelihood, parameters, ahead } in models {
            let name = format!("{name} {}", shape.name());
            let got = -0.5 * deviance(&values, shape, &parameters);
            assert!((got - likelihood).abs() < 1e-9 * values.len() as f64, "{name}: {got} {likelihood}");
            let fitted = fitted(&values, 0, 1.0, shape, &parameters);
            let largest = values.iter().fold(0.0_f64, |largest, v| largest.max(v.abs()));
            for (h, expected) in ahead.iter().enumerate() {
                let got = fitted.at(values.len() - 1, h + 1);
                assert!((got - expected).abs() < 1e-8 * largest, "{name}, {h}: {got} {expected}");
            }
        }
    }
}

/// Two searches that end in the same place differ by less than this.
const TOLERANCE: f64 = 0.01;

#[test]
fn no_likelihood_of_statsmodels_is_larger() {
    for (name, period) in SERIES {
        let (values, models) = golden(name, period);
        for Golden { shape, likelihood, .. } in models {
            let (p, deviance) = pace(|pace| Layout::new(&values, shape, period, pace)?.fit(&values, pace));
            let (got, name) = (-0.5 * deviance, format!("{name} {}", shape.name()));
            assert!(got > likelihood - TOLERANCE, "{name}: {got} {likelihood} {p:?}");
            let again = super::model::deviance(&values, shape, &p);
            assert!((again - deviance).abs() < 1e-6, "{name}: {again} {deviance}");
            let within = |weight: f64, most: f64| (0.0..=most).contains(&weight);
            assert!(within(p.alpha, 1.0) && within(p.beta, p.alpha) && within(p.gamma, 1.0 - p.alpha));
        }
    }
}

#[test]
fn the_criterion_chooses_the_model() {
    let chosen = SERIES.map(|(name, period)| {
        let (values, models) = golden(name, period);
        let (least, shape, _) = pace(|pace| best(&values, period, pace)).unwrap();
        for golden in models {
            let layout = pace(|pace| Layout::new(&values, golden.shape, period, pace));
            let other = aicc(-2.0 * golden.likelihood, layout.width() + 1, values.len()).unwrap();
            assert!(least < other + 2.0 * TOLERANCE, "{name}: {least}, {} {other}", golden.shape.name());
        }
        shape.name()
    });
    assert_eq!(chosen, ["MAA", "AAdN", "MNA", "MNN", "AAdA", "MAM"]);
}

#[test]
fn criteria_count_the_parameters() {
    // Two parameters and the variance, ten values.
    assert_eq!(aicc(20.0, 3, 10), Some(20.0 + 6.0 + 24.0 / 6.0));
    assert_eq!(aicc(20.0, 9, 10), None);
    assert_eq!(aicc(f64::INFINITY, 3, 10), None);
    let names: Vec<String> = Shape::all().map(Shape::name).collect();
    assert_eq!(names.len(), 15);
    assert!(names.contains(&"AAdA".to_owned()) && !names.contains(&"ANM".to_owned()));
}

#[test]
fn derivatives_are_those_of_the_deviance() {
    let values: Vec<f64> = (0..60).map(|i| 10.0 + f64::from(i % 5) + f64::from(i * i % 7) / 9.0).collect();
    for shape in Shape::all() {
        pace(|pace| {
            let layout = Layout::new(&values, shape, 5, pace)?;
            let at: Vec<f64> = (0..layout.width()).map(|i| 0.3 - 0.1 * (i % 4) as f64).collect();
            let mut gradient = vec![0.0; at.len()];
            layout.evaluate(&values, &at, &mut gradient, pace)?;
            for (k, derivative) in gradient.iter().enumerate() {
                let mut value = |step: f64| {
                    let mut near = at.clone();
                    near[k] += step;
                    layout.evaluate(&values, &near, &mut vec![0.0; at.len()], pace)
                };
                let got = (value(1e-5)? - value(-1e-5)?) / 2e-5;
                let close = (got - derivative).abs() < 1e-4 * (1.0 + derivative.abs());
                assert!(close, "{} {k}: {got} {derivative}", shape.name());
            }
            Ok(())
        });
    }
}

#[test]
fn a_long_series_is_fitted_to_its_newest_values() {
    let value = |i: usize| if i < 900 { 1e6 } else { 50.0 + (i % 4) as f64 };
    let values: Vec<f64> = (0..1400).map(value).collect();
    let fitted = pace(|pace| fit(&values, 4, pace));
    assert_eq!(fitted.first, 900);
    for h in 1..10 {
        let got = fitted.at(1399, h);
        assert!((got - value(1399 + h)).abs() < 1e-3, "{h}: {got}");
    }
}
