//! Comparisons of series: the labels of lags, and rates of windows a day apart.

use super::*;

fn insert(source: &mut MemorySource, name: &str, time_ms: i64, value: f64) {
    source.insert(&Labels::from_pairs([("__name__", name)]).unwrap(), time_ms * NS, Value::Float(value), 0);
}

/// The label `lag` of each series, and its values.
fn lags(response: Response) -> Vec<(String, Vec<f64>)> {
    let lag = |labels: &Labels| labels.get("lag").unwrap_or_default().to_owned();
    let float = |value: &SampleValue| match value {
        SampleValue::Float(value) => *value,
        other => panic!("{other:?}"),
    };
    match response.value {
        QueryValue::Vector(vector) => {
            vector.iter().map(|sample| (lag(&sample.labels), vec![float(&sample.value)])).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn wave(i: i64) -> f64 {
    (i * 37 % 101) as f64
}

#[test]
fn lags_of_less_than_a_second_have_labels_of_their_own() {
    let mut source = MemorySource::new();
    for i in 1..=100 {
        insert(&mut source, "a", i * 300, wave(i));
        insert(&mut source, "b", i * 300, wave(i + 5));
    }
    let request = Request::instant_ms("cross_correlation(a[30s], b[30s], 2100ms)", 30_000);
    let found = lags(execute(&source, &request).unwrap());
    let labels: Vec<&str> = found.iter().map(|(lag, _)| lag.as_str()).collect();
    let later = ["0s", "300ms", "600ms", "900ms", "1200ms", "1500ms", "1800ms", "2100ms"];
    assert_eq!(labels[7..], later);
    assert!(labels.len() == 15 && labels[0] == "-2100ms");
    let best = found.iter().max_by(|a, b| a.1[0].total_cmp(&b.1[0])).unwrap();
    assert!(best.0 == "1500ms" && best.1[0] > 0.99, "{best:?}");
}

#[test]
fn the_longest_lag_may_be_zero() {
    let mut source = MemorySource::new();
    for i in 1..=100 {
        insert(&mut source, "a", i * 1000, wave(i));
        insert(&mut source, "b", i * 1000, wave(i + 5));
    }
    let run = |method: &str, lag: &str| {
        let query =
            format!(r#"correlate(a[100s], b[100s], method="{method}", detrend="none", max_lag={lag})"#);
        lags(execute(&source, &Request::instant_ms(&query, 100_000)).unwrap()).remove(0)
    };
    for zero in ["0s", "0"] {
        for method in ["pearson", "spearman", "dtw"] {
            let (at_zero, at_best) = (run(method, zero), run(method, "10s"));
            assert_eq!(at_zero.0, "0s");
            assert!(at_zero.1[0].abs() < at_best.1[0] - 0.1, "{method}: {at_zero:?} {at_best:?}");
        }
    }
    let query = r#"correlate(a[100s], b[100s], max_lag=-1s)"#;
    let error = execute(&source, &Request::instant_ms(query, 100_000)).unwrap_err().to_string();
    assert!(error.contains("a duration such as 5m, or 0"), "{error}");
    let causes = r#"root_cause(a[100s], b[100s], detrend="none", max_lag=0s)"#;
    assert!(execute(&source, &Request::instant_ms(causes, 100_000)).is_ok());
}

/// The median interval differs from window to window.
#[test]
fn lags_of_two_steps_with_the_same_label_are_one_series() {
    let mut source = MemorySource::new();
    for i in 0..120 {
        let time = if i < 60 { i * 10_040 } else { 60 * 10_040 + (i - 60) * 9_970 };
        insert(&mut source, "a", time, wave(i));
        insert(&mut source, "b", time, wave(i + 2));
    }
    // The subquery would give two series for one label.
    let query = "count_over_time(cross_correlation(a[400s], b[400s], 20s)[700s:100s])";
    let mut found = lags(execute(&source, &Request::instant_ms(query, 1_150_000)).unwrap());
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let labels: Vec<&str> = found.iter().map(|(lag, _)| lag.as_str()).collect();
    assert_eq!(labels, ["-10s", "-20s", "0s", "10s", "20s"]);
    assert!(found.iter().all(|(_, values)| values == &[7.0]), "{found:?}");
}

/// Between the two windows, which are a day apart, the counter grows a lot.
#[test]
fn no_rate_spans_the_time_between_a_window_and_that_of_the_day_before() {
    const DAY: i64 = 86_400_000;
    let mut source = MemorySource::new();
    let mut count = 0.0;
    for day in [0, DAY] {
        for i in 1..=40 {
            let rate = wave(i) + if day == 0 { 0.0 } else { (i * 53 % 89) as f64 };
            count += rate * 30.0;
            insert(&mut source, "c_total", day + i * 30_000, count);
            insert(&mut source, "g", day + i * 30_000, rate);
        }
        count += 1e12;
    }
    for query in
        ["correlate(c_total[20m], g[20m], max_lag=1m)", "correlate(g[20m], c_total[20m], max_lag=1m)"]
    {
        let response = execute(&source, &Request::instant_ms(query, DAY + 1_200_000)).unwrap();
        let found = lags(response);
        // A gauge has one value more, which is compared with the nearest rate.
        assert!(found.len() == 1 && found[0].0 == "0s" && found[0].1[0] > 0.97, "{query}: {found:?}");
    }
}
