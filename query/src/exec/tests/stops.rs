//! Every loop over series or values checks whether to stop. The tests count checks, not time.

use std::sync::Arc;
use std::time::Duration;

use barograph_engine::model::{Labels, Value};

use crate::source::MemorySource;
use crate::{QueryError, QueryValue, Request, execute};

const SERIES: usize = 10_000;
/// A sort checks once for each 4096 series that it compares, sorts and merges.
const SORT_LOOKS: u64 = 9;

fn source() -> MemorySource {
    let mut source = MemorySource::new();
    for series in 0..SERIES {
        let number = format!("{series:05}");
        let shuffled = format!("{:05}", series * 7919 % SERIES);
        let pairs = [("__name__", "m"), ("i", number.as_str()), ("j", shuffled.as_str()), ("le", "1")];
        let labels = Labels::from_pairs(pairs).unwrap();
        source.insert(&labels, 1_000_000, Value::Float((series * 7919 % SERIES) as f64), 0);
    }
    source
}

/// The number of checks of a query, which is canceled at check `stop_at` if given, and the number of series in its
/// answer.
fn looks(source: &MemorySource, request: &Request, stop_at: Option<u64>) -> (u64, Result<u64, QueryError>) {
    request.usage.stop_at(stop_at);
    let answer = execute(source, request).map(|response| match response.value {
        QueryValue::Vector(vector) => vector.len() as u64,
        QueryValue::Matrix(matrix) => matrix.len() as u64,
        other => panic!("{other:?}"),
    });
    (request.usage.checks(), answer)
}

/// Besides the checks while series are read and while the result is put into its final form, there are at least
/// `least`. A pass over the labels of all series checks 39 times, one over the values of a hundred steps 30 times, and
/// a query may have several of both. `least` is nine tenths of the checks counted when the loops were written, so that
/// no loop may lose its check.
fn check(source: &MemorySource, query: &str, least: u64, request: impl Fn(&str) -> Request) {
    let series = SERIES as u64;
    let finishing = looks(source, &request("m{}"), None).0 - series;
    let (all, answer) = looks(source, &request(query), None);
    let answer = answer.unwrap_or_else(|error| panic!("{query}: {error}"));
    let read = query.matches("m{}").count() as u64 * series + finishing * answer / series;
    assert!(all >= read + least, "{query}: {all} looks, {read} of them without what it does");
    // In the middle of its work.
    let at = all - (all - read) / 2 - finishing * answer / series;
    let (looked, ended) = looks(source, &request(query), Some(at));
    assert!(matches!(ended, Err(QueryError::Canceled)), "{query}: {ended:?}");
    assert!(looked < at + 100, "{query}: {looked} looks, canceled at {at}");
}

#[test]
fn what_is_done_with_labels_can_be_stopped() {
    let source = source();
    for (least, query) in [
        (71, r#"label_replace(m{}, "k", "$1", "i", "(.*)")"#),
        (71, r#"label_join(m{}, "k", "-", "i", "j")"#),
        (9036, r#"label_set(m{}, "k", "v")"#),
        (9036, r#"label_keep(m{}, "i")"#),
        (18037, "topk by (j) (1, m{})"),
        (49, "topk(9000, m{})"),
        (36, "limitk by (j) (1, m{})"),
        (72, "limit_ratio(0.5, m{})"),
        (27036, "quantile by (j) (0.5, m{})"),
        (53, "quantile(0.5, m{} + 0)"),
        (27106, r#"quantiles by (j) ("q", 0.5, 0.9, m{})"#),
        (18000, r#"count_values("v", m{})"#),
        (18036, "topk_max by (j) (1, m{})"),
        (45, "sum(m{})"),
        (9007, "sum by (j) (m{})"),
        (9074, "avg by (j) (m{} + 0)"),
        (77, "count(m{} + 0)"),
        (9074, "max without (i) (m{} + 0)"),
        (9073, "m{} + on (i) m{}"),
        (144, "m{} and m{}"),
        (144, "m{} or on (j) m{}"),
        (110, "m{} unless m{}"),
        (144, "m{} default m{}"),
        (144, "m{} if m{}"),
        (72, "union(m{}, m{})"),
        (9072, "histogram_quantile(0.5, m{})"),
        (46, "abs(m{}) + 1"),
        (9037, "info(m{})"),
    ] {
        check(&source, query, least, |query| Request::instant_ms(query, 1));
    }
    for query in [r#"sort_by_label(m{}, "j")"#, "sort(m{})", "sort_desc(m{})"] {
        check(&source, query, SORT_LOOKS, |query| Request::instant_ms(query, 1));
    }
}

#[test]
fn what_is_done_with_values_can_be_stopped() {
    let source = source();
    for (least, query) in [
        (63, "-m{}"),
        (65, "m{} * 2"),
        (31, "m{} > 2"),
        (464, "ln(m{})"),
        (465, "round(m{}, 5)"),
        (30, "absent(m{})"),
        (32, "vector(scalar(m{}))"),
        (94, "timestamp(m{} + 0)"),
        (65, "m{} default 1"),
        (65, "m{} if 1"),
        (33, "1 default m{}"),
        (9028, "keep_last_value(m{})"),
        (81, "max(m{})"),
    ] {
        check(&source, query, least, |query| Request::range_ms(query, 1, 100_001, 1_000));
    }
}

/// One series with samples at both ends of a query of a million steps. `least` is nine tenths of the checks counted when
/// the loops were written; without the loops over steps, there are no more than 6.
#[test]
fn what_is_done_at_each_step_can_be_stopped() {
    const STEPS: u64 = 1_000_000;
    let mut source = MemorySource::new();
    for (name, value) in [("m", Value::Float(1.0)), ("h", Value::Histogram(Arc::default()))] {
        let labels = Labels::from_pairs([("__name__", name)]).unwrap();
        for time in [1, STEPS as i64] {
            source.insert(&labels, time * 1_000_000, value.clone(), 0);
        }
    }
    let request = |text: &str| Request {
        lookback: Duration::from_millis(10),
        ..Request::range_ms(text, 1, STEPS as i64, 1)
    };
    for (least, query) in [
        (31, "m"),
        (31, "h"),
        (32, "m smoothed"),
        (18, "count_over_time(m[5ms])"),
        (16, "rate(h[5ms])"),
        (31, "rate(m[5ms] anchored)"),
        (31, "rate(m[5ms] smoothed)"),
        (31, "rate(h[5ms] anchored)"),
        (31, "changes(m[5ms] anchored)"),
    ] {
        let (all, answer) = looks(&source, &request(query), None);
        answer.unwrap_or_else(|error| panic!("{query}: {error}"));
        assert!(all >= least, "{query}: {all} checks");
        let (checks, ended) = looks(&source, &request(query), Some(all / 2));
        assert!(matches!(ended, Err(QueryError::Canceled)), "{query}: {ended:?}");
        assert_eq!(checks, all / 2, "{query}");
    }
}

/// One series whose info series is a different one at each step.
#[test]
fn the_search_for_info_series_can_be_stopped_and_its_columns_are_counted() {
    const STEPS: i64 = 1000;
    let mut source = MemorySource::new();
    for step in 1..=STEPS {
        let version = format!("{step:04}");
        for (name, version) in [("m", ""), ("target_info", version.as_str())] {
            let pairs = [("__name__", name), ("instance", "a"), ("job", "b"), ("version", version)];
            source.insert(&Labels::from_pairs(pairs).unwrap(), step * 1_000_000, Value::Float(1.0), 0);
        }
    }
    let lookback = Duration::from_millis(1);
    let request = || Request { lookback, ..Request::range_ms("info(m)", 1, STEPS, 1) };
    let (all, answer) = looks(&source, &request(), None);
    assert_eq!(answer.unwrap(), STEPS as u64);
    // 2,047 without those of the search: two for each info series, and those that label and finish the result.
    assert!(all >= 2_085, "{all} checks");
    // The series, and each info series twice, take 2,001 columns.
    let mut narrow = request();
    narrow.limits.samples_max = 2_500 * STEPS as u64;
    let refused = execute(&source, &narrow).map(drop);
    assert!(matches!(refused, Err(QueryError::TooManySamples { .. })), "{refused:?}");
}

#[test]
fn comparisons_of_many_series_can_be_stopped() {
    let mut source = MemorySource::new();
    for series in 0..SERIES / 10 {
        let number = format!("{series:05}");
        for sample in 0..40_i64 {
            let labels = Labels::from_pairs([("__name__", "m"), ("i", number.as_str())]).unwrap();
            let value = (sample * (series as i64 + 3) * 7919 % 101) as f64;
            source.insert(&labels, sample * 1_000_000_000, Value::Float(value), 0);
        }
    }
    let series = SERIES as u64 / 10;
    for (query, least) in [
        // Each candidate is checked as it is read. More checks are for ranking and labels.
        (r#"correlate(m{i="00000"}[40s], m{}[40s], detrend="none", topk=1000)"#, series + 10),
        (r#"root_cause(m{i="00000"}[40s], m{}[40s], detrend="none", topk=1000)"#, series + 10),
        ("metric_correlations(m{}[40s], 20s, topk=1000)", 2 * series + 10),
        ("isolation_forest_score(m{}[40s:500ms], m{}[40s:500ms])", 2 * series),
    ] {
        let (all, answer) = looks(&source, &Request::instant_ms(query, 39_000), None);
        assert!(answer.unwrap_or_else(|error| panic!("{query}: {error}")) > 0, "{query}");
        assert!(all >= least, "{query}: {all} looks");
        let (looked, ended) = looks(&source, &Request::instant_ms(query, 39_000), Some(all / 2));
        assert!(matches!(ended, Err(QueryError::Canceled)), "{query}: {ended:?}");
        assert!(looked < all / 2 + 100, "{query}: {looked} looks, canceled at {}", all / 2);
    }
}

/// Windows of a candidate that is not compared, because most of its values are missing, are looked at too.
#[test]
fn comparisons_at_many_steps_can_be_stopped() {
    const STEPS: u64 = 2_000;
    let mut source = MemorySource::new();
    for second in 0..=STEPS as i64 + 40 {
        for name in ["m", "sparse"] {
            if name == "m" || second % 10 == 0 {
                let labels = Labels::from_pairs([("__name__", name)]).unwrap();
                let value = Value::Float((second * 7919 % 101) as f64);
                source.insert(&labels, second * 1_000_000_000, value, 0);
            }
        }
    }
    for query in [
        r#"correlate(m[40s], sparse[40s], detrend="none")"#,
        r#"root_cause(m[40s], sparse[40s], detrend="none")"#,
    ] {
        let request = || Request::range_ms(query, 41_000, 40_000 + STEPS as i64 * 1000, 1000);
        let (all, answer) = looks(&source, &request(), None);
        assert_eq!(answer.unwrap_or_else(|error| panic!("{query}: {error}")), 0);
        // Once for each window of the target, and once for each of the candidate.
        assert!(all >= 2 * STEPS, "{query}: {all} looks");
        let (looked, ended) = looks(&source, &request(), Some(all - STEPS / 2));
        assert!(matches!(ended, Err(QueryError::Canceled)), "{query}: {ended:?}");
        assert!(looked < all - STEPS / 2 + 100, "{query}: {looked} looks");
    }
}
