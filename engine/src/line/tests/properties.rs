//! Random lines: what is written is read, and nothing panics.

use proptest::prelude::*;

use super::*;
use crate::line::number::{self, Number};

/// A value as a writer holds it.
#[derive(Debug, Clone)]
enum Written {
    Float(f64),
    Int(i64),
    UInt(u64),
    Bool(bool),
    Text(String),
}

fn written() -> impl Strategy<Value = Written> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(Written::Float),
        any::<i64>().prop_map(Written::Int),
        any::<u64>().prop_map(Written::UInt),
        any::<bool>().prop_map(Written::Bool),
        "([^\\x00]|[\\\\\"\n, =]){0,12}".prop_map(Written::Text),
    ]
}

/// A name that can be written: no NUL, line break or carriage return, and no backslash
/// where it would escape the byte behind it.
fn name() -> impl Strategy<Value = String> {
    "([^\\x00\r\n\\\\#]|[, =é]){1,8}"
}

fn escaped(name: &str, escapes: &str) -> String {
    name.chars().flat_map(|c| escapes.contains(c).then_some('\\').into_iter().chain([c])).collect()
}

fn print(value: &Written) -> String {
    match value {
        Written::Float(v) => format!("{v:?}"),
        Written::Int(v) => format!("{v}i"),
        Written::UInt(v) => format!("{v}u"),
        Written::Bool(v) => v.to_string(),
        Written::Text(v) => format!("\"{}\"", escaped(v, "\\\"")),
    }
}

fn same(value: &Written, read: &FieldValue<'_>) -> bool {
    match (value, read) {
        (Written::Float(a), FieldValue::Float(b)) => a.to_bits() == b.to_bits(),
        (Written::Int(a), FieldValue::Int(b)) => a == b,
        (Written::UInt(a), FieldValue::UInt(b)) => a == b,
        (Written::Bool(a), FieldValue::Bool(b)) => a == b,
        (Written::Text(a), FieldValue::Text(b)) => a == b,
        _ => false,
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read(
        measurement in name().prop_filter("not blank in front", |n| !n.starts_with(['\t', ' ', ',', '\u{feff}'])),
        tags in proptest::collection::btree_map(name(), name(), 0..4),
        values in proptest::collection::vec((name().prop_filter("no tab in front", |n| !n.starts_with('\t')), written()), 1..20),
        time in proptest::option::of(i64::MIN + 2..i64::MAX),
    ) {
        let mut body = escaped(&measurement, ", ");
        for (key, value) in &tags {
            body += &format!(",{}={}", escaped(key, ", ="), escaped(value, ", ="));
        }
        let series_key = body.clone();
        let shown: Vec<String> =
            values.iter().map(|(k, v)| format!("{}={}", escaped(k, ", ="), print(v))).collect();
        body += &format!(" {}", shown.join(","));
        if let Some(time) = time {
            body += &format!(" {time}");
        }
        let twice = format!("{body}\n{body}");
        for line in lines(twice.as_bytes()) {
            let line = line.unwrap();
            prop_assert_eq!(line.series_key, series_key.as_bytes());
            prop_assert_eq!(line.timestamp, time);
            prop_assert_eq!(line.fields().len(), values.len());
            for ((key, value), (raw_key, read)) in values.iter().zip(line.fields()) {
                prop_assert!(same(value, &read), "{:?} {:?}", value, read);
                let set = labels(line.series_key, raw_key, &[], &Naming::MeasurementOnlyWithFieldLabel).unwrap();
                prop_assert_eq!(set.metric_name(), Some(measurement.as_str()));
                prop_assert_eq!(set.get(FIELD_LABEL), Some(key.as_str()));
                for (key, value) in &tags {
                    prop_assert_eq!(set.get(key), Some(value.as_str()));
                }
            }
        }
    }

    #[test]
    fn floats_agree_with_the_standard_library(text in "-?([0-9]{1,25}|[0-9]{0,20}\\.[0-9]{1,25}|[0-9]{1,3}\\.)([eE][+-]?[0-9]{1,3})?") {
        let expected: f64 = text.parse().unwrap();
        match number::parse(text.as_bytes()) {
            Ok((Number::Float(v), bytes)) => {
                prop_assert_eq!(bytes, text.len());
                prop_assert_eq!(v.to_bits(), expected.to_bits(), "{}", text);
            }
            other => prop_assert!(expected.is_infinite(), "{} {:?}", text, other),
        }
    }

    #[test]
    fn shortest_and_long_floats_come_back(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        for text in [format!("{value:?}"), format!("{value}"), format!("{value:.17e}")] {
            let read = number::parse(text.as_bytes());
            prop_assert!(matches!(read, Ok((Number::Float(v), _)) if v.to_bits() == bits), "{} {:?}", text, read);
        }
    }

    #[test]
    fn hostile_bytes_never_panic(
        body in proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(&b",= \\\"\n\r\0#1eiut.-m\t\xc3\xa9"[..])],
            0..200,
        ),
        line_bytes in 0usize..300,
    ) {
        let limits = LineLimits { line_bytes, ..LineLimits::default() };
        let rows = body.iter().filter(|b| **b == b'\n').count() + 1;
        let mut last = 0;
        for line in Lines::new(&body, Precision::Second, limits) {
            match line {
                Ok(line) => {
                    prop_assert!(line.number > last && line.bytes().len() <= line_bytes);
                    last = line.number;
                    for (key, value) in line.fields() {
                        prop_assert!(!key.is_empty());
                        prop_assert!(!matches!(value, FieldValue::Float(v) if !v.is_finite()));
                        if let Err(reason) = labels(line.series_key, key, &[], &Naming::default()) {
                            prop_assert!(line.reject(reason).column <= line.bytes().len());
                        }
                    }
                }
                Err(error) => prop_assert!(error.line <= rows && error.excerpt.len() <= 80 * 10),
            }
        }
    }

    #[test]
    fn eight_bytes_a_step_end_where_one_byte_a_step_does(
        line in proptest::collection::vec(
            prop_oneof![4 => any::<u8>(), 1 => proptest::sample::select(&b",= \\\r\0"[..])],
            0..60,
        ),
        at in 0usize..8,
    ) {
        let slow = |ends: &[u8]| {
            let mut at = at.min(line.len());
            while at < line.len() && !ends.contains(&line[at]) {
                let escape = line[at] == b'\\' && at + 1 < line.len() && b", =".contains(&line[at + 1]);
                at += if escape { 2 } else { 1 };
            }
            at
        };
        let at = at.min(line.len());
        prop_assert_eq!(scan::name_end(&line, at), slow(b",= \r\0"));
        prop_assert_eq!(scan::measurement_end(&line, at), slow(b", \r\0"));
    }

    #[test]
    fn hostile_keys_never_panic(key in proptest::collection::vec(any::<u8>(), 0..60), field in proptest::collection::vec(any::<u8>(), 0..20)) {
        let _ = labels(&key, &field, &[], &Naming::default());
    }
}
