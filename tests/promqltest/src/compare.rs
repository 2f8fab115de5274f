//! Compares an answer with the expected one. Each function returns the first difference, as text.
//!
//! Floats are equal if both are NaN of the same kind (stale marker or not), identical, or `|a - b| < 1e-6 * (|a| +
//! |b|)`. Histograms are equal if schema, zero threshold and custom bounds are, and if sum, count and every bucket that
//! is not empty are equal as floats. The reset hint is compared only if the script contains it.

use barograph_engine::Timestamp;
use barograph_engine::model::{Histogram, Labels, is_stale};
use barograph_query::{MatrixSeries, QueryValue, Response, SampleValue, VectorSample};

use crate::expect::{Expectation, ExpectedValue, TextDemand};
use crate::histogram::{Sparse, Written, print, sparse};
use crate::series::{Point, SeriesLine};

/// Success, or the difference.
pub type Verdict = Result<(), String>;

const TOLERANCE: f64 = 1e-6;

/// Whether two floats count as equal.
pub fn floats_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    a == b || (a - b).abs() < TOLERANCE * (a.abs() + b.abs())
}

/// Whether a histogram equals the expected one.
pub fn histograms_equal(want: &Written, got: &Histogram) -> bool {
    let expected = &want.histogram;
    let filled = |spans: &[_], buckets: &[f64]| -> Option<Sparse> {
        let mut counts = sparse(spans, buckets).ok()?;
        counts.retain(|_, count| *count != 0.0);
        Some(counts)
    };
    let buckets_equal = |a: Option<Sparse>, b: Option<Sparse>| match (a, b) {
        (Some(a), Some(b)) => {
            a.len() == b.len() && a.iter().zip(&b).all(|((i, x), (j, y))| i == j && floats_equal(*x, *y))
        }
        _ => false,
    };
    expected.schema == got.schema
        && expected.zero_threshold == got.zero_threshold
        && expected.custom_values == got.custom_values
        && floats_equal(expected.zero_count, got.zero_count)
        && floats_equal(expected.count, got.count)
        && floats_equal(expected.sum, got.sum)
        && buckets_equal(
            filled(&expected.positive_spans, &expected.positive_buckets),
            filled(&got.positive_spans, &got.positive_buckets),
        )
        && buckets_equal(
            filled(&expected.negative_spans, &expected.negative_buckets),
            filled(&got.negative_spans, &got.negative_buckets),
        )
        && (!want.hint_written || expected.reset_hint == got.reset_hint)
}

/// A point of an answer.
#[derive(Debug, Clone, PartialEq)]
enum Got<'a> {
    Float(f64),
    Histogram(&'a Histogram),
}

fn point_equal(want: &Point, got: &Got<'_>) -> bool {
    match (want, got) {
        (Point::Float(a), Got::Float(b)) => floats_equal(*a, *b),
        (Point::Histogram(a), Got::Histogram(b)) => histograms_equal(a, b),
        _ => false,
    }
}

fn show_want(point: &Point) -> String {
    match point {
        Point::Float(value) => format!("{value:?}"),
        Point::Histogram(written) => print(&written.histogram),
    }
}

fn show_got(point: &Got<'_>) -> String {
    match point {
        Got::Float(value) => format!("{value:?}"),
        Got::Histogram(histogram) => print(histogram),
    }
}

/// Checks the value of an instant query evaluated at `time_ms`.
///
/// # Errors
/// What differs.
pub fn instant(expect: &Expectation, value: &QueryValue, time_ms: i64) -> Verdict {
    match (&expect.value, value) {
        (ExpectedValue::Scalar(want), QueryValue::Scalar(at, got)) => {
            time_equal(at.as_millis(), time_ms)?;
            if floats_equal(*want, *got) { Ok(()) } else { Err(format!("expected {want:?}, got {got:?}")) }
        }
        (ExpectedValue::String(want), QueryValue::String(at, got)) => {
            time_equal(at.as_millis(), time_ms)?;
            if want == got { Ok(()) } else { Err(format!("expected {want:?}, got {got:?}")) }
        }
        (ExpectedValue::Series(lines), QueryValue::Vector(got)) if expect.range_vector.is_none() => {
            vector(lines, got, expect.ordered, time_ms)
        }
        (ExpectedValue::Series(lines), QueryValue::Matrix(got)) => match expect.range_vector {
            Some(times) => matrix(lines, got, times.start_ms, times.step_ms),
            None => Err(format!("expected an instant vector, got {}", kind(value))),
        },
        (ExpectedValue::Scalar(_), _) => Err(format!("expected a scalar, got {}", kind(value))),
        (ExpectedValue::String(_), _) => Err(format!("expected a string, got {}", kind(value))),
        (ExpectedValue::Series(_), _) => Err(format!("expected series, got {}", kind(value))),
    }
}

/// Checks the value of a range query.
///
/// # Errors
/// What differs.
pub fn range(expect: &Expectation, value: &QueryValue, start_ms: i64, step_ms: i64) -> Verdict {
    let (ExpectedValue::Series(lines), QueryValue::Matrix(got)) = (&expect.value, value) else {
        return Err(format!("expected series over a range, got {}", kind(value)));
    };
    if let Some(pair) = got.windows(2).find(|pair| pair[0].labels >= pair[1].labels) {
        return Err(format!("{} stands before {}: not sorted", pair[0].labels, pair[1].labels));
    }
    matrix(lines, got, start_ms, step_ms)
}

/// The column of a range query's answer at `time_ms`, in the form of an instant query's answer. The expectation decides
/// whether it is a scalar, because a range query does not show that.
pub fn column(expect: &Expectation, value: &QueryValue, time_ms: i64) -> QueryValue {
    let QueryValue::Matrix(series) = value else { return value.clone() };
    let mut elements = Vec::new();
    for one in series {
        let float = one.floats_ms.iter().filter(|(t, _)| *t == time_ms).map(|(_, v)| SampleValue::Float(*v));
        let histogram = one.histograms_ms.iter().filter(|(t, _)| *t == time_ms);
        let histogram = histogram.map(|(_, h)| SampleValue::Histogram(h.clone()));
        for value in float.chain(histogram) {
            elements.push(VectorSample {
                labels: one.labels.clone(),
                timestamp: Timestamp::from_millis(time_ms),
                value,
            });
        }
    }
    match (&expect.value, elements.as_slice()) {
        (ExpectedValue::Scalar(_), [VectorSample { labels, value: SampleValue::Float(value), .. }])
            if labels.is_empty() =>
        {
            QueryValue::Scalar(Timestamp::from_millis(time_ms), *value)
        }
        _ => QueryValue::Vector(elements),
    }
}

fn kind(value: &QueryValue) -> String {
    format!("a {}", value.type_name())
}

fn time_equal(got: i64, want: i64) -> Verdict {
    if got == want { Ok(()) } else { Err(format!("the result's time is {got} ms, not {want} ms")) }
}

fn vector(lines: &[SeriesLine], got: &[VectorSample], ordered: bool, time_ms: i64) -> Verdict {
    let mut elements = Vec::with_capacity(got.len());
    for sample in got {
        time_equal(sample.timestamp.as_millis(), time_ms).map_err(|e| format!("{}: {e}", sample.labels))?;
        let point = match &sample.value {
            SampleValue::Float(value) => Got::Float(*value),
            SampleValue::Histogram(histogram) => Got::Histogram(histogram),
        };
        elements.push((&sample.labels, point));
    }
    set_equal(lines, elements.iter().map(|(labels, _)| *labels))?;
    for (position, line) in lines.iter().enumerate() {
        let [Some(want)] = &line.points[..] else {
            return Err(format!("the script gives {} not exactly one value", line.labels));
        };
        let (_, found) = elements
            .iter()
            .find(|(labels, _)| **labels == line.labels)
            .ok_or_else(|| format!("{} is missing", line.labels))?;
        if !point_equal(want, found) {
            return Err(format!("{}: expected {}, got {}", line.labels, show_want(want), show_got(found)));
        }
        if ordered && *elements[position].0 != line.labels {
            return Err(format!(
                "expected {} at place {position}, got {}",
                line.labels, elements[position].0
            ));
        }
    }
    Ok(())
}

/// Checks that the label sets are exactly the expected ones.
fn set_equal<'a>(lines: &[SeriesLine], got: impl Iterator<Item = &'a Labels> + Clone) -> Verdict {
    let count = |labels: &Labels| got.clone().filter(|known| *known == labels).count();
    let missing: Vec<String> =
        lines.iter().filter(|line| count(&line.labels) == 0).map(|line| line.labels.to_string()).collect();
    let extra: Vec<String> = got
        .clone()
        .filter(|labels| lines.iter().all(|line| line.labels != **labels))
        .map(Labels::to_string)
        .collect();
    if !missing.is_empty() || !extra.is_empty() {
        return Err(format!("missing: [{}], not expected: [{}]", missing.join(", "), extra.join(", ")));
    }
    match got.clone().find(|labels| count(labels) > 1) {
        Some(labels) => Err(format!("{labels} occurs twice")),
        None => Ok(()),
    }
}

fn matrix(lines: &[SeriesLine], got: &[MatrixSeries], start_ms: i64, step_ms: i64) -> Verdict {
    let with_points = |line: &&SeriesLine| line.points.iter().any(Option::is_some);
    let lines: Vec<SeriesLine> = lines.iter().filter(with_points).cloned().collect();
    set_equal(&lines, got.iter().map(|series| &series.labels))?;
    for line in &lines {
        let series = got
            .iter()
            .find(|series| series.labels == line.labels)
            .ok_or_else(|| format!("{} is missing", line.labels))?;
        points(line, series, start_ms, step_ms).map_err(|e| format!("{}: {e}", line.labels))?;
    }
    Ok(())
}

fn points(line: &SeriesLine, series: &MatrixSeries, start_ms: i64, step_ms: i64) -> Verdict {
    let mut got: Vec<(i64, Got<'_>)> = series.floats_ms.iter().map(|(t, v)| (*t, Got::Float(*v))).collect();
    got.extend(series.histograms_ms.iter().map(|(t, h)| (*t, Got::Histogram(h))));
    got.sort_by_key(|(t, _)| *t);
    let mut found = got.into_iter().peekable();
    for (i, want) in line.points.iter().enumerate() {
        let time_ms = start_ms + i as i64 * step_ms;
        match (want, found.next_if(|(t, _)| *t <= time_ms)) {
            (_, Some((t, point))) if t < time_ms => {
                return Err(format!("{} at {t} ms is not expected", show_got(&point)));
            }
            (Some(want), Some((_, point))) if !point_equal(want, &point) => {
                return Err(format!(
                    "at {time_ms} ms expected {}, got {}",
                    show_want(want),
                    show_got(&point)
                ));
            }
            (Some(want), None) => {
                return Err(format!("at {time_ms} ms expected {}, got nothing", show_want(want)));
            }
            (None, Some((_, point))) => {
                return Err(format!("at {time_ms} ms expected nothing, got {}", show_got(&point)));
            }
            _ => {}
        }
    }
    match found.next() {
        Some((t, point)) => Err(format!("{} at {t} ms is not expected", show_got(&point))),
        None => Ok(()),
    }
}

/// Whether an annotation's position counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// It is compared.
    Compared,
    /// The text of the query was changed, so positions differ.
    Ignored,
}

/// Checks warnings and infos.
///
/// # Errors
/// What differs.
pub fn annotations(expect: &Expectation, response: &Response, positions: Positions) -> Verdict {
    demands("warning", &expect.warnings, &response.warnings, expect.no_warnings, positions)?;
    demands("info", &expect.infos, &response.infos, expect.no_infos, positions)
}

fn demands(
    kind: &str,
    demands: &[TextDemand],
    texts: &[String],
    none_allowed: bool,
    positions: Positions,
) -> Verdict {
    if none_allowed && !texts.is_empty() {
        return Err(format!("expected no {kind}, got {texts:?}"));
    }
    if demands.is_empty() {
        return Ok(());
    }
    let meets = |demand: &TextDemand, text: &str| match (demand, positions) {
        (TextDemand::Whole(whole), Positions::Ignored) => without_position(whole) == without_position(text),
        _ => demand.meets(text),
    };
    for demand in demands {
        if !texts.iter().any(|text| meets(demand, text)) {
            return Err(format!("expected {kind} {demand:?}, got {texts:?}"));
        }
    }
    match texts.iter().find(|text| !demands.iter().any(|demand| meets(demand, text))) {
        Some(text) => Err(format!("{kind} not expected: {text:?}")),
        None => Ok(()),
    }
}

/// Cuts ` (line:column)` off the end of `text`.
fn without_position(text: &str) -> &str {
    let Some((front, back)) = text.rsplit_once(" (") else { return text };
    let is_position = back.strip_suffix(')').and_then(|inner| inner.split_once(':')).is_some_and(|(l, c)| {
        !l.is_empty() && !c.is_empty() && (l.to_owned() + c).chars().all(|c| c.is_ascii_digit())
    });
    if is_position { front } else { text }
}

#[cfg(test)]
mod tests;
