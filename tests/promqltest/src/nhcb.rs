//! Custom-bucket histograms from classic ones, as `load_with_nhcb` adds them.
//!
//! The series of a block whose names end in `_bucket`, `_sum` and `_count` form groups: the same labels except `le`,
//! and the same base name. For each time at which a group has a sample, there is one histogram under the base name. Its
//! bounds come from `le`, and its counts are the differences.

use std::collections::BTreeMap;
use std::sync::Arc;

use barograph_engine::model::{Histogram, Labels, METRIC_NAME, Span, Timestamp, Value};

use crate::scan::{Scanned, whole_number};
use crate::script::LoadedSeries;
use crate::storage::Sample;

/// A classic histogram at one time.
#[derive(Debug, Default)]
struct Classic {
    /// Bound and cumulative count, ascending by bound.
    buckets: Vec<(f64, f64)>,
    sum: f64,
    count: Option<f64>,
}

/// The histograms that correspond to the classic series among `series`.
///
/// # Errors
/// Counts do not ascend with the bounds.
pub fn convert(series: &[LoadedSeries]) -> Scanned<Vec<LoadedSeries>> {
    let mut groups: BTreeMap<Labels, BTreeMap<Timestamp, Classic>> = BTreeMap::new();
    for one in series {
        let name = one.labels.metric_name().unwrap_or("");
        let Some((base, part)) =
            ["_bucket", "_sum", "_count"].iter().find_map(|p| Some((name.strip_suffix(p)?, *p)))
        else {
            continue;
        };
        let bound = one.labels.get("le").and_then(whole_number).filter(|b| !b.is_nan());
        if part == "_bucket" && bound.is_none() {
            continue;
        }
        let key = one.labels.without(|n| n == "le").to_builder().set(METRIC_NAME, base).build();
        let group = groups.entry(key).or_default();
        for sample in &one.samples {
            let Value::Float(value) = sample.value else { continue };
            let classic = group.entry(sample.timestamp).or_default();
            match (part, bound) {
                ("_bucket", Some(bound)) => classic.bucket(bound, value),
                ("_sum", _) => classic.sum = value,
                _ => classic.count = Some(value),
            }
        }
    }
    let mut out = Vec::new();
    for (labels, times) in groups {
        let mut samples = Vec::new();
        for (timestamp, classic) in times {
            let histogram = classic.finish().map_err(|e| format!("{labels} at {timestamp} ns: {e}"))?;
            let value = Value::Histogram(Arc::new(histogram));
            samples.push(Sample { timestamp, value, start_timestamp: 0 });
        }
        out.push(LoadedSeries { labels, samples });
    }
    Ok(out)
}

impl Classic {
    /// Two spellings of one bound are the same bucket; the first one counts.
    fn bucket(&mut self, bound: f64, count: f64) {
        let at = self.buckets.partition_point(|(b, _)| *b < bound);
        if self.buckets.get(at).is_none_or(|(b, _)| *b != bound) {
            self.buckets.insert(at, (bound, count));
        }
    }

    fn finish(mut self) -> Scanned<Histogram> {
        let count = self.count.or(self.buckets.last().map(|(_, c)| *c)).unwrap_or(0.0);
        if self.buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let mut counts = Vec::with_capacity(self.buckets.len());
        let mut before = 0.0;
        for (bound, cumulative) in &self.buckets {
            if *cumulative < before {
                return Err(format!(
                    "count {cumulative} of bucket {bound} is below {before}, the one before"
                ));
            }
            counts.push(cumulative - before);
            before = *cumulative;
        }
        if before > count {
            return Err(format!("the buckets count {before}, more than {count}"));
        }
        let bounds = &self.buckets[..self.buckets.len() - 1];
        Ok(Histogram {
            schema: Histogram::CUSTOM,
            count,
            sum: self.sum,
            positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
            positive_buckets: counts,
            custom_values: bounds.iter().map(|(bound, _)| *bound).collect(),
            ..Histogram::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::print;

    fn series(name: &str, le: &str, values: &[f64]) -> LoadedSeries {
        let labels = Labels::from_pairs([("__name__", name), ("le", le), ("job", "a")]).unwrap();
        let sample = |(i, v): (usize, &f64)| Sample {
            timestamp: i as i64 + 1,
            value: Value::Float(*v),
            start_timestamp: 0,
        };
        LoadedSeries { labels, samples: values.iter().enumerate().map(sample).collect() }
    }

    fn printed(series: &[LoadedSeries]) -> Vec<String> {
        let mut out = Vec::new();
        for one in convert(series).unwrap() {
            for sample in one.samples {
                let Value::Histogram(histogram) = sample.value else { panic!() };
                out.push(format!("{} {}", one.labels, print(&histogram)));
            }
        }
        out
    }

    #[test]
    fn buckets_become_differences() {
        let got = printed(&[
            series("h_bucket", "+Inf", &[3.0, 9.0]),
            series("h_bucket", "1", &[1.0, 4.0]),
            series("h_bucket", "1.0", &[8.0, 8.0]),
            series("h_bucket", "broken", &[8.0, 8.0]),
            series("h_sum", "", &[2.5]),
            series("other", "", &[2.5]),
        ]);
        assert_eq!(
            got,
            [
                r#"h{job="a"} {{schema:-53 count:3.0 sum:2.5 custom_values:[1.0] buckets:[1.0 2.0]}}"#,
                r#"h{job="a"} {{schema:-53 count:9.0 custom_values:[1.0] buckets:[4.0 5.0]}}"#,
            ]
        );
    }

    #[test]
    fn without_an_infinite_bucket_the_count_fills_it() {
        let got = printed(&[series("h_bucket", "1", &[1.0]), series("h_count", "", &[4.0])]);
        assert_eq!(got, [r#"h{job="a"} {{schema:-53 count:4.0 custom_values:[1.0] buckets:[1.0 3.0]}}"#]);
    }

    #[test]
    fn falling_counts_are_refused() {
        assert!(convert(&[series("h_bucket", "1", &[5.0]), series("h_bucket", "2", &[4.0])]).is_err());
        assert!(convert(&[series("h_bucket", "1", &[5.0]), series("h_count", "", &[4.0])]).is_err());
    }
}
