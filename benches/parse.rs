//! From the text of a query to a checked tree: a short query, one of a dashboard, and one with 300 terms.
//!
//! A dashboard sends at most a few hundred queries per second, so it is enough if parsing costs far less than the
//! cheapest evaluation.

use std::fmt::Write;
use std::hint::black_box;

use barograph_engine::model::Pattern;
use barograph_query::syntax;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SHORT: &str = r#"rate(http_requests_total{job="api",code=~"5.."}[5m])"#;

const DASHBOARD: &str = r#"
    histogram_quantile(0.99, sum by (le, route) (
        rate(http_request_duration_seconds_bucket{cluster="eu-1", namespace=~"shop|cart|search", route!~"/health.*"}[5m])
    )) > on (route) group_left () (slo_latency_seconds{quantile="0.99"} * 1.2)
"#;

/// `rate(…) + rate(…) + …`
fn long(terms: usize) -> String {
    let mut text = String::new();
    for index in 0..terms {
        let separator = if index == 0 { "" } else { " + " };
        write!(text, r#"{separator}rate(requests_total{{instance="host-{index}",job="api"}}[5m])"#)
            .expect("writing to a string does not fail");
    }
    text
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (name, text) in [("short", SHORT), ("dashboard", DASHBOARD), ("300_terms", &long(300))] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), text, |b, text| {
            b.iter(|| syntax::parse(black_box(text)).expect("the query is right"));
        });
    }
    group.finish();
    let expr = syntax::parse(DASHBOARD).expect("the query is right");
    c.bench_function("parse/print", |b| b.iter(|| syntax::print(black_box(&expr))));
}

/// One value against a pattern: by a fast path, and by the automaton.
fn pattern(c: &mut Criterion) {
    let mut group = c.benchmark_group("pattern");
    for (name, text) in
        [("glob", "5.."), ("set", "200|204|404|503"), ("contains", ".*03.*"), ("automaton", "5[0-9]{2,}|x+")]
    {
        let pattern = Pattern::new(text).expect("the pattern is right");
        group.bench_function(name, |b| b.iter(|| pattern.is_match(black_box("503"))));
    }
    group.finish();
}

criterion_group!(benches, parse, pattern);
criterion_main!(benches);
