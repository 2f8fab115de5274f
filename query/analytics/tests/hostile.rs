//! Any values and options give a result or a reason, never a panic, and a stop ends every function.

use barograph_analytics::anomaly::{self, Method};
use barograph_analytics::decompose::{self, Precision, decompose};
use barograph_analytics::{
    Error, Stop, cadence, changepoint, esd, forecast, forest, gaps, outliers, robust, season,
};
use proptest::prelude::*;

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -100.0..100.0,
        2 => (-20i32..20).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => prop::sample::select(vec![
            f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, -0.0, 1e200, -1e300,
        ]),
        1 => any::<f64>(),
    ]
}

/// Ordinary series, constant ones, and ones with a season, each with a few hostile values.
fn series() -> impl Strategy<Value = Vec<f64>> {
    let seasonal = (2usize..30, 0usize..400, value()).prop_map(|(period, len, height)| {
        (0..len).map(|i| if i % period == 0 { height } else { (i % period) as f64 }).collect::<Vec<f64>>()
    });
    let base = prop_oneof![
        3 => prop::collection::vec(value(), 0..400),
        1 => (value(), 0usize..400).prop_map(|(value, len)| vec![value; len]),
        3 => seasonal,
    ];
    (base, prop::collection::vec((any::<prop::sample::Index>(), value()), 0..4)).prop_map(
        |(mut base, spikes)| {
            let spikes = if base.is_empty() { Vec::new() } else { spikes };
            for (place, value) in spikes {
                let place = place.index(base.len());
                base[place] = value;
            }
            base
        },
    )
}

fn period() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0usize..60, 1 => 60usize..500, 1 => Just(usize::MAX), 1 => Just(usize::MAX / 2)]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![3 => 0.0..1.0, 1 => value()]
}

/// Runs every function with the check.
fn run_all(
    values: &[f64],
    seasons: &[usize],
    size: usize,
    number: f64,
    mut check: impl FnMut() -> Result<(), Stop>,
) -> Result<(), TestCaseError> {
    let first = seasons.first().copied();
    for (robust, precision) in [(false, Precision::Exact), (true, Precision::Auto), (false, Precision::Tenth)]
    {
        let options = decompose::Options { seasons, robust, precision };
        decompose::bytes(values.len(), &options);
        if let Ok(got) = decompose(values, &options, &mut check) {
            let parts = got.seasons.iter().map(|(_, part)| part).chain([&got.trend, &got.residual]);
            for part in parts {
                let fits = part.iter().zip(values).all(|(part, v)| part.is_finite() == v.is_finite());
                prop_assert!(fits && part.len() == values.len());
            }
        }
    }
    for (_, method) in Method::ALL {
        anomaly::bytes(values.len(), method, first);
        let got = anomaly::score(values, method, first, &mut check);
        prop_assert!(got != Err(barograph_analytics::Unfit::Overflow.into()), "{:?} {:?}", method, first);
        if let Ok(got) = got {
            prop_assert!(got.scores.iter().all(|score| score.is_nan() || *score >= 0.0));
            prop_assert!(got.scores.iter().zip(values).all(|(s, v)| s.is_nan() || v.is_finite()));
        }
    }
    for (_, method) in forecast::Method::ALL {
        let horizon = size.min(300);
        let options = forecast::Options { method, seasons, horizon, level: number };
        forecast::bytes(values.len(), &options);
        if let Ok(got) = forecast::forecast(values, &options, &mut check) {
            prop_assert_eq!([got.point.len(), got.lower.len(), got.upper.len()], [horizon; 3]);
            for h in 0..horizon {
                prop_assert!(got.lower[h] <= got.point[h] && got.point[h] <= got.upper[h], "{:?}", method);
                prop_assert!(got.lower[h].is_finite() && got.upper[h].is_finite());
            }
        }
    }
    if let Ok(until) = forecast::until(values, number, first, &mut check) {
        prop_assert!(until.point >= 0.0 && until.earliest >= 0.0 && until.latest >= 0.0);
    }
    for (_, model) in changepoint::Model::ALL {
        let options = changepoint::Options { model, penalty: number, min_size: size };
        if let Ok(changes) = changepoint::find(values, &options, &mut check) {
            prop_assert!(changes.windows(2).all(|pair| pair[0].at < pair[1].at));
        }
    }
    let options = esd::Options { period: first.unwrap_or(7), max_share: number, alpha: number };
    let _ = esd::seasonal(values, &options, &mut check);
    if let Ok(steps) = esd::outliers(values, number, number, &mut check) {
        prop_assert!(steps.windows(2).all(|pair| pair[0] < pair[1]));
    }
    let _ = season::find(values, seasons, size, &mut check);
    let _ = gaps::fill(values, seasons);
    let options = forest::Options { trees: size.min(20), sample: size };
    if let Ok(scores) = forest::scores(values, first.unwrap_or(1), size, &options, &mut check) {
        prop_assert!(scores.iter().all(|score| score.is_nan() || (0.0..=1.0).contains(score)));
    }
    let _ = robust::theil_sen(values, &mut check);
    for (_, method) in outliers::Method::ALL {
        outliers::of_group(values, method, number, &mut Vec::new());
    }
    let times: Vec<i64> = values.iter().map(|value| *value as i64).collect();
    cadence::of_times(&times, i64::MIN);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(
        values in series(),
        seasons in prop::collection::vec(period(), 0..4),
        size in period(),
        number in number(),
    ) {
        run_all(&values, &seasons, size, number, || Ok(()))?;
    }
}

#[test]
fn a_stop_ends_long_work_within_a_few_calls() {
    let noise = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 53) as f64;
    let values: Vec<f64> = (0..60_000).map(|i| 10.0 + noise(i) + (i % 5000) as f64 / 2500.0).collect();
    let seasons = [5000, 25_000];
    let stop = || Err(Stop);
    let options = decompose::Options { seasons: &seasons, robust: true, precision: Precision::Exact };
    assert_eq!(decompose(&values, &options, &mut { stop }), Err(Error::Stopped));
    for (name, method) in Method::ALL {
        assert_eq!(anomaly::score(&values, method, Some(5000), &mut { stop }), Err(Error::Stopped), "{name}");
    }
    for (name, method) in forecast::Method::ALL {
        let options = forecast::Options { method, seasons: &seasons, horizon: 10_000, level: 0.95 };
        let got = forecast::forecast(&values, &options, &mut { stop });
        assert_eq!(got, Err(Error::Stopped), "{name}");
    }
    let options = changepoint::Options::default();
    assert_eq!(changepoint::find(&values, &options, &mut { stop }), Err(Error::Stopped));
    assert_eq!(season::find(&values, &seasons, 3, &mut { stop }), Err(Error::Stopped));
    assert_eq!(esd::outliers(&values, 0.02, 0.05, &mut { stop }), Err(Error::Stopped));
    assert_eq!(esd::seasonal(&values, &esd::Options::new(5000), &mut { stop }), Err(Error::Stopped));
    assert_eq!(
        forest::scores(&values, 1, 0, &forest::Options::default(), &mut { stop }),
        Err(Error::Stopped)
    );
    assert_eq!(robust::theil_sen(&values, &mut { stop }), Err(Error::Stopped));
    assert_eq!(forecast::until(&values, 50.0, Some(5000), &mut { stop }), Err(Error::Stopped));
}
