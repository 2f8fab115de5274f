//! Writes query results as Prometheus' JSON, straight into a byte buffer.
//!
//! An answer may hold millions of samples, so nothing is built between the columns and
//! the bytes: no tree, no string per sample. Numbers come from `itoa` and `zmij` and are
//! laid out as Go prints them, since clients compare texts.
//!
//! # Format
//! - A sample value is a string: shortest digits that read back the same; plain notation
//!   for `0` and `1e-6 <= |v| < 1e21`, else an exponent of at least two digits
//!   (`1e-07`, `1e+21`); `NaN`, `+Inf`, `-Inf`, `-0`. The value of a scalar is in plain
//!   notation whatever its size.
//! - A time is a number of seconds: no fraction for whole seconds, else three digits.
//! - Text escapes `"`, `\`, control characters, and `<`, `>`, `&`, U+2028 and U+2029, so
//!   that no label value can end a script block it is printed into.
//! - A histogram lists its populated buckets from low to high as
//!   `[bounds, "low", "high", "count"]`, bounds 0 (low open), 1 (high open), 2 (both
//!   open), 3 (both closed).

use barograph_engine::model::{Histogram, Labels};
use barograph_query::{MatrixSeries, QueryValue, SampleValue, VectorSample, histogram_buckets};

/// Appends text as a JSON string.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        // U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
        let separator = byte == 0xe2
            && bytes.get(at + 1) == Some(&0x80)
            && matches!(bytes.get(at + 2), Some(0xa8 | 0xa9));
        if byte >= 0x20 && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&') && !separator {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0xe2 => {
                out.extend_from_slice(if bytes[at + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                copied = at + 3;
            }
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

/// Appends a float without quotes.
pub fn float(out: &mut Vec<u8>, value: f64) {
    // Whole numbers are most of what counters and gauges hold.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.abs() < EXACT && value == value.trunc() && (value != 0.0 || value.is_sign_positive()) {
        out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        finite(out, value);
    }
}

/// Lays out the shortest digits of a finite value as Go does.
fn finite(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value.abs());
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 =
        exponent.trim_start_matches('+').parse().expect("the exponent of a float is a number");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = [0u8; 40];
    let mut count = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        // Leading zeros carry no information; the point below accounts for them.
        if count > 0 || byte != b'0' {
            digits[count] = byte;
            count += 1;
        }
    }
    let skipped = whole.len() + fraction.len() - count;
    while count > 0 && digits[count - 1] == b'0' {
        count -= 1;
    }
    if count == 0 {
        out.push(b'0');
        return;
    }
    // The value is 0.DIGITS times ten to the power of `point`.
    let point = whole.len() as i32 - skipped as i32 + exponent;
    layout(out, &digits[..count], point);
}

fn layout(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    let count = digits.len() as i32;
    if !(-5..=21).contains(&point) {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let exponent = point - 1;
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(exponent.abs()).as_bytes());
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-point) as usize));
        out.extend_from_slice(digits);
    } else if point >= count {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', (point - count) as usize));
    } else {
        out.extend_from_slice(&digits[..point as usize]);
        out.push(b'.');
        out.extend_from_slice(&digits[point as usize..]);
    }
}

/// Appends a time in milliseconds as seconds.
pub fn time(out: &mut Vec<u8>, ms: i64) {
    if ms < 0 {
        out.push(b'-');
    }
    let ms = ms.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(ms / 1000).as_bytes());
    let rest = (ms % 1000) as u16;
    if rest != 0 {
        let digit = |n: u16| b'0' + (n % 10) as u8;
        out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
    }
}

/// Appends `[time,"value"]`.
pub fn point(out: &mut Vec<u8>, ms: i64, value: f64) {
    out.push(b'[');
    time(out, ms);
    out.extend_from_slice(b",\"");
    float(out, value);
    out.extend_from_slice(b"\"]");
}

/// Appends `[time,"value"]` of a scalar, whose value has no exponent, however long it is.
fn scalar(out: &mut Vec<u8>, ms: i64, value: f64) {
    if !value.is_finite() {
        return point(out, ms, value);
    }
    out.push(b'[');
    time(out, ms);
    out.extend_from_slice(format!(",\"{value}\"]").as_bytes());
}

/// Appends a label set as an object.
pub fn labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        string(out, name);
        out.push(b':');
        string(out, value);
    }
    out.push(b'}');
}

/// Appends the items of a list with commas between.
pub fn list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut one: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        one(out, item);
    }
    out.push(b']');
}

/// Appends `{"resultType":…,"result":…` without the closing brace, so that the caller can
/// add statistics.
pub fn query_data(out: &mut Vec<u8>, value: &QueryValue) {
    let kind = match value {
        QueryValue::Scalar(..) => "scalar",
        QueryValue::String(..) => "string",
        QueryValue::Vector(_) => "vector",
        QueryValue::Matrix(_) => "matrix",
    };
    out.extend_from_slice(b"{\"resultType\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"result\":");
    match value {
        QueryValue::Scalar(ms, value) => scalar(out, *ms, *value),
        QueryValue::String(ms, text) => {
            out.push(b'[');
            time(out, *ms);
            out.push(b',');
            string(out, text);
            out.push(b']');
        }
        QueryValue::Vector(samples) => list(out, samples, vector_sample),
        QueryValue::Matrix(series) => list(out, series, matrix_series),
    }
}

/// About how many bytes [`query_data`] will write; rather too many.
pub fn length_hint(value: &QueryValue) -> u64 {
    const POINT: usize = 34;
    const BUCKET: usize = 48;
    const SCALAR: usize = 360;
    let labels = |labels: &Labels| labels.as_bytes().len() + 6 * labels.len() + 32;
    let histogram =
        |h: &Histogram| 2 * POINT + BUCKET * (h.positive_buckets.len() + h.negative_buckets.len() + 1);
    let bytes: usize = match value {
        QueryValue::Scalar(..) => SCALAR,
        QueryValue::String(_, text) => POINT + text.len(),
        QueryValue::Vector(samples) => samples
            .iter()
            .map(|s| {
                labels(&s.labels)
                    + match &s.value {
                        SampleValue::Float(_) => POINT,
                        SampleValue::Histogram(h) => histogram(h),
                    }
            })
            .sum(),
        QueryValue::Matrix(series) => series
            .iter()
            .map(|s| {
                let histograms: usize = s.histograms.iter().map(|(_, h)| histogram(h)).sum();
                labels(&s.labels) + POINT * s.floats.len() + histograms
            })
            .sum(),
    };
    bytes as u64
}

fn vector_sample(out: &mut Vec<u8>, sample: &VectorSample) {
    out.extend_from_slice(b"{\"metric\":");
    labels(out, &sample.labels);
    match &sample.value {
        SampleValue::Float(value) => {
            out.extend_from_slice(b",\"value\":");
            point(out, sample.timestamp_ms, *value);
        }
        SampleValue::Histogram(h) => {
            out.extend_from_slice(b",\"histogram\":");
            histogram_point(out, sample.timestamp_ms, h);
        }
    }
    out.push(b'}');
}

fn matrix_series(out: &mut Vec<u8>, series: &MatrixSeries) {
    out.extend_from_slice(b"{\"metric\":");
    labels(out, &series.labels);
    if !series.floats.is_empty() || series.histograms.is_empty() {
        out.extend_from_slice(b",\"values\":");
        list(out, &series.floats, |out, (ms, value)| point(out, *ms, *value));
    }
    if !series.histograms.is_empty() {
        out.extend_from_slice(b",\"histograms\":");
        list(out, &series.histograms, |out, (ms, h)| histogram_point(out, *ms, h));
    }
    out.push(b'}');
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
    use barograph_engine::model::Span;
    use std::sync::Arc;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn golden_floats() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (100.0, "100"),
            (123_456_789.125, "123456789.125"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (1e20, "100000000000000000000"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (1.5e21, "1.5e+21"),
            (1e-6, "0.000001"),
            (1.5e-6, "0.0000015"),
            (9.9e-7, "9.9e-07"),
            (1e-7, "1e-07"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (0.30000000000000004, "0.30000000000000004"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(text(|out| float(out, value)), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn floats_read_back_bit_for_bit(bits: u64) {
            let value = f64::from_bits(bits);
            let printed = text(|out| float(out, value));
            let again: f64 = printed.parse().unwrap();
            proptest::prop_assert!(again.to_bits() == bits || value.is_nan(), "{printed}");
            let exponent = printed.contains('e');
            let magnitude = value.abs();
            let wants = magnitude.is_finite() && magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude);
            proptest::prop_assert_eq!(exponent, wants, "{}", printed);
        }

        #[test]
        fn strings_read_back(original in ".*") {
            let printed = text(|out| string(out, &original));
            let again: String = serde_json::from_str(&printed).unwrap();
            proptest::prop_assert_eq!(again, original);
        }
    }

    #[test]
    fn golden_times() {
        for (ms, expected) in [
            (1_435_781_451_000, "1435781451"),
            (1_435_781_451_781, "1435781451.781"),
            (1_010, "1.010"),
            (5, "0.005"),
            (0, "0"),
            (-1, "-0.001"),
            (-1500, "-1.500"),
        ] {
            assert_eq!(text(|out| time(out, ms)), expected);
        }
    }

    #[test]
    fn strings_cannot_leave_their_quotes_or_a_script_block() {
        let printed = text(|out| string(out, "a\"\\\n\u{1}</script>&\u{2028}é"));
        assert_eq!(printed, r#""a\"\\\n\u0001\u003c/script\u003e\u0026\u2028é""#);
    }

    fn metric(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn golden_results() {
        let vector = QueryValue::Vector(vec![VectorSample {
            labels: metric(&[("__name__", "up"), ("job", "a")]),
            timestamp_ms: 1500,
            value: SampleValue::Float(1.0),
        }]);
        assert_eq!(
            text(|out| query_data(out, &vector)),
            r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[1.500,"1"]}]"#
        );
        let matrix = QueryValue::Matrix(vec![MatrixSeries {
            labels: metric(&[]),
            floats: vec![(0, 1.0), (1000, f64::NAN)],
            histograms: Vec::new(),
        }]);
        assert_eq!(
            text(|out| query_data(out, &matrix)),
            r#"{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"],[1,"NaN"]]}]"#
        );
        assert_eq!(
            text(|out| query_data(out, &QueryValue::Scalar(1000, 2.0))),
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
            let printed = text(|out| query_data(out, &QueryValue::Scalar(1000, value)));
            assert_eq!(printed, format!(r#"{{"resultType":"scalar","result":[1,"{expected}"]"#));
        }
        assert_eq!(
            text(|out| query_data(out, &QueryValue::String(1000, "x".into()))),
            r#"{"resultType":"string","result":[1,"x"]"#
        );
        assert_eq!(
            text(|out| query_data(out, &QueryValue::Vector(Vec::new()))),
            r#"{"resultType":"vector","result":[]"#
        );
    }

    /// A histogram with one negative bucket and three positive ones, beside a zero bucket of 1.
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
            timestamp_ms: 0,
            value: SampleValue::Histogram(Arc::new(h)),
        }]);
        assert_eq!(
            text(|out| query_data(out, &sample)),
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
