//! Whole queries over random series: sliding windows against single windows, kernels against plain recomputation, and
//! one core against several.

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use barograph_engine::model::{Labels, STALE_NAN_BITS, Value};
use proptest::prelude::*;

use crate::source::MemorySource;
use crate::{Cancel, Crew, QueryError, QueryValue, Request, Response, SampleValue, execute};

const NS: i64 = 1_000_000;

fn labels(series: usize) -> Labels {
    let i = format!("{series:04}");
    let group = format!("{}", series % 7);
    Labels::from_pairs([("__name__", "m_total"), ("i", i.as_str()), ("g", group.as_str())]).unwrap()
}

/// Values that are difficult for kernels, and ordinary ones.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0u32..50).prop_map(f64::from),
        3 => -1e3..1e3f64,
        1 => Just(f64::from_bits(STALE_NAN_BITS)),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(-0.0),
        1 => Just(1e300),
    ]
}

/// One series: gaps in milliseconds, and values.
fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    proptest::collection::vec((1i64..40_000, value()), 1..80).prop_map(|gaps| {
        let mut time = -100_000;
        let at = |(gap, v)| {
            time += gap;
            (time, v)
        };
        gaps.into_iter().map(at).collect()
    })
}

fn source_of(samples: &[(i64, f64)]) -> MemorySource {
    let mut source = MemorySource::new();
    for &(t, v) in samples {
        source.insert(&labels(0), t * NS, Value::Float(v), 0);
    }
    source
}

/// Times and bits of the only series.
fn column(response: &Response) -> BTreeMap<i64, u64> {
    match &response.value {
        QueryValue::Matrix(matrix) => {
            assert!(matrix.len() <= 1);
            matrix.iter().flat_map(|s| &s.floats_ms).map(|(t, v)| (*t, v.to_bits())).collect()
        }
        QueryValue::Vector(vector) => {
            let bits = |v: &SampleValue| match v {
                SampleValue::Float(v) => v.to_bits(),
                SampleValue::Histogram(_) => panic!("no histograms here"),
            };
            vector.iter().map(|s| (s.timestamp.as_millis(), bits(&s.value))).collect()
        }
        other => panic!("{other:?}"),
    }
}

const FUNCTIONS: [&str; 42] = [
    "rate(m_total[W])",
    "increase(m_total[W])",
    "delta(m_total[W])",
    "irate(m_total[W])",
    "idelta(m_total[W])",
    "resets(m_total[W])",
    "changes(m_total[W])",
    "deriv(m_total[W])",
    "predict_linear(m_total[W], 60)",
    "double_exponential_smoothing(m_total[W], 0.3, 0.6)",
    "sum_over_time(m_total[W])",
    "avg_over_time(m_total[W])",
    "min_over_time(m_total[W])",
    "max_over_time(m_total[W])",
    "ts_of_min_over_time(m_total[W])",
    "ts_of_max_over_time(m_total[W])",
    "count_over_time(m_total[W])",
    "stddev_over_time(m_total[W])",
    "stdvar_over_time(m_total[W])",
    "mad_over_time(m_total[W])",
    "quantile_over_time(0.7, m_total[W])",
    "first_over_time(m_total[W])",
    "last_over_time(m_total[W])",
    "present_over_time(m_total[W])",
    "increase(m_total[W] anchored)",
    "changes(m_total[W] anchored)",
    "rate(m_total[W] smoothed)",
    "max_over_time((m_total * 1)[W:7s])",
    "zscore_over_time(m_total[W])",
    "outlier_iqr_over_time(m_total[W])",
    "count_gt_over_time(m_total[W], 20)",
    "count_le_over_time(m_total[W], time() / 7 % 50)",
    "count_eq_over_time(m_total[W], (time() - time() % 300) / 300)",
    "count_ne_over_time(m_total[W], 7)",
    "share_gt_over_time(m_total[W], 20)",
    "share_le_over_time(m_total[W], (time() - time() % 300) / 300)",
    "share_eq_over_time(m_total[W], NaN)",
    "duration_over_time(m_total[W], 20)",
    "duration_over_time(m_total[W], (time() - time() % 300) / 300)",
    "increase_pure(m_total[W])",
    "rate_pure(m_total[W])",
    "increase_pure((m_total * 1)[W:7s])",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A range query slides, and an instant query has a single window: the results are identical to the bit.
    #[test]
    fn sliding_gives_what_single_windows_give(
        samples in samples(),
        window_s in 1u32..400,
        step_ms in 900i64..90_000,
    ) {
        let source = source_of(&samples);
        let (start, end) = (-50_000, -50_000 + 24 * step_ms);
        for function in FUNCTIONS {
            let query = function.replace('W', &format!("{window_s}s"));
            let range = execute(&source, &Request::range_ms(query.as_str(), start, end, step_ms)).unwrap();
            let mut single = BTreeMap::new();
            for i in 0..=24 {
                let at = start + i * step_ms;
                single.extend(column(&execute(&source, &Request::instant_ms(query.as_str(), at)).unwrap()));
            }
            prop_assert_eq!(column(&range), single, "{}", query);
        }
    }

    /// The kernels that keep state, against their definitions.
    #[test]
    fn kernels_do_what_their_definitions_say(samples in samples(), window_ms in 1i64..300_000) {
        let source = source_of(&samples);
        for at in (-60_000..600_000).step_by(61_007) {
            let inside: Vec<f64> = samples
                .iter()
                .filter(|(t, v)| *t > at - window_ms && *t <= at && v.to_bits() != STALE_NAN_BITS)
                .map(|s| s.1)
                .collect();
            let pairs = || inside.windows(2);
            let numbers = || inside.iter().copied().filter(|v| !v.is_nan());
            let extreme = |better: fn(f64, f64) -> bool| {
                numbers().reduce(|m, v| if better(v, m) { v } else { m }).unwrap_or(f64::NAN)
            };
            let is_change = |p: &&[f64]| p[0] != p[1] && !(p[0].is_nan() && p[1].is_nan());
            let expected = [
                ("count", inside.len() as f64),
                ("min", extreme(|v, m| v < m)),
                ("max", extreme(|v, m| v > m)),
                ("changes", pairs().filter(is_change).count() as f64),
                ("resets", pairs().filter(|p| p[1] < p[0]).count() as f64),
            ];
            for (name, expected) in expected {
                let function = if matches!(name, "changes" | "resets") { name.to_owned() } else { format!("{name}_over_time") };
                let query = format!("{function}(m_total[{window_ms}ms])");
                let got = column(&execute(&source, &Request::instant_ms(query.as_str(), at)).unwrap());
                let wanted = (!inside.is_empty()).then_some((at, expected.to_bits()));
                prop_assert_eq!(got, wanted.into_iter().collect::<BTreeMap<_, _>>(), "{}", query);
            }
        }
    }
}

fn many_series() -> MemorySource {
    let mut source = MemorySource::new();
    let mut state = 1u64;
    for series in 0..300 {
        for i in 0..120 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let v = (state >> 33) as f64 / 7.0 * 10f64.powi((state >> 60) as i32 - 8);
            source.insert(&labels(series), i * 15_000 * NS, Value::Float(v), 0);
        }
    }
    source
}

#[test]
fn the_number_of_cores_does_not_show() {
    let source = many_series();
    let queries = [
        "sum by (g) (rate(m_total[2m]))",
        "avg(m_total)",
        "stddev by (g) (m_total)",
        "topk(5, sum_over_time(m_total[5m]))",
        "quantile(0.9, m_total)",
    ];
    let with_threads = |threads: usize| -> Vec<Response> {
        let crew = Crew::of(threads - 1);
        let request = |q: &str| Request { crew: crew.clone(), ..Request::range_ms(q, 0, 1_800_000, 2_000) };
        queries.iter().map(|q| execute(&source, &request(q)).unwrap()).collect()
    };
    for (one, four) in with_threads(1).into_iter().zip(with_threads(4)) {
        assert_eq!(one.value, four.value);
        assert_eq!(one.stats.samples_total, four.stats.samples_total);
    }
}

/// A program that embeds the database may keep rayon's pool busy indefinitely.
#[test]
fn a_query_does_not_wait_for_the_pool_of_the_program() {
    let source = many_series();
    let threads = rayon::current_num_threads();
    let (begun, held) = (Arc::new(Barrier::new(threads + 1)), Arc::new(Barrier::new(threads + 1)));
    for _ in 0..threads {
        let (begun, held) = (begun.clone(), held.clone());
        rayon::spawn(move || {
            begun.wait();
            held.wait();
        });
    }
    begun.wait();
    let request = Request::range_ms("sum by (g) (rate(m_total[2m]))", 0, 1_800_000, 2_000);
    let answered = execute(&source, &request);
    // Work over series, over columns, and over the value of another expression.
    let others = ["max_over_time(m_total[5m:1m])", "sum by (g) (m_total * 2)", "quantile(0.9, m_total)"];
    let others = others.map(|text| execute(&source, &Request::range_ms(text, 0, 1_800_000, 60_000)));
    let cancelled = Request { cancel: Cancel::default(), ..request };
    cancelled.cancel.cancel();
    let stopped = execute(&source, &cancelled);
    // Until here, all threads of the pool wait at the second barrier.
    held.wait();
    assert!(matches!(&answered.unwrap().value, QueryValue::Matrix(series) if series.len() == 7));
    others.into_iter().for_each(|answer| drop(answer.unwrap()));
    assert!(matches!(stopped, Err(QueryError::Canceled)), "{stopped:?}");
}

#[test]
fn limits_end_a_query() {
    let source = many_series();
    let ask = |change: fn(&mut Request)| {
        let mut request = Request::range_ms("sum(rate(m_total[5m]))", 0, 1_800_000, 15_000);
        change(&mut request);
        execute(&source, &request).unwrap_err()
    };
    let error = ask(|r| r.limits.samples_max = 10_000);
    assert!(matches!(error, QueryError::TooManySamples { limit: 10_000 }), "{error}");
    let error = ask(|r| r.limits.timeout = Duration::ZERO);
    assert!(matches!(error, QueryError::Timeout { .. }), "{error}");
    let error = ask(|r| r.limits.series_max = 299);
    assert!(matches!(error, QueryError::Source(_)), "{error}");
    let error = ask(|r| {
        r.cancel = Cancel::default();
        r.cancel.cancel();
    });
    assert!(matches!(error, QueryError::Canceled), "{error}");
}

/// Smoothing restarts in each of a million windows of a million values, which no machine can finish.
const ENDLESS: &str =
    "max_over_time(double_exponential_smoothing(vector(time())[300h:1s], 0.5, 0.5)[300h:1s])";

/// The error with which the query ends when `stop` is called while it runs.
fn ended_by(stop: impl FnOnce(&Request), timeout: Duration) -> QueryError {
    let mut request = Request::instant_ms(ENDLESS, 0);
    request.limits.timeout = timeout;
    let (ends, ended) = std::sync::mpsc::channel();
    let running = request.clone();
    let query = std::thread::spawn(move || ends.send(execute(&MemorySource::new(), &running).unwrap_err()));
    while request.usage.bytes_peak() == 0 && !query.is_finished() {
        std::thread::yield_now();
    }
    stop(&request);
    ended.recv_timeout(Duration::from_secs(300)).expect("it is stopped")
}

#[test]
fn a_query_is_stopped_in_the_midst_of_a_series() {
    let error = ended_by(|request| request.cancel.cancel(), Duration::from_secs(3600));
    assert!(matches!(error, QueryError::Canceled), "{error}");
    let error = ended_by(|_| (), Duration::from_millis(50));
    assert!(matches!(error, QueryError::Timeout { .. }), "{error}");
}

#[test]
fn times_at_the_ends_of_the_clock_do_no_harm() {
    let source = source_of(&[(0, 1.0), (1000, 2.0)]);
    for time in [i64::MIN, i64::MIN / NS, -1, i64::MAX / NS, i64::MAX] {
        for query in [
            "m_total",
            "m_total offset 292y",
            "m_total offset -292y",
            "rate(m_total[292y])",
            "sum_over_time(m_total[1h:1m])",
            "increase(m_total[1h] smoothed)",
            "day_of_year()",
            "timestamp(m_total)",
        ] {
            let _ = execute(&source, &Request::instant_ms(query, time));
        }
    }
    let request = Request::range_ms("vector(1)", i64::MIN, i64::MAX, 1);
    assert!(matches!(execute(&source, &request), Err(QueryError::TooManySamples { .. })));
    let request = Request::instant_ms("sum_over_time(m_total[100y:1ms])", 0);
    assert!(matches!(execute(&source, &request), Err(QueryError::TooManySamples { .. })));
}

#[test]
fn two_samples_within_a_millisecond_are_two() {
    let mut source = MemorySource::new();
    source.insert(&labels(0), 1_000 * NS, Value::Float(1.0), 0);
    source.insert(&labels(0), 1_000 * NS + 1, Value::Float(2.0), 0);
    let at = |query: &str, time| column(&execute(&source, &Request::instant_ms(query, time)).unwrap());
    assert_eq!(at("m_total", 1_000), BTreeMap::from([(1_000, 1f64.to_bits())]));
    assert_eq!(at("m_total", 1_001), BTreeMap::from([(1_001, 2f64.to_bits())]));
    assert_eq!(at("count_over_time(m_total[1ms])", 1_001), BTreeMap::from([(1_001, 1f64.to_bits())]));
    assert_eq!(at("count_over_time(m_total[2ms])", 1_001), BTreeMap::from([(1_001, 2f64.to_bits())]));
}

#[test]
fn values_near_the_largest_float_have_a_sum() {
    let mut source = MemorySource::new();
    for (i, value) in ["0", "1"].into_iter().zip([-7.733479453475439e307, f64::MAX]) {
        let labels = Labels::from_pairs([("__name__", "m"), ("i", i)]).unwrap();
        source.insert(&labels, 1_000_000, Value::Float(value), 0);
    }
    for query in ["sum(m)", "sum(m + 0)", "2 * avg(m)"] {
        let answer = execute(&source, &Request::instant_ms(query, 1)).unwrap().value;
        let QueryValue::Vector(vector) = answer else { panic!("{answer:?}") };
        assert_eq!(vector[0].value, SampleValue::Float(f64::MAX - 7.733479453475439e307), "{query}");
    }
}

mod comparisons;
mod distributions;
mod extensions;
mod held;
mod spans;
mod stops;
mod tiers;
