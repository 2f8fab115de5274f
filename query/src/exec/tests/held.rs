//! The memory of maps of groups, signatures and results is counted.

use barograph_engine::model::{Labels, Value};

use crate::source::MemorySource;
use crate::{QueryError, QueryValue, Request, VectorSample, execute};

const SERIES: u64 = 10_000;

fn source() -> MemorySource {
    let mut source = MemorySource::new();
    for series in 0..SERIES {
        let number = format!("{series:05}");
        let labels = Labels::from_pairs([("__name__", "m"), ("i", number.as_str())]).unwrap();
        source.insert(&labels, 1_000_000, Value::Float(series as f64), 0);
    }
    source
}

/// The peak memory of a query, and its result.
fn peak(source: &MemorySource, query: &str) -> (u64, Request) {
    let request = Request::instant_ms(query, 1);
    execute(source, &request).unwrap_or_else(|error| panic!("{query}: {error}"));
    (request.usage.bytes_peak(), request)
}

#[test]
fn groups_and_signatures_are_counted_before_they_are_made() {
    let source = source();
    for (few, many, least) in [
        // A key, an entry in a map, and a list of members.
        ("count(m{} + 0)", "count by (i) (m{} + 0)", 130),
        // Labels, an entry in a map, and a list for each side.
        ("m{} and on () m{}", "m{} and on (i) m{}", 80),
        ("m{} default on () m{}", "m{} default on (i) m{}", 80),
    ] {
        let ((few, _), (peak, request)) = (peak(&source, few), peak(&source, many));
        assert!(peak >= few + least * SERIES, "{many}: {peak} bytes, {few} where there is one");
        let mut narrow = Request::instant_ms(request.query, 1);
        narrow.limits.memory_max = few + least * SERIES / 2;
        let refused = execute(&source, &narrow).map(drop);
        assert!(matches!(refused, Err(QueryError::Memory { .. })), "{many}: {refused:?}");
        assert_eq!(narrow.usage.bytes(), 0);
    }
}

#[test]
fn what_an_instant_query_leaves_is_its_answer() {
    let source = source();
    let request = Request::instant_ms("m{}", 1);
    let QueryValue::Vector(samples) = execute(&source, &request).unwrap().value else { panic!("a vector") };
    let labels: usize = samples.iter().map(|s| s.labels.as_bytes().len() + 2 * size_of::<usize>()).sum();
    assert_eq!(request.usage.bytes(), (labels + samples.len() * size_of::<VectorSample>()) as u64);
    // During the conversion from columns, both forms exist; before that, so did the map that finds duplicates.
    assert!(request.usage.bytes_peak() >= request.usage.bytes() + SERIES * size_of::<VectorSample>() as u64);
}

/// A result of a call over windows takes 150 bytes besides its labels and values, twice while results are put in order.
#[test]
fn results_are_counted_before_they_are_put_in_order() {
    let source = source();
    let query = "last_over_time(m{}[5m])";
    let (peak, _) = peak(&source, query);
    assert!(peak >= 350 * SERIES, "{peak} bytes");
    let mut narrow = Request::instant_ms(query, 1);
    narrow.limits.memory_max = 300 * SERIES;
    let refused = execute(&source, &narrow).map(drop);
    assert!(matches!(refused, Err(QueryError::Memory { .. })), "{refused:?}");
    assert_eq!(narrow.usage.bytes(), 0);
}

#[test]
fn scores_of_candidates_are_counted_and_given_back() {
    let mut source = MemorySource::new();
    for series in 0..1000_u64 {
        let number = format!("{series:05}");
        let labels = Labels::from_pairs([("__name__", "m"), ("i", number.as_str())]).unwrap();
        for sample in 0..40 {
            let value = (sample * (series + 3) * 7919 % 101) as f64;
            source.insert(&labels, sample as i64 * 1_000_000_000, Value::Float(value), 0);
        }
    }
    let few = r#"correlate(m{i="00000"}[40s], m{i="00001"}[40s], detrend="none")"#;
    let many = r#"correlate(m{i="00000"}[40s], m{}[40s], detrend="none")"#;
    let run = |query: &str, memory_max: u64| {
        let mut request = Request::instant_ms(query, 39_000);
        request.limits.memory_max = memory_max;
        let answer = execute(&source, &request).map(drop);
        (answer, request)
    };
    let (few, many_request) = (run(few, u64::MAX).1.usage.bytes_peak(), run(many, u64::MAX).1);
    // A score, the labels and the places of the ranking.
    let needed = 1000 * 60;
    let peak = many_request.usage.bytes_peak();
    assert!(peak >= few + needed, "{peak} bytes, {few} of one");
    let (refused, narrow) = run(many, few + needed / 2);
    assert!(matches!(refused, Err(QueryError::Memory { .. })), "{refused:?}");
    assert_eq!(narrow.usage.bytes(), 0);
}

/// Samples of each second, and the peak memory of a query over this many steps.
fn peak_of_steps(query: &str, steps: u64, memory_max: u64) -> (Result<(), QueryError>, Request) {
    let mut source = MemorySource::new();
    for (name, factor) in [("a", 7919), ("b", 6971)] {
        let labels = Labels::from_pairs([("__name__", name)]).unwrap();
        for second in 0..2_000_i64 {
            source.insert(&labels, second * 1_000_000_000, Value::Float((second * factor % 101) as f64), 0);
        }
    }
    let mut request = Request::range_ms(query, 100_000, 99_000 + steps as i64 * 1000, 1000);
    request.limits.memory_max = memory_max;
    (execute(&source, &request).map(drop), request)
}

#[test]
fn what_is_prepared_for_each_step_is_counted() {
    for query in [
        r#"correlate(a[100s], b[100s], detrend="none", method="spearman")"#,
        r#"root_cause(a[100s], b[100s], detrend="none")"#,
        "cross_correlation(a[100s], b[100s], 1s)",
    ] {
        let of = |steps| peak_of_steps(query, steps, u64::MAX).1.usage.bytes_peak();
        let (few, many) = (of(10), of(1010));
        // Single-precision values, and two sums for each step of the window.
        let needed = 1000 * 100 * 20;
        assert!(many >= few + needed, "{query}: {many} bytes, {few} of ten steps");
        let (refused, narrow) = peak_of_steps(query, 1010, few + needed / 2);
        assert!(matches!(refused, Err(QueryError::Memory { .. })), "{query}: {refused:?}");
        assert_eq!(narrow.usage.bytes(), 0);
    }
}

/// What a step needs only while it is computed is not held for all steps.
#[test]
fn buffers_of_a_step_are_given_back() {
    for (query, each) in [
        // Prepared targets, and a column for each lag.
        ("cross_correlation(a[100s], b[100s], 1s)", 2_500),
        ("isolation_forest_score(a[100s], b[100s], trees=10)", 200),
        // Too few values.
        ("isolation_forest_score(a[20s], b[20s])", 200),
    ] {
        let of = |steps| {
            let (answer, request) = peak_of_steps(query, steps, u64::MAX);
            answer.unwrap_or_else(|error| panic!("{query}: {error}"));
            request.usage.bytes_peak()
        };
        let (few, many) = (of(10), of(510));
        assert!(many <= few + 500 * each, "{query}: {many} bytes, {few} of ten steps");
    }
}
