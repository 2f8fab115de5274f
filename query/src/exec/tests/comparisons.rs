//! Comparisons of series: the labels of lags.

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
