//! Writes samples and events as line protocol that can be imported again.
//!
//! A series `m{a="b"}` becomes `m,a=b value=1.5 1000`: a field named `value` adds nothing to the name of the
//! measurement, so importing the line gives the same series. Data that line protocol cannot represent is omitted and
//! counted: NaN and infinities, histograms, start timestamps, names or values with a line break or a backslash at the
//! end, and names that begin with `#` or a byte order mark.

use barograph::{Labels, METRIC_NAME, Timestamp};

use crate::json::{self, Sink};
use barograph::SeriesColumns;

/// Approximate number of bytes of a line besides the key: a field, a value and a time.
const SAMPLE_ROOM: usize = 56;

/// Counts of omitted data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Omitted {
    /// Series or events whose labels line protocol cannot represent.
    pub series: u64,
    /// Samples that are not finite numbers.
    pub samples: u64,
    /// Samples that are native histograms.
    pub histograms: u64,
    /// Start timestamps of samples that are written without them.
    pub starts: u64,
}

impl Omitted {
    /// A comment line about omitted data; empty if nothing was omitted.
    pub fn comment(&self) -> String {
        if *self == Omitted::default() {
            return String::new();
        }
        format!(
            "# left out, as line protocol has no words for it: {} series, {} samples that are not finite \
             numbers, {} histograms, {} start timestamps\n",
            self.series, self.samples, self.histograms, self.starts
        )
    }
}

/// From here on, not every integer is a float. Whole numbers from here on are written as integers if they fit into 64
/// bits: all their digits are significant, and reading them back yields the same value.
const INTEGERS_FROM: f64 = 9_007_199_254_740_992.0;

/// A large whole number as an integer.
fn large_integer(value: f64) -> Option<i64> {
    let is_integer = value.abs() >= INTEGERS_FROM && (i64::MIN as f64..-(i64::MIN as f64)).contains(&value);
    is_integer.then_some(value as i64)
}

/// Appends one line for each sample. Integers of more than 53 bits keep every digit.
///
/// # Errors
/// The errors of the sink.
pub fn write_series<S: Sink>(
    sink: &mut S,
    series: &SeriesColumns,
    omitted: &mut Omitted,
) -> Result<(), S::Error> {
    let mut key = Vec::new();
    if !write_key(&mut key, &series.labels) {
        omitted.series += 1;
        return Ok(());
    }
    let mut exact = series.exact.iter().peekable();
    let mut histograms = series.histograms.iter().peekable();
    for (index, (timestamp, value)) in series.timestamps.iter().zip(&series.values).enumerate() {
        let integer = exact.next_if(|(at, _)| *at as usize == index).map(|(_, integer)| *integer);
        if histograms.next_if(|(at, _)| *at as usize == index).is_some() {
            omitted.histograms += 1;
            continue;
        }
        if !value.is_finite() {
            omitted.samples += 1;
            continue;
        }
        omitted.starts += u64::from(
            series.start_timestamps.get(index).is_some_and(|&start| start != Timestamp::UNIX_EPOCH),
        );
        sink.put(key.len() + SAMPLE_ROOM, |out| {
            out.extend_from_slice(&key);
            out.extend_from_slice(b" value=");
            match integer.or_else(|| large_integer(*value)) {
                Some(integer) => {
                    out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
                    out.push(b'i');
                }
                None => json::float(out, *value),
            }
            out.push(b' ');
            out.extend_from_slice(itoa::Buffer::new().format(timestamp.as_nanos()).as_bytes());
            out.push(b'\n');
        })?;
    }
    Ok(())
}

/// Appends the line of an event.
///
/// # Errors
/// The errors of the sink.
pub fn write_event<S: Sink>(
    sink: &mut S,
    labels: &Labels,
    timestamp: i64,
    text: &str,
    omitted: &mut Omitted,
) -> Result<(), S::Error> {
    let mut key = Vec::new();
    if !write_key(&mut key, labels) || text.contains('\0') {
        omitted.series += 1;
        return Ok(());
    }
    sink.put(key.len() + text.len() + SAMPLE_ROOM, |out| {
        out.extend_from_slice(&key);
        out.extend_from_slice(b" value=\"");
        for byte in text.bytes() {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.extend_from_slice(b"\" ");
        out.extend_from_slice(itoa::Buffer::new().format(timestamp).as_bytes());
        out.push(b'\n');
    })
}

/// Writes measurement and tags. Returns false if line protocol cannot represent them.
fn write_key(out: &mut Vec<u8>, labels: &Labels) -> bool {
    let Some(name) = labels.metric_name() else { return false };
    if name.starts_with(['#', '\u{feff}']) || !write_text(out, name, b", ") {
        return false;
    }
    for (label, value) in labels.iter().filter(|(label, _)| *label != METRIC_NAME) {
        out.push(b',');
        if !write_text(out, label, b",= ") {
            return false;
        }
        out.push(b'=');
        if !write_text(out, value, b",= ") {
            return false;
        }
    }
    true
}

fn write_text(out: &mut Vec<u8>, text: &str, escaped: &[u8]) -> bool {
    if text.ends_with('\\') || text.contains(['\n', '\r', '\0']) {
        return false;
    }
    for byte in text.bytes() {
        if escaped.contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use barograph::internals::line::{FieldValue, Lines, labels};
    use barograph::{LineLimits, Naming, Precision};
    use proptest::prelude::*;

    fn read_back(text: &[u8]) -> Vec<(Labels, i64, Result<f64, String>)> {
        let mut lines = Lines::new(text, Precision::Nanosecond, LineLimits::default());
        let mut found = Vec::new();
        for line in &mut lines {
            let line = line.unwrap_or_else(|e| panic!("{e}"));
            for (key, value) in line.fields() {
                let set = labels(line.series_key, key, &[], &Naming::default()).unwrap();
                let value = match value {
                    FieldValue::Float(value) => Ok(value),
                    FieldValue::Int(value) => Ok(value as f64),
                    FieldValue::Text(text) => Err(text.into_owned()),
                    other => panic!("{other:?}"),
                };
                found.push((set, line.timestamp.unwrap(), value));
            }
        }
        found
    }

    fn series(labels: &Labels, samples: &[(i64, f64)], exact: &[(u32, i64)]) -> SeriesColumns {
        SeriesColumns {
            labels: labels.clone(),
            timestamps: samples.iter().map(|s| Timestamp::from_nanos(s.0)).collect(),
            values: samples.iter().map(|s| s.1).collect(),
            exact: exact.to_vec(),
            ..SeriesColumns::default()
        }
    }

    #[test]
    fn golden_lines() {
        let labels =
            Labels::from_pairs([("__name__", "disk io"), ("host", "a,b=c"), ("p", r"C:\x")]).unwrap();
        let (two_53, two_60) = (9_007_199_254_740_992.0, 1_152_921_504_606_846_976.0);
        let samples =
            [(1, 1.5), (2, f64::NAN), (3, 1e21), (4, -0.0), (5, two_53), (6, two_60), (7, 8.0 * two_60)];
        let exact = [(4, 9_007_199_254_740_993)];
        let (mut out, mut omitted) = (Vec::new(), Omitted::default());
        write_series(&mut out, &series(&labels, &samples, &exact), &mut omitted).unwrap();
        let key = r"disk\ io,host=a\,b\=c,p=C:\x";
        let values = [
            "1.5 1",
            "1e+21 3",
            "-0 4",
            "9007199254740993i 5",
            "1152921504606846976i 6",
            "9223372036854776000 7",
        ];
        let expected: String = values.iter().map(|value| format!("{key} value={value}\n")).collect();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(omitted, Omitted { samples: 1, ..Omitted::default() });
        assert!(omitted.comment().contains("0 series, 1 samples"));
    }

    #[test]
    fn histograms_and_start_timestamps_are_counted_as_left_out() {
        let labels = Labels::from_pairs([("__name__", "m")]).unwrap();
        let columns = SeriesColumns {
            histograms: vec![(1, std::sync::Arc::default())],
            start_timestamps: [1, 1, 0].map(Timestamp::from_nanos).to_vec(),
            ..series(&labels, &[(1, 1.0), (2, f64::NAN), (3, 2.0)], &[])
        };
        let (mut out, mut omitted) = (Vec::new(), Omitted::default());
        write_series(&mut out, &columns, &mut omitted).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "m value=1 1\nm value=2 3\n");
        assert_eq!(omitted, Omitted { histograms: 1, starts: 1, ..Omitted::default() });
        assert!(omitted.comment().ends_with("1 histograms, 1 start timestamps\n"));
    }

    proptest! {
        #[test]
        fn lines_read_back(
            name in "[a-z#, =\\\\\"é]{1,6}",
            tags in proptest::collection::btree_map("[a-z, =\\\\\"]{1,4}", "[a-z, =\\\\\"\n]{1,5}", 0..4),
            bits: u64,
            text in "[a-z\"\\\\\n ]{0,8}",
        ) {
            let pairs = tags.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            let set = Labels::from_pairs(pairs.chain([("__name__", name.as_str())])).unwrap();
            let (mut out, mut omitted) = (Vec::new(), Omitted::default());
            write_series(&mut out, &series(&set, &[(77, f64::from_bits(bits))], &[]), &mut omitted).unwrap();
            write_event(&mut out, &set, 78, &text, &mut omitted).unwrap();
            let found = read_back(&out);
            let finite = f64::from_bits(bits).is_finite();
            if omitted.series > 0 {
                prop_assert_eq!(found.len(), 0);
            } else {
                prop_assert_eq!(found.len(), 1 + usize::from(finite));
                for (labels, _, value) in found {
                    prop_assert_eq!(&labels, &set);
                    match value {
                        Ok(value) => prop_assert_eq!(value.to_bits(), bits),
                        Err(found) => prop_assert_eq!(&found, &text),
                    }
                }
            }
        }
    }
}
