//! Answers from buckets against answers from samples, over random series.

use std::collections::BTreeMap;
use std::time::Duration;

use barograph_engine::model::{Labels, STALE_NAN_BITS, Value};
use proptest::prelude::*;

use crate::source::MemorySource;
use crate::{QueryValue, Request, Response, TierChoice, execute};

pub(super) const S: i64 = 1_000_000_000;
/// Widths of buckets, seconds.
pub(super) const WIDTHS: [i64; 3] = [60, 300, 900];

/// How close answers are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Close {
    /// The same bits.
    Bits,
    /// The same bits, or both NaN.
    Number,
    /// The same number, with any sign of zero.
    Equal,
    /// Both within a unit in the last place of the true value.
    Rounded,
    /// Both as close to the true variance as the rounding of the kernel allows.
    Spread,
}

use Close::{Bits, Equal, Number, Rounded, Spread};

const FUNCTIONS: [(&str, Close); 50] = [
    ("count_over_time(m_total[W])", Number),
    ("present_over_time(m_total[W])", Number),
    ("absent_over_time(m_total[W])", Number),
    ("sum_over_time(m_total[W])", Rounded),
    ("avg_over_time(m_total[W])", Rounded),
    ("min_over_time(m_total[W])", Number),
    ("max_over_time(m_total[W])", Number),
    ("first_over_time(m_total[W])", Bits),
    ("last_over_time(m_total[W])", Bits),
    ("ts_of_first_over_time(m_total[W])", Number),
    ("ts_of_last_over_time(m_total[W])", Number),
    ("ts_of_min_over_time(m_total[W])", Number),
    ("ts_of_max_over_time(m_total[W])", Number),
    ("stddev_over_time(m_total[W])", Spread),
    ("stdvar_over_time(m_total[W])", Spread),
    ("rate(m_total[W])", Number),
    ("increase(m_total[W])", Number),
    ("delta(m_total[W])", Number),
    ("idelta(m_total[W])", Number),
    ("irate(m_total[W])", Equal),
    ("changes(m_total[W])", Number),
    ("resets(m_total[W])", Number),
    ("increase_pure(m_total[W])", Number),
    ("rate_pure(m_total[W])", Number),
    ("quantile_over_time(0.3, m_total[W])", Equal),
    ("quantile_over_time(time() / 1000 % 1, m_total[W])", Equal),
    ("quantiles_over_time(\"phi\", 0, 0.5, 1, m_total[W])", Equal),
    ("mad_over_time(m_total[W])", Equal),
    ("histogram_quantile(0.3, histogram_over_time(m_total[W]))", Number),
    ("histogram_quantile(time() / 1000 % 1, histogram_over_time(m_total[W]))", Number),
    ("histogram_fraction(-7, 20, histogram_over_time(m_total[W]))", Number),
    ("histogram_count(histogram_over_time(m_total[W]))", Number),
    ("histogram_sum(histogram_over_time(m_total[W]))", Rounded),
    ("count_gt_over_time(m_total[W], 20)", Number),
    ("count_le_over_time(m_total[W], time() / 60 % 50)", Number),
    ("count_eq_over_time(m_total[W], 7)", Number),
    ("count_ne_over_time(m_total[W], 7.5)", Number),
    ("share_gt_over_time(m_total[W], 20)", Number),
    ("share_le_over_time(m_total[W], NaN)", Number),
    ("share_eq_over_time(m_total[W], 1e300)", Number),
    ("duration_over_time(m_total[W], 20)", Number),
    ("deriv(m_total[W])", Equal),
    ("predict_linear(m_total[W], 60)", Equal),
    ("increase(m_total[W] anchored)", Number),
    ("delta(m_total[W] anchored)", Number),
    ("changes(m_total[W] anchored)", Number),
    ("resets(m_total[W] anchored)", Number),
    ("m_total", Bits),
    ("timestamp(m_total)", Number),
    ("start_timestamp(m_total)", Number),
];

fn name() -> Labels {
    Labels::from_pairs([("__name__", "m_total"), ("i", "0")]).unwrap()
}

/// The values of a series, by kind.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let marker = || Just(f64::from_bits(STALE_NAN_BITS));
    let gauge = prop_oneof![
        6 => (0u32..50).prop_map(f64::from),
        4 => -1e3..1e3f64,
        1 => marker(),
        1 => Just(f64::NAN),
        1 => Just(-0.0),
    ];
    let wild = prop_oneof![
        3 => (0u32..50).prop_map(f64::from),
        2 => (0i32..200, any::<bool>()).prop_map(|(power, sign)| 2f64.powi(power * 5) * if sign { 1.1 } else { -1.1 }),
        1 => marker(),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(f64::from_bits(0x7ff8_0000_0000_0007)),
    ];
    let constant = prop_oneof![20 => Just(7.0), 1 => marker(), 1 => Just(8.0)].boxed();
    let drops = (0u32..12, 0.0..9.0f64);
    prop_oneof![
        proptest::collection::vec(gauge, 1..150),
        proptest::collection::vec(wild, 1..150),
        proptest::collection::vec(constant, 1..150),
        proptest::collection::vec(drops, 1..150).prop_map(|steps| {
            let mut at = 0.0;
            let counter = |(kind, grown): (u32, f64)| match kind {
                0 => {
                    at = grown / 10.0;
                    at
                }
                1 => f64::from_bits(STALE_NAN_BITS),
                _ => {
                    at += grown;
                    at
                }
            };
            steps.into_iter().map(counter).collect()
        }),
    ]
}

/// Times in seconds: on a grid that bounds of buckets are on, or anywhere; with gaps.
fn times(count: usize) -> impl Strategy<Value = Vec<i64>> {
    let gap = prop_oneof![20 => Just(1i64), 3 => 2i64..10, 1 => 20i64..120];
    let gaps = proptest::collection::vec(gap, count);
    (gaps, prop_oneof![Just((20_000i64, 0i64)), Just((15_000, 5_000)), (7_000i64..90_000, 0i64..60_000)])
        .prop_map(|(gaps, (scale, offset))| {
            let mut time = offset - 900_000;
            let at = |gap| {
                time += gap * scale;
                time
            };
            gaps.into_iter().map(at).collect()
        })
}

/// Time (milliseconds), value, start time.
pub(super) fn series() -> impl Strategy<Value = Vec<(i64, f64, i64)>> {
    values().prop_flat_map(|values| {
        let starts = proptest::collection::vec(
            prop_oneof![12 => Just(None), 1 => (0i64..3).prop_map(Some)],
            values.len(),
        );
        (times(values.len()), starts, any::<bool>()).prop_map(move |(times, starts, has_starts)| {
            let mut start = 0;
            let with_start = |(i, value): (usize, &f64)| {
                match starts[i] {
                    // At, before or after the previous sample.
                    Some(kind) if i > 0 => start = times[i - 1] + (kind - 1) * 3_000,
                    Some(_) => start = times[0] - 100_000,
                    None => {}
                }
                (times[i], *value, if has_starts { start } else { 0 })
            };
            values.iter().enumerate().map(with_start).collect()
        })
    })
}

pub(super) fn source_of(samples: &[(i64, f64, i64)]) -> MemorySource {
    let mut source = MemorySource::new();
    for &(time, value, start) in samples {
        source.insert(&name(), time * S / 1000, Value::Float(value), start * S / 1000);
    }
    source.set_tiers(&WIDTHS.map(|width| width * S));
    source
}

/// The values by labels and time.
fn answers(response: &Response) -> BTreeMap<(String, i64), f64> {
    let mut found = BTreeMap::new();
    match &response.value {
        QueryValue::Matrix(matrix) => {
            for series in matrix {
                found.extend(series.floats_ms.iter().map(|(t, v)| ((series.labels.to_string(), *t), *v)));
            }
        }
        QueryValue::Vector(vector) => {
            for sample in vector {
                let key = (sample.labels.to_string(), sample.timestamp.as_millis());
                found.insert(key, sample.value.as_f64().unwrap());
            }
        }
        other => panic!("{other:?}"),
    }
    found
}

fn is_close(close: Close, a: f64, b: f64, largest: f64) -> bool {
    let same = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan() && close != Bits);
    let ulp = |unit: f64| (a - b).abs() <= unit * a.abs().max(b.abs()) * f64::EPSILON;
    same || match close {
        Bits | Number => false,
        Equal => a == b,
        Rounded => a == b || ulp(2.0),
        Spread => {
            (a - b).abs()
                <= 2f64.powi(-46) * (a + b + largest * a.max(b).sqrt() + largest * largest * 2f64.powi(-60))
        }
    }
}

fn check(source: &MemorySource, largest: f64, request: &Request, close: Close) -> Result<u64, TestCaseError> {
    let raw = Request { tier: TierChoice::Raw, ..request.clone() };
    let raw = execute(source, &raw).unwrap();
    let tiers = execute(source, request).unwrap();
    let (wanted, got) = (answers(&raw), answers(&tiers));
    let keys = |answers: &BTreeMap<(String, i64), f64>| answers.keys().cloned().collect::<Vec<_>>();
    prop_assert_eq!(keys(&wanted), keys(&got), "{} {:?}", request.query, request.times);
    for ((key, a), b) in wanted.iter().zip(got.values()) {
        prop_assert!(is_close(close, *a, *b, largest), "{} at {key:?}: raw {a:?}, tier {b:?}", request.query);
    }
    prop_assert_eq!((&raw.warnings, &raw.infos), (&tiers.warnings, &tiers.infos), "{}", request.query);
    Ok(request.usage.buckets_decoded())
}

fn largest_of(samples: &[(i64, f64, i64)]) -> f64 {
    samples.iter().map(|s| s.1.abs()).filter(|v| v.is_finite()).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// All functions, over windows whose ends are bounds of buckets.
    #[test]
    fn aligned_windows_have_the_answers_of_samples(
        samples in series(),
        width in prop::sample::select(WIDTHS.to_vec()),
        (window, step, first) in (1i64..8, 1i64..5, -20i64..10),
        modifier in prop::sample::select(vec!["", " offset 5m", " offset -900s", " @ 900"]),
    ) {
        let source = source_of(&samples);
        let largest = largest_of(&samples);
        for (function, close) in FUNCTIONS {
            let query = function.replace("[W]", &format!("[{}s]", window * width));
            let query = query.replacen("anchored)", &format!("anchored{modifier})"), 1);
            let query = match query.contains("anchored") {
                true => query,
                false if query == "m_total" => format!("{query}{modifier}"),
                false if query.contains("(m_total)") => query.replace("m_total)", &format!("m_total{modifier})")),
                false => query.replace("s]", &format!("s]{modifier}")),
            };
            let (start, step) = (first * width * 1000, step * width * 1000);
            let range = Request::range_ms(query.as_str(), start, start + 12 * step, step);
            let instant = Request::instant_ms(query.as_str(), start + 3 * step);
            let reads_buckets = query.contains("[") && !query.starts_with("absent");
            let buckets = check(&source, largest, &range, close)?;
            prop_assert!(!reads_buckets || buckets > 0 || samples.is_empty() || answers(&execute(&source, &range).unwrap()).is_empty(), "{query}");
            check(&source, largest, &instant, close)?;
        }
    }

    /// The same, where the finest tier fits some of the steps only, or none.
    #[test]
    fn other_windows_have_them_too(
        samples in series(),
        (window, step, start) in (1i64..4_000, 1i64..2_000, -1_200i64..600),
    ) {
        let source = source_of(&samples);
        let largest = largest_of(&samples);
        for (function, close) in FUNCTIONS {
            let query = function.replace("[W]", &format!("[{window}s]"));
            let (start, step) = (start * 1000, step * 1000);
            check(&source, largest, &Request::range_ms(query.as_str(), start, start + 12 * step, step), close)?;
        }
    }

    /// Tiers below other expressions: subqueries, aggregations, operators.
    #[test]
    fn expressions_over_tiers_have_the_answers_of_samples(samples in series(), first in -20i64..10) {
        let source = source_of(&samples);
        let largest = largest_of(&samples);
        for query in [
            "max_over_time(rate(m_total[5m])[1h:5m])",
            "sum by (g) (increase(m_total[10m]))",
            "count(m_total)",
            "max(m_total) - max(m_total offset 15m)",
            "sum by (g) (max_over_time(m_total[15m]))",
            "max_over_time(m_total[30m:5m])",
        ] {
            let start = first * 300_000;
            check(&source, largest, &Request::range_ms(query, start, start + 12 * 900_000, 900_000), Equal)?;
        }
    }
}

/// What is estimated where a window cuts a bucket whose samples are gone.
const ESTIMATED: [&str; 33] = [
    "count_over_time(m_total[W])",
    "present_over_time(m_total[W])",
    "sum_over_time(m_total[W])",
    "avg_over_time(m_total[W])",
    "min_over_time(m_total[W])",
    "max_over_time(m_total[W])",
    "first_over_time(m_total[W])",
    "last_over_time(m_total[W])",
    "ts_of_first_over_time(m_total[W])",
    "ts_of_last_over_time(m_total[W])",
    "stddev_over_time(m_total[W])",
    "stdvar_over_time(m_total[W])",
    "rate(m_total[W])",
    "increase(m_total[W])",
    "delta(m_total[W])",
    "idelta(m_total[W])",
    "irate(m_total[W])",
    "changes(m_total[W])",
    "resets(m_total[W])",
    "quantile_over_time(0.3, m_total[W])",
    "quantile_over_time(0.99, m_total[W])",
    "quantile_over_time(0, m_total[W])",
    "count_gt_over_time(m_total[W], 20)",
    "count_le_over_time(m_total[W], 7)",
    "count_eq_over_time(m_total[W], 7)",
    "count_ne_over_time(m_total[W], 7.5)",
    "share_gt_over_time(m_total[W], 20)",
    "share_le_over_time(m_total[W], 3)",
    "share_eq_over_time(m_total[W], 0)",
    "m_total",
    "timestamp(m_total)",
    "-m_total",
    "-sum_over_time(m_total[W])",
];

/// Whether the answer from buckets of `width` is within its bounds. Returns the bound over the error, if both are there.
fn check_estimate(
    source: &MemorySource,
    request: &Request,
    width: i64,
) -> Result<Option<f64>, TestCaseError> {
    let raw = Request { tier: TierChoice::Raw, ..request.clone() };
    let tier = TierChoice::Width(Duration::from_secs(width as u64));
    let wanted = answers(&execute(source, &raw).unwrap());
    let response = match execute(source, &Request { tier, ..request.clone() }) {
        Ok(response) => response,
        Err(error) => {
            prop_assert!(error.to_string().contains("no sound answer"), "{}: {error}", request.query);
            return Ok(None);
        }
    };
    let got = answers(&response);
    let accuracy = response.accuracy;
    for (key, a) in &wanted {
        let b = got.get(key);
        prop_assert!(b.is_some(), "{} at {key:?}: raw {a}, tier nothing", request.query);
        let (accuracy, b) = (accuracy.unwrap(), *b.unwrap());
        if let Some(bound) = accuracy.absolute.filter(|_| !accuracy.exact) {
            prop_assert!(
                (a - b).abs() <= bound || *a == b || (a.is_nan() && b.is_nan()),
                "{} at {key:?}: raw {a}, tier {b}, {accuracy:?}",
                request.query
            );
            return Ok(((a - b).abs() > 0.0).then(|| bound / (a - b).abs()));
        }
    }
    for key in got.keys().filter(|key| !wanted.contains_key(key)) {
        prop_assert!(
            accuracy.is_some_and(|accuracy| accuracy.may_be_absent),
            "{} at {key:?}: raw nothing",
            request.query
        );
    }
    Ok(None)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The answer of the samples is within the bounds of the estimate, wherever a window ends.
    #[test]
    fn estimates_are_within_their_bounds(
        samples in series(),
        width in prop::sample::select(WIDTHS.to_vec()),
        (window, time) in (1i64..3_000, -900i64..2_000),
        on_grid in any::<bool>(),
    ) {
        let source = source_of(&samples);
        let unit = if on_grid { 15 } else { 1 };
        for function in ESTIMATED {
            let query = function.replace("[W]", &format!("[{}s]", (window / unit * unit).max(unit)));
            let time = time.div_euclid(unit) * unit * 1000;
            check_estimate(&source, &Request::instant_ms(query.as_str(), time), width)?;
        }
    }

    /// The same for expressions whose error has a bound, over several series.
    #[test]
    fn expressions_over_estimates_are_within_their_bounds(
        all in proptest::collection::vec(series(), 1..5),
        width in prop::sample::select(WIDTHS.to_vec()),
        (window, time) in (60i64..3_000, -900i64..2_000),
    ) {
        let mut source = MemorySource::new();
        for (i, samples) in all.iter().enumerate() {
            let labels = Labels::from_pairs([("__name__", "m_total"), ("i", i.to_string().as_str())]).unwrap();
            for &(time, value, start) in samples {
                source.insert(&labels, time * S / 1000, Value::Float(value), start * S / 1000);
            }
        }
        source.set_tiers(&WIDTHS.map(|width| width * S));
        for query in [
            "sum(sum_over_time(m_total[W]))",
            "avg(rate(m_total[W]))",
            "max(m_total) * 3 - 7",
            "-min(first_over_time(m_total[W])) / 4",
            "stddev(count_over_time(m_total[W]))",
            "quantile(0.4, avg_over_time(m_total[W]))",
            "10 - sum(changes(m_total[W])) * -2",
        ] {
            let query = query.replace("[W]", &format!("[{window}s]"));
            check_estimate(&source, &Request::instant_ms(query.as_str(), time * 1000), width)?;
        }
    }

    /// Where samples are gone, steps that need them are estimates, and the others are not.
    #[test]
    fn samples_that_are_gone_are_estimated(samples in series(), gone in 0i64..900, first in -3i64..3) {
        let mut source = source_of(&samples);
        let whole = source.clone();
        source.drop_samples_until(gone * S);
        for (query, close) in FUNCTIONS.iter().filter(|(query, _)| query.contains("sum_over") || query.contains("rate(")) {
            let query = query.replace("[W]", "[10m]");
            let start = first * 300_000;
            let request = Request::range_ms(query.as_str(), start, start + 12 * 300_000, 300_000);
            let Ok(response) = execute(&source, &request) else { continue };
            if !response.accuracy.is_some_and(|accuracy| accuracy.exact) {
                continue;
            }
            let wanted = answers(&execute(&whole, &Request { tier: TierChoice::Raw, ..request }).unwrap());
            for ((key, a), b) in wanted.iter().zip(answers(&response).values()) {
                prop_assert!(is_close(*close, *a, *b, largest_of(&samples)), "{query} at {key:?}: {a} {b}");
            }
        }
    }
}

#[test]
fn what_buckets_cannot_answer_is_refused_once_samples_are_gone() {
    let samples: Vec<(i64, f64, i64)> = (0..200).map(|i| (i * 15_000, (i % 7) as f64, 0)).collect();
    let mut source = source_of(&samples);
    source.drop_samples_until(1_000 * S);
    let ask = |query: &str, max_error: Option<f64>| {
        execute(&source, &Request { max_error, ..Request::instant_ms(query, 932_000) })
    };
    let error = ask("double_exponential_smoothing(m_total[10m], 0.1, 0.1)", None).unwrap_err();
    assert!(error.to_string().contains("cannot be answered from buckets"), "{error}");
    let error = ask("deriv(m_total[10m])", None).unwrap_err();
    assert!(error.to_string().contains("no sound answer"), "{error}");
    let response = ask("sum_over_time(m_total[10m])", None).unwrap();
    let accuracy = response.accuracy.unwrap();
    assert!(!accuracy.exact && accuracy.relative.unwrap() < 0.1, "{accuracy:?}");
    assert!(
        response.infos[0].contains("estimated from buckets of 60 seconds, off by at most"),
        "{:?}",
        response.infos
    );
    assert!(ask("sum_over_time(m_total[10m])", Some(0.1)).is_ok());
    let error = ask("sum_over_time(m_total[10m])", Some(1e-9)).unwrap_err();
    assert!(error.to_string().contains("max_error"), "{error}");
    assert!(ask("avg(sum_over_time(m_total[10m])) * 2", Some(0.1)).is_ok());
    let error = ask("sum_over_time(m_total[10m]) ^ 2", Some(0.1)).unwrap_err();
    assert!(error.to_string().contains("without a known bound"), "{error}");
}

/// The sample next to a cut is inside. A value that falls slowly is near the one before the window there, and a counter that
/// is reset grows by few values between the samples outside; these have little of the spread.
#[test]
fn cuts_that_leave_little_out_have_narrow_bounds() {
    let of = |value: fn(i64) -> f64| {
        let samples: Vec<(i64, f64, i64)> = (1..=120).map(|i| (i * 15_000, value(i), 0)).collect();
        source_of(&samples)
    };
    let falling = of(|i| 1000.0 - i as f64);
    let rising = of(|i| i as f64);
    let reset = of(|i| (i % 4) as f64);
    for (source, query, absolute_max) in [
        (&falling, "max_over_time(m_total[840s])", 2.1),
        (&rising, "min_over_time(m_total[840s])", 2.1),
        (&reset, "increase(m_total[840s])", 10.0),
        (&reset, "stdvar_over_time(m_total[840s])", 0.3),
    ] {
        let request = Request::instant_ms(query, 900_000);
        let exact = execute(source, &Request { tier: TierChoice::Raw, ..request.clone() }).unwrap();
        let tier = TierChoice::Width(Duration::from_secs(900));
        let response = execute(source, &Request { tier, ..request }).unwrap();
        let absolute = response.accuracy.as_ref().unwrap().absolute.unwrap();
        let error =
            answers(&response).into_values().sum::<f64>() - answers(&exact).into_values().sum::<f64>();
        assert!(error.abs() <= absolute && absolute <= absolute_max, "{query}: {error}, at most {absolute}");
    }
}

/// Analytics look at all samples of a window. A subquery of what buckets answer gives them one value for each.
#[test]
fn analytics_read_buckets_through_subqueries() {
    let level = |i: i64| if i < 600 { 50.0 } else { 250.0 };
    let wave = |i: i64| level(i) + 20.0 * (i as f64 * std::f64::consts::TAU / 240.0).sin() + (i % 7) as f64;
    let samples: Vec<(i64, f64, i64)> = (0..4_000).map(|i| (i * 15_000, wave(i / 4), 0)).collect();
    let whole = source_of(&samples);
    let mut aged = whole.clone();
    aged.drop_samples_until(59_000 * S);
    let end = 58_500_000;
    for query in [
        "trend_strength(avg_over_time(m_total[5m])[12h:5m], period=4h)",
        "changepoints(max_over_time(m_total[15m])[12h:15m])",
        "anomaly_score(rate(m_total[5m])[13h:5m])",
        "forecast_at(avg_over_time(m_total[5m])[13h:5m], 1h)",
        "predict_exhaustion(last_over_time(m_total[1m])[6h:1m], 0)",
    ] {
        let request = Request { explain: true, ..Request::instant_ms(query, end) };
        let answered = execute(&aged, &request).unwrap();
        assert!(answered.accuracy.is_some_and(|accuracy| accuracy.exact), "{query}: {:?}", answered.accuracy);
        let (mut nodes, mut read) = (vec![answered.explain.clone().unwrap()], (0, 0));
        while let Some(mut node) = nodes.pop() {
            let of_it = node.actual.map_or((0, 0), |actual| (actual.samples, actual.buckets));
            read = (read.0.max(of_it.0), read.1.max(of_it.1));
            nodes.append(&mut node.children);
        }
        assert!(read.0 == 0 && read.1 > 0, "{query} reads {} samples and {} buckets", read.0, read.1);
        let wanted = execute(&whole, &Request { tier: TierChoice::Raw, ..request }).unwrap();
        let (wanted, found) = (answers(&wanted), answers(&answered));
        let infos = &answered.infos;
        assert!(
            !wanted.is_empty() && wanted.keys().eq(found.keys()),
            "{query}: {wanted:?} {found:?} {infos:?}"
        );
        // Averages of buckets may differ in the last bit.
        let mut pairs = wanted.values().zip(found.values());
        assert!(
            pairs.all(|(a, b)| a == b || (a - b).abs() <= 1e-9 * a.abs()),
            "{query}: {wanted:?} {found:?}"
        );
    }
    let error =
        execute(&aged, &Request::instant_ms("forecast_at(m_total[12h], 1h)", end)).unwrap_err().to_string();
    assert_eq!(
        error,
        "forecast_at cannot be answered from buckets, and the samples are gone or were not asked for: give it a subquery of a \
         function that can, such as avg_over_time(metric[1m])[90d:1m]"
    );
}

/// A series that answers a year of hours, by the buckets read.
#[test]
fn explain_names_the_tier_and_counts_its_buckets() {
    let samples: Vec<(i64, f64, i64)> = (0..2_000).map(|i| (i * 15_000, (i % 70) as f64, 0)).collect();
    let source = source_of(&samples);
    let explained = |query: &str, tier: TierChoice| {
        let request =
            Request { tier, explain: true, ..Request::range_ms(query, 900_000, 24 * 900_000, 900_000) };
        let mut node = execute(&source, &request).unwrap().explain.unwrap();
        while let Some(child) = node.children.pop() {
            node = child;
        }
        let actual = node.actual.unwrap();
        (node.tier.map(|width| width.as_secs()), actual.buckets, actual.samples)
    };
    assert_eq!(explained("max_over_time(m_total[30m])", TierChoice::Exact), (Some(900), 25, 0));
    assert_eq!(explained("max_over_time(m_total[25m])", TierChoice::Exact), (Some(300), 73, 0));
    let fine = TierChoice::Width(Duration::from_secs(60));
    assert_eq!(explained("max_over_time(m_total[30m])", fine), (Some(60), 361, 0));
    assert_eq!(explained("m_total", TierChoice::Exact), (Some(900), 24, 0));
    assert_eq!(explained("max_over_time(m_total[30m])", TierChoice::Raw).0, None);
    assert_eq!(explained("double_exponential_smoothing(m_total[30m], 0.1, 0.1)", TierChoice::Exact).0, None);
}

#[test]
fn a_tier_that_does_not_exist_is_refused_with_those_that_do() {
    let tier = TierChoice::Width(Duration::from_secs(7));
    let refused = |source: &MemorySource| {
        let request = Request { tier, ..Request::instant_ms("m_total", 900_000) };
        execute(source, &request).unwrap_err().to_string()
    };
    assert_eq!(refused(&source_of(&[(0, 1.0, 0)])), "there is no tier of 7 seconds: choose 60 or 300 or 900");
    assert_eq!(
        refused(&MemorySource::new()),
        "there is no tier of 7 seconds: there are none, so let the query read samples"
    );
}
