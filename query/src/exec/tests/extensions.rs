//! The functions beyond PromQL against plain recomputation from their documentation.

use barograph_engine::model::Histogram;

use super::*;
use crate::functions::window::over_time::variance;

/// One series: milliseconds, value, and the age of its start time at the sample, if known.
fn counters() -> impl Strategy<Value = Vec<(i64, f64, Option<i64>)>> {
    let value = prop_oneof![8 => (0u32..50).prop_map(f64::from), 1 => Just(f64::from_bits(STALE_NAN_BITS))];
    let one = (1i64..200_000, value, prop::option::weighted(0.3, 1i64..300_000));
    proptest::collection::vec(one, 1..60).prop_map(|gaps| {
        let mut time = -100_000;
        let at = |(gap, v, age)| {
            time += gap;
            (time, v, age)
        };
        gaps.into_iter().map(at).collect()
    })
}

fn instant(source: &MemorySource, query: &str, at: i64) -> Option<f64> {
    column(&execute(source, &Request::instant_ms(query, at)).unwrap())
        .get(&at)
        .map(|bits| f64::from_bits(*bits))
}

fn same(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * b.abs().max(1.0)
        }
        _ => a.is_none() && b.is_none(),
    }
}

/// The growth from sample to sample, without any of the arithmetic that windows share.
fn growth(samples: &[(i64, f64, i64)], start: i64, end: i64) -> Option<f64> {
    let inside: Vec<usize> =
        (0..samples.len()).filter(|&i| samples[i].0 > start && samples[i].0 <= end).collect();
    let &first = inside.first()?;
    let mut grown = match first.checked_sub(1).filter(|&i| samples[i].0 > start - 300_000) {
        Some(before) => step(samples[before], samples[first]),
        None if samples[first].2 == 0 || samples[first].2 > start => samples[first].1,
        None => 0.0,
    };
    for pair in inside.windows(2) {
        grown += step(samples[pair[0]], samples[pair[1]]);
    }
    Some(grown)
}

fn step(before: (i64, f64, i64), after: (i64, f64, i64)) -> f64 {
    let (began, known) = (after.2, after.2 != 0 && after.2 < after.0);
    let restarts = known && (began > before.0 || (began == before.0 && began != before.2));
    if after.1 < before.1 || restarts { after.1 } else { after.1 - before.1 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn exact_counters_add_up_sample_by_sample(series in counters(), window_ms in 1i64..400_000) {
        let mut source = MemorySource::new();
        let mut kept = Vec::new();
        for &(t, v, age) in &series {
            let start = age.map_or(0, |age| t - age);
            source.insert(&labels(0), t * NS, Value::Float(v), start * NS);
            if v.to_bits() != STALE_NAN_BITS {
                kept.push((t, v, start));
            }
        }
        for at in (-60_000..3_000_000).step_by(101_009) {
            let got = instant(&source, &format!("increase_pure(m_total[{window_ms}ms])"), at);
            let wanted = growth(&kept, at - window_ms, at);
            prop_assert!(same(got, wanted), "at {at}: {got:?}, wanted {wanted:?}");
            let rate = instant(&source, &format!("rate_pure(m_total[{window_ms}ms])"), at);
            prop_assert!(same(rate, wanted.map(|g| g / (window_ms as f64 / 1000.0))), "at {at}: {rate:?}");
        }
    }

    #[test]
    fn counts_shares_and_durations_are_what_they_say(
        samples in samples(),
        window_ms in 1i64..300_000,
        x in prop_oneof![(0u32..50).prop_map(f64::from), Just(f64::NAN), Just(f64::INFINITY)],
        gap_ms in 1i64..40_000,
    ) {
        let source = source_of(&samples);
        for at in (-60_000..600_000).step_by(61_007) {
            let inside: Vec<(i64, f64)> = samples
                .iter()
                .copied()
                .filter(|(t, v)| *t > at - window_ms && *t <= at && v.to_bits() != STALE_NAN_BITS)
                .collect();
            let values: Vec<f64> = inside.iter().map(|s| s.1).collect();
            let count = |holds: fn(f64, f64) -> bool| values.iter().filter(|v| holds(**v, x)).count() as f64;
            let n = values.len() as f64;
            let covered: i64 =
                inside.windows(2).map(|p| p[1].0 - p[0].0).filter(|gap| *gap <= gap_ms).sum();
            let mean = values.iter().sum::<f64>() / n;
            let newest = values.last().copied().unwrap_or(0.0);
            let same_all = values.iter().all(|v| *v == newest);
            let score = match same_all && newest.is_finite() {
                true => 0.0,
                false => (newest - mean) / variance(&values).sqrt(),
            };
            let bound = if x.is_nan() { "NaN".to_owned() } else { x.to_string().replace("inf", "Inf") };
            let mut cases = vec![
                (format!("count_gt_over_time(W, {bound})"), count(|v, x| v > x)),
                (format!("count_le_over_time(W, {bound})"), count(|v, x| v <= x)),
                (format!("count_eq_over_time(W, {bound})"), count(|v, x| v == x)),
                (format!("count_ne_over_time(W, {bound})"), count(|v, x| v != x)),
                (format!("share_gt_over_time(W, {bound})"), count(|v, x| v > x) / n),
                (format!("share_le_over_time(W, {bound})"), count(|v, x| v <= x) / n),
                (format!("share_eq_over_time(W, {bound})"), count(|v, x| v == x) / n),
                (format!("duration_over_time(W, {gap_ms}ms)"), covered as f64 / 1000.0),
            ];
            // If values differ by hundreds of magnitudes, a plain mean cannot be the reference.
            if values.iter().all(|v| v.abs() < 1e6) {
                cases.push(("zscore_over_time(W)".to_owned(), score));
            }
            for (query, wanted) in cases {
                let got = instant(&source, &query.replace('W', &format!("m_total[{window_ms}ms]")), at);
                let wanted = (!values.is_empty()).then_some(wanted);
                prop_assert!(same(got, wanted), "{query} at {at}: {got:?}, wanted {wanted:?}");
            }
        }
    }

    /// A subquery shows the steps of a query as samples, so a statistic of all steps must equal the function over the
    /// window.
    #[test]
    fn statistics_of_all_steps_agree_with_windows(samples in samples(), step_ms in 900i64..60_000) {
        let source = source_of(&samples);
        let count = 24;
        // Steps of a subquery are multiples of its step; so are these.
        let end = 600_000 / step_ms * step_ms;
        let start = end - (count - 1) * step_ms;
        let plain = |query: &str| {
            column(&execute(&source, &Request::range_ms(query, start, end, step_ms)).unwrap())
        };
        for (whole, windowed) in [
            ("range_avg(m_total)", "avg_over_time(m_total[W])"),
            ("range_sum(m_total)", "sum_over_time(m_total[W])"),
            ("range_min(m_total)", "min_over_time(m_total[W])"),
            ("range_max(m_total)", "max_over_time(m_total[W])"),
            ("range_first(m_total)", "first_over_time(m_total[W])"),
            ("range_last(m_total)", "last_over_time(m_total[W])"),
            ("range_median(m_total)", "quantile_over_time(0.5, m_total[W])"),
            ("range_quantile(0.3, m_total)", "quantile_over_time(0.3, m_total[W])"),
            ("range_stddev(m_total)", "stddev_over_time(m_total[W])"),
            ("range_stdvar(m_total)", "stdvar_over_time(m_total[W])"),
        ] {
            let over_steps = windowed.replace('W', &format!("{}ms:{step_ms}ms", count * step_ms));
            let wanted = instant(&source, &over_steps, end);
            let got = plain(whole);
            prop_assert_eq!(got.len(), if wanted.is_some() { count as usize } else { 0 }, "{}", whole);
            for (at, bits) in got {
                let got = f64::from_bits(bits);
                prop_assert!(same(Some(got), wanted), "{whole} at {at}: {got}, wanted {wanted:?}");
            }
        }
        // Running statistics are those of the steps so far.
        for (whole, windowed) in [
            ("running_avg(m_total)", "avg_over_time(m_total[W])"),
            ("running_sum(m_total)", "sum_over_time(m_total[W])"),
            ("running_min(m_total)", "min_over_time(m_total[W])"),
            ("running_max(m_total)", "max_over_time(m_total[W])"),
        ] {
            let got = plain(whole);
            for i in 0..count {
                let at = start + i * step_ms;
                let so_far = windowed.replace('W', &format!("{}ms:{step_ms}ms", (i + 1) * step_ms));
                let wanted = instant(&source, &so_far, at);
                let got = got.get(&at).map(|bits| f64::from_bits(*bits));
                prop_assert!(same(got, wanted), "{whole} at {at}: {got:?}, wanted {wanted:?}");
            }
        }
    }
}

#[test]
fn extensions_give_the_same_on_any_number_of_cores() {
    let source = many_series();
    let queries =
        ["topk_avg by (g) (2, m_total)", "range_zscore(m_total)", "running_avg(rate_pure(m_total[1m]))"];
    let with_threads = |threads: usize| -> Vec<QueryValue> {
        let crew = Crew::of(threads - 1);
        let request = |q: &str| Request { crew: crew.clone(), ..Request::range_ms(q, 0, 1_800_000, 5_000) };
        queries.iter().map(|q| execute(&source, &request(q)).unwrap().value).collect()
    };
    assert_eq!(with_threads(1), with_threads(4));
}

#[test]
fn a_ranking_of_whole_series_shows_k_lines() {
    let source = many_series();
    let lines = |query: &str| match execute(&source, &Request::range_ms(query, 0, 1_800_000, 15_000))
        .unwrap()
        .value
    {
        QueryValue::Matrix(matrix) => matrix.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(lines("topk_max(5, m_total)"), 5);
    assert_eq!(lines("bottomk_median by (g) (2, m_total)"), 14);
    assert!(lines("topk(5, m_total)") > 5);
}

#[test]
fn limits_end_extensions_too() {
    let source = many_series();
    for query in [
        "range_avg(m_total)",
        "topk_avg(3, m_total)",
        "label_set(m_total, \"a\", \"b\")",
        "increase_pure(m_total[5m])",
    ] {
        let ask = |change: fn(&mut Request)| {
            let mut request = Request::range_ms(query, 0, 1_800_000, 15_000);
            change(&mut request);
            execute(&source, &request).unwrap_err()
        };
        assert!(
            matches!(ask(|r| r.limits.samples_max = 10_000), QueryError::TooManySamples { .. }),
            "{query}"
        );
        assert!(matches!(ask(|r| r.cancel.cancel()), QueryError::Canceled), "{query}");
    }
    // A repeated histogram counts each time.
    let mut source = MemorySource::new();
    let h = Histogram { positive_buckets: vec![1.0; 1000], ..Histogram::default() };
    source.insert(&labels(0), 0, Value::Histogram(std::sync::Arc::new(h)), 0);
    let mut request = Request::range_ms("keep_last_value(m_total)", 0, 3_600_000_000, 3_600_000);
    request.limits.samples_max = 100_000;
    assert!(matches!(execute(&source, &request), Err(QueryError::TooManySamples { .. })));
}

#[test]
fn the_samples_of_an_analysis_count_once_however_many_columns_it_has() {
    let samples: Vec<(i64, f64)> =
        (0..300).map(|i| (i * 15_000, [1.0, 3.0, 2.0, 5.0, 4.0][i as usize % 5])).collect();
    let source = source_of(&samples);
    let read = |query: &str| {
        let response = execute(&source, &Request::range_ms(query, 3_600_000, 4_200_000, 60_000)).unwrap();
        let QueryValue::Matrix(matrix) = &response.value else { panic!("{query}: {:?}", response.value) };
        (matrix.len(), response.stats.samples_total)
    };
    let (_, each) = read("count_over_time(m_total[1h])");
    for (query, columns) in [
        ("anomaly_score(m_total[1h], period=75s)", 1),
        ("anomaly_bounds(m_total[1h], period=75s)", 3),
        ("seasonal_decompose(m_total[1h], period=75s)", 3),
    ] {
        assert_eq!(read(query), (columns, each), "{query}");
    }
}

/// An answer over HTTP has ten infos.
#[test]
fn one_info_says_that_rates_of_counters_are_used() {
    let infos = |metrics: i64| {
        let mut source = MemorySource::new();
        for (i, step) in (0..metrics).flat_map(|i| (0..40).map(move |step| (i, step))) {
            let name = format!("m{i:02}_total");
            let labels = Labels::from_pairs([("__name__", name.as_str()), ("of", &name)]).unwrap();
            source.insert(&labels, step * 60_000 * NS, Value::Float((step * step) as f64), 0);
        }
        let query = r#"forecast_at({__name__=~"m.*"}[1h], 60)"#;
        execute(&source, &Request::instant_ms(query, 2_400_000)).unwrap().infos
    };
    let one = r#"PromQL info: the rate per second is used, as "m00_total" is a counter (1:13)"#;
    assert_eq!(infos(1), [one]);
    let all = r#"PromQL info: the rates per second of 12 counters are used, "m00_total" among them (1:13)"#;
    assert_eq!(infos(12), [all]);
}

#[test]
fn the_number_of_series_that_are_left_out_comes_first() {
    let infos = |series: usize| {
        let mut source = MemorySource::new();
        for (i, step) in (0..series).flat_map(|i| (0..20).map(move |step| (i, step))) {
            let name = format!("{i:02}");
            let labels = Labels::from_pairs([("__name__", "flat"), ("i", name.as_str())]).unwrap();
            source.insert(&labels, step * 60_000 * NS, Value::Float(3.0), 0);
        }
        execute(&source, &Request::instant_ms("season_length(flat[1h])", 1_200_000)).unwrap().infos
    };
    let found = infos(12);
    assert_eq!(found.len(), 11);
    assert_eq!(
        found[..2],
        [
            "PromQL info: season_length leaves out 12 series, for reasons such as these (1:15)",
            "PromQL info: season_length leaves out flat{i=\"00\"}: all its values are equal (1:15)",
        ]
    );
    assert_eq!(infos(10).len(), 10);
}
