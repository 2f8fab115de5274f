//! Writes the values of queries, and histograms.
//!
//! # Format
//! A histogram lists its populated buckets from low to high as `[bounds, "low", "high", "count"]`, bounds 0 (low open),
//! 1 (high open), 2 (both open), 3 (both closed).

use barograph::Histogram;
use barograph::{MatrixSeries, QueryValue, SampleValue, VectorSample, histogram_buckets};

use super::{Sink, float, items, labels, labels_room, list, point, scalar, string, time};

/// Approximate bytes of a point of a float.
const POINT_ROOM: usize = 34;
/// Bytes of the longest number and a time.
const SCALAR_ROOM: usize = 360;
const BUCKET_ROOM: usize = 48;
/// Number of points that are written at a time.
const POINTS_AT_ONCE: usize = 256;

/// Appends `{"resultType":…,"result":…` without the closing brace, so that the caller can
/// add statistics.
///
/// # Errors
/// The errors of the sink.
pub fn query_data<S: Sink>(sink: &mut S, value: &QueryValue) -> Result<(), S::Error> {
    sink.put(POINT_ROOM, |out| {
        out.extend_from_slice(b"{\"resultType\":\"");
        out.extend_from_slice(value.type_name().as_bytes());
        out.extend_from_slice(b"\",\"result\":");
    })?;
    match value {
        QueryValue::Scalar(at, value) => sink.put(SCALAR_ROOM, |out| scalar(out, at.as_millis(), *value)),
        QueryValue::String(at, text) => sink.put(POINT_ROOM + text.len(), |out| {
            out.push(b'[');
            time(out, at.as_millis());
            out.push(b',');
            string(out, text);
            out.push(b']');
        }),
        QueryValue::Vector(samples) => items(sink, samples, |sample| vector_room(sample), vector_sample),
        QueryValue::Matrix(series) => {
            sink.put(1, |out| out.push(b'['))?;
            for (i, series) in series.iter().enumerate() {
                matrix_series(sink, series, i == 0)?;
            }
            sink.put(1, |out| out.push(b']'))
        }
        // A type that the API of Prometheus does not have.
        _ => sink.put(POINT_ROOM, |out| out.extend_from_slice(b"null")),
    }
}

fn histogram_room(h: &Histogram) -> usize {
    2 * POINT_ROOM + BUCKET_ROOM * (h.positive_buckets.len() + h.negative_buckets.len() + 1)
}

fn vector_room(sample: &VectorSample) -> usize {
    let value = match &sample.value {
        SampleValue::Float(_) => POINT_ROOM,
        SampleValue::Histogram(h) => histogram_room(h),
    };
    labels_room(&sample.labels) + value
}

fn vector_sample(out: &mut Vec<u8>, sample: &VectorSample) {
    out.extend_from_slice(b"{\"metric\":");
    labels(out, &sample.labels);
    match &sample.value {
        SampleValue::Float(value) => {
            out.extend_from_slice(b",\"value\":");
            point(out, sample.timestamp.as_millis(), *value);
        }
        SampleValue::Histogram(h) => {
            out.extend_from_slice(b",\"histogram\":");
            histogram_point(out, sample.timestamp.as_millis(), h);
        }
    }
    out.push(b'}');
}

fn matrix_series<S: Sink>(sink: &mut S, series: &MatrixSeries, is_first: bool) -> Result<(), S::Error> {
    let has_floats = !series.floats_ms.is_empty() || series.histograms_ms.is_empty();
    sink.put(labels_room(&series.labels), |out| {
        out.extend_from_slice(if is_first { b"{\"metric\":" } else { b",{\"metric\":" });
        labels(out, &series.labels);
        if has_floats {
            out.extend_from_slice(b",\"values\":[");
        }
    })?;
    for (i, points) in series.floats_ms.chunks(POINTS_AT_ONCE).enumerate() {
        sink.put(POINT_ROOM * points.len(), |out| {
            for (j, (ms, value)) in points.iter().enumerate() {
                if i + j > 0 {
                    out.push(b',');
                }
                point(out, *ms, *value);
            }
        })?;
    }
    if has_floats {
        sink.put(1, |out| out.push(b']'))?;
    }
    if !series.histograms_ms.is_empty() {
        sink.put(POINT_ROOM, |out| out.extend_from_slice(b",\"histograms\":"))?;
        items(
            sink,
            &series.histograms_ms,
            |(_, h)| histogram_room(h),
            |out, (ms, h)| histogram_point(out, *ms, h),
        )?;
    }
    sink.put(1, |out| out.push(b'}'))
}

fn histogram_point(out: &mut Vec<u8>, ms: i64, h: &Histogram) {
    out.push(b'[');
    time(out, ms);
    out.push(b',');
    histogram(out, h);
    out.push(b']');
}

/// Appends `{"count":…,"sum":…,"buckets":…}`.
pub fn histogram(out: &mut Vec<u8>, h: &Histogram) {
    out.extend_from_slice(b"{\"count\":\"");
    float(out, h.count);
    out.extend_from_slice(b"\",\"sum\":\"");
    float(out, h.sum);
    out.push(b'"');
    let buckets = histogram_buckets(h);
    if !buckets.is_empty() {
        out.extend_from_slice(b",\"buckets\":");
        list(out, &buckets, |out, bucket| {
            out.push(b'[');
            out.push(match bucket.closed() {
                (false, true) => b'0',
                (true, false) => b'1',
                (false, false) => b'2',
                (true, true) => b'3',
            });
            for number in [bucket.lower, bucket.upper, bucket.count] {
                out.extend_from_slice(b",\"");
                float(out, number);
                out.push(b'"');
            }
            out.push(b']');
        });
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use barograph::{Labels, Span};
    use std::sync::Arc;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn data(value: &QueryValue) -> String {
        text(|out| query_data(out, value).unwrap())
    }

    fn metric(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn golden_results() {
        let vector = QueryValue::Vector(vec![VectorSample {
            labels: metric(&[("__name__", "up"), ("job", "a")]),
            timestamp: barograph::Timestamp::from_millis(1500),
            value: SampleValue::Float(1.0),
        }]);
        assert_eq!(
            data(&vector),
            r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[1.500,"1"]}]"#
        );
        let matrix = QueryValue::Matrix(vec![MatrixSeries {
            labels: metric(&[]),
            floats_ms: vec![(0, 1.0), (1000, f64::NAN)],
            histograms_ms: Vec::new(),
        }]);
        assert_eq!(
            data(&matrix),
            r#"{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"],[1,"NaN"]]}]"#
        );
        assert_eq!(
            data(&QueryValue::Scalar(barograph::Timestamp::from_millis(1000), 2.0)),
            r#"{"resultType":"scalar","result":[1,"2"]"#
        );
        for (value, expected) in [
            (1e23, "100000000000000000000000"),
            (-1.5e21, "-1500000000000000000000"),
            (1e-7, "0.0000001"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            let printed = data(&QueryValue::Scalar(barograph::Timestamp::from_millis(1000), value));
            assert_eq!(printed, format!(r#"{{"resultType":"scalar","result":[1,"{expected}"]"#));
        }
        assert_eq!(
            data(&QueryValue::String(barograph::Timestamp::from_secs(1), "x".into())),
            r#"{"resultType":"string","result":[1,"x"]"#
        );
        assert_eq!(data(&QueryValue::Vector(Vec::new())), r#"{"resultType":"vector","result":[]"#);
    }

    /// A histogram with one negative bucket, three positive ones, and a zero bucket of 1.
    fn two_sided(
        zero_threshold: f64,
        positive: [Span; 2],
        counts: [f64; 3],
        negative: (i32, f64),
    ) -> Histogram {
        Histogram {
            schema: 0,
            zero_threshold,
            zero_count: 1.0,
            count: 1.0 + counts.iter().sum::<f64>() + negative.1,
            sum: 12.5,
            positive_spans: positive.to_vec(),
            positive_buckets: counts.to_vec(),
            negative_spans: vec![Span { offset: negative.0, length: 1 }],
            negative_buckets: vec![negative.1],
            ..Histogram::default()
        }
    }

    #[test]
    fn golden_histograms() {
        let spans = [Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }];
        let h = two_sided(0.5, spans, [2.0, 0.0, 3.0], (1, 4.0));
        let sample = QueryValue::Vector(vec![VectorSample {
            labels: metric(&[]),
            timestamp: barograph::Timestamp::from_millis(0),
            value: SampleValue::Histogram(Arc::new(h)),
        }]);
        assert_eq!(
            data(&sample),
            concat!(
                r#"{"resultType":"vector","result":[{"metric":{},"histogram":[0,{"count":"10","sum":"12.5","#,
                r#""buckets":[[1,"-2","-1","4"],[3,"-0.5","0.5","1"],[0,"0.5","1","2"],[0,"4","8","3"]]}]}]"#
            )
        );
        let custom = Histogram {
            schema: Histogram::CUSTOM,
            count: 3.0,
            sum: 1.0,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive_buckets: vec![1.0, 1.0, 1.0],
            custom_values: vec![5.0, 10.0],
            ..Histogram::default()
        };
        assert_eq!(
            text(|out| histogram(out, &custom)),
            r#"{"count":"3","sum":"1","buckets":[[3,"-Inf","5","1"],[0,"5","10","1"],[0,"10","+Inf","1"]]}"#
        );
    }

    #[test]
    fn buckets_begin_where_the_zero_bucket_ends_and_end_at_the_largest_float() {
        let spans = [Span { offset: 0, length: 1 }, Span { offset: 1023, length: 2 }];
        let h = two_sided(0.75, spans, [2.0, 3.0, 1.0], (0, 1.0));
        assert_eq!(
            text(|out| histogram(out, &h)),
            concat!(
                r#"{"count":"8","sum":"12.5","buckets":[[1,"-1","-0.75","1"],[3,"-0.75","0.75","1"],[0,"0.75","1","2"],"#,
                r#"[0,"8.98846567431158e+307","1.7976931348623157e+308","3"],[0,"1.7976931348623157e+308","+Inf","1"]]}"#
            )
        );
    }
}
