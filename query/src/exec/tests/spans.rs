//! Aggregations that fold series as they are read, against the same aggregation of a vector.

use barograph_engine::model::{Histogram, Labels, Value};

use crate::source::MemorySource;
use crate::{QueryError, Request, Response, execute};

const NS: i64 = 1_000_000;

fn labels(name: &str, i: u64) -> Labels {
    let (pod, group) = (format!("pod-{}-{i}", i * 7 % 60), format!("g{}", i * 5 % 13));
    Labels::from_pairs([("__name__", name), ("pod", pod.as_str()), ("group", group.as_str())]).unwrap()
}

/// Series that come and go, with three names. If requested, some have histograms.
fn source(with_histograms: bool) -> MemorySource {
    let mut source = MemorySource::new();
    for i in 0..120u64 {
        let name = ["hits_total", "load", "hits_seconds_sum"][i as usize % 3];
        for sample in 0..=i % 9 {
            let time = (i as i64 * 37 % 50 + sample as i64) * 10_000;
            let value = match i % 11 {
                0 => 1e300 * sample as f64,
                1 => f64::NAN,
                2 => -0.0,
                _ => (i * 31 % 17) as f64 * 0.1 + sample as f64,
            };
            let histogram = with_histograms && i % 40 == 7;
            let value = match histogram {
                true => Value::Histogram(Histogram { count: 2.0, sum: value, ..Histogram::default() }.into()),
                false => Value::Float(value),
            };
            source.insert(&labels(name, i), time * NS, value, 0);
        }
    }
    source
}

fn shown(answer: Result<Response, QueryError>) -> String {
    match answer {
        Ok(response) => {
            let stats = (response.stats.samples_total, response.stats.series_total);
            format!("{:?} {:?} {:?} {stats:?}", response.value, response.warnings, response.infos)
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn folding_while_reading_gives_the_same_bits() {
    let inputs = [
        "{group=~\".+\"}",
        "rate({group=~\".+\"}[1m])",
        "increase(load[90s])",
        "avg_over_time({group=~\".+\"}[2m])",
        "max_over_time(load[5m] offset 30s)",
        "last_over_time({group=~\".+\"}[1m] @ 200)",
        "absent_over_time(load[1m])",
        "hits_total[1m] smoothed",
    ];
    let groupings = ["", "by (group)", "by (pod, none)", "without (pod)", "by (__name__)"];
    for with_histograms in [false, true] {
        let source = source(with_histograms);
        for op in ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"] {
            for input in inputs.iter().map(|input| match input.strip_suffix(" smoothed") {
                Some(range) => format!("rate({range} smoothed)"),
                None => (*input).to_owned(),
            }) {
                for grouping in groupings {
                    let query = format!("{op} {grouping} ({input})");
                    for request in
                        [Request::range_ms(&query, 0, 600_000, 15_000), Request::instant_ms(&query, 250_000)]
                    {
                        let folded = shown(execute(&source, &request));
                        // If a query is explained, each node is evaluated separately.
                        let apart = shown(execute(&source, &Request { explain: true, ..request }));
                        assert_eq!(folded, apart, "{query}");
                    }
                }
            }
        }
    }
}
