//! Native histograms in series notation: `{{schema:0 sum:5 count:4 buckets:[1 2 1]}}`.
//!
//! | key | meaning | default |
//! |---|---|---|
//! | `schema` | resolution, -4…8, or -53 for custom bounds | 0 |
//! | `sum`, `count` | of all observations | 0 |
//! | `z_bucket`, `z_bucket_w` | zero bucket: count, half width | 0 |
//! | `buckets`, `offset` | positive counts `[a b c]`, index of the first | none, 0 |
//! | `n_buckets`, `n_offset` | negative counts, index of the first | none, 0 |
//! | `custom_values` | upper bounds of schema -53 | none |
//! | `counter_reset_hint` | `unknown`, `reset`, `not_reset`, `gauge` | `unknown` |

use std::collections::BTreeMap;

use barograph_engine::model::{Histogram, ResetHint, Span};

use crate::scan::{Cursor, Scanned, number};

/// A histogram as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The histogram.
    pub histogram: Histogram,
    /// Whether `counter_reset_hint` was written, so that it must be compared.
    pub hint_written: bool,
}

/// Counts by bucket index.
pub type Sparse = BTreeMap<i64, f64>;

/// Parses `{{…}}`.
///
/// # Errors
/// It is malformed.
pub fn written(cursor: &mut Cursor<'_>) -> Scanned<Written> {
    cursor.expect("{{")?;
    let mut out = Written { histogram: Histogram::default(), hint_written: false };
    let mut positive = (Vec::new(), 0);
    let mut negative = (Vec::new(), 0);
    loop {
        cursor.blanks();
        if cursor.take("}}") {
            break;
        }
        let key = cursor.while_char(|c| c.is_ascii_alphabetic() || c == '_');
        cursor.expect(":")?;
        let histogram = &mut out.histogram;
        match key {
            "schema" => histogram.schema = schema(cursor)?,
            "sum" => histogram.sum = number(cursor)?,
            "count" => histogram.count = number(cursor)?,
            "z_bucket" => histogram.zero_count = number(cursor)?,
            "z_bucket_w" => histogram.zero_threshold = number(cursor)?,
            "buckets" => positive.0 = list(cursor)?,
            "offset" => positive.1 = integer(cursor)?,
            "n_buckets" => negative.0 = list(cursor)?,
            "n_offset" => negative.1 = integer(cursor)?,
            "custom_values" => histogram.custom_values = list(cursor)?,
            "counter_reset_hint" => {
                histogram.reset_hint = hint(cursor)?;
                out.hint_written = true;
            }
            _ => return Err(format!("unknown histogram key {key:?}")),
        }
    }
    (out.histogram.positive_spans, out.histogram.positive_buckets) = one_span(positive);
    (out.histogram.negative_spans, out.histogram.negative_buckets) = one_span(negative);
    Ok(out)
}

fn schema(cursor: &mut Cursor<'_>) -> Scanned<i32> {
    let schema = integer(cursor)?;
    if (-4..=8).contains(&schema) || schema == Histogram::CUSTOM {
        Ok(schema)
    } else {
        Err(format!("schema {schema} is neither -4…8 nor {}", Histogram::CUSTOM))
    }
}

fn integer(cursor: &mut Cursor<'_>) -> Scanned<i32> {
    let text = cursor.while_char(|c| c.is_ascii_digit() || c == '-');
    text.parse().map_err(|_| format!("expected an integer, found {text:?}"))
}

fn list(cursor: &mut Cursor<'_>) -> Scanned<Vec<f64>> {
    cursor.expect("[")?;
    let mut out = Vec::new();
    loop {
        cursor.blanks();
        if cursor.take("]") {
            return Ok(out);
        }
        out.push(number(cursor)?);
    }
}

fn hint(cursor: &mut Cursor<'_>) -> Scanned<ResetHint> {
    match cursor.while_char(|c| c.is_ascii_alphabetic() || c == '_') {
        "unknown" => Ok(ResetHint::Unknown),
        "reset" => Ok(ResetHint::Reset),
        "not_reset" => Ok(ResetHint::NotReset),
        "gauge" => Ok(ResetHint::Gauge),
        other => Err(format!("unknown counter_reset_hint {other:?}")),
    }
}

fn one_span((buckets, offset): (Vec<f64>, i32)) -> (Vec<Span>, Vec<f64>) {
    if buckets.is_empty() {
        return (Vec::new(), buckets);
    }
    (vec![Span { offset, length: buckets.len() as u32 }], buckets)
}

/// The counts by bucket index, including zeros.
///
/// # Errors
/// The spans do not fit the counts.
pub fn sparse(spans: &[Span], buckets: &[f64]) -> Scanned<Sparse> {
    let mut out = Sparse::new();
    let mut index = 0i64;
    let mut counts = buckets.iter();
    for span in spans {
        index += i64::from(span.offset);
        for _ in 0..span.length {
            let count = counts.next().ok_or("a histogram has fewer counts than its spans say")?;
            out.insert(index, *count);
            index += 1;
        }
    }
    if counts.next().is_some() {
        return Err("a histogram has more counts than its spans say".to_owned());
    }
    Ok(out)
}

/// Spans and counts of sparse buckets.
pub fn dense(sparse: &Sparse) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0i64;
    for index in sparse.keys() {
        match spans.last_mut() {
            Some(last) if *index == next => last.length += 1,
            _ => spans.push(Span { offset: (*index - next) as i32, length: 1 }),
        }
        next = index + 1;
    }
    (spans, sparse.values().copied().collect())
}

/// `base + sign * step`, which `{{…}}+{{…}}x3` repeats. `step` may have a finer schema.
///
/// # Errors
/// The sum would have another layout than `base`.
pub fn add(base: &Histogram, step: &Histogram, sign: f64) -> Scanned<Histogram> {
    if base.custom_values != step.custom_values {
        return Err("histograms with different custom_values cannot be added here".to_owned());
    }
    let finer = step.schema - base.schema;
    if finer < 0 || (finer > 0 && base.schema == Histogram::CUSTOM) {
        return Err(format!("schema {} cannot be added to schema {}", step.schema, base.schema));
    }
    if step.zero_threshold > base.zero_threshold {
        return Err("the added histogram has the wider zero bucket".to_owned());
    }
    let mut sum = base.clone();
    sum.count += sign * step.count;
    sum.sum += sign * step.sum;
    sum.zero_count += sign * step.zero_count;
    let combine = |a_spans: &[Span], a: &[f64], b_spans: &[Span], b: &[f64]| -> Scanned<_> {
        let mut out = sparse(a_spans, a)?;
        for (index, count) in sparse(b_spans, b)? {
            let coarse = if finer == 0 { index } else { ((index - 1) >> finer) + 1 };
            *out.entry(coarse).or_insert(0.0) += sign * count;
        }
        Ok(dense(&out))
    };
    (sum.positive_spans, sum.positive_buckets) =
        combine(&base.positive_spans, &base.positive_buckets, &step.positive_spans, &step.positive_buckets)?;
    (sum.negative_spans, sum.negative_buckets) =
        combine(&base.negative_spans, &base.negative_buckets, &step.negative_spans, &step.negative_buckets)?;
    sum.reset_hint = match (base.reset_hint, step.reset_hint) {
        (a, b) if a == b => a,
        (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    Ok(sum)
}

/// The histogram in the notation of scripts, for messages. Empty buckets are omitted at the ends, but not between
/// others.
pub fn print(histogram: &Histogram) -> String {
    let mut parts = vec![format!("schema:{}", histogram.schema)];
    let mut number = |key: &str, value: f64| {
        if value != 0.0 {
            parts.push(format!("{key}:{value:?}"));
        }
    };
    number("count", histogram.count);
    number("sum", histogram.sum);
    number("z_bucket", histogram.zero_count);
    number("z_bucket_w", histogram.zero_threshold);
    let join = |values: &[f64]| values.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>().join(" ");
    if !histogram.custom_values.is_empty() {
        parts.push(format!("custom_values:[{}]", join(&histogram.custom_values)));
    }
    for (prefix, spans, buckets) in [
        ("", &histogram.positive_spans, &histogram.positive_buckets),
        ("n_", &histogram.negative_spans, &histogram.negative_buckets),
    ] {
        let Ok(counts) = sparse(spans, buckets) else {
            parts.push(format!("{prefix}buckets:BROKEN({spans:?}, {buckets:?})"));
            continue;
        };
        let filled = || counts.iter().filter(|(_, count)| **count != 0.0).map(|(index, _)| *index);
        let (Some(first), Some(last)) = (filled().min(), filled().max()) else { continue };
        if last - first > 1000 {
            parts.push(format!("{prefix}buckets:{counts:?}"));
            continue;
        }
        let run: Vec<f64> = (first..=last).map(|i| counts.get(&i).copied().unwrap_or(0.0)).collect();
        if first != 0 {
            parts.push(format!("{prefix}offset:{first}"));
        }
        parts.push(format!("{prefix}buckets:[{}]", join(&run)));
    }
    match histogram.reset_hint {
        ResetHint::Unknown => {}
        ResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
        ResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
        ResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Histogram {
        let mut cursor = Cursor::new(text);
        let out = written(&mut cursor).unwrap();
        assert_eq!(cursor.rest(), "");
        out.histogram
    }

    #[test]
    fn every_key_is_read() {
        let mut cursor = Cursor::new(
            "{{schema:3 sum:-1.5 count:9 z_bucket:2 z_bucket_w:0.001 buckets:[1 0 3 ] offset:-2 \
             n_buckets:[4] n_offset:1 counter_reset_hint:gauge}}x3",
        );
        let got = written(&mut cursor).unwrap();
        assert_eq!(cursor.rest(), "x3");
        assert!(got.hint_written);
        let want = Histogram {
            schema: 3,
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 9.0,
            sum: -1.5,
            positive_spans: vec![Span { offset: -2, length: 3 }],
            positive_buckets: vec![1.0, 0.0, 3.0],
            negative_spans: vec![Span { offset: 1, length: 1 }],
            negative_buckets: vec![4.0],
            custom_values: vec![],
            reset_hint: ResetHint::Gauge,
        };
        assert_eq!(got.histogram, want);
        let custom = read("{{schema:-53 custom_values:[5 10] buckets:[1 2 1]}}");
        assert_eq!((custom.schema, custom.custom_values), (Histogram::CUSTOM, vec![5.0, 10.0]));
        assert_eq!(read("{{}}"), Histogram::default());
    }

    #[test]
    fn malformed_ones_are_refused() {
        for text in [
            "{{",
            "{{schema:9}}",
            "{{schema:x}}",
            "{{what:1}}",
            "{{buckets:[1 2}}",
            "{{buckets:1}}",
            "{{sum:}}",
            "{{counter_reset_hint:maybe}}",
            "{{sum 1}}",
        ] {
            assert!(written(&mut Cursor::new(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn adding_brings_finer_buckets_down() {
        let base = read("{{schema:0 sum:4 count:4 buckets:[1 2 1]}}");
        let sum = add(&base, &read("{{sum:2 count:1 buckets:[1] offset:1}}"), 1.0).unwrap();
        assert_eq!(print(&sum), "{{schema:0 count:5.0 sum:6.0 buckets:[1.0 3.0 1.0]}}");
        let finer = add(&base, &read("{{schema:1 count:2 buckets:[1 1] offset:1}}"), 1.0).unwrap();
        assert_eq!(print(&finer), "{{schema:0 count:6.0 sum:4.0 buckets:[1.0 4.0 1.0]}}");
        let less = add(&base, &base, -1.0).unwrap();
        assert_eq!(print(&less), "{{schema:0}}");
        assert!(add(&base, &read("{{schema:-1}}"), 1.0).is_err());
        assert!(add(&base, &read("{{schema:-53 custom_values:[1]}}"), 1.0).is_err());
    }

    proptest! {
        #[test]
        fn sparse_and_dense_are_inverse(counts in proptest::collection::btree_map(-50i64..50, 0.5f64..9.0, 0..20)) {
            let (spans, buckets) = dense(&counts);
            prop_assert_eq!(sparse(&spans, &buckets).unwrap(), counts);
        }

        #[test]
        fn hostile_histograms_never_panic(text in "\\{\\{[a-z_:\\[\\]0-9 .-]{0,40}\\}\\}") {
            let _ = written(&mut Cursor::new(&text));
        }
    }
}
